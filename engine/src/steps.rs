//! The seven steps of an epoch as marks, so that faults can be aimed at them and counted in them.

use unplug_sim::env::Env;

/// A step of an epoch. While a node works on one, it has passed the mark `NAME.begin` once more
/// often than `NAME.end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A driver has its leadership decided (driver, store).
    Generation,
    /// The plan of an epoch is decided (driver, store).
    Offsets,
    /// A task reads its range and transforms it (executor).
    Tasks,
    /// A task's blobs are written (executor, store).
    Blobs,
    /// The commit of an epoch is decided (driver, store).
    Commit,
    /// A sink takes an epoch in and publishes it (sink).
    Apply,
    /// The floor is raised, and what is below is deleted (driver, store).
    Collect,
}

impl Step {
    /// All steps, in order.
    pub const ALL: [Self; 7] = [
        Self::Generation,
        Self::Offsets,
        Self::Tasks,
        Self::Blobs,
        Self::Commit,
        Self::Apply,
        Self::Collect,
    ];

    /// The step's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Generation => "generation",
            Self::Offsets => "offsets",
            Self::Tasks => "tasks",
            Self::Blobs => "blobs",
            Self::Commit => "commit",
            Self::Apply => "apply",
            Self::Collect => "collect",
        }
    }

    /// The mark where it begins.
    #[must_use]
    pub fn begin(self) -> &'static str {
        match self {
            Self::Generation => "generation.begin",
            Self::Offsets => "offsets.begin",
            Self::Tasks => "tasks.begin",
            Self::Blobs => "blobs.begin",
            Self::Commit => "commit.begin",
            Self::Apply => "apply.begin",
            Self::Collect => "collect.begin",
        }
    }

    /// The mark where it ends.
    #[must_use]
    pub fn end(self) -> &'static str {
        match self {
            Self::Generation => "generation.end",
            Self::Offsets => "offsets.end",
            Self::Tasks => "tasks.end",
            Self::Blobs => "blobs.end",
            Self::Commit => "commit.end",
            Self::Apply => "apply.end",
            Self::Collect => "collect.end",
        }
    }

    /// Begins the step; it ends when the guard is dropped.
    pub fn enter<E: Env>(self, env: &E) -> Entered<E> {
        env.mark(self.begin());
        Entered { env: env.clone(), step: self }
    }
}

/// The phase beside the steps: the broker adds partitions.
pub const PARTITIONS: &str = "partitions";

/// The marks beside those of the steps.
pub const MARKS: [&str; 30] = [
    "leader.elected",
    "offsets.decided",
    "commit.decided",
    "sink.published",
    "epoch.published",
    "fetch.failed",
    "speculation.won",
    "attempt.adopted",
    "driver.fenced",
    "blob.repaired",
    "store.rebuilt",
    "snapshot.loaded",
    "late.routed",
    "dead.letter",
    "idle.passed",
    "register.contended",
    "files.written",
    "files.cleaned",
    "transaction.prepared",
    "transaction.dropped",
    "transaction.rewritten",
    "transaction.aborted",
    "partitions.begin",
    "partitions.end",
    "partitions.added",
    "partitions.learnt",
    "source.full",
    "executor.joined",
    "executor.left",
    "executor.holding",
];

/// A step that a node is in.
#[derive(Debug)]
#[must_use = "dropped, the step is over"]
pub struct Entered<E: Env> {
    env: E,
    step: Step,
}

impl<E: Env> Drop for Entered<E> {
    fn drop(&mut self) {
        self.env.mark(self.step.end());
    }
}

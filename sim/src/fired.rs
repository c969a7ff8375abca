//! What became of a plan: the faults that happened, the nodes they ended, and the programs that
//! ended by themselves.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::{env::NodeId, trace::Seconds};

/// A fault of the plan that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// Its place in the plan, from 0.
    pub fault: usize,
    /// Its kind, as [`crate::fault::Action::kind`] names it.
    pub kind: &'static str,
    /// When, in virtual nanoseconds since the start of the run.
    pub at_ns: u64,
    /// When it is over, if nothing else happens: the last of the nodes it ended runs its program
    /// again; a pause, a throttle, a partition or trouble of a disk that lasts ends. The same as
    /// `at_ns` for what is done in a moment: a step of a clock, or a fault in a disk.
    pub back_ns: u64,
}

/// What a power loss, a kill or the loss of a disk did to one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// The fault's place in the plan, from 0.
    pub fault: usize,
    /// The node.
    pub node: NodeId,
    /// When, in virtual nanoseconds since the start of the run.
    pub at_ns: u64,
    /// True for a loss of power, alone or with the disk; false for a kill.
    pub power: bool,
    /// Whether the node ran; it may have been down already.
    pub running: bool,
    /// Disk operations that no sync had covered.
    pub unsynced: usize,
    /// How often the ended boot had passed each mark.
    pub marks: BTreeMap<&'static str, u64>,
}

/// A program that ended with a refusal, a failure or a panic. Its node stays down, except after a
/// failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The node.
    pub node: NodeId,
    /// The task that panicked, by the name it was spawned with; `main` is the program itself.
    pub task: &'static str,
    /// When, in virtual nanoseconds since the start of the run.
    pub at_ns: u64,
    /// What it said.
    pub message: String,
    /// How it ended.
    pub end: End,
}

/// How a program ended of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It met something that it must not go on from, and said so.
    Refusal,
    /// It panicked.
    Panic,
    /// It failed, in a way from which it recovers by a new start ([`crate::env::Remedy`]); its
    /// supervisor started it again.
    Failure,
}

impl fmt::Display for Fired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at{} s", self.kind, Seconds(self.at_ns))
    }
}

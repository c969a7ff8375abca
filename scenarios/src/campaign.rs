//! A campaign takes a scenario through its seeds in worker processes on all cores, and hands the
//! runs over in the order of their seeds, so that what is made of them does not depend on the
//! number of workers.

use std::{
    any::Any,
    collections::BTreeMap,
    ops::{ControlFlow, Range},
    panic::{self, AssertUnwindSafe},
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use rayon::ThreadPool;
use serde::{Deserialize, Serialize};
use unplug_sim::fault::Plan;

use crate::{
    generate,
    input::Invalid,
    outcome::{Outcome, Verdict, VerdictKind},
    scenario::Scenario,
    worker::{Crew, Worker},
};

/// One seed in so many is run twice, to compare digests.
pub const RECHECK_EVERY: u64 = 16;

/// A scenario and the seeds to take it through.
#[derive(Debug)]
pub struct Campaign<'a> {
    /// The scenario, checked.
    pub scenario: &'a Scenario,
    /// The seeds.
    pub seeds: Range<u64>,
    /// One seed in so many is run twice: [`RECHECK_EVERY`], or 1 for all.
    pub recheck_every: u64,
}

/// One run of a campaign.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ran {
    /// What it told.
    pub outcome: Outcome,
    /// The CPU time that its thread spent on it, not counting a second run.
    pub cpu: Duration,
}

/// Threads for so many jobs. A panic on one of them is a finding with its seed, and is not printed.
///
/// # Errors
/// If the system does not give the threads.
pub fn pool(jobs: usize) -> Result<ThreadPool, Invalid> {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if rayon::current_thread_index().is_none() {
            print(panic);
        }
    }));
    rayon::ThreadPoolBuilder::new()
        .num_threads(jobs)
        .build()
        .map_err(|error| Invalid::new(format!("cannot start {jobs} threads: {error}")))
}

impl Campaign<'_> {
    /// Runs the seeds in turn until there are no more or `halt` says so, and calls `each` on this
    /// thread in the order of the seeds until it breaks. Every seed that was begun before a halt is
    /// handed over.
    ///
    /// # Errors
    /// The first error of `each`, or of a worker that cannot be started.
    #[expect(
        clippy::disallowed_methods,
        reason = "a thread waits for each worker; none of them runs anything"
    )]
    pub fn run(
        &self,
        crew: &mut Crew,
        halt: &(dyn Fn() -> bool + Sync),
        each: &mut dyn FnMut(Ran) -> Result<ControlFlow<()>, Invalid>,
    ) -> Result<(), Invalid> {
        crew.forget_scenario();
        let next = AtomicU64::new(0);
        let stop = AtomicBool::new(false);
        let (sender, results) = mpsc::channel();
        thread::scope(|scope| {
            for worker in &mut crew.workers {
                let (sender, next) = (sender.clone(), &next);
                let stop = || stop.load(Ordering::Relaxed) || halt();
                scope.spawn(move || self.work(worker, next, &stop, sender));
            }
            drop(sender);
            let ended = in_order(results, each);
            stop.store(true, Ordering::Relaxed);
            ended
        })
    }

    /// Takes seeds in turn, until there are no more or no one wants them.
    fn work(
        &self,
        worker: &mut Worker,
        next: &AtomicU64,
        stop: &dyn Fn() -> bool,
        results: mpsc::Sender<(u64, Result<Ran, Invalid>)>,
    ) {
        let count = self.seeds.end.saturating_sub(self.seeds.start);
        while !stop() {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                break;
            }
            let seed = self.seeds.start + index;
            let twice = seed.is_multiple_of(self.recheck_every);
            let ran = worker.run(self.scenario, (seed, twice));
            let failed = ran.is_err();
            if results.send((index, ran)).is_err() || failed {
                break;
            }
        }
    }
}

/// Hands results on in the order of their numbers.
fn in_order(
    results: mpsc::Receiver<(u64, Result<Ran, Invalid>)>,
    each: &mut dyn FnMut(Ran) -> Result<ControlFlow<()>, Invalid>,
) -> Result<(), Invalid> {
    let mut early = BTreeMap::new();
    let mut wanted = 0;
    for (index, ran) in results {
        early.insert(index, ran);
        while let Some(ran) = early.remove(&wanted) {
            wanted += 1;
            if each(ran?)?.is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Runs; a panic of the harness itself becomes a verdict.
pub fn attempt(
    scenario: &Scenario,
    seed: u64,
    plan: Option<&Plan>,
    run: impl FnOnce() -> Outcome,
) -> Outcome {
    panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let plan = plan.cloned().unwrap_or_else(|| generate::plan(scenario, seed));
        let message = format!("the harness: {}", said(panic.as_ref()));
        Outcome::broken(seed, plan, Verdict { kind: VerdictKind::Panicked, message })
    })
}

pub(crate) fn said(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
}

/// How many cores there are to use.
#[must_use]
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// A moment by the clock on the wall.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Moment);

#[expect(clippy::disallowed_types, reason = "what a user gives a campaign is real time")]
type Moment = std::time::Instant;

impl Deadline {
    /// So long from now; none if that is beyond all clocks.
    #[must_use]
    pub fn after(time: Duration) -> Option<Self> {
        wall_clock().checked_add(time).map(Self)
    }

    /// Whether it has passed.
    #[must_use]
    pub fn is_over(self) -> bool {
        wall_clock() >= self.0
    }
}

/// What `f` gives, and how long it took by the clock on the wall.
pub fn timed<T>(f: impl FnOnce() -> T) -> (T, Duration) {
    let started = wall_clock();
    let value = f();
    (value, started.elapsed())
}

#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "seeds per second are measured outside of the simulation"
)]
fn wall_clock() -> std::time::Instant {
    std::time::Instant::now()
}

/// The CPU time of this thread so far.
#[cfg(unix)]
pub(crate) fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let part = |value: i64| u64::try_from(value).unwrap_or_default();
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}

/// Where threads have no CPU clock, there is no rate per CPU second: it is reported as null.
#[cfg(not(unix))]
pub(crate) fn cpu_time() -> Duration {
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(seed: u64) -> Ran {
        let verdict = Verdict { kind: VerdictKind::Lost, message: String::new() };
        Ran { outcome: Outcome::broken(seed, Plan::default(), verdict), cpu: Duration::ZERO }
    }

    #[test]
    fn results_come_in_the_order_of_their_seeds_until_stopped() {
        let (sender, results) = mpsc::channel();
        for index in [2, 0, 3, 1, 4] {
            sender.send((index, Ok(ran(index)))).expect("open");
        }
        drop(sender);
        let mut seen = Vec::new();
        let ended = in_order(results, &mut |ran| {
            seen.push(ran.outcome.seed);
            Ok(if seen.len() == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        assert_eq!(ended, Ok(()));
        assert_eq!(seen, [0, 1, 2, 3]);
    }

    #[test]
    fn a_panic_is_a_verdict_with_its_seed() {
        let scenario = Scenario::parse("x", r#"{"name": "x"}"#).expect("parses");
        let outcome = attempt(&scenario, 9, None, || panic!("out of {}", "cheese"));
        assert_eq!(outcome.seed, 9);
        assert_eq!(outcome.kinds(), [VerdictKind::Panicked]);
        assert_eq!(outcome.verdicts[0].message, "the harness: out of cheese");
    }
}

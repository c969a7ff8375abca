//! A campaign takes a scenario through its seeds on all cores, and hands the runs over in the
//! order of their seeds, so that what is made of them does not depend on the number of jobs.

use std::{
    any::Any,
    collections::BTreeMap,
    ops::{ControlFlow, Range},
    panic::{self, AssertUnwindSafe},
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use rayon::ThreadPool;
use unplug_sim::fault::Plan;

use crate::{
    determinism, generate,
    input::Invalid,
    outcome::{Outcome, Verdict, VerdictKind},
    run::Case,
    scenario::Scenario,
};

/// One seed in so many is run twice, to compare digests.
pub const RECHECK_EVERY: u64 = 16;

/// A scenario and the seeds to take it through.
#[derive(Debug)]
pub struct Campaign<'a> {
    /// The scenario, made ready.
    pub case: &'a Case<'a>,
    /// The seeds.
    pub seeds: Range<u64>,
    /// One seed in so many is run twice: [`RECHECK_EVERY`], or 1 for all.
    pub recheck_every: u64,
}

/// One run of a campaign.
#[derive(Debug)]
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
    /// Runs the seeds on the pool, and calls `each` on this thread in the order of the seeds until
    /// it breaks.
    ///
    /// # Errors
    /// The first error of `each`.
    pub fn run(
        &self,
        pool: &ThreadPool,
        each: &mut dyn FnMut(Ran) -> Result<ControlFlow<()>, Invalid>,
    ) -> Result<(), Invalid> {
        let next = AtomicU64::new(0);
        let stop = AtomicBool::new(false);
        let (sender, results) = mpsc::channel();
        pool.in_place_scope(|scope| {
            for _ in 0..pool.current_num_threads() {
                let sender = sender.clone();
                scope.spawn(|_| self.work(&next, &stop, sender));
            }
            drop(sender);
            let ended = in_order(results, each);
            stop.store(true, Ordering::Relaxed);
            ended
        })
    }

    /// Takes seeds in turn, until there are no more or no one wants them.
    fn work(&self, next: &AtomicU64, stop: &AtomicBool, results: mpsc::Sender<(u64, Ran)>) {
        let count = self.seeds.end.saturating_sub(self.seeds.start);
        while !stop.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count
                || results.send((index, self.run_one(self.seeds.start + index))).is_err()
            {
                break;
            }
        }
    }

    fn run_one(&self, seed: u64) -> Ran {
        let before = cpu_time();
        let scenario = self.case.scenario();
        let mut outcome = attempt(scenario, seed, None, || self.case.run(seed, None));
        let cpu = cpu_time().saturating_sub(before);
        if seed.is_multiple_of(self.recheck_every) {
            let again = attempt(scenario, seed, None, || {
                let mut again = outcome.clone();
                again.verdicts.extend(determinism::recheck(&outcome, self.case, None));
                again
            });
            outcome = again;
        }
        Ran { outcome, cpu }
    }
}

/// Hands results on in the order of their numbers.
fn in_order(
    results: mpsc::Receiver<(u64, Ran)>,
    each: &mut dyn FnMut(Ran) -> Result<ControlFlow<()>, Invalid>,
) -> Result<(), Invalid> {
    let mut early = BTreeMap::new();
    let mut wanted = 0;
    for (index, ran) in results {
        early.insert(index, ran);
        while let Some(ran) = early.remove(&wanted) {
            wanted += 1;
            if each(ran)?.is_break() {
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
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
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
    use crate::workload::Workload;

    fn ran(seed: u64) -> Ran {
        let verdict = Verdict { kind: VerdictKind::Lost, message: String::new() };
        Ran { outcome: Outcome::broken(seed, Plan::default(), verdict), cpu: Duration::ZERO }
    }

    #[test]
    fn results_come_in_the_order_of_their_seeds_until_stopped() {
        let (sender, results) = mpsc::channel();
        for index in [2, 0, 3, 1, 4] {
            sender.send((index, ran(index))).expect("open");
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
    fn every_seed_is_run_once_on_any_number_of_threads() {
        let scenario = Scenario::parse("x", r#"{"name": "x"}"#).expect("parses");
        let workload = Workload::embedded().expect("sound");
        let case = Case::new(&scenario, &workload).expect("sound");
        let campaign = Campaign { case: &case, seeds: 5..9, recheck_every: RECHECK_EVERY };
        for jobs in [1, 3] {
            let mut seen = Vec::new();
            let ended = campaign.run(&pool(jobs).expect("starts"), &mut |ran| {
                seen.push(ran.outcome.seed);
                Ok(ControlFlow::Continue(()))
            });
            assert_eq!(ended, Ok(()));
            assert_eq!(seen, [5, 6, 7, 8]);
        }
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

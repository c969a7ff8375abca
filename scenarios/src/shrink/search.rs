//! The search for a smaller run that still fails.
//!
//! Candidates are tried in order, each with its own seed and then with a few others, since a
//! changed run meets the draws of its seed at other places. The first candidate that fails is
//! taken, on any number of threads, so that the result does not depend on how many there are.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use rayon::ThreadPool;
use xxhash_rust::xxh3::xxh3_128;

use super::sample::Sample;
use crate::{
    campaign,
    input::Invalid,
    outcome::{Outcome, Verdict, VerdictKind},
    run::Case,
    workload::Workload,
};

/// With so many seeds is a candidate tried besides its own: 0, 1, 2 and so on…
pub const OTHER_SEEDS: u64 = 7;
/// …but with so many if it has more tuples than `LARGE_TUPLES`, since its runs are long.
pub const OTHER_SEEDS_LARGE: u64 = 1;
const LARGE_TUPLES: u32 = 200;

/// What a smaller run has to do, and how long it is searched for.
#[derive(Debug)]
pub struct Search<'a> {
    workload: &'a Workload,
    pool: &'a ThreadPool,
    /// Of which kind one of its verdicts must be.
    kind: VerdictKind,
    /// Whether it must not fail in that way with the defects switched off.
    by_defects: bool,
    /// Whether its plan must be one that the engine promises to survive.
    within_promise: bool,
    runs_max: u64,
    runs: u64,
    /// What does not fail.
    tried: BTreeSet<u128>,
}

impl<'a> Search<'a> {
    /// A search for runs smaller than `sample`, which fails with this kind of verdict.
    #[must_use]
    pub fn new(
        sample: &Sample,
        kind: VerdictKind,
        (workload, pool): (&'a Workload, &'a ThreadPool),
        runs_max: u64,
    ) -> Self {
        let by_defects = !sample.scenario.defects.is_empty()
            && outcome(&sample.without_defects(), workload).is_ok_and(|one| one.holds());
        let within_promise = sample.within_promise();
        Self {
            workload,
            pool,
            kind,
            by_defects,
            within_promise,
            runs_max,
            runs: 0,
            tried: BTreeSet::new(),
        }
    }

    /// How many runs were made, those of candidates that came too late not counted.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// Whether there is nothing more to spend.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.runs >= self.runs_max
    }

    /// Whether the failure is the defects' work: without them the run held.
    #[must_use]
    pub fn by_defects(&self) -> bool {
        self.by_defects
    }

    /// Whether what must stay is that a run took too long.
    #[must_use]
    pub fn is_about_time(&self) -> bool {
        [VerdictKind::Stuck, VerdictKind::OverBudget].contains(&self.kind)
    }

    /// The first of these that fails: its place, and the run with the seed with which it fails.
    pub fn first(&mut self, candidates: &[Sample]) -> Option<(usize, Sample)> {
        let mut seen = BTreeSet::new();
        let mut tries = Vec::new();
        for (place, candidate) in candidates.iter().enumerate() {
            if !self.is_sound(candidate) {
                continue;
            }
            let large = candidate.scenario.workload.tuples() > LARGE_TUPLES;
            let others = if large { OTHER_SEEDS_LARGE } else { OTHER_SEEDS };
            let own = candidate.seed;
            let others = (0..=others).filter(|seed| *seed != own).take(count(others));
            for seed in std::iter::once(own).chain(others) {
                let one = Sample { seed, ..candidate.clone() };
                let key = key(&one);
                if !self.tried.contains(&key) && seen.insert(key) {
                    tries.push((key, place, one));
                }
            }
        }
        tries.truncate(count(self.runs_max.saturating_sub(self.runs)));
        let found = first_of(self.pool, tries.len(), &|index| self.fails(&tries[index].2));
        let spent = found.map_or(tries.len(), |index| index + 1);
        self.runs += spent as u64;
        self.tried.extend(tries.iter().take(found.unwrap_or(spent)).map(|(key, ..)| *key));
        found.map(|index| {
            let (_, place, sample) = tries.swap_remove(index);
            (place, sample)
        })
    }

    fn is_sound(&self, sample: &Sample) -> bool {
        sample.check().is_ok() && (!self.within_promise || sample.within_promise())
    }

    /// Whether it fails as it should.
    fn fails(&self, sample: &Sample) -> bool {
        let fails = outcome(sample, self.workload)
            .is_ok_and(|outcome| outcome.kinds().contains(&self.kind));
        fails
            && (!self.by_defects
                || outcome(&sample.without_defects(), self.workload)
                    .is_ok_and(|outcome| outcome.holds()))
    }
}

/// Runs it.
///
/// # Errors
/// If it cannot be run.
pub fn outcome(sample: &Sample, workload: &Workload) -> Result<Outcome, Invalid> {
    let Sample { scenario, seed, plan } = sample;
    let case = Case::new(scenario, workload)?;
    Ok(campaign::attempt(scenario, *seed, Some(plan), || case.run(*seed, Some(plan))))
}

impl Outcome {
    /// What the oracle objects to. That no fault happened is no objection where a plan may wait for
    /// what never comes; that nothing was acknowledged or read is one.
    #[must_use]
    pub fn objections(&self) -> Vec<&Verdict> {
        let without_faults = self.faults.is_empty() && self.tuples > 0;
        let counts = |one: &&Verdict| one.kind != VerdictKind::NotMeasured || !without_faults;
        self.verdicts.iter().filter(counts).collect()
    }

    /// Whether there are none.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.objections().is_empty()
    }
}

/// The lowest index below `count` of which something is true, found on all threads of the pool.
fn first_of(pool: &ThreadPool, count: usize, is: &(dyn Fn(usize) -> bool + Sync)) -> Option<usize> {
    let (next, best) = (AtomicUsize::new(0), AtomicUsize::new(count));
    pool.in_place_scope(|scope| {
        for _ in 0..pool.current_num_threads() {
            scope.spawn(|_| {
                loop {
                    // Indices are taken in order: below the lowest found, each was looked at.
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= best.load(Ordering::Relaxed) {
                        break;
                    }
                    if is(index) {
                        best.fetch_min(index, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let best = best.into_inner();
    (best < count).then_some(best)
}

fn key(sample: &Sample) -> u128 {
    xxh3_128(&serde_json::to_vec(sample).expect("plain data becomes JSON"))
}

fn count(runs: u64) -> usize {
    usize::try_from(runs).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_in_order_is_found_on_any_number_of_threads() {
        for jobs in [1, 2, 5] {
            let pool = campaign::pool(jobs).expect("starts");
            for _ in 0..50 {
                assert_eq!(first_of(&pool, 90, &|index| index % 40 == 7), Some(7));
                assert_eq!(first_of(&pool, 7, &|index| index % 40 == 7), None);
            }
        }
    }
}

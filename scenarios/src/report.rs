//! What a campaign found, added up: the JSON of `run`, and what its table shows.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;
use xxhash_rust::xxh3::Xxh3;

use crate::{
    campaign::Ran,
    outcome::{Digest, Judgement, VerdictKind},
    reach,
    scenario::{Expect, Scenario},
};

/// The result of `run`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Report {
    /// The version of this program.
    pub version: &'static str,
    /// Whether all that was expected held in all runs.
    pub held: bool,
    /// Scenario by scenario.
    pub scenarios: Vec<ScenarioReport>,
    /// Scenarios that were not run, because one before them failed.
    pub not_run: Vec<String>,
    /// What all scenarios together reached.
    pub reached: Reached,
    /// The runs that failed.
    pub failures: Vec<FailureReport>,
}

/// What a campaign reached, over all its runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Reached {
    /// How often nodes passed each mark.
    pub marks: BTreeMap<String, u64>,
    /// How often a crash fell inside a step of an epoch.
    pub steps_interrupted: BTreeMap<String, u64>,
    /// What was not reached and must be, scenario by scenario and then over the suite.
    pub missing: Vec<String>,
}

impl Reached {
    /// The sums over scenarios; that anything is missing is not said yet.
    #[must_use]
    pub fn of(scenarios: &[ScenarioReport]) -> Self {
        let mut reached = Self::default();
        for scenario in scenarios {
            reach::add(&mut reached.marks, &scenario.marks);
            reach::add(&mut reached.steps_interrupted, &scenario.steps_interrupted);
        }
        reached
    }
}

/// One scenario, over the seeds that were run. `seeds` = `passed` + `failed` + `not_measured`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ScenarioReport {
    /// Its name.
    pub name: String,
    /// Seeds that were run: up to the first failure, if that ended the campaign.
    pub seeds: u64,
    /// Runs that went as the scenario expects.
    pub passed: u64,
    /// Runs that did not. If a scenario that must be caught never was, all its runs failed.
    pub failed: u64,
    /// Runs that show nothing.
    pub not_measured: u64,
    /// Of those passed: in how many the oracle made the objection that is expected. None if it is
    /// not to object.
    pub caught: Option<u64>,
    /// Tuples acknowledged.
    pub tuples: u64,
    /// Crashes of nodes.
    pub crashes: u64,
    /// Faults that happened, by kind.
    pub faults: BTreeMap<String, u64>,
    /// Power losses that happened.
    pub power_cuts: u64,
    /// Those that hit at least one node with operations not yet synced.
    pub power_cuts_unsynced: u64,
    /// How often a crash fell inside a step of an epoch.
    pub steps_interrupted: BTreeMap<String, u64>,
    /// How often nodes passed each mark.
    pub marks: BTreeMap<String, u64>,
    /// Of the digests of all runs, in the order of their seeds.
    pub digest: Digest,
    /// From a fault to the first new commit, in virtual time.
    pub recovery_ns: Percentiles,
    /// How long epochs took in virtual time, by what went on meanwhile.
    pub epoch_ns: BTreeMap<String, Epochs>,
    /// Virtual time of all runs.
    pub virtual_ns: u64,
    /// Events of all runs.
    pub events: u64,
    /// By the clock on the wall, second runs included.
    pub seeds_per_s: f64,
    /// Virtual seconds in one second of a thread's CPU time; none where threads have no CPU clock.
    pub virtual_s_per_cpu_s: Option<f64>,
}

/// Nearest-rank percentiles; none of nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Percentiles {
    /// The median.
    pub p50: Option<u64>,
    /// 99 in 100 are at most this.
    pub p99: Option<u64>,
}

/// How long epochs took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Epochs {
    /// How many there were.
    pub count: u64,
    /// Percentiles of their times.
    #[serde(flatten)]
    pub percentiles: Percentiles,
}

/// One run that failed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FailureReport {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// What was violated.
    pub verdicts: Vec<VerdictKind>,
    /// The failure file.
    pub file: String,
    /// The command that runs it again.
    pub replay: String,
}

/// Adds up the runs of one scenario, in the order of their seeds.
#[expect(missing_debug_implementations, reason = "the hasher has none")]
pub struct Tally<'a> {
    scenario: &'a Scenario,
    sums: ScenarioReport,
    caught: u64,
    digests: Box<Xxh3>,
    recovery_ns: Vec<u64>,
    epoch_ns: BTreeMap<String, Vec<u64>>,
    cpu: Duration,
}

impl<'a> Tally<'a> {
    /// Nothing yet.
    #[must_use]
    pub fn new(scenario: &'a Scenario) -> Self {
        let sums = ScenarioReport {
            name: scenario.name.clone(),
            seeds: 0,
            passed: 0,
            failed: 0,
            not_measured: 0,
            caught: None,
            tuples: 0,
            crashes: 0,
            faults: BTreeMap::new(),
            power_cuts: 0,
            power_cuts_unsynced: 0,
            steps_interrupted: BTreeMap::new(),
            marks: BTreeMap::new(),
            digest: Digest::default(),
            recovery_ns: Percentiles { p50: None, p99: None },
            epoch_ns: BTreeMap::new(),
            virtual_ns: 0,
            events: 0,
            seeds_per_s: 0.0,
            virtual_s_per_cpu_s: None,
        };
        Self {
            scenario,
            sums,
            caught: 0,
            digests: Box::default(),
            recovery_ns: Vec::new(),
            epoch_ns: BTreeMap::new(),
            cpu: Duration::ZERO,
        }
    }

    /// Adds a run, and says how it went.
    pub fn add(&mut self, ran: &Ran) -> Judgement {
        let outcome = &ran.outcome;
        let judgement = outcome.judge(&self.scenario.expect);
        let sums = &mut self.sums;
        sums.seeds += 1;
        match judgement {
            Judgement::Exact => sums.passed += 1,
            Judgement::Caught => {
                sums.passed += 1;
                self.caught += 1;
            }
            Judgement::Failed => sums.failed += 1,
            Judgement::NotMeasured => sums.not_measured += 1,
        }
        sums.tuples += outcome.tuples;
        sums.crashes += outcome.crashes;
        sums.power_cuts += outcome.power_cuts;
        sums.power_cuts_unsynced += outcome.power_cuts_unsynced;
        sums.virtual_ns += outcome.virtual_ns;
        sums.events += outcome.events;
        reach::add(&mut sums.faults, &outcome.faults);
        reach::add(&mut sums.steps_interrupted, &outcome.steps_interrupted);
        reach::add(&mut sums.marks, &outcome.marks);
        for (class, times) in &outcome.epoch_ns {
            self.epoch_ns.entry(class.clone()).or_default().extend(times);
        }
        self.digests.update(&outcome.digest.0.to_le_bytes());
        self.recovery_ns.extend(&outcome.recovery_ns);
        self.cpu += ran.cpu;
        judgement
    }

    /// The sums, of runs that took this long by the clock on the wall.
    #[must_use]
    pub fn finish(mut self, wall: Duration) -> ScenarioReport {
        let mut sums = self.sums;
        if matches!(self.scenario.expect, Expect::Caught(_)) {
            sums.caught = Some(self.caught);
            if self.caught == 0 {
                sums.failed += std::mem::take(&mut sums.passed);
            }
        }
        sums.recovery_ns = Percentiles::of(&mut self.recovery_ns);
        for (class, mut times) in self.epoch_ns {
            let count = times.len() as u64;
            let percentiles = Percentiles::of(&mut times);
            sums.epoch_ns.insert(class, Epochs { count, percentiles });
        }
        sums.digest = Digest(self.digests.digest128());
        sums.seeds_per_s = rate(sums.seeds as f64, wall).unwrap_or_default();
        sums.virtual_s_per_cpu_s = rate(sums.virtual_ns as f64 / 1e9, self.cpu);
        sums
    }
}

impl Percentiles {
    fn of(values: &mut [u64]) -> Self {
        values.sort_unstable();
        Self { p50: percentile(values, 50), p99: percentile(values, 99) }
    }
}

/// The smallest value that at least `percent` in 100 do not exceed.
fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

/// So many per second, to three places.
fn rate(count: f64, time: Duration) -> Option<f64> {
    let rate = count / time.as_secs_f64();
    rate.is_finite().then(|| (rate * 1e3).round() / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        outcome::{Outcome, Verdict},
        suite,
    };
    use unplug_sim::fault::Plan;

    fn ran(seed: u64, kinds: &[VerdictKind]) -> Ran {
        let verdict = |&kind| Verdict { kind, message: String::new() };
        let outcome = Outcome {
            seed,
            digest: Digest(seed.into()),
            verdicts: kinds.iter().map(verdict).collect(),
            tuples: 10,
            faults: [("kill".to_owned(), 2)].into(),
            crashes: 3,
            power_cuts: 2,
            power_cuts_unsynced: 1,
            steps_interrupted: [("apply".to_owned(), 1)].into(),
            marks: [("fetch.failed".to_owned(), seed)].into(),
            recovery_ns: vec![seed, seed + 100],
            epoch_ns: [("calm".to_owned(), vec![seed + 7, 5])].into(),
            virtual_ns: 2_000_000_000,
            events: 7,
            plan: Plan::default(),
        };
        Ran { outcome, cpu: Duration::from_millis(500) }
    }

    fn report(scenario: &str, runs: &[&[VerdictKind]]) -> ScenarioReport {
        let scenario = suite::scenario(scenario).expect("there");
        let mut tally = Tally::new(&scenario);
        for (seed, kinds) in (0..).zip(runs) {
            tally.add(&ran(seed, kinds));
        }
        tally.finish(Duration::from_secs(2))
    }

    #[test]
    fn runs_are_added_up() {
        let report = report("stateless", &[&[], &[VerdictKind::Lost], &[], &[]]);
        assert_eq!((report.seeds, report.passed, report.failed), (4, 3, 1));
        assert_eq!((report.tuples, report.crashes, report.events), (40, 12, 28));
        assert_eq!((report.power_cuts, report.power_cuts_unsynced), (8, 4));
        assert_eq!((report.faults["kill"], report.steps_interrupted["apply"]), (8, 4));
        assert_eq!(report.recovery_ns, Percentiles { p50: Some(3), p99: Some(103) });
        assert_eq!((report.seeds_per_s, report.virtual_s_per_cpu_s), (2.0, Some(4.0)));
        assert_eq!(report.caught, None);
        assert_eq!(report.marks["fetch.failed"], 6);
        let percentiles = Percentiles { p50: Some(5), p99: Some(10) };
        assert_eq!(report.epoch_ns["calm"], Epochs { count: 8, percentiles });
        let json = serde_json::to_value(&report).expect("serialises");
        let calm = serde_json::json!({"count": 8, "p50": 5, "p99": 10});
        assert_eq!(json["epoch_ns"]["calm"], calm);
        let both = Reached::of(&[report.clone(), report]);
        assert_eq!((both.marks["fetch.failed"], both.steps_interrupted["apply"]), (12, 8));
        assert!(both.missing.is_empty());
    }

    #[test]
    fn a_negative_scenario_passes_only_if_it_was_caught() {
        use VerdictKind::{Duplicated, Lost, NotMeasured};
        let counts = |runs| {
            let report = report("append-negative", runs);
            (report.passed, report.failed, report.not_measured, report.caught)
        };
        assert_eq!(counts(&[&[], &[Duplicated]]), (2, 0, 0, Some(1)));
        assert_eq!(counts(&[&[], &[]]), (0, 2, 0, Some(0)));
        assert_eq!(counts(&[&[Duplicated], &[Lost]]), (1, 1, 0, Some(1)));
        assert_eq!(counts(&[&[NotMeasured]]), (0, 0, 1, Some(0)));
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(percentile(&hundred, 50), Some(50));
        assert_eq!(percentile(&hundred, 99), Some(99));
        assert_eq!(percentile(&[7], 50), Some(7));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn the_digest_is_of_all_runs_in_their_order() {
        let digest = |seeds: &[u64]| {
            let scenario = suite::scenario("stateless").expect("there");
            let mut tally = Tally::new(&scenario);
            for &seed in seeds {
                tally.add(&ran(seed, &[]));
            }
            tally.finish(Duration::from_secs(1)).digest
        };
        assert_eq!(digest(&[1, 2]), digest(&[1, 2]));
        assert_ne!(digest(&[1, 2]), digest(&[2, 1]));
    }
}

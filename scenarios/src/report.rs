//! What a campaign found, added up: the JSON of `run`, and what its table shows.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    campaign::Ran,
    outcome::{Digest, Judgement, Verdict, VerdictKind, kinds},
    part::Part,
    reach,
    scenario::{Expect, Scenario},
};

/// A run may have very many verdicts; so many are reported, and all are in its file.
const MESSAGES_MAX: usize = 5;

/// The result of `run`, and of `merge`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Report {
    /// The version of this program.
    pub version: &'static str,
    /// Whether all that was expected held in all runs.
    pub held: bool,
    /// Scenario by scenario.
    pub scenarios: Vec<ScenarioReport>,
    /// Whether it was broken off before all seeds were run.
    pub interrupted: bool,
    /// Scenarios that were not run, because one before them failed, or the campaign was broken off.
    pub not_run: Vec<String>,
    /// What all scenarios together reached.
    pub reached: Reached,
    /// The runs that failed.
    pub failures: Vec<FailureReport>,
    /// Of a shard: what `merge` needs of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Of the seeds and digests of all runs, whatever their order.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Percentiles {
    /// The median.
    pub p50: Option<u64>,
    /// 99 in 100 are at most this.
    pub p99: Option<u64>,
}

/// How long epochs took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Epochs {
    /// How many there were.
    pub count: u64,
    /// Percentiles of their times.
    #[serde(flatten)]
    pub percentiles: Percentiles,
}

/// One run that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailureReport {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// What was violated.
    pub verdicts: Vec<VerdictKind>,
    /// The first of its verdicts in words.
    pub messages: Vec<String>,
    /// The failure file.
    pub file: String,
    /// The command that runs it again.
    pub replay: String,
}

/// Adds up the runs of one scenario: all that is needed to go on, or to be joined with another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    sums: ScenarioReport,
    caught: u64,
    recovery_ns: Vec<u64>,
    epoch_ns: BTreeMap<String, Vec<u64>>,
    /// The first run that showed nothing, and why.
    unmeasured: Option<(u64, String)>,
    cpu: Duration,
    wall: Duration,
}

impl Tally {
    /// Nothing yet.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        Self::empty(&scenario.name)
    }

    fn empty(name: &str) -> Self {
        let sums = ScenarioReport {
            name: name.to_owned(),
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
            sums,
            caught: 0,
            recovery_ns: Vec::new(),
            epoch_ns: BTreeMap::new(),
            unmeasured: None,
            cpu: Duration::ZERO,
            wall: Duration::ZERO,
        }
    }

    /// The scenario's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.sums.name
    }

    /// The seeds so far.
    #[must_use]
    pub fn seeds(&self) -> u64 {
        self.sums.seeds
    }

    /// Those that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.sums.failed
    }

    /// The first run that showed nothing, and why.
    #[must_use]
    pub fn unmeasured(&self) -> Option<&(u64, String)> {
        self.unmeasured.as_ref()
    }

    /// So much time by the clock on the wall went into it.
    pub fn spend(&mut self, wall: Duration) {
        self.wall += wall;
    }

    /// Adds the runs of the same scenario with other seeds.
    pub fn join(&mut self, other: Self) {
        let (sums, more) = (&mut self.sums, other.sums);
        sums.seeds += more.seeds;
        sums.passed += more.passed;
        sums.failed += more.failed;
        sums.not_measured += more.not_measured;
        sums.tuples += more.tuples;
        sums.crashes += more.crashes;
        sums.power_cuts += more.power_cuts;
        sums.power_cuts_unsynced += more.power_cuts_unsynced;
        sums.virtual_ns += more.virtual_ns;
        sums.events += more.events;
        reach::add(&mut sums.faults, &more.faults);
        reach::add(&mut sums.steps_interrupted, &more.steps_interrupted);
        reach::add(&mut sums.marks, &more.marks);
        sums.digest = sums.digest.and(more.digest);
        for (class, times) in other.epoch_ns {
            self.epoch_ns.entry(class).or_default().extend(times);
        }
        self.recovery_ns.extend(other.recovery_ns);
        self.caught += other.caught;
        self.cpu += other.cpu;
        self.wall += other.wall;
        let first = self.unmeasured.take().into_iter().chain(other.unmeasured);
        self.unmeasured = first.min_by_key(|(seed, _)| *seed);
    }

    /// Adds a run, and says how it went.
    pub fn add(&mut self, ran: &Ran, expect: &Expect) -> Judgement {
        let outcome = ran.outcome.clone();
        let judgement = outcome.judge(expect);
        let mut one = Self::empty(&self.sums.name);
        let sums = &mut one.sums;
        sums.seeds = 1;
        match judgement {
            Judgement::Exact => sums.passed = 1,
            Judgement::Caught => (sums.passed, one.caught) = (1, 1),
            Judgement::Failed => sums.failed = 1,
            Judgement::NotMeasured => {
                sums.not_measured = 1;
                let why = outcome.verdicts.first().map(|verdict| verdict.message.clone());
                one.unmeasured = Some((outcome.seed, why.unwrap_or_default()));
            }
        }
        sums.tuples = outcome.tuples;
        sums.crashes = outcome.crashes;
        sums.faults = outcome.faults;
        sums.power_cuts = outcome.power_cuts;
        sums.power_cuts_unsynced = outcome.power_cuts_unsynced;
        sums.steps_interrupted = outcome.steps_interrupted;
        sums.marks = outcome.marks;
        sums.digest = digest_of_run(outcome.seed, outcome.digest);
        sums.virtual_ns = outcome.virtual_ns;
        sums.events = outcome.events;
        (one.recovery_ns, one.epoch_ns) = (outcome.recovery_ns, outcome.epoch_ns);
        one.cpu = ran.cpu;
        self.join(one);
        judgement
    }

    /// The sums. Of all runs of a campaign, it is known whether any was caught.
    #[must_use]
    pub fn finish(mut self, expect: &Expect, all: Runs) -> ScenarioReport {
        let mut sums = self.sums;
        if matches!(expect, Expect::Caught { .. }) {
            sums.caught = Some(self.caught);
            if self.caught == 0 && all == Runs::All {
                sums.failed += std::mem::take(&mut sums.passed);
            }
        }
        sums.recovery_ns = Percentiles::of(&mut self.recovery_ns);
        for (class, mut times) in self.epoch_ns {
            let count = times.len() as u64;
            let percentiles = Percentiles::of(&mut times);
            sums.epoch_ns.insert(class, Epochs { count, percentiles });
        }
        sums.seeds_per_s = rate(sums.seeds as f64, self.wall).unwrap_or_default();
        sums.virtual_s_per_cpu_s = rate(sums.virtual_ns as f64 / 1e9, self.cpu);
        sums
    }
}

/// Whether there are more runs elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// These are all.
    All,
    /// Other shards have more.
    Some,
}

/// What a run adds to the digest of its campaign. Sums of these can be joined in any order.
fn digest_of_run(seed: u64, digest: Digest) -> Digest {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..].copy_from_slice(&digest.0.to_le_bytes());
    Digest(xxh3_128(&bytes))
}

impl FailureReport {
    /// The failure of a run, kept in a file.
    #[must_use]
    pub fn new(
        (scenario, seed): (&Scenario, u64),
        verdicts: &[Verdict],
        (file, replay): (String, String),
    ) -> Self {
        let messages = verdicts.iter().take(MESSAGES_MAX);
        Self {
            scenario: scenario.name.clone(),
            seed,
            verdicts: kinds(verdicts),
            messages: messages.map(|one| format!("{}: {}", one.kind, one.message)).collect(),
            file,
            replay,
        }
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
            digests: Vec::new(),
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

    fn tally(scenario: &Scenario, runs: &[&[VerdictKind]]) -> Tally {
        let mut tally = Tally::new(scenario);
        for (seed, kinds) in (0..).zip(runs) {
            tally.add(&ran(seed, kinds), &scenario.expect);
        }
        tally.spend(Duration::from_secs(2));
        tally
    }

    fn report(scenario: &str, runs: &[&[VerdictKind]]) -> ScenarioReport {
        let scenario = suite::scenario(scenario).expect("there");
        tally(&scenario, runs).finish(&scenario.expect, Runs::All)
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
    fn tallies_of_other_seeds_are_joined_in_any_order() {
        let scenario = suite::scenario("append-negative").expect("there");
        let of = |seeds: &[u64]| {
            let mut tally = Tally::new(&scenario);
            for &seed in seeds {
                let kind =
                    if seed < 3 { VerdictKind::NotMeasured } else { VerdictKind::Duplicated };
                tally.add(&ran(seed, &[kind]), &scenario.expect);
            }
            tally
        };
        let finish = |tally: Tally| tally.finish(&scenario.expect, Runs::All);
        let whole = of(&[1, 2, 3, 4, 5]);
        for [first, second] in [[&[1, 2][..], &[3, 4, 5]], [&[3, 4, 5], &[1, 2]]] {
            let mut joined = of(first);
            joined.join(of(second));
            assert_eq!(joined.unmeasured(), whole.unmeasured());
            assert_eq!(finish(joined), finish(whole.clone()));
        }
        assert_ne!(finish(of(&[1, 2])).digest, finish(of(&[1, 3])).digest);
        let swapped = [ran(1, &[]), ran(2, &[])].map(|ran| ran.outcome.digest);
        let [one, two] = swapped;
        assert_ne!(
            digest_of_run(1, one).and(digest_of_run(2, two)),
            digest_of_run(1, two).and(digest_of_run(2, one))
        );
    }

    #[test]
    fn of_a_shard_it_is_not_asked_whether_any_run_was_caught() {
        let scenario = suite::scenario("append-negative").expect("there");
        let finish = |all| tally(&scenario, &[&[], &[]]).finish(&scenario.expect, all);
        assert_eq!((finish(Runs::All).failed, finish(Runs::Some).failed), (2, 0));
    }
}

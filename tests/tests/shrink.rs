//! A failure shrinks to a run that a person can read, that replays, and that becomes a test.

use std::{ops::RangeInclusive, panic};

use unplug::{
    campaign,
    failure::Failure,
    outcome::VerdictKind,
    scenario::Scenario,
    shrink::{self, Sample, Search},
    suite,
};
use unplug_sim::fault::Plan;
use unplug_tests::exactness::{small_scenario, workload};

/// How many tuples may be left.
const TUPLES_MAX: u32 = 20;
const RUNS_MAX: u64 = 10_000;
/// Within so many seeds a planted bug must cause a failure.
const SEEDS: u64 = 100;

/// The first failure that a planted bug causes in a scenario of the suite.
fn failure(scenario: &str, defect: &str) -> Failure {
    let mut scenario = suite::scenario(scenario).expect("in the suite");
    scenario.defects.push(defect.to_owned());
    let workload = workload();
    let fails = |seed| {
        let plan = unplug::generate::plan(&scenario, seed);
        let sample = Sample { scenario: scenario.clone(), seed, plan };
        let outcome = shrink::outcome(&sample, &workload).expect("it can be run");
        (!outcome.holds()).then(|| Failure::new(&scenario, &outcome))
    };
    let found = (0..SEEDS).find_map(fails);
    found.unwrap_or_else(|| panic!("{defect}: none of {SEEDS} seeds fails"))
}

/// Shrinks it on so many threads: what comes of it, and in how many runs.
fn shrunk(failure: &Failure, jobs: usize, runs_max: u64) -> (Failure, VerdictKind, u64) {
    let (workload, pool) = (workload(), campaign::pool(jobs).expect("starts"));
    let kind = shrink::telling(failure).expect("a failure");
    let sample = Sample::of(failure);
    let mut search = Search::new(&sample, kind, (&workload, &pool), runs_max);
    let smallest = shrink::smallest(&mut search, sample, &workload, &mut |_, _| Ok(()));
    let smallest = smallest.expect("nobody objects");
    assert!(search.by_defects(), "without the defect it must hold");
    (shrink::record(failure, &smallest, &workload).expect("sound"), kind, search.runs())
}

/// Whether a test of this scenario passes.
fn passes(scenario: &str, seed: u64, plan: &str) -> bool {
    panic::catch_unwind(|| unplug::testing::exactly_once(scenario, seed, plan)).is_ok()
}

/// The arguments of the one call in a generated test.
fn arguments(text: &str) -> (String, u64, String) {
    let call = text.split_once("unplug::testing::exactly_once(").expect("a call").1;
    let parts: Vec<_> = call.split("r#\"").flat_map(|part| part.split("\"#,")).collect();
    let [_, scenario, seed, plan, _] = &parts[..] else { panic!("three arguments: {parts:?}") };
    let seed = seed.trim().trim_end_matches(',').parse().expect("a number");
    ((*scenario).to_owned(), seed, (*plan).to_owned())
}

/// Shrinks a planted bug's failure, and proves that what is left is small, fails in the same way
/// because of the bug, replays, and is a test that fails with the bug and passes without.
fn shrinks(scenario: &str, defect: &str, faults: RangeInclusive<usize>) {
    let failure = failure(scenario, defect);
    let (small, kind, runs) = shrunk(&failure, 2, RUNS_MAX);
    let place = format!("{defect}: {runs} runs: {}", serde_json::to_string(&small).expect("data"));
    let (before, after) = (Sample::of(&failure).size(), Sample::of(&small).size());
    assert!(faults.contains(&after.faults) && after.tuples <= TUPLES_MAX, "{place}");
    assert!(after.faults < before.faults && after.nodes < before.nodes, "{place}");
    assert!(small.verdicts.iter().any(|verdict| verdict.kind == kind), "{place}");
    let from = small.shrunk_from.as_ref().expect("what it was");
    assert_eq!((&from.plan, from.tuples, from.nodes), (&failure.plan, before.tuples, before.nodes));

    let text = serde_json::to_string_pretty(&small).expect("data");
    let read = Failure::parse("small.json", &text).expect("sound");
    let again = shrink::outcome(&Sample::of(&read), &workload()).expect("it can be run");
    assert_eq!(again.digest, small.digest, "{place}");

    let (scenario, seed, plan) = arguments(&shrink::test(&small, kind));
    let mended = scenario.replace(&format!("\"defects\": [\"{defect}\"]"), "\"defects\": []");
    assert_ne!(mended, scenario, "the defect is in it: {place}");
    assert!(!passes(&scenario, seed, &plan), "{place}");
    assert!(passes(&mended, seed, &plan), "{place}");
}

#[test]
fn a_name_that_was_not_synced_takes_one_power_loss() {
    shrinks("power-loss", "skip-dir-sync", 1..=1);
}

#[test]
fn a_sync_that_is_tried_again_takes_its_failure_and_a_crash() {
    shrinks("disks", "sync-retried", 2..=2);
}

#[test]
fn a_store_that_forgot_its_votes_takes_the_loss_of_its_disk_and_another_fault() {
    shrinks("store-lost", "rebuilt-votes-at-once", 2..=3);
}

/// A run that fails on a small cluster under a fault that causes it and one that does not.
fn small_failure() -> Failure {
    let scenario = small_scenario(&["sink-not-idempotent"]);
    let plan = r#"{"faults": [
        {"when": {"from_ns": 400000000},
         "what": {"kill": {"target": {"node": "executor-1"}, "down_ns": 30000000}}},
        {"when": {"from_ns": 0,
                  "on": {"node": "sink-0", "effect": {"mark": "apply.end"}, "nth": 2, "edge": "before"}},
         "what": {"kill": {"target": {"node": "sink-0"}, "down_ns": 1500000}}}]}"#;
    let plan: Plan = serde_json::from_str(plan).expect("a plan");
    let sample = Sample { scenario, seed: 5, plan };
    let outcome = shrink::outcome(&sample, &workload()).expect("it can be run");
    assert!(!outcome.holds(), "the planted bug");
    Failure::new(&sample.scenario, &outcome)
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let failure = small_failure();
    let one = shrunk(&failure, 1, 60);
    assert_eq!(one.2, 60, "stopped where it was told to");
    assert_eq!(shrunk(&failure, 3, 60), one);
}

#[test]
fn a_file_written_before_there_was_shrinking_is_read() {
    let mut json = serde_json::to_value(small_failure()).expect("data");
    json.as_object_mut().expect("fields").remove("shrunk_from");
    let read = Failure::parse("old.json", &json.to_string()).expect("sound");
    assert_eq!(read, small_failure());
}

/// A generated test, really compiled: within this module, what it calls asks for it to fail as it
/// is, and to pass without the planted bug.
mod generated {
    mod unplug {
        pub(super) mod testing {
            pub(in super::super) fn exactly_once(scenario: &str, seed: u64, plan: &str) {
                let mended =
                    scenario.replace("\"defects\": [\"sink-not-idempotent\"]", "\"defects\": []");
                assert_ne!(mended, scenario);
                assert!(!super::super::super::passes(scenario, seed, plan));
                assert!(super::super::super::passes(&mended, seed, plan));
            }
        }
    }
    include!("generated/small.rs");
}

#[test]
fn the_test_that_is_compiled_here_is_as_it_is_generated() {
    let failure = small_failure();
    let kind = shrink::telling(&failure).expect("a failure");
    assert_eq!(shrink::test(&failure, kind), include_str!("generated/small.rs"));
    let (scenario, seed, plan) = arguments(include_str!("generated/small.rs"));
    let scenario = Scenario::parse("generated", &scenario).expect("a scenario");
    let plan: Plan = serde_json::from_str(&plan).expect("a plan");
    let without = Scenario { about: String::new(), ..failure.scenario };
    assert_eq!((scenario, seed, plan), (without, failure.seed, failure.plan));
}

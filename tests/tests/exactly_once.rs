//! The first property: whatever the plan of faults, each tuple that was acknowledged is at the
//! sink once. And the proof that it bites: with a bug planted, the same strategy finds a plan that
//! shows it, and shrinks it to a plan that a person can read.
//!
//! All draws come from fixed seeds, so these tests give the same result every time.

use std::{cell::RefCell, collections::BTreeMap, fs, path::Path};

use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};
use unplug::{failure::Failure, outcome::VerdictKind, run, scenario::Scenario, workload::Workload};
use unplug_sim::{NetworkConfig, fault::Plan};
use unplug_tests::{
    exactness::{exact, objections, report, small_scenario, workload},
    plans,
};

/// How many plans are tried where there is no bug.
const CASES: u32 = 4_000;
/// How many of those are looked at for what they reach.
const CASES_LOOKED_AT: u32 = 800;
/// Within how many plans a planted bug must be found.
const CASES_WITH_A_DEFECT: u32 = 400;
/// The seeds of the draws.
const RNG: u8 = 1;
const RNG_WITH_A_DEFECT: u8 = 2;
/// How many runs shrinking may take.
const SHRINK_RUNS_MAX: u32 = 600;
/// No fault begins to wait later; the input is all sent by then, if nothing broke.
const UNTIL_NS: u64 = 2_000_000_000;

/// A network without losses, doubles and stragglers, so that it takes a fault to have something
/// sent again.
fn no_loss(scenario: Scenario) -> Scenario {
    let network =
        NetworkConfig { loss: (0, 1), duplication: (0, 1), tail: (0, 1), ..scenario.network };
    Scenario { network, ..scenario }
}

/// Plans of all kinds of faults.
fn seeds_and_plans(scenario: &Scenario) -> impl Strategy<Value = (u64, Plan)> + use<> {
    (plans::seed(), plans::any_plan(&scenario.cluster, 0..=6, UNTIL_NS))
}

/// Plans of crashes, which is what the planted bugs need.
fn seeds_and_crashes(scenario: &Scenario) -> impl Strategy<Value = (u64, Plan)> + use<> {
    (plans::seed(), plans::plan(&plans::nodes(&scenario.cluster), 0..=6, UNTIL_NS))
}

type Found = Result<(), TestError<(u64, Plan)>>;

/// Tries plans until one breaks the promise, and shrinks that.
fn search(
    scenario: &Scenario,
    workload: &Workload,
    plans: impl Strategy<Value = (u64, Plan)>,
    (cases, rng): (u32, u8),
) -> Found {
    let config = Config {
        cases,
        max_shrink_iters: SHRINK_RUNS_MAX,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[rng; 32]);
    TestRunner::new_with_rng(config, rng).run(&plans, |(seed, plan)| {
        exact(scenario, seed, &plan, workload)
            .map_err(|outcome| TestCaseError::fail(format!("{:?}", outcome.kinds())))
    })
}

#[test]
fn every_acknowledged_tuple_is_at_the_sink_once_under_any_plan() {
    let (scenario, workload) = (small_scenario(&[]), workload());
    match search(&scenario, &workload, seeds_and_plans(&scenario), (CASES, RNG)) {
        Ok(()) => {}
        Err(TestError::Abort(reason)) => panic!("the search was given up: {reason}"),
        Err(TestError::Fail(_, (seed, plan))) => {
            let outcome = run::run(&scenario, seed, Some(&plan), &workload);
            panic!("{}", report(&scenario, &outcome, Path::new(env!("CARGO_TARGET_TMPDIR"))));
        }
    }
}

/// What the plans of the first property came to, all runs together.
#[derive(Debug, Default)]
struct Reached {
    faults: BTreeMap<String, u64>,
    power_cuts_unsynced: u64,
    steps_interrupted: BTreeMap<String, u64>,
}

#[test]
fn the_plans_tried_reach_every_step_and_unsynced_data() {
    let (scenario, workload) = (small_scenario(&[]), workload());
    let reached = RefCell::new(Reached::default());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[RNG; 32]);
    let config = Config { cases: CASES_LOOKED_AT, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, rng)
        .run(&seeds_and_plans(&scenario), |(seed, plan)| {
            let outcome = run::run(&scenario, seed, Some(&plan), &workload);
            let mut reached = reached.borrow_mut();
            for (kind, count) in outcome.faults {
                *reached.faults.entry(kind).or_default() += count;
            }
            for (step, count) in outcome.steps_interrupted {
                *reached.steps_interrupted.entry(step).or_default() += count;
            }
            reached.power_cuts_unsynced += outcome.power_cuts_unsynced;
            Ok(())
        })
        .expect("no case fails");
    let Reached { faults, power_cuts_unsynced, steps_interrupted } = reached.into_inner();
    let often = u64::from(CASES_LOOKED_AT) / 160;
    assert_eq!(faults.len(), 9, "{faults:?}");
    assert!(faults.values().all(|&count| count > often), "{faults:?}");
    assert!(power_cuts_unsynced > often, "{power_cuts_unsynced} of {faults:?}");
    assert_eq!(steps_interrupted.len(), plans::STEPS.len());
    assert!(steps_interrupted.values().all(|&count| count > often), "{steps_interrupted:?}");
}

/// A planted bug is found, as one of the verdicts `signs` and none but `signs` and `followers`, by
/// a plan that shrinks to at most two faults and that does no harm without the bug.
fn caught(defect: &str, signs: &[VerdictKind], followers: &[VerdictKind]) {
    let workload = workload();
    let sound = no_loss(small_scenario(&[]));
    let scenario = no_loss(small_scenario(&[defect]));
    let crashes = seeds_and_crashes(&scenario);
    let Err(TestError::Fail(_, (seed, plan))) =
        search(&scenario, &workload, crashes, (CASES_WITH_A_DEFECT, RNG_WITH_A_DEFECT))
    else {
        panic!("{defect}: not found by {CASES_WITH_A_DEFECT} plans");
    };
    let json = serde_json::to_string(&plan).expect("plain data becomes JSON");
    let kinds = objections(&run::run(&scenario, seed, Some(&plan), &workload));
    let place = format!("{defect}, seed {seed}: {kinds:?} by {json}");
    assert!((1..=2).contains(&plan.faults.len()), "not small: {place}");
    assert!(kinds.iter().any(|kind| signs.contains(kind)), "none of {signs:?}: {place}");
    let known = |kind: &VerdictKind| signs.contains(kind) || followers.contains(kind);
    assert!(kinds.iter().all(known), "other than {signs:?} and {followers:?}: {place}");
    let without = exact(&sound, seed, &plan, &workload);
    assert_eq!(without.map_err(|outcome| outcome.verdicts), Ok(()), "without the defect: {place}");
}

#[test]
fn an_acknowledgement_before_the_sync_is_found() {
    // Lost where another tuple took its place; where none did, the epoch that is to read it cannot.
    use VerdictKind::{Lost, RefusedWrongly, Stuck};
    caught("ack-before-sync", &[Lost, RefusedWrongly], &[Stuck]);
}

#[test]
fn a_put_without_its_directory_sync_is_found() {
    use VerdictKind::{Lost, RefusedWrongly, RolledBack, Stuck};
    caught("skip-dir-sync", &[RefusedWrongly, RolledBack, Lost, Stuck], &[]);
}

#[test]
fn a_sink_that_applies_an_epoch_again_is_found_as_duplicated() {
    caught("sink-not-idempotent", &[VerdictKind::Duplicated], &[]);
}

#[test]
fn a_broken_promise_is_told_with_its_plan_and_a_file_that_replays_it() {
    let (scenario, workload) = (small_scenario(&["sink-not-idempotent"]), workload());
    let plan = r#"{"faults": [{
        "when": {"from_ns": 0,
                 "on": {"node": "sink-0", "effect": {"mark": "apply.end"}, "nth": 1, "edge": "before"}},
        "what": {"kill": {"target": {"node": "sink-0"}, "down_ns": 1000000}}}]}"#;
    let plan: Plan = serde_json::from_str(plan).expect("a plan");
    let outcome = exact(&scenario, 0, &plan, &workload).expect_err("the planted bug");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let told = report(&scenario, &outcome, folder.path());
    let file = folder.path().join("small-0-sink-not-idempotent.json");
    let json = serde_json::to_string_pretty(&plan).expect("plain data becomes JSON");
    assert!(told.contains("duplicated: ") && told.contains(&json), "{told}");
    assert!(told.contains(&format!("replay {}", file.display())), "{told}");
    let text = fs::read_to_string(&file).expect("the file that was told of");
    let failure = Failure::parse("the failure", &text).expect("a sound failure file");
    assert_eq!((failure.plan, failure.digest), (plan, outcome.digest));
}

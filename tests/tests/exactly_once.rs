//! The first property: whatever the plan of faults, each tuple that was acknowledged is at the
//! sink once. And the proof that it bites: with a bug planted, the same strategy finds a plan that
//! shows it, and shrinks it to a plan that a person can read.
//!
//! All draws come from fixed seeds, so these tests give the same result every time.

use std::{cell::RefCell, collections::BTreeMap, path::Path};

use proptest::{
    strategy::Just,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use unplug::{
    failure::Failure,
    files,
    outcome::VerdictKind,
    property::{Property, exactly_once, exactly_once_in, plans, settings},
    run,
    scenario::Scenario,
};
use unplug_sim::{NetworkConfig, fault::Plan};
use unplug_tests::exactness::{small_scenario, workload};

/// How many plans are tried where there is no bug.
const CASES: u32 = 4_000;
/// How many scenarios, each with a plan.
const CASES_OF_SCENARIOS: u32 = 600;
/// How many of the plans are looked at for what they reach.
const CASES_LOOKED_AT: u32 = 800;
/// Within how many plans a planted bug must be found.
const CASES_WITH_A_DEFECT: u32 = 400;
/// The draws.
const DRAWS: u8 = 1;
const DRAWS_WITH_A_DEFECT: u8 = 2;
/// No fault begins to wait later; the input is all sent by then, if nothing broke.
const UNTIL_NS: u64 = 2_000_000_000;

/// A network without losses, doubles and stragglers, so that it takes a fault to have something
/// sent again.
fn no_loss(scenario: Scenario) -> Scenario {
    let network =
        NetworkConfig { loss: (0, 1), duplication: (0, 1), tail: (0, 1), ..scenario.network };
    Scenario { network, ..scenario }
}

/// Keeps what breaks the promise with what the build leaves.
fn kept(property: Property) -> Property {
    property.regressions(Path::new(env!("CARGO_TARGET_TMPDIR")).join("regressions"))
}

#[test]
fn every_acknowledged_tuple_is_at_the_sink_once_under_any_plan() {
    kept(exactly_once(&small_scenario(&[])).cases(CASES).draws(DRAWS)).run();
}

#[test]
fn so_it_is_with_any_cluster_workload_and_pipeline() {
    let scenarios = settings::scenario(&small_scenario(&[]), 20..=200);
    kept(exactly_once_in(scenarios).cases(CASES_OF_SCENARIOS).draws(DRAWS)).run();
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
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[DRAWS; 32]);
    let drawn = (plans::seed(), plans::any_plan(&scenario.cluster, 0..=6, UNTIL_NS));
    let config = Config { cases: CASES_LOOKED_AT, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, rng)
        .run(&drawn, |(seed, plan)| {
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
    let scenario = no_loss(small_scenario(&[defect]));
    let crashes = plans::plan(&plans::nodes(&scenario.cluster), 0..=6, UNTIL_NS);
    let property = exactly_once(&scenario).plans(crashes);
    let property = property.cases(CASES_WITH_A_DEFECT).draws(DRAWS_WITH_A_DEFECT);
    let found = property.search(&workload).expect("plans that make sense");
    let found =
        found.unwrap_or_else(|| panic!("{defect}: not found in {CASES_WITH_A_DEFECT} plans"));
    let (seed, plan, kinds) = (found.outcome.seed, &found.outcome.plan, found.outcome.kinds());
    let json = serde_json::to_string(plan).expect("plain data becomes JSON");
    let place = format!("{defect}, seed {seed}: {kinds:?} by {json}");
    assert!((1..=2).contains(&plan.faults.len()), "not small: {place}");
    assert!(kinds.iter().any(|kind| signs.contains(kind)), "none of {signs:?}: {place}");
    let known = |kind: &VerdictKind| signs.contains(kind) || followers.contains(kind);
    assert!(kinds.iter().all(known), "other than {signs:?} and {followers:?}: {place}");
    let without = run::run(&no_loss(small_scenario(&[])), seed, Some(plan), &workload);
    assert_eq!(without.objections(), [] as [&_; 0], "without the defect: {place}");
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
fn a_broken_promise_is_told_with_its_plan_kept_and_tried_first_from_then_on() {
    let scenario = small_scenario(&["sink-not-idempotent"]);
    let plan = r#"{"faults": [{
        "when": {"from_ns": 0,
                 "on": {"node": "sink-0", "effect": {"mark": "apply.end"}, "nth": 1, "edge": "before"}},
        "what": {"kill": {"target": {"node": "sink-0"}, "down_ns": 1000000}}}]}"#;
    let plan: Plan = serde_json::from_str(plan).expect("a plan");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let property = exactly_once(&scenario).cases(3).regressions(folder.path());
    let told = property.clone().plans(Just(plan.clone())).told().expect("it makes sense");
    let told = told.expect("the planted bug");
    let kept = files::list(folder.path(), "json").expect("a folder");
    let [file] = &kept[..] else { panic!("one file: {kept:?}") };
    let json = serde_json::to_string_pretty(&plan).expect("plain data becomes JSON");
    assert!(told.contains("duplicated: ") && told.contains(&json), "{told}");
    assert!(told.contains(&format!("replay {}", file.display())), "{told}");
    let text = files::read(file).expect("the file that was told of");
    let failure = Failure::parse("the failure", &text).expect("a sound failure file");
    assert_eq!((&failure.plan, &failure.scenario), (&plan, &scenario));

    // No case of its own breaks the promise here, and yet it fails.
    let again = property.plans(Just(Plan::default())).told().expect("it makes sense");
    assert_eq!(again, Some(told));
    std::fs::write(file, "{").expect("writable");
    let error = exactly_once(&scenario).regressions(folder.path()).told().expect_err("damaged");
    assert!(error.to_string().contains("ends too early"), "{error}");
}

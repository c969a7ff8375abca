//! The default suite, a few seeds of each scenario, judged as the scenario expects.

use unplug::{
    outcome::{Judgement, VerdictKind},
    run,
    scenario::{Expect, Scenario},
    suite,
};
use unplug_tests::exactness::workload;

const SEEDS: u64 = 6;
/// Within how many seeds a negative control must be caught.
const SEEDS_OF_THE_NEGATIVE: u64 = 20;

/// The scenarios of the suite that must hold, and those that must be caught.
fn scenarios() -> (Vec<Scenario>, Vec<Scenario>) {
    let suite = suite::suite(suite::DEFAULT).expect("the default suite");
    let (negative, positive): (Vec<_>, Vec<_>) = suite.into_iter().partition(Scenario::is_negative);
    assert!(!negative.is_empty() && !positive.is_empty(), "the suite has scenarios of both sorts");
    (positive, negative)
}

#[test]
fn every_scenario_of_the_suite_that_must_hold_holds() {
    let workload = workload();
    for scenario in scenarios().0 {
        for seed in 0..SEEDS {
            let outcome = run::run(&scenario, seed, None, &workload);
            let place = format!("{} seed {seed}: {:?}", scenario.name, outcome.verdicts);
            assert_eq!(outcome.judge(&scenario.expect), Judgement::Exact, "{place}");
        }
    }
}

#[test]
fn each_negative_control_is_caught_as_what_it_is_and_as_nothing_else() {
    let workload = workload();
    for scenario in scenarios().1 {
        let (verdict, beside) = match scenario.name.as_str() {
            "append-negative" => (VerdictKind::Duplicated, vec![VerdictKind::RolledBack]),
            "damaged-copies" => (VerdictKind::RefusedWrongly, Vec::new()),
            name => panic!("{name}: as what?"),
        };
        let expected = Expect::Caught { verdicts: vec![verdict], beside };
        let mut caught = 0;
        for seed in 0..SEEDS_OF_THE_NEGATIVE {
            let outcome = run::run(&scenario, seed, None, &workload);
            match outcome.judge(&expected) {
                Judgement::Caught => caught += 1,
                Judgement::Exact => {}
                Judgement::Failed | Judgement::NotMeasured => {
                    panic!("{} seed {seed}: {:?}", scenario.name, outcome.verdicts)
                }
            }
        }
        assert!(caught > 0, "{}: none of {SEEDS_OF_THE_NEGATIVE} seeds", scenario.name);
    }
}

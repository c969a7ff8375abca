//! The default suite, a few seeds of each scenario, judged as the scenario expects.

use unplug::{
    outcome::{Judgement, VerdictKind},
    run,
    scenario::{Expect, Scenario},
    suite,
};
use unplug_tests::exactness::workload;

const SEEDS: u64 = 6;
/// Within how many seeds the negative control must be caught.
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
fn the_negative_control_is_caught_as_duplicated_and_as_nothing_else() {
    let workload = workload();
    let duplicated = Expect::Caught(vec![VerdictKind::Duplicated]);
    for scenario in scenarios().1 {
        let mut caught = 0;
        for seed in 0..SEEDS_OF_THE_NEGATIVE {
            let outcome = run::run(&scenario, seed, None, &workload);
            match outcome.judge(&duplicated) {
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

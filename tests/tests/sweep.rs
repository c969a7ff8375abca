//! Sweeps of a stream so short that each of its crash points can be tried in a test.

use std::ops::Range;

use unplug::{
    campaign,
    outcome::VerdictKind,
    run::Case,
    scenario::{Scenario, Sink},
    sweep::{Base, Counts, GoOn, Sweep, Violation, images::Tears, nodes},
    workload::Workload,
};
use unplug_tests::exactness::workload;

/// A few tuples, as fast as they come, and as few nodes as there can be. The last epoch, in which windows
/// close, is none behind which something is collected: what a cut left beside it is there to be seen.
fn tiny(defects: &[&str]) -> Scenario {
    let scenario = Scenario::parse(
        "the tiny scenario",
        r#"{
            "name": "tiny",
            "cluster": {"partitions": 1, "stores": 3, "drivers": 1, "sinks": 2, "executors": 1,
                        "producers": 1, "readers": 1},
            "pipeline": "hourly",
            "state_partitions": 1,
            "workload": {"flights": {"tuples": 14, "per_second": 8}},
            "network": {"latency_ns": [200000, 300000], "tail": [0, 1], "loss": [0, 1],
                        "duplication": [0, 1]},
            "disk": {"profile": "strict", "glitches": [0, 1]}
        }"#,
    );
    let mut scenario = scenario.expect("a sound scenario");
    scenario.defects = defects.iter().map(|&name| name.to_owned()).collect();
    scenario
}

/// Every moment of a run.
const ALL: Range<usize> = 0..usize::MAX;

/// What a sweep of the data centre's power cuts in these moments finds, and how much it tried.
fn sweep(
    scenario: &Scenario,
    (tears, depth, jobs): (Tears, usize, usize),
    moments: Range<usize>,
) -> (Vec<Violation>, Vec<Counts>) {
    let workload = workload();
    let case = Case::new(scenario, &workload).expect("sound");
    let pool = campaign::pool(jobs).expect("threads");
    let mut sweep =
        Sweep::new((&case, &workload), 0, (tears, depth), &pool).expect("a sound scenario");
    let Base { mut course, verdicts, epochs } = sweep.base(&workload).expect("it runs");
    assert_eq!(verdicts, []);
    assert!(epochs >= 2, "{epochs}");
    course.moments.truncate(moments.end);
    course.moments.drain(..moments.start);
    // The last one is over when the run is, or it is only there to end the one before.
    course.swept = course.moments.len() - usize::from(moments.end < usize::MAX);
    sweep.data_centre(&course, GoOn::No, &mut |_, _| ()).expect("judged");
    (std::mem::take(&mut sweep.violations), sweep.counts.clone())
}

/// The kinds of what a plain run of a violation's plan shows.
fn replayed(scenario: &Scenario, workload: &Workload, violation: &Violation) -> Vec<VerdictKind> {
    let case = Case::new(scenario, workload).expect("sound");
    case.run(0, Some(&violation.plan)).kinds()
}

#[test]
fn no_power_cut_of_the_data_centre_at_any_point_violates_anything() {
    let scenario = tiny(&[]);
    let (violations, counts) = sweep(&scenario, (Tears::None, 1, 2), ALL);
    assert!(violations.is_empty(), "{violations:?}");
    let [Counts { operations, images, torn, boots, .. }] = counts[..] else { panic!("{counts:?}") };
    assert!(operations > 300, "{operations}");
    assert!(operations / 2 < images && images < 2 * operations, "{images} of {operations}");
    assert_eq!((torn, boots), (0, 2 * images), "each image is booted twice");
    let (_, alone) = sweep(&scenario, (Tears::None, 1, 1), ALL);
    assert_eq!(alone, counts, "the number of jobs changes nothing");
}

#[test]
fn defects_are_found_with_certainty_and_replay() {
    let workload = workload();
    for (defect, kind) in [
        ("skip-dir-sync", VerdictKind::RolledBack),
        ("ack-before-sync", VerdictKind::Lost),
        ("sink-not-idempotent", VerdictKind::Duplicated),
        ("watermark-not-committed", VerdictKind::Corrupt),
    ] {
        let scenario = tiny(&[defect]);
        let (violations, _) = sweep(&scenario, (Tears::None, 1, 2), ALL);
        let [violation] = &violations[..] else { panic!("{defect}: {violations:?}") };
        let kinds: Vec<_> = violation.verdicts.iter().map(|verdict| verdict.kind).collect();
        assert!(kinds.contains(&kind), "{defect}: {violation:?}");
        let again = replayed(&scenario, &workload, violation);
        assert!(again.contains(&kind), "{defect}: {again:?}, {:?}", violation.plan);
        let told = violation.lines.join("\n");
        assert!(
            told.contains("the data centre loses power at ") && told.contains(".rs:"),
            "{told}"
        );
        if defect == "skip-dir-sync" {
            let named = told.contains("rename /registers/") && told.contains("durable.rs:");
            assert!(told.contains("store-0 loses ") && named, "{told}");
        }
    }
}

#[test]
fn a_recovery_may_be_cut_again_at_any_point() {
    let scenario = tiny(&[]);
    // All of them take a release build.
    let (violations, counts) = sweep(&scenario, (Tears::None, 2, 2), 200..220);
    assert!(violations.is_empty(), "{violations:?}");
    let [first, second] = counts[..] else { panic!("{counts:?}") };
    assert!(second.operations > 10 * first.operations, "{second:?}");
    assert!(second.images > first.images, "{second:?}");
    assert_eq!(second.boots, 2 * second.images);
}

#[test]
fn no_power_cut_of_a_single_node_beside_some_of_its_effects_violates_anything() {
    let scenario = tiny(&[]);
    let workload = workload();
    let case = Case::new(&scenario, &workload).expect("sound");
    let pool = campaign::pool(2).expect("threads");
    let sweep = Sweep::new((&case, &workload), 0, (Tears::None, 1), &pool).expect("sound");
    let mut effects = sweep.base(&workload).expect("it runs").course.effects;
    assert!(effects.len() > 400, "{}", effects.len());
    // All of them take a release build.
    let mut number = 0;
    effects.retain(|_| {
        number += 1;
        number % 20 == 0
    });
    let mut runs = 0;
    nodes::run(&case, 0, (&effects, &pool), &mut |ran| {
        runs += 1;
        assert!(!nodes::is_violated(&case, &ran.outcome), "{}: {:?}", ran.crash, ran.outcome);
        std::ops::ControlFlow::Continue(())
    });
    assert_eq!(runs, 2 * effects.len());
}

#[test]
fn no_power_cut_violates_anything_whatever_the_sink_is_and_their_defects_are_found() {
    let workload = workload();
    for (sink, defect) in [
        (Sink::Files, "manifest-ignored-by-reader"),
        (Sink::Transactional, "prepared-twin-committed"),
    ] {
        let scenario = Scenario { sink, ..tiny(&[]) };
        let (violations, counts) = sweep(&scenario, (Tears::None, 1, 2), ALL);
        assert!(violations.is_empty(), "{violations:?}");
        assert!(counts[0].boots > 300, "{counts:?}");
        let scenario = Scenario { sink, ..tiny(&[defect]) };
        let (violations, _) = sweep(&scenario, (Tears::None, 1, 2), ALL);
        let [violation] = &violations[..] else { panic!("{defect}: {violations:?}") };
        let kinds: Vec<_> = violation.verdicts.iter().map(|verdict| verdict.kind).collect();
        assert!(kinds.contains(&VerdictKind::Duplicated), "{defect}: {violation:?}");
        let again = replayed(&scenario, &workload, violation);
        assert!(again.contains(&VerdictKind::Duplicated), "{defect}: {again:?}");
    }
}

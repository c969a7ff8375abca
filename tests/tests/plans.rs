//! What the strategies draw is within the promise, reaches every kind of fault, and shrinks.

use std::{cell::RefCell, collections::BTreeSet};

use proptest::{
    prelude::Strategy,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};
use unplug::{generate::atlas, property::plans, topology::Cluster};
use unplug_sim::fault::{Action, Fault, Plan};

const CASES: u32 = 2_000;
const UNTIL_NS: u64 = 2_000_000_000;

fn cluster(stores: u32) -> Cluster {
    Cluster { stores, drivers: 2, ..Cluster::default() }
}

fn runner() -> TestRunner {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[3; 32]))
}

fn any_plan(cluster: &Cluster) -> impl Strategy<Value = Plan> + use<> {
    plans::any_plan(cluster, 0..=6, UNTIL_NS)
}

#[test]
fn plans_of_every_kind_are_within_the_promise() {
    for (stores, kinds) in [(1, 7), (3, 9), (5, 9)] {
        let cluster = cluster(stores);
        let known: BTreeSet<_> = cluster.nodes().into_iter().collect();
        let (seen, forms) = (RefCell::new(BTreeSet::new()), RefCell::new(BTreeSet::new()));
        runner()
            .run(&any_plan(&cluster), |plan| {
                atlas::within_promise(&plan, &cluster)
                    .map_err(|error| TestCaseError::fail(error.to_string()))?;
                for fault in &plan.faults {
                    seen.borrow_mut().insert(fault.what.kind());
                    forms.borrow_mut().extend(self::forms(fault));
                    let nodes = fault.what.nodes();
                    let apart: BTreeSet<_> = nodes.iter().copied().collect();
                    assert_eq!(apart.len(), nodes.len(), "sides overlap: {fault:?}");
                    assert!(apart.into_iter().all(|node| known.contains(node)), "{fault:?}");
                    if let Action::Partition { from, to, .. } = &fault.what {
                        assert!(!from.is_empty() && !to.is_empty(), "{fault:?}");
                    }
                }
                Ok(())
            })
            .expect("no case fails");
        assert_eq!(seen.borrow().len(), kinds, "{stores} stores: {seen:?}");
        assert_eq!(forms.borrow().len(), 3, "{forms:?}");
    }
}

/// What of a fault is more than an effect to strike at and a time to last.
fn forms(fault: &Fault) -> Vec<&'static str> {
    let on = fault.when.on.as_ref();
    [
        ("inside", on.is_some_and(|point| point.inside.is_some())),
        ("befalls", on.is_some_and(|point| point.effect.befalls())),
        ("until", fault.until.is_some()),
    ]
    .into_iter()
    .filter_map(|(form, has)| has.then_some(form))
    .collect()
}

/// The smallest plan that has such a fault.
fn smallest(of: impl Fn(&Action) -> bool) -> Plan {
    let found = runner().run(&any_plan(&cluster(3)), |plan| {
        if plan.faults.iter().any(|fault| of(&fault.what)) {
            return Err(TestCaseError::fail("found"));
        }
        Ok(())
    });
    let Err(TestError::Fail(_, plan)) = found else { panic!("found by so many cases") };
    plan
}

#[test]
fn plans_shrink_to_one_fault_of_the_simplest_kind_that_will_do() {
    let any = smallest(|_| true);
    let [fault] = &any.faults[..] else { panic!("one fault: {any:?}") };
    assert_eq!((fault.what.kind(), fault.when.from_ns), ("kill", 0), "{any:?}");
    assert_eq!((&fault.when.on, &fault.until), (&None, &None));
    let cut = smallest(|what| matches!(what, Action::Partition { .. }));
    let [fault] = &cut.faults[..] else { panic!("one fault: {cut:?}") };
    assert_eq!((fault.what.nodes().len(), fault.what.kind()), (2, "partition"), "{cut:?}");
    let step = smallest(|what| matches!(what, Action::ClockStep { by_ns, .. } if *by_ns < -5));
    let [fault] = &step.faults[..] else { panic!("one fault: {step:?}") };
    assert!(matches!(fault.what, Action::ClockStep { by_ns: -6, .. }), "{step:?}");
}

//! Growth curves: what a run, its judging and a world cost by their size. Twice as much should cost
//! about twice as much.

use std::rc::Rc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use unplug::{
    clients::Clients,
    cluster,
    run::Case,
    scenario::{Flights, Scenario, Source},
    suite,
    workload::Workload,
};
use unplug_benches::{CpuTime, criterion};

/// How many tuples go through a run.
const TUPLES: [u32; 3] = [1_000, 2_000, 4_000];
/// How many executors, with as many partitions.
const EXECUTORS: [u32; 3] = [4, 16, 64];

/// The same cluster and faults, with so many tuples, at the usual rate.
fn with_tuples(tuples: u32) -> Scenario {
    let mut scenario = suite::scenario("power-loss").expect("embedded");
    scenario.workload = Source::Flights(Flights { tuples, ..Flights::default() });
    scenario
}

/// Elements are tuples.
fn runs(criterion: &mut Criterion<CpuTime>) {
    let workload = Workload::embedded().expect("sound");
    let mut group = criterion.benchmark_group("run by tuples");
    for tuples in TUPLES {
        let scenario = with_tuples(tuples);
        let case = Case::new(&scenario, &workload).expect("sound");
        group.throughput(Throughput::Elements(tuples.into()));
        group.bench_function(tuples.to_string(), |bencher| {
            bencher.iter(|| assert!(case.run(0, None).verdicts.is_empty()));
        });
    }
    group.finish();
}

/// Elements are executors.
fn clusters(criterion: &mut Criterion<CpuTime>) {
    let workload = Workload::embedded().expect("sound");
    let mut group = criterion.benchmark_group("run by executors");
    for executors in EXECUTORS {
        let mut scenario = with_tuples(1_000);
        scenario.cluster.executors = executors;
        scenario.cluster.partitions = executors;
        let case = Case::new(&scenario, &workload).expect("sound");
        group.throughput(Throughput::Elements(executors.into()));
        group.bench_function(executors.to_string(), |bencher| {
            bencher.iter(|| assert!(case.run(0, None).verdicts.is_empty()));
        });
    }
    group.finish();
}

/// Elements are tuples whose history is judged.
fn judging(criterion: &mut Criterion<CpuTime>) {
    let workload = Workload::embedded().expect("sound");
    let mut group = criterion.benchmark_group("oracle by tuples");
    for tuples in TUPLES {
        let scenario = with_tuples(tuples);
        let case = Case::new(&scenario, &workload).expect("sound");
        let clients = recorded(&scenario, &workload);
        group.throughput(Throughput::Elements(tuples.into()));
        group.bench_function(tuples.to_string(), |bencher| {
            bencher.iter(|| assert_eq!(case.judged(&clients).expect("sound"), Vec::new()));
        });
    }
    group.finish();
}

/// What the clients of a run without faults saw.
fn recorded(scenario: &Scenario, workload: &Workload) -> Rc<Clients> {
    let (mut world, clients) = cluster::build(scenario, 0, workload).expect("sound");
    let readers = usize::try_from(scenario.cluster.readers).expect("fits");
    while clients.finished.get() < readers {
        world.run_until(world.now_ns() + 50_000_000);
        assert!(world.now_ns() < scenario.bounds.virtual_ns_max, "stuck");
        clients.ending.set(clients.delivered());
    }
    clients
}

criterion_group! {
    name = growth;
    config = criterion();
    targets = runs, clusters, judging
}
criterion_main!(growth);

//! Whole runs of the default scenarios, and the oracle alone.

use std::{hint::black_box, rc::Rc};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use unplug::{
    clients::Clients,
    cluster, generate,
    history::{Cell, TupleId},
    model::Model,
    oracle::{self, Sent, Setting},
    run::Case,
    scenario::Scenario,
    suite,
    workload::{Input, Workload},
};
use unplug_benches::{CpuTime, criterion};

/// One measurement takes all of them, since seeds differ much in cost.
const SEEDS: u64 = 10;

const LOOK_EVERY_NS: u64 = 50_000_000;

/// Eleven nodes, an epoch a second, ten faults; 2,000 tuples in about 30 virtual seconds.
const ELEVEN_NODES: &str = r#"{"name": "eleven-nodes",
    "cluster": {"drivers": 1, "sinks": 1, "producers": 1, "readers": 1},
    "workload": {"flights": {"tuples": 2000, "per_second": 70}}, "epoch_interval_ns": 1000000000,
    "faults": {"generate": {"count": [10, 10], "classes": {"node_kill": 1, "node_power_loss": 1}}}}"#;

/// Whether an input's row is expected, and which.
type Rows = Vec<Vec<Option<Vec<Cell>>>>;

/// Elements are seeds.
fn runs(criterion: &mut Criterion<CpuTime>) {
    let workload = Workload::embedded().expect("sound");
    let mut group = criterion.benchmark_group("run");
    group.throughput(Throughput::Elements(SEEDS));
    let embedded =
        ["power-loss", "node-crash"].map(|name| suite::scenario(name).expect("embedded"));
    let eleven_nodes = Scenario::parse("eleven-nodes", ELEVEN_NODES).expect("sound");
    for scenario in embedded.into_iter().chain([eleven_nodes]) {
        let case = Case::new(&scenario, &workload).expect("sound");
        group.bench_function(&scenario.name, |bencher| {
            bencher.iter(|| {
                for seed in 0..SEEDS {
                    let outcome = case.run(seed, None);
                    assert!(outcome.verdicts.is_empty(), "seed {seed}: {:?}", outcome.verdicts);
                }
            });
        });
    }
    group.finish();
}

/// Elements are runs judged.
fn judging(criterion: &mut Criterion<CpuTime>) {
    let scenario = suite::scenario("power-loss").expect("embedded");
    let clients = recorded(&scenario);
    let model = cluster::model(&scenario).expect("sound");
    let mut group = criterion.benchmark_group("oracle");
    group.throughput(Throughput::Elements(1));
    group.bench_function("model", |bencher| bencher.iter(|| rows(&model, &clients)));
    let rows = rows(&model, &clients);
    let sent = |id: TupleId| {
        let (producer, seq) = (usize::from(id.producer), usize::try_from(id.seq).ok()?);
        let input = clients.inputs.get(producer)?.get(seq)?;
        let row = rows[producer][seq].as_deref();
        Some(Sent {
            time_ms: input.event_ms,
            key: &input.key,
            row,
            line: &input.value,
            closing: input.closing,
        })
    };
    let setting = Setting {
        sent: &sent,
        inputs: clients.total() as u64,
        partitions: usize::from(clients.partitions_last()),
        partitions_first: usize::from(clients.partitions),
        sinks: model.sinks(),
        window: model.window(),
        graph: model.graph(),
    };
    group.bench_function("judge", |bencher| {
        bencher.iter(|| {
            let verdicts = oracle::judge(black_box(&clients.history.borrow()), &setting);
            assert!(verdicts.is_empty(), "{verdicts:?}");
        });
    });
    group.finish();
}

fn rows(model: &Model, clients: &Clients) -> Rows {
    let of_producer = |inputs: &Vec<Input>| {
        inputs.iter().map(|input| model.row(&input.value).expect("sound")).collect()
    };
    clients.inputs.iter().map(of_producer).collect()
}

/// A run that came to its end, with what its clients saw.
fn recorded(scenario: &Scenario) -> Rc<Clients> {
    let workload = Workload::embedded().expect("sound");
    let seed = 0;
    let (mut world, clients) = cluster::build(scenario, seed, &workload).expect("sound");
    world.load(&generate::plan(scenario, seed)).expect("made for this cluster");
    let readers = usize::try_from(scenario.cluster.readers).expect("fits");
    while clients.finished.get() < readers {
        world.run_until(world.now_ns() + LOOK_EVERY_NS);
        assert!(world.now_ns() < scenario.bounds.virtual_ns_max, "stuck");
        if clients.delivered() {
            clients.ending.set(true);
        }
    }
    clients
}

criterion_group! {
    name = scenario;
    config = criterion();
    targets = runs, judging
}
criterion_main!(scenario);

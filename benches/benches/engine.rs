//! What the engine itself takes of a CPU: tuples through pipelines, the work around an epoch, and an
//! epoch's cost beside the size of the state.
//!
//! The first and the last are the pure parts that executors run: no machine, no network, no disk. The
//! work around an epoch is that of a whole simulated cluster, the simulation included.

use std::{hint::black_box, rc::Rc};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use unplug::{
    cluster,
    scenario::{Generated, Scenario, Source},
    workload::{Input, Workload},
};
use unplug_benches::{CpuTime, criterion};
use unplug_engine::{
    pipeline::{
        Pipeline, Row, Spec, Watermarks,
        builder::{Builder, column, count, sum},
    },
    state::{Addition, State, Stored},
    tuple::{Offset, Partition, Tuple},
};

const PARTITIONS: u16 = 4;
/// Tuples of an epoch.
const TUPLES: u64 = 1_000;
/// Epochs of one measurement.
const EPOCHS: u64 = 10;
const PART_BYTES: usize = 512 * 1024;

/// How many keys the state has…
const KEYS: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// …and of how many each epoch has a tuple.
const CHANGED: u64 = 100;

fn tuples(source: &Source) -> Vec<(Partition, Tuple)> {
    let workload = Workload::embedded().expect("sound");
    let inputs = workload.inputs(0, source, 1, PARTITIONS).remove(0);
    let tuple = |(seq, input): (u64, Input)| {
        let Input { event_ms: time_ms, key, value, .. } = input;
        (Partition::of_key(&key, PARTITIONS), Tuple { producer: 0, seq, time_ms, key, value })
    };
    (0..).zip(inputs).map(tuple).collect()
}

fn generated(sources: u16) -> Source {
    let tuples = u32::try_from(TUPLES * EPOCHS).expect("few");
    Source::Generated(Generated { tuples, sources, per_second: 1_000, ..Generated::default() })
}

/// Ten epochs of a pipeline, one behind the other, in one state partition. What comes out is counted.
fn epochs(pipeline: &Pipeline, tuples: &[(Partition, Tuple)]) -> usize {
    let mut states = vec![State::default(); pipeline.stages()];
    let (mut watermarks, mut rows) = (Watermarks::default(), 0);
    for epoch in tuples.chunks(usize::try_from(TUPLES).expect("few")) {
        let mut gone = pipeline.nowhere();
        for (seq, (partition, tuple)) in (0..).zip(epoch) {
            pipeline.transform((*partition, Offset(seq)), tuple, &mut gone).expect("sound");
        }
        for (stage, state) in (1..).zip(&mut states) {
            let exchanges = std::mem::take(&mut gone.exchanges);
            let reduced = pipeline.reduce(stage, state, exchanges, watermarks).expect("sound");
            state.apply(&reduced.delta);
            rows += reduced.gone.sinks.iter().map(Vec::len).sum::<usize>();
            gone.exchanges = reduced.gone.exchanges;
        }
        rows += gone.sinks.iter().map(Vec::len).sum::<usize>();
        let latest_ms = epoch.iter().map(|(_, tuple)| tuple.time_ms).max().unwrap_or(0);
        let now_ms = latest_ms.saturating_sub(pipeline.delay_ms()).max(watermarks.now_ms);
        watermarks = Watermarks { now_ms, before_ms: watermarks.now_ms, ..watermarks };
    }
    rows
}

/// Elements are tuples.
fn operators(criterion: &mut Criterion<CpuTime>) {
    let flights = unplug::scenario::Flights { tuples: 10_000, weather: false, per_second: 1_000 };
    let flights = Source::Flights(flights);
    let mut group = criterion.benchmark_group("tuples");
    for (what, name, source) in [
        ("map", "flights", flights),
        ("windowed count", "hourly", flights),
        ("join", "paired", generated(2)),
        ("dedup", "distinct", generated(1)),
        ("sessions", "sessions", generated(1)),
    ] {
        let pipeline = Pipeline::new(&Spec::named(name).expect("there")).expect("sound");
        let tuples = tuples(&source);
        group.throughput(Throughput::Elements(tuples.len() as u64));
        group.bench_function(what, |bencher| {
            bencher.iter(|| epochs(&pipeline, black_box(&tuples)));
        });
    }
    group.finish();
}

/// Elements are epochs that read a tuple or two: what is around the work of an epoch, and all of the
/// simulated machine under it.
fn overhead(criterion: &mut Criterion<CpuTime>) {
    const SECONDS: u64 = 20;
    let workload = Workload::embedded().expect("sound");
    let mut group = criterion.benchmark_group("epoch overhead");
    for (what, pipeline, sinks) in [("without state", "flights", 1), ("a window", "keyed", 2)] {
        let text = format!(
            r#"{{"name": "overhead", "pipeline": "{pipeline}", "cluster": {{"sinks": {sinks}}},
                "workload": {{"generated": {{"tuples": 1000, "per_second": 8}}}}}}"#
        );
        let text = match pipeline {
            "flights" => {
                text.replace(r#"{"generated": {"tuples": 1000"#, r#"{"flights": {"tuples": 1000"#)
            }
            _ => text,
        };
        let scenario = Scenario::parse("overhead", &text).expect("sound");
        let build = || cluster::build(&scenario, 0, &workload).expect("sound");
        let (mut world, _) = build();
        world.watch("epoch.published");
        world.run_until(SECONDS * 1_000_000_000);
        let published = world.mark_counts().get("epoch.published").copied().unwrap_or(0);
        assert!(published >= SECONDS, "{published} epochs");
        group.throughput(Throughput::Elements(published));
        group.bench_function(what, |bencher| {
            let run = |(world, clients): &mut (unplug_sim::World, Rc<unplug::clients::Clients>)| {
                world.run_until(SECONDS * 1_000_000_000);
                clients.acknowledged()
            };
            bencher.iter_batched_ref(build, run, BatchSize::PerIteration);
        });
    }
    group.finish();
}

/// A state partition that goes on from epoch to epoch, with what would be stored of it.
struct Going {
    pipeline: Pipeline,
    version: Stored,
    keys: u64,
    next: u64,
    stored_bytes: u64,
}

impl Going {
    fn of(keys: u64) -> Self {
        let builder = Builder::default();
        let columns = [column("key", "text"), column("amount", "int")];
        let parsed = builder.source("events").parse("parsed", columns);
        let aggregates = [count("count"), sum("sum", "amount")];
        let keyed = parsed.key_by("by key", ["key"]);
        keyed.tumbling("totals", 1_000_000_000, 0, aggregates).sink("table");
        let pipeline = Pipeline::new(&builder.spec()).expect("sound");
        let version = Stored::default();
        let mut going = Self { pipeline, version, keys, next: 0, stored_bytes: 0 };
        while going.next < keys {
            going.epoch(keys.min(10_000));
        }
        going
    }

    /// An epoch that has a tuple of each of the next keys.
    fn epoch(&mut self, changed: u64) {
        let rows: Vec<Row> = (0..changed).map(|_| self.row()).collect();
        let state = self.version.state();
        let reduced = self.pipeline.reduce(1, state, vec![rows], Watermarks::default());
        let delta = reduced.expect("sound").delta;
        let parts = match self.version.next(&delta) {
            Addition::Snapshot => self.version.replace(&delta, PART_BYTES),
            Addition::Layer { kept, changes } => {
                let parts = changes.parts(PART_BYTES);
                let bytes = parts.iter().map(|part| part.len() as u64).sum();
                self.version.put_over(kept, changes, bytes);
                parts
            }
        };
        self.stored_bytes += parts.iter().map(|part| part.len() as u64).sum::<u64>();
    }

    fn row(&mut self) -> Row {
        let seq = self.next;
        self.next += 1;
        let value = format!(r#"{{"key": "key {}", "amount": 5}}"#, seq % self.keys);
        let tuple = Tuple { producer: 0, seq, time_ms: 1, key: "".into(), value: value.into() };
        let mut gone = self.pipeline.nowhere();
        self.pipeline.transform((Partition(0), Offset(seq)), &tuple, &mut gone).expect("sound");
        gone.exchanges[0].pop().expect("a row")
    }
}

/// Elements are epochs, each with the tuples of a hundred keys, over ever larger states. Printed is
/// what an epoch stores, too.
fn state_size(criterion: &mut Criterion<CpuTime>) {
    const ROUND: u64 = 2_000;
    let mut group = criterion.benchmark_group("epoch over state");
    for keys in KEYS {
        let mut going = Going::of(keys);
        group.throughput(Throughput::Elements(ROUND));
        let (mut epochs, before) = (0, going.stored_bytes);
        group.bench_function(format!("{keys} keys"), |bencher| {
            bencher.iter(|| {
                (0..ROUND).for_each(|_| going.epoch(CHANGED));
                epochs += ROUND;
            });
        });
        if let Some(bytes) = (going.stored_bytes - before).checked_div(epochs) {
            unplug_benches::say(&format!("{keys} keys: {bytes} bytes stored an epoch\n"));
        }
    }
    group.finish();
}

criterion_group! {
    name = engine;
    config = criterion();
    targets = operators, overhead, state_size
}
criterion_main!(engine);

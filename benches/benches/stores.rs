//! What of the engine costs real time by itself: a state that is written and loaded, by its size,
//! and the decision of a register over three stores.

use std::rc::Rc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use unplug_benches::{CpuTime, criterion, say};
use unplug_engine::{
    Cluster, Config, Role,
    accumulator::Accumulator,
    epoch::register,
    pipeline::{Pipeline, Spec, Value},
    rpc::Rpc,
    state::{Delta, Entry, Gathered, Held, Key, State, View},
    stores::Stores,
    tuple::{Epoch, Generation},
};
use unplug_sim::{
    SimEnv, Site, Stop, World, WorldConfig,
    env::{Env, Exit, NodeId, Refusal},
};

/// The growth of what a state costs: it should follow the number of entries.
const ENTRIES: [u64; 3] = [1_000, 10_000, 100_000];
/// One entry in so many changes in an epoch.
const CHANGED: u64 = 20;
/// As many changes beside a snapshot as the engine keeps.
const DELTAS: u64 = 4;
/// As the engine has it.
const PART_BYTES_MAX: usize = 512 * 1024;

const STORES: [NodeId; 3] = [NodeId(0), NodeId(1), NodeId(2)];
const REGISTERS: u64 = 200;
const HOUR_NS: u64 = 3_600_000_000_000;

/// Elements are entries.
fn states(criterion: &mut Criterion<CpuTime>) {
    for entries in ENTRIES {
        let state = state(entries);
        let parts = state.parts(PART_BYTES_MAX);
        let deltas: Vec<_> =
            (0..DELTAS).map(|turn| change(&state, turn).parts(PART_BYTES_MAX)).collect();
        let bytes: usize = parts.iter().chain(deltas.iter().flatten()).map(Bytes::len).sum();
        let mut group = criterion.benchmark_group(format!("state of {entries} entries"));
        group.throughput(Throughput::Elements(entries));
        group.bench_function("load of a snapshot and 4 changes", |bencher| {
            bencher.iter_with_large_drop(|| load(&parts, &deltas));
        });
        group.bench_function("snapshot", |bencher| {
            bencher.iter_with_large_drop(|| state.parts(PART_BYTES_MAX));
        });
        group.bench_function("change of one entry in 20", |bencher| {
            bencher.iter_batched_ref(
                || state.clone(),
                |state| {
                    let delta = change(state, 0);
                    state.apply(&delta);
                    delta.parts(PART_BYTES_MAX)
                },
                BatchSize::PerIteration,
            );
        });
        group.finish();
        say(&format!("{entries} entries: {} KiB in {} parts\n", bytes / 1024, parts.len()));
    }
}

fn load(parts: &[Bytes], deltas: &[Vec<Bytes>]) -> State {
    let mut state = State::from_parts(parts).expect("sound");
    for delta in deltas {
        state.apply(&Delta::from_parts(delta).expect("sound"));
    }
    state
}

fn entry(number: u64, count: u64) -> (Key, Entry) {
    let key =
        Key { op: 1, group: vec![Value::Text(format!("k{number}").into())], input: 0, at_ms: 7 };
    let accumulators = vec![
        Accumulator::Count(count),
        Accumulator::Sum(Some(i128::from(count) * 42)),
        Accumulator::Fingerprint(u128::from(count) << 100),
    ];
    let held = Held::Gathered(Gathered { accumulators, print: u128::from(number) << 90 });
    (key, Entry { due_ms: 5_000, held })
}

fn state(entries: u64) -> State {
    let mut state = State::default();
    let empty = State::default();
    let mut view = View::new(&empty);
    (0..entries).map(|number| entry(number, 1)).for_each(|(key, entry)| view.put(key, entry));
    state.apply(&view.into_delta());
    state
}

/// What an epoch changes, another part of the entries in each turn.
fn change(state: &State, turn: u64) -> Delta {
    let mut view = View::new(state);
    for number in (0..state.len() as u64 / CHANGED).map(|step| step * CHANGED + turn) {
        let (key, entry) = entry(number, turn + 2);
        view.put(key, entry);
    }
    view.into_delta()
}

/// How a register is decided.
#[derive(Clone, Copy)]
enum Rounds {
    One,
    Two,
}

/// Elements are registers, decided one after another over three stores, boot and all: in two rounds,
/// and in one.
fn registers(criterion: &mut Criterion<CpuTime>) {
    let config = Rc::new(config());
    let mut group = criterion.benchmark_group("register decided");
    group.throughput(Throughput::Elements(REGISTERS));
    for (name, rounds) in [("in two rounds", Rounds::Two), ("in one round", Rounds::One)] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(|| world(&config, rounds), decide, BatchSize::PerIteration);
        });
    }
    group.finish();
    let decided_ns = decide(&mut world(&config, Rounds::Two));
    say(&format!("in two rounds: {} virtual µs each\n", decided_ns / REGISTERS / 1_000));
}

fn config() -> Config {
    let other = NodeId(3);
    let cluster = Cluster {
        broker: other,
        stores: STORES.to_vec(),
        drivers: vec![other],
        executors: vec![other],
        sinks: vec![other],
        partitions: 1,
    };
    Config::new(cluster, Pipeline::new(&Spec::flights()).expect("sound"))
}

/// Three new stores, and a client that has registers decided.
fn world(config: &Rc<Config>, rounds: Rounds) -> World {
    let mut world = World::new(WorldConfig::new(1));
    world.watch("decided");
    for store in STORES {
        let shared = Rc::clone(config);
        let program = move |env| unplug_engine::run(env, Role::Store, Rc::clone(&shared), false);
        let node = world.add_node(&format!("store-{}", store.0), Site::DataCentre, program);
        world.disk(node, |disk| {
            for (path, bytes) in config.format(Role::Store, store.0) {
                let formatted = match path.strip_suffix('/') {
                    Some(directory) => disk.create_dir(directory).map(|()| disk.make_durable()),
                    None => disk.put_durable(&path, &bytes),
                };
                formatted.expect("an empty disk");
            }
        });
        world.start(node);
    }
    let shared = Rc::clone(config);
    let program = move |env| client(env, Rc::clone(&shared), rounds);
    let node = world.add_node("client", Site::Outside, program);
    world.start(node);
    world
}

async fn client(env: SimEnv, config: Rc<Config>, rounds: Rounds) -> Exit {
    let rpc = Rpc::open(&env)?;
    let answers = rpc.clone();
    env.spawn("answers", async move {
        // Only a handler can end it, and nobody asks this node.
        drop(answers.serve(async |(): ()| Ok::<_, Refusal>(())).await);
    });
    let stores = Stores::new(&env, rpc, config);
    for number in 1..=REGISTERS {
        let (name, value) = (register::offsets(Epoch(number)), Bytes::from_static(&[7; 100]));
        let decided = match rounds {
            Rounds::One => stores.decide_first(Generation(1), &name, value).await,
            Rounds::Two => stores.decide(Generation(1), &name, value).await,
        };
        assert!(decided.is_ok(), "nobody else asks");
    }
    env.mark("decided");
    Ok(())
}

/// Runs a world until all registers are decided, and nothing is left to do; gives the virtual time.
fn decide(world: &mut World) -> u64 {
    assert_eq!(world.run_until(HOUR_NS), Stop::Quiet);
    world.mark_hits()[0].at_ns
}

criterion_group! {
    name = stores;
    config = criterion();
    targets = states, registers
}
criterion_main!(stores);

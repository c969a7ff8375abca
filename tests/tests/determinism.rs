//! The same seed gives the same run: within a process, from process to process, in a debug and in
//! a release build, on every platform.

use std::{future::Future, time::Duration};

use unplug::{generate, outcome::Outcome, run, scenario::Scenario, suite};
use unplug_sim::{
    NetworkConfig, SimEnv, Site, Stop, World, WorldConfig,
    env::{Address, Disk, Env, Exit, File, Net, NodeId, OpenMode, Port, Socket},
    fault::{Action, Edge, EffectFilter, Fault, Keep, Plan, Point, Target, Trigger},
};
use unplug_tests::exactness::{small_scenario, workload};

/// The digests of three small programs on the machine alone, with the seed [`PINNED_SEED`]. They
/// hold for every platform and build profile, and change only when the machine does: its draws,
/// its timing, or what it feeds into the digest. After such a change, and only then, renew them
/// from the message of the failed test, and see that
/// `cargo test -p unplug-tests --test determinism` agrees with and without `--release`. Programs
/// of the engine are not pinned: their digests change with every change to it.
const PINNED: [(&str, Program, &str); 3] = [
    ("timers and random numbers", timers, "0dca16d9ab90db6b5414ec7348daf375"),
    ("datagrams with loss and duplication", datagrams, "73397f837887eec192f3628ecb1b5067"),
    ("writes, syncs and a loss of power", disk, "8e43cc1baa79938ae78aceaa8f239f7e"),
];
const PINNED_SEED: u64 = 7;

type Program = fn(seed: u64) -> World;

const SECOND: u64 = 1_000_000_000;
const PORT: Port = Port(1);

fn start<F: Future<Output = Exit> + 'static>(
    world: &mut World,
    name: &str,
    program: impl Fn(SimEnv) -> F + 'static,
) {
    let node = world.add_node(name, Site::DataCentre, program);
    world.start(node);
}

/// Three nodes with tasks that wait at random.
fn timers(seed: u64) -> World {
    let mut world = World::new(WorldConfig::new(seed));
    for name in ["a", "b", "c"] {
        start(&mut world, name, async |env: SimEnv| {
            for _ in 0..5 {
                env.spawn("waiter", {
                    let env = env.clone();
                    async move {
                        for _ in 0..20 {
                            env.sleep(Duration::from_micros(env.random() % 10_000)).await;
                            env.mark("waited");
                            env.busy(Duration::from_micros(env.random() % 100)).await;
                        }
                    }
                });
            }
            Ok(())
        });
    }
    world
}

/// Two nodes that send each other numbers over a bad network, and answer some.
fn datagrams(seed: u64) -> World {
    let network =
        NetworkConfig { loss: (1, 5), duplication: (1, 5), tail: (1, 10), ..Default::default() };
    let mut world = World::new(WorldConfig { network, ..WorldConfig::new(seed) });
    for (name, peer) in [("a", NodeId(1)), ("b", NodeId(0))] {
        start(&mut world, name, move |env| talker(env, peer));
    }
    world
}

async fn talker(env: SimEnv, peer: NodeId) -> Exit {
    let socket = env.net().bind(PORT).expect("a free port");
    let to = Address { node: peer, port: PORT };
    let send = |number: u64| {
        let payload = number.to_be_bytes().to_vec();
        socket.send(to, payload.into()).expect("a small datagram");
    };
    for _ in 0..100 {
        send(env.random());
        env.sleep(Duration::from_micros(env.random() % 2_000)).await;
    }
    loop {
        let received = socket.recv().await;
        assert_eq!(received.from, to);
        if env.random().is_multiple_of(2) {
            send(received.payload.iter().map(|&byte| u64::from(byte)).sum());
        }
    }
}

/// A log and renamed files, half of them synced, with the power lost beside several operations;
/// each boot reads what is left.
fn disk(seed: u64) -> World {
    let mut world = World::new(WorldConfig::new(seed));
    start(&mut world, "writer", writer);
    let cut = |nth, edge| Fault {
        when: Trigger {
            from_ns: 0,
            on: Some(Point {
                node: "writer".to_owned(),
                effect: EffectFilter::Write,
                inside: None,
                nth,
                edge,
            }),
        },
        what: Action::PowerLoss {
            target: Target::DataCentre,
            down_ns: SECOND / 10,
            keep: Keep::Drawn,
        },
        until: None,
    };
    let faults = vec![
        cut(11, Edge::Before),
        cut(30, Edge::After),
        cut(61, Edge::After),
        cut(99, Edge::Before),
    ];
    world.load(&Plan { faults }).expect("a known node");
    world
}

async fn writer(env: SimEnv) -> Exit {
    const SOUND: &str = "a disk without faults";
    let disk = env.disk();
    for name in disk.read_dir("/").await.expect(SOUND) {
        let file = disk.open(&name, OpenMode::Read).await.expect(SOUND);
        let bytes = file.read_at(0, 1 << 20).await.expect(SOUND);
        // The marks tell what was left: their number is part of the digest.
        (0..bytes.iter().map(|&byte| usize::from(byte)).sum::<usize>() % 7)
            .for_each(|_| env.mark("left"));
    }
    let log = disk.open("log", OpenMode::Create).await.expect(SOUND);
    for number in 0..40u64 {
        log.append(vec![b'x'; 700].into()).await.expect(SOUND);
        let name = format!("file-{:x}", env.random());
        let file = disk.open(&name, OpenMode::CreateNew).await.expect(SOUND);
        file.write_at(0, number.to_be_bytes().to_vec().into()).await.expect(SOUND);
        disk.rename(&name, &format!("kept-{}", number % 8)).await.expect(SOUND);
        if env.random().is_multiple_of(2) {
            log.sync_data().await.expect(SOUND);
            file.sync_all().await.expect(SOUND);
            disk.sync_dir("/").await.expect(SOUND);
        }
    }
    Ok(())
}

fn digest(program: Program, seed: u64) -> String {
    let mut world = program(seed);
    assert_eq!(world.run_until(10 * SECOND), Stop::Quiet);
    assert!(world.events() > 300, "only {} events", world.events());
    world.digest().to_string()
}

#[test]
fn digests_of_small_programs_are_the_pinned_ones() {
    let found = PINNED.map(|(name, program, _)| (name, digest(program, PINNED_SEED)));
    assert_eq!(found, PINNED.map(|(name, _, pinned)| (name, pinned.to_owned())));
}

#[test]
fn the_disk_program_loses_power_as_often_as_planned_and_each_time_with_something_unsynced() {
    let mut world = disk(PINNED_SEED);
    world.run_until(10 * SECOND);
    assert_eq!(world.fired_count(), 4);
    let unsynced: Vec<_> = world.crashes().iter().map(|crash| crash.unsynced).collect();
    assert!(unsynced.iter().all(|&operations| operations > 0), "{unsynced:?}");
}

#[test]
fn small_programs_differ_from_seed_to_seed_and_agree_within_one() {
    for (name, program, _) in PINNED {
        assert_eq!(digest(program, 1), digest(program, 1), "{name}");
        assert_ne!(digest(program, 1), digest(program, 2), "{name}");
    }
}

/// A scenario of each sort: with few tuples, and as in the suite.
fn scenarios() -> Vec<Scenario> {
    let mut scenarios = suite::suite(suite::DEFAULT).expect("the default suite");
    scenarios.push(small_scenario(&[]));
    scenarios
}

const SEEDS: [u64; 2] = [3, 1 << 40];

#[test]
fn the_same_scenario_and_seed_give_the_same_outcome_and_the_same_trace() {
    let workload = workload();
    for scenario in scenarios() {
        for seed in SEEDS {
            let trace = || {
                let mut events = Vec::new();
                let mut keep = |event| events.push(event);
                let outcome = run::trace(&scenario, seed, None, &workload, &mut keep);
                (outcome, events)
            };
            let ((outcome, events), (again, events_again)) = (trace(), trace());
            assert!(events.len() > 1_000, "{} events", events.len());
            // A whole trace in a message would help no one: the first event that differs does.
            let differs = events.iter().zip(&events_again).find(|(event, again)| event != again);
            assert_eq!(differs, None, "{} seed {seed}", scenario.name);
            assert_eq!(events.len(), events_again.len(), "{} seed {seed}", scenario.name);
            assert_eq!(outcome, again, "{} seed {seed}", scenario.name);
        }
    }
}

#[test]
fn neither_a_recorded_trace_nor_an_explicit_plan_changes_a_run() {
    let workload = workload();
    for scenario in scenarios() {
        for seed in SEEDS {
            let plain = run::run(&scenario, seed, None, &workload);
            let recorded = run::trace(&scenario, seed, None, &workload, &mut |_| {});
            assert_eq!(recorded, plain, "{} seed {seed}, recorded", scenario.name);
            assert_eq!(plain.plan, generate::plan(&scenario, seed));
            let replayed = run::run(&scenario, seed, Some(&plain.plan), &workload);
            assert_eq!(replayed, plain, "{} seed {seed}, replayed", scenario.name);
        }
    }
}

#[test]
fn a_world_leaves_nothing_behind_for_the_next() {
    let (scenario, workload) = (small_scenario(&[]), workload());
    let alone = run::run(&scenario, 5, None, &workload);
    for other in scenarios() {
        let _: Outcome = run::run(&other, 6, None, &workload);
        assert_eq!(run::run(&scenario, 5, None, &workload), alone, "after {}", other.name);
    }
}

#[test]
fn other_seeds_give_other_runs_even_under_the_same_plan() {
    let (scenario, workload) = (small_scenario(&[]), workload());
    let plan = generate::plan(&scenario, 0);
    let digests: Vec<_> = (0..20)
        .map(|seed| run::run(&scenario, seed, Some(&plan), &workload).digest.to_string())
        .collect();
    let mut distinct = digests.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), digests.len(), "{digests:?}");
}

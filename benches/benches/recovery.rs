//! The boot of a crash image: what a power loss leaves of a node's disk after a long run, and the
//! CPU time from the order to boot to the first answer. Printed beside it is the virtual time, as a
//! client sees it that resends after 20 ms, 40 ms and so on.

use std::rc::Rc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use unplug::{
    cluster,
    scenario::{Flights, Source},
    suite,
    workload::Workload,
};
use unplug_benches::{CpuTime, criterion, say};
use unplug_engine::{
    Cluster, Config, Role, broker,
    pipeline::{Pipeline, Spec},
    rpc::Rpc,
    sink, store,
};
use unplug_sim::{
    SimEnv, Site, Stop, World, WorldConfig,
    disk::Disk,
    env::{Env, Exit, FileKind, NodeId, Refusal},
    random::Stream,
};

/// How many tuples the cluster took in before its power was cut.
const TUPLES: [u32; 2] = [1_000, 10_000];

/// Slow, so that there are many epochs, and so many files.
const PER_SECOND: u32 = 50;

const LOOK_EVERY_NS: u64 = 1_000_000_000;

const ROLES: [(&str, Role); 3] =
    [("broker", Role::Broker), ("store-0", Role::Store), ("sink-0", Role::Sink)];

/// The node that boots; the other one asks until it answers.
const SERVER: NodeId = NodeId(0);

fn boots(criterion: &mut Criterion<CpuTime>) {
    let config = Rc::new(config());
    let images: Vec<_> = TUPLES.into_iter().map(crash_images).collect();
    for (place, (name, role)) in ROLES.into_iter().enumerate() {
        let mut group = criterion.benchmark_group(format!("boot of the {name}"));
        for (tuples, images) in TUPLES.into_iter().zip(&images) {
            let disk = &images[place];
            // What is collected does not show in the size.
            let size = format!("{tuples} tuples, {}", size(disk));
            group.bench_function(&size, |bencher| {
                let setup = || world(disk, role, &config);
                bencher.iter_batched_ref(setup, serve, BatchSize::PerIteration);
            });
            let served_ns = serve(&mut world(disk, role, &config));
            say(&format!("{name}, {size}: {} virtual µs\n", served_ns / 1_000));
        }
        group.finish();
    }
}

/// What a power loss leaves of the disks of [`ROLES`], among what it can leave.
fn crash_images(tuples: u32) -> Vec<Disk> {
    let mut scenario = suite::scenario("power-loss").expect("embedded");
    scenario.workload =
        Source::Flights(Flights { tuples, per_second: PER_SECOND, ..Flights::default() });
    let workload = Workload::embedded().expect("sound");
    let (mut world, clients) = cluster::build(&scenario, 0, &workload).expect("sound");
    while !clients.delivered() {
        let stop = world.run_until(world.now_ns() + LOOK_EVERY_NS);
        assert_eq!(stop, Stop::Time, "after {} events", world.events());
    }
    let image = |(name, _)| {
        let named = |node: &NodeId| world.name(*node) == name;
        let node = (0..).map(NodeId).find(named).expect("every cluster has one");
        let mut disk = world.disk(node, |disk| disk.clone());
        disk.crash(&mut Stream::new(0, "crash", 0, 0));
        disk
    };
    ROLES.into_iter().map(image).collect()
}

fn size(disk: &Disk) -> String {
    let tree = disk.tree();
    let files = tree.values().filter(|(kind, _)| *kind == FileKind::File).count();
    let bytes: usize = tree.values().map(|(_, bytes)| bytes.len()).sum();
    format!("{files} files, {} KiB", bytes.div_ceil(1024))
}

/// A cluster of which there is only one node.
fn config() -> Config {
    let cluster = Cluster {
        broker: SERVER,
        stores: vec![SERVER, NodeId(1), NodeId(2)],
        drivers: vec![SERVER],
        executors: vec![SERVER],
        sinks: vec![SERVER],
        partitions: 4,
    };
    Config::new(cluster, Pipeline::new(&Spec::flights()).expect("sound"))
}

/// A node with this disk and one that asks, both ordered to boot.
fn world(disk: &Disk, role: Role, config: &Rc<Config>) -> World {
    let mut world = World::new(WorldConfig { boot_ns: (1_000, 2_000), ..WorldConfig::new(0) });
    world.watch("served");
    let config = Rc::clone(config);
    let program = move |env| unplug_engine::run(env, role, Rc::clone(&config), false);
    let server = world.add_node("server", Site::DataCentre, program);
    assert_eq!(server, SERVER);
    world.disk(server, |fresh| *fresh = disk.clone());
    let asking = world.add_node("asking", Site::Outside, move |env| ask(env, role));
    world.start(server);
    world.start(asking);
    world
}

/// Runs the world until the first answer; gives its virtual time.
fn serve(world: &mut World) -> u64 {
    let stop = world.run_until(u64::MAX);
    assert_eq!((stop, world.ended()), (Stop::Quiet, Vec::new()));
    world.mark_hits().first().expect("it asks until it is answered").at_ns
}

async fn ask(env: SimEnv, role: Role) -> Exit {
    let rpc = Rpc::open(&env)?;
    let answers = rpc.clone();
    env.spawn("answers", async move {
        // Only a handler can end it, and nobody asks this node.
        drop(answers.serve(async |(): ()| Ok::<_, Refusal>(())).await);
    });
    match role {
        Role::Broker => drop(rpc.insist::<_, broker::Answer>(SERVER, &broker::Request::Ends).await),
        Role::Store => {
            let request = store::Request::Incarnations;
            drop(rpc.insist::<_, store::Answer>(SERVER, &request).await);
        }
        Role::Sink => drop(rpc.insist::<_, sink::Answer>(SERVER, &sink::Request::Published).await),
        Role::Driver | Role::Executor => unreachable!("they keep nothing on disk"),
    }
    env.mark("served");
    Ok(())
}

criterion_group! {
    name = recovery;
    config = criterion();
    targets = boots
}
criterion_main!(recovery);

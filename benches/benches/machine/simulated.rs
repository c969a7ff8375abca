//! The same work as programs on a simulated machine.

use std::{cell::Cell, future::pending, rc::Rc, sync::LazyLock, time::Duration};

use bytes::Bytes;
use unplug_sim::{
    DiskTiming, NetworkConfig, SimEnv, Site, Stop, World, WorldConfig,
    env::{Address, Disk, Env, Exit, File, Net, NodeId, OpenMode, Port, Socket},
};

use crate::{
    BLOCKS, LATENCY_NS, MESSAGE_BYTES, RoundTrips, SYNC_NS, TASKS, TIMER_NS, TIMERS_PER_TASK,
    WRITE_BYTES, WRITE_NS, WRITES,
};

const PORT: Port = Port(1);

/// A world without faults of the network, whose nodes are all up before the first datagram comes.
fn world() -> World {
    let network = NetworkConfig {
        latency_ns: LATENCY_NS,
        tail: (0, 1),
        loss: (0, 1),
        duplication: (0, 1),
        ..NetworkConfig::default()
    };
    let disk = DiskTiming { write_ns: WRITE_NS, sync_ns: SYNC_NS, ..DiskTiming::default() };
    World::new(WorldConfig { network, disk, boot_ns: (1_000, 2_000), ..WorldConfig::new(42) })
}

fn run_to_the_end(mut world: World) {
    assert_eq!(world.run_until(u64::MAX), Stop::Quiet);
}

pub(crate) fn timers() {
    let fired = Rc::new(Cell::new(0));
    let count = Rc::clone(&fired);
    let mut world = world();
    let node = world.add_node("node", Site::DataCentre, move |env: SimEnv| {
        for _ in 0..TASKS {
            env.spawn("timers", wait_often(env.clone(), Rc::clone(&count)));
        }
        pending()
    });
    world.start(node);
    run_to_the_end(world);
    assert_eq!(fired.get(), TASKS * TIMERS_PER_TASK);
}

async fn wait_often(env: SimEnv, fired: Rc<Cell<u32>>) {
    let (low, high) = TIMER_NS;
    for _ in 0..TIMERS_PER_TASK {
        env.sleep(Duration::from_nanos(low + env.random() % (high - low))).await;
        fired.set(fired.get() + 1);
    }
}

/// The names of all nodes, made once: worlds are measured, and not the making of strings.
static NAMES: LazyLock<Vec<String>> =
    LazyLock::new(|| (0..1_000).map(|number| format!("node-{number:03}")).collect());

pub(crate) fn round_trips(workload: RoundTrips) {
    let done = Rc::new(Cell::new(0));
    let mut world = world();
    let mut names = NAMES.iter();
    let mut name = || names.next().expect("at most 1,000 nodes");
    for pair in 0..workload.pairs {
        let server = NodeId(2 * pair + 1);
        let count = Rc::clone(&done);
        let program = move |env| client(env, server, (workload, Rc::clone(&count)));
        let node = world.add_node(name(), Site::Outside, program);
        world.start(node);
        let node = world.add_node(name(), Site::DataCentre, echo);
        world.start(node);
    }
    for _ in 0..workload.idle {
        let node = world.add_node(name(), Site::DataCentre, |_: SimEnv| pending());
        world.start(node);
    }
    run_to_the_end(world);
    assert_eq!(done.get(), workload.total());
}

async fn client(env: SimEnv, server: NodeId, work: (RoundTrips, Rc<Cell<u64>>)) -> Exit {
    let (workload, done) = work;
    let socket = env.net().bind(PORT).expect("free");
    let send = || {
        let payload = Bytes::from(vec![7; MESSAGE_BYTES]);
        socket.send(Address { node: server, port: PORT }, payload).expect("small");
    };
    let ahead = workload.in_flight.min(workload.per_client);
    (0..ahead).for_each(|_| send());
    for received in 1..=workload.per_client {
        socket.recv().await;
        done.set(done.get() + 1);
        if received + ahead <= workload.per_client {
            send();
        }
    }
    Ok(())
}

async fn echo(env: SimEnv) -> Exit {
    let socket = env.net().bind(PORT).expect("free");
    loop {
        let datagram = socket.recv().await;
        socket.send(datagram.from, datagram.payload).expect("small");
    }
}

pub(crate) fn writes() {
    let mut world = world();
    world.watch("written");
    let node = world.add_node("node", Site::DataCentre, write_and_sync);
    world.start(node);
    assert_eq!(world.run_until(u64::MAX), Stop::Quiet);
    assert_eq!(world.mark_hits().len(), 1);
}

async fn write_and_sync(env: SimEnv) -> Exit {
    let file = env.disk().open("/ring", OpenMode::Create).await.expect("no faults");
    let block = Bytes::from(vec![9; WRITE_BYTES]);
    for number in 0..WRITES {
        let offset = number % BLOCKS * WRITE_BYTES as u64;
        let taken = file.write_at(offset, block.clone()).await.expect("no faults");
        assert_eq!(taken, WRITE_BYTES);
        file.sync_data().await.expect("no faults");
    }
    env.mark("written");
    Ok(())
}

//! How much memory worlds take: a large one stays within its limit, and a long one does not grow.
//! A limit that is broken ends the benchmark with a panic.

use std::{cell::Cell, fs, future::pending, rc::Rc, time::Duration};

use bytes::Bytes;
use unplug_benches::say;
use unplug_sim::{
    SimEnv, SimSocket, Site, Stop, World, WorldConfig,
    env::{Address, Disk, Env, Exit, File, Net, NodeId, OpenMode, Port, Socket},
};

const PORT: Port = Port(1);
const SECOND_NS: u64 = 1_000_000_000;
const MIB: u64 = 1024;

const LARGE_NODES: u16 = 1_000;
const LARGE_MESSAGES: u64 = 10_000_000;
const LARGE_KIB_MAX: u64 = 1024 * MIB;

const LONG_NODES: u16 = 10;
const LONG_EVENTS: u64 = 100_000_000;
/// By then everything has grown to its size.
const LONG_EVENTS_BEFORE: u64 = LONG_EVENTS / 20;
/// What the allocator itself may come to hold.
const LONG_GROWTH_KIB_MAX: u64 = 4 * MIB;

/// A message to any node each millisecond, and now and then a write and a sync.
async fn gossip(env: SimEnv, nodes: u16, received: Rc<Cell<u64>>) -> Exit {
    const SOUND: &str = "a disk without faults";
    let socket = Rc::new(env.net().bind(PORT).expect("a free port"));
    env.spawn("receiver", receive(Rc::clone(&socket), received));
    let file = env.disk().open("/ring", OpenMode::Create).await.expect(SOUND);
    for number in 0u64.. {
        env.sleep(Duration::from_millis(1)).await;
        let node = u16::try_from(env.random() % u64::from(nodes)).expect("below a u16");
        let payload = Bytes::from(vec![7; 100]);
        socket.send(Address { node: NodeId(node), port: PORT }, payload).expect("small");
        if number.is_multiple_of(100) {
            file.write_at(number % 6_400, vec![9; 512].into()).await.expect(SOUND);
            file.sync_data().await.expect(SOUND);
        }
    }
    pending().await
}

async fn receive(socket: Rc<SimSocket>, received: Rc<Cell<u64>>) {
    loop {
        socket.recv().await;
        received.set(received.get() + 1);
    }
}

/// A world in which every node talks to every other.
fn world(nodes: u16) -> (World, Rc<Cell<u64>>) {
    let mut world = World::new(WorldConfig { events_max: u64::MAX, ..WorldConfig::new(42) });
    let received = Rc::new(Cell::new(0));
    for number in 0..nodes {
        let count = Rc::clone(&received);
        let name = format!("node-{number}");
        let program = move |env| gossip(env, nodes, Rc::clone(&count));
        let node = world.add_node(&name, Site::DataCentre, program);
        world.start(node);
    }
    (world, received)
}

fn run_while(world: &mut World, goes_on: impl Fn(&World) -> bool) {
    while goes_on(world) {
        assert_eq!(world.run_until(world.now_ns() + SECOND_NS), Stop::Time);
    }
}

/// A line of `/proc/self/status`, in KiB.
fn status_kib(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim_start_matches(':').trim().strip_suffix("kB")?.trim().parse().ok()
}

fn resident_kib() -> u64 {
    status_kib("VmRSS").expect("checked at the start")
}

fn a_long_world_does_not_grow() {
    let (mut world, _) = world(LONG_NODES);
    run_while(&mut world, |world| world.events() < LONG_EVENTS_BEFORE);
    let before = resident_kib();
    run_while(&mut world, |world| world.events() < LONG_EVENTS);
    let after = resident_kib();
    let events = world.events();
    say(&format!(
        "{events} events: {before} KiB resident after {LONG_EVENTS_BEFORE} of them, {after} KiB at the end"
    ));
    let limit = before + LONG_GROWTH_KIB_MAX;
    assert!(after <= limit, "grew to {after} KiB, over {limit} KiB");
}

fn a_large_world_stays_within_its_limit() {
    let (mut world, received) = world(LARGE_NODES);
    run_while(&mut world, |_| received.get() < LARGE_MESSAGES);
    let (messages, peak) = (received.get(), status_kib("VmHWM").expect("checked at the start"));
    say(&format!("{LARGE_NODES} nodes, {messages} messages: {peak} KiB resident at the most"));
    assert!(peak < LARGE_KIB_MAX, "{peak} KiB, over {LARGE_KIB_MAX} KiB");
}

fn main() {
    // `cargo test` runs benchmarks as tests, for which this is too slow.
    let asked = std::env::args().any(|argument| argument == "--bench");
    if !asked {
        return;
    }
    if status_kib("VmRSS").is_none() {
        say("memory is not measured here: it needs /proc/self/status");
        return;
    }
    a_long_world_does_not_grow();
    a_large_world_stays_within_its_limit();
}

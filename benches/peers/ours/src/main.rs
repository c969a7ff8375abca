//! The workloads on Unplug's machine. It has datagrams and no streams, so [`stream`] is a small
//! one on top of them.

mod disk;
mod stream;

use std::{cell::Cell, rc::Rc, time::Duration};

use bytes::Bytes;
use measure::{
    CLIENT_PORT, LATENCY_NS, MESSAGE_BYTES, PAIRS, Random, RoundTrips, SERVER_PORT, SYNC_NS, TASKS,
    TIMER_NS, WRITE_NS,
};
use unplug_sim::{
    DiskTiming, NetworkConfig, SimEnv, Site, Stop, World, WorldConfig,
    env::{Address, Env as _, Exit, Instant, Net as _, Port, Socket as _},
};

use crate::stream::{Listener, Stream};

fn main() -> std::process::ExitCode {
    measure::run(&[
        ("timers", timers),
        ("datagrams-1", |n| datagrams(RoundTrips::of(n, 1))),
        ("datagrams-32", |n| datagrams(RoundTrips::of(n, 32))),
        ("streams-1", |n| streams(RoundTrips::of(n, 1))),
        ("streams-32", |n| streams(RoundTrips::of(n, 32))),
        ("disk", disk::in_a_world),
        ("disk-at-once", disk::at_once),
        ("worlds-datagrams", |n| worlds(n, datagrams)),
        ("worlds-streams", |n| worlds(n, streams)),
        ("idle-8", |n| idle(8, n)),
        ("idle-100", |n| idle(100, n)),
    ])
}

/// A world whose network loses nothing.
fn world(seed: u64) -> World {
    let network = NetworkConfig {
        latency_ns: LATENCY_NS,
        tail: (0, 1),
        loss: (0, 1),
        duplication: (0, 1),
        ..NetworkConfig::default()
    };
    let disk = DiskTiming { write_ns: WRITE_NS, sync_ns: SYNC_NS, ..DiskTiming::default() };
    let events_max = u64::MAX;
    let boot_ns = (1_000, 2_000);
    World::new(WorldConfig { network, disk, boot_ns, events_max, ..WorldConfig::new(seed) })
}

/// Runs a world until nothing is left to do.
fn run(world: &mut World) {
    assert_eq!(world.run_until(u64::MAX), Stop::Quiet);
}

/// What was done, counted by all nodes of a world.
#[derive(Clone, Default)]
struct Count(Rc<Counted>);

#[derive(Default)]
struct Counted {
    done: Cell<u64>,
    elapsed: Cell<Duration>,
}

impl Count {
    /// Adds what was done since the moment `start` of a node.
    fn add(&self, done: u64, env: &SimEnv, start: Instant) {
        self.0.done.set(self.0.done.get() + done);
        self.0.elapsed.set(self.0.elapsed.get().max(env.now().since(start)));
    }

    fn done(&self) -> u64 {
        self.0.done.get()
    }

    /// The longest time that something took.
    fn elapsed(&self) -> Duration {
        self.0.elapsed.get()
    }
}

fn timers(n: u64) -> u64 {
    let each = n.div_ceil(TASKS);
    let fired = Count::default();
    let count = fired.clone();
    let mut world = world(42);
    let node = world.add_node("node", Site::DataCentre, move |env: SimEnv| {
        for task in 0..TASKS {
            env.spawn("timers", wait_often(env.clone(), (task, each), count.clone()));
        }
        std::future::pending()
    });
    world.start(node);
    run(&mut world);
    fired.done()
}

async fn wait_often(env: SimEnv, (task, each): (u64, u64), fired: Count) {
    let start = env.now();
    let mut random = Random(task);
    for _ in 0..each {
        env.sleep(Duration::from_nanos(random.between(TIMER_NS))).await;
    }
    fired.add(each, &env, start);
}

/// Runs a world of clients and servers, each client beside its server.
fn pairs<S, C>(
    workload: RoundTrips,
    server: fn(SimEnv) -> S,
    client: fn(SimEnv, Address, RoundTrips, Count) -> C,
) -> u64
where
    S: Future<Output = Exit> + 'static,
    C: Future<Output = Exit> + 'static,
{
    let done = Count::default();
    let mut world = world(workload.seed);
    for pair in 0..PAIRS {
        let node = world.add_node(&format!("server-{pair}"), Site::DataCentre, server);
        world.start(node);
        let (to, count) = (Address { node, port: Port(SERVER_PORT) }, done.clone());
        let program = move |env| client(env, to, workload, count.clone());
        let node = world.add_node(&format!("client-{pair}"), Site::Outside, program);
        world.start(node);
    }
    run(&mut world);
    workload.check_elapsed(done.elapsed());
    done.done()
}

fn datagrams(workload: RoundTrips) -> u64 {
    pairs(workload, echo_datagrams, ask_by_datagrams)
}

async fn echo_datagrams(env: SimEnv) -> Exit {
    let socket = env.net().bind(Port(SERVER_PORT)).expect("free");
    loop {
        let datagram = socket.recv().await;
        socket.send(datagram.from, datagram.payload).expect("small");
    }
}

async fn ask_by_datagrams(env: SimEnv, to: Address, workload: RoundTrips, done: Count) -> Exit {
    env.sleep(Duration::from_millis(1)).await;
    for number in 0..workload.conversations {
        let socket = env.net().bind(Port(CLIENT_PORT + number)).expect("free");
        let (clock, done) = (env.clone(), done.clone());
        env.spawn("conversation", async move {
            let start = clock.now();
            for _ in 0..workload.each {
                socket.send(to, Bytes::from(vec![7; MESSAGE_BYTES])).expect("small");
                assert_eq!(socket.recv().await.payload.len(), MESSAGE_BYTES);
            }
            done.add(workload.each, &clock, start);
        });
    }
    std::future::pending().await
}

fn streams(workload: RoundTrips) -> u64 {
    pairs(workload, echo_streams, ask_by_streams)
}

async fn echo_streams(env: SimEnv) -> Exit {
    let mut listener = Listener::open(&env, Port(SERVER_PORT));
    loop {
        let stream = listener.accept().await;
        env.spawn("connection", echo(stream));
    }
}

async fn echo(stream: Stream) {
    let mut buffer = [0; MESSAGE_BYTES];
    // Until the client closes its end.
    while stream.read_exact(&mut buffer).await.is_ok() {
        stream.write(&buffer);
    }
}

async fn ask_by_streams(env: SimEnv, to: Address, workload: RoundTrips, done: Count) -> Exit {
    env.sleep(Duration::from_millis(1)).await;
    for number in 0..workload.conversations {
        let (clock, done) = (env.clone(), done.clone());
        env.spawn("conversation", async move {
            let start = clock.now();
            let stream = Stream::connect(&clock, Port(CLIENT_PORT + number), to).await;
            let mut buffer = [0; MESSAGE_BYTES];
            for _ in 0..workload.each {
                stream.write(&[7; MESSAGE_BYTES]);
                stream.read_exact(&mut buffer).await.expect("the server goes on");
            }
            done.add(workload.each, &clock, start);
        });
    }
    std::future::pending().await
}

fn worlds(n: u64, round_trips: fn(RoundTrips) -> u64) -> u64 {
    (1..=n).map(|seed| round_trips(RoundTrips::one_each(seed)) / u64::from(PAIRS)).sum()
}

/// Nodes that wake once a second, for so many virtual seconds.
fn idle(nodes: u64, seconds: u64) -> u64 {
    let slept = Count::default();
    let mut world = world(42);
    for number in 0..nodes {
        let count = slept.clone();
        let program = move |env| sleep_often(env, seconds, count.clone());
        let node = world.add_node(&format!("node-{number}"), Site::DataCentre, program);
        world.start(node);
    }
    run(&mut world);
    assert_eq!(slept.done(), seconds * nodes);
    slept.elapsed().as_secs()
}

async fn sleep_often(env: SimEnv, seconds: u64, slept: Count) -> Exit {
    let start = env.now();
    for _ in 0..seconds {
        env.sleep(Duration::from_secs(1)).await;
    }
    slept.add(seconds, &env, start);
    Ok(())
}

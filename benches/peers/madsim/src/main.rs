//! The workloads on madsim, whose network takes 1 to 10 ms by default. Its files are an array in
//! memory: a write takes no time, and a sync does nothing.

#[cfg(not(madsim))]
compile_error!("build in the folder `madsim`: its .cargo/config.toml sets `--cfg madsim`");

use std::{
    net::{IpAddr, Ipv4Addr},
    process::ExitCode,
    time::Duration,
};

use madsim::{
    Config,
    fs::File,
    net::{TcpListener, TcpStream, UdpSocket},
    runtime::{NodeHandle, Runtime},
    task::{self, JoinHandle},
    time::{self, Instant},
};
use measure::{
    BLOCKS, CLIENT_PORT, LATENCY_NS, MESSAGE_BYTES, PAIRS, Random, RoundTrips, SERVER_PORT, TASKS,
    TIMER_NS, WRITE_BYTES,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn main() -> ExitCode {
    measure::run(&[
        ("timers", timers),
        ("datagrams-1", |n| datagrams(RoundTrips::of(n, 1))),
        ("datagrams-32", |n| datagrams(RoundTrips::of(n, 32))),
        ("streams-1", |n| streams(RoundTrips::of(n, 1))),
        ("streams-32", |n| streams(RoundTrips::of(n, 32))),
        ("disk-at-once", disk),
        ("worlds-datagrams", |n| worlds(n, datagrams)),
        ("worlds-streams", |n| worlds(n, streams)),
        ("idle-8", |n| idle(8, n)),
        ("idle-100", |n| idle(100, n)),
    ])
}

fn runtime(seed: u64) -> Runtime {
    let mut config = Config::default();
    let (low, high) = measure::durations(LATENCY_NS);
    config.net.send_latency = low..high;
    Runtime::with_seed_and_config(seed, config)
}

/// Runs a world until all of `ends` are done, and tells the sum of what they did.
fn run(runtime: &Runtime, ends: Vec<JoinHandle<u64>>) -> (u64, Duration) {
    runtime.block_on(async {
        let start = Instant::now();
        let mut done = 0;
        for end in ends {
            done += end.await.expect("no faults");
        }
        (done, start.elapsed())
    })
}

fn timers(n: u64) -> u64 {
    let each = n.div_ceil(TASKS);
    let runtime = runtime(42);
    let node = runtime.create_node().build();
    let wait_often = |task| async move {
        let mut random = Random(task);
        for _ in 0..each {
            time::sleep(Duration::from_nanos(random.between(TIMER_NS))).await;
        }
        each
    };
    let ends = (0..TASKS).map(|task| node.spawn(wait_often(task))).collect();
    run(&runtime, ends).0
}

fn server_ip(pair: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 1, pair + 1).into()
}

/// The nodes of one pair: the client's and the server's.
fn nodes(runtime: &Runtime, pair: u8) -> (NodeHandle, NodeHandle) {
    let client = runtime.create_node().ip(Ipv4Addr::new(10, 0, 0, pair + 1).into()).build();
    (client, runtime.create_node().ip(server_ip(pair)).build())
}

fn datagrams(workload: RoundTrips) -> u64 {
    let runtime = runtime(workload.seed);
    let mut ends = Vec::new();
    for pair in 0..PAIRS {
        let (client, server) = nodes(&runtime, pair);
        server.spawn(async {
            let socket = UdpSocket::bind(("0.0.0.0", SERVER_PORT)).await.expect("free");
            let mut buffer = [0; 2 * MESSAGE_BYTES];
            loop {
                let (len, from) = socket.recv_from(&mut buffer).await.expect("no faults");
                socket.send_to(from, &buffer[..len]).await.expect("no faults");
            }
        });
        ends.push(client.spawn(async move {
            time::sleep(Duration::from_millis(1)).await;
            let conversations: Vec<_> = (0..workload.conversations)
                .map(|number| task::spawn(ask_by_datagrams(pair, number, workload.each)))
                .collect();
            sum(conversations).await
        }));
    }
    let (done, elapsed) = run(&runtime, ends);
    workload.check_elapsed(elapsed);
    done
}

async fn ask_by_datagrams(pair: u8, number: u16, each: u64) -> u64 {
    let socket = UdpSocket::bind(("0.0.0.0", CLIENT_PORT + number)).await.expect("free");
    let mut buffer = [0; 2 * MESSAGE_BYTES];
    for _ in 0..each {
        let server = (server_ip(pair), SERVER_PORT);
        socket.send_to(server, &[7; MESSAGE_BYTES]).await.expect("no faults");
        let (len, _) = socket.recv_from(&mut buffer).await.expect("no faults");
        assert_eq!(len, MESSAGE_BYTES);
    }
    each
}

fn streams(workload: RoundTrips) -> u64 {
    let runtime = runtime(workload.seed);
    let mut ends = Vec::new();
    for pair in 0..PAIRS {
        let (client, server) = nodes(&runtime, pair);
        server.spawn(async {
            let listener = TcpListener::bind(("0.0.0.0", SERVER_PORT)).await.expect("free");
            loop {
                let (stream, _) = listener.accept().await.expect("no faults");
                task::spawn(echo(stream));
            }
        });
        ends.push(client.spawn(async move {
            time::sleep(Duration::from_millis(1)).await;
            let conversations: Vec<_> = (0..workload.conversations)
                .map(|_| task::spawn(ask_by_stream(pair, workload.each)))
                .collect();
            sum(conversations).await
        }));
    }
    let (done, elapsed) = run(&runtime, ends);
    workload.check_elapsed(elapsed);
    done
}

async fn echo(mut stream: TcpStream) {
    let mut buffer = [0; MESSAGE_BYTES];
    // Until the client closes its end.
    while stream.read_exact(&mut buffer).await.is_ok() {
        stream.write_all(&buffer).await.expect("no faults");
        stream.flush().await.expect("no faults");
    }
}

async fn ask_by_stream(pair: u8, each: u64) -> u64 {
    let mut stream = TcpStream::connect((server_ip(pair), SERVER_PORT)).await.expect("no faults");
    let mut buffer = [0; MESSAGE_BYTES];
    for _ in 0..each {
        stream.write_all(&[7; MESSAGE_BYTES]).await.expect("no faults");
        stream.flush().await.expect("no faults");
        stream.read_exact(&mut buffer).await.expect("no faults");
    }
    each
}

async fn sum(conversations: Vec<JoinHandle<u64>>) -> u64 {
    let mut done = 0;
    for conversation in conversations {
        done += conversation.await.expect("no faults");
    }
    done
}

fn worlds(n: u64, round_trips: fn(RoundTrips) -> u64) -> u64 {
    (1..=n).map(|seed| round_trips(RoundTrips::one_each(seed)) / u64::from(PAIRS)).sum()
}

fn disk(n: u64) -> u64 {
    let runtime = runtime(42);
    let write_and_sync = async move {
        let file = File::create("/ring").await.expect("no faults");
        let block = vec![9; WRITE_BYTES];
        for number in 0..n {
            let offset = number % BLOCKS * WRITE_BYTES as u64;
            file.write_all_at(&block, offset).await.expect("no faults");
            file.sync_all().await.expect("no faults");
        }
        n
    };
    let end = runtime.create_node().build().spawn(write_and_sync);
    run(&runtime, vec![end]).0
}

/// Nodes that wake once a second, for so many virtual seconds.
fn idle(nodes: u8, seconds: u64) -> u64 {
    let runtime = runtime(42);
    let wake_each_second = || async move {
        for _ in 0..seconds {
            time::sleep(Duration::from_secs(1)).await;
        }
        seconds
    };
    let node = |number| {
        let ip = Ipv4Addr::new(10, 0, 0, number + 1).into();
        runtime.create_node().ip(ip).build().spawn(wake_each_second())
    };
    let ends = (0..nodes).map(node).collect();
    let (done, elapsed) = run(&runtime, ends);
    assert_eq!(done, seconds * u64::from(nodes));
    elapsed.as_secs()
}

//! The workloads on turmoil, with its default tick of 1 ms. Its files are those of its feature
//! `unstable-fs`: with its one latency for all operations, and, through `std`, without.

use std::{
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::FileExt as _,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use measure::{
    BLOCKS, CLIENT_PORT, LATENCY_NS, MESSAGE_BYTES, PAIRS, Random, RoundTrips, SERVER_PORT,
    SYNC_NS, TASKS, TIMER_NS, WRITE_BYTES,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time,
};
use turmoil::{
    Builder, Sim,
    fs::shim,
    net::{TcpListener, TcpStream, UdpSocket},
};

fn main() -> ExitCode {
    measure::run(&[
        ("timers", timers),
        ("datagrams-1", |n| datagrams(RoundTrips::of(n, 1))),
        ("datagrams-32", |n| datagrams(RoundTrips::of(n, 32))),
        ("streams-1", |n| streams(RoundTrips::of(n, 1))),
        ("streams-32", |n| streams(RoundTrips::of(n, 32))),
        ("disk", disk),
        ("disk-at-once", disk_at_once),
        ("worlds-datagrams", |n| worlds(n, datagrams)),
        ("worlds-streams", |n| worlds(n, streams)),
        ("idle-8", |n| idle(8, n)),
        ("idle-100", |n| idle(100, n)),
    ])
}

const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// What was done, counted by all nodes of a world.
#[derive(Clone, Default)]
struct Count(Arc<AtomicU64>);

impl Count {
    fn add(&self, done: u64) {
        self.0.fetch_add(done, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn builder(seed: u64) -> Builder {
    let mut builder = Builder::new();
    let (low, high) = measure::durations(LATENCY_NS);
    builder
        .rng_seed(seed)
        .simulation_duration(Duration::from_secs(1_000_000_000))
        .min_message_latency(low)
        .max_message_latency(high)
        .tcp_capacity(1024)
        .udp_capacity(1024);
    builder
}

/// Runs a world until all clients are done.
fn run(mut sim: Sim<'_>) -> Duration {
    sim.run().expect("no faults");
    sim.elapsed()
}

fn timers(n: u64) -> u64 {
    let each = n.div_ceil(TASKS);
    let fired = Count::default();
    let count = fired.clone();
    let mut sim = builder(42).build();
    sim.client("client", async move {
        let wait_often = |task| {
            let count = count.clone();
            async move {
                let mut random = Random(task);
                for _ in 0..each {
                    time::sleep(Duration::from_nanos(random.between(TIMER_NS))).await;
                }
                count.add(each);
            }
        };
        let tasks: Vec<_> = (0..TASKS).map(|task| tokio::spawn(wait_often(task))).collect();
        for task in tasks {
            task.await?;
        }
        Ok(())
    });
    run(sim);
    fired.get()
}

fn datagrams(workload: RoundTrips) -> u64 {
    let done = Count::default();
    let mut sim = builder(workload.seed).build();
    for pair in 0..PAIRS {
        sim.host(format!("server-{pair}"), || async {
            let socket = UdpSocket::bind((ANY, SERVER_PORT)).await?;
            let mut buffer = [0; 2 * MESSAGE_BYTES];
            loop {
                let (len, from) = socket.recv_from(&mut buffer).await?;
                socket.send_to(&buffer[..len], from).await?;
            }
        });
        let count = done.clone();
        sim.client(format!("client-{pair}"), async move {
            time::sleep(Duration::from_millis(1)).await;
            let conversations: Vec<_> = (0..workload.conversations)
                .map(|number| tokio::spawn(ask_by_datagrams(pair, number, workload.each)))
                .collect();
            for conversation in conversations {
                count.add(conversation.await?);
            }
            Ok(())
        });
    }
    workload.check_elapsed(run(sim));
    done.get()
}

async fn ask_by_datagrams(pair: u8, number: u16, each: u64) -> u64 {
    let socket = UdpSocket::bind((ANY, CLIENT_PORT + number)).await.expect("free");
    let server = (turmoil::lookup(format!("server-{pair}")), SERVER_PORT);
    let mut buffer = [0; 2 * MESSAGE_BYTES];
    for _ in 0..each {
        socket.send_to(&[7; MESSAGE_BYTES], server).await.expect("no faults");
        let (len, _) = socket.recv_from(&mut buffer).await.expect("no faults");
        assert_eq!(len, MESSAGE_BYTES);
    }
    each
}

fn streams(workload: RoundTrips) -> u64 {
    let done = Count::default();
    let mut sim = builder(workload.seed).build();
    for pair in 0..PAIRS {
        sim.host(format!("server-{pair}"), || async {
            let listener = TcpListener::bind((ANY, SERVER_PORT)).await?;
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(echo(stream));
            }
        });
        let count = done.clone();
        sim.client(format!("client-{pair}"), async move {
            time::sleep(Duration::from_millis(1)).await;
            let conversations: Vec<_> = (0..workload.conversations)
                .map(|_| tokio::spawn(ask_by_stream(pair, workload.each)))
                .collect();
            for conversation in conversations {
                count.add(conversation.await?);
            }
            Ok(())
        });
    }
    workload.check_elapsed(run(sim));
    done.get()
}

async fn echo(mut stream: TcpStream) {
    let mut buffer = [0; MESSAGE_BYTES];
    // Until the client closes its end.
    while stream.read_exact(&mut buffer).await.is_ok() {
        stream.write_all(&buffer).await.expect("no faults");
    }
}

async fn ask_by_stream(pair: u8, each: u64) -> u64 {
    let server = (turmoil::lookup(format!("server-{pair}")), SERVER_PORT);
    let mut stream = TcpStream::connect(server).await.expect("no faults");
    let mut buffer = [0; MESSAGE_BYTES];
    for _ in 0..each {
        stream.write_all(&[7; MESSAGE_BYTES]).await.expect("no faults");
        stream.read_exact(&mut buffer).await.expect("no faults");
    }
    each
}

fn worlds(n: u64, round_trips: fn(RoundTrips) -> u64) -> u64 {
    (1..=n).map(|seed| round_trips(RoundTrips::one_each(seed)) / u64::from(PAIRS)).sum()
}

/// Turmoil knows one range of latencies for all operations: the one whose ends are a write's
/// middle and a sync's end.
fn disk(n: u64) -> u64 {
    let mut builder = builder(42);
    let (_, high) = measure::durations(SYNC_NS);
    builder.fs().io_latency().min_latency(Duration::from_micros(50)).max_latency(high);
    let mut sim = builder.build();
    sim.client("client", async move {
        let mut options = shim::tokio::fs::OpenOptions::new();
        let file = options.read(true).write(true).create(true).open("/ring").await?;
        let block = vec![9; WRITE_BYTES];
        for number in 0..n {
            let taken = file.write_at(&block, number % BLOCKS * WRITE_BYTES as u64).await?;
            assert_eq!(taken, WRITE_BYTES);
            file.sync_all().await?;
        }
        Ok(())
    });
    let elapsed = run(sim);
    assert!(elapsed >= Duration::from_micros(100 * n), "no latency: {elapsed:?}");
    n
}

fn disk_at_once(n: u64) -> u64 {
    let mut sim = builder(42).build();
    sim.client("client", async move {
        let mut options = shim::std::fs::OpenOptions::new();
        let file = options.read(true).write(true).create(true).open("/ring")?;
        let block = vec![9; WRITE_BYTES];
        for number in 0..n {
            file.write_all_at(&block, number % BLOCKS * WRITE_BYTES as u64)?;
            file.sync_all()?;
        }
        Ok(())
    });
    run(sim);
    n
}

/// Nodes that wake once a second, for so many virtual seconds.
fn idle(nodes: u8, seconds: u64) -> u64 {
    let mut sim = builder(42).build();
    for number in 0..nodes {
        sim.client(format!("node-{number}"), async move {
            for _ in 0..seconds {
                time::sleep(Duration::from_secs(1)).await;
            }
            Ok(())
        });
    }
    run(sim).as_secs()
}

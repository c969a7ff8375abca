//! The workloads on moonpool-sim's machine: a `SimWorld` and its executor, stepped as its own
//! orchestrator does, without processes, chaos or invariants. It has no datagrams.

use std::{future::Future, io::SeekFrom, process::ExitCode, time::Duration};

use futures::{
    AsyncRead, AsyncReadExt as _, AsyncSeekExt as _, AsyncWrite, AsyncWriteExt as _,
    future::join_all,
};
use measure::{
    BLOCKS, LATENCY_NS, MESSAGE_BYTES, PAIRS, Random, RoundTrips, SERVER_PORT, SYNC_NS, TASKS,
    TIMER_NS, WRITE_BYTES, WRITE_NS,
};
use moonpool_core::{OpenOptions, StorageFile as _, StorageProvider as _};
use moonpool_sim::{
    LatencyDistribution, NetworkConfiguration, NetworkProvider as _, SimWorld,
    StorageConfiguration, TaskProvider as _, TcpListenerTrait as _, TimeProvider as _,
    executor::{Executor, spawn, until_stalled},
};

fn main() -> ExitCode {
    measure::run(&[
        ("timers", timers),
        ("streams-1", |n| streams(RoundTrips::of(n, 1))),
        ("streams-32", |n| streams(RoundTrips::of(n, 32))),
        ("disk", disk),
        ("worlds-streams", worlds),
        ("idle-8", |n| idle(8, n)),
        ("idle-100", |n| idle(100, n)),
    ])
}

fn latency(range_ns: (u64, u64)) -> LatencyDistribution {
    let (start, end) = measure::durations(range_ns);
    LatencyDistribution::Uniform { start, end }
}

/// Runs a world until the task that `program` makes for it is done; tells what it gave and the
/// virtual time that passed.
fn run<T, F>(seed: u64, program: impl FnOnce(&SimWorld) -> F) -> (T, Duration)
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut network = NetworkConfiguration::fast_local();
    network.write_latency = latency(LATENCY_NS);
    let mut storage = StorageConfiguration::fast_local();
    storage.write_latency = latency(WRITE_NS);
    storage.sync_latency = latency(SYNC_NS);
    let mut world = SimWorld::new_with_network_config_and_seed(network, seed);
    world.set_storage_config(storage);
    let program = program(&world);
    Executor::new(seed).block_on(async move {
        let end = spawn("program", program);
        loop {
            until_stalled().await;
            if end.is_finished() {
                break;
            }
            assert!(world.pending_event_count() > 0, "the program waits for nothing");
            world.step();
        }
        (end.await.expect("no faults"), world.current_time())
    })
}

fn timers(n: u64) -> u64 {
    let each = n.div_ceil(TASKS);
    let program = |world: &SimWorld| {
        let (time, tasks) = (world.time_provider(), world.task_provider());
        async move {
            let wait_often = |task| {
                let time = time.clone();
                async move {
                    let mut random = Random(task);
                    for _ in 0..each {
                        let delay = Duration::from_nanos(random.between(TIMER_NS));
                        time.sleep(delay).await.expect("no faults");
                    }
                }
            };
            let ends = (0..TASKS).map(|task| tasks.spawn_task("timers", wait_often(task)));
            join_all(ends.collect::<Vec<_>>()).await.len() as u64 * each
        }
    };
    run(42, program).0
}

fn server(pair: u8) -> String {
    format!("10.0.1.{}:{SERVER_PORT}", pair + 1)
}

fn streams(workload: RoundTrips) -> u64 {
    let RoundTrips { conversations, each, seed } = workload;
    let program = |world: &SimWorld| {
        let (network, tasks) = (world.network_provider(), world.task_provider());
        let time = world.time_provider();
        async move {
            for pair in 0..PAIRS {
                let (network, connections) = (network.clone(), tasks.clone());
                drop(tasks.spawn_task("server", async move {
                    let listener = network.bind(&server(pair)).await.expect("free");
                    loop {
                        let (stream, _) = listener.accept().await.expect("no faults");
                        drop(connections.spawn_task("connection", echo(stream)));
                    }
                }));
            }
            let mut ends = Vec::new();
            for pair in 0..PAIRS {
                for _ in 0..conversations {
                    // One after the other: where 128 connect at once, the run stalls.
                    let stream = network.connect(&server(pair)).await.expect("no faults");
                    time.sleep(Duration::from_millis(1)).await.expect("no faults");
                    ends.push(tasks.spawn_task("client", ask_by_stream(stream, each)));
                }
            }
            join_all(ends).await.len() as u64 * each
        }
    };
    let (done, elapsed) = run(seed, program);
    workload.check_elapsed(elapsed);
    done
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut buffer = [0; MESSAGE_BYTES];
    // Until the client closes its end.
    while stream.read_exact(&mut buffer).await.is_ok() {
        stream.write_all(&buffer).await.expect("no faults");
    }
}

async fn ask_by_stream(mut stream: impl AsyncRead + AsyncWrite + Unpin, each: u64) {
    let mut buffer = [0; MESSAGE_BYTES];
    for _ in 0..each {
        stream.write_all(&[7; MESSAGE_BYTES]).await.expect("no faults");
        stream.read_exact(&mut buffer).await.expect("no faults");
    }
}

fn worlds(n: u64) -> u64 {
    (1..=n).map(|seed| streams(RoundTrips::one_each(seed)) / u64::from(PAIRS)).sum()
}

fn disk(n: u64) -> u64 {
    let program = |world: &SimWorld| {
        let storage = world.storage_provider("10.0.1.1".parse().expect("an address"));
        async move {
            let mut file =
                storage.open("/ring", OpenOptions::create_write()).await.expect("no faults");
            let block = vec![9; WRITE_BYTES];
            for number in 0..n {
                let offset = SeekFrom::Start(number % BLOCKS * WRITE_BYTES as u64);
                file.seek(offset).await.expect("no faults");
                file.write_all(&block).await.expect("no faults");
                file.sync_all().await.expect("no faults");
            }
        }
    };
    let ((), elapsed) = run(42, program);
    assert!(elapsed >= Duration::from_micros(110 * n), "no latency: {elapsed:?}");
    n
}

/// Tasks that wake once a second, for so many virtual seconds, as the nodes of a world would.
fn idle(nodes: u8, seconds: u64) -> u64 {
    let program = |world: &SimWorld| {
        let (time, tasks) = (world.time_provider(), world.task_provider());
        async move {
            let wake_each_second = || {
                let time = time.clone();
                async move {
                    for _ in 0..seconds {
                        time.sleep(Duration::from_secs(1)).await.expect("no faults");
                    }
                }
            };
            let ends = (0..nodes).map(|_| tasks.spawn_task("node", wake_each_second()));
            join_all(ends.collect::<Vec<_>>()).await;
        }
    };
    run(42, program).1.as_secs()
}

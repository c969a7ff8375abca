//! When epochs begin and when a query ends, and what an epoch says of itself in numbers: a cluster
//! without faults.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use unplug_engine::{
    Cluster, Config, Role, Trigger,
    client::Client,
    layout::Layouts,
    pipeline::{Pipeline, Spec},
    progress::Progress,
    tuple::Tuple,
};
use unplug_sim::{
    SimEnv, Site, World, WorldConfig,
    env::{Env, Exit, NodeId},
};

const SECOND: u64 = 1_000_000_000;
const BROKER: NodeId = NodeId(0);
const DRIVER: NodeId = NodeId(4);
const SINK: NodeId = NodeId(6);
const PARTITIONS: u16 = 2;
/// So many tuples are sent at the beginning, and again so many later.
const TUPLES: u64 = 100;
const LATER_NS: u64 = 20 * SECOND;
/// So many of a partition go into an epoch.
const EPOCH_TUPLES: u64 = 15;

type Seen = (Rc<RefCell<BTreeMap<u64, Progress>>>, Rc<Cell<u64>>);

/// A cluster with this trigger, and what is known of each epoch.
struct Watched {
    world: World,
    progress: Rc<RefCell<BTreeMap<u64, Progress>>>,
    /// How many tuples are in what a sink has published.
    published: Rc<Cell<u64>>,
}

fn watched(trigger: Trigger) -> Watched {
    let cluster = Cluster {
        broker: BROKER,
        stores: vec![NodeId(1), NodeId(2), NodeId(3)],
        drivers: vec![DRIVER],
        executors: vec![NodeId(5)],
        sinks: vec![SINK, NodeId(7)],
        partitions: PARTITIONS,
    };
    let pipeline = Pipeline::new(&Spec::keyed()).expect("sound");
    let config = Config {
        trigger,
        epoch_tuples_max: EPOCH_TUPLES,
        epoch_interval: Duration::from_secs(1),
        ..Config::new(cluster, pipeline)
    };
    let config = Rc::new(config);
    let mut world = World::new(WorldConfig::new(7));
    let nodes = [
        ("broker", Role::Broker, 0),
        ("store-0", Role::Store, 0),
        ("store-1", Role::Store, 1),
        ("store-2", Role::Store, 2),
        ("driver", Role::Driver, 0),
        ("executor", Role::Executor, 0),
        ("sink-0", Role::Sink, 0),
        ("sink-1", Role::Sink, 1),
    ];
    for (name, role, index) in nodes {
        let shared = Rc::clone(&config);
        let program = move |env| unplug_engine::run(env, role, Rc::clone(&shared), false);
        let node = world.add_node(name, Site::DataCentre, program);
        world.disk(node, |disk| {
            for (path, bytes) in config.format(role, index) {
                match path.strip_suffix('/') {
                    Some(directory) => disk.create_dir(directory).expect("an empty disk"),
                    None => disk.put_durable(&path, &bytes).expect("an empty disk"),
                }
            }
            disk.make_durable();
        });
        world.start(node);
    }
    let progress: Rc<RefCell<BTreeMap<u64, Progress>>> = Rc::default();
    let published: Rc<Cell<u64>> = Rc::default();
    let seen = (Rc::clone(&progress), Rc::clone(&published));
    let client = world.add_node("client", Site::Outside, move |env| client(env, seen.clone()));
    world.start(client);
    Watched { world, progress, published }
}

/// Sends tuples, then more of them, and looks at the driver and at a sink all the time.
async fn client(env: SimEnv, (progress, published): Seen) -> Exit {
    let client = Client::new(&env)?;
    let began = env.now();
    let mut batches = 0;
    env.sleep(Duration::from_secs(1)).await;
    send(&client, 0).await?;
    let mut later = false;
    loop {
        if let Some(one) = client.progress(DRIVER).await {
            progress.borrow_mut().insert(one.epoch.0, one);
        }
        if let Ok(Some(page)) = client.read(SINK, batches).await {
            batches += page.batches.len() as u64;
            if let Some(last) = page.batches.last() {
                published.set(last.cut.ends.iter().map(|end| end.0).sum());
            }
        }
        if !later && env.now().0 - began.0 >= LATER_NS {
            later = true;
            send(&client, TUPLES).await?;
        }
        env.sleep(Duration::from_millis(2)).await;
    }
}

/// Sends tuples with these seqs and later ones, by turns to the partitions.
async fn send(client: &Client<SimEnv>, first: u64) -> Result<(), unplug_sim::env::Refusal> {
    let mut tuples = Vec::new();
    for seq in first..first + TUPLES {
        let key = format!("k{seq}");
        let value = format!(r#"{{"key": "{key}", "amount": {seq}}}"#);
        let time_ms = 1_000_000 + seq * 100;
        tuples.push(Tuple { producer: 1, seq, time_ms, key: key.into(), value: value.into() });
    }
    let layouts = RefCell::new(Layouts::new(PARTITIONS));
    client.send(BROKER, tuples, &layouts, |_| ()).await
}

fn tuples(progress: &BTreeMap<u64, Progress>) -> u64 {
    progress.values().map(|one| one.tuples).sum()
}

#[test]
fn at_an_interval_epochs_are_so_far_apart_and_each_tells_what_it_was_in_numbers() {
    let Watched { mut world, progress, .. } = watched(Trigger::Interval);
    world.run_until(40 * SECOND);
    let progress = progress.borrow();
    assert_eq!(
        progress.keys().copied().collect::<Vec<_>>(),
        (1..=progress.len() as u64).collect::<Vec<_>>()
    );
    assert_eq!(tuples(&progress), 2 * TUPLES, "{progress:?}");
    let lags: Vec<_> = progress.values().map(|one| one.lag_tuples.expect("its own plan")).collect();
    assert!(lags[0] > 0 && lags.last() == Some(&0), "{lags:?}");
    let bytes: u64 = progress.values().map(|one| one.tuple_bytes).sum();
    let sent = (0..2 * TUPLES).map(|seq| {
        let key = format!("k{seq}");
        key.len() + format!(r#"{{"key": "{key}", "amount": {seq}}}"#).len()
    });
    assert_eq!(bytes, sent.sum::<usize>() as u64);
    assert!(progress.values().map(|one| one.rows).sum::<u64>() > 0);
    for (before, one) in progress.values().zip(progress.values().skip(1)) {
        assert!(
            before.watermark_ms <= one.watermark_ms && before.batch_time_ms <= one.batch_time_ms
        );
    }
    for one in progress.values() {
        assert_eq!(one.rows > 0, one.row_bytes > 0, "{one:?}");
        assert!(one.took.offsets_ns > 0 && one.took.tasks_ns > 0, "{one:?}");
        assert!(one.took.commit_ns > 0 && one.took.apply_ns > 0, "{one:?}");
        assert!(one.state_bytes > 0, "{one:?}");
    }
    assert_eq!(world.ended(), []);
}

#[test]
fn no_epoch_reads_more_of_a_partition_than_it_may() {
    let Watched { mut world, progress, .. } = watched(Trigger::Interval);
    world.run_until(40 * SECOND);
    let most = progress.borrow().values().map(|one| one.tuples).max();
    assert_eq!(most, Some(EPOCH_TUPLES * u64::from(PARTITIONS)));
}

#[test]
fn as_fast_as_possible_no_epoch_waits_for_its_turn() {
    let batch_times = |trigger| {
        let Watched { mut world, progress, published } = watched(trigger);
        world.run_until(15 * SECOND);
        let progress = progress.borrow();
        let first = progress.values().next().expect("an epoch").batch_time_ms;
        let last = progress.values().last().expect("an epoch").batch_time_ms;
        assert_eq!(published.get(), TUPLES);
        last - first
    };
    let (interval, fast) = (batch_times(Trigger::Interval), batch_times(Trigger::AsFastAsPossible));
    assert!(fast < interval && fast < 1_000, "{fast} ms, and {interval} ms at an interval");
}

#[test]
fn what_is_available_now_is_published_and_then_the_driver_ends_and_nothing_more_is_read() {
    let Watched { mut world, published, .. } = watched(Trigger::AvailableNow);
    // Ends at once, since there is nothing yet.
    world.run_until(40 * SECOND);
    assert_eq!(published.get(), 0);
    assert_eq!(world.ended(), []);
    // Started again, it goes on, and ends again.
    for until_ns in [60 * SECOND, 80 * SECOND] {
        world.start(DRIVER);
        world.run_until(until_ns);
        assert_eq!(published.get(), 2 * TUPLES);
        assert_eq!(world.ended(), []);
    }
}

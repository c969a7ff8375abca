//! A run that takes more than it may names the node and the task.

use std::{cell::Cell, future, rc::Rc, task::Poll, time::Duration};

use bytes::Bytes;
use unplug_sim::{
    Bandwidth, Budget, Overrun, SimEnv, Site, Stop, Weight, World, WorldConfig,
    env::{Address, Disk, Env, Exit, File, Net, NodeId, OpenMode, Port, Socket},
};

const SECOND: u64 = 1_000_000_000;

/// A quiet node, and one with a task of its own that does as `task` says.
fn overrun<F: Future<Output = ()> + 'static>(
    config: WorldConfig,
    task: impl Fn(SimEnv) -> F + Clone + 'static,
) -> (Overrun, u64) {
    let mut world = World::new(config);
    let quiet = world.add_node("quiet", Site::DataCentre, async |env: SimEnv| -> Exit {
        loop {
            env.sleep(Duration::from_millis(1)).await;
        }
    });
    let loud = world.add_node("loud", Site::DataCentre, move |env: SimEnv| {
        let task = task.clone();
        async move {
            env.spawn("culprit", task(env.clone()));
            future::pending().await
        }
    });
    world.start(quiet);
    world.start(loud);
    assert_eq!(world.run_until(5 * SECOND), Stop::OverBudget);
    assert_eq!(world.run_until(6 * SECOND), Stop::OverBudget, "it is given up for good");
    let overrun = world.overrun().expect("told");
    assert_eq!((world.name(overrun.node), overrun.task), ("loud".to_owned(), "culprit"));
    (overrun, world.now_ns())
}

fn few_steps() -> WorldConfig {
    WorldConfig { events_max: 10_000, ..WorldConfig::new(1) }
}

#[test]
fn one_that_wakes_itself_is_told_from_one_that_is_busy() {
    let (wakes, _) = overrun(few_steps(), |_| {
        future::poll_fn(|context| {
            context.waker().wake_by_ref();
            Poll::Pending
        })
    });
    let Budget::Steps { standing } = wakes.budget else { panic!("{wakes:?}") };
    assert!((2_500..=10_000).contains(&standing), "{standing}");
    let (busy, _) = overrun(few_steps(), |env| async move {
        loop {
            env.sleep(Duration::from_nanos(1)).await;
        }
    });
    assert_eq!(busy.budget, Budget::Steps { standing: 0 });
}

/// Bytes that take no time, and such that go by ports one after another.
fn bandwidths() -> [Bandwidth; 2] {
    let weights = vec![Weight { mark: vec![0], times: 100 }];
    [Bandwidth::default(), Bandwidth { port_bytes_per_second: 1 << 30, weights, ..<_>::default() }]
}

#[test]
fn one_that_floods_the_network_is_stopped_even_within_one_poll() {
    bandwidths().into_iter().for_each(floods);
}

fn floods(bandwidth: Bandwidth) {
    let sent = Rc::new(Cell::new(0));
    let config = WorldConfig { in_flight_bytes_max: 1 << 20, bandwidth, ..WorldConfig::new(1) };
    let count = Rc::clone(&sent);
    let (flood, now_ns) = overrun(config, move |env| {
        let sent = Rc::clone(&count);
        async move {
            let socket = env.net().bind(Port(1)).expect("a free port");
            let to = Address { node: NodeId(0), port: Port(1) };
            for _ in 0..1_000 {
                socket.send(to, Bytes::from(vec![0; 1 << 14])).expect("small");
                sent.set(sent.get() + 1);
            }
            future::pending().await
        }
    });
    assert_eq!((flood.budget, flood.at_ns), (Budget::InFlight, now_ns));
    assert_eq!(sent.get(), 1_000, "the poll goes on, and what it sends goes nowhere");
}

#[test]
fn datagrams_that_arrived_are_no_longer_under_way() {
    bandwidths().into_iter().for_each(arrives);
}

fn arrives(bandwidth: Bandwidth) {
    let config = WorldConfig { in_flight_bytes_max: 1 << 16, bandwidth, ..WorldConfig::new(1) };
    let mut world = World::new(config);
    let node = world.add_node("node", Site::DataCentre, async |env: SimEnv| -> Exit {
        let socket = env.net().bind(Port(1)).expect("a free port");
        for _ in 0..1_000 {
            socket.send(socket.local(), Bytes::from(vec![0; 1 << 14])).expect("small");
            env.sleep(Duration::from_millis(30)).await;
        }
        Ok(())
    });
    world.start(node);
    assert_eq!(world.run_until(60 * SECOND), Stop::Quiet);
}

#[test]
fn one_that_fills_its_disk_is_over_budget() {
    let config = WorldConfig { disk_bytes_max: 1 << 20, ..WorldConfig::new(1) };
    let (fills, _) = overrun(config, |env| async move {
        let file = env.disk().open("/log", OpenMode::Create).await.expect("sound");
        loop {
            file.append(Bytes::from(vec![0; 1 << 14])).await.expect("sound");
        }
    });
    assert_eq!(fills.budget, Budget::Disk);
}

#[test]
fn a_panic_names_its_task_and_its_destructors_may_have_effects() {
    /// Has an effect when it is dropped.
    struct Parting(SimEnv);
    impl Drop for Parting {
        fn drop(&mut self) {
            self.0.mark("parted");
        }
    }
    let mut world = World::new(WorldConfig::new(1));
    let node = world.add_node("node", Site::DataCentre, async |env: SimEnv| -> Exit {
        let own = env.clone();
        env.spawn("culprit", async move {
            let _parting = Parting(own.clone());
            loop {
                own.mark("again");
            }
        });
        future::pending().await
    });
    world.start(node);
    assert_eq!(world.run_until(SECOND), Stop::Panicked);
    let ended = world.ended();
    assert_eq!((ended.len(), ended[0].task), (1, "culprit"));
    assert!(ended[0].message.contains("without waiting once"), "{}", ended[0].message);
}

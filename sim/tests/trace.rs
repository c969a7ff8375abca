//! The trace as data, what node code says in it, and what a node looks like at a moment.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc, time::Duration};

use unplug_sim::{
    Change, Doing, Effect, Event, Loss, SimEnv, Site, Wait, What, World, WorldConfig,
    env::{Address, Disk, Env, Exit, File, Net, NodeId, OpenMode, Port, Socket},
    fault::Plan,
};

const SECOND: u64 = 1_000_000_000;

fn plan(json: &str) -> Plan {
    serde_json::from_str(json).expect("a plan")
}

/// Runs nodes until a time; what they did, and the world.
fn record(world: &mut World, until_ns: u64) -> Vec<Event> {
    let events = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&events);
    world.record(Box::new(move |event| sink.borrow_mut().push(event)));
    world.run_until(until_ns);
    events.take()
}

fn effects(events: &[Event]) -> impl Iterator<Item = &Effect> {
    events.iter().filter_map(|event| match &event.what {
        What::Effect(effect) => Some(effect),
        What::World(_) | What::Lost(_) | What::Failed(_) | What::Log(_) => None,
    })
}

/// The first node sends to the second every ten milliseconds, which writes down what it gets.
async fn talk(env: SimEnv) -> Exit {
    let socket = env.net().bind(Port(1)).expect("free");
    let to = Address { node: NodeId(1), port: Port(1) };
    if env.node() == NodeId(0) {
        loop {
            socket.send(to, "hello".into()).expect("small");
            env.sleep(Duration::from_millis(10)).await;
        }
    }
    let task = env.clone();
    env.spawn("writer", async move {
        let file = task.disk().open("/log", OpenMode::Create).await.expect("no faults");
        loop {
            let got = socket.recv().await;
            tracing::info!(bytes = got.payload.len(), "got it");
            file.append(got.payload).await.expect("no faults");
            file.sync_data().await.expect("no faults");
        }
    });
    Ok(())
}

fn world(seed: u64) -> World {
    let mut world = World::new(WorldConfig::new(seed));
    for name in ["a", "b"] {
        let node = world.add_node(name, Site::DataCentre, talk);
        world.start(node);
    }
    world
}

#[test]
fn a_receipt_has_the_id_of_what_was_sent_and_a_disk_operation_that_of_its_beginning() {
    let events = record(&mut world(3), 2 * SECOND);
    let (mut sent, mut begun) = (BTreeSet::new(), BTreeSet::new());
    let (mut receipts, mut ends, mut syncs) = (0, 0, 0);
    for effect in effects(&events) {
        match &effect.doing {
            Doing::Send { message, .. } => {
                assert_eq!((message.node, message.number), (effect.node, effect.number));
                assert!(sent.insert(*message));
            }
            Doing::Receive { message, bytes, port, .. } => {
                assert!(sent.contains(message), "{message:?}");
                assert_eq!((*bytes, *port), (5, Port(1)));
                assert_eq!(effect.task.expect("in a task").name, "writer");
                receipts += 1;
            }
            Doing::DiskBegin { path, .. } => {
                assert_eq!(path, "/log");
                begun.insert(effect.number);
            }
            Doing::DiskEnd { began, .. } => {
                assert!(begun.remove(began), "{effect:?}");
                ends += 1;
            }
            Doing::SyncEnd { began } => {
                assert!(begun.remove(began), "{effect:?}");
                assert_eq!(effect.task, None, "the device ends it");
                syncs += 1;
            }
            Doing::Timer | Doing::Mark(_) | Doing::Observe { .. } | Doing::Exit(_) => {}
        }
    }
    assert!(receipts > 50 && ends > 50 && syncs > 50, "{receipts}, {ends}, {syncs}");
}

#[test]
fn a_listener_is_told_what_node_code_says_and_what_befalls_nodes_and_changes_nothing() {
    let kill = plan(
        r#"{"faults": [{"when": {"from_ns": 1000000000},
            "what": {"kill": {"target": {"node": "b"}, "down_ns": 300000000}}}]}"#,
    );
    let run = |listening: bool| {
        let mut world = world(3);
        world.load(&kill).expect("of these nodes");
        let events = Rc::new(RefCell::new(Vec::new()));
        let sink = Rc::clone(&events);
        let recorder = Box::new(move |event| sink.borrow_mut().push(event));
        if listening {
            world.listen(recorder)
        } else {
            world.record(recorder)
        }
        world.run_until(2 * SECOND);
        (world.digest(), events.take())
    };
    let ((digest, heard), (recorded, all)) = (run(true), run(false));
    assert_eq!(digest, recorded);
    let wanted: Vec<_> = all
        .into_iter()
        .filter(|event| matches!(event.what, What::Log(_) | What::World(_)))
        .collect();
    assert!(wanted.len() > 50, "{}", wanted.len());
    assert_eq!(heard, wanted);
}

#[test]
fn what_does_not_arrive_is_told_with_the_reason() {
    let mut world = world(3);
    world
        .load(&plan(
            r#"{"faults": [
            {"when": {"from_ns": 1000000000},
             "what": {"kill": {"target": {"node": "b"}, "down_ns": 300000000}}},
            {"when": {"from_ns": 2000000000},
             "what": {"partition": {"from": ["a"], "to": ["b"], "for_ns": 300000000}}}]}"#,
        ))
        .expect("sound");
    let events = record(&mut world, 4 * SECOND);
    let mut why = BTreeSet::new();
    let mut changes = Vec::new();
    for event in &events {
        match &event.what {
            What::Lost(lost) => _ = why.insert(format!("{:?}", lost.why)),
            What::World(happening) => changes.push(happening.change),
            What::Effect(_) | What::Failed(_) | What::Log(_) => {}
        }
    }
    for loss in [Loss::Link, Loss::Partition, Loss::Down] {
        assert!(why.contains(&format!("{loss:?}")), "{loss:?} is not among {why:?}");
    }
    let has = |what: fn(&Change) -> bool| changes.iter().any(what);
    assert!(has(|change| matches!(change, Change::Fault { fault: 0, kind: "kill", .. })));
    assert!(has(|change| matches!(change, Change::Crash { fault: 0 })));
    assert!(has(|change| matches!(change, Change::Boot { boot: 2 })));
    assert!(has(|change| matches!(change, Change::Begin { fault: 1 })));
    assert!(has(|change| matches!(change, Change::Over { fault: 1 })));
}

#[test]
fn what_node_code_says_is_told_in_its_place_and_never_counts() {
    let mut recorded = world(5);
    let events = record(&mut recorded, SECOND);
    let mut plain = world(5);
    plain.run_until(SECOND);
    assert_eq!(plain.digest(), recorded.digest());
    let mut received = 0;
    let mut said = 0;
    for event in &events {
        match &event.what {
            What::Effect(Effect { doing: Doing::Receive { .. }, .. }) => received += 1,
            What::Log(log) => {
                said += 1;
                // After the receipt that it speaks of, and before the next.
                assert_eq!(said, received, "{event}");
                assert_eq!((log.name.as_str(), log.task.name), ("b", "writer"));
                assert_eq!((log.level, log.text.as_str()), ("INFO", "got it bytes=5"));
                assert_eq!(log.target, "trace");
            }
            What::Effect(_) | What::World(_) | What::Lost(_) | What::Failed(_) => {}
        }
    }
    assert!(said > 20, "{said}");
}

#[test]
fn what_is_said_after_a_crash_point_is_not_told() {
    let mut world = World::new(WorldConfig::new(1));
    let node = world.add_node("node", Site::DataCentre, |env| async move {
        tracing::info!("before");
        env.mark("here");
        tracing::info!("after");
        Ok(())
    });
    world
        .load(&plan(
            r#"{"faults": [{"when": {"from_ns": 0,
                "on": {"node": "node", "effect": {"mark": "here"}, "nth": 1, "edge": "after"}},
            "what": {"kill": {"target": {"node": "node"}, "down_ns": 60000000000}}}]}"#,
        ))
        .expect("sound");
    world.start(node);
    let events = record(&mut world, SECOND);
    let said: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.what {
            What::Log(log) => Some(log.text.as_str()),
            What::Effect(_) | What::World(_) | What::Lost(_) | What::Failed(_) => None,
        })
        .collect();
    assert_eq!(said, ["before"]);
    assert_eq!(world.fired_count(), 1);
}

/// A node with one task for each thing that can be waited for.
async fn wait_for_all(env: SimEnv) -> Exit {
    let disk = env.disk();
    let file = disk.open("/kept", OpenMode::Create).await.expect("no faults");
    file.append("kept".into()).await.expect("no faults");
    file.sync_all().await.expect("no faults");
    disk.sync_dir("/").await.expect("no faults");
    file.append(" and more".into()).await.expect("no faults");
    disk.open("/new", OpenMode::Create).await.expect("no faults");
    let sleeper = env.clone();
    env.spawn("sleeper", async move { sleeper.sleep(Duration::from_secs(60)).await });
    let socket = env.net().bind(Port(7)).expect("free");
    env.spawn("receiver", async move { drop(socket.recv().await) });
    let syncer = env.clone();
    env.spawn("syncer", async move {
        syncer.sleep(Duration::from_secs(1)).await;
        file.sync_data().await.expect("no faults");
    });
    let deaf = env.net().bind(Port(8)).expect("free");
    deaf.send(deaf.local(), "to itself".into()).expect("small");
    env.mark("all");
    std::future::pending::<()>().await;
    drop(deaf);
    Ok(())
}

#[test]
fn a_node_is_shown_with_its_files_inboxes_and_what_its_tasks_wait_for() {
    let start = || {
        let mut config = WorldConfig::new(2);
        config.network.loss = (0, 1);
        config.network.duplication = (0, 1);
        config.disk.sync_ns = (500_000_000, 500_000_000);
        let mut world = World::new(config);
        world.watch("all");
        let node = world.add_node("node", Site::DataCentre, wait_for_all);
        world.start(node);
        world.record(Box::new(|_| {}));
        (world, node)
    };
    let (mut before, _) = start();
    before.run_until(3 * SECOND);
    let ready_ns = before.mark_hits()[0].at_ns;
    let (mut world, node) = start();
    world.run_until(ready_ns + SECOND + SECOND / 4);
    let view = world.inspect(node);
    assert_eq!((view.power, view.boot), ("on", 1));
    let file = |path: &str| view.files.iter().find(|file| file.path == path).expect("there");
    let bytes = |content: &Option<unplug_sim::Content>| content.map(|content| content.bytes);
    let kept = file("/kept");
    assert_eq!((bytes(&kept.live), bytes(&kept.durable), kept.synced), (Some(13), Some(4), false));
    let new = file("/new");
    assert_eq!((bytes(&new.live), bytes(&new.durable), new.synced), (Some(0), None, false));
    let inboxes: Vec<_> = view.inboxes.iter().map(|at| (at.port.0, at.datagrams.len())).collect();
    assert_eq!(inboxes, [(7, 0), (8, 1)]);
    let waits = |name: &str| {
        let task = view.tasks.iter().find(|task| task.name == name).expect("there");
        assert!(!task.ready);
        task.waits.clone()
    };
    assert!(matches!(waits("sleeper")[..], [Wait::Timer { until_ns }] if until_ns > 50 * SECOND));
    assert_eq!(waits("receiver"), [Wait::Receive { port: Port(7) }]);
    let sync = Wait::Disk { operation: "sync_data", path: "/kept".to_owned(), until_ns: None };
    assert_eq!(waits("syncer"), [sync]);
    assert_eq!(waits("main"), []);
    let text = view.to_string();
    for line in [
        "  receiver: waits for a datagram on port 7",
        "  main: waits for another task, or for something unknown",
        "  syncer: waits for sync_data of /kept",
        "    from n0:8, 9 bytes",
    ] {
        assert!(text.lines().any(|told| told == line), "{line:?} is not in\n{text}");
    }
    assert!(text.contains("13 B  durable: 4 B"), "{text}");
    assert!(text.contains("0 B  durable: absent"), "{text}");
}

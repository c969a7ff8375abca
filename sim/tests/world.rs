//! What must hold of a world, seen through the contract.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use unplug_sim::{
    End, NetworkConfig, SimEnv, Site, Stop, World, WorldConfig,
    env::{Address, Disk, Env, Exit, File, Instant, Net, NodeId, OpenMode, Port, Refusal, Socket},
    fault::{Action, Edge, EffectFilter, Fault, Keep, Plan, Point, Target, Trigger},
};

const SECOND: u64 = 1_000_000_000;

fn quiet_network() -> NetworkConfig {
    NetworkConfig { loss: (0, 1), duplication: (0, 1), ..NetworkConfig::default() }
}

fn world(seed: u64) -> World {
    World::new(WorldConfig { network: quiet_network(), ..WorldConfig::new(seed) })
}

fn fault(on: Option<(&str, EffectFilter, u64, Edge)>, from_ns: u64, what: Action) -> Plan {
    let on = on.map(|(node, effect, nth, edge)| Point {
        node: node.to_owned(),
        effect,
        inside: None,
        nth,
        edge,
    });
    Plan { faults: vec![Fault { when: Trigger { from_ns, on }, what, until: None }] }
}

fn power_loss(node: &str, down_ns: u64) -> Action {
    Action::PowerLoss { target: Target::Node(node.to_owned()), down_ns, keep: Keep::Drawn }
}

fn mark(name: &str) -> EffectFilter {
    EffectFilter::Mark(name.to_owned())
}

/// A client and a server that talk, write and sync, with some randomness.
async fn chatter(env: SimEnv, peer: NodeId) -> Exit {
    let socket = env.net().bind(Port(1)).expect("free");
    let to = Address { node: peer, port: Port(1) };
    let file = env.disk().open("/log", OpenMode::Create).await.expect("no faults");
    if env.node() < peer {
        env.sleep(Duration::from_secs(1)).await;
        socket.send(to, "ball".into()).expect("small");
    }
    for round in 0..50u64 {
        let wait = Duration::from_micros(env.random() % 5_000);
        env.spawn("aside", {
            let env = env.clone();
            async move { env.sleep(wait).await }
        });
        let ball = socket.recv().await;
        file.append(ball.payload.clone()).await.expect("no faults");
        file.sync_data().await.expect("no faults");
        env.mark("round");
        env.busy(Duration::from_micros(round)).await;
        socket.send(to, ball.payload).expect("small");
    }
    Ok(())
}

fn chat(seed: u64, plan: &Plan) -> (Vec<String>, String) {
    let mut world = World::new(WorldConfig::new(seed));
    let lines = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&lines);
    world.record(Box::new(move |event| sink.borrow_mut().push(event.to_string())));
    let a = world.add_node("a", Site::DataCentre, |env| chatter(env, NodeId(1)));
    let b = world.add_node("b", Site::DataCentre, |env| chatter(env, NodeId(0)));
    world.load(plan).expect("known nodes");
    world.start(a);
    world.start(b);
    world.run_until(30 * SECOND);
    let digest = world.digest().to_string();
    drop(world);
    (Rc::try_unwrap(lines).expect("the world is gone").into_inner(), digest)
}

#[test]
fn the_same_seed_gives_the_same_trace_and_digest_and_another_seed_does_not() {
    let plan = fault(None, SECOND + SECOND / 50, power_loss("b", SECOND));
    let (lines, digest) = chat(5, &plan);
    assert!(lines.len() > 10, "{} lines", lines.len());
    assert_eq!((lines.clone(), digest.clone()), chat(5, &plan));
    assert_ne!(digest, chat(6, &plan).1);
    assert_ne!(digest, chat(5, &Plan::default()).1);
}

#[test]
fn recording_a_trace_changes_nothing() {
    let mut world = World::new(WorldConfig::new(5));
    let a = world.add_node("a", Site::DataCentre, |env| chatter(env, NodeId(1)));
    let b = world.add_node("b", Site::DataCentre, |env| chatter(env, NodeId(0)));
    world.start(a);
    world.start(b);
    world.run_until(30 * SECOND);
    assert_eq!(world.digest().to_string(), chat(5, &Plan::default()).1);
}

/// Runs a program that makes five marks within one poll, observing after each, and a power loss
/// beside the third.
fn marks_counted(edge: Edge) -> Vec<u64> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let mut world = world(1);
    let witness = Rc::clone(&seen);
    let node = world.add_node("node", Site::DataCentre, move |env: SimEnv| {
        let witness = Rc::clone(&witness);
        async move {
            for number in 1..=5 {
                env.mark("step");
                env.observe("step", number, |_| witness.borrow_mut().push(number));
            }
            std::future::pending().await
        }
    });
    let plan = fault(Some(("node", mark("step"), 3, edge)), 0, power_loss("node", 100 * SECOND));
    world.load(&plan).expect("known node");
    world.start(node);
    world.run_until(SECOND);
    let crashes = world.crashes();
    assert_eq!(crashes.len(), 1);
    let steps = if edge == Edge::Before { 2 } else { 3 };
    assert_eq!(crashes[0].marks.get("step"), Some(&steps));
    drop(world);
    Rc::try_unwrap(seen).expect("no leak").into_inner()
}

#[test]
fn nothing_counts_after_the_crash_point_even_in_the_middle_of_a_poll() {
    assert_eq!(marks_counted(Edge::Before), [1, 2]);
    assert_eq!(marks_counted(Edge::After), [1, 2]);
}

#[test]
fn a_panic_after_the_crash_point_does_not_count_and_one_before_does() {
    for (struck, want) in [(true, Stop::Time), (false, Stop::Panicked)] {
        let mut world = world(1);
        let node = world.add_node("node", Site::DataCentre, |env: SimEnv| async move {
            env.mark("edge");
            if env.random() != 1 {
                panic!("after the edge");
            }
            Ok(())
        });
        if struck {
            let on = Some(("node", mark("edge"), 1, Edge::After));
            world.load(&fault(on, 0, power_loss("node", 100 * SECOND))).expect("known node");
        }
        world.start(node);
        assert_eq!(world.run_until(SECOND), want);
        let panics: Vec<_> = world.ended().iter().map(|ended| ended.message.clone()).collect();
        assert_eq!(panics, if struck { vec![] } else { vec!["after the edge"] });
    }
}

#[test]
fn a_refusal_is_told_and_its_node_stays_down() {
    let mut world = world(1);
    let boots = Rc::new(Cell::new(0));
    let count = Rc::clone(&boots);
    let node = world.add_node("node", Site::DataCentre, move |_: SimEnv| {
        count.set(count.get() + 1);
        async { Err(Refusal::new("a blank disk")) }
    });
    world.start(node);
    world.run_until(SECOND);
    let ended = world.ended();
    assert_eq!(
        (ended.len(), ended[0].end, ended[0].message.as_str()),
        (1, End::Refusal, "a blank disk")
    );
    assert_eq!(boots.get(), 1);
}

/// Sends from its destructor, which must have no effect after a crash.
struct LastWords {
    env: SimEnv,
    socket: Option<<<SimEnv as Env>::Net as Net>::Socket>,
}

impl Drop for LastWords {
    fn drop(&mut self) {
        self.env.mark("last words");
        let to = Address { node: NodeId(1), port: Port(1) };
        self.socket.as_ref().expect("open").send(to, "bye".into()).expect("small");
    }
}

#[test]
fn a_destructor_of_a_crashed_node_can_neither_send_nor_mark() {
    let heard = Rc::new(Cell::new(0));
    let mut world = world(1);
    world.watch("last words");
    let talker = world.add_node("talker", Site::DataCentre, |env: SimEnv| async move {
        let socket = Some(env.net().bind(Port(1)).expect("free"));
        let _words = LastWords { env, socket };
        std::future::pending().await
    });
    let count = Rc::clone(&heard);
    let listener = world.add_node("listener", Site::DataCentre, move |env: SimEnv| {
        let count = Rc::clone(&count);
        async move {
            let socket = env.net().bind(Port(1)).expect("free");
            loop {
                socket.recv().await;
                count.set(count.get() + 1);
            }
        }
    });
    world.load(&fault(None, SECOND, power_loss("talker", SECOND))).expect("known node");
    world.start(talker);
    world.start(listener);
    world.run_until(5 * SECOND);
    assert_eq!(world.fired_count(), 1);
    assert_eq!((heard.get(), world.mark_hits().len()), (0, 0));
    // Dropping the world drops the second boot's task, whose node still has power until then.
    drop(world);
}

#[test]
fn a_dropped_receive_loses_no_datagram() {
    let got = Rc::new(RefCell::new(Vec::new()));
    let mut world = world(1);
    let sender = world.add_node("sender", Site::DataCentre, |env: SimEnv| async move {
        let socket = env.net().bind(Port(1)).expect("free");
        env.sleep(Duration::from_secs(1)).await;
        for number in 0..100u8 {
            let to = Address { node: NodeId(1), port: Port(1) };
            socket.send(to, vec![number].into()).expect("small");
            env.sleep(Duration::from_millis(30)).await;
        }
        Ok(())
    });
    let seen = Rc::clone(&got);
    let receiver = world.add_node("receiver", Site::DataCentre, move |env: SimEnv| {
        let seen = Rc::clone(&seen);
        async move {
            let socket = env.net().bind(Port(1)).expect("free");
            loop {
                // Polls the receive, then drops it, again and again.
                let receive = std::pin::pin!(socket.recv());
                let pause = std::pin::pin!(env.sleep(Duration::from_millis(7)));
                let mut both = Either(Some(receive), pause);
                if let Some(datagram) = std::future::poll_fn(|context| both.poll(context)).await {
                    seen.borrow_mut().push(datagram.payload[0]);
                }
            }
        }
    });
    world.start(sender);
    world.start(receiver);
    world.run_until(10 * SECOND);
    assert_eq!(*got.borrow(), (0..100).collect::<Vec<u8>>());
}

/// The first of two futures to complete; `None` if it is the second.
struct Either<A, B>(Option<A>, B);

impl<A: Future + Unpin, B: Future<Output = ()> + Unpin> Either<A, B> {
    fn poll(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Option<A::Output>> {
        use std::{pin::Pin, task::Poll};
        let first = self.0.as_mut().expect("polled until it is done");
        if let Poll::Ready(done) = Pin::new(first).poll(context) {
            return Poll::Ready(Some(done));
        }
        Pin::new(&mut self.1).poll(context).map(|()| None)
    }
}

#[test]
fn a_handle_that_outlives_its_boot_does_nothing() {
    let kept: Rc<RefCell<Option<SimEnv>>> = Rc::default();
    let mut world = world(1);
    world.watch("late");
    let keep = Rc::clone(&kept);
    let node = world.add_node("node", Site::DataCentre, move |env: SimEnv| {
        keep.borrow_mut().get_or_insert_with(|| env.clone());
        std::future::pending()
    });
    world.load(&fault(None, SECOND, power_loss("node", 1))).expect("known node");
    world.start(node);
    world.run_until(3 * SECOND);
    let before = world.digest();
    let env = kept.borrow_mut().take().expect("the first boot left its handle");
    env.mark("late");
    env.observe("late", 0, |_| panic!("a dead boot writes no history"));
    let socket = env.net().bind(Port(9)).expect("a socket that does nothing");
    socket.send(Address { node, port: Port(9) }, "late".into()).expect("small");
    env.spawn("late", async { panic!("a dead boot runs nothing") });
    assert_eq!(env.random(), 0);
    world.run_until(4 * SECOND);
    assert_eq!((world.digest(), world.mark_hits().len()), (before, 0));
    drop(world);
    assert_eq!(env.now(), Instant(0));
}

#[test]
fn killing_keeps_the_page_cache_and_power_loss_takes_the_unsynced_file_name() {
    let survivors = |what: Action| {
        let mut names = Vec::new();
        for seed in 0..20 {
            let mut world = world(seed);
            let node = world.add_node("node", Site::DataCentre, |env: SimEnv| async move {
                env.disk().open("/file", OpenMode::Create).await.expect("no faults");
                env.mark("made");
                std::future::pending().await
            });
            let on = Some(("node", mark("made"), 1, Edge::After));
            world.load(&fault(on, 0, what.clone())).expect("known node");
            world.start(node);
            world.run_until(SECOND);
            assert_eq!(world.crashes()[0].unsynced, 1);
            names.push(world.disk(node, |disk| disk.read_dir("/")).expect("the root").len());
        }
        names
    };
    let kill = Action::Kill { target: Target::Node("node".to_owned()), down_ns: 100 * SECOND };
    assert!(survivors(kill).iter().all(|count| *count == 1));
    let after_power_loss = survivors(power_loss("node", 100 * SECOND));
    assert!(after_power_loss.contains(&0) && after_power_loss.contains(&1));
}

#[test]
fn a_sync_takes_effect_at_its_end_whether_its_future_is_dropped_or_not() {
    let mut world = world(3);
    let node = world.add_node("node", Site::DataCentre, |env: SimEnv| async move {
        let disk = env.disk();
        let file = disk.open("/file", OpenMode::Create).await.expect("no faults");
        file.append("durable".into()).await.expect("no faults");
        for dropped in [true, false] {
            let mut sync = Box::pin(file.sync_all());
            if dropped {
                // Polled once, then dropped.
                std::future::poll_fn(|context| {
                    assert!(sync.as_mut().poll(context).is_pending());
                    std::task::Poll::Ready(())
                })
                .await;
            }
        }
        let mut names = Box::pin(disk.sync_dir("/"));
        std::future::poll_fn(|context| {
            assert!(names.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(names);
        env.sleep(Duration::from_secs(1)).await;
        env.mark("waited");
        std::future::pending().await
    });
    let on = Some(("node", mark("waited"), 1, Edge::After));
    world.load(&fault(on, 0, power_loss("node", 100 * SECOND))).expect("known node");
    world.start(node);
    world.run_until(5 * SECOND);
    assert_eq!(world.crashes()[0].unsynced, 0);
    assert_eq!(world.disk(node, |disk| disk.metadata("/file")).expect("durable").len, 7);
}

#[test]
fn a_data_centre_power_loss_spares_clients_outside_it() {
    let mut world = world(1);
    let inside = Site::DataCentre;
    for (name, site) in [("a", inside), ("b", inside), ("client", Site::Outside)] {
        let node = world.add_node(name, site, |_: SimEnv| std::future::pending());
        world.start(node);
    }
    let what = Action::PowerLoss { target: Target::DataCentre, down_ns: SECOND, keep: Keep::Drawn };
    world.load(&fault(None, SECOND, what)).expect("no names");
    world.run_until(5 * SECOND);
    let struck: Vec<_> = world.crashes().iter().map(|crash| world.name(crash.node)).collect();
    assert_eq!(struck, ["a", "b"]);
    assert!(world.fired()[0].back_ns > 2 * SECOND);
}

#[test]
fn a_plan_with_an_unknown_node_or_a_zeroth_effect_is_refused_whole() {
    let mut world = world(1);
    let node = world.add_node("node", Site::DataCentre, |_: SimEnv| std::future::pending());
    world.start(node);
    let mut plan = fault(None, SECOND, power_loss("node", 1));
    plan.faults.extend(fault(None, SECOND, power_loss("nod", 1)).faults);
    let error = world.load(&plan).expect_err("no such node").to_string();
    assert_eq!(error, "faults[1] names the node \"nod\", but there are only: node");
    let on = Some(("node", EffectFilter::Any, 0, Edge::After));
    assert!(world.load(&fault(on, 0, power_loss("node", 1))).is_err());
    world.run_until(5 * SECOND);
    assert_eq!(world.fired_count(), 0);
}

#[test]
fn disarmed_faults_do_not_happen() {
    let mut world = world(1);
    let node = world.add_node("node", Site::DataCentre, |env: SimEnv| async move {
        loop {
            env.sleep(Duration::from_millis(100)).await;
        }
    });
    world.start(node);
    world.load(&fault(None, 3 * SECOND, power_loss("node", 1))).expect("known node");
    let on = Some(("node", EffectFilter::Timer, 35, Edge::After));
    world.load(&fault(on, 0, power_loss("node", 1))).expect("known node");
    world.run_until(2 * SECOND);
    world.disarm();
    world.run_until(10 * SECOND);
    assert_eq!(world.fired_count(), 0);
}

#[test]
fn taking_one_fault_away_leaves_an_unrelated_node_as_it_was() {
    let run = |plan: &Plan| {
        let mut world = world(9);
        let lines = Rc::new(RefCell::new(Vec::new()));
        let sink = Rc::clone(&lines);
        world.record(Box::new(move |event| {
            let line = event.to_string();
            if line.contains(" loner ") {
                sink.borrow_mut().push(line);
            }
        }));
        for name in ["victim", "loner"] {
            let node = world.add_node(name, Site::DataCentre, |env: SimEnv| async move {
                loop {
                    env.sleep(Duration::from_nanos(env.random() % SECOND)).await;
                }
            });
            world.start(node);
        }
        world.load(plan).expect("known node");
        world.run_until(20 * SECOND);
        lines.take()
    };
    let alone = run(&Plan::default());
    assert!(alone.len() > 20);
    assert_eq!(run(&fault(None, 5 * SECOND, power_loss("victim", SECOND))), alone);
}

#[test]
fn a_thousand_worlds_one_after_another_leave_nothing_behind() {
    let alive = Rc::new(());
    for seed in 0..1_000 {
        let mut world = world(seed);
        let guard = Rc::clone(&alive);
        let node = world.add_node("node", Site::DataCentre, move |env: SimEnv| {
            let guard = Rc::clone(&guard);
            async move {
                let _guard = guard;
                let _file = env.disk().open("/file", OpenMode::Create).await;
                let _socket = env.net().bind(Port(1));
                env.sleep(Duration::from_secs(100)).await;
                Ok(())
            }
        });
        world.start(node);
        world.run_until(SECOND);
    }
    assert_eq!(Rc::strong_count(&alive), 1);
}

#[test]
fn a_fault_before_the_end_of_an_open_drops_its_file_without_a_panic() {
    let mut world = world(1);
    let node = world.add_node("node", Site::DataCentre, |env: SimEnv| async move {
        let _file = env.disk().open("/file", OpenMode::Create).await;
        std::future::pending().await
    });
    let on = Some(("node", EffectFilter::Disk, 1, Edge::Before));
    world.load(&fault(on, 0, power_loss("node", SECOND))).expect("known node");
    world.start(node);
    world.run_until(5 * SECOND);
    assert_eq!((world.fired_count(), world.panics_after_crash()), (1, 0));
}

#[test]
fn an_effect_that_a_fault_prevents_is_not_counted_by_another() {
    let when_second_struck = |with_first: bool| {
        let mut world = world(1);
        let node = world.add_node("node", Site::DataCentre, |env: SimEnv| async move {
            loop {
                env.sleep(Duration::from_secs(1)).await;
                env.mark("tick");
            }
        });
        let kill = Action::Kill { target: Target::Node("node".to_owned()), down_ns: 1 };
        if with_first {
            let on = Some(("node", mark("tick"), 3, Edge::Before));
            world.load(&fault(on, 0, kill.clone())).expect("known node");
        }
        world.load(&fault(Some(("node", mark("tick"), 4, Edge::After)), 0, kill)).expect("known");
        world.start(node);
        world.run_until(20 * SECOND);
        let crashes = world.crashes();
        crashes.iter().map(|crash| crash.marks.values().sum::<u64>()).sum::<u64>()
    };
    assert_eq!((when_second_struck(true), when_second_struck(false)), (4, 4));
}

#[test]
fn a_task_that_only_wakes_itself_is_over_budget_and_one_that_never_waits_panics() {
    let mut world = World::new(WorldConfig { events_max: 1_000, ..WorldConfig::new(1) });
    let node = world.add_node("node", Site::DataCentre, |_: SimEnv| {
        std::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
    });
    world.start(node);
    assert_eq!(world.run_until(SECOND), Stop::OverBudget);

    let mut world = World::new(WorldConfig::new(1));
    let node = world.add_node("node", Site::DataCentre, |env: SimEnv| async move {
        loop {
            env.sleep_until(env.now()).await;
        }
    });
    world.start(node);
    assert_eq!(world.run_until(SECOND), Stop::Panicked);
    assert!(world.ended()[0].message.contains("without waiting once"));
}

#[test]
fn a_program_that_spins_in_events_is_over_budget() {
    let mut world = World::new(WorldConfig { events_max: 1_000, ..WorldConfig::new(1) });
    let node = world.add_node("node", Site::DataCentre, |env: SimEnv| async move {
        loop {
            env.sleep(Duration::from_nanos(1)).await;
        }
    });
    world.start(node);
    assert_eq!(world.run_until(SECOND), Stop::OverBudget);
}

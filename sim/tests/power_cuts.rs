//! Losses of power whose outcome a plan says, and disks that are watched from outside: the two must
//! agree, so that what was seen can be had again.

use std::{cell::RefCell, rc::Rc};

use unplug_sim::{
    DiskMoment, SimEnv, Site, WALL_START_NS, World, WorldConfig,
    disk::Disk,
    env::{Disk as _, Env, Exit, File, NodeId, OpenMode, Refusal},
    fault::{Action, Edge, EffectFilter, Fate, Fault, Keep, Plan, Point, Target, Trigger, Whole},
};

const NAMES: [&str; 2] = ["left", "right"];

/// Writes two sectors to a file that it makes, and syncs the file, then the directory.
async fn writer(env: SimEnv) -> Exit {
    let work = async {
        let file = env.disk().open("/log", OpenMode::Create).await?;
        file.append(vec![b'x'; 1024].into()).await?;
        file.sync_all().await?;
        env.disk().sync_dir("/").await
    };
    work.await.map_err(|error| Refusal::new(error.to_string()))?;
    std::future::pending().await
}

fn world(seed: u64) -> World {
    // Both at once, so that both have something pending.
    let mut world = World::new(WorldConfig { boot_ns: (1, 2), ..WorldConfig::new(seed) });
    for name in NAMES {
        let node = world.add_node(name, Site::DataCentre, writer);
        world.start(node);
    }
    world
}

fn plan(on: Point, keep: Keep) -> Plan {
    let what = Action::PowerLoss { target: Target::DataCentre, down_ns: u64::MAX / 4, keep };
    Plan { faults: vec![Fault { when: Trigger { from_ns: 0, on: Some(on) }, what, until: None }] }
}

fn point(node: &str, effect: EffectFilter, nth: u64, edge: Edge) -> Point {
    Point { node: node.to_owned(), effect, inside: None, nth, edge }
}

/// What the disks hold after the plan.
fn after(seed: u64, plan: &Plan) -> [u128; 2] {
    let mut world = world(seed);
    world.load(plan).expect("a sound plan");
    world.run_until(1_000_000_000);
    assert_eq!(world.fired_count(), 1, "{plan:?}");
    [0, 1].map(|node| world.disk(NodeId(node), |disk| disk.image_hash()))
}

/// One effect as a watcher saw it: whose, which of its kind, and both disks then.
struct Seen {
    node: usize,
    effect: EffectFilter,
    nth: u64,
    operation: String,
    disks: [Disk; 2],
}

fn watch(seed: u64) -> Vec<Seen> {
    let mut world = world(seed);
    let seen: Rc<RefCell<Vec<Seen>>> = Rc::default();
    let shared = Rc::clone(&seen);
    let mut disks = [Disk::new(), Disk::new()];
    world.watch_disks(Box::new(move |effect| {
        let node = usize::from(effect.node.0);
        disks[node] = effect.disk.clone();
        let kind = match effect.moment {
            DiskMoment::Written => EffectFilter::Write,
            DiskMoment::SyncBegun | DiskMoment::SyncEnded => EffectFilter::Sync,
        };
        let before = |one: &&Seen| one.node == node && one.effect == kind;
        let mut seen = shared.borrow_mut();
        let nth = seen.iter().filter(before).count() as u64 + 1;
        let operation = effect.operation.to_owned();
        seen.push(Seen { node, effect: kind, nth, operation, disks: disks.clone() });
    }));
    world.run_until(1_000_000_000);
    drop(world);
    Rc::into_inner(seen).expect("the world is gone").into_inner()
}

#[test]
fn a_plan_cuts_beside_each_watched_effect_and_leaves_what_its_choice_leaves_of_the_watched_disks() {
    for seed in 0..5 {
        let all = watch(seed);
        // Of each node: open, append, and two syncs with start and end.
        assert_eq!(all.len(), 12);
        assert!(all.iter().any(|one| one.disks.iter().all(|disk| disk.pending() > 0)));
        for Seen { node, effect, nth, disks, .. } in &all {
            let on = || point(NAMES[*node], effect.clone(), *nth, Edge::After);
            for (keep, whole) in [(Keep::Nothing, Fate::Lost), (Keep::Everything, Fate::Kept)] {
                let expected = disks.clone().map(|mut disk| {
                    disk.crash_with(&mut |_| whole);
                    disk.image_hash()
                });
                assert_eq!(after(seed, &plan(on(), keep)), expected);
            }
            for (fates, outcome) in disks[*node].bounded_choices() {
                let name = NAMES[*node].to_owned();
                let keep = Keep::Torn { node: name, fates, others: Whole::Nothing };
                let mut other = disks[1 - node].clone();
                other.crash_with(&mut |_| Fate::Lost);
                let mut expected = [other.image_hash(); 2];
                expected[*node] = outcome.image_hash();
                assert_eq!(after(seed, &plan(on(), keep)), expected);
            }
        }
    }
}

#[test]
fn watched_operations_are_named_by_path_and_place() {
    let all = watch(3);
    let of_left: Vec<_> = all.iter().filter(|one| one.node == 0).collect();
    for (one, expected) in of_left.iter().zip([
        "open /log",
        "append /log",
        "sync_all /log",
        "sync_all /log",
        "sync_dir /",
        "sync_dir /",
    ]) {
        let operation = &one.operation;
        assert!(operation.starts_with(&format!("{expected} (")), "{operation}");
        assert!(operation.contains("power_cuts.rs:"), "{operation}");
    }
}

#[test]
fn watching_changes_nothing() {
    let digest = |watched: bool| {
        let mut world = world(7);
        if watched {
            world.watch_disks(Box::new(|effect| assert!(!effect.operation.is_empty())));
        }
        world.run_until(1_000_000_000);
        world.digest()
    };
    assert_eq!(digest(false), digest(true));
}

#[test]
fn what_a_plan_keeps_is_read_from_json_and_its_node_must_be_there() {
    let keep = |json: &str| serde_json::from_str::<Keep>(json).expect("a choice");
    assert_eq!(keep("\"nothing\""), Keep::Nothing);
    let fates = vec![Fate::Kept, Fate::Lost, Fate::Short(512)];
    let torn = Keep::Torn { node: "left".to_owned(), fates, others: Whole::Everything };
    let json = r#"{"torn": {"node": "left", "fates": ["kept", "lost", {"short": 512}], "others": "everything"}}"#;
    assert_eq!(keep(json), torn);
    let text = r#"{"power_loss": {"target": "data_centre", "down_ns": 1}}"#;
    let drawn: Action = serde_json::from_str(text).expect("as ever");
    assert_eq!(serde_json::to_string(&drawn).expect("serialises"), text.replace(' ', ""));
    let on = point("left", EffectFilter::Write, 1, Edge::After);
    let nobody = Keep::Torn { node: "nobody".to_owned(), fates: vec![], others: Whole::Nothing };
    let error = world(0).load(&plan(on, nobody)).expect_err("nobody").to_string();
    assert_eq!(error, "faults[0] names the node \"nobody\", but there are only: left, right");
}

#[test]
fn fates_that_no_unit_can_have_are_losses_and_never_a_panic() {
    let write = || point("left", EffectFilter::Write, 2, Edge::After);
    let torn = |fates| Keep::Torn { node: "left".to_owned(), fates, others: Whole::Nothing };
    let lost = after(1, &plan(write(), Keep::Nothing));
    for fates in [vec![], vec![Fate::Garbage; 2], vec![Fate::Short(7); 50]] {
        assert_eq!(after(1, &plan(write(), torn(fates))), lost);
    }
}

#[test]
fn a_world_goes_on_from_a_later_time_and_its_clocks_do_not_go_back() {
    let mut world = World::starting_at(5_000_000_000, WorldConfig::new(1));
    let times = Rc::new(RefCell::new(Vec::new()));
    let shared = Rc::clone(&times);
    let node = world.add_node("node", Site::DataCentre, move |env: SimEnv| {
        let shared = Rc::clone(&shared);
        async move {
            shared.borrow_mut().push(env.wall().0 - WALL_START_NS);
            Ok(())
        }
    });
    world.start(node);
    world.run_until(6_000_000_000);
    assert!(matches!(times.borrow()[..], [at] if at > 5_000_000_000), "{times:?}");
}

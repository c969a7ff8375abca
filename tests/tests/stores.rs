//! Registers and blobs over three stores, whatever happens to one of them.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    iter,
    rc::Rc,
    time::Duration,
};

use futures_util::future::try_join_all;

use unplug_engine::{
    Cluster, Config, Role,
    defect::{Defect, Defects},
    epoch::{BlobRef, FloorRecord},
    pipeline::{Pipeline, Spec},
    rpc::Rpc,
    stores::{Stores, StoresError},
    tuple::{Epoch, Generation},
};
use unplug_sim::{
    Bandwidth, SimEnv, Site, World, WorldConfig,
    disk::Disk,
    env::{Env, NodeId, OpenMode, Refusal},
    fault::{Action, DiskFault, Edge, EffectFilter, Fault, Keep, Plan, Point, Target, Trigger},
    random::Stream,
};

const SECOND: u64 = 1_000_000_000;
const STORES: [NodeId; 3] = [NodeId(0), NodeId(1), NodeId(2)];
const PATIENCE: Duration = Duration::from_secs(2);
const LEADER: Generation = Generation(1);

fn config(defects: &[Defect]) -> Rc<Config> {
    let other = NodeId(100);
    let cluster = Cluster {
        broker: other,
        stores: STORES.to_vec(),
        drivers: vec![other],
        executors: vec![other],
        sinks: vec![other],
        partitions: 1,
    };
    let pipeline = Pipeline::new(&Spec::flights()).expect("a sound pipeline");
    Rc::new(Config { defects: Defects::of(defects), ..Config::new(cluster, pipeline) })
}

fn format(disk: &mut Disk, store: u16, config: &Config) {
    for (path, bytes) in config.format(Role::Store, store) {
        let formatted = match path.strip_suffix('/') {
            Some(directory) => disk.create_dir(directory).and_then(|()| {
                let sync = disk.begin_sync_dir("/")?;
                disk.end_sync(sync)
            }),
            None => disk.put_durable(&path, &bytes),
        };
        formatted.expect("an empty disk");
    }
}

/// Three stores, those with leave to rebuild that are told.
#[expect(clippy::fn_params_excessive_bools, reason = "handed on as it is")]
fn stores(seed: u64, config: &Rc<Config>, rebuild: bool) -> World {
    stores_in(WorldConfig::new(seed), config, rebuild)
}

/// The same in such a world.
#[expect(clippy::fn_params_excessive_bools, reason = "handed on as it is")]
fn stores_in(world: WorldConfig, config: &Rc<Config>, rebuild: bool) -> World {
    let mut world = World::new(world);
    for mark in ["store.rebuilt", "blob.repaired", "done"] {
        world.watch(mark);
    }
    for store in STORES {
        let shared = Rc::clone(config);
        let program = move |env| unplug_engine::run(env, Role::Store, Rc::clone(&shared), rebuild);
        let node = world.add_node(&format!("store-{}", store.0), Site::DataCentre, program);
        world.disk(node, |disk| format(disk, store.0, config));
        world.start(node);
    }
    world
}

/// A client that does something with the stores, once, and then passes the mark `done`.
fn client<F: Future<Output = ()> + 'static>(
    world: &mut World,
    name: &str,
    config: &Rc<Config>,
    work: impl Fn(SimEnv, Stores<SimEnv>) -> F + 'static,
) {
    let shared = Rc::clone(config);
    let work = Rc::new(work);
    let node = world.add_node(name, Site::Outside, move |env: SimEnv| {
        let (config, work) = (Rc::clone(&shared), Rc::clone(&work));
        async move {
            let rpc = Rpc::open(&env)?;
            let answers = rpc.clone();
            env.spawn("answers", async move {
                drop(answers.serve(async |(): ()| Ok::<_, Refusal>(())).await);
            });
            work(env.clone(), Stores::new(&env, rpc, config)).await;
            env.mark("done");
            std::future::pending().await
        }
    });
    world.start(node);
}

fn marks(world: &World, mark: &str) -> usize {
    world.mark_hits().iter().filter(|hit| hit.name == mark).count()
}

/// Runs until so many clients are done.
fn finish(world: &mut World, clients: usize) {
    for _ in 0..200 {
        world.run_until(world.now_ns() + SECOND / 10);
        if marks(world, "done") >= clients {
            return;
        }
    }
    panic!("{} of {clients} clients done; ended: {:?}", marks(world, "done"), world.ended());
}

fn at(node: &str, effect: EffectFilter, nth: u64, what: Action) -> Plan {
    let on = Some(Point { node: node.to_owned(), effect, inside: None, nth, edge: Edge::After });
    Plan { faults: vec![Fault { when: Trigger { from_ns: 0, on }, what, until: None }] }
}

fn power_loss(target: Target) -> Action {
    Action::PowerLoss { target, down_ns: SECOND / 10, keep: Keep::Drawn }
}

type Seen = Rc<RefCell<Vec<(u64, String)>>>;

/// Two clients that want other values, and one that reads behind them. What each saw, by number
/// of the register.
fn contest(seed: u64, defects: &[Defect], plan: &Plan) -> Vec<(u64, String)> {
    let config = config(defects);
    let mut world = stores(seed, &config, false);
    let seen = Seen::default();
    for who in ["one", "two"] {
        let seen = Rc::clone(&seen);
        client(&mut world, who, &config, move |env, stores| {
            let seen = Rc::clone(&seen);
            async move {
                for number in 1..=3u64 {
                    let name = format!("commits/{number:012}");
                    let decided = stores.decide(LEADER, &name, who.into()).await.expect("decided");
                    let text = String::from_utf8(decided.to_vec()).expect("a name");
                    seen.borrow_mut().push((number, text));
                    env.mark("decided");
                }
            }
        });
    }
    world.load(plan).expect("nodes that there are");
    finish(&mut world, 2);
    let after = Rc::clone(&seen);
    client(&mut world, "reader", &config, move |_, stores| {
        let seen = Rc::clone(&after);
        async move {
            let scan = stores.scan(Generation(0), "commits/").await.expect("readable");
            for number in 1..=3u64 {
                let name = format!("commits/{number:012}");
                let read = stores.read(LEADER, &name).await.expect("readable");
                let shown = scan.registers.iter().find(|(other, _)| *other == name);
                assert_eq!(shown.map(|(_, value)| value), read.as_ref());
                let text = read.map(|value| String::from_utf8(value.to_vec()).expect("a name"));
                seen.borrow_mut().push((number, text.unwrap_or_default()));
            }
        }
    });
    finish(&mut world, 3);
    assert_eq!(world.ended(), []);
    seen.take()
}

fn agree(seen: &[(u64, String)]) -> bool {
    seen.len() == 9
        && seen.iter().all(|(number, value)| {
            seen.iter().all(|(other, with)| number != other || value == with)
        })
}

#[test]
fn decisions_stay_wherever_a_store_loses_power() {
    for nth in 1..=40 {
        for store in ["store-0", "store-1", "store-2"] {
            let what = power_loss(Target::Node(store.to_owned()));
            let seen = contest(nth, &[], &at(store, EffectFilter::Disk, nth, what));
            assert!(agree(&seen), "{store}, {nth}: {seen:?}");
        }
    }
}

#[test]
fn a_decision_survives_the_loss_of_all_power_at_the_moment_it_is_learned() {
    let struck = |defects: &[Defect], seed| {
        let plan =
            at("one", EffectFilter::Mark("decided".to_owned()), 2, power_loss(Target::DataCentre));
        agree(&contest(seed, defects, &plan))
    };
    assert!((0..40).all(|seed| struck(&[], seed)));
    assert!(!(0..40).all(|seed| struck(&[Defect::VoteBeforeSync], seed)), "the bug does not show");
}

#[test]
fn a_blank_disk_refuses_without_leave_to_rebuild() {
    let config = config(&[]);
    let mut world = stores(1, &config, false);
    world.disk(STORES[1], |disk| *disk = Disk::new());
    world.run_until(SECOND);
    let ended = world.ended();
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].node, STORES[1]);
    assert!(ended[0].message.contains("/identity is missing: the disk is blank"), "{ended:?}");
    assert!(ended[0].message.contains("leave to rebuild"), "{ended:?}");
}

/// Decides registers and writes blobs, loses the disk of one store, lets it rebuild itself, takes
/// another store away for good, and reads all again.
fn lost_disk(seed: u64, defects: &[Defect], lost: NodeId, away: NodeId) -> Result<usize, String> {
    let config = config(defects);
    let mut world = stores(seed, &config, true);
    let blobs: Rc<RefCell<Vec<BlobRef>>> = Rc::default();
    let kept = Rc::clone(&blobs);
    client(&mut world, "writer", &config, move |_, stores| {
        let kept = Rc::clone(&kept);
        async move {
            for number in 1..=5u64 {
                let name = format!("output/{number:012}/x");
                let blob = stores.put_blob(name, vec![7; 100].into(), PATIENCE).await;
                kept.borrow_mut().push(blob.expect("kept"));
                let name = format!("commits/{number:012}");
                stores.decide(LEADER, &name, "value".into()).await.expect("decided");
            }
        }
    });
    finish(&mut world, 1);
    let now_ns = world.now_ns();
    let loss = |node: NodeId, from_ns, down_ns| Fault {
        when: Trigger { from_ns, on: None },
        what: Action::PowerLoss {
            target: Target::Node(format!("store-{}", node.0)),
            down_ns,
            keep: Keep::Drawn,
        },
        until: None,
    };
    let plan = Plan {
        faults: vec![
            loss(lost, now_ns, SECOND / 10),
            loss(away, now_ns + 3 * SECOND, 1_000 * SECOND),
        ],
    };
    world.load(&plan).expect("known nodes");
    world.run_until(now_ns + SECOND / 20);
    world.disk(lost, |disk| *disk = Disk::new());
    world.run_until(now_ns + 3 * SECOND);
    let rebuilt = marks(&world, "store.rebuilt");
    let wrong: Rc<RefCell<Vec<String>>> = Rc::default();
    let told = Rc::clone(&wrong);
    client(&mut world, "reader", &config, move |_, stores| {
        let (told, blobs) = (Rc::clone(&told), Rc::clone(&blobs));
        async move {
            for number in 1..=5u64 {
                let name = format!("commits/{number:012}");
                if stores.read(LEADER, &name).await != Ok(Some("value".into())) {
                    told.borrow_mut().push(name);
                }
            }
            let wanted = blobs.borrow().clone();
            for blob in wanted {
                if let Err(reason) = stores.get_blob(&blob, PATIENCE).await {
                    told.borrow_mut().push(reason);
                }
            }
        }
    });
    finish(&mut world, 2);
    let wrong = wrong.take();
    if wrong.is_empty() { Ok(rebuilt) } else { Err(format!("{wrong:?}")) }
}

#[test]
fn a_rebuilt_store_stands_in_for_one_that_goes_away() {
    for (seed, lost, away) in [(1, 0, 1), (2, 1, 2), (3, 2, 0), (4, 2, 1)] {
        let rebuilt = lost_disk(seed, &[], NodeId(lost), NodeId(away));
        assert_eq!(rebuilt, Ok(1), "{lost} lost, {away} away");
    }
}

#[test]
fn a_store_that_votes_from_blank_loses_what_was_decided() {
    let lost = (0..20)
        .any(|seed| lost_disk(seed, &[Defect::RebuiltVotesAtOnce], NodeId(2), NodeId(0)).is_err());
    assert!(lost, "the bug does not show");
}

fn read_file(disk: &mut Disk, path: &str) -> Vec<u8> {
    let handle = disk.open(path, OpenMode::Read).expect("a file");
    let bytes = disk.read_at(handle, 0, 1 << 20).expect("readable").to_vec();
    disk.close(handle);
    bytes
}

#[test]
fn a_damaged_or_missing_copy_of_a_blob_is_repaired() {
    const FILE: &str = "/blobs/output.000000000001.x";
    let mut repaired = 0;
    for (store, missing) in STORES.into_iter().flat_map(|store| [(store, false), (store, true)]) {
        let config = config(&[]);
        let mut world = stores(1, &config, false);
        let blob: Rc<RefCell<Option<BlobRef>>> = Rc::default();
        let kept = Rc::clone(&blob);
        client(&mut world, "writer", &config, move |_, stores| {
            let kept = Rc::clone(&kept);
            async move {
                let name = "output/000000000001/x".to_owned();
                let blob = stores.put_blob(name, "sound".into(), PATIENCE).await;
                *kept.borrow_mut() = Some(blob.expect("kept"));
            }
        });
        finish(&mut world, 1);
        world.run_until(world.now_ns() + SECOND);
        world.disk(store, |disk| {
            if missing { disk.remove(FILE) } else { disk.put_durable(FILE, b"sOund") }
                .expect("the third has it by now");
        });
        client(&mut world, "reader", &config, move |_, stores| {
            let blob = blob.borrow().clone().expect("kept");
            async move {
                assert_eq!(stores.get_blob(&blob, PATIENCE).await, Ok("sound".into()));
            }
        });
        finish(&mut world, 2);
        world.run_until(world.now_ns() + SECOND);
        if marks(&world, "blob.repaired") > 0 {
            repaired += 1;
            assert_eq!(world.disk(store, |disk| read_file(disk, FILE)), b"sound");
        }
    }
    assert_eq!(repaired, 2, "the one store that is asked first, damaged and missing");
}

#[test]
fn a_store_with_a_damaged_misplaced_or_unreadable_register_rebuilds_itself() {
    const FILE: &str = "/registers/commits.000000000001";
    const OTHER: &str = "/registers/commits.000000000002";
    let flip = |disk: &mut Disk| {
        let mut bytes = read_file(disk, FILE);
        bytes[20] ^= 1;
        disk.put_durable(FILE, &bytes).expect("writable");
    };
    // Sound, but of another register: what a stray write or read leaves.
    let misplace = |disk: &mut Disk| {
        let bytes = read_file(disk, OTHER);
        disk.put_durable(FILE, &bytes).expect("writable");
    };
    let spoil = |disk: &mut Disk| {
        let mut stream = Stream::new(1, "spoil", 0, 0);
        disk.harm("/registers", DiskFault::LatentError, &mut stream).expect("there are files");
    };
    let damages: [&dyn Fn(&mut Disk); 3] = [&flip, &misplace, &spoil];
    for damage in damages {
        let config = config(&[]);
        let mut world = stores(1, &config, false);
        client(&mut world, "writer", &config, |_, stores| async move {
            for (name, value) in
                [("commits/000000000001", "value"), ("commits/000000000002", "more")]
            {
                stores.decide(LEADER, name, value.into()).await.expect("decided");
            }
        });
        finish(&mut world, 1);
        let now_ns = world.now_ns();
        let what = power_loss(Target::Node("store-0".to_owned()));
        let when = Trigger { from_ns: now_ns + SECOND, on: None };
        world
            .load(&Plan { faults: vec![Fault { when, what, until: None }] })
            .expect("a known node");
        world.run_until(now_ns + SECOND + SECOND / 100);
        world.disk(STORES[0], damage);
        world.run_until(now_ns + 4 * SECOND);
        assert_eq!((marks(&world, "store.rebuilt"), world.ended()), (1, vec![]));
        let bytes = world.disk(STORES[0], |disk| read_file(disk, FILE));
        assert!(bytes.windows(5).any(|some| some == b"value"), "the value is back");
    }
}

#[test]
fn below_the_floor_nothing_is_decided_and_nothing_is_kept_but_what_is_named() {
    let config = config(&[]);
    let mut world = stores(1, &config, false);
    client(&mut world, "writer", &config, |env, stores| async move {
        for number in 1..=4u64 {
            let name = format!("commits/{number:012}");
            stores.decide(LEADER, &name, "value".into()).await.expect("decided");
            let blob = format!("state/{number:012}/x");
            stores.put_blob(blob, "state".into(), PATIENCE).await.expect("kept");
        }
        env.sleep(Duration::from_secs(1)).await;
        let floor = FloorRecord { number: 1, epoch: Epoch(3), generation: LEADER };
        stores.raise_floor(LEADER, floor).await.expect("raised");
        let keep = vec!["state/000000000001/x".to_owned()];
        stores.collect(LEADER, floor, keep).await.expect("collected");
        env.sleep(Duration::from_secs(1)).await;
        let below = stores.decide(LEADER, "commits/000000000002", "other".into()).await;
        assert_eq!(below, Err(StoresError::BelowFloor(floor)));
        let late = stores.put_blob("output/000000000003/x".to_owned(), "late".into(), PATIENCE);
        late.await.expect_err("of an epoch that was published");
        let scan = stores.scan(LEADER, "commits/").await.expect("readable");
        let names: Vec<_> = scan.registers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["commits/000000000003", "commits/000000000004"]);
        assert_eq!(scan.floor, Some(floor));
        let old = stores.decide(Generation(0), "generation/000000000001", "x".into()).await;
        old.expect("at the floor, not below");
    });
    finish(&mut world, 1);
    for store in STORES {
        let names = |disk: &mut Disk, path: &str| disk.read_dir(path).expect("a directory");
        let blobs = world.disk(store, |disk| names(disk, "/blobs"));
        assert_eq!(blobs, ["state.000000000001.x", "state.000000000004.x"]);
        let registers = world.disk(store, |disk| names(disk, "/registers"));
        assert!(
            registers.iter().all(|name| name.as_str() >= "commits.000000000003"),
            "{registers:?}"
        );
    }
}

/// A writer wants more at once than its port sends in its patience, and goes on, one small batch after
/// another, until all of one came in time. How many did not; none if it was still at it in the end.
fn batches_too_late(seed: u64) -> Option<usize> {
    const BLOB_BYTES: usize = 100_000;
    let config = config(&[]);
    // A port sends 48 blobs a second: a batch to all stores in half a second.
    let bandwidth =
        Bandwidth { port_bytes_per_second: 48 * BLOB_BYTES as u64, ..Bandwidth::default() };
    let blob_patience = Duration::from_millis(1_200);
    let config = Rc::new(Config { blob_patience, ..(*config).clone() });
    let mut world = stores_in(WorldConfig { bandwidth, ..WorldConfig::new(seed) }, &config, false);
    let late = Rc::new(Cell::new(0));
    let counted = Rc::clone(&late);
    client(&mut world, "writer", &config, move |_, stores| {
        let late = Rc::clone(&counted);
        async move {
            for (number, blobs) in [100].into_iter().chain(iter::repeat(8)).enumerate() {
                let puts = (0..blobs).map(|blob| {
                    let name = format!("output/{:012}/{blob}", number + 1);
                    stores.put_blob(name, vec![7; BLOB_BYTES].into(), PATIENCE + blob_patience)
                });
                match try_join_all(puts).await {
                    Ok(_) => break,
                    Err(_) => late.set(late.get() + 1),
                }
            }
        }
    });
    world.run_until(60 * SECOND);
    assert_eq!(world.ended(), []);
    (marks(&world, "done") == 1).then_some(late.get())
}

#[test]
fn blobs_that_came_too_late_do_not_keep_all_later_ones_from_coming_in_time() {
    for seed in 0..5 {
        let late = batches_too_late(seed);
        assert!(late.is_some_and(|late| late > 0), "{seed}: {late:?}");
    }
}

//! Disks that are lost for good, and bits that turn over on them.

use std::time::Duration;

use crate::machine::{Log, MILLI, SECOND, add, at, exact, fired, load, node, on};
use unplug_sim::{
    SimEnv, World,
    env::{Disk, Env, Exit, File, NodeId, OpenMode},
    fault::{Action, DiskFault, Edge, EffectFilter, Keep},
};

const SOUND: &str = "a disk without errors";

fn disk_loss(down_ms: u64) -> Action {
    Action::DiskLoss { node: "keeper".to_owned(), down_ns: down_ms * MILLI }
}

fn bit_rot(directory: &str) -> Action {
    let (node, directory) = ("keeper".to_owned(), directory.to_owned());
    Action::DiskFault { node, directory, what: DiskFault::BitRot }
}

/// Notes what it finds, and leaves a durable file.
async fn keep(env: SimEnv, log: Log) -> Exit {
    let disk = env.disk();
    let names = disk.read_dir("/").await.expect(SOUND).join(" ");
    log.note(&env, format!("[{names}] {}", env.disk_replaced()));
    let file = disk.open("/kept", OpenMode::Create).await.expect(SOUND);
    file.write_at(0, "durable".into()).await.expect(SOUND);
    file.sync_all().await.expect(SOUND);
    disk.sync_dir("/").await.expect(SOUND);
    env.mark("kept");
    Ok(())
}

#[test]
fn a_lost_disk_comes_back_blank_and_is_known_as_replaced_ever_after() {
    let log = Log::default();
    let mut world = World::new(exact(1));
    let seen = log.clone();
    add(&mut world, "keeper", move |env| keep(env, seen.clone()));
    let kill = Action::Kill { target: node("keeper"), down_ns: 9 * MILLI };
    load(
        &mut world,
        [at(20 * MILLI, kill.clone()), at(40 * MILLI, disk_loss(9)), at(60 * MILLI, kill)],
    );
    world.run_until(SECOND);
    assert_eq!(log.lines(), ["2 [] false", "31 [kept] false", "51 [] true", "71 [kept] true"]);
    assert_eq!(fired(&world)[1], ("disk_loss", 40, 50));
    let powers: Vec<_> = world.crashes().iter().map(|crash| crash.power).collect();
    assert_eq!(powers, [false, true, false]);
    assert_eq!(world.mark_counts()["kept"], 4, "over all boots");
}

#[test]
fn a_disk_is_lost_beside_an_effect_and_a_sync_of_the_old_one_does_nothing_to_the_new_one() {
    for edge in [Edge::Before, Edge::After] {
        let log = Log::default();
        let mut world = World::new(exact(1));
        let seen = log.clone();
        add(&mut world, "keeper", move |env| keep(env, seen.clone()));
        load(&mut world, [on("keeper", EffectFilter::Sync, 1, edge, disk_loss(0))]);
        world.run_until(SECOND);
        assert_eq!(log.lines(), ["2 [] false", "6 [] true"]);
        assert_eq!(world.crashes()[0].unsynced, 2);
        assert_eq!(world.disk(NodeId(0), |disk| disk.durable_tree()["/kept"].1.clone()), "durable");
    }
}

/// Reads a file every 10 ms, and writes it anew at about 35 ms.
async fn watch(env: SimEnv, log: Log) -> Exit {
    let disk = env.disk();
    for round in 0..5 {
        let start = env.now();
        let file = disk.open("/blobs/one", OpenMode::Write).await.expect(SOUND);
        let bytes = file.read_at(0, 100).await.expect(SOUND);
        let turned: u32 = bytes.iter().zip(b"content").map(|(a, b)| (a ^ b).count_ones()).sum();
        log.note(&env, format!("{} turned", turned));
        if round == 3 {
            file.write_at(0, "content".into()).await.expect(SOUND);
        }
        env.sleep_until(start + Duration::from_millis(10)).await;
    }
    Ok(())
}

fn rotten(faults: impl IntoIterator<Item = unplug_sim::fault::Fault>) -> (Vec<String>, World) {
    let log = Log::default();
    let mut world = World::new(exact(1));
    let seen = log.clone();
    let id = add(&mut world, "keeper", move |env| watch(env, seen.clone()));
    world.disk(id, |disk| disk.put_durable("/blobs/one", b"content")).expect("a blank disk");
    load(&mut world, faults);
    world.run_until(SECOND);
    (log.lines(), world)
}

#[test]
fn rot_is_seen_by_reading_stays_and_is_cured_by_writing_anew() {
    let (lines, world) = rotten([at(15 * MILLI, bit_rot("/blobs"))]);
    assert_eq!(lines, ["3 0 turned", "13 0 turned", "23 1 turned", "33 1 turned", "43 0 turned"]);
    assert_eq!(fired(&world), [("bit_rot", 15, 15)]);
    assert!(world.crashes().is_empty());
}

#[test]
fn rot_survives_the_loss_of_power_and_two_at_once_do_not_undo_each_other() {
    let power_loss = Action::PowerLoss { target: node("keeper"), down_ns: 0, keep: Keep::Drawn };
    let twice = [at(5 * MILLI, bit_rot("/blobs")), at(5 * MILLI, bit_rot("blobs"))];
    let (lines, _) = rotten(twice.into_iter().chain([at(6 * MILLI, power_loss)]));
    assert_eq!(lines[..2], ["3 0 turned", "9 2 turned"]);
}

#[test]
fn rot_where_no_file_is_counts_and_says_that_nothing_was_there() {
    for directory in ["/", "/none", "/blobs/one", "a//b"] {
        let lines = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let mut world = World::new(exact(1));
        let id = add(&mut world, "keeper", |_| async { Ok(()) });
        world.disk(id, |disk| disk.put_durable("/blobs/one", b"content")).expect("a blank disk");
        let sink = std::rc::Rc::clone(&lines);
        world.record(Box::new(move |event| sink.borrow_mut().push(event.to_string())));
        load(&mut world, [at(5 * MILLI, bit_rot(directory))]);
        world.run_until(SECOND);
        assert_eq!(fired(&world), [("bit_rot", 5, 5)]);
        let told = format!("bit rot in {directory} of keeper: nothing was there");
        assert!(lines.borrow().iter().any(|line| line.ends_with(&told)), "{lines:?}");
        let tree = world.disk(id, |disk| disk.tree());
        assert_eq!(tree["/blobs/one"].1, "content");
    }
}

//! Faults laid in a disk's model, as a node and the trace see them.

use std::{cell::RefCell, rc::Rc, time::Duration};

use crate::machine::{Log, MILLI, SECOND, add, at, exact, fired, load, node, on};
use unplug_sim::{
    SimEnv, World,
    env::{Disk, DiskError, DiskResult, Env, Exit, File, OpenMode},
    fault::{Action, DiskFault, Edge, EffectFilter, Fault, Keep, SyncFault},
};

const SOUND: &str = "only this fault";

fn harm(directory: &str, what: DiskFault) -> Action {
    Action::DiskFault { node: "keeper".to_owned(), directory: directory.to_owned(), what }
}

fn sync(what: SyncFault) -> Action {
    harm("/", DiskFault::Sync(what))
}

fn told<T>(result: DiskResult<T>) -> String {
    result.map_or_else(|error| error.to_string(), |_| "ok".to_owned())
}

/// Writes at 3, syncs at 4, 14, 24…, and reads after each.
async fn keep(env: SimEnv, log: Log) -> Exit {
    let file = env.disk().open("/kept", OpenMode::Write).await.expect(SOUND);
    if file.read_at(0, 9).await.expect(SOUND) == "old" {
        log.note(&env, format!("write {}", told(file.write_at(0, "new".into()).await)));
    }
    loop {
        let start = env.now();
        let synced = told(file.sync_all().await);
        let read = file.read_at(0, 9).await;
        let read = read.map_or_else(|error| error.to_string(), |read| format!("{read:?}"));
        log.note(&env, format!("sync {synced}, {read}"));
        env.sleep_until(start + Duration::from_millis(10)).await;
    }
}

fn run(faults: impl IntoIterator<Item = Fault>) -> (Vec<String>, World, Vec<String>) {
    let (log, lines) = (Log::default(), Rc::new(RefCell::new(Vec::new())));
    let mut world = World::new(exact(1));
    let (seen, sink) = (log.clone(), Rc::clone(&lines));
    let id = add(&mut world, "keeper", move |env| keep(env, seen.clone()));
    world.disk(id, |disk| disk.put_durable("/kept", b"old")).expect("a blank disk");
    world.record(Box::new(move |event| sink.borrow_mut().push(event.to_string())));
    load(&mut world, faults);
    world.run_until(30 * MILLI);
    let lines = lines.borrow().clone();
    (log.lines(), world, lines)
}

fn has(lines: &[String], end: &str) -> bool {
    lines.iter().any(|line| line.ends_with(end))
}

#[test]
fn without_a_fault_all_goes_well() {
    let expected = ["4 write ok", r#"6 sync ok, b"new""#, r#"16 sync ok, b"new""#];
    assert_eq!(run([]).0[..3], expected);
}

#[test]
fn a_failed_sync_reports_once_and_its_bytes_are_gone_after_a_kill() {
    let kill = Action::Kill { target: node("keeper"), down_ns: 0 };
    let faults = [at(MILLI, sync(SyncFault::DropAfterEvict)), at(18 * MILLI, kill)];
    let (log, world, lines) = run(faults);
    let io = DiskError::Io.to_string();
    let first = format!(r#"6 sync {io}, b"new""#);
    assert_eq!(log[1..3], [first.as_str(), r#"16 sync ok, b"new""#]);
    assert_eq!(log[3], "22 write ok", "the boot found the old bytes: nothing was cached");
    assert_eq!(fired(&world)[0], ("sync_error", 1, 1));
    assert!(has(
        &lines,
        "*** failed sync (drop after evict) in the next sync at or below / of keeper"
    ));
    assert!(has(&lines, "*** failed sync (drop after evict) in /kept of keeper"));
    assert!(has(&lines, &format!("*** sync of keeper failed: {io}")));
}

#[test]
fn the_end_of_a_failed_sync_is_an_effect_like_any_other() {
    let count = |faults: Vec<Fault>| {
        let (_, _, lines) = run(faults);
        lines.iter().filter(|line| line.ends_with("sync ended")).count()
    };
    let faults = vec![at(MILLI, sync(SyncFault::KeepDirty))];
    assert_eq!(count(faults), count(Vec::new()));
    // The end of the first sync is the second effect of that kind: the power goes just before it,
    // and the fault waits on.
    let cut = Action::PowerLoss { target: node("keeper"), down_ns: 0, keep: Keep::Drawn };
    let faults = [
        at(MILLI, sync(SyncFault::KeepDirty)),
        on("keeper", EffectFilter::Sync, 2, Edge::Before, cut),
    ];
    let (log, _, _) = run(faults);
    let failed = log.iter().filter(|line| line.contains("sync input/output error")).count();
    assert_eq!((failed, log[0].as_str()), (1, "4 write ok"));
}

#[test]
fn a_disk_gone_read_only_is_writable_after_a_boot() {
    let kill = Action::Kill { target: node("keeper"), down_ns: 0 };
    let (log, world, _) = run([at(MILLI, sync(SyncFault::GoesReadOnly)), at(18 * MILLI, kill)]);
    let new = r#"b"new""#;
    assert_eq!(
        log[1..3],
        [
            format!("6 sync {}, {new}", DiskError::Io),
            format!("16 sync {}, {new}", DiskError::ReadOnly)
        ]
    );
    assert_eq!(log[3], format!("23 sync ok, {new}"));
    assert_eq!(world.crashes().len(), 1);
}

#[test]
fn faults_of_the_media_reach_the_node_and_the_trace() {
    let io = DiskError::Io.to_string();
    let (log, _, lines) = run([at(8 * MILLI, harm("/", DiskFault::LatentError))]);
    assert_eq!(log[2], format!("16 sync ok, {io}"));
    assert!(has(&lines, "*** latent error in sector 0 of /kept of keeper"));

    let (log, _, lines) = run([at(MILLI, harm("/", DiskFault::WriteError))]);
    assert_eq!(log[..2], [format!("4 write {io}"), r#"6 sync ok, b"old""#.to_owned()]);
    assert!(has(&lines, "*** write error in /kept of keeper"));

    let cut = Action::PowerLoss { target: node("keeper"), down_ns: 0, keep: Keep::Drawn };
    let (log, _, lines) = run([at(MILLI, harm("/", DiskFault::PhantomWrite)), at(8 * MILLI, cut)]);
    assert_eq!(log[1], r#"6 sync ok, b"new""#);
    assert_eq!(log[2], "12 write ok", "the boot found the old bytes");
    assert!(has(&lines, "*** phantom write in sector 0 of /kept of keeper"));

    let (_, _, lines) = run([at(MILLI, harm("/none", DiskFault::MisdirectedWrite))]);
    assert!(has(&lines, "*** misdirected write in /none of keeper: nothing was there"));
}

#[test]
fn two_faults_of_one_kind_at_one_moment_are_drawn_apart() {
    let mut both = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let mut world = World::new(exact(seed));
        let id = add(&mut world, "keeper", |_| async { Ok(()) });
        world.disk(id, |disk| disk.put_durable("/big", &[7; 4096])).expect("a blank disk");
        let lines = Rc::new(RefCell::new(Vec::new()));
        let sink = Rc::clone(&lines);
        world.record(Box::new(move |event| sink.borrow_mut().push(event.to_string())));
        load(&mut world, [1, 1].map(|ms| at(ms * MILLI, harm("/", DiskFault::LatentError))));
        world.run_until(SECOND);
        let lines = lines.borrow();
        let mut struck = lines.iter().filter(|line| line.contains("latent error"));
        both.insert(struck.next().expect("one") != struck.next().expect("two"));
    }
    assert!(both.contains(&true));
}

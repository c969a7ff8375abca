//! Disks that are full, slow or stand still for a time.

use std::time::Duration;

use crate::machine::{Log, MILLI, SECOND, add, at, exact, fired, load, node, on};
use unplug_sim::{
    SimEnv, World,
    env::{Disk, Env, File, OpenMode},
    fault::{Action, Edge, EffectFilter, Fault, Keep, Plan},
};

fn full(for_ms: u64) -> Action {
    Action::DiskFull { target: node("keeper"), for_ns: for_ms * MILLI }
}

fn slow(factor: u32, for_ms: u64) -> Action {
    Action::SlowDisk { target: node("keeper"), factor, for_ns: for_ms * MILLI }
}

fn stall(for_ms: u64) -> Action {
    Action::DiskStall { target: node("keeper"), for_ns: for_ms * MILLI }
}

/// Opens at 1, then appends and syncs in turn, and tells when each ended and how.
fn run(faults: impl IntoIterator<Item = Fault>) -> (Vec<String>, World) {
    let log = Log::default();
    let mut world = World::new(exact(1));
    let seen = log.clone();
    add(&mut world, "keeper", move |env: SimEnv| {
        let seen = seen.clone();
        async move {
            let file = env.disk().open("/log", OpenMode::Create).await.expect("not full yet");
            for _ in 0..6 {
                match file.append("record".into()).await {
                    Ok(taken) => seen.note(&env, format!("append {taken}")),
                    Err(error) => seen.note(&env, format!("append {error}")),
                }
                file.sync_all().await.expect("it never fails");
                seen.note(&env, "sync");
            }
            Ok(())
        }
    });
    load(&mut world, faults);
    world.run_until(SECOND);
    (log.lines(), world)
}

#[test]
fn without_trouble_each_operation_takes_a_millisecond() {
    assert_eq!(run([]).0[..4], ["3 append 6", "4 sync", "5 append 6", "6 sync"]);
}

#[test]
fn a_full_disk_takes_nothing_until_it_is_over_the_latest_end_counts() {
    let faults = [at(3 * MILLI, full(4)), at(4 * MILLI, full(1)), at(5 * MILLI, full(3))];
    let (lines, world) = run(faults);
    let no = |at: u64| format!("{at} append no space left");
    assert_eq!(lines[0], "3 append 6");
    assert_eq!([&lines[2], &lines[4]], [&no(5), &no(7)]);
    assert_eq!(lines[6], "9 append 6");
    assert_eq!(fired(&world)[..2], [("disk_full", 3, 7), ("disk_full", 4, 5)]);
}

#[test]
fn a_slow_disk_takes_so_many_times_as_long_for_what_starts_meanwhile() {
    let (lines, world) = run([at(2 * MILLI + 1, slow(10, 5))]);
    // The append that began at 2 is as it was, the sync from 3 to 13 as a whole is slow.
    assert_eq!(lines[..4], ["3 append 6", "13 sync", "14 append 6", "15 sync"]);
    assert_eq!(fired(&world), [("slow_disk", 2, 7)]);
    assert_eq!(run([at(0, slow(1, 500))]).0, run([]).0);
}

#[test]
fn of_several_slow_disks_the_highest_factor_counts() {
    let faults = [at(2 * MILLI + 1, slow(2, 90)), at(2 * MILLI + 2, slow(5, 6))];
    let (lines, _) = run(faults);
    assert_eq!(lines[..4], ["3 append 6", "8 sync", "13 append 6", "15 sync"]);
}

#[test]
fn on_a_stalled_disk_nothing_ends_and_no_sync_takes_effect_until_it_is_over() {
    let (lines, world) = run([at(3 * MILLI + 1, stall(20)), at(3 * MILLI + 2, stall(5))]);
    assert_eq!(lines[..4], ["3 append 6", "23 sync", "24 append 6", "25 sync"]);
    assert_eq!(fired(&world), [("disk_stall", 3, 23), ("disk_stall", 3, 8)]);
    let (lines, _) = run([at(4 * MILLI + 1, stall(20))]);
    assert_eq!(lines[1..4], ["4 sync", "24 append 6", "25 sync"]);

    // The sync that would have ended at 4 is cut short at 10: nothing is durable.
    let cut = Action::PowerLoss { target: node("keeper"), down_ns: SECOND, keep: Keep::Drawn };
    let (_, world) = run([at(3 * MILLI + 1, stall(20)), at(10 * MILLI, cut)]);
    assert_eq!(world.crashes()[0].unsynced, 2);
}

#[test]
fn what_starts_in_a_stall_ends_after_it_or_at_its_own_time_and_over_a_reboot() {
    let (lines, _) = run([at(2 * MILLI + 1, slow(10, 2)), at(2 * MILLI + 2, stall(5))]);
    assert_eq!(lines[..2], ["7 append 6", "8 sync"], "the stall ended at 7");
    let (lines, _) = run([at(3 * MILLI - 1, slow(10, 2)), at(3 * MILLI + 1, stall(5))]);
    assert_eq!(lines[..2], ["3 append 6", "13 sync"], "it is slower than the stall is long");
    let kill = Action::Kill { target: node("keeper"), down_ns: 0 };
    let (lines, _) = run([at(3 * MILLI + 1, stall(20)), at(5 * MILLI, kill)]);
    assert_eq!(lines[..3], ["3 append 6", "24 append 6", "25 sync"]);
}

#[test]
fn two_operations_that_wait_for_a_stall_end_in_their_order_and_others_go_on() {
    let log = Log::default();
    let mut world = World::new(exact(1));
    for name in ["keeper", "other"] {
        let seen = log.clone();
        add(&mut world, name, move |env: SimEnv| {
            let seen = seen.clone();
            async move {
                for task in ["one", "two"] {
                    let (of, seen) = (env.clone(), seen.clone());
                    env.spawn(task, async move {
                        of.disk().create_dir(task).await.expect("sound");
                        of.disk().sync_dir("/").await.expect("sound");
                        seen.note(&of, format!("{} {task}", of.node()));
                    });
                    env.sleep(Duration::from_micros(100)).await;
                }
                Ok(())
            }
        });
    }
    load(&mut world, [at(MILLI + 1, stall(8))]);
    world.run_until(SECOND);
    assert_eq!(log.lines(), ["3 n1 one", "3 n1 two", "10 n0 one", "10 n0 two"]);
}

#[test]
fn a_pause_in_a_stall_and_a_stall_in_a_pause_both_hold() {
    let pause = |for_ms| Action::Pause { target: node("keeper"), for_ns: for_ms * MILLI };
    let (lines, _) = run([at(3 * MILLI + 1, stall(4)), at(3 * MILLI + 2, pause(8))]);
    assert_eq!(lines[..3], ["3 append 6", "11 sync", "12 append 6"]);
    let (lines, _) = run([at(3 * MILLI + 2, pause(4)), at(3 * MILLI + 3, stall(8))]);
    assert_eq!(lines[..3], ["3 append 6", "11 sync", "12 append 6"]);
    let (lines, _) = run([at(2 * MILLI + 2, pause(4)), at(2 * MILLI + 3, stall(8))]);
    assert_eq!(lines[..3], ["10 append 6", "11 sync", "12 append 6"]);
}

#[test]
fn trouble_strikes_beside_an_effect() {
    let second_write = |edge| on("keeper", EffectFilter::Write, 2, edge, full(1));
    assert_eq!(run([second_write(Edge::Before)]).0[0], "3 append no space left");
    assert_eq!(run([second_write(Edge::After)]).0[0], "3 append 6");
}

#[test]
fn a_factor_of_zero_is_refused() {
    let mut world = World::new(exact(1));
    add(&mut world, "keeper", |_| async { Ok(()) });
    let refused = world.load(&Plan { faults: vec![at(1, slow(0, 1))] });
    let told = refused.expect_err("no speed").to_string();
    assert_eq!(told, "faults[0].what.slow_disk.factor is 0, but 1 is full speed");
}

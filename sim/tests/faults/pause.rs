//! Pauses: what waits, what goes on, and how a pause ends.

use std::time::Duration;

use crate::machine::{Log, MILLI, SECOND, add, at, exact, fired, load, node, on, to};
use bytes::Bytes;
use unplug_sim::{
    INBOX_DATAGRAMS_MAX, SimEnv, World,
    env::{Disk, Env, Exit, File, Net, OpenMode, Socket},
    fault::{Action, Edge, EffectFilter, Fault, Keep},
};

fn pause(name: &str, for_ms: u64) -> Action {
    Action::Pause { target: node(name), for_ns: for_ms * MILLI }
}

/// Notes what arrives.
async fn listen(env: SimEnv, log: Log) -> Exit {
    let socket = env.net().bind(crate::machine::PORT).expect("free");
    loop {
        let datagram = socket.recv().await;
        log.note(&env, String::from_utf8_lossy(&datagram.payload).into_owned());
    }
}

/// Sends three datagrams in one poll at 10 ms, and one after 5 ms more. What a listener got.
fn burst(faults: impl IntoIterator<Item = Fault>) -> (Vec<String>, World) {
    let log = Log::default();
    let mut world = World::new(exact(1));
    add(&mut world, "sender", |env: SimEnv| async move {
        let socket = env.net().bind(crate::machine::PORT).expect("free");
        env.sleep(Duration::from_millis(9)).await;
        for name in ["one", "two", "three"] {
            socket.send(to(1), name.into()).expect("small");
            env.mark("sent");
        }
        env.sleep(Duration::from_millis(5)).await;
        socket.send(to(1), "four".into()).expect("small");
        Ok(())
    });
    let seen = log.clone();
    add(&mut world, "listener", move |env| listen(env, seen.clone()));
    load(&mut world, faults);
    world.run_until(SECOND);
    (log.lines(), world)
}

#[test]
fn a_pause_in_the_middle_of_a_poll_holds_back_what_it_sends_after_it() {
    let sends = |nth, edge| on("sender", EffectFilter::Send, nth, edge, pause("sender", 100));
    assert_eq!(burst([]).0, ["11 one", "11 two", "11 three", "16 four"]);
    let (seen, world) = burst([sends(2, Edge::Before)]);
    assert_eq!(seen, ["11 one", "111 two", "111 three", "111 four"]);
    assert_eq!(fired(&world), [("pause", 10, 110)]);
    assert!(world.crashes().is_empty());
    assert_eq!(burst([sends(2, Edge::After)]).0, ["11 one", "11 two", "111 three", "111 four"]);
}

#[test]
fn a_held_send_is_counted_when_it_happens_and_may_strike_again() {
    let sends =
        |nth, edge, for_ms| on("sender", EffectFilter::Send, nth, edge, pause("sender", for_ms));
    let (seen, _) = burst([sends(2, Edge::Before, 100), sends(2, Edge::After, 50)]);
    assert_eq!(seen, ["11 one", "111 two", "161 three", "161 four"]);
    let (seen, _) = burst([sends(1, Edge::After, 100), sends(2, Edge::Before, 50)]);
    assert_eq!(seen, ["11 one", "161 two", "161 three", "161 four"]);
}

#[test]
fn marks_in_the_rest_of_a_struck_poll_happen_at_once() {
    let by_mark = |edge| {
        let mark = EffectFilter::Mark("sent".to_owned());
        let (seen, world) = burst([on("sender", mark, 1, edge, pause("sender", 100))]);
        assert_eq!(seen, ["11 one", "111 two", "111 three", "111 four"]);
        assert_eq!(world.mark_counts()["sent"], 3);
    };
    by_mark(Edge::Before);
    by_mark(Edge::After);
}

#[test]
fn a_loss_of_power_ends_a_pause_and_what_it_held_is_lost() {
    for (kill, what) in [
        (false, Action::PowerLoss { target: node("sender"), down_ns: 0, keep: Keep::Drawn }),
        (true, Action::Kill { target: node("sender"), down_ns: 0 }),
    ] {
        let halt = on("sender", EffectFilter::Send, 1, Edge::After, pause("sender", 100));
        let (seen, world) = burst([halt, at(50 * MILLI, what)]);
        // The node boots at 51 ms, in the midst of what would have been the pause.
        assert_eq!(seen, ["11 one", "61 one", "61 two", "61 three", "66 four"]);
        assert_eq!((world.crashes().len(), world.crashes()[0].power), (1, !kill));
        assert!(world.crashes()[0].running, "a paused process runs");
    }
}

#[test]
fn overlapping_pauses_last_until_the_latest_end_and_disarming_ends_none() {
    let faults = [
        at(5 * MILLI, pause("sender", 100)),
        at(7 * MILLI, pause("sender", 20)),
        at(9 * MILLI, pause("sender", 150)),
    ];
    assert_eq!(burst(faults).0, ["160 one", "160 two", "160 three", "165 four"]);
    let mut world = World::new(exact(1));
    let log = Log::default();
    let seen = log.clone();
    add(&mut world, "sleeper", move |env: SimEnv| {
        let seen = seen.clone();
        async move {
            env.sleep(Duration::from_millis(9)).await;
            seen.note(&env, "awake");
            Ok(())
        }
    });
    load(&mut world, [at(5 * MILLI, pause("sleeper", 30)), at(6 * MILLI, pause("sleeper", 90))]);
    world.run_until(5 * MILLI);
    world.disarm();
    world.run_until(SECOND);
    assert_eq!(log.lines(), ["35 awake"]);
    assert_eq!(world.fired_count(), 1);
}

#[test]
fn datagrams_and_timers_wait_and_clocks_go_on() {
    let log = Log::default();
    let mut world = World::new(exact(1));
    let seen = log.clone();
    add(&mut world, "struck", move |env: SimEnv| {
        let seen = seen.clone();
        async move {
            let start = env.now();
            env.spawn("timer", {
                let (env, seen) = (env.clone(), seen.clone());
                async move {
                    env.sleep_until(start + Duration::from_millis(29)).await;
                    let wall = env.wall().0 - unplug_sim::WALL_START_NS;
                    let passed = env.now().since(start).as_millis();
                    seen.note(&env, format!("timer {passed} {}", wall / MILLI));
                }
            });
            listen(env, seen).await
        }
    });
    add(&mut world, "sender", |env: SimEnv| async move {
        let socket = env.net().bind(crate::machine::PORT).expect("free");
        for number in 0..4 {
            env.sleep(Duration::from_millis(10)).await;
            socket.send(to(0), format!("{number}").into()).expect("small");
        }
        Ok(())
    });
    load(&mut world, [at(15 * MILLI, pause("struck", 20))]);
    world.run_until(SECOND);
    let mut lines = log.lines();
    lines[1..].sort();
    assert_eq!(lines, ["12 0", "35 1", "35 2", "35 timer 34 35", "42 3"]);
}

#[test]
fn the_inbox_of_a_paused_node_overflows_like_any_other() {
    let log = Log::default();
    let mut world = World::new(exact(1));
    let seen = log.clone();
    add(&mut world, "struck", move |env| listen(env, seen.clone()));
    add(&mut world, "sender", |env: SimEnv| async move {
        let socket = env.net().bind(crate::machine::PORT).expect("free");
        env.sleep(Duration::from_millis(10)).await;
        for _ in 0..INBOX_DATAGRAMS_MAX + 5 {
            socket.send(to(0), "x".into()).expect("small");
        }
        Ok(())
    });
    load(&mut world, [at(5 * MILLI, pause("struck", 20))]);
    world.run_until(SECOND);
    assert_eq!(log.lines(), vec!["25 x"; INBOX_DATAGRAMS_MAX]);
}

/// Writes, syncs and notes the times.
async fn write(env: SimEnv, log: Log) -> Exit {
    let file = env.disk().open("/log", OpenMode::Create).await.expect("no faults");
    file.append("abc".into()).await.expect("no faults");
    log.note(&env, "written");
    file.sync_all().await.expect("no faults");
    env.disk().sync_dir("/").await.expect("no faults");
    log.note(&env, "synced");
    Ok(())
}

fn writer(fault: Fault, until_ns: u64) -> (Vec<String>, World) {
    let log = Log::default();
    let mut world = World::new(exact(1));
    let seen = log.clone();
    add(&mut world, "writer", move |env| write(env, seen.clone()));
    load(&mut world, [fault]);
    world.run_until(until_ns);
    (log.lines(), world)
}

#[test]
fn a_pause_before_a_write_leaves_the_file_untouched_and_one_after_does_not() {
    let writes = |edge| on("writer", EffectFilter::Write, 2, edge, pause("writer", 100));
    for (edge, bytes, lines) in [
        (Edge::Before, "", ["103 written", "105 synced"]),
        (Edge::After, "abc", ["102 written", "104 synced"]),
    ] {
        let (_, mut world) = writer(writes(edge), 50 * MILLI);
        let tree = world.disk(unplug_sim::env::NodeId(0), |disk| disk.tree());
        assert_eq!(tree["/log"].1, Bytes::from(bytes), "{edge:?}");
        assert_eq!(writer(writes(edge), SECOND).0, lines, "{edge:?}");
    }
}

#[test]
fn a_sync_under_way_ends_in_a_pause_and_the_node_learns_of_it_later() {
    // The start of the sync of the file is the first sync effect, its end the second.
    let syncs = |nth, edge| on("writer", EffectFilter::Sync, nth, edge, pause("writer", 100));
    let durable = |fault: Fault| {
        let (_, mut world) = writer(fault, 50 * MILLI);
        world.disk(unplug_sim::env::NodeId(0), |disk| disk.pending())
    };
    // The name and the bytes are pending, then the name only.
    assert_eq!(durable(syncs(1, Edge::Before)), 2);
    assert_eq!(durable(syncs(1, Edge::After)), 1);
    assert_eq!(durable(syncs(2, Edge::Before)), 1);
    assert_eq!(writer(syncs(1, Edge::Before), SECOND).0, ["3 written", "105 synced"]);
    assert_eq!(writer(syncs(1, Edge::After), SECOND).0, ["3 written", "104 synced"]);
    assert_eq!(writer(syncs(2, Edge::Before), SECOND).0, ["3 written", "105 synced"]);
}

#[test]
fn a_pause_before_the_end_of_an_operation_a_receive_or_a_timer_holds_it_back() {
    // The end of the append is the fourth disk effect.
    let ends = on("writer", EffectFilter::Disk, 4, Edge::Before, pause("writer", 100));
    assert_eq!(writer(ends, SECOND).0, ["103 written", "105 synced"]);
    let gets = on("listener", EffectFilter::Receive, 2, Edge::Before, pause("listener", 100));
    assert_eq!(burst([gets]).0, ["11 one", "111 two", "111 three", "111 four"]);
    let wakes = on("sender", EffectFilter::Timer, 1, Edge::Before, pause("sender", 100));
    assert_eq!(burst([wakes]).0, ["111 one", "111 two", "111 three", "116 four"]);
}

#[test]
fn work_and_waits_begun_in_the_rest_of_a_struck_poll_begin_after_the_pause() {
    let log = Log::default();
    let mut world = World::new(exact(1));
    let seen = log.clone();
    add(&mut world, "worker", move |env: SimEnv| {
        let seen = seen.clone();
        async move {
            env.mark("edge");
            env.busy(Duration::from_millis(7)).await;
            seen.note(&env, "worked");
            Ok(())
        }
    });
    let mark = EffectFilter::Mark("edge".to_owned());
    load(&mut world, [on("worker", mark, 1, Edge::After, pause("worker", 100))]);
    world.run_until(SECOND);
    assert_eq!(log.lines(), ["108 worked"]);
}

#[test]
fn a_node_that_is_down_is_not_paused_but_the_fault_counts() {
    let loss = Action::Kill { target: node("sender"), down_ns: 10 * MILLI };
    let (seen, world) = burst([at(4 * MILLI, loss), at(5 * MILLI, pause("sender", 100))]);
    assert_eq!(seen, ["25 one", "25 two", "25 three", "30 four"]);
    assert_eq!(fired(&world), [("kill", 4, 15), ("pause", 5, 105)]);
}

#[test]
fn a_program_that_refuses_in_the_poll_that_was_struck_is_down() {
    let mut world = World::new(exact(1));
    add(&mut world, "quitter", |env: SimEnv| async move {
        env.mark("edge");
        Err(unplug_sim::env::Refusal::new("enough"))
    });
    let mark = EffectFilter::Mark("edge".to_owned());
    load(&mut world, [on("quitter", mark, 1, Edge::After, pause("quitter", 100))]);
    world.run_until(SECOND);
    assert_eq!(world.ended().len(), 1);
    assert_eq!(world.ended()[0].message, "enough");
}

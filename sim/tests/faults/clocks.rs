//! Slow CPUs and wrong clocks.

use std::{rc::Rc, time::Duration};

use crate::machine::{Log, MILLI, SECOND, add, at, exact, fired, load, node, on};
use unplug_sim::{
    ClockConfig, SimEnv, Site, WALL_START_NS, World, WorldConfig,
    env::{Env, Instant},
    fault::{Action, Edge, EffectFilter, Fault, Target},
};

fn throttle(factor: u32, for_ms: u64) -> Action {
    Action::Throttle { target: node("worker"), factor, for_ns: for_ms * MILLI }
}

/// Pieces of work of 10 ms one after another, from 1 ms on.
fn work(faults: impl IntoIterator<Item = Fault>) -> (Vec<String>, World) {
    let log = Log::default();
    let mut world = World::new(exact(1));
    let seen = log.clone();
    add(&mut world, "worker", move |env: SimEnv| {
        let seen = seen.clone();
        async move {
            for number in 0..4 {
                env.busy(Duration::from_millis(10)).await;
                seen.note(&env, number.to_string());
            }
            Ok(())
        }
    });
    load(&mut world, faults);
    world.run_until(SECOND);
    (log.lines(), world)
}

#[test]
fn throttled_work_takes_exactly_so_many_times_as_long() {
    assert_eq!(work([]).0, ["11 0", "21 1", "31 2", "41 3"]);
    let (lines, world) = work([at(5 * MILLI, throttle(7, 30))]);
    assert_eq!(lines, ["11 0", "81 1", "91 2", "101 3"], "as it was when it was charged");
    assert_eq!(fired(&world), [("throttle", 5, 35)]);
    assert_eq!(work([at(5 * MILLI, throttle(1, 30))]).0, work([]).0);
}

#[test]
fn of_overlapping_throttles_the_highest_factor_counts() {
    let faults = [
        at(5 * MILLI, throttle(5, 20)),
        at(6 * MILLI, throttle(3, 90)),
        at(7 * MILLI, throttle(2, 200)),
    ];
    assert_eq!(work(faults).0, ["11 0", "61 1", "91 2", "121 3"]);
}

#[test]
fn a_throttle_lasts_over_a_reboot_and_strikes_before_or_after_an_effect() {
    let kill = Action::Kill { target: node("worker"), down_ns: 8 * MILLI };
    let (lines, _) = work([at(5 * MILLI, throttle(3, 400)), at(11 * MILLI + 1, kill)]);
    assert_eq!(lines, ["11 0", "50 0", "80 1", "110 2", "140 3"]);
    let timer = |edge| on("worker", EffectFilter::Timer, 1, edge, throttle(3, 400));
    for edge in [Edge::Before, Edge::After] {
        assert_eq!(work([timer(edge)]).0, ["11 0", "41 1", "71 2", "101 3"]);
    }
}

/// The wall clock every 10 ms, in milliseconds since the start, and the steps of the monotonic
/// one between.
fn walls(faults: impl IntoIterator<Item = Fault>) -> Vec<(i64, u64)> {
    let seen = Rc::new(std::cell::RefCell::new(Vec::new()));
    let mut world = World::new(exact(1));
    let witness = Rc::clone(&seen);
    add(&mut world, "worker", move |env: SimEnv| {
        let witness = Rc::clone(&witness);
        async move {
            loop {
                let before = env.now();
                env.sleep(Duration::from_millis(10)).await;
                let wall = i128::from(env.wall().0) - i128::from(WALL_START_NS);
                let wall = i64::try_from(wall / i128::from(MILLI)).expect("near");
                let passed = env.now().since(before).as_nanos();
                witness.borrow_mut().push((wall, u64::try_from(passed).expect("short")));
            }
        }
    });
    load(&mut world, faults);
    world.run_until(42 * MILLI);
    seen.borrow().clone()
}

#[test]
fn a_step_moves_the_wall_clock_for_good_and_never_the_monotonic_one() {
    let step = |at_ms: u64, by_ms: i64| {
        let by_ns = by_ms * 1_000_000;
        at(at_ms * MILLI, Action::ClockStep { target: Target::DataCentre, by_ns })
    };
    let even = |walls: [i64; 4]| walls.map(|wall| (wall, 10 * MILLI)).to_vec();
    assert_eq!(walls([]), even([11, 21, 31, 41]));
    assert_eq!(walls([step(15, 500), step(25, -1_000)]), even([11, 521, -469, -459]));
    // Over a reboot at 13 ms: the program starts anew at 14 ms.
    let kill = Action::Kill { target: node("worker"), down_ns: 0 };
    assert_eq!(walls([step(12, 500), at(13 * MILLI, kill)]), even([11, 524, 534, 0])[..3]);
    let before_time =
        walls([at(5 * MILLI, Action::ClockStep { target: node("worker"), by_ns: i64::MIN })]);
    let start_ms = i64::try_from(WALL_START_NS / MILLI).expect("small");
    assert_eq!(before_time[0].0, -start_ms, "1970 is the beginning of time");
}

#[test]
fn a_step_is_over_in_the_moment() {
    let mut world = World::new(exact(1));
    add(&mut world, "worker", |_| async { Ok(()) });
    load(&mut world, [at(5 * MILLI, Action::ClockStep { target: node("worker"), by_ns: -1 })]);
    world.run_until(SECOND);
    assert_eq!(fired(&world), [("clock_step", 5, 5)]);
    assert!(world.crashes().is_empty());
}

/// (asked, passed on the node's clock, passed in the world) for sleeps of all lengths, and the
/// wall clock's error at the start.
fn sleeps(seed: u64, site: Site) -> (Vec<(u64, u64, u64)>, i128, u64) {
    let clocks = ClockConfig { wall_skew_ns: 5 * MILLI, drift_ppm: 200 };
    let seen = Rc::new(std::cell::RefCell::new((Vec::new(), 0)));
    let mut world = World::new(WorldConfig { clocks, ..exact(seed) });
    let witness = Rc::clone(&seen);
    let node = world.add_node("sleeper", site, move |env: SimEnv| {
        let witness = Rc::clone(&witness);
        async move {
            let start = i128::from(env.wall().0) - i128::from(WALL_START_NS + MILLI);
            witness.borrow_mut().1 = start;
            let world_ns = |env: &SimEnv| {
                let mut at = 0;
                env.observe("time", 0, |at_ns| at = at_ns);
                at
            };
            for step in 0..200u64 {
                let asked = step * step * 9_973 + step % 3;
                let (before, world_before) = (env.now(), world_ns(&env));
                env.sleep_until(Instant(before.0 + asked)).await;
                let passed = env.now().0 - before.0;
                let world_passed = world_ns(&env) - world_before;
                witness.borrow_mut().0.push((asked, passed, world_passed));
            }
            Ok(())
        }
    });
    world.start(node);
    world.run_until(100 * SECOND);
    let events = world.events();
    drop(world);
    let (sleeps, skew) = Rc::try_unwrap(seen).expect("the world is gone").into_inner();
    (sleeps, skew, events)
}

#[test]
fn under_drift_no_timer_ends_early_by_the_node_s_clock_and_none_spins() {
    let mut drifted = 0;
    for seed in 0..20 {
        let (sleeps, skew, events) = sleeps(seed, Site::DataCentre);
        assert_eq!(sleeps.len(), 200);
        assert!(events <= 202, "one event for each sleep, not {events}");
        assert!(skew.unsigned_abs() <= u128::from(5 * MILLI));
        for (asked, passed, world) in &sleeps {
            assert!((*asked..=asked + 1).contains(passed), "{passed} of {asked}");
            assert!(passed.abs_diff(*world) <= asked / 5_000 + 2, "{passed} and {world}");
        }
        let (_, passed, world) = sleeps[199];
        drifted += u32::from(passed.abs_diff(world) > passed / 20_000);
    }
    assert!(drifted > 10, "only {drifted} of 20 clocks drift by more than 50 millionths");
}

#[test]
fn clients_outside_have_exact_clocks() {
    let (sleeps, skew, _) = sleeps(3, Site::Outside);
    assert_eq!(skew, 0);
    assert!(sleeps.iter().all(|(asked, passed, world)| asked == passed && passed == world));
}

#[test]
fn a_clock_config_is_read_like_the_other_parts_of_a_world() {
    let read = serde_json::from_str::<ClockConfig>;
    assert_eq!(read("{}").expect("all defaults"), ClockConfig::default());
    let config = read(r#"{"drift_ppm": 50}"#).expect("known fields");
    assert_eq!(config, ClockConfig { wall_skew_ns: 0, drift_ppm: 50 });
    assert!(read(r#"{"skew": 50}"#).is_err());
}

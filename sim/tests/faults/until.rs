//! Faults that end at an event, and faults that wait inside a phase or for what befalls a node.

use std::{cell::Cell, rc::Rc, time::Duration};

use crate::machine::{Log, MILLI, SECOND, add, at, exact, fired, load, node, on};
use unplug_sim::{
    PlanError, SimEnv, World,
    env::{Env, Exit, Refusal, Remedy},
    fault::{Action, Edge, EffectFilter, Fault, Keep, Plan, Point, Target, Trigger},
};

fn point(at: &str, effect: EffectFilter, nth: u64) -> Point {
    Point { node: at.to_owned(), effect, inside: None, nth, edge: Edge::After }
}

fn mark(name: &str) -> EffectFilter {
    EffectFilter::Mark(name.to_owned())
}

fn until(fault: Fault, point: Point) -> Fault {
    Fault { until: Some(point), ..fault }
}

fn kill(name: &str, down_ms: u64) -> Action {
    Action::Kill { target: node(name), down_ns: down_ms * MILLI }
}

fn pause(name: &str, for_ms: u64) -> Action {
    Action::Pause { target: node(name), for_ns: for_ms * MILLI }
}

/// Ticks every 10 ms since its boot, and notes the boot.
async fn clock(env: SimEnv, log: Log, name: &'static str) -> Exit {
    log.note(&env, format!("boot of {name}"));
    loop {
        env.sleep(Duration::from_millis(10)).await;
        env.mark("tick");
        log.note(&env, name);
    }
}

/// Two clocks, `a` and `b`, under these faults, for so long; what they noted.
fn clocks(faults: impl IntoIterator<Item = Fault>, for_ms: u64) -> (Vec<String>, World) {
    let log = Log::default();
    let mut world = World::new(exact(1));
    for name in ["a", "b"] {
        let log = log.clone();
        add(&mut world, name, move |env| clock(env, log.clone(), name));
    }
    load(&mut world, faults);
    world.run_until(for_ms * MILLI);
    (log.lines(), world)
}

fn boots(lines: &[String], name: &str) -> Vec<u64> {
    let boots = lines.iter().filter(|line| line.ends_with(&format!("boot of {name}")));
    boots.map(|line| line.split(' ').next().expect("a time").parse().expect("a number")).collect()
}

#[test]
fn what_is_down_boots_when_the_event_comes_or_at_its_bound() {
    for what in [
        kill("a", 500),
        Action::PowerLoss { target: node("a"), down_ns: 500 * MILLI, keep: Keep::Drawn },
        Action::DiskLoss { node: "a".to_owned(), down_ns: 500 * MILLI },
    ] {
        // `b` ticks at 101, 111, 121; counted from the strike on.
        let fault = at(95 * MILLI, what.clone());
        let (lines, world) = clocks([until(fault.clone(), point("b", mark("tick"), 3))], 1_000);
        assert_eq!(boots(&lines, "a"), [1, 122], "{what:?}");
        assert_eq!(fired(&world), [(what.kind(), 95, 122)]);
        let (lines, world) = clocks([until(fault, point("b", mark("tick"), 300))], 1_000);
        assert_eq!(boots(&lines, "a"), [1, 596]);
        assert_eq!(fired(&world), [(what.kind(), 95, 596)]);
    }
}

#[test]
fn another_fault_keeps_a_node_down_that_the_event_would_let_boot() {
    let first = until(at(95 * MILLI, kill("a", 500)), point("b", mark("tick"), 3));
    let (lines, world) = clocks([first.clone(), at(110 * MILLI, kill("a", 200))], 1_000);
    assert_eq!(boots(&lines, "a"), [1, 311]);
    assert_eq!(fired(&world), [("kill", 95, 311), ("kill", 110, 311)]);
    // The event ends the first one only, and nothing a second time.
    let (lines, _) = clocks([first, at(300 * MILLI, kill("a", 100))], 1_000);
    assert_eq!(boots(&lines, "a"), [1, 122, 401]);
}

#[test]
fn a_pause_ends_when_the_event_comes_or_at_its_bound() {
    let paused = |nth| until(at(95 * MILLI, pause("a", 300)), point("b", mark("tick"), nth));
    let gap = |lines: &[String]| {
        let ticks = lines.iter().filter(|line| line.ends_with(" a"));
        let times = ticks.map(|line| line.split(' ').next().expect("a time").parse::<u64>());
        let times: Vec<_> = times.map(|time| time.expect("a number")).collect();
        times.windows(2).find(|pair| pair[1] - pair[0] > 10).map(|pair| (pair[0], pair[1]))
    };
    let (lines, world) = clocks([paused(3)], 1_000);
    assert_eq!((gap(&lines), fired(&world)), (Some((91, 121)), vec![("pause", 95, 121)]));
    let (lines, world) = clocks([paused(300)], 1_000);
    assert_eq!((gap(&lines), fired(&world)), (Some((91, 395)), vec![("pause", 95, 395)]));
    // Another pause goes on.
    let (lines, _) = clocks([paused(3), at(100 * MILLI, pause("a", 100))], 1_000);
    assert_eq!(gap(&lines), Some((91, 200)));
}

#[test]
fn whatever_lasts_ends_at_an_event_once() {
    let (a, b) = (vec!["a".to_owned()], vec!["b".to_owned()]);
    let for_ns = 300 * MILLI;
    for what in [
        Action::Throttle { target: node("a"), factor: 2, for_ns },
        Action::Partition { from: a, to: b, one_way: false, for_ns },
        Action::DiskFull { target: node("a"), for_ns },
        Action::SlowDisk { target: node("a"), factor: 2, for_ns },
    ] {
        let mut world = World::new(exact(1));
        let lines = Log::default();
        for name in ["a", "b"] {
            let lines = lines.clone();
            add(&mut world, name, move |env| clock(env, lines.clone(), name));
        }
        let ends = Rc::new(Cell::new(0));
        let seen = Rc::clone(&ends);
        world.record(Box::new(move |event| {
            seen.set(seen.get() + u32::from(event.to_string().contains("end of")))
        }));
        let (kind, fault) = (what.kind(), at(95 * MILLI, what));
        load(&mut world, [until(fault, point("a", mark("tick"), 3))]);
        // What is under way ends as it was to, though no other fault may happen.
        world.run_until(100 * MILLI);
        world.disarm();
        world.run_until(SECOND);
        assert_eq!((fired(&world), ends.get()), (vec![(kind, 95, 121)], 1));
    }
}

#[test]
fn an_effect_counts_only_inside_its_phase() {
    let run = |edge, nth| {
        let log = Log::default();
        let mut world = World::new(exact(1));
        let seen = log.clone();
        add(&mut world, "a", move |env: SimEnv| {
            let log = seen.clone();
            async move {
                for round in 0..3 {
                    env.sleep(Duration::from_millis(10)).await;
                    env.mark("work.begin");
                    env.sleep(Duration::from_millis(10)).await;
                    log.note(&env, format!("worked {round}"));
                    env.mark("work.end");
                    env.sleep(Duration::from_millis(10)).await;
                }
                std::future::pending().await
            }
        });
        let on =
            Point { inside: Some("work".to_owned()), edge, ..point("a", EffectFilter::Timer, nth) };
        let when = Trigger { from_ns: 0, on: Some(on) };
        load(&mut world, [Fault { when, what: kill("a", 10_000), until: None }]);
        world.run_until(SECOND);
        (log.lines(), fired(&world).first().map(|fired| fired.1))
    };
    assert_eq!(run(Edge::Before, 1), (vec![], Some(21)));
    assert_eq!(run(Edge::After, 1), (vec![], Some(21)));
    let worked = || vec!["21 worked 0".to_owned()];
    assert_eq!(run(Edge::Before, 2), (worked(), Some(51)));
    assert_eq!(run(Edge::Before, 4).1, None);
}

#[test]
fn a_boot_after_a_failure_is_in_no_phase_of_the_boot_before() {
    let mut world = World::new(exact(1));
    let failed = Rc::new(Cell::new(false));
    add(&mut world, "a", move |env: SimEnv| {
        let again = failed.replace(true);
        async move {
            if !again {
                env.mark("work.begin");
                return Err(Refusal { reason: "again".to_owned(), remedy: Remedy::Restart });
            }
            loop {
                env.sleep(Duration::from_millis(10)).await;
            }
        }
    });
    let on = Point { inside: Some("work".to_owned()), ..point("a", EffectFilter::Timer, 1) };
    let when = Trigger { from_ns: 0, on: Some(on) };
    load(&mut world, [Fault { when, what: kill("a", 10), until: None }]);
    world.run_until(SECOND);
    assert_eq!((world.ended().len(), world.fired_count()), (1, 0));
    assert_eq!(world.mark_counts()["work.begin"], 1, "it was passed, though");
}

#[test]
fn faults_follow_on_crashes_and_boots() {
    let follows = |effect, nth, what| on("a", effect, nth, Edge::After, what);
    let faults = [
        at(95 * MILLI, kill("a", 100)),
        follows(EffectFilter::Crash, 1, pause("b", 50)),
        follows(EffectFilter::Boot, 2, kill("a", 30)),
        until(
            follows(
                EffectFilter::Boot,
                3,
                Action::Throttle { target: Target::DataCentre, factor: 2, for_ns: SECOND },
            ),
            point("b", EffectFilter::Crash, 1),
        ),
        at(400 * MILLI, kill("b", 10)),
    ];
    let (lines, world) = clocks(faults, 2_000);
    assert_eq!(boots(&lines, "a"), [1, 227], "what boots and is struck then runs no more");
    assert_eq!(
        fired(&world),
        [
            ("kill", 95, 196),
            ("pause", 95, 145),
            ("kill", 196, 227),
            ("throttle", 227, 400),
            ("kill", 400, 411)
        ]
    );
}

#[test]
fn what_cannot_be_waited_for_is_refused() {
    let refusal = |fault: Fault| {
        let mut world = World::new(exact(1));
        for name in ["a", "b"] {
            add(&mut world, name, |_: SimEnv| std::future::pending());
        }
        world.load(&Plan { faults: vec![fault] }).expect_err("refused")
    };
    let ends = |what, point| refusal(until(at(1, what), point));
    let any = || point("b", EffectFilter::Any, 1);
    let itself = |node: &str| PlanError::WaitsForItself { fault: 0, node: node.to_owned() };
    assert_eq!(ends(kill("b", 1), any()), itself("b"));
    assert_eq!(ends(Action::Pause { target: Target::DataCentre, for_ns: 1 }, any()), itself("b"));
    let step = Action::ClockStep { target: node("a"), by_ns: 1 };
    assert_eq!(ends(step, any()), PlanError::EndsAtNoEvent { fault: 0, kind: "clock_step" });
    let stall = Action::DiskStall { target: node("a"), for_ns: 1 };
    assert_eq!(ends(stall, any()), PlanError::EndsAtNoEvent { fault: 0, kind: "disk_stall" });
    assert!(matches!(
        ends(kill("a", 1), point("c", EffectFilter::Any, 1)),
        PlanError::UnknownNode { .. }
    ));
    assert_eq!(
        ends(kill("a", 1), point("b", EffectFilter::Any, 0)).to_string(),
        "faults[0].until.nth is 0, but effects are counted from 1"
    );
    let before = on("a", EffectFilter::Boot, 1, Edge::Before, kill("b", 1));
    assert_eq!(refusal(before), PlanError::Befalls { fault: 0, place: "when.on" });
    let inside = Point { inside: Some("work".to_owned()), ..point("b", EffectFilter::Crash, 1) };
    assert_eq!(ends(kill("a", 1), inside), PlanError::Befalls { fault: 0, place: "until" });
}

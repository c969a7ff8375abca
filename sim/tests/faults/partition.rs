//! Partitions: which datagrams vanish, when, and that nothing else changes.

use std::time::Duration;

use crate::machine::{Log, MILLI, SECOND, add, at, exact, fired, load, node, on, to};
use unplug_sim::{
    SimEnv, World, WorldConfig,
    env::{Env, Exit, Net, Socket},
    fault::{Action, Edge, EffectFilter, Fault, Plan},
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ways {
    BothWays,
    OneWay,
}
use Ways::{BothWays, OneWay};

fn partition(from: &[&str], to: &[&str], ways: Ways, for_ms: u64) -> Action {
    let names = |side: &[&str]| side.iter().map(|name| (*name).to_owned()).collect();
    let one_way = ways == OneWay;
    Action::Partition { from: names(from), to: names(to), one_way, for_ns: for_ms * MILLI }
}

/// Sends to each of three nodes, itself included, every 10 ms, and notes what it gets.
async fn gossip(env: SimEnv, log: Log) -> Exit {
    let socket = std::rc::Rc::new(env.net().bind(crate::machine::PORT).expect("free"));
    let sender = (env.clone(), std::rc::Rc::clone(&socket));
    env.spawn("sender", async move {
        let (env, socket) = sender;
        for _ in 0..4 {
            env.sleep(Duration::from_millis(10)).await;
            for peer in 0..3 {
                socket.send(to(peer), "gossip".into()).expect("small");
            }
        }
    });
    loop {
        let from = socket.recv().await.from.node.0;
        log.note(&env, format!("{from}{}", env.node().0));
    }
}

/// What arrived in which round, sorted, as "round: from-to from-to".
fn rounds(config: WorldConfig, faults: impl IntoIterator<Item = Fault>) -> (Vec<String>, World) {
    let log = Log::default();
    let mut world = World::new(config);
    for name in ["a", "b", "c"] {
        let seen = log.clone();
        add(&mut world, name, move |env| gossip(env, seen.clone()));
    }
    load(&mut world, faults);
    world.run_until(SECOND);
    let mut lines = log.lines();
    lines.sort();
    (lines, world)
}

/// The links that were cut in each of the four rounds, which send at 11, 21, 31 and 41 ms.
fn cut(faults: impl IntoIterator<Item = Fault>) -> [String; 4] {
    let (whole, _) = rounds(exact(1), []);
    let (got, _) = rounds(exact(1), faults);
    assert!(got.iter().all(|line| whole.contains(line)));
    [12, 22, 32, 42].map(|at| {
        let lost = whole.iter().filter(|line| !got.contains(line));
        let lost = lost.filter_map(|line| line.strip_prefix(&format!("{at} ")));
        lost.collect::<Vec<_>>().join(" ")
    })
}

#[test]
fn a_partition_cuts_both_ways_or_one_until_it_heals() {
    let both = at(15 * MILLI, partition(&["a"], &["b", "c"], BothWays, 20));
    assert_eq!(cut([both]), ["", "01 02 10 20", "01 02 10 20", ""]);
    let one = at(15 * MILLI, partition(&["a"], &["b"], OneWay, 10));
    assert_eq!(cut([one]), ["", "01", "", ""]);
    let whole_groups = at(15 * MILLI, partition(&["a", "c"], &["b"], OneWay, 100));
    assert_eq!(cut([whole_groups]), ["", "01 21", "01 21", "01 21"]);
}

#[test]
fn overlapping_partitions_end_one_by_one() {
    let first = at(5 * MILLI, partition(&["a"], &["b"], BothWays, 20));
    let second = at(15 * MILLI, partition(&["b"], &["a", "c"], OneWay, 20));
    assert_eq!(cut([first, second]), ["01 10", "01 10 12", "10 12", ""]);
}

#[test]
fn what_is_under_way_arrives_and_what_is_sent_while_cut_never_does() {
    // Sent at 11, arriving at 12; cut in between, and healed while the next is on its way.
    let short = at(11 * MILLI + 1, partition(&["a"], &["b"], BothWays, 9));
    assert_eq!(cut([short]), ["", "", "", ""]);
    let begun = at(9 * MILLI, partition(&["a"], &["b"], OneWay, 1));
    assert_eq!(cut([begun]), ["", "", "", ""], "over when it is sent");
    let over = at(21 * MILLI - 1, partition(&["a"], &["b"], OneWay, 1));
    assert_eq!(cut([over]), ["", "01", "", ""], "healed before it would have arrived");
}

#[test]
fn a_partition_before_a_send_takes_it_and_one_after_does_not() {
    let sends = |nth, edge| {
        on("a", EffectFilter::Send, nth, edge, partition(&["a"], &["b", "c"], OneWay, 5))
    };
    // The sends of a round: to a itself, to b, to c, all in one poll.
    assert_eq!(cut([sends(2, Edge::Before)]), ["01 02", "", "", ""]);
    assert_eq!(cut([sends(2, Edge::After)]), ["02", "", "", ""]);
}

#[test]
fn a_partition_counts_with_its_end_as_what_is_under_way_and_survives_disarming() {
    let (_, world) = rounds(exact(1), [at(15 * MILLI, partition(&["a"], &["b"], OneWay, 20))]);
    assert_eq!(fired(&world), [("one_way_partition", 15, 35)]);
    assert!(world.crashes().is_empty());
}

#[test]
fn a_partition_leaves_the_draws_of_every_link_as_they_were() {
    // A network that loses, doubles and delays: each fate is drawn.
    let config = || WorldConfig { boot_ns: (MILLI, MILLI), ..WorldConfig::new(3) };
    let (whole, _) = rounds(config(), []);
    let (got, _) = rounds(config(), [at(15 * MILLI, partition(&["a"], &["b"], OneWay, 10))]);
    // Only the second round, from 21 ms on, lacks what a sent to b.
    let lost: Vec<_> = whole.iter().filter(|line| !got.contains(line)).collect();
    assert_eq!(lost, ["21 01"], "{whole:?}");
    assert_eq!(got.len() + 1, whole.len());
}

#[test]
fn what_a_node_sends_itself_is_never_cut_even_if_it_reboots() {
    let kill = Action::Kill { target: node("a"), down_ns: 0 };
    let faults =
        [at(2 * MILLI, partition(&["a"], &["b", "c"], BothWays, 900)), at(3 * MILLI, kill)];
    let (got, _) = rounds(exact(1), faults);
    assert_eq!(got.iter().filter(|line| line.ends_with(" 00")).count(), 4);
    assert!(!got.iter().any(|line| line.ends_with(" 01") || line.ends_with(" 10")));
}

#[test]
fn partitions_without_sides_or_with_a_node_on_both_and_throttles_by_nothing_are_refused() {
    let refused = |what: Action| {
        let mut world = World::new(exact(1));
        for name in ["a", "b"] {
            add(&mut world, name, |_| async { Ok(()) });
        }
        let plan =
            Plan { faults: vec![at(0, partition(&["a"], &["b"], BothWays, 1)), at(0, what)] };
        let error = world.load(&plan).expect_err("an unsound plan").to_string();
        world.run_until(SECOND);
        assert_eq!(world.fired_count(), 0, "nothing of a refused plan is loaded");
        error
    };
    assert_eq!(
        refused(partition(&[], &["b"], BothWays, 1)),
        "faults[1].what.partition.from names no node, so nothing is cut"
    );
    assert_eq!(
        refused(partition(&["a"], &[], BothWays, 1)),
        "faults[1].what.partition.to names no node, so nothing is cut"
    );
    assert_eq!(
        refused(partition(&["a", "b"], &["b"], OneWay, 1)),
        "faults[1].what.partition names the node \"b\" on both sides"
    );
    assert_eq!(
        refused(partition(&["a"], &["c"], OneWay, 1)),
        "faults[1] names the node \"c\", but there are only: a, b"
    );
    assert_eq!(
        refused(Action::Throttle { target: node("a"), factor: 0, for_ns: 1 }),
        "faults[1].what.throttle.factor is 0, but 1 is full speed"
    );
}

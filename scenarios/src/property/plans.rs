//! Proptest strategies for fault plans, put together from parts: a user's own property test takes
//! the part it needs, and shrinks by itself.
//!
//! Every plan drawn is within what the engine promises to survive, as [`crate::generate::atlas`]
//! tells: what goes down comes back, with its disk; [`any_plan`] has faults of every kind, of
//! which one store may lose its disk or rot. A plan shrinks to fewer faults first, then to simpler
//! kinds, to faults at a time rather than beside an effect, to earlier ones, shorter ones, and to
//! ones of single nodes rather than of all.
//!
//! ```
//! use proptest::{strategy::{Strategy, ValueTree}, test_runner::TestRunner};
//! use unplug::topology::Cluster;
//! use unplug::property::plans;
//!
//! let nodes = plans::nodes(&Cluster::default());
//! let drawn = plans::plan(&nodes, 0..=6, 2_000_000_000).new_tree(&mut TestRunner::deterministic());
//! assert!(drawn?.current().faults.len() <= 6);
//! # Ok::<(), proptest::test_runner::Reason>(())
//! ```

mod others;

use std::ops::RangeInclusive;

pub use others::{FOR_NS, bit_rot, clock_step, disk_loss, partition, pause, throttle};
use proptest::{
    collection,
    prelude::{Just, Strategy, any},
    prop_oneof,
    sample::select,
    strategy::Union,
};
use unplug_sim::fault::{Action, Edge, EffectFilter, Fault, Keep, Plan, Point, Target, Trigger};

use crate::{
    generate::atlas,
    topology::{Cluster, Role, reader},
};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// The shortest and the longest time that power or a process stays away, in nanoseconds.
pub const DOWN_NS: RangeInclusive<u64> = MS..=2 * SECOND;

/// An outage that ends before the first time-out or retry, at the longest, in nanoseconds.
const SHORT_DOWN_NS_MAX: u64 = 50 * MS;
/// Counted in effects of all kinds, a run of a few hundred tuples goes on about so long.
const ANY_NTH_MAX: u64 = 400;
/// The same in disk operations, of which there are fewer.
const DISK_NTH_MAX: u64 = 80;
/// The same in passes of one mark, of which each boot of a node begins with none.
const MARK_NTH_MAX: u64 = 6;

/// The same in effects of a node while it works on a step of an epoch.
const INSIDE_NTH_MAX: u64 = 20;
/// A node boots and crashes but a few times in a run.
const BEFALLEN_NTH_MAX: u64 = 2;

/// The steps of an epoch, each with the role that passes its marks.
pub const STEPS: [(&str, Role); 7] = [
    ("generation", Role::Driver),
    ("offsets", Role::Driver),
    ("tasks", Role::Executor),
    ("blobs", Role::Executor),
    ("commit", Role::Driver),
    ("apply", Role::Sink),
    ("collect", Role::Driver),
];

/// The nodes of a cluster that a plan may strike: all but the readers, which are the oracle's
/// eyes.
#[must_use]
pub fn nodes(cluster: &Cluster) -> Vec<String> {
    let readers: Vec<_> = (0..cluster.readers).map(reader).collect();
    cluster.nodes().into_iter().filter(|node| !readers.contains(node)).collect()
}

/// A plan with so many faults, each of which begins to wait or happens before `until_ns`.
///
/// # Panics
/// If there are no nodes, as in all functions here that take them.
pub fn plan(
    nodes: &[String],
    faults: RangeInclusive<usize>,
    until_ns: u64,
) -> impl Strategy<Value = Plan> + use<> {
    collection::vec(fault(nodes, until_ns), faults).prop_map(|faults| Plan { faults })
}

/// The same with faults of every kind, crashes in half of the cases. At most one store is harmed
/// for good, if the cluster can bear it.
pub fn any_plan(
    cluster: &Cluster,
    faults: RangeInclusive<usize>,
    until_ns: u64,
) -> impl Strategy<Value = Plan> + use<> {
    let (nodes, cluster) = (nodes(cluster), *cluster);
    // Which store it is, is drawn once for the whole plan.
    (0..cluster.stores).prop_flat_map(move |harmed| {
        let harmed = (atlas::harmed_max(&cluster) > 0).then(|| Role::Store.node(harmed));
        let what = any_action(&nodes, &cluster, harmed.as_deref());
        collection::vec(fault_of(&nodes, until_ns, what), faults.clone())
            .prop_map(|faults| Plan { faults })
    })
}

/// One fault: a loss of power or a kill. Half of those of single nodes that wait for an effect strike the very node that has
/// it: there something is half done.
pub fn fault(nodes: &[String], until_ns: u64) -> impl Strategy<Value = Fault> + use<> {
    fault_of(nodes, until_ns, action(nodes))
}

/// The same, of another action.
pub fn fault_of<S: Strategy<Value = Action>>(
    nodes: &[String],
    until_ns: u64,
    what: S,
) -> impl Strategy<Value = Fault> + use<S> {
    (trigger(nodes, until_ns), what, any::<bool>(), end(nodes)).prop_map(
        |(when, what, own, end)| {
            let what = match &when.on {
                Some(point) if own => at_node(what, &point.node),
                Some(_) | None => what,
            };
            let until = end.filter(|end| may_end(&what, end));
            Fault { when, what, until }
        },
    )
}

/// What ends a fault before its time: mostly nothing, else any point of any node.
pub fn end(nodes: &[String]) -> impl Strategy<Value = Option<Point>> + use<> {
    prop_oneof![6 => Just(None), 1 => point(nodes).prop_map(Some)]
}

/// Whether a fault may end at an event: not if it is over in a moment, or stops the very node.
fn may_end(what: &Action, end: &Point) -> bool {
    let struck = what.nodes();
    let all = struck.is_empty() && Role::of(&end.node) != Some(Role::Producer);
    let itself = what.stops_processes() && (all || struck.contains(&end.node.as_str()));
    what.may_wait() && !itself
}

/// When it happens: at a time, or beside an effect from that time on.
pub fn trigger(nodes: &[String], until_ns: u64) -> impl Strategy<Value = Trigger> + use<> {
    // Most that wait for an effect wait from the start, so that counts mean what they say.
    let from_ns = prop_oneof![2 => Just(0), 1 => 0..until_ns];
    prop_oneof![
        1 => (0..until_ns).prop_map(|from_ns| Trigger { from_ns, on: None }),
        4 => (from_ns, point(nodes)).prop_map(|(from_ns, on)| Trigger { from_ns, on: Some(on) }),
    ]
}

/// A crash point: beside an effect of some kind, beside a mark of a step or an effect inside of it,
/// or after a node's boot or crash.
pub fn point(nodes: &[String]) -> impl Strategy<Value = Point> + use<> {
    prop_oneof![
        8 => effect_point(nodes),
        4 => step_point(nodes),
        1 => inside_point(nodes),
        1 => befallen_point(nodes),
    ]
}

/// A crash point beside a datagram or any effect, while a node works on a step of an epoch.
pub fn inside_point(nodes: &[String]) -> impl Strategy<Value = Point> + use<> {
    let steps = STEPS.into_iter().map(|(step, role)| {
        let effects = vec![EffectFilter::Any, EffectFilter::Send, EffectFilter::Receive];
        (node(&of_role(nodes, role)), select(effects), 1..=INSIDE_NTH_MAX, edge())
            .prop_map(move |(node, effect, nth, edge)| Point {
                node,
                effect,
                inside: Some(step.to_owned()),
                nth,
                edge,
            })
            .boxed()
    });
    Union::new(steps)
}

/// After a node's crash, or its boot.
pub fn befallen_point(nodes: &[String]) -> impl Strategy<Value = Point> + use<> {
    let what = select(vec![EffectFilter::Crash, EffectFilter::Boot]);
    (node(nodes), what, 1..=BEFALLEN_NTH_MAX).prop_map(|(node, effect, nth)| Point {
        node,
        effect,
        inside: None,
        nth,
        edge: Edge::After,
    })
}

/// A crash point of any node, beside the nth effect of any kind but a mark.
pub fn effect_point(nodes: &[String]) -> impl Strategy<Value = Point> + use<> {
    let counted = |effects: Vec<EffectFilter>, nth_max: u64| (select(effects), 1..=nth_max);
    let often = [EffectFilter::Any, EffectFilter::Send, EffectFilter::Receive, EffectFilter::Timer];
    let rarely = [EffectFilter::Disk, EffectFilter::Write, EffectFilter::Sync];
    let counted = prop_oneof![
        // Disks are where things are half done.
        2 => counted(rarely.to_vec(), DISK_NTH_MAX),
        1 => counted(often.to_vec(), ANY_NTH_MAX),
    ];
    (node(nodes), counted, edge()).prop_map(|(node, (effect, nth), edge)| Point {
        node,
        effect,
        inside: None,
        nth,
        edge,
    })
}

/// A crash point beside the begin or the end of a step of an epoch, on a node that passes it; each
/// step as often as the others.
pub fn step_point(nodes: &[String]) -> impl Strategy<Value = Point> + use<> {
    let steps = STEPS.into_iter().map(|(step, role)| {
        let begin = EffectFilter::Mark(format!("{step}.begin"));
        let end = EffectFilter::Mark(format!("{step}.end"));
        (node(&of_role(nodes, role)), select(vec![begin, end]), 1..=MARK_NTH_MAX, edge())
            .prop_map(|(node, effect, nth, edge)| Point { node, effect, inside: None, nth, edge })
            .boxed()
    });
    Union::new(steps)
}

/// On which side of an effect.
pub fn edge() -> impl Strategy<Value = Edge> {
    select(vec![Edge::Before, Edge::After])
}

/// What happens: a loss of power or a kill.
pub fn action(nodes: &[String]) -> impl Strategy<Value = Action> + use<> {
    let kill = |(target, down_ns)| Action::Kill { target, down_ns };
    let power_loss = |(target, down_ns)| Action::PowerLoss { target, down_ns, keep: Keep::Drawn };
    prop_oneof![
        1 => (node_target(nodes), down_ns()).prop_map(kill),
        1 => (node_target(nodes), down_ns()).prop_map(power_loss),
        1 => (Just(Target::DataCentre), down_ns()).prop_map(power_loss),
    ]
}

/// What happens, of any kind; the simpler kinds first, since draws shrink to those. The disk that
/// may be lost or rot is of the store `harmed`, if there is one.
pub fn any_action(
    nodes: &[String],
    cluster: &Cluster,
    harmed: Option<&str>,
) -> impl Strategy<Value = Action> + use<> {
    // By the clocks of producers tuples fall due.
    let producer = |node: &&String| node.starts_with(&Role::Producer.to_string());
    let clocks: Vec<_> = nodes.iter().filter(|node| !producer(node)).cloned().collect();
    let mut kinds = vec![
        (6, action(nodes).boxed()),
        (2, pause(nodes).boxed()),
        (1, throttle(nodes).boxed()),
        (1, clock_step(&clocks).boxed()),
        (2, partition(&cluster.nodes()).boxed()),
    ];
    if let Some(store) = harmed {
        kinds.push((1, bit_rot(store).boxed()));
        kinds.push((1, disk_loss(store).boxed()));
    }
    Union::new_weighted(kinds)
}

/// One node, struck alone.
pub fn node_target(nodes: &[String]) -> impl Strategy<Value = Target> + use<> {
    node(nodes).prop_map(Target::Node)
}

/// How long power or a process stays away, in nanoseconds: within [`DOWN_NS`], half of them short.
pub fn down_ns() -> impl Strategy<Value = u64> {
    prop_oneof![*DOWN_NS.start()..=SHORT_DOWN_NS_MAX, DOWN_NS]
}

/// A seed. It does not shrink: another seed is another run and no smaller one.
pub fn seed() -> impl Strategy<Value = u64> {
    any::<u32>().prop_map(u64::from).no_shrink()
}

fn of_role(nodes: &[String], role: Role) -> Vec<String> {
    nodes.iter().filter(|name| Role::of(name) == Some(role)).cloned().collect()
}

fn node(nodes: &[String]) -> impl Strategy<Value = String> + use<> {
    select(nodes.to_vec())
}

/// The same, but of this node, unless it is of all.
fn at_node(what: Action, node: &str) -> Action {
    let at = |target| match target {
        Target::Node(_) => Target::Node(node.to_owned()),
        Target::DataCentre => Target::DataCentre,
    };
    match what {
        Action::Kill { target, down_ns } => Action::Kill { target: at(target), down_ns },
        Action::PowerLoss { target, down_ns, keep } => {
            Action::PowerLoss { target: at(target), down_ns, keep }
        }
        Action::Pause { target, for_ns } => Action::Pause { target: at(target), for_ns },
        Action::Throttle { target, factor, for_ns } => {
            Action::Throttle { target: at(target), factor, for_ns }
        }
        // Their nodes are chosen for what they are.
        other @ (Action::Partition { .. }
        | Action::ClockStep { .. }
        | Action::DiskLoss { .. }
        | Action::DiskFault { .. }
        | Action::DiskFull { .. }
        | Action::SlowDisk { .. }
        | Action::DiskStall { .. }) => other,
    }
}

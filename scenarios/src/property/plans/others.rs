//! Faults other than crashes: each ends by itself, but for what harms the disk of a store.

use std::ops::RangeInclusive;

use proptest::{
    prelude::{Just, Strategy, any},
    prop_oneof,
    sample::{Index, select, subsequence},
};
use unplug_sim::fault::{Action, DiskFault, Target};

use super::{MS, SECOND, down_ns, node_target};
use crate::generate::atlas;

/// The shortest and the longest time that a pause, a throttle or a partition lasts, in
/// nanoseconds.
pub const FOR_NS: RangeInclusive<u64> = MS..=4 * SECOND;
/// A pause that ends before any failure is detected, at the longest, in nanoseconds.
const SHORT_FOR_NS_MAX: u64 = 200 * MS;
/// How many times slower a CPU gets, at most.
const FACTOR_MAX: u32 = 1_000;
/// A step of a clock that no one would see but by its direction, in nanoseconds.
const SHORT_STEP_NS_MAX: i64 = 10_000_000;
const STEP_NS_MAX: i64 = 3_600_000_000_000;

/// A process that stands still, and goes on later: one node's, seldom all.
pub fn pause(nodes: &[String]) -> impl Strategy<Value = Action> + use<> {
    (one_or_all(nodes), for_ns()).prop_map(|(target, for_ns)| Action::Pause { target, for_ns })
}

/// A CPU that gets slower.
pub fn throttle(nodes: &[String]) -> impl Strategy<Value = Action> + use<> {
    (node_target(nodes), 1..=FACTOR_MAX, for_ns())
        .prop_map(|(target, factor, for_ns)| Action::Throttle { target, factor, for_ns })
}

/// A wall clock that is set, forward or back; shrinks towards no step.
pub fn clock_step(nodes: &[String]) -> impl Strategy<Value = Action> + use<> {
    let by_ns = prop_oneof![-SHORT_STEP_NS_MAX..=SHORT_STEP_NS_MAX, -STEP_NS_MAX..=STEP_NS_MAX,];
    (one_or_all(nodes), by_ns).prop_map(|(target, by_ns)| Action::ClockStep { target, by_ns })
}

/// A cut between two groups of these nodes, of which there must be two: in both directions or in
/// one. Shrinks to a cut of one link.
pub fn partition(nodes: &[String]) -> impl Strategy<Value = Action> + use<> {
    let some = subsequence(nodes.to_vec(), 2..=nodes.len()).prop_shuffle();
    (some, any::<Index>(), any::<bool>(), for_ns()).prop_map(|(mut from, cut, one_way, for_ns)| {
        let to = from.split_off(1 + cut.index(from.len() - 1));
        Action::Partition { from, to, one_way, for_ns }
    })
}

/// A bit of a file of this store that turns over.
pub fn bit_rot(store: &str) -> impl Strategy<Value = Action> + use<> {
    let directory = select(atlas::HARMED.map(str::to_owned).to_vec());
    (Just(store.to_owned()), directory).prop_map(|(node, directory)| Action::DiskFault {
        node,
        directory,
        what: DiskFault::BitRot,
    })
}

/// The disk of this store, lost for good.
pub fn disk_loss(store: &str) -> impl Strategy<Value = Action> + use<> {
    (Just(store.to_owned()), down_ns())
        .prop_map(|(node, down_ns)| Action::DiskLoss { node, down_ns })
}

fn one_or_all(nodes: &[String]) -> impl Strategy<Value = Target> + use<> {
    prop_oneof![6 => node_target(nodes), 1 => Just(Target::DataCentre)]
}

fn for_ns() -> impl Strategy<Value = u64> {
    prop_oneof![1 => *FOR_NS.start()..=SHORT_FOR_NS_MAX, 2 => FOR_NS]
}

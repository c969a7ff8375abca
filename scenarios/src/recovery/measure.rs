//! What one run tells of its recovery: how long until it was there, phase by phase, and what it cost.
//!
//! A *new epoch* is the first that takes in a tuple which arrived after the strike; arrived is when
//! its producer had it to send. The recovery time goes from the strike until all sinks have
//! published that epoch. The run is *whole* again with the first epoch from there on at a normal lag.
//! The lag of an epoch is from the arrival of the oldest tuple it takes in until all sinks have
//! published it. Normal is up to a tenth above the highest in the steady state before the strike, and
//! a producer's pause between two sends: how epochs fall between sends may be another afterwards.

use std::collections::{BTreeMap, BTreeSet};

use unplug_sim::env::NodeId;

use super::{
    fault::Fault,
    phase::{Phases, Recovery},
    setting::Setting,
    timeline::{Attempt, Timeline},
};
use crate::clients::{Clients, PRODUCE_EVERY_NS};

/// How far back the steady state is looked at, at the least.
const STEADY_NS_MIN: u64 = 4_000_000_000;
/// How far behind the strike the course of a run is kept.
const COURSE_NS_MAX: u64 = 15_000_000_000;

/// What one run tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Measured {
    /// From the strike to the new epoch.
    pub(super) recovery_ns: u64,
    /// The same, phase by phase.
    pub(super) phases: Phases,
    /// From the strike until it was whole.
    pub(super) whole_ns: u64,
    /// The highest lag from the strike until it was whole.
    pub(super) peak_lag_ns: u64,
    /// Tuples of the source that were read once more, from the strike until it was whole.
    pub(super) tuples_replayed: u64,
    /// CPU time of attempts at tasks beside those that were needed, as they were begun.
    pub(super) work_wasted_ns: u64,
    /// Bytes of states that were loaded from the strike to the new epoch.
    pub(super) state_bytes: u64,
    /// The epochs around the strike.
    pub(super) course: Vec<Point>,
}

/// An epoch in the course of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    /// When it was published, from the strike; before it below 0.
    pub(super) at_ns: i64,
    /// Its lag.
    pub(super) lag_ns: u64,
    /// How many tuples it took in.
    pub(super) tuples: u64,
}

/// An epoch that took in tuples.
#[derive(Clone, Copy, Debug)]
struct Taken {
    oldest_ns: u64,
    latest_ns: u64,
    tuples: u64,
    published_ns: u64,
}

/// The nodes of which it is known whom the recovery waits for.
#[derive(Clone, Debug)]
pub(super) struct Nodes {
    /// The sinks.
    pub(super) sinks: Vec<NodeId>,
    /// The nodes of which there is one only: broker and sinks.
    pub(super) only: Vec<NodeId>,
}

/// What a run tells; nothing if it did not become whole again.
pub(super) fn measure(
    timeline: &Timeline,
    clients: &Clients,
    nodes: &Nodes,
    (fault, setting): (Fault, &Setting),
    strike_ns: u64,
) -> Option<Measured> {
    let epochs = taken(timeline, clients, nodes);
    let (new, first) = epochs.iter().find(|(_, epoch)| epoch.latest_ns > strike_ns)?;
    let lag_ns = |epoch: &Taken| epoch.published_ns.saturating_sub(epoch.oldest_ns);
    let size = setting.size();
    let steady_ns = STEADY_NS_MIN.max(4 * size.epoch_ns()).max(size.cycle_ns());
    let steady_from_ns = strike_ns.saturating_sub(steady_ns);
    let steady =
        epochs.values().filter(|epoch| (steady_from_ns..strike_ns).contains(&epoch.published_ns));
    let usual_ns = steady.map(lag_ns).max()?;
    let normal = |epoch: &Taken| lag_ns(epoch) <= usual_ns + usual_ns / 10 + PRODUCE_EVERY_NS;
    let (last, whole) = epochs.range(new..).find(|(_, epoch)| normal(epoch))?;
    let after = epochs.range(..=last).filter(|(_, epoch)| epoch.published_ns > strike_ns);
    let peak_lag_ns = after.map(|(_, epoch)| lag_ns(epoch)).max()?;
    let (tuples_replayed, again) = replayed(timeline, strike_ns, *last);
    let (new, published_ns) = (*new, first.published_ns);
    let recovery = Recovery { strike_ns, of_executor: fault.is_of_executor(), new, published_ns };
    let phases = Phases::new(timeline, &nodes.only, recovery);
    let until_ns = strike_ns + phases.total_ns();
    let loads = timeline.loads.iter();
    let loads = loads.filter(|load| load.until_ns > strike_ns && load.from_ns < until_ns);
    let course = epochs.values().filter_map(|epoch| {
        let seen = steady_from_ns..strike_ns + COURSE_NS_MAX.max(2 * steady_ns);
        let at_ns = i64::try_from(epoch.published_ns).ok()? - i64::try_from(strike_ns).ok()?;
        let point = Point { at_ns, lag_ns: lag_ns(epoch), tuples: epoch.tuples };
        seen.contains(&epoch.published_ns).then_some(point)
    });
    Some(Measured {
        recovery_ns: first.published_ns - strike_ns,
        phases,
        whole_ns: whole.published_ns - strike_ns,
        peak_lag_ns,
        tuples_replayed,
        work_wasted_ns: again * setting.work_per_tuple_ns(),
        state_bytes: loads.map(|load| load.bytes).sum(),
        course: course.collect(),
    })
}

/// The epochs that took in tuples: from the published cuts, and from where tuples were acknowledged.
fn taken(timeline: &Timeline, clients: &Clients, nodes: &Nodes) -> BTreeMap<u64, Taken> {
    let history = clients.history.borrow();
    let batches = history.reads.iter().filter(|read| read.sink == 0).flat_map(|read| &read.batches);
    let cuts: BTreeMap<u64, &[u64]> =
        batches.map(|batch| (batch.epoch, batch.cut.ends.as_slice())).collect();
    let cuts: Vec<_> = cuts.into_iter().collect();
    let mut epochs: BTreeMap<u64, Taken> = BTreeMap::new();
    for one in &history.acknowledged {
        let Some(offset) = one.offset else { continue };
        let partition = usize::from(one.partition);
        let place = cuts.partition_point(|(_, ends)| ends[partition] <= offset);
        let Some((epoch, _)) = cuts.get(place) else { continue };
        let (_, input) = clients.input(one.id).expect("its own input");
        if input.closing {
            continue;
        }
        let Some(published_ns) = published_ns(timeline, nodes, *epoch) else { continue };
        let new = Taken { oldest_ns: u64::MAX, latest_ns: 0, tuples: 0, published_ns };
        let taken = epochs.entry(*epoch).or_insert(new);
        taken.oldest_ns = taken.oldest_ns.min(input.due_ns);
        taken.latest_ns = taken.latest_ns.max(input.due_ns);
        taken.tuples += 1;
    }
    epochs
}

/// When all sinks had published an epoch. One that was ended between publishing it and saying so has
/// published it by the next one.
fn published_ns(timeline: &Timeline, nodes: &Nodes, epoch: u64) -> Option<u64> {
    let at = |sink| timeline.published.get(sink)?.range(epoch..).next().map(|(_, at_ns)| *at_ns);
    nodes.sinks.iter().map(at).collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// How many tuples were read, and how many were worked on at all, more often than once, in the epochs
/// from the strike to `last`.
fn replayed(timeline: &Timeline, strike_ns: u64, last: u64) -> (u64, u64) {
    let before = timeline.commits.iter().filter(|(_, at_ns)| **at_ns <= strike_ns);
    let before = before.map(|(epoch, _)| *epoch).max().unwrap_or(0);
    let mut seen = BTreeSet::new();
    let (mut read, mut worked) = (0, 0);
    for Attempt { epoch, reduces, part, tuples } in &timeline.attempts {
        if *epoch <= before || *epoch > last || seen.insert((*epoch, *reduces, *part)) {
            continue;
        }
        worked += tuples;
        if !reduces {
            read += tuples;
        }
    }
    (read, worked)
}

//! What makes sense as a fault plan on a cluster.

use std::collections::BTreeSet;

use unplug_engine::steps::{MARKS, Step};
use unplug_sim::fault::{Action, EffectFilter, Fault, Plan};

use super::{HOUR, bounds::within};
use crate::{
    input::{Invalid, unknown},
    topology::Cluster,
};

const DAY: i64 = 24 * 3_600_000_000_000;

/// Checks that a plan can be run on a cluster.
pub(crate) fn check(plan: &Plan, cluster: &Cluster) -> Result<(), Invalid> {
    let nodes = cluster.nodes();
    for (index, fault) in plan.faults.iter().enumerate() {
        one(fault, &nodes).map_err(|error| error.part_of(&format!("faults[{index}]")))?;
    }
    Ok(())
}

/// When a fault is over, if it strikes as soon as it may.
pub(super) fn over_ns(fault: &Fault) -> u64 {
    let lasts_ns = match fault.what {
        Action::PowerLoss { down_ns, .. }
        | Action::Kill { down_ns, .. }
        | Action::DiskLoss { down_ns, .. } => down_ns,
        Action::Pause { for_ns, .. }
        | Action::Throttle { for_ns, .. }
        | Action::Partition { for_ns, .. } => for_ns,
        Action::ClockStep { .. } | Action::BitRot { .. } => 0,
    };
    fault.when.from_ns.saturating_add(lasts_ns)
}

/// Checks that the engine passes such a mark.
pub(super) fn mark(name: &str) -> Result<(), Invalid> {
    let steps = Step::ALL.into_iter().flat_map(|step| [step.begin(), step.end()]);
    let known: Vec<_> = steps.chain(MARKS).collect();
    if known.contains(&name) { Ok(()) } else { Err(Invalid::new(unknown("mark", name, known))) }
}

fn one(fault: &Fault, nodes: &[String]) -> Result<(), Invalid> {
    for name in fault.what.nodes() {
        known("what", name, nodes)?;
    }
    action(&fault.what).map_err(|error| error.within("what"))?;
    within("when.from_ns", fault.when.from_ns, 0..=24 * HOUR)?;
    if let Some(point) = &fault.when.on {
        known("when.on.node", &point.node, nodes)?;
        within("when.on.nth", point.nth, 1..=u64::MAX)?;
        if let EffectFilter::Mark(name) = &point.effect {
            mark(name).map_err(|error| error.within("when.on.effect"))?;
        }
    }
    Ok(())
}

fn known(place: &str, node: &str, nodes: &[String]) -> Result<(), Invalid> {
    if nodes.iter().any(|known| known == node) {
        return Ok(());
    }
    Err(Invalid::at(place, unknown("node", node, nodes.iter().map(String::as_str))))
}

fn action(what: &Action) -> Result<(), Invalid> {
    match what {
        Action::PowerLoss { down_ns, .. }
        | Action::Kill { down_ns, .. }
        | Action::DiskLoss { down_ns, .. } => within("down_ns", *down_ns, 0..=HOUR),
        Action::Pause { for_ns, .. } => within("for_ns", *for_ns, 0..=HOUR),
        Action::Throttle { factor, for_ns, .. } => {
            within("factor", *factor, 1..=1_000_000)?;
            within("for_ns", *for_ns, 0..=HOUR)
        }
        Action::Partition { from, to, for_ns, .. } => {
            sides(from, to)?;
            within("for_ns", *for_ns, 0..=HOUR)
        }
        Action::ClockStep { by_ns, .. } => within("by_ns", *by_ns, -DAY..=DAY),
        Action::BitRot { directory, .. } => absolute(directory),
    }
}

/// Checks that there are two sides, and that no node is on both.
fn sides(from: &[String], to: &[String]) -> Result<(), Invalid> {
    for (place, side) in [("from", from), ("to", to)] {
        if side.is_empty() {
            return Err(Invalid::at(place, "is empty; name the nodes of this side"));
        }
    }
    let mut seen = BTreeSet::new();
    match from.iter().chain(to).find(|node| !seen.insert(*node)) {
        None => Ok(()),
        Some(node) => {
            let what = format!("{node:?} is named twice; a node is on one side, once");
            Err(Invalid::at("from and to", what))
        }
    }
}

/// Checks that a directory is given as a path from the root.
fn absolute(directory: &str) -> Result<(), Invalid> {
    let sound = |name: &str| !name.is_empty() && name != "." && name != "..";
    match directory.strip_prefix('/') {
        Some(rest) if rest.is_empty() || rest.split('/').all(sound) => Ok(()),
        Some(_) | None => {
            let what = format!("{directory:?} is no absolute path, such as \"/blobs\"");
            Err(Invalid::at("directory", what))
        }
    }
}

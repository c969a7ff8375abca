//! What makes sense as a fault plan on a cluster.

use std::collections::BTreeSet;

use unplug_engine::steps::{self, MARKS, Step};
use unplug_sim::fault::{Action, Edge, EffectFilter, Fault, Plan, Point};

use super::{HOUR, bounds::within};
use crate::{
    input::{Invalid, unknown},
    scenario::Scenario,
    topology::Role,
};

const DAY: i64 = 24 * 3_600_000_000_000;

/// Checks that a plan can be run on a scenario's cluster.
pub(crate) fn check(plan: &Plan, scenario: &Scenario) -> Result<(), Invalid> {
    let nodes = scenario.nodes();
    for (index, fault) in plan.faults.iter().enumerate() {
        one(fault, &nodes).map_err(|error| error.part_of(&format!("faults[{index}]")))?;
    }
    Ok(())
}

/// When a fault is over at the latest, if it strikes as soon as it may.
pub(super) fn over_ns(fault: &Fault) -> u64 {
    let lasts_ns = match fault.what {
        Action::PowerLoss { down_ns, .. }
        | Action::Kill { down_ns, .. }
        | Action::DiskLoss { down_ns, .. } => down_ns,
        Action::Pause { for_ns, .. }
        | Action::Throttle { for_ns, .. }
        | Action::Partition { for_ns, .. }
        | Action::DiskFull { for_ns, .. }
        | Action::SlowDisk { for_ns, .. }
        | Action::DiskStall { for_ns, .. } => for_ns,
        Action::ClockStep { .. } | Action::DiskFault { .. } => 0,
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
    if let Action::PowerLoss { keep, .. } = &fault.what
        && let Some(name) = keep.node()
    {
        known("what.power_loss.keep", name, nodes)?;
    }
    action(&fault.what).map_err(|error| error.within("what"))?;
    within("when.from_ns", fault.when.from_ns, 0..=24 * HOUR)?;
    if let Some(on) = &fault.when.on {
        point(on, nodes).map_err(|error| error.part_of("when.on"))?;
    }
    if let Some(end) = &fault.until {
        point(end, nodes).map_err(|error| error.part_of("until"))?;
        until(end, &fault.what)?;
    }
    Ok(())
}

/// Checks what a fault waits for.
fn point(point: &Point, nodes: &[String]) -> Result<(), Invalid> {
    known("node", &point.node, nodes)?;
    within("nth", point.nth, 1..=u64::MAX)?;
    if let EffectFilter::Mark(name) = &point.effect {
        mark(name).map_err(|error| error.within("effect"))?;
    }
    if point.effect.befalls() && point.edge == Edge::Before {
        let what = "cannot be \"before\" a boot or a crash, which nothing prevents; \
                    make it \"after\"";
        return Err(Invalid::at("edge", what));
    }
    match &point.inside {
        None => Ok(()),
        Some(_) if point.effect.befalls() => {
            let what = "boots and crashes are in no phase; leave it out";
            Err(Invalid::at("inside", what))
        }
        Some(phase) => {
            let phases: Vec<_> =
                Step::ALL.map(Step::name).into_iter().chain([steps::PARTITIONS]).collect();
            if phases.contains(&phase.as_str()) {
                return Ok(());
            }
            Err(Invalid::at("inside", unknown("phase", phase, phases)))
        }
    }
}

/// Checks that a fault can end at an event.
fn until(end: &Point, what: &Action) -> Result<(), Invalid> {
    let kind = what.kind();
    if !what.may_wait() {
        let what = format!("a {kind} ends at no event; leave it out");
        return Err(Invalid::at("until", what));
    }
    let inside = Role::of(&end.node).is_some_and(|role| Role::DATA_CENTRE.contains(&role));
    let stopped = what.nodes();
    if what.stops_processes()
        && (stopped.contains(&end.node.as_str()) || (stopped.is_empty() && inside))
    {
        let node = &end.node;
        let what = format!("the {kind} stops {node:?} itself; wait for another node");
        return Err(Invalid::at("until.node", what));
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
        Action::Pause { for_ns, .. }
        | Action::DiskFull { for_ns, .. }
        | Action::DiskStall { for_ns, .. } => within("for_ns", *for_ns, 0..=HOUR),
        Action::Throttle { factor, for_ns, .. } | Action::SlowDisk { factor, for_ns, .. } => {
            within("factor", *factor, 1..=1_000_000)?;
            within("for_ns", *for_ns, 0..=HOUR)
        }
        Action::Partition { from, to, for_ns, .. } => {
            sides(from, to)?;
            within("for_ns", *for_ns, 0..=HOUR)
        }
        Action::ClockStep { by_ns, .. } => within("by_ns", *by_ns, -DAY..=DAY),
        Action::DiskFault { directory, .. } => absolute(directory),
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

#[cfg(test)]
mod tests {
    use unplug_sim::fault::{DiskFault, Keep, SyncFault, Target, Trigger};

    use super::*;

    fn judge(what: Action) -> Result<(), String> {
        let plan = Plan {
            faults: vec![Fault { when: Trigger { from_ns: 1, on: None }, what, until: None }],
        };
        let scenario = Scenario::parse("x", r#"{"name": "x"}"#).expect("sound");
        check(&plan, &scenario).map_err(|error| error.to_string())
    }

    fn refused(what: Action, why: &str) {
        assert_eq!(judge(what), Err(format!("faults[0].{why}")));
    }

    fn node(name: &str) -> Target {
        Target::Node(name.to_owned())
    }

    fn cut(from: &[&str], to: &[&str], for_ns: u64) -> Action {
        let names = |side: &[&str]| side.iter().map(|&name| name.to_owned()).collect();
        Action::Partition { from: names(from), to: names(to), one_way: false, for_ns }
    }

    fn harm(node: &str, directory: &str, what: DiskFault) -> Action {
        Action::DiskFault { node: node.to_owned(), directory: directory.to_owned(), what }
    }

    fn rot(node: &str, directory: &str) -> Action {
        harm(node, directory, DiskFault::BitRot)
    }

    #[test]
    fn the_edges_of_what_makes_sense_do() {
        for what in [
            Action::Pause { target: Target::DataCentre, for_ns: HOUR },
            Action::Throttle { target: node("executor-2"), factor: 1, for_ns: 0 },
            Action::Throttle { target: node("executor-2"), factor: 1_000_000, for_ns: HOUR },
            cut(&["store-0", "driver-0"], &["reader-1"], HOUR),
            Action::ClockStep { target: node("broker"), by_ns: -DAY },
            Action::DiskLoss { node: "broker".to_owned(), down_ns: HOUR },
            rot("store-1", "/blobs"),
            rot("sink-0", "/"),
            rot("sink-0", "/a/b"),
            harm("broker", "/", DiskFault::Sync(SyncFault::KeepDirty)),
            Action::DiskFull { target: node("broker"), for_ns: HOUR },
            Action::SlowDisk { target: node("broker"), factor: 1_000_000, for_ns: HOUR },
            Action::DiskStall { target: Target::DataCentre, for_ns: HOUR },
        ] {
            assert_eq!(judge(what.clone()), Ok(()), "{what:?}");
        }
    }

    #[test]
    fn durations_and_sizes_are_bounded() {
        let hour = "is out of range; it must be 0 to 3600000000000";
        let over = HOUR + 1;
        let target = || node("driver-0");
        let too_long = |field: &str| format!("what: {field}: {over} {hour}");
        refused(
            Action::PowerLoss { target: target(), down_ns: over, keep: Keep::Drawn },
            &too_long("down_ns"),
        );
        refused(Action::Kill { target: target(), down_ns: over }, &too_long("down_ns"));
        refused(
            Action::DiskLoss { node: "store-0".to_owned(), down_ns: over },
            &too_long("down_ns"),
        );
        refused(Action::Pause { target: target(), for_ns: over }, &too_long("for_ns"));
        refused(
            Action::Throttle { target: target(), factor: 2, for_ns: over },
            &too_long("for_ns"),
        );
        refused(cut(&["store-0"], &["store-1"], over), &too_long("for_ns"));
        refused(Action::DiskFull { target: target(), for_ns: over }, &too_long("for_ns"));
        refused(Action::DiskStall { target: target(), for_ns: over }, &too_long("for_ns"));
        refused(
            Action::SlowDisk { target: target(), factor: 2, for_ns: over },
            &too_long("for_ns"),
        );
        for factor in [0, 1_000_001] {
            refused(
                Action::Throttle { target: target(), factor, for_ns: 1 },
                &format!("what: factor: {factor} is out of range; it must be 1 to 1000000"),
            );
            refused(
                Action::SlowDisk { target: target(), factor, for_ns: 1 },
                &format!("what: factor: {factor} is out of range; it must be 1 to 1000000"),
            );
        }
        refused(
            Action::ClockStep { target: target(), by_ns: DAY + 1 },
            "what: by_ns: 86400000000001 is out of range; it must be -86400000000000 to \
             86400000000000",
        );
    }

    #[test]
    fn a_partition_has_two_sides_and_a_node_is_on_one() {
        refused(cut(&[], &["store-0"], 1), "what: from: is empty; name the nodes of this side");
        refused(cut(&["store-0"], &[], 1), "what: to: is empty; name the nodes of this side");
        let twice = "what: from and to: \"store-0\" is named twice; a node is on one side, once";
        refused(cut(&["store-0", "sink-0"], &["store-1", "store-0"], 1), twice);
        refused(cut(&["store-0", "store-0"], &["store-1"], 1), twice);
    }

    #[test]
    fn nodes_must_be_there() {
        let why = "what: unknown node \"store-3\"; did you mean \"store-0\"?";
        let target = || node("store-3");
        refused(Action::Pause { target: target(), for_ns: 1 }, why);
        refused(Action::Throttle { target: target(), factor: 2, for_ns: 1 }, why);
        refused(Action::ClockStep { target: target(), by_ns: 1 }, why);
        refused(cut(&["store-0"], &["store-3"], 1), why);
        refused(cut(&["store-3"], &["store-0"], 1), why);
        refused(Action::DiskLoss { node: "store-3".to_owned(), down_ns: 1 }, why);
        refused(rot("store-3", "/blobs"), why);
    }

    #[test]
    fn a_directory_is_a_path_from_the_root() {
        for bad in ["", "blobs", "./blobs", "/blobs/", "//blobs", "/blobs/..", "/./blobs"] {
            refused(
                rot("store-0", bad),
                &format!("what: directory: {bad:?} is no absolute path, such as \"/blobs\""),
            );
        }
    }
}

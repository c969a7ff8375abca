//! Programs that ended by themselves, and whether the plan explains it; runs that took more than
//! they may.
//!
//! A program may fail, to be started again, where a call of its disk failed: once for each such
//! fault. On a full disk it may fail as long as that lasts, and once more for what it met then. So
//! one that fails again and again over damage that it should make good is noticed, though the
//! others do its work. Nothing explains a refusal or a panic.

use std::collections::BTreeMap;

use unplug_sim::{
    Budget, End, Ended, Fired, Overrun, World,
    fault::{Action, DiskFault, Plan, Target},
};

use crate::{
    outcome::{Verdict, VerdictKind},
    scenario::Bounds,
};

/// The ends that the plan does not explain.
pub(crate) fn unexplained(world: &World, plan: &Plan) -> Vec<Verdict> {
    let ended = world.ended();
    if ended.is_empty() {
        return Vec::new();
    }
    let named = ended.iter().map(|ended| (world.name(ended.node), ended));
    among(named, plan, &world.fired())
}

/// What the run took too much of, if it did.
pub(crate) fn over_budget(world: &World, bounds: &Bounds) -> Option<Verdict> {
    let now_ns = world.now_ns();
    let message = if let Some(Overrun { budget, node, task, at_ns }) = world.overrun() {
        let what = match budget {
            Budget::Steps { standing: 0 } => {
                format!("over {} events and polls, the last one of it", bounds.events_max)
            }
            Budget::Steps { standing } => format!(
                "over {} events and polls, the last {standing} of them while virtual time stood \
                 still: it wakes itself",
                bounds.events_max
            ),
            Budget::InFlight => {
                format!("over {} bytes in datagrams under way", bounds.in_flight_bytes_max)
            }
            Budget::Disk => format!("over {} bytes on its disk", bounds.disk_bytes_max),
        };
        format!("{}, task {task}, at {at_ns} ns: {what}", world.name(node))
    } else if now_ns > bounds.virtual_ns_max {
        format!("over {} virtual ns, with {} events", bounds.virtual_ns_max, world.events())
    } else {
        return None;
    };
    Some(Verdict { kind: VerdictKind::OverBudget, message })
}

fn among<'a>(
    ended: impl Iterator<Item = (String, &'a Ended)>,
    plan: &Plan,
    fired: &[Fired],
) -> Vec<Verdict> {
    let mut failures: BTreeMap<String, usize> = BTreeMap::new();
    let mut verdicts = Vec::new();
    for (node, Ended { task, at_ns, message, end, .. }) in ended {
        let kind = match end {
            End::Panic => VerdictKind::Panicked,
            End::Failure => {
                let failures = failures.entry(node.clone()).or_default();
                if !is_full(&node, *at_ns, plan, fired) {
                    *failures += 1;
                }
                if *failures <= allowed(&node, plan) {
                    continue;
                }
                VerdictKind::RefusedWrongly
            }
            End::Refusal => VerdictKind::RefusedWrongly,
        };
        let place = match end {
            End::Panic => format!("{node}, task {task}, at {at_ns} ns"),
            End::Failure | End::Refusal => format!("{node} at {at_ns} ns"),
        };
        verdicts.push(Verdict { kind, message: format!("{place}: {message}") });
    }
    verdicts
}

/// Whether the disk of a node is full at a time.
fn is_full(node: &str, at_ns: u64, plan: &Plan, fired: &[Fired]) -> bool {
    let mut full = fired.iter().filter(|fired| fills(&plan.faults[fired.fault].what, node));
    full.any(|fired| (fired.at_ns..=fired.back_ns).contains(&at_ns))
}

/// How often a node may fail while its disk is not full.
fn allowed(node: &str, plan: &Plan) -> usize {
    plan.faults.iter().filter(|it| fills(&it.what, node) || fails(&it.what, node)).count()
}

/// Whether a fault lets a call of a node's disk fail.
fn fails(what: &Action, node: &str) -> bool {
    let Action::DiskFault { node: of, what, .. } = what else { return false };
    of == node && matches!(what, DiskFault::WriteError | DiskFault::Sync(_))
}

fn fills(what: &Action, node: &str) -> bool {
    let Action::DiskFull { target, .. } = what else { return false };
    match target {
        Target::DataCentre => true,
        Target::Node(of) => of == node,
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use unplug_sim::{
        env::NodeId,
        fault::{Fault, SyncFault, Trigger},
    };

    use super::*;

    fn plan(actions: &[Action]) -> Plan {
        let when = || Trigger { from_ns: 1, on: None };
        let faults =
            actions.iter().map(|what| Fault { when: when(), what: what.clone(), until: None });
        Plan { faults: faults.collect() }
    }

    fn harm(what: DiskFault) -> Action {
        Action::DiskFault { node: "store-0".to_owned(), directory: "/".to_owned(), what }
    }

    /// How many of the ends of `store-0` at these times are not explained; the first fault lasts
    /// from 10 ns to 20 ns.
    fn count(end: End, times: &[u64], actions: &[Action]) -> usize {
        let ended: Vec<_> = times
            .iter()
            .map(|&at_ns| {
                let message = String::new();
                Ended { node: NodeId(1), task: "main", at_ns, message, end }
            })
            .collect();
        let fired = [Fired { fault: 0, kind: "fault", at_ns: 10, back_ns: 20 }];
        let named = ended.iter().map(|ended| ("store-0".to_owned(), ended));
        among(named, &plan(actions), &fired).len()
    }

    #[test]
    fn a_program_fails_once_for_each_call_that_failed() {
        let sync = harm(DiskFault::Sync(SyncFault::KeepDirty));
        assert_eq!(count(End::Failure, &[12], slice::from_ref(&sync)), 0);
        assert_eq!(count(End::Failure, &[12, 30, 40], slice::from_ref(&sync)), 2);
        assert_eq!(count(End::Failure, &[12, 30], &[sync, harm(DiskFault::WriteError)]), 0);
        assert_eq!(count(End::Failure, &[12], &[harm(DiskFault::LatentError)]), 1);
    }

    #[test]
    fn a_program_fails_on_a_full_disk_as_long_as_it_is_full_and_once_more() {
        let full = |target| Action::DiskFull { target, for_ns: 10 };
        for target in [Target::DataCentre, Target::Node("store-0".to_owned())] {
            assert_eq!(count(End::Failure, &[10, 11, 12, 20, 21], &[full(target.clone())]), 0);
            assert_eq!(count(End::Failure, &[10, 21, 22], &[full(target)]), 1);
        }
        let other = full(Target::Node("store-1".to_owned()));
        assert_eq!(count(End::Failure, &[12], &[other]), 1);
    }

    #[test]
    fn nothing_explains_a_refusal_or_a_panic() {
        for end in [End::Refusal, End::Panic] {
            assert_eq!(count(end, &[12], &[harm(DiskFault::WriteError)]), 1);
        }
    }
}

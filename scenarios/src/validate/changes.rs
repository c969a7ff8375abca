//! What makes sense in the changes of a cluster.

use std::collections::{BTreeMap, BTreeSet};

use super::bounds::within;
use crate::{
    cluster,
    input::{Invalid, unknown},
    members::{self, Stay},
    scenario::{Changes, ExecutorLeft, ExecutorsJoined, PartitionsAdded, Scenario},
    topology::Role,
};

/// Checks what becomes of the cluster while it runs.
pub(super) fn check(scenario: &Scenario) -> Result<(), Invalid> {
    partitions(scenario)?;
    executors(scenario)
}

fn partitions(scenario: &Scenario) -> Result<(), Invalid> {
    let sources = cluster::pipeline(scenario)?.sources();
    let sources = u32::try_from(sources).expect("few sources");
    let (mut before, mut after_ns) = (scenario.cluster.partitions, 0);
    for (number, PartitionsAdded { at_ns, count }) in scenario.changes.partitions.iter().enumerate()
    {
        let at = |field: &str| format!("changes.partitions[{number}].{field}");
        within(&at("count"), *count, 1..=64)?;
        if *count <= before {
            let what = format!("is {count}, and there are {before} by then; make it more");
            return Err(Invalid::at(&at("count"), what));
        }
        if sources > 1 && !(count.is_multiple_of(sources) && before.is_multiple_of(sources)) {
            let what = format!(
                "goes from {before} to {count}, and each of the {sources} sources must keep its \
                 keys; make both a multiple of {sources}"
            );
            return Err(Invalid::at(&at("count"), what));
        }
        within(&at("at_ns"), *at_ns, after_ns..=scenario.workload.sent_ns())?;
        (before, after_ns) = (*count, *at_ns);
    }
    Ok(())
}

/// Checks who joins and who leaves, and that somebody is always there.
fn executors(scenario: &Scenario) -> Result<(), Invalid> {
    let Changes { executors_joined, executors_left, .. } = &scenario.changes;
    let sent_ns = scenario.workload.sent_ns();
    for (number, ExecutorsJoined { at_ns, count }) in executors_joined.iter().enumerate() {
        let at = |field: &str| format!("changes.executors_joined[{number}].{field}");
        within(&at("count"), *count, 1..=64)?;
        within(&at("at_ns"), *at_ns, 0..=sent_ns)?;
    }
    let first =
        (0..scenario.cluster.executors).map(|index| (Role::Executor.node(index), Stay::default()));
    let all: BTreeMap<_, _> = first.chain(members::joined(scenario)).collect();
    let mut gone: BTreeSet<&str> = BTreeSet::new();
    for (number, ExecutorLeft { at_ns, executor }) in executors_left.iter().enumerate() {
        let at = |field: &str| format!("changes.executors_left[{number}].{field}");
        let Some(stay) = all.get(executor) else {
            let what = unknown("executor", executor, all.keys().map(String::as_str));
            return Err(Invalid::at(&at("executor"), what));
        };
        if !gone.insert(executor) {
            let what = format!("{executor:?} leaves twice; leave one out");
            return Err(Invalid::at(&at("executor"), what));
        }
        within(&at("at_ns"), *at_ns, stay.joins_ns + 1..=sent_ns)?;
        let there = all.iter().filter(|(name, stay)| {
            let leaves = executors_left.iter().find(|left| left.executor == **name);
            stay.joins_ns <= *at_ns && leaves.is_none_or(|left| left.at_ns > *at_ns)
        });
        if there.count() == 0 {
            let what = "is the last executor that is there; keep one, or let one join before";
            return Err(Invalid::at(&at("executor"), what));
        }
    }
    Ok(())
}

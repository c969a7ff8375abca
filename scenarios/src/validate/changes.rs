//! What makes sense in the changes of a cluster.

use super::bounds::within;
use crate::{
    cluster,
    input::Invalid,
    scenario::{PartitionsAdded, Scenario},
};

/// Checks what becomes of the cluster while it runs.
pub(super) fn check(scenario: &Scenario) -> Result<(), Invalid> {
    partitions(scenario)
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

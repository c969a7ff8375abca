//! Which operations a power cut took, by name: what to look at when something is violated.

use std::collections::BTreeMap;

use unplug_sim::{
    disk::{Fate, Unit},
    fault::{EffectFilter, Keep},
};

use super::{
    course::Course,
    images::{Choice, Cut},
};

/// So many operations of a node are named, the last ones.
const NAMED_MAX: usize = 2;

/// For each node that lost something, what.
#[must_use]
pub(super) fn lost(course: &Course, cut: &Cut, names: &[String]) -> Vec<String> {
    let disks = &course.moments[cut.moment].disks;
    let nodes = disks.iter().zip(names).enumerate().filter_map(|(node, (disk, name))| {
        let units = disk.units();
        let fates = fates(&cut.choice, node, &units);
        let gone = units.iter().zip(fates).filter(|(_, fate)| *fate != Fate::Kept);
        let mut operations: Vec<_> = gone.map(|(unit, _)| unit.id.operation).collect();
        operations.dedup();
        let known = operations_of(course, cut.moment, node);
        let named = operations.iter().rev().filter_map(|operation| known.get(operation).copied());
        let named: Vec<_> = named.take(NAMED_MAX).collect();
        let (count, last) = (operations.len(), named.join(", "));
        (count > 0).then(|| {
            format!("{name} loses {count} of its operations, in whole or in part, at last: {last}")
        })
    });
    nodes.collect()
}

fn fates(choice: &Choice, node: usize, units: &[Unit]) -> Vec<Fate> {
    match choice {
        Choice::Torn { node: torn, fates, .. } if *torn == node => fates.to_vec(),
        Choice::Whole(whole) | Choice::Torn { others: whole, .. } => {
            vec![whole.fate(); units.len()]
        }
    }
}

/// The names of a node's writes up to a moment, by the numbers that the disk has given them.
fn operations_of(course: &Course, moment: usize, node: usize) -> BTreeMap<u64, &str> {
    let writes = course.moments[..=moment].iter().filter_map(|moment| {
        let effect = moment.effect.as_ref().filter(|effect| effect.kind == EffectFilter::Write)?;
        let newest = moment.disks[node].units().last()?.id.operation;
        (moment.node == node).then_some((newest, effect.operation.as_str()))
    });
    // One that changed nothing shows the number of an earlier one.
    let mut names = BTreeMap::new();
    for (operation, name) in writes {
        names.entry(operation).or_insert(name);
    }
    names
}

/// What disks keep, in words.
#[must_use]
pub(super) fn kept(keep: &Keep) -> String {
    let all = |whole: Fate| if whole == Fate::Kept { "everything" } else { "nothing unsynced" };
    match keep {
        Keep::Drawn => "what the seed draws".to_owned(),
        Keep::Nothing => all(Fate::Lost).to_owned(),
        Keep::Everything => all(Fate::Kept).to_owned(),
        Keep::Torn { node, fates, others } => {
            let fates: Vec<_> = fates.iter().map(Fate::to_string).collect();
            format!("{}, but {node} of its units: {}", all(others.fate()), fates.join(", "))
        }
    }
}

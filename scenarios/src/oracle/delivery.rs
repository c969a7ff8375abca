//! All input was acknowledged and is covered by the last cut of every sink, which covers nothing
//! else.

use super::{
    Setting,
    cuts::Cuts,
    objections::{Objections, offset, show},
    owners::Owners,
    table::Table,
};
use crate::outcome::VerdictKind;

pub(super) fn check(
    tables: &[Table<'_>],
    owners: &Owners,
    cuts: &Cuts<'_>,
    setting: &Setting<'_>,
    objections: &mut Objections,
) {
    let acknowledged = owners.acknowledged() as u64;
    if acknowledged < setting.inputs {
        let message = format!("{acknowledged} of {} tuples were acknowledged", setting.inputs);
        objections.add(VerdictKind::Stuck, message);
    } else {
        check_owned(owners, cuts, setting, objections);
    }
    for table in tables {
        for (id, place) in owners.placed() {
            let end = table.ends.get(usize::from(place.0)).copied().unwrap_or(0);
            if place.1 >= end {
                let message = format!(
                    "{} at {} is behind the last cut of sink {}",
                    show(id),
                    offset(place),
                    table.sink
                );
                objections.add(VerdictKind::Stuck, message);
            }
        }
    }
}

/// Every offset below the last cut is a tuple's.
fn check_owned(
    owners: &Owners,
    cuts: &Cuts<'_>,
    setting: &Setting<'_>,
    objections: &mut Objections,
) {
    for partition in (0u16..).take(setting.partitions) {
        let gaps = owners.gaps(partition, cuts.end(partition));
        let unplaced = owners.unplaced.iter().filter(|(other, _)| *other == partition).count();
        for gap in gaps.iter().skip(unplaced) {
            let message = format!(
                "{} is below the last cut, all tuples were acknowledged, and none there",
                offset((partition, *gap))
            );
            objections.add(VerdictKind::Phantom, message);
        }
    }
}

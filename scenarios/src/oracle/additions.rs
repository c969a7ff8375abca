//! The partitions of the source: there are as many as the administrator was told, none before anyone
//! asked for it, and they stay.

use super::{
    Setting,
    objections::{Objections, offset, seconds, show},
};
use crate::{
    history::{Counted, History},
    outcome::VerdictKind,
};

pub(super) fn check(history: &History, setting: &Setting<'_>, objections: &mut Objections) {
    let Setting { partitions, partitions_first: first, .. } = *setting;
    let counted = &history.counted;
    // How many there may be at a time: as many as were asked for by then.
    let most = |at_ns: u64| {
        let asked = counted.iter().filter(|one| one.at_ns <= at_ns).map(|one| one.asked.into());
        asked.max().unwrap_or(0).max(first)
    };
    let mut before = first;
    for one in counted {
        let Counted { at_ns, asked, there: Some(there) } = *one else { continue };
        let at = seconds(at_ns);
        if there < asked {
            let message = format!("an addition up to {asked} ended with {there} ({at})");
            objections.add(VerdictKind::Corrupt, message);
        }
        if usize::from(there) > most(at_ns) {
            let message = format!("the source has {there} partitions, more than asked for ({at})");
            objections.add(VerdictKind::Phantom, message);
        }
        if usize::from(there) < before {
            let message = format!("the source has {there} partitions, after {before} ({at})");
            objections.add(VerdictKind::RolledBack, message);
        }
        before = before.max(there.into());
    }
    if before < partitions {
        let message = format!("the source should have {partitions} partitions, and has {before}");
        objections.add(VerdictKind::Stuck, message);
    }
    for one in &history.acknowledged {
        if usize::from(one.partition) >= most(one.at_ns) {
            let place = offset((one.partition, one.offset.unwrap_or(0)));
            let message = format!(
                "{} was acknowledged at {place} before anyone asked for such a partition ({})",
                show(one.id),
                seconds(one.at_ns)
            );
            objections.add(VerdictKind::Phantom, message);
        }
    }
    for read in &history.reads {
        let most = most(read.at_ns);
        for batch in read.batches.iter().filter(|batch| batch.cut.ends.len() > most) {
            let message = format!(
                "sink {}, epoch {}: the cut has {} partitions, and {most} were asked for ({})",
                read.sink,
                batch.epoch,
                batch.cut.ends.len(),
                seconds(read.at_ns)
            );
            objections.add(VerdictKind::Phantom, message);
        }
    }
}

//! The profile's partial order: which fates a unit may still have, given those before it.
//!
//! A crash state is a choice of fates that is closed downwards: what is kept finds on the disk
//! what it waits for. One pass over the units in order is enough to tell, since each waits for
//! earlier ones only.

use std::collections::BTreeMap;

use super::{Fate, InodeNumber, Profile, Unit, UnitKind, profile::Ordering};

/// What the fates so far mean for the next unit.
#[derive(Clone, Debug)]
pub(super) struct Order<'a> {
    profile: &'a Profile,
    /// A change of metadata is lost.
    metadata_lost: bool,
    files: BTreeMap<InodeNumber, FileSoFar>,
}

#[derive(Clone, Debug, Default)]
struct FileSoFar {
    /// A truncate to this length is lost.
    truncate_lost: Option<u64>,
    /// Where the first bytes are that are lost, of those that need a new block.
    lost_from: Option<u64>,
    /// Its length is not what it was set to.
    too_short: bool,
}

/// Turns fates into the nearest ones that the profile's order allows.
pub(super) fn close(profile: &Profile, units: &[Unit], fates: &mut [Fate]) {
    let mut order = Order::new(profile);
    for (unit, fate) in units.iter().zip(fates) {
        *fate = order.nearest(unit, *fate);
        order.note(unit, *fate);
    }
}

impl<'a> Order<'a> {
    pub(super) fn new(profile: &'a Profile) -> Self {
        Self { profile, metadata_lost: false, files: BTreeMap::new() }
    }

    /// Whether the next unit may have this fate.
    pub(super) fn allows(&self, unit: &Unit, fate: Fate) -> bool {
        if unit.is_pinned() {
            return fate == Fate::Kept;
        }
        if fate == Fate::Lost {
            return true;
        }
        if !unit.allows(fate) {
            return false;
        }
        let after_all = !self.metadata_lost;
        match &unit.kind {
            UnitKind::Sector { inode, offset, len, .. } => {
                self.truncate_lost(*inode).is_none_or(|end| offset + len <= end)
            }
            UnitKind::Size { inode, to, .. } => {
                let end = if let Fate::Short(len) = fate { len } else { *to };
                after_all && self.truncate_lost(*inode).is_none() && end <= self.grows_to(*inode)
            }
            UnitKind::Truncate { inode, .. } => after_all && self.truncate_lost(*inode).is_none(),
            UnitKind::Names(changes) => {
                let mut replacing = changes.iter().filter(|change| change.replaced.is_some());
                let too_short = |inode| self.files.get(&inode).is_some_and(|file| file.too_short);
                let waits = replacing.any(|change| change.target.is_some_and(too_short));
                after_all && !(self.profile.replace_flushes && waits)
            }
        }
    }

    /// The fate that is nearest to `fate` among those that the next unit may have.
    pub(super) fn nearest(&self, unit: &Unit, fate: Fate) -> Fate {
        if self.allows(unit, fate) {
            return fate;
        }
        if unit.is_pinned() {
            return Fate::Kept;
        }
        // Of a growth as much as there are bytes for.
        let shorter = unit.fates().filter(|fate| matches!(fate, Fate::Short(_)));
        shorter.filter(|fate| self.allows(unit, *fate)).max().unwrap_or(Fate::Lost)
    }

    /// Takes note of the next unit's fate.
    pub(super) fn note(&mut self, unit: &Unit, fate: Fate) {
        let journal = self.profile.order == Ordering::Journal;
        match &unit.kind {
            UnitKind::Sector { inode, offset, fresh: true, .. } if fate != Fate::Kept => {
                let file = self.files.entry(*inode).or_default();
                file.lost_from = Some(file.lost_from.map_or(*offset, |at| at.min(*offset)));
            }
            UnitKind::Size { inode, .. } if fate != Fate::Kept => {
                self.files.entry(*inode).or_default().too_short = true;
            }
            UnitKind::Truncate { inode, to, .. } => {
                let file = self.files.entry(*inode).or_default();
                if fate == Fate::Lost {
                    let end = file.truncate_lost.map_or(*to, |end| end.min(*to));
                    (file.truncate_lost, file.too_short) = (Some(end), true);
                    self.metadata_lost = journal;
                } else {
                    // What is missing before the end is a hole from here on.
                    file.lost_from = None;
                    file.too_short &= *to > 0;
                }
            }
            UnitKind::Names(_) if fate == Fate::Lost => self.metadata_lost = journal,
            UnitKind::Sector { .. } | UnitKind::Size { .. } | UnitKind::Names(_) => {}
        }
    }

    /// The length that bytes of the file must not pass, since a truncate to it is lost.
    fn truncate_lost(&self, inode: InodeNumber) -> Option<u64> {
        let lost = self.files.get(&inode).and_then(|file| file.truncate_lost);
        lost.filter(|_| self.profile.order != Ordering::Free)
    }

    /// How far the file may grow.
    fn grows_to(&self, inode: InodeNumber) -> u64 {
        let lost_from = self.files.get(&inode).and_then(|file| file.lost_from);
        lost_from.filter(|_| self.profile.data_before_size).unwrap_or(u64::MAX)
    }
}

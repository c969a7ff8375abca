//! The atoms of the pending log: what a power cut keeps or loses as one piece.
//!
//! A crash state is a choice of one fate for each unit. Whoever enumerates states asks
//! [`Unit::fates`] for the choices, so that it need not know the kinds of units.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

#[cfg(doc)]
use super::Profile;
use super::{Damage, InodeNumber};

/// Where a unit stands in the global order of everything that was done to a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitId {
    /// The operation, counted from 1 over the life of the disk, crashes included.
    pub operation: u64,
    /// The part of that operation.
    pub part: u32,
}

/// One atom of the pending log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its place in the order.
    pub id: UnitId,
    /// What it does.
    pub kind: UnitKind,
}

/// What a unit does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitKind {
    /// Bytes of one write within one sector of its file, or within one block where
    /// [`Profile::atom_bytes`] says so.
    Sector {
        /// The file.
        inode: InodeNumber,
        /// The first byte.
        offset: u64,
        /// The number of bytes, at most [`Profile::atom_bytes`].
        len: u64,
        /// They need a block that the file does not have yet.
        fresh: bool,
        /// What may become of them, besides being old or new.
        damage: Damage,
    },
    /// A write grows its file; stands behind the write's sectors. The length is set, not raised:
    /// kept after a lost [`UnitKind::Truncate`], it may well shorten the file.
    Size {
        /// The file.
        inode: InodeNumber,
        /// The length before.
        from: u64,
        /// The length after.
        to: u64,
        /// A write may have reached the disk up to a boundary only. Any boundary between this and
        /// `to` is then a possible length.
        cut_from: u64,
        /// The distance of boundaries, in bytes: [`Profile::block_bytes`].
        cut_step: u64,
    },
    /// A file is cut, or grown with zeros, by a call of its own. Before a cut within a page stands
    /// a [`UnitKind::Sector`]: the zeros with which the rest of the page is overwritten.
    Truncate {
        /// The file.
        inode: InodeNumber,
        /// The length before.
        from: u64,
        /// The length after.
        to: u64,
    },
    /// Names change together: one name is made or removed, or a rename does both.
    Names(Vec<NameChange>),
}

/// One name in one directory changes what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameChange {
    /// The directory.
    pub directory: InodeNumber,
    /// The name.
    pub name: Arc<str>,
    /// What the name stands for from then on; nothing if it is removed.
    pub target: Option<InodeNumber>,
    /// What the name stood for before, as programs saw it.
    pub replaced: Option<InodeNumber>,
    /// A sync covered the name, which was not changed since: it is kept.
    pub pinned: bool,
}

/// What a power cut makes of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is on the disk.
    Kept,
    /// It never happened.
    Lost,
    /// Only for [`UnitKind::Size`]: the file grew to this length only.
    Short(u64),
    /// Only for [`UnitKind::Sector`], as all below: stale bytes of a removed file.
    Stale,
    /// The whole sector is zeros.
    Zero,
    /// The whole sector is trash.
    Garbage,
    /// The first half of the bytes is on the disk, the second one is not.
    Left,
    /// The second half of the bytes is on the disk, the first one is not.
    Right,
}

impl Unit {
    /// Every fate that this unit may have, were it the only one. The first two are
    /// [`Fate::Kept`] and [`Fate::Lost`]. What others must have met for that is up to
    /// [`Profile::order`] and its neighbours.
    pub fn fates(&self) -> impl Iterator<Item = Fate> + use<> {
        let (low, high, step) = match self.kind {
            UnitKind::Size { to, cut_from, cut_step, .. } => (cut_from, to, cut_step),
            UnitKind::Sector { .. } | UnitKind::Truncate { .. } | UnitKind::Names(_) => (0, 0, 1),
        };
        let damage = match self.kind {
            UnitKind::Sector { damage, .. } => damage,
            UnitKind::Size { .. } | UnitKind::Truncate { .. } | UnitKind::Names(_) => Damage::NONE,
        };
        let cuts = (low / step + 1..high.div_ceil(step)).map(move |n| Fate::Short(n * step));
        let harm = [
            (damage.stale, Fate::Stale),
            (damage.zero, Fate::Zero),
            (damage.garbage, Fate::Garbage),
            (damage.halves, Fate::Left),
            (damage.halves, Fate::Right),
        ];
        let harm = harm.into_iter().filter_map(|(may, fate)| may.then_some(fate));
        [Fate::Kept, Fate::Lost].into_iter().chain(cuts).chain(harm)
    }

    /// Whether [`Unit::fates`] holds `fate`.
    #[must_use]
    pub fn allows(&self, fate: Fate) -> bool {
        match fate {
            Fate::Kept | Fate::Lost => true,
            Fate::Short(_)
            | Fate::Stale
            | Fate::Zero
            | Fate::Garbage
            | Fate::Left
            | Fate::Right => self.fates().any(|allowed| allowed == fate),
        }
    }

    /// Takes the changes of `other` in, if both are halves of one rename that are kept or lost
    /// together.
    pub(super) fn absorb(&mut self, other: &mut Self) -> bool {
        if self.id != other.id {
            return false;
        }
        match (&mut self.kind, &mut other.kind) {
            (UnitKind::Names(changes), UnitKind::Names(others)) => changes.append(others),
            (..) => unreachable!("only names change in two places at once"),
        }
        true
    }

    /// Whether a sync has covered it, so that it is kept whatever becomes of others.
    pub(super) fn is_pinned(&self) -> bool {
        match &self.kind {
            UnitKind::Names(changes) => changes.iter().any(|change| change.pinned),
            UnitKind::Sector { .. } | UnitKind::Size { .. } | UnitKind::Truncate { .. } => false,
        }
    }

    /// The file that the unit changes; none for names.
    #[must_use]
    pub const fn file(&self) -> Option<InodeNumber> {
        match self.kind {
            UnitKind::Sector { inode, .. }
            | UnitKind::Size { inode, .. }
            | UnitKind::Truncate { inode, .. } => Some(inode),
            UnitKind::Names(_) => None,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} ", self.id.operation, self.id.part)?;
        match &self.kind {
            UnitKind::Sector { inode, offset, len, .. } => {
                write!(f, "bytes {offset}..{} of {inode}", offset + len)
            }
            UnitKind::Size { inode, from, to, .. } => write!(f, "growth {from} to {to} of {inode}"),
            UnitKind::Truncate { inode, from, to } => {
                write!(f, "truncate {from} to {to} of {inode}")
            }
            UnitKind::Names(changes) => {
                for (i, change) in changes.iter().enumerate() {
                    let comma = if i > 0 { ", " } else { "" };
                    let NameChange { directory, name, target, .. } = change;
                    match target {
                        Some(inode) => write!(f, "{comma}name {name:?} in {directory} is {inode}")?,
                        None => write!(f, "{comma}name {name:?} in {directory} ends")?,
                    }
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept => f.write_str("kept"),
            Self::Lost => f.write_str("lost"),
            Self::Short(len) => write!(f, "kept up to {len}"),
            Self::Stale => f.write_str("stale"),
            Self::Zero => f.write_str("zeroed"),
            Self::Garbage => f.write_str("trashed"),
            Self::Left => f.write_str("kept on the left"),
            Self::Right => f.write_str("kept on the right"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_fates(from: u64, cut_from: u64, to: u64) -> Vec<Fate> {
        let kind = UnitKind::Size { inode: InodeNumber(1), from, to, cut_from, cut_step: 512 };
        Unit { id: UnitId { operation: 1, part: 0 }, kind }.fates().collect()
    }

    #[test]
    fn growth_by_a_write_may_stop_at_a_sector_boundary_strictly_within_it() {
        let whole = [Fate::Kept, Fate::Lost];
        assert_eq!(size_fates(0, 0, 512), whole);
        assert_eq!(size_fates(0, 0, 513), [whole.as_slice(), &[Fate::Short(512)]].concat());
        assert_eq!(size_fates(512, 512, 1024), whole);
        assert_eq!(
            size_fates(100, 100, 1500),
            [whole.as_slice(), &[Fate::Short(512), Fate::Short(1024)]].concat()
        );
        assert_eq!(size_fates(0, 4096, 4096), whole);
    }
}

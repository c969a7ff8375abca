//! The atoms of the pending log: what a power cut keeps or loses as one piece.
//!
//! A crash state is a choice of one fate for each unit. Whoever enumerates states asks
//! [`Unit::fates`] for the choices, so that it need not know the kinds of units.

use std::{fmt, sync::Arc};

use super::InodeNumber;

/// How much of a write a device takes or leaves as one piece, in bytes.
pub const SECTOR_BYTES: usize = 512;

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
    /// Bytes of one write within one sector of its file.
    Sector {
        /// The file.
        inode: InodeNumber,
        /// The first byte.
        offset: u64,
        /// The number of bytes, at most [`SECTOR_BYTES`].
        len: u64,
    },
    /// A file grows. The length is set, not raised: kept after a lost [`UnitKind::Truncate`], it
    /// may well shorten the file.
    Size {
        /// The file.
        inode: InodeNumber,
        /// The length before.
        from: u64,
        /// The length after.
        to: u64,
        /// A write may have reached the disk up to a sector boundary only. Any boundary between
        /// this and `to` is then a possible length. Equal to `to` if there is none.
        cut_from: u64,
    },
    /// A file is cut.
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
}

/// What a power cut makes of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It is on the disk.
    Kept,
    /// It never happened.
    Lost,
    /// Only for [`UnitKind::Size`]: the file grew to this length only.
    Short(u64),
}

impl Unit {
    /// Every fate that this unit may have. The first two are [`Fate::Kept`] and [`Fate::Lost`].
    pub fn fates(&self) -> impl Iterator<Item = Fate> + use<> {
        let (low, high) = match self.kind {
            UnitKind::Size { to, cut_from, .. } => (cut_from, to),
            UnitKind::Sector { .. } | UnitKind::Truncate { .. } | UnitKind::Names(_) => (0, 0),
        };
        let sector = SECTOR_BYTES as u64;
        let cuts = (low / sector + 1..high.div_ceil(sector)).map(move |n| Fate::Short(n * sector));
        [Fate::Kept, Fate::Lost].into_iter().chain(cuts)
    }

    /// Whether [`Unit::fates`] holds `fate`.
    #[must_use]
    pub fn allows(&self, fate: Fate) -> bool {
        match fate {
            Fate::Kept | Fate::Lost => true,
            Fate::Short(_) => self.fates().any(|allowed| allowed == fate),
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
            UnitKind::Sector { inode, offset, len } => {
                write!(f, "bytes {offset}..{} of {inode}", offset + len)
            }
            UnitKind::Size { inode, from, to, .. } => write!(f, "growth {from} to {to} of {inode}"),
            UnitKind::Truncate { inode, from, to } => write!(f, "cut {from} to {to} of {inode}"),
            UnitKind::Names(changes) => {
                for (i, change) in changes.iter().enumerate() {
                    let comma = if i > 0 { ", " } else { "" };
                    let NameChange { directory, name, target } = change;
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_fates(from: u64, cut_from: u64, to: u64) -> Vec<Fate> {
        let kind = UnitKind::Size { inode: InodeNumber(1), from, to, cut_from };
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

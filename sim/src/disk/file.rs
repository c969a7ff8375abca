//! A file's content: what programs see, what is on the platter, and the way from one to the other.
//!
//! Invariant: the durable bytes with all pending changes applied in order are the live bytes.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use bytes::Bytes;

use super::{
    InodeNumber,
    unit::{Fate, SECTOR_BYTES, Unit, UnitId, UnitKind},
};

/// A file's content. Buffers are shared between copies of a disk until one of them writes.
#[derive(Clone, Debug, Default)]
pub(super) struct FileContent {
    live: Arc<Vec<u8>>,
    durable: Arc<Vec<u8>>,
    pending: VecDeque<Change>,
}

/// A change that no finished sync covers.
#[derive(Clone, Debug)]
struct Change {
    operation: u64,
    kind: ChangeKind,
}

#[derive(Clone, Debug)]
enum ChangeKind {
    /// `grown_from` is the length before, if the write moved the end.
    Write { offset: usize, bytes: Bytes, grown_from: Option<usize> },
    /// Longer or shorter, without bytes of its own.
    Resize { from: usize, to: usize },
}

impl FileContent {
    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.live
    }

    /// The number of changes that are not durable.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Writes at `offset`; a gap before it is filled with zeros.
    pub(super) fn write(&mut self, operation: u64, offset: usize, bytes: &[u8]) {
        let len = self.live.len();
        let grown_from = (offset + bytes.len() > len).then_some(len);
        put(Arc::make_mut(&mut self.live), offset, bytes);
        let bytes = Bytes::copy_from_slice(bytes);
        let kind = ChangeKind::Write { offset, bytes, grown_from };
        self.pending.push_back(Change { operation, kind });
    }

    pub(super) fn resize(&mut self, operation: u64, to: usize) {
        let from = self.live.len();
        Arc::make_mut(&mut self.live).resize(to, 0);
        self.pending.push_back(Change { operation, kind: ChangeKind::Resize { from, to } });
    }

    /// Makes every change up to the operation `covers` durable; tells how many there were.
    pub(super) fn harden(&mut self, covers: u64) -> usize {
        let before = self.pending.len();
        while let Some(change) = self.pending.pop_front_if(|change| change.operation <= covers) {
            let durable = Arc::make_mut(&mut self.durable);
            match change.kind {
                ChangeKind::Write { offset, bytes, .. } => put(durable, offset, &bytes),
                ChangeKind::Resize { to, .. } => durable.resize(to, 0),
            }
        }
        before - self.pending.len()
    }

    /// Turns bits of one byte over, in every layer that holds it: at `from`, or at the next place
    /// behind it, around the end, that is no hole. An unsynced hole is no bytes on any device, so
    /// nothing of it can rot. False if there is nothing else.
    pub(super) fn rot(&mut self, from: usize, bits: u8) -> bool {
        let len = self.live.len();
        let Some(place) = (from..len).chain(0..from).find(|place| !self.is_hole(*place)) else {
            return false;
        };
        Arc::make_mut(&mut self.live)[place] ^= bits;
        if place < self.durable.len() {
            Arc::make_mut(&mut self.durable)[place] ^= bits;
        }
        for change in &mut self.pending {
            if let ChangeKind::Write { offset, bytes, .. } = &mut change.kind
                && (*offset..*offset + bytes.len()).contains(&place)
            {
                let mut rotten = bytes.to_vec();
                rotten[place - *offset] ^= bits;
                *bytes = rotten.into();
            }
        }
        true
    }

    /// Whether a byte that programs see is a zero that no write wrote and no sync covered.
    fn is_hole(&self, place: usize) -> bool {
        for Change { kind, .. } in self.pending.iter().rev() {
            match kind {
                ChangeKind::Write { offset, bytes, grown_from } => {
                    if (*offset..*offset + bytes.len()).contains(&place) {
                        return false;
                    }
                    if grown_from.is_some_and(|from| (from..*offset).contains(&place)) {
                        return true;
                    }
                }
                ChangeKind::Resize { from, to } => {
                    if (*from..*to).contains(&place) {
                        return true;
                    }
                }
            }
        }
        false
    }

    /// The units of all pending changes, in order.
    pub(super) fn units(&self, inode: InodeNumber) -> impl Iterator<Item = Unit> {
        self.pending.iter().flat_map(move |change| change.units(inode))
    }

    /// The power is cut: applies what `fate` keeps of the pending changes to the durable bytes,
    /// which become the live ones.
    pub(super) fn settle(&mut self, fate: &impl Fn(UnitId) -> Fate) {
        if self.pending.is_empty() {
            return;
        }
        // Bytes past the end stay until all is applied: a later growth may uncover them.
        let durable = Arc::make_mut(&mut self.durable);
        let mut len = durable.len();
        for Change { operation, kind } in self.pending.drain(..) {
            let fate = |part| fate(UnitId { operation, part });
            match kind {
                ChangeKind::Write { offset, bytes, grown_from } => {
                    for (part, sector) in sectors(offset, bytes.len()) {
                        if fate(part) == Fate::Kept {
                            let within = sector.start - offset..sector.end - offset;
                            put(durable, sector.start, &bytes[within]);
                        }
                    }
                    if grown_from.is_some() {
                        len = length_after(fate(0), len, offset + bytes.len());
                    }
                }
                ChangeKind::Resize { from, to } => {
                    let fate = fate(0);
                    if fate == Fate::Kept && to < from {
                        durable.truncate(to);
                    }
                    len = length_after(fate, len, to);
                }
            }
        }
        durable.resize(len, 0);
        self.live = Arc::clone(&self.durable);
    }
}

impl Change {
    fn units(&self, inode: InodeNumber) -> impl Iterator<Item = Unit> + use<> {
        let operation = self.operation;
        let unit = move |part, kind| Unit { id: UnitId { operation, part }, kind };
        let (length, range) = match &self.kind {
            ChangeKind::Write { offset, bytes, grown_from } => {
                let end = offset + bytes.len();
                let grow = grown_from.map(|from| UnitKind::Size {
                    inode,
                    from: from as u64,
                    to: end as u64,
                    cut_from: from.max(*offset) as u64,
                });
                (grow, *offset..end)
            }
            ChangeKind::Resize { from, to } => {
                let (from, to) = (*from as u64, *to as u64);
                let kind = if to < from {
                    UnitKind::Truncate { inode, from, to }
                } else {
                    UnitKind::Size { inode, from, to, cut_from: to }
                };
                (Some(kind), 0..0)
            }
        };
        let bytes = sectors(range.start, range.len()).map(move |(part, sector)| {
            let (offset, len) = (sector.start as u64, sector.len() as u64);
            unit(part, UnitKind::Sector { inode, offset, len })
        });
        length.map(move |kind| unit(0, kind)).into_iter().chain(bytes)
    }
}

/// The file's length after a change of it to `to` has met `fate`.
fn length_after(fate: Fate, before: usize, to: usize) -> usize {
    match fate {
        Fate::Kept => to,
        Fate::Lost => before,
        Fate::Short(len) => usize::try_from(len).expect("a cut lies within a write in memory"),
    }
}

/// The sectors that a write touches, each with its part number. Part 0 is the length.
fn sectors(offset: usize, len: usize) -> impl Iterator<Item = (u32, Range<usize>)> {
    let end = offset + len;
    let first = offset / SECTOR_BYTES;
    let count = if len == 0 { 0 } else { end.div_ceil(SECTOR_BYTES) - first };
    let sector = move |n: usize| {
        let start = (first + n) * SECTOR_BYTES;
        start.max(offset)..(start + SECTOR_BYTES).min(end)
    };
    (1..).zip((0..count).map(sector))
}

/// Writes `bytes` at `offset`, with zeros before it where there was nothing.
fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if offset > content.len() {
        content.resize(offset, 0);
    }
    let overwritten = bytes.len().min(content.len() - offset);
    content[offset..offset + overwritten].copy_from_slice(&bytes[..overwritten]);
    content.extend_from_slice(&bytes[overwritten..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies the fates of `units`' order and tells what the file then holds.
    fn settled(content: &FileContent, fates: &[Fate]) -> Vec<u8> {
        let units: Vec<Unit> = content.units(InodeNumber(1)).collect();
        assert_eq!(units.len(), fates.len(), "{units:?}");
        let mut content = content.clone();
        content.settle(&|id| {
            let at = units.iter().position(|unit| unit.id == id).expect("a unit's id");
            fates[at]
        });
        assert_eq!(content.pending(), 0);
        assert_eq!(content.live, content.durable);
        content.bytes().to_vec()
    }

    fn synced(bytes: &[u8]) -> FileContent {
        let mut content = FileContent::default();
        content.write(1, 0, bytes);
        content.harden(1);
        content
    }

    #[test]
    fn length_and_bytes_of_a_write_are_independent() {
        let mut content = FileContent::default();
        content.write(1, 0, b"new");
        use Fate::{Kept, Lost};
        assert_eq!(settled(&content, &[Kept, Kept]), b"new");
        assert_eq!(settled(&content, &[Kept, Lost]), b"\0\0\0", "length without bytes is zeros");
        assert_eq!(settled(&content, &[Lost, Kept]), b"", "bytes past the end are invisible");
        assert_eq!(settled(&content, &[Lost, Lost]), b"");
    }

    #[test]
    fn bytes_past_a_lost_length_come_to_light_under_a_later_length() {
        let mut content = FileContent::default();
        content.write(1, 0, b"one");
        content.write(2, 3, b"two");
        use Fate::{Kept, Lost};
        assert_eq!(settled(&content, &[Lost, Kept, Kept, Lost]), b"one\0\0\0");
        assert_eq!(settled(&content, &[Kept, Kept, Lost, Kept]), b"one");
    }

    #[test]
    fn each_sector_of_a_write_is_kept_or_lost_on_its_own() {
        let mut content = synced(&[b'o'; 1536]);
        content.write(2, 100, &[b'n'; 1000]);
        use Fate::{Kept, Lost};
        let state = settled(&content, &[Kept, Lost, Kept]);
        let expected =
            [vec![b'o'; 100], vec![b'n'; 412], vec![b'o'; 512], vec![b'n'; 76], vec![b'o'; 436]];
        assert_eq!(state, expected.concat());
    }

    #[test]
    fn a_write_may_grow_its_file_only_up_to_a_sector_boundary() {
        let mut content = FileContent::default();
        content.write(1, 0, &[b'n'; 700]);
        assert_eq!(settled(&content, &[Fate::Short(512), Fate::Kept, Fate::Kept]), vec![b'n'; 512]);
    }

    #[test]
    fn a_lost_truncate_leaves_old_bytes_under_the_new_ones() {
        let mut content = synced(b"old content");
        content.resize(2, 0);
        content.write(3, 0, b"new");
        use Fate::{Kept, Lost};
        // The units: the cut, the growth, the bytes.
        assert_eq!(settled(&content, &[Kept, Kept, Kept]), b"new");
        assert_eq!(settled(&content, &[Kept, Kept, Lost]), b"\0\0\0");
        assert_eq!(settled(&content, &[Kept, Lost, Kept]), b"");
        assert_eq!(settled(&content, &[Lost, Lost, Kept]), b"new content");
        assert_eq!(settled(&content, &[Lost, Kept, Lost]), b"old", "a length is set, not raised");
        assert_eq!(settled(&content, &[Lost, Lost, Lost]), b"old content");
    }

    #[test]
    fn growth_without_bytes_is_one_unit_and_reads_as_zeros() {
        let mut content = synced(b"a");
        content.resize(2, 2000);
        assert_eq!(content.units(InodeNumber(1)).count(), 1);
        assert_eq!(settled(&content, &[Fate::Lost]), b"a");
        let mut grown = vec![0; 2000];
        grown[0] = b'a';
        assert_eq!(settled(&content, &[Fate::Kept]), grown);
    }

    #[test]
    fn later_writes_apply_over_what_a_sync_covered() {
        let mut content = FileContent::default();
        content.write(1, 0, b"aaaa");
        content.write(2, 1, b"bb");
        assert_eq!(content.harden(1), 1);
        assert_eq!(settled(&content, &[Fate::Lost]), b"aaaa");
        assert_eq!(settled(&content, &[Fate::Kept]), b"abba");
        assert_eq!(content.harden(2), 1);
        assert_eq!(settled(&content, &[]), b"abba");
    }
}

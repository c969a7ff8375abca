//! What becomes of a file's pending changes at a power cut: the units they are made of, and how
//! each fate shows in the bytes.

use std::{collections::VecDeque, ops::Range};

use triomphe::Arc;
use xxhash_rust::xxh3::xxh3_128;

use super::{
    Damage, InodeNumber, Profile,
    file::{Change, ChangeKind, FileContent, put, tail, zero},
    unit::{Fate, Unit, UnitId, UnitKind},
};

impl FileContent {
    /// The units of all pending changes, in order.
    pub(super) fn units(&self, inode: InodeNumber, profile: &Profile) -> Vec<Unit> {
        let within = if profile.size_within_block { profile.block_bytes as usize } else { 1 };
        let mut allocated = self.durable.len().next_multiple_of(within);
        let mut units = Vec::new();
        for Change { operation, kind } in &self.pending {
            let unit = |part, kind| Unit { id: UnitId { operation: *operation, part }, kind };
            match kind {
                ChangeKind::Write { offset, bytes, grown_from } => {
                    let end = offset + bytes.len();
                    let atoms = atoms(*offset, bytes.len(), profile);
                    let count = u32::try_from(atoms.len()).expect("a write is at most 1 GiB");
                    units.extend((0..).zip(atoms).map(|(part, atom)| {
                        let fresh = atom.end > allocated;
                        let stale = profile.damage.stale && fresh;
                        let damage = Damage { stale, ..profile.damage };
                        let (offset, len) = (atom.start as u64, atom.len() as u64);
                        unit(part, UnitKind::Sector { inode, offset, len, fresh, damage })
                    }));
                    // By the time of the next write it may be on the disk, with its block.
                    allocated = allocated.max(end.next_multiple_of(within));
                    if let Some(from) = grown_from {
                        let cut_from = *from.max(offset) as u64;
                        let cut_step = u64::from(profile.block_bytes);
                        let (from, to) = (*from as u64, end as u64);
                        let kind = UnitKind::Size { inode, from, to, cut_from, cut_step };
                        units.push(unit(count, kind));
                    }
                }
                ChangeKind::Resize { from, to } => {
                    allocated = allocated.min(to.next_multiple_of(within));
                    let tail = tail(*from, *to);
                    let (from, to) = (*from as u64, *to as u64);
                    units.extend(tail.iter().map(|place| unit(0, zeros(inode, place))));
                    units.push(unit(tail.map_or(0, |_| 1), UnitKind::Truncate { inode, from, to }));
                }
                ChangeKind::Zero { place } => units.push(unit(0, zeros(inode, place))),
            }
        }
        units
    }

    /// The power is cut: applies to the durable bytes what `fate` makes of the pending changes.
    /// They become the live ones.
    pub(super) fn settle(
        &mut self,
        fate: &impl Fn(UnitId) -> Fate,
        profile: &Profile,
        stale: &[u8],
    ) {
        (self.flush_to, self.cut) = (0, false);
        if self.pending.is_empty() {
            return;
        }
        self.hash.take();
        let durable = Arc::make_mut(&mut self.durable);
        let len = durable.len();
        durable.extend_from_slice(&std::mem::take(&mut self.slack));
        let changes = std::mem::take(&mut self.pending);
        let replay = Replay { changes: &changes, profile, stale };
        let len = replay.apply(&(0..usize::MAX), durable, len, fate);
        durable.resize(len, 0);
        self.live = Arc::clone(&self.durable);
    }
}

/// What was pending of a file when the power was cut.
pub(super) struct Replay<'a> {
    pub(super) changes: &'a VecDeque<Change>,
    pub(super) profile: &'a Profile,
    pub(super) stale: &'a [u8],
}

impl Replay<'_> {
    /// Applies to durable bytes, which are those of a file of `len` bytes within `window`, what
    /// `fate` makes of the changes; gives the length that the file then has. The window's ends are
    /// ends of atoms. Bytes past the file's end stay: a later growth may uncover them.
    pub(super) fn apply(
        &self,
        window: &Range<usize>,
        durable: &mut Vec<u8>,
        mut len: usize,
        fate: &impl Fn(UnitId) -> Fate,
    ) -> usize {
        let Self { changes, profile, stale } = *self;
        let within = |at: usize| at.clamp(window.start, window.end) - window.start;
        for Change { operation, kind } in changes {
            let id = |part| UnitId { operation: *operation, part };
            match kind {
                ChangeKind::Write { offset, bytes, grown_from } => {
                    let mut parts = 0;
                    for (part, place) in (0..).zip(atoms(*offset, bytes.len(), profile)) {
                        if window.contains(&place.start) {
                            let new = &bytes[place.start - offset..place.end - offset];
                            let (id, size) = (id(part), profile.atom_bytes as usize);
                            let atom = Atom { id, place, new, size, stale };
                            atom.settle(fate(id), window.start, durable);
                        }
                        parts = part + 1;
                    }
                    if grown_from.is_some() {
                        len = length_after(fate(id(parts)), len, offset + bytes.len());
                    }
                }
                ChangeKind::Resize { from, to } => {
                    let tail = tail(*from, *to);
                    let zeroed = tail.is_some() && fate(id(0)) == Fate::Kept;
                    if let Some(place) = tail.clone().filter(|_| zeroed) {
                        zero(durable, within(place.start)..within(place.end));
                    }
                    let fate = fate(id(tail.iter().map(|_| 1).sum()));
                    if fate == Fate::Kept {
                        // A growth may uncover what was not overwritten.
                        let uncovers = tail.filter(|_| profile.damage.stale && !zeroed);
                        durable.truncate(within(uncovers.map_or(*to, |place| place.end)));
                    }
                    len = length_after(fate, len, *to);
                }
                ChangeKind::Zero { place } => {
                    if fate(id(0)) == Fate::Kept {
                        zero(durable, within(place.start)..within(place.end));
                    }
                }
            }
        }
        len
    }
}

/// The file's length after a change of it to `to` has met `fate`.
fn length_after(fate: Fate, before: usize, to: usize) -> usize {
    match fate {
        Fate::Kept => to,
        Fate::Short(len) => usize::try_from(len).expect("a cut lies within a write in memory"),
        Fate::Lost => before,
        Fate::Stale | Fate::Zero | Fate::Garbage | Fate::Left | Fate::Right => {
            unreachable!("no length is damaged")
        }
    }
}

fn zeros(inode: InodeNumber, place: &Range<usize>) -> UnitKind {
    let (offset, len) = (place.start as u64, place.len() as u64);
    UnitKind::Sector { inode, offset, len, fresh: false, damage: Damage::NONE }
}

/// The pieces of a write that are kept or lost on their own.
fn atoms(
    offset: usize,
    len: usize,
    profile: &Profile,
) -> impl ExactSizeIterator<Item = Range<usize>> {
    let size = profile.atom_bytes as usize;
    let end = offset + len;
    let first = offset / size;
    let count = if len == 0 { 0 } else { end.div_ceil(size) - first };
    (0..count).map(move |n| {
        let start = (first + n) * size;
        start.max(offset)..(start + size).min(end)
    })
}

/// One piece of a write that meets its fate.
struct Atom<'a> {
    id: UnitId,
    place: Range<usize>,
    new: &'a [u8],
    /// The piece of the device in which it lies, in bytes.
    size: usize,
    stale: &'a [u8],
}

impl Atom<'_> {
    /// The durable bytes begin at `from`.
    fn settle(self, fate: Fate, from: usize, durable: &mut Vec<u8>) {
        let Self { id, place, new, size, stale } = self;
        let (start, sector) = (place.start - from, place.start / size * size - from);
        let half = new.len() / 2;
        match fate {
            Fate::Kept => put(durable, start, new),
            Fate::Lost => {}
            Fate::Left => put(durable, start, &new[..half]),
            Fate::Right => put(durable, start + half, &new[half..]),
            Fate::Zero => put(durable, sector, &vec![0; size]),
            Fate::Garbage => put(durable, sector, &trash(id, size)),
            Fate::Stale => {
                let bytes = place.clone().map(|place| stale[place % stale.len()]);
                put(durable, start, &bytes.collect::<Vec<_>>());
            }
            Fate::Short(_) => unreachable!("no sector has a length"),
        }
    }
}

/// Bytes that nobody wrote: the same for the same piece of the same write.
fn trash(id: UnitId, len: usize) -> Vec<u8> {
    let word =
        |n: u64| xxh3_128(&[id.operation, u64::from(id.part), n].map(u64::to_le_bytes).concat());
    (0..).flat_map(|n| word(n).to_le_bytes()).take(len).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn units(content: &FileContent) -> Vec<Unit> {
        content.units(InodeNumber(1), &Profile::strict())
    }

    fn write(content: &mut FileContent, operation: u64, offset: usize, bytes: &'static [u8]) {
        content.write(operation, offset, Bytes::from_static(bytes));
    }

    /// Applies fates, of each operation that of the length before those of the bytes, and tells
    /// what the file then holds.
    fn settled(content: &FileContent, fates: &[Fate]) -> Vec<u8> {
        let mut units = units(content);
        units.sort_by_key(|it| (it.id.operation, matches!(it.kind, UnitKind::Sector { .. })));
        assert_eq!(units.len(), fates.len(), "{units:?}");
        let mut content = content.clone();
        content.settle(
            &|id| {
                let at = units.iter().position(|unit| unit.id == id).expect("a unit's id");
                fates[at]
            },
            &Profile::strict(),
            b"",
        );
        assert_eq!(content.pending(), 0);
        assert_eq!(content.live, content.durable);
        content.bytes().to_vec()
    }

    fn synced(bytes: &'static [u8]) -> FileContent {
        let mut content = FileContent::default();
        write(&mut content, 1, 0, bytes);
        content.harden(1);
        content
    }

    #[test]
    fn length_and_bytes_of_a_write_are_independent() {
        let mut content = FileContent::default();
        write(&mut content, 1, 0, b"new");
        use Fate::{Kept, Lost};
        assert_eq!(settled(&content, &[Kept, Kept]), b"new");
        assert_eq!(settled(&content, &[Kept, Lost]), b"\0\0\0", "length without bytes is zeros");
        assert_eq!(settled(&content, &[Lost, Kept]), b"", "bytes past the end are invisible");
        assert_eq!(settled(&content, &[Lost, Lost]), b"");
    }

    #[test]
    fn bytes_past_a_lost_length_come_to_light_under_a_later_length() {
        let mut content = FileContent::default();
        write(&mut content, 1, 0, b"one");
        write(&mut content, 2, 3, b"two");
        use Fate::{Kept, Lost};
        assert_eq!(settled(&content, &[Lost, Kept, Kept, Lost]), b"one\0\0\0");
        assert_eq!(settled(&content, &[Kept, Kept, Lost, Kept]), b"one");
    }

    #[test]
    fn each_sector_of_a_write_is_kept_or_lost_on_its_own() {
        let mut content = synced(&[b'o'; 1536]);
        write(&mut content, 2, 100, &[b'n'; 1000]);
        use Fate::{Kept, Lost};
        let state = settled(&content, &[Kept, Lost, Kept]);
        let expected =
            [vec![b'o'; 100], vec![b'n'; 412], vec![b'o'; 512], vec![b'n'; 76], vec![b'o'; 436]];
        assert_eq!(state, expected.concat());
    }

    #[test]
    fn a_write_may_grow_its_file_only_up_to_a_sector_boundary() {
        let mut content = FileContent::default();
        write(&mut content, 1, 0, &[b'n'; 700]);
        assert_eq!(settled(&content, &[Fate::Short(512), Fate::Kept, Fate::Kept]), vec![b'n'; 512]);
    }

    #[test]
    fn a_lost_truncate_leaves_old_bytes_under_the_new_ones() {
        let mut content = synced(b"old content");
        content.resize(2, 0);
        write(&mut content, 3, 0, b"new");
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
        assert_eq!(units(&content).len(), 1);
        assert_eq!(settled(&content, &[Fate::Lost]), b"a");
        let mut grown = vec![0; 2000];
        grown[0] = b'a';
        assert_eq!(settled(&content, &[Fate::Kept]), grown);
    }

    #[test]
    fn later_writes_apply_over_what_a_sync_covered() {
        let mut content = FileContent::default();
        write(&mut content, 1, 0, b"aaaa");
        write(&mut content, 2, 1, b"bb");
        assert_eq!(content.harden(1).changes, 1);
        assert_eq!(settled(&content, &[Fate::Lost]), b"aaaa");
        assert_eq!(settled(&content, &[Fate::Kept]), b"abba");
        assert_eq!(content.harden(2).changes, 1);
        assert_eq!(settled(&content, &[]), b"abba");
    }
}

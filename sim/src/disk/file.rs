//! A file's content: what programs see, what is on the platter, and the way from one to the other.
//!
//! Invariant: the durable bytes with all pending changes applied in order are the live bytes, but
//! for bytes that a fault lost on their way, which are live until the cache is evicted.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    sync::OnceLock,
};

use bytes::Bytes;
use triomphe::Arc;
use xxhash_rust::xxh3::xxh3_128;

use super::{Profile, lazy::Past};

/// What a file system writes back as one piece.
const PAGE_BYTES: usize = 4096;

/// So many bytes of a removed file are remembered, for a sector that shows stale bytes.
const STALE_BYTES_MAX: usize = 4096;

/// A file's content. Buffers are shared between copies of a disk until one of them writes.
#[derive(Clone, Debug, Default)]
pub(super) struct FileContent {
    pub(super) live: Arc<Vec<u8>>,
    pub(super) durable: Arc<Vec<u8>>,
    pub(super) pending: VecDeque<Change>,
    /// Bytes on the platter behind the end, until they are overwritten with zeros.
    pub(super) slack: Bytes,
    /// Changes up to this operation are committed with the metadata.
    pub(super) flush_to: u64,
    /// It was cut to nothing, and no handle was closed since.
    pub(super) cut: bool,
    /// Sectors of which a power cut left open what they hold.
    pub(super) undecided: BTreeMap<usize, Arc<Past>>,
    /// A fingerprint of the live bytes, once somebody asked.
    pub(super) hash: OnceLock<u128>,
}

/// A change that no finished sync covers.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) operation: u64,
    pub(super) kind: ChangeKind,
}

#[derive(Clone, Debug)]
pub(super) enum ChangeKind {
    /// `grown_from` is the length before, if the write moved the end.
    Write { offset: usize, bytes: Bytes, grown_from: Option<usize> },
    /// Longer or shorter, without bytes of its own.
    Resize { from: usize, to: usize },
    /// What is left of a cut that is durable: the rest of the page is overwritten with zeros.
    Zero { place: Range<usize> },
}

/// What became durable.
#[derive(Debug, Default)]
pub(super) struct Hardened {
    /// The number of changes.
    pub(super) changes: usize,
    /// Bytes that are no part of the file any more.
    pub(super) freed: Option<Bytes>,
}

impl FileContent {
    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.live
    }

    /// A fingerprint of what programs see.
    pub(super) fn hash(&self) -> u128 {
        *self.hash.get_or_init(|| xxh3_128(&self.live))
    }

    /// The first bytes on the platter, if there are any: what a removed file leaves behind.
    pub(super) fn remains(&self) -> Option<Bytes> {
        remains(&self.durable)
    }

    /// The number of changes that are not durable.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Writes at `offset`; a gap before it is filled with zeros.
    pub(super) fn write(&mut self, operation: u64, offset: usize, bytes: Bytes) {
        let len = self.live.len();
        let grown_from = (offset + bytes.len() > len).then_some(len);
        self.hash.take();
        put(Arc::make_mut(&mut self.live), offset, &bytes);
        let kind = ChangeKind::Write { offset, bytes, grown_from };
        self.pending.push_back(Change { operation, kind });
    }

    pub(super) fn resize(&mut self, operation: u64, to: usize) {
        let from = self.live.len();
        self.cut |= to == 0;
        self.hash.take();
        Arc::make_mut(&mut self.live).resize(to, 0);
        self.pending.push_back(Change { operation, kind: ChangeKind::Resize { from, to } });
    }

    /// All changes so far are to be committed with the metadata.
    pub(super) fn flush(&mut self, operation: u64) {
        self.flush_to = operation;
    }

    /// A handle is closed: if the file was cut to nothing, its bytes are flushed.
    pub(super) fn closed(&mut self, operation: u64) {
        if std::mem::take(&mut self.cut) {
            self.flush(operation);
        }
    }

    /// Makes every change up to the operation `covers` durable.
    pub(super) fn harden(&mut self, covers: u64) -> Hardened {
        let before = self.pending.len();
        let mut freed = None;
        while let Some(change) = self.pending.pop_front_if(|change| change.operation <= covers) {
            let durable = Arc::make_mut(&mut self.durable);
            match change.kind {
                ChangeKind::Write { offset, bytes, .. } => put(durable, offset, &bytes),
                ChangeKind::Resize { to, .. } => freed = cut(durable, to).or(freed),
                ChangeKind::Zero { place } => {
                    self.slack.clear();
                    zero(durable, place);
                }
            }
        }
        Hardened { changes: before - self.pending.len(), freed }
    }

    /// The metadata up to the operation `covers` is committed: lengths become durable that were
    /// set by a truncate or are flushed. Of a write before that only the bytes stay pending, as far
    /// as they still belong to the file.
    pub(super) fn commit(&mut self, covers: u64, profile: &Profile) -> Hardened {
        let before = self.pending.len();
        let mut freed = None;
        let flush_to = covers.min(self.flush_to);
        let commits = |Change { operation, kind }: &Change| match kind {
            ChangeKind::Write { grown_from, .. } => grown_from.is_some() && *operation <= flush_to,
            ChangeKind::Resize { .. } => *operation <= covers,
            ChangeKind::Zero { .. } => false,
        };
        if let Some(last) = self.pending.iter().rposition(commits) {
            let mut rest = self.pending.split_off(last + 1);
            let mut bytes_only = VecDeque::new();
            let durable = Arc::make_mut(&mut self.durable);
            for Change { operation, kind } in self.pending.drain(..) {
                match kind {
                    ChangeKind::Write { offset, bytes, grown_from } => {
                        if grown_from.is_some() && operation <= flush_to {
                            durable.resize(durable.len().max(offset + bytes.len()), 0);
                        }
                        let kind = ChangeKind::Write { offset, bytes, grown_from: None };
                        bytes_only.push_back(Change { operation, kind });
                    }
                    ChangeKind::Resize { to, .. } => {
                        let len = durable.len();
                        durable.extend_from_slice(&std::mem::take(&mut self.slack));
                        let behind = to..durable.len().min(to.next_multiple_of(PAGE_BYTES));
                        if profile.damage.stale && to < len {
                            self.slack = Bytes::copy_from_slice(&durable[behind.clone()]);
                        }
                        durable.truncate(len.max(to));
                        freed = cut(durable, to).or(freed);
                        bytes_only.retain_mut(|change: &mut Change| change.shorten(to));
                        if !self.slack.is_empty() {
                            let kind = ChangeKind::Zero { place: behind };
                            bytes_only.push_back(Change { operation, kind });
                        }
                    }
                    ChangeKind::Zero { .. } => bytes_only.push_back(Change { operation, kind }),
                }
            }
            bytes_only.append(&mut rest);
            self.pending = bytes_only;
        }
        Hardened { changes: before - self.pending.len(), freed }
    }

    /// The last pending change of the length up to the operation `covers`; 0 if there is none.
    pub(super) fn last_length_change(&self, covers: u64) -> u64 {
        let changes_length = |change: &&Change| match change.kind {
            ChangeKind::Write { grown_from, .. } => grown_from.is_some(),
            ChangeKind::Resize { .. } => true,
            ChangeKind::Zero { .. } => false,
        };
        let pending = self.pending.iter().take_while(|change| change.operation <= covers);
        pending.filter(changes_length).map(|change| change.operation).last().unwrap_or(0)
    }

    /// Turns bits of one byte over, in every layer that holds it: at `from`, or at the next place
    /// behind it, around the end, that is no hole. An unsynced hole is no bytes on any device, so
    /// nothing of it can rot. False if there is nothing else.
    pub(super) fn rot(&mut self, from: usize, bits: u8) -> bool {
        let len = self.live.len();
        let Some(place) = (from..len).chain(0..from).find(|place| !self.is_hole(*place)) else {
            return false;
        };
        self.hash.take();
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
                ChangeKind::Zero { .. } => {}
            }
        }
        false
    }
}

impl Change {
    /// Leaves of a write what is before `end`; false if that is nothing.
    fn shorten(&mut self, end: usize) -> bool {
        match &mut self.kind {
            ChangeKind::Write { offset, bytes, .. } => {
                bytes.truncate(end.saturating_sub(*offset));
                !bytes.is_empty()
            }
            ChangeKind::Resize { .. } => true,
            ChangeKind::Zero { place } => place.start < end,
        }
    }
}

/// What a cut within a page overwrites with zeros, which may reach the disk without the cut, or
/// after it.
pub(super) fn tail(from: usize, to: usize) -> Option<Range<usize>> {
    let end = from.min(to.next_multiple_of(PAGE_BYTES));
    (to < end).then_some(to..end)
}

/// Overwrites with zeros what there is of a place.
pub(super) fn zero(content: &mut [u8], place: Range<usize>) {
    let len = content.len();
    content[place.start.min(len)..place.end.min(len)].fill(0);
}

/// Sets the length on the platter; tells what was there behind it.
fn cut(durable: &mut Vec<u8>, to: usize) -> Option<Bytes> {
    let freed = durable.get(to..).and_then(remains);
    durable.resize(to, 0);
    freed
}

fn remains(bytes: &[u8]) -> Option<Bytes> {
    let first = &bytes[..bytes.len().min(STALE_BYTES_MAX)];
    (!first.is_empty()).then(|| Bytes::copy_from_slice(first))
}

/// Writes `bytes` at `offset`, with zeros before it where there was nothing.
pub(super) fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if offset > content.len() {
        content.resize(offset, 0);
    }
    let overwritten = bytes.len().min(content.len() - offset);
    content[offset..offset + overwritten].copy_from_slice(&bytes[..overwritten]);
    content.extend_from_slice(&bytes[overwritten..]);
}

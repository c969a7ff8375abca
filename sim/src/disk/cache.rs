//! The page cache of a file where it differs from the device: bytes that were lost on their way,
//! or went astray.

use std::ops::Range;

use triomphe::Arc;

use super::file::{ChangeKind, FileContent, put, zero};

impl FileContent {
    /// Whether a write is not durable.
    pub(super) fn has_unsynced_bytes(&self) -> bool {
        self.pending.iter().any(|change| matches!(change.kind, ChangeKind::Write { .. }))
    }

    /// Whether a write that is not durable touches `place`.
    pub(super) fn has_unsynced_in(&self, place: &Range<usize>) -> bool {
        self.pending.iter().any(|change| match &change.kind {
            ChangeKind::Write { offset, bytes, .. } => {
                *offset < place.end && place.start < offset + bytes.len()
            }
            ChangeKind::Resize { .. } | ChangeKind::Zero { .. } => false,
        })
    }

    /// The bytes of all writes up to the operation `covers` are lost; lengths stay pending. Tells
    /// how many changes there are fewer. Programs see the bytes until [`FileContent::evict`].
    pub(super) fn lose_bytes(&mut self, covers: u64) -> usize {
        let before = self.pending.len();
        self.pending.retain_mut(|change| match &change.kind {
            _ if change.operation > covers => true,
            ChangeKind::Write { grown_from: None, .. } => false,
            ChangeKind::Write { offset, bytes, grown_from: Some(from) } => {
                change.kind = ChangeKind::Resize { from: *from, to: offset + bytes.len() };
                true
            }
            ChangeKind::Resize { .. } | ChangeKind::Zero { .. } => true,
        });
        before - self.pending.len()
    }

    /// Programs see what the device holds, and what is pending.
    pub(super) fn evict(&mut self) {
        self.hash.take();
        self.live = Arc::clone(&self.durable);
        for change in &self.pending {
            let live = Arc::make_mut(&mut self.live);
            match &change.kind {
                ChangeKind::Write { offset, bytes, .. } => put(live, *offset, bytes),
                ChangeKind::Resize { to, .. } => live.resize(*to, 0),
                // Programs never see what was behind the end.
                ChangeKind::Zero { place } => zero(live, place.clone()),
            }
        }
    }

    /// Puts bytes within the file into the cache alone, where they never leave it.
    pub(super) fn show(&mut self, offset: usize, bytes: &[u8]) {
        self.hash.take();
        Arc::make_mut(&mut self.live)[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// Puts bytes within the file into every layer that holds their place.
    pub(super) fn replace(&mut self, offset: usize, bytes: &[u8]) {
        self.show(offset, bytes);
        let durable_len = self.durable.len();
        overlay(&mut Arc::make_mut(&mut self.durable)[..durable_len], 0, offset, bytes);
        for change in &mut self.pending {
            if let ChangeKind::Write { offset: start, bytes: written, .. } = &mut change.kind {
                let mut replaced = written.to_vec();
                overlay(&mut replaced, *start, offset, bytes);
                *written = replaced.into();
            }
        }
    }
}

/// Puts `bytes`, which stand at `offset`, over the part of `content`, which begins at `start`,
/// that they have in common.
fn overlay(content: &mut [u8], start: usize, offset: usize, bytes: &[u8]) {
    let common: Range<usize> = start.max(offset)..(start + content.len()).min(offset + bytes.len());
    if !common.is_empty() {
        content[common.start - start..common.end - start]
            .copy_from_slice(&bytes[common.start - offset..common.end - offset]);
    }
}

//! Syncs, in two steps, since a power cut may come while one is under way.

use super::{Disk, Handle, InodeNumber, inode::Content};
use crate::env::{DiskError, DiskResult};

/// A sync under way: what was pending when it began. Dropped, the sync never ends, which makes
/// nothing durable.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a sync takes effect when it ends"]
pub struct Sync {
    inode: InodeNumber,
    /// The last operation before the sync. Operations are numbered over the whole life of the
    /// disk, so that a sync from before a crash covers nothing after it.
    covers: u64,
}

impl Disk {
    /// Begins to make the bytes and the length of an open file durable; its name is not covered.
    ///
    /// # Errors
    /// [`DiskError::InvalidInput`] if the handle is not open.
    pub fn begin_sync_file(&mut self, handle: Handle) -> DiskResult<Sync> {
        let inode = self.opened(handle)?.inode;
        Ok(Sync { inode, covers: self.operation_last })
    }

    /// Begins to make the names in a directory durable; neither the files' bytes nor the
    /// directory's own name in its parent are covered.
    ///
    /// # Errors
    /// [`DiskError::NotFound`], [`DiskError::NotADirectory`].
    pub fn begin_sync_dir(&mut self, path: &str) -> DiskResult<Sync> {
        let inode = self.lookup(path)?;
        if !self.inode(inode).is_directory() {
            return Err(DiskError::NotADirectory);
        }
        Ok(Sync { inode, covers: self.operation_last })
    }

    /// Ends a sync: what it covers is durable from here on. Harmless after a crash, and after the
    /// end of the file.
    pub fn end_sync(&mut self, sync: Sync) {
        let Some(inode) = self.inodes.get_mut(&sync.inode) else { return };
        match &mut inode.content {
            Content::File(file) => self.pending -= file.harden(sync.covers),
            Content::Directory(directory) => {
                let mut released = Vec::new();
                self.pending -= directory.harden(sync.covers, &mut released);
                for number in released {
                    self.release_claim(number);
                }
            }
        }
    }
}

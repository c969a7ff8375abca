//! Syncs that fail: which bytes are lost, and who is told.
//!
//! As in Linux, an error belongs to a file and not to the sync that met it. Each handle that was
//! open has it once, with its next sync.

use std::collections::BTreeSet;

use super::{
    Disk, Handle, InodeNumber, Sync,
    fault::{DiskFault, Faults, SyncFault},
};
use crate::{
    env::{DiskError, DiskResult},
    random::Stream,
};

/// The errors of one file that were not told to everybody yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Errors {
    /// The handles whose next sync fails.
    due: BTreeSet<Handle>,
    /// Nobody has had it: a file opened now has it, too.
    unseen: bool,
}

impl Faults {
    /// A file is opened.
    pub(super) fn opened(&mut self, number: InodeNumber, handle: Handle) {
        if let Some(errors) = self.errors.get_mut(&number)
            && errors.unseen
        {
            errors.due.insert(handle);
        }
    }
}

impl Disk {
    /// A sync is about to end. If it fails, it makes nothing durable.
    pub(super) fn strike_sync(&mut self, sync: &Sync) -> DiskResult<()> {
        if self.faults.is_none() || !self.inodes.contains_key(&sync.inode) {
            return Ok(());
        }
        self.check_writable()?;
        let waits_for_sync = |what| match what {
            DiskFault::Sync(SyncFault::LateReport | SyncFault::AlreadyConsumed)
            | DiskFault::BitRot
            | DiskFault::LatentError
            | DiskFault::MisdirectedRead
            | DiskFault::MisdirectedWrite
            | DiskFault::PhantomWrite
            | DiskFault::WriteError => false,
            DiskFault::Sync(
                SyncFault::DropAfterEvict
                | SyncFault::RevertNow
                | SyncFault::KeepDirty
                | SyncFault::GoesReadOnly,
            ) => true,
        };
        let Some(armed) = self.take_armed(sync.inode, waits_for_sync) else { return Ok(()) };
        self.note(armed.what, None, sync.inode);
        if armed.what == DiskFault::Sync(SyncFault::GoesReadOnly) {
            self.faults.get_or_insert_default().read_only = true;
        }
        if self.inode(sync.inode).is_directory() {
            return Err(DiskError::Io);
        }
        let loses = [SyncFault::DropAfterEvict, SyncFault::RevertNow].map(DiskFault::Sync);
        if loses.contains(&armed.what) {
            self.lose_unsynced(sync.inode, sync.covers);
        }
        if armed.what == DiskFault::Sync(SyncFault::RevertNow) {
            self.evict_file(sync.inode);
        }
        let errors = self.raise(sync.inode);
        errors.unseen = true;
        // A handle that was closed meanwhile is told as well, if somebody still waits.
        errors.due.extend(sync.handle);
        self.tell(sync)
    }

    /// Tells a sync of an error that its handle has not had.
    pub(super) fn tell(&mut self, sync: &Sync) -> DiskResult<()> {
        if let (Some(faults), Some(handle)) = (&mut self.faults, &sync.handle)
            && let Some(errors) = faults.errors.get_mut(&sync.inode)
            && errors.due.remove(handle)
        {
            errors.unseen = false;
            return Err(DiskError::Io);
        }
        Ok(())
    }

    /// The page cache is dropped, as far as it can be: programs see what the device holds, and
    /// what is still unsynced. An error that no open handle waits for is forgotten.
    pub fn evict(&mut self) {
        let Some(faults) = &mut self.faults else { return };
        let inodes = &self.inodes;
        faults.errors.retain(|number, _| inodes.get(number).is_some_and(|it| it.handles > 0));
        for number in std::mem::take(&mut faults.stale) {
            self.evict_file(number);
        }
    }

    /// Drops what is cached of an open file, except bytes that are unsynced.
    ///
    /// # Errors
    /// [`DiskError::InvalidInput`] if the handle is not open.
    pub fn drop_cached(&mut self, handle: Handle) -> DiskResult<()> {
        let number = self.opened(handle)?.inode;
        if self.faults.as_mut().is_some_and(|faults| faults.stale.remove(&number)) {
            self.evict_file(number);
        }
        Ok(())
    }

    /// The processes end, which lets a disk that went read-only be written again.
    pub(super) fn end_read_only(&mut self) {
        if let Some(faults) = &mut self.faults {
            faults.read_only = false;
        }
    }

    /// The kernel fails to write back unsynced bytes of one file at or below a directory; tells
    /// of which. `None` if there are none.
    pub(super) fn lose_some_unsynced(
        &mut self,
        directory: &str,
        what: DiskFault,
        stream: &mut Stream,
    ) -> Option<String> {
        let directory = self.lookup(directory).ok()?;
        self.inode(directory).directory()?;
        let mut files = self.files_below(directory);
        files.retain(|(_, number)| self.file(*number).has_unsynced_bytes());
        if files.is_empty() {
            return None;
        }
        let (path, number) = files.swap_remove(stream.index(files.len()));
        self.fail_write_back(number, what);
        Some(path)
    }

    /// The kernel fails to write back what is unsynced of a file.
    pub(super) fn fail_write_back(&mut self, number: InodeNumber, what: DiskFault) {
        self.lose_unsynced(number, self.operation_last);
        self.raise(number).unseen = what == DiskFault::Sync(SyncFault::LateReport);
    }

    fn lose_unsynced(&mut self, number: InodeNumber, covers: u64) {
        self.pending -= self.file_mut(number).lose_bytes(covers);
        self.hardened(number, Vec::new());
        self.faults.get_or_insert_default().stale.insert(number);
    }

    /// Lets the next sync of each open handle of a file fail.
    fn raise(&mut self, number: InodeNumber) -> &mut Errors {
        let open = self.handles.iter().filter(|(_, opened)| opened.inode == number);
        let open: Vec<Handle> = open.map(|(handle, _)| *handle).collect();
        let errors = self.faults.get_or_insert_default().errors.entry(number).or_default();
        errors.due.extend(open);
        errors
    }

    fn evict_file(&mut self, number: InodeNumber) {
        if self.inodes.contains_key(&number) {
            self.file_mut(number).evict();
        }
    }
}

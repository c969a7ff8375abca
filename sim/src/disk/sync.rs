//! Syncs: what they cover is the profile's matter ([`SyncCovers`]). They come in two steps, since a
//! power cut may come while one is under way.

use super::{
    Disk, Handle, InodeNumber,
    inode::{Content, Inode},
    profile::SyncCovers,
};
use crate::env::{DiskError, DiskResult};

/// A sync under way: what was pending when it began. Dropped, the sync never ends, which makes
/// nothing durable.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a sync takes effect when it ends"]
pub struct Sync {
    pub(super) inode: InodeNumber,
    /// What was synced through; none for a directory.
    pub(super) handle: Option<Handle>,
    /// Of the metadata only the length is asked for.
    data_only: bool,
    /// The last operation before the sync. Operations are numbered over the whole life of the
    /// disk, so that a sync from before a crash covers nothing after it.
    pub(super) covers: u64,
}

impl Disk {
    /// Begins to make the bytes and the length of an open file durable, with its time stamps; its
    /// name is not covered, unless the profile is more generous than it must be.
    ///
    /// # Errors
    /// [`DiskError::InvalidInput`] if the handle is not open.
    pub fn begin_sync_file(&mut self, handle: Handle) -> DiskResult<Sync> {
        let inode = self.opened(handle)?.inode;
        let covers = self.operation_last;
        Ok(Sync { inode, handle: Some(handle), data_only: false, covers })
    }

    /// The same without time stamps.
    ///
    /// # Errors
    /// As [`Disk::begin_sync_file`].
    pub fn begin_sync_data(&mut self, handle: Handle) -> DiskResult<Sync> {
        Ok(Sync { data_only: true, ..self.begin_sync_file(handle)? })
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
        Ok(Sync { inode, handle: None, data_only: false, covers: self.operation_last })
    }

    /// Ends a sync: what it covers is durable from here on. Harmless after a crash, and after the
    /// end of the file.
    ///
    /// # Errors
    /// [`DiskError::Io`] if a fault struck this sync, or bytes of the file before it: see
    /// [`super::SyncFault`]. [`DiskError::ReadOnly`] after one that made the disk so.
    pub fn end_sync(&mut self, sync: Sync) -> DiskResult<()> {
        self.strike_sync(&sync)?;
        self.cover(&sync);
        self.tell(&sync)
    }

    /// Makes durable what a sync covers.
    fn cover(&mut self, sync: &Sync) {
        let Sync { inode, covers, .. } = *sync;
        if !self.inodes.contains_key(&inode) {
            return;
        }
        match self.profile.sync {
            SyncCovers::Nothing => {}
            SyncCovers::Itself => self.harden(inode, covers),
            SyncCovers::ItsNamesToo => {
                self.harden(inode, covers);
                self.pin_way(inode, covers);
            }
            SyncCovers::Journal => {
                let last = self.last_metadata(sync);
                self.harden(inode, covers);
                self.commit(last);
            }
        }
    }

    /// A sync of an open file, from begin to end.
    ///
    /// # Errors
    /// As [`Disk::begin_sync_file`] and [`Disk::end_sync`].
    pub fn sync_file(&mut self, handle: Handle) -> DiskResult<()> {
        let sync = self.begin_sync_file(handle)?;
        self.end_sync(sync)
    }

    /// A sync of an open file's bytes and length, from begin to end.
    ///
    /// # Errors
    /// As [`Disk::begin_sync_data`] and [`Disk::end_sync`].
    pub fn sync_data(&mut self, handle: Handle) -> DiskResult<()> {
        let sync = self.begin_sync_data(handle)?;
        self.end_sync(sync)
    }

    /// A sync of a directory, from begin to end.
    ///
    /// # Errors
    /// As [`Disk::begin_sync_dir`] and [`Disk::end_sync`].
    pub fn sync_dir(&mut self, path: &str) -> DiskResult<()> {
        let sync = self.begin_sync_dir(path)?;
        self.end_sync(sync)
    }

    /// Everything that is pending becomes durable, as by `sync(2)`; on a drive that lies, nothing.
    pub fn sync_everything(&mut self) {
        if self.profile.sync != SyncCovers::Nothing && self.check_writable().is_ok() {
            self.make_durable();
        }
    }

    /// For formatting: everything that is pending becomes durable, on a drive that lies, too.
    pub fn make_durable(&mut self) {
        for inode in self.dirty.clone() {
            // It may be gone by now, with the last durable name of another one.
            if self.inodes.contains_key(&inode) {
                self.harden(inode, self.operation_last);
            }
        }
    }

    /// Makes a file's bytes and length, or a directory's names, durable.
    pub(super) fn harden(&mut self, number: InodeNumber, covers: u64) {
        let mut released = Vec::new();
        match &mut self.inode_mut(number).content {
            Content::File(file) => {
                let hardened = file.harden(covers);
                self.pending -= hardened.changes;
                if let Some(freed) = hardened.freed {
                    self.stale = freed;
                }
            }
            Content::Directory(directory) => {
                let changes = directory.harden(covers, &mut released);
                self.pending -= changes;
            }
        }
        self.hardened(number, released);
    }

    /// What is pending at `number` has changed, and durable names no longer stand for `released`.
    pub(super) fn hardened(&mut self, number: InodeNumber, released: Vec<InodeNumber>) {
        if self.inode(number).pending() == 0 {
            self.clean(number);
        }
        for number in released {
            self.release_claim(number);
        }
    }

    /// Commits the journal: all names, truncates, and what is flushed with them.
    fn commit(&mut self, covers: u64) {
        let profile = self.profile;
        for number in self.dirty.clone() {
            let Some(inode) = self.inode_mut_if_any(number) else { continue };
            match &mut inode.content {
                Content::File(file) => {
                    let hardened = file.commit(covers, &profile);
                    self.pending -= hardened.changes;
                    if let Some(freed) = hardened.freed {
                        self.stale = freed;
                    }
                    self.hardened(number, Vec::new());
                }
                Content::Directory(_) => self.harden(number, covers),
            }
        }
    }

    /// The last pending change of metadata of the synced thing, which the sync must commit, with
    /// all before it: 0 if there is none.
    fn last_metadata(&self, sync: &Sync) -> u64 {
        let Sync { inode, covers, .. } = *sync;
        let own = match &self.inode(inode).content {
            Content::File(file) => file.last_length_change(covers),
            Content::Directory(directory) => directory.last_change(covers),
        };
        let directories = self.dirty.iter().filter_map(|dirty| self.inode(*dirty).directory());
        let named = directories.map(|directory| directory.last_change_of(inode, covers)).max();
        own.max(named.filter(|_| !sync.data_only).unwrap_or(0))
    }

    /// From here on the names that lead to `number` are kept, until they change.
    fn pin_way(&mut self, number: InodeNumber, covers: u64) {
        let (mut open, mut seen) = (vec![number], Vec::new());
        while let Some(number) = open.pop() {
            if number == InodeNumber::ROOT || seen.contains(&number) {
                continue;
            }
            seen.push(number);
            for at in 0..self.dirty.len() {
                let dirty = self.dirty[at];
                if self.inode(dirty).is_directory()
                    && let Content::Directory(directory) = &mut self.inode_mut(dirty).content
                {
                    directory.pin(number, covers);
                }
            }
            open.extend(self.parents(number));
        }
    }

    /// The directories in which a name stands for `number`, if some of their own names may be
    /// pending.
    fn parents(&self, number: InodeNumber) -> Vec<InodeNumber> {
        if self.dirty.is_empty() {
            return Vec::new();
        }
        // Mostly its only name is the last that it was given.
        let Inode { names, home, .. } = self.inode(number);
        if *names == 1
            && let Some((parent, name)) = home
            && let Some(directory) = self.inodes.get(parent).and_then(|inode| inode.directory())
            && directory.get(name) == Some(number)
        {
            return vec![*parent];
        }
        let holds = |inode: &Inode| {
            inode.directory().is_some_and(|it| it.names().any(|(_, inode)| inode == number))
        };
        let parents = self.inodes.iter().filter(|(_, inode)| holds(inode));
        parents.map(|(parent, _)| *parent).collect()
    }
}

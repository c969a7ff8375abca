//! The simulated disk: what programs see, what a power cut may leave of it, and nothing else.
//!
//! A [`Disk`] is a plain value without time, randomness or faults of its own. It keeps two images
//! of the same shape, the live one and the durable one, and a log of pending changes that lead
//! from the latter to the former. A sync moves a part of that log into the durable image. A power
//! cut ([`Disk::crash`], [`Disk::crash_with`]) gives each unit of the log a fate, applies what is
//! kept to the durable image, and makes that the live one.
//!
//! - Handles refer to inodes, never to paths.
//! - Names and content are durable apart from each other: a file's sync says nothing of its name,
//!   unless the [`Profile`] is more generous than it must be.
//! - What no name leads to after a crash is gone, with all that is in it.
//! - A sync that ended precedes everything that came after it began.
//!
//! The names of two directories are synced apart too. Of a rename between two directories of which
//! one was synced, the other half may be lost: sync the new directory first, then the old one.
//!
//! Beyond the power cut: faults of the device ([`Disk::harm`]), a limit to its space
//! ([`Disk::set_capacity`]), and a page cache that may be dropped ([`Disk::evict`]). A disk on which
//! none is used pays nothing for them.
//!
//! Not modelled: time stamps, permissions and symbolic links.
//!
//! ```
//! use unplug_sim::{disk::Disk, env::OpenMode, random::Stream};
//!
//! let mut disk = Disk::new();
//! let file = disk.open("log", OpenMode::CreateNew)?;
//! disk.append(file, b"record")?;
//! let sync = disk.begin_sync_file(file)?;
//! disk.end_sync(sync)?;
//! // The record is durable, but not the file's name: both outcomes are possible.
//! let report = disk.crash(&mut Stream::new(1, "disk", 0, 0));
//! assert_eq!(disk.metadata("log").is_ok(), report.kept == 1);
//! # Ok::<(), unplug_sim::env::DiskError>(())
//! ```

mod cache;
mod crash;
mod directory;
mod draw;
mod enumerate;
mod errors;
mod explore;
mod fault;
mod file;
mod handle;
mod image;
mod inode;
mod lazy;
mod media;
mod names;
mod order;
mod path;
mod profile;
mod report;
mod rot;
mod settle;
mod sorted;
mod space;
mod sync;
#[cfg(test)]
mod tests;
mod unit;

use std::fmt;

use bytes::Bytes;
use triomphe::Arc;

pub use self::{
    draw::CrashMode,
    explore::Explored,
    fault::{DiskFault, SyncFault},
    handle::{FILE_BYTES_MAX, Handle},
    image::Tree,
    inode::InodeNumber,
    path::NAME_BYTES_MAX,
    profile::{Damage, Ordering, Profile, SyncCovers},
    report::CrashReport,
    sync::Sync,
    unit::{Fate, NameChange, Unit, UnitId, UnitKind},
};
use self::{
    explore::Script,
    fault::Faults,
    handle::Opened,
    inode::{Content, Inode},
    sorted::Sorted,
    space::Space,
};

/// A disk. A copy is independent of the original, and costs the same whatever is on the disk:
/// both share each file and directory until one of them changes it.
#[derive(Clone)]
pub struct Disk {
    profile: Profile,
    inodes: Arc<Sorted<InodeNumber, Arc<Inode>>>,
    handles: Sorted<Handle, Opened>,
    inode_next: u64,
    handle_next: u64,
    operation_last: u64,
    /// The number of changes that are not durable, over all inodes.
    pending: usize,
    /// The inodes that have such changes, in order: mostly few, and none after each sync.
    dirty: Vec<InodeNumber>,
    /// What was last on the platter of a file, and is no part of it any more.
    stale: Bytes,
    space: Space,
    /// What is chosen for sectors that are decided while [`Disk::explore`] runs.
    script: Option<Script>,
    /// Boxed, so that a disk without faults pays one word.
    faults: Option<Box<Faults>>,
}

impl Disk {
    /// An empty disk of the [`Profile::strict`] kind: a durable root without names.
    #[must_use]
    pub fn new() -> Self {
        Self::with_profile(Profile::strict())
    }

    /// An empty disk.
    #[must_use]
    pub fn with_profile(profile: Profile) -> Self {
        let mut inodes = Sorted::default();
        inodes.insert(InodeNumber::ROOT, Arc::new(Inode::root()));
        Self {
            profile,
            inodes: Arc::new(inodes),
            handles: Sorted::default(),
            inode_next: 1,
            handle_next: 0,
            operation_last: 0,
            pending: 0,
            dirty: Vec::new(),
            stale: Bytes::new(),
            space: Space::default(),
            script: None,
            faults: None,
        }
    }

    /// What kind of disk it is.
    #[must_use]
    pub const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Every process on the machine ends: all handles are closed. Nothing that was written is
    /// lost, but nothing becomes durable either.
    pub fn kill(&mut self) {
        for Opened { inode, .. } in std::mem::take(&mut self.handles).into_values() {
            self.release(inode, |inode| &mut inode.handles);
        }
        self.end_read_only();
    }

    /// The number of changes that are not durable: writes, changes of length and changes of names
    /// (two for a rename). Costs nothing.
    #[must_use]
    pub const fn pending(&self) -> usize {
        self.pending
    }

    /// The atoms of the pending log, in order: what a power cut now would decide on. Changes that
    /// no outcome can show, such as those of a removed file whose name was never synced, are left
    /// out.
    #[must_use]
    pub fn units(&self) -> Vec<Unit> {
        let mut units = Vec::new();
        let mut profile = self.profile;
        profile.damage.stale &= !self.stale.is_empty();
        for number in &self.dirty {
            let inode = self.inode(*number);
            if inode.claims > 0 {
                inode.units(*number, &profile, &mut units);
            }
        }
        units.sort_by_key(|unit| unit.id);
        units.dedup_by(|later, unit| unit.absorb(later));
        units
    }

    fn inode(&self, number: InodeNumber) -> &Inode {
        self.inodes.get(&number).expect("what a name or handle refers to exists")
    }

    fn inode_mut(&mut self, number: InodeNumber) -> &mut Inode {
        self.inode_mut_if_any(number).expect("what a name or handle refers to exists")
    }

    fn inode_mut_if_any(&mut self, number: InodeNumber) -> Option<&mut Inode> {
        Arc::make_mut(&mut self.inodes).get_mut(&number).map(Arc::make_mut)
    }

    /// A change of `number` is pending.
    fn changed(&mut self, number: InodeNumber) {
        self.pending += 1;
        if let Err(place) = self.dirty.binary_search(&number) {
            self.dirty.insert(place, number);
        }
    }

    /// No change of `number` is pending any more.
    fn clean(&mut self, number: InodeNumber) {
        if let Ok(place) = self.dirty.binary_search(&number) {
            self.dirty.remove(place);
        }
    }

    fn next_operation(&mut self) -> UnitId {
        self.operation_last += 1;
        UnitId { operation: self.operation_last, part: 0 }
    }

    /// A durable name or a pending change no longer refers to `number`.
    fn release_claim(&mut self, number: InodeNumber) {
        self.release(number, |inode| &mut inode.claims);
    }

    /// Takes one off a count of an inode. One that nothing refers to is forgotten, with what only
    /// its durable names kept.
    fn release(&mut self, number: InodeNumber, count: fn(&mut Inode) -> &mut u32) {
        let inode = self.inode_mut(number);
        *count(inode) -= 1;
        let unused = inode.is_unused();
        let counted = inode.account();
        self.space.count(counted);
        if !unused {
            return;
        }
        let inodes = Arc::make_mut(&mut self.inodes);
        let (_, inode) = inodes.remove(&number).expect("it was there a line ago");
        self.pending -= inode.pending();
        self.clean(number);
        if let Content::File(file) = &inode.content {
            self.stale = file.remains().unwrap_or_else(|| self.stale.clone());
        }
        // The depth of this recursion is that of the removed directories.
        for claimed in inode.directory().into_iter().flat_map(|directory| directory.claims()) {
            self.release_claim(claimed);
        }
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Disk {
    /// The names and lengths of what programs see; the bytes would drown everything else.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut files = Vec::new();
        self.visit(&mut |path, _, inode| {
            files.push(match &inode.content {
                Content::File(file) => format!("{path} ({} bytes)", file.len()),
                Content::Directory(_) => format!("{path}/"),
            });
        });
        f.debug_struct("Disk")
            .field("profile", &self.profile)
            .field("files", &files)
            .field("handles", &self.handles.len())
            .field("pending", &self.pending)
            .finish_non_exhaustive()
    }
}

//! Faults of the device, and where they strike: some at once, some in the next write or sync at or
//! below a directory.
//!
//! Each is drawn from a stream when it is laid, so that it strikes the same way whenever its
//! moment comes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use super::{Disk, InodeNumber, errors::Errors, file::FileContent, media::BadSector, path::Path};
use crate::{
    env::{DiskError, DiskResult},
    random::Stream,
};

/// What goes wrong in a device, other than that its power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DiskFault {
    /// One bit of one file in the directory turns over, until that byte is written anew.
    BitRot,
    /// A sector of a file in the directory cannot be read, until it is wholly written anew. To
    /// write a part of it fails, too.
    LatentError,
    /// A sector of a file in the directory reads as another one, always the same, until it is
    /// written.
    MisdirectedRead,
    /// A sector of the next write at or below the directory ends up in another place, and
    /// destroys what was there. Programs see what they wrote until the cache is evicted, and then
    /// what was there before.
    MisdirectedWrite,
    /// A sector of the next write at or below the directory ends up nowhere. Programs see what
    /// they wrote until the cache is evicted, and then what was there before.
    PhantomWrite,
    /// The next write at or below the directory fails, and writes nothing, or its first sectors.
    WriteError,
    /// The next sync at or below the directory fails, or unsynced bytes are lost before it.
    Sync(SyncFault),
}

/// How a sync fails. The error is reported as Linux does: once to each handle that was open, and
/// to one opened later only if none has had it yet. A sync once more then succeeds.
///
/// Where bytes are lost, they are never durable unless they are written again, but the length of
/// the file still is with the next sync: in place of what was appended there are zeros then.
/// The sync of a directory fails once, and its names stay unsynced whatever the variant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SyncFault {
    /// The bytes that it covers are lost, and programs see them until the cache is evicted. So do
    /// ext4, xfs and btrfs.
    #[default]
    DropAfterEvict,
    /// The bytes that it covers are lost, and programs see at once what was there before.
    RevertNow,
    /// The bytes stay unsynced, and the next sync makes them durable.
    KeepDirty,
    /// The kernel writes bytes back on its own and loses them, now if some are unsynced, else
    /// after the next write. The next sync of each open file tells of it, and does its work.
    LateReport,
    /// As [`SyncFault::LateReport`], but somebody else has had the error already: files opened
    /// later sync without one.
    AlreadyConsumed,
    /// Nothing can be changed or synced from then on, until the next boot.
    GoesReadOnly,
}

/// The faults of one disk; a disk without any has none of this.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    armed: Vec<Armed>,
    struck: Vec<String>,
    pub(super) read_only: bool,
    pub(super) errors: BTreeMap<InodeNumber, Errors>,
    /// Files of which programs see bytes that are nowhere but in the cache, and never will be.
    pub(super) stale: BTreeSet<InodeNumber>,
    /// Sectors that do not read as they were written, by file and number.
    pub(super) damaged: BTreeMap<(InodeNumber, usize), BadSector>,
}

/// A fault that waits for a write or a sync at or below a directory.
#[derive(Clone, Debug)]
pub(super) struct Armed {
    pub(super) directory: InodeNumber,
    pub(super) what: DiskFault,
    pub(super) stream: Stream,
}

impl Disk {
    /// Lays a fault in a directory, as drawn from `stream`. Tells what it strikes or waits for;
    /// `None` if there is nothing to strike, and never will be. Of several faults that wait for
    /// the same operation, each takes one of its own, in order.
    pub fn harm(
        &mut self,
        directory: &str,
        fault: DiskFault,
        stream: &mut Stream,
    ) -> Option<String> {
        match fault {
            DiskFault::BitRot => self.rot(directory, stream),
            DiskFault::LatentError => self.spoil_sector(directory, stream),
            DiskFault::MisdirectedRead => self.misdirect_reads(directory, stream),
            DiskFault::Sync(SyncFault::LateReport | SyncFault::AlreadyConsumed) => self
                .lose_some_unsynced(directory, fault, stream)
                .or_else(|| self.arm(directory, fault, "write", stream)),
            DiskFault::MisdirectedWrite | DiskFault::PhantomWrite | DiskFault::WriteError => {
                self.arm(directory, fault, "write", stream)
            }
            DiskFault::Sync(
                SyncFault::DropAfterEvict
                | SyncFault::RevertNow
                | SyncFault::KeepDirty
                | SyncFault::GoesReadOnly,
            ) => self.arm(directory, fault, "sync", stream),
        }
    }

    /// What the faults that waited have struck since this was last asked, as text.
    pub fn take_struck(&mut self) -> Vec<String> {
        self.faults.as_mut().map(|faults| std::mem::take(&mut faults.struck)).unwrap_or_default()
    }

    /// Whether a fault made the disk read-only until the next boot.
    pub(super) fn check_writable(&self) -> DiskResult<()> {
        match &self.faults {
            Some(faults) if faults.read_only => Err(DiskError::ReadOnly),
            Some(_) | None => Ok(()),
        }
    }

    fn arm(
        &mut self,
        path: &str,
        what: DiskFault,
        awaited: &str,
        stream: &mut Stream,
    ) -> Option<String> {
        let directory = self.lookup(path).ok()?;
        self.inode(directory).directory()?;
        // A stream of its own: what else is drawn until it strikes makes no difference.
        let stream = Stream::new(stream.bits(), "armed", 0, 0);
        self.faults.get_or_insert_default().armed.push(Armed { directory, what, stream });
        Some(format!("the next {awaited} at or below {}", Self::full(path)?))
    }

    /// The first fault that waits for an operation on `number` and is of a kind that `wanted`
    /// tells.
    pub(super) fn take_armed(
        &mut self,
        number: InodeNumber,
        wanted: impl Fn(DiskFault) -> bool,
    ) -> Option<Armed> {
        let armed = &self.faults.as_ref()?.armed;
        let due = armed
            .iter()
            .position(|armed| wanted(armed.what) && self.leads_to(armed.directory, number))?;
        Some(self.faults.as_mut()?.armed.remove(due))
    }

    /// Notes what a fault that waited has struck.
    pub(super) fn note(&mut self, what: DiskFault, sector: Option<usize>, number: InodeNumber) {
        let path = self.path_of(number);
        let sector = sector.map(|sector| format!("sector {sector} of ")).unwrap_or_default();
        self.faults.get_or_insert_default().struck.push(format!("{what} in {sector}{path}"));
    }

    /// Whether `number` is at or below a directory.
    fn leads_to(&self, directory: InodeNumber, number: InodeNumber) -> bool {
        let mut open = vec![directory];
        while let Some(at) = open.pop() {
            if at == number {
                return true;
            }
            let inode = self.inodes.get(&at).and_then(|inode| inode.directory());
            let names = inode.into_iter().flat_map(|directory| directory.names());
            open.extend(names.map(|(_, inode)| inode));
        }
        false
    }

    /// The files in a directory itself that have bytes, with path and length, sorted by name.
    pub(super) fn files_in(&self, directory: &str) -> Option<Vec<(String, InodeNumber, usize)>> {
        let number = self.lookup(directory).ok()?;
        let above = Self::full(directory)?;
        let names = self.inode(number).directory()?.names();
        let files = names.filter_map(|(name, inode)| {
            let len = self.inode(inode).file().map_or(0, FileContent::len);
            (len > 0).then(|| (format!("{}/{name}", above.trim_end_matches('/')), inode, len))
        });
        let files: Vec<_> = files.collect();
        (!files.is_empty()).then_some(files)
    }

    /// The files at or below a directory, each once, with a path of each.
    pub(super) fn files_below(&self, directory: InodeNumber) -> Vec<(String, InodeNumber)> {
        let mut seen = BTreeSet::new();
        let mut files = Vec::new();
        self.visit(&mut |path, number, inode| {
            if !inode.is_directory() && self.leads_to(directory, number) && seen.insert(number) {
                files.push((path.to_owned(), number));
            }
        });
        files
    }

    /// A path as it is shown: from the root.
    pub(super) fn full(path: &str) -> Option<String> {
        let path: String = Path::new(path).ok()?.parts().flat_map(|part| ["/", part]).collect();
        Some(if path.is_empty() { "/".to_owned() } else { path })
    }

    /// A path of `number`, or its number if no name leads there.
    fn path_of(&self, number: InodeNumber) -> String {
        let mut found = None;
        self.visit(&mut |path, at, _| {
            if at == number && found.is_none() {
                found = Some(path.to_owned());
            }
        });
        let root = || if number == InodeNumber::ROOT { "/".to_owned() } else { number.to_string() };
        found.unwrap_or_else(root)
    }
}

impl DiskFault {
    /// The name as it stands in JSON; `sync_error` for all variants of a failed sync.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BitRot => "bit_rot",
            Self::LatentError => "latent_error",
            Self::MisdirectedRead => "misdirected_read",
            Self::MisdirectedWrite => "misdirected_write",
            Self::PhantomWrite => "phantom_write",
            Self::WriteError => "write_error",
            Self::Sync(_) => "sync_error",
        }
    }
}

impl fmt::Display for DiskFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BitRot => "bit rot",
            Self::LatentError => "latent error",
            Self::MisdirectedRead => "misdirected read",
            Self::MisdirectedWrite => "misdirected write",
            Self::PhantomWrite => "phantom write",
            Self::WriteError => "write error",
            Self::Sync(SyncFault::DropAfterEvict) => "failed sync (drop after evict)",
            Self::Sync(SyncFault::RevertNow) => "failed sync (revert now)",
            Self::Sync(SyncFault::KeepDirty) => "failed sync (keep dirty)",
            Self::Sync(SyncFault::LateReport) => "failed write-back (late report)",
            Self::Sync(SyncFault::AlreadyConsumed) => "failed write-back (already consumed)",
            Self::Sync(SyncFault::GoesReadOnly) => "failed sync (goes read-only)",
        })
    }
}

//! The space of a disk: the sum of the lengths of all files, against a limit if there is one.
//!
//! A file counts until its last name and its last handle are gone. Names, directories and what is
//! pending take nothing.

use super::{Disk, InodeNumber, inode::Inode};
use crate::env::{DiskError, DiskResult};

/// How much of a disk is taken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Space {
    pub(super) capacity: Option<u64>,
    full: bool,
    used: u64,
}

impl Disk {
    /// Limits the sum of all files' lengths, in bytes; what is there may already be more. A write
    /// that does not fit takes what fits, and the next one is [`DiskError::NoSpace`], as is a new
    /// name when nothing is free. Reading and removing go on.
    pub const fn set_capacity(&mut self, capacity: Option<u64>) {
        self.space.capacity = capacity;
    }

    /// Lets nothing be free, whatever the capacity and whatever is removed, until
    /// [`Disk::unfill`].
    pub const fn fill(&mut self) {
        self.space.full = true;
    }

    /// Ends what [`Disk::fill`] began.
    pub const fn unfill(&mut self) {
        self.space.full = false;
    }

    /// The sum of all files' lengths, in bytes. Costs nothing.
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.space.used
    }

    /// The bytes that are free; `None` if there is no limit.
    const fn free(&self) -> Option<u64> {
        let Space { capacity, full, used } = self.space;
        match (full, capacity) {
            (true, _) => Some(0),
            (false, Some(capacity)) => Some(capacity.saturating_sub(used)),
            (false, None) => None,
        }
    }

    /// How many of `len` bytes can be written at `offset`.
    pub(super) fn room_for(
        &self,
        number: InodeNumber,
        offset: usize,
        len: usize,
    ) -> DiskResult<usize> {
        let Some(free) = self.free() else { return Ok(len) };
        let free = usize::try_from(free).unwrap_or(usize::MAX);
        let end = self.file(number).len().saturating_add(free).min(offset + len);
        if end > offset { Ok(end - offset) } else { Err(DiskError::NoSpace) }
    }

    /// Whether a file can grow to `len`.
    pub(super) fn check_room_to(&self, number: InodeNumber, len: usize) -> DiskResult<()> {
        match self.free() {
            Some(free) if ((len - self.file(number).len()) as u64) > free => {
                Err(DiskError::NoSpace)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether a name can be made.
    pub(super) fn check_room_for_a_name(&self) -> DiskResult<()> {
        self.check_writable()?;
        if self.free() == Some(0) { Err(DiskError::NoSpace) } else { Ok(()) }
    }

    /// Counts what a file takes, after its length, its names or its handles changed.
    pub(super) fn account(&mut self, number: InodeNumber) {
        // A copy of a disk shares what does not change.
        let inode = self.inode(number);
        if inode.space != inode.takes() {
            let counted = self.inode_mut(number).account();
            self.space.count(counted);
        }
    }
}

impl Space {
    /// Counts what a file takes instead of what it took.
    pub(super) const fn count(&mut self, (before, after): (u64, u64)) {
        self.used = self.used + after - before;
    }
}

impl Inode {
    fn takes(&self) -> u64 {
        match self.file() {
            Some(file) if self.names > 0 || self.handles > 0 => file.len() as u64,
            Some(_) | None => 0,
        }
    }

    /// Notes what it takes; tells what was noted before, and what is now.
    pub(super) fn account(&mut self) -> (u64, u64) {
        let takes = self.takes();
        (std::mem::replace(&mut self.space, takes), takes)
    }
}

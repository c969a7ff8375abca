//! Open files: everything that is done through a handle.

use bytes::Bytes;

use super::{Disk, InodeNumber, UnitId, file::FileContent, inode::Content};
use crate::env::{DiskError, DiskResult, Metadata, OpenMode};

/// The longest file, in bytes. What would go beyond is refused with [`DiskError::NoSpace`].
pub const FILE_BYTES_MAX: u64 = 1 << 30;

/// An open file of a [`Disk`]. No handle is used twice in the life of a disk, so that one from
/// before a crash or a [`Disk::kill`] is [`DiskError::InvalidInput`] and never another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(u64);

#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    pub(super) inode: InodeNumber,
    writable: bool,
}

impl Disk {
    /// Opens a file.
    ///
    /// # Errors
    /// [`DiskError::NotFound`] (the file, or a directory on the way),
    /// [`DiskError::AlreadyExists`] (with [`OpenMode::CreateNew`]), [`DiskError::IsADirectory`],
    /// [`DiskError::NotADirectory`] (on the way).
    pub fn open(&mut self, path: &str, mode: OpenMode) -> DiskResult<Handle> {
        let taken = if mode == OpenMode::CreateNew {
            DiskError::AlreadyExists
        } else {
            DiskError::IsADirectory
        };
        let place = self.place(path)?.ok_or(taken)?;
        let inode = match (place.inode, mode) {
            (None, OpenMode::Read | OpenMode::Write) => return Err(DiskError::NotFound),
            (None, OpenMode::Create | OpenMode::CreateNew | OpenMode::Truncate) => {
                self.create(place, Content::File(FileContent::default()))?
            }
            (Some(_), OpenMode::CreateNew) => return Err(taken),
            (Some(inode), _) if self.inode(inode).is_directory() => return Err(taken),
            (Some(inode), OpenMode::Truncate) => {
                self.resize(inode, 0)?;
                inode
            }
            (Some(inode), OpenMode::Read | OpenMode::Write | OpenMode::Create) => inode,
        };
        self.inode_mut(inode).handles += 1;
        let handle = Handle(self.handle_next);
        self.handle_next += 1;
        self.handles.insert(handle, Opened { inode, writable: mode != OpenMode::Read });
        if let Some(faults) = &mut self.faults {
            faults.opened(inode, handle);
        }
        Ok(handle)
    }

    /// Closes a handle, which syncs nothing. A file without a name ends with its last handle. A
    /// handle that is not open is ignored.
    pub fn close(&mut self, handle: Handle) {
        if let Some((_, Opened { inode, .. })) = self.handles.remove(&handle) {
            let operation = self.operation_last;
            if self.profile.rewrite_flushes {
                self.file_mut(inode).closed(operation);
            }
            self.release(inode, |inode| &mut inode.handles);
        }
    }

    /// Reads up to `len` bytes at `offset`; fewer at the end of the file, none past it. Decides what
    /// they are where [`Disk::crash_lazily`] left that open.
    ///
    /// # Errors
    /// [`DiskError::InvalidInput`] if the handle is not open, [`DiskError::Io`] where a sector
    /// cannot be read.
    pub fn read_at(&mut self, handle: Handle, offset: u64, len: usize) -> DiskResult<Bytes> {
        let inode = self.opened(handle)?.inode;
        let file_len = self.file(inode).len();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(file_len);
        let end = start.saturating_add(len).min(file_len);
        self.decide_within(inode, start..end);
        let bytes = self.file(inode).bytes();
        match &self.faults {
            Some(faults) => faults.read(inode, &bytes[..end], start),
            None => Ok(Bytes::copy_from_slice(&bytes[start..end])),
        }
    }

    /// Writes `bytes` at `offset`, beyond the end if need be (the gap reads as zeros), and tells
    /// how many: all, unless the disk is full with less. No bytes change nothing, not even the
    /// length.
    ///
    /// # Errors
    /// [`DiskError::InvalidInput`] if the handle is not open, [`DiskError::ReadOnly`] if it was
    /// opened for reading or the disk went read-only, [`DiskError::NoSpace`] beyond
    /// [`FILE_BYTES_MAX`] or if the disk takes no byte more, [`DiskError::Io`] if a fault strikes.
    pub fn write_at(&mut self, handle: Handle, offset: u64, bytes: &[u8]) -> DiskResult<usize> {
        self.write_bytes_at(handle, offset, Bytes::copy_from_slice(bytes))
    }

    /// The same with bytes that are handed over, which copies less.
    ///
    /// # Errors
    /// As [`Disk::write_at`].
    pub fn write_bytes_at(
        &mut self,
        handle: Handle,
        offset: u64,
        mut bytes: Bytes,
    ) -> DiskResult<usize> {
        let inode = self.writable(handle)?;
        let taken = bytes.len();
        if taken == 0 {
            return Ok(0);
        }
        let end = offset.checked_add(taken as u64).ok_or(DiskError::NoSpace)?;
        let offset = length(end)? - taken;
        let taken = self.room_for(inode, offset, taken)?;
        bytes.truncate(taken);
        if self.faults.is_some() {
            self.write_or_strike(inode, offset, bytes)?;
        } else {
            self.write(inode, offset, bytes);
        }
        Ok(taken)
    }

    /// Writes all of `bytes`, of which there are some.
    pub(super) fn write(&mut self, number: InodeNumber, offset: usize, bytes: Bytes) {
        self.decide_within(number, offset..offset + bytes.len());
        let UnitId { operation, .. } = self.next_operation();
        if let Some(faults) = &mut self.faults {
            faults.written(number, offset..offset + bytes.len());
        }
        self.file_mut(number).write(operation, offset, bytes);
        self.changed(number);
        self.account(number);
    }

    /// Writes `bytes` at the end, and tells how many.
    ///
    /// # Errors
    /// As [`Disk::write_at`].
    pub fn append(&mut self, handle: Handle, bytes: &[u8]) -> DiskResult<usize> {
        self.append_bytes(handle, Bytes::copy_from_slice(bytes))
    }

    /// The same with bytes that are handed over.
    ///
    /// # Errors
    /// As [`Disk::write_at`].
    pub fn append_bytes(&mut self, handle: Handle, bytes: Bytes) -> DiskResult<usize> {
        let end = self.file(self.writable(handle)?).len() as u64;
        self.write_bytes_at(handle, end, bytes)
    }

    /// Cuts the file or grows it with zeros.
    ///
    /// # Errors
    /// As [`Disk::write_at`].
    pub fn set_len(&mut self, handle: Handle, len: u64) -> DiskResult<()> {
        let inode = self.writable(handle)?;
        let len = length(len)?;
        if len > self.file(inode).len() {
            self.check_room_to(inode, len)?;
        }
        self.resize(inode, len)
    }

    /// The file's metadata; without a name it has 0 links.
    ///
    /// # Errors
    /// [`DiskError::InvalidInput`] if the handle is not open.
    pub fn file_metadata(&self, handle: Handle) -> DiskResult<Metadata> {
        Ok(self.describe(self.opened(handle)?.inode))
    }

    pub(super) fn resize(&mut self, number: InodeNumber, len: usize) -> DiskResult<()> {
        self.check_writable()?;
        if self.file(number).len() != len {
            self.decide_within(number, len..self.file(number).len());
            let UnitId { operation, .. } = self.next_operation();
            self.file_mut(number).resize(operation, len);
            self.changed(number);
            self.account(number);
            if let Some(faults) = &mut self.faults {
                faults.cut(number, len);
            }
        }
        Ok(())
    }

    pub(super) fn opened(&self, handle: Handle) -> DiskResult<Opened> {
        self.handles.get(&handle).copied().ok_or(DiskError::InvalidInput)
    }

    fn writable(&self, handle: Handle) -> DiskResult<InodeNumber> {
        let Opened { inode, writable } = self.opened(handle)?;
        if writable { Ok(inode) } else { Err(DiskError::ReadOnly) }
    }

    pub(super) fn file(&self, number: InodeNumber) -> &FileContent {
        match &self.inode(number).content {
            Content::File(file) => file,
            Content::Directory(_) => unreachable!("only files are opened"),
        }
    }

    pub(super) fn file_mut(&mut self, number: InodeNumber) -> &mut FileContent {
        match &mut self.inode_mut(number).content {
            Content::File(file) => file,
            Content::Directory(_) => unreachable!("only files are opened"),
        }
    }
}

/// A length that a file may have.
fn length(len: u64) -> DiskResult<usize> {
    if len <= FILE_BYTES_MAX {
        usize::try_from(len).map_err(|_| DiskError::NoSpace)
    } else {
        Err(DiskError::NoSpace)
    }
}

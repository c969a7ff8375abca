//! Files and directories as the disk knows them: by number, apart from their names.

use std::{fmt, sync::Arc};

use super::{Profile, directory::Directory, file::FileContent, unit::Unit};

/// The number of a file or directory. No number is used twice in the life of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeNumber(pub(super) u64);

/// A file or directory, and what keeps it in existence.
#[derive(Clone, Debug)]
pub(super) struct Inode {
    pub(super) content: Content,
    /// Names that programs see.
    pub(super) names: u32,
    /// Open handles.
    pub(super) handles: u32,
    /// Durable names, and pending changes that make a name: after a crash it may be wanted again.
    pub(super) claims: u32,
    /// The directory and the name that it was given last; it may have lost that since.
    pub(super) home: Option<(InodeNumber, Arc<str>)>,
    /// What it takes of the disk's space, as last counted.
    pub(super) space: u64,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    File(FileContent),
    Directory(Directory),
}

impl InodeNumber {
    /// The root directory.
    pub const ROOT: Self = Self(0);
}

impl fmt::Display for InodeNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl Inode {
    pub(super) fn new(content: Content) -> Self {
        Self { content, names: 0, handles: 0, claims: 0, home: None, space: 0 }
    }

    pub(super) fn root() -> Self {
        Self { names: 1, claims: 1, ..Self::new(Content::Directory(Directory::default())) }
    }

    /// Nothing refers to it, and no crash can bring it back.
    pub(super) const fn is_unused(&self) -> bool {
        self.names == 0 && self.handles == 0 && self.claims == 0
    }

    pub(super) const fn is_directory(&self) -> bool {
        self.directory().is_some()
    }

    pub(super) const fn file(&self) -> Option<&FileContent> {
        match &self.content {
            Content::File(file) => Some(file),
            Content::Directory(_) => None,
        }
    }

    pub(super) const fn directory(&self) -> Option<&Directory> {
        match &self.content {
            Content::Directory(directory) => Some(directory),
            Content::File(_) => None,
        }
    }

    /// The number of changes that are not durable.
    pub(super) fn pending(&self) -> usize {
        match &self.content {
            Content::File(file) => file.pending(),
            Content::Directory(directory) => directory.pending(),
        }
    }

    /// Adds the units of all pending changes to `units`.
    pub(super) fn units(&self, number: InodeNumber, profile: &Profile, units: &mut Vec<Unit>) {
        match &self.content {
            Content::File(file) => units.extend(file.units(number, profile)),
            Content::Directory(directory) => units.extend(directory.units(number)),
        }
    }
}

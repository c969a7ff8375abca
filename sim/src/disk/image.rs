//! Whole images of a disk: for oracles, for tests, and to tell two crash states apart.

use std::collections::BTreeMap;

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use super::{Disk, Fate, Inode, InodeNumber, inode::Content, path::Path};
use crate::env::{DiskError, DiskResult, FileKind, OpenMode};

/// Everything below the root by its path, which begins with `/`; a directory has no bytes.
pub type Tree = BTreeMap<String, (FileKind, Bytes)>;

impl Disk {
    /// What programs see.
    #[must_use]
    pub fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        self.visit(&mut |path, _, inode| {
            let entry = match &inode.content {
                Content::File(file) => (FileKind::File, Bytes::copy_from_slice(file.bytes())),
                Content::Directory(_) => (FileKind::Directory, Bytes::new()),
            };
            tree.insert(path.to_owned(), entry);
        });
        tree
    }

    /// What a power cut leaves that loses all it can.
    #[must_use]
    pub fn durable_tree(&self) -> Tree {
        let mut disk = self.clone();
        disk.crash_with(&mut |_| Fate::Lost);
        disk.tree()
    }

    /// A fingerprint of what programs see: names, lengths, bytes, and which names are one file.
    /// Two disks with the same fingerprint cannot be told apart by a program that starts on them.
    #[must_use]
    pub fn image_hash(&self) -> u128 {
        let mut hash = Xxh3::new();
        let (mut files, mut seen) = (0, BTreeMap::new());
        self.visit(&mut |path, number, inode| {
            let mut text = |bytes: &[u8]| {
                hash.update(&(bytes.len() as u64).to_le_bytes());
                hash.update(bytes);
            };
            text(path.as_bytes());
            match &inode.content {
                Content::File(file) => {
                    // Only a second name can be of a file that was seen.
                    let order = files;
                    let first =
                        if inode.names > 1 { *seen.entry(number).or_insert(order) } else { order };
                    files += u64::from(first == order);
                    text(&first.to_le_bytes());
                    text(&file.hash().to_le_bytes());
                }
                Content::Directory(_) => text(b"directory"),
            }
        });
        hash.digest128()
    }

    /// The number of the file or directory at `path`, by which the names of one file are told.
    ///
    /// # Errors
    /// As [`Disk::metadata`].
    pub fn inode_number(&self, path: &str) -> DiskResult<InodeNumber> {
        self.lookup(path)
    }

    /// Writes a whole file, and the directories on its way where they are missing, all durable.
    /// For formatting: whatever else is pending in those directories and in that file becomes
    /// durable as well.
    ///
    /// # Errors
    /// As [`Disk::create_dir`], [`Disk::open`] and [`Disk::write_at`].
    pub fn put_durable(&mut self, path: &str, bytes: &[u8]) -> DiskResult<()> {
        let (parent, _) = Path::new(path)?.split().ok_or(DiskError::IsADirectory)?;
        let parent = parent.text();
        let ends = parent.match_indices('/').map(|(at, _)| at).chain([parent.len()]);
        let mut outer = "";
        for directory in ends.map(|end| &parent[..end]).filter(|path| !path.is_empty()) {
            match self.create_dir(directory) {
                Ok(()) | Err(DiskError::AlreadyExists) => {}
                Err(error) => return Err(error),
            }
            self.harden_dir(outer)?;
            outer = directory;
        }
        let handle = self.open(path, OpenMode::Truncate)?;
        let written = self.write_at(handle, 0, bytes);
        let inode = self.opened(handle)?.inode;
        self.harden(inode, self.operation_last);
        self.close(handle);
        self.harden_dir(parent)?;
        written.map(|_| ())
    }

    /// Calls `see` with everything below the root: a directory before what is in it, siblings
    /// sorted by name.
    pub(super) fn visit(&self, see: &mut dyn FnMut(&str, InodeNumber, &Inode)) {
        let mut path = String::new();
        let mut open = vec![(0, None, InodeNumber::ROOT)];
        while let Some((parent_len, name, number)) = open.pop() {
            let inode = self.inode(number);
            path.truncate(parent_len);
            if let Some(name) = name {
                path.push('/');
                path.push_str(name);
                see(&path, number, inode);
            }
            let names = inode.directory().into_iter().flat_map(|directory| directory.names().rev());
            open.extend(names.map(|(name, number)| (path.len(), Some(&**name), number)));
        }
    }

    fn harden_dir(&mut self, path: &str) -> DiskResult<()> {
        let inode = self.lookup(path)?;
        self.harden(inode, self.operation_last);
        Ok(())
    }
}

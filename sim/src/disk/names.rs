//! Operations by path: lookup, and every way to make, move and remove a name.
//!
//! Which error comes first where several apply follows Linux, so that a run here and one on a
//! real machine fail alike. Besides what each tells, all that change something are
//! [`DiskError::ReadOnly`] once a fault made the disk so, and those that make a name are
//! [`DiskError::NoSpace`] when nothing is free.

use std::sync::Arc;

use super::{
    Disk, InodeNumber, UnitId,
    directory::Directory,
    inode::{Content, Inode},
    path::Path,
};
use crate::env::{DiskError, DiskResult, FileKind, Metadata};

/// A name in a directory that exists; the name itself need not.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) directory: InodeNumber,
    /// The path of the directory.
    parent: Path<'a>,
    name: &'a str,
    /// What stands there.
    pub(super) inode: Option<InodeNumber>,
}

impl Disk {
    /// Makes one directory.
    ///
    /// # Errors
    /// [`DiskError::AlreadyExists`], [`DiskError::NotFound`] (the parent),
    /// [`DiskError::NotADirectory`] (on the way).
    pub fn create_dir(&mut self, path: &str) -> DiskResult<()> {
        let place = self.place(path)?.ok_or(DiskError::AlreadyExists)?;
        if place.inode.is_some() {
            return Err(DiskError::AlreadyExists);
        }
        self.create(place, Content::Directory(Directory::default()))?;
        Ok(())
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// [`DiskError::NotFound`], [`DiskError::NotADirectory`], [`DiskError::DirectoryNotEmpty`],
    /// and [`DiskError::InvalidInput`] for the root.
    pub fn remove_dir(&mut self, path: &str) -> DiskResult<()> {
        let place = self.place(path)?.ok_or(DiskError::InvalidInput)?;
        let number = place.inode.ok_or(DiskError::NotFound)?;
        let directory = self.inode(number).directory().ok_or(DiskError::NotADirectory)?;
        if !directory.is_empty() {
            return Err(DiskError::DirectoryNotEmpty);
        }
        self.unlink(place)
    }

    /// Removes the name of a file; open handles go on.
    ///
    /// # Errors
    /// [`DiskError::NotFound`], [`DiskError::IsADirectory`].
    pub fn remove(&mut self, path: &str) -> DiskResult<()> {
        let place = self.place(path)?.ok_or(DiskError::IsADirectory)?;
        let number = place.inode.ok_or(DiskError::NotFound)?;
        if self.inode(number).is_directory() {
            return Err(DiskError::IsADirectory);
        }
        self.unlink(place)
    }

    /// Renames a file or directory and replaces what stands at `to`. Where both are names of one
    /// file, nothing happens, as POSIX has it.
    ///
    /// # Errors
    /// [`DiskError::NotFound`], [`DiskError::IsADirectory`], [`DiskError::NotADirectory`],
    /// [`DiskError::DirectoryNotEmpty`], [`DiskError::InvalidInput`] (a directory into itself, or
    /// the root).
    pub fn rename(&mut self, from: &str, to: &str) -> DiskResult<()> {
        let (source, target) = (self.place(from)?, self.place(to)?);
        let (Some(source), Some(target)) = (source, target) else {
            return Err(DiskError::InvalidInput);
        };
        self.rename_between(source, target)
    }

    /// The same, but whatever stands at `to` is in the way, even the same file.
    ///
    /// # Errors
    /// [`DiskError::AlreadyExists`], [`DiskError::NotFound`], [`DiskError::NotADirectory`] (on the
    /// way), [`DiskError::InvalidInput`] (a directory into itself, or the root).
    pub fn rename_noreplace(&mut self, from: &str, to: &str) -> DiskResult<()> {
        let (source, target) = (self.place(from)?, self.place(to)?);
        let source = source.ok_or(DiskError::InvalidInput)?;
        let target = target.ok_or(DiskError::AlreadyExists)?;
        if source.inode.is_some() && target.inode.is_some() {
            return Err(DiskError::AlreadyExists);
        }
        self.rename_between(source, target)
    }

    /// Gives a file a second name.
    ///
    /// # Errors
    /// [`DiskError::NotFound`], [`DiskError::AlreadyExists`], [`DiskError::IsADirectory`].
    pub fn hard_link(&mut self, from: &str, to: &str) -> DiskResult<()> {
        let number = self.lookup(from)?;
        let target = self.place(to)?.ok_or(DiskError::AlreadyExists)?;
        if target.inode.is_some() {
            return Err(DiskError::AlreadyExists);
        }
        if self.inode(number).is_directory() {
            return Err(DiskError::IsADirectory);
        }
        self.check_room_for_a_name()?;
        let id = self.next_operation();
        self.set_name(id, target, number);
        self.names_changed([target.directory]);
        Ok(())
    }

    /// The names in a directory, sorted by byte.
    ///
    /// # Errors
    /// [`DiskError::NotFound`], [`DiskError::NotADirectory`].
    pub fn read_dir(&self, path: &str) -> DiskResult<Vec<String>> {
        let directory = self.inode(self.lookup(path)?).directory();
        let names = directory.ok_or(DiskError::NotADirectory)?.names();
        Ok(names.map(|(name, _)| name.to_string()).collect())
    }

    /// What stands at `path`.
    ///
    /// # Errors
    /// [`DiskError::NotFound`], [`DiskError::NotADirectory`] (on the way).
    pub fn metadata(&self, path: &str) -> DiskResult<Metadata> {
        Ok(self.describe(self.lookup(path)?))
    }

    /// What is at `path`.
    pub(super) fn lookup(&self, path: &str) -> DiskResult<InodeNumber> {
        self.find(Path::new(path)?)
    }

    fn find(&self, path: Path<'_>) -> DiskResult<InodeNumber> {
        path.parts().try_fold(InodeNumber::ROOT, |at, part| {
            let directory = self.inode(at).directory().ok_or(DiskError::NotADirectory)?;
            directory.get(part).ok_or(DiskError::NotFound)
        })
    }

    /// The last part of `path` and the directory it is in; `None` for the root.
    pub(super) fn place<'a>(&self, path: &'a str) -> DiskResult<Option<Place<'a>>> {
        let Some((parent, name)) = Path::new(path)?.split() else { return Ok(None) };
        let number = self.find(parent)?;
        let directory = self.inode(number).directory().ok_or(DiskError::NotADirectory)?;
        Ok(Some(Place { directory: number, parent, name, inode: directory.get(name) }))
    }

    /// Makes a file or directory where nothing stands.
    pub(super) fn create(&mut self, place: Place<'_>, content: Content) -> DiskResult<InodeNumber> {
        self.check_room_for_a_name()?;
        let number = InodeNumber(self.inode_next);
        self.inode_next += 1;
        let inode = triomphe::Arc::new(Inode::new(content));
        triomphe::Arc::make_mut(&mut self.inodes).insert(number, inode);
        let id = self.next_operation();
        self.set_name(id, place, number);
        self.names_changed([place.directory]);
        Ok(number)
    }

    pub(super) fn describe(&self, number: InodeNumber) -> Metadata {
        let inode = self.inode(number);
        match &inode.content {
            Content::File(file) => {
                Metadata { kind: FileKind::File, len: file.len() as u64, links: inode.names }
            }
            Content::Directory(_) => Metadata { kind: FileKind::Directory, len: 0, links: 1 },
        }
    }

    fn rename_between(&mut self, source: Place<'_>, target: Place<'_>) -> DiskResult<()> {
        let number = source.inode.ok_or(DiskError::NotFound)?;
        if self.passes(target.parent, number) {
            return Err(DiskError::InvalidInput);
        }
        if target.inode == Some(number) {
            return Ok(());
        }
        if let Some(replaced) = target.inode {
            self.check_replace(source, number, replaced)?;
        }
        self.check_writable()?;
        let id = self.next_operation();
        if self.profile.replace_flushes && target.inode.is_some() {
            self.flush(number, id.operation);
        }
        self.set_name(id, target, number);
        let part = u32::from(!self.profile.rename_atomic);
        self.unset_name(UnitId { part, ..id }, source);
        self.names_changed([source.directory, target.directory]);
        Ok(())
    }

    /// Whether `number`, found at `source`, may take the place of `replaced`.
    fn check_replace(
        &self,
        source: Place<'_>,
        number: InodeNumber,
        replaced: InodeNumber,
    ) -> DiskResult<()> {
        if self.passes(source.parent, replaced) {
            return Err(DiskError::DirectoryNotEmpty);
        }
        match (self.inode(number).is_directory(), self.inode(replaced).directory()) {
            (false, None) => Ok(()),
            (false, Some(_)) => Err(DiskError::IsADirectory),
            (true, None) => Err(DiskError::NotADirectory),
            (true, Some(directory)) if directory.is_empty() => Ok(()),
            (true, Some(_)) => Err(DiskError::DirectoryNotEmpty),
        }
    }

    /// Whether the path of a directory that exists leads through or to `number`.
    fn passes(&self, parent: Path<'_>, number: InodeNumber) -> bool {
        let mut at = InodeNumber::ROOT;
        // No path of a directory leads through a file.
        self.inode(number).is_directory()
            && parent.parts().any(|part| {
                at = self
                    .inode(at)
                    .directory()
                    .and_then(|directory| directory.get(part))
                    .expect("the directory was found by this path");
                at == number
            })
    }

    fn unlink(&mut self, place: Place<'_>) -> DiskResult<()> {
        self.check_writable()?;
        let id = self.next_operation();
        self.unset_name(id, place);
        self.names_changed([place.directory]);
        Ok(())
    }

    /// An operation on names is done: where the profile says so, it is durable.
    fn names_changed(&mut self, directories: impl IntoIterator<Item = InodeNumber>) {
        if self.profile.names_at_once {
            for directory in directories {
                self.harden(directory, self.operation_last);
            }
        }
    }

    /// What was written to `number`, if it is a file, is committed with the metadata.
    fn flush(&mut self, number: InodeNumber, operation: u64) {
        if let Content::File(file) = &mut self.inode_mut(number).content {
            file.flush(operation);
        }
    }

    /// Lets a name stand for `target`, as (a part of) the operation `id`.
    fn set_name(&mut self, id: UnitId, place: Place<'_>, target: InodeNumber) {
        let name: Arc<str> = Arc::from(place.name);
        let inode = self.inode_mut(target);
        inode.names += 1;
        inode.claims += 1;
        inode.home = Some((place.directory, Arc::clone(&name)));
        let before = self.directory_mut(place.directory).set(id, name, target);
        self.name_changed(place.directory, before);
    }

    /// Lets a name stand for nothing, in the same way.
    fn unset_name(&mut self, id: UnitId, place: Place<'_>) {
        let before = self.directory_mut(place.directory).unset(id, place.name);
        self.name_changed(place.directory, before);
    }

    fn name_changed(&mut self, directory: InodeNumber, before: Option<InodeNumber>) {
        self.changed(directory);
        if let Some(number) = before {
            self.release(number, |inode| &mut inode.names);
        }
    }

    fn directory_mut(&mut self, number: InodeNumber) -> &mut Directory {
        match &mut self.inode_mut(number).content {
            Content::Directory(directory) => directory,
            Content::File(_) => unreachable!("a place is in a directory"),
        }
    }
}

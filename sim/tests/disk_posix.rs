//! Without a crash, the disk model is a POSIX file system: random operations have the same
//! results, errors and contents on the model and in a real directory.
//!
//! Where the contract differs from Linux on purpose, the reference is bent to the contract: no
//! directory opens as a file, a handle for reading refuses everything that writes in the same way,
//! and a directory has one link.
#![cfg(unix)]
#![expect(clippy::disallowed_types, reason = "the real file system is the reference")]

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use unplug_sim::{
    disk::{Disk, Fate, Handle, Tree},
    env::{DiskError, DiskResult, FileKind, Metadata, OpenMode},
};

const CASES: u32 = 512;
const OPERATIONS_MAX: usize = 100;
const SLOTS: usize = 4;

/// One step. Handles are kept in numbered slots; a step on an empty slot does nothing.
#[derive(Clone, Debug)]
enum Operation {
    Open { slot: usize, path: String, mode: OpenMode },
    OnFile { slot: usize, operation: FileOperation },
    CreateDir { path: String },
    RemoveDir { path: String },
    Remove { path: String },
    Rename { from: String, to: String },
    RenameNoreplace { from: String, to: String },
    HardLink { from: String, to: String },
    ReadDir { path: String },
    Metadata { path: String },
    SyncDir { path: String },
}

/// A step on an open file.
#[derive(Clone, Debug)]
enum FileOperation {
    Close,
    Read { offset: u64, len: usize },
    Write { offset: u64, bytes: Vec<u8> },
    Append { bytes: Vec<u8> },
    SetLen { len: u64 },
    Metadata,
    Sync,
}

/// What a step yields, in a form common to both sides.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Skipped,
    Done,
    Bytes(Bytes),
    Count(usize),
    Metadata(Metadata),
    Names(Vec<String>),
}

#[test]
fn the_model_without_a_crash_is_a_posix_file_system() {
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..Default::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let operations = prop::collection::vec(operation(), 1..OPERATIONS_MAX);
    let met = RefCell::new(BTreeMap::<String, usize>::new());
    TestRunner::new_with_rng(config, rng)
        .run(&operations, |operations| {
            let mut model = Model::default();
            let mut real = Real::new();
            for operation in &operations {
                let (modelled, observed) = (model.apply(operation), real.apply(operation));
                prop_assert_eq!(&modelled, &observed, "{:?}", operation);
                if let Err(error) = modelled {
                    *met.borrow_mut().entry(error.to_string()).or_default() += 1;
                }
                prop_assert_eq!(model.disk.tree(), real.tree(), "after {:?}", operation);
            }
            images_agree(&model.disk)
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    let met = met.into_inner();
    assert!(met.len() == 7 && met.values().all(|count| *count > 20), "tells little: {met:?}");
}

/// The two images of the disk are of one shape: whatever leads to the live image, a crash that
/// keeps all leaves it as it is, and so does one after everything was synced.
fn images_agree(disk: &Disk) -> Result<(), TestCaseError> {
    let live = disk.tree();
    let mut kept = disk.clone();
    kept.crash_with(&mut |_| Fate::Kept);
    prop_assert_eq!(kept.tree(), live.clone(), "a crash that keeps all");
    prop_assert_eq!(kept.image_hash(), disk.image_hash());
    prop_assert_eq!(kept.pending(), 0);
    let mut killed = disk.clone();
    killed.kill();
    prop_assert_eq!(kept.used(), killed.used(), "space counted anew, and step by step");
    let mut synced = disk.clone();
    sync_all(&mut synced);
    prop_assert_eq!(synced.durable_tree(), live, "a crash after all was synced");
    Ok(())
}

fn sync_all(disk: &mut Disk) {
    let sync = disk.begin_sync_dir("/").expect("the root");
    disk.end_sync(sync).expect("no fault");
    for (path, (kind, _)) in disk.tree() {
        let sync = match kind {
            FileKind::Directory => disk.begin_sync_dir(&path).expect("a directory of the tree"),
            FileKind::File => {
                let handle = disk.open(&path, OpenMode::Read).expect("a file of the tree");
                disk.begin_sync_file(handle).expect("it is open")
            }
        };
        disk.end_sync(sync).expect("no fault");
    }
}

#[derive(Default)]
struct Model {
    disk: Disk,
    handles: [Option<Handle>; SLOTS],
}

impl Model {
    fn apply(&mut self, operation: &Operation) -> DiskResult<Outcome> {
        let Self { disk, handles } = self;
        let done = |()| Outcome::Done;
        match operation {
            Operation::Open { slot, path, mode } => {
                let opened = disk.open(path, *mode)?;
                if let Some(before) = handles[*slot].replace(opened) {
                    disk.close(before);
                }
                Ok(Outcome::Done)
            }
            Operation::CreateDir { path } => disk.create_dir(path).map(done),
            Operation::RemoveDir { path } => disk.remove_dir(path).map(done),
            Operation::Remove { path } => disk.remove(path).map(done),
            Operation::Rename { from, to } => disk.rename(from, to).map(done),
            Operation::RenameNoreplace { from, to } => disk.rename_noreplace(from, to).map(done),
            Operation::HardLink { from, to } => disk.hard_link(from, to).map(done),
            Operation::ReadDir { path } => disk.read_dir(path).map(Outcome::Names),
            Operation::Metadata { path } => disk.metadata(path).map(Outcome::Metadata),
            Operation::SyncDir { path } => {
                let sync = disk.begin_sync_dir(path)?;
                disk.end_sync(sync).expect("no fault");
                Ok(Outcome::Done)
            }
            Operation::OnFile { slot, operation } => match handles[*slot] {
                Some(handle) => self.apply_to_file(*slot, handle, operation),
                None => Ok(Outcome::Skipped),
            },
        }
    }

    fn apply_to_file(
        &mut self,
        slot: usize,
        handle: Handle,
        operation: &FileOperation,
    ) -> DiskResult<Outcome> {
        let disk = &mut self.disk;
        match operation {
            FileOperation::Close => {
                self.handles[slot] = None;
                disk.close(handle);
                Ok(Outcome::Done)
            }
            FileOperation::Read { offset, len } => {
                disk.read_at(handle, *offset, *len).map(Outcome::Bytes)
            }
            FileOperation::Write { offset, bytes } => {
                disk.write_at(handle, *offset, bytes).map(Outcome::Count)
            }
            FileOperation::Append { bytes } => disk.append(handle, bytes).map(Outcome::Count),
            FileOperation::SetLen { len } => disk.set_len(handle, *len).map(|()| Outcome::Done),
            FileOperation::Metadata => disk.file_metadata(handle).map(Outcome::Metadata),
            FileOperation::Sync => {
                let sync = disk.begin_sync_file(handle)?;
                disk.end_sync(sync).expect("no fault");
                Ok(Outcome::Done)
            }
        }
    }
}

struct Real {
    root: tempfile::TempDir,
    handles: [Option<(File, OpenMode)>; SLOTS],
}

impl Real {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        Self { root, handles: Default::default() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn apply(&mut self, operation: &Operation) -> DiskResult<Outcome> {
        let done = |result: io::Result<()>| result.map(|()| Outcome::Done).map_err(disk_error);
        match operation {
            Operation::Open { slot, path, mode } => {
                let file = open_real(&self.at(path), *mode)?;
                self.handles[*slot] = Some((file, *mode));
                Ok(Outcome::Done)
            }
            Operation::CreateDir { path } => done(fs::create_dir(self.at(path))),
            Operation::RemoveDir { path } => done(fs::remove_dir(self.at(path))),
            Operation::Remove { path } => done(fs::remove_file(self.at(path))),
            Operation::Rename { from, to } => done(fs::rename(self.at(from), self.at(to))),
            Operation::RenameNoreplace { from, to } => {
                // The standard library has no such call.
                if self.at(from).exists() && self.at(to).exists() {
                    return Err(DiskError::AlreadyExists);
                }
                done(fs::rename(self.at(from), self.at(to)))
            }
            Operation::HardLink { from, to } => done(fs::hard_link(self.at(from), self.at(to))),
            Operation::ReadDir { path } => {
                let entries = fs::read_dir(self.at(path)).map_err(disk_error)?;
                let mut names: Vec<String> = entries.map(name_of).collect();
                names.sort();
                Ok(Outcome::Names(names))
            }
            Operation::Metadata { path } => {
                let metadata = fs::metadata(self.at(path)).map_err(disk_error)?;
                Ok(Outcome::Metadata(to_metadata(&metadata)))
            }
            Operation::SyncDir { path } => {
                fs::read_dir(self.at(path)).map(|_| Outcome::Done).map_err(disk_error)
            }
            Operation::OnFile { slot, operation } => match &self.handles[*slot] {
                Some((file, mode)) => {
                    let outcome = apply_to_real_file(file, *mode, operation)?;
                    if matches!(operation, FileOperation::Close) {
                        self.handles[*slot] = None;
                    }
                    Ok(outcome)
                }
                None => Ok(Outcome::Skipped),
            },
        }
    }

    fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        let mut open = vec![(String::new(), self.root.path().to_owned())];
        while let Some((inside, outside)) = open.pop() {
            for entry in fs::read_dir(outside).expect("a directory of the tree") {
                let entry = entry.expect("an entry of the tree");
                let path = format!("{inside}/{}", entry.file_name().display());
                if entry.path().is_dir() {
                    tree.insert(path.clone(), (FileKind::Directory, Bytes::new()));
                    open.push((path, entry.path()));
                } else {
                    let bytes = fs::read(entry.path()).expect("a file of the tree");
                    tree.insert(path, (FileKind::File, bytes.into()));
                }
            }
        }
        tree
    }
}

fn apply_to_real_file(
    file: &File,
    mode: OpenMode,
    operation: &FileOperation,
) -> DiskResult<Outcome> {
    let write = |offset, bytes: &[u8]| {
        // Linux does not look at the handle if there is nothing to write.
        if mode == OpenMode::Read {
            return Err(DiskError::ReadOnly);
        }
        file.write_all_at(bytes, offset).map_err(disk_error)?;
        Ok(Outcome::Count(bytes.len()))
    };
    match operation {
        FileOperation::Close | FileOperation::Sync => Ok(Outcome::Done),
        FileOperation::Read { offset, len } => {
            let mut buffer = vec![0; *len];
            let read = file.read_at(&mut buffer, *offset).map_err(disk_error)?;
            buffer.truncate(read);
            Ok(Outcome::Bytes(buffer.into()))
        }
        FileOperation::Write { offset, bytes } => write(*offset, bytes),
        FileOperation::Append { bytes } => write(file.metadata().map_err(disk_error)?.len(), bytes),
        FileOperation::SetLen { .. } if mode == OpenMode::Read => Err(DiskError::ReadOnly),
        FileOperation::SetLen { len } => {
            file.set_len(*len).map(|()| Outcome::Done).map_err(disk_error)
        }
        FileOperation::Metadata => {
            Ok(Outcome::Metadata(to_metadata(&file.metadata().map_err(disk_error)?)))
        }
    }
}

fn open_real(path: &Path, mode: OpenMode) -> DiskResult<File> {
    let mut options = File::options();
    options.read(true).write(mode != OpenMode::Read);
    match mode {
        OpenMode::Read | OpenMode::Write => {}
        OpenMode::Create => _ = options.create(true),
        OpenMode::CreateNew => _ = options.create_new(true),
        OpenMode::Truncate => _ = options.create(true).truncate(true),
    }
    let file = options.open(path).map_err(disk_error)?;
    if file.metadata().map_err(disk_error)?.is_dir() {
        return Err(DiskError::IsADirectory);
    }
    Ok(file)
}

fn to_metadata(metadata: &fs::Metadata) -> Metadata {
    if metadata.is_dir() {
        return Metadata { kind: FileKind::Directory, len: 0, links: 1 };
    }
    let links = u32::try_from(metadata.nlink()).expect("a few links");
    Metadata { kind: FileKind::File, len: metadata.len(), links }
}

fn name_of(entry: io::Result<fs::DirEntry>) -> String {
    entry.expect("an entry").file_name().into_string().expect("a name of this test")
}

fn disk_error(error: io::Error) -> DiskError {
    let known = BTreeMap::from([
        (ErrorKind::NotFound, DiskError::NotFound),
        (ErrorKind::AlreadyExists, DiskError::AlreadyExists),
        (ErrorKind::NotADirectory, DiskError::NotADirectory),
        (ErrorKind::IsADirectory, DiskError::IsADirectory),
        (ErrorKind::DirectoryNotEmpty, DiskError::DirectoryNotEmpty),
        (ErrorKind::InvalidInput, DiskError::InvalidInput),
        // Of `link` on a directory.
        (ErrorKind::PermissionDenied, DiskError::IsADirectory),
    ]);
    *known.get(&error.kind()).unwrap_or_else(|| panic!("an error outside the contract: {error}"))
}

/// Paths that often meet: few names, at most three deep.
fn path() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "c"]);
    prop::collection::vec(name, 1..=3).prop_map(|parts| parts.join("/"))
}

fn directory() -> impl Strategy<Value = String> {
    prop_oneof![1 => Just(String::new()), 3 => path()]
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    (any::<u8>(), prop_oneof![0..8_usize, 0..2000_usize]).prop_map(|(byte, len)| vec![byte; len])
}

fn operation() -> impl Strategy<Value = Operation> {
    let slot = || 0..SLOTS;
    let mode = prop::sample::select(vec![
        OpenMode::Read,
        OpenMode::Write,
        OpenMode::Create,
        OpenMode::CreateNew,
        OpenMode::Truncate,
    ]);
    let from_to = || (path(), path());
    prop_oneof![
        5 => (slot(), path(), mode)
            .prop_map(|(slot, path, mode)| Operation::Open { slot, path, mode }),
        14 => (slot(), file_operation())
            .prop_map(|(slot, operation)| Operation::OnFile { slot, operation }),
        5 => path().prop_map(|path| Operation::CreateDir { path }),
        1 => path().prop_map(|path| Operation::RemoveDir { path }),
        2 => path().prop_map(|path| Operation::Remove { path }),
        5 => from_to().prop_map(|(from, to)| Operation::Rename { from, to }),
        2 => from_to().prop_map(|(from, to)| Operation::RenameNoreplace { from, to }),
        3 => from_to().prop_map(|(from, to)| Operation::HardLink { from, to }),
        1 => directory().prop_map(|path| Operation::ReadDir { path }),
        1 => directory().prop_map(|path| Operation::Metadata { path }),
        2 => directory().prop_map(|path| Operation::SyncDir { path }),
    ]
}

fn file_operation() -> impl Strategy<Value = FileOperation> {
    prop_oneof![
        1 => Just(FileOperation::Close),
        2 => (0..3000_u64, 0..3000_usize)
            .prop_map(|(offset, len)| FileOperation::Read { offset, len }),
        3 => (0..3000_u64, content())
            .prop_map(|(offset, bytes)| FileOperation::Write { offset, bytes }),
        3 => content().prop_map(|bytes| FileOperation::Append { bytes }),
        2 => (0..3000_u64).prop_map(|len| FileOperation::SetLen { len }),
        1 => Just(FileOperation::Metadata),
        2 => Just(FileOperation::Sync),
    ]
}

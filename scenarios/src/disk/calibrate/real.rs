//! Operations on a real file system, and its tree as the model would have it.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::Advice;
use unplug_sim::{
    disk::Disk,
    env::{DiskError, OpenMode},
};

use crate::disk::ops::Op;

/// Does an operation below `root`.
pub(super) fn apply(op: &Op, root: &Path) -> io::Result<()> {
    let at = |path: &str| below(root, path);
    match op {
        Op::Create(path) => {
            OpenOptions::new().write(true).create_new(true).open(at(path)).map(|_| ())
        }
        Op::Write { path, offset, bytes } => {
            let file =
                OpenOptions::new().write(true).create(true).truncate(false).open(at(path))?;
            file.write_all_at(&bytes.bytes(), *offset)
        }
        Op::Append { path, bytes } => {
            let mut file = OpenOptions::new().append(true).create(true).open(at(path))?;
            file.write_all(&bytes.bytes())
        }
        Op::Truncate { path, len } => OpenOptions::new().write(true).open(at(path))?.set_len(*len),
        Op::Rename { from, to } => fs::rename(at(from), at(to)),
        Op::Link { from, to } => fs::hard_link(at(from), at(to)),
        Op::Unlink(path) => fs::remove_file(at(path)),
        Op::Mkdir(path) => fs::create_dir(at(path)),
        Op::Fsync(path) | Op::Syncdir(path) => {
            OpenOptions::new().read(true).open(at(path))?.sync_all()
        }
        Op::Fdatasync(path) => OpenOptions::new().read(true).open(at(path))?.sync_data(),
        Op::Sync => sync_everything(root),
    }
}

/// Syncs the whole file system that `root` is on.
pub(super) fn sync_everything(root: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(OpenOptions::new().read(true).open(root)?)?)
}

/// Lets the kernel begin to write a file's bytes out, as it may at any time.
pub(super) fn write_back(path: &str, root: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).open(below(root, path))?;
    Ok(rustix::fs::fadvise(file, 0, None, Advice::DontNeed)?)
}

/// What is below `root`, on a disk of the model: for [`Disk::image_hash`].
pub(super) fn read(root: &Path) -> io::Result<Disk> {
    let mut disk = Disk::new();
    let mut names: BTreeMap<u64, String> = BTreeMap::new();
    let mut open = vec![String::new()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(below(root, &directory))? {
            let entry = entry?;
            let name = entry.file_name().into_string().map_err(|_| io::ErrorKind::InvalidData)?;
            let path = format!("{directory}/{name}");
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                disk.create_dir(&path).map_err(model)?;
                open.push(path);
            } else if let Some(first) = names.get(&metadata.ino()) {
                disk.hard_link(first, &path).map_err(model)?;
            } else {
                let bytes = fs::read(entry.path())?;
                let file = disk.open(&path, OpenMode::CreateNew).map_err(model)?;
                disk.write_at(file, 0, &bytes).map_err(model)?;
                names.insert(metadata.ino(), path);
            }
        }
    }
    Ok(disk)
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn model(error: DiskError) -> io::Error {
    io::Error::other(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{generate, ops::disks};
    use unplug_sim::disk::Profile;

    #[test]
    fn without_a_crash_a_real_folder_and_the_model_agree() {
        for seed in 0..60 {
            let ops = generate::ops(seed, Profile::strict());
            let folder = tempfile::tempdir().expect("a folder");
            // A sync of everything would reach far beyond the folder.
            for op in ops.iter().filter(|op| **op != Op::Sync) {
                apply(op, folder.path()).expect("it succeeds on the model");
            }
            let disks = disks("list", Profile::strict(), &ops).expect("they succeed");
            let real = read(folder.path()).expect("readable");
            let model = disks.last().expect("one more than operations");
            assert_eq!(real.tree(), model.tree(), "seed {seed}");
            assert_eq!(real.image_hash(), model.image_hash(), "seed {seed}: names of one file");
        }
    }
}

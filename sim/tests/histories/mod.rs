//! What histories of a disk are made of.

use unplug_sim::{
    disk::{Disk, Profile},
    env::OpenMode,
};

/// All durable before a test begins: `old` is one block long. A file full of `s` was removed.
pub(crate) fn formatted(profile: Profile) -> Disk {
    let mut disk = Disk::with_profile(profile);
    disk.put_durable("gone", &[b's'; 4096]).expect("the path is good");
    disk.remove("gone").expect("it is a file");
    disk.put_durable("a/x", b"x").expect("the path is good");
    disk.put_durable("b/y", b"y").expect("the path is good");
    disk.put_durable("old", &[b'o'; 4096]).expect("the path is good");
    disk.put_durable("other", b"").expect("the path is good");
    disk
}

/// Appends to a file, opened so, and closes it.
pub(crate) fn write(disk: &mut Disk, path: &str, mode: OpenMode, bytes: &[u8]) {
    let file = disk.open(path, mode).expect("the file opens");
    disk.append(file, bytes).expect("the file takes bytes");
    disk.close(file);
}

/// Syncs a file.
pub(crate) fn sync_file(disk: &mut Disk, path: &str) {
    let file = disk.open(path, OpenMode::Read).expect("the file opens");
    disk.sync_file(file).expect("it is open");
    disk.close(file);
}

/// Syncs a directory.
pub(crate) fn sync_dir(disk: &mut Disk, path: &str) {
    disk.sync_dir(path).expect("the directory is there");
}

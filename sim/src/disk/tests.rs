//! What each rule of the `strict` profile allows and forbids, as exact sets of crash states.
//!
//! A state is written as its names in order: `d/` is a directory, `d/a=xy` a file with two bytes,
//! `.` a zero byte, `x*512` a long run.

mod content;
mod errors;
mod fork;
mod lazy;
mod lifecycle;
mod media;
mod names;
mod rot;
mod space;

use std::collections::BTreeSet;

use super::{Disk, Explored, Fate, Profile, UnitKind};
use crate::env::{DiskError, DiskResult, FileKind, OpenMode};

/// The states that a power cut may leave are exactly `expected`.
#[track_caller]
fn check(disk: &Disk, expected: &[&str]) {
    assert!(disk.outcome_count(100_000) < 100_000, "too much to enumerate");
    let found: BTreeSet<String> = disk.outcomes().map(|outcome| show(&outcome)).collect();
    let expected: BTreeSet<String> = expected.iter().map(|state| (*state).to_owned()).collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    let surplus: Vec<_> = found.difference(&expected).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "missing {missing:?}, surplus {surplus:?}");
}

fn show(disk: &Disk) -> String {
    let tree = disk.tree();
    let entries = tree.iter().map(|(path, (kind, bytes))| match kind {
        FileKind::Directory => format!("{}/", &path[1..]),
        FileKind::File => format!("{}={}", &path[1..], show_bytes(bytes)),
    });
    entries.collect::<Vec<_>>().join(" ")
}

fn show_bytes(bytes: &[u8]) -> String {
    let runs = bytes.chunk_by(|a, b| a == b).map(|run| {
        let byte = if run[0] == 0 { '.' } else { char::from(run[0]) };
        if run.len() > 4 {
            format!("{byte}*{}", run.len())
        } else {
            byte.to_string().repeat(run.len())
        }
    });
    runs.collect()
}

/// A disk that holds these files, all durable.
fn formatted(files: &[(&str, &str)]) -> Disk {
    let mut disk = Disk::new();
    for (path, content) in files {
        disk.put_durable(path, content.as_bytes()).unwrap();
    }
    assert_eq!(disk.pending(), 0);
    disk
}

/// Writes over the beginning of a file, which is made if absent.
fn write(disk: &mut Disk, path: &str, content: &str) {
    let file = disk.open(path, OpenMode::Create).unwrap();
    disk.write_at(file, 0, content.as_bytes()).unwrap();
    disk.close(file);
}

fn sync_file(disk: &mut Disk, path: &str) {
    let file = disk.open(path, OpenMode::Read).unwrap();
    let sync = disk.begin_sync_file(file).unwrap();
    disk.end_sync(sync).unwrap();
    disk.close(file);
}

fn sync_dir(disk: &mut Disk, path: &str) {
    let sync = disk.begin_sync_dir(path).unwrap();
    disk.end_sync(sync).unwrap();
}

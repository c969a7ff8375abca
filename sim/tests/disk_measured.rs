//! The model allows what real file systems were seen to leave after a power cut.

use std::collections::BTreeSet;

mod histories;

use histories::{formatted, sync_dir, sync_file, write};
use unplug_sim::{
    disk::{Disk, Tree},
    env::OpenMode,
};

/// One row of the table of states measured on Linux 6.18 (ext4, xfs, btrfs): what was done before
/// the crash, and each state that some file system left. Stale bytes of other files are another
/// profile's matter.
struct Row {
    name: &'static str,
    before: fn(&mut Disk),
    seen: &'static [State],
    never: &'static [State],
}

/// What a state is told by: a path and what stands there.
type State = &'static [(&'static str, Content)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Absent,
    /// This byte, so many times.
    Bytes(u8, usize),
    /// 1,000 old bytes, then so many zeros.
    OldThenZeros(usize),
}
use Content::{Absent, Bytes, OldThenZeros};

const EMPTY: Content = Bytes(0, 0);
const OLD: Content = Bytes(b'o', 1000);
const NEW: Content = Bytes(b'n', 1000);
const ZEROS: Content = Bytes(0, 1000);
const X: Content = Bytes(b'x', 1);
const Y: Content = Bytes(b'y', 1);

const MEASURED: &[Row] = &[
    Row {
        name: "new file; fsync(other)",
        before: |disk| {
            write(disk, "new", OpenMode::CreateNew, &[b'n'; 1000]);
            sync_file(disk, "other");
        },
        seen: &[&[("/new", EMPTY)], &[("/new", ZEROS)], &[("/new", Absent)]],
        never: &[&[("/other", Absent)], &[("/old", Absent)]],
    },
    Row {
        name: "unsynced tmp, rename over old; fsync(other)",
        before: |disk| {
            replace_unsynced(disk);
            sync_file(disk, "other");
        },
        seen: &[
            &[("/old", NEW), ("/tmp", Absent)],
            &[("/old", EMPTY), ("/tmp", Absent)],
            &[("/old", OLD), ("/tmp", Absent)],
        ],
        never: &[&[("/old", Absent)], &[("/old", NEW), ("/tmp", NEW)]],
    },
    Row {
        name: "the same, then fsync(dir)",
        before: |disk| {
            replace_unsynced(disk);
            sync_file(disk, "other");
            sync_dir(disk, "/");
        },
        seen: &[&[("/old", NEW)], &[("/old", EMPTY)]],
        never: &[&[("/old", Absent)], &[("/old", OLD)], &[("/tmp", NEW)], &[("/tmp", EMPTY)]],
    },
    Row {
        name: "append; fsync(other)",
        before: |disk| {
            write(disk, "old", OpenMode::Write, &[b'n'; 500]);
            sync_file(disk, "other");
        },
        seen: &[&[("/old", OLD)], &[("/old", OldThenZeros(500))]],
        never: &[&[("/old", Absent)], &[("/old", EMPTY)], &[("/old", NEW)]],
    },
    Row {
        name: "truncate-rewrite; fsync(other)",
        before: |disk| {
            write(disk, "old", OpenMode::Truncate, &[b'n'; 1000]);
            sync_file(disk, "other");
        },
        seen: &[&[("/old", NEW)], &[("/old", EMPTY)], &[("/old", ZEROS)], &[("/old", OLD)]],
        never: &[&[("/old", Absent)]],
    },
    Row {
        name: "unlink; fsync(other)",
        before: |disk| {
            disk.remove("old").expect("a file");
            sync_file(disk, "other");
        },
        seen: &[&[("/old", Absent)], &[("/old", OLD)]],
        never: &[&[("/old", EMPTY)]],
    },
    Row {
        name: "rename in a/, unlink in b/, fsync(b)",
        before: |disk| {
            disk.rename("a/x", "a/z").expect("a file");
            disk.remove("b/y").expect("a file");
            sync_dir(disk, "b");
        },
        seen: &[
            &[("/a/z", X), ("/a/x", Absent), ("/b/y", Absent)],
            &[("/a/x", X), ("/a/z", Absent), ("/b/y", Absent)],
        ],
        never: &[
            &[("/b/y", Y)],
            &[("/a/x", X), ("/a/z", X)],
            &[("/a/x", Absent), ("/a/z", Absent)],
        ],
    },
    Row {
        name: "rename a/x to b/x, fsync(b)",
        before: |disk| {
            disk.rename("a/x", "b/x").expect("a file");
            sync_dir(disk, "b");
        },
        seen: &[&[("/a/x", Absent), ("/b/x", X)], &[("/a/x", X), ("/b/x", X)]],
        never: &[&[("/b/x", Absent)]],
    },
    Row {
        name: "fsync(new file), no directory sync",
        before: |disk| {
            write(disk, "new", OpenMode::CreateNew, &[b'n'; 1000]);
            sync_file(disk, "new");
        },
        // The second was seen nowhere, and is why this profile exists.
        seen: &[&[("/new", NEW)], &[("/new", Absent)]],
        never: &[&[("/new", EMPTY)], &[("/new", ZEROS)]],
    },
    Row {
        name: "fsync(tmp), rename, no directory sync",
        before: |disk| {
            write(disk, "tmp", OpenMode::CreateNew, &[b'n'; 1000]);
            sync_file(disk, "tmp");
            disk.rename("tmp", "old").expect("both are files");
        },
        seen: &[&[("/old", OLD), ("/tmp", NEW)], &[("/old", NEW), ("/tmp", Absent)]],
        never: &[&[("/old", Absent)], &[("/old", EMPTY)], &[("/old", NEW), ("/tmp", NEW)]],
    },
];

fn replace_unsynced(disk: &mut Disk) {
    write(disk, "tmp", OpenMode::CreateNew, &[b'n'; 1000]);
    disk.rename("tmp", "old").expect("both are files");
}

#[test]
fn what_linux_file_systems_were_seen_to_leave_is_allowed() {
    for Row { name, before, seen, never } in MEASURED {
        let mut disk = formatted();
        before(&mut disk);
        let outcomes: Vec<Tree> = disk.outcomes().map(|outcome| outcome.tree()).collect();
        let occurs = |state: State| {
            outcomes.iter().any(|tree| state.iter().all(|(path, it)| content(tree, path) == *it))
        };
        for state in *seen {
            assert!(occurs(state), "{name}: never {state:?}");
        }
        for state in *never {
            assert!(!occurs(state), "{name}: possibly {state:?}");
        }
    }
}

#[test]
fn both_names_of_a_half_synced_rename_are_one_file() {
    let mut disk = formatted();
    disk.rename("a/x", "b/x").expect("a file");
    sync_dir(&mut disk, "b");
    let links: BTreeSet<u32> =
        disk.outcomes().map(|it| it.metadata("b/x").expect("it is synced").links).collect();
    assert_eq!(links, BTreeSet::from([1, 2]));
}

fn content(tree: &Tree, path: &str) -> Content {
    let Some((_, bytes)) = tree.get(path) else { return Absent };
    let same = |bytes: &[u8]| bytes.iter().all(|byte| *byte == bytes[0]);
    if same(bytes) {
        return Bytes(bytes.first().copied().unwrap_or_default(), bytes.len());
    }
    match bytes.split_at_checked(1000) {
        Some((old, zeros)) if same(old) && old[0] == b'o' && zeros.iter().all(|it| *it == 0) => {
            OldThenZeros(zeros.len())
        }
        _ => Bytes(b'?', bytes.len()),
    }
}

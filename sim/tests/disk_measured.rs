//! Each profile allows what the file system that it stands for was seen to leave after a power
//! cut, `strict` allows all of that, and no profile ever leaves what its source rules out.

use std::collections::{BTreeMap, BTreeSet};

mod histories;

use histories::{formatted, sync_dir, sync_file, write};
use unplug_sim::{
    disk::{Disk, Profile, Tree},
    env::OpenMode,
    random::Stream,
};

/// What was done before the crash, and what was found after it.
struct Row {
    name: &'static str,
    before: fn(&mut Disk),
    /// What file systems left, Linux 6.18.
    seen: &'static [(&'static [&'static str], State)],
    /// What these profiles never leave.
    never: &'static [(&'static [&'static str], State)],
}

/// What a state is told by: paths, and what stands there.
type State = &'static [(&'static str, Content)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Absent,
    /// This byte, so many times.
    Bytes(u8, usize),
    /// The old content, then so many zeros.
    OldThenZeros(usize),
    /// So many bytes of a file that was removed: the one before the test began, or the old one.
    Stale(usize),
}
use Content::{Absent, Bytes, OldThenZeros, Stale};

const EMPTY: Content = Bytes(0, 0);
const OLD: Content = Bytes(b'o', 4096);
const NEW: Content = Bytes(b'n', 1000);
const ZEROS: Content = Bytes(0, 1000);
const STALE: Content = Stale(1000);
const X: Content = Bytes(b'x', 1);
const Y: Content = Bytes(b'y', 1);

const EXT4: &str = "ext4-ordered";
/// ext4 mounted with `noauto_da_alloc`.
const NOAUTO: &str = "ext4-ordered without flushes";
const WRITEBACK: &str = "ext4-writeback";
const XFS: &str = "xfs";
const BTRFS: &str = "btrfs";
const STRICT: &str = "strict";
const NO_PSOW: &str = "no-psow";
const FDB: &str = "fdb";
/// All whose drives are honest.
const HONEST: &[&str] = &[EXT4, NOAUTO, WRITEBACK, XFS, BTRFS, STRICT, NO_PSOW, FDB];

fn profile(name: &str) -> Profile {
    if name == NOAUTO {
        return Profile {
            replace_flushes: false,
            rewrite_flushes: false,
            ..Profile::ext4_ordered()
        };
    }
    Profile::named(name).expect("it is one of them")
}

const ROWS: &[Row] = &[
    Row {
        name: "new file; fsync(other)",
        before: |disk| {
            write(disk, "new", OpenMode::CreateNew, &[b'n'; 1000]);
            commit(disk);
        },
        seen: &[
            (&[EXT4, NOAUTO, XFS], &[("/new", EMPTY)]),
            (&[WRITEBACK], &[("/new", ZEROS)]),
            (&[BTRFS], &[("/new", Absent)]),
        ],
        never: &[
            (HONEST, &[("/other", Absent)]),
            (HONEST, &[("/old", Absent)]),
            (&[EXT4, NOAUTO, WRITEBACK, XFS, FDB], &[("/new", Absent)]),
            (&[XFS, BTRFS], &[("/new", ZEROS)]),
            (&[EXT4, NOAUTO, XFS, BTRFS], &[("/new", STALE)]),
        ],
    },
    Row {
        name: "unsynced tmp, rename over old; fsync(other)",
        before: |disk| {
            replace_unsynced(disk);
            commit(disk);
        },
        seen: &[
            (&[EXT4], &[("/old", NEW), ("/tmp", Absent)]),
            (&[NOAUTO, XFS], &[("/old", EMPTY), ("/tmp", Absent)]),
            (&[WRITEBACK], &[("/old", Stale(1000)), ("/tmp", Absent)]),
            (&[BTRFS], &[("/old", OLD), ("/tmp", Absent)]),
        ],
        never: &[
            (HONEST, &[("/old", Absent)]),
            (&[EXT4], &[("/old", EMPTY)]),
            (&[EXT4, NOAUTO, WRITEBACK, XFS, FDB], &[("/old", OLD)]),
            (&[XFS, BTRFS], &[("/old", ZEROS)]),
            (&[EXT4, NOAUTO, XFS, BTRFS], &[("/old", STALE)]),
            (
                &[EXT4, NOAUTO, WRITEBACK, XFS, STRICT, NO_PSOW, FDB],
                &[("/old", NEW), ("/tmp", NEW)],
            ),
        ],
    },
    Row {
        name: "the same, then fsync(dir)",
        before: |disk| {
            replace_unsynced(disk);
            commit(disk);
            sync_dir(disk, "/");
        },
        seen: &[
            (&[EXT4], &[("/old", NEW), ("/tmp", Absent)]),
            (&[NOAUTO, XFS, BTRFS], &[("/old", EMPTY), ("/tmp", Absent)]),
        ],
        never: &[
            (HONEST, &[("/old", Absent)]),
            (HONEST, &[("/old", OLD)]),
            (HONEST, &[("/tmp", NEW)]),
            (HONEST, &[("/tmp", EMPTY)]),
        ],
    },
    Row {
        name: "append; fsync(other)",
        before: |disk| {
            write(disk, "old", OpenMode::Write, &[b'n'; 500]);
            commit(disk);
        },
        seen: &[
            (&[EXT4, NOAUTO, XFS, BTRFS], &[("/old", OLD)]),
            (&[WRITEBACK], &[("/old", OldThenZeros(500))]),
        ],
        never: &[
            (HONEST, &[("/old", Absent)]),
            (HONEST, &[("/old", EMPTY)]),
            (HONEST, &[("/old", NEW)]),
            (&[XFS, BTRFS], &[("/old", OldThenZeros(500))]),
        ],
    },
    Row {
        name: "truncate-rewrite; fsync(other)",
        before: |disk| {
            write(disk, "old", OpenMode::Truncate, &[b'n'; 1000]);
            commit(disk);
        },
        seen: &[
            (&[EXT4, XFS], &[("/old", NEW)]),
            (&[NOAUTO], &[("/old", EMPTY)]),
            (&[WRITEBACK], &[("/old", ZEROS)]),
            (&[BTRFS], &[("/old", OLD)]),
        ],
        never: &[
            (HONEST, &[("/old", Absent)]),
            (&[EXT4], &[("/old", EMPTY)]),
            (&[EXT4, NOAUTO, WRITEBACK, XFS], &[("/old", OLD)]),
            (&[XFS, BTRFS], &[("/old", ZEROS)]),
            (&[EXT4, NOAUTO, XFS, BTRFS], &[("/old", STALE)]),
        ],
    },
    Row {
        name: "unlink; fsync(other)",
        before: |disk| {
            disk.remove("old").expect("a file");
            commit(disk);
        },
        seen: &[(&[EXT4, NOAUTO, XFS], &[("/old", Absent)]), (&[BTRFS], &[("/old", OLD)])],
        never: &[
            (HONEST, &[("/old", EMPTY)]),
            (&[EXT4, NOAUTO, WRITEBACK, XFS, FDB], &[("/old", OLD)]),
        ],
    },
    Row {
        name: "rename in a/, unlink in b/, fsync(b)",
        before: |disk| {
            disk.rename("a/x", "a/z").expect("a file");
            disk.remove("b/y").expect("a file");
            sync_dir(disk, "b");
        },
        seen: &[
            (&[EXT4, XFS], &[("/a/z", X), ("/a/x", Absent), ("/b/y", Absent)]),
            (&[BTRFS], &[("/a/x", X), ("/a/z", Absent), ("/b/y", Absent)]),
        ],
        never: &[
            (HONEST, &[("/b/y", Y)]),
            (&[EXT4, NOAUTO, WRITEBACK, XFS, FDB], &[("/a/x", X)]),
            (&[STRICT, NO_PSOW], &[("/a/x", X), ("/a/z", X)]),
            (&[STRICT, NO_PSOW], &[("/a/x", Absent), ("/a/z", Absent)]),
        ],
    },
    Row {
        name: "rename a/x to b/x, fsync(b)",
        before: |disk| {
            disk.rename("a/x", "b/x").expect("a file");
            sync_dir(disk, "b");
        },
        seen: &[
            (&[EXT4, XFS], &[("/a/x", Absent), ("/b/x", X)]),
            (&[BTRFS], &[("/a/x", X), ("/b/x", X)]),
        ],
        never: &[
            (HONEST, &[("/b/x", Absent)]),
            (&[EXT4, NOAUTO, WRITEBACK, XFS, FDB], &[("/a/x", X)]),
        ],
    },
    Row {
        name: "fsync(new file), no directory sync",
        before: |disk| {
            write(disk, "new", OpenMode::CreateNew, &[b'n'; 1000]);
            sync_file(disk, "new");
        },
        // Its absence was seen nowhere: only `strict` and its likes catch the missing sync.
        seen: &[(&[EXT4, XFS, BTRFS], &[("/new", NEW)])],
        never: &[
            (HONEST, &[("/new", EMPTY)]),
            (HONEST, &[("/new", ZEROS)]),
            (&[EXT4, NOAUTO, WRITEBACK, XFS, BTRFS, FDB], &[("/new", Absent)]),
        ],
    },
    Row {
        name: "fsync(tmp), rename, no directory sync",
        before: |disk| {
            write(disk, "tmp", OpenMode::CreateNew, &[b'n'; 1000]);
            sync_file(disk, "tmp");
            disk.rename("tmp", "old").expect("both are files");
        },
        seen: &[(&[EXT4, NOAUTO, XFS, BTRFS], &[("/old", OLD), ("/tmp", NEW)])],
        never: &[
            (HONEST, &[("/old", Absent)]),
            (HONEST, &[("/old", EMPTY)]),
            (HONEST, &[("/old", ZEROS)]),
            (
                &[EXT4, NOAUTO, WRITEBACK, XFS, STRICT, NO_PSOW, FDB],
                &[("/old", NEW), ("/tmp", NEW)],
            ),
            (&[FDB], &[("/old", OLD)]),
        ],
    },
];

fn replace_unsynced(disk: &mut Disk) {
    write(disk, "tmp", OpenMode::CreateNew, &[b'n'; 1000]);
    disk.rename("tmp", "old").expect("both are files");
}

/// Changes an unrelated file and syncs it.
fn commit(disk: &mut Disk) {
    write(disk, "other", OpenMode::Write, b"1");
    sync_file(disk, "other");
}

/// The disk before the crash.
fn done(row: &Row, name: &str) -> Disk {
    let mut disk = formatted(profile(name));
    (row.before)(&mut disk);
    disk
}

fn is(tree: &Tree, state: State) -> bool {
    state.iter().all(|(path, expected)| match (*expected, content(tree, path)) {
        (Stale(len), found) => found == Bytes(b's', len) || found == Bytes(b'o', len),
        (expected, found) => expected == found,
    })
}

#[test]
fn what_linux_file_systems_were_seen_to_leave_is_reached_in_their_profiles_and_in_strict() {
    for row in ROWS {
        for (names, state) in row.seen {
            for name in names.iter().chain(&[STRICT]) {
                let mut outcomes = done(row, name).outcomes();
                let reached = outcomes.any(|outcome| is(&outcome.tree(), state));
                assert!(reached, "{}, {name}: never {state:?}", row.name);
            }
        }
    }
}

#[test]
fn what_a_profile_rules_out_is_not_among_its_outcomes() {
    for row in ROWS {
        for (names, state) in row.never {
            for name in *names {
                for outcome in done(row, name).outcomes() {
                    let found = is(&outcome.tree(), state);
                    assert!(!found, "{}, {name}: {state:?} is possible", row.name);
                }
            }
        }
    }
}

/// 12,500 power cuts in each of eight profiles: 100,000.
#[test]
fn in_100_000_random_power_cuts_no_state_comes_that_its_profile_rules_out() {
    let mut crashes = 0;
    let mut kinds: BTreeMap<&str, BTreeSet<u128>> = BTreeMap::new();
    for name in HONEST {
        let disks: Vec<Disk> = ROWS.iter().map(|row| done(row, name)).collect();
        for seed in 0..12_500 {
            let row = usize::try_from(seed).expect("small") % ROWS.len();
            let mut disk = disks[row].clone();
            disk.crash(&mut Stream::new(seed, "disk", 0, 0));
            let tree = disk.tree();
            for (_, state) in ROWS[row].never.iter().filter(|(names, _)| names.contains(name)) {
                assert!(!is(&tree, state), "{}, {name}, seed {seed}: {state:?}", ROWS[row].name);
            }
            kinds.entry(name).or_default().insert(disk.image_hash());
            crashes += 1;
        }
    }
    assert_eq!(crashes, 100_000);
    let few: Vec<_> = kinds.iter().filter(|(_, images)| images.len() < 10).collect();
    assert!(few.is_empty(), "too little variety to tell anything: {few:?}");
}

#[test]
fn both_names_of_a_half_synced_rename_are_one_file() {
    let mut disk = formatted(Profile::strict());
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
    match bytes.split_at_checked(4096) {
        Some((old, zeros)) if same(old) && old[0] == b'o' && zeros.iter().all(|it| *it == 0) => {
            OldThenZeros(zeros.len())
        }
        _ => Bytes(b'?', bytes.len()),
    }
}

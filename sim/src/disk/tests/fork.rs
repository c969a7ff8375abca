//! Copies of a disk share what neither changes, and power cuts touch only what was unsynced.

use triomphe::Arc;

use super::{super::inode::Inode, *};
use crate::random::Stream;

/// How many files and directories of `one` are not the very same ones in `other`.
fn unshared(one: &Disk, other: &Disk) -> usize {
    let same = |number, inode: &Arc<Inode>| {
        other.inodes.get(number).is_some_and(|other| Arc::ptr_eq(inode, other))
    };
    one.inodes.iter().filter(|(number, inode)| !same(number, inode)).count()
}

#[test]
fn a_copy_shares_everything_until_one_of_the_two_changes_it() {
    let disk = formatted(&[("a", "a"), ("d/b", "b"), ("d/c", "c")]);
    let mut fork = disk.clone();
    assert!(Arc::ptr_eq(&disk.inodes, &fork.inodes));
    write(&mut fork, "d/b", "new");
    assert_eq!(unshared(&fork, &disk), 1);
    assert_eq!(
        (show(&disk), show(&fork)),
        ("a=a d/ d/b=b d/c=c".into(), "a=a d/ d/b=new d/c=c".into())
    );
}

#[test]
fn a_power_cut_copies_what_was_unsynced_and_nothing_else() {
    let mut disk = formatted(&[("a", "a"), ("d/b", "b"), ("d/c", "c"), ("e/f", "f")]);
    write(&mut disk, "d/b", "new");
    let mut fork = disk.clone();
    fork.crash_with(&mut |_| Fate::Lost);
    assert_eq!(unshared(&fork, &disk), 1, "a file");
    disk.rename("d/c", "d/g").unwrap();
    let mut fork = disk.clone();
    fork.crash_with(&mut |_| Fate::Lost);
    assert_eq!(unshared(&fork, &disk), 3, "and a directory with the file that has a new name");
    disk.rename("e", "d/e").unwrap();
    let mut fork = disk.clone();
    fork.crash_with(&mut |_| Fate::Kept);
    assert_eq!(unshared(&fork, &disk), 5, "and the root with the directory that has left it");
    for outcome in disk.bounded_outcomes() {
        assert!(unshared(&outcome, &disk) <= 5);
    }
}

/// Something that changes names, lengths or bytes, or a sync.
pub(super) fn step(disk: &mut Disk, stream: &mut Stream) {
    const PATHS: [&str; 8] = ["a", "b", "d", "d/a", "d/d", "e", "e/a", "d/d/a"];
    let (one, two) = (PATHS[stream.index(8)], PATHS[stream.index(8)]);
    let mut open = |mode| disk.open(one, mode).ok();
    match stream.index(12) {
        0 => drop(disk.create_dir(one)),
        1 => drop(disk.remove_dir(one)),
        2 => drop(disk.remove(one)),
        3 | 4 => drop(disk.rename(one, two)),
        5 => drop(disk.hard_link(one, two)),
        6 => drop(disk.sync_dir(one)),
        7 => disk.sync_dir("/").unwrap(),
        8 => drop(open(OpenMode::Read).map(|file| disk.sync_file(file))),
        9 => drop(open(OpenMode::Truncate)),
        // Stays open.
        _ => drop(open(OpenMode::Create).map(|file| disk.append(file, b"bytes"))),
    }
}

#[test]
fn after_a_power_cut_there_is_what_names_lead_to_and_every_count_is_that_of_its_names() {
    let mut kinds = [0, 0];
    for seed in 0..3_000 {
        let stream = &mut Stream::new(seed, "fork", 0, 0);
        let mut disk = Disk::with_profile(Profile::ALL[stream.index(Profile::ALL.len())]);
        for _ in 0..stream.index(4) + 1 {
            for _ in 0..stream.index(12) + 1 {
                step(&mut disk, stream);
            }
            let before = disk.clone();
            disk.crash(stream);
            let moved = before.units().iter().any(|unit| match &unit.kind {
                UnitKind::Names(changes) => changes.iter().any(|change| {
                    let inodes = [change.target, change.replaced].into_iter().flatten();
                    inodes.into_iter().any(|inode| before.inode(inode).is_directory())
                }),
                UnitKind::Sector { .. } | UnitKind::Size { .. } | UnitKind::Truncate { .. } => {
                    false
                }
            });
            kinds[usize::from(moved)] += 1;
            let mut used = 0;
            for (number, count) in disk.count_names() {
                let inode = disk.inode(number);
                let counts = (inode.names, inode.claims, inode.handles);
                assert_eq!(counts, (count, count, 0), "seed {seed}, {number}: {disk:?}");
                assert!(count > 0, "seed {seed}, {number}: {disk:?}");
                used += inode.file().map_or(0, |file| file.len() as u64);
            }
            assert_eq!(disk.used(), used, "seed {seed}: {disk:?}");
            assert_eq!((disk.tree(), disk.pending()), (disk.durable_tree(), 0));
        }
    }
    assert!(kinds.iter().all(|kind| *kind > 500), "{kinds:?}");
}

//! Bit rot: which files, which layers, and what cures it.

use super::*;
use crate::random::Stream;

/// Where bits differ between two texts of one length.
fn turned(before: &[u8], after: &[u8]) -> u32 {
    assert_eq!(before.len(), after.len());
    before.iter().zip(after).map(|(a, b)| (a ^ b).count_ones()).sum()
}

fn rot(disk: &mut Disk, seed: u64) -> Option<String> {
    disk.rot("/", &mut Stream::new(seed, "rot", 0, 0))
}

#[test]
fn one_bit_of_one_file_in_the_directory_itself_turns_over() {
    let mut places = BTreeSet::new();
    for seed in 0..100 {
        let mut disk =
            formatted(&[("d/a", "aaaa"), ("d/b", "bbbb"), ("d/e/c", "cccc"), ("f", "ffff")]);
        write(&mut disk, "d/empty", "");
        let before = disk.tree();
        let path = disk.rot("d", &mut Stream::new(seed, "rot", 0, 0)).expect("files are there");
        for (name, (_, bytes)) in disk.tree() {
            assert_eq!(turned(&before[&name].1, &bytes), u32::from(name == path), "{name}");
        }
        places.insert((path.clone(), disk.tree()[&path].1.clone()));
    }
    assert!(places.len() > 40, "of 64 bits only {} turned", places.len());
    assert!(places.iter().all(|(path, _)| path == "/d/a" || path == "/d/b"));
}

#[test]
fn where_no_file_has_bytes_nothing_rots() {
    let mut disk = formatted(&[("d/a", "x"), ("e", "")]);
    for directory in ["/", "none", "e", "d/a", "//"] {
        assert_eq!(disk.rot(directory, &mut Stream::new(1, "rot", 0, 0)), None, "{directory}");
    }
    assert_eq!(show(&disk), "d/ d/a=x e=");
}

#[test]
fn rot_is_no_operation_and_shows_after_every_power_cut() {
    for seed in 0..50 {
        let mut disk = formatted(&[("a", "abcdef")]);
        // Both layers hold the bytes 1 and 2: the platter, and an unsynced write.
        let file = disk.open("a", OpenMode::Write).unwrap();
        disk.write_at(file, 1, b"XY").unwrap();
        let (units, outcomes) = (disk.units(), disk.outcome_count(100_000));
        let before: Vec<_> = disk.outcomes().map(|it| it.tree()["/a"].1.clone()).collect();
        assert_eq!(rot(&mut disk, seed).as_deref(), Some("/a"));
        assert_eq!((disk.units(), disk.outcome_count(100_000)), (units, outcomes));
        let after: Vec<_> = disk.outcomes().map(|it| it.tree()["/a"].1.clone()).collect();
        assert!(before.iter().zip(&after).all(|(a, b)| turned(a, b) == 1), "{after:?}");
        // A sync of what is pending makes the same bytes durable that programs see.
        sync_file(&mut disk, "a");
        assert_eq!(disk.durable_tree(), disk.tree());
        assert_eq!(turned(b"aXYdef", &disk.tree()["/a"].1), 1);
    }
}

#[test]
fn a_file_that_was_never_synced_rots_in_its_unsynced_writes() {
    for seed in 0..50 {
        let mut disk = formatted(&[]);
        let file = disk.open("a", OpenMode::CreateNew).unwrap();
        // A hole of four bytes, which are nowhere, and four bytes behind it.
        disk.write_at(file, 4, b"data").unwrap();
        rot(&mut disk, seed).expect("bytes are there");
        let live = disk.tree()["/a"].1.clone();
        assert_eq!((&live[..4], turned(b"data", &live[4..])), (&[0; 4][..], 1));
        sync_file(&mut disk, "a");
        sync_dir(&mut disk, "/");
        assert_eq!(disk.durable_tree()["/a"].1, live);
    }
}

#[test]
fn a_file_that_is_one_unsynced_hole_has_nothing_to_rot() {
    let mut disk = formatted(&[("a", "old")]);
    let file = disk.open("a", OpenMode::Truncate).unwrap();
    disk.set_len(file, 100).unwrap();
    assert_eq!(rot(&mut disk, 1), None);
    sync_file(&mut disk, "a");
    assert_eq!(rot(&mut disk, 1).as_deref(), Some("/a"), "zeros on the platter rot");
}

#[test]
fn writing_the_byte_anew_cures_it_once_that_is_durable() {
    let mut disk = formatted(&[("a", "x")]);
    rot(&mut disk, 1).expect("a byte is there");
    let rotten = show(&disk);
    assert_ne!(rotten, "a=x");
    write(&mut disk, "a", "x");
    assert_eq!(show(&disk), "a=x");
    check(&disk, &[&rotten, "a=x"]);
    sync_file(&mut disk, "a");
    check(&disk, &["a=x"]);
}

#[test]
fn a_replacement_is_blank_and_of_the_same_kind() {
    let disk = Disk::with_profile(Profile { rename_atomic: false, ..Profile::strict() });
    let mut old = disk;
    write(&mut old, "a", "x");
    let new = old.replacement();
    assert_eq!((show(&new), new.pending(), new.profile), (String::new(), 0, old.profile));
}

//! Handles, kills, crashes, reports and fingerprints.

use super::*;
use crate::{disk::FILE_BYTES_MAX, random::Stream};

#[test]
fn a_disk_is_a_plain_value() {
    fn plain<T: Send + Clone + std::fmt::Debug>() {}
    plain::<Disk>();
    let mut disk = formatted(&[("a", "o")]);
    let copy = disk.clone();
    write(&mut disk, "a", "n");
    assert_eq!((show(&disk), show(&copy)), ("a=n".to_owned(), "a=o".to_owned()));
}

#[test]
fn a_removed_file_lives_until_its_last_handle_and_not_over_a_crash() {
    let mut disk = formatted(&[("a", "x")]);
    let first = disk.open("a", OpenMode::Read).unwrap();
    let second = disk.open("a", OpenMode::Write).unwrap();
    disk.remove("a").unwrap();
    sync_dir(&mut disk, "/");
    disk.close(first);
    disk.append(second, b"y").unwrap();
    assert_eq!(disk.read_at(second, 0, 9).unwrap(), "xy");
    assert_eq!(disk.file_metadata(second).unwrap().links, 0);
    assert_eq!(disk.units(), [], "no outcome shows it");
    let mut crashed = disk.clone();
    crashed.crash_with(&mut |_| Fate::Kept);
    assert_eq!((show(&crashed), crashed.inodes.len()), (String::new(), 1));
    disk.close(second);
    assert_eq!((disk.inodes.len(), disk.pending()), (1, 0), "freed");
}

#[test]
fn a_kill_closes_handles_and_keeps_what_is_pending() {
    let mut disk = formatted(&[("a", "o"), ("b", "o")]);
    let file = disk.open("a", OpenMode::Write).unwrap();
    disk.write_at(file, 0, b"n").unwrap();
    let orphan = disk.open("b", OpenMode::Read).unwrap();
    disk.remove("b").unwrap();
    sync_dir(&mut disk, "/");
    let sync = disk.begin_sync_file(file).unwrap();
    disk.kill();
    assert_eq!(disk.read_at(file, 0, 1), Err(DiskError::InvalidInput));
    assert_eq!(disk.read_at(orphan, 0, 1), Err(DiskError::InvalidInput));
    assert_eq!(show(&disk), "a=n");
    check(&disk, &["a=o", "a=n"]);
    assert_eq!(disk.inodes.len(), 2, "the root and the file with a name");
    // The kernel carries a sync on to its end, whoever asked for it.
    disk.end_sync(sync).unwrap();
    check(&disk, &["a=n"]);
}

#[test]
fn no_handle_outlives_a_crash_or_is_used_twice() {
    let mut disk = formatted(&[("a", "x")]);
    let before = disk.open("a", OpenMode::Write).unwrap();
    disk.append(before, b"lost").unwrap();
    disk.crash_with(&mut |_| Fate::Lost);
    let after = disk.open("a", OpenMode::Write).unwrap();
    assert_ne!(before, after);
    assert_eq!(disk.append(before, b"y"), Err(DiskError::InvalidInput));
    assert_eq!(disk.begin_sync_file(before), Err(DiskError::InvalidInput));
    disk.close(before);
    assert_eq!(disk.append(after, b"y"), Ok(1));
}

#[test]
fn what_a_crash_leaves_is_durable() {
    let mut disk = Disk::new();
    write(&mut disk, "a", "one");
    disk.crash_with(&mut |_| Fate::Kept);
    assert_eq!((disk.pending(), disk.units()), (0, Vec::new()));
    check(&disk, &["a=one"]);
    write(&mut disk, "a", "two");
    disk.crash_with(&mut |_| Fate::Lost);
    assert_eq!(show(&disk), "a=one");
    write(&mut disk, "a", "six");
    sync_file(&mut disk, "a");
    check(&disk, &["a=six"]);
}

#[test]
fn pending_is_the_number_of_changes_in_all_logs() {
    let mut disk = formatted(&[("a", "x"), ("d/b", "")]);
    let file = disk.open("a", OpenMode::Truncate).unwrap();
    disk.append(file, b"y").unwrap();
    disk.rename("a", "d/a").unwrap();
    assert_eq!(disk.pending(), 4);
    sync_dir(&mut disk, "d");
    assert_eq!(disk.pending(), 3);
    sync_dir(&mut disk, "/");
    sync_file(&mut disk, "d/a");
    assert_eq!(disk.pending(), 0);
}

#[test]
fn what_changes_nothing_is_not_logged() {
    let mut disk = formatted(&[("a", "x"), ("b", "")]);
    let file = disk.open("a", OpenMode::Write).unwrap();
    assert_eq!(disk.write_at(file, 100, b""), Ok(0));
    assert_eq!(disk.append(file, b""), Ok(0));
    disk.set_len(file, 1).unwrap();
    disk.open("b", OpenMode::Truncate).unwrap();
    assert_eq!(disk.pending(), 0);
}

#[test]
fn a_handle_for_reading_refuses_writes() {
    let mut disk = formatted(&[("a", "x")]);
    let file = disk.open("a", OpenMode::Read).unwrap();
    assert_eq!(disk.write_at(file, 0, b"y"), Err(DiskError::ReadOnly));
    assert_eq!(disk.append(file, b""), Err(DiskError::ReadOnly));
    assert_eq!(disk.set_len(file, 0), Err(DiskError::ReadOnly));
    assert!(disk.begin_sync_file(file).is_ok());
}

#[test]
fn a_file_beyond_the_bound_is_no_space() {
    let mut disk = formatted(&[("a", "x")]);
    let file = disk.open("a", OpenMode::Write).unwrap();
    assert_eq!(disk.write_at(file, FILE_BYTES_MAX, b"y"), Err(DiskError::NoSpace));
    assert_eq!(disk.write_at(file, u64::MAX, b"y"), Err(DiskError::NoSpace));
    assert_eq!(disk.set_len(file, FILE_BYTES_MAX + 1), Err(DiskError::NoSpace));
    assert_eq!(disk.read_at(file, u64::MAX, usize::MAX).unwrap(), "");
    assert_eq!(disk.pending(), 0);
}

#[test]
fn a_report_counts_operations_and_names_what_it_can() {
    let mut disk = formatted(&[("a", "")]);
    write(&mut disk, "a", &"n".repeat(1000));
    write(&mut disk, "b", "x");
    disk.remove("b").unwrap();
    // The units: a's two sectors and growth, b's name, bytes and growth, the end of b's name.
    let fates = [Fate::Kept, Fate::Lost, Fate::Short(512), Fate::Lost, Fate::Kept, Fate::Kept];
    let mut fates = fates.into_iter().chain([Fate::Lost]);
    let report = disk.crash_with(&mut |_| fates.next().unwrap());
    assert_eq!((report.kept, report.lost, report.torn), (1, 2, 1));
    let text = report.to_string();
    assert!(text.starts_with("power loss: 1 operations kept, 2 lost, 1 torn\n"), "{text}");
    assert!(text.contains("kept up to 512: ") && text.contains("(/a)"), "{text}");
    assert_eq!(text.lines().count(), 8);
}

#[test]
#[should_panic(expected = "no power cut leaves this unit kept up to 5")]
fn a_fate_that_a_unit_cannot_have_is_refused() {
    let mut disk = Disk::new();
    write(&mut disk, "a", "x");
    disk.crash_with(&mut |_| Fate::Short(5));
}

#[test]
fn a_crash_is_a_function_of_its_stream() {
    let mut disk = formatted(&[("a", "o")]);
    write(&mut disk, "a", &"n".repeat(3000));
    disk.rename("a", "b").unwrap();
    let crash = |seed| {
        let mut crashed = disk.clone();
        let report = crashed.crash(&mut Stream::new(seed, "disk", 0, 0));
        (report, crashed.image_hash())
    };
    assert!((0..100).all(|seed| crash(seed) == crash(seed)));
    assert!((1..100).any(|seed| crash(seed).1 != crash(0).1));
}

#[test]
fn formatting_makes_parents_and_is_durable() {
    let disk = formatted(&[("/x/y/a", "1"), ("x/b", "2")]);
    assert_eq!(show(&disk), "x/ x/b=2 x/y/ x/y/a=1");
    assert_eq!(disk.durable_tree(), disk.tree());
    let mut disk = disk;
    assert_eq!(disk.put_durable("x/b/c", b""), Err(DiskError::NotADirectory));
    assert_eq!(disk.put_durable("x/y", b""), Err(DiskError::IsADirectory));
    assert_eq!(disk.put_durable("new//a", b""), Err(DiskError::InvalidInput));
    disk.put_durable("x/b", b"three").unwrap();
    assert_eq!(show(&disk), "x/ x/b=three x/y/ x/y/a=1");
}

#[test]
fn the_fingerprint_is_that_of_what_programs_see() {
    let plain = formatted(&[("a", "x"), ("b", "x")]);
    let mut other_history = formatted(&[("c", "x"), ("a", "zz")]);
    other_history.rename("c", "b").unwrap();
    let orphan = other_history.open("a", OpenMode::Write).unwrap();
    other_history.remove("a").unwrap();
    write(&mut other_history, "a", "x");
    other_history.append(orphan, b"unseen").unwrap();
    assert_eq!(plain.image_hash(), other_history.image_hash());

    let mut linked = formatted(&[("a", "x")]);
    linked.hard_link("a", "b").unwrap();
    let mut longer = plain.clone();
    write(&mut longer, "a", "x\0");
    let mut directory = formatted(&[("a", "x")]);
    directory.create_dir("b").unwrap();
    let moved = formatted(&[("a", "x/b"), ("b", "")]);
    let looks_like_a_second_file = formatted(&[("a", "x/b\x01\0\0\0\0\0\0\0x")]);
    let others = [linked, longer, directory, moved, looks_like_a_second_file, Disk::new()];
    let hashes: BTreeSet<u128> = others.iter().chain([&plain]).map(Disk::image_hash).collect();
    assert_eq!(hashes.len(), 7);
}

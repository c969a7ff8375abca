//! Failed syncs: which bytes are lost, when programs see it, and who is told.

use super::*;
use crate::{
    disk::{DiskFault, Handle, SyncFault},
    random::Stream,
};

fn harm(disk: &mut Disk, directory: &str, fault: SyncFault) -> Option<String> {
    disk.harm(directory, DiskFault::Sync(fault), &mut Stream::new(1, "harm", 0, 0))
}

fn sync(disk: &mut Disk, handle: Handle) -> DiskResult<()> {
    let sync = disk.begin_sync_file(handle)?;
    disk.end_sync(sync)
}

/// `a` was `old` and durable. Then `new!` was written over it, which makes it longer.
fn written(disk: &mut Disk) -> Handle {
    *disk = formatted(&[("a", "old"), ("b", "b")]);
    let file = disk.open("a", OpenMode::Write).unwrap();
    disk.write_at(file, 0, b"new!").unwrap();
    file
}

fn failed(fault: SyncFault) -> (Disk, Handle) {
    let mut disk = Disk::new();
    let file = written(&mut disk);
    assert_eq!(harm(&mut disk, "/", fault).as_deref(), Some("the next sync at or below /"));
    assert_eq!(sync(&mut disk, file), Err(DiskError::Io));
    (disk, file)
}

#[test]
fn a_dropped_write_is_seen_until_eviction_and_then_zeros_at_the_grown_length() {
    let (mut disk, file) = failed(SyncFault::DropAfterEvict);
    assert_eq!(show(&disk), "a=new! b=b");
    check(&disk, &["a=old b=b", "a=old. b=b"]);
    assert_eq!(sync(&mut disk, file), Ok(()), "a sync once more succeeds");
    assert_eq!(show(&disk), "a=new! b=b");
    check(&disk, &["a=old. b=b"]);
    disk.evict();
    assert_eq!(show(&disk), "a=old. b=b");
    assert_eq!(disk.take_struck(), ["failed sync (drop after evict) in /a"]);
    assert_eq!(disk.take_struck(), [""; 0]);
}

#[test]
fn eviction_before_the_next_sync_shows_the_old_bytes_at_the_new_length() {
    let (mut disk, _) = failed(SyncFault::DropAfterEvict);
    disk.evict();
    assert_eq!(show(&disk), "a=old. b=b");
    check(&disk, &["a=old b=b", "a=old. b=b"]);
}

#[test]
fn a_power_cut_evicts_and_what_is_written_later_is_durable_with_a_later_sync() {
    let (mut disk, file) = failed(SyncFault::DropAfterEvict);
    disk.write_at(file, 1, b"X").unwrap();
    assert_eq!(show(&disk), "a=nXw! b=b");
    assert_eq!(sync(&mut disk, file), Ok(()));
    check(&disk, &["a=oXd. b=b"]);
    disk.crash_with(&mut |_| Fate::Kept);
    assert_eq!(show(&disk), "a=oXd. b=b");
}

#[test]
fn a_write_since_the_sync_began_is_not_lost_with_it() {
    let mut disk = Disk::new();
    let file = written(&mut disk);
    harm(&mut disk, "/", SyncFault::DropAfterEvict);
    let begun = disk.begin_sync_file(file).unwrap();
    disk.write_at(file, 2, b"X").unwrap();
    assert_eq!(disk.end_sync(begun), Err(DiskError::Io));
    assert_eq!(sync(&mut disk, file), Ok(()));
    check(&disk, &["a=olX. b=b"]);
}

#[test]
fn a_reverted_write_is_gone_at_once() {
    let (mut disk, file) = failed(SyncFault::RevertNow);
    assert_eq!(show(&disk), "a=old. b=b");
    assert_eq!(sync(&mut disk, file), Ok(()));
    check(&disk, &["a=old. b=b"]);
}

#[test]
fn a_write_that_stays_dirty_is_durable_with_the_next_sync() {
    let (mut disk, file) = failed(SyncFault::KeepDirty);
    disk.evict();
    assert_eq!(show(&disk), "a=new! b=b", "what is unsynced cannot be evicted");
    assert!(disk.outcome_count(1_000) > 1);
    assert_eq!(sync(&mut disk, file), Ok(()));
    check(&disk, &["a=new! b=b"]);
}

#[test]
fn a_disk_gone_read_only_refuses_every_change_until_the_next_boot() {
    for power in [false, true] {
        let (mut disk, file) = failed(SyncFault::GoesReadOnly);
        let no = Err(DiskError::ReadOnly);
        assert_eq!(disk.write_at(file, 0, b"x").map(|_| ()), no);
        assert_eq!(disk.append(file, b"x").map(|_| ()), no);
        assert_eq!(disk.set_len(file, 0), no);
        assert_eq!(sync(&mut disk, file), no);
        assert_eq!(disk.open("c", OpenMode::Create).map(|_| ()), no);
        assert_eq!(disk.open("a", OpenMode::Truncate).map(|_| ()), no);
        assert_eq!(disk.create_dir("d"), no);
        assert_eq!(disk.remove("b"), no);
        assert_eq!(disk.rename("a", "b"), no);
        assert_eq!(disk.rename_noreplace("a", "c"), no);
        assert_eq!(disk.hard_link("a", "c"), no);
        assert_eq!(disk.remove("c"), Err(DiskError::NotFound));
        assert_eq!(disk.read_at(file, 0, 9).unwrap(), "new!");
        assert_eq!(disk.read_dir("/").unwrap(), ["a", "b"]);
        if power {
            disk.crash_with(&mut |_| Fate::Lost);
        } else {
            disk.kill();
        }
        write(&mut disk, "a", "N");
        sync_file(&mut disk, "a");
        assert!(show(&disk).starts_with("a=N"));
    }
}

#[test]
fn every_handle_that_was_open_has_the_error_once_and_later_ones_none() {
    let (mut disk, file) = {
        let mut disk = Disk::new();
        let file = written(&mut disk);
        (disk, file)
    };
    let reader = disk.open("a", OpenMode::Read).unwrap();
    let other = disk.open("b", OpenMode::Write).unwrap();
    harm(&mut disk, "/", SyncFault::DropAfterEvict);
    assert_eq!(sync(&mut disk, file), Err(DiskError::Io));
    let later = disk.open("a", OpenMode::Write).unwrap();
    let results = [other, later, file, reader, reader].map(|handle| sync(&mut disk, handle));
    assert_eq!(results, [Ok(()), Ok(()), Ok(()), Err(DiskError::Io), Ok(())]);
}

#[test]
fn late_errors_come_with_the_next_sync_which_does_its_work() {
    let mut disk = Disk::new();
    let file = written(&mut disk);
    let reader = disk.open("a", OpenMode::Read).unwrap();
    assert_eq!(harm(&mut disk, "/", SyncFault::LateReport).as_deref(), Some("/a"));
    assert_eq!(show(&disk), "a=new! b=b");
    disk.write_at(file, 0, b"N").unwrap();
    disk.evict();
    assert_eq!(show(&disk), "a=Nld. b=b", "lost before any sync");
    // Nobody has had the error: a handle opened now has it as well.
    let later = disk.open("a", OpenMode::Read).unwrap();
    assert_eq!(sync(&mut disk, file), Err(DiskError::Io));
    check(&disk, &["a=Nld. b=b"]);
    let last = disk.open("a", OpenMode::Read).unwrap();
    let results = [file, reader, reader, later, later, last].map(|it| sync(&mut disk, it));
    let io = Err(DiskError::Io);
    assert_eq!(results, [Ok(()), io, Ok(()), io, Ok(()), Ok(())]);
}

#[test]
fn an_error_that_somebody_had_already_is_not_told_to_files_opened_later() {
    let mut disk = Disk::new();
    let file = written(&mut disk);
    assert_eq!(harm(&mut disk, "/", SyncFault::AlreadyConsumed).as_deref(), Some("/a"));
    let later = disk.open("a", OpenMode::Read).unwrap();
    assert_eq!(sync(&mut disk, later), Ok(()), "nothing tells it that bytes were lost");
    check(&disk, &["a=old. b=b"]);
    assert_eq!(sync(&mut disk, file), Err(DiskError::Io));
    assert_eq!(sync(&mut disk, file), Ok(()));
}

#[test]
fn a_file_without_its_cached_bytes_shows_what_a_failed_write_back_left_and_what_came_later() {
    let mut disk = Disk::new();
    let file = written(&mut disk);
    harm(&mut disk, "/", SyncFault::AlreadyConsumed);
    let before = show(&disk);
    write(&mut disk, "b", "later");
    disk.drop_cached(file).unwrap();
    assert_ne!(show(&disk), before);
    assert_eq!(show(&disk), "a=old. b=later");
    disk.close(file);
    assert_eq!(disk.drop_cached(file), Err(DiskError::InvalidInput));
}

#[test]
fn a_failed_write_back_waits_for_a_write_if_nothing_is_unsynced() {
    let mut disk = formatted(&[("d/a", "old"), ("b", "b")]);
    let struck = harm(&mut disk, "d", SyncFault::LateReport);
    assert_eq!(struck.as_deref(), Some("the next write at or below /d"));
    write(&mut disk, "b", "B");
    write(&mut disk, "d/a", "new");
    assert_eq!(disk.take_struck(), ["failed write-back (late report) in /d/a"]);
    disk.evict();
    assert_eq!(show(&disk), "b=B d/ d/a=old");
    // No handle was open any more when the cache was evicted: Linux forgets the error, too.
    let file = disk.open("d/a", OpenMode::Read).unwrap();
    assert_eq!(sync(&mut disk, file), Ok(()));
}

#[test]
fn names_stay_unsynced_after_a_failed_sync_of_their_directory() {
    for fault in [SyncFault::DropAfterEvict, SyncFault::RevertNow, SyncFault::KeepDirty] {
        let mut disk = formatted(&[("d/a", "a")]);
        disk.remove("d/a").unwrap();
        harm(&mut disk, "/d", fault);
        let begun = disk.begin_sync_dir("d").unwrap();
        assert_eq!(disk.end_sync(begun), Err(DiskError::Io));
        check(&disk, &["d/", "d/ d/a=a"]);
        sync_dir(&mut disk, "d");
        check(&disk, &["d/"]);
    }
    let mut disk = formatted(&[("d/a", "a")]);
    harm(&mut disk, "/d", SyncFault::GoesReadOnly);
    let begun = disk.begin_sync_dir("d").unwrap();
    assert_eq!(disk.end_sync(begun), Err(DiskError::Io));
    assert_eq!(disk.remove("d/a"), Err(DiskError::ReadOnly));
}

#[test]
fn a_fault_waits_for_a_sync_at_or_below_its_directory_and_each_takes_one() {
    let mut disk = formatted(&[("d/e/a", "a"), ("b", "b")]);
    for _ in 0..2 {
        harm(&mut disk, "d", SyncFault::KeepDirty);
    }
    let outside = disk.open("b", OpenMode::Write).unwrap();
    let inside = disk.open("d/e/a", OpenMode::Write).unwrap();
    let results = [outside, inside, inside, inside].map(|handle| sync(&mut disk, handle));
    assert_eq!(results, [Ok(()), Err(DiskError::Io), Err(DiskError::Io), Ok(())]);
    for no_directory in ["none", "b", "//"] {
        assert_eq!(harm(&mut disk, no_directory, SyncFault::KeepDirty), None, "{no_directory}");
        assert_eq!(harm(&mut disk, no_directory, SyncFault::LateReport), None, "{no_directory}");
    }
}

#[test]
fn a_sync_whose_handle_was_closed_meanwhile_fails_all_the_same() {
    let mut disk = Disk::new();
    let file = written(&mut disk);
    harm(&mut disk, "/", SyncFault::DropAfterEvict);
    let begun = disk.begin_sync_file(file).unwrap();
    disk.close(file);
    assert_eq!(disk.end_sync(begun), Err(DiskError::Io));
}

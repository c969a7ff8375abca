//! Bytes and lengths of files.

use super::*;

#[test]
fn of_a_new_file_name_length_and_bytes_are_independent() {
    let mut disk = Disk::new();
    write(&mut disk, "a", "x");
    check(&disk, &["", "a=", "a=.", "a=x"]);
}

#[test]
fn an_unsynced_name_is_lost_or_kept_but_its_synced_content_never_torn() {
    let mut disk = Disk::new();
    write(&mut disk, "a", &"x".repeat(2000));
    sync_file(&mut disk, "a");
    check(&disk, &["", "a=x*2000"]);
}

#[test]
fn a_synced_name_says_nothing_of_the_content() {
    let mut disk = Disk::new();
    write(&mut disk, "a", "x");
    sync_dir(&mut disk, "/");
    check(&disk, &["a=", "a=.", "a=x"]);
}

#[test]
fn what_is_synced_with_its_name_is_there() {
    let mut disk = Disk::new();
    write(&mut disk, "a", "x");
    sync_file(&mut disk, "a");
    sync_dir(&mut disk, "/");
    assert_eq!(disk.units(), []);
    check(&disk, &["a=x"]);
}

#[test]
fn a_sync_of_another_file_covers_nothing() {
    let mut disk = formatted(&[("a", "o"), ("b", "o")]);
    write(&mut disk, "a", "n");
    write(&mut disk, "b", "n");
    sync_file(&mut disk, "b");
    check(&disk, &["a=o b=n", "a=n b=n"]);
}

#[test]
fn sectors_of_a_write_are_kept_or_lost_in_any_combination() {
    let mut disk = formatted(&[("a", &"o".repeat(1024))]);
    write(&mut disk, "a", &"n".repeat(1024));
    check(&disk, &["a=o*1024", "a=n*512o*512", "a=o*512n*512", "a=n*1024"]);
}

#[test]
fn a_growing_write_may_stop_at_a_sector_boundary() {
    let mut disk = formatted(&[("a", "")]);
    write(&mut disk, "a", &"n".repeat(600));
    check(&disk, &["a=", "a=.*512", "a=n*512", "a=.*600", "a=n*512.*88", "a=.*512n*88", "a=n*600"]);
}

#[test]
fn truncate_and_rewrite_may_mix_old_and_new() {
    let mut disk = formatted(&[("a", "old")]);
    let file = disk.open("a", OpenMode::Truncate).unwrap();
    disk.write_at(file, 0, b"n").unwrap();
    check(&disk, &["a=old", "a=nld", "a=o", "a=", "a=.", "a=n"]);
}

#[test]
fn a_cut_and_a_growth_by_length_are_each_one_piece() {
    let mut disk = formatted(&[("a", "xyz")]);
    let file = disk.open("a", OpenMode::Write).unwrap();
    disk.set_len(file, 1).unwrap();
    // The rest of the page is overwritten with zeros, which the cut may not survive.
    check(&disk, &["a=xyz", "a=x..", "a=x"]);
    disk.set_len(file, 3).unwrap();
    // The growth alone sets the length that the file has on the platter.
    check(&disk, &["a=xyz", "a=x", "a=x.."]);
}

#[test]
fn a_sync_covers_what_was_pending_when_it_began() {
    let mut disk = formatted(&[("a", "oo")]);
    let file = disk.open("a", OpenMode::Write).unwrap();
    disk.write_at(file, 0, b"1").unwrap();
    let sync = disk.begin_sync_file(file).unwrap();
    disk.write_at(file, 0, b"2").unwrap();
    disk.write_at(file, 1, b"2").unwrap();
    check(&disk, &["a=oo", "a=1o", "a=2o", "a=o2", "a=12", "a=22"]);
    disk.end_sync(sync).unwrap();
    check(&disk, &["a=1o", "a=2o", "a=12", "a=22"]);
}

#[test]
fn syncs_may_overlap_and_end_in_any_order() {
    let mut disk = formatted(&[("a", "o")]);
    let file = disk.open("a", OpenMode::Write).unwrap();
    disk.write_at(file, 0, b"1").unwrap();
    let first = disk.begin_sync_file(file).unwrap();
    disk.write_at(file, 0, b"2").unwrap();
    let second = disk.begin_sync_file(file).unwrap();
    disk.write_at(file, 0, b"3").unwrap();
    disk.end_sync(second).unwrap();
    check(&disk, &["a=2", "a=3"]);
    disk.end_sync(first).unwrap();
    check(&disk, &["a=2", "a=3"]);
}

#[test]
fn a_sync_cut_short_by_a_crash_leaves_everything_pending_and_covers_nothing_later() {
    let mut disk = formatted(&[("a", "o")]);
    let file = disk.open("a", OpenMode::Write).unwrap();
    disk.write_at(file, 0, b"1").unwrap();
    let sync = disk.begin_sync_file(file).unwrap();
    check(&disk, &["a=o", "a=1"]);
    disk.crash_with(&mut |_| Fate::Lost);
    write(&mut disk, "a", "2");
    disk.end_sync(sync).unwrap();
    check(&disk, &["a=o", "a=2"]);
}

#[test]
fn a_file_has_one_content_under_all_its_names() {
    let mut disk = formatted(&[("a", "o")]);
    disk.hard_link("a", "b").unwrap();
    write(&mut disk, "b", "n");
    check(&disk, &["a=o", "a=o b=o", "a=n", "a=n b=n"]);
    sync_file(&mut disk, "a");
    check(&disk, &["a=n", "a=n b=n"]);
}

#[test]
fn a_synced_write_to_a_removed_file_counts_if_the_removal_is_lost() {
    let mut disk = formatted(&[("a", "o")]);
    let file = disk.open("a", OpenMode::Write).unwrap();
    disk.remove("a").unwrap();
    disk.write_at(file, 0, b"n").unwrap();
    check(&disk, &["", "a=o", "a=n"]);
    let sync = disk.begin_sync_file(file).unwrap();
    disk.end_sync(sync).unwrap();
    check(&disk, &["", "a=n"]);
}

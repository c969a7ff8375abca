//! States that real file systems left where a simpler model would not have them: what calibration
//! has taught, in short.

use unplug_sim::{
    disk::{Disk, Profile},
    env::OpenMode,
};

fn write(disk: &mut Disk, path: &str, offset: u64, byte: u8, len: usize) {
    let file = disk.open(path, OpenMode::Create).expect("the file opens");
    disk.write_at(file, offset, &vec![byte; len]).expect("small");
    disk.close(file);
}

fn cut(disk: &mut Disk, path: &str, len: u64) {
    let file = disk.open(path, OpenMode::Write).expect("the file opens");
    disk.set_len(file, len).expect("small");
    disk.close(file);
}

fn sync(disk: &mut Disk, path: &str) {
    let file = disk.open(path, OpenMode::Read).expect("the file opens");
    disk.sync_file(file).expect("no faults");
    disk.close(file);
}

fn rename(disk: &mut Disk, from: &str, to: &str) {
    disk.rename(from, to).expect("a file");
}

fn formatted(profile: Profile) -> Disk {
    let mut disk = Disk::with_profile(profile);
    disk.put_durable("a/x", &[b'x'; 600]).expect("the path is good");
    disk.put_durable("b/y", &[b'y'; 600]).expect("the path is good");
    disk
}

/// A path, and what stands there: a byte and how often, at the end of the file; or nothing.
type Seen = (&'static str, Option<(u8, usize)>);

#[track_caller]
fn may_leave(profile: Profile, before: fn(&mut Disk), seen: &[Seen]) {
    let mut disk = formatted(profile);
    before(&mut disk);
    let found = disk.outcomes().any(|outcome| {
        let tree = outcome.tree();
        seen.iter().all(|(path, expected)| match (tree.get(*path), expected) {
            (None, None) => true,
            (Some((_, bytes)), Some((byte, len))) => {
                bytes.len() >= *len && bytes[bytes.len() - len..].iter().all(|it| it == byte)
            }
            (Some(_), None) | (None, Some(_)) => false,
        })
    });
    assert!(found, "{}: never {seen:?}", profile.name);
}

#[test]
fn a_sync_commits_a_journal_only_up_to_the_last_change_of_what_is_synced() {
    for profile in [Profile::ext4_ordered(), Profile::ext4_writeback(), Profile::xfs()] {
        let before = |disk: &mut Disk| {
            write(disk, "a/x", 600, b'n', 1);
            disk.remove("b/y").expect("a file");
            sync(disk, "a/x");
        };
        may_leave(profile, before, &[("/a/x", Some((b'n', 1))), ("/b/y", Some((b'y', 600)))]);
    }
}

#[test]
fn ext4_may_commit_a_size_before_its_data_even_of_a_file_renamed_over_another() {
    let before = |disk: &mut Disk| {
        write(disk, "a/t", 0, b'n', 513);
        rename(disk, "a/t", "b/y");
        write(disk, "a/x", 600, b'm', 1);
        sync(disk, "a/x");
    };
    may_leave(Profile::ext4_ordered(), before, &[("/a/t", None), ("/b/y", Some((0, 513)))]);
}

#[test]
fn a_cut_that_is_lost_may_have_zeroed_the_rest_of_its_page() {
    for profile in [Profile::xfs(), Profile::ext4_ordered(), Profile::strict()] {
        let before = |disk: &mut Disk| cut(disk, "a/x", 513);
        may_leave(profile, before, &[("/a/x", Some((0, 87)))]);
    }
}

#[test]
fn a_cut_that_is_kept_may_not_have_zeroed_what_a_growth_uncovers() {
    let before = |disk: &mut Disk| {
        cut(disk, "a/x", 511);
        disk.sync_dir("a").expect("no faults");
        write(disk, "a/x", 512, b'#', 1);
        rename(disk, "a/x", "b/x");
        disk.sync_dir("b").expect("no faults");
    };
    may_leave(Profile::ext4_writeback(), before, &[("/b/x", Some((b'x', 513)))]);
    may_leave(Profile::strict(), before, &[("/b/x", Some((b'x', 513)))]);
}

#[test]
fn what_a_second_cut_leaves_behind_the_end_is_not_what_the_first_one_left() {
    let before = |disk: &mut Disk| {
        cut(disk, "a/x", 511);
        cut(disk, "a/x", 0);
        write(disk, "a/x", 0, b'n', 1);
        rename(disk, "b/y", "b/z");
        disk.sync_dir("b").expect("no faults");
        cut(disk, "a/x", 4096);
    };
    let mut disk = formatted(Profile::ext4_writeback());
    before(&mut disk);
    let firsts = disk.outcomes().filter_map(|outcome| outcome.tree()["/a/x"].1.first().copied());
    // The new byte, none, and stale ones; and no other beside the old ones at its place.
    assert_eq!(firsts.collect::<std::collections::BTreeSet<_>>(), [0, b'n', b'x'].into());
    may_leave(Profile::ext4_writeback(), before, &[("/a/x", Some((0, 1)))]);
}

#[test]
fn btrfs_ends_an_old_name_only_of_the_file_that_it_synced() {
    let before = |disk: &mut Disk| {
        write(disk, "b/t", 0, b'n', 9);
        sync(disk, "b/t");
        rename(disk, "b/t", "a/x");
        rename(disk, "a/x", "b/z");
        sync(disk, "b/z");
    };
    may_leave(
        Profile::btrfs(),
        before,
        &[("/a/x", Some((b'x', 600))), ("/b/z", Some((b'n', 9))), ("/b/t", None)],
    );
}

#[test]
fn in_btrfs_a_synced_name_that_is_replaced_without_a_sync_may_vanish_or_be_what_it_was_before() {
    let before = |disk: &mut Disk| {
        write(disk, "b/w", 0, b'w', 9);
        sync(disk, "b/w");
        write(disk, "a/t", 0, b'n', 9);
        rename(disk, "a/t", "b/w");
        sync(disk, "a/x");
    };
    may_leave(Profile::btrfs(), before, &[("/b/w", None)]);
    let before = |disk: &mut Disk| {
        disk.remove("a/x").expect("a file");
        write(disk, "a/x", 0, b'w', 9);
        sync(disk, "a/x");
        disk.remove("a/x").expect("a file");
        sync(disk, "b/y");
    };
    may_leave(Profile::btrfs(), before, &[("/a/x", Some((b'x', 600)))]);
}

#[test]
fn in_btrfs_a_synced_name_stays_as_long_as_it_is_not_changed() {
    let mut disk = formatted(Profile::btrfs());
    disk.create_dir("c").expect("no such name yet");
    write(&mut disk, "c/w", 0, b'w', 9);
    sync(&mut disk, "c/w");
    assert!(disk.outcomes().all(|outcome| outcome.metadata("c/w").is_ok()));
    rename(&mut disk, "c/w", "c/v");
    assert!(disk.outcomes().any(|outcome| outcome.metadata("c/w").is_err()));
}

//! Names of files and directories.

use super::*;

#[test]
fn a_directory_needs_a_sync_of_its_parent() {
    let mut disk = Disk::new();
    disk.create_dir("d").unwrap();
    write(&mut disk, "d/a", "x");
    sync_file(&mut disk, "d/a");
    check(&disk, &["", "d/", "d/ d/a=x"]);
    let mut inner = disk.clone();
    sync_dir(&mut inner, "d");
    check(&inner, &["", "d/ d/a=x"]);
    let mut outer = disk;
    sync_dir(&mut outer, "/");
    check(&outer, &["d/", "d/ d/a=x"]);
    sync_dir(&mut outer, "d");
    check(&outer, &["d/ d/a=x"]);
}

#[test]
fn a_directory_sync_covers_what_was_pending_when_it_began() {
    let mut disk = Disk::new();
    write(&mut disk, "a", "");
    let sync = disk.begin_sync_dir("/").unwrap();
    disk.rename("a", "b").unwrap();
    check(&disk, &["", "a=", "b="]);
    disk.end_sync(sync).unwrap();
    check(&disk, &["a=", "b="]);
}

#[test]
fn the_end_of_a_sync_of_a_directory_that_is_gone_is_harmless() {
    let mut disk = formatted(&[("d/a", "")]);
    disk.remove("d/a").unwrap();
    let sync = disk.begin_sync_dir("d").unwrap();
    disk.remove_dir("d").unwrap();
    sync_dir(&mut disk, "/");
    disk.end_sync(sync).unwrap();
    check(&disk, &[""]);
}

#[test]
fn a_removal_is_durable_with_the_sync_of_its_directory() {
    let mut disk = formatted(&[("a", "o")]);
    disk.remove("a").unwrap();
    check(&disk, &["a=o", ""]);
    sync_dir(&mut disk, "/");
    check(&disk, &[""]);
}

#[test]
fn of_a_file_removed_and_made_again_either_one_or_none_is_there() {
    let mut disk = formatted(&[("a", "o")]);
    disk.remove("a").unwrap();
    write(&mut disk, "a", "n");
    sync_file(&mut disk, "a");
    check(&disk, &["a=o", "", "a=n"]);
    sync_dir(&mut disk, "/");
    check(&disk, &["a=n"]);
}

#[test]
fn replacing_by_rename_with_a_synced_file_shows_the_old_or_the_new_content() {
    let mut disk = formatted(&[("a", "o")]);
    write(&mut disk, "t", "n");
    sync_file(&mut disk, "t");
    disk.rename("t", "a").unwrap();
    check(&disk, &["a=o", "a=o t=n", "a=n"]);
    sync_dir(&mut disk, "/");
    check(&disk, &["a=n"]);
}

#[test]
fn replacing_by_rename_with_an_unsynced_file_may_show_an_empty_one() {
    let mut disk = formatted(&[("a", "o")]);
    write(&mut disk, "t", "n");
    disk.rename("t", "a").unwrap();
    check(&disk, &["a=o", "a=o t=", "a=o t=.", "a=o t=n", "a=", "a=.", "a=n"]);
    sync_dir(&mut disk, "/");
    // The old file's block is free by now, and may be the one that the new file got.
    check(&disk, &["a=", "a=.", "a=o", "a=n"]);
}

#[test]
fn a_rename_is_one_piece_unless_the_profile_splits_it() {
    let mut disk = formatted(&[("a", "o")]);
    disk.rename("a", "b").unwrap();
    assert_eq!(disk.units().len(), 1);
    check(&disk, &["a=o", "b=o"]);

    let mut disk = Disk::with_profile(Profile { rename_atomic: false, ..Profile::strict() });
    disk.put_durable("a", b"o").unwrap();
    disk.rename("a", "b").unwrap();
    assert_eq!(disk.units().len(), 2);
    check(&disk, &["a=o", "b=o", "a=o b=o", ""]);
}

#[test]
fn half_a_rename_stands_alone_once_one_of_two_directories_is_synced() {
    let mut disk = formatted(&[("p/x", "o"), ("q/y", "")]);
    disk.rename("p/x", "q/x").unwrap();
    check(&disk, &["p/ p/x=o q/ q/y=", "p/ q/ q/x=o q/y="]);
    let mut new_first = disk.clone();
    sync_dir(&mut new_first, "q");
    check(&new_first, &["p/ p/x=o q/ q/x=o q/y=", "p/ q/ q/x=o q/y="]);
    sync_dir(&mut new_first, "p");
    check(&new_first, &["p/ q/ q/x=o q/y="]);
    let mut old_first = disk;
    sync_dir(&mut old_first, "p");
    check(&old_first, &["p/ q/ q/y=", "p/ q/ q/x=o q/y="]);
    sync_dir(&mut old_first, "q");
    check(&old_first, &["p/ q/ q/x=o q/y="]);
}

#[test]
fn a_directory_is_renamed_with_all_that_is_in_it() {
    let mut disk = formatted(&[("d/a", "x")]);
    disk.rename("d", "e").unwrap();
    write(&mut disk, "e/b", "y");
    sync_file(&mut disk, "e/b");
    sync_dir(&mut disk, "e");
    check(&disk, &["d/ d/a=x d/b=y", "e/ e/a=x e/b=y"]);
    sync_dir(&mut disk, "/");
    check(&disk, &["e/ e/a=x e/b=y"]);
}

#[test]
fn a_directory_never_has_two_places() {
    let mut disk = formatted(&[("p/d/a", "x"), ("q/y", "")]);
    disk.rename("p/d", "q/d").unwrap();
    sync_dir(&mut disk, "q");
    check(&disk, &["p/ q/ q/d/ q/d/a=x q/y="]);

    let mut disk = Disk::with_profile(Profile { rename_atomic: false, ..Profile::strict() });
    disk.put_durable("d/a", b"x").unwrap();
    disk.rename("d", "e").unwrap();
    check(&disk, &["", "d/ d/a=x", "e/ e/a=x"]);
}

#[test]
fn what_no_name_leads_to_is_gone_with_its_content() {
    let mut disk = formatted(&[("d/a", "x")]);
    disk.rename("d/a", "a").unwrap();
    disk.remove_dir("d").unwrap();
    check(&disk, &["d/ d/a=x", "a=x d/", "a=x", ""]);
    sync_dir(&mut disk, "/");
    check(&disk, &["a=x"]);
}

#[test]
fn a_cycle_of_directories_made_by_lost_renames_is_gone() {
    let mut disk = formatted(&[("p/x", ""), ("q/y", "")]);
    disk.rename("p", "q/p").unwrap();
    disk.rename("q/p", "p").unwrap();
    disk.rename("q", "p/q").unwrap();
    let mut fates = [Fate::Kept, Fate::Lost, Fate::Kept].into_iter();
    disk.crash_with(&mut |_| fates.next().unwrap());
    assert_eq!(show(&disk), "");
}

#[test]
fn a_removed_tree_may_come_back_in_part() {
    let mut disk = formatted(&[("d/a", "x")]);
    disk.remove("d/a").unwrap();
    disk.remove_dir("d").unwrap();
    check(&disk, &["d/ d/a=x", "d/", ""]);
    sync_dir(&mut disk, "/");
    check(&disk, &[""]);
    assert_eq!(disk.inodes.len(), 1, "only the root is left");
    assert_eq!(disk.pending(), 0);
}

#[test]
fn renaming_a_file_onto_itself_or_another_of_its_names_does_nothing() {
    let mut disk = formatted(&[("a", "x")]);
    disk.hard_link("a", "b").unwrap();
    sync_dir(&mut disk, "/");
    disk.rename("a", "b").unwrap();
    disk.rename("a", "a").unwrap();
    assert_eq!(disk.units(), []);
    assert_eq!(disk.rename_noreplace("a", "b"), Err(DiskError::AlreadyExists));
    assert_eq!(disk.rename_noreplace("a", "a"), Err(DiskError::AlreadyExists));
    check(&disk, &["a=x b=x"]);
}

#[test]
fn the_root_can_be_neither_made_nor_moved_nor_removed() {
    let mut disk = formatted(&[("a", "x"), ("d/b", "")]);
    assert_eq!(disk.create_dir("/"), Err(DiskError::AlreadyExists));
    assert_eq!(disk.remove_dir("/"), Err(DiskError::InvalidInput));
    assert_eq!(disk.remove("/"), Err(DiskError::IsADirectory));
    assert_eq!(disk.rename("/", "d/e"), Err(DiskError::InvalidInput));
    assert_eq!(disk.rename("a", "/"), Err(DiskError::InvalidInput));
    assert_eq!(disk.rename_noreplace("a", "/"), Err(DiskError::AlreadyExists));
    assert_eq!(disk.hard_link("a", "/"), Err(DiskError::AlreadyExists));
    assert_eq!(disk.hard_link("/", "e"), Err(DiskError::IsADirectory));
    assert_eq!(disk.open("/", OpenMode::Create), Err(DiskError::IsADirectory));
    assert_eq!(disk.open("/", OpenMode::CreateNew), Err(DiskError::AlreadyExists));
    assert_eq!(disk.read_dir("/"), Ok(vec!["a".to_owned(), "d".to_owned()]));
    assert_eq!(disk.pending(), 0);
}

#[test]
fn links_are_counted_anew_after_a_crash() {
    let mut disk = formatted(&[("a", "x")]);
    disk.hard_link("a", "b").unwrap();
    disk.rename("a", "c").unwrap();
    for outcome in disk.outcomes() {
        let names = outcome.read_dir("/").unwrap();
        for name in &names {
            let links = outcome.metadata(name).unwrap().links;
            assert_eq!(usize::try_from(links), Ok(names.len()), "{names:?}");
        }
    }
}

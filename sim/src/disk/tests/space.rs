//! A limited space: what fits, what does not, and what gives space back.

use super::*;

fn append(disk: &mut Disk, path: &str, len: usize) -> DiskResult<usize> {
    let file = disk.open(path, OpenMode::Write).unwrap();
    let appended = disk.append(file, &vec![b'x'; len]);
    disk.close(file);
    appended
}

#[test]
fn a_write_takes_what_fits_and_the_next_one_nothing() {
    let mut disk = formatted(&[("a", "aaaa"), ("b", "bb")]);
    assert_eq!(disk.used(), 6);
    disk.set_capacity(Some(10));
    assert_eq!(append(&mut disk, "a", 9), Ok(4));
    assert_eq!(disk.used(), 10);
    assert_eq!(append(&mut disk, "a", 1), Err(DiskError::NoSpace));
    assert_eq!(append(&mut disk, "b", 1), Err(DiskError::NoSpace));
    let file = disk.open("a", OpenMode::Write).unwrap();
    assert_eq!(disk.write_at(file, 6, b"yyy"), Ok(2), "what overwrites fits");
    assert_eq!(disk.write_at(file, 8, b"y"), Err(DiskError::NoSpace));
    assert_eq!(disk.write_at(file, 100, b"y"), Err(DiskError::NoSpace));
    assert_eq!(disk.read_at(file, 0, 99).unwrap(), "aaaaxxyy");
    disk.set_capacity(None);
    assert_eq!(append(&mut disk, "a", 9), Ok(9));
}

#[test]
fn a_gap_before_a_write_takes_space_too() {
    let mut disk = formatted(&[("a", "")]);
    disk.set_capacity(Some(10));
    let file = disk.open("a", OpenMode::Write).unwrap();
    assert_eq!(disk.write_at(file, 10, b"yyy"), Err(DiskError::NoSpace));
    assert_eq!(disk.write_at(file, 8, b"yyy"), Ok(2));
    assert_eq!((disk.used(), disk.file_metadata(file).unwrap().len), (10, 10));
}

#[test]
fn a_full_disk_takes_no_names_and_no_growth_but_reads_removes_and_cuts() {
    let mut disk = formatted(&[("a", "aaaa"), ("b", "bb"), ("d/c", "")]);
    disk.set_capacity(Some(6));
    let no = Err(DiskError::NoSpace);
    assert_eq!(disk.create_dir("e"), no);
    assert_eq!(disk.open("e", OpenMode::Create).map(|_| ()), no);
    assert_eq!(disk.hard_link("a", "e"), no);
    let file = disk.open("a", OpenMode::Create).unwrap();
    assert_eq!(disk.set_len(file, 5), no);
    assert_eq!(disk.set_len(file, 4), Ok(()));
    assert_eq!(disk.read_at(file, 0, 9).unwrap(), "aaaa");
    assert_eq!(disk.rename("a", "moved"), Ok(()));
    assert_eq!(disk.set_len(file, 3), Ok(()));
    assert_eq!(disk.create_dir("e"), Ok(()));
    assert_eq!(append(&mut disk, "b", 9), Ok(1));
    assert_eq!(disk.remove("b"), Ok(()));
    assert_eq!(disk.used(), 3);
    assert_eq!(append(&mut disk, "moved", 9), Ok(3));
}

#[test]
fn the_space_of_a_removed_file_is_free_after_its_last_handle_and_name() {
    let mut disk = formatted(&[("a", "aaaa")]);
    disk.hard_link("a", "b").unwrap();
    assert_eq!(disk.used(), 4, "two names of one file");
    let (one, two) =
        (disk.open("a", OpenMode::Write).unwrap(), disk.open("a", OpenMode::Read).unwrap());
    disk.remove("a").unwrap();
    disk.remove("b").unwrap();
    assert_eq!(disk.used(), 4);
    disk.append(one, b"x").unwrap();
    disk.close(one);
    assert_eq!(disk.used(), 5);
    disk.close(two);
    assert_eq!(disk.used(), 0);
    // The names are durable still: a power cut brings all back.
    disk.crash_with(&mut |_| Fate::Lost);
    assert_eq!((show(&disk).as_str(), disk.used()), ("a=aaaa", 4));
    disk.open("a", OpenMode::Read).unwrap();
    disk.remove("a").unwrap();
    disk.kill();
    assert_eq!(disk.used(), 0);
}

#[test]
fn a_replaced_file_gives_its_space_back_and_truncation_does() {
    let mut disk = formatted(&[("a", "aaaa"), ("b", "bb")]);
    disk.rename("b", "a").unwrap();
    assert_eq!(disk.used(), 2);
    let file = disk.open("a", OpenMode::Truncate).unwrap();
    assert_eq!(disk.used(), 0);
    disk.set_len(file, 7).unwrap();
    assert_eq!(disk.used(), 7);
}

#[test]
fn on_a_disk_that_was_filled_removing_frees_nothing() {
    let mut disk = formatted(&[("a", "aaaa"), ("b", "bb")]);
    disk.fill();
    disk.remove("a").unwrap();
    assert_eq!(append(&mut disk, "b", 1), Err(DiskError::NoSpace));
    assert_eq!(disk.create_dir("d"), Err(DiskError::NoSpace));
    disk.unfill();
    assert_eq!(append(&mut disk, "b", 1), Ok(1));
}

#[test]
fn a_replacement_has_the_same_capacity_and_is_not_full() {
    let mut disk = formatted(&[("a", "aaaa")]);
    disk.set_capacity(Some(3));
    disk.fill();
    let mut new = disk.replacement();
    new.open("b", OpenMode::CreateNew).unwrap();
    assert_eq!(append(&mut new, "b", 9), Ok(3));
}

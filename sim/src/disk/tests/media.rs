//! Sectors that go wrong, and writes that go astray.

use super::*;
use crate::{
    disk::{DiskFault, Handle},
    random::Stream,
};

fn harm(disk: &mut Disk, directory: &str, fault: DiskFault, seed: u64) -> Option<String> {
    disk.harm(directory, fault, &mut Stream::new(seed, "harm", 0, 0))
}

/// `a` is three sectors of different letters and a little more, `b` is short; all durable.
fn four_sectors() -> (Disk, Handle) {
    let content = ["p", "q", "r"].map(|letter| letter.repeat(512)).concat() + "tail";
    let mut disk = formatted(&[("d/a", &content), ("d/b", "bb"), ("c", "c")]);
    let file = disk.open("d/a", OpenMode::Write).unwrap();
    (disk, file)
}

/// The fault drawn from the first seed whose text begins so.
fn harm_at(disk: &mut Disk, fault: DiskFault, place: &str) {
    for seed in 0..1000 {
        let mut trial = disk.clone();
        if harm(&mut trial, "d", fault, seed).is_some_and(|struck| struck.starts_with(place)) {
            *disk = trial;
            return;
        }
    }
    panic!("no seed strikes {place}");
}

#[test]
fn an_unreadable_sector_fails_every_read_that_touches_it_and_no_other() {
    let (mut disk, file) = four_sectors();
    harm_at(&mut disk, DiskFault::LatentError, "sector 1 of /d/a");
    for (offset, len) in [(512, 1), (1023, 1), (0, 513), (0, 9999), (1023, 2)] {
        assert_eq!(disk.read_at(file, offset, len), Err(DiskError::Io), "{len} at {offset}");
    }
    for (offset, len) in [(0, 512), (1024, 9999), (512, 0), (9999, 1)] {
        assert!(disk.read_at(file, offset, len).is_ok(), "{len} at {offset}");
    }
    disk.crash_with(&mut |_| Fate::Lost);
    disk.rename("d/a", "moved").unwrap();
    let file = disk.open("moved", OpenMode::Read).unwrap();
    assert_eq!(disk.read_at(file, 700, 1), Err(DiskError::Io), "over a crash and a rename");
}

#[test]
fn no_sector_becomes_unreadable_while_it_has_unsynced_bytes() {
    let (mut disk, file) = four_sectors();
    disk.write_at(file, 600, b"new").unwrap();
    let mut struck = BTreeSet::new();
    for seed in 0..100 {
        struck.insert(harm(&mut disk.clone(), "d", DiskFault::LatentError, seed).unwrap());
    }
    let all = ["sector 0 of /d/a", "sector 0 of /d/b", "sector 2 of /d/a", "sector 3 of /d/a"];
    assert_eq!(struck.iter().map(String::as_str).collect::<Vec<_>>(), all);
    write(&mut disk, "c", "whole");
    assert_eq!(harm(&mut disk, "/", DiskFault::LatentError, 1), None, "c is all unsynced");
    assert_eq!(disk.write_at(file, 603, b"more"), Ok(4));
}

#[test]
fn an_unreadable_sector_is_cured_by_writing_it_whole_and_no_part_of_it_can_be_written() {
    let (mut disk, file) = four_sectors();
    harm_at(&mut disk, DiskFault::LatentError, "sector 1 of /d/a");
    for (offset, len) in [(512, 511), (513, 511), (0, 1023), (1023, 99)] {
        let before = disk.pending();
        assert_eq!(disk.write_at(file, offset, &vec![b'n'; len]), Err(DiskError::Io));
        assert_eq!(disk.pending(), before, "nothing was written");
    }
    assert_eq!(disk.write_at(file, 0, b"beside"), Ok(6));
    assert_eq!(disk.read_at(file, 512, 1), Err(DiskError::Io));
    assert_eq!(disk.write_at(file, 500, &[b'n'; 524]), Ok(524));
    assert_eq!(disk.read_at(file, 512, 2).unwrap(), "nn");

    harm_at(&mut disk, DiskFault::LatentError, "sector 3 of /d/a");
    assert_eq!(disk.append(file, b"more"), Err(DiskError::Io));
    assert_eq!(disk.write_at(file, 1536, b"TAIL and more"), Ok(13), "all that the file had of it");
    assert_eq!(disk.read_at(file, 1536, 99).unwrap(), "TAIL and more");

    disk.sync_data(file).unwrap();
    harm_at(&mut disk, DiskFault::LatentError, "sector 3 of /d/a");
    disk.set_len(file, 1536).unwrap();
    assert_eq!(disk.append(file, b"tail"), Ok(4), "cut off and grown anew");
}

#[test]
fn a_misdirected_read_gives_another_sector_again_and_again_until_it_is_written() {
    let (mut disk, file) = four_sectors();
    harm_at(&mut disk, DiskFault::MisdirectedRead, "sector 1 of /d/a, as sector 0 of /d/a");
    let read = |disk: &mut Disk| show_bytes(&disk.read_at(file, 510, 600).unwrap());
    assert_eq!(read(&mut disk), "p*514r*86");
    disk.write_at(file, 0, b"xxxx").unwrap();
    assert_eq!(read(&mut disk), "p*514r*86", "the same each time");
    disk.write_at(file, 600, b"x").unwrap();
    assert_eq!(read(&mut disk), "ppq*88xq*423r*86");

    let mut disk = four_sectors().0;
    harm_at(&mut disk, DiskFault::MisdirectedRead, "sector 0 of /d/b, as sector 2 of /d/a");
    let short = disk.open("d/b", OpenMode::Read).unwrap();
    assert_eq!(disk.read_at(short, 0, 99).unwrap(), "rr", "the length is the file's own");
    let mut disk = four_sectors().0;
    harm_at(&mut disk, DiskFault::MisdirectedRead, "sector 2 of /d/a, as sector 3 of /d/a");
    let file = disk.open("d/a", OpenMode::Read).unwrap();
    assert_eq!(show_bytes(&disk.read_at(file, 1024, 512).unwrap()), "tail.*508");
}

#[test]
fn where_nothing_differs_or_no_file_has_bytes_no_read_is_misdirected() {
    let mut disk = formatted(&[("d/a", &"x".repeat(1024)), ("e", "")]);
    for seed in 0..20 {
        assert_eq!(harm(&mut disk, "d", DiskFault::MisdirectedRead, seed), None);
        assert_eq!(harm(&mut disk, "/", DiskFault::LatentError, seed), None);
        assert_eq!(harm(&mut disk, "none", DiskFault::PhantomWrite, seed), None);
    }
}

#[test]
fn a_phantom_write_is_acknowledged_synced_and_gone_with_the_cache() {
    let mut seen = BTreeSet::new();
    for seed in 0..40 {
        let (mut disk, file) = four_sectors();
        let struck = harm(&mut disk, "d", DiskFault::PhantomWrite, seed);
        assert_eq!(struck.as_deref(), Some("the next write at or below /d"));
        write(&mut disk, "c", "C");
        assert_eq!(disk.write_at(file, 400, &[b'n'; 1300]), Ok(1300));
        sync_file(&mut disk, "d/a");
        let read = |disk: &mut Disk| show_bytes(&disk.read_at(file, 0, 9999).unwrap());
        assert_eq!(read(&mut disk), "p*400n*1300");
        disk.evict();
        seen.insert((disk.take_struck().join(" "), read(&mut disk)));
        let durable = disk.durable_tree()["/d/a"].1.clone();
        assert_eq!(show_bytes(&durable), read(&mut disk), "as durable");
    }
    let at = |sector, bytes: &str| {
        (format!("phantom write in sector {sector} of /d/a"), bytes.to_owned())
    };
    let expected = [
        at(0, "p*512n*1188"),
        at(1, "p*400n*112q*512n*676"),
        at(2, "p*400n*624r*512n*164"),
        at(3, "p*400n*1136tail.*160"),
    ];
    assert_eq!(seen, expected.into());
}

#[test]
fn a_phantom_write_over_a_whole_write_leaves_nothing_to_sync() {
    let (mut disk, file) = four_sectors();
    harm(&mut disk, "/", DiskFault::PhantomWrite, 1);
    disk.write_at(file, 0, &[b'n'; 512]).unwrap();
    assert_eq!(disk.pending(), 0);
    assert_eq!(disk.read_at(file, 0, 1).unwrap(), "n");
    disk.crash_with(&mut |_| Fate::Kept);
    assert!(show(&disk).contains("d/a=p*512q"));
}

#[test]
fn a_misdirected_write_destroys_another_sector_in_every_layer_and_leaves_its_own_as_it_was() {
    let (mut own, mut other) = (0, 0);
    for seed in 0..60 {
        let (mut disk, file) = four_sectors();
        harm(&mut disk, "d", DiskFault::MisdirectedWrite, seed);
        assert_eq!(disk.write_at(file, 512, &[b'n'; 512]), Ok(512));
        assert_eq!(show_bytes(&disk.read_at(file, 512, 512).unwrap()), "n*512");
        let victim = disk.take_struck();
        assert_eq!(victim[0], "misdirected write in sector 1 of /d/a");
        let (live, durable) = (show(&disk), show(&disk.durable_after_eviction()));
        assert!(live.starts_with("c=c "), "outside of the directory: {live}");
        let expected = match victim[1].trim_start_matches("misdirected write in ") {
            "sector 0 of /d/a" => "n*512q*512r*512tail d/b=bb",
            "sector 2 of /d/a" => "p*512q*512n*512tail d/b=bb",
            "sector 3 of /d/a" => "p*512q*512r*512nnnn d/b=bb",
            "sector 0 of /d/b" => "p*512q*512r*512tail d/b=nn",
            other => panic!("{other}"),
        };
        assert_eq!(durable, format!("c=c d/ d/a={expected}"));
        own += u32::from(victim[1].ends_with("/d/a"));
        other += u32::from(victim[1].ends_with("/d/b"));
    }
    assert!(own > 10 && other > 3, "{own} in the same file, {other} in another");
}

impl Disk {
    fn durable_after_eviction(&self) -> Self {
        let mut disk = self.clone();
        disk.evict();
        assert_eq!(disk.tree(), disk.durable_tree());
        disk
    }
}

#[test]
fn a_misdirected_write_destroys_what_is_unsynced_as_well() {
    let mut disk = formatted(&[("a", "aa"), ("b", "bb")]);
    write(&mut disk, "b", "BBBB");
    let file = disk.open("a", OpenMode::Write).unwrap();
    harm(&mut disk, "/", DiskFault::MisdirectedWrite, 1);
    disk.write_at(file, 0, b"nnn").unwrap();
    assert_eq!(show(&disk), "a=nnn b=nnnB");
    sync_file(&mut disk, "b");
    sync_file(&mut disk, "a");
    assert_eq!(show(&disk.durable_after_eviction()), "a=aa. b=nnnB");
}

#[test]
fn a_failed_write_leaves_nothing_or_its_first_sectors() {
    let mut seen = BTreeSet::new();
    for seed in 0..40 {
        let (mut disk, file) = four_sectors();
        harm(&mut disk, "/d", DiskFault::WriteError, seed);
        assert_eq!(disk.write_at(file, 400, &[b'n'; 1300]), Err(DiskError::Io));
        seen.insert(show_bytes(&disk.read_at(file, 0, 9999).unwrap()));
        assert_eq!(disk.append(file, b"!"), Ok(1), "only the next one fails");
    }
    let expected = [
        "p*512q*512r*512tail",
        "p*400n*112q*512r*512tail",
        "p*400n*624r*512tail",
        "p*400n*1136tail",
    ];
    assert_eq!(seen, expected.map(str::to_owned).into());
}

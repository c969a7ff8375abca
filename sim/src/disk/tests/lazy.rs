//! Sectors that are decided when somebody looks: nothing is missed, nothing is added, and what
//! nobody looks at is not multiplied.

use super::{super::DiskFault, fork::step, *};
use crate::random::Stream;

const OUTCOMES_MAX: u64 = 1_000;

/// A disk with unsynced changes, not too many.
fn some_disk(seed: u64) -> Option<Disk> {
    let stream = &mut Stream::new(seed, "lazy", 0, 0);
    let mut disk = Disk::with_profile(Profile::ALL[stream.index(Profile::ALL.len())]);
    disk.put_durable("gone", &[b'g'; 700]).unwrap();
    disk.put_durable("a", &[b'o'; 1100]).unwrap();
    disk.put_durable("e", &[b'e'; 5000]).unwrap();
    disk.remove("gone").unwrap();
    disk.sync_everything();
    for n in 0..stream.index(7) + 1 {
        if stream.chance(1, 3) {
            step(&mut disk, stream);
        } else if let Ok(file) = disk.open(["a", "e", "b"][stream.index(3)], OpenMode::Create) {
            let byte = b'0' + u8::try_from(n).unwrap();
            let (at, len) = (stream.between(0, 1500), stream.index(600));
            match stream.index(6) {
                0 => disk.set_len(file, at).unwrap(),
                1 => drop(disk.append(file, &vec![byte; len])),
                _ => drop(disk.write_at(file, at, &vec![byte; len])),
            }
        }
    }
    (disk.outcome_count(OUTCOMES_MAX) < OUTCOMES_MAX).then_some(disk)
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Forwards,
    Backwards,
}
use Direction::{Backwards, Forwards};

/// Everything that can be read, in one order or the other.
fn read_all(disk: &mut Disk, direction: Direction) -> String {
    let mut found = Vec::new();
    let mut open = vec![String::new()];
    while let Some(path) = open.pop() {
        if disk.metadata(&path).unwrap().kind == FileKind::Directory {
            let mut names = disk.read_dir(&path).unwrap();
            if direction == Backwards {
                names.reverse();
            }
            open.extend(names.iter().map(|name| format!("{path}/{name}")));
            found.push(path);
            continue;
        }
        let file = disk.open(&path, OpenMode::Read).unwrap();
        let mut pieces: Vec<u64> =
            (0..disk.file_metadata(file).unwrap().len).step_by(100).collect();
        if direction == Backwards {
            pieces.reverse();
        }
        let mut read: Vec<_> =
            pieces.iter().map(|at| (*at, disk.read_at(file, *at, 100).unwrap())).collect();
        read.sort();
        let bytes: Vec<u8> = read.into_iter().flat_map(|(_, bytes)| bytes).collect();
        found.push(format!("{path}={}", show_bytes(&bytes)));
    }
    found.sort();
    found.join(" ")
}

/// What the beginning of each file says, and of some the rest as well.
fn read_some(disk: &mut Disk) -> String {
    let mut found = Vec::new();
    for path in disk.read_dir("/").unwrap() {
        if let Ok(file) = disk.open(&path, OpenMode::Read) {
            let len = disk.file_metadata(file).unwrap().len;
            let mut read = disk.read_at(file, 0, 10).unwrap().to_vec();
            if read.first() == Some(&b'o') {
                read.extend(disk.read_at(file, 600, 2000).unwrap());
            }
            found.push(format!("{path} of {len}={}", show_bytes(&read)));
        }
    }
    found.join(" ")
}

/// Writes, cuts and grows what it finds, loses power itself, and reads what that left.
fn change_and_crash(disk: &mut Disk, kept: Fate) -> String {
    for path in ["a", "e"] {
        if let Ok(file) = disk.open(path, OpenMode::Write) {
            disk.write_at(file, 300, &[b'w'; 400]).unwrap();
            disk.set_len(file, 1300).unwrap();
            disk.append(file, b"more").unwrap();
            if path == "e" {
                disk.sync_file(file).unwrap();
            }
        }
    }
    disk.crash_with(&mut |_| kept);
    read_all(disk, Forwards)
}

fn damage_and_read(disk: &mut Disk, fault: DiskFault) -> String {
    for directory in ["/", "d", "e"] {
        disk.harm(directory, fault, &mut Stream::new(1, "harm", 0, 0));
    }
    read_all(disk, Forwards)
}

fn damage_and_write(disk: &mut Disk, fault: DiskFault) -> String {
    disk.harm("/", fault, &mut Stream::new(1, "harm", 0, 0));
    disk.harm("/", fault, &mut Stream::new(2, "harm", 0, 0));
    change_and_crash(disk, Fate::Kept)
}

#[test]
fn what_a_recovery_finds_over_its_own_decisions_is_what_it_finds_over_all_outcomes() {
    let programs: [fn(&mut Disk) -> String; 8] = [
        |disk| read_all(disk, Forwards),
        read_some,
        |disk| change_and_crash(disk, Fate::Kept),
        |disk| change_and_crash(disk, Fate::Lost),
        |disk| damage_and_read(disk, DiskFault::BitRot),
        |disk| damage_and_read(disk, DiskFault::MisdirectedRead),
        |disk| damage_and_write(disk, DiskFault::MisdirectedWrite),
        |disk| damage_and_write(disk, DiskFault::PhantomWrite),
    ];
    let (mut runs, mut outcomes) = (0, 0);
    for seed in 0..80 {
        let Some(disk) = some_disk(seed) else { continue };
        for (n, program) in programs.iter().enumerate() {
            let (mut expected, mut images) = (BTreeSet::new(), BTreeSet::new());
            for mut outcome in disk.outcomes() {
                expected.insert(program(&mut outcome));
                images.insert(outcome.image_hash());
                outcomes += 1;
            }
            let mut found = BTreeSet::new();
            let explored = disk.explore(u64::MAX, |disk| {
                found.insert(program(disk));
            });
            assert_eq!(found, expected, "seed {seed}, program {n}: {disk:?}");
            assert!(explored.complete && explored.runs <= disk.outcome_count(u64::MAX));
            if n != 1 {
                assert_eq!(explored.images, images.len(), "seed {seed}, program {n}: {disk:?}");
            }
            runs += explored.runs;
        }
    }
    assert!(runs * 10 < outcomes * 9, "{runs} runs for {outcomes} outcomes");
}

#[test]
fn bytes_behind_a_durable_cut_come_to_light_under_a_later_growth_as_over_all_outcomes() {
    let mut disk = Disk::with_profile(Profile::ext4_writeback());
    disk.put_durable("a", &[b'o'; 500]).unwrap();
    let file = disk.open("a", OpenMode::Write).unwrap();
    disk.set_len(file, 100).unwrap();
    // The cut becomes durable, but not the zeros behind it.
    write(&mut disk, "b", "b");
    sync_file(&mut disk, "b");
    disk.write_at(file, 300, b"n").unwrap();
    let expected: BTreeSet<_> = disk.outcomes().map(|mut it| read_all(&mut it, Forwards)).collect();
    assert!(expected.iter().any(|state| state.contains("o*300n")), "{expected:?}");
    let mut found = BTreeSet::new();
    disk.explore(u64::MAX, |disk| {
        found.insert(read_all(disk, Forwards));
    });
    assert_eq!(found, expected);
}

#[test]
fn sectors_that_nobody_looks_at_do_not_multiply_the_runs() {
    let mut disk = formatted(&[("a", &"o".repeat(40 * 512)), ("b", "old")]);
    write(&mut disk, "a", &"n".repeat(40 * 512));
    write(&mut disk, "b", "new");
    let explored = disk.explore(100, |_| {});
    assert_eq!(explored, Explored { runs: 1, images: 1, complete: true });
    let mut read = BTreeSet::new();
    let explored = disk.explore(100, |disk| {
        let file = disk.open("a", OpenMode::Read).unwrap();
        // Two sectors, of which one twice.
        let bytes = [(500, 20), (0, 10)].map(|(at, len)| disk.read_at(file, at, len).unwrap());
        read.insert(show_bytes(&bytes.concat()));
    });
    assert_eq!(explored, Explored { runs: 4, images: 4, complete: true });
    assert_eq!(read.len(), 4);
    let explored = disk.explore(100, |disk| {
        let file = disk.open("a", OpenMode::Write).unwrap();
        // Cuts are of what is behind them.
        disk.set_len(file, 38 * 512 + 1).unwrap();
        // The middle of one sector, which is the last that may still be read.
        disk.write_at(file, 38 * 512, b"x").unwrap();
    });
    assert_eq!((explored.runs, explored.complete), (4, true));
}

#[test]
fn the_bound_on_runs_is_told_when_it_is_hit() {
    let mut disk = formatted(&[("a", &"o".repeat(2048))]);
    write(&mut disk, "a", &"n".repeat(2048));
    let explore = |max| {
        let explored = disk.explore(max, |disk| drop(read_all(disk, Forwards)));
        (explored.runs, explored.complete)
    };
    assert_eq!(explore(0), (0, false));
    assert_eq!(explore(15), (15, false));
    assert_eq!(explore(16), (16, true));
    assert_eq!(explore(17), (16, true));
}

#[test]
fn a_drawn_outcome_is_the_same_in_whatever_order_it_is_read_and_differs_between_seeds() {
    let mut several = 0;
    for seed in 0..100 {
        let Some(disk) = some_disk(seed) else { continue };
        let possible: BTreeSet<_> =
            disk.outcomes().map(|mut it| read_all(&mut it, Forwards)).collect();
        let mut found = BTreeSet::new();
        for draw in 0..10 {
            let crashed = || {
                let mut fork = disk.clone();
                fork.crash_lazily(draw);
                fork
            };
            let forwards = read_all(&mut crashed(), Forwards);
            let mut fork = crashed();
            assert_eq!(read_all(&mut fork, Backwards), forwards);
            let mut decided = crashed();
            decided.decide();
            assert_eq!(decided.image_hash(), fork.image_hash());
            assert!(possible.contains(&forwards), "{forwards}");
            found.insert(forwards);
        }
        several += u32::from(found.len() > 1);
    }
    assert!(several > 50, "{several}");
}

#[test]
fn a_whole_image_shows_undecided_sectors_as_lost() {
    let mut disk = formatted(&[("a", &"o".repeat(1024))]);
    write(&mut disk, "a", &"n".repeat(1024));
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..20 {
        let mut crashed = disk.clone();
        crashed.crash_lazily(seed);
        assert_eq!(show(&crashed), "a=o*1024");
        crashed.decide();
        match show(&crashed).as_str() {
            "a=o*1024" => lost += 1,
            "a=n*1024" => kept += 1,
            _ => {}
        }
    }
    assert!(lost > 0 && kept > 0);
}

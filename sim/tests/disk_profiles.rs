//! How the profiles lie to each other: whatever a real file system may leave, `strict` may leave,
//! too, over random histories; and a drive that lies may leave whatever an honest one may.

use std::collections::BTreeSet;

use unplug_sim::{
    disk::{Damage, Disk, Profile},
    env::OpenMode,
    random::Stream,
};

const HISTORIES: u64 = 1000;
const STEPS: usize = 6;
const OUTCOMES_MAX: u64 = 1000;
const PATHS: [&str; 4] = ["a/x", "a/y", "b/x", "z"];

fn formatted(profile: Profile) -> Disk {
    let mut disk = Disk::with_profile(profile);
    disk.put_durable("a/x", &[b'o'; 600]).expect("the path is good");
    disk.put_durable("b/x", b"b").expect("the path is good");
    disk
}

/// One drawn step; one that the disk refuses does nothing.
fn step(disk: &mut Disk, stream: &mut Stream) {
    let (path, other) = (PATHS[stream.index(PATHS.len())], PATHS[stream.index(PATHS.len())]);
    let len = [1, 511, 513, 900][stream.index(4)];
    let byte = [b'n', b'm'][stream.index(2)];
    let dir = ["/", "a", "b"][stream.index(3)];
    let on_file = |disk: &mut Disk, mode, act: &dyn Fn(&mut Disk, _)| {
        if let Ok(file) = disk.open(path, mode) {
            act(disk, file);
            disk.close(file);
        }
    };
    match stream.index(10) {
        0 => on_file(disk, OpenMode::Create, &|disk, file| {
            disk.write_at(file, 0, &vec![byte; len]).expect("small");
        }),
        1 => on_file(disk, OpenMode::Create, &|disk, file| {
            disk.append(file, &vec![byte; len]).expect("small");
        }),
        2 => on_file(disk, OpenMode::Truncate, &|disk, file| {
            disk.append(file, &vec![byte; len]).expect("small");
        }),
        3 => on_file(disk, OpenMode::Write, &|disk, file| {
            disk.set_len(file, len as u64).expect("small");
        }),
        4 => drop(disk.rename(path, other)),
        5 => drop(disk.remove(path)),
        6 => drop(disk.hard_link(path, other)),
        7 => on_file(disk, OpenMode::Read, &|disk, file| {
            disk.sync_file(file).expect("it is open");
        }),
        8 => on_file(disk, OpenMode::Read, &|disk, file| {
            disk.sync_data(file).expect("it is open");
        }),
        _ => disk.sync_dir(dir).expect("it is there"),
    }
}

/// The disk after one drawn history, with one profile and with another.
fn pair(seed: u64, one: Profile, other: Profile) -> (Disk, Disk) {
    let run = |profile| {
        let mut stream = Stream::new(seed, "history", 0, 0);
        let mut disk = formatted(profile);
        (0..STEPS).for_each(|_| step(&mut disk, &mut stream));
        disk
    };
    (run(one), run(other))
}

/// Checks that whatever `narrow` may leave, `wide` may leave; tells how many states that were.
fn contained(narrow: Profile, wide: Profile) -> usize {
    let mut checked = 0;
    for seed in 0..HISTORIES {
        let (few, many) = pair(seed, narrow, wide);
        assert_eq!(few.tree(), many.tree(), "no crash, no difference");
        if many.outcome_count(OUTCOMES_MAX) == OUTCOMES_MAX {
            continue;
        }
        let allowed: BTreeSet<u128> = many.outcomes().map(|it| it.image_hash()).collect();
        for outcome in few.outcomes() {
            assert!(
                allowed.contains(&outcome.image_hash()),
                "history {seed}: {} leaves {}, which {} does not",
                narrow.name,
                show(&outcome),
                wide.name
            );
            checked += 1;
        }
    }
    checked
}

fn show(disk: &Disk) -> String {
    let tree = disk.tree();
    let files = tree.iter().map(|(path, (_, bytes))| {
        let runs = bytes
            .chunk_by(|a, b| a == b)
            .map(|run| format!("{}*{}", char::from(run[0]), run.len()));
        format!("{path}={}", runs.collect::<Vec<_>>().join("+"))
    });
    files.collect::<Vec<_>>().join(" ")
}

#[test]
fn whatever_a_file_system_may_leave_strict_may_leave_as_well() {
    let unflushed =
        Profile { replace_flushes: false, rewrite_flushes: false, ..Profile::ext4_ordered() };
    let split = Profile { rename_atomic: false, ..Profile::strict() };
    let pairs = [
        (Profile::ext4_ordered(), Profile::strict()),
        (unflushed, Profile::strict()),
        (Profile::xfs(), Profile::strict()),
        (Profile::btrfs(), split),
    ];
    for (narrow, wide) in pairs {
        let checked = contained(narrow, wide);
        assert!(checked > 1_000, "{}: only {checked} states", narrow.name);
    }
}

#[test]
fn each_ext4_may_leave_what_a_stricter_one_may() {
    let unflushed =
        Profile { replace_flushes: false, rewrite_flushes: false, ..Profile::ext4_ordered() };
    assert!(contained(Profile::ext4_ordered(), unflushed) > 1_000);
    assert!(contained(unflushed, Profile::ext4_writeback()) > 1_000);
}

#[test]
fn a_lying_drive_may_leave_whatever_an_honest_one_may() {
    // Without stale bytes: what is removed for good on the one may still be there on the other.
    let dry = |profile| Profile { damage: Damage::NONE, ..profile };
    assert!(contained(dry(Profile::strict()), dry(Profile::lying_drive())) > 1_000);
}

#[test]
fn profiles_are_found_by_name_and_by_no_other() {
    for profile in Profile::ALL {
        assert_eq!(Profile::named(profile.name), Some(profile));
    }
    assert_eq!(Profile::named("ext5"), None);
}

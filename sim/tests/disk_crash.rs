//! What a power cut leaves: random outcomes are the enumerated ones, and a program that goes by
//! the book finds what it needs in all of them.

use std::collections::{BTreeMap, BTreeSet};

mod histories;

use histories::{formatted, sync_dir, sync_file, write};
use unplug_sim::{
    disk::{CrashMode, Disk, Fate, Profile, SyncCovers},
    env::{FileKind, OpenMode},
    random::Stream,
};

fn stream(seed: u64) -> Stream {
    Stream::new(seed, "disk", 0, 0)
}

/// Small histories, each different in kind.
fn histories(profile: Profile) -> Vec<(&'static str, Disk)> {
    let mut append = formatted(profile);
    write(&mut append, "old", OpenMode::Write, &[b'n'; 700]);

    let mut new_file = formatted(profile);
    write(&mut new_file, "new", OpenMode::CreateNew, b"n");
    write(&mut new_file, "new", OpenMode::Write, b"m");

    let mut replace = formatted(profile);
    write(&mut replace, "tmp", OpenMode::CreateNew, b"n");
    sync_file(&mut replace, "tmp");
    replace.rename("tmp", "old").expect("both are files");
    replace.remove("other").expect("a file");

    let mut rewrite = formatted(profile);
    write(&mut rewrite, "old", OpenMode::Truncate, b"n");
    rewrite.hard_link("old", "link").expect("no such name yet");

    let mut tree = formatted(profile);
    tree.create_dir("a/d").expect("no such name yet");
    tree.rename("a/x", "a/d/x").expect("the directory is there");
    tree.rename("a/d", "b/d").expect("no such name yet");
    sync_dir(&mut tree, "b");
    tree.rename("b/y", "a/y").expect("no such name yet");
    sync_dir(&mut tree, "a");
    tree.rename("a/y", "y").expect("no such name yet");

    vec![
        ("append", append),
        ("new file", new_file),
        ("replace", replace),
        ("rewrite", rewrite),
        ("tree", tree),
    ]
}

#[test]
fn random_outcomes_are_the_enumerated_ones_all_of_them_and_no_others() {
    for (profile, (name, disk)) in in_each_profile() {
        let enumerated: BTreeSet<u128> = disk.outcomes().map(|it| it.image_hash()).collect();
        let random = |seed| {
            let mut crashed = disk.clone();
            crashed.crash(&mut stream(seed));
            crashed.image_hash()
        };
        let reached: BTreeSet<u128> = (0..16_000).map(random).collect();
        let few = profile == "fdb" && matches!(name, "tree" | "replace");
        assert!(few || enumerated.len() > 1, "{profile}, {name}: one state tells little");
        assert_eq!(reached, enumerated, "{profile}, {name}");
    }
}

fn in_each_profile() -> impl Iterator<Item = (&'static str, (&'static str, Disk))> {
    Profile::ALL.into_iter().flat_map(|profile| {
        histories(profile).into_iter().map(move |history| (profile.name, history))
    })
}

#[test]
fn every_mode_of_a_random_crash_does_what_it_says() {
    let mut disk = formatted(Profile::strict());
    for round in 0..6 {
        write(&mut disk, "old", OpenMode::Write, &[b'n'; 1300]);
        disk.rename(if round % 2 == 0 { "a/x" } else { "b/x" }, ["b/x", "a/x"][round % 2])
            .expect("it went to and fro");
    }
    let mut seen: BTreeMap<CrashMode, BTreeSet<Vec<Fate>>> = BTreeMap::new();
    for seed in 0..4000 {
        let report = disk.clone().crash(&mut stream(seed));
        let fates: Vec<Fate> = report.fates.iter().map(|(_, fate)| *fate).collect();
        let count = |fate| fates.iter().filter(|found| **found == fate).count();
        let (kept, lost) = (count(Fate::Kept), count(Fate::Lost));
        let short = fates.len() - kept - lost;
        let mode = report.mode.expect("it was drawn");
        match mode {
            CrashMode::AllLost => assert_eq!(lost, fates.len()),
            CrashMode::AllKept => assert_eq!(kept, fates.len()),
            CrashMode::Prefix => {
                let whole = fates.iter().filter(|it| !matches!(it, Fate::Short(_)));
                assert!(short <= 1 && whole.is_sorted_by_key(|it| *it == Fate::Lost));
            }
            CrashMode::OneMissing => assert_eq!((lost, short), (1, 0)),
            CrashMode::OneTorn => assert!(report.torn <= 1 && short <= 2),
            CrashMode::OperationCoins => assert_eq!(report.torn, 0),
            CrashMode::UnitCoins | CrashMode::MetadataPrefix | CrashMode::Pages => {}
        }
        assert_eq!(report.kept + report.lost + report.torn, 12);
        seen.entry(mode).or_default().insert(fates);
    }
    let varieties: Vec<usize> = seen.values().map(BTreeSet::len).collect();
    assert_eq!(varieties[..2], [1, 1]);
    assert!(varieties.len() == 9 && varieties[2..].iter().all(|count| *count > 20));
}

#[test]
fn replacing_by_the_book_shows_the_old_or_the_new_content_at_every_moment() {
    for profile in Profile::ALL.into_iter().filter(|it| it.sync != SyncCovers::Nothing) {
        let (moments, committed) = replaced_by_the_book(profile);
        for (moment, disk) in moments.iter().enumerate() {
            for outcome in disk.outcomes() {
                let tree = outcome.tree();
                let (kind, bytes) = &tree["/old"];
                assert_eq!(*kind, FileKind::File);
                let is_new = *bytes == [b'n'; 1000].as_slice();
                let is_old = *bytes == [b'o'; 4096].as_slice();
                assert!(is_new || is_old, "{}, at {moment}: {bytes:?}", profile.name);
                assert!(is_new || moment < committed, "{}: lost at {moment}", profile.name);
            }
        }
    }
}

#[test]
fn on_a_lying_drive_even_what_was_replaced_by_the_book_may_be_lost() {
    let (moments, _) = replaced_by_the_book(Profile::lying_drive());
    let last = moments.last().expect("it was done");
    assert!(last.outcomes().any(|outcome| outcome.tree()["/old"].1 == [b'o'; 4096].as_slice()));
}

/// The disk before and after every step, and the number of the step that commits.
fn replaced_by_the_book(profile: Profile) -> (Vec<Disk>, usize) {
    let mut disk = formatted(profile);
    let mut moments = vec![disk.clone()];
    let file = disk.open("tmp", OpenMode::CreateNew).expect("no such name yet");
    moments.push(disk.clone());
    disk.append(file, &[b'n'; 1000]).expect("small");
    moments.push(disk.clone());
    let sync = disk.begin_sync_file(file).expect("it is open");
    moments.push(disk.clone());
    disk.end_sync(sync).expect("no fault");
    moments.push(disk.clone());
    disk.rename("tmp", "old").expect("both are files");
    moments.push(disk.clone());
    let sync = disk.begin_sync_dir("/").expect("the root");
    moments.push(disk.clone());
    let committed = moments.len();
    disk.end_sync(sync).expect("no fault");
    moments.push(disk.clone());
    disk.close(file);
    moments.push(disk);
    (moments, committed)
}

//! Under random faults the disk model stays sound, whatever its profile: nothing that was lost
//! comes back, what programs see after an eviction is what the device holds and what is pending,
//! and the space is counted right.

use std::collections::BTreeMap;

use unplug_sim::{
    disk::{Disk, DiskFault, Fate, Handle, Profile, SyncFault},
    env::{DiskError, OpenMode},
    random::Stream,
};

const RUNS: u64 = 60;
const STEPS: usize = 120;
const PATHS: [&str; 4] = ["a", "d/b", "d/c", "d/e/f"];
const DIRECTORIES: [&str; 4] = ["/", "d", "d/e", "none"];
const FAULTS: [DiskFault; 12] = [
    DiskFault::BitRot,
    DiskFault::LatentError,
    DiskFault::MisdirectedRead,
    DiskFault::MisdirectedWrite,
    DiskFault::PhantomWrite,
    DiskFault::WriteError,
    DiskFault::Sync(SyncFault::DropAfterEvict),
    DiskFault::Sync(SyncFault::RevertNow),
    DiskFault::Sync(SyncFault::KeepDirty),
    DiskFault::Sync(SyncFault::LateReport),
    DiskFault::Sync(SyncFault::AlreadyConsumed),
    DiskFault::Sync(SyncFault::GoesReadOnly),
];

fn pick<T: Copy>(stream: &mut Stream, from: &[T]) -> T {
    from[stream.index(from.len())]
}

fn formatted(profile: Profile) -> Disk {
    let mut disk = Disk::with_profile(profile);
    for path in PATHS {
        disk.put_durable(path, path.repeat(300).as_bytes()).expect("a good path");
    }
    disk
}

/// One random step; its error, if it had one.
fn step(disk: &mut Disk, open: &mut Vec<Handle>, stream: &mut Stream) -> Option<DiskError> {
    let (path, other) = (pick(stream, &PATHS), pick(stream, &PATHS));
    let offset = stream.below(1500);
    let bytes = vec![b'A' + u8::try_from(stream.below(26)).expect("small"); 1 + stream.index(900)];
    let handle = (!open.is_empty()).then(|| pick(stream, open));
    let result = match (stream.below(16), handle) {
        (0, _) => disk.remove(path),
        (1, _) => disk.rename(path, other),
        (2, _) => disk.sync_dir(pick(stream, &DIRECTORIES)),
        (3, _) => {
            disk.evict();
            Ok(())
        }
        (4, _) => {
            let (directory, fault) = (pick(stream, &DIRECTORIES), pick(stream, &FAULTS));
            disk.harm(directory, fault, stream);
            Ok(())
        }
        (5, _) => {
            disk.set_capacity(stream.chance(1, 2).then(|| stream.below(8000)));
            Ok(())
        }
        (6..=8, _) | (_, None) => disk.open(path, OpenMode::Create).map(|handle| open.push(handle)),
        (9, Some(handle)) => {
            open.retain(|it| *it != handle);
            disk.close(handle);
            Ok(())
        }
        (10, Some(handle)) => disk.set_len(handle, offset),
        (11, Some(handle)) => disk.read_at(handle, offset, bytes.len()).map(|_| ()),
        (12, Some(handle)) => disk.append(handle, &bytes).map(|_| ()),
        (13, Some(handle)) => disk.write_at(handle, offset, &bytes).map(|_| ()),
        (14, Some(handle)) => disk.sync_data(handle),
        (_, Some(handle)) => disk.sync_file(handle),
    };
    result.err()
}

fn check(disk: &Disk) {
    let mut evicted = disk.clone();
    evicted.kill();
    evicted.evict();
    let mut kept = disk.clone();
    kept.crash_with(&mut |_| Fate::Kept);
    assert!(kept.tree() == evicted.tree(), "the device, and what is pending: {disk:?}");
    assert_eq!(kept.image_hash(), evicted.image_hash());
    assert_eq!(kept.used(), evicted.used(), "counted anew, and step by step");
    assert_eq!(kept.pending(), 0);
    let mut synced = evicted;
    synced.sync_everything();
    if synced.pending() == 0 {
        assert!(synced.durable_tree() == kept.tree(), "{disk:?}");
    }
}

#[test]
fn after_random_faults_the_images_of_a_disk_agree_once_its_cache_is_gone() {
    let mut errors = BTreeMap::new();
    let mut struck = BTreeMap::new();
    for profile in Profile::ALL {
        for run in 0..RUNS {
            let mut stream = Stream::new(run, "faulty", 0, 0);
            let (mut disk, mut open) = (formatted(profile), Vec::new());
            for _ in 0..STEPS {
                if let Some(error) = step(&mut disk, &mut open, &mut stream) {
                    *errors.entry(error.to_string()).or_insert(0) += 1;
                }
                for what in disk.take_struck() {
                    let what = what.split(" in ").next().expect("a part").to_owned();
                    *struck.entry(what).or_insert(0) += 1;
                }
                check(&disk);
                if stream.chance(1, 40) {
                    disk.crash(&mut stream);
                    open.clear();
                }
            }
        }
    }
    for error in [DiskError::Io, DiskError::NoSpace, DiskError::ReadOnly] {
        assert!(errors[&error.to_string()] > 100, "{errors:?}");
    }
    assert!(struck.len() == 9 && struck.values().all(|count| *count > 20), "{struck:?}");
}

#[test]
fn under_every_profile_what_a_failed_sync_lost_is_in_no_outcome() {
    for profile in Profile::ALL {
        for fault in [SyncFault::DropAfterEvict, SyncFault::RevertNow, SyncFault::LateReport] {
            let mut disk = Disk::with_profile(profile);
            disk.put_durable("a", b"old").expect("a good path");
            let file = disk.open("a", OpenMode::Write).expect("it is there");
            disk.append(file, b"lost").expect("no fault yet");
            disk.harm("/", DiskFault::Sync(fault), &mut Stream::new(1, "harm", 0, 0));
            assert_eq!(disk.sync_file(file), Err(DiskError::Io));
            assert_eq!(disk.sync_file(file), Ok(()));
            for outcome in disk.outcomes() {
                let content = outcome.tree()["/a"].1.clone();
                let zeros = content.iter().skip(3).all(|byte| *byte == 0);
                assert!(content.starts_with(b"old") && zeros, "{profile:?}: {content:?}");
            }
        }
    }
}

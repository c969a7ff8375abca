//! What a program may rely on, over random histories: what was synced is there after any crash,
//! until an operation that is not yet synced touches it.

use std::{cell::Cell, collections::BTreeSet};

use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use unplug_sim::{
    disk::{Disk, Handle, Profile, SyncCovers},
    env::OpenMode,
    random::Stream,
};

const CASES: u32 = 128;
const STEPS_MAX: usize = 40;
const CRASHES_PER_STEP: u64 = 5;
const PATHS: [&str; 6] = ["a/x", "a/z", "b/y", "b/z", "old", "new"];
const DIRECTORIES: [&str; 3] = ["/", "a", "b"];

/// A step. Paths and directories are given by their place in the lists above.
#[derive(Clone, Debug)]
enum Step {
    Write { path: usize, mode: OpenMode, offset: u64, bytes: Vec<u8> },
    SetLen { path: usize, len: u64 },
    Remove { path: usize },
    Rename { from: usize, to: usize },
    SyncFile { path: usize },
    SyncDir { directory: usize },
    Crash { seed: u64 },
}

/// A disk, and what it owes a program: the live content of every path that is in both sets.
struct Debtor {
    disk: Disk,
    /// Paths of which the name, or the absence of it, is durable.
    named: BTreeSet<usize>,
    /// Paths of which the file's content is durable.
    written: BTreeSet<usize>,
}

#[test]
fn what_was_synced_with_its_name_and_not_touched_since_is_intact() {
    for profile in Profile::ALL.into_iter().filter(|it| it.sync != SyncCovers::Nothing) {
        promises_are_kept(profile);
    }
}

#[test]
#[should_panic(expected = "minimal failing input")]
fn a_lying_drive_breaks_promises() {
    promises_are_kept(Profile::lying_drive());
}

fn promises_are_kept(profile: Profile) {
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..Default::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let steps = prop::collection::vec(step(), 1..STEPS_MAX);
    let kept = Cell::new(0);
    TestRunner::new_with_rng(config, rng)
        .run(&steps, |steps| {
            let mut debtor = Debtor::new(profile);
            for step in &steps {
                debtor.take(step);
                for seed in 0..CRASHES_PER_STEP {
                    kept.set(kept.get() + debtor.promises_kept_over_a_crash(seed)?);
                }
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{}: {failure}", profile.name));
    assert!(kept.get() > 10_000, "{}: only {} promises tested", profile.name, kept.get());
}

impl Debtor {
    fn new(profile: Profile) -> Self {
        let mut disk = Disk::with_profile(profile);
        for path in ["a/x", "b/y", "old"] {
            disk.put_durable(path, &[b'o'; 1000]).expect("the path is good");
        }
        Self { disk, named: (0..PATHS.len()).collect(), written: (0..PATHS.len()).collect() }
    }

    /// Crashes a copy; tells how many paths had to be there, and were.
    fn promises_kept_over_a_crash(&self, seed: u64) -> Result<usize, TestCaseError> {
        let mut crashed = self.disk.clone();
        let report = crashed.crash(&mut Stream::new(seed, "disk", 0, 0));
        let (live, left) = (self.disk.tree(), crashed.tree());
        let promised: Vec<usize> = self.named.intersection(&self.written).copied().collect();
        for path in &promised {
            let path = format!("/{}", PATHS[*path]);
            prop_assert_eq!(left.get(&path), live.get(&path), "{}\n{}", path, report);
        }
        Ok(promised.len())
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Write { path, mode, offset, bytes } => {
                if self.disk.metadata(PATHS[*path]).is_err() {
                    self.named.remove(path);
                }
                self.with_file(*path, *mode, |disk, file| {
                    disk.write_at(file, *offset, bytes).expect("small");
                });
                self.written.remove(path);
            }
            Step::SetLen { path, len } => {
                self.with_file(*path, OpenMode::Write, |disk, file| {
                    disk.set_len(file, *len).expect("small");
                });
                self.written.remove(path);
            }
            Step::Remove { path } => {
                if self.disk.remove(PATHS[*path]).is_ok() {
                    self.named.remove(path);
                    self.written.insert(*path);
                }
            }
            Step::Rename { from, to } => self.rename(*from, *to),
            Step::SyncFile { path } => {
                self.with_file(*path, OpenMode::Read, |disk, file| {
                    let sync = disk.begin_sync_file(file).expect("it is open");
                    disk.end_sync(sync).expect("no fault");
                });
                self.written.insert(*path);
            }
            Step::SyncDir { directory } => {
                let directory = DIRECTORIES[*directory];
                let sync = self.disk.begin_sync_dir(directory).expect("it is there");
                self.disk.end_sync(sync).expect("no fault");
                self.named
                    .extend((0..PATHS.len()).filter(|path| parent(PATHS[*path]) == directory));
            }
            Step::Crash { seed } => {
                self.disk.crash(&mut Stream::new(*seed, "disk", 0, 0));
                self.named = (0..PATHS.len()).collect();
                self.written = self.named.clone();
                self.undo_half_renames();
            }
        }
    }

    fn rename(&mut self, from: usize, to: usize) {
        if from == to || self.disk.rename(PATHS[from], PATHS[to]).is_err() {
            return;
        }
        self.named.remove(&from);
        self.named.remove(&to);
        if self.written.contains(&from) {
            self.written.insert(to);
        } else {
            self.written.remove(&to);
        }
        self.written.insert(from);
    }

    /// Half a rename leaves a file with two names. A path means a file of its own in this test.
    fn undo_half_renames(&mut self) {
        for (path, name) in PATHS.iter().enumerate() {
            if self.disk.metadata(name).is_ok_and(|metadata| metadata.links > 1) {
                self.take(&Step::Remove { path });
            }
        }
    }

    /// Does `act` on the file, if it opens.
    fn with_file(&mut self, path: usize, mode: OpenMode, act: impl FnOnce(&mut Disk, Handle)) {
        if let Ok(file) = self.disk.open(PATHS[path], mode) {
            act(&mut self.disk, file);
            self.disk.close(file);
        }
    }
}

fn parent(path: &str) -> &str {
    path.split_once('/').map_or("/", |(parent, _)| parent)
}

fn step() -> impl Strategy<Value = Step> {
    let path = || 0..PATHS.len();
    let mode = prop::sample::select(vec![OpenMode::Create, OpenMode::Create, OpenMode::Truncate]);
    let bytes = (any::<u8>(), 1..1500_usize).prop_map(|(byte, len)| vec![byte; len]);
    prop_oneof![
        5 => (path(), mode, 0..1500_u64, bytes)
            .prop_map(|(path, mode, offset, bytes)| Step::Write { path, mode, offset, bytes }),
        1 => (path(), 0..1500_u64).prop_map(|(path, len)| Step::SetLen { path, len }),
        1 => path().prop_map(|path| Step::Remove { path }),
        3 => (path(), path()).prop_map(|(from, to)| Step::Rename { from, to }),
        4 => path().prop_map(|path| Step::SyncFile { path }),
        4 => (0..DIRECTORIES.len()).prop_map(|directory| Step::SyncDir { directory }),
        1 => any::<u64>().prop_map(|seed| Step::Crash { seed }),
    ]
}

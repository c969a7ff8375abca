//! A database under trial: its disk crashed at every storage operation, each state opened again.

#![expect(
    clippy::disallowed_types,
    reason = "redb asks for a backend that is Send, so what its crash points share stands behind \
              a lock; one thread uses it, in a fixed order"
)]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use unplug_sim::disk::Disk;

use super::{
    backend::CrashPoint,
    database::{Failure, commit, open, try_open},
    figures::Figures,
    workload::{Content, Workload},
};

/// Of so many distinct states, the recovery of one is crashed as well.
const RECOVERY_CRASHED_ONE_IN: u128 = 250;

/// What redb finds in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// All transactions up to so many, and no more.
    UpTo(usize),
    /// Something that it never held.
    Mixed,
    /// It does not open.
    Nothing(String),
}

/// How often the power goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Crashes {
    /// Once.
    One,
    /// In some states once more, at each storage operation of the recovery.
    Two,
}

struct Trial {
    workload: Arc<Workload>,
    created: bool,
    /// Every state that was opened, by its image.
    seen: BTreeMap<u128, Found>,
    figures: Figures,
}

/// Runs a workload on an empty file, and crashes the disk before each storage operation and at
/// the end. Stops at the first loss.
pub(crate) fn run(disk: Disk, workload: Workload) -> Result<Figures, Failure> {
    let workload = Arc::new(workload);
    let trial = Arc::new(Mutex::new(Trial {
        workload: Arc::clone(&workload),
        created: false,
        seen: BTreeMap::new(),
        figures: Figures::default(),
    }));
    let watcher = Arc::clone(&trial);
    let database = open(disk, Box::new(move |disk| lock(&watcher).crash(disk)))?;
    lock(&trial).created = true;
    for changes in &workload.transactions {
        commit(&database, changes)?;
        let mut trial = lock(&trial);
        trial.figures.acknowledged += 1;
        if trial.figures.lost > 0 {
            break;
        }
    }
    // Closing it writes and syncs once more, each a crash point; the last one is after all that.
    drop(database);
    let figures = lock(&trial).figures.clone();
    Ok(figures)
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Trial {
    /// The power may go now: looks at each state that this may leave.
    fn crash(&mut self, disk: &Disk) {
        if self.figures.lost > 0 {
            return;
        }
        let crashes = if self.created {
            self.figures.operations += 1;
            Crashes::Two
        } else {
            self.figures.operations_of_creation += 1;
            Crashes::One
        };
        for state in disk.bounded_outcomes() {
            let found = self.open_once(state, crashes);
            self.judge(found);
            if self.figures.lost > 0 {
                return;
            }
        }
    }

    /// What redb finds in a state, opened the first time that it is seen.
    fn open_once(&mut self, state: Disk, crashes: Crashes) -> Found {
        let hash = state.image_hash();
        if let Some(found) = self.seen.get(&hash) {
            return found.clone();
        }
        self.figures.opens += 1;
        let again = crashes == Crashes::Two && hash.is_multiple_of(RECOVERY_CRASHED_ONE_IN);
        let left = Arc::new(Mutex::new(BTreeMap::new()));
        let crash_point: CrashPoint = if again {
            let left = Arc::clone(&left);
            Box::new(move |disk| {
                lock(&left)
                    .extend(disk.bounded_outcomes().map(|state| (state.image_hash(), state)));
            })
        } else {
            Box::new(|_| ())
        };
        let found = self.find(try_open(state, crash_point));
        self.seen.insert(hash, found.clone());
        self.figures.recoveries += u64::from(again);
        let left = std::mem::take(&mut *lock(&left));
        for state in left.into_values() {
            self.figures.states_of_recovery += 1;
            let second = self.open_once(state, Crashes::One);
            if second != found {
                self.figures.changed += 1;
                self.violation(&format!(
                    "changed: first {found:?}, after another crash {second:?}"
                ));
            }
        }
        found
    }

    fn find(&self, content: Result<Content, String>) -> Found {
        let content = match content {
            Ok(content) => content,
            Err(why) => return Found::Nothing(why),
        };
        // The newest content that can be is that of the transaction under way.
        let newest = (self.figures.acknowledged + 1).min(self.workload.transactions.len());
        let found = (0..=newest).rev().find(|up_to| self.workload.contents[*up_to] == content);
        found.map_or(Found::Mixed, Found::UpTo)
    }

    /// Compares what was found with what was acknowledged.
    fn judge(&mut self, found: Found) {
        let figures = &mut self.figures;
        if !self.created {
            figures.states_of_creation += 1;
            figures.unopened_of_creation += u64::from(matches!(found, Found::Nothing(_)));
            return;
        }
        figures.states += 1;
        let acknowledged = figures.acknowledged;
        match found {
            Found::UpTo(found) if found == acknowledged => figures.as_acknowledged += 1,
            Found::UpTo(found) if found > acknowledged => figures.as_under_way += 1,
            Found::UpTo(found) => {
                figures.lost += 1;
                self.violation(&format!("lost: {found} transactions are there"));
            }
            Found::Mixed => {
                figures.mixed += 1;
                self.violation("mixed: the content was never so");
            }
            Found::Nothing(why) => {
                figures.unopened += 1;
                self.violation(&format!("it does not open: {why}"));
            }
        }
    }

    /// Keeps the first loss in words, or as long as there is none, the first other violation.
    fn violation(&mut self, what: &str) {
        let Figures { operations, acknowledged, lost, .. } = self.figures;
        let place =
            format!("before operation {operations}, {acknowledged} transactions acknowledged");
        if lost > 0 || self.figures.violation.is_none() {
            self.figures.violation = Some(format!("{place}: {what}"));
        }
    }
}

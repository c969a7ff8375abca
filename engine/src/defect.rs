//! Real exactly-once bugs, planted on purpose, to prove that the scenarios catch them.
//!
//! They exist only in a build with the feature `defects`; without it the set is always empty and
//! the compiler drops the planted code. Beside them stand those that break the run itself.

use std::{fmt, str::FromStr};

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Defect {
    /// The broker acknowledges before its sync (as NATS#7564).
    AckBeforeSync,
    /// A durable put leaves out the sync of the directory (as etcd#6368).
    SkipDirSync,
    /// The sink applies an epoch again that it has published (as paimon#9666).
    SinkNotIdempotent,
    /// Nobody refuses an older leadership, and a driver takes what it proposes for decided (as
    /// SPARK-26425).
    ZombieNotFenced,
    /// The next watermark is left out of the commit (as SPARK-24699).
    WatermarkNotCommitted,
    /// The broker deletes segments before it is durable which tuples were in them (as
    /// KAFKA-10362: files and the checkpoint of them fall apart).
    TrimBeforeCheckpoint,
    /// A store votes before its vote is durable.
    VoteBeforeSync,
    /// A rebuilt store votes before it learned what it may have voted for.
    RebuiltVotesAtOnce,
    /// Votes count that their voter has forgotten since.
    IncarnationsIgnored,
    /// A blob is taken as it comes.
    BlobUnverified,
    /// A sync that failed is taken for one that did not (as Redis PR#8347).
    SyncErrorIgnored,
    /// A sync that failed is done again, and the second one is believed (as PostgreSQL's
    /// "fsyncgate").
    SyncRetried,
    /// Frames of a log stand behind each other without a gap, so that a write touches a sector in
    /// which acknowledged bytes are.
    FramesShareSectors,
    /// Tuples that did not fit on the disk are remembered as taken in.
    RefusedTuplesRemembered,
    /// A reader takes the files that it finds, not those that the manifest names.
    ManifestIgnoredByReader,
    /// Of an epoch, all that is found prepared is committed, what an earlier attempt left, too (as
    /// a recovery that commits what it finds).
    PreparedTwinCommitted,
    /// A sliding window is closed a slide after its start.
    SlidingExpiresEarly,
    /// Of two sessions that a row joins, one is forgotten.
    SessionMergeLosesOne,
    /// That a row of an outer join has found a partner is not kept with it (as KAFKA-10847).
    JoinNoMatchedFlag,
    /// A state that is loaded knows nothing of the rows that passed.
    DedupForgetsOnRestore,
    /// What follows an operator with state is late by the watermark that closed it, not by the one before (as SPARK-40925).
    LateByNewWatermark,
    /// The broker adds partitions, and writes nowhere down that it did.
    AdditionForgotten,
    /// Executors that are not in the configuration get no tasks.
    StrangersIgnored,
    /// A source that may have only so many bytes is trimmed every few epochs, although there are none
    /// while producers wait for it.
    FullSourceNotTrimmed,
    /// A task of an executor goes round for ever, without an effect.
    TaskSpins,
    /// A task of an executor wakes itself for ever.
    TaskWakesItself,
    /// A task of an executor panics.
    TaskPanics,
    /// A task of an executor calls itself until the stack is full.
    TaskOverflows,
    /// A task of an executor takes memory for ever.
    TaskHoards,
    /// A task of an executor sends without end.
    TaskFloods,
    /// A task of an executor writes without end.
    TaskFillsDisk,
}

impl Defect {
    /// All that break the promise of exactly once.
    pub const ALL: [Self; 24] = [
        Self::AckBeforeSync,
        Self::SkipDirSync,
        Self::SinkNotIdempotent,
        Self::ZombieNotFenced,
        Self::WatermarkNotCommitted,
        Self::TrimBeforeCheckpoint,
        Self::VoteBeforeSync,
        Self::RebuiltVotesAtOnce,
        Self::IncarnationsIgnored,
        Self::BlobUnverified,
        Self::SyncErrorIgnored,
        Self::SyncRetried,
        Self::FramesShareSectors,
        Self::RefusedTuplesRemembered,
        Self::ManifestIgnoredByReader,
        Self::PreparedTwinCommitted,
        Self::SlidingExpiresEarly,
        Self::SessionMergeLosesOne,
        Self::JoinNoMatchedFlag,
        Self::DedupForgetsOnRestore,
        Self::LateByNewWatermark,
        Self::AdditionForgotten,
        Self::StrangersIgnored,
        Self::FullSourceNotTrimmed,
    ];

    /// Those that break no promise to anyone's tuples, but what runs the run: a run that has one
    /// must be told from one that hangs or dies.
    pub const RUNAWAYS: [Self; 7] = [
        Self::TaskSpins,
        Self::TaskWakesItself,
        Self::TaskPanics,
        Self::TaskOverflows,
        Self::TaskHoards,
        Self::TaskFloods,
        Self::TaskFillsDisk,
    ];

    /// All of both sorts.
    pub fn known() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().chain(Self::RUNAWAYS)
    }

    /// Its name on the command line and in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AckBeforeSync => "ack-before-sync",
            Self::SkipDirSync => "skip-dir-sync",
            Self::SinkNotIdempotent => "sink-not-idempotent",
            Self::ZombieNotFenced => "zombie-not-fenced",
            Self::WatermarkNotCommitted => "watermark-not-committed",
            Self::TrimBeforeCheckpoint => "trim-before-checkpoint",
            Self::VoteBeforeSync => "vote-before-sync",
            Self::RebuiltVotesAtOnce => "rebuilt-votes-at-once",
            Self::IncarnationsIgnored => "incarnations-ignored",
            Self::BlobUnverified => "blob-unverified",
            Self::SyncErrorIgnored => "sync-error-ignored",
            Self::SyncRetried => "sync-retried",
            Self::FramesShareSectors => "frames-share-sectors",
            Self::RefusedTuplesRemembered => "refused-tuples-remembered",
            Self::ManifestIgnoredByReader => "manifest-ignored-by-reader",
            Self::PreparedTwinCommitted => "prepared-twin-committed",
            Self::SlidingExpiresEarly => "sliding-expires-early",
            Self::SessionMergeLosesOne => "session-merge-loses-one",
            Self::JoinNoMatchedFlag => "join-no-matched-flag",
            Self::DedupForgetsOnRestore => "dedup-forgets-on-restore",
            Self::LateByNewWatermark => "late-by-new-watermark",
            Self::AdditionForgotten => "addition-forgotten",
            Self::StrangersIgnored => "strangers-ignored",
            Self::FullSourceNotTrimmed => "full-source-not-trimmed",
            Self::TaskSpins => "task-spins",
            Self::TaskWakesItself => "task-wakes-itself",
            Self::TaskPanics => "task-panics",
            Self::TaskOverflows => "task-overflows",
            Self::TaskHoards => "task-hoards",
            Self::TaskFloods => "task-floods",
            Self::TaskFillsDisk => "task-fills-disk",
        }
    }

    /// What it breaks, in a line.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::AckBeforeSync => "the broker acknowledges tuples before they are synced",
            Self::SkipDirSync => "a durable put leaves out its last step, the directory's sync",
            Self::SinkNotIdempotent => "the sink applies an epoch again that it has published",
            Self::ZombieNotFenced => {
                "nobody refuses an older leadership, and a driver takes what it proposes for decided"
            }
            Self::WatermarkNotCommitted => "the next watermark is left out of the commit",
            Self::TrimBeforeCheckpoint => {
                "the broker deletes a part of its log before what it must remember of it is durable"
            }
            Self::VoteBeforeSync => "a store answers with its vote before the vote is durable",
            Self::RebuiltVotesAtOnce => {
                "a store that lost its disk votes before it learned from the others"
            }
            Self::IncarnationsIgnored => "votes count that their store has forgotten since",
            Self::BlobUnverified => "blobs are taken without a look at length and checksum",
            Self::SyncErrorIgnored => "a sync that failed is taken for one that did not",
            Self::SyncRetried => "a sync that failed is done again, and then believed",
            Self::FramesShareSectors => {
                "a frame of a log begins in the sector in which the one before ends"
            }
            Self::RefusedTuplesRemembered => {
                "the broker takes tuples for known that it refused because its disk was full"
            }
            Self::ManifestIgnoredByReader => {
                "a reader takes the files that it finds, not those that the manifest names"
            }
            Self::PreparedTwinCommitted => {
                "of an epoch all that is found prepared is committed, not only the decided attempt"
            }
            Self::SlidingExpiresEarly => "a sliding window is closed a slide after its start",
            Self::SessionMergeLosesOne => "of two sessions that a row joins, one is forgotten",
            Self::JoinNoMatchedFlag => {
                "a row of an outer join that found its partner later goes out alone, too"
            }
            Self::DedupForgetsOnRestore => {
                "a state that is loaded does not know which rows have passed"
            }
            Self::LateByNewWatermark => {
                "what a window gives is held against the watermark that closed it"
            }
            Self::AdditionForgotten => {
                "the broker adds partitions to the source, and keeps nothing of it on its disk"
            }
            Self::StrangersIgnored => "executors that joined later get no tasks",
            Self::FullSourceNotTrimmed => {
                "a full source is trimmed with a later epoch, for which it would have to take input in"
            }
            Self::TaskSpins => "a task goes round for ever",
            Self::TaskWakesItself => "a task wakes itself for ever",
            Self::TaskPanics => "a task panics",
            Self::TaskOverflows => "a task overflows its stack",
            Self::TaskHoards => "a task takes memory without end",
            Self::TaskFloods => "a task sends datagrams without end",
            Self::TaskFillsDisk => "a task writes to its disk without end",
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No defect of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown defect \"{0}\"; there are: {known}", known = Defect::known().map(Defect::name).collect::<Vec<_>>().join(", "))]
pub struct UnknownDefect(pub String);

impl FromStr for Defect {
    type Err = UnknownDefect;

    fn from_str(name: &str) -> Result<Self, UnknownDefect> {
        let found = Self::known().find(|defect| defect.name() == name);
        found.ok_or_else(|| UnknownDefect(name.to_owned()))
    }
}

/// The defects that are switched on; none unless somebody asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defects(u32);

impl Defects {
    /// Switches these on.
    #[cfg(feature = "defects")]
    #[must_use]
    pub fn of(defects: &[Defect]) -> Self {
        Self(defects.iter().fold(0, |set, defect| set | 1 << *defect as u32))
    }

    /// Whether a defect is on: never, in a build without the feature.
    #[must_use]
    pub fn has(self, defect: Defect) -> bool {
        cfg!(feature = "defects") && self.0 & 1 << defect as u32 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_an_unknown_one_is_told_what_there_is() {
        for defect in Defect::known() {
            assert_eq!(defect.name().parse(), Ok(defect));
            let error = "nope".parse::<Defect>().expect_err("unknown").to_string();
            assert!(error.contains(defect.name()), "{error}");
        }
    }

    #[cfg(feature = "defects")]
    #[test]
    fn only_what_is_asked_for_is_on() {
        let set = Defects::of(&[Defect::SkipDirSync]);
        let on: Vec<_> = Defect::ALL.into_iter().filter(|defect| set.has(*defect)).collect();
        assert_eq!(on, [Defect::SkipDirSync]);
    }
}

//! What an epoch came to, in numbers, as its leader knows them once it is published.
//!
//! Each epoch's stand in the trace; the last one's are given to whoever asks a driver
//! ([`crate::client::Client::progress`]).

use serde::{Deserialize, Serialize};
use tracing::info;
use unplug_sim::env::Instant;

use crate::{
    driver::core::plan::Before,
    epoch::StateRef,
    tuple::{Epoch, Generation},
};

/// An epoch in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The epoch.
    pub epoch: Epoch,
    /// The leadership that published it.
    pub generation: Generation,
    /// Its batch time, in milliseconds since 1970.
    pub batch_time_ms: u64,
    /// The watermark that it went by, in milliseconds since 1970.
    pub watermark_ms: u64,
    /// How many tuples it read…
    pub tuples: u64,
    /// …and how many bytes their keys and values have. Only of attempts that this leadership chose.
    pub tuple_bytes: u64,
    /// How many tuples the source had beyond it when it was planned; none if an earlier leadership
    /// planned it.
    pub lag_tuples: Option<u64>,
    /// How many rows all sinks got…
    pub rows: u64,
    /// …and how many bytes these have.
    pub row_bytes: u64,
    /// How many bytes are stored of all state: snapshots and what changed since.
    pub state_bytes: u64,
    /// How long it took.
    pub took: Took,
}

/// How long the phases of an epoch took, in nanoseconds of the leader's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Took {
    /// From when there was something to read to when that was decided; 0 if it was before.
    pub offsets_ns: u64,
    /// Tasks, and the writing of their blobs.
    pub tasks_ns: u64,
    /// Until the commit was decided.
    pub commit_ns: u64,
    /// Until all sinks had published it.
    pub apply_ns: u64,
}

/// When an epoch came from one phase to the next.
#[derive(Debug)]
pub(crate) struct Watch {
    began: Instant,
    laps_ns: Vec<u64>,
}

impl Watch {
    /// The epoch begins.
    pub(crate) fn start(now: Instant) -> Self {
        Self { began: now, laps_ns: Vec::new() }
    }

    /// The next phase ends.
    pub(crate) fn lap(&mut self, now: Instant) {
        self.laps_ns.push(now.0.saturating_sub(self.began.0));
        self.began = now;
    }

    fn took(&self) -> Took {
        let lap = |number: usize| self.laps_ns.get(number).copied().unwrap_or(0);
        Took { offsets_ns: lap(0), tasks_ns: lap(1), commit_ns: lap(2), apply_ns: lap(3) }
    }
}

impl Progress {
    /// Of a published epoch. `lag_tuples` and `tuple_bytes` are known to its leadership only.
    pub(crate) fn of(
        done: &Before,
        generation: Generation,
        (lag_tuples, tuple_bytes): (Option<u64>, u64),
        watch: &Watch,
    ) -> Self {
        let Before { offsets, commit } = done;
        let states = commit.states.iter().flat_map(StateRef::blobs);
        Self {
            epoch: offsets.epoch,
            generation,
            batch_time_ms: offsets.batch_time_ms,
            watermark_ms: offsets.watermark_ms,
            tuples: offsets.ranges.iter().map(|range| range.len()).sum(),
            tuple_bytes,
            lag_tuples,
            rows: commit.outputs.iter().map(|output| output.rows).sum(),
            row_bytes: commit.outputs.iter().map(|output| output.blob.bytes).sum(),
            state_bytes: states.map(|blob| blob.bytes).sum(),
            took: watch.took(),
        }
    }

    /// Puts it into the trace.
    pub(crate) fn say(&self) {
        let Self { tuples, tuple_bytes, rows, row_bytes, state_bytes, watermark_ms, .. } = *self;
        let Took { offsets_ns, tasks_ns, commit_ns, apply_ns } = self.took;
        info!(
            epoch = self.epoch.0,
            tuples,
            tuple_bytes,
            lag_tuples = self.lag_tuples,
            rows,
            row_bytes,
            state_bytes,
            watermark_ms,
            offsets_ns,
            tasks_ns,
            commit_ns,
            apply_ns,
            "progress"
        );
    }
}

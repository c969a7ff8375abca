//! What a sweep found: the JSON of `sweep`, and its text.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::{Counts, images::PENDING_MAX};
use crate::outcome::Verdict;

/// The result of `sweep`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The version of this program.
    pub version: &'static str,
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The disks' profile.
    pub disk: String,
    /// Whether nothing was violated in what was swept.
    pub held: bool,
    /// The run that was swept.
    pub base: BaseReport,
    /// Losses of power of the whole data centre, by depth.
    pub data_centre: Vec<Counts>,
    /// Losses of power of single nodes; none if they were not swept.
    pub nodes: Option<NodesReport>,
    /// The CPU time of all boots, in milliseconds.
    pub boots_cpu_ms: u64,
    /// The time of all boots by the clock on the wall, in milliseconds.
    pub boots_wall_ms: u64,
    /// What was violated.
    pub failures: Vec<FailureReport>,
}

/// The run that was swept.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BaseReport {
    /// Epochs that were published.
    pub epochs: u64,
    /// Tuples that were acknowledged.
    pub tuples: u64,
    /// Writes, starts and ends of syncs.
    pub effects: u64,
    /// Virtual time.
    pub virtual_ns: u64,
}

/// Losses of power of single nodes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct NodesReport {
    /// Writes, starts and ends of syncs beside which a node lost its power.
    pub effects: u64,
    /// Runs.
    pub runs: u64,
    /// Their CPU time, in milliseconds.
    pub cpu_ms: u64,
    /// Their time by the clock on the wall, in milliseconds.
    pub wall_ms: u64,
}

/// What was violated after one or more crashes.
#[derive(Clone, Debug, Serialize)]
pub struct FailureReport {
    /// The crashes, in words.
    pub crashes: Vec<String>,
    /// What was violated.
    pub verdicts: Vec<Verdict>,
    /// The failure file.
    pub file: String,
    /// Whether a replay of the file shows the same kinds of violations.
    pub replays: bool,
}

impl Report {
    /// All boots.
    #[must_use]
    pub fn boots(&self) -> u64 {
        self.data_centre.iter().map(|counts| counts.boots).sum()
    }
}

/// So many in a minute of so long.
#[must_use]
pub fn per_minute(count: u64, time_ms: u64) -> u64 {
    (count * 60_000).checked_div(time_ms).unwrap_or(0)
}

/// In milliseconds.
#[must_use]
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, seed, disk, base, .. } = self;
        let BaseReport { epochs, tuples, effects, virtual_ns } = base;
        let seconds = virtual_ns / 1_000_000_000;
        writeln!(
            f,
            "{scenario}, seed {seed}, disks {disk}: {epochs} epochs, {tuples} tuples, {effects} writes, starts and ends of syncs in {seconds} virtual s"
        )?;
        for (depth, counts) in (1..).zip(&self.data_centre) {
            let Counts { operations, images, torn, untorn, boots, events } = *counts;
            let which = if depth == 1 { "data centre" } else { "… cut again while it recovers" };
            writeln!(
                f,
                "{which}: {operations} operations, {images} distinct images, {torn} of them torn, {boots} boots, {} events a boot",
                events.checked_div(boots).unwrap_or(0)
            )?;
            if untorn > 0 {
                let most = PENDING_MAX;
                writeln!(
                    f,
                    "  {untorn} operations left more than {most} changes pending, and that disk was not torn"
                )?;
            }
        }
        let (wall_ms, cpu_ms) = (self.boots_wall_ms, self.boots_cpu_ms);
        if self.boots() > 0 {
            writeln!(
                f,
                "boots: {} s, {} a minute, {} a minute of CPU time",
                wall_ms / 1000,
                per_minute(self.boots(), wall_ms),
                per_minute(self.boots(), cpu_ms)
            )?;
        }
        if let Some(NodesReport { effects, runs, cpu_ms, wall_ms }) = self.nodes {
            writeln!(
                f,
                "single nodes: {effects} writes, starts and ends of syncs, {runs} runs, {} s, {} a minute, {} a minute of CPU time",
                wall_ms / 1000,
                per_minute(runs, wall_ms),
                per_minute(runs, cpu_ms)
            )?;
        }
        Ok(())
    }
}

//! The records that are decided: who leads, what an epoch reads, what it came to.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use unplug_sim::env::NodeId;

use crate::tuple::{Epoch, Generation, Offset, OffsetRange, Partition};

/// `generation/g`: who leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationRecord {
    /// The leader.
    pub node: NodeId,
    /// Which boot of it: drawn at random, since a node may come back and try again.
    pub nonce: u64,
}

/// `offsets/N`: exactly what epoch N reads, decided before anything of it is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetsRecord {
    /// N.
    pub epoch: Epoch,
    /// What is read of each partition; its length pins the number of partitions.
    pub ranges: Vec<OffsetRange>,
    /// Partitions that had no input for some time: they do not hold the watermark back.
    pub idle: Vec<Partition>,
    /// The batch time of the last epoch in which each partition had input, in milliseconds since
    /// 1970.
    pub active_ms: Vec<u64>,
    /// No tuple with an earlier event time is expected, in milliseconds since 1970.
    pub watermark_ms: u64,
    /// The wall clock when it was planned, never before the one of the epoch before; in
    /// milliseconds since 1970.
    pub batch_time_ms: u64,
    /// The pipeline that reads it, by its fingerprint.
    pub pipeline: u64,
    /// Into how many parts the state is split, as in the first epoch; 0 in a pipeline without
    /// state.
    pub state_partitions: u16,
}

/// `commits/N`: what epoch N came to. From then on nothing of it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRecord {
    /// N.
    pub epoch: Epoch,
    /// The leadership that proposed it; 0 for none yet. It may have epoch N + 1 decided in one round,
    /// and no other may.
    pub generation: Generation,
    /// The chosen outputs, by sink and partition.
    pub outputs: Vec<OutputRef>,
    /// The state versions that it was computed from, by stage and state partition; none in a
    /// pipeline without state.
    pub base: Vec<u64>,
    /// The state versions that it left, by stage and state partition.
    pub states: Vec<StateRef>,
    /// The latest event time seen of each partition so far, in milliseconds since 1970; 0 for none.
    pub latest_ms: Vec<u64>,
    /// The watermark of the next epoch, in milliseconds since 1970.
    pub next_watermark_ms: u64,
}

/// What a task gives to a sink, as its commit names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputRef {
    /// The sink's number in the pipeline.
    pub sink: u16,
    /// The partition: of the source, or of the state if there is any.
    pub partition: Partition,
    /// The blob.
    pub blob: BlobRef,
    /// How many rows.
    pub rows: u64,
}

/// A blob, as a register names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef {
    /// Its name, which no other attempt has.
    pub name: String,
    /// The checksum of its bytes, kept apart from them.
    pub checksum: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// A version of the state of one state partition: a snapshot and what changed since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRef {
    /// Which version it is: drawn at random by the attempt that made it; 0 for the empty state
    /// before the first epoch. A cached state is that version only if it has this number.
    pub uid: u64,
    /// The snapshot that it begins with, in parts; none for the empty state.
    pub snapshot: Vec<BlobRef>,
    /// The changes since, in layers, the oldest first; each in parts.
    pub layers: Vec<Vec<BlobRef>>,
}

/// `floor/k`: what lies below is needed by nobody any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FloorRecord {
    /// k.
    pub number: u64,
    /// The lowest epoch that is kept; every sink has published it.
    pub epoch: Epoch,
    /// The leadership that proposed it, which is the lowest that is kept. It may have floor k + 1
    /// decided in one round, and no other may.
    pub generation: Generation,
}

/// What a published epoch says of itself: up to where the source is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The end of each partition.
    pub ends: Vec<Offset>,
    /// Partitions that did not hold the next watermark back.
    pub idle: Vec<Partition>,
    /// The watermark, in milliseconds since 1970.
    pub watermark_ms: u64,
}

/// The content of an output blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The epoch.
    pub epoch: Epoch,
    /// The partition.
    pub partition: Partition,
    /// The rows, in the order of their offsets.
    pub rows: Vec<crate::pipeline::Row>,
}

impl StateRef {
    /// All blobs that it takes.
    pub fn blobs(&self) -> impl Iterator<Item = &BlobRef> {
        self.snapshot.iter().chain(self.layers.iter().flatten())
    }
}

impl OffsetsRecord {
    /// The cut that the epoch publishes.
    #[must_use]
    pub fn cut(&self) -> Cut {
        Cut {
            ends: self.ranges.iter().map(|range| range.end).collect(),
            idle: self.idle.clone(),
            watermark_ms: self.watermark_ms,
        }
    }
}

impl FloorRecord {
    /// Whether a register lies below.
    #[must_use]
    pub fn covers_register(&self, name: &str) -> bool {
        let Some((family, number)) = name.split_once('/') else { return false };
        let Ok(number) = number.parse::<u64>() else { return false };
        match family {
            "offsets" | "commits" => number < self.epoch.0,
            "generation" => number < self.generation.0,
            "floor" => number < self.number,
            _ => false,
        }
    }

    /// Whether a blob is of an epoch that has been published: only what is kept by name may be
    /// there still.
    #[must_use]
    pub fn covers_blob(&self, name: &str) -> bool {
        self.covers_epoch(name.split('/').nth(1))
    }

    /// The same of the blob in a file, in whose name dots stand for slashes.
    #[must_use]
    pub fn covers_file(&self, file: &str) -> bool {
        self.covers_epoch(file.split('.').nth(1))
    }

    fn covers_epoch(&self, epoch: Option<&str>) -> bool {
        let epoch = epoch.and_then(|epoch| epoch.parse::<u64>().ok());
        epoch.is_some_and(|epoch| epoch <= self.epoch.0)
    }
}

/// The checksum by which a commit knows a blob.
#[must_use]
pub fn checksum(bytes: &Bytes) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// The names of registers. Numbers are padded, so that names sort as their numbers do.
pub mod register {
    use crate::{
        steps::Step,
        tuple::{Epoch, Generation},
    };

    /// What the names of generations begin with.
    pub const GENERATIONS: &str = "generation/";
    /// What the names of plans begin with.
    pub const OFFSETS: &str = "offsets/";
    /// What the names of commits begin with.
    pub const COMMITS: &str = "commits/";

    /// What the names of floors begin with.
    pub const FLOORS: &str = "floor/";

    /// The register of a leadership.
    #[must_use]
    pub fn generation(generation: Generation) -> String {
        format!("{GENERATIONS}{:012}", generation.0)
    }

    /// The register of an epoch's plan.
    #[must_use]
    pub fn offsets(epoch: Epoch) -> String {
        format!("{OFFSETS}{:012}", epoch.0)
    }

    /// The register of an epoch's commit.
    #[must_use]
    pub fn commit(epoch: Epoch) -> String {
        format!("{COMMITS}{:012}", epoch.0)
    }

    /// The register of a floor.
    #[must_use]
    pub fn floor(number: u64) -> String {
        format!("{FLOORS}{number:012}")
    }

    /// The number in a name.
    #[must_use]
    pub fn number(name: &str) -> Option<u64> {
        name.rsplit('/').next()?.parse().ok()
    }

    /// The step of an epoch in which a register of this name is decided.
    #[must_use]
    pub fn step(name: &str) -> Option<Step> {
        match name {
            _ if name.starts_with(GENERATIONS) => Some(Step::Generation),
            _ if name.starts_with(OFFSETS) => Some(Step::Offsets),
            _ if name.starts_with(COMMITS) => Some(Step::Commit),
            _ if name.starts_with(FLOORS) => Some(Step::Collect),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_covers_what_is_below_it_and_nothing_else() {
        let floor = FloorRecord { number: 4, epoch: Epoch(12), generation: Generation(3) };
        for (name, below) in [
            (register::offsets(Epoch(11)), true),
            (register::offsets(Epoch(12)), false),
            (register::commit(Epoch(11)), true),
            (register::generation(Generation(2)), true),
            (register::generation(Generation(3)), false),
            (register::floor(3), true),
            (register::floor(4), false),
        ] {
            assert_eq!(floor.covers_register(&name), below, "{name}");
        }
        for (name, below) in [
            ("output/000000000012/00000/1-1-f", true),
            ("state/000000000011/x", true),
            ("output/000000000013/00000/1-1-f", false),
            ("elsewhere", false),
        ] {
            assert_eq!(floor.covers_blob(name), below, "{name}");
            assert_eq!(floor.covers_file(&name.replace('/', ".")), below, "{name}");
        }
    }
}

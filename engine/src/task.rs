//! Tasks of an epoch as they travel between driver and executors.
//!
//! An epoch has one stage or two. A *map* task reads a range of one source partition and transforms
//! its tuples. Without a window in the pipeline its rows are the epoch's output. With one, it keeps
//! them as one block for each state partition, in memory, under the attempt that made them; a
//! *reduce* task fetches its block from the attempt at each map task that the driver chose, and
//! takes them into its part of the state.

use serde::{Deserialize, Serialize};
use unplug_sim::env::NodeId;

use crate::{
    epoch::{OutputRef, StateRef},
    pipeline::Row,
    tuple::{Attempt, Epoch, Generation, OffsetRange, Partition},
};

/// What is asked of an executor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Make an attempt at a map task.
    Map(MapTask),
    /// Make an attempt at a reduce task.
    Reduce(ReduceTask),
    /// Give the rows of a shuffle block.
    Fetch {
        /// The epoch.
        epoch: Epoch,
        /// The source partition that was mapped.
        partition: Partition,
        /// The attempt whose block is wanted, and no other's.
        attempt: Attempt,
        /// For which state partition.
        state: u16,
        /// From which row on.
        from: u64,
    },
}

/// An attempt at a map task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapTask {
    /// The epoch.
    pub epoch: Epoch,
    /// The source partition.
    pub partition: Partition,
    /// What to read: exactly this.
    pub range: OffsetRange,
    /// Which try.
    pub attempt: Attempt,
    /// Into how many blocks to split the rows; 0 in a pipeline without a window.
    pub state_partitions: u16,
}

/// An attempt at a reduce task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReduceTask {
    /// The epoch.
    pub epoch: Epoch,
    /// The state partition.
    pub state: u16,
    /// Which try.
    pub attempt: Attempt,
    /// The epoch's watermark, in milliseconds since 1970.
    pub watermark_ms: u64,
    /// The state that it goes on from.
    pub base: StateRef,
    /// The chosen attempts at the map tasks that have rows for it, by partition.
    pub blocks: Vec<BlockRef>,
    /// Whether to write the whole state rather than what changed.
    pub snapshot: bool,
}

/// Where a shuffle block is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRef {
    /// The source partition that was mapped.
    pub partition: Partition,
    /// The attempt that the driver chose.
    pub attempt: Attempt,
    /// The executor that made it.
    pub node: NodeId,
    /// How many rows it has.
    pub rows: u64,
}

/// What an executor answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The map task is done.
    Mapped(Mapped),
    /// The reduce task is done: its output and its state are durable.
    Reduced(Reduced),
    /// A part of a shuffle block: at least one row, if there are any left.
    Block(Vec<Row>),
    /// There is no such block here (any more).
    NoBlock,
    /// A block could not be fetched: its map task is to be run again.
    FetchFailed {
        /// The source partition that was mapped.
        partition: Partition,
        /// The attempt whose block is lost.
        attempt: Attempt,
    },
    /// It did not work out now; another try may.
    Failed(String),
    /// It cannot work out: the input itself is at fault.
    Refused(String),
    /// A higher generation leads.
    Fenced(Generation),
}

/// What a map task came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapped {
    /// The latest event time read, in milliseconds since 1970; 0 for none.
    pub latest_ms: u64,
    /// How many rows each block has; none in a pipeline without a window.
    pub blocks: Vec<u64>,
    /// The durable output, in a pipeline without a window.
    pub output: Vec<OutputRef>,
}

/// What a reduce task came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reduced {
    /// The durable outputs; none for a sink that gets nothing.
    pub outputs: Vec<OutputRef>,
    /// The state that it left.
    pub state: StateRef,
}

//! Tasks of an epoch as they travel between driver and executors.
//!
//! An epoch has as many stages as the pipeline has shuffles, and one. A task of the first stage reads
//! a range of one source partition and transforms its tuples; one of a later stage takes rows into
//! its part of the state. What goes to a sink is kept as blobs. What goes to a later stage is kept as
//! blocks, one for each exchange and state partition, in memory, under the attempt that made them;
//! a later task fetches its blocks from the attempts that the driver chose.

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
    /// Make an attempt at a task of the first stage.
    Map(MapTask),
    /// Make an attempt at a task of a later stage.
    Reduce(ReduceTask),
    /// Give the rows of a shuffle block.
    Fetch {
        /// The epoch.
        epoch: Epoch,
        /// The partition of the task that made it: of the source, or of the state.
        partition: Partition,
        /// The attempt whose block is wanted, and no other's.
        attempt: Attempt,
        /// Which of its blocks.
        block: u32,
        /// From which row on.
        from: u64,
    },
    /// A driver was started: say to it that you are there. No answer.
    DriverStarted,
    /// A driver leads now: say to it which states you hold. No answer.
    Leads,
}

/// A state in an executor's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The stage, from 1.
    pub stage: u16,
    /// The state partition.
    pub state: u16,
    /// Which version.
    pub uid: u64,
    /// The version before, if there is what leads back to it.
    pub before_uid: Option<u64>,
}

/// An attempt at a task of the first stage.
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
    /// Into how many blocks to split what goes to an exchange; 0 in a pipeline without state.
    pub state_partitions: u16,
}

/// An attempt at a task of a later stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReduceTask {
    /// The epoch.
    pub epoch: Epoch,
    /// The stage, from 1.
    pub stage: u16,
    /// The state partition.
    pub state: u16,
    /// Out of how many.
    pub state_partitions: u16,
    /// Which try.
    pub attempt: Attempt,
    /// The epoch's watermark, in milliseconds since 1970.
    pub watermark_ms: u64,
    /// The one of the epoch before, in milliseconds since 1970.
    pub watermark_before_ms: u64,
    /// The state that it goes on from.
    pub base: StateRef,
    /// The blocks that have rows for it, by exchange, stage and partition.
    pub blocks: Vec<BlockRef>,
}

/// Where a shuffle block is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRef {
    /// The exchange that it goes to.
    pub exchange: u16,
    /// The stage of the task that made it, from 0.
    pub stage: u16,
    /// The partition of that task: of the source, or of the state.
    pub partition: Partition,
    /// The attempt that the driver chose.
    pub attempt: Attempt,
    /// The executor that made it.
    pub node: NodeId,
    /// How many rows it has.
    pub rows: u64,
}

/// What an executor answers, with the rows of a block as whoever has them keeps them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer<Rows = Vec<Row>> {
    /// The task is done: its outputs and its state are durable.
    Done(Box<Done>),
    /// A part of a shuffle block: at least one row, if there are any left.
    Block(Rows),
    /// There is no such block here (any more).
    NoBlock,
    /// A block could not be fetched: the task that made it is to be run again.
    FetchFailed {
        /// The stage of that task.
        stage: u16,
        /// The partition of that task.
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
    /// What it was to read was deleted from the source: the epoch is over, or its input is lost.
    Trimmed(String),
}

/// What a task came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The attempt at the same task, of an earlier leadership, that came to this; none if the one
    /// that was ordered did.
    pub earlier: Option<Attempt>,
    /// The latest event time read, in milliseconds since 1970; 0 for none.
    pub latest_ms: u64,
    /// How many bytes the keys and values have that were read.
    pub bytes: u64,
    /// How many rows each block has, by exchange and state partition; none in a pipeline without
    /// state.
    pub blocks: Vec<u64>,
    /// The durable outputs; none for a sink that gets nothing.
    pub outputs: Vec<OutputRef>,
    /// The state that it left, if it keeps any.
    pub state: Option<StateRef>,
}

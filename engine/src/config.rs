//! What all nodes of a cluster know from the start.

use std::time::Duration;

use bytes::Bytes;
use unplug_sim::env::NodeId;

use crate::{
    broker,
    defect::Defects,
    identity, log_paths,
    pipeline::Pipeline,
    sink, store,
    tuple::{Offset, Partition},
};

/// Who is who.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The source.
    pub broker: NodeId,
    /// Registers and blobs: three, or another odd number.
    pub stores: Vec<NodeId>,
    /// One leads the epochs, the others stand by.
    pub drivers: Vec<NodeId>,
    /// Run tasks.
    pub executors: Vec<NodeId>,
    /// Publish, each what one sink of the pipeline gets, in the pipeline's order.
    pub sinks: Vec<NodeId>,
    /// Partitions of the source.
    pub partitions: u16,
}

/// What a node is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Keeps the replayable source log.
    Broker,
    /// Keeps registers and blobs.
    Store,
    /// Leads the epochs.
    Driver,
    /// Runs tasks.
    Executor,
    /// Publishes epochs.
    Sink,
}

/// How the sink keeps what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkKind {
    /// Rows and epoch in one atomic write: exactly once.
    Table,
    /// Immutable files, and manifests that readers follow: exactly once.
    Files,
    /// An external system with transactions, which may forget what was prepared: exactly once.
    Transactional,
    /// Rows appended as they come: at least once, a negative control.
    Append,
}

/// When epochs begin, and whether they end. What has waited long enough is not kept waiting: behind an
/// epoch that was full or run again, the next one begins at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trigger {
    /// At the epoch interval, as long as there is input.
    #[default]
    Interval,
    /// As soon as there is input, and the epoch before is published.
    AsFastAsPossible,
    /// One behind the other, up to where the source ends when a driver comes to lead; then all that
    /// the watermark of this closes is published, and the drivers end. Started again, they go on.
    AvailableNow,
}

/// The same on every node of a cluster.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who is who.
    pub cluster: Cluster,
    /// What is done to the tuples.
    pub pipeline: Pipeline,
    /// How the sink keeps what it is given.
    pub sink: SinkKind,
    /// When epochs begin.
    pub trigger: Trigger,
    /// From the start of one epoch to the start of the next, if there is input.
    pub epoch_interval: Duration,
    /// How long a task may take before another attempt at it is started elsewhere.
    pub task_timeout: Duration,
    /// How many tuples of one partition go into one epoch at the most.
    pub epoch_tuples_max: u64,
    /// CPU time that one tuple takes on an executor.
    pub work_per_tuple: Duration,
    /// From one sign of life of a leader or an executor to its next.
    pub heartbeat: Duration,
    /// A leader or an executor that was not heard for so long is taken for gone.
    pub failure_timeout: Duration,
    /// Whether a straggling attempt gets a second one beside it…
    pub speculation: bool,
    /// …which no attempt does before so long.
    pub straggler_min: Duration,
    /// Into how many parts the state is split; fixed by the first epoch.
    pub state_partitions: u16,
    /// How many states an executor keeps in memory at the most; what it needs beside them is loaded.
    pub states_kept: u16,
    /// Whether each epoch writes the whole state, rather than what changed, as a layer.
    pub full_snapshots: bool,
    /// How many bytes a part of a snapshot or of a layer holds at the most.
    pub part_bytes_max: usize,
    /// How much longer a blob may be under way than what is small: the first wait for a store, and
    /// all patience with one, is so much longer.
    pub blob_patience: Duration,
    /// A partition that had no input for so long does not hold the watermark back.
    pub idle_after: Duration,
    /// Every so many epochs, what no one needs any more is collected.
    pub collect_every: u64,
    /// The broker begins a new segment of a partition's log when the last one has so many bytes.
    pub segment_bytes: u64,
    /// A partition of the source that has so many bytes, in more than one segment, takes nothing in: its
    /// producers wait until some of it is read and deleted. None: as much as the disk holds.
    pub source_bytes_max: Option<u64>,
    /// Planted bugs: none, but in tests of the tests.
    pub defects: Defects,
}

impl Config {
    /// The usual settings for a cluster and a pipeline.
    #[must_use]
    pub fn new(cluster: Cluster, pipeline: Pipeline) -> Self {
        Self {
            cluster,
            pipeline,
            sink: SinkKind::Table,
            trigger: Trigger::Interval,
            epoch_interval: Duration::from_millis(500),
            task_timeout: Duration::from_secs(4),
            epoch_tuples_max: 500,
            work_per_tuple: Duration::from_micros(2),
            heartbeat: Duration::from_millis(100),
            failure_timeout: Duration::from_millis(500),
            speculation: true,
            straggler_min: Duration::from_millis(50),
            state_partitions: 3,
            states_kept: 64,
            full_snapshots: false,
            part_bytes_max: 512 * 1024,
            blob_patience: Duration::ZERO,
            idle_after: Duration::from_secs(2),
            collect_every: 4,
            segment_bytes: broker::SEGMENT_BYTES,
            source_bytes_max: None,
            defects: Defects::default(),
        }
    }

    /// What makes a blank disk one of this role, as files: written durably before the first boot,
    /// and never again. `index` is the node's place among those of its role, from 0. An empty content stands for an empty file; a path that ends in `/` for a
    /// directory.
    #[must_use]
    pub fn format(&self, role: Role, index: u16) -> Vec<(String, Bytes)> {
        let directory = |path: &str| (format!("{path}/"), Bytes::new());
        match role {
            Role::Broker => {
                let partitions = (0..self.cluster.partitions).map(Partition);
                let first = |partition| log_paths::segment(partition, Offset(0));
                let logs = partitions.map(|partition| (first(partition), Bytes::new()));
                logs.chain([identity::file("broker")]).collect()
            }
            Role::Store => store::format(index, self.cluster.stores.len()),
            Role::Sink => match self.sink {
                SinkKind::Table => vec![directory(sink::TABLE), identity::file("sink")],
                SinkKind::Files => {
                    let directories = [sink::files::FILES, sink::files::MANIFESTS].map(directory);
                    directories.into_iter().chain([identity::file("sink")]).collect()
                }
                SinkKind::Transactional => {
                    let directories = sink::external::DIRECTORIES.map(directory);
                    directories.into_iter().chain([identity::file("sink")]).collect()
                }
                SinkKind::Append => {
                    vec![(sink::APPEND.to_owned(), Bytes::new()), identity::file("sink")]
                }
            },
            Role::Driver | Role::Executor => Vec::new(),
        }
    }
}

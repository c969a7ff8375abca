//! Who is in a cluster and what each node is called: the names that fault plans, validation and
//! the cluster itself must agree on.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many nodes of each kind there are. There is always one broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// Partitions of the source, 1 to 64.
    pub partitions: u32,
    /// Stores, an odd number from 1 to 7.
    pub stores: u32,
    /// Drivers, 1 to 8: one leads, the others stand by.
    pub drivers: u32,
    /// Sinks: as many as the pipeline has.
    pub sinks: u32,
    /// Executor nodes, 1 to 64.
    pub executors: u32,
    /// Client nodes that send input, 1 to 64.
    pub producers: u32,
    /// Client nodes that read the sink, 1 to 16.
    pub readers: u32,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            partitions: 4,
            stores: 3,
            drivers: 1,
            sinks: 1,
            executors: 3,
            producers: 2,
            readers: 2,
        }
    }
}

/// What a node is there for. Readers have no role here: they are the oracle's eyes, and only the
/// network comes between them and the sink.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Keeps the source log.
    Broker,
    /// Keeps blobs and registers.
    Store,
    /// Leads the epochs.
    Driver,
    /// Runs tasks.
    Executor,
    /// Publishes epochs.
    Sink,
    /// Sends input; outside the data centre.
    Producer,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 6] =
        [Self::Broker, Self::Store, Self::Driver, Self::Executor, Self::Sink, Self::Producer];
    /// The roles inside the data centre.
    pub const DATA_CENTRE: [Self; 5] =
        [Self::Broker, Self::Store, Self::Driver, Self::Executor, Self::Sink];
    /// The roles that keep something on their disk.
    pub const DURABLE: [Self; 3] = [Self::Broker, Self::Store, Self::Sink];

    /// How many nodes of this role a cluster has.
    #[must_use]
    pub fn count(self, cluster: &Cluster) -> u32 {
        match self {
            Self::Broker => 1,
            Self::Store => cluster.stores,
            Self::Driver => cluster.drivers,
            Self::Sink => cluster.sinks,
            Self::Executor => cluster.executors,
            Self::Producer => cluster.producers,
        }
    }

    /// The role of a node, by its name; readers have none.
    #[must_use]
    pub fn of(node: &str) -> Option<Self> {
        let (role, _) = node.split_once('-').unwrap_or((node, ""));
        Self::ALL.into_iter().find(|one| one.to_string() == role)
    }

    /// The name of the node of this role with this index, from 0.
    #[must_use]
    pub fn node(self, index: u32) -> String {
        match self {
            Self::Broker => self.to_string(),
            Self::Store | Self::Driver | Self::Executor | Self::Sink | Self::Producer => {
                format!("{self}-{index}")
            }
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broker => "broker",
            Self::Store => "store",
            Self::Driver => "driver",
            Self::Executor => "executor",
            Self::Sink => "sink",
            Self::Producer => "producer",
        })
    }
}

impl Cluster {
    /// The names of all nodes: the data centre's, then the clients'.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        Role::ALL
            .into_iter()
            .flat_map(|role| (0..role.count(self)).map(move |index| role.node(index)))
            .chain((0..self.readers).map(reader))
            .collect()
    }
}

/// The name of the reader with this index, from 0.
#[must_use]
pub fn reader(index: u32) -> String {
    format!("reader-{index}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_named_by_role() {
        let names = Cluster { executors: 2, ..Cluster::default() }.nodes();
        assert_eq!(
            names.join(" "),
            "broker store-0 store-1 store-2 driver-0 executor-0 executor-1 sink-0 producer-0 producer-1 reader-0 reader-1"
        );
    }
}

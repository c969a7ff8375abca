//! What becomes of a cluster while it runs, beside what breaks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of the cluster while it runs. Where the plan of faults is drawn and has crashes, some
/// more come in the midst of this.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Changes {
    /// An administrator has partitions added to the source; by time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<PartitionsAdded>,
    /// Executors join that nobody knows of: they are numbered on from those of the cluster.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub executors_joined: Vec<ExecutorsJoined>,
    /// Executors leave, and never come back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub executors_left: Vec<ExecutorLeft>,
}

/// Partitions are added to the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartitionsAdded {
    /// When the administrator asks for it, in virtual nanoseconds; before all input is sent.
    pub at_ns: u64,
    /// How many there are then: more than before, 64 at the most, and for several sources a multiple
    /// of their number.
    pub count: u32,
}

/// Executors join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecutorsJoined {
    /// When, in virtual nanoseconds; before all input is sent.
    pub at_ns: u64,
    /// How many, 1 to 64.
    pub count: u32,
}

/// An executor leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecutorLeft {
    /// When, in virtual nanoseconds; before all input is sent, and after it joined.
    pub at_ns: u64,
    /// Which, by its name, such as `executor-0`. There must be another one.
    pub executor: String,
}

impl Changes {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

//! What becomes of a cluster while it runs, beside what breaks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of the cluster while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Changes {
    /// An administrator has partitions added to the source; by time. Where the plan of faults is drawn,
    /// one of those that crash a node may strike in the midst of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<PartitionsAdded>,
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

impl Changes {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }
}

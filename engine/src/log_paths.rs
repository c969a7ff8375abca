//! Where the broker keeps its partitions.

use crate::tuple::Partition;

/// The log of a partition.
pub(crate) fn of(partition: Partition) -> String {
    format!("/log/{:05}", partition.0)
}

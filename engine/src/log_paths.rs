//! Where the broker keeps its partitions: a directory for each, with its segments and, once it was
//! trimmed, a checkpoint; in the first one's, once partitions were added, what tells of them.

use crate::tuple::{Offset, Partition};

/// The name of a partition's checkpoint in its directory.
pub(crate) const CHECKPOINT: &str = "checkpoint";

/// The name of what tells of added partitions, in the directory of the first partition: its names are
/// settled at each boot in any case.
pub(crate) const LAYOUTS: &str = "layouts";

/// The directory of all partitions.
pub(crate) const LOG: &str = "/log";

/// The directory of a partition.
pub(crate) fn directory(partition: Partition) -> String {
    format!("{LOG}/{:05}", partition.0)
}

/// The name of the segment that begins at an offset, in its partition's directory.
pub(crate) fn segment_name(base: Offset) -> String {
    format!("{:016}", base.0)
}

/// The path of the segment that begins at an offset.
pub(crate) fn segment(partition: Partition, base: Offset) -> String {
    format!("{}/{}", directory(partition), segment_name(base))
}

/// Where the segment of this name begins; none if no segment has such a name.
pub(crate) fn base(name: &str) -> Option<Offset> {
    let base = Offset(name.parse().ok()?);
    (segment_name(base) == name).then_some(base)
}

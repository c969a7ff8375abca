//! The machines of a scenario's data centre, and how an engine on them keeps its state.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unplug_engine::codec::{self, Kind};
use unplug_sim::{Bandwidth, DiskTiming, Ratio, Weight};

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const MB: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// The disks and the network ports of the nodes. Rates are round figures of what is sold, not
/// measured: `docs/recovery.md` says where they come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Hardware {
    /// Operations take the time of a local NVMe drive, and bytes none.
    #[default]
    Unlimited,
    /// A local NVMe drive: 3 GB/s read, 1 GB/s written; ports of 10 Gbit/s.
    Nvme,
    /// A block device over the network: 0.5 to 2 ms an operation, 250 MB/s; ports of 10 Gbit/s.
    CloudEbs,
    /// A disk that turns: 4 to 12 ms an operation, 200 MB/s; ports of 1 Gbit/s.
    Hdd,
}

impl Hardware {
    /// Its name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unlimited => "unlimited",
            Self::Nvme => "nvme",
            Self::CloudEbs => "cloud-ebs",
            Self::Hdd => "hdd",
        }
    }

    /// What its disks take for an operation.
    #[must_use]
    pub fn disk(self, glitches: Ratio) -> DiskTiming {
        let usual = DiskTiming { glitches, ..DiskTiming::default() };
        match self {
            Self::Unlimited | Self::Nvme => usual,
            Self::CloudEbs => {
                DiskTiming { read_ns: (500 * US, 2 * MS), sync_ns: (MS, 4 * MS), ..usual }
            }
            Self::Hdd => {
                DiskTiming { read_ns: (4 * MS, 12 * MS), sync_ns: (8 * MS, 25 * MS), ..usual }
            }
        }
    }

    /// What bytes take, where those of states count as a design says.
    #[must_use]
    pub fn bandwidth(self, state: &StateDesign) -> Bandwidth {
        let (read, written, port) = match self {
            Self::Unlimited => return Bandwidth::default(),
            Self::Nvme => (3_000 * MB, 1_000 * MB, 1_250 * MB),
            Self::CloudEbs => (250 * MB, 250 * MB, 1_250 * MB),
            Self::Hdd => (200 * MB, 200 * MB, 125 * MB),
        };
        let scaled = [Kind::Snapshot, Kind::Delta].into_iter().filter(|_| state.times > 1);
        Bandwidth {
            disk_read_bytes_per_second: read,
            disk_write_bytes_per_second: written,
            port_bytes_per_second: port,
            weights: scaled
                .map(|kind| Weight { mark: codec::mark(kind).to_vec(), times: state.times })
                .collect(),
        }
    }

    pub(super) fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// How the state of a pipeline is kept, and as how many bytes it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StateDesign {
    /// Whether each epoch writes the whole state, rather than what changed, as a layer.
    pub full_snapshots: bool,
    /// How many bytes a part of a snapshot or of a layer holds at the most.
    pub part_bytes_max: u64,
    /// Each byte of a state counts as so many, for time only.
    pub times: u64,
    /// How much longer a blob may be under way than what is small.
    pub blob_patience_ns: u64,
    /// An attempt at a task that did not answer for so long is given up.
    pub task_timeout_ns: u64,
}

impl Default for StateDesign {
    fn default() -> Self {
        Self {
            full_snapshots: false,
            part_bytes_max: 512 << 10,
            times: 1,
            blob_patience_ns: 0,
            task_timeout_ns: 4 * SECOND,
        }
    }
}

impl StateDesign {
    pub(super) fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

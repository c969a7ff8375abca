//! What a world is made of: integers with units, so that a run never depends on a float.

use serde::{Deserialize, Serialize};

use crate::schedule::Schedule;

/// A range of nanoseconds, drawn from evenly: from the first up to, not including, the second.
pub type NanosRange = (u64, u64);

/// A probability as (cases, of so many).
pub type Ratio = (u32, u32);

/// Where a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// In the data centre, whose power can go as a whole.
    DataCentre,
    /// Outside of it, as clients are.
    Outside,
}

/// Everything that is fixed about a world before its first event.
#[derive(Clone, Debug)]
pub struct WorldConfig {
    /// All random streams are split from it.
    pub seed: u64,
    /// How ready tasks are ordered.
    pub schedule: Schedule,
    /// The links between any two nodes.
    pub network: NetworkConfig,
    /// The time that disk operations take.
    pub disk: DiskTiming,
    /// The time that bytes take.
    pub bandwidth: Bandwidth,
    /// How wrong the clocks in the data centre are.
    pub clocks: ClockConfig,
    /// From power on, or process start, to the first instruction of the program.
    pub boot_ns: NanosRange,
    /// A run with more events and polls together is over budget: something spins.
    pub events_max: u64,
    /// With more bytes of datagrams under way a run is over budget: something floods.
    pub in_flight_bytes_max: u64,
    /// With more bytes on one disk a run is over budget: something fills it.
    pub disk_bytes_max: u64,
}

/// A link: what happens to a datagram on its way. Reordering comes from the spread of latencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// The usual one-way latency.
    pub latency_ns: NanosRange,
    /// How often a datagram takes a latency from `tail_ns` in place of the usual one.
    pub tail: Ratio,
    /// The latency of stragglers.
    pub tail_ns: NanosRange,
    /// How often a datagram is lost.
    pub loss: Ratio,
    /// How often a datagram arrives twice, each at a latency of its own.
    pub duplication: Ratio,
}

/// How wrong the clocks of the nodes in the data centre are. Each node draws its share of both
/// once and for all; clients outside have exact clocks. By default all clocks are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ClockConfig {
    /// A wall clock is ahead or behind by up to so much.
    pub wall_skew_ns: u64,
    /// A monotonic clock runs fast or slow by up to so many millionths. More than
    /// [`ClockConfig::DRIFT_PPM_MAX`] counts as that.
    pub drift_ppm: u32,
}

impl ClockConfig {
    /// The most that a monotonic clock runs fast or slow: by half.
    pub const DRIFT_PPM_MAX: u32 = 500_000;
}

/// How long disk operations take, and how often they do less than they were asked to. Each draws
/// from its range, whatever else the disk does.
#[derive(Clone, Debug)]
pub struct DiskTiming {
    /// A read.
    pub read_ns: NanosRange,
    /// A write into the page cache, or an operation on names.
    pub write_ns: NanosRange,
    /// A sync.
    pub sync_ns: NanosRange,
    /// How often a read or a write of an open file is short, or an operation on one interrupted.
    pub glitches: Ratio,
}

/// How many bytes disks and network ports take a second, each node its own; 0 is no limit, and the
/// default: bytes take no time then, as if all were small. `transfer.rs` says who waits for whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// Reads of a disk.
    pub disk_read_bytes_per_second: u64,
    /// Writes of a disk, which its syncs wait for.
    pub disk_write_bytes_per_second: u64,
    /// A node's port, in each direction.
    pub port_bytes_per_second: u64,
    /// A scale of bytes: what counts, for time only, as more bytes than it has, so that a state may
    /// take the time of gigabytes without being there.
    pub weights: Vec<Weight>,
}

/// Payloads, of a datagram or of a write or a read of a file, that count so many times. The first
/// that fits counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    /// The bytes by which they are known, near their beginning.
    pub mark: Vec<u8>,
    /// As how many bytes each of theirs counts, from the mark on.
    pub times: u64,
}

impl Bandwidth {
    /// Whether bytes take any time.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        (self.disk_read_bytes_per_second, self.disk_write_bytes_per_second) != (0, 0)
            || self.port_bytes_per_second != 0
    }
}

impl WorldConfig {
    /// A world with servers beside each other and NVMe disks, and a network that loses and
    /// doubles one datagram in a hundred.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            schedule: Schedule::default(),
            network: NetworkConfig::default(),
            disk: DiskTiming::default(),
            bandwidth: Bandwidth::default(),
            clocks: ClockConfig::default(),
            boot_ns: (20_000_000, 200_000_000),
            events_max: 50_000_000,
            in_flight_bytes_max: 1 << 28,
            disk_bytes_max: 1 << 30,
        }
    }
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            latency_ns: (50_000, 500_000),
            tail: (1, 100),
            tail_ns: (1_000_000, 20_000_000),
            loss: (1, 100),
            duplication: (1, 100),
        }
    }
}

impl Default for DiskTiming {
    fn default() -> Self {
        Self {
            read_ns: (20_000, 100_000),
            write_ns: (5_000, 50_000),
            sync_ns: (100_000, 2_000_000),
            glitches: (0, 1),
        }
    }
}

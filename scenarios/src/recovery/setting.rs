//! What a cell varies beside its fault, and the scenario that comes of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use unplug_sim::{NetworkConfig, Ratio};

use super::size::Size;
use crate::{
    input::Invalid,
    scenario::{Disks, Generated, Hardware, Scenario, Source, Speculation},
    topology::Cluster,
    workload::FIRST_DUE_NS,
};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// Never, as a probability.
const NEVER: Ratio = (0, 1);

/// Sinks of a pipeline with a window: one for its rows, one for those that come late.
const SINKS: u32 = 2;
/// So long a run goes on at the least before a fault may strike…
const SETTLE_NS_MIN: u64 = 5 * SECOND;
/// …and the strike is drawn from at least so long a time.
const STRIKE_NS_MIN: u64 = 2 * SECOND;
/// Input goes on for at least so long after the fault is over.
const TAIL_NS_MIN: u64 = 4 * SECOND;

/// The cluster, its load and its hardware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Setting {
    /// From the start of one epoch to the start of the next.
    pub epoch_interval_ns: u64,
    /// From one beat of a leader or an executor to its next.
    pub heartbeat_ns: u64,
    /// Who was not heard for so long is taken to have failed.
    pub failure_timeout_ns: u64,
    /// Executors; there are as many partitions of the source and of the state.
    pub executors: u32,
    /// How much of the executors' CPU time the input takes, in hundredths: 1 to 95.
    pub load_percent: u32,
    /// The rate of the input.
    pub tuples_per_second: u32,
    /// How many keys the state has at the most.
    pub keys: u32,
    /// The size of a window. Where it is longer than the run, the state holds all keys at the end.
    pub window_ms: u64,
    /// How long a machine that lost its power is down, before it boots.
    pub down_ns: u64,
    /// How long a throttle, a partition or a slow disk lasts.
    pub lasts_ns: u64,
    /// The links.
    pub network: Network,
    /// The disks and ports of the nodes.
    pub hardware: Hardware,
    /// As how many bytes the state of each partition counts once it holds all keys; 0: as many as it
    /// has.
    pub state_bytes: u64,
    /// Whether each epoch writes the whole state, rather than what changed, as a layer.
    pub full_snapshots: bool,
    /// Whether a straggling attempt gets a second one beside it.
    pub speculation: bool,
}

/// The links between any two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// A data centre: 50 to 500 µs one way, and 1 datagram in 100 late, lost or doubled.
    Lan,
    /// The same, without any of that.
    Clean,
    /// Three sites of a region: 1 to 3 ms one way, and 1 datagram in 100 late, lost or doubled.
    Region,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            epoch_interval_ns: 500 * MS,
            heartbeat_ns: 100 * MS,
            failure_timeout_ns: 500 * MS,
            executors: 3,
            load_percent: 30,
            tuples_per_second: 100,
            keys: 100,
            window_ms: 2_000,
            down_ns: 2 * SECOND,
            lasts_ns: 3 * SECOND,
            network: Network::Lan,
            hardware: Hardware::Nvme,
            state_bytes: 0,
            full_snapshots: false,
            speculation: true,
        }
    }
}

impl Network {
    /// What the links do.
    #[must_use]
    pub fn config(self) -> NetworkConfig {
        let lan = NetworkConfig::default();
        match self {
            Self::Lan => lan,
            Self::Clean => NetworkConfig { tail: NEVER, loss: NEVER, duplication: NEVER, ..lan },
            Self::Region => NetworkConfig { latency_ns: (MS, 3 * MS), ..lan },
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Clean => "clean",
            Self::Region => "region",
        }
    }
}

impl Setting {
    /// States of so many bytes in each partition, of which a second changes one in 450. No datagram
    /// is lost: one that stands for megabytes would be lost as a whole. What straggles is waited
    /// for: another attempt would have the whole state loaded elsewhere.
    #[must_use]
    pub fn with_state(state_bytes: u64) -> Self {
        Self {
            state_bytes,
            keys: 3_600,
            window_ms: 3_600_000,
            tuples_per_second: 8,
            load_percent: 1,
            network: Network::Clean,
            speculation: false,
            ..Self::default()
        }
    }

    /// How it keeps states, in words.
    pub(super) fn design(&self) -> String {
        let kept = if self.full_snapshots { "full snapshots" } else { "snapshot and layers" };
        if self.speculation { format!("{kept}, speculative") } else { kept.to_owned() }
    }

    /// What differs from the default, as it stands in the name of a cell; with a size of the state,
    /// what differs from the usual setting of that size.
    #[must_use]
    pub fn name(&self) -> String {
        let usual = match self.state_bytes {
            0 => Self::default(),
            bytes => Self::with_state(bytes),
        };
        let mut parts = Vec::new();
        let mut part = |differs: bool, part: String| {
            if differs {
                parts.push(part);
            }
        };
        let ms = |ns: u64| ns / MS;
        part(
            self.epoch_interval_ns != usual.epoch_interval_ns,
            format!("interval-{}ms", ms(self.epoch_interval_ns)),
        );
        part(self.heartbeat_ns != usual.heartbeat_ns, format!("beat-{}ms", ms(self.heartbeat_ns)));
        part(
            self.failure_timeout_ns != usual.failure_timeout_ns,
            format!("timeout-{}ms", ms(self.failure_timeout_ns)),
        );
        part(self.executors != usual.executors, format!("executors-{}", self.executors));
        part(self.load_percent != usual.load_percent, format!("load-{}", self.load_percent));
        part(
            self.tuples_per_second != usual.tuples_per_second,
            format!("rate-{}", self.tuples_per_second),
        );
        part(self.keys != usual.keys, format!("keys-{}", self.keys));
        part(self.window_ms != usual.window_ms, format!("window-{}ms", self.window_ms));
        part(self.down_ns != usual.down_ns, format!("down-{}ms", ms(self.down_ns)));
        part(self.lasts_ns != usual.lasts_ns, format!("lasts-{}ms", ms(self.lasts_ns)));
        part(self.network != usual.network, format!("net-{}", self.network.name()));
        part(self.hardware != usual.hardware, format!("disk-{}", self.hardware.name()));
        part(self.state_bytes > 0, format!("state-{}mb", self.state_bytes / 1_000_000));
        part(self.full_snapshots, "full".to_owned());
        part(
            self.speculation != usual.speculation,
            if self.speculation { "speculative" } else { "rerun" }.to_owned(),
        );
        parts.join("-")
    }

    /// From when on a fault may strike, and before when: from a steady state on, with the state
    /// filled as far as it comes.
    #[must_use]
    pub fn strike_ns(&self) -> (u64, u64) {
        // With a size of its own the state is filled at once.
        let rate = u64::from(self.tuples_per_second.max(1));
        let fill_ns = match self.state_bytes {
            0 => 2 * u64::from(self.keys) * SECOND / rate,
            _ => {
                2 * u64::from(self.keys) * self.work_per_tuple_ns()
                    / u64::from(self.executors.max(1))
            }
        };
        let windows_ns = 2 * self.window_ms.min(5_000) * MS;
        let size = self.size();
        let settle_ns = SETTLE_NS_MIN.max(4 * size.epoch_ns()).max(3 * size.put_ns());
        let settle_ns = settle_ns.max(windows_ns);
        let settle_ns = if self.window_ms > 60_000 { settle_ns.max(fill_ns) } else { settle_ns };
        let from_ns = FIRST_DUE_NS + settle_ns;
        (from_ns, from_ns + STRIKE_NS_MIN.max(size.cycle_ns()))
    }

    /// Until when input comes.
    #[must_use]
    pub fn input_ns(&self) -> u64 {
        let size = self.size();
        // What piled up while states were loaded and written is worked off over some epochs.
        let epochs = if self.state_bytes > 0 { 8 } else { 4 };
        let tail_ns = TAIL_NS_MIN.max(epochs * size.epoch_ns()).max(4 * size.put_ns());
        self.strike_ns().1 + self.down_ns.max(self.lasts_ns) + size.load_ns() + tail_ns
    }

    /// What its state and what changes of it count as.
    pub(super) fn size(&self) -> Size {
        Size::of(self)
    }

    /// The CPU time that a map task and then a reduce task spend on a tuple, each.
    #[must_use]
    pub fn work_per_tuple_ns(&self) -> u64 {
        u64::from(self.load_percent) * u64::from(self.executors) * SECOND
            / (200 * u64::from(self.tuples_per_second.max(1)))
    }

    /// The scenario, under a name.
    ///
    /// # Errors
    /// What of the setting makes no sense.
    ///
    /// # Panics
    /// Never: there are at most 64 partitions of the state.
    pub fn scenario(&self, name: &str) -> Result<Scenario, Invalid> {
        self.check()?;
        let mut scenario = Scenario::parse("recovery", &json!({ "name": name }).to_string())?;
        let seconds = (self.input_ns() - FIRST_DUE_NS).div_ceil(SECOND);
        let fill = if self.state_bytes > 0 { self.keys } else { 0 };
        let tuples = u64::from(self.tuples_per_second) * seconds + u64::from(fill);
        let tuples = u32::try_from(tuples).ok().filter(|tuples| *tuples <= 100_000);
        let tuples = tuples.ok_or_else(|| {
            Invalid::at(
                "tuples_per_second",
                format!(
                    "{} over {seconds} s is too much input; it must be at most 100000 tuples",
                    self.tuples_per_second
                ),
            )
        })?;
        scenario.about = "one fault in a steady state".to_owned();
        scenario.cluster = Cluster {
            partitions: self.executors,
            executors: self.executors,
            drivers: 2,
            sinks: SINKS,
            ..Cluster::default()
        };
        scenario.pipeline = Some(self.pipeline());
        scenario.workload = Source::Generated(Generated {
            tuples,
            per_second: self.tuples_per_second,
            keys: self.keys,
            skew: (0, 1),
            disorder_ms: 500,
            late: NEVER,
            late_ms: 0,
            idle: NEVER,
            fill: fill > 0,
            ..Generated::default()
        });
        scenario.network = self.network.config();
        scenario.hardware = self.hardware;
        scenario.state = self.size().design();
        scenario.disk = Disks { profile: "ext4-ordered".to_owned(), glitches: NEVER };
        scenario.epoch_interval_ns = self.epoch_interval_ns;
        scenario.heartbeat_ns = self.heartbeat_ns;
        scenario.failure_timeout_ns = self.failure_timeout_ns;
        scenario.state_partitions = u16::try_from(self.executors).expect("checked: at most 64");
        scenario.work_per_tuple_ns = self.work_per_tuple_ns();
        scenario.speculation = if self.speculation { Speculation::On } else { Speculation::Off };
        scenario.bounds.events_max = 200_000_000;
        let epoch_ns = self.epoch_interval_ns.max(self.size().put_ns());
        scenario.bounds.stuck_after_ns =
            30 * SECOND + 20 * epoch_ns + 4 * scenario.state.task_timeout_ns;
        scenario.bounds.virtual_ns_max = 2 * self.input_ns() + 2 * scenario.bounds.stuck_after_ns;
        scenario.check()?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), Invalid> {
        let within = |name: &str, value: u64, (low, high): (u64, u64)| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            let problem = format!("{value} is out of range; it must be {low} to {high}");
            Err(Invalid::at(name, problem))
        };
        within("executors", self.executors.into(), (1, 64))?;
        within("load_percent", self.load_percent.into(), (1, 95))?;
        within("tuples_per_second", self.tuples_per_second.into(), (1, 10_000))?;
        within("keys", self.keys.into(), (1, 100_000))?;
        within("epoch_interval_ns", self.epoch_interval_ns, (MS, 60 * SECOND))?;
        within("window_ms", self.window_ms, (100, 86_400_000))?;
        within("down_ns", self.down_ns, (1, 60 * SECOND))?;
        within("state_bytes", self.state_bytes, (0, 10_000_000_000))?;
        if self.state_bytes > 0 && self.hardware == Hardware::Unlimited {
            let problem = "counts for time only, and bytes take none on this hardware; it must be \
                           nvme, cloud-ebs or hdd";
            return Err(Invalid::at("state_bytes", problem));
        }
        within("lasts_ns", self.lasts_ns, (1, 60 * SECOND))
    }

    /// Sums by key and window, in the engine's JSON form.
    fn pipeline(&self) -> serde_json::Value {
        json!({"nodes": [
            {"name": "events", "op": "source"},
            {"name": "parsed", "inputs": ["events"], "op": {"parse": [
                {"name": "key", "type": "text"}, {"name": "amount", "type": "int"}]}},
            {"name": "totals", "inputs": ["parsed"], "op": {"window": {
                "key": ["key"], "size_ms": self.window_ms, "delay_ms": 1_000,
                "aggregates": [
                    {"name": "count", "of": "count"}, {"name": "sum", "of": {"sum": "amount"}},
                    {"name": "fingerprint", "of": "fingerprint"}]}}},
            {"name": "table", "inputs": ["totals"], "op": "sink"},
            {"name": "late", "inputs": ["totals"], "op": "late_sink"}
        ]})
    }
}

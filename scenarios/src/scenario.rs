//! A scenario: one JSON file that says what the cluster is, what clients do, what breaks, and
//! what is expected. A name is enough; everything else has a default:
//!
//! ```
//! let scenario = unplug::scenario::Scenario::parse("mine.json", r#"
//! {"name": "mine", "cluster": {"executors": 5},
//!  "faults": {"generate": {"classes": {"node_kill": 1}, "roles": ["driver", "executor"]}}}
//! "#)?;
//! assert_eq!(scenario.cluster.partitions, 4);
//! # Ok::<(), unplug::input::Invalid>(())
//! ```
//!
//! Numbers are integers, with their unit in their name; a range is `[low, high]`, and a probability
//! is `[cases, of so many]`.

mod changes;
mod disks;
mod faults;
mod hardware;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unplug_sim::{ClockConfig, NetworkConfig};

pub use self::{
    changes::{Changes, ExecutorLeft, ExecutorsJoined, PartitionsAdded},
    disks::{DRAWN, Disks},
    faults::{Classes, Faults, Generate},
    hardware::{Hardware, StateDesign},
};

use crate::{
    input::{self, Invalid},
    members,
    outcome::VerdictKind,
    reach::Reach,
    schema,
    topology::Cluster,
    validate,
};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const MIB: u64 = 1 << 20;

/// A scenario: with a seed, it fixes a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name: lower-case letters, digits and hyphens, since it becomes part of file names.
    pub name: String,
    /// One line on what it is for.
    #[serde(default)]
    pub about: String,
    /// The nodes.
    #[serde(default)]
    pub cluster: Cluster,
    /// How the sink keeps what it is given.
    #[serde(default)]
    pub sink: Sink,
    /// The pipeline in the engine's JSON form, or the name of one that the engine has; the flights
    /// pipeline if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Pipeline>")]
    pub pipeline: Option<serde_json::Value>,
    /// What producers send.
    #[serde(default)]
    pub workload: Source,
    /// Producers have their input, of keys and amounts, in files of this form that grow, and feeders
    /// read these. A line that is broken is a dead letter of the feeder then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Files>,
    /// What breaks.
    #[serde(default)]
    pub faults: Faults,
    /// What becomes of the cluster meanwhile.
    #[serde(default, skip_serializing_if = "Changes::is_empty")]
    pub changes: Changes,
    /// The links between any two nodes.
    #[serde(default)]
    pub network: NetworkConfig,
    /// The disks of the data centre's nodes.
    #[serde(default)]
    pub disk: Disks,
    /// The disks and ports of the data centre's nodes.
    #[serde(default, skip_serializing_if = "Hardware::is_usual")]
    pub hardware: Hardware,
    /// How a pipeline's state is kept.
    #[serde(default, skip_serializing_if = "StateDesign::is_usual")]
    pub state: StateDesign,
    /// How wrong the clocks of the data centre's nodes are.
    #[serde(default)]
    pub clocks: ClockConfig,
    /// From the start of one epoch to the start of the next, if there is input.
    #[serde(default = "default_epoch_interval_ns")]
    pub epoch_interval_ns: u64,
    /// When epochs begin.
    #[serde(default)]
    pub trigger: Trigger,
    /// How many tuples of one partition go into one epoch at the most.
    #[serde(default = "default_epoch_tuples_max")]
    pub epoch_tuples_max: u64,
    /// A partition of the source that has so many bytes, in more than one segment, takes nothing in
    /// until some of it is read: producers wait. From 65,536 on; as much as the disk holds if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_bytes_max: Option<u64>,
    /// Partitions of a pipeline's state, 1 to 64.
    #[serde(default = "default_state_partitions")]
    pub state_partitions: u16,
    /// How many states an executor keeps in memory, 0 to 1,024; what it needs beside them is loaded.
    #[serde(default = "default_states_kept")]
    pub states_kept: u16,
    /// How often nodes and drivers tell that they are there.
    #[serde(default = "default_heartbeat_ns")]
    pub heartbeat_ns: u64,
    /// Who was not heard for so long is taken to have failed.
    #[serde(default = "default_failure_timeout_ns")]
    pub failure_timeout_ns: u64,
    /// The CPU time that a task spends on one tuple.
    #[serde(default = "default_work_per_tuple_ns")]
    pub work_per_tuple_ns: u64,
    /// Whether a second attempt is started beside a straggler.
    #[serde(default)]
    pub speculation: Speculation,
    /// What a run may take at most.
    #[serde(default)]
    pub bounds: Bounds,
    /// What the oracle is expected to say.
    #[serde(default)]
    pub expect: Expect,
    /// Marks that a campaign over many seeds must reach at least once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sometimes: Vec<String>,
    /// Steps of an epoch that a campaign over many seeds must interrupt at least so often.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub interrupted_min: BTreeMap<String, u64>,
    /// Defects switched on, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defects: Vec<String>,
}

/// Whether a second attempt is started beside a straggler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Speculation {
    /// With every seed.
    #[default]
    On,
    /// With none.
    Off,
    /// With even seeds only, so that the two can be compared.
    Half,
}

/// When epochs begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// At the epoch interval, as long as there is input.
    #[default]
    Interval,
    /// As soon as there is input, and the epoch before is published.
    AsFastAsPossible,
}

/// How an input file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Files {
    /// A JSON object a line.
    JsonLines,
    /// Comma-separated values under a line of names.
    Csv,
}

/// How the sink keeps what it is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sink {
    /// Rows and epoch in one atomic write; idempotent.
    #[default]
    Table,
    /// Rows in immutable files of JSON lines, and manifests that readers follow; exactly once.
    Files,
    /// An external system with transactions: prepared, then committed or aborted; exactly once,
    /// although it may drop what was prepared, and its answers may be lost.
    Transactional,
    /// Rows appended as they come; at least once, so a negative control.
    Append,
}

/// What producers send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// A slice of the flights, at a place that the seed draws.
    Flights(Flights),
    /// Made-up tuples with few keys, near the time of the run.
    Generated(Generated),
}

/// A slice of the flights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Flights {
    /// How many, over all producers, weather included; 1 to 12,126.
    pub tuples: u32,
    /// Whether the weather of each hour at the airports comes between them, as a second source.
    pub weather: bool,
    /// At which rate, of all producers together.
    pub per_second: u32,
}

/// Made-up tuples; of the lines with amounts, one amount in twenty is null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Generated {
    /// How many, over all producers; 1 to 100,000.
    pub tuples: u32,
    /// At which rate, of all producers together.
    pub per_second: u32,
    /// How many keys, 1 to 100,000.
    pub keys: u32,
    /// How often a tuple has one of the hottest tenth of the keys.
    pub skew: (u32, u32),
    /// Event time is behind arrival by up to this, evenly.
    pub disorder_ms: u64,
    /// How often it is behind by up to `late_ms` instead.
    pub late: (u32, u32),
    /// See `late`.
    pub late_ms: u64,
    /// The share of the partitions whose keys stop in the middle third of the run.
    pub idle: (u32, u32),
    /// How many sources they are dealt to in turn; as many as the pipeline has.
    pub sources: u16,
    /// What the lines are.
    pub lines: Lines,
    /// How often a line is broken off in its midst; only where there are dead letters: in pipelines
    /// that have them wherever they parse, or beside files.
    pub broken: (u32, u32),
    /// Whether there is a tuple of each key at once when the run begins, so that a state holds all
    /// of them soon; the rate is that of the others.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fill: bool,
}

/// What made-up lines are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lines {
    /// A key and an amount: `{"key": "k17", "amount": 42}`.
    #[default]
    Amounts,
    /// People, auctions and bids, as the benchmark Nexmark has them.
    Auctions,
}

/// What a run may take at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Bounds {
    /// More events are over budget.
    pub events_max: u64,
    /// More virtual time is over budget.
    pub virtual_ns_max: u64,
    /// More bytes of datagrams under way are over budget.
    pub in_flight_bytes_max: u64,
    /// More bytes on the disk of one node are over budget.
    pub disk_bytes_max: u64,
    /// From the last fault's end to everything delivered; longer is stuck.
    pub stuck_after_ns: u64,
}

/// What the oracle is expected to say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// Nothing, with any seed.
    #[default]
    Exact,
    /// Objections, with at least one seed of a suite, and no other ones with any.
    Caught {
        /// The kinds that show it; any of them is enough.
        verdicts: Vec<VerdictKind>,
        /// Kinds that may come beside those, and need not. Alone they are a failure.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        beside: Vec<VerdictKind>,
    },
}

impl Expect {
    /// Whether a run may end with a verdict of this kind.
    #[must_use]
    pub fn allows(&self, kind: VerdictKind) -> bool {
        match self {
            Self::Exact => false,
            Self::Caught { verdicts, beside } => verdicts.contains(&kind) || beside.contains(&kind),
        }
    }

    /// Whether a verdict of this kind shows what must be caught.
    #[must_use]
    pub fn asks_for(&self, kind: VerdictKind) -> bool {
        match self {
            Self::Exact => false,
            Self::Caught { verdicts, .. } => verdicts.contains(&kind),
        }
    }
}

impl Scenario {
    /// Reads a scenario from JSON; `source` is what to call the text in an error.
    ///
    /// # Errors
    /// If the text is no JSON, not a scenario, or has a value that makes no sense.
    pub fn parse(source: &str, text: &str) -> Result<Self, Invalid> {
        let scenario: Self = input::parse(source, text)?;
        scenario.check().map_err(|error| error.within(source))?;
        Ok(scenario)
    }

    /// The names of all nodes that there ever are.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        let joined = members::joined(self).map(|(name, _)| name);
        self.cluster.nodes().into_iter().chain(joined).collect()
    }

    /// Checks the values.
    ///
    /// # Errors
    /// If one makes no sense: which, and what would.
    pub fn check(&self) -> Result<(), Invalid> {
        validate::scenario(self)
    }

    /// Whether second attempts are started beside stragglers with this seed.
    #[must_use]
    pub fn speculates(&self, seed: u64) -> bool {
        match self.speculation {
            Speculation::On => true,
            Speculation::Off => false,
            Speculation::Half => seed.is_multiple_of(2),
        }
    }

    /// What a campaign over it must reach.
    #[must_use]
    pub fn reach(&self) -> Reach {
        Reach { sometimes: self.sometimes.clone(), interrupted_min: self.interrupted_min.clone() }
    }

    /// Whether it must be caught rather than held.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        matches!(self.expect, Expect::Caught { .. })
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::Flights(Flights::default())
    }
}

impl Source {
    /// How many tuples there are, over all producers.
    #[must_use]
    pub fn tuples(&self) -> u32 {
        match self {
            Self::Flights(flights) => flights.tuples,
            Self::Generated(generated) => generated.tuples,
        }
    }

    /// How many come in a second, from all producers together.
    #[must_use]
    pub fn per_second(&self) -> u32 {
        match self {
            Self::Flights(flights) => flights.per_second,
            Self::Generated(generated) => generated.per_second,
        }
    }

    /// How many are there at once when the run begins.
    #[must_use]
    pub fn at_once(&self) -> u32 {
        match self {
            Self::Generated(made) if made.fill => made.keys.min(made.tuples),
            Self::Generated(_) | Self::Flights(_) => 0,
        }
    }

    /// How long it takes to send all, in virtual nanoseconds.
    #[must_use]
    pub fn sent_ns(&self) -> u64 {
        u64::from(self.tuples() - self.at_once()) * SECOND / u64::from(self.per_second())
    }
}

impl Default for Generated {
    fn default() -> Self {
        Self {
            tuples: 2_000,
            per_second: 100,
            keys: 40,
            skew: (1, 2),
            disorder_ms: 2_000,
            late: (1, 50),
            late_ms: 20_000,
            idle: (1, 4),
            sources: 1,
            lines: Lines::Amounts,
            broken: (0, 1),
            fill: false,
        }
    }
}

impl Default for Flights {
    fn default() -> Self {
        Self { tuples: 2_000, weather: false, per_second: 100 }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            events_max: 10_000_000,
            virtual_ns_max: 300 * SECOND,
            in_flight_bytes_max: 64 * MIB,
            disk_bytes_max: 64 * MIB,
            stuck_after_ns: 30 * SECOND,
        }
    }
}

fn default_epoch_interval_ns() -> u64 {
    500 * MS
}

fn default_epoch_tuples_max() -> u64 {
    500
}

fn default_state_partitions() -> u16 {
    3
}

fn default_states_kept() -> u16 {
    64
}

fn default_heartbeat_ns() -> u64 {
    100 * MS
}

fn default_failure_timeout_ns() -> u64 {
    500 * MS
}

fn default_work_per_tuple_ns() -> u64 {
    2_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_enough_and_json_round_trips() {
        let scenario = Scenario::parse("x", r#"{"name": "mine"}"#).expect("parses");
        assert_eq!(scenario.epoch_interval_ns, 500_000_000);
        assert_eq!(scenario.expect, Expect::Exact);
        let json = serde_json::to_string(&scenario).expect("serialises");
        assert_eq!(Scenario::parse("x", &json).expect("parses"), scenario);
    }

    #[test]
    fn half_of_the_seeds_speculate_if_half_is_meant() {
        let text = |what| format!(r#"{{"name": "x", "speculation": "{what}"}}"#);
        for (what, expected) in [("on", [true, true]), ("off", [false; 2]), ("half", [true, false])]
        {
            let scenario = Scenario::parse("x", &text(what)).expect("parses");
            assert_eq!([6, 7].map(|seed| scenario.speculates(seed)), expected, "{what}");
        }
    }
}

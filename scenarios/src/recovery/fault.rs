//! What a cell has break, as the plan of one run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unplug_sim::{
    fault::{Action, Fault as Planned, Keep, Plan, Target, Trigger},
    random::PlanStream,
};

use super::setting::Setting;
use crate::{cluster, scenario::Scenario, topology::Role};

/// So long after its process was killed a supervisor starts it again.
const SUPERVISOR_NS: u64 = 1_000_000;

/// How many times slower a slow disk is.
pub(super) const SLOW_DISK: u32 = 100;

/// The fault of a cell. A node of which there are several is drawn by the seed; the driver is the one
/// that leads.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Nothing breaks: what of a recovery is the wait for the next epoch.
    None,
    /// An executor's process is killed.
    ExecutorKill,
    /// An executor loses its power.
    ExecutorPower,
    /// The leader's process is killed.
    DriverKill,
    /// The leader loses its power.
    DriverPower,
    /// A store's process is killed.
    StoreKill,
    /// A store loses its power.
    StorePower,
    /// The broker's process is killed.
    BrokerKill,
    /// The broker loses its power.
    BrokerPower,
    /// A sink's process is killed.
    SinkKill,
    /// A sink loses its power.
    SinkPower,
    /// The whole data centre loses its power.
    DataCentrePower,
    /// An executor is twice as slow.
    #[serde(rename = "throttle-2")]
    Throttle2,
    /// An executor is ten times slower.
    #[serde(rename = "throttle-10")]
    Throttle10,
    /// An executor is a hundred times slower.
    #[serde(rename = "throttle-100")]
    Throttle100,
    /// The leader is cut off from all others of the data centre.
    DriverPartition,
    /// What the leader sends reaches nobody; what others send reaches the leader.
    DriverOneWay,
    /// An executor is cut off from all others of the data centre.
    ExecutorPartition,
    /// What an executor sends reaches nobody; what others send reaches it.
    ExecutorOneWay,
    /// A store's disk is a hundred times slower.
    StoreSlowDisk,
    /// The broker's disk is a hundred times slower.
    BrokerSlowDisk,
    /// A store loses its disk, and comes back with a blank one.
    StoreDiskLoss,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::None,
        Self::ExecutorKill,
        Self::ExecutorPower,
        Self::DriverKill,
        Self::DriverPower,
        Self::StoreKill,
        Self::StorePower,
        Self::BrokerKill,
        Self::BrokerPower,
        Self::SinkKill,
        Self::SinkPower,
        Self::DataCentrePower,
        Self::Throttle2,
        Self::Throttle10,
        Self::Throttle100,
        Self::DriverPartition,
        Self::DriverOneWay,
        Self::ExecutorPartition,
        Self::ExecutorOneWay,
        Self::StoreSlowDisk,
        Self::BrokerSlowDisk,
        Self::StoreDiskLoss,
    ];

    /// Its name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ExecutorKill => "executor-kill",
            Self::ExecutorPower => "executor-power",
            Self::DriverKill => "driver-kill",
            Self::DriverPower => "driver-power",
            Self::StoreKill => "store-kill",
            Self::StorePower => "store-power",
            Self::BrokerKill => "broker-kill",
            Self::BrokerPower => "broker-power",
            Self::SinkKill => "sink-kill",
            Self::SinkPower => "sink-power",
            Self::DataCentrePower => "data-centre-power",
            Self::Throttle2 => "throttle-2",
            Self::Throttle10 => "throttle-10",
            Self::Throttle100 => "throttle-100",
            Self::DriverPartition => "driver-partition",
            Self::DriverOneWay => "driver-one-way",
            Self::ExecutorPartition => "executor-partition",
            Self::ExecutorOneWay => "executor-one-way",
            Self::StoreSlowDisk => "store-slow-disk",
            Self::BrokerSlowDisk => "broker-slow-disk",
            Self::StoreDiskLoss => "store-disk-loss",
        }
    }

    /// Whose node it strikes; none for the whole data centre.
    #[must_use]
    pub fn role(self) -> Option<Role> {
        match self {
            Self::None
            | Self::ExecutorKill
            | Self::ExecutorPower
            | Self::Throttle2
            | Self::Throttle10
            | Self::Throttle100
            | Self::ExecutorPartition
            | Self::ExecutorOneWay => Some(Role::Executor),
            Self::DriverKill | Self::DriverPower | Self::DriverPartition | Self::DriverOneWay => {
                Some(Role::Driver)
            }
            Self::StoreKill | Self::StorePower | Self::StoreSlowDisk | Self::StoreDiskLoss => {
                Some(Role::Store)
            }
            Self::BrokerKill | Self::BrokerPower | Self::BrokerSlowDisk => Some(Role::Broker),
            Self::SinkKill | Self::SinkPower => Some(Role::Sink),
            Self::DataCentrePower => None,
        }
    }

    /// Whether an executor does its tasks no more, or more slowly.
    #[must_use]
    pub fn is_of_executor(self) -> bool {
        let role = self.role();
        self != Self::None && (role.is_none() || role == Some(Role::Executor))
    }

    /// When it strikes with a seed.
    #[must_use]
    pub fn strike_ns(self, setting: &Setting, seed: u64) -> u64 {
        let (from_ns, until_ns) = setting.strike_ns();
        // The same moments for all faults of a setting, so that they can be set beside each other.
        PlanStream::of_plan(seed, "recovery-strike").between(from_ns, until_ns)
    }

    /// The plan of a run in which `leader` leads at the strike.
    ///
    /// # Panics
    /// If the scenario has no node of the fault's role, which a setting's always has.
    #[must_use]
    pub fn plan(self, run: (&Setting, &Scenario), seed: u64, leader: &str) -> Plan {
        let (setting, scenario) = run;
        let node = match self.role() {
            Some(Role::Driver) => leader.to_owned(),
            Some(role) => {
                let count = usize::try_from(role.count(&scenario.cluster)).expect("few");
                let index = PlanStream::of_plan(seed, "recovery-node").index(count);
                role.node(u32::try_from(index).expect("few"))
            }
            None => String::new(),
        };
        let what = self.action(setting, node, &cluster::names(scenario));
        let when = Trigger { from_ns: self.strike_ns(setting, seed), on: None };
        Plan { faults: vec![Planned { when, what, until: None }] }
    }

    fn action(self, setting: &Setting, node: String, all: &[String]) -> Action {
        let (down_ns, for_ns) = (setting.down_ns, setting.lasts_ns);
        let others = all.iter().filter(|other| **other != node).cloned().collect();
        let target = Target::Node(node.clone());
        let partition =
            |one_way| Action::Partition { from: vec![node.clone()], to: others, one_way, for_ns };
        match self {
            Self::None => Action::ClockStep { target, by_ns: 0 },
            Self::ExecutorKill
            | Self::DriverKill
            | Self::StoreKill
            | Self::BrokerKill
            | Self::SinkKill => Action::Kill { target, down_ns: SUPERVISOR_NS },
            Self::ExecutorPower
            | Self::DriverPower
            | Self::StorePower
            | Self::BrokerPower
            | Self::SinkPower => Action::PowerLoss { target, down_ns, keep: Keep::Drawn },
            Self::DataCentrePower => {
                Action::PowerLoss { target: Target::DataCentre, down_ns, keep: Keep::Drawn }
            }
            Self::Throttle2 => Action::Throttle { target, factor: 2, for_ns },
            Self::Throttle10 => Action::Throttle { target, factor: 10, for_ns },
            Self::Throttle100 => Action::Throttle { target, factor: 100, for_ns },
            Self::DriverPartition | Self::ExecutorPartition => partition(false),
            Self::DriverOneWay | Self::ExecutorOneWay => partition(true),
            Self::StoreSlowDisk | Self::BrokerSlowDisk => {
                Action::SlowDisk { target, factor: SLOW_DISK, for_ns }
            }
            Self::StoreDiskLoss => Action::DiskLoss { node, down_ns },
        }
    }

    /// How long what it strikes is away before it boots; none if it does not go down.
    #[must_use]
    pub fn down_ns(self, setting: &Setting) -> Option<u64> {
        match self {
            Self::ExecutorKill
            | Self::DriverKill
            | Self::StoreKill
            | Self::BrokerKill
            | Self::SinkKill => Some(SUPERVISOR_NS),
            Self::ExecutorPower
            | Self::DriverPower
            | Self::StorePower
            | Self::BrokerPower
            | Self::SinkPower
            | Self::DataCentrePower
            | Self::StoreDiskLoss => Some(setting.down_ns),
            Self::None
            | Self::Throttle2
            | Self::Throttle10
            | Self::Throttle100
            | Self::DriverPartition
            | Self::DriverOneWay
            | Self::ExecutorPartition
            | Self::ExecutorOneWay
            | Self::StoreSlowDisk
            | Self::BrokerSlowDisk => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_as_in_json_and_each_is_there_once() {
        let names: std::collections::BTreeSet<_> = Fault::ALL.map(Fault::name).into();
        assert_eq!(names.len(), Fault::ALL.len());
        for fault in Fault::ALL {
            let json = serde_json::to_string(&fault).expect("serialises");
            assert_eq!(json, format!("{:?}", fault.name()));
        }
    }

    #[test]
    fn a_plan_is_one_fault_at_the_seeds_moment() {
        let setting = Setting::default();
        let scenario = setting.scenario("x").expect("sound");
        for fault in Fault::ALL {
            let plan = fault.plan((&setting, &scenario), 3, "driver-1");
            assert_eq!(plan.faults.len(), 1);
            assert_eq!(plan.faults[0].when.from_ns, fault.strike_ns(&setting, 3));
            crate::generate::atlas::within_promise(&plan, &scenario.cluster).expect("promised");
            assert_eq!(plan.faults[0].what.ends_processes(), fault.down_ns(&setting).is_some());
            let names = plan.faults[0].what.nodes();
            assert_eq!(
                names.contains(&"driver-1"),
                matches!(fault.role(), Some(Role::Driver)) || names.len() > 2
            );
        }
    }
}

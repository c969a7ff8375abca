//! What a recovery takes at the least, by arithmetic: the bound that stands beside each cell. The
//! formulas stand in `docs/recovery.md`; each range of the machine counts with its middle.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unplug_sim::{NanosRange, WorldConfig};

use super::{
    fault::{Fault, SLOW_DISK},
    phase::Phase,
    setting::Setting,
};
use crate::clients::PRODUCE_EVERY_NS;

/// No attempt counts as a straggler's before so long; as `unplug_engine::Config` has it.
const STRAGGLER_NS_MIN: u64 = 50_000_000;

/// A bound, and what it is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// All together.
    pub total_ns: u64,
    /// What each phase takes at the least; phases without a bound of their own are left out.
    pub phases: Vec<(Phase, u64)>,
}

/// What the machine takes for one of each, in the middle.
struct Costs {
    /// There and back.
    round_trip_ns: u64,
    sync_ns: u64,
    read_ns: u64,
    boot_ns: u64,
    /// All bytes of a state, from the stores.
    load_ns: u64,
    /// All bytes that an epoch writes of states, to the stores.
    write_ns: u64,
}

fn middle((low, high): NanosRange) -> u64 {
    low.midpoint(high)
}

impl Costs {
    fn of(setting: &Setting) -> Self {
        let disk = setting.hardware.disk((0, 1));
        let size = setting.size();
        Self {
            round_trip_ns: 2 * middle(setting.network.config().latency_ns),
            sync_ns: middle(disk.sync_ns),
            read_ns: middle(disk.read_ns),
            boot_ns: middle(WorldConfig::new(0).boot_ns),
            load_ns: size.load_ns(),
            write_ns: size.write_ns(),
        }
    }

    /// Something is put durably at a majority: a file's bytes and its name are synced.
    fn put_ns(&self) -> u64 {
        self.round_trip_ns + 2 * self.sync_ns
    }

    /// A register is decided: promised and accepted.
    fn decide_ns(&self) -> u64 {
        2 * self.put_ns()
    }
}

impl Bound {
    /// The bound of a fault under a setting.
    #[must_use]
    pub fn of(fault: Fault, setting: &Setting) -> Self {
        let costs = Costs::of(setting);
        let boot_ns = fault.down_ns(setting).map_or(0, |down_ns| down_ns + costs.boot_ns);
        let lead = |boot_ns, detection_ns| {
            vec![
                (Phase::Boot, boot_ns),
                (Phase::Detection, detection_ns),
                (Phase::Election, costs.round_trip_ns + costs.decide_ns()),
                (Phase::Plan, 3 * costs.round_trip_ns),
            ]
        };
        // A leader that is back asks who leads; another one hears out the time-out, which began half
        // a beat ago.
        let asks_ns = costs.round_trip_ns;
        let timeout_ns = setting.failure_timeout_ns - setting.heartbeat_ns / 2;
        let (mut before, cold) = match fault {
            Fault::None
            | Fault::ExecutorKill
            | Fault::StoreKill
            | Fault::StorePower
            | Fault::StoreSlowDisk
            | Fault::BrokerSlowDisk
            | Fault::StoreDiskLoss
            | Fault::Throttle2 => (Vec::new(), false),
            Fault::ExecutorPower
            | Fault::ExecutorPartition
            | Fault::ExecutorOneWay
            | Fault::Throttle10
            | Fault::Throttle100 => (vec![(Phase::Detection, notice_ns(&costs, setting))], true),
            Fault::BrokerKill | Fault::BrokerPower | Fault::SinkKill | Fault::SinkPower => {
                (vec![(Phase::Boot, boot_ns)], false)
            }
            Fault::DriverKill | Fault::DriverPower if boot_ns + asks_ns < timeout_ns => {
                (lead(boot_ns, asks_ns), false)
            }
            Fault::DriverKill
            | Fault::DriverPower
            | Fault::DriverPartition
            | Fault::DriverOneWay => (lead(0, timeout_ns), false),
            Fault::DataCentrePower => (lead(boot_ns, asks_ns), true),
        };
        if cold {
            before.push((Phase::State, costs.round_trip_ns + costs.read_ns + costs.load_ns));
        }
        let outage_ns: u64 = before.iter().map(|(_, ns)| *ns).sum();
        // Undisturbed, the next tuple is waited for, and then the next epoch; a new leader begins
        // one at once.
        let is_led_anew = before.iter().any(|(phase, _)| *phase == Phase::Election);
        let interval_ns = if is_led_anew { 0 } else { setting.epoch_interval_ns };
        let mut wait_ns = PRODUCE_EVERY_NS / 2 + interval_ns / 2;
        if fault == Fault::BrokerSlowDisk {
            // The tuple is synced first, and read then.
            wait_ns += u64::from(SLOW_DISK) * (costs.sync_ns + costs.read_ns);
        }
        let usual_ns = epoch_ns(&costs, setting, setting.epoch_interval_ns);
        let behind_ns = outage_ns + setting.epoch_interval_ns / 2;
        let after_ns = epoch_ns(&costs, setting, behind_ns.max(setting.epoch_interval_ns));
        let publish_ns = 2 * costs.round_trip_ns + costs.read_ns + 2 * costs.sync_ns;
        // What is noticed only in an epoch waits for it first.
        let in_epoch = fault.is_of_executor() && fault != Fault::DataCentrePower;
        let commit_ns = match outage_ns {
            0 => wait_ns + usual_ns,
            _ if in_epoch => wait_ns + usual_ns,
            outage_ns => after_ns.max((wait_ns + usual_ns).saturating_sub(outage_ns)),
        };
        before.push((Phase::Commit, commit_ns));
        before.push((Phase::Publish, publish_ns));
        Self { total_ns: before.iter().map(|(_, ns)| *ns).sum(), phases: before }
    }
}

/// An epoch over what arrived in so long, from its plan to its commit.
fn epoch_ns(costs: &Costs, setting: &Setting, input_ns: u64) -> u64 {
    // The source's ends are asked for; the plan is decided; map and reduce tasks are ordered, read
    // from the broker and from each other, and work; the states are put; the commit is decided.
    costs.round_trip_ns
        + costs.decide_ns()
        + 4 * costs.round_trip_ns
        + costs.read_ns
        + tasks_ns(setting, input_ns)
        + costs.put_ns()
        + costs.write_ns
        + costs.decide_ns()
}

/// Until another attempt is made at the task of an executor that is gone or slow: twice as long as
/// such a task takes, but for a time-out that ends before.
fn notice_ns(costs: &Costs, setting: &Setting) -> u64 {
    let silent_ns = setting.failure_timeout_ns - setting.heartbeat_ns / 2;
    let task_ns =
        2 * costs.round_trip_ns + costs.read_ns + tasks_ns(setting, setting.epoch_interval_ns) / 2;
    let straggler_ns = STRAGGLER_NS_MIN.max(2 * task_ns);
    if setting.speculation { straggler_ns.min(silent_ns) } else { silent_ns }
}

/// The CPU time of a map task and a reduce task over what arrived in so long.
fn tasks_ns(setting: &Setting, input_ns: u64) -> u64 {
    let tuples = u64::from(setting.tuples_per_second) * input_ns / 1_000_000_000;
    2 * tuples.div_ceil(setting.executors.into()) * setting.work_per_tuple_ns()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_the_sum_of_its_phases_and_grows_with_what_it_is_made_of() {
        let usual = Setting::default();
        let total = |fault, setting: &Setting| {
            let bound = Bound::of(fault, setting);
            assert_eq!(bound.total_ns, bound.phases.iter().map(|(_, ns)| ns).sum::<u64>());
            bound.total_ns
        };
        let slow = Setting { failure_timeout_ns: 5_000_000_000, ..usual.clone() };
        let far = Setting { down_ns: 9_000_000_000, ..usual.clone() };
        for fault in Fault::ALL {
            let at_once = fault == Fault::DriverKill;
            assert!(at_once || total(fault, &usual) >= total(Fault::None, &usual), "{fault:?}");
        }
        assert!(
            total(Fault::DriverPower, &slow) > total(Fault::DriverPower, &usual) + 1_000_000_000
        );
        assert!(
            total(Fault::BrokerPower, &far)
                == total(Fault::BrokerPower, &usual) + 7_000_000_000 + work(&far, &usual)
        );
        assert_eq!(total(Fault::None, &slow), total(Fault::None, &usual));
    }

    /// By how much an epoch over a longer outage takes longer.
    fn work(far: &Setting, usual: &Setting) -> u64 {
        let behind = |setting: &Setting| {
            let boot_ns = Costs::of(setting).boot_ns;
            setting.down_ns + boot_ns + setting.epoch_interval_ns / 2
        };
        tasks_ns(far, behind(far)) - tasks_ns(usual, behind(usual))
    }
}

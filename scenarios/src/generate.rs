//! The fault plan of a seed: explicit, drawn from the stream `faults` alone, and never outside of
//! what the engine promises to survive, which [`atlas`] tells.

pub mod atlas;
mod changes;
mod classes;
mod forms;
mod partitions;
mod points;

use unplug_sim::{
    fault::{Action, Edge, Fault, Plan, Trigger},
    random::PlanStream,
};

use self::classes::{Blow, Class};
use crate::{
    scenario::{Changes, Classes, Faults, Generate, Scenario},
    topology::{Cluster, Role},
};

/// So long after a node is back, at most, another fault begins to wait; booting included.
const RECOVERY_NS_MAX: u64 = 500_000_000;

/// Whom a fault strikes: a node of a role, or all of them.
#[derive(Clone, Copy)]
enum Victim {
    DataCentre,
    Node(Role, u32),
}

/// The plan for this seed: the scenario's own, or the one that it generates.
#[must_use]
pub fn plan(scenario: &Scenario, seed: u64) -> Plan {
    match &scenario.faults {
        Faults::Plan(plan) => plan.clone(),
        Faults::Generate(faults) => {
            Generator::new(faults, &scenario.cluster, seed).plan(&scenario.changes)
        }
    }
}

/// Whether any class has a weight.
pub(crate) fn strikes(classes: &Classes) -> bool {
    classes::weights(classes).iter().any(|(weight, _)| *weight > 0)
}

/// Whether a class has a weight that strikes single nodes of the roles that are named.
pub(crate) fn strikes_roles(classes: &Classes) -> bool {
    classes::weights(classes).iter().any(|(weight, class)| *weight > 0 && class.is_of_roles())
}

/// What the next fault may follow on.
#[derive(Clone, Copy)]
struct Before {
    /// When it is over, if it strikes as soon as it waits.
    over_ns: u64,
    /// From when on a driver takes up leadership because of it, if one has to.
    leader_ns: Option<u64>,
}

struct Generator<'a> {
    faults: &'a Generate,
    cluster: &'a Cluster,
    random: PlanStream,
    /// From which the form of a fault is drawn.
    forms: PlanStream,
    /// From which the faults in the midst of changes are drawn.
    of_changes: PlanStream,
    /// The classes that this seed draws from.
    classes: Vec<(u32, Class)>,
    /// The stores whose disks may be lost or damaged.
    harmed: Vec<u32>,
}

impl<'a> Generator<'a> {
    fn new(faults: &'a Generate, cluster: &'a Cluster, seed: u64) -> Self {
        let [random, forms, of_changes] = ["faults", "fault-forms", "fault-changes"]
            .map(|label| PlanStream::of_plan(seed, label));
        let (classes, harmed) = (Vec::new(), Vec::new());
        let mut new = Self { faults, cluster, random, forms, of_changes, classes, harmed };
        while new.harmed.len() < usize::try_from(faults.stores_harmed).expect("few") {
            let one = new.index(cluster.stores);
            if !new.harmed.contains(&one) {
                new.harmed.push(one);
            }
        }
        new.classes = new.swarm(faults);
        new
    }

    fn plan(mut self, changes: &Changes) -> Plan {
        let (low, high) = self.faults.count;
        let count = self.random.between(low.into(), u64::from(high) + 1);
        let classes = self.classes.clone();
        let mut faults = Vec::new();
        let mut before = None;
        for _ in 0..count {
            let class = self.weighted(&classes);
            before = Some(self.strike(class, before, &mut faults));
        }
        faults.sort_by_key(|fault| fault.when.from_ns);
        // Crashes wait beside what every run has. A pause may wait for what only a leader does, in
        // vain: where all wait, one goes by the clock.
        let pause = |fault: &&mut Fault| matches!(fault.what, Action::Pause { .. });
        if faults.iter().all(|fault| fault.when.on.is_some())
            && let Some(first) = faults.iter_mut().find(pause)
        {
            first.when.on = None;
        }
        self.strike_changes(changes, &mut faults);
        Plan { faults }
    }

    /// Has something of this class break.
    fn strike(&mut self, class: Class, before: Option<Before>, faults: &mut Vec<Fault>) -> Before {
        if let Some((from_ns, blow)) = self.early(class, before) {
            return push(faults, from_ns, blow);
        }
        let from_ns = self.begin_ns(before);
        let blow = match class {
            Class::DataCentrePowerLoss | Class::NodePowerLoss | Class::NodeKill => {
                let victim = self.victim(class);
                let mut on = self.point(victim);
                if let Some(other) = self.beside_store(class, victim) {
                    // Only what is armed behind an effect strikes together.
                    on.iter_mut().for_each(|point| point.edge = Edge::After);
                    let other = self.crash(class, other, on.clone());
                    push(faults, from_ns, other);
                    let blow = self.crash(class, victim, on);
                    return push(faults, from_ns, blow);
                }
                self.crash(class, victim, on)
            }
            Class::KillThenPowerLoss => {
                let (kill, loss, later_ns) = self.kill_then_power_loss();
                push(faults, from_ns, kill);
                return push(faults, (from_ns + later_ns).min(self.faults.until_ns - 1), loss);
            }
            Class::Pause => self.pause(),
            Class::Throttle => self.throttle(),
            Class::Partition | Class::OneWayPartition => self.partition(class),
            Class::ClockStep => self.clock_step(),
            Class::StoreDiskLoss if self.in_turn() => {
                let mut last = None;
                for (later_ns, blow) in self.stores_in_turn() {
                    let from_ns = (from_ns + later_ns).min(self.faults.until_ns - 1);
                    last = Some(push(faults, from_ns, blow));
                }
                return last.expect("several faults");
            }
            Class::StoreDiskLoss => self.store_disk_loss(),
            Class::StoreMedia => self.store_media(),
            Class::SoleCopyMedia => {
                let (damage, loss, later_ns) = self.sole_copy_media();
                let last_ns = (self.faults.until_ns - 1).saturating_sub(later_ns);
                let from_ns = from_ns.min(last_ns).max(self.faults.from_ns);
                push(faults, from_ns, damage);
                return push(faults, (from_ns + later_ns).min(self.faults.until_ns - 1), loss);
            }
            Class::DiskError => {
                let blows = self.disk_error().into_iter();
                let last = blows.map(|blow| push(faults, from_ns, blow)).last();
                return last.expect("an error");
            }
            Class::DiskFull => self.disk_full(),
            Class::SlowDisk => self.slow_disk(),
        };
        let (varies, victim) = (class.may_vary(), blow.victim);
        let before = push(faults, from_ns, blow);
        if varies {
            self.vary(victim, faults);
        }
        before
    }

    /// When a fault begins to wait: at any time, or as soon as those before are back.
    fn begin_ns(&mut self, before: Option<Before>) -> u64 {
        let in_recovery = self.in_recovery();
        let anywhen = self.random.between(self.faults.from_ns, self.faults.until_ns);
        let delay_ns = self.random.below(RECOVERY_NS_MAX);
        before
            .filter(|_| in_recovery)
            .map(|before| before.over_ns + delay_ns)
            .filter(|&from| from < self.faults.until_ns)
            .unwrap_or(anywhen)
    }

    fn in_recovery(&mut self) -> bool {
        let (cases, of) = self.faults.during_recovery;
        self.random.chance(cases.into(), of.into())
    }

    /// A driver takes up its leadership only after one was down or stood still, and for a moment:
    /// where the fault before strikes a driver, the next crash may wait for just that.
    fn early(&mut self, class: Class, before: Option<Before>) -> Option<(u64, Blow)> {
        let whole = class == Class::DataCentrePowerLoss;
        if !whole && !matches!(class, Class::NodePowerLoss | Class::NodeKill) {
            return None;
        }
        let leader_ns = before?.leader_ns?;
        let wanted = self.in_recovery() && self.random.chance(1, 2);
        let (node, point) = self.early_point();
        let meant = match node {
            Victim::Node(role, _) => whole || self.faults.roles.contains(&role),
            Victim::DataCentre => whole,
        };
        if !wanted || !meant || leader_ns >= self.faults.until_ns {
            return None;
        }
        let victim = if whole { Victim::DataCentre } else { node };
        Some((leader_ns, self.crash(class, victim, Some(point))))
    }

    fn node(&mut self, role: Role) -> Victim {
        let count = role.count(self.cluster);
        Victim::Node(role, self.index(count))
    }

    fn index(&mut self, count: u32) -> u32 {
        u32::try_from(self.random.below(count.into())).expect("below a u32")
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.index(from.len())]
    }

    fn weighted<T: Clone>(&mut self, choices: &[(u32, T)]) -> T {
        let total = choices.iter().map(|(weight, _)| u64::from(*weight)).sum();
        let mut drawn = self.random.below(total);
        for (weight, choice) in choices {
            match drawn.checked_sub((*weight).into()) {
                Some(rest) => drawn = rest,
                None => return choice.clone(),
            }
        }
        unreachable!("a draw below the sum of all weights")
    }
}

/// Adds a fault, and tells what the next may follow on.
fn push(faults: &mut Vec<Fault>, from_ns: u64, blow: Blow) -> Before {
    let Blow { what, on, victim, lasts_ns } = blow;
    let over_ns = from_ns + lasts_ns;
    let leader_ns = match what {
        Action::PowerLoss { .. } | Action::Kill { .. } => Some(over_ns),
        // Another driver takes over while it stands still.
        Action::Pause { .. } => Some(from_ns),
        Action::Throttle { .. }
        | Action::Partition { .. }
        | Action::ClockStep { .. }
        | Action::DiskLoss { .. }
        | Action::DiskFault { .. }
        | Action::DiskFull { .. }
        | Action::SlowDisk { .. }
        | Action::DiskStall { .. } => None,
    };
    faults.push(Fault { when: Trigger { from_ns, on }, what, until: None });
    Before { over_ns, leader_ns: leader_ns.filter(|_| victim.is_some_and(Victim::leads)) }
}

#[cfg(test)]
mod tests;

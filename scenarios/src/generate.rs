//! The fault plan of a seed: explicit, drawn from the stream `faults` alone, and never outside of
//! what the engine promises to survive. Everything that goes down comes back, with its disk.
//!
//! Faults that fall at any time mostly find disks at rest. So most wait beside something: an
//! operation of a disk that leaves something unsynced; or the begin of a step of an epoch,
//! where something is half done.

use unplug_sim::{
    fault::{Action, Edge, EffectFilter, Fault, Plan, Point, Target, Trigger},
    random::Stream,
};

use crate::{
    scenario::{Classes, Faults, Generate, Scenario},
    topology::{Cluster, Role},
};

/// How often a fault waits for what: (weight, kind).
const TRIGGERS: [(u32, Wait); 5] =
    [(2, Wait::Time), (24, Wait::Write), (2, Wait::Sync), (6, Wait::Step), (2, Wait::Effect)];
/// A disk operation or other effect to wait for is among so many first ones.
const DISK_NTH_MAX: u64 = 30;
const EFFECT_NTH_MAX: u64 = 200;
/// A step to be interrupted is among so many first ones.
const STEP_NTH_MAX: u64 = 3;
/// A store's first writes after a driver came back are those for its generation: so many.
const EARLY_WRITES_MAX: u64 = 3;
/// So long after a node is back, at most, another fault begins to wait; booting included.
const RECOVERY_NS_MAX: u64 = 500_000_000;

/// The steps of an epoch: the name in its mark, whose node passes the mark, and which roles the
/// step needs, so that their crash interrupts it.
const STEPS: [(&str, Role, &[Role]); 6] = [
    ("generation", Role::Driver, &[Role::Driver, Role::Store]),
    ("offsets", Role::Driver, &[Role::Driver, Role::Store]),
    ("tasks", Role::Executor, &[Role::Executor, Role::Broker]),
    ("blobs", Role::Executor, &[Role::Executor, Role::Store]),
    ("commit", Role::Driver, &[Role::Driver, Role::Store]),
    ("apply", Role::Sink, &[Role::Sink]),
];

#[derive(Clone, Copy)]
enum Wait {
    Time,
    Write,
    Sync,
    Step,
    Effect,
}

#[derive(Clone, Copy, PartialEq)]
enum Class {
    DataCentrePowerLoss,
    NodePowerLoss,
    NodeKill,
}

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
        Faults::Generate(faults) => Generator {
            faults,
            cluster: &scenario.cluster,
            random: Stream::new(seed, "faults", 0, 0),
        }
        .plan(),
    }
}

/// What the next fault may follow on.
#[derive(Clone, Copy)]
struct Before {
    /// When its victims get power again, if it strikes as soon as it waits.
    back_ns: u64,
    victim: Victim,
}

struct Generator<'a> {
    faults: &'a Generate,
    cluster: &'a Cluster,
    random: Stream,
}

impl Generator<'_> {
    fn plan(mut self) -> Plan {
        let (low, high) = self.faults.count;
        let count = self.random.between(low.into(), u64::from(high) + 1);
        let mut faults = Vec::new();
        let mut before = None;
        for _ in 0..count {
            let class = self.class();
            let (from_ns, victim, on) = match self.early(class, before) {
                Some(early) => early,
                None => {
                    let victim = self.victim(class);
                    (self.begin_ns(before), victim, self.point(victim))
                }
            };
            let down_ns = self.down_ns();
            before = Some(Before { back_ns: from_ns + down_ns, victim });
            let target = match victim {
                Victim::DataCentre => Target::DataCentre,
                Victim::Node(role, index) => Target::Node(role.node(index)),
            };
            let what = match class {
                Class::NodeKill => Action::Kill { target, down_ns },
                Class::DataCentrePowerLoss | Class::NodePowerLoss => {
                    Action::PowerLoss { target, down_ns }
                }
            };
            faults.push(Fault { when: Trigger { from_ns, on }, what });
        }
        faults.sort_by_key(|fault| fault.when.from_ns);
        Plan { faults }
    }

    /// When a fault begins to wait: at any time, or as soon as those before are back.
    fn begin_ns(&mut self, before: Option<Before>) -> u64 {
        let in_recovery = self.in_recovery();
        let anywhen = self.random.between(self.faults.from_ns, self.faults.until_ns);
        let delay_ns = self.random.below(RECOVERY_NS_MAX);
        before
            .filter(|_| in_recovery)
            .map(|before| before.back_ns + delay_ns)
            .filter(|&from| from < self.faults.until_ns)
            .unwrap_or(anywhen)
    }

    fn in_recovery(&mut self) -> bool {
        let (cases, of) = self.faults.during_recovery;
        self.random.chance(cases.into(), of.into())
    }

    /// A driver takes up its leadership only after it was down, and for a moment: where the fault
    /// before strikes a driver, the next may wait for just that.
    fn early(
        &mut self,
        class: Class,
        before: Option<Before>,
    ) -> Option<(u64, Victim, Option<Point>)> {
        let Before { back_ns, victim } = before?;
        let boots = matches!(victim, Victim::DataCentre | Victim::Node(Role::Driver, _));
        let wanted = self.in_recovery() && self.random.chance(1, 2);
        // At the driver as it begins, or in the midst of the store's durable put.
        let (role, effect, nth_max) = if self.random.chance(1, 3) {
            (Role::Driver, EffectFilter::Mark("generation.begin".to_owned()), 1)
        } else {
            (Role::Store, EffectFilter::Write, EARLY_WRITES_MAX)
        };
        let whole = class == Class::DataCentrePowerLoss;
        let meant = whole || self.faults.roles.contains(&role);
        if !boots || !wanted || !meant || back_ns >= self.faults.until_ns {
            return None;
        }
        let node = Victim::Node(role, 0);
        let mut point = self.beside(node, effect, nth_max);
        point.edge = Edge::After;
        Some((back_ns, if whole { Victim::DataCentre } else { node }, Some(point)))
    }

    fn class(&mut self) -> Class {
        let Classes { data_centre_power_loss, node_power_loss, node_kill } = self.faults.classes;
        self.weighted(&[
            (data_centre_power_loss, Class::DataCentrePowerLoss),
            (node_power_loss, Class::NodePowerLoss),
            (node_kill, Class::NodeKill),
        ])
    }

    fn victim(&mut self, class: Class) -> Victim {
        if class == Class::DataCentrePowerLoss {
            return Victim::DataCentre;
        }
        // To a node that keeps nothing on its disk a power loss is no more than a kill.
        let durable: Vec<Role> =
            self.faults.roles.iter().copied().filter(|role| Role::DURABLE.contains(role)).collect();
        let role =
            if class == Class::NodePowerLoss && !durable.is_empty() && self.random.chance(5, 6) {
                self.pick(&durable)
            } else {
                self.pick(&self.faults.roles.clone())
            };
        self.node(role)
    }

    /// Skewed to the short end: outages shorter than a time-out are the trickier ones.
    fn down_ns(&mut self) -> u64 {
        let (low, high) = self.faults.down_ns;
        let high = self.random.between(low, high + 1);
        self.random.between(low, high + 1)
    }

    fn point(&mut self, victim: Victim) -> Option<Point> {
        match self.weighted(&TRIGGERS) {
            Wait::Time => None,
            Wait::Write => Some(self.disk(victim, EffectFilter::Write)),
            Wait::Sync => Some(self.disk(victim, EffectFilter::Sync)),
            Wait::Effect => Some(self.effect(victim)),
            Wait::Step => Some(self.step(victim)),
        }
    }

    /// Beside an operation of the victim's disk, or of some disk if it keeps nothing on its own.
    fn disk(&mut self, victim: Victim, effect: EffectFilter) -> Point {
        let at = match victim {
            Victim::Node(role, _) if Role::DURABLE.contains(&role) => victim,
            Victim::Node(..) | Victim::DataCentre => {
                let role = self.pick(&Role::DURABLE);
                self.node(role)
            }
        };
        self.beside(at, effect, DISK_NTH_MAX)
    }

    /// Beside any effect of the victim.
    fn effect(&mut self, victim: Victim) -> Point {
        self.beside(victim, EffectFilter::Any, EFFECT_NTH_MAX)
    }

    /// At the begin of a step that needs the victim.
    fn step(&mut self, victim: Victim) -> Point {
        let steps: Vec<_> = STEPS
            .into_iter()
            .filter(|(_, _, needs)| match victim {
                Victim::DataCentre => true,
                Victim::Node(role, _) => needs.contains(&role),
            })
            .collect();
        if steps.is_empty() {
            return self.effect(victim);
        }
        let (name, carrier, _) = self.pick(&steps);
        let at = match victim {
            Victim::Node(role, _) if role == carrier => victim,
            Victim::Node(..) | Victim::DataCentre => self.node(carrier),
        };
        // A generation begins only when a driver boots.
        let nth_max = if name == "generation" { 1 } else { STEP_NTH_MAX };
        let mut point = self.beside(at, EffectFilter::Mark(format!("{name}.begin")), nth_max);
        // Before the mark the step has not begun; most should interrupt it.
        if self.random.chance(1, 2) {
            point.edge = Edge::After;
        }
        point
    }

    fn beside(&mut self, at: Victim, effect: EffectFilter, nth_max: u64) -> Point {
        let (role, index) = match at {
            Victim::Node(role, index) => (role, index),
            Victim::DataCentre => {
                let role = self.pick(&Role::DATA_CENTRE);
                let count = role.count(self.cluster);
                (role, self.index(count))
            }
        };
        let nth = 1 + self.random.below(nth_max);
        let edge = if self.random.chance(1, 2) { Edge::Before } else { Edge::After };
        Point { node: role.node(index), effect, nth, edge }
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

    fn weighted<T: Copy>(&mut self, choices: &[(u32, T)]) -> T {
        let total = choices.iter().map(|(weight, _)| u64::from(*weight)).sum();
        let mut drawn = self.random.below(total);
        for &(weight, choice) in choices {
            match drawn.checked_sub(weight.into()) {
                Some(rest) => drawn = rest,
                None => return choice,
            }
        }
        unreachable!("a draw below the sum of all weights")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{suite, validate};

    fn scenarios() -> Vec<Scenario> {
        let mut scenarios = suite::suite("default").expect("there");
        scenarios.push(Scenario::parse("x", r#"{"name": "plain"}"#).expect("parses"));
        scenarios
    }

    #[test]
    fn a_seed_has_one_plan() {
        for scenario in scenarios() {
            assert_eq!(plan(&scenario, 7), plan(&scenario, 7));
            assert_ne!(plan(&scenario, 7), plan(&scenario, 8));
        }
    }

    #[test]
    fn plans_stay_within_the_promise() {
        for scenario in scenarios() {
            let Faults::Generate(faults) = &scenario.faults else { panic!("generates") };
            for seed in 0..300 {
                let plan = plan(&scenario, seed);
                validate::plan(&plan, &scenario.cluster).expect("makes sense");
                let count = u32::try_from(plan.faults.len()).expect("few");
                assert!((faults.count.0..=faults.count.1).contains(&count));
                for fault in &plan.faults {
                    let (Action::PowerLoss { target, down_ns } | Action::Kill { target, down_ns }) =
                        &fault.what
                    else {
                        continue;
                    };
                    assert!((faults.from_ns..faults.until_ns).contains(&fault.when.from_ns));
                    assert!((faults.down_ns.0..=faults.down_ns.1).contains(down_ns));
                    assert!(
                        matches!(target, Target::DataCentre)
                            || matches!(target, Target::Node(node) if !node.starts_with("reader"))
                    );
                }
                let json = serde_json::to_string(&plan).expect("serialises");
                assert_eq!(serde_json::from_str::<Plan>(&json).expect("parses"), plan);
            }
        }
    }

    #[test]
    fn every_class_role_and_step_comes_up() {
        let scenario = &scenarios()[3];
        let mut seen = BTreeSet::new();
        for fault in (0..300).flat_map(|seed| plan(scenario, seed).faults) {
            let (Action::PowerLoss { target, .. } | Action::Kill { target, .. }) = &fault.what
            else {
                continue;
            };
            seen.insert(match target {
                Target::DataCentre => "data_centre".to_owned(),
                Target::Node(node) => format!("{} {node}", fault.what.kind()),
            });
            if let Some(Point { effect: EffectFilter::Mark(mark), .. }) = fault.when.on {
                seen.insert(mark);
            }
        }
        // Six steps, the data centre, and nine nodes in two ways; the reader in none.
        assert_eq!(seen.len(), 6 + 1 + 2 * 11, "{seen:?}");
    }
}

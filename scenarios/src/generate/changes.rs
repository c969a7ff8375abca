//! Faults in the midst of what changes of the cluster. They are drawn from a stream of their own and
//! come beside all others.

use unplug_engine::steps;
use unplug_sim::fault::{Action, Edge, EffectFilter, Fault, Keep, Point, Trigger};

use super::{Generator, Victim};
use crate::{scenario::Changes, topology::Role};

/// How often one strikes an addition of partitions, an executor that joined, or one that others must
/// do without.
const STRUCK: (u64, u64) = (3, 4);
/// It strikes so long after an executor joined or left, at most.
const AFTER_NS_MAX: u64 = 1_000_000_000;
/// An effect of the broker inside of an addition is among so many first ones.
const INSIDE_NTH_MAX: u64 = 12;
/// It begins to wait so long before the addition, at most.
const BEFORE_NS_MAX: u64 = 50_000_000;

/// Beside what it strikes.
#[derive(Clone, Copy)]
enum Wait {
    /// A write of the broker inside of an addition.
    Write,
    /// A sync there.
    Sync,
    /// The broker's begin or end of it.
    Edge,
    /// A driver knows of it, and has planned nothing yet.
    Learnt,
}

impl Generator<'_> {
    /// Crashes in the midst of changes, if the plan may have crashes.
    pub(super) fn strike_changes(&mut self, changes: &Changes, faults: &mut Vec<Fault>) {
        let classes = &self.faults.classes;
        let (kills, losses) = (classes.node_kill > 0, classes.node_power_loss > 0);
        std::mem::swap(&mut self.random, &mut self.of_changes);
        for addition in &changes.partitions {
            let (cases, of) = STRUCK;
            if !self.random.chance(cases, of) || !(kills || losses) {
                continue;
            }
            let on = self.beside_addition();
            let from_ns = addition.at_ns.saturating_sub(self.random.below(BEFORE_NS_MAX));
            let victim = match Role::of(&on.node) {
                Some(Role::Broker) if losses && self.random.chance(1, 4) => {
                    Victim::DataCentre.target()
                }
                _ => unplug_sim::fault::Target::Node(on.node.clone()),
            };
            let (target, down_ns) = (victim, self.down_ns());
            let what = if kills && (!losses || self.random.chance(1, 2)) {
                Action::Kill { target, down_ns }
            } else {
                Action::PowerLoss { target, down_ns, keep: Keep::Drawn }
            };
            faults.push(Fault { when: Trigger { from_ns, on: Some(on) }, what, until: None });
        }
        let joined =
            changes.executors_joined.iter().flat_map(|one| (0..one.count).map(|_| one.at_ns));
        for (at_ns, index) in joined.zip(self.cluster.executors..) {
            self.strike_member(at_ns, Victim::Node(Role::Executor, index), faults);
        }
        for left in &changes.executors_left {
            let drivers_too = [Role::Driver, Role::Executor];
            let role = self.pick(&drivers_too);
            let other = self.node(role);
            self.strike_member(left.at_ns, other, faults);
        }
        std::mem::swap(&mut self.random, &mut self.of_changes);
        faults.sort_by_key(|fault| fault.when.from_ns);
    }

    /// A crash soon after executors came or went, or as a task begins.
    fn strike_member(&mut self, at_ns: u64, victim: Victim, faults: &mut Vec<Fault>) {
        let (cases, of) = STRUCK;
        if !self.random.chance(cases, of) || self.faults.classes.node_kill == 0 {
            return;
        }
        let from_ns = at_ns + self.random.below(AFTER_NS_MAX);
        let on = self.random.chance(1, 2).then(|| {
            let mark = match victim {
                Victim::Node(Role::Driver, _) | Victim::DataCentre => "commit.begin",
                Victim::Node(..) => "tasks.end",
            };
            self.beside(victim, EffectFilter::Mark(mark.to_owned()), 1)
        });
        let what = Action::Kill { target: victim.target(), down_ns: self.down_ns() };
        faults.push(Fault { when: Trigger { from_ns, on }, what, until: None });
    }

    fn beside_addition(&mut self) -> Point {
        let wait =
            self.weighted(&[(4, Wait::Write), (4, Wait::Sync), (1, Wait::Edge), (4, Wait::Learnt)]);
        let broker = Victim::Node(Role::Broker, 0);
        let inside = |point| Point { inside: Some(steps::PARTITIONS.to_owned()), ..point };
        match wait {
            Wait::Write => inside(self.beside(broker, EffectFilter::Write, INSIDE_NTH_MAX)),
            Wait::Sync => inside(self.beside(broker, EffectFilter::Sync, INSIDE_NTH_MAX)),
            Wait::Edge => {
                let mark = self.pick(&["partitions.begin", "partitions.end"]);
                self.beside(broker, EffectFilter::Mark(mark.to_owned()), 1)
            }
            Wait::Learnt => {
                // Mostly it is the first driver that leads.
                let any = self.node(Role::Driver);
                let first = self.random.chance(1, 2);
                let driver = if first { Victim::Node(Role::Driver, 0) } else { any };
                let mark = EffectFilter::Mark("partitions.learnt".to_owned());
                Point { edge: Edge::After, ..self.beside(driver, mark, 1) }
            }
        }
    }
}

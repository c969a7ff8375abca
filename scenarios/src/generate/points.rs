//! Beside what a fault strikes. Faults that fall at any time mostly find disks at rest, so most
//! wait beside something: an operation of a disk that leaves something unsynced; or the begin of a
//! step of an epoch, where something is half done.

use unplug_engine::steps::Step;
use unplug_sim::fault::{Edge, EffectFilter, Point};

use super::{Generator, Victim};
use crate::topology::Role;

/// How often a crash waits for what: (weight, kind).
const CRASHES: [(u32, Wait); 5] =
    [(2, Wait::Time), (24, Wait::Write), (2, Wait::Sync), (6, Wait::Step), (2, Wait::Effect)];
/// The same of faults that end by themselves, and that no single effect makes worse.
const LOOSE: [(u32, Wait); 3] = [(4, Wait::Time), (3, Wait::Step), (1, Wait::Effect)];
/// The same of pauses of drivers.
const PAUSES: [(u32, Wait); 5] =
    [(8, Wait::Mark), (4, Wait::Send), (1, Wait::Sync), (1, Wait::Time), (1, Wait::Effect)];
/// A disk operation or other effect to wait for is among so many first ones.
const DISK_NTH_MAX: u64 = 30;
const EFFECT_NTH_MAX: u64 = 200;
/// A step to be interrupted is among so many first ones.
const STEP_NTH_MAX: u64 = 3;
/// A store's first writes after a driver took over are those for its generation: so many.
const EARLY_WRITES_MAX: u64 = 3;

/// Where a driver that stands still becomes a zombie: before it asks for a decision, after it was
/// told one, and in between.
const DRIVER_MARKS: [&str; 12] = [
    "generation.begin",
    "generation.end",
    "leader.elected",
    "offsets.begin",
    "offsets.decided",
    "offsets.end",
    "commit.begin",
    "commit.decided",
    "commit.end",
    "epoch.published",
    "collect.begin",
    "collect.end",
];

#[derive(Clone, Copy)]
enum Wait {
    Time,
    Write,
    Sync,
    Step,
    Effect,
    Send,
    Mark,
}

/// Whose node passes the marks of a step, and which roles the step needs, so that their crash
/// interrupts it.
fn roles(step: Step) -> (Role, &'static [Role]) {
    match step {
        Step::Generation | Step::Offsets | Step::Commit | Step::Collect => {
            (Role::Driver, &[Role::Driver, Role::Store])
        }
        Step::Tasks => (Role::Executor, &[Role::Executor, Role::Broker]),
        Step::Blobs => (Role::Executor, &[Role::Executor, Role::Store]),
        Step::Apply => (Role::Sink, &[Role::Sink]),
    }
}

impl Generator<'_> {
    /// Beside what a crash happens.
    pub(super) fn point(&mut self, victim: Victim) -> Option<Point> {
        let wait = self.weighted(&CRASHES);
        self.wait(wait, victim)
    }

    /// Beside what a fault happens that ends by itself.
    pub(super) fn loose_point(&mut self, victim: Victim) -> Option<Point> {
        let wait = self.weighted(&LOOSE);
        self.wait(wait, victim)
    }

    /// Beside what a pause happens.
    pub(super) fn pause_point(&mut self, victim: Victim) -> Option<Point> {
        match victim {
            Victim::Node(Role::Driver, _) => {
                let wait = self.weighted(&PAUSES);
                self.wait(wait, victim)
            }
            Victim::Node(..) | Victim::DataCentre if self.random.chance(1, 3) => {
                self.wait(Wait::Send, victim)
            }
            Victim::Node(..) | Victim::DataCentre => self.point(victim),
        }
    }

    /// For what a fault waits that strikes as a driver takes up its leadership: at the driver as
    /// it begins, or in the midst of a store's durable put.
    pub(super) fn early_point(&mut self) -> (Victim, Point) {
        let (role, effect, nth_max) = if self.random.chance(1, 3) {
            (Role::Driver, EffectFilter::Mark(Step::Generation.begin().to_owned()), 1)
        } else {
            (Role::Store, EffectFilter::Write, EARLY_WRITES_MAX)
        };
        let node = self.node(role);
        (node, Point { edge: Edge::After, ..self.beside(node, effect, nth_max) })
    }

    /// Beside an operation of the victim's disk, or of some disk if it keeps nothing on its own.
    pub(super) fn disk(&mut self, victim: Victim, effect: EffectFilter) -> Point {
        let at = match victim {
            Victim::Node(role, _) if Role::DURABLE.contains(&role) => victim,
            // What a driver does ends at the stores.
            Victim::Node(Role::Driver, _) => self.node(Role::Store),
            Victim::Node(..) | Victim::DataCentre => {
                let role = self.pick(&Role::DURABLE);
                self.node(role)
            }
        };
        self.beside(at, effect, DISK_NTH_MAX)
    }

    pub(super) fn edge(&mut self) -> Edge {
        if self.random.chance(1, 2) { Edge::Before } else { Edge::After }
    }

    fn wait(&mut self, wait: Wait, victim: Victim) -> Option<Point> {
        Some(match wait {
            Wait::Time => return None,
            Wait::Write => self.disk(victim, EffectFilter::Write),
            Wait::Sync => self.disk(victim, EffectFilter::Sync),
            Wait::Effect => self.beside(victim, EffectFilter::Any, EFFECT_NTH_MAX),
            Wait::Send => self.beside(victim, EffectFilter::Send, EFFECT_NTH_MAX),
            Wait::Step => self.step(victim),
            Wait::Mark => {
                let mark = self.pick(&DRIVER_MARKS);
                self.beside(victim, EffectFilter::Mark(mark.to_owned()), passes(mark))
            }
        })
    }

    /// At the begin of a step that needs the victim.
    fn step(&mut self, victim: Victim) -> Point {
        let Some((step, at)) = self.step_of(victim) else {
            return self.beside(victim, EffectFilter::Any, EFFECT_NTH_MAX);
        };
        let mark = step.begin();
        let mut point = self.beside(at, EffectFilter::Mark(mark.to_owned()), passes(mark));
        // Before the mark the step has not begun; most should interrupt it.
        if self.random.chance(1, 2) {
            point.edge = Edge::After;
        }
        point
    }

    /// A step that needs the victim, if one does, and a node that passes its marks.
    pub(super) fn step_of(&mut self, victim: Victim) -> Option<(Step, Victim)> {
        let steps: Vec<_> = Step::ALL
            .into_iter()
            .filter(|step| match victim {
                Victim::DataCentre => true,
                Victim::Node(role, _) => roles(*step).1.contains(&role),
            })
            .collect();
        if steps.is_empty() {
            return None;
        }
        let step = self.pick(&steps);
        let (carrier, _) = roles(step);
        let at = match victim {
            Victim::Node(role, _) if role == carrier => victim,
            Victim::Node(..) | Victim::DataCentre => self.node(carrier),
        };
        Some((step, at))
    }

    pub(super) fn beside(&mut self, at: Victim, effect: EffectFilter, nth_max: u64) -> Point {
        let (role, index) = match at {
            Victim::Node(role, index) => (role, index),
            Victim::DataCentre => {
                let role = self.pick(&Role::DATA_CENTRE);
                let count = role.count(self.cluster);
                (role, self.index(count))
            }
        };
        let nth = 1 + self.random.below(nth_max);
        Point { node: role.node(index), effect, inside: None, nth, edge: self.edge() }
    }
}

/// How often a driver may be waited for to pass a mark: it takes up a leadership but once.
pub(super) fn passes(mark: &str) -> u64 {
    if mark.starts_with("generation.") || mark == "leader.elected" { 1 } else { STEP_NTH_MAX }
}

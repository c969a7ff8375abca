//! How faults come to happen: they wait for their effect, and strike before or after it. In the
//! same way a fault that has struck waits for the effect that ends it.
//!
//! A fault that ends processes condemns its targets here and is carried out when the poll has
//! returned. Every other fault takes effect at once, in the middle of a poll if need be.

use std::collections::BTreeMap;

use crate::{
    config::Site,
    env::NodeId,
    fault::{Action, Edge, EffectFilter, Point, Target},
    power::Power,
    state::{Node, State},
    trace::{EffectKind, InPause},
};

/// What a fault waits for an effect for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    Strike,
    End,
}

/// A fault that waits for an effect of a node.
#[derive(Debug)]
pub(crate) struct Armed {
    pub(crate) fault: usize,
    pub(crate) aim: Aim,
    effect: EffectFilter,
    /// The marks between which effects count.
    phase: Option<(String, String)>,
    left: u64,
    edge: Edge,
}

impl Armed {
    pub(crate) fn new(fault: usize, aim: Aim, point: Point) -> Self {
        let Point { effect, inside, nth, edge, .. } = point;
        let phase = inside.map(|name| (format!("{name}.begin"), format!("{name}.end")));
        Self { fault, aim, effect, phase, left: nth, edge }
    }

    /// Whether an effect counts of a node that has passed these marks.
    fn counts(&self, kind: EffectKind, marks: &BTreeMap<&'static str, u64>) -> bool {
        let passed = |mark: &str| marks.get(mark).copied().unwrap_or(0);
        let inside = |(begin, end): &(String, String)| passed(begin) > passed(end);
        matches(&self.effect, kind) && self.phase.as_ref().is_none_or(inside)
    }

    /// Whether it is the next one that it waits for, if that counts.
    fn is_last(&self) -> bool {
        self.left == 1
    }
}

impl State {
    /// The nodes that a fault strikes; none of its own for a partition, which strikes links.
    pub(crate) fn targets(&self, fault: usize) -> Vec<NodeId> {
        self.nodes_of(fault, &self.supply.plan.faults[fault].what)
    }

    /// The same of a plan whose names are known to be right.
    pub(crate) fn nodes_of(&self, fault: usize, what: &Action) -> Vec<NodeId> {
        let one = |name| vec![self.find(fault, name).expect("checked when it was loaded")];
        match what {
            Action::PowerLoss { target, .. }
            | Action::Kill { target, .. }
            | Action::Pause { target, .. }
            | Action::Throttle { target, .. }
            | Action::ClockStep { target, .. }
            | Action::DiskFull { target, .. }
            | Action::SlowDisk { target, .. }
            | Action::DiskStall { target, .. } => match target {
                Target::Node(name) => one(name),
                Target::DataCentre => {
                    let all = self.nodes.iter().zip(0..);
                    let inside = all.filter(|(node, _)| node.site == Site::DataCentre);
                    inside.map(|(_, id)| NodeId(id)).collect()
                }
            },
            Action::DiskLoss { node, .. } | Action::DiskFault { node, .. } => one(node),
            Action::Partition { .. } => Vec::new(),
        }
    }

    /// Counts an effect for the faults that wait at this node, and fires those whose turn it is;
    /// those that come after it wait in [`crate::plan::Supply::after`]. True if the effect does not
    /// happen now. An effect that does not happen is counted by the fault that prevents it, and by
    /// no other.
    #[cold]
    pub(crate) fn strike(&mut self, id: NodeId, kind: EffectKind, in_pause: InPause) -> bool {
        let Node { armed, marks, .. } = self.node(id);
        let due = |armed: &&Armed| armed.is_last() && armed.counts(kind, marks);
        let before = armed.iter().filter(due);
        let strikes = |armed: &&Armed| armed.edge == Edge::Before && armed.aim == Aim::Strike;
        let before: Vec<_> = before.filter(strikes).map(|armed| armed.fault).collect();
        let prevents = |fault: &usize| self.prevents(*fault, id, in_pause);
        if let Some(fault) = before.into_iter().find(prevents) {
            let waits = |armed: &Armed| (armed.fault, armed.aim) != (fault, Aim::Strike);
            self.node(id).armed.retain(waits);
            self.fire(fault);
            return true;
        }
        let mut before = Vec::new();
        let mut after = Vec::new();
        let Node { armed, marks, .. } = self.node(id);
        armed.retain_mut(|armed| {
            if armed.counts(kind, marks) {
                armed.left -= 1;
            }
            if armed.left == 0 {
                let fired = if armed.edge == Edge::Before { &mut before } else { &mut after };
                fired.push((armed.fault, armed.aim));
            }
            armed.left > 0
        });
        for (fault, aim) in before {
            self.come(fault, aim);
        }
        self.supply.after.append(&mut after);
        false
    }

    /// Counts what befalls a node, which nothing prevents.
    pub(crate) fn befall(&mut self, id: NodeId, what: &EffectFilter) {
        let mut due = Vec::new();
        self.node(id).armed.retain_mut(|armed| {
            if armed.effect == *what {
                armed.left -= 1;
            }
            if armed.left == 0 {
                due.push((armed.fault, armed.aim));
            }
            armed.left > 0
        });
        for (fault, aim) in due {
            self.come(fault, aim);
        }
    }

    /// What a fault waited for has come.
    fn come(&mut self, fault: usize, aim: Aim) {
        match aim {
            Aim::Strike => self.fire(fault),
            Aim::End => self.end(fault),
        }
    }

    /// Whether an effect of a node does not happen if the fault strikes before it.
    fn prevents(&self, fault: usize, id: NodeId, in_pause: InPause) -> bool {
        let what = &self.supply.plan.faults[fault].what;
        let stops = what.ends_processes() || what.stops_processes() && in_pause == InPause::Waits;
        stops && self.targets(fault).contains(&id)
    }

    /// The effect of this call has happened: what was to strike after it does.
    #[inline]
    pub(crate) fn strike_after(&mut self) {
        if !self.supply.after.is_empty() {
            for (fault, aim) in std::mem::take(&mut self.supply.after) {
                self.come(fault, aim);
            }
        }
    }

    /// A fault strikes.
    pub(crate) fn fire(&mut self, fault: usize) {
        self.tell_lines();
        if !self.supply.plan.faults[fault].what.ends_processes() {
            return self.begin(fault);
        }
        for target in self.targets(fault) {
            let node = self.node(target);
            if matches!(node.power, Power::On | Power::Paused) {
                node.power = Power::Condemned;
            }
        }
        self.supply.due.push(fault);
    }
}

fn matches(filter: &EffectFilter, kind: EffectKind) -> bool {
    match filter {
        EffectFilter::Any => true,
        EffectFilter::Send => kind == EffectKind::Send,
        EffectFilter::Receive => kind == EffectKind::Receive,
        EffectFilter::Disk => {
            matches!(kind, EffectKind::Disk | EffectKind::Write | EffectKind::Sync)
        }
        EffectFilter::Write => kind == EffectKind::Write,
        EffectFilter::Sync => kind == EffectKind::Sync,
        EffectFilter::Timer => kind == EffectKind::Timer,
        EffectFilter::Mark(name) => matches!(kind, EffectKind::Mark(passed) if passed == name),
        EffectFilter::Boot | EffectFilter::Crash => false,
    }
}

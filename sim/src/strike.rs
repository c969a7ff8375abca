//! How faults come to happen: they wait for their effect, and strike before or after it.
//!
//! A fault that ends processes condemns its targets here and is carried out when the poll has
//! returned. Every other fault takes effect at once, in the middle of a poll if need be.

use crate::{
    config::Site,
    env::NodeId,
    fault::{Action, Edge, EffectFilter, Target},
    power::Power,
    state::State,
    trace::{EffectKind, InPause},
};

/// A fault that waits for an effect of a node.
#[derive(Debug)]
pub(crate) struct Armed {
    pub(crate) fault: usize,
    pub(crate) effect: EffectFilter,
    pub(crate) left: u64,
    pub(crate) edge: Edge,
}

impl State {
    /// The nodes that a fault strikes; none of its own for a partition, which strikes links.
    pub(crate) fn targets(&self, fault: usize) -> Vec<NodeId> {
        let one = |name| vec![self.find(fault, name).expect("checked when it was loaded")];
        match &self.supply.plan.faults[fault].what {
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
    /// those that come after it wait in [`crate::plan::Supply::after`]. True if the effect does
    /// not happen now. An effect that does
    /// not happen is counted by the fault that prevents it, and by no other.
    #[cold]
    pub(crate) fn strike(&mut self, id: NodeId, kind: EffectKind, in_pause: InPause) -> bool {
        let due = |armed: &&Armed| armed.left == 1 && matches(&armed.effect, kind);
        let before = self.node(id).armed.iter().filter(due);
        let before: Vec<_> =
            before.filter(|armed| armed.edge == Edge::Before).map(|armed| armed.fault).collect();
        let prevents = |fault: &usize| self.prevents(*fault, id, in_pause);
        if let Some(fault) = before.into_iter().find(prevents) {
            self.node(id).armed.retain(|armed| armed.fault != fault);
            self.fire(fault);
            return true;
        }
        let mut before = Vec::new();
        let mut after = Vec::new();
        self.node(id).armed.retain_mut(|armed| {
            if matches(&armed.effect, kind) {
                armed.left -= 1;
            }
            if armed.left == 0 {
                let fired = if armed.edge == Edge::Before { &mut before } else { &mut after };
                fired.push(armed.fault);
            }
            armed.left > 0
        });
        for fault in before {
            self.fire(fault);
        }
        self.supply.after.append(&mut after);
        false
    }

    /// Whether an effect of a node does not happen if the fault strikes before it.
    fn prevents(&self, fault: usize, id: NodeId, in_pause: InPause) -> bool {
        let stops = match &self.supply.plan.faults[fault].what {
            Action::PowerLoss { .. } | Action::Kill { .. } | Action::DiskLoss { .. } => true,
            Action::Pause { .. } => in_pause == InPause::Waits,
            Action::Throttle { .. }
            | Action::Partition { .. }
            | Action::ClockStep { .. }
            | Action::DiskFault { .. }
            | Action::DiskFull { .. }
            | Action::SlowDisk { .. }
            | Action::DiskStall { .. } => false,
        };
        stops && self.targets(fault).contains(&id)
    }

    /// The effect of this call has happened: what was to strike after it does.
    #[inline]
    pub(crate) fn strike_after(&mut self) {
        if !self.supply.after.is_empty() {
            for fault in std::mem::take(&mut self.supply.after) {
                self.fire(fault);
            }
        }
    }

    /// A fault strikes.
    pub(crate) fn fire(&mut self, fault: usize) {
        match &self.supply.plan.faults[fault].what {
            Action::PowerLoss { .. } | Action::Kill { .. } | Action::DiskLoss { .. } => {
                for target in self.targets(fault) {
                    let node = self.node(target);
                    if matches!(node.power, Power::On | Power::Paused) {
                        node.power = Power::Condemned;
                    }
                }
                self.supply.due.push(fault);
            }
            Action::Pause { .. }
            | Action::Throttle { .. }
            | Action::Partition { .. }
            | Action::ClockStep { .. }
            | Action::DiskFault { .. }
            | Action::DiskFull { .. }
            | Action::SlowDisk { .. }
            | Action::DiskStall { .. } => self.begin(fault),
        }
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
    }
}

//! The loaded plan: checked before anything of it is scheduled, and armed fault by fault when its
//! time has come.

use crate::{
    env::NodeId,
    fault::{Action, Plan, Point},
    fired::{Crash, End, Ended, Fired},
    state::{Event, State},
    strike::Armed,
};

/// Why a plan cannot be run on a world.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A name that no node has.
    #[error("faults[{fault}] names the node \"{node}\", but there are only: {known}")]
    UnknownNode {
        /// The fault's place in the plan, from 0.
        fault: usize,
        /// The name.
        node: String,
        /// All names there are.
        known: String,
    },
    /// Effects are counted from 1.
    #[error("faults[{fault}].when.on.nth is 0, but effects are counted from 1")]
    NthIsZero {
        /// The fault's place in the plan, from 0.
        fault: usize,
    },
    /// A CPU or a disk cannot be 0 times slower.
    #[error("faults[{fault}].what.{kind}.factor is 0, but 1 is full speed")]
    FactorIsZero {
        /// The fault's place in the plan, from 0.
        fault: usize,
        /// `throttle` or `slow_disk`.
        kind: &'static str,
    },
    /// A partition needs nodes on both sides.
    #[error("faults[{fault}].what.partition.{side} names no node, so nothing is cut")]
    EmptySide {
        /// The fault's place in the plan, from 0.
        fault: usize,
        /// `from` or `to`.
        side: &'static str,
    },
    /// What a node sends itself cannot be cut.
    #[error("faults[{fault}].what.partition names the node \"{node}\" on both sides")]
    OnBothSides {
        /// The fault's place in the plan, from 0.
        fault: usize,
        /// The name.
        node: String,
    },
}

/// The loaded plan and what became of it.
#[derive(Debug)]
pub(crate) struct Supply {
    pub(crate) seed: u64,
    pub(crate) plan: Plan,
    /// Faults that end processes, were fired, and are to be carried out when the poll has returned.
    pub(crate) due: Vec<usize>,
    /// Faults that strike as soon as the effect that triggered them has happened.
    pub(crate) after: Vec<usize>,
    pub(crate) fired: Vec<Fired>,
    pub(crate) crashes: Vec<Crash>,
    pub(crate) ended: Vec<Ended>,
    /// Nodes whose program just refused; they are switched off after the poll.
    pub(crate) leaving: Vec<(NodeId, End)>,
    disarmed: bool,
}

impl Supply {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            plan: Plan::default(),
            due: Vec::new(),
            after: Vec::new(),
            fired: Vec::new(),
            crashes: Vec::new(),
            ended: Vec::new(),
            leaving: Vec::new(),
            disarmed: false,
        }
    }
}

impl State {
    pub(crate) fn find(&self, fault: usize, name: &str) -> Result<NodeId, PlanError> {
        let names = || self.nodes.iter().map(|node| node.name.as_str());
        let found = names().zip(0..).find(|(known, _)| *known == name);
        found.map(|(_, id)| NodeId(id)).ok_or_else(|| PlanError::UnknownNode {
            fault,
            node: name.to_owned(),
            known: names().collect::<Vec<_>>().join(", "),
        })
    }

    /// Takes in a plan, checked whole before anything of it is scheduled.
    pub(crate) fn load(&mut self, plan: &Plan) -> Result<(), PlanError> {
        for (index, fault) in plan.faults.iter().enumerate() {
            if let Some(Point { node, nth, .. }) = &fault.when.on {
                self.find(index, node)?;
                if *nth == 0 {
                    return Err(PlanError::NthIsZero { fault: index });
                }
            }
            for name in fault.what.nodes() {
                self.find(index, name)?;
            }
            check(index, &fault.what)?;
        }
        let first = self.supply.plan.faults.len();
        for (index, fault) in plan.faults.iter().enumerate() {
            self.queue.push(fault.when.from_ns, Event::Arm(first + index));
        }
        self.supply.plan.faults.extend(plan.faults.iter().cloned());
        Ok(())
    }

    /// A fault's time has come: it strikes now, or waits for its effect from now on.
    pub(crate) fn arm(&mut self, fault: usize) {
        if self.supply.disarmed {
            return;
        }
        match self.supply.plan.faults[fault].when.on.clone() {
            None => self.fire(fault),
            Some(point) => {
                let node = self.find(fault, &point.node).expect("checked when it was loaded");
                let Point { effect, nth, edge, .. } = point;
                self.node(node).armed.push(Armed { fault, effect, left: nth, edge });
            }
        }
    }

    /// Lets no further fault happen. One that is under way ends by itself.
    pub(crate) fn disarm(&mut self) {
        self.supply.disarmed = true;
        for node in &mut self.nodes {
            node.armed.clear();
        }
    }
}

/// Checks what names alone do not show.
fn check(fault: usize, what: &Action) -> Result<(), PlanError> {
    match what {
        Action::Throttle { factor: 0, .. } | Action::SlowDisk { factor: 0, .. } => {
            Err(PlanError::FactorIsZero { fault, kind: what.kind() })
        }
        Action::Partition { from, to, .. } => {
            for (side, nodes) in [("from", from), ("to", to)] {
                if nodes.is_empty() {
                    return Err(PlanError::EmptySide { fault, side });
                }
            }
            match from.iter().find(|node| to.contains(node)) {
                Some(node) => Err(PlanError::OnBothSides { fault, node: node.clone() }),
                None => Ok(()),
            }
        }
        Action::PowerLoss { .. }
        | Action::Kill { .. }
        | Action::Pause { .. }
        | Action::Throttle { .. }
        | Action::ClockStep { .. }
        | Action::DiskLoss { .. }
        | Action::DiskFault { .. }
        | Action::DiskFull { .. }
        | Action::SlowDisk { .. }
        | Action::DiskStall { .. } => Ok(()),
    }
}

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

    /// Whether nothing that struck or ended waits to be carried out.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.due.is_empty() && self.leaving.is_empty()
    }
}

impl State {
    pub(crate) fn find(&self, fault: usize, name: &str) -> Result<NodeId, PlanError> {
        self.search(name).map(|place| self.by_name[place]).map_err(|_| {
            let names = self.nodes.iter().map(|node| node.name.as_str());
            let known = names.collect::<Vec<_>>().join(", ");
            PlanError::UnknownNode { fault, node: name.to_owned(), known }
        })
    }

    /// The place of a name in the list of nodes by name, or where it belongs.
    pub(crate) fn search(&self, name: &str) -> Result<usize, usize> {
        let name_of = |id: &NodeId| self.nodes[usize::from(id.0)].name.as_str();
        self.by_name.binary_search_by(|id| name_of(id).cmp(name))
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
            if let Action::PowerLoss { keep, .. } = &fault.what
                && let Some(name) = keep.node()
            {
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

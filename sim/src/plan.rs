//! The loaded plan: checked before anything of it is scheduled, and armed fault by fault when its
//! time has come.

use std::collections::BTreeMap;

use crate::{
    env::NodeId,
    fault::{Action, Edge, Plan, Point},
    fired::{Crash, End, Ended, Fired},
    state::{Event, State},
    strike::{Aim, Armed},
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
    #[error("faults[{fault}].{place}.nth is 0, but effects are counted from 1")]
    NthIsZero {
        /// The fault's place in the plan, from 0.
        fault: usize,
        /// `when.on` or `until`.
        place: &'static str,
    },
    /// What befalls a node is no effect that a fault could come before, nor in a phase.
    #[error(
        "faults[{fault}].{place} waits for a boot or a crash, which is in no phase, and only \
         \"edge\": \"after\" makes sense"
    )]
    Befalls {
        /// The fault's place in the plan, from 0.
        fault: usize,
        /// `when.on` or `until`.
        place: &'static str,
    },
    /// Some faults are over in a moment, and a disk that stalls ends what waits for it at a time.
    #[error("faults[{fault}].until cannot be: a {kind} ends at no event")]
    EndsAtNoEvent {
        /// The fault's place in the plan, from 0.
        fault: usize,
        /// The kind of the fault.
        kind: &'static str,
    },
    /// What stands still or is down does nothing that could be waited for.
    #[error("faults[{fault}].until waits for the node \"{node}\", which the fault itself stops")]
    WaitsForItself {
        /// The fault's place in the plan, from 0.
        fault: usize,
        /// The name.
        node: String,
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
    /// Faults that strike, or are over, as soon as the effect that they waited for has happened.
    pub(crate) after: Vec<(usize, Aim)>,
    /// Faults that end no process, last, and are not over.
    pub(crate) lasting: Vec<usize>,
    pub(crate) fired: Vec<Fired>,
    pub(crate) crashes: Vec<Crash>,
    pub(crate) ended: Vec<Ended>,
    /// How often boots that ended by themselves had passed each mark, on all nodes.
    pub(crate) marks: BTreeMap<&'static str, u64>,
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
            lasting: Vec::new(),
            fired: Vec::new(),
            crashes: Vec::new(),
            ended: Vec::new(),
            marks: BTreeMap::new(),
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
            if let Some(point) = &fault.when.on {
                self.check_point(index, "when.on", point)?;
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
            if let Some(point) = &fault.until {
                self.check_point(index, "until", point)?;
                self.check_until(index, &fault.what, point)?;
            }
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
            Some(point) => self.wait(fault, Aim::Strike, point),
        }
    }

    /// Lets a fault wait for something at a node.
    pub(crate) fn wait(&mut self, fault: usize, aim: Aim, point: Point) {
        let node = self.find(fault, &point.node).expect("checked when it was loaded");
        self.node(node).armed.push(Armed::new(fault, aim, point));
    }

    /// Checks for what a fault waits.
    fn check_point(
        &self,
        fault: usize,
        place: &'static str,
        point: &Point,
    ) -> Result<(), PlanError> {
        self.find(fault, &point.node)?;
        if point.nth == 0 {
            return Err(PlanError::NthIsZero { fault, place });
        }
        if point.effect.befalls() && (point.edge == Edge::Before || point.inside.is_some()) {
            return Err(PlanError::Befalls { fault, place });
        }
        Ok(())
    }

    /// Checks that a fault may end at an event, and that this one can come.
    fn check_until(&self, fault: usize, what: &Action, point: &Point) -> Result<(), PlanError> {
        if !what.may_wait() {
            return Err(PlanError::EndsAtNoEvent { fault, kind: what.kind() });
        }
        let node = self.find(fault, &point.node)?;
        if what.stops_processes() && self.nodes_of(fault, what).contains(&node) {
            return Err(PlanError::WaitsForItself { fault, node: point.node.clone() });
        }
        Ok(())
    }

    /// Lets no further fault happen. One that is under way ends as it was to.
    pub(crate) fn disarm(&mut self) {
        self.supply.disarmed = true;
        for node in &mut self.nodes {
            node.armed.retain(|armed| armed.aim == Aim::End);
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

//! Power and processes: what a fault ends, what the disks keep, and when nodes come back.
//!
//! A fault may strike in the middle of a poll. From there on the struck nodes are *condemned*:
//! no effect of theirs counts any more. When the poll has returned, the world drops their tasks
//! and cuts them off here.

use std::collections::BTreeMap;

use crate::{
    config::Site,
    env::NodeId,
    fault::{Action, Edge, EffectFilter, Plan, Point, Target},
    random::Stream,
    state::{Event, State},
    trace::Seconds,
};

/// Whether a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    On,
    /// Struck in this very moment: nothing it does counts, its tasks are about to be dropped.
    Condemned,
    Off,
}

/// A fault that waits for an effect of a node.
#[derive(Debug)]
pub(crate) struct Armed {
    pub(crate) fault: usize,
    pub(crate) effect: EffectFilter,
    pub(crate) left: u64,
    pub(crate) edge: Edge,
}

/// A fault of the plan that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// Its place in the plan, from 0.
    pub fault: usize,
    /// Its kind, as [`Action::kind`] names it.
    pub kind: &'static str,
    /// When, in virtual nanoseconds since the start of the run.
    pub at_ns: u64,
    /// When the last of the nodes it struck runs its program again, if nothing else happens.
    pub back_ns: u64,
}

/// What a fault did to one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// The fault's place in the plan, from 0.
    pub fault: usize,
    /// The node.
    pub node: NodeId,
    /// When, in virtual nanoseconds since the start of the run.
    pub at_ns: u64,
    /// True for a loss of power, false for a kill.
    pub power: bool,
    /// Whether the node ran; it may have been down already.
    pub running: bool,
    /// Disk operations that no sync had covered.
    pub unsynced: usize,
    /// How often the ended boot had passed each mark.
    pub marks: BTreeMap<&'static str, u64>,
}

/// A program that ended with a refusal or a panic. Its node stays down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The node.
    pub node: NodeId,
    /// When, in virtual nanoseconds since the start of the run.
    pub at_ns: u64,
    /// What it said.
    pub message: String,
    /// How it ended.
    pub end: End,
}

/// How a program ended of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It met something that it must not go on from, and said so.
    Refusal,
    /// It panicked.
    Panic,
}

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
}

/// The loaded plan and what became of it.
#[derive(Debug)]
pub(crate) struct Supply {
    seed: u64,
    plan: Plan,
    /// Faults that were fired and are to be carried out when the poll has returned.
    pub(crate) due: Vec<usize>,
    pub(crate) fired: Vec<Fired>,
    pub(crate) crashes: Vec<Crash>,
    pub(crate) ended: Vec<Ended>,
    /// Nodes whose program just refused; they are switched off after the poll.
    pub(crate) leaving: Vec<NodeId>,
    disarmed: bool,
}

impl Supply {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            plan: Plan::default(),
            due: Vec::new(),
            fired: Vec::new(),
            crashes: Vec::new(),
            ended: Vec::new(),
            leaving: Vec::new(),
            disarmed: false,
        }
    }
}

impl State {
    fn find(&self, fault: usize, name: &str) -> Result<NodeId, PlanError> {
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
            None => drop(self.fire(fault)),
            Some(point) => {
                let node = self.find(fault, &point.node).expect("checked when it was loaded");
                let Point { effect, nth, edge, .. } = point;
                self.node(node).armed.push(Armed { fault, effect, left: nth, edge });
            }
        }
    }

    /// Lets no further fault happen.
    pub(crate) fn disarm(&mut self) {
        self.supply.disarmed = true;
        for node in &mut self.nodes {
            node.armed.clear();
        }
    }

    pub(crate) fn targets(&self, fault: usize) -> Vec<NodeId> {
        let (Action::PowerLoss { target, .. } | Action::Kill { target, .. }) =
            &self.supply.plan.faults[fault].what
        else {
            unreachable!("not yet simulated")
        };
        match target {
            Target::Node(name) => {
                vec![self.find(fault, name).expect("checked when it was loaded")]
            }
            Target::DataCentre => {
                let inside =
                    self.nodes.iter().zip(0..).filter(|(node, _)| node.site == Site::DataCentre);
                inside.map(|(_, id)| NodeId(id)).collect()
            }
        }
    }

    /// A fault strikes: its targets are condemned. Tells which.
    pub(crate) fn fire(&mut self, fault: usize) -> Vec<NodeId> {
        let targets = self.targets(fault);
        for target in &targets {
            let node = self.node(*target);
            if node.power == Power::On {
                node.power = Power::Condemned;
            }
        }
        self.supply.due.push(fault);
        targets
    }

    /// Carries out a fault whose targets' tasks have been dropped.
    pub(crate) fn cut(&mut self, fault: usize, running: &[NodeId]) {
        let targets = self.targets(fault);
        let (power, down_ns, kind) = match &self.supply.plan.faults[fault].what {
            what @ Action::PowerLoss { down_ns, .. } => (true, *down_ns, what.kind()),
            what @ Action::Kill { down_ns, .. } => (false, *down_ns, what.kind()),
            _ => unreachable!("not yet simulated"),
        };
        let at_ns = self.now_ns;
        let mut back_ns = 0;
        for id in targets {
            let seed = self.supply.seed;
            let node = self.node(id);
            let unsynced = node.disk.pending();
            if power {
                let mut stream = Stream::new(seed, "disk-fate", u64::from(id.0), at_ns);
                let report = node.disk.crash(&mut stream);
                let detail = node.disk.image_hash();
                let name = node.name.clone();
                self.trace.world(at_ns, fold(detail), || format!("power loss of {name}: {report}"));
            } else {
                node.disk.kill();
                let name = node.name.clone();
                self.trace.world(at_ns, unsynced as u64, || format!("kill of {name}"));
            }
            let node = self.node(id);
            let marks = std::mem::take(&mut node.marks);
            let running = running.contains(&id);
            self.supply.crashes.push(Crash {
                fault,
                node: id,
                at_ns,
                power,
                running,
                unsynced,
                marks,
            });
            back_ns = back_ns.max(self.schedule_boot(id, down_ns));
        }
        self.supply.fired.push(Fired { fault, kind, at_ns, back_ns });
    }

    /// Switches a node off and tells it when to start: not before an earlier fault said so.
    fn schedule_boot(&mut self, id: NodeId, down_ns: u64) -> u64 {
        let seed = self.supply.seed;
        let boots = self.config.boot_ns;
        let now_ns = self.now_ns;
        let node = self.node(id);
        node.power = Power::Off;
        node.sockets.clear();
        node.boot_ticket += 1;
        let ticket = node.boot_ticket;
        let slow = Stream::new(seed, "boot", u64::from(id.0), now_ns).between(boots.0, boots.1);
        let at_ns = (now_ns + down_ns + slow).max(node.boots_ns);
        node.boots_ns = at_ns;
        self.queue.push(at_ns, Event::Boot { node: id, ticket });
        at_ns
    }

    /// The first start of a node.
    pub(crate) fn schedule_first_boot(&mut self, id: NodeId) {
        self.schedule_boot(id, 0);
    }

    /// Starts a node if this is its latest order to start. Tells the number of the new boot.
    pub(crate) fn boot(&mut self, id: NodeId, ticket: u64) -> Option<u32> {
        let seed = self.supply.seed;
        let node = self.node(id);
        if node.boot_ticket != ticket || node.power != Power::Off {
            return None;
        }
        node.boot += 1;
        node.power = Power::On;
        let (entity, boot) = (u64::from(id.0), node.boot);
        node.stream = Stream::new(seed, "node", entity, u64::from(boot));
        node.clock_origin_ns = Stream::new(seed, "clock", entity, u64::from(boot)).below(1 << 40);
        node.cpu_free_ns = 0;
        let (at_ns, name) = (self.now_ns, &self.nodes[usize::from(id.0)].name);
        self.trace
            .world(at_ns, entity << 32 | u64::from(boot), || format!("boot {boot} of {name}"));
        Some(boot)
    }

    /// A program ended by itself; after a refusal its node is switched off for good.
    pub(crate) fn ended(&mut self, id: NodeId, message: String, end: End) {
        let at_ns = self.now_ns;
        let name = &self.nodes[usize::from(id.0)].name;
        self.trace.world(at_ns, end as u64, || format!("{end:?} of {name}: {message}"));
        self.supply.ended.push(Ended { node: id, at_ns, message, end });
        self.supply.leaving.push(id);
        self.node(id).power = Power::Condemned;
    }

    /// Switches off a node whose program ended.
    pub(crate) fn leave(&mut self, id: NodeId) {
        let node = self.node(id);
        if node.power == Power::Condemned {
            node.power = Power::Off;
            node.sockets.clear();
            node.disk.kill();
        }
    }
}

fn fold(wide: u128) -> u64 {
    let bytes = wide.to_le_bytes();
    let half = |range: std::ops::Range<usize>| {
        u64::from_le_bytes(bytes[range].try_into().expect("eight bytes"))
    };
    half(0..8) ^ half(8..16)
}

impl std::fmt::Display for Fired {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at{} s", self.kind, Seconds(self.at_ns))
    }
}

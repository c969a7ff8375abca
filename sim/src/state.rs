//! The world's state between two polls, and the rule that every effect passes: it is numbered,
//! may be the crash point of a fault, and counts only while its node's boot lives.

use std::{cell::Cell, collections::BTreeMap, rc::Rc};

use crate::{
    config::{Site, WorldConfig},
    disk::{Disk, Sync},
    env::NodeId,
    fault::{Edge, EffectFilter},
    net::{InFlight, Links, Sockets},
    power::{Armed, Power, Supply},
    queue::EventQueue,
    random::Stream,
    schedule::{Scheduler, Wakeup},
    trace::{Effect, EffectKind, Trace},
};

/// So many effects in one poll are no work any more: the task spins.
const POLL_EFFECTS_MAX: u64 = 1_000_000;

/// What the event queue holds.
#[derive(Debug)]
pub(crate) enum Event {
    /// A timer, or a disk operation that ends with its future.
    Wake(Wakeup),
    Deliver(InFlight),
    /// A sync takes effect at its end, whether anyone still waits for it or not.
    EndSync {
        node: NodeId,
        boot: u32,
        sync: Sync,
        done: Rc<Cell<bool>>,
    },
    /// A fault's time has come.
    Arm(usize),
    /// Power is back, or the process is started again.
    Boot {
        node: NodeId,
        ticket: u64,
    },
}

/// One node as the world sees it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) site: Site,
    pub(crate) power: Power,
    /// How often it was started; handles of an earlier boot do nothing.
    pub(crate) boot: u32,
    pub(crate) effects: u64,
    pub(crate) marks: BTreeMap<&'static str, u64>,
    pub(crate) armed: Vec<Armed>,
    pub(crate) sockets: Sockets,
    pub(crate) disk: Disk,
    pub(crate) disk_stream: Stream,
    pub(crate) stream: Stream,
    pub(crate) clock_origin_ns: u64,
    pub(crate) cpu_free_ns: u64,
    pub(crate) boot_ticket: u64,
    pub(crate) boots_ns: u64,
}

/// Something a client or a test asked to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkHit {
    /// The mark.
    pub name: &'static str,
    /// Who passed it.
    pub node: NodeId,
    /// When, in virtual nanoseconds since the start of the run.
    pub at_ns: u64,
}

pub(crate) struct State {
    pub(crate) config: WorldConfig,
    pub(crate) now_ns: u64,
    pub(crate) events: u64,
    pub(crate) poll_effects: u64,
    pub(crate) queue: EventQueue<Event>,
    pub(crate) scheduler: Scheduler,
    pub(crate) links: Links,
    pub(crate) nodes: Vec<Node>,
    pub(crate) supply: Supply,
    pub(crate) trace: Trace,
    pub(crate) watched: Vec<String>,
    pub(crate) mark_hits: Vec<MarkHit>,
}

impl State {
    pub(crate) fn new(config: WorldConfig) -> Self {
        Self {
            now_ns: 0,
            events: 0,
            poll_effects: 0,
            queue: EventQueue::new(),
            scheduler: Scheduler::new(config.schedule, config.seed),
            links: Links::new(config.network, config.seed),
            nodes: Vec::new(),
            supply: Supply::new(config.seed),
            trace: Trace::new(),
            watched: Vec::new(),
            mark_hits: Vec::new(),
            config,
        }
    }

    #[inline]
    pub(crate) fn node(&mut self, node: NodeId) -> &mut Node {
        &mut self.nodes[usize::from(node.0)]
    }

    /// The node, if this boot of it still counts.
    #[inline]
    pub(crate) fn live(&mut self, node: NodeId, boot: u32) -> Option<&mut Node> {
        let node = &mut self.nodes[usize::from(node.0)];
        (node.boot == boot && node.power == Power::On).then_some(node)
    }

    /// Numbers an effect of a node. False if it does not count: the boot is over, or a fault
    /// strikes just before it. `detail` stands for the effect's content in the digest.
    #[inline]
    pub(crate) fn effect(
        &mut self,
        (id, boot): (NodeId, u32),
        kind: EffectKind,
        detail: u64,
        text: impl FnOnce() -> String,
    ) -> bool {
        let Some(node) = self.live(id, boot) else { return false };
        let number = node.effects + 1;
        if !node.armed.is_empty() && self.strike(id, kind) == Some(Edge::Before) {
            return false;
        }
        let node = &mut self.nodes[usize::from(id.0)];
        node.effects = number;
        self.count_in_poll();
        let node = &self.nodes[usize::from(id.0)];
        let (at_ns, name) = (self.now_ns, node.name.as_str());
        self.trace.effect(&Effect { at_ns, node: id, name, number, kind, detail }, text);
        true
    }

    /// A node passes a mark.
    pub(crate) fn mark(&mut self, (node, boot): (NodeId, u32), name: &'static str) {
        let detail = xxhash_rust::xxh3::xxh3_64(name.as_bytes());
        if !self.effect((node, boot), EffectKind::Mark(name), detail, || name.to_owned()) {
            return;
        }
        *self.node(node).marks.entry(name).or_default() += 1;
        if self.watched.iter().any(|watched| watched == name) {
            self.mark_hits.push(MarkHit { name, node, at_ns: self.now_ns });
        }
    }

    /// Counts an effect for the faults that wait at this node, and fires those whose turn it is.
    /// Tells the edge if the node itself is struck. An effect that does not happen is counted by
    /// the fault that prevents it, and by no other.
    #[cold]
    fn strike(&mut self, id: NodeId, kind: EffectKind) -> Option<Edge> {
        let due = |armed: &Armed| armed.left == 1 && matches(&armed.effect, kind);
        let armed = &self.node(id).armed;
        let before: Vec<_> = armed
            .iter()
            .filter(|armed| due(armed) && armed.edge == Edge::Before)
            .map(|armed| armed.fault)
            .collect();
        let prevents = |fault: &usize| self.targets(*fault).contains(&id);
        if let Some(fault) = before.into_iter().find(prevents) {
            self.node(id).armed.retain(|armed| armed.fault != fault);
            self.fire(fault);
            return Some(Edge::Before);
        }
        let mut fired = Vec::new();
        self.node(id).armed.retain_mut(|armed| {
            if matches(&armed.effect, kind) {
                armed.left -= 1;
            }
            if armed.left == 0 {
                fired.push(armed.fault);
            }
            armed.left > 0
        });
        let mut struck = None;
        for fault in fired {
            if self.fire(fault).contains(&id) {
                struck = Some(Edge::After);
            }
        }
        struck
    }

    /// Counts the effects of one poll.
    ///
    /// # Panics
    /// If there are too many: the task spins without ever waiting, and virtual time stands still.
    #[inline]
    fn count_in_poll(&mut self) {
        self.poll_effects += 1;
        assert!(
            self.poll_effects <= POLL_EFFECTS_MAX,
            "a task had {POLL_EFFECTS_MAX} effects without waiting once"
        );
    }

    /// Where a node's monotonic clock stands at a moment of the world.
    #[inline]
    pub(crate) fn local_ns(&self, node: NodeId) -> u64 {
        self.now_ns + self.nodes[usize::from(node.0)].clock_origin_ns
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

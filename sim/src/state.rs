//! The world's state between two polls, and the rule that every effect passes: it is numbered,
//! may be the crash point of a fault, and counts only while its node's boot lives.

use std::{
    cell::OnceCell,
    collections::BTreeMap,
    ops::{Deref, DerefMut},
    rc::Rc,
    task::{Context, Waker},
};

use crate::{
    budget::Meter,
    clock::Clock,
    config::{Site, WorldConfig},
    disk::{Disk, Sync},
    disk_trouble::DiskTrouble,
    disk_watch::DiskWatch,
    disturbance::Throttle,
    env::NodeId,
    event::{Doing, Effect, Loss, Lost, What},
    machine_disk::Ending,
    net::{InFlight, Links, Sockets},
    pause::Pause,
    plan::Supply,
    power::Power,
    queue::EventQueue,
    random::Stream,
    schedule::{Scheduler, Wakeup},
    strike::Armed,
    trace::{EffectKind, InPause, Trace},
    transfer::Transfers,
};

/// So many effects in one poll are no work any more: the task spins.
const POLL_EFFECTS_MAX: u64 = 1_000_000;

/// Room for so much is made at once, so that a small world begins without growing step by step.
pub(crate) const FEW: usize = 8;

/// A disk that costs nothing until it is used.
#[derive(Debug, Default)]
pub(crate) struct LazyDisk(OnceCell<Disk>);

impl LazyDisk {
    /// The disk, if it was ever used: one that was not has nothing to lose.
    pub(crate) fn used(&mut self) -> Option<&mut Disk> {
        self.0.get_mut()
    }
}

impl Deref for LazyDisk {
    type Target = Disk;

    fn deref(&self) -> &Disk {
        self.0.get_or_init(Disk::new)
    }
}

impl DerefMut for LazyDisk {
    #[inline]
    fn deref_mut(&mut self) -> &mut Disk {
        self.0.get_or_init(Disk::new);
        self.0.get_mut().expect("it was made a line ago")
    }
}

/// What the event queue holds.
#[derive(Debug)]
pub(crate) enum Event {
    /// A timer, or a disk operation that ends with its future, and whose future waits within
    /// another that has wakers of its own.
    Wake(Waker),
    /// A sync takes effect at its end, whether anyone still waits for it or not.
    EndSync { node: NodeId, boot: u32, sync: Sync, done: Rc<Ending> },
    /// The last byte of a large datagram would be here, but for others at the same port.
    AtPort(Box<InFlight>),
    /// A fault's time has come.
    Arm(usize),
    /// A fault that lasts ends.
    Over(usize),
    /// Power is back, or the process is started again.
    Boot { node: NodeId, ticket: u64 },
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
    pub(crate) disk: LazyDisk,
    /// What its disk draws from, once it does.
    pub(crate) disk_stream: Option<Stream>,
    pub(crate) disk_trouble: DiskTrouble,
    /// What this boot's program draws from, once it does.
    pub(crate) stream: Option<Stream>,
    pub(crate) clock: Clock,
    pub(crate) cpu_free_ns: u64,
    pub(crate) throttles: Vec<Throttle>,
    pub(crate) pause: Pause,
    /// Whether its disk was ever lost.
    pub(crate) disk_replaced: bool,
    pub(crate) boot_ticket: u64,
    /// While it is down: what has it be down, a fault or the first start or a failure, and when
    /// each lets it boot.
    pub(crate) down: Vec<(Option<usize>, u64)>,
}

impl Node {
    /// What its disk draws from. It is begun when it is needed: most nodes of most worlds end before.
    #[inline]
    pub(crate) fn disk_stream(&mut self, seed: u64, id: NodeId) -> &mut Stream {
        self.disk_stream.get_or_insert_with(|| Stream::new(seed, "disk", u64::from(id.0), 0))
    }

    /// What this boot's program draws from, begun in the same way.
    #[inline]
    pub(crate) fn stream(&mut self, seed: u64, id: NodeId) -> &mut Stream {
        let boot = u64::from(self.boot);
        self.stream.get_or_insert_with(|| Stream::new(seed, "node", u64::from(id.0), boot))
    }

    /// Whether this boot of it still counts.
    #[inline]
    pub(crate) fn is_live(&self, boot: u32) -> bool {
        self.boot == boot && matches!(self.power, Power::On | Power::Paused)
    }

    /// Whether each effect of this boot happens: nothing holds it, and no fault waits for one.
    #[inline]
    pub(crate) fn is_free(&self, boot: u32) -> bool {
        self.boot == boot && self.power == Power::On && self.armed.is_empty()
    }
}

/// What becomes of an effect that a node is about to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an effect that does not happen must change nothing"]
pub(crate) enum Admission {
    /// It happens, and has a number.
    Happens,
    /// The node is paused: it may be tried again when the pause is over.
    Held,
    /// The boot is over, or a fault strikes just before.
    Never,
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
    /// Events and polls.
    pub(crate) steps: u64,
    pub(crate) poll_effects: u64,
    pub(crate) meter: Meter,
    pub(crate) queue: EventQueue,
    pub(crate) scheduler: Scheduler,
    pub(crate) links: Links,
    pub(crate) transfers: Transfers,
    pub(crate) nodes: Vec<Node>,
    /// All nodes, sorted by name.
    pub(crate) by_name: Vec<NodeId>,
    pub(crate) supply: Supply,
    pub(crate) trace: Trace,
    pub(crate) watched: Vec<String>,
    pub(crate) disk_watch: DiskWatch,
    pub(crate) mark_hits: Vec<MarkHit>,
}

impl State {
    pub(crate) fn new(config: WorldConfig) -> Self {
        Self {
            now_ns: 0,
            events: 0,
            steps: 0,
            poll_effects: 0,
            meter: Meter::new(config.events_max),
            queue: EventQueue::new(),
            scheduler: Scheduler::new(config.schedule, config.seed),
            links: Links::new(config.network, config.seed),
            transfers: Transfers::new(config.bandwidth.clone()),
            nodes: Vec::with_capacity(FEW),
            by_name: Vec::with_capacity(FEW),
            supply: Supply::new(config.seed),
            trace: Trace::new(),
            watched: Vec::new(),
            disk_watch: DiskWatch::default(),
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
        node.is_live(boot).then_some(node)
    }

    /// Wakes at `at_ns` whatever `wakeup` says.
    #[inline]
    pub(crate) fn wake_at(&mut self, at_ns: u64, wakeup: &Wakeup) {
        match wakeup {
            Wakeup::Task(slot) => self.queue.wake(at_ns, *slot),
            Wakeup::Waker(waker) => self.queue.push(at_ns, Event::Wake(waker.clone())),
        }
    }

    /// A datagram arrives; tells whom it wakes. A node that is down takes none.
    #[inline]
    pub(crate) fn deliver(&mut self, place: u32) -> Option<Wakeup> {
        if self.trace.is_recorded_whole() {
            self.look_at_arrival(place);
        }
        let messages = &mut self.queue.messages;
        let message = messages.at(place);
        self.meter.arrived(message);
        let to = message.to;
        let node = &mut self.nodes[usize::from(to.node.0)];
        if !matches!(node.power, Power::On | Power::Paused) {
            messages.take(place);
            return None;
        }
        node.sockets.deliver(to.port, place, messages)
    }

    /// Tells the trace if a datagram will not be taken in.
    #[cold]
    #[inline(never)]
    fn look_at_arrival(&mut self, place: u32) {
        let message = self.queue.messages.at(place);
        let (from, to, message) = (message.from, message.to, message.id());
        let node = self.node(to.node);
        let why = match node.power {
            Power::On | Power::Paused => node.sockets.refuses(to.port),
            Power::Condemned | Power::Off => Some(Loss::Down),
        };
        if let Some(why) = why {
            self.trace.tell(self.now_ns, || What::Lost(Lost { from, to, message, why }));
        }
    }

    /// Numbers an effect of a node, if it happens. `detail` stands for the effect's content in the
    /// digest.
    #[inline(always)]
    pub(crate) fn effect(
        &mut self,
        id: (NodeId, u32),
        kind: EffectKind,
        detail: u64,
        doing: impl FnOnce() -> Doing,
    ) -> Admission {
        if self.nodes[usize::from(id.0.0)].is_free(id.1) {
            self.number(id.0, kind, detail, doing);
            return Admission::Happens;
        }
        self.effect_in_doubt(id, kind, detail, doing)
    }

    /// The same for a node that may be down or paused, or at which a fault waits.
    #[cold]
    #[inline(never)]
    fn effect_in_doubt(
        &mut self,
        id: (NodeId, u32),
        kind: EffectKind,
        detail: u64,
        doing: impl FnOnce() -> Doing,
    ) -> Admission {
        let admission = self.admit(id, kind, kind.in_pause());
        if admission == Admission::Happens {
            self.number(id.0, kind, detail, doing);
        }
        admission
    }

    /// Numbers the end of a sync, which the device brings about: no pause holds it. False if the
    /// boot that began it is over.
    pub(crate) fn end_of_sync(&mut self, id: (NodeId, u32), began: u64) -> bool {
        let happens = self.admit(id, EffectKind::Sync, InPause::Happens) == Admission::Happens;
        if happens {
            self.number(id.0, EffectKind::Sync, 1, || Doing::SyncEnd { began });
        }
        happens
    }

    /// Whether an effect happens, for a node of which that is in doubt.
    pub(crate) fn admit(
        &mut self,
        (id, boot): (NodeId, u32),
        kind: EffectKind,
        in_pause: InPause,
    ) -> Admission {
        let Some(node) = self.live(id, boot) else { return Admission::Never };
        if node.power == Power::Paused && in_pause == InPause::Waits {
            return Admission::Held;
        }
        if !node.armed.is_empty() && self.strike(id, kind, in_pause) {
            let paused = self.node(id).power == Power::Paused;
            return if paused { Admission::Held } else { Admission::Never };
        }
        Admission::Happens
    }

    /// Numbers an effect.
    ///
    /// # Panics
    /// If one poll has too many: the task spins without ever waiting, and virtual time stands
    /// still.
    #[inline(always)]
    pub(crate) fn number(
        &mut self,
        id: NodeId,
        kind: EffectKind,
        detail: u64,
        doing: impl FnOnce() -> Doing,
    ) {
        self.poll_effects += 1;
        // Once: destructors that the panic calls may have effects, too.
        assert!(
            self.poll_effects != POLL_EFFECTS_MAX,
            "{POLL_EFFECTS_MAX} effects without waiting once"
        );
        let node = &mut self.nodes[usize::from(id.0)];
        node.effects += 1;
        let number = node.effects;
        self.trace.effect(self.now_ns, (id, number), kind, detail);
        if self.trace.is_recorded() {
            // What is moved stays in registers as long as no one records.
            self.tell_effect(id, kind, doing);
        }
    }

    #[cold]
    #[inline(never)]
    fn tell_effect(&mut self, id: NodeId, kind: EffectKind, doing: impl FnOnce() -> Doing) {
        self.tell_lines();
        if !self.trace.is_recorded_whole() && !matches!(kind, EffectKind::Mark(_)) {
            return;
        }
        let node = &self.nodes[usize::from(id.0)];
        let (name, boot, number) = (node.name.clone(), node.boot, node.effects);
        let (task, doing) = (self.trace.task(), doing());
        let effect = Effect { node: id, name, boot, task, number, kind, doing };
        self.trace.tell(self.now_ns, || What::Effect(effect));
    }

    /// The number that the next effect of a node will have.
    #[inline]
    pub(crate) fn number_next(&self, id: NodeId) -> u64 {
        self.nodes[usize::from(id.0)].effects + 1
    }

    /// Wakes the future that is being polled when the node's pause is over.
    #[cold]
    pub(crate) fn hold(&mut self, id: NodeId, context: &Context<'_>) {
        let wakeup = self.scheduler.wakeup(context);
        self.node(id).pause.waiting.push(wakeup);
    }

    /// A node passes a mark.
    pub(crate) fn mark(&mut self, (node, boot): (NodeId, u32), name: &'static str) {
        let detail = xxhash_rust::xxh3::xxh3_64(name.as_bytes());
        let kind = EffectKind::Mark(name);
        if self.effect((node, boot), kind, detail, || Doing::Mark(name)) != Admission::Happens {
            return;
        }
        *self.node(node).marks.entry(name).or_default() += 1;
        if self.watched.iter().any(|watched| watched == name) {
            self.mark_hits.push(MarkHit { name, node, at_ns: self.now_ns });
        }
    }

    /// How often each mark was passed on all nodes, in boots that are over and in those that run.
    pub(crate) fn mark_counts(&self) -> BTreeMap<&'static str, u64> {
        let over = self.supply.crashes.iter().map(|crash| &crash.marks);
        let over = over.chain([&self.supply.marks]);
        let running = self.nodes.iter().map(|node| &node.marks);
        let mut counts = BTreeMap::new();
        for (name, count) in over.chain(running).flatten() {
            *counts.entry(*name).or_default() += count;
        }
        counts
    }

    /// What a node's wall clock shows at a moment of the world.
    #[inline]
    pub(crate) fn wall_ns(&self, node: NodeId) -> u64 {
        self.nodes[usize::from(node.0)].clock.wall(self.now_ns)
    }

    /// Where a node's monotonic clock stands at a moment of the world.
    #[inline]
    pub(crate) fn local_ns(&self, node: NodeId) -> u64 {
        self.nodes[usize::from(node.0)].clock.local(self.now_ns)
    }
}

//! A run that is swept: what stood on all disks after each of its writes and syncs, and what clients
//! had seen by then.

use std::{cell::RefCell, fmt, rc::Rc, sync::Arc};

use unplug_sim::{DiskEffect, DiskMoment, World, disk::Disk, env::NodeId, fault::EffectFilter};

use crate::{clients::Clients, history::History};

/// For so long effects are counted through, in virtual nanoseconds.
const COUNTED_NS: u64 = 1_000_000_000;

/// How much clients have seen: so many entries of a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    acknowledged: usize,
    reads: usize,
    counted: usize,
}

impl Seen {
    fn of(history: &History) -> Self {
        Self {
            acknowledged: history.acknowledged.len(),
            reads: history.reads.len(),
            counted: history.counted.len(),
        }
    }

    /// What of a history was seen at a time.
    #[cfg(test)]
    pub(super) fn at(history: &History, at_ns: u64) -> Self {
        Self {
            acknowledged: history.acknowledged.partition_point(|one| one.at_ns <= at_ns),
            reads: history.reads.partition_point(|one| one.at_ns <= at_ns),
            counted: history.counted.partition_point(|one| one.at_ns <= at_ns),
        }
    }

    /// What was seen, of all that was seen in the end.
    #[must_use]
    pub fn part_of(self, history: &History) -> History {
        History {
            acknowledged: history.acknowledged[..self.acknowledged].to_vec(),
            reads: history.reads[..self.reads].to_vec(),
            counted: history.counted[..self.counted].to_vec(),
            undecodable: Vec::new(),
        }
    }
}

/// One effect on a disk, as a plan counts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The node's name.
    pub node: String,
    /// Writes or syncs.
    pub kind: EffectFilter,
    /// A plan waits for it from this virtual time on, in nanoseconds: not so long that its fault
    /// would not happen any more…
    pub from_ns: u64,
    /// …and it is then the how many-th of them on this node, from 1.
    pub nth: u64,
    /// The operation, its path, and where it was called.
    pub operation: String,
}

/// The time from one write or end of a sync to the next one: no disk changes.
#[derive(Clone, Debug)]
pub struct Moment {
    /// When it begins, in virtual nanoseconds.
    pub at_ns: u64,
    /// The effect with which it begins; none at the start of the run.
    pub effect: Option<Effect>,
    /// The node whose disk has changed.
    pub node: usize,
    /// All disks, in the order of their nodes' numbers.
    pub disks: Vec<Arc<Disk>>,
    /// What clients had seen when it began.
    pub seen: Seen,
}

/// A run, moment by moment.
#[derive(Clone, Debug)]
pub struct Course {
    /// In their order; at least one.
    pub moments: Vec<Moment>,
    /// So many of them, from the first one on, are swept.
    pub swept: usize,
    /// Every write, every start and every end of a sync.
    pub effects: Vec<Effect>,
    /// All that clients saw.
    pub history: History,
    /// When the run ended, in virtual nanoseconds.
    pub end_ns: u64,
    /// No datagram is quicker.
    pub quickest_ns: u64,
}

impl Course {
    /// When a moment is over, in virtual nanoseconds.
    #[must_use]
    pub fn over_ns(&self, moment: usize) -> u64 {
        self.moments.get(moment + 1).map_or(self.end_ns, |next| next.at_ns)
    }

    /// What clients know of a moment that is over, with the answers that were under way.
    #[must_use]
    pub fn seen_after(&self, moment: usize) -> Seen {
        let Some(next) = self.moments.get(moment + 1) else { return Seen::of(&self.history) };
        // Whoever got an answer before this was sent it before the moment was over.
        let before_ns = next.at_ns + self.quickest_ns;
        let History { acknowledged, reads, counted, .. } = &self.history;
        let acknowledged = acknowledged.partition_point(|one| one.at_ns < before_ns);
        let reads = reads.partition_point(|one| one.at_ns < before_ns);
        let counted = counted.partition_point(|one| one.at_ns < before_ns);
        Seen {
            acknowledged: acknowledged.max(next.seen.acknowledged),
            reads: reads.max(next.seen.reads),
            counted: counted.max(next.seen.counted),
        }
    }
}

/// Writes a course down while a world runs.
#[derive(Clone, Debug)]
pub struct Recorder(Rc<RefCell<Recorded>>);

#[derive(Debug)]
struct Recorded {
    clients: Rc<Clients>,
    names: Vec<String>,
    /// Effects are counted from this time on.
    from_ns: u64,
    /// Of each node, how many writes and how many syncs it had since.
    counts: Vec<(u64, u64)>,
    disks: Vec<Arc<Disk>>,
    moments: Vec<Moment>,
    effects: Vec<Effect>,
}

impl Recorder {
    /// Watches the disks of a world's first `nodes` nodes, before it runs.
    #[must_use]
    pub fn new(world: &mut World, nodes: usize, clients: &Rc<Clients>) -> Self {
        let ids = || (0..=u16::MAX).map(NodeId).take(nodes);
        let disks: Vec<_> =
            ids().map(|node| Arc::new(world.disk(node, |disk| disk.clone()))).collect();
        let start = Moment {
            at_ns: world.now_ns(),
            effect: None,
            node: 0,
            disks: disks.clone(),
            seen: Seen::of(&clients.history.borrow()),
        };
        let recorded = Rc::new(RefCell::new(Recorded {
            clients: Rc::clone(clients),
            names: ids().map(|node| world.name(node)).collect(),
            from_ns: world.now_ns(),
            counts: vec![(0, 0); nodes],
            disks,
            moments: vec![start],
            effects: Vec::new(),
        }));
        let shared = Rc::clone(&recorded);
        world.watch_disks(Box::new(move |effect| shared.borrow_mut().note(effect)));
        Self(recorded)
    }

    /// The course of a run that has ended.
    #[must_use]
    pub fn finish(self, world: &World, quickest_ns: u64) -> Course {
        let mut recorded = self.0.borrow_mut();
        let moments = std::mem::take(&mut recorded.moments);
        Course {
            swept: moments.len(),
            moments,
            effects: std::mem::take(&mut recorded.effects),
            history: recorded.clients.history.borrow().clone(),
            end_ns: world.now_ns(),
            quickest_ns,
        }
    }
}

impl Recorded {
    fn note(&mut self, effect: &DiskEffect<'_>) {
        let node = usize::from(effect.node.0);
        if effect.at_ns >= self.from_ns + COUNTED_NS {
            self.from_ns = effect.at_ns / COUNTED_NS * COUNTED_NS;
            self.counts.fill((0, 0));
        }
        // Clients have no disks to speak of.
        let Some((writes, syncs)) = self.counts.get_mut(node) else { return };
        let (kind, count) = match effect.moment {
            DiskMoment::Written => (EffectFilter::Write, writes),
            DiskMoment::SyncBegun | DiskMoment::SyncEnded => (EffectFilter::Sync, syncs),
        };
        *count += 1;
        let end = if effect.moment == DiskMoment::SyncEnded { "end of " } else { "" };
        let noted = Effect {
            node: self.names[node].clone(),
            kind,
            from_ns: self.from_ns,
            nth: *count,
            operation: format!("{end}{}", effect.operation),
        };
        self.effects.push(noted.clone());
        if effect.moment == DiskMoment::SyncBegun {
            return;
        }
        self.disks[node] = Arc::new(effect.disk.clone());
        self.moments.push(Moment {
            at_ns: effect.at_ns,
            effect: Some(noted),
            node,
            disks: self.disks.clone(),
            seen: Seen::of(&self.clients.history.borrow()),
        });
    }
}

/// Virtual nanoseconds, shown as seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seconds(pub(super) u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, ns) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        if ns == 0 { write!(f, "{seconds}") } else { write!(f, "{seconds}.{ns:09}") }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind == EffectFilter::Write { "write" } else { "sync effect" };
        let Self { node, from_ns, nth, operation, .. } = self;
        let from = Seconds(*from_ns);
        write!(f, "{operation}: {kind} {nth} of {node} from {from} s on")
    }
}

//! What can happen to three stores, a few attempts to have a register decided, and readers.
//!
//! Each step runs the code of the core: [`Acceptor`], [`Proposer`], [`Votes`], [`Rebuild`].
//!
//! Messages: whatever was sent may arrive in any order, any number of times, late or never; so the
//! bag only grows. What was asked follows from how far an attempt is, and is not kept beside it.
//! Left out, since nothing can come of it:
//! - Answers to what their client no longer waits for: it drops them.
//! - Answers that end an attempt without a decision. An attempt that gives up does no more than
//!   one that hears nothing any more, which is tried anyway. Another try of the same proposer is
//!   an attempt of its own here, with the same value, and may even begin beside the first.
//! - One answer at a time: with three stores, the second one's answer always ends the phase.
//! - Reports of a decision: they are compared with the decision, and change nothing.
//!
//! Steps taken at once with the step before, since they commute with all that others do meanwhile:
//! - An attempt that can learn its decision learns it: it can learn no other value any more, and
//!   what it asked stays under way.
//! - A store that lost its disk takes its new incarnation: it depends only on the incarnations
//!   that the others know, and those change only by announcements of this very store.
//!
//! Histories end where no value can be learned any more that differs.

use std::{collections::BTreeMap, rc::Rc};

use bytes::Bytes;
use unplug_engine::{
    defect::Defects,
    register::{Acceptor, Ask, Ballot, Proposer, Rebuild, Slot, Stamp, Vote, rebuild::Handed},
    tuple::Generation,
};

pub(crate) const STORES: usize = 3;
pub(crate) const NAME: &str = "commits/000000000001";

/// How much may happen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Attempts to have this value decided, by rising ballot. Of two proposers with one attempt
    /// each, one has the lower ballot, and it makes no difference which.
    pub(crate) attempts: &'static [&'static str],
    /// So many of them, from the lowest ballot on, ask for votes at once. No more than one may.
    pub(crate) at_once: usize,
    /// Readers, each of which reads once, after a decision; their ballots are the highest.
    pub(crate) readers: usize,
    /// Whether stores are told of decisions.
    pub(crate) told: bool,
    /// Crashes of stores.
    pub(crate) crashes: u8,
    /// Disks lost, of one store after another.
    pub(crate) losses: u8,
    /// Steps of a history.
    pub(crate) steps: usize,
}

/// Which incarnations are known of all stores.
pub(crate) type Known = [u64; STORES];

/// An answer under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) client: usize,
    pub(crate) known: Known,
    pub(crate) vote: Vote,
}

#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) known: Known,
    pub(crate) serving: bool,
    /// The register as the store sees it.
    pub(crate) slot: Slot,
    /// The register as it is on the disk.
    pub(crate) durable: Slot,
    /// A durable put under way, and who is to be answered what after it.
    pub(crate) pending: Option<(Slot, Option<(usize, Vote)>)>,
    /// What others handed over in the rebuild under way.
    pub(crate) handed: [Option<(Known, Slot)>; STORES],
    /// All that it answered, in all its incarnations.
    pub(crate) sent: Vec<Sent>,
}

#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// A reader before the decision.
    Idle,
    Looking,
    Attempting,
    Over,
}

#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// No answer is taken in but such as end a phase, so that there are no votes in it.
    pub(crate) proposer: Proposer,
    pub(crate) ballot: Ballot,
    pub(crate) work: Work,
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    /// Shared with the states before and after, as far as they are the same.
    pub(crate) stores: [Rc<Store>; STORES],
    pub(crate) clients: Vec<Client>,
    pub(crate) learned: Option<Bytes>,
    pub(crate) crashes: u8,
    pub(crate) losses: u8,
}

/// Whether a request is that of its client's present phase, or of the one before.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    Now,
    Before,
}

/// One step.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Begin(usize),
    /// A request arrives.
    Deliver {
        client: usize,
        asked: Asked,
        store: usize,
    },
    Persist(usize),
    /// Two answers arrive, each the one of that number among those that its store sent.
    Answer(usize, [(usize, usize); 2]),
    Tell(usize),
    Crash(usize),
    LoseDisk(usize),
    /// A store takes note of another's new incarnation, and hands over later, or never.
    Announce {
        to: usize,
        of: usize,
    },
    HandOver {
        to: usize,
        from: usize,
    },
    Serve(usize),
}

impl Store {
    pub(crate) fn acceptor(&self, place: usize) -> Acceptor {
        let blank = self.slot == Slot::default();
        let slots = (!blank).then(|| (NAME.to_owned(), self.slot.clone()));
        let stamp = stamp(place, &self.known);
        let mut acceptor = Acceptor::new(stamp, None, slots.into_iter().collect());
        if !self.serving {
            acceptor.begin_again(&[]);
        }
        acceptor
    }

    /// Takes over what the core made of it.
    pub(crate) fn become_as(&mut self, acceptor: &Acceptor) {
        self.known = known(acceptor.stamp());
        self.serving = acceptor.is_serving();
        self.slot = acceptor.slot(NAME).cloned().unwrap_or_default();
    }

    pub(crate) fn rebuild(&self) -> Rebuild {
        let mut rebuild = Rebuild::new(STORES);
        for (place, handed) in self.handed.iter().enumerate() {
            if let Some((known, slot)) = handed {
                let slots = BTreeMap::from([(NAME.to_owned(), slot.clone())]);
                rebuild.take(stamp(place, known), Handed { slots, floor: None });
            }
        }
        rebuild
    }
}

pub(crate) fn stamp(place: usize, known: &Known) -> Stamp {
    Stamp { store: u16::try_from(place).expect("few"), known: known.to_vec() }
}

fn known(stamp: &Stamp) -> Known {
    std::array::from_fn(|place| stamp.known.get(place).copied().unwrap_or(0))
}

impl Client {
    /// What it asks now, or asked in the phase before.
    pub(crate) fn asks(&self, asked: Asked) -> Option<Ask> {
        let now = match self.work {
            Work::Idle => None,
            Work::Looking => Some(Ask::Look),
            Work::Attempting | Work::Over => Some(self.proposer.ask()),
        };
        match (asked, &now) {
            (Asked::Now, _) => now,
            (Asked::Before, Some(Ask::Accept(ballot, _))) if ballot.round > 0 => {
                Some(Ask::Prepare(self.ballot))
            }
            (Asked::Before, _) => None,
        }
    }

    /// The only value that it can still learn.
    fn bound(&self) -> Option<Bytes> {
        match self.proposer.ask() {
            Ask::Accept(_, value) => Some(value),
            Ask::Prepare(_) | Ask::Look => None,
        }
    }
}

impl World {
    pub(crate) fn new(limits: &Limits) -> Self {
        let store = Store {
            known: [1; STORES],
            serving: true,
            slot: Slot::default(),
            durable: Slot::default(),
            pending: None,
            handed: [const { None }; STORES],
            sent: Vec::new(),
        };
        let values = limits.attempts.iter().map(|value| Some(Bytes::from_static(value.as_bytes())));
        let values = values.chain((0..limits.readers).map(|_| None));
        let clients = (1..).zip(values).map(|(number, value)| {
            let ballot = Ballot { round: number, proposer: number };
            let work = if value.is_some() { Work::Attempting } else { Work::Idle };
            match value {
                Some(value) if number <= limits.at_once as u64 => {
                    let proposer = Proposer::first(STORES, Generation(number), value);
                    Client { proposer, ballot: Ballot { round: 0, proposer: number }, work }
                }
                value => Client { proposer: Proposer::new(STORES, ballot, value), ballot, work },
            }
        });
        Self {
            stores: std::array::from_fn(|_| Rc::new(store.clone())),
            clients: clients.collect(),
            learned: None,
            crashes: limits.crashes,
            losses: limits.losses,
        }
    }

    pub(crate) fn store_mut(&mut self, place: usize) -> &mut Store {
        Rc::make_mut(&mut self.stores[place])
    }

    /// Whether nothing can be learned any more that differs.
    fn is_over(&self) -> bool {
        let mut learned = self.learned.clone();
        self.clients.iter().all(|client| match client.work {
            Work::Over => true,
            Work::Idle | Work::Looking => false,
            Work::Attempting => match (client.bound(), &learned) {
                (None, _) => false,
                (Some(value), Some(other)) => value == *other,
                (value, None) => {
                    learned = value;
                    true
                }
            },
        })
    }

    /// What may happen next; some of it may turn out to change nothing.
    pub(crate) fn actions(&self, limits: &Limits, defects: Defects) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.is_over() {
            return actions;
        }
        for (client, state) in self.clients.iter().enumerate() {
            if matches!(state.work, Work::Idle) && self.learned.is_some() {
                actions.push(Action::Begin(client));
            }
            self.pairs(client, &mut actions);
        }
        let all_serve = self.stores.iter().all(|store| store.serving);
        for (place, store) in self.stores.iter().enumerate() {
            if store.pending.is_some() {
                actions.push(Action::Persist(place));
            } else if store.serving {
                for client in 0..self.clients.len() {
                    let deliver = |asked| Action::Deliver { client, asked, store: place };
                    actions.extend([Asked::Before, Asked::Now].map(deliver));
                }
                if limits.told && self.learned.is_some() {
                    actions.push(Action::Tell(place));
                }
            }
            if self.crashes > 0 && (store.pending.is_some() || !store.serving) {
                actions.push(Action::Crash(place));
            }
            if self.losses > 0 && all_serve {
                actions.push(Action::LoseDisk(place));
            }
            if !store.serving {
                let others = (0..STORES).filter(|from| self.hands_over(*from, place));
                for from in others {
                    actions.push(Action::HandOver { to: place, from });
                    actions.push(Action::Announce { to: from, of: place });
                }
                if store.rebuild().is_enough(defects) {
                    actions.push(Action::Serve(place));
                }
            }
        }
        actions
    }

    /// Whether a store has something to hand over that it did not hand over yet.
    fn hands_over(&self, from: usize, to: usize) -> bool {
        let giver = &self.stores[from];
        let had = self.stores[to].handed[from].as_ref();
        from != to && giver.serving && had.is_none_or(|(known, _)| known[from] < giver.known[from])
    }

    /// All pairs of answers of two stores.
    pub(crate) fn pairs(&self, client: usize, actions: &mut Vec<Action>) {
        for (left, right) in [(0, 1), (0, 2), (1, 2)] {
            let of = |place: usize| {
                let sent = self.stores[place].sent.iter().enumerate();
                sent.filter(|(_, sent)| sent.client == client).map(move |(at, _)| (place, at))
            };
            for first in of(left) {
                actions.extend(of(right).map(|second| Action::Answer(client, [first, second])));
            }
        }
    }
}

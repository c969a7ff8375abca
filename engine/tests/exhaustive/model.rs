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

use std::collections::BTreeMap;

use bytes::Bytes;
use unplug_engine::{
    defect::{Defect, Defects},
    register::{
        Accepted, Acceptor, Ask, Ballot, Next, Proposer, Reading, Rebuild, Slot, Stamp, Vote,
        Votes, combine,
        rebuild::{Handed, next_incarnation},
    },
    tuple::Generation,
};

pub(crate) const STORES: usize = 3;
const NAME: &str = "commits/000000000001";

/// How much may happen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Attempts to have this value decided, by rising ballot. Of two proposers with one attempt
    /// each, one has the lower ballot, and it makes no difference which.
    pub(crate) attempts: &'static [&'static str],
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

/// How the promise was broken.
pub(crate) type Wrong = String;

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
    pub(crate) stores: [Store; STORES],
    pub(crate) clients: Vec<Client>,
    pub(crate) learned: Option<Bytes>,
    pub(crate) crashes: u8,
    pub(crate) losses: u8,
}

/// One step.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Begin(usize),
    /// A request arrives: that of the client's present phase, or that of an earlier one.
    Deliver {
        client: usize,
        early: bool,
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
    fn acceptor(&self, place: usize) -> Acceptor {
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
    fn become_as(&mut self, acceptor: &Acceptor) {
        self.known = known(acceptor.stamp());
        self.serving = acceptor.is_serving();
        self.slot = acceptor.slot(NAME).cloned().unwrap_or_default();
    }

    fn rebuild(&self) -> Rebuild {
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

fn stamp(place: usize, known: &Known) -> Stamp {
    Stamp { store: u16::try_from(place).expect("few"), known: known.to_vec() }
}

fn known(stamp: &Stamp) -> Known {
    std::array::from_fn(|place| stamp.known.get(place).copied().unwrap_or(0))
}

impl Client {
    /// What it asks now, or asked in the phase before.
    pub(crate) fn asks(&self, early: bool) -> Option<Ask> {
        let now = match self.work {
            Work::Idle => None,
            Work::Looking => Some(Ask::Look),
            Work::Attempting | Work::Over => Some(self.proposer.ask()),
        };
        let earlier = Ask::Prepare(self.ballot);
        if early { now.filter(|ask| matches!(ask, Ask::Accept(..))).map(|_| earlier) } else { now }
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
            Client { proposer: Proposer::new(STORES, ballot, value), ballot, work }
        });
        Self {
            stores: std::array::from_fn(|_| store.clone()),
            clients: clients.collect(),
            learned: None,
            crashes: limits.crashes,
            losses: limits.losses,
        }
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
                    let deliver = |early| Action::Deliver { client, early, store: place };
                    actions.extend([deliver(true), deliver(false)]);
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
    fn pairs(&self, client: usize, actions: &mut Vec<Action>) {
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

    /// The world after a step; none if the step changes nothing, or leads to what need not be
    /// tried.
    ///
    /// # Errors
    /// How the promise was broken.
    pub(crate) fn after(&self, action: Action, defects: Defects) -> Result<Option<Self>, Wrong> {
        if !self.can_change(action, defects) {
            return Ok(None);
        }
        let mut next = self.clone();
        let changed = match action {
            Action::Begin(client) => {
                next.clients[client].work = Work::Looking;
                true
            }
            Action::Deliver { client, early, store } => match self.clients[client].asks(early) {
                Some(ask) => next.deliver(client, &ask, store, defects)?,
                None => false,
            },
            Action::Persist(place) => {
                let store = &mut next.stores[place];
                let (slot, answer) = store.pending.take().expect("a put under way");
                store.durable = slot.clone();
                let mut acceptor = store.acceptor(place);
                acceptor.install(NAME, slot);
                store.become_as(&acceptor);
                next.send(place, answer, defects)?;
                true
            }
            Action::Answer(client, answers) => {
                let answers = answers.map(|(place, at)| {
                    let sent = &self.stores[place].sent[at];
                    (stamp(place, &sent.known), sent.vote.clone())
                });
                next.answer(client, answers, defects)?
            }
            Action::Tell(place) => {
                let value = self.learned.clone().expect("learned");
                let mut acceptor = self.stores[place].acceptor(place);
                acceptor.learn(NAME, value);
                next.stores[place].become_as(&acceptor);
                next.stores[place].slot != self.stores[place].slot
            }
            Action::Crash(place) => {
                next.crashes -= 1;
                next.stores[place].pending = None;
                next.stores[place].slot = self.stores[place].durable.clone();
                if !self.stores[place].serving {
                    next.begin_rebuild(place);
                }
                true
            }
            Action::LoseDisk(place) => {
                next.losses -= 1;
                let store = &mut next.stores[place];
                (store.known, store.serving, store.pending) = ([0; STORES], false, None);
                (store.slot, store.durable) = (Slot::default(), Slot::default());
                next.begin_rebuild(place);
                true
            }
            Action::Announce { to, of } => {
                let mut acceptor = self.stores[to].acceptor(to);
                let number = u16::try_from(of).expect("few");
                let news = acceptor.announced(number, self.stores[of].known[of]).is_some();
                next.stores[to].become_as(&acceptor);
                news
            }
            Action::HandOver { to, from } => {
                next.hand_over(to, from);
                true
            }
            Action::Serve(place) => {
                let store = &mut next.stores[place];
                let mut acceptor = store.acceptor(place);
                let (stamp, adopted) = acceptor.adopted(&store.rebuild(), defects);
                store.handed = [const { None }; STORES];
                acceptor.serve_again(stamp, adopted);
                store.become_as(&acceptor);
                store.durable = store.slot.clone();
                true
            }
        };
        Ok(changed.then_some(next))
    }

    /// Whether it is worth the work to try a step; a cheap look at most of those that are not.
    fn can_change(&self, action: Action, defects: Defects) -> bool {
        match action {
            Action::Deliver { client, early, store } => {
                let Some(ask) = self.clients[client].asks(early) else { return false };
                let (slot, vote) = self.stores[store].slot.handle(&ask);
                let store = &self.stores[store];
                let known = |sent: &Sent| {
                    (sent.client, &sent.known, &sent.vote) == (client, &store.known, &vote)
                };
                slot.is_some() || !store.sent.iter().any(known)
            }
            _ => true,
        }
    }

    fn begin_rebuild(&mut self, place: usize) {
        let others = self.stores.iter().enumerate().filter(|(_, store)| store.serving);
        let others: Vec<_> = others.map(|(other, store)| stamp(other, &store.known)).collect();
        let mut acceptor = self.stores[place].acceptor(place);
        let mut own = acceptor.stamp().clone();
        own.known[place] = next_incarnation(&own, others.iter());
        acceptor.begin_again(&own.known);
        self.stores[place].become_as(&acceptor);
        self.stores[place].handed = [const { None }; STORES];
    }

    fn hand_over(&mut self, to: usize, from: usize) {
        let announced = self.stores[to].known[to];
        let mut acceptor = self.stores[from].acceptor(from);
        acceptor.announced(u16::try_from(to).expect("few"), announced);
        let page = acceptor.page("", "", usize::MAX);
        let slot = page.slots.into_iter().next().map(|(_, slot)| slot).unwrap_or_default();
        self.stores[from].become_as(&acceptor);
        self.stores[to].handed[from] = Some((self.stores[from].known, slot));
    }

    fn deliver(
        &mut self,
        client: usize,
        ask: &Ask,
        place: usize,
        defects: Defects,
    ) -> Result<bool, Wrong> {
        let Ok(handled) = self.stores[place].acceptor(place).handle(Generation(0), NAME, ask)
        else {
            return Ok(false);
        };
        let state = &self.clients[client];
        let waits = !matches!(state.work, Work::Over) && state.asks(false).as_ref() == Some(ask);
        let answer = waits.then_some((client, handled.vote));
        let store = &mut self.stores[place];
        match handled.slot {
            None => self.send(place, answer, defects),
            Some(slot) if defects.has(Defect::VoteBeforeSync) => {
                store.slot = slot.clone();
                store.pending = Some((slot, None));
                self.send(place, answer, defects)?;
                Ok(true)
            }
            Some(slot) => {
                store.pending = Some((slot, answer));
                Ok(true)
            }
        }
    }

    /// Sends an answer, if there is one; whether there is news in it.
    fn send(
        &mut self,
        place: usize,
        answer: Option<(usize, Vote)>,
        defects: Defects,
    ) -> Result<bool, Wrong> {
        let Some((client, vote)) = answer else { return Ok(false) };
        match &vote {
            Vote::Outbid(_) => return Ok(false),
            Vote::Decided(value) => return self.learn(value).map(|()| false),
            Vote::Promised(..) | Vote::Accepted(_) | Vote::Seen(_) => {}
        }
        let state = &self.clients[client];
        if matches!(state.work, Work::Over | Work::Idle) {
            return Ok(false);
        }
        let sent = Sent { client, known: self.stores[place].known, vote };
        if self.stores[place].sent.contains(&sent) {
            return Ok(false);
        }
        let voted = matches!(sent.vote, Vote::Accepted(_));
        self.stores[place].sent.push(sent);
        if voted {
            self.learn_at_once(client, defects)?;
        }
        Ok(true)
    }

    fn learn_at_once(&mut self, client: usize, defects: Defects) -> Result<(), Wrong> {
        let mut pairs = Vec::new();
        self.pairs(client, &mut pairs);
        for pair in pairs {
            if let Some(next) = self.after(pair, defects)? {
                *self = next;
                break;
            }
        }
        Ok(())
    }

    /// Whether the answers bring the client further.
    fn answer(
        &mut self,
        client: usize,
        answers: [(Stamp, Vote); 2],
        defects: Defects,
    ) -> Result<bool, Wrong> {
        let state = &mut self.clients[client];
        let mut proposer = state.proposer.clone();
        let next = match state.work {
            Work::Looking => match look(answers, defects) {
                Some(Reading::Half) => {
                    state.work = Work::Attempting;
                    self.forget(client);
                    return Ok(true);
                }
                Some(Reading::Decided(value)) => Next::Decided(value),
                Some(Reading::Undecided) => Next::Undecided,
                None => Next::Wait,
            },
            Work::Attempting => {
                let [first, second] = answers;
                match proposer.answer(first.0, first.1, defects) {
                    Next::Wait => proposer.answer(second.0, second.1, defects),
                    next => next,
                }
            }
            Work::Idle | Work::Over => Next::Wait,
        };
        match next {
            Next::Wait | Next::Lost { .. } => return Ok(false),
            Next::Ask(_) => state.proposer = proposer,
            Next::Undecided => {
                return Err("a reader learned of nothing after a decision".to_owned());
            }
            Next::Decided(value) => {
                state.work = Work::Over;
                self.learn(&value)?;
            }
        }
        self.forget(client);
        Ok(true)
    }

    fn learn(&mut self, value: &Bytes) -> Result<(), Wrong> {
        match &self.learned {
            Some(learned) if learned != value => {
                Err(format!("both {learned:?} and {value:?} were decided"))
            }
            _ => {
                self.learned = Some(value.clone());
                Ok(())
            }
        }
    }

    /// Drops the answers to what the client asked before.
    fn forget(&mut self, client: usize) {
        for store in &mut self.stores {
            store.sent.retain(|sent| sent.client != client);
        }
    }
}

fn look(answers: [(Stamp, Vote); 2], defects: Defects) -> Option<Reading> {
    let mut votes: Votes<Option<Accepted>> = Votes::new(STORES);
    for (stamp, vote) in answers {
        if let Vote::Seen(accepted) = vote {
            votes.add(stamp, accepted);
        }
    }
    let seen = votes.valid(defects).map(Option::as_ref);
    votes.has_majority(defects).then(|| combine(STORES, seen))
}

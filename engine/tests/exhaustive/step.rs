//! What a step makes of the world, by the code of the core.

use std::rc::Rc;

use bytes::Bytes;
use unplug_engine::{
    defect::{Defect, Defects},
    register::{
        Accepted, Ask, Next, Reading, Slot, Stamp, Vote, Votes, combine, rebuild::next_incarnation,
    },
    tuple::Generation,
};

use super::model::{Action, Asked, NAME, STORES, Sent, Work, World, stamp};

/// How the promise was broken.
pub(crate) type Wrong = String;

impl World {
    /// The world after a step; none if the step changes nothing, or leads to what need not be
    /// tried.
    ///
    /// # Errors
    /// How the promise was broken.
    pub(crate) fn after(&self, action: Action, defects: Defects) -> Result<Option<Self>, Wrong> {
        if !self.can_change(action) {
            return Ok(None);
        }
        let mut next = self.clone();
        let changed = match action {
            Action::Begin(client) => {
                next.clients[client].work = Work::Looking;
                true
            }
            Action::Deliver { client, asked, store } => match self.clients[client].asks(asked) {
                Some(ask) => next.deliver(client, &ask, store, defects)?,
                None => false,
            },
            Action::Persist(place) => {
                let store = next.store_mut(place);
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
                next.store_mut(place).become_as(&acceptor);
                next.stores[place].slot != self.stores[place].slot
            }
            Action::Crash(place) => {
                next.crashes -= 1;
                next.store_mut(place).pending = None;
                next.store_mut(place).slot = self.stores[place].durable.clone();
                if !self.stores[place].serving {
                    next.begin_rebuild(place);
                }
                true
            }
            Action::LoseDisk(place) => next.lose_disk(place),
            Action::Announce { to, of } => {
                let mut acceptor = self.stores[to].acceptor(to);
                let number = u16::try_from(of).expect("few");
                let news = acceptor.announced(number, self.stores[of].known[of]).is_some();
                next.store_mut(to).become_as(&acceptor);
                news
            }
            Action::HandOver { to, from } => {
                next.hand_over(to, from);
                true
            }
            Action::Serve(place) => next.serve(place, defects),
        };
        Ok(changed.then_some(next))
    }

    /// Whether it is worth the work to try a step; a cheap look at most of those that are not.
    fn can_change(&self, action: Action) -> bool {
        if let Action::Announce { to, of } = action {
            return self.stores[to].known[of] < self.stores[of].known[of];
        }
        let Action::Deliver { client, asked, store } = action else { return true };
        let state = &self.clients[client];
        let Some(ask) = state.asks(asked) else { return false };
        let store = &self.stores[store];
        let (slot, vote) = store.slot.handle(&ask);
        let waits = matches!(asked, Asked::Now) && !matches!(state.work, Work::Over);
        let known =
            |sent: &Sent| (sent.client, &sent.known, &sent.vote) == (client, &store.known, &vote);
        let news = || !matches!(vote, Vote::Outbid(_)) && !store.sent.iter().any(known);
        slot.is_some() || waits && news()
    }

    fn lose_disk(&mut self, place: usize) -> bool {
        self.losses -= 1;
        let store = self.store_mut(place);
        (store.known, store.serving, store.pending) = ([0; STORES], false, None);
        (store.slot, store.durable) = (Slot::default(), Slot::default());
        self.begin_rebuild(place);
        true
    }

    fn serve(&mut self, place: usize, defects: Defects) -> bool {
        let store = self.store_mut(place);
        let mut acceptor = store.acceptor(place);
        let (stamp, adopted) = acceptor.adopted(&store.rebuild(), defects);
        store.handed = [const { None }; STORES];
        acceptor.serve_again(stamp, adopted);
        store.become_as(&acceptor);
        store.durable = store.slot.clone();
        true
    }

    fn begin_rebuild(&mut self, place: usize) {
        let others = self.stores.iter().enumerate().filter(|(_, store)| store.serving);
        let others: Vec<_> = others.map(|(other, store)| stamp(other, &store.known)).collect();
        let mut acceptor = self.stores[place].acceptor(place);
        let mut own = acceptor.stamp().clone();
        own.known[place] = next_incarnation(&own, others.iter());
        acceptor.begin_again(&own.known);
        self.store_mut(place).become_as(&acceptor);
        self.store_mut(place).handed = [const { None }; STORES];
    }

    fn hand_over(&mut self, to: usize, from: usize) {
        let announced = self.stores[to].known[to];
        let mut acceptor = self.stores[from].acceptor(from);
        acceptor.announced(u16::try_from(to).expect("few"), announced);
        let page = acceptor.page("", "", usize::MAX);
        let slot = page.slots.into_iter().next().map(|(_, slot)| slot).unwrap_or_default();
        self.store_mut(from).become_as(&acceptor);
        let known = self.stores[from].known;
        self.store_mut(to).handed[from] = Some((known, slot));
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
        let waits =
            !matches!(state.work, Work::Over) && state.asks(Asked::Now).as_ref() == Some(ask);
        let answer = waits.then_some((client, handled.vote));
        let store = self.store_mut(place);
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
        self.store_mut(place).sent.push(sent);
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
                let next = proposer.answer(first.0, first.1, defects);
                if next == Next::Wait { proposer.answer(second.0, second.1, defects) } else { next }
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
            if store.sent.iter().any(|sent| sent.client == client) {
                Rc::make_mut(store).sent.retain(|sent| sent.client != client);
            }
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

//! A state as a number, up to what makes no difference; a step as a sentence.

use bytes::Bytes;
use unplug_engine::{
    defect::Defects,
    register::{Accepted, Ask, Slot, Vote},
};

use super::model::{Action, Asked, Client, Known, STORES, Store, Work, World};

/// All orders of the stores.
const ORDERS: [[usize; STORES]; 6] =
    [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

impl World {
    /// The state, up to the order of the stores: they are all alike, so that what can happen after
    /// one order can happen after each, with the stores' names exchanged. Of all orders, only
    /// those are tried that sort by what does not depend on the order.
    pub(crate) fn hash(&self) -> u128 {
        let mut lowest = u128::MAX;
        let mut bytes = Vec::with_capacity(256);
        let key = |place: usize| {
            let store = &self.stores[place];
            let own = store.known[place];
            (store.serving, store.pending.is_some(), own, slot(&store.slot), store.sent.len())
        };
        let keys: [_; STORES] = std::array::from_fn(key);
        for order in &ORDERS {
            if !order.is_sorted_by_key(|place| &keys[*place]) {
                continue;
            }
            bytes.clear();
            for place in order {
                self.stores[*place].encode(order, &mut bytes);
            }
            self.clients.iter().for_each(|client| client.encode(&mut bytes));
            bytes.extend([self.crashes, self.losses, letter(self.learned.as_ref())]);
            lowest = lowest.min(xxhash_rust::xxh3::xxh3_128(&bytes));
        }
        lowest
    }
}

fn small(number: u64) -> u8 {
    u8::try_from(number).expect("small")
}

fn letter(value: Option<&Bytes>) -> u8 {
    value.map_or(0, |value| value[0])
}

fn accepted(accepted: Option<&Accepted>) -> [u8; 3] {
    accepted.map_or([0; 3], |accepted| {
        let Accepted { ballot, value, voted } = accepted;
        [small(ballot.round), letter(Some(value)), u8::from(*voted)]
    })
}

fn slot(slot: &Slot) -> [u8; 5] {
    let [ballot, value, voted] = accepted(slot.accepted.as_ref());
    [small(slot.promised.round), ballot, value, voted, letter(slot.decided.as_ref())]
}

fn vote(vote: &Vote) -> [u8; 5] {
    let (kind, ballot, [a, b, c]) = match vote {
        Vote::Promised(ballot, before) => (1, ballot.round, accepted(before.as_ref())),
        Vote::Accepted(ballot) => (2, ballot.round, [0; 3]),
        Vote::Seen(seen) => (3, 0, accepted(seen.as_ref())),
        Vote::Outbid(ballot) => (4, ballot.round, [0; 3]),
        Vote::Decided(value) => (5, 0, [letter(Some(value)), 0, 0]),
    };
    [kind, small(ballot), a, b, c]
}

fn known(known: &Known, order: &[usize; STORES]) -> [u8; STORES] {
    order.map(|place| small(known[place]))
}

impl Store {
    fn encode(&self, order: &[usize; STORES], bytes: &mut Vec<u8>) {
        bytes.push(u8::from(self.serving));
        bytes.extend(known(&self.known, order));
        bytes.extend(slot(&self.slot));
        bytes.extend(slot(&self.durable));
        match &self.pending {
            None => bytes.push(0),
            Some((put, answer)) => {
                bytes.push(1);
                bytes.extend(slot(put));
                if let Some((client, answer)) = answer {
                    bytes.push(small(*client as u64));
                    bytes.extend(vote(answer));
                } else {
                    bytes.push(u8::MAX);
                }
            }
        }
        if !self.serving {
            for place in order {
                match &self.handed[*place] {
                    None => bytes.push(0),
                    Some((with, handed)) => {
                        bytes.push(1);
                        bytes.extend(known(with, order));
                        bytes.extend(slot(handed));
                    }
                }
            }
        }
        let mut sent: Vec<_> = self
            .sent
            .iter()
            .map(|sent| (small(sent.client as u64), known(&sent.known, order), vote(&sent.vote)))
            .collect();
        sent.sort_unstable();
        bytes.push(small(sent.len() as u64));
        for (client, with, vote) in sent {
            bytes.push(client);
            bytes.extend(with);
            bytes.extend(vote);
        }
    }
}

impl Client {
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.push(match self.work {
            Work::Idle => 0,
            Work::Looking => 1,
            Work::Attempting => 2,
            Work::Over => 3,
        });
        bytes.push(match self.proposer.ask() {
            Ask::Accept(_, value) => letter(Some(&value)),
            Ask::Prepare(_) | Ask::Look => 0,
        });
    }
}

/// A history in words: what happened, and what it left behind.
pub(crate) fn history(first: World, actions: &[Action], defects: Defects) -> Vec<String> {
    let mut world = first;
    let mut steps = Vec::new();
    for (number, action) in (1..).zip(actions) {
        let what = world.describe(*action);
        let left = match world.after(*action, defects) {
            Ok(Some(next)) => {
                world = next;
                world.left_by(*action)
            }
            Ok(None) => "nothing changes".to_owned(),
            Err(wrong) => wrong,
        };
        steps.push(format!("{number}. {what}: {left}"));
    }
    steps
}

impl World {
    fn describe(&self, action: Action) -> String {
        match action {
            Action::Begin(client) => format!("client {client} looks"),
            Action::Deliver { client, asked, store } => {
                let ask = self.clients[client].asks(asked);
                format!("store {store} handles {ask:?} of client {client}")
            }
            Action::Persist(store) => format!("the put of store {store} is durable"),
            Action::Answer(client, answers) => {
                let sent = answers.map(|(store, at)| {
                    let sent = &self.stores[store].sent[at];
                    format!("{:?} of store {store}, which knows {:?}", sent.vote, sent.known)
                });
                format!("client {client} hears {}", sent.join(" and "))
            }
            Action::Tell(store) => format!("store {store} is told of the decision"),
            Action::Crash(store) => format!("store {store} crashes"),
            Action::LoseDisk(store) => format!("store {store} loses its disk"),
            Action::Announce { to, of } => format!("store {of} is announced to store {to}"),
            Action::HandOver { to, from } => format!("store {from} hands over to store {to}"),
            Action::Serve(store) => format!("store {store} serves again"),
        }
    }

    fn left_by(&self, action: Action) -> String {
        match action {
            Action::Begin(client) | Action::Answer(client, _) => {
                format!("it asks {:?}", self.clients[client].asks(Asked::Now))
            }
            Action::Deliver { store, .. }
            | Action::Persist(store)
            | Action::Tell(store)
            | Action::Crash(store)
            | Action::LoseDisk(store)
            | Action::Serve(store)
            | Action::Announce { to: store, .. }
            | Action::HandOver { from: store, .. } => {
                let Store { known, slot, pending, .. } = &*self.stores[store];
                format!("{slot:?}, under way {pending:?}, incarnations {known:?}")
            }
        }
    }
}

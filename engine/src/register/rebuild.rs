//! Makes a store that forgot take part again.
//!
//! It asks the others which incarnation it had, takes one above all of them, and makes that
//! durable. Then it announces it; each of the others makes the news durable before it hands over
//! its registers. Every majority that a forgotten vote may have been part of has, beside the
//! forgetful store itself, `majority - 1` members among the others; so it meets any
//! `stores - majority + 1` of them. Whoever is in both voted either before it handed over, and
//! then its slot tells of that ballot, or after it, and then its vote says that the forgotten one
//! is void.
//!
//! The stores that hand over may forget, too; so void answers do not count here either, and the
//! incarnations that others know are taken over with the registers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    slot::Slot,
    votes::{Stamp, Votes, majority},
};
use crate::{
    defect::{Defect, Defects},
    epoch::FloorRecord,
};

/// All that one store knows of registers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handed {
    /// The registers, by name.
    pub slots: BTreeMap<String, Slot>,
    /// The floor.
    pub floor: Option<FloorRecord>,
}

/// A rebuild under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rebuild {
    needed: usize,
    handed: Votes<Handed>,
}

/// From how many others a store must learn.
#[must_use]
pub fn needed(stores: usize) -> usize {
    stores - majority(stores) + 1
}

/// The incarnation that a store takes: above all that it and [`needed`] others know of it.
#[must_use]
pub fn next_incarnation<'a>(own: &'a Stamp, others: impl Iterator<Item = &'a Stamp>) -> u64 {
    let known = others.map(|stamp| stamp.known_of(own.store));
    known.fold(own.incarnation(), u64::max) + 1
}

impl Rebuild {
    /// Of one of so many stores; nothing handed over yet.
    #[must_use]
    pub fn new(stores: usize) -> Self {
        Self { needed: needed(stores), handed: Votes::new(stores) }
    }

    /// Another store handed over all it knows.
    pub fn take(&mut self, stamp: Stamp, handed: Handed) {
        self.handed.add(stamp, handed);
    }

    /// Whether so many handed over that nothing the store voted for can be missing.
    #[must_use]
    pub fn is_enough(&self, defects: Defects) -> bool {
        defects.has(Defect::RebuiltVotesAtOnce) || self.handed.has(self.needed, defects)
    }

    /// Whether somebody handed over and then forgot: whoever did must be asked again.
    #[must_use]
    pub fn has_void(&self, defects: Defects) -> bool {
        self.handed.has_void(defects)
    }

    /// What the store knows then, given what it still knew itself.
    #[must_use]
    pub fn result(&self, own: &Stamp, mut known: Handed, defects: Defects) -> (Stamp, Handed) {
        let mut stamp = own.clone();
        for other in self.handed.stamps() {
            stamp.merge(&other.known);
        }
        for slot in known.slots.values_mut() {
            slot.adopt(&Slot::default());
        }
        for handed in self.handed.valid(defects) {
            for (name, slot) in &handed.slots {
                known.slots.entry(name.clone()).or_default().adopt(slot);
            }
            let higher =
                |floor: &FloorRecord| known.floor.is_none_or(|mine| mine.number < floor.number);
            if let Some(floor) = handed.floor.filter(higher) {
                known.floor = Some(floor);
            }
        }
        if let Some(floor) = known.floor {
            known.slots.retain(|name, _| !floor.covers_register(name));
        }
        (stamp, known)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        register::{Ask, Ballot},
        tuple::{Epoch, Generation},
    };

    fn stamp(store: u16, known: [u64; 3]) -> Stamp {
        Stamp { store, known: known.to_vec() }
    }

    #[test]
    fn so_many_others_are_asked_that_each_majority_is_met() {
        assert_eq!([3, 5, 7].map(needed), [2, 3, 4]);
    }

    #[test]
    fn an_incarnation_is_above_all_that_anyone_knows() {
        let (own, others) = (stamp(2, [0, 0, 1]), [stamp(0, [1, 1, 4]), stamp(1, [1, 1, 2])]);
        assert_eq!(next_incarnation(&own, others.iter()), 5);
    }

    #[test]
    fn what_was_handed_over_and_then_forgotten_does_not_count() {
        let mut rebuild = Rebuild::new(3);
        let none = Defects::default();
        rebuild.take(stamp(0, [1, 1, 2]), Handed::default());
        rebuild.take(stamp(1, [2, 1, 2]), Handed::default());
        assert!(!rebuild.is_enough(none) && rebuild.has_void(none));
        rebuild.take(stamp(0, [2, 1, 2]), Handed::default());
        assert!(rebuild.is_enough(none) && !rebuild.has_void(none));
    }

    #[test]
    fn promise_acceptance_and_floor_are_the_highest_that_were_handed_over() {
        let ballot = |round| Ballot { round, proposer: 1 };
        let slot = |ask: Ask| Slot::default().handle(&ask).0.expect("news");
        let floor = |number| FloorRecord { number, epoch: Epoch(3), generation: Generation(1) };
        let handed = |number, slot: Slot| Handed {
            slots: [
                ("offsets/000000000003".to_owned(), slot),
                ("offsets/000000000002".to_owned(), Slot::default()),
            ]
            .into(),
            floor: Some(floor(number)),
        };
        let mut rebuild = Rebuild::new(3);
        let none = Defects::default();
        rebuild.take(stamp(0, [1, 1, 2]), handed(1, slot(Ask::Prepare(ballot(7)))));
        assert!(!rebuild.is_enough(none));
        let accepted = slot(Ask::Accept(ballot(5), Bytes::from_static(b"a")));
        rebuild.take(stamp(1, [1, 3, 2]), handed(2, accepted));
        assert!(rebuild.is_enough(none));
        let (own, known) = rebuild.result(&stamp(2, [0, 0, 2]), Handed::default(), none);
        assert_eq!((own.known, known.floor), (vec![1, 3, 2], Some(floor(2))));
        let slots: Vec<_> = known.slots.into_iter().collect();
        assert_eq!(slots.len(), 1, "{slots:?}");
        assert_eq!(slots[0].1.promised, ballot(7));
        assert_eq!(slots[0].1.accepted.as_ref().expect("adopted").ballot, ballot(5));
    }
}

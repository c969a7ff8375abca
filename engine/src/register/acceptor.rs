//! All registers of one store: what it may vote on, and what it must not.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    rebuild::{Handed, Rebuild},
    slot::{Ask, Slot, Vote},
    votes::Stamp,
};
use crate::{
    defect::Defects,
    epoch::{FloorRecord, register},
    tuple::Generation,
};

/// Why a store does not vote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refused {
    /// It forgot what it voted for, and has not learned enough from the others yet.
    Abstaining,
    /// Its disk is full.
    NoSpace,
    /// A higher generation leads.
    Fenced(Generation),
    /// The register is not kept any more.
    BelowFloor(FloorRecord),
}

/// What a request came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handled {
    /// The register's new state, which must be durable before the vote is sent; none if nothing
    /// changes.
    pub slot: Option<Slot>,
    /// The vote.
    pub vote: Vote,
}

/// A part of a store's registers, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The registers.
    pub slots: Vec<(String, Slot)>,
    /// Whether there are more behind these.
    pub more: bool,
    /// The store's floor.
    pub floor: Option<FloorRecord>,
}

/// The registers of one store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Acceptor {
    stamp: Stamp,
    serving: bool,
    floor: Option<FloorRecord>,
    generation: Generation,
    slots: BTreeMap<String, Slot>,
}

impl Acceptor {
    /// What a boot found: the known incarnations, the floor and the registers.
    #[must_use]
    pub fn new(stamp: Stamp, floor: Option<FloorRecord>, slots: BTreeMap<String, Slot>) -> Self {
        let led = slots.keys().filter(|name| name.starts_with(register::GENERATIONS));
        let generation =
            Generation(led.filter_map(|name| register::number(name)).max().unwrap_or(0));
        Self { stamp, serving: true, floor, generation, slots }
    }

    /// Who answers. To be taken when an answer is sent, not before: a vote that says less than the
    /// store knew when it voted could count with one that it knows to be void.
    #[must_use]
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// Whether it takes part.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.serving
    }

    /// Its floor.
    #[must_use]
    pub fn floor(&self) -> Option<FloorRecord> {
        self.floor
    }

    /// What it knows of a register.
    #[must_use]
    pub fn slot(&self, name: &str) -> Option<&Slot> {
        self.slots.get(name)
    }

    /// Whether a request of this generation is carried out. Generation 0 is nobody's: it is never
    /// fenced, so that whoever does not lead may read.
    ///
    /// # Errors
    /// [`Refused::Abstaining`], [`Refused::Fenced`].
    pub fn admit(&mut self, generation: Generation) -> Result<(), Refused> {
        if !self.serving {
            return Err(Refused::Abstaining);
        }
        if generation != Generation(0) && generation < self.generation {
            return Err(Refused::Fenced(self.generation));
        }
        self.generation = self.generation.max(generation);
        Ok(())
    }

    /// Handles a request about a register. The new state counts, also for later requests, only
    /// once it was handed back to [`Acceptor::install`]; until then, no other request about the
    /// same register may be handled.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn handle(
        &mut self,
        generation: Generation,
        name: &str,
        ask: &Ask,
    ) -> Result<Handled, Refused> {
        self.admit(generation)?;
        self.above_floor(name)?;
        let (slot, vote) = match self.slots.get(name) {
            Some(slot) => slot.handle(ask),
            None => Slot::default().handle(ask),
        };
        Ok(Handled { slot, vote })
    }

    /// Whether a register is still kept.
    ///
    /// # Errors
    /// [`Refused::BelowFloor`].
    pub fn above_floor(&self, name: &str) -> Result<(), Refused> {
        match self.floor {
            Some(floor) if floor.covers_register(name) => Err(Refused::BelowFloor(floor)),
            _ => Ok(()),
        }
    }

    /// The state of a register is durable.
    pub fn install(&mut self, name: &str, slot: Slot) {
        self.slots.insert(name.to_owned(), slot);
    }

    /// Takes note of a decision, so that it can be read in one round.
    pub fn learn(&mut self, name: &str, value: Bytes) {
        if self.serving && self.above_floor(name).is_ok() {
            self.slots.entry(name.to_owned()).or_default().decided = Some(value);
        }
    }

    /// The registers behind `after` whose names begin with `prefix`, about `bytes_max` of them.
    #[must_use]
    pub fn page(&self, prefix: &str, after: &str, bytes_max: usize) -> Page {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = if after < prefix { prefix } else { after };
        let mut page = Page { floor: self.floor, ..Page::default() };
        let mut bytes = 0;
        for (name, slot) in self.slots.range::<str, _>((Excluded(from), Unbounded)) {
            if !name.starts_with(prefix) {
                break;
            }
            if bytes >= bytes_max {
                page.more = true;
                break;
            }
            let mut slot = slot.clone();
            if slot.decided.is_some() {
                // The value need not travel twice.
                slot.accepted = None;
            }
            let accepted = slot.accepted.as_ref().map(|accepted| &accepted.value);
            let value = slot.decided.as_ref().or(accepted).map_or(0, Bytes::len);
            bytes += name.len() + value + 64;
            page.slots.push((name.clone(), slot));
        }
        page
    }

    /// What another store's incarnation comes to: the incarnations to make durable, if they are
    /// news. They count at once.
    pub fn announced(&mut self, store: u16, incarnation: u64) -> Option<&Stamp> {
        if self.stamp.known_of(store) >= incarnation {
            return None;
        }
        let mut known = vec![0; usize::from(store) + 1];
        known[usize::from(store)] = incarnation;
        self.stamp.merge(&known);
        Some(&self.stamp)
    }

    /// The floor is durable.
    pub fn raise_floor(&mut self, floor: FloorRecord) {
        if self.floor.is_none_or(|mine| mine.number < floor.number) {
            self.floor = Some(floor);
        }
    }

    /// The names of the registers below the floor.
    #[must_use]
    pub fn below_floor(&self) -> Vec<String> {
        let Some(floor) = self.floor else { return Vec::new() };
        self.slots.keys().filter(|name| floor.covers_register(name)).cloned().collect()
    }

    /// A register below the floor is deleted.
    pub fn forget(&mut self, name: &str) {
        self.slots.remove(name);
    }

    /// It forgot, and takes a new incarnation: from here on it abstains.
    pub fn begin_again(&mut self, known: &[u64]) {
        self.serving = false;
        self.stamp.merge(known);
    }

    /// What it has to make durable, all of it, before it may serve again: what it still knew, and
    /// what the others handed over.
    #[must_use]
    pub fn adopted(&self, rebuild: &Rebuild, defects: Defects) -> (Stamp, Handed) {
        let own = Handed { floor: self.floor, slots: self.slots.clone() };
        rebuild.result(&self.stamp, own, defects)
    }

    /// All that was adopted is durable: it serves.
    pub fn serve_again(&mut self, mut stamp: Stamp, adopted: Handed) {
        stamp.merge(&self.stamp.known);
        let new = Self::new(stamp, adopted.floor, adopted.slots);
        *self = Self { generation: self.generation.max(new.generation), ..new };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{register::Ballot, tuple::Epoch};

    fn acceptor() -> Acceptor {
        Acceptor::new(Stamp { store: 0, known: vec![1; 3] }, None, BTreeMap::new())
    }

    fn prepare(round: u64) -> Ask {
        Ask::Prepare(Ballot { round, proposer: 1 })
    }

    #[test]
    fn a_lower_generation_is_fenced_and_nobodys_is_not() {
        let mut acceptor = acceptor();
        acceptor.handle(Generation(3), "offsets/1", &Ask::Look).expect("the first");
        let refused = acceptor.handle(Generation(2), "offsets/1", &Ask::Look);
        assert_eq!(refused, Err(Refused::Fenced(Generation(3))));
        acceptor.handle(Generation(0), "offsets/1", &Ask::Look).expect("a reader");
    }

    #[test]
    fn below_the_floor_nothing_is_voted_on_or_learned() {
        let mut acceptor = acceptor();
        acceptor.install("offsets/000000000004", Slot::default());
        let floor = FloorRecord { number: 1, epoch: Epoch(5), generation: Generation(2) };
        acceptor.raise_floor(floor);
        acceptor.raise_floor(FloorRecord { number: 0, epoch: Epoch(1), ..floor });
        let refused = acceptor.handle(Generation(2), "offsets/000000000004", &prepare(1));
        assert_eq!(refused, Err(Refused::BelowFloor(floor)));
        acceptor.handle(Generation(2), "offsets/000000000005", &prepare(1)).expect("above");
        acceptor.learn("commits/000000000004", Bytes::new());
        assert_eq!(acceptor.below_floor(), ["offsets/000000000004"]);
    }

    #[test]
    fn pages_go_through_a_family_once_and_in_order() {
        let mut acceptor = acceptor();
        for name in ["a/1", "b/1", "b/2", "b/3", "c/1"] {
            acceptor.install(name, Slot::default());
        }
        let (mut names, mut after) = (Vec::new(), String::new());
        loop {
            let page = acceptor.page("b/", &after, 1);
            names.extend(page.slots.into_iter().map(|(name, _)| name));
            after.clone_from(names.last().expect("something"));
            if !page.more {
                break;
            }
        }
        assert_eq!(names, ["b/1", "b/2", "b/3"]);
        assert_eq!(acceptor.page("", "", usize::MAX).slots.len(), 5);
    }

    #[test]
    fn a_store_that_forgot_abstains() {
        let mut acceptor = acceptor();
        acceptor.begin_again(&[2, 0, 0]);
        let refused = acceptor.handle(Generation(1), "offsets/1", &Ask::Look);
        assert_eq!(refused, Err(Refused::Abstaining));
        assert_eq!(acceptor.stamp().known, [2, 1, 1]);
    }
}

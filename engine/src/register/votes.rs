//! Answers of several stores, and which of them count.
//!
//! A vote is void if another vote in the set knows a higher incarnation of its voter: the voter
//! has forgotten that vote since, and what it adopted when it was rebuilt may not cover it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::defect::{Defect, Defects};

/// Who answers, and which incarnations of all stores it knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// The store's place in the cluster's list.
    pub store: u16,
    /// The highest incarnation that it knows of each store, its own among them; 0 for none.
    pub known: Vec<u64>,
}

/// How many of so many stores are a majority.
#[must_use]
pub fn majority(stores: usize) -> usize {
    stores / 2 + 1
}

impl Stamp {
    /// The highest incarnation known of a store.
    #[must_use]
    pub fn known_of(&self, store: u16) -> u64 {
        self.known.get(usize::from(store)).copied().unwrap_or(0)
    }

    /// The store's own incarnation.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.known_of(self.store)
    }

    /// Takes over the higher of all incarnations.
    pub fn merge(&mut self, known: &[u64]) {
        if self.known.len() < known.len() {
            self.known.resize(known.len(), 0);
        }
        for (mine, other) in self.known.iter_mut().zip(known) {
            *mine = (*mine).max(*other);
        }
    }
}

/// At most one answer of each store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Votes<T> {
    stores: usize,
    votes: BTreeMap<u16, (Stamp, T)>,
}

impl<T> Votes<T> {
    /// None yet, of so many stores.
    #[must_use]
    pub fn new(stores: usize) -> Self {
        Self { stores, votes: BTreeMap::new() }
    }

    /// Adds an answer. It takes the place of an earlier one of the same store, unless that was
    /// given in a higher incarnation.
    pub fn add(&mut self, stamp: Stamp, vote: T) {
        let before = self.votes.get(&stamp.store).map_or(0, |(stamp, _)| stamp.incarnation());
        if stamp.incarnation() >= before {
            self.votes.insert(stamp.store, (stamp, vote));
        }
    }

    /// The answers that count, by store.
    pub fn valid(&self, defects: Defects) -> impl Iterator<Item = &T> + Clone {
        let outdated = move |stamp: &Stamp| {
            !defects.has(Defect::IncarnationsIgnored)
                && self
                    .votes
                    .values()
                    .any(|(other, _)| other.known_of(stamp.store) > stamp.incarnation())
        };
        self.votes.values().filter(move |(stamp, _)| !outdated(stamp)).map(|(_, vote)| vote)
    }

    /// Whether the answers that count are at least so many.
    #[must_use]
    pub fn has(&self, count: usize, defects: Defects) -> bool {
        self.valid(defects).count() >= count
    }

    /// Whether a majority of all stores gave answers that count.
    #[must_use]
    pub fn has_majority(&self, defects: Defects) -> bool {
        self.has(majority(self.stores), defects)
    }

    /// Whether there are answers that do not count.
    #[must_use]
    pub fn has_void(&self, defects: Defects) -> bool {
        self.valid(defects).count() < self.votes.len()
    }

    /// Who answered.
    pub fn stamps(&self) -> impl Iterator<Item = &Stamp> {
        self.votes.values().map(|(stamp, _)| stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(store: u16, known: [u64; 3]) -> Stamp {
        Stamp { store, known: known.to_vec() }
    }

    #[test]
    fn a_vote_is_void_if_another_knows_a_later_incarnation_of_its_voter() {
        let mut votes = Votes::new(3);
        votes.add(stamp(0, [1, 1, 1]), "a");
        votes.add(stamp(2, [1, 1, 1]), "old");
        assert!(votes.has_majority(Defects::default()));
        votes.add(stamp(1, [1, 1, 2]), "b");
        let valid: Vec<_> = votes.valid(Defects::default()).copied().collect();
        assert_eq!(valid, ["a", "b"]);
        assert!(votes.has_void(Defects::default()));
        votes.add(stamp(2, [1, 1, 2]), "new");
        votes.add(stamp(2, [1, 1, 1]), "old");
        assert_eq!(votes.valid(Defects::default()).count(), 3);
    }

    #[test]
    fn an_answer_counts_once_however_often_it_comes() {
        let mut votes = Votes::new(3);
        for _ in 0..3 {
            votes.add(stamp(0, [1, 1, 1]), ());
        }
        assert!(!votes.has_majority(Defects::default()));
    }
}

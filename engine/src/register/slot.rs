//! One register at one store.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The number of one attempt to have a register decided. No two attempts have the same.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Ballot {
    /// Higher than all that the proposer has met; 0 for none.
    pub round: u64,
    /// Drawn at random for the attempt.
    pub proposer: u64,
}

/// The value that a store accepted last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Accepted {
    /// In which ballot.
    pub ballot: Ballot,
    /// The value.
    pub value: Bytes,
    /// Whether this store voted for it. What a rebuilt store took over from others binds later
    /// ballots just so, but is no vote: counted as one, it could make a majority that never was.
    pub voted: bool,
}

/// What one store knows of one register.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Slot {
    /// No lower ballot is voted for any more.
    pub promised: Ballot,
    /// What was accepted last.
    pub accepted: Option<Accepted>,
    /// The decision, if the store was told. It needs no durability: a majority has it.
    pub decided: Option<Bytes>,
}

/// What is asked of a store about one register.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Ask {
    /// Phase 1: promise not to vote for lower ballots, and tell what was accepted.
    Prepare(Ballot),
    /// Phase 2: vote for this value.
    Accept(Ballot, Bytes),
    /// Tell what is there, and change nothing.
    Look,
}

/// What a store says about one register.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Vote {
    /// The promise for this ballot, and what was accepted before.
    Promised(Ballot, Option<Accepted>),
    /// Voted for the value of this ballot.
    Accepted(Ballot),
    /// A higher ballot has the promise.
    Outbid(Ballot),
    /// What was accepted last.
    Seen(Option<Accepted>),
    /// The decision is known: there is nothing left to vote on.
    Decided(Bytes),
}

impl Slot {
    /// Handles a request: the new slot, which must be durable before the vote is sent (none if
    /// nothing changes), and the vote.
    #[must_use]
    pub fn handle(&self, ask: &Ask) -> (Option<Self>, Vote) {
        if let Some(value) = &self.decided {
            return (None, Vote::Decided(value.clone()));
        }
        match ask {
            Ask::Look => (None, Vote::Seen(self.accepted.clone())),
            Ask::Prepare(ballot) | Ask::Accept(ballot, _) if *ballot < self.promised => {
                (None, Vote::Outbid(self.promised))
            }
            Ask::Prepare(ballot) => {
                let vote = Vote::Promised(*ballot, self.accepted.clone());
                let known = *ballot == self.promised;
                ((!known).then(|| Self { promised: *ballot, ..self.clone() }), vote)
            }
            Ask::Accept(ballot, value) => {
                let accepted = Accepted { ballot: *ballot, value: value.clone(), voted: true };
                let slot = Self { promised: *ballot, accepted: Some(accepted), decided: None };
                ((slot != *self).then_some(slot), Vote::Accepted(*ballot))
            }
        }
    }

    /// Takes over what another store knows: the highest promise, the acceptance with the highest
    /// ballot, the decision. Nothing of that is a vote of this store.
    pub fn adopt(&mut self, other: &Self) {
        self.promised = self.promised.max(other.promised);
        let ballot = |slot: &Self| slot.accepted.as_ref().map(|accepted| accepted.ballot);
        if ballot(other) > ballot(self) {
            self.accepted = other.accepted.clone();
        }
        if let Some(accepted) = &mut self.accepted {
            accepted.voted = false;
        }
        self.decided = self.decided.take().or_else(|| other.decided.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ballot(round: u64) -> Ballot {
        Ballot { round, proposer: 7 }
    }

    fn value(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn after(asks: &[Ask]) -> Slot {
        asks.iter().fold(Slot::default(), |slot, ask| slot.handle(ask).0.unwrap_or(slot))
    }

    #[test]
    fn a_promise_holds_against_lower_ballots_only() {
        let slot = after(&[Ask::Prepare(ballot(2))]);
        let outbid = (None, Vote::Outbid(ballot(2)));
        assert_eq!(slot.handle(&Ask::Prepare(ballot(1))), outbid);
        assert_eq!(slot.handle(&Ask::Accept(ballot(1), value("a"))), outbid);
        let again = (None, Vote::Promised(ballot(2), None));
        assert_eq!(slot.handle(&Ask::Prepare(ballot(2))), again);
        assert!(slot.handle(&Ask::Accept(ballot(3), value("a"))).0.is_some());
    }

    #[test]
    fn what_was_accepted_is_told_and_a_repeat_changes_nothing() {
        let accept = Ask::Accept(ballot(2), value("a"));
        let slot = after(&[Ask::Prepare(ballot(2)), accept.clone()]);
        assert_eq!(slot.handle(&accept), (None, Vote::Accepted(ballot(2))));
        let accepted = Accepted { ballot: ballot(2), value: value("a"), voted: true };
        let (next, vote) = slot.handle(&Ask::Prepare(ballot(3)));
        assert_eq!(vote, Vote::Promised(ballot(3), Some(accepted.clone())));
        assert_eq!(next.expect("a new promise").accepted, Some(accepted));
    }

    #[test]
    fn adoption_takes_the_highest_of_each_and_makes_no_votes() {
        let mut slot = after(&[Ask::Accept(ballot(3), value("new"))]);
        slot.adopt(&after(&[Ask::Accept(ballot(1), value("old")), Ask::Prepare(ballot(9))]));
        assert_eq!(slot.promised, ballot(9));
        let accepted = slot.accepted.expect("something was accepted");
        assert_eq!((accepted.value, accepted.voted), (value("new"), false));
        let mut blank = Slot::default();
        blank.adopt(&after(&[Ask::Accept(ballot(1), value("old"))]));
        assert!(!blank.accepted.expect("adopted").voted);
    }
}

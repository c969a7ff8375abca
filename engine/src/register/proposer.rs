//! Has a register decided: one attempt, in two phases.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    slot::{Accepted, Ask, Ballot, Vote},
    votes::{Stamp, Votes},
};
use crate::{defect::Defects, tuple::Generation};

/// What to do after an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Wait for more answers.
    Wait,
    /// Ask all stores this; answers to what was asked before are of no interest any more.
    Ask(Ask),
    /// The register has this value, for ever.
    Decided(Bytes),
    /// Nothing was decided when the attempt began; only without a value of its own.
    Undecided,
    /// The attempt has failed: a higher ballot was met, or a store forgot its vote. Try again in a
    /// round above this one.
    Lost {
        /// The highest ballot met.
        highest: Ballot,
        /// Whether another proposer was the reason.
        outbid: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Phase {
    Prepare(Votes<Option<Accepted>>),
    Accept(Bytes, Votes<()>),
}

/// One attempt to have a register decided, or to have a half-decided one completed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Proposer {
    stores: usize,
    ballot: Ballot,
    value: Option<Bytes>,
    phase: Phase,
}

impl Proposer {
    /// An attempt to have `value` decided; without a value, an attempt to complete what others
    /// began. No other attempt, ever, has the same ballot.
    #[must_use]
    pub fn new(stores: usize, ballot: Ballot, value: Option<Bytes>) -> Self {
        Self { stores, ballot, value, phase: Phase::Prepare(Votes::new(stores)) }
    }

    /// The first attempt of all, which asks for votes at once: no lower ballot can be in use, so
    /// there is nothing that phase 1 could find. At most one leadership may ever make it for a
    /// register, with one value; agreement is lost if two do. All other attempts have ballots of
    /// round 1 or above.
    #[must_use]
    pub fn first(stores: usize, leadership: Generation, value: Bytes) -> Self {
        let ballot = Ballot { round: 0, proposer: leadership.0 };
        let phase = Phase::Accept(value.clone(), Votes::new(stores));
        Self { stores, ballot, value: Some(value), phase }
    }

    /// What to ask all stores now.
    #[must_use]
    pub fn ask(&self) -> Ask {
        match &self.phase {
            Phase::Prepare(_) => Ask::Prepare(self.ballot),
            Phase::Accept(value, _) => Ask::Accept(self.ballot, value.clone()),
        }
    }

    /// Takes an answer in.
    #[must_use]
    pub fn answer(&mut self, stamp: Stamp, vote: Vote, defects: Defects) -> Next {
        match (vote, &mut self.phase) {
            (Vote::Decided(value), _) => Next::Decided(value),
            (Vote::Outbid(highest), _) => Next::Lost { highest, outbid: true },
            (Vote::Promised(ballot, accepted), Phase::Prepare(votes)) if ballot == self.ballot => {
                votes.add(stamp, accepted);
                if votes.has_majority(defects) {
                    return self.promised(defects);
                }
                too_few(votes, self.ballot, defects)
            }
            (Vote::Accepted(ballot), Phase::Accept(value, votes)) if ballot == self.ballot => {
                votes.add(stamp, ());
                if votes.has_majority(defects) {
                    return Next::Decided(value.clone());
                }
                too_few(votes, self.ballot, defects)
            }
            // An answer to what was asked in an earlier phase.
            (Vote::Promised(..) | Vote::Accepted(_) | Vote::Seen(_), _) => Next::Wait,
        }
    }

    /// A majority promised: the value of the highest ballot among theirs must be kept.
    fn promised(&mut self, defects: Defects) -> Next {
        let Phase::Prepare(votes) = &self.phase else { return Next::Wait };
        let highest = votes.valid(defects).flatten().max_by_key(|accepted| accepted.ballot);
        let bound = highest.map(|accepted| accepted.value.clone());
        match bound.or_else(|| self.value.clone()) {
            Some(value) => {
                self.phase = Phase::Accept(value, Votes::new(self.stores));
                Next::Ask(self.ask())
            }
            None => Next::Undecided,
        }
    }
}

/// More votes may come, but in the place of one that does not count there may never be another.
fn too_few<T>(votes: &Votes<T>, ballot: Ballot, defects: Defects) -> Next {
    if votes.has_void(defects) {
        return Next::Lost { highest: ballot, outbid: false };
    }
    Next::Wait
}

#[cfg(test)]
mod tests {
    use super::*;

    const BALLOT: Ballot = Ballot { round: 5, proposer: 1 };

    fn stamp(store: u16) -> Stamp {
        Stamp { store, known: vec![1; 3] }
    }

    fn accepted(round: u64, value: &'static str) -> Option<Accepted> {
        let ballot = Ballot { round, proposer: 9 };
        Some(Accepted { ballot, value: Bytes::from_static(value.as_bytes()), voted: true })
    }

    fn answers(proposer: &mut Proposer, answers: Vec<(u16, Vote)>) -> Next {
        let mut next = Next::Wait;
        for (store, vote) in answers {
            next = proposer.answer(stamp(store), vote, Defects::default());
        }
        next
    }

    #[test]
    fn the_value_of_the_highest_ballot_is_kept() {
        let mut proposer = Proposer::new(3, BALLOT, Some("mine".into()));
        let promise = |store, accepted| (store, Vote::Promised(BALLOT, accepted));
        let promises = vec![promise(0, accepted(2, "new")), promise(1, accepted(1, "old"))];
        let next = answers(&mut proposer, promises);
        assert_eq!(next, Next::Ask(Ask::Accept(BALLOT, "new".into())));
        let vote = |store| (store, Vote::Accepted(BALLOT));
        assert_eq!(answers(&mut proposer, vec![vote(0), vote(0)]), Next::Wait);
        assert_eq!(answers(&mut proposer, vec![vote(2)]), Next::Decided("new".into()));
    }

    #[test]
    fn without_a_value_and_without_a_trace_nothing_is_decided() {
        let promise = |store| (store, Vote::Promised(BALLOT, None));
        let mut proposer = Proposer::new(3, BALLOT, None);
        assert_eq!(answers(&mut proposer, vec![promise(0), promise(2)]), Next::Undecided);
        let mut proposer = Proposer::new(3, BALLOT, Some("mine".into()));
        let next = answers(&mut proposer, vec![promise(0), promise(2)]);
        assert_eq!(next, Next::Ask(Ask::Accept(BALLOT, "mine".into())));
    }

    #[test]
    fn the_first_attempt_asks_for_votes_at_once_and_gives_way_to_any_other() {
        let mut proposer = Proposer::first(3, Generation(4), "mine".into());
        let ballot = Ballot { round: 0, proposer: 4 };
        assert_eq!(proposer.ask(), Ask::Accept(ballot, "mine".into()));
        assert!(Ballot::default() < ballot && ballot < Ballot { round: 1, proposer: 0 });
        let vote = |store| (store, Vote::Accepted(ballot));
        assert_eq!(answers(&mut proposer, vec![vote(0)]), Next::Wait);
        let outbid = Next::Lost { highest: BALLOT, outbid: true };
        assert_eq!(answers(&mut proposer, vec![(1, Vote::Outbid(BALLOT))]), outbid);
        assert_eq!(answers(&mut proposer, vec![vote(2)]), Next::Decided("mine".into()));
    }

    #[test]
    fn a_higher_ballot_ends_the_attempt_and_a_known_decision_wins_at_once() {
        let higher = Ballot { round: 6, proposer: 0 };
        let mut proposer = Proposer::new(3, BALLOT, Some("mine".into()));
        let next = answers(&mut proposer, vec![(0, Vote::Outbid(higher))]);
        assert_eq!(next, Next::Lost { highest: higher, outbid: true });
        let next = answers(&mut proposer, vec![(0, Vote::Decided("theirs".into()))]);
        assert_eq!(next, Next::Decided("theirs".into()));
    }
}

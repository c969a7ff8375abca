//! Reads registers in one round, where that is enough.

use bytes::Bytes;

use super::{
    slot::{Accepted, Ballot},
    votes::majority,
};

/// What a majority of stores shows of one register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It has this value.
    Decided(Bytes),
    /// Nothing was decided when the stores were asked.
    Undecided,
    /// It may be decided or not: complete it, with a [`super::Proposer`] without a value.
    Half,
}

/// Combines what the stores of a majority accepted last; the answers must be those that count.
///
/// If a majority of all voted for the same ballot, it is decided. If none accepted anything, no
/// majority can have done so before this one was asked.
#[must_use]
pub fn combine<'a>(
    stores: usize,
    seen: impl Iterator<Item = Option<&'a Accepted>> + Clone,
) -> Reading {
    let Some(highest) = seen.clone().flatten().max_by_key(|accepted| accepted.ballot) else {
        return Reading::Undecided;
    };
    let voted_so = |ballot: Ballot| {
        seen.flatten().filter(|accepted| accepted.voted && accepted.ballot == ballot).count()
    };
    if voted_so(highest.ballot) >= majority(stores) {
        return Reading::Decided(highest.value.clone());
    }
    Reading::Half
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(seen: &[Option<(u64, bool)>]) -> Reading {
        let accepted: Vec<_> = seen
            .iter()
            .map(|seen| {
                seen.map(|(round, voted)| Accepted {
                    ballot: Ballot { round, proposer: 1 },
                    value: Bytes::from(vec![b'0' + u8::try_from(round).expect("small")]),
                    voted,
                })
            })
            .collect();
        combine(3, accepted.iter().map(Option::as_ref))
    }

    #[test]
    fn only_a_majority_of_votes_for_one_ballot_decides() {
        assert_eq!(read(&[Some((1, true)), Some((1, true))]), Reading::Decided("1".into()));
        assert_eq!(read(&[Some((1, true)), Some((2, true))]), Reading::Half);
        assert_eq!(read(&[Some((1, true)), None]), Reading::Half);
        assert_eq!(read(&[None, None]), Reading::Undecided);
    }

    #[test]
    fn what_a_rebuilt_store_took_over_is_no_vote() {
        assert_eq!(read(&[Some((1, true)), Some((1, false))]), Reading::Half);
    }
}

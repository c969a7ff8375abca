//! Which tuples of each producer a partition has, and where: what makes a repeat harmless.
//!
//! A producer sends its tuples in the order of their seqs, so what it sent is known by the highest
//! seq; the places are needed only to tell a repeat where its tuple is. All tuples that are kept
//! have theirs here, and the last [`PRODUCER_WINDOW`] trimmed ones of each producer, so that memory
//! and checkpoint have a bound that does not grow with what was trimmed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::tuple::Offset;

/// Of how many trimmed tuples of one producer in one partition the offset is remembered. A
/// producer that sends all of its input again learns the offsets of at least so many.
pub const PRODUCER_WINDOW: usize = 4_096;

/// What is known of all producers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Producers(BTreeMap<u16, Known>);

/// What is known of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// The highest seq whose offset is no longer known.
    forgotten: Option<u64>,
    /// Seqs and offsets, both ascending; the last is the highest seq of all. Empty only if there
    /// never was one.
    places: Vec<(u64, Offset)>,
}

/// What became of a tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is not there yet.
    New,
    /// It is there.
    At(Offset),
    /// It was there, and was trimmed long ago.
    Forgotten,
    /// A later tuple of the producer is there, this one is not.
    Skipped,
}

impl Producers {
    /// What became of a tuple.
    pub(super) fn find(&self, producer: u16, seq: u64) -> Found {
        let Some(known) = self.0.get(&producer) else { return Found::New };
        if known.places.last().is_some_and(|(last, _)| *last < seq) {
            return Found::New;
        }
        match known.places.binary_search_by_key(&seq, |(seq, _)| *seq) {
            Ok(place) => Found::At(known.places[place].1),
            Err(_) if known.forgotten >= Some(seq) => Found::Forgotten,
            Err(place) if place == known.places.len() => Found::New,
            Err(_) => Found::Skipped,
        }
    }

    /// Takes in a tuple that is [`Found::New`].
    pub(super) fn add(&mut self, producer: u16, seq: u64, offset: Offset) {
        self.0.entry(producer).or_default().places.push((seq, offset));
    }

    /// The seq behind the highest of each producer.
    pub(super) fn next_seqs(&self) -> impl Iterator<Item = (u16, u64)> {
        let lasts = self.0.iter().map(|(producer, known)| (*producer, known.places.last()));
        lasts.filter_map(|(producer, last)| Some((producer, last?.0 + 1)))
    }

    /// Forgets the tuples from `next` on: they were not written after all.
    pub(super) fn retract(&mut self, next: Offset) {
        for known in self.0.values_mut() {
            known.places.truncate(known.count_below(next));
        }
    }

    /// What must be remembered of the tuples below `first`.
    pub(super) fn below(&self, first: Offset) -> Self {
        let below = self.0.iter().map(|(producer, known)| (*producer, known.below(first)));
        Self(below.filter(|(_, known)| !known.places.is_empty()).collect())
    }

    /// Forgets what need not be remembered of the tuples below `first`.
    pub(super) fn forget(&mut self, first: Offset) {
        for known in self.0.values_mut() {
            known.forget(first);
        }
    }
}

impl Known {
    /// How many tuples are below `first`.
    fn count_below(&self, first: Offset) -> usize {
        self.places.partition_point(|(_, offset)| *offset < first)
    }

    fn below(&self, first: Offset) -> Self {
        let places = self.places[..self.count_below(first)].to_vec();
        let mut known = Self { forgotten: self.forgotten, places };
        known.forget(first);
        known
    }

    fn forget(&mut self, first: Offset) {
        let surplus = self.count_below(first).saturating_sub(PRODUCER_WINDOW);
        if let Some((seq, _)) = self.places.drain(..surplus).next_back() {
            self.forgotten = Some(seq);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tuples 0, 3, 6, … of producer 7 at every other offset.
    fn producers(count: u64) -> Producers {
        let mut producers = Producers::default();
        for number in 0..count {
            producers.add(7, 3 * number, Offset(2 * number));
        }
        producers
    }

    #[test]
    fn a_repeat_is_found_where_it_was_and_a_skipped_tuple_is_told_from_a_new_one() {
        let producers = producers(10);
        assert_eq!(producers.find(7, 12), Found::At(Offset(8)));
        assert_eq!(producers.find(7, 13), Found::Skipped);
        assert_eq!(producers.find(7, 28), Found::New);
        assert_eq!(producers.find(8, 12), Found::New);
    }

    #[test]
    fn tuples_that_were_not_written_after_all_are_new_again() {
        let mut again = producers(10);
        again.retract(Offset(8));
        assert_eq!(again, producers(4));
    }

    #[test]
    fn of_trimmed_tuples_the_last_ones_are_remembered_and_all_kept_ones() {
        let window = PRODUCER_WINDOW as u64;
        let mut producers = producers(2 * window);
        let trimmed = window + 10;
        let first = Offset(2 * trimmed);
        producers.forget(first);
        let found = |number: u64| producers.find(7, 3 * number);
        for number in 0..10 {
            assert_eq!(found(number), Found::Forgotten, "{number}");
        }
        for number in 10..2 * window {
            assert_eq!(found(number), Found::At(Offset(2 * number)), "{number}");
        }
        assert_eq!(found(2 * window), Found::New);
        assert_eq!(producers.find(7, 28), Found::Skipped);
    }

    #[test]
    fn a_checkpoint_and_the_kept_tuples_together_know_what_was_known_before() {
        let window = PRODUCER_WINDOW as u64;
        for trimmed in [1, window, window + 10, 2 * window] {
            let mut all = producers(2 * window);
            let first = Offset(2 * trimmed);
            let mut again = all.below(first);
            for number in trimmed..2 * window {
                assert_eq!(again.find(7, 3 * number), Found::New);
                again.add(7, 3 * number, Offset(2 * number));
            }
            all.forget(first);
            assert_eq!(again, all, "{trimmed} trimmed");
            // Trimmed step by step it is the same.
            let later = Offset(4 * window);
            assert_eq!(again.below(later), producers(2 * window).below(later));
        }
    }

    #[test]
    fn a_producer_without_trimmed_tuples_is_not_in_the_checkpoint() {
        assert_eq!(producers(3).below(Offset(0)), Producers::default());
    }
}

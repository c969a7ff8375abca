//! Which partition of the source a tuple belongs to, as partitions are added.
//!
//! A key's partition follows from how many there are, so an addition moves keys. A producer that is
//! started again sends its input from the beginning, and must find each tuple where it was: so an
//! addition says from which seq of each producer on it counts, which is behind all that the source
//! has of that producer. What comes before goes by the layout before, for ever, whenever it comes.
//!
//! The order of a key's tuples is kept within a partition, so over an addition it is not.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::tuple::{Partition, Tuple};

/// The most partitions that a source may have.
pub const PARTITIONS_MAX: u16 = 4_096;

/// All layouts that a source has had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layouts {
    /// How many partitions there were at first.
    first: u16,
    /// Ascending.
    added: Vec<Layout>,
}

/// So many partitions, since an addition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Layout {
    partitions: u16,
    /// The first seq of each producer that goes by it; 0 of those that are not named.
    from: BTreeMap<u16, u64>,
}

impl Layouts {
    /// Those of a source to which no partition was added.
    #[must_use]
    pub fn new(partitions: u16) -> Self {
        Self { first: partitions, added: Vec::new() }
    }

    /// How many partitions there were at first.
    #[must_use]
    pub fn first(&self) -> u16 {
        self.first
    }

    /// How many partitions there are.
    #[must_use]
    pub fn partitions(&self) -> u16 {
        self.added.last().map_or(self.first, |layout| layout.partitions)
    }

    /// Where a tuple belongs.
    ///
    /// # Panics
    /// If there are no partitions.
    #[must_use]
    pub fn of(&self, producer: u16, seq: u64, key: &[u8]) -> Partition {
        let from = |layout: &Layout| layout.from.get(&producer).copied().unwrap_or(0);
        let layout = self.added.iter().rev().find(|layout| from(layout) <= seq);
        Partition::of_key(key, layout.map_or(self.first, |layout| layout.partitions))
    }

    /// The same with so many partitions, for all tuples from these seqs of their producers on.
    ///
    /// # Panics
    /// If there are as many already.
    #[must_use]
    pub fn grown(mut self, partitions: u16, from: BTreeMap<u16, u64>) -> Self {
        assert!(partitions > self.partitions(), "{partitions} are not more");
        self.added.push(Layout { partitions, from });
        self
    }

    /// Tuples by the partitions that they belong to, those of each in the order of their seqs.
    #[must_use]
    pub fn split(&self, tuples: Vec<Tuple>) -> BTreeMap<Partition, Vec<Tuple>> {
        let mut parts: BTreeMap<_, Vec<Tuple>> = BTreeMap::new();
        for tuple in tuples {
            let partition = self.of(tuple.producer, tuple.seq, &tuple.key);
            parts.entry(partition).or_default().push(tuple);
        }
        parts.values_mut().for_each(|part| part.sort_by_key(|tuple| tuple.seq));
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key that is in partition 1 of 2, 2 of 3, and 0 of 5.
    const KEY: &[u8] = b"b";

    #[test]
    fn a_tuple_stays_where_it_was_and_later_ones_of_its_producer_move() {
        let places = [2, 3, 5].map(|partitions| Partition::of_key(KEY, partitions));
        assert!(places[0] != places[1] && places[1] != places[2] && places[0] != places[2]);
        let layouts = Layouts::new(2).grown(3, [(7, 10)].into()).grown(5, [(7, 20), (8, 4)].into());
        assert_eq!((layouts.first(), layouts.partitions()), (2, 5));
        for (producer, seq, place) in [
            (7, 0, 0),
            (7, 9, 0),
            (7, 10, 1),
            (7, 19, 1),
            (7, 20, 2),
            (8, 3, 1),
            (8, 4, 2),
            (9, 0, 2),
        ] {
            assert_eq!(layouts.of(producer, seq, KEY), places[place], "{producer}/{seq}");
        }
    }

    #[test]
    fn parts_are_in_the_order_of_their_seqs() {
        let tuple = |seq| Tuple {
            producer: 1,
            seq,
            time_ms: 0,
            key: KEY.into(),
            value: bytes::Bytes::new(),
        };
        let parts = Layouts::new(2).grown(3, [(1, 5)].into()).split([9, 1, 6, 2].map(tuple).into());
        let seqs: Vec<Vec<_>> =
            parts.values().map(|part| part.iter().map(|tuple| tuple.seq).collect()).collect();
        let mut wanted =
            [(Partition::of_key(KEY, 2), vec![1, 2]), (Partition::of_key(KEY, 3), vec![6, 9])];
        wanted.sort();
        assert_eq!(seqs, wanted.map(|(_, seqs)| seqs));
    }
}

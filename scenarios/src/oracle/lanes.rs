//! Values by two numbers: a producer and a seq, or a partition and an offset. They come mostly in the
//! order of the second.

use std::{collections::BTreeMap, ops::Range};

/// Values by two numbers.
#[derive(Debug)]
pub(super) struct Lanes<V>(BTreeMap<u16, Vec<(u64, V)>>);

impl<V> Default for Lanes<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<V: Copy> Lanes<V> {
    /// Sets a value; gives the one that was there.
    pub(super) fn insert(&mut self, (lane, at): (u16, u64), value: V) -> Option<V> {
        let lane = self.0.entry(lane).or_default();
        if lane.last().is_none_or(|(last, _)| *last < at) {
            lane.push((at, value));
            return None;
        }
        match lane.binary_search_by_key(&at, |(at, _)| *at) {
            Ok(place) => Some(std::mem::replace(&mut lane[place].1, value)),
            Err(place) => {
                lane.insert(place, (at, value));
                None
            }
        }
    }

    pub(super) fn get(&self, (lane, at): (u16, u64)) -> Option<V> {
        let lane = self.0.get(&lane)?;
        let place = lane.binary_search_by_key(&at, |(at, _)| *at).ok()?;
        Some(lane[place].1)
    }

    /// Those of a lane in a range, in order.
    pub(super) fn range(&self, lane: u16, range: Range<u64>) -> &[(u64, V)] {
        let lane = self.0.get(&lane).map_or(&[][..], Vec::as_slice);
        let place = |end: u64| lane.partition_point(|(at, _)| *at < end);
        &lane[place(range.start)..place(range.end.max(range.start))]
    }

    /// All, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = ((u16, u64), V)> {
        let all = |(lane, values): (&u16, _)| {
            let (lane, values): (u16, &Vec<_>) = (*lane, values);
            values.iter().map(move |(at, value)| ((lane, *at), *value))
        };
        self.0.iter().flat_map(all)
    }

    pub(super) fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_order_however_they_come_and_the_last_one_counts() {
        let mut lanes = Lanes::default();
        for (key, value) in [(1, 5), (0, 7), (1, 9), (1, 2), (1, 5)].into_iter().zip(0..) {
            assert_eq!(lanes.insert(key, value), (value == 4).then_some(0));
        }
        assert_eq!(lanes.insert((1, 9), 2), Some(2), "the last of a lane, again");
        let all: Vec<_> = lanes.iter().collect();
        assert_eq!(all, [((0, 7), 1), ((1, 2), 3), ((1, 5), 4), ((1, 9), 2)]);
        assert_eq!((lanes.len(), lanes.get((1, 9)), lanes.get((0, 9))), (4, Some(2), None));
        assert_eq!(lanes.range(1, 2..9), [(2, 3), (5, 4)]);
        assert_eq!((lanes.range(1, 3..3), lanes.range(2, 0..9)), (&[][..], &[][..]));
        let reversed = Range { start: 9, end: 2 };
        assert_eq!(lanes.range(1, reversed), [], "it ends before it begins");
    }
}

//! The random streams of all links that were ever used, found by the two ends.
//!
//! A full matrix would cost a world of n nodes n² places, so they stand in a list in the order of
//! their first use, and a table with open addressing leads to them. Nothing goes over the table,
//! so its order decides nothing.

use crate::{env::NodeId, random::Stream, state::FEW};

/// The streams of the links in use. A link costs nothing until it is used.
#[derive(Debug)]
pub(crate) struct LinkStreams {
    seed: u64,
    links: Vec<(u32, Stream)>,
    /// Places in `links`, counted from 1; 0 is free. Its length is a power of two. At most a
    /// quarter is taken, so that the first look mostly finds what it looks for.
    table: Vec<u32>,
    /// By how many bits a spread key is shifted to be an index of the table.
    shift: u32,
}

/// The first length of the table, as a power of two.
const TABLE_BITS_MIN: u32 = 5;

impl LinkStreams {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed, links: Vec::new(), table: Vec::new(), shift: u32::BITS - TABLE_BITS_MIN + 1 }
    }

    /// The stream of a directed link.
    #[inline(always)]
    pub(crate) fn of(&mut self, from: NodeId, to: NodeId) -> &mut Stream {
        let key = (u32::from(from.0) << 16) | u32::from(to.0);
        let place = self.find(key).unwrap_or_else(|| self.add(key, from, to));
        &mut self.links[place].1
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.links.len()
    }

    #[inline(always)]
    fn find(&self, key: u32) -> Option<usize> {
        let mut at = self.home(key);
        loop {
            // Neither an empty table nor what a free place says leads to a link.
            let place = (*self.table.get(at)? as usize).wrapping_sub(1);
            if self.links.get(place)?.0 == key {
                return Some(place);
            }
            at = (at + 1) & (self.table.len() - 1);
        }
    }

    #[cold]
    fn add(&mut self, key: u32, from: NodeId, to: NodeId) -> usize {
        let stream = Stream::new(self.seed, "net", u64::from(from.0), u64::from(to.0));
        if self.links.is_empty() {
            self.links.reserve(FEW);
        }
        self.links.push((key, stream));
        if self.links.len() * 4 > self.table.len() {
            self.shift -= 1;
            self.table = vec![0; 1 << (u32::BITS - self.shift)];
            (0..self.links.len()).for_each(|place| self.enter(place));
        } else {
            self.enter(self.links.len() - 1);
        }
        self.links.len() - 1
    }

    fn enter(&mut self, place: usize) {
        let mut at = self.home(self.links[place].0);
        while self.table[at] != 0 {
            at = (at + 1) & (self.table.len() - 1);
        }
        self.table[at] = u32::try_from(place + 1).expect("under 2^32 links");
    }

    /// Where the search for a key begins: Fibonacci hashing (Knuth, volume 3, 6.4).
    #[inline]
    fn home(&self, key: u32) -> usize {
        (key.wrapping_mul(0x9E37_79B9) >> self.shift) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_link_keeps_its_own_stream_however_many_there_are() {
        let mut streams = LinkStreams::new(3);
        let links = || (0..40).flat_map(|from| (0..40).map(move |to| (from, to)));
        for round in 0..3 {
            for (from, to) in links() {
                let mut alone = Stream::new(3, "net", u64::from(from), u64::from(to));
                let expected = (0..=round).map(|_| alone.bits()).last();
                assert_eq!(Some(streams.of(NodeId(from), NodeId(to)).bits()), expected);
            }
        }
        assert_eq!(streams.len(), 1_600);
        assert!(streams.table.len() <= 8 * streams.links.len());
    }
}

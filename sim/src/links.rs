//! The random streams of all links that were ever used, found by the two ends.
//!
//! A full matrix would cost a world of n nodes n² places, so they stand in a table with open
//! addressing. Nothing goes over the table, so its order decides nothing.

use crate::{
    env::NodeId,
    random::{LinkStream, Stream},
};

/// A link, or a free place.
#[derive(Clone, Debug)]
struct Link {
    /// Its two ends, counted from 1; 0 is free.
    key: u64,
    stream: LinkStream,
}

/// The streams of the links in use. A link costs nothing until it is used.
#[derive(Debug)]
pub(crate) struct LinkStreams {
    seed: u64,
    used: usize,
    /// Its length is a power of two. At most half of it is taken, so that the first look mostly
    /// finds what it looks for.
    table: Vec<Link>,
}

/// The first length of the table.
const TABLE_MIN: usize = 32;

impl LinkStreams {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed, used: 0, table: Vec::new() }
    }

    /// The stream of a directed link.
    #[inline(always)]
    pub(crate) fn of(&mut self, from: NodeId, to: NodeId) -> &mut LinkStream {
        let key = (u64::from(from.0) << 16 | u64::from(to.0)) + 1;
        let mut at = self.home(key);
        if self.table.get(at).is_none_or(|link| link.key != key) {
            at = self.find_or_add(key, from, to);
        }
        &mut self.table[at].stream
    }

    #[cfg(test)]
    pub(crate) const fn len(&self) -> usize {
        self.used
    }

    /// The place of a link that is not at home, or is new.
    #[inline(never)]
    fn find_or_add(&mut self, key: u64, from: NodeId, to: NodeId) -> usize {
        if (self.used + 1) * 2 > self.table.len() {
            self.grow();
        }
        let at = self.place(key);
        if self.table[at].key == 0 {
            self.used += 1;
            let stream = Stream::of_link(self.seed, u64::from(from.0), u64::from(to.0));
            self.table[at] = Link { key, stream };
        }
        at
    }

    fn grow(&mut self) {
        let length = (self.table.len() * 2).max(TABLE_MIN);
        let free = Link { key: 0, stream: LinkStream::unused() };
        for link in std::mem::replace(&mut self.table, vec![free; length]) {
            if link.key != 0 {
                let at = self.place(link.key);
                self.table[at] = link;
            }
        }
    }

    /// Where a key stands, or the free place where it belongs.
    fn place(&self, key: u64) -> usize {
        let mut at = self.home(key);
        while self.table[at].key != 0 && self.table[at].key != key {
            at = (at + 1) & (self.table.len() - 1);
        }
        at
    }

    /// Where the search for a key begins: its upper half, once it is spread over 64 bits (Knuth,
    /// volume 3, 6.4).
    #[inline]
    fn home(&self, key: u64) -> usize {
        let spread = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        usize::try_from(spread).expect("32 bits") & self.table.len().wrapping_sub(1)
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
                let mut alone = Stream::of_link(3, u64::from(from), u64::from(to));
                let expected = (0..=round).map(|_| alone.bits()).last();
                assert_eq!(Some(streams.of(NodeId(from), NodeId(to)).bits()), expected);
            }
        }
        assert_eq!(streams.len(), 1_600);
        assert!(streams.table.len() <= 4 * streams.len());
        assert_eq!(size_of::<Link>(), 16, "a million links take 32 to 64 MB");
    }
}

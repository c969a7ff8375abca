//! Labelled random streams: one seed, split by purpose and entity.
//!
//! Every part of the machine draws from a stream of its own (`schedule`, `net` of each link,
//! `disk` of each node, `node` of each boot…), so that taking one fault away leaves every
//! unrelated draw as it was. What a seed stands for, a plan of faults or a workload, is drawn with
//! ChaCha8 ([`PlanStream`]). The machine's own draws come by the million, from streams that are
//! small and cheap to begin: with xoshiro256++ (Blackman and Vigna, "Scrambled linear pseudorandom
//! number generators", 2021), and links, of which a large world has a million, with SplitMix64
//! (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014). All give the
//! same bits on every platform; all derived draws are integer arithmetic written here, so that no
//! library update can change a run.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_xoshiro::{SplitMix64, Xoshiro256PlusPlus};
use xxhash_rust::xxh3::xxh3_64;

/// A stream of random numbers, fixed by a seed, a label and two entity numbers.
#[derive(Clone, Debug)]
pub struct Stream<R = Xoshiro256PlusPlus>(R);

/// A stream out of which plans and workloads are drawn.
pub type PlanStream = Stream<ChaCha8Rng>;

/// What a link of the network draws from: eight bytes, for there may be a million.
pub(crate) type LinkStream = Stream<SplitMix64>;

impl Stream {
    /// The stream of `label` for the entity `(a, b)`, such as a link's two ends, or a node and its
    /// boot number. Streams of different labels or entities are independent.
    #[must_use]
    #[inline]
    pub fn new(seed: u64, label: &str, a: u64, b: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(xxh3_64(&key(seed, label, a, b))))
    }
}

impl LinkStream {
    /// The stream of a directed link.
    pub(crate) fn of_link(seed: u64, from: u64, to: u64) -> Self {
        Self(SplitMix64::seed_from_u64(xxh3_64(&key(seed, "net", from, to))))
    }

    /// A placeholder.
    pub(crate) fn unused() -> Self {
        Self(SplitMix64::seed_from_u64(0))
    }
}

impl PlanStream {
    /// The stream of `label`, for plans and workloads.
    #[must_use]
    pub fn of_plan(seed: u64, label: &str) -> Self {
        Self(ChaCha8Rng::from_seed(key(seed, label, 0, 0)))
    }
}

#[inline]
fn key(seed: u64, label: &str, a: u64, b: u64) -> [u8; 32] {
    let mut key = [0; 32];
    let words = [seed, xxh3_64(label.as_bytes()), a, b];
    for (part, word) in key.chunks_exact_mut(8).zip(words) {
        part.copy_from_slice(&word.to_le_bytes());
    }
    key
}

impl<R: Rng> Stream<R> {
    /// 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; 0 if `bound` is 0. The bias is below `bound` / 2^64.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// An index below `len`, which must not be 0.
    ///
    /// # Panics
    /// If `len` is 0: there is nothing to pick.
    #[inline]
    pub fn index(&mut self, len: usize) -> usize {
        assert!(len > 0, "an index into nothing");
        usize::try_from(self.below(len as u64)).expect("below a usize")
    }

    /// A number in `low..high`; `low` if that is empty.
    #[inline]
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low))
    }

    /// True in `numerator` of `denominator` cases.
    #[inline]
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        numerator > 0 && self.below(denominator) < numerator
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_seed_label_and_entity_and_repeat_themselves() {
        let first = |seed, label, a, b| Stream::new(seed, label, a, b).bits();
        let all = [
            first(1, "net", 2, 3),
            first(2, "net", 2, 3),
            first(1, "disk", 2, 3),
            first(1, "net", 3, 2),
            first(1, "net", 2, 4),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|other| other != one));
        }
        assert_eq!(first(1, "net", 2, 3), all[0]);
    }

    #[test]
    fn draws_are_pinned_on_every_platform() {
        let mut stream = Stream::new(7, "pinned", 1, 2);
        let drawn = [stream.bits(), stream.below(1000), stream.between(5, 10)];
        assert_eq!(drawn, [14_172_691_731_841_451_634, 902, 7]);
        let mut stream = PlanStream::of_plan(7, "pinned");
        let drawn = [stream.bits(), stream.below(1000), stream.between(5, 10)];
        assert_eq!(drawn, [17_041_215_242_461_051_352, 548, 5]);
    }

    #[test]
    fn bounds_hold_at_their_edges() {
        let mut stream = Stream::new(1, "bounds", 0, 0);
        assert_eq!(stream.below(0), 0);
        assert_eq!(stream.below(1), 0);
        assert_eq!(stream.between(9, 3), 9);
        assert!(!stream.chance(0, 10));
        assert!(stream.chance(10, 10));
        assert!((0..1000).all(|_| stream.index(3) < 3));
    }
}

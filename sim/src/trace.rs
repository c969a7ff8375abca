//! What a run leaves behind: a rolling digest always, its events on demand.
//!
//! Every effect feeds the digest, so two runs with the same digest did the same things at the
//! same virtual times. A run is deterministic; the whole trace of any seed is had by running it
//! again with a recorder.

use std::fmt;

use crate::{
    env::NodeId,
    event::{Event, Happening, TaskName, What},
    recording::{Extent, Recording},
};

/// A 128-bit rolling hash over everything that happened, the same on every platform and in every
/// build profile. Each step is a bijection of the state, so a difference never dies out by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest {
    low: u64,
    high: u64,
}

impl Digest {
    /// Takes one more word in.
    #[inline]
    pub fn feed(&mut self, word: u64) {
        self.low = (self.low ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        self.high =
            self.high.wrapping_add(word).rotate_left(23).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    }

    /// Takes in an effect in one step. Each of the three words is felt in both halves.
    #[inline(always)]
    fn feed_effect(&mut self, word: u64, at_ns: u64, detail: u64) {
        let event = word ^ at_ns.wrapping_mul(0xA24B_AED4_963E_E407);
        let (left, right) = (event ^ detail.rotate_left(32), event.wrapping_add(detail));
        self.low = (self.low ^ left).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        self.high =
            self.high.wrapping_add(right).rotate_left(23).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    }

    /// The digest as a number.
    #[must_use]
    pub fn value(self) -> u128 {
        (u128::from(self.high) << 64) | u128::from(self.low)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.value())
    }
}

/// What kind of effect a node had on the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectKind {
    /// A datagram sent.
    Send,
    /// A datagram taken from a socket.
    Receive,
    /// A disk operation that reads, or the end of one that does not sync.
    Disk,
    /// A disk operation that changes something, at its start: from here on there is something
    /// that a power cut may take or leave.
    Write,
    /// A sync, at its start or its end.
    Sync,
    /// A timer that ended.
    Timer,
    /// The mark of this name passed.
    Mark(&'static str),
    /// A client wrote into the run's history.
    Observe,
    /// A program ended of its own accord.
    Exit,
}

/// Whether an effect waits for the end of its node's pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InPause {
    Waits,
    Happens,
}

impl EffectKind {
    /// What waits is what others, or the node itself later, can tell the time of.
    pub(crate) const fn in_pause(self) -> InPause {
        match self {
            Self::Send | Self::Receive | Self::Disk | Self::Write | Self::Sync | Self::Timer => {
                InPause::Waits
            }
            Self::Mark(_) | Self::Observe | Self::Exit => InPause::Happens,
        }
    }

    /// Its name in a trace.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name_and_number().0
    }

    /// Its name in a trace, and its number in the digest.
    const fn name_and_number(self) -> (&'static str, u64) {
        match self {
            Self::Send => ("send", 0),
            Self::Receive => ("recv", 1),
            Self::Disk => ("disk", 2),
            Self::Timer => ("timer", 3),
            Self::Mark(_) => ("mark", 4),
            Self::Observe => ("observe", 5),
            Self::Exit => ("exit", 6),
            Self::Write => ("write", 7),
            Self::Sync => ("sync", 8),
        }
    }
}

/// Takes the events of a trace, in order.
pub type Recorder = Box<dyn FnMut(Event)>;

/// Writes the trace: the digest always, events only with a recorder.
pub(crate) struct Trace {
    pub(crate) digest: Digest,
    pub(crate) recording: Option<Recording>,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self { digest: Digest::default(), recording: None }
    }

    pub(crate) fn record(&mut self, recorder: Recorder, extent: Extent) {
        self.recording = Some(Recording::new(recorder, extent));
    }

    #[inline]
    pub(crate) const fn is_recorded(&self) -> bool {
        self.recording.is_some()
    }

    #[inline]
    pub(crate) fn is_recorded_whole(&self) -> bool {
        self.recording.as_ref().is_some_and(Recording::is_whole)
    }

    /// The task that is being polled, if that is recorded.
    pub(crate) fn task(&self) -> Option<TaskName> {
        self.recording.as_ref().and_then(Recording::task)
    }

    /// A node had the effect of this number; `detail` stands for its content.
    #[inline(always)]
    pub(crate) fn effect(
        &mut self,
        at_ns: u64,
        (node, number): (NodeId, u64),
        kind: EffectKind,
        detail: u64,
    ) {
        let (_, kind_number) = kind.name_and_number();
        let word = (u64::from(node.0) << 48) | (kind_number << 40) | (number & 0xff_ffff_ffff);
        self.digest.feed_effect(word, at_ns, detail);
    }

    /// Something that the world did: a fault, a boot, an error of a disk.
    #[inline]
    pub(crate) fn world(&mut self, at_ns: u64, detail: u64, what: impl FnOnce() -> Happening) {
        self.digest.feed(at_ns ^ 0x5eed_0000_0000_0000);
        self.digest.feed(detail);
        self.tell(at_ns, || What::World(what()));
    }

    /// Hands an event to the recorder, if there is one; the digest knows nothing of it.
    #[inline]
    pub(crate) fn tell(&mut self, at_ns: u64, what: impl FnOnce() -> What) {
        if let Some(recording) = &mut self.recording {
            hand(recording, at_ns, what);
        }
    }
}

/// Out of the way of what every effect passes.
#[cold]
#[inline(never)]
fn hand(recording: &mut Recording, at_ns: u64, what: impl FnOnce() -> What) {
    recording.hand(Event { at_ns, what: what() });
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// Nanoseconds, shown as seconds with all nine places.
pub(crate) struct Seconds(pub(crate) u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>4}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(words: &[u64]) -> Digest {
        let mut digest = Digest::default();
        words.iter().for_each(|word| digest.feed(*word));
        digest
    }

    #[test]
    fn the_digest_tells_order_and_content_apart_and_is_pinned() {
        assert_ne!(digest_of(&[1, 2]), digest_of(&[2, 1]));
        assert_ne!(digest_of(&[0]), digest_of(&[0, 0, 1]));
        assert_eq!(digest_of(&[1, 2, 3]).to_string(), "9b8c19548c673e602dd7ac68ea05a9a1");
    }
}

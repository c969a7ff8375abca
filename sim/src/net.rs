//! The network: datagrams that may be lost, late, twice and out of order.
//!
//! Each directed link draws from its own stream, one word for every datagram whatever becomes of it,
//! so that a change to one link's traffic leaves all others as they were, and a change of loss leaves
//! all latencies. Luck and tails come out of that word. A link costs nothing until it is used.

use bytes::Bytes;

use crate::{
    config::{NetworkConfig, Ratio},
    env::{Address, NodeId, Port},
    event::Loss,
    inspect::InboxView,
    links::LinkStreams,
    partition::Partitions,
    schedule::Wakeup,
    slab::{Line, Slab},
};

/// How many datagrams wait at a socket at the most; the next is dropped, as by a full kernel
/// buffer.
pub const INBOX_DATAGRAMS_MAX: usize = 4096;

/// A datagram under way.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) payload: Bytes,
    /// Of the payload. The sender and the receiver feed it into the digest.
    pub(crate) hash: u64,
    /// Of the effect that sent it.
    pub(crate) number: u64,
}

/// What the network does with a datagram: when its copies arrive, counted from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) first_ns: Option<u64>,
    pub(crate) second_ns: Option<u64>,
}

/// All links of a world.
#[derive(Debug)]
pub(crate) struct Links {
    config: NetworkConfig,
    loss: Threshold,
    duplication: Threshold,
    tail: Threshold,
    /// Whether all of them are 0: a datagram needs one draw.
    calm: bool,
    streams: LinkStreams,
    pub(crate) partitions: Partitions,
}

impl Links {
    pub(crate) fn new(config: NetworkConfig, seed: u64) -> Self {
        let [loss, duplication, tail] =
            [config.loss, config.duplication, config.tail].map(Threshold::of);
        Self {
            loss,
            duplication,
            tail,
            calm: loss.0 | duplication.0 | tail.0 == 0,
            config,
            streams: LinkStreams::new(seed),
            partitions: Partitions::default(),
        }
    }

    /// How many links were ever used.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.streams.len()
    }

    /// Decides over one datagram.
    #[inline(always)]
    pub(crate) fn fate(&mut self, from: NodeId, to: NodeId) -> Fate {
        let stream = self.streams.of(from, to);
        let place = stream.bits();
        let config = &self.config;
        if self.calm {
            let (low, high) = config.latency_ns;
            return Fate {
                first_ns: Some(low + scale(place, high.saturating_sub(low))),
                second_ns: None,
            };
        }
        let luck = spread(place);
        let tails = spread(luck);
        let lost = self.loss.hit(luck);
        let twice = self.duplication.hit(luck >> 32);
        let latency = |place: u64, tail: u64| {
            let range = if self.tail.hit(tail) { config.tail_ns } else { config.latency_ns };
            range.0 + scale(place, range.1.saturating_sub(range.0))
        };
        Fate {
            first_ns: (!lost).then(|| latency(place, tails)),
            second_ns: twice.then(|| latency(place.rotate_left(32), tails >> 32)),
        }
    }
}

/// A ratio, as a number that so many of 2^32 draws are below.
#[derive(Clone, Copy, Debug)]
struct Threshold(u64);

impl Threshold {
    fn of((cases, of): Ratio) -> Self {
        if of == 0 { Self(0) } else { Self((u64::from(cases) << 32).div_ceil(u64::from(of))) }
    }

    /// Whether the lower 32 bits of a drawn word fall under the ratio.
    #[inline]
    const fn hit(self, word: u64) -> bool {
        word & 0xffff_ffff < self.0
    }
}

/// Another word, that has nothing to do with the first to the eye: the end of splitmix64 (Steele,
/// Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[inline]
const fn spread(word: u64) -> u64 {
    let word = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// A drawn word, scaled to below `width`.
#[inline]
fn scale(word: u64, width: u64) -> u64 {
    u64::try_from((u128::from(word) * u128::from(width)) >> 64).expect("below the width")
}

/// The open ports of one node, sorted: they are few.
#[derive(Debug, Default)]
pub(crate) struct Sockets(Vec<(Port, Inbox)>);

/// What came to an open port and was not taken yet.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) datagrams: Line,
    pub(crate) waiting: Option<Wakeup>,
}

impl Sockets {
    /// Opens a port; false if it is open.
    pub(crate) fn bind(&mut self, port: Port) -> bool {
        match self.place(port) {
            Ok(_) => false,
            Err(place) => {
                self.0.insert(place, (port, Inbox { datagrams: Line::new(), waiting: None }));
                true
            }
        }
    }

    /// Closes a port; what waits there is lost.
    pub(crate) fn close(&mut self, port: Port, messages: &mut Slab<InFlight>) {
        if let Ok(place) = self.place(port) {
            self.0.remove(place).1.clear(messages);
        }
    }

    /// Closes all.
    pub(crate) fn clear(&mut self, messages: &mut Slab<InFlight>) {
        while let Some((_, mut inbox)) = self.0.pop() {
            inbox.clear(messages);
        }
    }

    /// The open ports, and what waits there.
    pub(crate) fn view(&self, messages: &Slab<InFlight>) -> Vec<InboxView> {
        let datagrams = |inbox: &Inbox| {
            let all = messages.all(&inbox.datagrams);
            all.map(|message| (message.from, message.payload.len())).collect()
        };
        let view =
            |(port, inbox): &(Port, Inbox)| InboxView { port: *port, datagrams: datagrams(inbox) };
        self.0.iter().map(view).collect()
    }

    /// Why a datagram to this port is dropped, if it is.
    pub(crate) fn refuses(&self, port: Port) -> Option<Loss> {
        let Ok(place) = self.place(port) else { return Some(Loss::PortClosed) };
        (self.0[place].1.datagrams.len() >= INBOX_DATAGRAMS_MAX).then_some(Loss::InboxFull)
    }

    /// Lets a datagram arrive; what to wake, if someone waits. A closed port and a full inbox
    /// drop it.
    #[inline]
    pub(crate) fn deliver(
        &mut self,
        port: Port,
        message: u32,
        messages: &mut Slab<InFlight>,
    ) -> Option<Wakeup> {
        if let Some(inbox) = self.inbox(port)
            && inbox.datagrams.len() < INBOX_DATAGRAMS_MAX
        {
            messages.line_up(&mut inbox.datagrams, message);
            return inbox.waiting.take();
        }
        messages.take(message);
        None
    }

    /// What came to a port, if it is open.
    #[inline]
    pub(crate) fn inbox(&mut self, port: Port) -> Option<&mut Inbox> {
        let place = self.place(port).ok()?;
        Some(&mut self.0[place].1)
    }

    /// The place of an open port; else where it belongs.
    #[inline]
    fn place(&self, port: Port) -> Result<usize, usize> {
        // Most nodes open one port.
        if self.0.first().is_some_and(|(open, _)| *open == port) {
            return Ok(0);
        }
        self.0.binary_search_by_key(&port, |(open, _)| *open)
    }
}

impl Inbox {
    fn clear(&mut self, messages: &mut Slab<InFlight>) {
        while self.datagrams.len() > 0 {
            messages.take_first(&mut self.datagrams);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(config: NetworkConfig, count: usize) -> Vec<Fate> {
        let mut links = Links::new(config, 3);
        (0..count).map(|_| links.fate(NodeId(0), NodeId(1))).collect()
    }

    #[test]
    fn loss_duplication_and_tails_come_as_often_as_configured() {
        let config = NetworkConfig {
            loss: (1, 10),
            duplication: (1, 5),
            tail: (1, 4),
            latency_ns: (10, 20),
            tail_ns: (100, 200),
        };
        let fates = fates(config, 20_000);
        let count = |of: &dyn Fn(&Fate) -> bool| fates.iter().filter(|fate| of(fate)).count();
        let near = |got: usize, want: usize| got.abs_diff(want) < want / 10;
        assert!(near(count(&|fate| fate.first_ns.is_none()), 2_000));
        assert!(near(count(&|fate| fate.second_ns.is_some()), 4_000));
        assert!(near(count(&|fate| fate.first_ns.is_some_and(|ns| ns >= 100)), 4_500));
        let all = fates.iter().flat_map(|fate| [fate.first_ns, fate.second_ns]).flatten();
        assert!(all.clone().all(|ns| (10..20).contains(&ns) || (100..200).contains(&ns)));
    }

    #[test]
    fn without_loss_the_other_draws_stay_as_they_were() {
        let lossy = NetworkConfig { loss: (1, 2), ..NetworkConfig::default() };
        let clean = NetworkConfig { loss: (0, 1), ..NetworkConfig::default() };
        for (lossy, clean) in fates(lossy, 1_000).into_iter().zip(fates(clean, 1_000)) {
            assert!(lossy.first_ns.is_none() || lossy.first_ns == clean.first_ns);
            assert_eq!(lossy.second_ns, clean.second_ns);
        }
    }

    #[test]
    fn a_full_inbox_drops_and_a_closed_port_takes_nothing() {
        let at = |port| Address { node: NodeId(0), port: Port(port) };
        let message = |port| InFlight {
            from: at(9),
            to: at(port),
            payload: Bytes::new(),
            hash: 0,
            number: 0,
        };
        let (mut sockets, mut messages) = (Sockets::default(), Slab::new());
        assert!(sockets.bind(Port(1)) && !sockets.bind(Port(1)));
        let mut deliver = |port, sockets: &mut Sockets| {
            let place = messages.keep(message(port));
            sockets.deliver(Port(port), place, &mut messages);
        };
        for _ in 0..INBOX_DATAGRAMS_MAX + 5 {
            deliver(1, &mut sockets);
        }
        deliver(2, &mut sockets);
        let inbox = sockets.inbox(Port(1)).expect("open");
        assert_eq!(inbox.datagrams.len(), INBOX_DATAGRAMS_MAX);
        assert!(sockets.inbox(Port(2)).is_none());
        // What was dropped holds no place, and what waits at a closed port neither.
        assert_eq!(messages.room(), INBOX_DATAGRAMS_MAX + 1);
        sockets.close(Port(1), &mut messages);
        for _ in 0..=INBOX_DATAGRAMS_MAX {
            messages.keep(message(1));
        }
        assert_eq!(messages.room(), INBOX_DATAGRAMS_MAX + 1);
    }
}

//! The network: datagrams that may be lost, late, twice and out of order.
//!
//! Each directed link draws from its own stream, and every datagram takes the same number of
//! draws whatever becomes of it, so that a change to one link's traffic leaves all others as they
//! were. A link costs nothing until it is used.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::{
    config::{NetworkConfig, Ratio},
    env::{Address, Datagram, NodeId, Port},
    partition::Partitions,
    random::Stream,
    schedule::Wakeup,
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
    seed: u64,
    streams: Vec<Vec<Option<Box<Stream>>>>,
    pub(crate) partitions: Partitions,
}

impl Links {
    pub(crate) fn new(config: NetworkConfig, seed: u64) -> Self {
        Self { config, seed, streams: Vec::new(), partitions: Partitions::default() }
    }

    #[inline]
    fn stream(&mut self, from: NodeId, to: NodeId) -> &mut Stream {
        let (row, column) = (usize::from(from.0), usize::from(to.0));
        if self.streams.len() <= row {
            self.streams.resize_with(row + 1, Vec::new);
        }
        let row = &mut self.streams[row];
        if row.len() <= column {
            row.resize_with(column + 1, || None);
        }
        let seed = self.seed;
        row[column].get_or_insert_with(|| {
            Box::new(Stream::new(seed, "net", u64::from(from.0), u64::from(to.0)))
        })
    }

    /// Decides over one datagram.
    #[inline]
    pub(crate) fn fate(&mut self, from: NodeId, to: NodeId) -> Fate {
        let stream = self.stream(from, to);
        let (place, luck, tails) = (stream.bits(), stream.bits(), stream.bits());
        let config = &self.config;
        let lost = hit(luck, config.loss);
        let twice = hit(luck >> 32, config.duplication);
        let latency = |place: u64, tail: u64| {
            let range = if hit(tail, config.tail) { config.tail_ns } else { config.latency_ns };
            range.0 + scale(place, range.1.saturating_sub(range.0))
        };
        Fate {
            first_ns: (!lost).then(|| latency(place, tails)),
            second_ns: twice.then(|| latency(place.rotate_left(32), tails >> 32)),
        }
    }
}

/// Whether the lower 32 bits of a drawn word fall under a ratio.
#[inline]
fn hit(word: u64, (cases, of): Ratio) -> bool {
    (word & 0xffff_ffff) * u64::from(of) < u64::from(cases) << 32
}

/// A drawn word, scaled to below `width`.
#[inline]
fn scale(word: u64, width: u64) -> u64 {
    u64::try_from((u128::from(word) * u128::from(width)) >> 64).expect("below the width")
}

/// The open ports of one node.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    open: BTreeMap<Port, Inbox>,
}

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    datagrams: VecDeque<Datagram>,
    waiting: Option<Wakeup>,
}

impl Sockets {
    /// Opens a port; false if it is open.
    pub(crate) fn bind(&mut self, port: Port) -> bool {
        let free = !self.open.contains_key(&port);
        if free {
            self.open.insert(port, Inbox::default());
        }
        free
    }

    pub(crate) fn close(&mut self, port: Port) {
        self.open.remove(&port);
    }

    pub(crate) fn clear(&mut self) {
        self.open.clear();
    }

    /// Puts a datagram into its inbox; what to wake, if someone waits. A closed port and a full
    /// inbox drop it.
    #[inline]
    pub(crate) fn deliver(&mut self, message: InFlight) -> Option<Wakeup> {
        let inbox = self.open.get_mut(&message.to.port)?;
        if inbox.datagrams.len() >= INBOX_DATAGRAMS_MAX {
            return None;
        }
        inbox.datagrams.push_back(Datagram { from: message.from, payload: message.payload });
        inbox.waiting.take()
    }

    /// The first waiting datagram, left in place.
    #[inline]
    pub(crate) fn peek(&self, port: Port) -> Option<&Datagram> {
        self.open.get(&port)?.datagrams.front()
    }

    #[inline]
    pub(crate) fn take(&mut self, port: Port) -> Option<Datagram> {
        self.open.get_mut(&port)?.datagrams.pop_front()
    }

    #[inline]
    pub(crate) fn wait(&mut self, port: Port, wakeup: Wakeup) {
        if let Some(inbox) = self.open.get_mut(&port) {
            inbox.waiting = Some(wakeup);
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
        let message = |port| InFlight { from: at(9), to: at(port), payload: Bytes::new() };
        let mut sockets = Sockets::default();
        assert!(sockets.bind(Port(1)) && !sockets.bind(Port(1)));
        for _ in 0..INBOX_DATAGRAMS_MAX + 5 {
            sockets.deliver(message(1));
        }
        sockets.deliver(message(2));
        let mut taken = 0;
        while sockets.take(Port(1)).is_some() {
            taken += 1;
        }
        assert_eq!(taken, INBOX_DATAGRAMS_MAX);
        assert!(sockets.peek(Port(2)).is_none());
    }
}

//! What bytes cost in time: a disk and a network port take so many a second.
//!
//! A large transfer waits until its disk or port is done with those before it. A small one takes its
//! own time only and passes by, as a disk with many queues and a port with fair queueing let it
//! (RFC 8290), so that a sign of life does not wait behind a state.
//!
//! - A datagram leaves by its sender's port and comes in by its receiver's at the same time, if that
//!   is free: on idle ports it takes its latency and the time of its bytes, once.
//! - A write fills the page cache in the usual time, and its bytes begin to go to the device. A sync
//!   waits for those that were written by way of the same handle.
//! - A read takes the time of what it found.
//!
//! Without [`Bandwidth`], bytes cost nothing, and nothing of this is looked at.

use std::collections::BTreeMap;

use crate::{
    config::Bandwidth,
    disk::Handle,
    env::NodeId,
    net::InFlight,
    state::{Event, State},
};

/// What is not larger passes by what is.
const PASSES_BYTES_MAX: u64 = 1 << 16;

/// So far into a payload a mark of [`Bandwidth::weights`] is looked for: a request's head and a
/// name are before it.
const MARK_WITHIN_BYTES: usize = 192;

const SECOND_NS: u64 = 1_000_000_000;

/// Who is busy with bytes, and until when.
#[derive(Debug)]
pub(crate) struct Transfers {
    /// Whether bytes cost anything at all.
    pub(crate) on: bool,
    bandwidth: Bandwidth,
    /// By node.
    ports: BTreeMap<NodeId, Port>,
    disks: BTreeMap<NodeId, Device>,
}

/// A node's network port.
#[derive(Debug, Default)]
struct Port {
    out_free_ns: u64,
    in_free_ns: u64,
}

/// A node's disk.
#[derive(Debug, Default)]
struct Device {
    free_ns: u64,
    /// When it will have what was written by way of an open file.
    written_ns: BTreeMap<Handle, u64>,
}

impl Transfers {
    pub(crate) fn new(bandwidth: Bandwidth) -> Self {
        let on = bandwidth.is_limited();
        Self { on, bandwidth, ports: BTreeMap::new(), disks: BTreeMap::new() }
    }

    /// As how many bytes a payload counts.
    pub(crate) fn weigh(&self, payload: &[u8]) -> u64 {
        let head = &payload[..payload.len().min(MARK_WITHIN_BYTES)];
        let marked = self.bandwidth.weights.iter().find_map(|weight| {
            let length = weight.mark.len().max(1);
            let before = head.windows(length).position(|window| window == weight.mark)?;
            Some((before as u64, weight.times))
        });
        let (before, times) = marked.unwrap_or((0, 1));
        before + (payload.len() as u64 - before).saturating_mul(times)
    }

    /// When the last of so many bytes leaves by a node's port, if they are sent now.
    fn sent_ns(&mut self, now_ns: u64, from: NodeId, bytes: u64) -> u64 {
        let takes_ns = time_ns(bytes, self.bandwidth.port_bytes_per_second);
        if bytes <= PASSES_BYTES_MAX {
            return now_ns + takes_ns;
        }
        let port = self.ports.entry(from).or_default();
        port.out_free_ns = now_ns.max(port.out_free_ns) + takes_ns;
        port.out_free_ns
    }

    /// When a node's port has taken in so many bytes, the last of which would be there now.
    fn received_ns(&mut self, now_ns: u64, to: NodeId, bytes: u64) -> u64 {
        let takes_ns = time_ns(bytes, self.bandwidth.port_bytes_per_second);
        let port = self.ports.entry(to).or_default();
        port.in_free_ns = now_ns.max(port.in_free_ns + takes_ns);
        port.in_free_ns
    }

    /// When a disk is done with so many bytes more, each taking `factor` times as long as usual.
    fn disk_ns(
        &mut self,
        now_ns: u64,
        node: NodeId,
        per_second: u64,
        (bytes, factor): (u64, u64),
    ) -> u64 {
        let takes_ns = time_ns(bytes, per_second).saturating_mul(factor);
        if bytes <= PASSES_BYTES_MAX {
            return now_ns + takes_ns;
        }
        let device = self.disks.entry(node).or_default();
        device.free_ns = now_ns.max(device.free_ns).saturating_add(takes_ns);
        device.free_ns
    }

    /// A file is closed: nobody will sync by way of it.
    pub(crate) fn closed(&mut self, node: NodeId, handle: Handle) {
        if let Some(device) = self.disks.get_mut(&node) {
            device.written_ns.remove(&handle);
        }
    }

    /// A node starts anew: nothing is under way to or from it.
    pub(crate) fn forget(&mut self, node: NodeId) {
        self.ports.remove(&node);
        self.disks.remove(&node);
    }
}

impl State {
    /// Puts a datagram on its way that has this latency.
    #[inline(always)]
    pub(crate) fn carry(&mut self, latency_ns: u64, message: InFlight) {
        if self.transfers.on {
            self.carry_bytes(latency_ns, message);
        } else {
            self.under_way(self.now_ns + latency_ns, message);
        }
    }

    #[cold]
    fn carry_bytes(&mut self, latency_ns: u64, message: InFlight) {
        let bytes = self.transfers.weigh(&message.payload);
        let at_ns = latency_ns + self.transfers.sent_ns(self.now_ns, message.from.node, bytes);
        if bytes <= PASSES_BYTES_MAX {
            self.under_way(at_ns, message);
        } else if self.has_room(&message) {
            self.queue.push(at_ns, Event::AtPort(Box::new(message)));
        }
    }

    /// A large datagram has come to its receiver's port.
    pub(crate) fn at_port(&mut self, message: InFlight) {
        let bytes = self.transfers.weigh(&message.payload);
        let at_ns = self.transfers.received_ns(self.now_ns, message.to.node, bytes);
        self.queue.deliver(at_ns, message);
    }

    /// When a disk has read so many bytes, if it begins now.
    #[cold]
    pub(crate) fn read_ns(&mut self, node: NodeId, payload: &[u8]) -> u64 {
        let bytes = (self.transfers.weigh(payload), self.node(node).disk_trouble.factor());
        let per_second = self.transfers.bandwidth.disk_read_bytes_per_second;
        self.transfers.disk_ns(self.now_ns, node, per_second, bytes)
    }

    /// Bytes were written by way of a file: they begin to go to the device.
    #[cold]
    pub(crate) fn write_back(&mut self, node: NodeId, handle: Handle, bytes: u64) {
        let per_second = self.transfers.bandwidth.disk_write_bytes_per_second;
        let of = (bytes, self.node(node).disk_trouble.factor());
        let done_ns = self.transfers.disk_ns(self.now_ns, node, per_second, of);
        let device = self.transfers.disks.entry(node).or_default();
        let written_ns = device.written_ns.entry(handle).or_default();
        *written_ns = done_ns.max(*written_ns);
    }

    /// When a disk has what was written by way of a file so far.
    #[cold]
    pub(crate) fn written_ns(&self, node: NodeId, handle: Option<Handle>) -> u64 {
        let device = self.transfers.disks.get(&node);
        let written = device.zip(handle).and_then(|(device, of)| device.written_ns.get(&of));
        written.copied().unwrap_or(0).max(self.now_ns)
    }
}

/// How long so many bytes take; no time without a limit.
fn time_ns(bytes: u64, per_second: u64) -> u64 {
    if per_second == 0 {
        return 0;
    }
    let ns = u128::from(bytes) * u128::from(SECOND_NS) / u128::from(per_second);
    u64::try_from(ns).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Weight;

    const A: NodeId = NodeId(0);
    const B: NodeId = NodeId(1);
    const C: NodeId = NodeId(2);
    const MB: u64 = 1_000_000;
    const MS: u64 = 1_000_000;

    fn transfers() -> Transfers {
        Transfers::new(Bandwidth {
            disk_read_bytes_per_second: 1_000 * MB,
            disk_write_bytes_per_second: 500 * MB,
            port_bytes_per_second: 100 * MB,
            weights: vec![Weight { mark: b"STATE".to_vec(), times: 1_000 }],
        })
    }

    #[test]
    fn large_datagrams_wait_for_both_ports_and_small_ones_pass_by() {
        let mut of = transfers();
        assert_eq!(of.sent_ns(0, A, MB), 10 * MS);
        assert_eq!(of.sent_ns(0, A, MB), 20 * MS, "behind it, at the sender's port");
        assert_eq!(of.sent_ns(0, A, 10_000), 100_000, "a small one");
        assert_eq!(of.sent_ns(0, B, MB), 10 * MS, "each has its own");
        assert_eq!(of.received_ns(11 * MS, C, MB), 11 * MS, "it came in while it left");
        assert_eq!(of.received_ns(11 * MS, C, MB), 21 * MS, "behind it, at the receiver's port");
        assert_eq!(of.received_ns(50 * MS, C, MB), 50 * MS, "idle again");
        of.forget(A);
        assert_eq!(of.sent_ns(0, A, MB), 10 * MS, "started anew");
    }

    #[test]
    fn a_disk_takes_one_large_transfer_after_another_and_a_slow_one_longer() {
        let mut of = transfers();
        assert_eq!(of.disk_ns(0, A, 500 * MB, (5 * MB, 1)), 10 * MS);
        assert_eq!(of.disk_ns(0, A, 500 * MB, (5 * MB, 3)), 40 * MS);
        assert_eq!(of.disk_ns(0, B, 500 * MB, (5 * MB, 1)), 10 * MS, "each has its own");
        assert_eq!(of.disk_ns(0, A, 500 * MB, (5_000, 1)), 10_000, "a small one passes by");
        assert_eq!(of.disk_ns(0, A, 0, (5 * MB, 1)), 40 * MS, "without a limit it takes no time");
    }

    #[test]
    fn what_is_marked_weighs_more() {
        let of = transfers();
        assert_eq!(of.weigh(b"a STATE of 19 bytes"), 2 + 17_000, "from its mark on");
        assert_eq!(of.weigh(b"a state of 19 bytes"), 19);
        let late = [vec![b'.'; MARK_WITHIN_BYTES], b"STATE".to_vec()].concat();
        assert_eq!(of.weigh(&late), late.len() as u64, "it is looked for at the beginning only");
    }
}

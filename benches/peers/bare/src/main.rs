//! The lower bound: the same events from a heap of (time, sequence, place) and a slab, and nothing
//! else. It has no streams, no nodes and no disk apart from an array.

use std::{cmp::Reverse, collections::BinaryHeap, hint::black_box, process::ExitCode};

use bytes::Bytes;
use measure::{
    BLOCKS, LATENCY_NS, MESSAGE_BYTES, PAIRS, Random, RoundTrips, SYNC_NS, TASKS, TIMER_NS,
    WRITE_BYTES, WRITE_NS,
};

fn main() -> ExitCode {
    measure::run(&[
        ("timers", timers),
        ("datagrams-1", |n| round_trips(RoundTrips::of(n, 1))),
        ("datagrams-32", |n| round_trips(RoundTrips::of(n, 32))),
        ("streams-1", |n| round_trips(RoundTrips::of(n, 1))),
        ("streams-32", |n| round_trips(RoundTrips::of(n, 32))),
        ("disk", disk),
        ("disk-at-once", disk_at_once),
        ("worlds-datagrams", worlds),
        ("worlds-streams", worlds),
        ("idle-8", |n| idle(8, n)),
        ("idle-100", |n| idle(100, n)),
    ])
}

/// Events by time, then by the order in which they were scheduled.
struct Events<T> {
    heap: BinaryHeap<Reverse<(u64, u64, usize)>>,
    slab: Vec<Option<T>>,
    free: Vec<usize>,
    sequence: u64,
    now_ns: u64,
    random: Random,
}

impl<T> Events<T> {
    fn new(seed: u64) -> Self {
        Self {
            heap: BinaryHeap::new(),
            slab: Vec::new(),
            free: Vec::new(),
            sequence: 0,
            now_ns: 0,
            random: Random(seed),
        }
    }

    fn within(&mut self, delay_ns: (u64, u64), event: T) {
        let delay_ns = self.random.between(delay_ns);
        self.after(delay_ns, event);
    }

    fn after(&mut self, delay_ns: u64, event: T) {
        let place = if let Some(place) = self.free.pop() {
            self.slab[place] = Some(event);
            place
        } else {
            self.slab.push(Some(event));
            self.slab.len() - 1
        };
        self.sequence += 1;
        self.heap.push(Reverse((self.now_ns + delay_ns, self.sequence, place)));
    }

    fn next(&mut self) -> Option<T> {
        let Reverse((at_ns, _, place)) = self.heap.pop()?;
        self.now_ns = at_ns;
        self.free.push(place);
        self.slab[place].take()
    }
}

fn timers(n: u64) -> u64 {
    let each = n.div_ceil(TASKS);
    let mut events = Events::new(42);
    (0..TASKS).for_each(|_| events.within(TIMER_NS, each - 1));
    let mut fired = 0;
    while let Some(left) = events.next() {
        fired += 1;
        if left > 0 {
            events.within(TIMER_NS, left - 1);
        }
    }
    fired
}

struct Message {
    answer: bool,
    /// The round trips that this conversation has still to make after this one.
    left: u64,
    payload: Bytes,
}

fn round_trips(workload: RoundTrips) -> u64 {
    let mut events = Events::new(workload.seed);
    let fresh = || Bytes::from(vec![7; MESSAGE_BYTES]);
    for _ in 0..u64::from(PAIRS) * u64::from(workload.conversations) {
        let left = workload.each - 1;
        events.within(LATENCY_NS, Message { answer: false, left, payload: fresh() });
    }
    let mut done = 0;
    while let Some(message) = events.next() {
        if !message.answer {
            events.within(LATENCY_NS, Message { answer: true, ..message });
            continue;
        }
        black_box(&message.payload);
        done += 1;
        if message.left > 0 {
            let left = message.left - 1;
            events.within(LATENCY_NS, Message { answer: false, left, payload: fresh() });
        }
    }
    assert_eq!(done, workload.total());
    done
}

fn worlds(n: u64) -> u64 {
    (1..=n).map(|seed| round_trips(RoundTrips::one_each(seed)) / u64::from(PAIRS)).sum()
}

/// An array of bytes, and what is not synced.
#[derive(Default)]
struct Disk {
    pending: Vec<(usize, Vec<u8>)>,
    durable: Vec<u8>,
}

impl Disk {
    fn write(&mut self, number: u64, block: &[u8]) {
        let offset = usize::try_from(number % BLOCKS).expect("small") * WRITE_BYTES;
        self.pending.push((offset, block.to_vec()));
    }

    fn sync(&mut self) {
        for (offset, bytes) in self.pending.drain(..) {
            let end = offset + bytes.len();
            if self.durable.len() < end {
                self.durable.resize(end, 0);
            }
            self.durable[offset..end].copy_from_slice(&bytes);
        }
    }
}

enum DiskEvent {
    Written,
    Synced,
}

fn disk(n: u64) -> u64 {
    let mut events = Events::new(42);
    let (mut disk, block) = (Disk::default(), vec![9; WRITE_BYTES]);
    let mut written = 0;
    events.within(WRITE_NS, DiskEvent::Written);
    while let Some(event) = events.next() {
        match event {
            DiskEvent::Written => {
                disk.write(written, &block);
                written += 1;
                events.within(SYNC_NS, DiskEvent::Synced);
            }
            DiskEvent::Synced => {
                disk.sync();
                if written < n {
                    events.within(WRITE_NS, DiskEvent::Written);
                }
            }
        }
    }
    assert_eq!(black_box(disk.durable)[0], 9);
    written
}

fn disk_at_once(n: u64) -> u64 {
    let (mut disk, block) = (Disk::default(), vec![9; WRITE_BYTES]);
    for number in 0..n {
        disk.write(number, &block);
        disk.sync();
    }
    assert_eq!(black_box(disk.durable)[0], 9);
    n
}

/// Nodes that wake once a second, for so many virtual seconds.
fn idle(nodes: u64, seconds: u64) -> u64 {
    const SECOND_NS: u64 = 1_000_000_000;
    let mut events = Events::new(42);
    (0..nodes).for_each(|_| events.after(SECOND_NS, seconds - 1));
    while let Some(left) = events.next() {
        if left > 0 {
            events.after(SECOND_NS, left - 1);
        }
    }
    events.now_ns / SECOND_NS
}

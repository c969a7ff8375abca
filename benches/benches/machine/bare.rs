//! The lower bound: a heap of (time, sequence, place) and a slab, and nothing else.

use std::{cmp::Reverse, collections::BinaryHeap, hint::black_box};

use bytes::Bytes;

use crate::{
    BLOCKS, LATENCY_NS, MESSAGE_BYTES, RoundTrips, SYNC_NS, TASKS, TIMER_NS, TIMERS_PER_TASK,
    WRITE_BYTES, WRITE_NS, WRITES,
};

/// Splitmix64: far cheaper than the machine's generator, as befits a lower bound.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn between(&mut self, (low, high): (u64, u64)) -> u64 {
        let part = (u128::from(self.bits()) * u128::from(high - low)) >> 64;
        low + u64::try_from(part).expect("below the range's length")
    }
}

/// Events by time, then by the order in which they were scheduled.
struct Loop<T> {
    heap: BinaryHeap<Reverse<(u64, u64, usize)>>,
    slab: Vec<Option<T>>,
    free: Vec<usize>,
    sequence: u64,
    now_ns: u64,
    random: Random,
}

impl<T> Loop<T> {
    fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            slab: Vec::new(),
            free: Vec::new(),
            sequence: 0,
            now_ns: 0,
            random: Random(42),
        }
    }

    fn after(&mut self, delay_ns: (u64, u64), event: T) {
        let place = if let Some(place) = self.free.pop() {
            self.slab[place] = Some(event);
            place
        } else {
            self.slab.push(Some(event));
            self.slab.len() - 1
        };
        self.sequence += 1;
        let at_ns = self.now_ns + self.random.between(delay_ns);
        self.heap.push(Reverse((at_ns, self.sequence, place)));
    }

    fn next(&mut self) -> Option<T> {
        let Reverse((at_ns, _, place)) = self.heap.pop()?;
        self.now_ns = at_ns;
        self.free.push(place);
        self.slab[place].take()
    }
}

pub(crate) fn timers() {
    let mut events = Loop::new();
    (0..TASKS).for_each(|_| events.after(TIMER_NS, TIMERS_PER_TASK - 1));
    let mut fired = 0;
    while let Some(left) = events.next() {
        fired += 1;
        if left > 0 {
            events.after(TIMER_NS, left - 1);
        }
    }
    assert_eq!(fired, TASKS * TIMERS_PER_TASK);
}

struct Message {
    client: u16,
    answer: bool,
    payload: Bytes,
}

pub(crate) fn round_trips(workload: RoundTrips) {
    let mut events = Loop::new();
    let mut left = vec![workload.per_client; usize::from(workload.pairs)];
    let fresh = || Bytes::from(vec![7; MESSAGE_BYTES]);
    for client in 0..workload.pairs {
        for _ in 0..workload.in_flight.min(workload.per_client) {
            left[usize::from(client)] -= 1;
            events.after(LATENCY_NS, Message { client, answer: false, payload: fresh() });
        }
    }
    let mut done = 0;
    while let Some(message) = events.next() {
        if !message.answer {
            events.after(LATENCY_NS, Message { answer: true, ..message });
            continue;
        }
        black_box(&message.payload);
        done += 1;
        let left = &mut left[usize::from(message.client)];
        if *left > 0 {
            *left -= 1;
            let client = message.client;
            events.after(LATENCY_NS, Message { client, answer: false, payload: fresh() });
        }
    }
    assert_eq!(done, workload.total());
}

enum DiskEvent {
    Written,
    Synced,
}

pub(crate) fn writes() {
    let mut events = Loop::new();
    let block = vec![9; WRITE_BYTES];
    let (mut pending, mut durable) = (Vec::new(), Vec::new());
    let mut written = 0;
    events.after(WRITE_NS, DiskEvent::Written);
    while let Some(event) = events.next() {
        match event {
            DiskEvent::Written => {
                let offset = usize::try_from(written % BLOCKS).expect("fits") * WRITE_BYTES;
                pending.push((offset, block.clone()));
                written += 1;
                events.after(SYNC_NS, DiskEvent::Synced);
            }
            DiskEvent::Synced => {
                for (offset, bytes) in pending.drain(..) {
                    if durable.len() < offset + bytes.len() {
                        durable.resize(offset + bytes.len(), 0);
                    }
                    durable[offset..offset + bytes.len()].copy_from_slice(&bytes);
                }
                if written < WRITES {
                    events.after(WRITE_NS, DiskEvent::Written);
                }
            }
        }
    }
    assert_eq!((written, black_box(durable)[0]), (WRITES, 9));
}

//! The event queue: what happens at which virtual nanosecond, ties in the order of scheduling.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Events in the order of (time, sequence). The heap moves small keys only; the events stand in
/// a slab beside it.
#[derive(Debug)]
pub(crate) struct EventQueue<T> {
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    slab: Vec<Option<T>>,
    free: Vec<u32>,
    sequence: u64,
}

impl<T> EventQueue<T> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), slab: Vec::new(), free: Vec::new(), sequence: 0 }
    }

    /// Schedules `event` at `at_ns`.
    #[inline]
    pub(crate) fn push(&mut self, at_ns: u64, event: T) {
        let place = if let Some(place) = self.free.pop() {
            self.slab[place as usize] = Some(event);
            place
        } else {
            self.slab.push(Some(event));
            u32::try_from(self.slab.len() - 1).expect("under 2^32 events in flight")
        };
        self.sequence += 1;
        self.heap.push(Reverse((at_ns, self.sequence, place)));
    }

    /// Takes the first event if it is due at or before `until_ns`.
    #[inline]
    pub(crate) fn pop(&mut self, until_ns: u64) -> Option<(u64, T)> {
        let Reverse((at_ns, _, _)) = self.heap.peek()?;
        if *at_ns > until_ns {
            return None;
        }
        let Reverse((at_ns, _, place)) = self.heap.pop().expect("peeked");
        self.free.push(place);
        Some((at_ns, self.slab[place as usize].take().expect("a queued event stands in the slab")))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_then_by_order_of_scheduling() {
        let mut queue = EventQueue::new();
        for (at, what) in [(5, 'c'), (1, 'a'), (5, 'd'), (1, 'b'), (9, 'e')] {
            queue.push(at, what);
        }
        let mut got = String::new();
        while let Some((_, what)) = queue.pop(5) {
            got.push(what);
        }
        assert_eq!(got, "abcd");
        assert!(!queue.is_empty());
        assert_eq!(queue.pop(9), Some((9, 'e')));
    }
}

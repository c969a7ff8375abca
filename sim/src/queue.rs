//! The event queue: what happens at which virtual nanosecond, ties in the order of scheduling.
//!
//! A key is one number: the time, then the sequence, then what the event is. So keys are compared
//! at once, and the heap moves 16 bytes. To wake a task takes no more than its key; datagrams and
//! all else stand in slabs beside the heap.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::{
    net::InFlight,
    schedule::Slot,
    slab::Slab,
    state::{Event, FEW},
};

/// The bits of a key's lower half: sequence, kind, place.
const PLACE_BITS: u32 = 24;
const KIND_BITS: u32 = 2;
const SEQUENCE_BITS: u32 = 64 - KIND_BITS - PLACE_BITS;

const WAKE: u64 = 0;
const DELIVER: u64 = 1;
const OTHER: u64 = 2;

/// An event whose time has come.
#[derive(Debug)]
pub(crate) enum Due {
    /// A task waited for this moment.
    Wake(Slot),
    /// A datagram arrives: its place among the messages.
    Deliver(u32),
    /// Anything else: its place, for [`EventQueue::event`].
    Other(u32),
}

/// Events in the order of (time, sequence).
#[derive(Debug)]
pub(crate) struct EventQueue {
    heap: BinaryHeap<Reverse<u128>>,
    sequence: u64,
    /// Datagrams, on their way and at the sockets where they wait.
    pub(crate) messages: Slab<InFlight>,
    others: Slab<Event>,
}

impl EventQueue {
    pub(crate) fn new() -> Self {
        Self {
            heap: BinaryHeap::with_capacity(2 * FEW),
            sequence: 0,
            messages: Slab::new(),
            others: Slab::new(),
        }
    }

    /// Wakes a task at `at_ns`.
    #[inline]
    pub(crate) fn wake(&mut self, at_ns: u64, slot: Slot) {
        self.enter(at_ns, WAKE, slot);
    }

    /// Lets a datagram arrive at `at_ns`.
    #[inline(always)]
    pub(crate) fn deliver(&mut self, at_ns: u64, message: InFlight) {
        let place = self.messages.keep(message);
        self.enter(at_ns, DELIVER, place);
    }

    /// Schedules `event` at `at_ns`.
    #[inline]
    pub(crate) fn push(&mut self, at_ns: u64, event: Event) {
        let place = self.others.keep(event);
        self.enter(at_ns, OTHER, place);
    }

    /// Takes the first event if it is due at or before `until_ns`.
    #[inline]
    pub(crate) fn pop(&mut self, until_ns: u64) -> Option<(u64, Due)> {
        let Reverse(key) = *self.heap.peek()?;
        let at_ns = half(key >> 64);
        if at_ns > until_ns {
            return None;
        }
        self.heap.pop();
        let low = half(key & u128::from(u64::MAX));
        let place = u32::try_from(low & ((1 << PLACE_BITS) - 1)).expect("a place has 24 bits");
        let due = match (low >> PLACE_BITS) & ((1 << KIND_BITS) - 1) {
            WAKE => Due::Wake(place),
            DELIVER => Due::Deliver(place),
            _ => Due::Other(place),
        };
        Some((at_ns, due))
    }

    /// The event that is due, once.
    #[inline]
    pub(crate) fn event(&mut self, place: u32) -> Event {
        self.others.take(place)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Room for events and what stands beside them.
    #[cfg(test)]
    pub(crate) fn room(&self) -> usize {
        self.heap.capacity() + self.messages.room() + self.others.room()
    }

    #[inline]
    fn enter(&mut self, at_ns: u64, kind: u64, place: u32) {
        self.sequence += 1;
        assert!(self.sequence >> SEQUENCE_BITS == 0, "a world schedules under 2^38 events");
        assert!(place >> PLACE_BITS == 0, "under 2^24 tasks, and as many datagrams under way");
        let low = self.sequence << (KIND_BITS + PLACE_BITS) | kind << PLACE_BITS | u64::from(place);
        self.heap.push(Reverse(u128::from(at_ns) << 64 | u128::from(low)));
    }
}

/// One half of a key.
#[inline]
fn half(wide: u128) -> u64 {
    u64::try_from(wide).expect("a half has 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The faults in the order in which they are armed, until a time.
    fn armed(queue: &mut EventQueue, until_ns: u64) -> Vec<usize> {
        let mut got = Vec::new();
        while let Some((_, due)) = queue.pop(until_ns) {
            let Due::Other(place) = due else { panic!("{due:?}") };
            let Event::Arm(fault) = queue.event(place) else { panic!("not what was scheduled") };
            got.push(fault);
        }
        got
    }

    #[test]
    fn events_come_by_time_then_by_order_of_scheduling() {
        let mut queue = EventQueue::new();
        for (at, what) in [(5, 2), (1, 0), (5, 3), (1, 1), (u64::MAX, 4)] {
            queue.push(at, Event::Arm(what));
        }
        assert_eq!(armed(&mut queue, 5), [0, 1, 2, 3]);
        assert!(!queue.is_empty());
        assert!(armed(&mut queue, u64::MAX - 1).is_empty());
        assert_eq!(armed(&mut queue, u64::MAX), [4]);
        assert!(queue.is_empty());
    }

    #[test]
    fn kinds_and_places_come_back_as_they_went_in() {
        let mut queue = EventQueue::new();
        let slot_last = (1 << PLACE_BITS) - 1;
        queue.wake(7, slot_last);
        queue.push(7, Event::Arm(9));
        queue.wake(7, 0);
        let mut got = Vec::new();
        while let Some((at_ns, due)) = queue.pop(7) {
            assert_eq!(at_ns, 7);
            got.push(match due {
                Due::Wake(slot) => slot,
                Due::Deliver(_) => panic!("no datagram was sent"),
                Due::Other(place) => {
                    assert!(matches!(queue.event(place), Event::Arm(9)));
                    9
                }
            });
        }
        assert_eq!(got, [slot_last, 9, 0]);
    }

    #[test]
    fn places_are_used_again() {
        let mut queue = EventQueue::new();
        for round in 0..1_000 {
            queue.push(round, Event::Arm(0));
            queue.push(round, Event::Arm(1));
            assert_eq!(armed(&mut queue, round), [0, 1]);
        }
        assert_eq!(queue.others.room(), 2);
    }
}

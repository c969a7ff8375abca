//! Which stores keep silent: what any of them can give is asked of those last.
//!
//! Only speed rests on this. A store that takes its time counts as silent until it answers again,
//! and so does one whose answer nobody waited for.

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use unplug_sim::env::{Instant, NodeId};

/// A store that has owed an answer for so long is silent.
const SILENT_AFTER: Duration = Duration::from_millis(50);

/// So long after it began to owe it a silent store is given another chance: nobody else may ask it.
const ANOTHER_CHANCE_AFTER: Duration = Duration::from_secs(2);

/// Since when each store has owed an answer.
#[derive(Debug, Default)]
pub(super) struct Silence(RefCell<BTreeMap<NodeId, Instant>>);

impl Silence {
    /// A store is asked something.
    pub(super) fn asked(&self, store: NodeId, now: Instant) {
        let mut owing = self.0.borrow_mut();
        let since = owing.entry(store).or_insert(now);
        if *since + ANOTHER_CHANCE_AFTER <= now {
            *since = now;
        }
    }

    /// A store has answered, whatever it was asked.
    pub(super) fn answered(&self, store: NodeId) {
        self.0.borrow_mut().remove(&store);
    }

    /// Whether a store is silent.
    pub(super) fn of(&self, store: NodeId, now: Instant) -> bool {
        let silent =
            |since: Instant| (since + SILENT_AFTER..since + ANOTHER_CHANCE_AFTER).contains(&now);
        self.0.borrow().get(&store).is_some_and(|since| silent(*since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_silent_from_its_oldest_debt_until_it_answers_or_for_a_while() {
        let (silence, store) = (Silence::default(), NodeId(2));
        let at = |ms| Instant(0) + Duration::from_millis(ms);
        silence.asked(store, at(0));
        silence.asked(store, at(40));
        assert!(!silence.of(store, at(49)));
        assert!(silence.of(store, at(50)));
        assert!(!silence.of(NodeId(3), at(50)), "never asked");
        silence.answered(store);
        assert!(!silence.of(store, at(1_000)));
        silence.asked(store, at(1_000));
        assert!(!silence.of(store, at(1_049)));
        assert!(silence.of(store, at(2_999)));
        assert!(!silence.of(store, at(3_000)), "another chance");
        silence.asked(store, at(3_000));
        assert!(silence.of(store, at(3_050)), "which it did not use");
    }
}

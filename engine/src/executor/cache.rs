//! States in memory, so that few are loaded: of each state partition the version that this executor
//! computed or loaded last, and what leads back to the one before.
//!
//! A version is one by its number. Versions of attempts that were not chosen are of no use to
//! anyone; but the one before them is, and so is an older one that lacks some changes only.

use std::{collections::BTreeMap, rc::Rc};

use crate::{
    epoch::StateRef,
    state::{Stored, Undo},
    task::Held,
};

/// A stage, and a state partition of it.
pub(super) type Slot = (u16, u16);

/// A version.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) of: StateRef,
    pub(super) state: Rc<Stored>,
    /// The version before, and what makes it of this one.
    pub(super) before: Option<(StateRef, Undo)>,
}

/// What is kept, within a bound.
#[derive(Debug)]
pub(super) struct StateCache {
    states_max: usize,
    /// With when each was used, counted.
    kept: BTreeMap<Slot, (u64, Version)>,
    uses: u64,
}

impl StateCache {
    /// Keeps at the most so many states.
    pub(super) fn new(states_max: usize) -> Self {
        Self { states_max, kept: BTreeMap::new(), uses: 0 }
    }

    /// Whether it holds no state.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// What it holds.
    pub(super) fn held(&self) -> Vec<Held> {
        let held = |(slot, (_, version)): (&Slot, &(u64, Version))| Held {
            stage: slot.0,
            state: slot.1,
            uid: version.of.uid,
            before_uid: version.before.as_ref().map(|(of, _)| of.uid),
        };
        self.kept.iter().map(held).collect()
    }

    /// This version, if it is here.
    pub(super) fn get(&mut self, slot: Slot, wanted: &StateRef) -> Option<Rc<Stored>> {
        let (used, version) = self.kept.get_mut(&slot)?;
        if version.of.uid != wanted.uid {
            return None;
        }
        self.uses += 1;
        *used = self.uses;
        Some(Rc::clone(&version.state))
    }

    /// Takes out the version that this one is made from with the fewest changes, if one is here.
    pub(super) fn take_nearest(&mut self, slot: Slot, wanted: &StateRef) -> Option<Version> {
        let (_, version) = self.kept.remove(&slot)?;
        if leads_to(&version.of, wanted) {
            return Some(version);
        }
        let Version { mut state, before, .. } = version;
        let (of, undo) = before.filter(|(of, _)| leads_to(of, wanted))?;
        Rc::make_mut(&mut state).go_back(undo);
        Some(Version { of, state, before: None })
    }

    /// Keeps a version; the one that was not used for the longest time may go for it.
    pub(super) fn keep(&mut self, slot: Slot, version: Version) {
        self.uses += 1;
        self.kept.insert(slot, (self.uses, version));
        if self.kept.len() > self.states_max {
            let oldest = self.kept.iter().min_by_key(|(_, (used, _))| *used);
            let oldest = oldest.map(|(slot, _)| *slot).expect("one was kept just now");
            self.kept.remove(&oldest);
        }
    }

    /// Forgets what is kept, so that a state whose last holder goes on changing it need not be
    /// copied.
    pub(super) fn forget(&mut self, slot: Slot) {
        self.kept.remove(&slot);
    }
}

/// Whether a version is the wanted one, or that lacks only changes.
fn leads_to(of: &StateRef, wanted: &StateRef) -> bool {
    of.snapshot == wanted.snapshot && wanted.layers.starts_with(&of.layers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        epoch::BlobRef,
        state::{Delta, Entry, Held, Key, State, View},
    };

    const SLOT: Slot = (1, 0);

    /// A state with entries at these times, each of an epoch of its own.
    fn state(times_ms: &[u64]) -> Stored {
        let mut stored = Stored::default();
        for (number, at_ms) in times_ms.iter().enumerate() {
            stored.put_over(number, change(*at_ms), 0);
        }
        stored
    }

    fn change(at_ms: u64) -> Delta {
        let state = State::default();
        let mut view = View::new(&state);
        let key = Key { op: 0, group: Vec::new(), input: 0, at_ms };
        view.put(key, Entry { due_ms: at_ms, held: Held::Seen });
        view.into_delta()
    }

    fn version(uid: u64, layers: &[&str]) -> StateRef {
        let layer = |name: &&str| vec![BlobRef { name: (*name).to_owned(), checksum: 0, bytes: 0 }];
        StateRef { uid, snapshot: Vec::new(), layers: layers.iter().map(layer).collect() }
    }

    /// Keeps version 2, made of version 1.
    fn kept() -> StateCache {
        let mut cache = StateCache::new(1);
        let (one, two) = (state(&[5]), state(&[5, 6]));
        let before = Some((version(1, &["a"]), one.undo(&change(6))));
        cache.keep(SLOT, Version { of: version(2, &["a", "b"]), state: Rc::new(two), before });
        cache
    }

    #[test]
    fn a_version_is_found_by_its_number() {
        let mut cache = kept();
        let found = cache.get(SLOT, &version(2, &["a", "b"]));
        assert_eq!(found.as_deref(), Some(&state(&[5, 6])));
        assert_eq!(cache.get(SLOT, &version(1, &["a"])), None);
        assert_eq!(cache.get((1, 1), &version(2, &["a", "b"])), None);
    }

    #[test]
    fn the_version_before_comes_back_and_later_ones_lack_only_changes() {
        for (wanted, nearest, times_ms) in [
            (version(1, &["a"]), 1, &[5][..]),
            (version(3, &["a", "other"]), 1, &[5]),
            (version(3, &["a", "b", "c"]), 2, &[5, 6]),
        ] {
            let found = kept().take_nearest(SLOT, &wanted).expect("one leads there");
            assert_eq!((found.of.uid, &*found.state), (nearest, &state(times_ms)));
        }
        assert!(kept().take_nearest(SLOT, &version(3, &["other"])).is_none());
        let mut snapshot = version(3, &["a", "b", "c"]);
        snapshot.snapshot = version(0, &["s"]).layers.remove(0);
        assert!(kept().take_nearest(SLOT, &snapshot).is_none());
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_goes_first() {
        let mut cache = StateCache::new(2);
        let of = |uid| version(uid, &[]);
        let keep = |cache: &mut StateCache, number| {
            let version = Version { of: of(number), state: Rc::default(), before: None };
            cache.keep((1, u16::try_from(number).expect("small")), version);
        };
        keep(&mut cache, 1);
        keep(&mut cache, 2);
        assert!(cache.get((1, 1), &of(1)).is_some());
        keep(&mut cache, 3);
        let kept = [1, 2, 3].map(|number| cache.kept.contains_key(&(1, number)));
        assert_eq!(kept, [true, false, true]);
        let mut none = StateCache::new(0);
        keep(&mut none, 1);
        assert!(none.get((1, 1), &of(1)).is_none());
    }
}

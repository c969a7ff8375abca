//! A state as an epoch works on it: what it was, and over it what the epoch changed so far.

use super::{Delta, Entry, Key, State};

/// A state and what changes of it.
#[derive(Debug)]
pub struct View<'a> {
    state: &'a State,
    delta: Delta,
}

impl<'a> View<'a> {
    /// A state of which nothing has changed.
    #[must_use]
    pub fn new(state: &'a State) -> Self {
        Self { state, delta: Delta::default() }
    }

    /// What has changed.
    #[must_use]
    pub fn into_delta(self) -> Delta {
        self.delta
    }

    /// An entry, as it is by now.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Entry> {
        match self.delta.changes.get(key) {
            Some(change) => change.as_ref(),
            None => self.state.get(key),
        }
    }

    /// Gives an entry new content.
    pub fn put(&mut self, key: Key, entry: Entry) {
        self.delta.changes.insert(key, Some(entry));
    }

    /// An entry as it is by now, or else a fresh one, to be changed.
    pub fn edit(&mut self, key: Key, fresh: impl FnOnce() -> Entry) -> &mut Entry {
        let change = self.delta.changes.entry(key);
        change.or_insert_with_key(|key| self.state.get(key).cloned()).get_or_insert_with(fresh)
    }

    /// Takes an entry away, and gives it.
    pub fn remove(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.get(key).cloned();
        if self.state.get(key).is_some() {
            self.delta.changes.insert(key.clone(), None);
        } else {
            self.delta.changes.remove(key);
        }
        entry
    }

    /// The entries of the key's operator, group and input from its event time to `last_ms`, both
    /// inclusive, by event time.
    #[must_use]
    pub fn between(&self, first: &Key, last_ms: u64) -> Vec<Key> {
        if first.at_ms > last_ms {
            return Vec::new();
        }
        let last = Key { at_ms: last_ms, ..first.clone() };
        let old = self.state.entries.range(first..=&last).map(|(key, _)| key);
        let old = old.filter(|key| !self.delta.changes.contains_key(*key));
        let new = self.delta.changes.range(first..=&last);
        let new = new.filter(|(_, change)| change.is_some()).map(|(key, _)| key);
        let mut keys: Vec<_> = old.chain(new).cloned().collect();
        keys.sort_unstable();
        keys
    }

    /// The entries of an operator that a watermark has reached, in milliseconds since 1970: by when
    /// they were due, then by key.
    #[must_use]
    pub fn due(&self, op: u16, watermark_ms: u64) -> Vec<Key> {
        let least = Key { op, group: Vec::new(), input: 0, at_ms: 0 };
        let old = self.state.due.range((op, 0, least)..);
        let old = old.take_while(|(of, due_ms, _)| (*of, *due_ms) <= (op, watermark_ms));
        let old = old.filter(|(.., key)| !self.delta.changes.contains_key(key));
        let old = old.map(|(_, due_ms, key)| (*due_ms, key));
        let new = self.delta.changes.iter().filter(|(key, _)| key.op == op);
        let new = new.filter_map(|(key, change)| Some((change.as_ref()?.due_ms, key)));
        let mut due: Vec<_> = old.chain(new.filter(|(due, _)| *due <= watermark_ms)).collect();
        due.sort_unstable();
        due.into_iter().map(|(_, key)| key.clone()).collect()
    }
}

//! Keyed state: what operators keep from one epoch to the next, as a pure value.
//!
//! An epoch never changes the state that it starts from: it works on a [`View`] of it, which ends
//! as a [`Delta`], and whoever keeps the state applies that. A state can be cut into parts that fit
//! into blobs; the parts, and then the deltas since, give it back.
//!
//! Each entry says up to which watermark it can wait. What is due is found without a look at what
//! is not, so what an epoch costs follows its rows and what it closes, not the state.

mod parts;
mod stored;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use postcard::experimental::serialized_size;
use serde::{Deserialize, Serialize};

pub use self::{
    stored::{Addition, LAYERS_MIN, Stored, Undo},
    view::View,
};
use crate::{
    accumulator::Accumulator,
    codec::{CodecError, Kind},
    pipeline::{Origin, Value},
};

/// What an entry is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// The operator's number in the pipeline.
    pub op: u16,
    /// The values of the key's columns.
    pub group: Vec<Value>,
    /// Which of the operator's inputs, from 0.
    pub input: u8,
    /// Event time, in milliseconds since 1970: where a window or a session starts, or of a row.
    pub at_ms: u64,
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The watermark that brings something about, in milliseconds since 1970.
    pub due_ms: u64,
    /// What is kept.
    pub held: Held,
}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Held {
    /// The rows of a window or of a session so far.
    Gathered(Gathered),
    /// A row was there.
    Seen,
    /// Rows that may find partners, in the order in which they came.
    Rows(Vec<Waiting>),
}

/// Rows that were gathered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gathered {
    /// The aggregates.
    pub accumulators: Vec<Accumulator>,
    /// The wrapping sum of the hashes of the tuples that they come from.
    pub print: u128,
}

/// A row that may find a partner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What it comes from.
    pub origin: Origin,
    /// Its columns.
    pub values: Vec<Value>,
    /// Whether it has found one.
    pub matched: bool,
}

/// What the operators of a stage keep in one state partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    entries: BTreeMap<Key, Entry>,
    /// By operator, and by when they are due. Follows from the entries.
    due: BTreeSet<(u16, u64, Key)>,
}

/// What an epoch changes of a state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// The new content of an entry, or none if it is gone.
    changes: BTreeMap<Key, Option<Entry>>,
}

impl State {
    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// An entry, if it is there.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// All entries, by key.
    pub fn entries(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.iter()
    }

    /// Takes in what an epoch changed. The cost follows the delta, not the state.
    pub fn apply(&mut self, delta: &Delta) {
        for (key, change) in &delta.changes {
            match change {
                Some(entry) => self.put(key.clone(), entry.clone()),
                None => self.remove(key),
            }
        }
    }

    /// What makes this state again of what it is once `delta` was applied.
    #[must_use]
    pub fn undo(&self, delta: &Delta) -> Delta {
        let keys = delta.changes.keys();
        Delta { changes: keys.map(|key| (key.clone(), self.get(key).cloned())).collect() }
    }

    fn put(&mut self, key: Key, entry: Entry) {
        let due_ms = entry.due_ms;
        let before = self.entries.insert(key.clone(), entry);
        if before.as_ref().is_none_or(|before| before.due_ms != due_ms) {
            if let Some(before) = before {
                self.due.remove(&(key.op, before.due_ms, key.clone()));
            }
            self.due.insert((key.op, due_ms, key));
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.due.remove(&(key.op, entry.due_ms, key.clone()));
        }
    }

    /// Forgets which rows were there: only for a planted bug.
    pub fn forget_seen(&mut self) {
        let seen = self.entries.iter().filter(|(_, entry)| entry.held == Held::Seen);
        for key in seen.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.remove(&key);
        }
    }

    /// How many bytes the entries have when serialised, without any header; looks at all of them.
    ///
    /// # Panics
    /// Never: plain data serialises.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        serialized_size(&self.entries).expect("plain data serialises")
    }

    /// A snapshot in parts of at most `bytes_max` bytes each; only an entry that is larger by
    /// itself makes a part that is larger. An empty state has no parts.
    ///
    /// # Panics
    /// If there are more than 2^32 parts.
    #[must_use]
    pub fn parts(&self, bytes_max: usize) -> Vec<Bytes> {
        parts::split(Kind::Snapshot, self.entries.iter(), bytes_max)
    }

    /// The state of a snapshot, given all its parts in their order.
    ///
    /// # Errors
    /// If a part is damaged, missing, or not at its place.
    pub fn from_parts<B: AsRef<[u8]>>(parts: &[B]) -> Result<Self, CodecError> {
        let entries: Vec<(Key, Entry)> = parts::joined(Kind::Snapshot, parts)?;
        let due = entries.iter().map(|(key, entry)| (key.op, entry.due_ms, key.clone())).collect();
        Ok(Self { entries: entries.into_iter().collect(), due })
    }
}

impl Delta {
    /// How many entries are changed or gone.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Takes in what changed after it.
    pub fn follow(&mut self, later: &Self) {
        let later = later.changes.iter();
        self.changes.extend(later.map(|(key, change)| (key.clone(), change.clone())));
    }

    /// How many bytes it has when serialised, without any header.
    ///
    /// # Panics
    /// Never: plain data serialises.
    #[must_use]
    pub fn encoded_bytes(&self) -> u64 {
        serialized_size(&self.changes).expect("plain data serialises") as u64
    }

    /// In parts, as [`State::parts`].
    ///
    /// # Panics
    /// If there are more than 2^32 parts.
    #[must_use]
    pub fn parts(&self, bytes_max: usize) -> Vec<Bytes> {
        parts::split(Kind::Delta, self.changes.iter(), bytes_max)
    }

    /// What [`Delta::parts`] made.
    ///
    /// # Errors
    /// If a part is damaged, missing, or not at its place.
    pub fn from_parts<B: AsRef<[u8]>>(parts: &[B]) -> Result<Self, CodecError> {
        let changes = parts::joined(Kind::Delta, parts)?;
        Ok(Self { changes: changes.into_iter().collect() })
    }
}

#[cfg(test)]
mod tests;

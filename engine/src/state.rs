//! Keyed state: what windows keep from one epoch to the next, as a pure value.
//!
//! An epoch never changes the state that it starts from: it gives a [`Delta`], and whoever keeps
//! the state applies it. A state can be cut into parts that fit into blobs; the parts, and then the
//! deltas since, give it back.

use std::collections::BTreeMap;

use bytes::Bytes;
use postcard::experimental::serialized_size;
use serde::{Deserialize, Serialize};

use crate::{
    codec::{self, CodecError, HEADER_BYTES, Kind},
    pipeline::{Origin, Value},
};

/// The most that a part holds beside its windows: header, two numbers, a length.
const PART_OVERHEAD_BYTES: usize = HEADER_BYTES + 5 + 5 + 10;

/// One window of one key. Windows sort by their starts first, so those that a watermark closes
/// stand together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WindowKey {
    /// The window's start, in milliseconds since 1970.
    pub start_ms: u64,
    /// The values of the key's columns.
    pub values: Vec<Value>,
}

/// What is known of one aggregate of a window that is not closed yet. None depends on the order in
/// which rows came, nor on how they were divided among epochs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Accumulator {
    /// How many rows.
    Count(u64),
    /// The sum, wide enough for any number of rows; none without a value that is not null.
    Sum(Option<i128>),
    /// The least value; null without a value that is not null.
    Min(Value),
    /// The greatest value; null without a value that is not null.
    Max(Value),
    /// The wrapping sum of the hashes of the tuples.
    Fingerprint(u128),
}

/// The open windows of one state partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    windows: BTreeMap<WindowKey, Vec<Accumulator>>,
}

/// What an epoch changes of a state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// The new content of a window, or none if it is closed and gone.
    changes: BTreeMap<WindowKey, Option<Vec<Accumulator>>>,
}

/// A part of a snapshot. It knows its place, so that parts are neither mixed up nor left out.
#[derive(Serialize, Deserialize)]
struct Part<Window> {
    number: u32,
    parts: u32,
    windows: Vec<Window>,
}

impl Accumulator {
    /// Takes a row in: the value of the aggregate's column, null if it has none, and the tuple.
    pub(crate) fn add(&mut self, value: &Value, origin: &Origin) {
        match self {
            Self::Count(count) => *count += 1,
            Self::Sum(sum) => {
                if let Value::Int(value) = value {
                    *sum = Some(sum.unwrap_or(0) + i128::from(*value));
                }
            }
            Self::Min(least) => {
                if *value != Value::Null && (*least == Value::Null || *value < *least) {
                    least.clone_from(value);
                }
            }
            Self::Max(greatest) => {
                if *value != Value::Null && (*greatest == Value::Null || *value > *greatest) {
                    greatest.clone_from(value);
                }
            }
            Self::Fingerprint(sum) => *sum = sum.wrapping_add(origin.hash()),
        }
    }

    /// The value for the window's row; none if it is a number that 64 bits cannot hold.
    pub(crate) fn value(&self) -> Option<Value> {
        match self {
            Self::Count(count) => i64::try_from(*count).ok().map(Value::Int),
            Self::Sum(None) => Some(Value::Null),
            Self::Sum(Some(sum)) => i64::try_from(*sum).ok().map(Value::Int),
            Self::Min(value) | Self::Max(value) => Some(value.clone()),
            Self::Fingerprint(sum) => Some(Value::Text(format!("{sum:032x}"))),
        }
    }
}

impl State {
    /// How many windows are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Whether no window is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// What is known of a window, if it is open.
    #[must_use]
    pub fn get(&self, key: &WindowKey) -> Option<&[Accumulator]> {
        self.windows.get(key).map(Vec::as_slice)
    }

    /// The open windows, by start and key.
    pub fn windows(&self) -> impl Iterator<Item = (&WindowKey, &[Accumulator])> {
        self.windows.iter().map(|(key, accumulators)| (key, accumulators.as_slice()))
    }

    /// The open windows that start before a time, by start and key; the others are not looked at.
    pub(crate) fn started_before(
        &self,
        start_ms: u64,
    ) -> impl Iterator<Item = (&WindowKey, &[Accumulator])> {
        let end = WindowKey { start_ms, values: Vec::new() };
        self.windows.range(..end).map(|(key, accumulators)| (key, accumulators.as_slice()))
    }

    /// Takes in what an epoch changed. The cost follows the delta, not the state.
    pub fn apply(&mut self, delta: &Delta) {
        for (key, change) in &delta.changes {
            match change {
                Some(accumulators) => {
                    self.windows.insert(key.clone(), accumulators.clone());
                }
                None => {
                    self.windows.remove(key);
                }
            }
        }
    }

    /// How many bytes the state has when serialised whole, without any header; looks at all of it.
    ///
    /// # Panics
    /// Never: plain data serialises.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        serialized_size(self).expect("plain data serialises")
    }

    /// A snapshot in parts of at most `bytes_max` bytes each; only a window that is larger by
    /// itself makes a part that is larger. An empty state has no parts.
    ///
    /// # Panics
    /// If there are more than 2^32 parts.
    #[must_use]
    pub fn parts(&self, bytes_max: usize) -> Vec<Bytes> {
        let mut parts: Vec<Vec<_>> = Vec::new();
        let mut bytes_left = 0;
        for window in &self.windows {
            let bytes = serialized_size(&window).expect("plain data serialises");
            if parts.is_empty() || bytes > bytes_left {
                parts.push(Vec::new());
                bytes_left = bytes_max.saturating_sub(PART_OVERHEAD_BYTES);
            }
            bytes_left = bytes_left.saturating_sub(bytes);
            parts.last_mut().expect("one was pushed").push(window);
        }
        let count = u32::try_from(parts.len()).expect("fewer than 2^32 parts");
        let numbered = (0..count).zip(parts);
        let encode = |(number, windows)| {
            codec::encode(Kind::Snapshot, &Part { number, parts: count, windows })
        };
        numbered.map(encode).collect()
    }

    /// The state of a snapshot, given all its parts in their order.
    ///
    /// # Errors
    /// If a part is damaged, missing, or not at its place.
    pub fn from_parts<B: AsRef<[u8]>>(parts: &[B]) -> Result<Self, CodecError> {
        let mut windows: Vec<(WindowKey, Vec<Accumulator>)> = Vec::new();
        for (place, bytes) in parts.iter().enumerate() {
            let part: Part<_> = codec::decode(Kind::Snapshot, bytes.as_ref())?;
            if (part.number as usize, part.parts as usize) != (place, parts.len()) {
                return Err(CodecError::Damaged);
            }
            windows.extend(part.windows);
        }
        if !windows.is_sorted_by(|(one, _), (next, _)| one < next) {
            return Err(CodecError::Damaged);
        }
        Ok(Self { windows: windows.into_iter().collect() })
    }
}

impl Delta {
    /// How many windows are changed or closed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Gives a window new content.
    pub(crate) fn set(&mut self, key: WindowKey, accumulators: Vec<Accumulator>) {
        self.changes.insert(key, Some(accumulators));
    }

    /// Takes a window away.
    pub(crate) fn remove(&mut self, key: WindowKey) {
        self.changes.insert(key, None);
    }

    /// As bytes for a blob.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        codec::encode(Kind::Delta, self)
    }

    /// What [`Delta::encode`] made.
    ///
    /// # Errors
    /// If the bytes are damaged or something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(Kind::Delta, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start_ms: u64, key: &str) -> (WindowKey, Vec<Accumulator>) {
        let text = Value::Text(key.to_owned());
        let accumulators = vec![
            Accumulator::Count(start_ms),
            Accumulator::Sum(Some(-1)),
            Accumulator::Min(text.clone()),
            Accumulator::Max(Value::Null),
            Accumulator::Fingerprint(u128::MAX),
        ];
        (WindowKey { start_ms, values: vec![text] }, accumulators)
    }

    fn state(windows: u64) -> State {
        State {
            windows: (0..windows).map(|number| window(number / 3, &number.to_string())).collect(),
        }
    }

    #[test]
    fn parts_are_as_large_as_allowed_and_give_the_state_back() {
        let state = state(100);
        for bytes_max in [0, 100, 1_000, 10_000] {
            let parts = state.parts(bytes_max);
            assert_eq!(State::from_parts(&parts), Ok(state.clone()));
            assert!(parts.iter().all(|part| part.len() <= bytes_max) || bytes_max == 0);
        }
        assert_eq!(state.parts(0).len(), 100);
        assert_eq!(state.parts(10_000).len(), 1);
        let size = state.encoded_bytes();
        assert!(state.parts(1_000).len() <= size / (1_000 - PART_OVERHEAD_BYTES - 60) + 1);
    }

    #[test]
    fn an_empty_state_has_no_parts() {
        assert!(State::default().parts(1_000).is_empty());
        assert_eq!(State::from_parts::<Bytes>(&[]), Ok(State::default()));
    }

    #[test]
    fn parts_that_are_missing_or_mixed_up_or_damaged_are_refused() {
        let parts = state(20).parts(200);
        assert!(parts.len() > 2);
        let refused = |parts: &[Bytes]| State::from_parts(parts) == Err(CodecError::Damaged);
        assert!(refused(&parts[1..]) && refused(&parts[..parts.len() - 1]));
        let mut swapped = parts.clone();
        swapped.swap(0, 1);
        assert!(refused(&swapped));
        let mut damaged = parts.clone();
        damaged[1] = [&parts[1][..20], b"?", &parts[1][21..]].concat().into();
        assert!(refused(&damaged));
        let mut other = parts.clone();
        other[1] = parts[0].clone();
        assert!(refused(&other));
        // Right places with a window twice; windows in order at wrong places.
        let part = |(number, key)| {
            let windows = vec![window(1, key)];
            codec::encode(Kind::Snapshot, &Part { number, parts: 2, windows })
        };
        assert!(State::from_parts(&[(0, "a"), (1, "b")].map(part)).is_ok());
        assert!(refused(&[(0, "a"), (1, "a")].map(part)));
        assert!(refused(&[(0, "a"), (0, "b")].map(part)));
        assert!(Delta::decode(&parts[0]).is_err());
    }

    #[test]
    fn the_formats_are_what_they_were() {
        let mut delta = Delta::default();
        let (key, accumulators) = window(7, "k");
        delta.set(key.clone(), accumulators);
        delta.remove(WindowKey { start_ms: 6, ..key });
        let mut state = State::default();
        state.apply(&delta);
        let hash = |bytes: &[u8]| xxhash_rust::xxh3::xxh3_64(bytes);
        assert_eq!(hash(&delta.encode()), 17_252_162_774_346_592_565, "a delta");
        assert_eq!(hash(&state.parts(1_000)[0]), 8_654_525_199_894_502_071, "a snapshot");
    }
}

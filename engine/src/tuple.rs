//! What flows, and the numbers that name its places.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// One record of the source. `(producer, seq)` is its identity and is carried all the way; a
/// partition and an offset are only where it sits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tuple {
    /// Who sent it.
    pub producer: u16,
    /// Its position in that producer's input, so that it survives the producer's crash.
    pub seq: u64,
    /// Event time, in milliseconds since 1970.
    pub time_ms: u64,
    /// What it is grouped by.
    pub key: Bytes,
    /// The content, such as a line of JSON.
    pub value: Bytes,
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($of:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $of);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// One numbered micro-batch, from 1; 0 stands for "before the first".
    Epoch(u64)
);
number!(
    /// A leadership, from 1. Requests of a lower one are refused.
    Generation(u64)
);
number!(
    /// A place in a partition of the source, from 0.
    Offset(u64)
);
number!(
    /// A partition of the source, from 0.
    Partition(u16)
);

/// One try at a task; no two tries have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// The leadership that ordered it.
    pub generation: Generation,
    /// Counted by that leader, from 1.
    pub counter: u64,
}

/// The offsets `start..end` of one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetRange {
    /// The first.
    pub start: Offset,
    /// One past the last.
    pub end: Offset,
}

impl Epoch {
    /// The one after.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl OffsetRange {
    /// How many offsets.
    #[must_use]
    pub fn len(self) -> u64 {
        self.end.0.saturating_sub(self.start.0)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for OffsetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

impl Partition {
    /// The partition that a key belongs to, so that all tuples of a key keep their order.
    ///
    /// # Panics
    /// If there are no partitions.
    #[must_use]
    pub fn of_key(key: &[u8], partitions: u16) -> Self {
        assert!(partitions > 0, "a source without partitions");
        let place = xxhash_rust::xxh3::xxh3_64(key) % u64::from(partitions);
        Self(u16::try_from(place).expect("below the number of partitions"))
    }
}

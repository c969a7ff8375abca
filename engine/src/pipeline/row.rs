//! Rows, and where they come from.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::spec::Value;

/// A row between two operators, or on its way to a sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// What it comes from.
    pub origin: Origin,
    /// Its columns, in the order of what takes it.
    pub values: Vec<Value>,
}

/// Where a row comes from, and its event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// One tuple.
    Tuple {
        /// The tuple's producer.
        producer: u16,
        /// The tuple's position in its producer's input.
        seq: u64,
        /// Event time, in milliseconds since 1970.
        time_ms: u64,
    },
    /// Many tuples.
    Many {
        /// Event time, in milliseconds since 1970.
        time_ms: u64,
        /// The wrapping sum of their hashes, each as often as it is in.
        print: u128,
    },
}

impl Origin {
    /// The event time, in milliseconds since 1970.
    #[must_use]
    pub fn time_ms(&self) -> u64 {
        match self {
            Self::Tuple { time_ms, .. } | Self::Many { time_ms, .. } => *time_ms,
        }
    }

    /// By which it is told from which tuples a row comes: of one, xxh3-128 of producer and seq,
    /// little endian; of many, the wrapping sum.
    #[must_use]
    pub fn print(&self) -> u128 {
        match self {
            Self::Tuple { producer, seq, .. } => {
                let mut bytes = [0; 10];
                bytes[..2].copy_from_slice(&producer.to_le_bytes());
                bytes[2..].copy_from_slice(&seq.to_le_bytes());
                xxh3_128(&bytes)
            }
            Self::Many { print, .. } => *print,
        }
    }
}

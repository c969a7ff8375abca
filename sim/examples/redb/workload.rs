//! What the database is asked to do, and what it must hold after each transaction.

use std::collections::BTreeMap;

use bytes::Bytes;
use unplug_sim::random::Stream;

/// All keys and values at one moment.
pub(crate) type Content = BTreeMap<u64, Bytes>;

/// What a transaction does to one key: it gets this value, or none.
pub(crate) type Change = (u64, Option<Bytes>);

/// Few enough that keys are overwritten and deleted again and again.
const KEYS: u64 = 60;
const CHANGES_MAX: u64 = 5;
/// Mostly small values; one in ten is larger than a page of redb.
const VALUE_BYTES_MAX: u64 = 300;
const LARGE_VALUE_BYTES_MAX: u64 = 9_000;

/// A list of transactions.
pub(crate) struct Workload {
    /// The changes of each transaction.
    pub(crate) transactions: Vec<Vec<Change>>,
    /// What the database holds before the first one, and after each. No two are the same.
    pub(crate) contents: Vec<Content>,
}

impl Workload {
    /// The workload of a seed.
    pub(crate) fn new(seed: u64, transactions: u64) -> Self {
        let mut stream = Stream::new(seed, "transactions", 0, 0);
        let mut workload = Self { transactions: Vec::new(), contents: vec![Content::new()] };
        let mut content = Content::new();
        for number in 0..transactions {
            // One put at least, of a value that was never there before: contents all differ.
            let mut changes = vec![(stream.below(KEYS), Some(value(number, &mut stream)))];
            for _ in 0..stream.below(CHANGES_MAX) {
                let put = stream.chance(2, 3).then(|| value(number, &mut stream));
                let key = stream.below(KEYS);
                if changes.iter().all(|(other, _)| *other != key) {
                    changes.push((key, put));
                }
            }
            for (key, value) in &changes {
                match value {
                    Some(value) => content.insert(*key, value.clone()),
                    None => content.remove(key),
                };
            }
            workload.transactions.push(changes);
            workload.contents.push(content.clone());
        }
        workload
    }
}

fn value(transaction: u64, stream: &mut Stream) -> Bytes {
    let large = stream.chance(1, 10);
    let len = stream.below(if large { LARGE_VALUE_BYTES_MAX } else { VALUE_BYTES_MAX });
    let mut bytes = transaction.to_le_bytes().to_vec();
    for _ in 0..len / 8 {
        bytes.extend(stream.bits().to_le_bytes());
    }
    bytes.into()
}

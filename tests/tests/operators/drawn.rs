//! What an operator is tried on.

use proptest::{collection::vec, option::weighted, prelude::*};

/// Epochs of tuples, with event times around the watermark.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// Each with its watermark.
    pub(crate) epochs: Vec<(u64, Vec<Drawn>)>,
    /// Into how many parts state is divided.
    pub(crate) state_partitions: u16,
    /// After which epochs, bit by bit, all state is written down and read again; after the others
    /// it is kept as it is.
    pub(crate) restored: u8,
    /// How large a part of a snapshot may be.
    pub(crate) part_bytes: usize,
}

/// A tuple.
#[derive(Clone, Debug)]
pub(crate) struct Drawn {
    /// The partition of the source.
    pub(crate) partition: u16,
    /// Its producer.
    pub(crate) producer: u16,
    /// Its event time, in milliseconds since 1970.
    pub(crate) time_ms: u64,
    /// Its line.
    pub(crate) line: String,
}

/// Partitions of the source.
pub(crate) const PARTITIONS: u16 = 4;

/// Histories.
pub(crate) fn history() -> impl Strategy<Value = History> {
    let amount = weighted(0.85, -9..10_i64);
    let line = (weighted(0.9, 0..3_u8), amount, "[ab]{0,1}(,[ab]{0,1}){0,2}", 0..5_u8);
    let tuple = (0..PARTITIONS, 0..3_u16, 0..90_u64, line);
    let epoch = (0..40_u64, vec(tuple, 0..14));
    let all = (vec(epoch, 1..8), 1..4_u16, any::<u8>(), 40..400_usize);
    all.prop_map(|(drawn, state_partitions, restored, part_bytes)| {
        let mut watermark_ms = 0;
        let mut epochs = Vec::new();
        for (step_ms, tuples) in drawn {
            watermark_ms += step_ms;
            let tuples = tuples.into_iter().map(|(partition, producer, ahead_ms, line)| {
                let (key, amount, words, kind) = line;
                let key = key.map_or("null".to_owned(), |key| format!("\"k{key}\""));
                let amount = amount.map_or("null".to_owned(), |amount| amount.to_string());
                let line = format!(
                    r#"{{"key": {key}, "amount": {amount}, "words": "{words}", "kind": {kind}}}"#
                );
                let time_ms = (watermark_ms + ahead_ms).saturating_sub(30);
                Drawn { partition, producer, time_ms, line }
            });
            epochs.push((watermark_ms, tuples.collect()));
        }
        // The last ones close everything.
        epochs.push((watermark_ms + 60, Vec::new()));
        epochs.push((watermark_ms + 100_000, Vec::new()));
        History { epochs, state_partitions, restored, part_bytes }
    })
}

impl History {
    /// The same, with every third line broken in some way.
    pub(crate) fn broken(mut self) -> Self {
        let lines = self.epochs.iter_mut().flat_map(|(_, tuples)| tuples);
        for (number, drawn) in lines.enumerate().filter(|(number, _)| number % 3 == 0) {
            drawn.line = match number % 4 {
                0 => drawn.line[..drawn.line.len() / 2].to_owned(),
                1 => r#"{"key": 7}"#.to_owned(),
                2 => format!("{} ,", drawn.line),
                _ => r#"["k0"]"#.to_owned(),
            };
        }
        self
    }
}

//! The published cuts, epoch by epoch, which must be the same at all sinks.

use std::collections::BTreeMap;

use super::{Setting, objections::Objections, owners::Place, table::Table};
use crate::{history::Cut, outcome::VerdictKind};

/// The published cuts.
pub(super) struct Cuts<'a> {
    /// Epochs that any sink showed, in order, with their cuts.
    pub(super) epochs: Vec<(u64, &'a Cut)>,
    /// The end of each partition in each of these epochs; none is below the one before.
    pub(super) ends: Vec<Vec<u64>>,
}

impl<'a> Cuts<'a> {
    pub(super) fn of(
        tables: &[Table<'a>],
        setting: &Setting<'_>,
        objections: &mut Objections,
    ) -> Self {
        let mut shown: BTreeMap<u64, (u16, &Cut)> = BTreeMap::new();
        for table in tables {
            for &batch in &table.batches {
                let (first, cut) = shown.entry(batch.epoch).or_insert((table.sink, &batch.cut));
                if *first != table.sink && **cut != batch.cut {
                    let message = format!(
                        "epoch {} has the cut {cut:?} at sink {first}, and {:?} at sink {}",
                        batch.epoch, batch.cut, table.sink
                    );
                    objections.add(VerdictKind::Torn, message);
                }
            }
        }
        let epochs: Vec<_> = shown.into_iter().map(|(epoch, (_, cut))| (epoch, cut)).collect();
        let mut before = vec![0; setting.partitions];
        let mut ends = vec![Vec::with_capacity(epochs.len()); setting.partitions];
        for (epoch, cut) in &epochs {
            for (partition, (before, all)) in before.iter_mut().zip(&mut ends).enumerate() {
                let end = cut.ends.get(partition).copied().unwrap_or(0).max(*before);
                let idle = cut.idle.iter().any(|idle| usize::from(*idle) == partition);
                let added = (setting.partitions_first..cut.ends.len()).contains(&partition);
                if added && end == 0 && !idle {
                    let message = format!(
                        "epoch {epoch} does not call partition {partition} idle, which was added \
                         and never had input"
                    );
                    objections.add(VerdictKind::Corrupt, message);
                }
                if end > *before && idle {
                    let message = format!(
                        "epoch {epoch} calls partition {partition} idle, and takes its offsets \
                         from {before} to {end} in"
                    );
                    objections.add(VerdictKind::Corrupt, message);
                }
                *before = end;
                all.push(end);
            }
        }
        Self { epochs, ends }
    }

    /// The epoch that takes in what is at a place, if one did.
    pub(super) fn epoch_of(&self, (partition, offset): Place) -> Option<u64> {
        let ends = self.ends.get(usize::from(partition))?;
        let index = ends.partition_point(|end| *end <= offset);
        self.epochs.get(index).map(|(epoch, _)| *epoch)
    }

    /// Up to where a partition is in.
    pub(super) fn end(&self, partition: u16) -> u64 {
        self.ends.get(usize::from(partition)).and_then(|ends| ends.last()).copied().unwrap_or(0)
    }

    /// The range of offsets that the epoch with this index takes in.
    pub(super) fn range(&self, partition: usize, index: usize) -> std::ops::Range<u64> {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[partition][before]);
        start..self.ends[partition][index]
    }
}

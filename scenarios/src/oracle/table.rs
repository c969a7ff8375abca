//! The content of one sink, position by position, as first read. Every later read must agree with
//! it, and epochs and cuts must follow each other.

use super::{
    Setting,
    objections::{Objections, seconds},
};
use crate::{
    history::{Batch, History, Read},
    outcome::VerdictKind,
};

/// The content of one sink.
pub(super) struct Table<'a> {
    pub(super) sink: u16,
    pub(super) batches: Vec<&'a Batch>,
    /// Up to where each partition is in.
    pub(super) ends: Vec<u64>,
    /// The highest epoch.
    pub(super) epoch: u64,
}

impl<'a> Table<'a> {
    pub(super) fn of(
        history: &'a History,
        sink: u16,
        setting: &Setting<'_>,
        objections: &mut Objections,
    ) -> Self {
        let mut batches: Vec<&Batch> = Vec::new();
        // The most batches that any answer so far showed, by when it came.
        let mut ends_seen: Vec<(u64, u64)> = Vec::new();
        for read in history.reads.iter().filter(|read| read.sink == sink) {
            // Answers to two readers may overtake each other; one that was asked for after another
            // came must show as much.
            let known = ends_seen.partition_point(|(at_ns, _)| *at_ns < read.asked_ns);
            if let Some((_, seen)) = ends_seen[..known].last()
                && read.end < *seen
            {
                let message = format!(
                    "a read of sink {sink} at {} shows {} batches, after {seen} were seen",
                    seconds(read.at_ns),
                    read.end
                );
                objections.add(VerdictKind::RolledBack, message);
            }
            let most = ends_seen.last().map_or(0, |(_, seen)| *seen);
            ends_seen.push((read.at_ns, read.end.max(most)));
            take(&mut batches, read, objections);
        }
        let mut table = Self { sink, batches, ends: vec![0; setting.partitions], epoch: 0 };
        table.check(setting, objections);
        table
    }

    /// Epochs come one after another, each once, and cuts never go back. Partitions that are added
    /// later need not be in them.
    fn check(&mut self, setting: &Setting<'_>, objections: &mut Objections) {
        let Self { sink, batches, ends, epoch: before } = self;
        let mut known = setting.partitions_first;
        for batch in batches {
            let epoch = batch.epoch;
            if batch.sink != *sink {
                let message = format!("epoch {epoch} at sink {sink} is for sink {}", batch.sink);
                objections.add(VerdictKind::Torn, message);
            }
            let wrong = match epoch {
                _ if epoch == *before + 1 => None,
                _ if epoch > *before => {
                    Some((VerdictKind::Torn, "an epoch between them is missing"))
                }
                _ if epoch == *before => Some((VerdictKind::Duplicated, "it is there twice")),
                _ => Some((VerdictKind::RolledBack, "it goes back")),
            };
            if let Some((kind, what)) = wrong {
                let message =
                    format!("sink {sink}: epoch {epoch} comes after epoch {before}: {what}");
                objections.add(kind, message);
            }
            *before = epoch.max(*before);
            let cut = &batch.cut.ends;
            if !(known..=ends.len()).contains(&cut.len())
                || cut.iter().zip(&*ends).any(|(end, before)| end < before)
            {
                let message =
                    format!("sink {sink}, epoch {epoch}: the cut goes from {ends:?} to {cut:?}");
                objections.add(VerdictKind::RolledBack, message);
            }
            known = cut.len().max(known);
            for (before, end) in ends.iter_mut().zip(cut) {
                *before = (*before).max(*end);
            }
        }
    }
}

/// Takes a read in, or says how it differs from those before.
fn take<'a>(batches: &mut Vec<&'a Batch>, read: &'a Read, objections: &mut Objections) {
    let (at, sink) = (|| seconds(read.at_ns), read.sink);
    for (position, batch) in (usize::try_from(read.from).expect("fits")..).zip(&read.batches) {
        match batches.get(position) {
            Some(known) if *known == &**batch => {}
            Some(known) => {
                let at = at();
                let message = format!(
                    "a read of sink {sink} at {at} shows another batch {position} (epoch {}, {} \
                     rows) than was seen before (epoch {}, {} rows)",
                    batch.epoch,
                    batch.rows.len(),
                    known.epoch,
                    known.rows.len()
                );
                objections.add(VerdictKind::RolledBack, message);
            }
            None if position == batches.len() => batches.push(batch),
            None => {
                let message =
                    format!("a read of sink {sink} at {} starts behind its question", at());
                objections.add(VerdictKind::Torn, message);
            }
        }
    }
}

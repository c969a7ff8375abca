//! The oracle: judges a run from outside, by acknowledgements and reads alone.
//!
//! What it verifies:
//! - **lost**: a tuple that was acknowledged, and that the pipeline keeps, is at the sink.
//! - **duplicated**: no tuple is at the sink twice, and none has two offsets.
//! - **phantom**: nothing is at the sink that nobody sent, or that the pipeline drops.
//! - **corrupt**: a row has the values that the pipeline's model gives.
//! - **torn**: each read is what the published cuts say: a batch holds exactly the tuples between
//!   the cut before it and its own.
//! - **rolled back**: what was read once stays, for every reader; cuts and epochs only grow, the end
//!   never goes back.
//! - **stuck**: when the run ended, all input was acknowledged and covered by the last cut.
//!
//! What it does not verify:
//! - the order of rows within a batch: a table has none;
//! - the watermark and the idle partitions of a cut: no operator depends on them so far;
//! - anything inside the engine: a run in which two drivers fight is right if readers see no harm;
//! - tuples that were never acknowledged: they may be there or not, once and unharmed at the most.
//!
//! It shares no code with the engine: the expected rows come from [`crate::model`].

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    history::{Batch, Cell, History, Row, TupleId},
    outcome::{Verdict, VerdictKind},
};

/// How many objections of one kind are spelled out; the rest is counted.
const SPELLED_OUT: usize = 3;

/// What the pipeline makes of a tuple: a row's cells, or nothing if it is dropped. `None` on the
/// outside: no producer has such a tuple in its input.
pub type Expected<'a> = dyn Fn(TupleId) -> Option<Option<&'a [Cell]>> + 'a;

/// What the oracle knows of a run beside its history.
pub struct Setting<'a> {
    /// The pipeline's model, over the producers' inputs.
    pub expected: &'a Expected<'a>,
    /// How many tuples all producers have to send.
    pub inputs: u64,
    /// How many partitions the source has.
    pub partitions: usize,
}

impl std::fmt::Debug for Setting<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setting").field("inputs", &self.inputs).finish_non_exhaustive()
    }
}

/// Judges a run that has ended. No verdict means exactly once.
#[must_use]
pub fn judge(history: &History, setting: &Setting<'_>) -> Vec<Verdict> {
    let mut objections = Objections::default();
    for (at_ns, error) in &history.undecodable {
        let message = format!("an answer at {} does not decode: {error}", seconds(*at_ns));
        objections.add(VerdictKind::Corrupt, message);
    }
    let owners = owners(history, &mut objections);
    let table = table(history, &mut objections);
    check_rows(&table, &owners, setting, &mut objections);
    check_delivery(&table, &owners, setting, &mut objections);
    objections.into_verdicts()
}

/// Where tuples are, as their producers were told.
#[derive(Default)]
struct Owners {
    at: BTreeMap<(u16, u64), TupleId>,
    of: BTreeMap<TupleId, (u16, u64)>,
}

fn owners(history: &History, objections: &mut Objections) -> Owners {
    let mut owners = Owners::default();
    for one in &history.acknowledged {
        let place = (one.partition, one.offset);
        if let Some(other) = owners.of.insert(one.id, place)
            && other != place
        {
            let message = format!(
                "{} was acknowledged at {} and at {} ({})",
                show(one.id),
                offset(other),
                offset(place),
                seconds(one.at_ns)
            );
            objections.add(VerdictKind::Duplicated, message);
        }
        if let Some(other) = owners.at.insert(place, one.id)
            && other != one.id
        {
            let message = format!(
                "{} was acknowledged to {}, and then to {} ({})",
                offset(place),
                show(other),
                show(one.id),
                seconds(one.at_ns)
            );
            objections.add(VerdictKind::Lost, message);
        }
    }
    owners
}

/// The sink's content, position by position, as first read; every later read must agree with it.
fn table<'a>(history: &'a History, objections: &mut Objections) -> Vec<&'a Batch> {
    let mut table: Vec<&Batch> = Vec::new();
    // The most batches that any answer so far showed, by when it came.
    let mut ends_seen: Vec<(u64, u64)> = Vec::new();
    for read in &history.reads {
        let at = seconds(read.at_ns);
        // Answers to two readers may overtake each other; one that was asked for after another
        // came must show as much.
        let known = ends_seen.partition_point(|(at_ns, _)| *at_ns < read.asked_ns);
        if let Some((_, seen)) = ends_seen[..known].last()
            && read.end < *seen
        {
            let message =
                format!("a read at {at} shows {} batches, after {seen} were seen", read.end);
            objections.add(VerdictKind::RolledBack, message);
        }
        let most = ends_seen.last().map_or(0, |(_, seen)| *seen);
        ends_seen.push((read.at_ns, read.end.max(most)));
        for (position, batch) in (usize::try_from(read.from).expect("fits")..).zip(&read.batches) {
            match table.get(position) {
                Some(known) if *known == &**batch => {}
                Some(known) => {
                    let message = format!(
                        "a read at {at} shows another batch {position} (epoch {}, {} rows) than \
                         was seen before (epoch {}, {} rows)",
                        batch.epoch,
                        batch.rows.len(),
                        known.epoch,
                        known.rows.len()
                    );
                    objections.add(VerdictKind::RolledBack, message);
                }
                None if position == table.len() => table.push(batch),
                None => {
                    let message = format!("a read at {at} starts behind its question");
                    objections.add(VerdictKind::Torn, message);
                }
            }
        }
    }
    table
}

/// Each batch holds exactly the tuples between the cut before it and its own.
fn check_rows(
    table: &[&Batch],
    owners: &Owners,
    setting: &Setting<'_>,
    objections: &mut Objections,
) {
    let mut before = vec![0; setting.partitions];
    let mut seen: BTreeMap<TupleId, u64> = BTreeMap::new();
    let mut absent = Vec::new();
    let mut epoch_before = 0;
    for batch in table {
        let epoch = batch.epoch;
        check_epoch(epoch_before, epoch, objections);
        epoch_before = epoch.max(epoch_before);
        if batch.ends.len() != before.len()
            || batch.ends.iter().zip(&before).any(|(end, before)| end < before)
        {
            let message =
                format!("epoch {epoch}: the cut goes from {before:?} to {:?}", batch.ends);
            objections.add(VerdictKind::RolledBack, message);
        }
        for row in &batch.rows {
            if let Some(first) = seen.insert(row.id, epoch) {
                let message = format!("{} is in epochs {first} and {epoch}", show(row.id));
                objections.add(VerdictKind::Duplicated, message);
                continue;
            }
            check_cells(epoch, row, setting, objections);
            if let Some(place) = owners.of.get(&row.id)
                && !within(*place, &before, &batch.ends)
            {
                let message = format!(
                    "epoch {epoch}: {} at {} is outside of the cut {before:?} to {:?}",
                    show(row.id),
                    offset(*place),
                    batch.ends
                );
                objections.add(VerdictKind::Torn, message);
            }
        }
        for (partition, (&start, &end)) in (0u16..).zip(before.iter().zip(&batch.ends)) {
            for place in (start..end).map(|offset| (partition, offset)) {
                let Some(id) = owners.at.get(&place) else { continue };
                let wanted = matches!((setting.expected)(*id), Some(Some(_)));
                if wanted && !seen.contains_key(id) {
                    absent.push((epoch, *id, place));
                }
            }
        }
        for (before, end) in before.iter_mut().zip(&batch.ends) {
            *before = (*before).max(*end);
        }
    }
    // What never comes is lost, not torn: `check_delivery` says so.
    for (epoch, id, place) in absent {
        if let Some(later) = seen.get(&id) {
            let message = format!(
                "the cut of epoch {epoch} covers {} at {}, and only epoch {later} shows it",
                show(id),
                offset(place)
            );
            objections.add(VerdictKind::Torn, message);
        }
    }
}

/// Epochs come one after another, each once.
fn check_epoch(before: u64, epoch: u64, objections: &mut Objections) {
    let (kind, what) = match epoch {
        _ if epoch == before + 1 => return,
        _ if epoch > before => (VerdictKind::Torn, "an epoch between them is missing"),
        _ if epoch == before => (VerdictKind::Duplicated, "it is there twice"),
        _ => (VerdictKind::RolledBack, "it goes back"),
    };
    objections.add(kind, format!("epoch {epoch} comes after epoch {before}: {what}"));
}

/// A row is what the model makes of its tuple.
fn check_cells(epoch: u64, row: &Row, setting: &Setting<'_>, objections: &mut Objections) {
    let id = show(row.id);
    match (setting.expected)(row.id) {
        Some(Some(cells)) if cells == row.cells => {}
        Some(Some(cells)) => {
            let message = format!("epoch {epoch}: {id} is {:?} and should be {cells:?}", row.cells);
            objections.add(VerdictKind::Corrupt, message);
        }
        Some(None) => {
            let message = format!("epoch {epoch}: {id} is there, and is filtered out");
            objections.add(VerdictKind::Phantom, message);
        }
        None => {
            let message = format!("epoch {epoch}: nobody has {id} to send");
            objections.add(VerdictKind::Phantom, message);
        }
    }
}

/// All input was acknowledged, is covered by the last cut, and is there.
fn check_delivery(
    table: &[&Batch],
    owners: &Owners,
    setting: &Setting<'_>,
    objections: &mut Objections,
) {
    let acknowledged = owners.of.len() as u64;
    if acknowledged < setting.inputs {
        let message = format!("{acknowledged} of {} tuples were acknowledged", setting.inputs);
        objections.add(VerdictKind::Stuck, message);
    }
    let origin = vec![0; setting.partitions];
    let ends = table.last().map_or(&origin, |batch| &batch.ends);
    let shown: BTreeSet<_> = table.iter().flat_map(|batch| &batch.rows).map(|row| row.id).collect();
    for (id, place) in &owners.of {
        let wanted = matches!((setting.expected)(*id), Some(Some(_)));
        if !within(*place, &origin, ends) {
            let message = format!("{} at {} is behind the last cut", show(*id), offset(*place));
            objections.add(VerdictKind::Stuck, message);
        } else if wanted && !shown.contains(id) {
            let message = format!(
                "{} was acknowledged at {}, the last cut covers it, and no read shows it",
                show(*id),
                offset(*place)
            );
            objections.add(VerdictKind::Lost, message);
        }
    }
}

fn within((partition, offset): (u16, u64), starts: &[u64], ends: &[u64]) -> bool {
    let at = usize::from(partition);
    match (starts.get(at), ends.get(at)) {
        (Some(start), Some(end)) => (*start..*end).contains(&offset),
        _ => false,
    }
}

/// Objections by kind, the first few spelled out.
#[derive(Default)]
struct Objections(BTreeMap<VerdictKind, (Vec<String>, usize)>);

impl Objections {
    fn add(&mut self, kind: VerdictKind, message: String) {
        let (messages, count) = self.0.entry(kind).or_default();
        *count += 1;
        if messages.len() < SPELLED_OUT {
            messages.push(message);
        }
    }

    fn into_verdicts(self) -> Vec<Verdict> {
        let kinds = self.0.into_iter();
        kinds
            .map(|(kind, (messages, count))| {
                let rest = match count - messages.len() {
                    0 => String::new(),
                    rest => format!("; and {rest} more"),
                };
                Verdict { kind, message: messages.join("; ") + &rest }
            })
            .collect()
    }
}

fn show(id: TupleId) -> String {
    format!("tuple {}/{}", id.producer, id.seq)
}

fn offset((partition, offset): (u16, u64)) -> String {
    format!("offset {partition}:{offset}")
}

fn seconds(ns: u64) -> String {
    format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1_000)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::history::{Acknowledged, Read};

    const CELLS: [Cell; 1] = [Cell::Int(1)];

    fn id(seq: u64) -> TupleId {
        TupleId { producer: 0, seq }
    }

    /// Six tuples on one partition at the offsets of their seqs; the pipeline drops the odd ones.
    fn expected(id: TupleId) -> Option<Option<&'static [Cell]>> {
        match id {
            TupleId { producer: 0, seq: 0..6 } => {
                Some(id.seq.is_multiple_of(2).then_some(CELLS.as_slice()))
            }
            _ => None,
        }
    }

    fn batch(epoch: u64, end: u64, seqs: &[u64]) -> Rc<Batch> {
        let rows = seqs.iter().map(|seq| Row { id: id(*seq), cells: CELLS.to_vec() });
        Rc::new(Batch { epoch, ends: vec![end], rows: rows.collect() })
    }

    fn read(at_ns: u64, from: u64, end: u64, batches: &[Rc<Batch>]) -> Read {
        Read { asked_ns: at_ns, at_ns, reader: 0, from, end, batches: batches.to_vec() }
    }

    fn history(reads: Vec<Read>) -> History {
        let acknowledged = (0..6)
            .map(|seq| Acknowledged { at_ns: seq, id: id(seq), partition: 0, offset: seq })
            .collect();
        History { acknowledged, reads, undecodable: Vec::new() }
    }

    fn kinds(history: &History) -> Vec<VerdictKind> {
        let setting = Setting { expected: &expected, inputs: 6, partitions: 1 };
        judge(history, &setting).into_iter().map(|verdict| verdict.kind).collect()
    }

    /// The history of a sink that held these batches when it was read once, at the end.
    fn of(batches: &[Rc<Batch>]) -> History {
        history(vec![read(9, 0, batches.len() as u64, batches)])
    }

    #[test]
    fn exactly_once_is_no_verdict() {
        let (one, two) = (batch(1, 3, &[0, 2]), batch(2, 6, &[4]));
        assert_eq!(kinds(&of(&[Rc::clone(&one), Rc::clone(&two)])), []);
        let reads = vec![
            read(1, 0, 1, &[Rc::clone(&one)]),
            read(2, 1, 2, &[Rc::clone(&two)]),
            read(3, 0, 2, &[one, two]),
        ];
        assert_eq!(kinds(&history(reads)), []);
    }

    #[test]
    fn a_tuple_that_no_read_shows_is_lost() {
        assert_eq!(kinds(&of(&[batch(1, 6, &[0, 4])])), [VerdictKind::Lost]);
    }

    #[test]
    fn an_offset_given_away_twice_is_a_loss() {
        let mut history = of(&[batch(1, 6, &[0, 2, 4])]);
        history.acknowledged[5].offset = 3;
        assert_eq!(kinds(&history), [VerdictKind::Lost]);
    }

    #[test]
    fn a_row_twice_is_duplicated_within_a_batch_and_across() {
        assert_eq!(kinds(&of(&[batch(1, 6, &[0, 2, 2, 4])])), [VerdictKind::Duplicated]);
        let again = [batch(1, 6, &[0, 2, 4]), batch(1, 6, &[0, 2, 4])];
        assert_eq!(kinds(&of(&again)), [VerdictKind::Duplicated]);
    }

    #[test]
    fn a_tuple_with_two_offsets_is_duplicated() {
        let mut history = of(&[batch(1, 6, &[0, 2, 4])]);
        let other = Acknowledged { at_ns: 7, id: id(1), partition: 0, offset: 4 };
        history.acknowledged.insert(2, other);
        assert!(kinds(&history).contains(&VerdictKind::Duplicated));
    }

    #[test]
    fn a_row_that_nobody_sent_or_that_is_filtered_out_is_a_phantom() {
        assert_eq!(kinds(&of(&[batch(1, 6, &[0, 2, 4, 1])])), [VerdictKind::Phantom]);
        assert_eq!(kinds(&of(&[batch(1, 6, &[0, 2, 4, 77])])), [VerdictKind::Phantom]);
    }

    #[test]
    fn another_value_is_corrupt() {
        let mut wrong = (*batch(1, 6, &[0, 2, 4])).clone();
        wrong.rows[1].cells = vec![Cell::Int(2)];
        assert_eq!(kinds(&of(&[Rc::new(wrong)])), [VerdictKind::Corrupt]);
    }

    #[test]
    fn a_row_in_another_batch_than_its_cut_says_is_torn() {
        assert_eq!(kinds(&of(&[batch(1, 3, &[0]), batch(2, 6, &[2, 4])])), [VerdictKind::Torn]);
        assert_eq!(kinds(&of(&[batch(1, 3, &[0, 2, 4]), batch(2, 6, &[])])), [VerdictKind::Torn]);
    }

    #[test]
    fn what_vanishes_changes_or_shrinks_is_rolled_back() {
        let (one, two) = (batch(1, 3, &[0, 2]), batch(2, 6, &[4]));
        let both = || read(3, 0, 2, &[Rc::clone(&one), Rc::clone(&two)]);
        let gone = vec![both(), read(4, 1, 1, &[]), both()];
        assert_eq!(kinds(&history(gone)), [VerdictKind::RolledBack]);
        let changed = vec![both(), read(4, 1, 2, &[batch(2, 5, &[4])])];
        assert_eq!(kinds(&history(changed)), [VerdictKind::RolledBack]);
        let cut = [batch(1, 6, &[0, 2, 4]), batch(2, 5, &[])];
        assert!(kinds(&of(&cut)).contains(&VerdictKind::RolledBack));
    }

    #[test]
    fn a_reader_that_asks_later_must_see_what_another_saw_and_one_that_asked_before_need_not() {
        let batches = [batch(1, 3, &[0, 2]), batch(2, 6, &[4])];
        let all = read(3, 0, 2, &batches);
        let other = |asked_ns| Read { asked_ns, reader: 1, ..read(4, 0, 1, &batches[..1]) };
        assert_eq!(kinds(&history(vec![all.clone(), other(2)])), []);
        assert_eq!(kinds(&history(vec![all, other(4)])), [VerdictKind::RolledBack]);
    }

    #[test]
    fn epochs_come_one_after_another() {
        let missing = [batch(1, 3, &[0, 2]), batch(3, 6, &[4])];
        assert_eq!(kinds(&of(&missing)), [VerdictKind::Torn]);
        let back = [batch(1, 3, &[0, 2]), batch(2, 6, &[4]), batch(1, 6, &[])];
        assert_eq!(kinds(&of(&back)), [VerdictKind::RolledBack]);
    }

    #[test]
    fn an_answer_that_does_not_decode_is_corrupt() {
        let mut history = of(&[batch(1, 6, &[0, 2, 4])]);
        history.undecodable.push((7, "damaged".to_owned()));
        assert_eq!(kinds(&history), [VerdictKind::Corrupt]);
    }

    #[test]
    fn what_is_not_acknowledged_or_not_covered_in_time_is_stuck() {
        assert_eq!(kinds(&of(&[batch(1, 3, &[0, 2])])), [VerdictKind::Stuck]);
        let mut history = of(&[batch(1, 6, &[0, 2, 4])]);
        history.acknowledged.pop();
        assert_eq!(kinds(&history), [VerdictKind::Stuck]);
    }

    #[test]
    fn a_tuple_that_was_never_acknowledged_may_be_there_once() {
        let mut history = of(&[batch(1, 6, &[0, 2, 4])]);
        history.acknowledged.remove(4);
        assert_eq!(kinds(&history), [VerdictKind::Stuck]);
        let mut twice = of(&[batch(1, 6, &[0, 2, 4, 4])]);
        twice.acknowledged.remove(4);
        assert_eq!(kinds(&twice), [VerdictKind::Duplicated, VerdictKind::Stuck]);
    }
}

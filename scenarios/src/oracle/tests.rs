//! Tiny histories of a pipeline without windows, and what the oracle says to them.

use std::sync::Arc;

use super::*;
use crate::history::{Acknowledged, Batch, Cut, Read, Row};

const CELLS: [Cell; 1] = [Cell::Int(1)];

fn id(seq: u64) -> TupleId {
    TupleId { producer: 0, seq }
}

/// Six tuples of one key on one partition at the offsets of their seqs; the pipeline drops the odd
/// ones.
fn sent(id: TupleId) -> Option<Sent<'static>> {
    let row = id.seq.is_multiple_of(2).then_some(CELLS.as_slice());
    let known = id.producer == 0 && id.seq < 6;
    known.then_some(Sent { time_ms: 0, key: b"one", row, line: b"", closing: false })
}

fn batch(epoch: u64, end: u64, seqs: &[u64]) -> Arc<Batch> {
    let rows = seqs.iter().map(|seq| Row { id: Some(id(*seq)), print: 0, cells: CELLS.to_vec() });
    let cut = Cut { ends: vec![end], ..Cut::default() };
    Arc::new(Batch { sink: 0, epoch, cut, rows: rows.collect() })
}

fn read(at_ns: u64, from: u64, end: u64, batches: &[Arc<Batch>]) -> Read {
    Read { asked_ns: at_ns, at_ns, reader: 0, sink: 0, from, end, batches: batches.to_vec() }
}

fn history(reads: Vec<Read>) -> History {
    let acknowledged = (0..6)
        .map(|seq| Acknowledged { at_ns: seq, id: id(seq), partition: 0, offset: Some(seq) })
        .collect();
    History { acknowledged, reads, ..History::default() }
}

fn kinds(history: &History) -> Vec<VerdictKind> {
    let setting = Setting {
        sent: &sent,
        inputs: 6,
        partitions: 1,
        partitions_first: 1,
        sinks: 1,
        window: None,
        graph: None,
    };
    judge(history, &setting).into_iter().map(|verdict| verdict.kind).collect()
}

/// The history of a sink that held these batches when it was read once, at the end.
fn of(batches: &[Arc<Batch>]) -> History {
    history(vec![read(9, 0, batches.len() as u64, batches)])
}

#[test]
fn exactly_once_is_no_verdict() {
    let (one, two) = (batch(1, 3, &[0, 2]), batch(2, 6, &[4]));
    assert_eq!(kinds(&of(&[Arc::clone(&one), Arc::clone(&two)])), []);
    let reads = vec![
        read(1, 0, 1, &[Arc::clone(&one)]),
        read(2, 1, 2, &[Arc::clone(&two)]),
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
    let mut history = of(&[batch(1, 5, &[0, 2, 4])]);
    history.acknowledged[5].offset = Some(3);
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
    let other = Acknowledged { at_ns: 7, id: id(1), partition: 0, offset: Some(4) };
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
    assert_eq!(kinds(&of(&[Arc::new(wrong)])), [VerdictKind::Corrupt]);
}

#[test]
fn a_row_in_another_batch_than_its_cut_says_is_torn() {
    assert_eq!(kinds(&of(&[batch(1, 3, &[0]), batch(2, 6, &[2, 4])])), [VerdictKind::Torn]);
    assert_eq!(kinds(&of(&[batch(1, 3, &[0, 2, 4]), batch(2, 6, &[])])), [VerdictKind::Torn]);
}

#[test]
fn what_vanishes_changes_or_shrinks_is_rolled_back() {
    let (one, two) = (batch(1, 3, &[0, 2]), batch(2, 6, &[4]));
    let both = || read(3, 0, 2, &[Arc::clone(&one), Arc::clone(&two)]);
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
fn rows_of_one_key_in_another_order_than_their_offsets_are_reordered() {
    assert_eq!(kinds(&of(&[batch(1, 6, &[0, 4, 2])])), [VerdictKind::Reordered]);
    // A second copy is duplicated, and that is all.
    assert_eq!(kinds(&of(&[batch(1, 6, &[0, 2, 4, 2])])), [VerdictKind::Duplicated]);
}

#[test]
fn a_row_of_no_tuple_is_a_phantom() {
    let mut wrong = (*batch(1, 6, &[0, 2, 4])).clone();
    wrong.rows.push(Row { id: None, print: 0, cells: CELLS.to_vec() });
    assert_eq!(kinds(&of(&[Arc::new(wrong)])), [VerdictKind::Phantom]);
}

#[test]
fn a_batch_for_another_sink_is_torn() {
    let mut wrong = (*batch(1, 6, &[0, 2, 4])).clone();
    wrong.sink = 1;
    assert_eq!(kinds(&of(&[Arc::new(wrong)])), [VerdictKind::Torn]);
}

#[test]
fn an_offset_that_is_no_tuples_is_a_phantom_once_all_tuples_are_known() {
    let moved = |last: u64| {
        let mut history = of(&[batch(1, 7, &[0, 2, 4])]);
        history.acknowledged[5].offset = Some(last);
        history
    };
    assert_eq!(kinds(&moved(6)), [VerdictKind::Phantom]);
    let mut unknown = moved(6);
    unknown.acknowledged.pop();
    assert_eq!(kinds(&unknown), [VerdictKind::Stuck]);
}

#[test]
fn tuples_acknowledged_without_an_offset_have_those_that_are_left() {
    let mut sound = of(&[batch(1, 3, &[0, 2]), batch(2, 6, &[4])]);
    let mut torn = of(&[batch(1, 3, &[0]), batch(2, 6, &[2, 4])]);
    let mut lost = of(&[batch(1, 3, &[0]), batch(2, 6, &[4])]);
    for history in [&mut sound, &mut torn, &mut lost] {
        history.acknowledged[1].offset = None;
        history.acknowledged[2].offset = None;
    }
    assert_eq!(kinds(&sound), []);
    assert_eq!(kinds(&torn), [VerdictKind::Torn]);
    assert_eq!(kinds(&lost), [VerdictKind::Lost]);
}

#[test]
fn a_tuple_acknowledged_without_an_offset_where_none_is_left_is_lost() {
    let mut history = of(&[batch(1, 5, &[0, 2, 4])]);
    history.acknowledged[5].offset = None;
    assert_eq!(kinds(&history), [VerdictKind::Lost]);
}

#[test]
fn where_it_cannot_be_told_which_tuple_has_which_offset_nothing_is_measured() {
    let mut history = of(&[batch(1, 8, &[0, 2, 4])]);
    history.acknowledged[4].offset = None;
    history.acknowledged[5].offset = None;
    // Four offsets for two tuples: two are nobody's. For two tuples of two producers it is silence
    // that would be wrong.
    assert!(kinds(&history).contains(&VerdictKind::Phantom));
    let mut two = of(&[batch(1, 6, &[0, 2, 4])]);
    two.acknowledged[4].offset = None;
    two.acknowledged[5].offset = None;
    two.acknowledged[5].id.producer = 1;
    assert_eq!(kinds(&two), [VerdictKind::NotMeasured]);
}

#[test]
fn a_watermark_that_the_rule_does_not_give_is_corrupt() {
    let mut wrong = (*batch(1, 6, &[0, 2, 4])).clone();
    wrong.cut.watermark_ms = 5;
    let history = of(&[Arc::new(wrong)]);
    let setting = Setting {
        sent: &sent,
        inputs: 6,
        partitions: 1,
        partitions_first: 1,
        sinks: 1,
        window: None,
        graph: None,
    };
    let verdicts = judge(&history, &setting);
    assert_eq!(kinds(&history), [VerdictKind::Corrupt]);
    assert_eq!(verdicts[0].message, "epoch 1 publishes the watermark 5 ms, the rule gives 0 ms");
}

#[test]
fn an_idle_partition_takes_nothing_in() {
    let mut wrong = (*batch(1, 6, &[0, 2, 4])).clone();
    wrong.cut.idle = vec![0];
    assert_eq!(kinds(&of(&[Arc::new(wrong)])), [VerdictKind::Corrupt]);
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

//! Tiny histories of a pipeline with windows, and what the oracle says to them.
//!
//! One partition, windows of 10 ms, no delay. Offset, event time, key:
//! 0: 1 a, 1: 2 a, 2: 3 b; epoch 2, watermark 3: 3: 12 a, 4: 4 a; epoch 3, watermark 12: 5: 5 b (late),
//! 6: 900 (closing); epoch 4, watermark 900, closes the rest.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::{
    history::{Acknowledged, Batch, Cut, Read, Row},
    model::{Model, windows::fingerprint},
};

/// Event time and key of each tuple.
const TUPLES: [(u64, &str); 7] =
    [(1, "a"), (2, "a"), (3, "b"), (12, "a"), (4, "a"), (5, "b"), (900, "closing")];

fn id(seq: u64) -> TupleId {
    TupleId { producer: 0, seq }
}

fn text(text: &str) -> Cell {
    Cell::Text(text.into())
}

fn model() -> Model {
    Model::new(&json!({"nodes": [
        {"name": "in", "op": "source"},
        {"name": "parsed", "inputs": ["in"], "op": {"parse": [{"name": "key", "type": "text"}]}},
        {"name": "windows", "inputs": ["parsed"], "op": {"window": {
            "key": ["key"], "size_ms": 10, "delay_ms": 0, "aggregates": [
                {"name": "n", "of": "count"}, {"name": "print", "of": "fingerprint"}]}}},
        {"name": "table", "inputs": ["windows"], "op": "sink"},
        {"name": "late", "inputs": ["windows"], "op": "late_sink"}]}))
    .expect("known")
}

fn window(key: &str, start_ms: i64, seqs: &[u64]) -> Row {
    let print = seqs.iter().map(|seq| fingerprint(id(*seq))).fold(0, u128::wrapping_add);
    let count = i64::try_from(seqs.len()).expect("few");
    let print = text(&format!("{print:032x}"));
    Row { id: None, print: 0, cells: vec![text(key), Cell::Int(start_ms), Cell::Int(count), print] }
}

fn late(seq: u64, key: &str) -> Row {
    Row { id: Some(id(seq)), print: 0, cells: vec![text(key)] }
}

/// What the two sinks published.
#[derive(Clone)]
struct Sinks {
    windows: Vec<Batch>,
    late: Vec<Batch>,
}

impl Sinks {
    fn each_cut(&mut self, epoch: usize, change: impl Fn(&mut Cut)) {
        change(&mut self.windows[epoch - 1].cut);
        change(&mut self.late[epoch - 1].cut);
    }
}

/// What they should have published.
fn sound() -> Sinks {
    let cuts = [(3, 0), (5, 3), (7, 12), (7, 900)];
    let batches = |sink, rows: [Vec<Row>; 4]| {
        let all = rows.into_iter().zip(cuts).zip(1..);
        all.map(|((rows, (end, watermark_ms)), epoch)| {
            let idle = if epoch == 4 { vec![0] } else { vec![] };
            Batch { sink, epoch, cut: Cut { ends: vec![end], idle, watermark_ms }, rows }
        })
        .collect()
    };
    let closed = vec![window("b", 0, &[2]), window("a", 0, &[0, 1, 4])];
    Sinks {
        windows: batches(0, [vec![], vec![], closed, vec![window("a", 10, &[3])]]),
        late: batches(1, [vec![], vec![], vec![late(5, "b")], vec![]]),
    }
}

fn acknowledged(id: TupleId, offset: Option<u64>) -> Acknowledged {
    Acknowledged { at_ns: id.seq, id, partition: 0, offset }
}

fn verdicts_of(sinks: &Sinks, count: u64) -> Vec<Verdict> {
    verdicts(sinks, 7, (0..count).map(|seq| acknowledged(id(seq), Some(seq))).collect())
}

fn verdicts(sinks: &Sinks, inputs: u64, acknowledged: Vec<Acknowledged>) -> Vec<Verdict> {
    let read = |sink, batches: &[Batch]| Read {
        asked_ns: 9,
        at_ns: 9,
        reader: 0,
        sink,
        from: 0,
        end: batches.len() as u64,
        batches: batches.iter().cloned().map(Arc::new).collect(),
    };
    let reads = vec![read(0, &sinks.windows), read(1, &sinks.late)];
    let history = History { acknowledged, reads, ..History::default() };
    let rows = TUPLES.map(|(_, key)| [text(key)]);
    let sent = |id: TupleId| {
        let at = usize::try_from(id.seq).expect("few");
        let (time_ms, key) = *TUPLES.get(at)?;
        let row = Some(rows[at].as_slice());
        Some(Sent { time_ms, key: key.as_bytes(), row, line: b"", closing: key == "closing" })
    };
    let model = model();
    let setting = Setting {
        sent: &sent,
        inputs,
        partitions: 1,
        partitions_first: 1,
        sinks: 2,
        window: model.window(),
        graph: None,
    };
    judge(&history, &setting)
}

fn kinds(change: impl FnOnce(&mut Sinks)) -> Vec<VerdictKind> {
    let mut sinks = sound();
    change(&mut sinks);
    verdicts_of(&sinks, 7).into_iter().map(|verdict| verdict.kind).collect()
}

fn message(change: impl FnOnce(&mut Sinks)) -> String {
    let mut sinks = sound();
    change(&mut sinks);
    verdicts_of(&sinks, 7).into_iter().map(|verdict| verdict.message).collect()
}

#[test]
fn what_the_rule_gives_is_exact_and_the_order_of_windows_does_not_matter() {
    assert_eq!(verdicts_of(&sound(), 7), []);
    assert_eq!(kinds(|sinks| sinks.windows[2].rows.reverse()), []);
}

#[test]
fn a_missing_window_is_lost_and_told_with_its_tuples() {
    let change = |sinks: &mut Sinks| drop(sinks.windows[2].rows.pop());
    assert_eq!(kinds(change), [VerdictKind::Lost]);
    assert_eq!(
        message(change),
        "the window of [Text(\"a\")] from 0 ms was closed in epoch 3 with 3 tuples (tuple 0/0, \
         tuple 0/1, tuple 0/4), and no read of sink 0, up to epoch 4, shows it"
    );
}

#[test]
fn a_window_that_is_there_twice_is_duplicated() {
    let again = |sinks: &mut Sinks, epoch: usize| {
        let row = sinks.windows[2].rows[0].clone();
        sinks.windows[epoch - 1].rows.push(row);
    };
    assert_eq!(kinds(|sinks| again(sinks, 3)), [VerdictKind::Duplicated]);
    assert_eq!(kinds(|sinks| again(sinks, 4)), [VerdictKind::Duplicated]);
}

#[test]
fn a_window_without_tuples_is_a_phantom_and_a_row_that_is_none_is_corrupt() {
    for row in [window("c", 0, &[2]), window("a", 20, &[2]), window("b", 10, &[]), late(5, "b")] {
        assert_eq!(kinds(|sinks| sinks.windows[2].rows.push(row)), [VerdictKind::Phantom]);
    }
    let mut row = window("b", 0, &[2]);
    row.cells.pop();
    let short = kinds(|sinks| sinks.windows[2].rows.push(row));
    assert_eq!(short, [VerdictKind::Corrupt]);
}

#[test]
fn a_window_in_another_epoch_is_torn() {
    let moved = |sinks: &mut Sinks, to: usize| {
        let row = sinks.windows[2].rows.pop().expect("there");
        sinks.windows[to - 1].rows.push(row);
    };
    assert_eq!(kinds(|sinks| moved(sinks, 2)), [VerdictKind::Torn]);
    assert_eq!(kinds(|sinks| moved(sinks, 4)), [VerdictKind::Torn]);
    let open = kinds(|sinks| sinks.windows[3].rows.push(window("closing", 900, &[6])));
    assert_eq!(open, [VerdictKind::Torn]);
}

#[test]
fn a_window_with_fewer_tuples_is_lost_with_more_duplicated_with_others_corrupt() {
    let with = |seqs: &[u64]| {
        let row = window("a", 0, seqs);
        move |sinks: &mut Sinks| sinks.windows[2].rows[1] = row
    };
    for (seqs, kind, blamed) in [
        (&[0, 1][..], VerdictKind::Lost, ": tuple 0/4 is missing"),
        (&[0, 1, 4, 1], VerdictKind::Duplicated, ": tuple 0/1 is in it twice"),
        (&[0, 1, 4, 2], VerdictKind::Duplicated, ": tuple 0/2 is in it, and does not belong there"),
        (&[0, 1, 2], VerdictKind::Corrupt, "]"),
        (&[0], VerdictKind::Lost, "]"),
    ] {
        assert_eq!(kinds(with(seqs)), [kind], "{seqs:?}");
        assert!(message(with(seqs)).ends_with(blamed), "{}", message(with(seqs)));
    }
}

#[test]
fn a_late_tuple_that_was_aggregated_or_one_in_time_that_was_not_is_told_at_both_sinks() {
    let aggregated = |sinks: &mut Sinks| {
        sinks.windows[2].rows[0] = window("b", 0, &[2, 5]);
        sinks.late[2].rows.clear();
    };
    assert_eq!(kinds(aggregated), [VerdictKind::Lost, VerdictKind::Duplicated]);
    assert!(message(aggregated).contains(": tuple 0/5 is in it, and does not belong there"));
    let late_though_in_time = |sinks: &mut Sinks| {
        sinks.windows[2].rows[1] = window("a", 0, &[0, 1]);
        sinks.late[1].rows.push(late(4, "a"));
    };
    assert_eq!(kinds(late_though_in_time), [VerdictKind::Lost, VerdictKind::Phantom]);
}

#[test]
fn late_rows_are_judged_as_rows_of_tuples() {
    assert_eq!(kinds(|sinks| sinks.late[2].rows.clear()), [VerdictKind::Lost]);
    assert_eq!(kinds(|sinks| sinks.late[2].rows.push(late(5, "b"))), [VerdictKind::Duplicated]);
    assert_eq!(kinds(|sinks| sinks.late[2].rows[0] = late(5, "c")), [VerdictKind::Corrupt]);
    assert_eq!(kinds(|sinks| sinks.late[2].rows.push(late(70, "b"))), [VerdictKind::Phantom]);
    let moved = |sinks: &mut Sinks| {
        let row = sinks.late[2].rows.remove(0);
        sinks.late[3].rows.push(row);
    };
    assert_eq!(kinds(moved), [VerdictKind::Torn]);
}

#[test]
fn a_watermark_off_the_rule_is_corrupt_and_one_cut_at_one_sink_only_is_torn() {
    let early = |sinks: &mut Sinks| sinks.each_cut(3, |cut| cut.watermark_ms += 1);
    assert_eq!(kinds(early), [VerdictKind::Corrupt]);
    assert_eq!(message(early), "epoch 3 publishes the watermark 13 ms, the rule gives 12 ms");
    let before = kinds(|sinks| sinks.each_cut(4, |cut| cut.watermark_ms = 12));
    assert_eq!(before, [VerdictKind::Corrupt]);
    for change in [
        |cut: &mut Cut| cut.watermark_ms += 1,
        |cut: &mut Cut| cut.idle.push(3),
        |cut: &mut Cut| cut.ends[0] += 1,
    ] {
        let torn = kinds(|sinks| change(&mut sinks.late[2].cut));
        assert!(torn.contains(&VerdictKind::Torn), "{torn:?}");
    }
}

#[test]
fn a_window_that_never_closes_is_stuck_unless_it_is_of_closing_tuples() {
    let short = |sinks: &mut Sinks| {
        sinks.windows.pop();
        sinks.late.pop();
    };
    assert_eq!(kinds(short), [VerdictKind::Stuck]);
    assert_eq!(
        message(short),
        "the window of [Text(\"a\")] from 10 ms with 1 tuple (tuple 0/3) is open after the last \
         epoch, 3"
    );
}

#[test]
fn a_sink_that_is_behind_is_stuck_and_has_lost_nothing() {
    assert_eq!(kinds(|sinks| sinks.windows.truncate(2)), [VerdictKind::Stuck]);
    assert_eq!(kinds(|sinks| sinks.late.truncate(2)), [VerdictKind::Stuck]);
}

#[test]
fn a_sink_that_lacks_windows_that_another_sinks_epoch_closed_is_stuck() {
    let change = |sinks: &mut Sinks| drop(sinks.windows.pop());
    assert_eq!(kinds(change), [VerdictKind::Stuck]);
    assert!(message(change).contains("no read of sink 0, up to epoch 3, shows it"));
    // An epoch without late rows may be shown later.
    assert_eq!(kinds(|sinks| drop(sinks.late.pop())), []);
}

/// Acknowledgements of the sound run, but for these offsets, and of these tuples without any.
fn without_offsets(left: &[u64], unplaced: &[(u16, u64)]) -> Vec<Acknowledged> {
    let placed = (0..7).filter(|seq| !left.contains(seq));
    let placed = placed.map(|seq| acknowledged(id(seq), Some(seq)));
    let unplaced =
        unplaced.iter().map(|(producer, seq)| TupleId { producer: *producer, seq: *seq });
    placed.chain(unplaced.map(|id| acknowledged(id, None))).collect()
}

#[test]
fn a_tuple_acknowledged_without_an_offset_for_which_none_is_left_is_lost() {
    let verdicts = |left, unplaced| verdicts(&sound(), 8, without_offsets(left, unplaced));
    for (left, unplaced, message) in [
        (
            &[][..],
            &[(1, 4)][..],
            "1 tuple (tuple 1/4) acknowledged without an offset, and 0 of partition 0 below the \
             last cut are no other's",
        ),
        (
            &[4],
            &[(0, 4), (1, 4)],
            "2 tuples (tuple 0/4, tuple 1/4) acknowledged without an offset, and 1 of partition 0 \
             below the last cut are no other's",
        ),
    ] {
        let message = message.to_owned();
        let lost = Verdict { kind: VerdictKind::Lost, message };
        assert_eq!(verdicts(left, unplaced), [lost]);
    }
}

#[test]
fn a_run_without_objections_whose_epochs_could_not_all_be_judged_is_not_measured() {
    let acknowledged = || without_offsets(&[3, 4], &[(0, 4), (1, 3)]);
    let verdicts = |sinks: &Sinks| verdicts(sinks, 7, acknowledged());
    let message = "watermarks and windows could be judged up to epoch 1 of 4: nobody was told \
                   where 2 tuples (tuple 0/4, tuple 1/3) came to be";
    let message = message.to_owned();
    assert_eq!(verdicts(&sound()), [Verdict { kind: VerdictKind::NotMeasured, message }]);
    // Another objection speaks for itself.
    let mut torn = sound();
    torn.late[2].cut.ends[0] += 1;
    let kinds: Vec<_> = verdicts(&torn).into_iter().map(|verdict| verdict.kind).collect();
    assert!(kinds.contains(&VerdictKind::Torn) && !kinds.contains(&VerdictKind::NotMeasured));
}

#[test]
fn windows_are_not_judged_from_where_a_tuple_is_not_known() {
    let kinds = |sinks: &Sinks| -> Vec<_> {
        verdicts_of(sinks, 6).into_iter().map(|verdict| verdict.kind).collect()
    };
    assert_eq!(kinds(&sound()), [VerdictKind::Stuck]);
    let mut lost = sound();
    lost.windows[2].rows.clear();
    assert_eq!(kinds(&lost), [VerdictKind::Stuck]);
    let mut early = sound();
    early.each_cut(2, |cut| cut.watermark_ms = 4);
    assert_eq!(kinds(&early), [VerdictKind::Corrupt, VerdictKind::Stuck]);
}

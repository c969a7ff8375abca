//! Tiny histories of pipelines with two stages, and what the oracle says to them.
//!
//! One partition. Windows of 10 ms by key, and behind them windows of 20 ms over all. Offset, event
//! time, key: 0: 1 a, 1: 2 a, 2: 3 b; epoch 2, watermark 3: 3: 12 a; epoch 3, watermark 12: 4: 900
//! (closing); epoch 4, watermark 900, closes the rest.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::{
    history::{Acknowledged, Batch, Cut, Read, Row},
    model::{Model, windows::fingerprint},
};

/// Event time and line of each tuple.
const TUPLES: [(u64, &[u8]); 5] = [
    (1, br#"{"key": "a"}"#),
    (2, br#"{"key": "a"}"#),
    (3, br#"{"key": "b"}"#),
    (12, br#"{"key": "a"}"#),
    (900, br#"{"key": "closing"}"#),
];

fn model() -> Model {
    Model::new(&json!({"nodes": [
        {"name": "in", "op": "source"},
        {"name": "parsed", "inputs": ["in"], "op": {"parse": [{"name": "key", "type": "text"}]}},
        {"name": "first", "inputs": ["parsed"], "op": {"window": {
            "key": ["key"], "size_ms": 10, "aggregates": [{"name": "n", "of": "count"}]}}},
        {"name": "grouped", "inputs": ["first"], "op":
            {"map": [{"name": "group", "of": {"constant": 0}}]}},
        {"name": "second", "inputs": ["grouped"], "op": {"window": {
            "key": ["group"], "size_ms": 20, "aggregates": [{"name": "all", "of": {"sum": "n"}}]}}},
        {"name": "table", "inputs": ["first"], "op": "sink"},
        {"name": "totals", "inputs": ["second"], "op": "sink"}]}))
    .expect("known")
}

fn row(cells: Vec<Cell>, seqs: &[u64]) -> Row {
    let hash = |seq: &u64| fingerprint(TupleId { producer: 0, seq: *seq });
    Row { id: None, print: seqs.iter().map(hash).fold(0, u128::wrapping_add), cells }
}

fn first(key: &str, start_ms: i64, seqs: &[u64]) -> Row {
    let count = i64::try_from(seqs.len()).expect("few");
    row(vec![Cell::Text(key.into()), Cell::Int(start_ms), Cell::Int(count)], seqs)
}

/// What the two sinks should have published.
fn sound() -> [Vec<Batch>; 2] {
    let cuts = [(3, 0), (4, 3), (5, 12), (5, 900)];
    let batches = |sink, rows: [Vec<Row>; 4]| {
        let all = rows.into_iter().zip(cuts).zip(1..);
        all.map(|((rows, (end, watermark_ms)), epoch)| {
            let idle = if epoch == 4 { vec![0] } else { vec![] };
            Batch { sink, epoch, cut: Cut { ends: vec![end], idle, watermark_ms }, rows }
        })
        .collect()
    };
    let closed = vec![first("a", 0, &[0, 1]), first("b", 0, &[2])];
    let all = row(vec![Cell::Int(0), Cell::Int(0), Cell::Int(4)], &[0, 1, 2, 3]);
    [
        batches(0, [vec![], vec![], closed, vec![first("a", 10, &[3])]]),
        batches(1, [vec![], vec![], vec![], vec![all]]),
    ]
}

fn said(change: impl FnOnce(&mut [Vec<Batch>; 2])) -> Vec<(VerdictKind, String)> {
    let mut sinks = sound();
    change(&mut sinks);
    let read = |(sink, batches): (u16, &Vec<Batch>)| Read {
        asked_ns: 9,
        at_ns: 9,
        reader: 0,
        sink,
        from: 0,
        end: batches.len() as u64,
        batches: batches.iter().cloned().map(Arc::new).collect(),
    };
    let acknowledged = (0..5).map(|seq| Acknowledged {
        at_ns: seq,
        id: TupleId { producer: 0, seq },
        partition: 0,
        offset: Some(seq),
    });
    let history = History {
        acknowledged: acknowledged.collect(),
        reads: (0..).zip(&sinks).map(read).collect(),
        ..History::default()
    };
    let sent = |id: TupleId| {
        let (time_ms, line) = *TUPLES.get(usize::try_from(id.seq).expect("few"))?;
        Some(Sent { time_ms, key: b"", row: Some(&[]), line, closing: id.seq == 4 })
    };
    let model = model();
    let (window, graph) = (model.window(), model.graph());
    let setting = Setting {
        sent: &sent,
        inputs: 5,
        partitions: 1,
        partitions_first: 1,
        sinks: 2,
        window,
        graph,
    };
    judge(&history, &setting).into_iter().map(|one| (one.kind, one.message)).collect()
}

fn kinds(change: impl FnOnce(&mut [Vec<Batch>; 2])) -> Vec<VerdictKind> {
    said(change).into_iter().map(|(kind, _)| kind).collect()
}

#[test]
fn what_the_model_gives_is_exact_in_any_order() {
    assert_eq!(said(|_| {}), []);
    assert_eq!(said(|sinks| sinks[0][2].rows.reverse()), []);
}

#[test]
fn a_missing_row_is_lost_and_told_with_its_tuples() {
    let said = said(|sinks| drop(sinks[0][2].rows.pop()));
    assert_eq!(said[0].0, VerdictKind::Lost);
    assert!(said[0].1.contains("tuple 0/2") && said[0].1.contains("sink 0"), "{said:?}");
    assert_eq!(said.len(), 1);
    assert_eq!(kinds(|sinks| sinks[1][3].rows.clear()), [VerdictKind::Lost]);
}

#[test]
fn a_row_too_many_is_double_or_nobodys() {
    let double = |sinks: &mut [Vec<Batch>; 2]| {
        let row = sinks[0][2].rows[0].clone();
        sinks[0][3].rows.push(row);
    };
    assert_eq!(kinds(double), [VerdictKind::Duplicated]);
    let foreign = |sinks: &mut [Vec<Batch>; 2]| sinks[0][1].rows.push(first("c", 0, &[1]));
    assert_eq!(kinds(foreign), [VerdictKind::Phantom]);
}

#[test]
fn a_row_in_another_epoch_is_torn_and_one_with_another_value_or_of_other_tuples_corrupt() {
    let moved = |sinks: &mut [Vec<Batch>; 2]| {
        let row = sinks[0][2].rows.pop().expect("there");
        sinks[0][3].rows.push(row);
    };
    assert_eq!(kinds(moved), [VerdictKind::Torn]);
    let value = |sinks: &mut [Vec<Batch>; 2]| sinks[1][3].rows[0].cells[2] = Cell::Int(5);
    assert_eq!(kinds(value), [VerdictKind::Corrupt]);
    let of_others = |sinks: &mut [Vec<Batch>; 2]| sinks[1][3].rows[0].print ^= 1;
    assert_eq!(kinds(of_others), [VerdictKind::Corrupt]);
}

#[test]
fn the_watermark_is_judged_as_elsewhere() {
    let change = |sinks: &mut [Vec<Batch>; 2]| {
        sinks.iter_mut().for_each(|sink| sink[1].cut.watermark_ms = 4);
    };
    assert_eq!(kinds(change), [VerdictKind::Corrupt]);
}

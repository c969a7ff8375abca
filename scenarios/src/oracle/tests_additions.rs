//! Tiny histories of a source to which a partition is added, and what the oracle says to them.

use std::sync::Arc;

use super::*;
use crate::history::{Acknowledged, Batch, Counted, Cut, Read, Row};

const CELLS: [Cell; 1] = [Cell::Int(1)];

fn id(seq: u64) -> TupleId {
    TupleId { producer: 0, seq }
}

/// The tuples 0 and 1 are in partition 0, and 2 is in the one that was added.
fn history(cuts: [(&[u64], &[u16]); 2]) -> History {
    let places = [(0, 0), (0, 1), (1, 0)];
    let acknowledged = (0u64..).zip(places).map(|(seq, (partition, offset))| Acknowledged {
        at_ns: 10 * seq + 5,
        id: id(seq),
        partition,
        offset: Some(offset),
    });
    let rows = [&[0, 1][..], &[2]];
    let batches = (1..).zip(cuts.into_iter().zip(rows)).map(|(epoch, ((ends, idle), seqs))| {
        let cut = Cut { ends: ends.to_vec(), idle: idle.to_vec(), watermark_ms: 0 };
        let row = |seq: &u64| Row { id: Some(id(*seq)), print: 0, cells: CELLS.to_vec() };
        Arc::new(Batch { sink: 0, epoch, cut, rows: seqs.iter().map(row).collect() })
    });
    let batches: Vec<_> = batches.collect();
    let end = batches.len() as u64;
    History {
        acknowledged: acknowledged.collect(),
        reads: vec![Read { asked_ns: 40, at_ns: 41, reader: 0, sink: 0, from: 0, end, batches }],
        counted: vec![counted(20, 2, None), counted(22, 2, Some(2)), counted(50, 0, Some(2))],
        ..History::default()
    }
}

fn counted(at_ns: u64, asked: u16, there: Option<u16>) -> Counted {
    Counted { at_ns, asked, there }
}

fn sound() -> History {
    history([(&[2], &[]), (&[2, 1], &[0])])
}

fn kinds(history: &History) -> Vec<VerdictKind> {
    let sent = |id: TupleId| {
        let known = id.producer == 0 && id.seq < 3;
        known.then_some(Sent {
            time_ms: 0,
            key: b"k",
            row: Some(&CELLS),
            line: b"",
            closing: false,
        })
    };
    let (window, graph) = (None, None);
    let setting = Setting {
        sent: &sent,
        inputs: 3,
        partitions: 2,
        partitions_first: 1,
        sinks: 1,
        window,
        graph,
    };
    judge(history, &setting).into_iter().map(|verdict| verdict.kind).collect()
}

#[test]
fn a_cut_that_does_not_know_of_the_new_partition_yet_is_sound() {
    assert_eq!(kinds(&sound()), []);
    assert_eq!(kinds(&history([(&[2, 0], &[1]), (&[2, 1], &[0])])), []);
}

#[test]
fn a_new_partition_is_idle_until_it_has_input() {
    assert_eq!(kinds(&history([(&[2, 0], &[]), (&[2, 1], &[0])])), [VerdictKind::Corrupt]);
}

#[test]
fn a_partition_that_goes_is_rolled_back() {
    let mut forgotten = sound();
    forgotten.counted[2].there = Some(1);
    assert_eq!(kinds(&forgotten), [VerdictKind::RolledBack]);
    let gone = kinds(&history([(&[2, 0], &[1]), (&[2], &[0])]));
    assert!(gone.contains(&VerdictKind::RolledBack), "{gone:?}");
}

#[test]
fn nothing_is_in_a_partition_before_anyone_asked_for_it() {
    let mut early = sound();
    early.counted[0].at_ns = 26;
    early.counted[1].at_ns = 27;
    assert_eq!(kinds(&early), [VerdictKind::Phantom]);
    let mut more = sound();
    more.counted[2].there = Some(3);
    assert_eq!(kinds(&more), [VerdictKind::Phantom]);
}

#[test]
fn an_addition_that_is_not_acknowledged_in_the_end_is_stuck_and_one_that_adds_too_few_is_wrong() {
    let mut pending = sound();
    pending.counted.truncate(1);
    assert_eq!(kinds(&pending), [VerdictKind::Stuck]);
    let mut few = sound();
    few.counted[1].there = Some(1);
    few.counted.truncate(2);
    assert!(kinds(&few).contains(&VerdictKind::Corrupt));
}

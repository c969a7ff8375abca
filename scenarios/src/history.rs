//! What clients saw in a run: the only thing that the oracle knows of it.
//!
//! Producers write down what was acknowledged to them, readers what they read, each as one effect
//! of their node: what a client without power would have written does not stand here.

use std::sync::Arc;

use smol_str::SmolStr;

/// A tuple's identity: who sent it, and where it stands in that producer's input, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TupleId {
    /// The producer's number.
    pub producer: u16,
    /// The position in its input.
    pub seq: u64,
}

/// A tuple that the broker acknowledged, and where it said the tuple is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// When the producer learnt it, in virtual nanoseconds.
    pub at_ns: u64,
    /// The tuple.
    pub id: TupleId,
    /// The partition of the source.
    pub partition: u16,
    /// The offset in that partition; none if the broker knows the tuple, and has thrown away where
    /// it was.
    pub offset: Option<u64>,
}

/// One value of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// No value.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Text.
    Text(SmolStr),
}

/// A row of the sink, as a reader got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The tuple that it comes from; none if it comes from many.
    pub id: Option<TupleId>,
    /// The wrapping sum of the hashes of the many that it comes from; 0 for one.
    pub print: u128,
    /// Its columns, in the pipeline's order.
    pub cells: Vec<Cell>,
}

/// Up to where the source is in a published epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Up to which offset, exclusive, each partition is in.
    pub ends: Vec<u64>,
    /// Partitions without input in this epoch.
    pub idle: Vec<u16>,
    /// The watermark, in milliseconds since 1970.
    pub watermark_ms: u64,
}

/// What a sink published in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The sink that it says it is for.
    pub sink: u16,
    /// The epoch that the sink says it is.
    pub epoch: u64,
    /// The published cut.
    pub cut: Cut,
    /// The rows that it added.
    pub rows: Vec<Row>,
}

/// One answer to a reader.
#[derive(Clone, Debug)]
pub struct Read {
    /// When the reader asked, in virtual nanoseconds.
    pub asked_ns: u64,
    /// When the reader got it, in virtual nanoseconds.
    pub at_ns: u64,
    /// The reader's number.
    pub reader: u16,
    /// The sink that was asked, in the pipeline's order.
    pub sink: u16,
    /// From which position on it asked: batches are numbered from 0.
    pub from: u64,
    /// How many batches the sink had then.
    pub end: u64,
    /// The batches from position `from` on, as many as fitted into the answer.
    pub batches: Vec<Arc<Batch>>,
}

/// What the administrator asks about the partitions of the source, or is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// When it asks, or got the answer, in virtual nanoseconds.
    pub at_ns: u64,
    /// How many it asks for; 0 if it only asks how many there are.
    pub asked: u16,
    /// How many there are; none before the answer.
    pub there: Option<u16>,
}

/// All that the clients of a run saw. A copy shares the batches.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// In the order of the producers' learning.
    pub acknowledged: Vec<Acknowledged>,
    /// In the order of the readers' reading.
    pub reads: Vec<Read>,
    /// Answers to readers that did not decode: when, in virtual nanoseconds, and why.
    pub undecodable: Vec<(u64, String)>,
    /// In order; the administrator asks for one thing after another.
    pub counted: Vec<Counted>,
}

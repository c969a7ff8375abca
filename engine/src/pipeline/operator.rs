//! Operators with state: pure, of a state, rows and a watermark. No I/O, no clock.

use xxhash_rust::xxh3::xxh3_64;

use super::{
    dedup::DedupOp, join::JoinOp, row::Row, session::SessionOp, spec::Value, window::WindowOp,
};
use crate::{
    codec,
    defect::{Defect, Defects},
    state::View,
};

/// The room that most keys take.
const KEY_BYTES: usize = 64;

/// An operator with state, and what it is given.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    pub(super) what: What,
    /// Its node's place in the pipeline.
    pub(super) node: usize,
    /// The stage that it is in, from 1.
    pub(super) stage: usize,
    /// The number of its first input's exchange.
    pub(super) exchange: usize,
    /// How far behind the epoch's watermark its input may be, in milliseconds.
    pub(super) behind_ms: u64,
    /// Whether its input comes from another one.
    pub(super) chained: bool,
}

/// Which operator.
#[derive(Clone, Debug)]
pub(super) enum What {
    Window(WindowOp),
    Session(SessionOp),
    Dedup(DedupOp),
    Join(JoinOp),
}

/// The watermarks of an epoch, in milliseconds since 1970, and which bugs are planted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermarks {
    /// The epoch's own.
    pub now_ms: u64,
    /// The one of the epoch before.
    pub before_ms: u64,
    /// Planted bugs.
    pub defects: Defects,
}

/// What an operator goes by in an epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// The operator's number.
    pub(super) op: u16,
    /// What is before this came too late, in milliseconds since 1970.
    pub(super) late_ms: u64,
    /// What ends at or before this is closed when the rows are in, in milliseconds since 1970.
    pub(super) close_ms: u64,
    pub(super) defects: Defects,
}

/// What an operator gives.
#[derive(Debug, Default)]
pub(super) struct Went {
    /// Its rows.
    pub(super) rows: Vec<Row>,
    /// Rows that came too late, as they came.
    pub(super) late: Vec<Row>,
}

impl Operator {
    /// How many inputs it has.
    pub(super) fn inputs(&self) -> usize {
        match self.what {
            What::Window(_) | What::Session(_) | What::Dedup(_) => 1,
            What::Join(_) => 2,
        }
    }

    /// The places of the key's columns in an input's rows.
    fn key(&self, input: usize) -> &[usize] {
        match &self.what {
            What::Window(window) => &window.key,
            What::Session(session) => &session.key,
            What::Dedup(dedup) => &dedup.key,
            What::Join(join) => &join.keys[input],
        }
    }

    /// The state partition of a row of an input, out of `count`.
    pub(super) fn state_partition(&self, input: usize, row: &Row, count: u16) -> u16 {
        assert!(count > 0, "state without partitions");
        let values: Vec<_> = self.key(input).iter().map(|place| &row.values[*place]).collect();
        let bytes = codec::append_plain(&values, Vec::with_capacity(KEY_BYTES));
        u16::try_from(xxh3_64(&bytes) % u64::from(count)).expect("below the number of partitions")
    }

    /// Takes in the rows of an epoch, by input.
    pub(super) fn take(
        &self,
        op: u16,
        watermarks: Watermarks,
        view: &mut View<'_>,
        mut inputs: Vec<Vec<Row>>,
    ) -> Result<Went, String> {
        let Watermarks { now_ms, before_ms, defects } = watermarks;
        let before = self.chained && !defects.has(Defect::LateByNewWatermark);
        let late_ms = if before { before_ms } else { now_ms };
        let turn = Turn {
            op,
            late_ms: late_ms.saturating_sub(self.behind_ms),
            close_ms: now_ms.saturating_sub(self.behind_ms),
            defects,
        };
        let second = if inputs.len() > 1 { inputs.remove(1) } else { Vec::new() };
        let first = inputs.pop().unwrap_or_default();
        match &self.what {
            What::Window(window) => window.take(turn, view, &first),
            What::Session(session) => session.take(turn, view, &first),
            What::Dedup(dedup) => Ok(dedup.take(turn, view, &first)),
            What::Join(join) => Ok(join.take(turn, view, &[first, second])),
        }
    }
}

/// The values of a key.
pub(super) fn group(key: &[usize], row: &Row) -> Vec<Value> {
    key.iter().map(|place| row.values[*place].clone()).collect()
}

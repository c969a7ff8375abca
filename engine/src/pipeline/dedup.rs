//! The first row of a key passes.
//!
//! A row before the watermark is late. So a row that passed is forgotten as soon as the watermark
//! is a span beyond it: none that comes in time can be so near to it.

use super::{
    check::{PipelineError, error},
    operator::{Turn, Went, group},
    row::Row,
    schema::Flow,
    spec::Dedup,
};
use crate::state::{Entry, Held, Key, View};

/// A compiled dedup.
#[derive(Clone, Debug)]
pub(super) struct DedupOp {
    /// The places of the key's columns.
    pub(super) key: Vec<usize>,
    within_ms: u64,
}

impl DedupOp {
    /// Checks and compiles.
    pub(super) fn new(node: &str, dedup: &Dedup, input: &Flow) -> Result<Self, PipelineError> {
        if dedup.within_ms == 0 {
            return Err(error(node, "within_ms is 0, and must be at least 1"));
        }
        Ok(Self { key: input.key(node, &dedup.key)?, within_ms: dedup.within_ms })
    }

    /// Lets an epoch's rows pass or not, then forgets some.
    pub(super) fn take(&self, turn: Turn, view: &mut View<'_>, rows: &[Row]) -> Went {
        let mut went = Went::default();
        // In an order that does not depend on how rows came here.
        let mut rows: Vec<_> = rows.iter().collect();
        rows.sort_by(|one, two| {
            let place = |row: &Row| (row.origin.time_ms(), row.origin.print());
            place(one).cmp(&place(two)).then_with(|| one.values.cmp(&two.values))
        });
        for row in rows {
            let time_ms = row.origin.time_ms();
            if time_ms < turn.late_ms {
                went.late.push(row.clone());
                continue;
            }
            let near_ms = self.within_ms - 1;
            let group = group(&self.key, row);
            let first =
                Key { op: turn.op, group, input: 0, at_ms: time_ms.saturating_sub(near_ms) };
            if view.between(&first, time_ms.saturating_add(near_ms)).is_empty() {
                went.rows.push(row.clone());
                let due_ms = time_ms.saturating_add(self.within_ms);
                view.put(Key { at_ms: time_ms, ..first }, Entry { due_ms, held: Held::Seen });
            }
        }
        for key in view.due(turn.op, turn.close_ms) {
            view.remove(&key);
        }
        went
    }
}

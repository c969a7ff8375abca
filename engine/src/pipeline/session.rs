//! Sessions: rows of a key that follow each other closely.
//!
//! A row before the watermark is late. So no row that comes in time reaches a session that is
//! closed: that one ended at or before the watermark, and with it its gap.

use super::{
    aggregates::Aggregates,
    check::{PipelineError, error, unlike},
    operator::{Turn, Went, group},
    row::{Origin, Row},
    schema::Flow,
    spec::{Column, ColumnType, Session, Value},
    window::WINDOW_START,
};
use crate::{
    defect::Defect,
    state::{Entry, Gathered, Held, Key, View},
};

/// The column that says when a session ends.
const WINDOW_END: &str = "window_end";

/// A compiled session.
#[derive(Clone, Debug)]
pub(super) struct SessionOp {
    node: String,
    /// The places of the key's columns.
    pub(super) key: Vec<usize>,
    gap_ms: u64,
    aggregates: Aggregates,
}

impl SessionOp {
    /// Checks and compiles; gives the columns that go out, too.
    pub(super) fn new(
        node: &str,
        session: &Session,
        input: &Flow,
    ) -> Result<(Self, Vec<Column>), PipelineError> {
        let Session { key, gap_ms, aggregates, .. } = session;
        if *gap_ms == 0 {
            return Err(error(node, "gap_ms is 0, and must be at least 1"));
        }
        let key = input.key(node, key)?;
        let (aggregates, computed) = Aggregates::new(node, aggregates, input.columns(node)?)?;
        let mut rows = input.those(&key);
        let bounds = [WINDOW_START, WINDOW_END].map(str::to_owned);
        rows.extend(bounds.map(|name| Column { name, kind: ColumnType::Int }));
        rows.extend(computed);
        unlike(node, rows.iter().map(|column| column.name.as_str()))?;
        Ok((Self { node: node.to_owned(), key, gap_ms: *gap_ms, aggregates }, rows))
    }

    /// Takes an epoch's rows in, then closes sessions.
    pub(super) fn take(
        &self,
        turn: Turn,
        view: &mut View<'_>,
        rows: &[Row],
    ) -> Result<Went, String> {
        let mut went = Went::default();
        for row in rows {
            let time_ms = row.origin.time_ms();
            if time_ms < turn.late_ms {
                went.late.push(row.clone());
                continue;
            }
            let mut start_ms = time_ms;
            let mut end_ms = time_ms.saturating_add(self.gap_ms);
            let mut gathered = self.aggregates.fresh();
            self.aggregates.add(&mut gathered, row);
            let first = Key { op: turn.op, group: group(&self.key, row), input: 0, at_ms: 0 };
            let mut merged = 0;
            // A session starts within the row's gap, and the row is within the session's.
            for key in view.between(&first, end_ms - 1) {
                if view.get(&key).is_none_or(|entry| entry.due_ms <= time_ms) {
                    continue;
                }
                let entry = view.remove(&key).expect("it was just there");
                start_ms = start_ms.min(key.at_ms);
                end_ms = end_ms.max(entry.due_ms);
                merged += 1;
                match entry.held {
                    Held::Gathered(_)
                        if merged > 1 && turn.defects.has(Defect::SessionMergeLosesOne) => {}
                    Held::Gathered(other) => gathered.merge(&other),
                    Held::Seen | Held::Rows(_) => panic!("state of another pipeline"),
                }
            }
            let entry = Entry { due_ms: end_ms, held: Held::Gathered(gathered) };
            view.put(Key { at_ms: start_ms, ..first }, entry);
        }
        for key in view.due(turn.op, turn.close_ms) {
            let entry = view.remove(&key).expect("what is due is there");
            if let Held::Gathered(gathered) = &entry.held {
                went.rows.push(self.row(&key, entry.due_ms, gathered)?);
            }
        }
        Ok(went)
    }

    /// The row of a session.
    fn row(&self, key: &Key, end_ms: u64, gathered: &Gathered) -> Result<Row, String> {
        let mut values = key.group.clone();
        for bound_ms in [key.at_ms, end_ms] {
            values.push(i64::try_from(bound_ms).map(Value::Int).map_err(|_| {
                self.refuse(format!(
                    "the event time {bound_ms} is beyond a whole number of 64 bits"
                ))
            })?);
        }
        values.extend(self.aggregates.values(gathered).map_err(|aggregate| {
            self.refuse(format!(
                "\"{aggregate}\" of the key {:?}, session {}..{end_ms}, is beyond a whole number \
                 of 64 bits",
                key.group, key.at_ms
            ))
        })?);
        let origin = Origin::Many { time_ms: end_ms - 1, print: gathered.print };
        Ok(Row { origin, values })
    }

    fn refuse(&self, what: impl std::fmt::Display) -> String {
        format!("pipeline node \"{}\": {what}", self.node)
    }
}

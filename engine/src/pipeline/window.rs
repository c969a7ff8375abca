//! Windows, one beside the other or sliding.
//!
//! A window is open until the watermark reaches its end. Then its row goes out, once, and a row
//! that would still belong to it goes only into others that are open, or is late.

use std::collections::BTreeSet;

use super::{
    aggregates::Aggregates,
    check::{PipelineError, error, unlike},
    operator::{Turn, Went, group},
    row::{Origin, Row},
    schema::Flow,
    spec::{Column, ColumnType, Mode, Value, Window},
};
use crate::{
    defect::Defect,
    state::{Entry, Gathered, Held, Key, View},
};

/// The column that says which window a row is of.
pub(super) const WINDOW_START: &str = "window_start";

/// A compiled window.
#[derive(Clone, Debug)]
pub(super) struct WindowOp {
    node: String,
    /// The places of the key's columns.
    pub(super) key: Vec<usize>,
    size_ms: u64,
    slide_ms: u64,
    mode: Mode,
    aggregates: Aggregates,
}

impl WindowOp {
    /// Checks and compiles; gives the columns that go out, too.
    pub(super) fn new(
        node: &str,
        window: &Window,
        input: &Flow,
    ) -> Result<(Self, Vec<Column>), PipelineError> {
        let Window { key, size_ms, slide_ms, mode, aggregates, .. } = window;
        let (size_ms, slide_ms) = (*size_ms, slide_ms.unwrap_or(*size_ms));
        if size_ms == 0 {
            return Err(error(node, "size_ms is 0, and must be at least 1"));
        }
        if slide_ms == 0 || slide_ms > size_ms {
            let what = format!("slide_ms is {slide_ms}, and must be from 1 to size_ms, {size_ms}");
            return Err(error(node, what));
        }
        let key = input.key(node, key)?;
        let (aggregates, computed) = Aggregates::new(node, aggregates, input.columns(node)?)?;
        let mut rows = input.those(&key);
        rows.push(Column { name: WINDOW_START.to_owned(), kind: ColumnType::Int });
        rows.extend(computed);
        unlike(node, rows.iter().map(|column| column.name.as_str()))?;
        Ok((Self { node: node.to_owned(), key, size_ms, slide_ms, mode: *mode, aggregates }, rows))
    }

    /// The starts of the windows of an event time, the latest first.
    fn starts(&self, time_ms: u64) -> impl Iterator<Item = u64> {
        let last = time_ms - time_ms % self.slide_ms;
        let earlier = |start: &u64| start.checked_sub(self.slide_ms);
        std::iter::successors(Some(last), earlier)
            .take_while(move |start| time_ms - start < self.size_ms)
    }

    fn end_ms(&self, start_ms: u64) -> u64 {
        start_ms.saturating_add(self.size_ms)
    }

    /// Takes an epoch's rows in, then closes windows.
    pub(super) fn take(
        &self,
        turn: Turn,
        view: &mut View<'_>,
        rows: &[Row],
    ) -> Result<Went, String> {
        let mut went = Went::default();
        let mut touched = BTreeSet::new();
        for row in rows {
            let time_ms = row.origin.time_ms();
            self.window_start(time_ms)?;
            let open = |start: &u64| self.end_ms(*start) > turn.late_ms;
            let mut starts = self.starts(time_ms).filter(open).peekable();
            if starts.peek().is_none() {
                went.late.push(row.clone());
                continue;
            }
            let mut group = group(&self.key, row);
            while let Some(at_ms) = starts.next() {
                let last = starts.peek().is_none();
                let group = if last { std::mem::take(&mut group) } else { group.clone() };
                let key = Key { op: turn.op, group, input: 0, at_ms };
                let early = turn.defects.has(Defect::SlidingExpiresEarly);
                let due_ms = at_ms.saturating_add(if early { self.slide_ms } else { self.size_ms });
                if self.mode == Mode::Update {
                    touched.insert((due_ms, key.clone()));
                }
                let fresh = || Entry { due_ms, held: Held::Gathered(self.aggregates.fresh()) };
                let entry = view.edit(key, fresh);
                entry.due_ms = due_ms;
                match &mut entry.held {
                    Held::Gathered(gathered) => self.aggregates.add(gathered, row),
                    Held::Seen | Held::Rows(_) => panic!("state of another pipeline"),
                }
            }
        }
        for (_, key) in touched {
            let entry = view.get(&key).expect("it was just put there");
            if let Held::Gathered(gathered) = &entry.held {
                went.rows.push(self.row(&key, gathered)?);
            }
        }
        for key in view.due(turn.op, turn.close_ms) {
            let entry = view.remove(&key).expect("what is due is there");
            if let (Held::Gathered(gathered), Mode::Append) = (entry.held, self.mode) {
                went.rows.push(self.row(&key, &gathered)?);
            }
        }
        Ok(went)
    }

    /// The row of a window.
    fn row(&self, key: &Key, gathered: &Gathered) -> Result<Row, String> {
        let end_ms = self.end_ms(key.at_ms);
        let mut values = key.group.clone();
        values.push(self.window_start(key.at_ms)?);
        values.extend(self.aggregates.values(gathered).map_err(|aggregate| {
            self.refuse(format!(
                "\"{aggregate}\" of the key {:?}, window {}..{end_ms}, is beyond a whole number \
                 of 64 bits",
                key.group, key.at_ms,
            ))
        })?);
        let origin = Origin::Many { time_ms: end_ms - 1, print: gathered.print };
        Ok(Row { origin, values })
    }

    fn window_start(&self, start_ms: u64) -> Result<Value, String> {
        i64::try_from(start_ms).map(Value::Int).map_err(|_| {
            self.refuse(format!("the event time {start_ms} is beyond a whole number of 64 bits"))
        })
    }

    fn refuse(&self, what: impl std::fmt::Display) -> String {
        format!("pipeline node \"{}\": {what}", self.node)
    }
}

#[cfg(test)]
mod tests;

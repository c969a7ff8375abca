//! Windows: rows gathered by key and event time. No I/O, no clock: the same state, rows and
//! watermark always give the same.
//!
//! A window is open until the watermark reaches its end. Then its row goes out, once, and a row
//! that would still belong to it is late. So no window that a row of this epoch goes into is closed
//! by this epoch, and what is closed is at the front of the state: the cost follows the rows and
//! the closed windows.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use super::{
    check::{PipelineError, error, find, unlike},
    run::Row,
    spec::{Column, ColumnType, Function, Value, Window},
};
use crate::state::{Accumulator, Delta, State, WindowKey};

/// The column that says which window a row is of.
const WINDOW_START: &str = "window_start";

/// A compiled window.
#[derive(Clone, Debug)]
pub struct WindowOp {
    node: String,
    /// The places of the key's columns.
    key: Vec<usize>,
    size_ms: u64,
    delay_ms: u64,
    aggregates: Vec<Compiled>,
}

/// A compiled aggregate.
#[derive(Clone, Debug)]
struct Compiled {
    name: String,
    /// What is known before the first row.
    fresh: Accumulator,
    /// The place of its column, if it has one.
    place: Option<usize>,
}

/// What an epoch comes to in one state partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reduced {
    /// A row for each closed window, by window start and key.
    pub rows: Vec<Row>,
    /// The rows that came too late, in the order in which they came.
    pub late: Vec<Row>,
    /// What becomes of the state.
    pub delta: Delta,
}

impl WindowOp {
    /// Checks and compiles, given the columns that come in; gives also those that go out.
    pub(super) fn new(
        node: &str,
        window: &Window,
        columns: &[Column],
    ) -> Result<(Self, Vec<Column>), PipelineError> {
        let Window { key, size_ms, delay_ms, aggregates } = window;
        let wrong = match (size_ms, key.len(), aggregates.len()) {
            (0, ..) => Some("size_ms is 0, and must be at least 1"),
            (_, 0, _) => Some("has no key: name at least one column"),
            (.., 0) => Some("has no aggregates: name at least one"),
            _ => None,
        };
        if let Some(what) = wrong {
            return Err(error(node, what));
        }
        let names = aggregates.iter().map(|aggregate| aggregate.name.as_str());
        unlike(node, key.iter().map(String::as_str).chain([WINDOW_START]).chain(names))?;
        let key =
            key.iter().map(|name| find(node, name, columns)).collect::<Result<Vec<_>, _>>()?;
        let mut rows: Vec<_> = key.iter().map(|place| columns[*place].clone()).collect();
        rows.push(Column { name: WINDOW_START.to_owned(), kind: ColumnType::Int });
        let mut compiled = Vec::new();
        for aggregate in aggregates {
            let (of, kind) = compile(node, &aggregate.name, &aggregate.of, columns)?;
            rows.push(Column { name: aggregate.name.clone(), kind });
            compiled.push(of);
        }
        let (node, size_ms, delay_ms) = (node.to_owned(), *size_ms, *delay_ms);
        Ok((Self { node, key, size_ms, delay_ms, aggregates: compiled }, rows))
    }

    /// How far the watermark stays behind the latest event time, in milliseconds.
    #[must_use]
    pub fn delay_ms(&self) -> u64 {
        self.delay_ms
    }

    /// The state partition of a row's key, out of `count`.
    ///
    /// # Panics
    /// If `count` is 0, or the row is none of this window's input.
    #[must_use]
    pub fn state_partition(&self, row: &Row, count: u16) -> u16 {
        assert!(count > 0, "state without partitions");
        let values: Vec<_> = self.key.iter().map(|place| &row.values[*place]).collect();
        let bytes = postcard::to_allocvec(&values).expect("plain data serialises");
        u16::try_from(xxh3_64(&bytes) % u64::from(count)).expect("below the number of partitions")
    }

    /// Takes an epoch's rows in, then closes the windows that end at or before the watermark. The
    /// state stays as it is; [`State::apply`] brings it to the next epoch.
    ///
    /// # Errors
    /// A sum that 64 bits cannot hold, with its window; an event time that no window's start can
    /// tell; a row without an event time.
    ///
    /// # Panics
    /// If a row or the state is of another pipeline.
    pub fn reduce(
        &self,
        state: &State,
        rows: &[Row],
        watermark_ms: u64,
    ) -> Result<Reduced, String> {
        let mut reduced = Reduced::default();
        let mut touched: BTreeMap<WindowKey, Vec<Accumulator>> = BTreeMap::new();
        for row in rows {
            let origin = row.origin.ok_or_else(|| self.refuse("a row has no event time"))?;
            // Both fit: a start is either 0 or at least the size, and the size then fits, too.
            let start_ms = origin.time_ms - origin.time_ms % self.size_ms;
            self.window_start(start_ms)?;
            if start_ms + self.size_ms <= watermark_ms {
                reduced.late.push(row.clone());
                continue;
            }
            let values = self.key.iter().map(|place| row.values[*place].clone()).collect();
            let key = WindowKey { start_ms, values };
            let before = |key: &WindowKey| match state.get(key) {
                Some(accumulators) => accumulators.to_vec(),
                None => self.aggregates.iter().map(|aggregate| aggregate.fresh.clone()).collect(),
            };
            let accumulators = touched.entry(key).or_insert_with_key(before);
            assert_eq!(accumulators.len(), self.aggregates.len(), "state of another pipeline");
            for (accumulator, aggregate) in accumulators.iter_mut().zip(&self.aggregates) {
                let value = aggregate.place.map_or(&Value::Null, |place| &row.values[place]);
                accumulator.add(value, &origin);
            }
        }
        for (key, accumulators) in touched {
            reduced.delta.set(key, accumulators);
        }
        if let Some(last_start_ms) = watermark_ms.checked_sub(self.size_ms) {
            for (key, accumulators) in state.started_before(last_start_ms + 1) {
                reduced.rows.push(self.closed(key, accumulators)?);
                reduced.delta.remove(key.clone());
            }
        }
        Ok(reduced)
    }

    /// The row of a window.
    fn closed(&self, key: &WindowKey, accumulators: &[Accumulator]) -> Result<Row, String> {
        let mut values = key.values.clone();
        values.push(self.window_start(key.start_ms)?);
        for (accumulator, aggregate) in accumulators.iter().zip(&self.aggregates) {
            values.push(accumulator.value().ok_or_else(|| {
                self.refuse(format!(
                    "\"{}\" of the key {:?}, window {}..{}, is beyond a whole number of 64 bits",
                    aggregate.name,
                    key.values,
                    key.start_ms,
                    key.start_ms.saturating_add(self.size_ms)
                ))
            })?);
        }
        Ok(Row { origin: None, values })
    }

    fn window_start(&self, start_ms: u64) -> Result<Value, String> {
        i64::try_from(start_ms).map(Value::Int).map_err(|_| {
            self.refuse(format!("the window start {start_ms} is beyond a whole number of 64 bits"))
        })
    }

    fn refuse(&self, what: impl std::fmt::Display) -> String {
        format!("pipeline node \"{}\": {what}", self.node)
    }
}

fn compile(
    node: &str,
    name: &str,
    function: &Function,
    columns: &[Column],
) -> Result<(Compiled, ColumnType), PipelineError> {
    use ColumnType::{Int, Text};
    let (of, fresh, kinds): (_, _, &[_]) = match function {
        Function::Count => (None, Accumulator::Count(0), &[]),
        Function::Sum(column) => (Some(column), Accumulator::Sum(None), &[Int]),
        Function::Min(column) => (Some(column), Accumulator::Min(Value::Null), &[Int, Text]),
        Function::Max(column) => (Some(column), Accumulator::Max(Value::Null), &[Int, Text]),
        Function::Fingerprint => (None, Accumulator::Fingerprint(0), &[]),
    };
    let place = of.map(|column| find(node, column, columns)).transpose()?;
    let kind = match place.map(|place| &columns[place]) {
        Some(column) if !kinds.contains(&column.kind) => {
            let what = format!(
                "the aggregate \"{name}\" takes a column of type {kinds:?}, and \"{}\" has the \
                 type {:?}",
                column.name, column.kind
            );
            return Err(error(node, what));
        }
        Some(column) => column.kind,
        None if *function == Function::Fingerprint => Text,
        None => Int,
    };
    Ok((Compiled { name: name.to_owned(), fresh, place }, kind))
}

#[cfg(test)]
mod tests;

//! Windows of event time: each tuple belongs to one, by its key and its time; a window is closed,
//! and its row shown, in the first epoch whose watermark has passed its end. What comes for it then
//! or later is late.

use std::collections::BTreeMap;

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use super::unknown;
use crate::{
    history::{Cell, TupleId},
    input::Invalid,
};

/// The window of a pipeline.
#[derive(Clone, Debug)]
pub struct Window {
    /// The places of the key's columns in a row.
    key: Vec<usize>,
    /// From a window's start to its end, in milliseconds.
    pub size_ms: u64,
    /// How far the watermark stays behind event time, in milliseconds.
    pub delay_ms: u64,
    aggregates: Vec<Aggregate>,
}

/// What is told of a window's tuples; a column is given by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Count,
    Sum(usize),
    Min(usize),
    Max(usize),
    Fingerprint,
}

/// Which window: its start in milliseconds since 1970, and its key.
pub type Name<'a> = (u64, Vec<&'a Cell>);

/// A tuple that passed all filters, on its way into its window.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The tuple.
    pub id: TupleId,
    /// Its event time, in milliseconds since 1970.
    pub time_ms: u64,
    /// Its columns.
    pub row: &'a [Cell],
}

/// What an epoch takes in.
#[derive(Clone, Debug)]
pub struct Intake<'a> {
    /// The epoch.
    pub epoch: u64,
    /// Its watermark, in milliseconds since 1970.
    pub watermark_ms: u64,
    /// Its tuples.
    pub tuples: Vec<Arrival<'a>>,
}

/// A window that was closed.
#[derive(Clone, Debug)]
pub struct Closed<'a> {
    /// The epoch that shows it.
    pub epoch: u64,
    /// Its tuples.
    pub tuples: Vec<Arrival<'a>>,
}

/// What becomes of the tuples of some epochs.
#[derive(Clone, Debug, Default)]
pub struct Course<'a> {
    /// Windows that were closed.
    pub closed: BTreeMap<Name<'a>, Closed<'a>>,
    /// Windows that were not.
    pub open: BTreeMap<Name<'a>, Vec<Arrival<'a>>>,
    /// Late tuples, and the epoch that took each in.
    pub late: BTreeMap<TupleId, u64>,
}

impl Window {
    /// Takes the operator in its JSON form, with the names of its input's columns.
    ///
    /// # Errors
    /// If it is none that this model knows.
    pub(super) fn new(op: &Value, columns: &[&str]) -> Result<Self, Invalid> {
        let place = |name: &Value| {
            let found = columns.iter().position(|known| name == known);
            found.ok_or_else(|| unknown("a known column", name))
        };
        let list = |name: &str| op[name].as_array().ok_or_else(|| unknown("a list", &op[name]));
        let span = |name: &str| op[name].as_u64().ok_or_else(|| unknown("a time", &op[name]));
        let aggregate = |one: &Value| {
            let of = &one["of"];
            let column = |kind| of.get(kind).map(place).transpose();
            Ok(match of.as_str() {
                Some("count") => Aggregate::Count,
                Some("fingerprint") => Aggregate::Fingerprint,
                _ => match (column("sum")?, column("min")?, column("max")?) {
                    (Some(place), None, None) => Aggregate::Sum(place),
                    (None, Some(place), None) => Aggregate::Min(place),
                    (None, None, Some(place)) => Aggregate::Max(place),
                    _ => return Err(unknown("an aggregate of the model", of)),
                },
            })
        };
        let size_ms = span("size_ms")?;
        if size_ms == 0 {
            return Err(unknown("a window's size", &op["size_ms"]));
        }
        Ok(Self {
            key: list("key")?.iter().map(place).collect::<Result<_, _>>()?,
            size_ms,
            delay_ms: span("delay_ms")?,
            aggregates: list("aggregates")?.iter().map(aggregate).collect::<Result<_, _>>()?,
        })
    }

    /// The start of the window of an event time, both in milliseconds since 1970.
    #[must_use]
    pub fn start_ms(&self, time_ms: u64) -> u64 {
        time_ms - time_ms % self.size_ms
    }

    /// How many columns of a window's row are its key: the first ones, before its start.
    #[must_use]
    pub fn key_columns(&self) -> usize {
        self.key.len()
    }

    /// How many columns a window's row has.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.key.len() + 1 + self.aggregates.len()
    }

    /// Takes the tuples of all epochs through their windows.
    #[must_use]
    pub fn course<'a>(&self, epochs: &[Intake<'a>]) -> Course<'a> {
        let mut course = Course::default();
        for Intake { epoch, watermark_ms, tuples } in epochs {
            for tuple in tuples {
                let start_ms = self.start_ms(tuple.time_ms);
                if start_ms + self.size_ms <= *watermark_ms {
                    course.late.insert(tuple.id, *epoch);
                } else {
                    let key = self.key.iter().map(|place| &tuple.row[*place]).collect();
                    course.open.entry((start_ms, key)).or_default().push(*tuple);
                }
            }
            while let Some(first) = course.open.first_entry()
                && first.key().0 + self.size_ms <= *watermark_ms
            {
                let (name, tuples) = first.remove_entry();
                course.closed.insert(name, Closed { epoch: *epoch, tuples });
            }
        }
        course
    }

    /// The row that shows a window.
    ///
    /// # Errors
    /// If a sum does not fit into its column.
    pub fn row(&self, name: &Name<'_>, tuples: &[Arrival<'_>]) -> Result<Vec<Cell>, Invalid> {
        let mut cells: Vec<_> = name.1.iter().map(|cell| (*cell).clone()).collect();
        cells.push(int(i128::from(name.0))?);
        for aggregate in &self.aggregates {
            let column = |place: usize| {
                tuples
                    .iter()
                    .map(move |tuple| &tuple.row[place])
                    .filter(|cell| **cell != Cell::Null)
            };
            cells.push(match *aggregate {
                Aggregate::Count => int(tuples.len() as i128)?,
                Aggregate::Sum(place) => {
                    let numbers = column(place).map(number).collect::<Result<Vec<_>, _>>()?;
                    if numbers.is_empty() { Cell::Null } else { int(numbers.iter().sum())? }
                }
                Aggregate::Min(place) => column(place).min().cloned().unwrap_or(Cell::Null),
                Aggregate::Max(place) => column(place).max().cloned().unwrap_or(Cell::Null),
                Aggregate::Fingerprint => {
                    let prints = tuples.iter().map(|tuple| fingerprint(tuple.id));
                    Cell::Text(format!("{:032x}", prints.fold(0, u128::wrapping_add)).into())
                }
            });
        }
        Ok(cells)
    }

    /// The number of tuples that a window's row tells of, if it does.
    #[must_use]
    pub fn count(&self, row: &[Cell]) -> Option<i64> {
        match self.told(row, Aggregate::Count) {
            Some(Cell::Int(count)) => Some(*count),
            Some(Cell::Null | Cell::Bool(_) | Cell::Text(_)) | None => None,
        }
    }

    /// The fingerprint that a window's row tells of, if it does.
    #[must_use]
    pub fn fingerprint(&self, row: &[Cell]) -> Option<u128> {
        match self.told(row, Aggregate::Fingerprint) {
            Some(Cell::Text(digits)) => u128::from_str_radix(digits, 16).ok(),
            Some(Cell::Null | Cell::Bool(_) | Cell::Int(_)) | None => None,
        }
    }

    fn told<'a>(&self, row: &'a [Cell], wanted: Aggregate) -> Option<&'a Cell> {
        let place = self.aggregates.iter().position(|aggregate| *aggregate == wanted)?;
        row.get(self.key.len() + 1 + place)
    }
}

/// What a tuple adds to the fingerprint of its window.
#[must_use]
pub fn fingerprint(id: TupleId) -> u128 {
    let mut bytes = [0; 10];
    bytes[..2].copy_from_slice(&id.producer.to_le_bytes());
    bytes[2..].copy_from_slice(&id.seq.to_le_bytes());
    xxh3_128(&bytes)
}

fn int(value: i128) -> Result<Cell, Invalid> {
    let fits = i64::try_from(value);
    fits.map(Cell::Int).map_err(|_| Invalid::at("the model", format!("{value} is too large")))
}

fn number(cell: &Cell) -> Result<i128, Invalid> {
    match cell {
        Cell::Int(value) => Ok(i128::from(*value)),
        Cell::Null | Cell::Bool(_) | Cell::Text(_) => {
            Err(Invalid::at("the model", format!("{cell:?} cannot be summed")))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn window() -> Window {
        let op = json!({"key": ["key"], "size_ms": 10, "delay_ms": 0, "aggregates": [
            {"name": "n", "of": "count"}, {"name": "s", "of": {"sum": "amount"}},
            {"name": "low", "of": {"min": "amount"}}, {"name": "high", "of": {"max": "amount"}},
            {"name": "print", "of": "fingerprint"}]});
        Window::new(&op, &["amount", "key"]).expect("known")
    }

    fn id(seq: u64) -> TupleId {
        TupleId { producer: 1, seq }
    }

    fn rows() -> Vec<Vec<Cell>> {
        let row = |amount, key: &str| vec![amount, Cell::Text(key.into())];
        vec![
            row(Cell::Int(3), "a"),
            row(Cell::Null, "a"),
            row(Cell::Int(-4), "a"),
            row(Cell::Null, "b"),
        ]
    }

    fn arrival(rows: &[Vec<Cell>], seq: u64, row: usize, time_ms: u64) -> Arrival<'_> {
        Arrival { id: id(seq), time_ms, row: &rows[row] }
    }

    #[test]
    fn a_window_closes_once_the_watermark_passed_its_end_and_takes_in_its_last_tuples_before() {
        let rows = rows();
        let at = |seq, time_ms| arrival(&rows, seq, 0, time_ms);
        let intake = |epoch, watermark_ms, tuples| Intake { epoch, watermark_ms, tuples };
        let course = window().course(&[
            intake(1, 0, vec![at(0, 9), at(1, 10)]),
            intake(2, 9, vec![at(2, 0)]),
            intake(3, 10, vec![at(3, 9), at(4, 19)]),
            intake(4, 20, vec![at(5, 19), at(6, 20)]),
        ]);
        let closed: Vec<_> = course
            .closed
            .iter()
            .map(|(name, closed)| {
                let seqs: Vec<_> = closed.tuples.iter().map(|tuple| tuple.id.seq).collect();
                (name.0, closed.epoch, seqs)
            })
            .collect();
        assert_eq!(closed, [(0, 3, vec![0, 2]), (10, 4, vec![1, 4])]);
        assert_eq!(course.late, BTreeMap::from([(id(3), 3), (id(5), 4)]));
        assert_eq!(course.open.keys().map(|name| name.0).collect::<Vec<_>>(), [20]);
    }

    #[test]
    fn keys_have_their_own_windows() {
        let rows = rows();
        let tuples = vec![arrival(&rows, 0, 0, 5), arrival(&rows, 1, 3, 5)];
        let course = window().course(&[Intake { epoch: 1, watermark_ms: 0, tuples }]);
        assert_eq!(course.open.len(), 2);
    }

    #[test]
    fn a_row_has_key_start_and_aggregates_and_nulls_count_only_as_tuples() {
        let rows = rows();
        let key = Cell::Text("a".into());
        let tuples: Vec<_> = (0..3)
            .map(|seq| arrival(&rows, seq, usize::try_from(seq).expect("fits"), 20))
            .collect();
        let print =
            format!("{:032x}", (0..3).map(|seq| fingerprint(id(seq))).fold(0, u128::wrapping_add));
        let row = window().row(&(20, vec![&key]), &tuples).expect("fits");
        let want = vec![
            key.clone(),
            Cell::Int(20),
            Cell::Int(3),
            Cell::Int(-1),
            Cell::Int(-4),
            Cell::Int(3),
            Cell::Text(print.into()),
        ];
        assert_eq!(row, want);
        assert_eq!(window().count(&row), Some(3));
        let nulls = window().row(&(20, vec![&key]), &tuples[1..2]).expect("fits");
        assert_eq!(nulls[2..6], [Cell::Int(1), Cell::Null, Cell::Null, Cell::Null]);
    }

    #[test]
    fn a_fingerprint_is_of_the_ten_bytes_of_producer_and_seq() {
        let bytes = [0x02, 0x01, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0, 0];
        let id = TupleId { producer: 0x0102, seq: 0x0304_0506_0708 };
        assert_eq!(fingerprint(id), xxh3_128(&bytes));
    }

    #[test]
    fn what_the_model_does_not_know_is_refused() {
        let op = |key: &str, of: &Value| json!({"key": [key], "size_ms": 10, "delay_ms": 0, "aggregates": [{"name": "n", "of": of}]});
        assert!(Window::new(&op("key", &json!("count")), &["key"]).is_ok());
        assert!(Window::new(&op("gate", &json!("count")), &["key"]).is_err());
        assert!(Window::new(&op("key", &json!("median")), &["key"]).is_err());
        assert!(Window::new(&op("key", &json!({"sum": "gate"})), &["key"]).is_err());
        assert!(
            Window::new(&json!({"key": [], "size_ms": 0, "delay_ms": 0, "aggregates": []}), &[])
                .is_err()
        );
    }
}

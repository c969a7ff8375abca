//! What is computed of the rows of a window or of a session.

use super::{
    check::{PipelineError, error, find},
    row::Row,
    spec::{Aggregate, Column, ColumnType, Function, Value},
};
use crate::{accumulator::Accumulator, state::Gathered};

/// Compiled aggregates.
#[derive(Clone, Debug)]
pub(super) struct Aggregates(Vec<Compiled>);

#[derive(Clone, Debug)]
struct Compiled {
    name: String,
    /// What is known before the first row.
    fresh: Accumulator,
    /// The place of its column, if it has one.
    place: Option<usize>,
}

impl Aggregates {
    /// Checks and compiles; gives the columns, too.
    pub(super) fn new(
        node: &str,
        aggregates: &[Aggregate],
        columns: &[Column],
    ) -> Result<(Self, Vec<Column>), PipelineError> {
        if aggregates.is_empty() {
            return Err(error(node, "has no aggregates: name at least one"));
        }
        let mut compiled = Vec::new();
        let mut rows = Vec::new();
        for aggregate in aggregates {
            let (one, kind) = compile(node, aggregate, columns)?;
            rows.push(Column { name: aggregate.name.clone(), kind });
            compiled.push(one);
        }
        Ok((Self(compiled), rows))
    }

    /// What is known before the first row.
    pub(super) fn fresh(&self) -> Gathered {
        let accumulators = self.0.iter().map(|one| one.fresh.clone()).collect();
        Gathered { accumulators, print: 0 }
    }

    /// Takes a row in.
    pub(super) fn add(&self, gathered: &mut Gathered, row: &Row) {
        assert_eq!(gathered.accumulators.len(), self.0.len(), "state of another pipeline");
        let print = row.origin.print();
        for (accumulator, aggregate) in gathered.accumulators.iter_mut().zip(&self.0) {
            let value = aggregate.place.map_or(&Value::Null, |place| &row.values[place]);
            accumulator.add(value, print);
        }
        gathered.print = gathered.print.wrapping_add(print);
    }

    /// The values for the row; or the name of the first that is a number that 64 bits cannot hold.
    pub(super) fn values(&self, gathered: &Gathered) -> Result<Vec<Value>, &str> {
        let each = gathered.accumulators.iter().zip(&self.0);
        each.map(|(one, aggregate)| one.value().ok_or(aggregate.name.as_str())).collect()
    }
}

impl Gathered {
    /// Takes in what was gathered elsewhere.
    pub(super) fn merge(&mut self, other: &Self) {
        for (one, more) in self.accumulators.iter_mut().zip(&other.accumulators) {
            one.merge(more);
        }
        self.print = self.print.wrapping_add(other.print);
    }
}

fn compile(
    node: &str,
    Aggregate { name, of: function }: &Aggregate,
    columns: &[Column],
) -> Result<(Compiled, ColumnType), PipelineError> {
    use ColumnType::{Int, Text};
    let (of, fresh, kinds): (_, _, &[_]) = match function {
        Function::Count => (None, Accumulator::Count(0), &[]),
        Function::Sum(column) => (Some(column), Accumulator::Sum(None), &[Int]),
        Function::Min(column) => (Some(column), Accumulator::Min(Value::Null), &[Int, Text]),
        Function::Max(column) => (Some(column), Accumulator::Max(Value::Null), &[Int, Text]),
        Function::Average(column) => (Some(column), Accumulator::Average(0, 0), &[Int]),
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
    Ok((Compiled { name: name.clone(), fresh, place }, kind))
}

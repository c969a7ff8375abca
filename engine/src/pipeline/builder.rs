//! A pipeline written in Rust.
//!
//! ```
//! use unplug_engine::pipeline::{Pipeline, builder::{Builder, above, column, count, sum}};
//!
//! let builder = Builder::default();
//! let flights = builder
//!     .source("flights")
//!     .parse("parsed", [column("origin", "text"), column("delay", "int")])
//!     .filter("delayed", above("delay", 0));
//! let hourly = flights
//!     .key_by("by origin", ["origin"])
//!     .tumbling("hourly", 3_600_000, 600_000, [count("flights"), sum("delays", "delay")]);
//! hourly.sink("table");
//! hourly.late_sink("late");
//! flights.sink("all");
//! let pipeline = Pipeline::new(&builder.spec())?;
//! assert_eq!(pipeline.columns(0), ["origin", "window_start", "flights", "delays"]);
//! # Ok::<(), unplug_engine::pipeline::PipelineError>(())
//! ```

use std::cell::RefCell;

use super::spec::{
    Aggregate, Column, ColumnType, Comparison, Computed, Condition, Constant, Dedup, Expression,
    Function, Join, Mode, Node, Op, Session, Spec, Split, Window,
};

/// The nodes so far.
#[derive(Debug, Default)]
pub struct Builder {
    nodes: RefCell<Vec<Node>>,
}

/// What a node gives.
#[derive(Clone, Debug)]
pub struct Stream<'a> {
    builder: &'a Builder,
    name: String,
}

impl Builder {
    /// Tuples of a source.
    pub fn source(&self, name: &str) -> Stream<'_> {
        self.add(name, &[], Op::Source)
    }

    /// What a node that is there already gives.
    #[must_use]
    pub fn stream(&self, name: &str) -> Stream<'_> {
        Stream { builder: self, name: name.to_owned() }
    }

    /// The pipeline. Whether it is sound is seen when it is compiled.
    #[must_use]
    pub fn spec(&self) -> Spec {
        Spec { nodes: self.nodes.borrow().clone() }
    }

    fn add(&self, name: &str, inputs: &[&str], op: Op) -> Stream<'_> {
        let inputs = inputs.iter().map(|input| (*input).to_owned()).collect();
        self.nodes.borrow_mut().push(Node { name: name.to_owned(), inputs, op });
        Stream { builder: self, name: name.to_owned() }
    }
}

impl<'a> Stream<'a> {
    fn then(&self, name: &str, op: Op) -> Self {
        self.builder.add(name, &[&self.name], op)
    }

    /// Reads a tuple's value as a JSON object.
    #[must_use]
    pub fn parse(&self, name: &str, columns: impl IntoIterator<Item = Column>) -> Self {
        self.then(name, Op::Parse(columns.into_iter().collect()))
    }

    /// Lets rows pass for which a condition holds.
    #[must_use]
    pub fn filter(&self, name: &str, condition: Condition) -> Self {
        self.then(name, Op::Filter(condition))
    }

    /// Keeps these columns.
    #[must_use]
    pub fn project<'b>(&self, name: &str, columns: impl IntoIterator<Item = &'b str>) -> Self {
        self.then(name, Op::Project(names(columns)))
    }

    /// Computes columns.
    #[must_use]
    pub fn map<'b>(
        &self,
        name: &str,
        columns: impl IntoIterator<Item = (&'b str, Expression)>,
    ) -> Self {
        let columns = columns.into_iter().map(|(name, of)| Computed { name: name.to_owned(), of });
        self.then(name, Op::Map(columns.collect()))
    }

    /// Gives a row for each part of a text.
    #[must_use]
    pub fn flat_map(&self, name: &str, column: &str, at: &str) -> Self {
        self.then(name, Op::FlatMap(Split { column: column.to_owned(), at: at.to_owned() }))
    }

    /// Puts rows of both together.
    #[must_use]
    pub fn union(&self, name: &str, other: &Self) -> Self {
        self.builder.add(name, &[&self.name, &other.name], Op::Union)
    }

    /// Groups by these columns what follows.
    #[must_use]
    pub fn key_by<'b>(&self, name: &str, columns: impl IntoIterator<Item = &'b str>) -> Self {
        self.then(name, Op::KeyBy(names(columns)))
    }

    /// Gathers rows in windows, one beside the other.
    #[must_use]
    pub fn tumbling(
        &self,
        name: &str,
        size_ms: u64,
        delay_ms: u64,
        aggregates: impl IntoIterator<Item = Aggregate>,
    ) -> Self {
        let aggregates = aggregates.into_iter().collect();
        let (key, mode) = (Vec::new(), Mode::Append);
        self.window(name, Window { key, size_ms, slide_ms: None, delay_ms, mode, aggregates })
    }

    /// Gathers rows in windows.
    #[must_use]
    pub fn window(&self, name: &str, window: Window) -> Self {
        self.then(name, Op::Window(window))
    }

    /// Gathers rows in sessions.
    #[must_use]
    pub fn session(
        &self,
        name: &str,
        gap_ms: u64,
        delay_ms: u64,
        aggregates: impl IntoIterator<Item = Aggregate>,
    ) -> Self {
        let (key, aggregates) = (Vec::new(), aggregates.into_iter().collect());
        self.then(name, Op::Session(Session { key, gap_ms, delay_ms, aggregates }))
    }

    /// Lets the first row of a key pass.
    #[must_use]
    pub fn dedup(&self, name: &str, within_ms: u64, delay_ms: u64) -> Self {
        self.then(name, Op::Dedup(Dedup { key: Vec::new(), within_ms, delay_ms }))
    }

    /// Puts each row beside those of another.
    #[must_use]
    pub fn join(&self, name: &str, other: &Self, join: Join) -> Self {
        self.builder.add(name, &[&self.name, &other.name], Op::Join(join))
    }

    /// Rows go out.
    pub fn sink(&self, name: &str) {
        self.then(name, Op::Sink);
    }

    /// Lines that this could not parse go out.
    pub fn dead_letters(&self, name: &str) {
        self.then(name, Op::DeadLetters);
    }

    /// Rows that came too late for this go out.
    pub fn late_sink(&self, name: &str) {
        self.then(name, Op::LateSink);
    }
}

fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    names.into_iter().map(str::to_owned).collect()
}

/// A column of the type `bool`, `int` or `text`.
///
/// # Panics
/// If it is another type.
#[must_use]
pub fn column(name: &str, kind: &str) -> Column {
    let kind = match kind {
        "bool" => ColumnType::Bool,
        "int" => ColumnType::Int,
        "text" => ColumnType::Text,
        _ => panic!("the type {kind:?} is none of bool, int, text"),
    };
    Column { name: name.to_owned(), kind }
}

fn aggregate(name: &str, of: Function) -> Aggregate {
    Aggregate { name: name.to_owned(), of }
}

/// How many rows.
#[must_use]
pub fn count(name: &str) -> Aggregate {
    aggregate(name, Function::Count)
}

/// The sum of a column.
#[must_use]
pub fn sum(name: &str, column: &str) -> Aggregate {
    aggregate(name, Function::Sum(column.to_owned()))
}

/// The least value of a column.
#[must_use]
pub fn min(name: &str, column: &str) -> Aggregate {
    aggregate(name, Function::Min(column.to_owned()))
}

/// The greatest value of a column.
#[must_use]
pub fn max(name: &str, column: &str) -> Aggregate {
    aggregate(name, Function::Max(column.to_owned()))
}

/// The mean of a column.
#[must_use]
pub fn average(name: &str, column: &str) -> Aggregate {
    aggregate(name, Function::Average(column.to_owned()))
}

/// Which tuples were gathered.
#[must_use]
pub fn fingerprint(name: &str) -> Aggregate {
    aggregate(name, Function::Fingerprint)
}

/// A column.
#[must_use]
pub fn of(column: &str) -> Expression {
    Expression::Column(column.to_owned())
}

/// A whole number.
#[must_use]
pub fn int(value: i64) -> Expression {
    Expression::Constant(Constant::Int(value))
}

/// A text.
#[must_use]
pub fn text(value: &str) -> Expression {
    Expression::Constant(Constant::Text(value.to_owned()))
}

/// A column above a whole number.
#[must_use]
pub fn above(column: &str, value: i64) -> Condition {
    compare(column, Comparison::Above, Constant::Int(value))
}

/// A column that is a whole number.
#[must_use]
pub fn is(column: &str, value: i64) -> Condition {
    compare(column, Comparison::Equal, Constant::Int(value))
}

/// A column that is a text.
#[must_use]
pub fn is_text(column: &str, value: &str) -> Condition {
    compare(column, Comparison::Equal, Constant::Text(value.to_owned()))
}

/// A column that is not null.
#[must_use]
pub fn present(column: &str) -> Condition {
    Condition::Not(Box::new(Condition::IsNull(column.to_owned())))
}

fn compare(column: &str, is: Comparison, value: Constant) -> Condition {
    Condition::Compare { column: column.to_owned(), is, value }
}

//! How a pipeline is written down.
//!
//! ```
//! let spec: unplug_engine::pipeline::Spec = serde_json::from_str(r#"{"nodes": [
//!   {"name": "flights", "op": "source"},
//!   {"name": "parsed", "inputs": ["flights"], "op": {"parse": [
//!       {"name": "origin", "type": "text"}, {"name": "delay", "type": "int"}]}},
//!   {"name": "late", "inputs": ["parsed"],
//!    "op": {"filter": {"compare": {"column": "delay", "is": "above", "value": 0}}}},
//!   {"name": "short", "inputs": ["late"], "op": {"project": ["origin"]}},
//!   {"name": "table", "inputs": ["short"], "op": "sink"}
//! ]}"#)?;
//! assert!(unplug_engine::pipeline::Pipeline::new(&spec).is_ok());
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! Windows gather rows by key and event time, and give a row for each once it is closed; rows that
//! come later than that may go to a sink of their own:
//!
//! ```
//! let spec: unplug_engine::pipeline::Spec = serde_json::from_str(r#"{"nodes": [
//!   {"name": "flights", "op": "source"},
//!   {"name": "parsed", "inputs": ["flights"], "op": {"parse": [
//!       {"name": "origin", "type": "text"}, {"name": "delay", "type": "int"}]}},
//!   {"name": "hourly", "inputs": ["parsed"], "op": {"window": {
//!       "key": ["origin"], "size_ms": 3600000, "delay_ms": 600000,
//!       "aggregates": [
//!           {"name": "flights", "of": "count"}, {"name": "delays", "of": {"sum": "delay"}},
//!           {"name": "best", "of": {"min": "delay"}}, {"name": "worst", "of": {"max": "delay"}},
//!           {"name": "print", "of": "fingerprint"}]}}},
//!   {"name": "table", "inputs": ["hourly"], "op": "sink"},
//!   {"name": "late", "inputs": ["hourly"], "op": "late_sink"}
//! ]}"#)?;
//! let pipeline = unplug_engine::pipeline::Pipeline::new(&spec).expect("sound");
//! assert_eq!(pipeline.columns(0)[..3], ["origin", "window_start", "flights"]);
//! assert_eq!(pipeline.columns(1), ["origin", "delay"]);
//! # Ok::<(), serde_json::Error>(())
//! ```

mod expression;
mod stateful;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

pub use self::{
    expression::{Computed, Expression, Split},
    stateful::{Aggregate, Dedup, Function, Join, JoinKind, Mode, Session, Window},
};

/// A pipeline as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The operators, in any order. Sources and sinks are numbered as they stand here: sinks, then
    /// sinks for late rows, then for dead letters.
    pub nodes: Vec<Node>,
}

/// One operator and where its input comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its name, unlike all others.
    pub name: String,
    /// The names of the operators whose output it takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// What it does.
    pub op: Op,
}

/// What an operator does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Tuples of a source. Where there are several, each has every so-manieth partition of the
    /// broker.
    Source,
    /// Reads a tuple's value as one JSON object: these of its fields become columns. A field that
    /// is missing is null; a value of another type stops the pipeline, unless there are
    /// `dead_letters`.
    Parse(Vec<Column>),
    /// Lets rows pass for which a condition holds.
    Filter(Condition),
    /// Keeps these columns, in this order.
    Project(Vec<String>),
    /// Computes columns of a row, each from the row as it came: it takes the place of the column of
    /// that name, or stands behind all others.
    Map(Vec<Computed>),
    /// Gives as many rows for a row as a text has parts.
    FlatMap(Split),
    /// Puts the rows of several inputs together; all have the same columns.
    Union,
    /// Names the columns by which what follows groups rows, where that names none by itself.
    KeyBy(Vec<String>),
    /// Gathers rows by key and event time.
    Window(Window),
    /// Gathers rows by key, as long as they follow each other closely.
    Session(Session),
    /// Lets the first row of a key pass.
    Dedup(Dedup),
    /// Puts each row of the first input beside those of the second that have its key and are near
    /// in event time.
    Join(Join),
    /// Rows go out.
    Sink,
    /// Rows that came too late for an operator with state go out, as they came to it. Without
    /// such a sink they are dropped.
    LateSink,
    /// Tuples whose value is not what a `parse` says go out, as rows of `partition`, `offset` and
    /// `line`; bytes of the line that are no text are replaced. Without such a sink they stop the
    /// pipeline.
    DeadLetters,
}

/// A typed column. Every column may be null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ColumnType,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// A truth value.
    Bool,
    /// A whole number of 64 bits.
    Int,
    /// Text.
    Text,
}

/// A value of a row or of a condition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Value {
    /// None.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Text.
    Text(SmolStr),
}

/// A condition on a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// A column beside a constant. Null is neither equal to, nor below, nor above anything.
    Compare {
        /// The column.
        column: String,
        /// How they must stand to each other.
        is: Comparison,
        /// The constant: a JSON truth value, whole number or text.
        value: Constant,
    },
    /// A column beside another of the same type, likewise.
    Columns {
        /// The one.
        left: String,
        /// How they must stand to each other.
        is: Comparison,
        /// The other.
        right: String,
    },
    /// The column is null.
    IsNull(String),
    /// All of these hold.
    All(Vec<Condition>),
    /// At least one of these holds.
    Any(Vec<Condition>),
    /// This does not hold.
    Not(Box<Condition>),
}

/// A constant in a condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "a constant must be true, false, a whole number of 64 bits, or text")]
pub enum Constant {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Text.
    Text(String),
}

/// How a column stands to a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// The same.
    Equal,
    /// Less; text by bytes.
    Below,
    /// More; text by bytes.
    Above,
}

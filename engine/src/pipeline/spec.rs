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

use serde::{Deserialize, Serialize};

/// A pipeline as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The operators, in any order.
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
    /// Tuples of the source.
    Source,
    /// Reads a tuple's value as one JSON object: these of its fields become columns. A field that
    /// is missing is null; a value of another type stops the pipeline.
    Parse(Vec<Column>),
    /// Lets rows pass for which a condition holds.
    Filter(Condition),
    /// Keeps these columns, in this order.
    Project(Vec<String>),
    /// Gathers rows by key and event time. Only sinks may follow.
    Window(Window),
    /// Rows go out.
    Sink,
    /// Rows that came after their window was closed go out, as they came to the window. Without
    /// such a sink they are dropped.
    LateSink,
}

/// Windows of equal size, one beside the other, for each key: `[start, start + size)`, with starts
/// that are multiples of the size. The row of a window goes out once, when the watermark has
/// reached its end: the key, `window_start` in milliseconds since 1970, the aggregates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The columns by which rows are grouped, at least one. Null is a value of its own.
    pub key: Vec<String>,
    /// How long a window is, in milliseconds; not 0.
    pub size_ms: u64,
    /// How far event times may lag behind the latest one of their partition without being late, in
    /// milliseconds.
    pub delay_ms: u64,
    /// What is computed of the rows of a window, at least one.
    pub aggregates: Vec<Aggregate>,
}

/// A column that is computed of the rows of a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    /// The column's name.
    pub name: String,
    /// What is computed.
    pub of: Function,
}

/// What can be computed of the rows of a window. None depends on the order of the rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// How many rows.
    Count,
    /// The sum of a column of whole numbers; nulls are passed over, null if there is nothing else.
    /// A sum that 64 bits cannot hold stops the pipeline.
    Sum(String),
    /// The least value of a column of whole numbers or text; nulls are passed over, null if there
    /// is nothing else.
    Min(String),
    /// The greatest, likewise.
    Max(String),
    /// 32 hexadecimal digits that tell which tuples were gathered: the sum modulo 2^128 of the
    /// hashes of their identities.
    Fingerprint,
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
    Text(String),
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

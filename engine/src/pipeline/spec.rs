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

use serde::{Deserialize, Serialize};

/// A pipeline as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The operators, in any order.
    pub nodes: Vec<Node>,
}

/// One operator and where its input comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Rows go out.
    Sink,
}

/// A typed column. Every column may be null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// The same.
    Equal,
    /// Less; text by bytes.
    Below,
    /// More; text by bytes.
    Above,
}

impl Spec {
    /// The delayed departures of the flights: parse, filter, project.
    #[must_use]
    pub fn flights() -> Self {
        let node = |name: &str, input: Option<&str>, op| Node {
            name: name.to_owned(),
            inputs: input.map(str::to_owned).into_iter().collect(),
            op,
        };
        let column = |name: &str, kind| Column { name: name.to_owned(), kind };
        let columns = vec![
            column("origin", ColumnType::Text),
            column("dest", ColumnType::Text),
            column("carrier", ColumnType::Text),
            column("flight", ColumnType::Int),
            column("tail", ColumnType::Text),
            column("delay", ColumnType::Int),
        ];
        let late = Condition::Compare {
            column: "delay".to_owned(),
            is: Comparison::Above,
            value: Constant::Int(0),
        };
        let kept = ["origin", "dest", "carrier", "flight", "delay"].map(str::to_owned);
        Self {
            nodes: vec![
                node("flights", None, Op::Source),
                node("parsed", Some("flights"), Op::Parse(columns)),
                node("late", Some("parsed"), Op::Filter(late)),
                node("short", Some("late"), Op::Project(kept.to_vec())),
                node("table", Some("short"), Op::Sink),
            ],
        }
    }
}

//! Operators with state, as they are written down.

use serde::{Deserialize, Serialize};

/// When the row of a window goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Once, when the window is closed.
    #[default]
    Append,
    /// In each epoch in which a row came for it, as the window then is. Only sinks may follow.
    Update,
}

/// Windows of equal size for each key: `[start, start + size)`, one beside the other, with starts
/// that are multiples of the size; or, with `slide_ms`, sliding ones, with starts that are
/// multiples of that. A row goes into each window of its time that is still open, and is late if
/// none is. A window is closed when the watermark has reached its end. Its row: the key,
/// `window_start` in milliseconds since 1970, the aggregates; its event time is its last
/// millisecond.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The columns by which rows are grouped; those of the `key_by` before if it is empty. Null is
    /// a value of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// How long a window is, in milliseconds; not 0.
    pub size_ms: u64,
    /// From one start of a window to the next, in milliseconds, at most the size; the size if
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slide_ms: Option<u64>,
    /// How far event times may lag behind the latest one of their partition without being late, in
    /// milliseconds. There is one watermark for all: the longest delay counts.
    #[serde(default)]
    pub delay_ms: u64,
    /// When rows go out.
    #[serde(default)]
    pub mode: Mode,
    /// What is computed of the rows of a window, at least one.
    pub aggregates: Vec<Aggregate>,
}

/// Sessions: rows of a key of which each comes less than the gap after another, in event time. A
/// row before the watermark is late. A session ends a gap behind its last row, and is closed when
/// the watermark has reached its end. Its row: the key, `window_start` and `window_end` in
/// milliseconds since 1970, the aggregates; its event time is its last millisecond.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// The columns by which rows are grouped; those of the `key_by` before if it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// The gap, in milliseconds; not 0.
    pub gap_ms: u64,
    /// As in a window.
    #[serde(default)]
    pub delay_ms: u64,
    /// What is computed of the rows of a session, at least one.
    pub aggregates: Vec<Aggregate>,
}

/// A row passes if none of its key passed before that is nearer in event time than a span, in
/// either direction. Of the rows of one epoch, the earliest come first. A row before the watermark
/// is late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Dedup {
    /// The columns in which two rows are the same; those of the `key_by` before if it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// The span, in milliseconds; not 0.
    pub within_ms: u64,
    /// As in a window.
    #[serde(default)]
    pub delay_ms: u64,
}

/// Which rows of the first input a join gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum JoinKind {
    /// Those that have a partner.
    #[default]
    Inner,
    /// Also those that have none, with nulls, as soon as none can come any more.
    LeftOuter,
}

/// A row of the first input and one of the second belong together if their keys are the same and
/// the second's event time is from `before_ms` before the first's to `after_ms` after it. A row
/// before the watermark is late. The row of a pair: the columns of the first, then those of the
/// second that are not its key; its event time is the first's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// Which rows of the first input go out.
    #[serde(default)]
    pub kind: JoinKind,
    /// The key of the first input; the columns of the `key_by` before if it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_key: Vec<String>,
    /// The key of the second, likewise; of the same types.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub right_key: Vec<String>,
    /// How far the second's event time may be before the first's, in milliseconds.
    pub before_ms: u64,
    /// How far it may be after it, in milliseconds.
    pub after_ms: u64,
    /// As in a window.
    #[serde(default)]
    pub delay_ms: u64,
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
    /// The mean of a column of whole numbers, rounded down to a whole number; nulls are passed over,
    /// null if there is nothing else.
    Average(String),
    /// 32 hexadecimal digits that tell which tuples were gathered: the sum modulo 2^128 of the
    /// hashes of their identities, each as often as it is in.
    Fingerprint,
}

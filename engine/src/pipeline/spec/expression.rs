//! What is computed of a row, as it is written down.

use serde::{Deserialize, Serialize};

use super::{Condition, Constant};

/// A column that is computed of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Computed {
    /// The column's name.
    pub name: String,
    /// What it is.
    pub of: Expression,
}

/// What is computed. Of null comes null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Expression {
    /// A column.
    Column(String),
    /// A constant.
    Constant(Constant),
    /// The row's event time, in milliseconds since 1970.
    EventTime,
    /// The sum of two whole numbers. What 64 bits cannot hold stops the pipeline.
    Plus(Box<(Expression, Expression)>),
    /// The first less the second, likewise.
    Minus(Box<(Expression, Expression)>),
    /// The product, likewise.
    Times(Box<(Expression, Expression)>),
    /// The first divided by the second, rounded down; null if that is 0.
    Per(Box<(Expression, Expression)>),
    /// What the division leaves, never negative; null if the second is 0.
    Rest(Box<(Expression, Expression)>),
    /// One of two, by a condition.
    If {
        /// The condition.
        when: Condition,
        /// What it is if the condition holds.
        then: Box<Expression>,
        /// What it is if not; of the same type.
        otherwise: Box<Expression>,
    },
}

/// A row for each part of a text; none where the text is null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The column with the text. A part takes its place.
    pub column: String,
    /// What stands between two parts, at least one byte. Between two of it, a part is empty.
    pub at: String,
}

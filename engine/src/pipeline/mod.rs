//! What is done to the tuples: a graph of operators, written in Rust or JSON, checked whole before
//! anything runs.
//!
//! - [`spec`]: how a pipeline is written down; `builtin`: those that have names; [`builder`]: one
//!   written in Rust; `dot`: one as a picture.
//! - [`graph`]: checking, and compiling to operators that work on places in place of names;
//!   `shape`: who takes from whom; `schema`: what rows are between two operators; `check`: what the
//!   checks share.
//! - [`run`]: rows through the compiled operators, up to the sinks or to the exchanges that cut the
//!   pipeline into stages; `line`: parsing; `expression`: conditions and computed columns.
//! - [`operator`]: operators with state: `window`, `session`, `dedup`, `join`; `aggregates`: what
//!   they compute.

mod aggregates;
pub mod builder;
mod builtin;
mod check;
mod dedup;
mod dot;
mod expression;
pub mod graph;
mod join;
mod line;
pub mod operator;
mod row;
pub mod run;
mod schema;
mod session;
mod shape;
pub mod spec;
mod window;

pub use check::PipelineError;
pub use graph::Pipeline;
pub use operator::Watermarks;
pub use row::{Origin, Row};
pub use run::{Gone, Reduced};
pub use spec::{
    Aggregate, Column, ColumnType, Comparison, Computed, Condition, Constant, Dedup, Expression,
    Function, Join, JoinKind, Mode, Node, Op, Session, Spec, Split, Value, Window,
};

//! What is done to the tuples: a graph of operators, written in Rust or JSON, checked whole before
//! anything runs.
//!
//! - [`spec`]: how a pipeline is written down.
//! - [`graph`]: checking, and compiling to operators that work on places in place of names.
//! - [`run`]: one tuple through the compiled operators.

pub mod graph;
pub mod run;
pub mod spec;

pub use graph::{Pipeline, PipelineError};
pub use run::Row;
pub use spec::{Column, ColumnType, Comparison, Condition, Node, Op, Spec, Value};

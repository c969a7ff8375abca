//! What is done to the tuples: a graph of operators, written in Rust or JSON, checked whole before
//! anything runs.
//!
//! - [`spec`]: how a pipeline is written down; `builtin`: those that have names.
//! - [`graph`]: checking, and compiling to operators that work on places in place of names;
//!   `chain`: the shape; `check`: what the checks share.
//! - [`run`]: one tuple through the compiled operators, up to the window or the sink.
//! - [`window`]: rows gathered by key and event time.

mod builtin;
mod chain;
mod check;
pub mod graph;
pub mod run;
pub mod spec;
pub mod window;

pub use check::PipelineError;
pub use graph::Pipeline;
pub use run::{Origin, Row};
pub use spec::{
    Aggregate, Column, ColumnType, Comparison, Condition, Function, Node, Op, Spec, Value, Window,
};
pub use window::{Reduced, WindowOp};

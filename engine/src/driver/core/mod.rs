//! The driver's decisions: what is known in, what to do out. No I/O, no clock, no node.
//!
//! - [`election`]: who should lead, and which executors are there.
//! - [`recovery`]: where a new leader goes on.
//! - [`plan`]: what an epoch reads, and what it came to.
//! - [`tasks`]: who tries which task, and when another tries beside it.
//! - [`transactions`]: which transaction of an external system is an epoch's.

pub mod election;
pub mod plan;
pub mod recovery;
pub mod tasks;
pub mod transactions;

//! Scenarios for the engine on the simulated machine: what breaks, what clients do, and an oracle
//! that judges from outside whether each tuple arrived exactly once.
//!
//! The way of a campaign: [`suite`] finds the [`scenario`]s, [`campaign`] takes each through its
//! seeds, [`generate`] makes the fault plan of a seed, [`run`] runs it and gives an [`outcome`],
//! [`report`] adds the outcomes up, and [`failure`] keeps what must be replayed.
//!
//! [`mod@shrink`] makes a failing run small, and [`testing`] makes a test of it; [`property`] searches
//! for one with proptest.
//!
//! Beside it, [`disk`] shows the disk model itself and compares it with real file systems.

mod administrator;
pub mod annotations;
pub mod campaign;
pub mod cli;
pub mod clients;
pub mod cluster;
pub mod command;
pub mod conclude;
pub mod defects;
pub mod determinism;
pub mod disk;
mod endings;
pub mod failure;
mod feeders;
pub mod files;
pub mod generate;
pub mod history;
pub mod hunt;
pub mod input;
pub mod interrupt;
pub mod junit;
mod look;
mod members;
pub mod merge;
pub mod model;
pub mod oracle;
pub mod outcome;
pub mod page;
pub mod part;
pub mod pipelines;
pub mod property;
pub mod reach;
pub mod recovery;
pub mod replay;
pub mod report;
pub mod run;
pub mod scenario;
pub mod schema;
pub mod shrink;
pub mod suite;
pub mod sweep;
pub mod table;
pub mod testing;
pub mod time;
pub mod timing;
pub mod topology;
pub mod traces;
mod validate;
pub mod worker;
pub mod workload;

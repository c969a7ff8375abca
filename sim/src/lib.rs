//! placeholder
pub mod env;
pub mod fault;
pub mod random;

//! What spans the parts is tested in `tests/`: the rules of dependence, determinism, and that
//! every tuple arrives exactly once under any plan of faults.
//!
//! [`plans`] draws plans for property tests; [`exactness`] runs one and says what to do with a
//! plan that broke the promise.

pub mod exactness;
pub mod plans;

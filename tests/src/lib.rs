//! What spans the parts is tested in `tests/`: the rules of dependence, determinism, and that
//! every tuple arrives exactly once under any plan of faults.
//!
//! [`exactness`] has the small scenario that hundreds of plans are tried on.

pub mod exactness;

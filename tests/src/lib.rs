//! What spans the parts is tested in `tests/`: the rules of dependence, determinism, and that
//! every tuple arrives exactly once under any plan of faults.

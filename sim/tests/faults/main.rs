//! Each kind of fault by what it visibly does, a kind a file.

mod clocks;
mod disk;
mod disk_faults;
mod disk_trouble;
mod glitches;
mod machine;
mod partition;
mod pause;
mod together;
mod until;

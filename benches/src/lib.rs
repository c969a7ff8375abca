//! Benchmarks are in `benches/`: the event loop beside a bare one, a scenario's run, the boot of a
//! crash image.

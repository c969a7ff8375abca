//! The simulated machine beside a bare binary-heap event loop: the same events, without nodes,
//! tasks, effects, a digest or a crash that could come at any of them.

#[path = "machine/bare.rs"]
mod bare;
#[path = "machine/simulated.rs"]
mod simulated;

use criterion::{Criterion, criterion_group, criterion_main};
use unplug_benches::{CpuTime, Side, compare, criterion};

const MS: u64 = 1_000_000;

/// How long a timer runs, in nanoseconds.
const TIMER_NS: (u64, u64) = (MS, 100 * MS);
/// The latency of a link, in nanoseconds.
const LATENCY_NS: (u64, u64) = (MS, 10 * MS);
/// How long a write takes, in nanoseconds.
const WRITE_NS: (u64, u64) = (10_000, 100_000);
/// How long a sync takes, in nanoseconds.
const SYNC_NS: (u64, u64) = (100_000, 1_000_000);

const TASKS: u32 = 1_000;
const TIMERS_PER_TASK: u32 = 200;

const MESSAGE_BYTES: usize = 100;

const WRITE_BYTES: usize = 4096;
/// Writes go round in a file of so many blocks: few, or page faults are what is measured.
const BLOCKS: u64 = 256;
const WRITES: u64 = 20_000;

/// As many clients as servers, and each pair for itself, beside nodes that do nothing.
#[derive(Clone, Copy)]
struct RoundTrips {
    pairs: u16,
    per_client: u32,
    in_flight: u32,
    idle: u16,
}

impl RoundTrips {
    const fn total(self) -> u64 {
        self.pairs as u64 * self.per_client as u64
    }
}

const ONE_IN_FLIGHT: RoundTrips =
    RoundTrips { pairs: 4, per_client: 10_000, in_flight: 1, idle: 0 };
const MANY_IN_FLIGHT: RoundTrips = RoundTrips { in_flight: 32, ..ONE_IN_FLIGHT };
const ONE_EACH: RoundTrips = RoundTrips { per_client: 1, ..ONE_IN_FLIGHT };
const TEN_NODES: RoundTrips = RoundTrips { pairs: 5, ..ONE_IN_FLIGHT };
const THOUSAND_NODES: RoundTrips = RoundTrips { pairs: 500, per_client: 1_000, ..ONE_IN_FLIGHT };
const TWO_NODES: RoundTrips = RoundTrips { pairs: 1, per_client: 100_000, ..ONE_IN_FLIGHT };
const TWO_OF_A_THOUSAND: RoundTrips = RoundTrips { idle: 998, ..TWO_NODES };

fn timers(criterion: &mut Criterion<CpuTime>) {
    let elements = u64::from(TASKS) * u64::from(TIMERS_PER_TASK);
    let ours = Side { name: "machine", work: simulated::timers, elements };
    compare(criterion, "timers", ours, Side { name: "bare", work: bare::timers, elements });
}

fn one_in_flight(criterion: &mut Criterion<CpuTime>) {
    let elements = ONE_IN_FLIGHT.total();
    let work = || simulated::round_trips(ONE_IN_FLIGHT);
    let ours = Side { name: "machine", work, elements };
    let theirs = Side { name: "bare", work: || bare::round_trips(ONE_IN_FLIGHT), elements };
    compare(criterion, "round trips, 1 in flight", ours, theirs);
}

fn many_in_flight(criterion: &mut Criterion<CpuTime>) {
    let elements = MANY_IN_FLIGHT.total();
    let work = || simulated::round_trips(MANY_IN_FLIGHT);
    let ours = Side { name: "machine", work, elements };
    let theirs = Side { name: "bare", work: || bare::round_trips(MANY_IN_FLIGHT), elements };
    compare(criterion, "round trips, 32 in flight", ours, theirs);
}

fn writes(criterion: &mut Criterion<CpuTime>) {
    let ours = Side { name: "machine", work: simulated::writes, elements: WRITES };
    let theirs = Side { name: "bare", work: bare::writes, elements: WRITES };
    compare(criterion, "4 KiB write and sync", ours, theirs);
}

/// The machine's side also boots its eight nodes; the bare one has none.
fn worlds(criterion: &mut Criterion<CpuTime>) {
    let work = || simulated::round_trips(ONE_EACH);
    let ours = Side { name: "machine", work, elements: 1 };
    let theirs = Side { name: "bare", work: || bare::round_trips(ONE_EACH), elements: 1 };
    compare(criterion, "8-node worlds", ours, theirs);
}

fn many_nodes(criterion: &mut Criterion<CpuTime>) {
    let side = |name, work, of: RoundTrips| Side { name, work, elements: of.total() };
    let ours = side("1,000 nodes", || simulated::round_trips(THOUSAND_NODES), THOUSAND_NODES);
    let theirs = side("10 nodes", || simulated::round_trips(TEN_NODES), TEN_NODES);
    compare(criterion, "round trips by nodes", ours, theirs);
}

/// Nodes that do nothing cost nothing: what is left is to set them up.
fn idle_nodes(criterion: &mut Criterion<CpuTime>) {
    let side = |name, work, of: RoundTrips| Side { name, work, elements: of.total() };
    let ours =
        side("2 of 1,000 nodes", || simulated::round_trips(TWO_OF_A_THOUSAND), TWO_OF_A_THOUSAND);
    let theirs = side("2 nodes", || simulated::round_trips(TWO_NODES), TWO_NODES);
    compare(criterion, "round trips beside idle nodes", ours, theirs);
}

criterion_group! {
    name = machine;
    config = criterion();
    targets = timers, one_in_flight, many_in_flight, writes, worlds, many_nodes, idle_nodes
}
criterion_main!(machine);

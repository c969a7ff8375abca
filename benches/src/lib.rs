//! What the benchmarks in `benches/` share: they measure CPU time rather than wall time, since
//! cores are shared, and compare two things by turns, since figures of two runs do not compare.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use criterion::{
    Criterion, Throughput,
    measurement::{Measurement, ValueFormatter, WallTime},
};

/// The program's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often each side of a ratio is measured; the median counts.
const ROUNDS: usize = 9;

/// How long one measurement of a side takes at least.
const ROUND_MIN: Duration = Duration::from_millis(20);

/// Criterion as all benchmarks here use it: CPU time, and short.
#[must_use]
pub fn criterion() -> Criterion<CpuTime> {
    Criterion::default()
        .with_measurement(CpuTime)
        .without_plots()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

/// Measures the CPU time of the thread; wall time where threads have no such clock.
#[derive(Clone, Copy, Debug)]
pub struct CpuTime;

#[cfg(unix)]
impl CpuTime {
    fn now() -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let part = |value: i64| u64::try_from(value).unwrap_or_default();
        Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
    }
}

#[cfg(unix)]
type Start = Duration;

#[cfg(not(unix))]
type Start = <WallTime as Measurement>::Intermediate;

impl Measurement for CpuTime {
    type Intermediate = Start;
    type Value = Duration;

    fn start(&self) -> Start {
        #[cfg(unix)]
        return Self::now();
        #[cfg(not(unix))]
        WallTime.start()
    }

    fn end(&self, start: Start) -> Duration {
        #[cfg(unix)]
        return Self::now().saturating_sub(start);
        #[cfg(not(unix))]
        WallTime.end(start)
    }

    fn add(&self, left: &Duration, right: &Duration) -> Duration {
        *left + *right
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// One side of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Side {
    /// What it is called.
    pub name: &'static str,
    /// Does its work once.
    pub work: fn(),
    /// How many elements that is.
    pub elements: u64,
}

/// Benchmarks both sides as one group, and prints how many times more CPU time `ours` takes for an
/// element than `theirs`.
pub fn compare(criterion: &mut Criterion<CpuTime>, name: &str, ours: Side, theirs: Side) {
    let mut group = criterion.benchmark_group(name);
    let mut ran = 0;
    for side in [ours, theirs] {
        group.throughput(Throughput::Elements(side.elements));
        let mut wanted = false;
        group.bench_function(side.name, |bencher| {
            wanted = true;
            bencher.iter(side.work);
        });
        ran += u32::from(wanted);
    }
    group.finish();
    // A filter on the command line may have left a side out.
    if ran < 2 {
        return;
    }
    let mut costs = (0..ROUNDS).map(|_| (cost_ns(ours), cost_ns(theirs))).collect::<Vec<_>>();
    let mut median = |key: fn(&(f64, f64)) -> f64| {
        costs.sort_by(|left, right| key(left).total_cmp(&key(right)));
        key(&costs[ROUNDS / 2])
    };
    let (our_ns, their_ns) = (median(|cost| cost.0), median(|cost| cost.1));
    let ratio = median(|cost| cost.0 / cost.1);
    say(&format!(
        "{name}: {} takes {ratio:.2} × {} ({our_ns:.1} ns and {their_ns:.1} ns of CPU time)\n",
        ours.name, theirs.name
    ));
}

/// Prints a line among criterion's.
pub fn say(line: &str) {
    // A closed pipe is no reason to stop measuring.
    drop(writeln!(io::stdout(), "{line}"));
}

/// The CPU time for one element, in nanoseconds: of as many repetitions as it takes for reading
/// the clock not to count.
fn cost_ns(side: Side) -> f64 {
    let mut repetitions = 1;
    loop {
        let start = CpuTime.start();
        (0..repetitions).for_each(|_| (side.work)());
        let spent = CpuTime.end(start);
        if spent >= ROUND_MIN {
            return CpuTime.to_f64(&spent) / (repetitions * side.elements) as f64;
        }
        repetitions *= 2;
    }
}

//! What the programs share, so that they do the same work: the workloads' figures, their random
//! numbers, and the clock that measures them.

use std::{env, process::ExitCode, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// One allocator for all.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MS: u64 = 1_000_000;

/// How long a timer runs, in nanoseconds: half-open, as all ranges here.
pub const TIMER_NS: (u64, u64) = (MS, 100 * MS);
/// The latency of a link, in nanoseconds.
pub const LATENCY_NS: (u64, u64) = (MS, 10 * MS);
/// How long a write takes, in nanoseconds.
pub const WRITE_NS: (u64, u64) = (10_000, 100_000);
/// How long a sync takes, in nanoseconds.
pub const SYNC_NS: (u64, u64) = (100_000, 1_000_000);

/// How many tasks wait for timers.
pub const TASKS: u64 = 1_000;
/// How many clients there are, and servers: each pair for itself.
pub const PAIRS: u8 = 4;
/// The length of a request and of its answer.
pub const MESSAGE_BYTES: usize = 100;
/// The length of a write.
pub const WRITE_BYTES: usize = 4096;
/// Writes go round in a file of so many blocks: few, or page faults are what is measured.
pub const BLOCKS: u64 = 256;

/// The port that servers listen on.
pub const SERVER_PORT: u16 = 700;
/// The first port of a client; its n-th conversation has the n-th after it.
pub const CLIENT_PORT: u16 = 1000;

/// Clients and servers: each client has conversations, and each of those one request in flight.
#[derive(Clone, Copy, Debug)]
pub struct RoundTrips {
    /// The conversations of each client.
    pub conversations: u16,
    /// The round trips of each conversation.
    pub each: u64,
    /// The seed of the world.
    pub seed: u64,
}

impl RoundTrips {
    /// At least `total` round trips, `conversations` in flight from each client.
    #[must_use]
    pub fn of(total: u64, conversations: u16) -> Self {
        let each = total.div_ceil(u64::from(PAIRS) * u64::from(conversations));
        Self { conversations, each, seed: 42 }
    }

    /// The world number `seed` of those that make one round trip a client.
    #[must_use]
    pub fn one_each(seed: u64) -> Self {
        Self { conversations: 1, each: 1, seed }
    }

    /// How many these are.
    #[must_use]
    pub fn total(self) -> u64 {
        u64::from(PAIRS) * u64::from(self.conversations) * self.each
    }

    /// Checks that the network took its time: `elapsed` is the virtual time of the longest
    /// conversation. There is no upper bound, since some peers add to it.
    ///
    /// # Panics
    /// If it took less: then this is another workload.
    pub fn check_elapsed(self, elapsed: Duration) {
        let least = Duration::from_nanos(self.each * 2 * LATENCY_NS.0);
        assert!(elapsed >= least, "{} round trips took {elapsed:?} only", self.each);
    }
}

/// Splitmix64: cheap, so that drawing delays is not what is measured.
#[derive(Clone, Copy, Debug)]
pub struct Random(pub u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// The next delay of a range, in nanoseconds.
    pub fn between(&mut self, (low, high): (u64, u64)) -> u64 {
        low + self.bits() % (high - low)
    }
}

/// A range of nanoseconds as durations.
#[must_use]
pub fn durations((low, high): (u64, u64)) -> (Duration, Duration) {
    (Duration::from_nanos(low), Duration::from_nanos(high))
}

/// A workload's name and its work: it is asked for a number of elements, and tells how many it did.
pub type Workload = (&'static str, fn(u64) -> u64);

/// Runs the workload that the command line names, for as many elements as it says, and prints how
/// many were done and how many nanoseconds of CPU time that took.
#[must_use]
pub fn run(workloads: &[Workload]) -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let names: Vec<&str> = workloads.iter().map(|(name, _)| *name).collect();
    let [name, elements] = arguments.as_slice() else {
        return refuse(&format!("arguments: {}; give a workload and a number", arguments.len()));
    };
    let Some((_, work)) = workloads.iter().find(|(known, _)| known == name) else {
        return refuse(&format!("workload {name:?}: not one of {}", names.join(", ")));
    };
    let Some(elements) = elements.parse().ok().filter(|elements| (1..=1 << 40).contains(elements))
    else {
        return refuse(&format!("elements {elements:?}: not a number from 1 to 2^40"));
    };
    let start = cpu_time();
    let done = work(elements);
    let spent = cpu_time().saturating_sub(start);
    println!("{done} {}", spent.as_nanos());
    ExitCode::SUCCESS
}

fn refuse(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::from(2)
}

/// The CPU time of all threads of this process, of the user and of the system.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let part = |value: i64| u64::try_from(value).unwrap_or_default();
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}

//! What makes sense as input.

use super::bounds::{ratio, within};
use crate::{
    input::Invalid,
    scenario::{Generated, Source},
    workload::FLIGHTS,
};

/// Checks what producers send.
pub(super) fn check(source: &Source) -> Result<(), Invalid> {
    match source {
        Source::Flights(flights) => {
            within("workload.flights.tuples", flights.tuples, 1..=FLIGHTS)?;
            within("workload.flights.per_second", flights.per_second, 1..=1_000_000)
        }
        Source::Generated(made) => {
            generated(made).map_err(|error| error.within("workload.generated"))
        }
    }
}

fn generated(made: &Generated) -> Result<(), Invalid> {
    within("tuples", made.tuples, 1..=100_000)?;
    within("per_second", made.per_second, 1..=1_000_000)?;
    within("keys", made.keys, 1..=100_000)?;
    ratio("skew", made.skew)?;
    // Event time begins with the run's, and must not fall before 1970.
    within("disorder_ms", made.disorder_ms, 0..=24 * 3_600_000)?;
    ratio("late", made.late)?;
    within("late_ms", made.late_ms, 0..=24 * 3_600_000)?;
    ratio("broken", made.broken)?;
    ratio("idle", made.idle)?;
    if made.idle.0 == made.idle.1 {
        return Err(Invalid::at("idle", "every partition stops; leave one that goes on"));
    }
    Ok(())
}

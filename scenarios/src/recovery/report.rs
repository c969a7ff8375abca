//! The figures of all cells, as `--json` leaves them and `--baseline` reads them: whole numbers only,
//! and the same bytes from the same build, grid and seeds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{bound::Bound, fault::Fault, measure::Measured, phase::Phase, setting::Setting};
use crate::input::{self, Invalid};

/// The version of the file's form.
pub const FORMAT: u32 = 1;

/// The figures of a grid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// The version of this form.
    pub format: u32,
    /// The version of the program.
    pub version: String,
    /// The seeds: from the first up to, not including, the second.
    pub seeds: (u64, u64),
    /// The cells.
    pub cells: Vec<CellFigures>,
}

/// The figures of a cell. Times are virtual, in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CellFigures {
    /// Its name: the fault, and what differs from the default setting.
    pub name: String,
    /// What broke.
    pub fault: Fault,
    /// Under what.
    pub setting: Setting,
    /// Runs that were measured.
    pub measured: u64,
    /// Runs in which the oracle objected to something.
    pub failed: u64,
    /// Runs that did not become whole again.
    pub not_whole: u64,
    /// From the strike until all sinks published the first epoch that takes in what arrived after it.
    pub recovery_ns: Spread,
    /// From the strike to the first such epoch at a normal lag.
    pub whole_ns: Spread,
    /// What a recovery takes at the least.
    pub bound: Bound,
    /// How long each phase took.
    pub phases: Vec<PhaseFigures>,
    /// The highest lag from the strike until it was whole.
    pub peak_lag_ns: Spread,
    /// Tuples of the source that were read once more.
    pub tuples_replayed: Spread,
    /// CPU time of attempts at tasks beside those that were needed.
    pub work_wasted_ns: Spread,
    /// Bytes of states that were loaded.
    pub state_bytes: Spread,
    /// The recovery times of all runs, in order.
    pub recoveries_ns: Vec<u64>,
    /// The epochs around the strike, in the run whose recovery time is the median: when it was
    /// published, from the strike; its lag; how many tuples it took in.
    pub course: Vec<(i64, u64, u64)>,
}

/// A phase of a cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PhaseFigures {
    /// Which.
    pub phase: Phase,
    /// How long it took.
    pub took_ns: Spread,
    /// The sum over all runs; shares of the mean recovery add up.
    pub sum_ns: u64,
}

/// Of the values of all runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Half of them are at or below it.
    pub median: u64,
    /// 95 of 100 are at or below it.
    pub p95: u64,
    /// The highest.
    pub worst: u64,
}

impl Spread {
    /// Of these values; zeros of none.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = u64>) -> Self {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_unstable();
        let at = |percent: usize| {
            let place = (values.len() * percent).div_ceil(100).max(1) - 1;
            values.get(place).copied().unwrap_or(0)
        };
        Self { median: at(50), p95: at(95), worst: at(100) }
    }
}

/// What became of the runs of a cell.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// Those that became whole, in the order of their seeds.
    pub(super) measured: Vec<Measured>,
    /// How many the oracle objected to.
    pub(super) failed: u64,
    /// How many did not become whole.
    pub(super) not_whole: u64,
}

impl CellFigures {
    /// The figures of these runs.
    pub(super) fn of(cell: &super::grid::Cell, runs: &Runs) -> Self {
        let Runs { measured, failed, not_whole } = runs;
        let spread = |of: &dyn Fn(&Measured) -> u64| Spread::of(measured.iter().map(of));
        let phase = |phase: Phase| PhaseFigures {
            phase,
            took_ns: spread(&|run| run.phases.of(phase)),
            sum_ns: measured.iter().map(|run| run.phases.of(phase)).sum(),
        };
        let recovery_ns = spread(&|run| run.recovery_ns);
        let usual = measured.iter().find(|run| run.recovery_ns == recovery_ns.median);
        let course = usual.map(|run| run.course.as_slice()).unwrap_or_default();
        let mut recoveries_ns: Vec<_> = measured.iter().map(|run| run.recovery_ns).collect();
        recoveries_ns.sort_unstable();
        Self {
            name: cell.name(),
            fault: cell.fault,
            setting: cell.setting.clone(),
            measured: measured.len() as u64,
            failed: *failed,
            not_whole: *not_whole,
            recovery_ns,
            whole_ns: spread(&|run| run.whole_ns),
            bound: Bound::of(cell.fault, &cell.setting),
            phases: Phase::ALL.map(phase).into(),
            peak_lag_ns: spread(&|run| run.peak_lag_ns),
            tuples_replayed: spread(&|run| run.tuples_replayed),
            work_wasted_ns: spread(&|run| run.work_wasted_ns),
            state_bytes: spread(&|run| run.state_bytes),
            recoveries_ns,
            course: course.iter().map(|point| (point.at_ns, point.lag_ns, point.tuples)).collect(),
        }
    }
}

impl Figures {
    /// Reads figures; `source` is what to call the text in an error.
    ///
    /// # Errors
    /// If the text is damaged, is something else, or is of a version unknown here.
    pub fn parse(source: &str, text: &str) -> Result<Self, Invalid> {
        #[derive(Deserialize)]
        struct Header {
            format: u32,
        }
        let Header { format } = input::parse(source, text)?;
        if format != FORMAT {
            let problem = format!("{format} is unknown here; this unplug reads format {FORMAT}");
            return Err(Invalid::at("format", problem).within(source));
        }
        input::parse(source, text)
    }

    /// Whether every run was exact and became whole again.
    #[must_use]
    pub fn all_held(&self) -> bool {
        self.cells.iter().all(|cell| cell.failed == 0 && cell.not_whole == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_values_that_were_there() {
        assert_eq!(Spread::of([]), Spread::default());
        assert_eq!(Spread::of([7]), Spread { median: 7, p95: 7, worst: 7 });
        assert_eq!(Spread::of((1..=200).rev()), Spread { median: 100, p95: 190, worst: 200 });
        assert_eq!(Spread::of([3, 1, 2]), Spread { median: 2, p95: 3, worst: 3 });
    }
}

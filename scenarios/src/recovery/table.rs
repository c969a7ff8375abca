//! The table at the end of `recovery`.

use std::fmt::Write as _;

use super::report::{CellFigures, Figures};

/// A time in milliseconds, rounded.
#[must_use]
pub(super) fn ms(ns: u64) -> u64 {
    (ns + 500_000) / 1_000_000
}

/// One line for each cell.
#[must_use]
pub(super) fn render(figures: &Figures) -> String {
    let mut text = format!(
        "{:<44} {:>5} {:>7} {:>7} {:>7} {:>7} {:>6}  longest phase\n",
        "virtual ms", "runs", "median", "p95", "worst", "bound", "whole"
    );
    for cell in &figures.cells {
        writeln!(
            text,
            "{:<44} {:>5} {:>7} {:>7} {:>7} {:>7} {:>6}  {}{}",
            cell.name,
            cell.measured,
            ms(cell.recovery_ns.median),
            ms(cell.recovery_ns.p95),
            ms(cell.recovery_ns.worst),
            ms(cell.bound.total_ns),
            ms(cell.whole_ns.median),
            longest(cell),
            troubles(cell),
        )
        .expect("a string takes all");
    }
    text
}

/// The phase that took longest over all runs, and its share.
fn longest(cell: &CellFigures) -> String {
    let all: u64 = cell.phases.iter().map(|phase| phase.sum_ns).sum();
    let longest = cell.phases.iter().max_by_key(|phase| phase.sum_ns);
    longest.filter(|_| all > 0).map_or_else(String::new, |phase| {
        let percent = u128::from(phase.sum_ns) * 100 / u128::from(all);
        format!("{} {percent} %", phase.phase.name())
    })
}

/// How many runs failed or were not whole within the run, if any.
pub(super) fn troubles(cell: &CellFigures) -> String {
    let mut text = String::new();
    for (count, what) in [(cell.failed, "failed"), (cell.not_whole, "not whole")] {
        if count > 0 {
            write!(text, "; {count} {what}").expect("a string takes all");
        }
    }
    text
}

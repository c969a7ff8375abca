//! Figures beside earlier ones: what got worse, and by how much.
//!
//! Virtual time is exact: an unchanged build has the same figures to the nanosecond. A change of the
//! engine, though one that makes nothing slower, has runs meet other draws, and with 200 seeds moves
//! a median by a few hundredths. So a cell is worse if the recovery's median or 95th percentile has
//! grown by more than [`RECOVERY_PERCENT`], or a phase's by more than [`PHASE_PERCENT`]; and no
//! growth counts below [`LEAST_NS`].

use std::fmt::Write as _;

use super::{
    report::{CellFigures, Figures, Spread},
    table::ms,
};
use crate::input::Invalid;

/// The recovery may take so much longer, in hundredths.
pub(super) const RECOVERY_PERCENT: u64 = 15;
/// A phase may take so much longer, in hundredths.
pub(super) const PHASE_PERCENT: u64 = 30;
/// No growth counts that is not more than this.
pub(super) const LEAST_NS: u64 = 10_000_000;

/// What got worse, a line each; none if nothing did.
///
/// # Errors
/// If the two were not measured alike: with other seeds, or of other cells.
pub fn worse(baseline: &Figures, now: &Figures) -> Result<Vec<String>, Invalid> {
    let mut lines = Vec::new();
    for (before, after) in pairs(baseline, now)? {
        let phases = before.phases.iter().zip(&after.phases);
        let phases = phases.map(|(before, after)| {
            (before.phase.name(), PHASE_PERCENT, before.took_ns, after.took_ns)
        });
        let recovery = ("recovery", RECOVERY_PERCENT, before.recovery_ns, after.recovery_ns);
        for (what, percent, before_ns, after_ns) in [recovery].into_iter().chain(phases) {
            let both = [
                ("median", before_ns.median, after_ns.median),
                ("p95", before_ns.p95, after_ns.p95),
            ];
            for (which, before_ns, after_ns) in both {
                if is_worse(before_ns, after_ns, percent) {
                    lines.push(format!(
                        "{}: {what}, {which}: {} ms, and the baseline has {} ms; {percent} % more \
                         is allowed",
                        after.name,
                        ms(after_ns),
                        ms(before_ns)
                    ));
                }
            }
        }
    }
    Ok(lines)
}

fn is_worse(before_ns: u64, after_ns: u64, percent: u64) -> bool {
    let more_ns = after_ns.saturating_sub(before_ns);
    more_ns > LEAST_NS && u128::from(more_ns) * 100 > u128::from(before_ns) * u128::from(percent)
}

/// The cells of both, as a table.
///
/// # Errors
/// If the two were not measured alike.
pub(super) fn table(a: &Figures, b: &Figures) -> Result<String, Invalid> {
    let mut text = format!(
        "{:<44} {:>10} {:>10} {:>7} {:>10} {:>10} {:>7}\n",
        "recovery, ms", "median A", "B", "", "p95 A", "B", ""
    );
    for (before, after) in pairs(a, b)? {
        let (Spread { median, p95, .. }, now) = (before.recovery_ns, after.recovery_ns);
        writeln!(
            text,
            "{:<44} {:>10} {:>10} {:>7} {:>10} {:>10} {:>7}",
            before.name,
            ms(median),
            ms(now.median),
            change(median, now.median),
            ms(p95),
            ms(now.p95),
            change(p95, now.p95),
        )
        .expect("a string takes all");
    }
    Ok(text)
}

/// By how much something changed, in hundredths.
fn change(before: u64, after: u64) -> String {
    let (before, after) = (i128::from(before.max(1)), i128::from(after));
    format!("{:+} %", (after - before) * 100 / before)
}

/// The cells of the first, each beside the same of the second.
fn pairs<'a>(
    a: &'a Figures,
    b: &'a Figures,
) -> Result<Vec<(&'a CellFigures, &'a CellFigures)>, Invalid> {
    if a.seeds != b.seeds {
        let [a, b] = [a, b].map(|figures| format!("{}..{}", figures.seeds.0, figures.seeds.1));
        let what = format!("the one has seeds {a}, the other {b}; measure both with the same");
        return Err(Invalid::new(what));
    }
    let mut pairs = Vec::new();
    for before in &a.cells {
        let after = b.cells.iter().find(|cell| cell.name == before.name);
        let alike = after.filter(|after| after.setting == before.setting);
        let after = alike.ok_or_else(|| {
            let name = &before.name;
            Invalid::new(format!(
                "the cell {name} is only in one of them, or was set otherwise; measure both with \
                 the same grid"
            ))
        })?;
        pairs.push((before, after));
    }
    if let Some(new) = b.cells.iter().find(|cell| a.cells.iter().all(|one| one.name != cell.name)) {
        let name = &new.name;
        let what = "is only in one of them; measure both with the same grid";
        return Err(Invalid::new(format!("the cell {name} {what}")));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_grew_by_more_than_is_allowed_is_worse() {
        let second = 1_000_000_000;
        assert!(!is_worse(second, second * 115 / 100, 15));
        assert!(is_worse(second, second * 115 / 100 + 1, 15));
        assert!(!is_worse(second, 0, 15));
        assert!(!is_worse(0, LEAST_NS, 15));
        assert!(is_worse(0, LEAST_NS + 1, 15));
        assert_eq!((change(200, 300), change(200, 150)), ("+50 %".to_owned(), "-25 %".to_owned()));
    }
}

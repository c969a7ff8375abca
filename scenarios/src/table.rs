//! The table at the end of `run`, within 120 columns.

use std::collections::BTreeMap;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

use crate::report::{Percentiles, ScenarioReport};

/// The steps of an epoch, in their order.
const STEPS: [&str; 6] = ["generation", "offsets", "tasks", "blobs", "commit", "apply"];

const HEADER: [&str; 10] = [
    "scenario",
    "seeds",
    "passed",
    "failed",
    "caught",
    "tuples",
    "faults fired",
    "unsynced\n/ cuts",
    "steps 1–6\ncut short",
    "recovery\np50, p99",
];

/// One row for each scenario.
#[must_use]
pub fn render(scenarios: &[ScenarioReport]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(HEADER.into_iter().chain(["seeds/s,\nvirtual s\nper CPU s"]));
    for scenario in scenarios {
        table.add_row(row(scenario).into_iter().map(Cell::new));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if index > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn row(scenario: &ScenarioReport) -> Vec<String> {
    let steps = STEPS.map(|step| count(&scenario.steps_interrupted, step));
    let Percentiles { p50, p99 } = scenario.recovery_ns;
    let rate = |rate: Option<f64>| rate.map_or("–".to_owned(), |rate| format!("{rate:.0}"));
    vec![
        scenario.name.clone(),
        scenario.seeds.to_string(),
        scenario.passed.to_string(),
        scenario.failed.to_string(),
        scenario.caught.map_or("–".to_owned(), |caught| caught.to_string()),
        scenario.tuples.to_string(),
        each(&scenario.faults),
        format!("{}\n/ {}", scenario.power_cuts_unsynced, scenario.power_cuts),
        format!("{}\n{}", steps[..3].join(" "), steps[3..].join(" ")),
        format!("{}\n{}", duration(p50), duration(p99)),
        format!("{}\n{}", rate(Some(scenario.seeds_per_s)), rate(scenario.virtual_s_per_cpu_s)),
    ]
}

fn count(counts: &BTreeMap<String, u64>, name: &str) -> String {
    counts.get(name).copied().unwrap_or_default().to_string()
}

fn each(counts: &BTreeMap<String, u64>) -> String {
    let lines: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    lines.join("\n")
}

/// In milliseconds; from ten seconds on, in seconds.
fn duration(ns: Option<u64>) -> String {
    match ns.map(|ns| ns / 1_000_000) {
        None => "–".to_owned(),
        Some(ms) if ms < 2_000 => format!("{ms} ms"),
        Some(ms) => format!("{} s", ms / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{report::Tally, suite};

    #[test]
    fn fits_the_width_with_thousands_of_seeds() {
        let scenario = suite::scenario("append-negative").expect("there");
        let report = ScenarioReport {
            seeds: 2_000,
            passed: 2_000,
            caught: Some(2_000),
            tuples: 4_000_000,
            faults: [("power_loss".to_owned(), 99_999), ("kill".to_owned(), 7)].into(),
            power_cuts: 99_999,
            steps_interrupted: STEPS.map(|step| (step.to_owned(), 9_999)).into(),
            recovery_ns: Percentiles { p50: Some(312_000_000), p99: Some(12_000_000_000) },
            ..Tally::new(&scenario).finish(Duration::from_secs(1))
        };
        let table = render(&[report]);
        assert!(table.contains("312 ms") && table.contains("12 s"), "{table}");
        assert!(table.contains("9999 9999 9999"), "{table}");
        assert!(table.lines().all(|line| line.chars().count() <= 120), "{table}");
    }
}

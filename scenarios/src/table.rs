//! The table at the end of `run`, within 120 columns.

use std::collections::BTreeMap;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use unplug_engine::steps::Step;

use crate::{
    reach::count,
    report::{Percentiles, ScenarioReport},
};

/// The widest line.
const COLUMNS_MAX: usize = 120;
/// So many of the steps stand on one line of their column.
const STEPS_ABREAST: usize = 3;

const HEADER: [&str; 9] = [
    "scenario",
    "seeds",
    "passed",
    "failed\n/ caught",
    "tuples",
    "faults fired",
    "unsynced\n/ cuts",
    "steps 1–7\ncut short",
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

/// How often each of these marks was passed, on lines of their own; nothing of no marks.
#[must_use]
pub fn reached(names: &[String], marks: &BTreeMap<String, u64>) -> String {
    let mut lines = Vec::new();
    let mut line = "reached:".to_owned();
    for (place, name) in names.iter().enumerate() {
        let end = if place + 1 < names.len() { "," } else { "" };
        let one = format!(" {name} {}{end}", count(marks, name));
        if line.len() + one.len() > COLUMNS_MAX {
            lines.push(std::mem::replace(&mut line, " ".repeat("reached:".len())));
        }
        line.push_str(&one);
    }
    lines.push(line);
    if names.is_empty() { String::new() } else { lines.join("\n") + "\n" }
}

fn row(scenario: &ScenarioReport) -> Vec<String> {
    let steps = Step::ALL.map(|step| count(&scenario.steps_interrupted, step.name()).to_string());
    let steps: Vec<_> = steps.chunks(STEPS_ABREAST).map(|some| some.join(" ")).collect();
    let caught = scenario.caught.map_or("–".to_owned(), |caught| caught.to_string());
    let Percentiles { p50, p99 } = scenario.recovery_ns;
    let rate = |rate: Option<f64>| rate.map_or("–".to_owned(), |rate| format!("{rate:.0}"));
    vec![
        scenario.name.clone(),
        scenario.seeds.to_string(),
        scenario.passed.to_string(),
        format!("{}\n/ {caught}", scenario.failed),
        scenario.tuples.to_string(),
        each(&scenario.faults),
        format!("{}\n/ {}", scenario.power_cuts_unsynced, scenario.power_cuts),
        steps.join("\n"),
        format!("{}\n{}", duration(p50), duration(p99)),
        format!("{}\n{}", rate(Some(scenario.seeds_per_s)), rate(scenario.virtual_s_per_cpu_s)),
    ]
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
    use super::*;
    use crate::{
        report::{Runs, Tally},
        suite,
    };

    #[test]
    fn fits_the_width_with_thousands_of_seeds() {
        let scenario = suite::scenario("append-negative").expect("there");
        let report = ScenarioReport {
            seeds: 2_000,
            passed: 2_000,
            caught: Some(2_000),
            tuples: 4_000_000,
            faults: [("power_loss".to_owned(), 99_999), ("one_way_partition".to_owned(), 9_999)]
                .into(),
            power_cuts: 99_999,
            steps_interrupted: Step::ALL.map(|step| (step.name().to_owned(), 9_999)).into(),
            recovery_ns: Percentiles { p50: Some(312_000_000), p99: Some(12_000_000_000) },
            ..Tally::new(&scenario).finish(&scenario.expect, Runs::All)
        };
        let table = render(&[report]);
        assert!(table.contains("312 ms") && table.contains("12 s"), "{table}");
        assert!(table.contains("9999 9999 9999"), "{table}");
        assert!(table.lines().all(|line| line.chars().count() <= COLUMNS_MAX), "{table}");
    }

    #[test]
    fn marks_are_counted_on_lines_that_fit() {
        let names = suite::named(suite::DEFAULT).expect("there").reach().sometimes;
        let marks = [(names[1].clone(), 812)].into();
        let told = reached(&names, &marks);
        let first = format!("reached: {} 0, {} 812, ", names[0], names[1]);
        assert!(told.starts_with(&first) && told.ends_with(" 0\n"), "{told}");
        assert!(told.lines().all(|line| line.len() <= COLUMNS_MAX), "{told}");
        assert_eq!(told.split_whitespace().count(), 1 + 2 * names.len());
        assert_eq!(reached(&[], &marks), "");
    }
}

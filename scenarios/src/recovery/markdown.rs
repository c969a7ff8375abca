//! The figures as tables in Markdown, for a document that is renewed by one command.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use super::{
    fault::Fault,
    report::{CellFigures, Figures},
    setting::Setting,
    table::{self, ms},
};
use crate::{files, input::Invalid};

/// Writes the tables of a grid into a file.
///
/// # Errors
/// If that fails.
pub(super) fn write(figures: &Figures, grid: &str, path: &Path) -> Result<(), Invalid> {
    files::write(path, render(figures, grid).as_bytes())
}

fn render(figures: &Figures, grid: &str) -> String {
    let (start, end) = figures.seeds;
    let mut text = format!(
        "# Recovery times\n\nVirtual milliseconds, made by `unplug recovery --grid {grid} --seeds \
         {start}..{end} --markdown FILE`.\n"
    );
    let (sized, plain): (Vec<_>, Vec<_>) =
        figures.cells.iter().partition(|cell| cell.setting.state_bytes > 0);
    let usual = |cell: &&CellFigures| cell.setting == Setting::default();
    let (usual, varied): (Vec<_>, Vec<_>) = plain.into_iter().partition(usual);
    cells(&mut text, "Faults, default setting", &usual);
    cells(&mut text, "Other settings", &varied);
    sizes(&mut text, &sized);
    text
}

/// A line for each cell, with the phases that take a tenth of the mean or more.
fn cells(text: &mut String, title: &str, cells: &[&CellFigures]) {
    if cells.is_empty() {
        return;
    }
    let head = "| cell | median | p95 | worst | bound | whole | longest phases (median) |\n\
                |---|---:|---:|---:|---:|---:|---|\n";
    put(text, format_args!("\n## {title}\n\n{head}"));
    for cell in cells {
        let (ns, bound_ns) = (cell.recovery_ns, cell.bound.total_ns);
        put(
            text,
            format_args!(
                "| {}{} | {} | {} | {} | {} | {} | {} |\n",
                cell.name,
                table::troubles(cell),
                ms(ns.median),
                ms(ns.p95),
                ms(ns.worst),
                ms(bound_ns),
                ms(cell.whole_ns.median),
                phases(cell)
            ),
        );
    }
}

fn phases(cell: &CellFigures) -> String {
    let all: u64 = cell.phases.iter().map(|phase| phase.sum_ns).sum();
    let long = cell.phases.iter().filter(|phase| phase.sum_ns > 0 && phase.sum_ns >= all / 10);
    let named = long.map(|phase| format!("{} {}", phase.phase.name(), ms(phase.took_ns.median)));
    named.collect::<Vec<_>>().join(", ")
}

/// A table for each fault: sizes of the state down, designs across, each with median and p95.
fn sizes(text: &mut String, cells: &[&CellFigures]) {
    let mut faults: BTreeMap<Fault, BTreeMap<u64, BTreeMap<String, String>>> = BTreeMap::new();
    for cell in cells {
        let sizes = faults.entry(cell.fault).or_default();
        let designs = sizes.entry(cell.setting.state_bytes).or_default();
        let both = format!("{} / {}", ms(cell.recovery_ns.median), ms(cell.recovery_ns.p95));
        designs.insert(cell.setting.design(), both + &table::troubles(cell));
    }
    for (fault, sizes) in faults {
        let mut designs: Vec<_> = sizes.values().flat_map(BTreeMap::keys).collect();
        designs.sort_unstable();
        designs.dedup();
        let columns: String = designs.iter().map(|design| format!(" {design} |")).collect();
        let lines = "---:|".repeat(designs.len());
        put(
            text,
            format_args!(
                "\n## {}, by the size of the state of a partition (median / p95)\n\n\
                 | state |{columns}\n|---|{lines}\n",
                fault.name()
            ),
        );
        for (bytes, by_design) in &sizes {
            let cell = |design: &&String| by_design.get(*design).map_or("", String::as_str);
            let row: String = designs.iter().map(|design| format!(" {} |", cell(design))).collect();
            put(text, format_args!("| {} |{row}\n", size(*bytes)));
        }
    }
}

/// A size as it is read.
pub(super) fn size(bytes: u64) -> String {
    let mb = bytes / 1_000_000;
    if mb < 1_000 { format!("{mb} MB") } else { format!("{} GB", mb / 1_000) }
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("a string takes all");
}

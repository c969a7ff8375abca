//! The figures as a page: one file that needs no other and no script.

use std::{collections::BTreeMap, path::Path};

use super::{
    chart::{COLOURS, Chart, Line, escaped, legend, put},
    fault::Fault,
    markdown,
    phase::Phase,
    report::{CellFigures, Figures},
    setting::Setting,
    table::{self, ms},
};
use crate::{files, input::Invalid};

/// The faults whose courses are drawn.
const COURSES: [Fault; 6] = [
    Fault::ExecutorPower,
    Fault::DriverKill,
    Fault::DriverPower,
    Fault::BrokerPower,
    Fault::DataCentrePower,
    Fault::Throttle100,
];

/// How wide the longest bar is.
const BAR: u64 = 620;
/// How high a bar is, with the room to the next one.
const ROW: u64 = 20;
/// The room for names.
const NAMES: u64 = 300;

/// Writes the page into a file.
///
/// # Errors
/// If that fails.
pub(super) fn write(figures: &Figures, path: &Path) -> Result<(), Invalid> {
    files::write(path, html(figures).as_bytes())
}

/// The page.
pub(super) fn html(figures: &Figures) -> String {
    let css = include_str!("../page/page.css");
    let own = ".grid{stroke:#e3e7ee}.tick{fill:#667085}.strike{stroke:#c8321f;stroke-dasharray:4 3}\
               .bound{stroke:#1d2430;stroke-width:2}.legend{display:flex;flex-wrap:wrap;gap:4px 14px}\
               .legend .swatch{margin-right:5px}figure{margin:0}figcaption{font-weight:600}\
               .charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(480px,1fr));gap:24px}\
               figure svg{width:100%}";
    let seeds = format!("seeds {} to {}", figures.seeds.0, figures.seeds.1.saturating_sub(1));
    let mut page = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Recovery</title>\
         <style>{css}{own}</style></head><body><main><h1>Recovery time</h1>\
         <p class=\"soft\">unplug {}, {seeds}, virtual time: the same figures on any machine.</p>",
        escaped(&figures.version)
    );
    let mut card = |title: &str, body: &str| {
        if !body.is_empty() {
            put(
                &mut page,
                format_args!("<section class=\"card\"><h2>{title}</h2>{body}</section>"),
            );
        }
    };
    card("Phases, on average; the stroke is the bound", &bars(figures));
    card("Recovery time, as a share of the runs", &charts(cumulative(figures)));
    card(
        "Recovery time by epoch interval",
        &charts(against(figures, "ms from epoch to epoch", &|setting| {
            let usual =
                Setting { epoch_interval_ns: setting.epoch_interval_ns, ..Setting::default() };
            let place = ms(setting.epoch_interval_ns);
            (*setting == usual).then(|| (place, place.to_string(), String::new()))
        })),
    );
    card("Recovery time by the size of the state", &charts(by_state(figures)));
    card("Lag and throughput around a fault, in the median run", &charts(courses(figures)));
    let text = escaped(&table::render(figures));
    card("All cells", &format!("<div class=\"scroll\"><pre>{text}</pre></div>"));
    page + "</main></body></html>\n"
}

fn charts(charts: Vec<Chart>) -> String {
    let drawn: String = charts.iter().map(Chart::svg).collect();
    if drawn.is_empty() { drawn } else { format!("<div class=\"charts\">{drawn}</div>") }
}

/// A bar for each cell, of the phases.
fn bars(figures: &Figures) -> String {
    let mean = |cell: &CellFigures, ns: u64| ns / cell.measured.max(1);
    let total = |cell: &CellFigures| {
        mean(cell, cell.phases.iter().map(|phase| phase.sum_ns).sum()).max(cell.bound.total_ns)
    };
    let longest = figures.cells.iter().map(total).max().unwrap_or(0).max(1);
    let wide = |ns: u64| {
        u64::try_from(u128::from(ns) * u128::from(BAR) / u128::from(longest)).unwrap_or(BAR)
    };
    let height = ROW * figures.cells.len() as u64 + 4;
    let mut svg = legend(Phase::ALL.iter().map(|phase| phase.name()));
    put(&mut svg, format_args!("<svg viewBox=\"0 0 {} {height}\" role=\"img\">", NAMES + BAR + 80));
    for (cell, row) in figures.cells.iter().zip(0..) {
        let top = ROW * row + 2;
        put(
            &mut svg,
            format_args!(
                "<text text-anchor=\"end\" x=\"{}\" y=\"{}\">{}</text>",
                NAMES - 8,
                top + 12,
                escaped(&cell.name)
            ),
        );
        let (mut sum_ns, mut left) = (0, 0);
        for (phase, colour) in cell.phases.iter().zip(COLOURS) {
            sum_ns += mean(cell, phase.sum_ns);
            let right = wide(sum_ns);
            put(
                &mut svg,
                format_args!(
                    "<rect x=\"{}\" y=\"{top}\" width=\"{}\" height=\"{}\" fill=\"{colour}\">\
                 <title>{} {} ms</title></rect>",
                    NAMES + left,
                    right - left,
                    ROW - 5,
                    phase.phase.name(),
                    ms(mean(cell, phase.sum_ns))
                ),
            );
            left = right;
        }
        let bound = NAMES + wide(cell.bound.total_ns);
        put(
            &mut svg,
            format_args!(
                "<line class=\"bound\" x1=\"{bound}\" x2=\"{bound}\" y1=\"{top}\" y2=\"{}\"/>\
             <text class=\"tick\" x=\"{}\" y=\"{}\">{} ms</text>",
                top + ROW - 5,
                NAMES + left.max(wide(cell.bound.total_ns)) + 6,
                top + 12,
                ms(sum_ns)
            ),
        );
    }
    svg + "</svg>"
}

/// Shares of the runs by recovery time, under the default setting: a chart for each role.
fn cumulative(figures: &Figures) -> Vec<Chart> {
    let mut charts: BTreeMap<String, Chart> = BTreeMap::new();
    for cell in figures.cells.iter().filter(|cell| cell.setting == Setting::default()) {
        let role = cell.fault.role().map_or("data centre".to_owned(), |role| role.to_string());
        let count = cell.recoveries_ns.len() as u64;
        let points = cell.recoveries_ns.iter().zip(1..).map(|(ns, place)| {
            (i64::try_from(ms(*ns)).unwrap_or(i64::MAX), place * 100_u64 / count.max(1))
        });
        let line = Line {
            name: cell.name.clone(),
            points: [(0, 0)].into_iter().chain(points).collect(),
            steps: true,
        };
        let chart = charts.entry(role.clone()).or_insert_with(|| Chart {
            title: role,
            across: "ms".to_owned(),
            up: "% of runs".to_owned(),
            ..Chart::default()
        });
        chart.lines.push(line);
    }
    charts.into_values().collect()
}

/// Where a cell stands on an axis, what that is called, and what to call its line beside the fault.
type Place = (u64, String, String);

/// Medians and 95th percentiles by what `place` tells of a setting, a line for each fault and what
/// else is told; of cells of which it tells nothing, none.
fn against(
    figures: &Figures,
    across: &str,
    place: &dyn Fn(&Setting) -> Option<Place>,
) -> Vec<Chart> {
    let places = figures.cells.iter().filter_map(|cell| place(&cell.setting));
    let places: BTreeMap<u64, String> = places.map(|(place, name, _)| (place, name)).collect();
    let at: BTreeMap<u64, i64> = places.keys().copied().zip(0..).collect();
    let names: Vec<_> = (0..).zip(places.into_values()).collect();
    let chart = |title: &str, of: &dyn Fn(&CellFigures) -> u64| {
        let mut lines: BTreeMap<(Fault, String), Vec<(i64, u64)>> = BTreeMap::new();
        for cell in &figures.cells {
            if let Some((place, _, kind)) = place(&cell.setting) {
                lines.entry((cell.fault, kind)).or_default().push((at[&place], ms(of(cell))));
            }
        }
        lines.retain(|_, points| points.len() > 1);
        lines.values_mut().for_each(|points| points.sort_unstable());
        let line = |((fault, kind), points): ((Fault, String), _)| Line {
            name: format!("{} {kind}", fault.name()).trim_end().to_owned(),
            points,
            steps: false,
        };
        Chart {
            title: title.to_owned(),
            across: across.to_owned(),
            up: "ms".to_owned(),
            lines: lines.into_iter().map(line).collect(),
            names: Vec::clone(&names),
            mark: None,
            by_tens: true,
        }
    };
    vec![
        chart("median", &|cell| cell.recovery_ns.median),
        chart("p95", &|cell| cell.recovery_ns.p95),
    ]
}

/// By the size of the state: charts for each fault, with a line for each design.
fn by_state(figures: &Figures) -> Vec<Chart> {
    let place = |setting: &Setting| {
        let usual = Setting {
            speculation: setting.speculation,
            full_snapshots: setting.full_snapshots,
            ..Setting::with_state(setting.state_bytes)
        };
        (setting.state_bytes > 0 && *setting == usual)
            .then(|| (setting.state_bytes, markdown::size(setting.state_bytes), setting.design()))
    };
    let faults: std::collections::BTreeSet<_> =
        figures.cells.iter().map(|cell| cell.fault).collect();
    let of_fault = |fault: Fault| {
        let cells = figures.cells.iter().filter(|cell| cell.fault == fault).cloned().collect();
        let charts = against(&Figures { cells, ..figures.clone() }, "of a partition", &place);
        let titled = charts.into_iter().filter(|chart| !chart.lines.is_empty()).map(move |chart| {
            Chart { title: format!("{}, {}", fault.name(), chart.title), ..chart }
        });
        titled.collect::<Vec<_>>()
    };
    faults.into_iter().flat_map(of_fault).collect()
}

/// The course of the median run around a fault, under the default setting.
fn courses(figures: &Figures) -> Vec<Chart> {
    let drawn =
        |cell: &&CellFigures| COURSES.contains(&cell.fault) && cell.setting == Setting::default();
    let chart = |cell: &CellFigures| {
        let lag = cell.course.iter().map(|(at_ns, lag_ns, _)| (at_ns / 1_000_000, ms(*lag_ns)));
        let between = cell.course.iter().zip(cell.course.iter().skip(1));
        let rate = between.map(|((before_ns, ..), (at_ns, _, tuples))| {
            let took_ms = (at_ns - before_ns).unsigned_abs() / 1_000_000;
            (at_ns / 1_000_000, tuples * 1_000 / took_ms.max(1))
        });
        let line = |name: &str, points| Line { name: name.to_owned(), points, steps: false };
        Chart {
            title: cell.name.clone(),
            across: "ms from the strike".to_owned(),
            up: "lag in ms; tuples/s".to_owned(),
            lines: vec![line("lag", lag.collect()), line("throughput", rate.collect())],
            names: Vec::new(),
            mark: Some(0),
            by_tens: false,
        }
    };
    figures.cells.iter().filter(drawn).map(chart).collect()
}

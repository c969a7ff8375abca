//! `unplug recovery`: how long the engine takes until it is whole again, by fault, phase by phase,
//! in virtual time.
//!
//! One run has one fault, struck at a moment that the seed draws in a steady state, and goes on to its
//! end, so the oracle judges it like any other. `docs/recovery.md` says what is measured.
//!
//! - this file: the command, and the runs of a cell;
//! - `fault`, `setting`, `size`, `grid`: what breaks, under what, with how large a state, in which cells;
//! - `timeline`, `measure`, `phase`: what a run tells;
//! - `bound`: what a recovery takes at the least;
//! - `report`, `table`, `markdown`, `compare`, `page`, `chart`: the figures, and what is made of them.

mod bound;
mod chart;
mod compare;
mod fault;
mod grid;
mod markdown;
mod measure;
mod page;
mod phase;
mod report;
mod setting;
mod size;
mod table;
mod timeline;

use std::{
    cell::RefCell,
    io::Write,
    ops::Range,
    path::{Path, PathBuf},
    rc::Rc,
};

use clap::Args;
use rayon::prelude::*;
use unplug_sim::{Recorder, fault::Plan};

pub use self::{
    bound::Bound,
    compare::worse,
    fault::Fault,
    grid::{Cell, Grid, Row},
    phase::Phase,
    report::{CellFigures, FORMAT, Figures, PhaseFigures, Spread},
    setting::{Network, Setting},
};
use self::{
    measure::{Measured, Nodes},
    report::Runs,
    timeline::Timeline,
};
use crate::{
    campaign,
    cli::{self, Status},
    cluster, command,
    failure::{self, Failure, VERSION},
    files,
    input::Invalid,
    outcome::Outcome,
    run::Case,
    scenario::Scenario,
    topology::Role,
    workload::Workload,
};

/// The arguments of `recovery`.
#[derive(Debug, Args)]
pub struct RecoveryArgs {
    /// The cells to measure: quick, full, state (its size), or a file
    #[arg(long, value_name = "quick|full|state|FILE", default_value = "quick")]
    pub grid: String,
    /// The seeds of each cell: from A up to, not including, B
    #[arg(long, value_name = "A..B", value_parser = cli::parse_seeds, default_value = "0..200")]
    pub seeds: Range<u64>,
    /// Runs at a time [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Leave the figures as JSON in this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Leave a page with plots in this file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Leave tables for a document in this file
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Fail if a cell is slower than in these figures, which --json left
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Rather than measure: set two files that --json left beside each other
    #[arg(long, value_names = ["A", "B"], num_args = 2,
          conflicts_with_all = ["grid", "seeds", "jobs", "json", "html", "markdown", "baseline"])]
    pub compare: Vec<PathBuf>,
    /// The folder for failure files
    #[arg(long, value_name = "DIR", default_value = "failures")]
    pub failures: PathBuf,
}

/// Does what `recovery` is told.
///
/// # Errors
/// If the input makes no sense, or something cannot be written.
pub fn recovery(
    args: &RecoveryArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<Status> {
    if let [a, b] = &args.compare[..] {
        write!(out, "{}", compare::table(&read(a)?, &read(b)?)?)?;
        return Ok(Status::Held);
    }
    // What is wrong with it is told before minutes are spent.
    let baseline = args.baseline.as_deref().map(read).transpose()?;
    let cells = Grid::named(&args.grid)?.cells()?;
    let pool = campaign::pool(args.jobs.map_or_else(campaign::cores, usize::from))?;
    let mut figures = Figures {
        format: FORMAT,
        version: VERSION.to_owned(),
        seeds: (args.seeds.start, args.seeds.end),
        cells: Vec::new(),
    };
    let workload = Workload::embedded()?;
    for (place, cell) in cells.iter().enumerate() {
        let (runs, failed) = pool.install(|| runs(cell, args.seeds.clone(), &workload))?;
        if let Some((scenario, outcome)) = failed {
            keep(&scenario, &outcome, &args.failures, out)?;
        }
        figures.cells.push(CellFigures::of(cell, &runs));
        writeln!(err, "{} of {}: {}", place + 1, cells.len(), cell.name())?;
    }
    write!(out, "{}", table::render(&figures))?;
    if let Some(path) = &args.json {
        files::write_json_line(path, &figures)?;
    }
    if let Some(path) = &args.html {
        page::write(&figures, path)?;
    }
    if let Some(path) = &args.markdown {
        markdown::write(&figures, &args.grid, path)?;
    }
    let worse = baseline.map_or(Ok(Vec::new()), |before| worse(&before, &figures))?;
    for line in &worse {
        writeln!(out, "slower: {line}")?;
    }
    let held = figures.all_held() && worse.is_empty();
    Ok(if held { Status::Held } else { Status::Violation })
}

fn read(path: impl AsRef<Path>) -> Result<Figures, Invalid> {
    let path = path.as_ref();
    Figures::parse(&path.display().to_string(), &files::read(path)?)
}

/// Measures a cell with these seeds, on the threads of the pool that it is called in.
///
/// # Errors
/// If the cell makes no sense.
pub fn figures(
    cell: &Cell,
    seeds: Range<u64>,
    workload: &Workload,
) -> Result<CellFigures, Invalid> {
    Ok(CellFigures::of(cell, &runs(cell, seeds, workload)?.0))
}

/// The first run that the oracle objected to, with its scenario.
type Failed = Option<(Scenario, Outcome)>;

fn runs(cell: &Cell, seeds: Range<u64>, workload: &Workload) -> Result<(Runs, Failed), Invalid> {
    let mut name = cell.name();
    name.truncate(64);
    let scenario = cell.setting.scenario(&name)?;
    let case = Case::new(&scenario, workload)?;
    let nodes = nodes(&scenario);
    let ran: Vec<_> = seeds.into_par_iter().map(|seed| run(cell, &case, &nodes, seed)).collect();
    let mut runs = Runs::default();
    let mut failed = None;
    for (outcome, measured) in ran {
        if !outcome.verdicts.is_empty() {
            runs.failed += 1;
            failed.get_or_insert(outcome);
        }
        match measured {
            Some(measured) => runs.measured.push(measured),
            None => runs.not_whole += 1,
        }
    }
    Ok((runs, failed.map(|outcome| (scenario.clone(), outcome))))
}

/// Runs a cell with a seed.
fn run(cell: &Cell, case: &Case<'_>, nodes: &Nodes, seed: u64) -> (Outcome, Option<Measured>) {
    let Cell { fault, setting } = cell;
    let strike_ns = fault.strike_ns(setting, seed);
    let mut measured = None;
    let outcome = campaign::attempt(case.scenario(), seed, Some(&Plan::default()), || {
        let plan = match plan(cell, case, seed) {
            Ok(plan) => plan,
            Err(error) => return crate::run::broken(seed, Plan::default(), &error),
        };
        let (timeline, listener) = listener();
        let (outcome, clients) = case.witness(seed, &plan, listener);
        measured = clients.and_then(|clients| {
            let (timeline, of) = (timeline.borrow(), (*fault, setting));
            measure::measure(&timeline, &clients, nodes, of, strike_ns)
        });
        outcome
    });
    (outcome, measured)
}

/// The plan of a run. Who leads at the strike is found out by the same run up to it.
fn plan(cell: &Cell, case: &Case<'_>, seed: u64) -> Result<Plan, Invalid> {
    let Cell { fault, setting } = cell;
    let mut leader = Role::Driver.node(0);
    if fault.role() == Some(Role::Driver) {
        let (timeline, listener) = listener();
        case.listen(seed, fault.strike_ns(setting, seed), listener)?;
        let names = cluster::names(case.scenario());
        let node = timeline.borrow().leader().map(|node| names[usize::from(node.0)].clone());
        leader = node.ok_or_else(|| Invalid::new("nobody leads at the strike"))?;
    }
    Ok(fault.plan((setting, case.scenario()), seed, &leader))
}

/// A timeline, and what fills it while a run goes on.
fn listener() -> (Rc<RefCell<Timeline>>, Recorder) {
    let timeline: Rc<RefCell<Timeline>> = Rc::default();
    let told = Rc::clone(&timeline);
    (timeline, Box::new(move |event| told.borrow_mut().event(&event)))
}

fn nodes(scenario: &Scenario) -> Nodes {
    let names = cluster::names(scenario);
    let of = |role: Role| {
        let nodes = (0..).zip(&names).filter(move |(_, name)| Role::of(name) == Some(role));
        nodes.map(|(number, _)| unplug_sim::env::NodeId(number)).collect::<Vec<_>>()
    };
    let sinks = of(Role::Sink);
    Nodes { only: [of(Role::Broker), sinks.clone()].concat(), sinks }
}

/// Keeps a failing run in a file, and prints what it violated and how to run it again.
fn keep(
    scenario: &Scenario,
    outcome: &Outcome,
    folder: &Path,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    command::print_verdicts(scenario, outcome, out)?;
    let failure = Failure::new(scenario, outcome);
    let path = failure.path(folder);
    files::write_json(&path, &failure)?;
    writeln!(out, "replay: {}", failure::command(&path))?;
    Ok(())
}

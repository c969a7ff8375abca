//! The end of a campaign, be it run here or joined from shards: what it reached, how it ended, and
//! the reports that are asked for.

use std::{
    collections::BTreeSet,
    io::Write,
    path::{Path, PathBuf},
};

use crate::{
    annotations,
    cli::Status,
    failure::VERSION,
    files,
    input::Invalid,
    junit,
    outcome::VerdictKind,
    page::{self, Page},
    part::Part,
    reach::SEEDS_MIN,
    report::{Reached, Report, Runs, ScenarioReport},
    scenario::Expect,
    suite, table,
};

/// The reports that are asked for.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// JSON.
    pub json: Option<PathBuf>,
    /// JUnit XML.
    pub junit: Option<PathBuf>,
    /// A page for a browser.
    pub html: Option<PathBuf>,
    /// Annotations for GitHub, among the rest of what is printed.
    pub github: bool,
}

/// How a campaign came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All that was to be run was, up to a failure.
    Ran,
    /// Somebody broke it off, and can go on with this file.
    Interrupted(PathBuf),
}

/// Reports, and says how it all ended.
///
/// # Errors
/// If something cannot be written.
pub fn conclude(
    part: Part,
    ending: &Ending,
    outputs: &Outputs,
    out: &mut dyn Write,
) -> anyhow::Result<Status> {
    let interrupted = *ending != Ending::Ran;
    let all = if part.shard.is_some() || interrupted { Runs::Some } else { Runs::All };
    let ran = part.terms.scenarios.iter().zip(&part.tallies);
    let scenarios: Vec<_> = ran
        .clone()
        .filter(|(_, tally)| tally.seeds() > 0)
        .map(|(scenario, tally)| tally.clone().finish(&scenario.expect, all))
        .collect();
    let not_run: Vec<_> = ran
        .filter(|(_, tally)| tally.seeds() == 0)
        .map(|(scenario, _)| scenario.name.clone())
        .collect();
    let (reached, sometimes) = reached(&part, &scenarios, all);
    let status = status(&part, &scenarios, &reached);
    let held = status == Status::Held && !interrupted;

    write!(out, "\n{}\n", table::render(&scenarios))?;
    write!(out, "{}", table::reached(&sometimes, &reached.marks))?;
    for note in notes(&part, &scenarios).iter().chain(&reached.missing) {
        writeln!(out, "{note}")?;
    }
    if !not_run.is_empty() && !interrupted {
        writeln!(out, "not run after the failure: {}", not_run.join(", "))?;
    }
    let verdict = verdict(status, &scenarios, &reached);
    let report = Report {
        version: VERSION,
        held,
        interrupted,
        scenarios,
        not_run,
        reached,
        failures: part.failures.clone(),
        part: part.shard.is_some().then_some(part),
    };
    if outputs.github {
        annotations::write(&report, out)?;
    }
    if let Some(path) = &outputs.json {
        files::write_json(path, &report)?;
    }
    if let Some(path) = &outputs.junit {
        files::write(path, &junit::render(&report)?)?;
    }
    if let Some(path) = &outputs.html {
        let files: Vec<_> = report.failures.iter().map(|one| Path::new(&one.file)).collect();
        let (drawings, more) = page::drawings(&files)?;
        let scenarios = &report.scenarios;
        Page { version: VERSION, verdict: &verdict, scenarios, drawings, more }.write(path)?;
    }
    if let Ending::Interrupted(file) = ending {
        let file = file.display();
        writeln!(out, "interrupted: {verdict} so far")?;
        writeln!(out, "to go on: the same command with --resume {file}")?;
        return Ok(Status::Interrupted);
    }
    writeln!(out, "{verdict}")?;
    Ok(status)
}

/// Reads a report that a shard left, for what it was run of.
///
/// # Errors
/// If it is no report of a shard.
pub fn read_part(path: &Path) -> Result<Part, Invalid> {
    #[derive(serde::Deserialize)]
    struct Shard {
        part: Option<Part>,
    }
    let name = path.display().to_string();
    let Shard { part } = crate::input::parse(&name, &files::read(path)?)?;
    let what = "it is no result of a shard; those are made by run --shard I/N --json FILE";
    part.ok_or_else(|| Invalid::at(&name, what))
}

/// What was reached, and which marks had to be. A scenario that was run to its end, without
/// defects, is asked what it reached; and so is the suite, if all of it was run.
fn reached(part: &Part, reports: &[ScenarioReport], all: Runs) -> (Reached, Vec<String>) {
    let mut reached = Reached::of(reports);
    let mut sometimes = BTreeSet::new();
    let seeds = part.terms.seeds.1 - part.terms.seeds.0;
    for (scenario, report) in part.terms.scenarios.iter().zip(reports) {
        sometimes.extend(scenario.sometimes.iter().cloned());
        let enough = report.seeds >= seeds.max(SEEDS_MIN) && all == Runs::All;
        if enough && scenario.defects.is_empty() {
            let missing = scenario.reach().missing(&report.marks, &report.steps_interrupted);
            let line = missing.map(|what| format!("{}: not reached: {what}", scenario.name));
            reached.missing.extend(line);
        }
    }
    if let Some(Ok(suite)) = part.terms.suite.as_deref().map(suite::named) {
        let reach = suite.reach();
        let complete = reports.len() == part.terms.scenarios.len();
        let enough = reports.iter().all(|report| report.seeds >= SEEDS_MIN) && complete;
        if enough && all == Runs::All {
            let missing = reach.missing(&reached.marks, &reached.steps_interrupted);
            reached.missing.extend(missing.map(|what| format!("the suite: not reached: {what}")));
        }
        sometimes.extend(reach.sometimes);
    }
    (reached, sometimes.into_iter().collect())
}

/// What the numbers do not say by themselves.
fn notes(part: &Part, reports: &[ScenarioReport]) -> Vec<String> {
    let mut notes = Vec::new();
    let scenarios = part.terms.scenarios.iter().zip(&part.tallies);
    for ((scenario, tally), report) in scenarios.zip(reports) {
        let name = &scenario.name;
        if let Some((seed, why)) = tally.unmeasured() {
            let count = report.not_measured;
            notes.push(format!("{name}: {count} not measured, the first with seed {seed}: {why}"));
        }
        if let (Expect::Caught { verdicts, .. }, Some(0), true) =
            (&scenario.expect, report.caught, report.failed > 0)
        {
            let kinds: Vec<_> = verdicts.iter().map(VerdictKind::to_string).collect();
            let (seeds, kinds) = (report.seeds, kinds.join(" or "));
            notes.push(format!("{name}: never caught in {seeds} seeds, must be: {kinds}"));
        }
    }
    notes
}

fn status(part: &Part, reports: &[ScenarioReport], reached: &Reached) -> Status {
    let mut verdicts = part.failures.iter().flat_map(|failure| &failure.verdicts);
    if verdicts.any(|kind| *kind == VerdictKind::NonDeterministic) {
        Status::NonDeterministic
    } else if reports.iter().any(|scenario| scenario.failed > 0) {
        Status::Violation
    } else if reports.iter().any(|scenario| scenario.not_measured > 0)
        || !reached.missing.is_empty()
    {
        Status::NotMeasured
    } else {
        Status::Held
    }
}

fn verdict(status: Status, reports: &[ScenarioReport], reached: &Reached) -> String {
    let sum = |count: fn(&ScenarioReport) -> u64| reports.iter().map(count).sum::<u64>();
    let (runs, failed) = (sum(|one| one.seeds), sum(|one| one.failed));
    match status {
        Status::Held => format!("held in all {runs} runs"),
        Status::Violation => format!("failed in {failed} of {runs} runs"),
        Status::NonDeterministic => format!("not deterministic, {failed} of {runs} runs failed"),
        Status::NotMeasured if reached.missing.is_empty() => {
            format!("not measured in all of {runs} runs")
        }
        Status::NotMeasured => format!("not all was reached in {runs} runs, {failed} failed"),
        Status::Usage | Status::Interrupted => unreachable!("the runs ran"),
    }
}

//! `unplug run` and `unplug list`.

use std::{
    collections::{BTreeSet, VecDeque},
    io::{self, Write},
    ops::{ControlFlow, Range},
    path::Path,
};

use indicatif::{ProgressBar, ProgressStyle};
use rayon::ThreadPool;
use unplug_engine::defect::Defect;

use crate::{
    campaign::{self, Campaign, RECHECK_EVERY},
    cli::{RunArgs, Status},
    defects,
    failure::{self, Failure, VERSION},
    files,
    input::Invalid,
    outcome::{Judgement, Outcome, VerdictKind},
    reach::SEEDS_MIN,
    report::{FailureReport, Reached, Report, ScenarioReport, Tally},
    run::Case,
    scenario::{Expect, Scenario},
    suite::{self, Suite},
    table,
    workload::Workload,
};

/// A run may have very many verdicts; so many are printed, and all are in its file.
const VERDICTS_PRINTED_MAX: usize = 5;

/// Does what `run` is told.
///
/// # Errors
/// If the input makes no sense, or a file cannot be written.
pub fn run(args: &RunArgs, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<Status> {
    let mut scenarios = VecDeque::from(chosen(args)?);
    let suite = suite::named(&args.suite)?;
    let mut command = Command {
        args,
        suite,
        seeds: args.seeds.clone().unwrap_or_else(|| suite.seeds()),
        workload: Workload::embedded()?,
        pool: campaign::pool(args.jobs.map_or_else(campaign::cores, usize::from))?,
        failures: Vec::new(),
        notes: Vec::new(),
        missing: Vec::new(),
        sometimes: BTreeSet::new(),
        out,
        err,
    };
    let mut results = Vec::new();
    while let Some(scenario) = scenarios.pop_front() {
        let report = command.scenario(&scenario)?;
        command.check_reach(&scenario, &report);
        results.push(report);
        if !command.failures.is_empty() && !args.keep_going {
            break;
        }
    }
    let not_run = scenarios.into_iter().map(|scenario| scenario.name).collect();
    command.conclude(results, not_run)
}

/// Shows what there is.
///
/// # Errors
/// If the standard output cannot be written.
pub fn list(out: &mut dyn Write) -> anyhow::Result<Status> {
    writeln!(out, "suites, for --suite")?;
    for suite in suite::SUITES {
        let (scenarios, Range { start, end }) = (suite.scenarios().len(), suite.seeds());
        let about = suite.about;
        writeln!(out, "  {:<24} {about}: {scenarios} scenarios, seeds {start}..{end}", suite.name)?;
    }
    writeln!(out, "\nscenarios")?;
    for name in suite::names() {
        writeln!(out, "  {name:<24} {}", suite::scenario(name)?.about)?;
    }
    writeln!(out, "\ndefects, for --defect")?;
    for defect in Defect::ALL {
        writeln!(out, "  {:<24} {}", defect.name(), defect.about())?;
    }
    writeln!(out, "\ndefects that break the run rather than the promise, for --defect")?;
    for defect in Defect::RUNAWAYS {
        writeln!(out, "  {:<24} {}", defect.name(), defect.about())?;
    }
    Ok(Status::Held)
}

/// Prints what is wrong with a run.
///
/// # Errors
/// If `out` cannot be written.
pub fn print_verdicts(
    scenario: &Scenario,
    outcome: &Outcome,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Scenario { name, defects, .. } = scenario;
    let with = if defects.is_empty() { "" } else { ", with the defect " };
    writeln!(out, "{name}, seed {}{with}{}", outcome.seed, defects.join(", "))?;
    for verdict in outcome.verdicts.iter().take(VERDICTS_PRINTED_MAX) {
        writeln!(out, "  {}: {}", verdict.kind, verdict.message)?;
    }
    match outcome.verdicts.len().saturating_sub(VERDICTS_PRINTED_MAX) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more"),
    }
}

/// The scenarios that are meant, with the defects switched on.
fn chosen(args: &RunArgs) -> Result<Vec<Scenario>, Invalid> {
    let mut scenarios = if args.scenarios.is_empty() {
        let mut suite = suite::suite(&args.suite)?;
        // What must be caught anyway does not show whether the defect was.
        suite.retain(|scenario| args.defects.is_empty() || !scenario.is_negative());
        suite
    } else {
        args.scenarios.iter().map(|name| suite::scenario(name)).collect::<Result<_, _>>()?
    };
    for scenario in &mut scenarios {
        defects::switch_on(&mut scenario.defects, &args.defects)?;
        if let Some(profile) = &args.disk {
            scenario.disk.profile.clone_from(profile);
            scenario.disk.check().map_err(|error| error.within("--disk"))?;
        }
    }
    Ok(scenarios)
}

/// What goes on from one scenario to the next.
struct Command<'a> {
    args: &'a RunArgs,
    suite: Suite,
    seeds: Range<u64>,
    workload: Workload,
    pool: ThreadPool,
    failures: Vec<FailureReport>,
    /// Lines to be read below the table.
    notes: Vec<String>,
    /// What had to be reached and was not.
    missing: Vec<String>,
    /// The marks that had to be reached, each once.
    sometimes: BTreeSet<String>,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
}

impl Command<'_> {
    fn scenario(&mut self, scenario: &Scenario) -> anyhow::Result<ScenarioReport> {
        let Command { args, seeds, workload, pool, failures, out, .. } = self;
        let bar = progress(&scenario.name, seeds.end - seeds.start);
        let case = Case::new(scenario, workload)?;
        let campaign = Campaign {
            case: &case,
            seeds: seeds.clone(),
            recheck_every: if args.check_determinism { 1 } else { RECHECK_EVERY },
        };
        let mut tally = Tally::new(scenario);
        let mut unmeasured = None;
        let (ended, wall) = campaign::timed(|| {
            campaign.run(pool, &mut |ran| {
                bar.inc(1);
                match tally.add(&ran) {
                    Judgement::Exact | Judgement::Caught => {}
                    Judgement::NotMeasured => _ = unmeasured.get_or_insert(ran.outcome),
                    Judgement::Failed => {
                        failures.push(
                            bar.suspend(|| keep(scenario, &ran.outcome, &args.failures, *out))?,
                        );
                        if !args.keep_going {
                            return Ok(ControlFlow::Break(()));
                        }
                    }
                }
                Ok(ControlFlow::Continue(()))
            })
        });
        bar.finish_and_clear();
        ended?;
        let report = tally.finish(wall);
        if bar.is_hidden() {
            let ScenarioReport { name, seeds, failed, .. } = &report;
            let wall = wall.as_secs_f64();
            writeln!(self.err, "{name}: {seeds} seeds in {wall:.1} s, {failed} failed")?;
        }
        self.note(scenario, &report, unmeasured.as_ref());
        Ok(report)
    }

    /// Asks a scenario that was run to its end, without defects, what it reached.
    fn check_reach(&mut self, scenario: &Scenario, report: &ScenarioReport) {
        self.sometimes.extend(scenario.sometimes.iter().cloned());
        let all = self.seeds.end.saturating_sub(self.seeds.start);
        if !scenario.defects.is_empty() || report.seeds < all.max(SEEDS_MIN) {
            return;
        }
        let missing = scenario.reach().missing(&report.marks, &report.steps_interrupted);
        self.missing.extend(missing.map(|what| format!("{}: not reached: {what}", scenario.name)));
    }

    /// Asks the suite, if all of it was run, what it reached.
    fn reached(&mut self, scenarios: &[ScenarioReport], not_run: &[String]) -> Reached {
        let args = self.args;
        let mut reached = Reached::of(scenarios);
        if args.scenarios.is_empty() && args.defects.is_empty() {
            let reach = self.suite.reach();
            let many = scenarios.iter().all(|scenario| scenario.seeds >= SEEDS_MIN);
            if many && not_run.is_empty() {
                let missing = reach.missing(&reached.marks, &reached.steps_interrupted);
                self.missing.extend(missing.map(|what| format!("the suite: not reached: {what}")));
            }
            self.sometimes.extend(reach.sometimes);
        }
        reached.missing.clone_from(&self.missing);
        reached
    }

    /// Notes what the numbers of a scenario do not say by themselves.
    fn note(&mut self, scenario: &Scenario, report: &ScenarioReport, unmeasured: Option<&Outcome>) {
        let name = &scenario.name;
        if let Some(Outcome { seed, verdicts, .. }) = unmeasured {
            let (count, why) = (report.not_measured, &verdicts[0].message);
            self.notes
                .push(format!("{name}: {count} not measured, the first with seed {seed}: {why}"));
        }
        if let (Expect::Caught(kinds), Some(0), true) =
            (&scenario.expect, report.caught, report.failed > 0)
        {
            let kinds: Vec<_> = kinds.iter().map(VerdictKind::to_string).collect();
            let (seeds, kinds) = (report.seeds, kinds.join(" or "));
            self.notes.push(format!("{name}: never caught in {seeds} seeds, must be: {kinds}"));
        }
    }

    /// Reports, and says how it all ended.
    fn conclude(
        mut self,
        scenarios: Vec<ScenarioReport>,
        not_run: Vec<String>,
    ) -> anyhow::Result<Status> {
        let reached = self.reached(&scenarios, &not_run);
        let status = self.status(&scenarios);
        write!(self.out, "\n{}\n", table::render(&scenarios))?;
        let sometimes: Vec<_> = std::mem::take(&mut self.sometimes).into_iter().collect();
        write!(self.out, "{}", table::reached(&sometimes, &reached.marks))?;
        self.notes.extend(reached.missing.iter().cloned());
        if !not_run.is_empty() {
            self.notes.push(format!("not run after the failure: {}", not_run.join(", ")));
        }
        for note in &self.notes {
            writeln!(self.out, "{note}")?;
        }
        let sum = |count: fn(&ScenarioReport) -> u64| scenarios.iter().map(count).sum::<u64>();
        let (runs, failed) = (sum(|one| one.seeds), sum(|one| one.failed));
        let verdict = match status {
            Status::Held => format!("held in all {runs} runs"),
            Status::Violation => format!("failed in {failed} of {runs} runs"),
            Status::NonDeterministic => {
                format!("not deterministic, {failed} of {runs} runs failed")
            }
            Status::NotMeasured if self.missing.is_empty() => {
                format!("not measured in all of {runs} runs")
            }
            Status::NotMeasured => format!("not all was reached in {runs} runs, {failed} failed"),
            Status::Usage => unreachable!("the runs ran"),
        };
        writeln!(self.out, "{verdict}")?;
        if let Some(path) = &self.args.json {
            let held = status == Status::Held;
            let failures = self.failures;
            let report = Report { version: VERSION, held, scenarios, not_run, reached, failures };
            files::write_json(path, &report)?;
        }
        Ok(status)
    }

    fn status(&self, scenarios: &[ScenarioReport]) -> Status {
        let mut verdicts = self.failures.iter().flat_map(|failure| &failure.verdicts);
        if verdicts.any(|kind| *kind == VerdictKind::NonDeterministic) {
            Status::NonDeterministic
        } else if scenarios.iter().any(|scenario| scenario.failed > 0) {
            Status::Violation
        } else if scenarios.iter().any(|scenario| scenario.not_measured > 0)
            || !self.missing.is_empty()
        {
            Status::NotMeasured
        } else {
            Status::Held
        }
    }
}

/// Keeps a failing run in a file, and prints what it violated and how to run it again.
fn keep(
    scenario: &Scenario,
    outcome: &Outcome,
    folder: &Path,
    out: &mut dyn Write,
) -> Result<FailureReport, Invalid> {
    let unprinted = |error| Invalid::new(format!("cannot print: {error}"));
    // What was found is said whether it can be kept or not.
    print_verdicts(scenario, outcome, out).map_err(unprinted)?;
    let failure = Failure::new(scenario, outcome);
    let path = failure.path(folder);
    files::write_json(&path, &failure)?;
    let replay = failure::command(&path);
    writeln!(out, "replay: {replay}").map_err(unprinted)?;
    Ok(FailureReport {
        scenario: scenario.name.clone(),
        seed: outcome.seed,
        verdicts: outcome.kinds(),
        file: path.display().to_string(),
        replay,
    })
}

/// A bar on a terminal, nothing elsewhere.
fn progress(name: &str, seeds: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{prefix:<16} {wide_bar} {pos}/{len} seeds, {per_sec}, {eta} left",
    )
    .expect("a sound template");
    ProgressBar::new(seeds).with_style(style).with_prefix(name.to_owned())
}

//! `unplug run` and `unplug list`.

use std::{
    io::{self, Write},
    ops::{ControlFlow, Range},
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use unplug_engine::defect::Defect;

use crate::{
    campaign::{self, Campaign, Deadline, RECHECK_EVERY},
    cli::{RunArgs, Status},
    conclude::{Ending, conclude},
    defects,
    failure::{self, Failure},
    files,
    input::{self, Invalid},
    interrupt::Interrupt,
    outcome::{Judgement, Outcome},
    part::{Part, Terms},
    report::FailureReport,
    scenario::Scenario,
    suite,
    worker::{Crew, Limits, Program},
};

/// A run may have very many verdicts; so many are printed, and all are in its file.
const VERDICTS_PRINTED_MAX: usize = 5;

/// So often at the most a campaign is kept while a scenario runs.
const KEEP_EVERY: Duration = Duration::from_secs(15);

/// Does what `run` is told.
///
/// # Errors
/// If the input makes no sense, a file cannot be written, or no process can be started.
pub fn run(args: &RunArgs, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<Status> {
    let terms = terms(args)?;
    let part = match &args.resume {
        Some(path) if path.exists() => resumed(path, &terms, args)?,
        Some(_) | None => Part::new(terms, args.shard),
    };
    if let (Some(shard), true) = (args.shard, part.seeds().is_empty()) {
        let (start, end) = part.terms.seeds;
        let what = format!(
            "there is no seed of {start}..{end} in {shard}; N must be at most {}",
            end - start
        );
        return Err(Invalid::at("--shard", what).into());
    }
    let limits =
        Limits { patience: Duration::from_secs(args.patience.into()), memory_mib: args.memory_mib };
    let jobs = args.jobs.map_or_else(campaign::cores, usize::from);
    let mut command = Command {
        args,
        part,
        crew: Crew::new(&Program::this()?, jobs, limits),
        interrupt: Interrupt::listen()?,
        deadline: args.lasting.and_then(Deadline::after),
        keep_after: Deadline::after(KEEP_EVERY),
        out,
        err,
    };
    command.passes()?;
    let ending = command.ending()?;
    let Command { part, out, .. } = command;
    conclude(part, &ending, &args.reports.outputs(), out)
}

/// What is to be run.
fn terms(args: &RunArgs) -> Result<Terms, Invalid> {
    let whole = args.scenarios.is_empty() && args.defects.is_empty();
    let Range { start, end } = match &args.seeds {
        Some(seeds) => seeds.clone(),
        None => suite::named(&args.suite)?.seeds(),
    };
    Ok(Terms {
        scenarios: chosen(args)?,
        suite: whole.then(|| args.suite.clone()),
        seeds: (start, end),
        recheck_every: if args.check_determinism { 1 } else { RECHECK_EVERY },
    })
}

/// The campaign that a file has, if it is this one.
fn resumed(path: &Path, terms: &Terms, args: &RunArgs) -> Result<Part, Invalid> {
    let name = path.display().to_string();
    let part: Part = input::parse(&name, &files::read(path)?)?;
    let same = part.check().and_then(|()| part.check_same(terms, args.shard));
    same.map_err(|error| error.within(&name))?;
    Ok(part)
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
    part: Part,
    crew: Crew,
    interrupt: Interrupt,
    deadline: Option<Deadline>,
    /// When the campaign is to be kept again.
    keep_after: Option<Deadline>,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
}

impl Command<'_> {
    /// Runs all scenarios, and with `--for` again and again with the seeds that follow.
    fn passes(&mut self) -> anyhow::Result<()> {
        let Range { start, end } = self.part.seeds();
        let failures = self.part.failures.len();
        let goes_on = self.args.keep_going || self.args.shard.is_some();
        for pass in 1u64.. {
            for place in 0..self.part.tallies.len() {
                let done = start.saturating_add(self.part.tallies[place].seeds());
                let to = start.saturating_add((end - start).saturating_mul(pass));
                if done < to {
                    self.scenario(place, done..to, pass)?;
                    keep_campaign(self.args, &self.part)?;
                }
                if self.is_over(pass) || !goes_on && self.part.failures.len() > failures {
                    return Ok(());
                }
            }
            if self.deadline.is_none_or(Deadline::is_over) {
                break;
            }
        }
        Ok(())
    }

    /// Whether no more is to be run in this pass. The first one is run in any case.
    fn is_over(&self, pass: u64) -> bool {
        self.interrupt.came() || pass > 1 && self.deadline.is_some_and(Deadline::is_over)
    }

    fn scenario(&mut self, place: usize, seeds: Range<u64>, pass: u64) -> anyhow::Result<()> {
        let scenario = &self.part.terms.scenarios[place].clone();
        let bar = progress(&scenario.name, seeds.end - seeds.start);
        let recheck_every = self.part.terms.recheck_every;
        let (interrupt, deadline) = (self.interrupt.clone(), self.deadline);
        let over = move || pass > 1 && deadline.is_some_and(Deadline::is_over);
        let halt = move || interrupt.came() || over();
        let goes_on = self.args.keep_going || self.args.shard.is_some();
        let campaign = Campaign { scenario, seeds, recheck_every };
        let (mut crew, mut kept_after) = (std::mem::take(&mut self.crew), self.keep_after);
        let before = (self.part.tallies[place].seeds(), self.part.tallies[place].failed());
        let (ended, wall) = campaign::timed(|| {
            campaign.run(&mut crew, &halt, &mut |ran| {
                bar.inc(1);
                let judgement = self.part.tallies[place].add(&ran, &scenario.expect);
                if judgement == Judgement::Failed {
                    let (outcome, folder) = (&ran.outcome, &self.args.failures);
                    let failure = bar.suspend(|| keep(scenario, outcome, folder, self.out))?;
                    self.part.failures.push(failure);
                    if !goes_on {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                if kept_after.is_some_and(Deadline::is_over) {
                    keep_campaign(self.args, &self.part)?;
                    kept_after = Deadline::after(KEEP_EVERY);
                }
                Ok(ControlFlow::Continue(()))
            })
        });
        self.crew = crew;
        self.keep_after = kept_after;
        bar.finish_and_clear();
        ended?;
        let tally = &mut self.part.tallies[place];
        tally.spend(wall);
        if bar.is_hidden() {
            let (seeds, failed) = (tally.seeds() - before.0, tally.failed() - before.1);
            let (name, wall) = (&scenario.name, wall.as_secs_f64());
            writeln!(self.err, "{name}: {seeds} seeds in {wall:.1} s, {failed} failed")?;
        }
        Ok(())
    }

    /// How it ended. What was interrupted is kept even if nobody named a file for it.
    fn ending(&self) -> Result<Ending, Invalid> {
        if !self.interrupt.came() {
            return Ok(Ending::Ran);
        }
        let beside = || self.args.failures.join("interrupted.json");
        let path: PathBuf = self.args.resume.clone().unwrap_or_else(beside);
        files::write_json_line(&path, &self.part)?;
        Ok(Ending::Interrupted(path))
    }
}

/// Keeps the campaign in the file that was named for it.
fn keep_campaign(args: &RunArgs, part: &Part) -> Result<(), Invalid> {
    args.resume.as_ref().map_or(Ok(()), |path| files::write_json_line(path, part))
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
    let place = (path.display().to_string(), replay);
    Ok(FailureReport::new((scenario, outcome.seed), &outcome.verdicts, place))
}

/// A bar on a terminal, nothing elsewhere.
fn progress(name: &str, seeds: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{prefix:<16} {wide_bar} {pos}/{len} seeds, {per_sec}, {eta} left",
    )
    .expect("a sound template");
    ProgressBar::new(seeds).with_style(style).with_prefix(name.to_owned())
}

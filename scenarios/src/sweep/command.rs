//! `unplug sweep`.

use std::{
    io::{self, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::ThreadPool;

use super::{
    Base, GoOn, Sweep, Violation,
    images::Tears,
    nodes,
    report::{BaseReport, FailureReport, NodesReport, Report, millis},
};
use crate::{
    campaign,
    cli::Status,
    defects,
    failure::{self, Failure, VERSION},
    files,
    input::Invalid,
    outcome::{Outcome, Verdict, VerdictKind, kinds},
    run::Case,
    scenario::Scenario,
    suite,
    workload::Workload,
};

/// So many objections to one boot are printed.
const VERDICTS_PRINTED_MAX: usize = 5;

/// What loses its power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Crashes {
    /// The whole data centre, and single nodes.
    All,
    /// The whole data centre.
    DataCentre,
    /// Single nodes.
    Nodes,
}

/// The arguments of `sweep`.
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// The scenario by name, or its file
    #[arg(value_name = "NAME|FILE")]
    pub scenario: String,
    /// The seed of the run that is swept
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// What loses its power
    #[arg(long, value_enum, default_value_t = Crashes::All)]
    pub crash: Crashes,
    /// 2: cut the power again during each recovery
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub depth: u8,
    /// What a power cut leaves of one disk beside nothing and everything
    #[arg(long, value_enum, default_value_t = Tears::Bounded)]
    pub tears: Tears,
    /// Not measured if the run has fewer epochs
    #[arg(long, value_name = "MIN", default_value_t = 1)]
    pub epochs: u64,
    /// Switch a planted defect on; may be given several times
    #[arg(long = "defect", value_name = "NAME")]
    pub defects: Vec<String>,
    /// Give all nodes disks of this profile, rather than of the scenario's
    #[arg(long, value_name = "PROFILE")]
    pub disk: Option<String>,
    /// Boots at a time [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Leave the results as JSON in this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Go on after a failure
    #[arg(long)]
    pub keep_going: bool,
    /// The folder for failure files
    #[arg(long, value_name = "DIR", default_value = "failures")]
    pub failures: PathBuf,
}

/// Does what `sweep` is told.
///
/// # Errors
/// If the input makes no sense, or a file cannot be written.
pub fn sweep(args: &SweepArgs, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<Status> {
    let mut scenario = suite::scenario(&args.scenario)?;
    defects::switch_on(&mut scenario.defects, &args.defects)?;
    if let Some(profile) = &args.disk {
        scenario.disk.profile.clone_from(profile);
        scenario.disk.check().map_err(|error| error.within("--disk"))?;
    }
    let workload = Workload::embedded()?;
    let case = Case::new(&scenario, &workload)?;
    let pool = campaign::pool(args.jobs.map_or_else(campaign::cores, usize::from))?;
    let bar = progress();
    let mut command = Command {
        args,
        scenario: &scenario,
        case: &case,
        pool: &pool,
        bar: &bar,
        found: Vec::new(),
        out,
    };
    let status = command.run(&workload);
    bar.finish_and_clear();
    let (status, report) = status?;
    if bar.is_hidden() {
        let held = if report.held { "nothing violated" } else { "violated" };
        writeln!(err, "{}: {} boots, {held}", scenario.name, report.boots())?;
    }
    if let Some(path) = &args.json {
        files::write_json(path, &report)?;
    }
    Ok(status)
}

/// A sweep with what it was told and where to say things.
struct Command<'a> {
    args: &'a SweepArgs,
    scenario: &'a Scenario,
    case: &'a Case<'a>,
    pool: &'a ThreadPool,
    bar: &'a ProgressBar,
    found: Vec<FailureReport>,
    out: &'a mut dyn Write,
}

impl Command<'_> {
    fn run(&mut self, workload: &Workload) -> anyhow::Result<(Status, Report)> {
        let args = self.args;
        let bounds = (args.tears, usize::from(args.depth));
        let mut sweep = Sweep::new((self.case, workload), args.seed, bounds, self.pool)?;
        let Base { course, verdicts, epochs } = sweep.base(workload)?;
        let mut report = Report {
            version: VERSION,
            scenario: self.scenario.name.clone(),
            seed: args.seed,
            disk: self.scenario.disk.profile(args.seed).name.to_owned(),
            held: false,
            base: BaseReport {
                epochs,
                tuples: course.history.acknowledged.len() as u64,
                effects: course.effects.len() as u64,
                virtual_ns: course.end_ns,
            },
            data_centre: Vec::new(),
            nodes: None,
            boots_cpu_ms: 0,
            boots_wall_ms: 0,
            failures: Vec::new(),
        };
        if !verdicts.is_empty() {
            self.tell("without any crash", &verdicts)?;
            writeln!(self.out, "nothing was swept: the run fails without a crash")?;
            return Ok((Status::Violation, report));
        }
        if epochs < args.epochs {
            writeln!(self.out, "not measured: the run has {epochs} epochs, not {}", args.epochs)?;
            return Ok((Status::NotMeasured, report));
        }
        let go_on = if args.keep_going { GoOn::Yes } else { GoOn::No };
        if args.crash != Crashes::Nodes {
            let bar = self.bar;
            let (swept, wall) = campaign::timed(|| {
                sweep.data_centre(&course, go_on, &mut |_, more| match more {
                    0 => bar.inc(1),
                    more => bar.inc_length(more),
                })
            });
            swept?;
            report.data_centre.clone_from(&sweep.counts);
            report.boots_cpu_ms = millis(sweep.cpu);
            report.boots_wall_ms = millis(wall);
            for violation in std::mem::take(&mut sweep.violations) {
                self.keep(violation)?;
            }
        }
        if args.crash != Crashes::DataCentre && (self.found.is_empty() || args.keep_going) {
            report.nodes = Some(self.nodes(&course.effects, go_on)?);
        }
        report.failures.clone_from(&self.found);
        report.held = self.found.is_empty();
        write!(self.out, "{report}")?;
        let (status, line) = if report.held {
            (Status::Held, "held: no crash point violates anything".to_owned())
        } else {
            (Status::Violation, format!("failed: {} violations", self.found.len()))
        };
        writeln!(self.out, "{line}")?;
        Ok((status, report))
    }

    /// Sweeps the losses of power of single nodes.
    fn nodes(
        &mut self,
        effects: &[super::course::Effect],
        go_on: GoOn,
    ) -> anyhow::Result<NodesReport> {
        let mut report = NodesReport { effects: effects.len() as u64, ..NodesReport::default() };
        self.bar.inc_length(2 * effects.len() as u64);
        let mut violations = Vec::new();
        let (case, bar) = (self.case, self.bar);
        let ((), wall) = campaign::timed(|| {
            nodes::run(case, self.args.seed, (effects, self.pool), &mut |ran| {
                bar.inc(1);
                report.runs += 1;
                report.cpu_ms += millis(ran.cpu);
                if !nodes::is_violated(case, &ran.outcome) {
                    return ControlFlow::Continue(());
                }
                let Outcome { plan, verdicts, .. } = ran.outcome;
                violations.push(Violation { lines: vec![ran.crash], plan, verdicts });
                if go_on == GoOn::Yes { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
        });
        report.wall_ms = millis(wall);
        for violation in violations {
            self.keep(violation)?;
        }
        Ok(report)
    }

    /// Tells what was found, and keeps it as a failure file.
    fn keep(&mut self, violation: Violation) -> anyhow::Result<()> {
        let Violation { lines, plan, verdicts } = violation;
        self.tell(&lines.join("\n  "), &verdicts)?;
        let seed = self.args.seed;
        let outcome = campaign::attempt(self.scenario, seed, Some(&plan), || {
            self.case.run(seed, Some(&plan))
        });
        let replays = outcome.kinds().iter().any(|kind| *kind != VerdictKind::NotMeasured);
        let outcome =
            if replays { outcome } else { Outcome { verdicts: verdicts.clone(), ..outcome } };
        let failure = Failure::new(self.scenario, &outcome);
        let path = numbered(&failure.path(&self.args.failures), self.found.len());
        files::write_json(&path, &failure)?;
        let replay = failure::command(&path);
        let out = &mut *self.out;
        if replays {
            let kinds: Vec<_> = kinds(&outcome.verdicts).iter().map(ToString::to_string).collect();
            writeln!(out, "replay: {replay} ({})", kinds.join(", "))?;
        } else {
            writeln!(out, "the plan alone does not show it: {replay}")?;
        }
        self.found.push(FailureReport {
            crashes: lines,
            verdicts,
            file: path.display().to_string(),
            replays,
        });
        Ok(())
    }

    fn tell(&mut self, when: &str, verdicts: &[Verdict]) -> Result<(), Invalid> {
        let Scenario { name, defects, .. } = self.scenario;
        let with = if defects.is_empty() { "" } else { ", with the defect " };
        let mut text =
            format!("{name}, seed {}{with}{}\n  {when}\n", self.args.seed, defects.join(", "));
        for Verdict { kind, message } in verdicts.iter().take(VERDICTS_PRINTED_MAX) {
            text += &format!("  {kind}: {message}\n");
        }
        let printed = self.bar.suspend(|| self.out.write_all(text.as_bytes()));
        printed.map_err(|error: io::Error| Invalid::new(format!("cannot print: {error}")))
    }
}

/// The file of a violation: the first has the plain name.
fn numbered(path: &Path, number: usize) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let number = if number == 0 { String::new() } else { format!("-{number}") };
    path.with_file_name(format!("{stem}-sweep{number}.json"))
}

/// A bar on a terminal, nothing elsewhere.
fn progress() -> ProgressBar {
    let style = ProgressStyle::with_template("sweep {wide_bar} {pos}/{len}, {per_sec}, {eta} left")
        .expect("a sound template");
    ProgressBar::new(0).with_style(style)
}

//! The command line: its arguments, its exit statuses, and its errors, each in one line.

use std::{
    ffi::OsString,
    io::{self, Write},
    ops::Range,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand, error::ErrorKind};

use crate::{
    command,
    conclude::Outputs,
    disk, hunt, merge,
    part::Shard,
    pipelines::{self, ListArgs},
    recovery::{self, RecoveryArgs},
    replay, schema, shrink, suite,
    sweep::command::{self as sweep, SweepArgs},
    time,
    traces::Format,
    worker,
};

/// How the command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// All that was expected held.
    Held = 0,
    /// A violation.
    Violation = 1,
    /// Bad usage or input.
    Usage = 2,
    /// Two runs of the same seed differed.
    NonDeterministic = 3,
    /// A run shows nothing.
    NotMeasured = 4,
    /// Broken off by a signal; the results so far are there.
    Interrupted = 130,
}

#[derive(Debug, Parser)]
#[command(
    name = "unplug",
    version,
    about = "Pulls the plug on a streaming engine at any point, and checks that every tuple still reaches the sink exactly once"
)]
#[command(
    after_help = "Exit status: 0 all held, 1 a violation, 2 bad usage or input, 3 not deterministic, 4 not measured, 130 interrupted"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenarios over seeds
    Run(RunArgs),
    /// Join the results of shards into that of one run
    Merge(MergeArgs),
    /// Run one failure again
    Replay(ReplayArgs),
    /// Make a failure small: the smallest run found that still fails like it
    Shrink(ShrinkArgs),
    /// Find out how many runs it takes to catch each planted defect
    Hunt(HuntArgs),
    /// Crash one run at every point, with every crash state within bounds
    Sweep(SweepArgs),
    /// Measure how long recovery takes, by fault, phase by phase
    Recovery(RecoveryArgs),
    /// Show the suites, the scenarios and the defects there are, or the pipelines
    List(ListArgs),
    /// Print the JSON Schema of a kind of file
    Schema {
        /// The kind of file
        #[arg(value_name = "KIND")]
        kind: schema::Kind,
    },
    /// Show what a power cut may leave on a disk, or compare that with real file systems
    #[command(subcommand)]
    Disk(disk::Command),
    /// Run seeds for a campaign, which starts this by itself
    #[command(hide = true)]
    Worker(WorkerArgs),
}

/// The arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Scenarios by name, or files; all of the suite if none
    #[arg(value_name = "NAME|FILE")]
    pub scenarios: Vec<String>,
    /// The scenarios to run if none is named
    #[arg(long, default_value = suite::DEFAULT)]
    pub suite: String,
    /// The seeds: from A up to, not including, B [default: as many as the suite says]
    #[arg(long, value_name = "A..B", value_parser = parse_seeds)]
    pub seeds: Option<Range<u64>>,
    /// Runs at a time [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// The reports that are asked for
    #[command(flatten)]
    pub reports: Reports,
    /// Go on with ever new seeds for so long: 90s, 10m or 2h; all of --seeds is run in any case
    #[arg(long = "for", value_name = "TIME", value_parser = parse_time)]
    pub lasting: Option<Duration>,
    /// Run only the Ith of N equal shares of the seeds; `merge` joins the results. Goes on after a
    /// failure
    #[arg(long, value_name = "I/N", conflicts_with = "lasting")]
    pub shard: Option<Shard>,
    /// Keep in this file what was run, and go on from what it has
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
    /// End a run that has not come forward for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub patience: u32,
    /// The memory that each worker process may take, on Linux
    #[arg(long, value_name = "MIB", default_value_t = 4_096, value_parser = clap::value_parser!(u64).range(64..=1_048_576))]
    pub memory_mib: u64,
    /// Go on after a failure
    #[arg(long)]
    pub keep_going: bool,
    /// Run every seed twice and compare, rather than one in 16
    #[arg(long)]
    pub check_determinism: bool,
    /// Switch a planted defect on; may be given several times
    #[arg(long = "defect", value_name = "NAME")]
    pub defects: Vec<String>,
    /// Give all nodes disks of this profile, rather than of one that each seed draws
    #[arg(long, value_name = "PROFILE")]
    pub disk: Option<String>,
    /// The folder for failure files
    #[arg(long, value_name = "DIR", default_value = "failures")]
    pub failures: PathBuf,
}

/// The reports that are asked for.
#[derive(Debug, Args)]
pub struct Reports {
    /// Leave the results as JSON in this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Leave the results as JUnit XML in this file
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Leave a page for a browser in this file: the table, and the first failing runs as diagrams
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Print failures as annotations for GitHub, as is done by itself where GITHUB_ACTIONS is true
    #[arg(long)]
    pub github: bool,
}

impl Reports {
    /// What is asked for, by the environment, too.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
    pub fn outputs(&self) -> Outputs {
        let on_github = std::env::var("GITHUB_ACTIONS").is_ok_and(|value| value == "true");
        let (json, junit, html) = (self.json.clone(), self.junit.clone(), self.html.clone());
        Outputs { json, junit, html, github: self.github || on_github }
    }
}

/// The arguments of `merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// The results of all shards, each left by `run --shard I/N --json FILE`
    #[arg(value_name = "FILE", required = true)]
    pub results: Vec<PathBuf>,
    /// The reports that are asked for
    #[command(flatten)]
    pub reports: Reports,
}

/// The arguments of `worker`.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// The memory that it may take
    #[arg(long)]
    pub memory_mib: u64,
    /// Tell of every poll
    #[arg(long)]
    pub telling: bool,
}

/// The arguments of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The failure file that `run` left
    #[arg(value_name = "FAILURE.json", required_unless_present = "scenario")]
    pub failure: Option<PathBuf>,
    /// Rather than a file: a scenario by name, or its file
    #[arg(long, value_name = "NAME|FILE", requires = "seed", conflicts_with = "failure")]
    pub scenario: Option<String>,
    /// With --scenario: the seed
    #[arg(long, value_name = "N", requires = "scenario", conflicts_with = "failure")]
    pub seed: Option<u64>,
    /// With --scenario: switch a planted defect on; may be given several times
    #[arg(long = "defect", value_name = "NAME", requires = "scenario", conflicts_with = "failure")]
    pub defects: Vec<String>,
    /// Leave the trace, in this form
    #[arg(long, value_name = "FORMAT")]
    pub trace: Option<Format>,
    /// With --trace: into this file; `-` is the standard output
    #[arg(long, value_name = "FILE|-", requires = "trace", default_value = "-")]
    pub out: PathBuf,
    /// Stop at this virtual time, such as 3.25s, and say where the run stands
    #[arg(long, value_name = "T", value_parser = time::parse, conflicts_with = "at")]
    pub until: Option<u64>,
    /// Show what a node looks like at this virtual time, such as 3.25s
    #[arg(long, value_name = "T", value_parser = time::parse, requires = "node", conflicts_with = "trace")]
    pub at: Option<u64>,
    /// With --at: the node, by name
    #[arg(long, value_name = "NAME", requires = "at")]
    pub node: Option<String>,
}

/// The arguments of `shrink`.
#[derive(Debug, Args)]
pub struct ShrinkArgs {
    /// The failure file that `run` left
    #[arg(value_name = "FAILURE.json")]
    pub failure: PathBuf,
    /// The file for the smaller failure, with a Rust test in FILE.rs beside it
    /// [default: FAILURE-shrunk.json]
    #[arg(long, value_name = "FILE.json", value_parser = parse_json_path)]
    pub out: Option<PathBuf>,
    /// Runs at a time [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Stop after so many runs, and keep the smallest found by then
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub runs_max: u64,
}

/// The arguments of `hunt`.
#[derive(Debug, Args)]
pub struct HuntArgs {
    /// Planted defects by name; all if none
    #[arg(value_name = "DEFECT")]
    pub defects: Vec<String>,
    /// The scenarios to run
    #[arg(long, default_value = suite::DEFAULT)]
    pub suite: String,
    /// How many ranges of seeds to try
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub ranges: u16,
    /// Give a range up after so many runs
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub runs_max: u64,
    /// Ranges at a time [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
}

/// Does what the arguments, the program's name first, say.
pub fn main(
    args: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    let status = match Cli::try_parse_from(args) {
        Err(error) if !error.use_stderr() => {
            write!(out, "{error}").map(|()| Status::Held).map_err(anyhow::Error::from)
        }
        Err(error) => Err(anyhow::Error::msg(one_line(&error))),
        Ok(Cli { command: Command::Run(args) }) => command::run(&args, out, err),
        Ok(Cli { command: Command::Merge(args) }) => merge::merge(&args, out),
        Ok(Cli { command: Command::Worker(args) }) => worker::work(&args),
        Ok(Cli { command: Command::Replay(args) }) => replay::replay(&args, out, err),
        Ok(Cli { command: Command::Shrink(args) }) => shrink::shrink(&args, out, err),
        Ok(Cli { command: Command::Hunt(args) }) => hunt::hunt(&args, out),
        Ok(Cli { command: Command::Sweep(args) }) => sweep::sweep(&args, out, err),
        Ok(Cli { command: Command::Recovery(args) }) => recovery::recovery(&args, out, err),
        Ok(Cli { command: Command::List(args) }) => pipelines::list(&args, out),
        Ok(Cli { command: Command::Schema { kind } }) => schema::print(kind, out),
        Ok(Cli { command: Command::Disk(command) }) => command.run(out, err),
    };
    let status = status.unwrap_or_else(|error| {
        // Where no one reads what went wrong, the status still says it.
        let _: io::Result<()> = writeln!(err, "error: {error}");
        Status::Usage
    });
    ExitCode::from(status as u8)
}

/// clap's message without its usage page.
fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let line = if text.contains("Usage: unplug disk") {
            "no command; it must be states or calibrate; see unplug disk --help"
        } else {
            "no command; it must be run, merge, replay, shrink, hunt, sweep, recovery, list, schema or disk; see unplug --help"
        };
        return line.to_owned();
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<_> = lines
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .collect();
    let line = lines.join(" ").replace(" tip: ", "; ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

/// A length of time in whole seconds, minutes or hours.
fn parse_time(text: &str) -> Result<Duration, String> {
    let unit_s = [("s", 1), ("m", 60), ("h", 3_600)];
    let of = |(unit, seconds): (&str, u64)| {
        let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
        count.checked_mul(seconds).filter(|&total| total > 0)
    };
    let seconds = unit_s.into_iter().find_map(of);
    seconds.map(Duration::from_secs).ok_or_else(|| "it must be such as 90s, 10m or 2h".to_owned())
}

/// A range of seeds with something in it.
pub(crate) fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |part: &str| part.parse::<u64>().ok();
    let range = text.split_once("..").and_then(|(a, b)| Some(number(a)?..number(b)?));
    match range {
        None => Err("it must be A..B with two numbers, such as 0..250".to_owned()),
        Some(range) if range.is_empty() => Err(format!(
            "that range is empty; A must be below B, as in {}..{}",
            range.end,
            range.start.max(range.end + 1)
        )),
        Some(range) => Ok(range),
    }
}

/// A file whose name ends in `.json`, so that what is beside it has another name.
fn parse_json_path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.extension().is_some_and(|end| end == "json") {
        return Ok(path);
    }
    Err("its name must end in .json, such as small.json".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_half_open_range_with_something_in_it() {
        assert_eq!(parse_seeds("3..9"), Ok(3..9));
        assert_eq!(
            parse_seeds("9..3").expect_err("empty"),
            "that range is empty; A must be below B, as in 3..9"
        );
        for bad in ["", "3", "..", "a..b", "1..=2", "-1..2", "1..99999999999999999999"] {
            assert!(parse_seeds(bad).expect_err(bad).starts_with("it must be A..B"), "{bad}");
        }
    }

    #[test]
    fn the_arguments_are_declared_soundly() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}

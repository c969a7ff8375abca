//! `unplug shrink`: the smallest run that can be found that still fails as a recorded one does, as
//! a failure file and as a Rust test.
//!
//! A smaller run *fails as the recorded one* if one of its verdicts is of the most telling kind of
//! the record's: the first in the order of [`VerdictKind`] that the scenario does not expect. A run
//! that fails in another way only is another failure, and no shrink. If the scenario has defects
//! switched on and the recorded run holds without them, so must each smaller one; and if the engine
//! promises to survive the recorded plan, it must promise to survive each smaller one.
//!
//! First faults are left out, then those that stay are made simpler (`plan`), then the setting
//! becomes smaller (`setting`); and again, until nothing gives.

mod fault;
mod plan;
mod sample;
mod search;
mod setting;
mod text;

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use indicatif::{ProgressBar, ProgressStyle};

pub use self::{
    sample::{Sample, Size},
    search::{OTHER_SEEDS, OTHER_SEEDS_LARGE, Search, outcome},
    text::test,
};
use crate::{
    campaign,
    cli::{ShrinkArgs, Status},
    command::print_verdicts,
    failure::{self, Failure, ShrunkFrom},
    files,
    input::Invalid,
    outcome::{VerdictKind, kinds},
    scenario::Faults,
    workload::Workload,
};

/// What makes smaller runs of one.
type Pass = fn(&Sample, &Workload) -> Vec<Sample>;

/// What is tried, in this order, again and again. What makes runs short comes early.
const PASSES: [(&str, Pass); 7] = [
    ("fewer faults", plan::fewer),
    (LESS_PATIENCE, setting::less_patient),
    ("fewer tuples", setting::fewer_tuples),
    ("fewer nodes", setting::fewer_nodes),
    ("a calmer setting", setting::calmer),
    ("simpler faults", plan::simpler),
    ("an earlier end", plan::earlier),
];
/// No shrink of a run that failed because it took too long.
const LESS_PATIENCE: &str = "less patience";

/// Does what `shrink` is told.
///
/// # Errors
/// If the input makes no sense, or a file cannot be written.
pub fn shrink(
    args: &ShrinkArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<Status> {
    let name = args.failure.display().to_string();
    let recorded = Failure::parse(&name, &files::read(&args.failure)?)?;
    let path = args.out.clone().unwrap_or_else(|| beside(&args.failure));
    let kind = telling(&recorded).map_err(|error| error.within(&name))?;
    let workload = Workload::embedded()?;
    let pool = campaign::pool(args.jobs.map_or_else(campaign::cores, usize::from))?;

    let sample = Sample::of(&recorded);
    if !outcome(&sample, &workload)?.kinds().contains(&kind) {
        writeln!(out, "it no longer fails as recorded: {kind} did not come again")?;
        return Ok(Status::Held);
    }
    let mut search = Search::new(&sample, kind, (&workload, &pool), args.runs_max);
    let bar = progress(args.runs_max);
    let mut shrank = false;
    let smallest = smallest(&mut search, sample.clone(), &workload, &mut |step, sample| {
        bar.set_position(step.runs);
        bar.set_message(sample.size().to_string());
        if bar.is_hidden() && step.ended && shrank {
            writeln!(err, "{}: {}, after {} runs", step.pass, sample.size(), step.runs)?;
        }
        shrank = !step.ended;
        Ok(())
    });
    bar.finish_and_clear();
    let smallest = smallest?;

    let failure = record(&recorded, &smallest, &workload)?;
    files::write_json(&path, &failure)?;
    let test_path = path.with_extension("rs");
    files::write(&test_path, test(&failure, kind).as_bytes())?;
    let outcome = outcome(&smallest, &workload)?;
    print_verdicts(&failure.scenario, &outcome, out)?;
    let (before, after, runs) = (sample.size(), smallest.size(), search.runs());
    writeln!(out, "shrunk from {before} to {after} in {runs} runs")?;
    if search.is_over() {
        writeln!(out, "stopped after --runs-max {runs} runs; more may make it smaller")?;
    }
    if !smallest.scenario.defects.is_empty() {
        writeln!(out, "{}", without(&search))?;
    }
    writeln!(out, "replay: {}", failure::command(&path))?;
    writeln!(out, "as a test: {}", test_path.display())?;
    Ok(Status::Violation)
}

/// A step of the search.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What is tried.
    pub pass: &'static str,
    /// Whether that makes it no smaller any more; else it just did.
    pub ended: bool,
    /// How many runs were made so far.
    pub runs: u64,
}

/// Makes a run that fails smaller, until nothing gives or the search may spend no more; `each` is
/// told of every step.
///
/// # Errors
/// The first error of `each`.
pub fn smallest(
    search: &mut Search<'_>,
    mut sample: Sample,
    workload: &Workload,
    each: &mut dyn FnMut(Step, &Sample) -> anyhow::Result<()>,
) -> anyhow::Result<Sample> {
    loop {
        let before = sample.clone();
        for (pass, candidates) in PASSES {
            if pass == LESS_PATIENCE && search.is_about_time() {
                continue;
            }
            // What gave nothing a moment ago is tried last.
            let mut start = 0;
            while !search.is_over()
                && let Some((place, smaller)) =
                    search.first(&rotated(candidates(&sample, workload), start))
            {
                (start, sample) = (start + place, smaller);
                each(Step { pass, ended: false, runs: search.runs() }, &sample)?;
            }
            each(Step { pass, ended: true, runs: search.runs() }, &sample)?;
        }
        if sample == before || search.is_over() {
            return Ok(sample);
        }
    }
}

/// A list that begins elsewhere.
fn rotated(mut candidates: Vec<Sample>, start: usize) -> Vec<Sample> {
    let length = candidates.len().max(1);
    candidates.rotate_left(start % length);
    candidates
}

/// The kind of verdict that must stay.
///
/// # Errors
/// If none of them is a failure that one run shows.
pub fn telling(failure: &Failure) -> Result<VerdictKind, Invalid> {
    let kinds = kinds(&failure.verdicts);
    let shows = |kind: &VerdictKind| {
        !failure.scenario.expect.allows(*kind)
            && ![VerdictKind::NotMeasured, VerdictKind::NonDeterministic].contains(kind)
    };
    kinds.iter().copied().find(shows).ok_or_else(|| {
        let kinds: Vec<_> = kinds.iter().map(ToString::to_string).collect();
        let what = "nothing that can be shrunk: that takes a verdict that one run shows, and that \
                    the scenario does not expect";
        Invalid::at("verdicts", format!("{} is {what}", kinds.join(", ")))
    })
}

/// The failure that a smaller run is, as a file holds it.
///
/// # Errors
/// If it cannot be run.
pub fn record(
    recorded: &Failure,
    smallest: &Sample,
    workload: &Workload,
) -> Result<Failure, Invalid> {
    smallest.check()?;
    let mut scenario = smallest.scenario.clone();
    if !smallest.plan.faults.is_empty() {
        scenario.faults = Faults::Plan(smallest.plan.clone());
    }
    let sample = Sample { scenario: scenario.clone(), ..smallest.clone() };
    sample.check()?;
    let outcome = outcome(&sample, workload)?;
    let shrunk_from = Some(ShrunkFrom::of(recorded));
    Ok(Failure { shrunk_from, ..Failure::new(&scenario, &outcome) })
}

/// What became of it without the defects.
fn without(search: &Search<'_>) -> &'static str {
    if search.by_defects() {
        "without the defect it holds"
    } else {
        "without the defect it fails as well: what was shrunk is no doing of the defect's"
    }
}

/// Where the smaller run is kept, if no one says it.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push("-shrunk.json");
    path.with_file_name(name)
}

/// A bar on a terminal, nothing elsewhere.
fn progress(runs_max: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {pos} of at most {len} runs: {msg}")
        .expect("a sound template");
    ProgressBar::new(runs_max).with_style(style)
}

#[cfg(test)]
mod tests;

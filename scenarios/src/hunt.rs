//! `unplug hunt`: how many runs of the suite it takes to catch each planted defect.
//!
//! The runs of a range of seeds take turns over the scenarios: the first seed of each, then the
//! second of each, and so on, so that no scenario has to be through before the one that would
//! catch the defect. What must be caught anyway is left out.

use std::{collections::BTreeMap, io::Write};

use rayon::prelude::*;
use unplug_engine::defect::Defect;

use crate::{
    campaign,
    cli::{HuntArgs, Status},
    defects,
    outcome::{Judgement, VerdictKind},
    run::Case,
    scenario::Scenario,
    suite,
    workload::Workload,
};

/// Ranges of seeds are so far apart that they never meet.
const RANGE_SEEDS: u64 = 1_000_000;

/// The run that caught a defect.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Caught {
    /// How many runs it took, itself included.
    runs: u64,
    scenario: String,
    seed: u64,
    kinds: Vec<VerdictKind>,
}

/// Does what `hunt` is told.
///
/// # Errors
/// If the input makes no sense, or `out` cannot be written.
pub fn hunt(args: &HuntArgs, out: &mut dyn Write) -> anyhow::Result<Status> {
    let mut wanted = Vec::new();
    for name in &args.defects {
        wanted.push(defects::check(name)?);
    }
    if wanted.is_empty() {
        wanted = Defect::ALL.to_vec();
    }
    let workload = Workload::embedded()?;
    let pool = campaign::pool(args.jobs.map_or_else(campaign::cores, usize::from))?;
    let mut status = Status::Held;
    writeln!(out, "{:<26} {:>6}  runs of each range; by what", "defect", "median")?;
    for defect in wanted {
        let mut scenarios = suite::suite(&args.suite)?;
        scenarios.retain(|scenario| !scenario.is_negative());
        for scenario in &mut scenarios {
            defects::switch_on(&mut scenario.defects, &[defect.name().to_owned()])?;
        }
        let cases: Vec<_> =
            scenarios.iter().map(|one| Case::new(one, &workload)).collect::<Result<_, _>>()?;
        let range = |number| (number * RANGE_SEEDS, args.runs_max);
        let ranges: Vec<_> = pool.install(|| {
            let ranges = (0..u64::from(args.ranges)).into_par_iter();
            ranges.map(|number| catch(&cases, &scenarios, range(number))).collect()
        });
        if ranges.iter().any(Option::is_none) {
            status = Status::Violation;
        }
        writeln!(out, "{}", line(defect, &ranges, args.runs_max))?;
        out.flush()?;
    }
    Ok(status)
}

/// Runs until a defect is caught, at the most so many times.
fn catch(
    cases: &[Case<'_>],
    scenarios: &[Scenario],
    (first, runs_max): (u64, u64),
) -> Option<Caught> {
    let count = cases.len() as u64;
    let run = |number: u64| {
        let place = usize::try_from(number % count).expect("below a length");
        let (scenario, seed) = (&scenarios[place], first + number / count);
        let outcome = campaign::attempt(scenario, seed, None, || cases[place].run(seed, None));
        (outcome.judge(&scenario.expect) == Judgement::Failed).then(|| Caught {
            runs: number + 1,
            scenario: scenario.name.clone(),
            seed,
            kinds: outcome.kinds(),
        })
    };
    (0..runs_max).find_map(run)
}

/// A line of the table.
fn line(defect: Defect, ranges: &[Option<Caught>], runs_max: u64) -> String {
    let mut runs: Vec<_> =
        ranges.iter().map(|one| one.as_ref().map_or(u64::MAX, |caught| caught.runs)).collect();
    let shown = |runs: u64| match runs {
        u64::MAX => format!("over {runs_max}"),
        runs => runs.to_string(),
    };
    let each: Vec<_> = runs.iter().map(|runs| shown(*runs)).collect();
    runs.sort_unstable();
    let median = shown(runs[runs.len() / 2]);
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for caught in ranges.iter().flatten() {
        for kind in &caught.kinds {
            *kinds.entry(kind.to_string()).or_default() += 1;
        }
    }
    let kinds: Vec<_> = kinds.into_iter().map(|(kind, times)| format!("{kind} {times}×")).collect();
    let by: Vec<_> = ranges
        .iter()
        .flatten()
        .map(|caught| format!("{} seed {}", caught.scenario, caught.seed))
        .collect();
    format!(
        "{:<26} {median:>6}  {}; {}; {}",
        defect.name(),
        each.join(" "),
        kinds.join(", "),
        by.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caught(runs: u64) -> Option<Caught> {
        let (scenario, kinds) = ("zombie".to_owned(), vec![VerdictKind::Lost]);
        Some(Caught { runs, scenario, seed: 3, kinds })
    }

    #[test]
    fn the_median_counts_what_was_not_caught_as_the_most() {
        let line = line(Defect::AckBeforeSync, &[caught(7), None, caught(5)], 100);
        let want = "ack-before-sync                 7  7 over 100 5; lost 2×; zombie seed 3, zombie seed 3";
        assert_eq!(line, want);
        let line = super::line(Defect::AckBeforeSync, &[None, None, caught(5)], 100);
        assert!(line.contains("over 100  over 100 over 100 5"), "{line}");
    }
}

//! Runs one plan and says whether the sink was exact, and, if it was not, how to see it again and
//! how to keep it as a regression.

use std::path::Path;

use unplug::{
    failure::{self, Failure},
    outcome::{Outcome, VerdictKind},
    run,
    scenario::Scenario,
    workload::Workload,
};
use unplug_sim::fault::Plan;

/// A small stream: 240 tuples within a second, ten epochs a second, and the nodes of every role.
///
/// # Panics
/// If the scenario is no longer one.
#[must_use]
pub fn small_scenario(defects: &[&str]) -> Scenario {
    let scenario = Scenario::parse(
        "the small scenario",
        r#"{
            "name": "small",
            "about": "a stream so short that hundreds of plans can be tried on it",
            "cluster": {"partitions": 2, "drivers": 2, "sinks": 2, "executors": 2, "producers": 2,
                        "readers": 2},
            "pipeline": "hourly",
            "state_partitions": 2,
            "workload": {"flights": {"tuples": 240, "per_second": 240}},
            "epoch_interval_ns": 100000000
        }"#,
    );
    let mut scenario = scenario.expect("a sound scenario");
    scenario.defects = defects.iter().map(|&name| name.to_owned()).collect();
    scenario.check().expect("defects that there are");
    scenario
}

/// The flights.
///
/// # Panics
/// If those in the program are damaged.
#[must_use]
pub fn workload() -> Workload {
    Workload::embedded().expect("flights that were packed with the program")
}

/// What the oracle objects to in this run. That no fault happened is no objection: a plan may wait
/// for what never comes. That nothing was acknowledged or read is one.
#[must_use]
pub fn objections(outcome: &Outcome) -> Vec<VerdictKind> {
    let without_faults = outcome.faults.is_empty() && outcome.tuples > 0;
    let no_objection = |kind: &VerdictKind| *kind == VerdictKind::NotMeasured && without_faults;
    outcome.kinds().into_iter().filter(|kind| !no_objection(kind)).collect()
}

/// Runs a plan.
///
/// # Errors
/// If the sink was not exact: the outcome.
pub fn exact(
    scenario: &Scenario,
    seed: u64,
    plan: &Plan,
    workload: &Workload,
) -> Result<(), Box<Outcome>> {
    let outcome = run::run(scenario, seed, Some(plan), workload);
    if objections(&outcome).is_empty() { Ok(()) } else { Err(Box::new(outcome)) }
}

/// Tells a failed run to the one who has to mend it, and leaves a failure file in `folder`.
///
/// # Panics
/// If the file cannot be written.
#[must_use]
pub fn report(scenario: &Scenario, outcome: &Outcome, folder: &Path) -> String {
    let failure = Failure::new(scenario, outcome);
    let plan = serde_json::to_string_pretty(&outcome.plan).expect("plain data becomes JSON");
    let file = failure.path(folder);
    let text = serde_json::to_string_pretty(&failure).expect("plain data becomes JSON");
    std::fs::write(&file, text).expect("a writable folder for failure files");
    let verdicts: Vec<_> = outcome
        .verdicts
        .iter()
        .map(|verdict| format!("  {}: {}\n", verdict.kind, verdict.message))
        .collect();
    format!(
        "not exactly once:\n{}seed: {}\nthe smallest plan found:\n{plan}\n\
         run it again: {}\n\
         keep it: write {{\"about\", \"scenario\", \"seed\", \"plan\"}} of that file into \
         tests/regressions/NAME.json",
        verdicts.concat(),
        outcome.seed,
        failure::command(&file),
    )
}

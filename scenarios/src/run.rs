//! placeholder: runs one seed of a scenario

use unplug_sim::fault::Plan;

use crate::{
    generate,
    outcome::{Outcome, Verdict, VerdictKind},
    scenario::Scenario,
    workload::Workload,
};

/// Runs a scenario with a seed, under `plan` or the plan generated for the seed. The defects are
/// the scenario's.
#[must_use]
pub fn run(scenario: &Scenario, seed: u64, plan: Option<&Plan>, workload: &Workload) -> Outcome {
    trace(scenario, seed, plan, workload, &mut |_| {})
}

/// The same run, with each line of its trace handed to `out`.
pub fn trace(
    scenario: &Scenario,
    seed: u64,
    plan: Option<&Plan>,
    workload: &Workload,
    out: &mut dyn FnMut(&str),
) -> Outcome {
    let plan = plan.cloned().unwrap_or_else(|| generate::plan(scenario, seed));
    let _ = workload;
    out("0 nothing was run");
    let message = "the runner is not there yet".to_owned();
    Outcome::broken(seed, plan, Verdict { kind: VerdictKind::NotMeasured, message })
}

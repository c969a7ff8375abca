//! For tests: one run that must be exact, told in full if it is not; and one check over many seeds.

use std::{env, ops::Range};

use unplug_sim::fault::Plan;

use crate::{
    input,
    scenario::Scenario,
    shrink::{self, Sample},
    workload::Workload,
};

/// Runs a scenario with a seed under a plan, all as JSON, and panics if a tuple did not reach the
/// sink exactly once. `unplug shrink` writes such tests.
///
/// That no fault of the plan happened is no failure here: what it waits for may never come.
///
/// ```
/// unplug::testing::exactly_once(
///     r#"{"name": "mine", "workload": {"flights": {"tuples": 20, "per_second": 20}}}"#,
///     3,
///     r#"{"faults": [{"when": {"from_ns": 700000000},
///                     "what": {"power_loss": {"target": "data_centre", "down_ns": 1000000}}}]}"#,
/// );
/// ```
///
/// # Panics
/// If the input makes no sense, or the oracle objects to the run.
pub fn exactly_once(scenario: &str, seed: u64, plan: &str) {
    let sample = sample(scenario, seed, plan).unwrap_or_else(|error| panic!("{error}"));
    let workload = Workload::embedded().expect("flights that were packed with the program");
    let outcome = shrink::outcome(&sample, &workload).unwrap_or_else(|error| panic!("{error}"));
    let objections: Vec<_> = outcome
        .objections()
        .into_iter()
        .map(|one| format!("\n  {}: {}", one.kind, one.message))
        .collect();
    assert!(
        objections.is_empty(),
        "not exactly once: {}, seed {seed}, digest {}{}",
        sample.scenario.name,
        outcome.digest,
        objections.concat()
    );
}

/// Reads a variable of the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "a test harness hands no arguments through: which seeds to run comes from there"
)]
fn variable(name: &str) -> Option<String> {
    match env::var(name) {
        Ok(value) => Some(value),
        Err(env::VarError::NotPresent) => None,
        Err(error @ env::VarError::NotUnicode(_)) => panic!("{name}: {error}"),
    }
}

/// Runs a check with each of these seeds, or with those that the environment names: see
/// [`unplug_sim::testing`].
///
/// ```
/// unplug::testing::seeds("seeds_are_numbers", 0..3, |seed| assert!(seed < 3));
/// ```
///
/// # Panics
/// If the check does: with the seed, and the line that runs it alone. Or if a variable makes no
/// sense.
pub fn seeds(name: &str, seeds: Range<u64>, check: impl Fn(u64)) {
    unplug_sim::testing::seeds(name, seeds, variable, check);
}

fn sample(scenario: &str, seed: u64, plan: &str) -> Result<Sample, input::Invalid> {
    let scenario = Scenario::parse("the scenario", scenario)?;
    let plan: Plan = input::parse("the plan", plan)?;
    let sample = Sample { scenario, seed, plan };
    sample.check().map_err(|error| error.within("the test"))?;
    Ok(sample)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_input_is_told_with_its_place() {
        let error = |scenario, plan| sample(scenario, 0, plan).expect_err("wrong").to_string();
        let (name, none) = (r#"{"name": "x"}"#, r#"{"faults": []}"#);
        assert!(error("{}", none).starts_with("the scenario: line 1 column 2: missing field"));
        assert!(error(name, "{}").starts_with("the plan: line 1 column 2: missing field"));
        let nobody = r#"{"faults": [{"when": {"from_ns": 0}, "what": {"disk_loss": {"node": "brokre", "down_ns": 1}}}]}"#;
        assert_eq!(
            error(name, nobody),
            "the test: faults[0].what: unknown node \"brokre\"; did you mean \"broker\"?"
        );
    }
}

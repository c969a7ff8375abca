use unplug_sim::fault::Plan;

use super::*;
use crate::scenario::Scenario;

pub(super) fn workload() -> Workload {
    Workload::embedded().expect("sound")
}

/// A run with so many power losses, one a nanosecond.
pub(super) fn sample(faults: u64) -> Sample {
    let scenario = Scenario::parse("x", r#"{"name": "x"}"#).expect("parses");
    let faults = (0..faults).flat_map(|at_ns| Plan::power_loss(at_ns).faults).collect();
    Sample { scenario, seed: 0, plan: Plan { faults } }
}

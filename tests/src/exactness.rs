//! A small scenario, and the flights.

use unplug::{scenario::Scenario, workload::Workload};

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

//! What speculation is for: an executor that is a hundred times slower than its peers.

use std::collections::BTreeMap;

use unplug::{run::Case, suite};
use unplug_tests::exactness::workload;

/// So many seeds with speculation, and as many without.
const SEEDS: u64 = 40;

#[test]
fn with_speculation_a_throttled_executor_costs_less_than_three_times_the_median_and_without_more() {
    let (scenario, workload) = (suite::scenario("straggler").expect("embedded"), workload());
    let case = Case::new(&scenario, &workload).expect("sound");
    let mut epochs: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for seed in 0..2 * SEEDS {
        for (class, took_ns) in case.run(seed, None).epoch_ns {
            epochs.entry(class).or_default().extend(took_ns);
        }
    }
    let mut percentile = |class: &str, percent: usize| {
        let took_ns = epochs.get_mut(class).expect("epochs of this class");
        assert!(took_ns.len() >= 100, "only {} epochs {class}", took_ns.len());
        took_ns.sort_unstable();
        took_ns[(took_ns.len() * percent).div_ceil(100) - 1]
    };
    let median_ns = percentile("calm", 50);
    let with_ns = percentile("throttled", 99);
    let without_ns = percentile("throttled_without_speculation", 99);
    assert!(with_ns <= 3 * median_ns, "{with_ns} ns with, and {median_ns} ns is usual");
    assert!(without_ns > 3 * median_ns, "{without_ns} ns without, and {median_ns} ns is usual");
}

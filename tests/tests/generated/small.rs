/// The smallest run found that fails with the verdict `duplicated`,
/// with sink-not-idempotent switched on: it passes where "defects" is empty.
#[test]
fn small_sink_not_idempotent_seed_5_is_exactly_once() {
    unplug::testing::exactly_once(
        r#"{"cluster": {"drivers":2,"executors":2,"partitions":2,"sinks":2},
            "defects": ["sink-not-idempotent"],
            "epoch_interval_ns": 100000000,
            "name": "small",
            "pipeline": "hourly",
            "state_partitions": 2,
            "workload": {"flights":{"per_second":240,"tuples":240}}}"#,
        5,
        r#"{"faults": [{"when":{"from_ns":400000000},"what":{"kill":{"target":{"node":"executor-1"},"down_ns":30000000}}},
            {"when":{"from_ns":0,"on":{"node":"sink-0","effect":{"mark":"apply.end"},"nth":2,"edge":"before"}},"what":{"kill":{"target":{"node":"sink-0"},"down_ns":1500000}}}]}"#,
    );
}

use super::*;

fn check(fields: &str, expected: &str) {
    let text = format!(r#"{{"name": "x"{fields}}}"#);
    let error = Scenario::parse("x.json", &text).expect_err(fields).to_string();
    assert_eq!(error, expected);
    assert!(!error.contains('\n'));
}

#[test]
fn says_what_where_and_what_would_be_right() {
    check(
        r#", "cluster": {"partitions": 0}"#,
        "x.json: cluster.partitions: 0 is out of range; it must be 1 to 64",
    );
    check(
        r#", "workload": {"flights": {"tuples": 20000}}"#,
        "x.json: workload.flights.tuples: 20000 is out of range; it must be 1 to 12126",
    );
    check(
        r#", "workload": {"generated": {"keys": 0}}"#,
        "x.json: workload.generated: keys: 0 is out of range; it must be 1 to 100000",
    );
    check(
        r#", "workload": {"generated": {"late": [2, 1]}}"#,
        "x.json: workload.generated: late: [2, 1] is no probability; it must be [cases, of so \
             many], such as [1, 3]",
    );
    check(
        r#", "workload": {"generated": {"idle": [3, 3]}}"#,
        "x.json: workload.generated: idle: every partition stops; leave one that goes on",
    );
    check(
        r#", "faults": {"generate": {"from_ns": 9, "until_ns": 3}}"#,
        "x.json: faults.generate: from_ns: 9 must be below until_ns, 3",
    );
    check(
        r#", "faults": {"generate": {"count": [3, 2]}}"#,
        "x.json: faults.generate: count: [3, 2] is upside down; it must be [low, high]",
    );
    check(
        r#", "network": {"loss": [1, 0]}"#,
        "x.json: network.loss: [1, 0] is no probability; it must be [cases, of so many], \
             such as [1, 3]",
    );
    check(
        r#", "faults": {"generate": {"classes": {}}}"#,
        "x.json: faults.generate: classes: every weight is 0; give one class a weight",
    );
    check(
        r#", "faults": {"generate": {"classes": {"sole_copy_media": 1}}}"#,
        "x.json: faults.generate.classes.sole_copy_media: damages what there is no other copy of, \
             and nothing survives that; leave it out, or name in `expect` what must be caught",
    );
    check(
        r#", "sink": "files", "expect": {"caught": {"verdicts": ["refused-wrongly"]}},
            "faults": {"generate": {"classes": {"sole_copy_media": 1}}}"#,
        "x.json: faults.generate.classes.sole_copy_media: damages a sink's table, and the sinks \
             are of another kind; leave it out, or make `sink` a table",
    );
    check(
        r#", "expect": {"caught": {"verdicts": []}}"#,
        "x.json: expect.caught.verdicts: names no verdict; name at least one",
    );
    check(
        r#", "expect": {"caught": {"verdicts": ["lost"], "beside": ["lost"]}}"#,
        "x.json: expect.caught.beside: lost is among `verdicts` already; leave it out of one of \
             them",
    );
    check(
        r#", "defects": ["ack-befor-sync"]"#,
        "x.json: defects: unknown defect \"ack-befor-sync\"; did you mean \"ack-before-sync\"?",
    );
}

#[test]
fn classes_have_their_parameters_within_bounds() {
    let generate = |fields: &str, expected: &str| {
        let fields = format!(r#", "faults": {{"generate": {{{fields}}}}}"#);
        check(&fields, &format!("x.json: faults.generate: {expected}"));
    };
    let hour = "it must be 0 to 3600000000000";
    for field in ["down_ns", "pause_ns", "throttle_ns", "partition_ns"] {
        generate(
            &format!(r#""{field}": [1, 3600000000001]"#),
            &format!("{field}: 3600000000001 is out of range; {hour}"),
        );
        generate(
            &format!(r#""{field}": [2, 1]"#),
            &format!("{field}: [2, 1] is upside down; it must be [low, high]"),
        );
    }
    generate(
        r#""clock_step_ns": [0, 5]"#,
        "clock_step_ns: 0 is out of range; it must be 1 to 3600000000000",
    );
    generate(
        r#""throttle_factor": [2, 1000001]"#,
        "throttle_factor: 1000001 is out of range; it must be 1 to 1000000",
    );
    generate(
        r#""throttle_factor": [3, 2]"#,
        "throttle_factor: [3, 2] is upside down; it must be [low, high]",
    );
    for class in ["node_kill", "kill_then_power_loss", "pause", "throttle", "clock_step"] {
        generate(
            &format!(r#""roles": [], "classes": {{"{class}": 1}}"#),
            "roles: no role for the faults of single nodes; name one",
        );
    }
    check(
        r#", "faults": {"generate": {"classes": {"pausse": 1}}}"#,
        "x.json: line 1 column 58: faults.generate.classes.pausse: unknown field \"pausse\"; \
             did you mean \"pause\"?",
    );
}

#[test]
fn a_single_store_keeps_its_disk() {
    for class in ["store_disk_loss", "store_media"] {
        check(
            &format!(
                r#", "cluster": {{"stores": 1}},
                        "faults": {{"generate": {{"classes": {{"{class}": 1}}}}}}"#
            ),
            &format!(
                "x.json: faults.generate: classes.{class}: the only store of a cluster must \
                     keep its disk; leave it out, or have 3 stores rather than 1"
            ),
        );
    }
}

#[test]
fn a_minority_of_the_stores_may_be_harmed() {
    for harmed in [0, 2] {
        check(
            &format!(r#", "faults": {{"generate": {{"stores_harmed": {harmed}}}}}"#),
            &format!(
                "x.json: faults.generate: stores_harmed: {harmed} is out of range; it must be 1 to 1"
            ),
        );
    }
}

#[test]
fn clusters_are_of_sizes_that_work() {
    check(
        r#", "cluster": {"stores": 4}"#,
        "x.json: cluster.stores: 4 is even, and bears no more losses than 3; it must be odd",
    );
    check(
        r#", "cluster": {"stores": 9}"#,
        "x.json: cluster.stores: 9 is out of range; it must be 1 to 7",
    );
    check(
        r#", "cluster": {"drivers": 9}"#,
        "x.json: cluster.drivers: 9 is out of range; it must be 1 to 8",
    );
    check(
        r#", "cluster": {"sinks": 2}"#,
        "x.json: cluster.sinks: is 2, and the pipeline has 1: one for its rows; make it 1",
    );
    check(
        r#", "pipeline": "hourly""#,
        "x.json: cluster.sinks: is 1, and the pipeline has 2: one for each that it names; make it 2",
    );
    check(
        r#", "pipeline": "paired""#,
        "x.json: workload.flights: has one source, and the pipeline has 2",
    );
    check(
        r#", "pipeline": "paired", "workload": {"generated": {"sources": 2}}, "cluster": {"sinks": 2, "partitions": 1}"#,
        "x.json: cluster.partitions: is 1, and each of the 2 sources needs one",
    );
}

#[test]
fn lines_are_broken_only_where_they_are_dead_letters() {
    check(
        r#", "pipeline": "keyed", "cluster": {"sinks": 2}, "workload": {"generated": {"broken": [1, 9]}}"#,
        "x.json: workload.generated.broken: breaks lines, and the pipeline's node \"parsed\" has no \
         sink for dead letters; give it one, or break none",
    );
    check(
        r#", "pipeline": "distinct", "cluster": {"sinks": 3}, "workload": {"generated": {"broken": [1, 0]}}"#,
        "x.json: workload.generated: broken: [1, 0] is no probability; it must be [cases, of so \
             many], such as [1, 3]",
    );
    check(
        r#", "files": "csv""#,
        "x.json: files: takes generated lines of amounts, of one source; make `workload` such a one",
    );
    check(
        r#", "pipeline": "weather", "cluster": {"sinks": 2}"#,
        "x.json: workload.flights: has one source, and the pipeline has 2",
    );
    let sound = |rest: &str| {
        let text = format!(
            r#"{{"name": "x", "pipeline": {rest}, "workload": {{"generated": {{"broken": [1, 9]}}}}}}"#
        );
        Scenario::parse("x.json", &text).expect("sound")
    };
    sound(r#""distinct", "cluster": {"sinks": 3}"#);
    sound(r#""keyed", "cluster": {"sinks": 2}, "files": "csv""#);
}

#[test]
fn the_engine_is_set_within_bounds() {
    check(
        r#", "epoch_tuples_max": 0"#,
        "x.json: epoch_tuples_max: 0 is out of range; it must be 1 to 1000000",
    );
    check(
        r#", "pipeline": "hourlie""#,
        "x.json: pipeline: unknown pipeline \"hourlie\"; did you mean \"hourly\"?",
    );
    check(
        r#", "states_kept": 1025"#,
        "x.json: states_kept: 1025 is out of range; it must be 0 to 1024",
    );
    check(
        r#", "state_partitions": 65"#,
        "x.json: state_partitions: 65 is out of range; it must be 1 to 64",
    );
    check(
        r#", "heartbeat_ns": 0"#,
        "x.json: heartbeat_ns: 0 is out of range; it must be 1000000 to 3600000000000",
    );
    check(
        r#", "failure_timeout_ns": 100000000"#,
        "x.json: failure_timeout_ns: 100000000 must be above heartbeat_ns, 100000000",
    );
    check(
        r#", "work_per_tuple_ns": 1000000001"#,
        "x.json: work_per_tuple_ns: 1000000001 is out of range; it must be 0 to 1000000000",
    );
    check(
        r#", "state": {"times": 0}"#,
        "x.json: state.times: 0 is out of range; it must be 1 to 1099511627776",
    );
    check(
        r#", "state": {"part_bytes_max": 63}"#,
        "x.json: state.part_bytes_max: 63 is out of range; it must be 64 to 524288",
    );
    check(
        r#", "hardware": "nvmee""#,
        "x.json: line 1 column 33: hardware: unknown name \"nvmee\"; did you mean \"nvme\"?",
    );
    check(
        r#", "speculation": "hlaf""#,
        "x.json: line 1 column 35: speculation: unknown name \"hlaf\"; did you mean \
             \"half\"?",
    );
}

#[test]
fn clocks_are_wrong_within_bounds() {
    check(
        r#", "clocks": {"wall_skew_ns": 86400000000001}"#,
        "x.json: clocks.wall_skew_ns: 86400000000001 is out of range; it must be 0 to \
             86400000000000",
    );
    check(
        r#", "clocks": {"drift_ppm": 500001}"#,
        "x.json: clocks.drift_ppm: 500001 is out of range; it must be 0 to 500000",
    );
}

#[test]
fn what_must_be_reached_is_known() {
    check(
        r#", "sometimes": ["fetch.faild"]"#,
        "x.json: sometimes: unknown mark \"fetch.faild\"; did you mean \"fetch.failed\"?",
    );
    check(
        r#", "interrupted_min": {"aply": 20}"#,
        "x.json: interrupted_min: unknown step \"aply\"; did you mean \"apply\"?",
    );
    check(
        r#", "interrupted_min": {"apply": 0}"#,
        "x.json: interrupted_min.apply: 0 is out of range; it must be 1 to \
             18446744073709551615",
    );
}

#[test]
fn a_plan_may_only_name_nodes_that_are_there() {
    check(
        r#", "faults": {"plan": {"faults": [{"when": {"from_ns": 1},
                "what": {"kill": {"target": {"node": "executor-3"}, "down_ns": 1}}}]}}"#,
        "x.json: faults.plan: faults[0].what: unknown node \"executor-3\"; did you mean \
             \"executor-0\"?",
    );
}

#[test]
fn a_plan_needs_a_fault_and_marks_that_the_engine_passes() {
    check(
        r#", "faults": {"plan": {"faults": []}}"#,
        "x.json: faults.plan.faults: is empty, and a run without a fault shows nothing; name a \
             fault",
    );
    check(
        r#", "faults": {"plan": {"faults": [{"when": {"from_ns": 1, "on": {"node": "sink-0",
                "effect": {"mark": "aply.begin"}, "nth": 1, "edge": "after"}},
                "what": {"kill": {"target": {"node": "sink-0"}, "down_ns": 1}}}]}}"#,
        "x.json: faults.plan: faults[0].when.on.effect: unknown mark \"aply.begin\"; did you \
             mean \"apply.begin\"?",
    );
}

#[test]
fn what_a_plan_waits_for_can_come() {
    let fault = |on: &str, what: &str, until: &str, expected: &str| {
        let fields = format!(
            r#", "faults": {{"plan": {{"faults": [{{
                "when": {{"from_ns": 1, "on": {{"node": "driver-0", {on}, "nth": 1}}}},
                "what": {what}, "until": {{"nth": 1, {until}}}}}]}}}}"#
        );
        check(&fields, &format!("x.json: faults.plan: faults[0].{expected}"));
    };
    let kill = r#"{"kill": {"target": {"node": "driver-0"}, "down_ns": 1}}"#;
    let (on, until) = (
        r#""effect": "send", "edge": "after""#,
        r#""node": "sink-0", "effect": "any", "edge": "after""#,
    );
    fault(
        r#""effect": "send", "edge": "after", "inside": "comit""#,
        kill,
        until,
        "when.on.inside: unknown phase \"comit\"; did you mean \"commit\"?",
    );
    fault(
        r#""effect": "boot", "edge": "after", "inside": "commit""#,
        kill,
        until,
        "when.on.inside: boots and crashes are in no phase; leave it out",
    );
    fault(
        r#""effect": "crash", "edge": "before""#,
        kill,
        until,
        "when.on.edge: cannot be \"before\" a boot or a crash, which nothing prevents; make it \
         \"after\"",
    );
    fault(
        on,
        kill,
        r#""node": "sink-9", "effect": "any", "edge": "after""#,
        "until.node: unknown node \"sink-9\"; did you mean \"sink-0\"?",
    );
    fault(
        on,
        kill,
        r#""node": "driver-0", "effect": {"mark": "leader.elcted"}, "edge": "after""#,
        "until.effect: unknown mark \"leader.elcted\"; did you mean \"leader.elected\"?",
    );
    let itself = "stops \"driver-0\" itself; wait for another node";
    let own = r#""node": "driver-0", "effect": "any", "edge": "after""#;
    fault(on, kill, own, &format!("until.node: the kill {itself}"));
    let pause = r#"{"pause": {"target": "data_centre", "for_ns": 1}}"#;
    fault(on, pause, own, &format!("until.node: the pause {itself}"));
    let step = r#"{"clock_step": {"target": "data_centre", "by_ns": 1}}"#;
    fault(on, step, until, "until: a clock_step ends at no event; leave it out");
}

#[test]
fn a_run_must_be_able_to_end_in_its_time() {
    check(
        r#", "workload": {"flights": {"tuples": 1000, "per_second": 1}}"#,
        "x.json: bounds.virtual_ns_max: is 300000000000, and a run may need 1030000000000: all \
             is sent after 1000000000000, the last fault comes at 20000000000, and stuck_after_ns \
             comes on top; give it more, or the run less to do",
    );
}

#[test]
fn names_are_safe_in_file_names() {
    for bad in ["", "../x", "A", "-x", "a b"] {
        assert!(name(bad).is_err(), "{bad}");
    }
    assert!(name("power-loss-2").is_ok());
}

#[test]
fn changes_of_a_cluster_come_in_order_and_leave_something_that_runs() {
    let changes = |changes: &str, expected: &str| {
        check(&format!(r#", "changes": {{{changes}}}"#), &format!("x.json: changes.{expected}"));
    };
    changes(
        r#""partitions": [{"at_ns": 1000, "count": 4}]"#,
        "partitions[0].count: is 4, and there are 4 by then; make it more",
    );
    changes(
        r#""partitions": [{"at_ns": 1000, "count": 5}, {"at_ns": 900, "count": 6}]"#,
        "partitions[1].at_ns: 900 is out of range; it must be 1000 to 20000000000",
    );
    changes(
        r#""executors_joined": [{"at_ns": 30000000000, "count": 1}]"#,
        "executors_joined[0].at_ns: 30000000000 is out of range; it must be 0 to 20000000000",
    );
    changes(
        r#""executors_left": [{"at_ns": 1000, "executor": "executor-3"}]"#,
        "executors_left[0].executor: unknown executor \"executor-3\"; did you mean \"executor-0\"?",
    );
    changes(
        r#""executors_joined": [{"at_ns": 1000, "count": 1}],
            "executors_left": [{"at_ns": 1000, "executor": "executor-3"}]"#,
        "executors_left[0].at_ns: 1000 is out of range; it must be 1001 to 20000000000",
    );
    let all =
        [0, 1, 2].map(|at| format!(r#"{{"at_ns": {}, "executor": "executor-{at}"}}"#, at + 5));
    changes(
        &format!(r#""executors_left": [{}]"#, all.join(", ")),
        "executors_left[2].executor: is the last executor that is there; keep one, or let one \
             join before",
    );
    changes(
        &format!(r#""executors_left": [{}, {}]"#, all[0], all[0]),
        "executors_left[1].executor: \"executor-0\" leaves twice; leave one out",
    );
    check(
        r#", "pipeline": "paired", "workload": {"generated": {"sources": 2}},
            "cluster": {"sinks": 2}, "changes": {"partitions": [{"at_ns": 1, "count": 7}]}"#,
        "x.json: changes.partitions[0].count: goes from 4 to 7, and each of the 2 sources must \
             keep its keys; make both a multiple of 2",
    );
}

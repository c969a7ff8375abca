//! What makes sense in a scenario and what does not, each said in one line with the place and with
//! what would be right.

mod bounds;
mod generate;
mod plan;
mod workload;

use unplug_engine::steps::Step;
use unplug_sim::NetworkConfig;

use self::bounds::{ordered, ratio, within};
pub(crate) use self::plan::check as plan;
use crate::{
    cluster, defects,
    input::{Invalid, unknown},
    scenario::{Expect, Faults, Scenario},
    topology::Cluster,
};

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3_600 * SECOND;

/// Checks a whole scenario.
pub(crate) fn scenario(scenario: &Scenario) -> Result<(), Invalid> {
    name(&scenario.name)?;
    nodes(&scenario.cluster)?;
    workload::check(&scenario.workload)?;
    match &scenario.faults {
        Faults::Plan(faults) => {
            if faults.faults.is_empty() {
                let what = "is empty, and a run without a fault shows nothing; name a fault";
                return Err(Invalid::at("faults.plan.faults", what));
            }
            plan::check(faults, &scenario.cluster).map_err(|error| error.within("faults.plan"))?;
        }
        Faults::Generate(faults) => {
            generate::check(faults, &scenario.cluster)
                .map_err(|error| error.within("faults.generate"))?;
        }
    }
    network(&scenario.network)?;
    engine(scenario)?;
    within("bounds.events_max", scenario.bounds.events_max, 1..=u64::MAX)?;
    within("bounds.virtual_ns_max", scenario.bounds.virtual_ns_max, 1..=24 * HOUR)?;
    within("bounds.stuck_after_ns", scenario.bounds.stuck_after_ns, 1..=24 * HOUR)?;
    if scenario.expect == Expect::Caught(Vec::new()) {
        return Err(Invalid::at("expect.caught", "names no verdict; name at least one"));
    }
    for defect in &scenario.defects {
        defects::check(defect).map_err(|error| error.within("defects"))?;
    }
    reach(scenario)?;
    time(scenario)?;
    sinks(scenario)
}

/// Checks how the engine is set.
fn engine(scenario: &Scenario) -> Result<(), Invalid> {
    within("epoch_interval_ns", scenario.epoch_interval_ns, 1_000_000..=HOUR)?;
    within("state_partitions", scenario.state_partitions, 1..=64)?;
    within("heartbeat_ns", scenario.heartbeat_ns, 1_000_000..=HOUR)?;
    within("failure_timeout_ns", scenario.failure_timeout_ns, 1_000_000..=HOUR)?;
    let (heartbeat, timeout) = (scenario.heartbeat_ns, scenario.failure_timeout_ns);
    if timeout <= heartbeat {
        let what = format!("{timeout} must be above heartbeat_ns, {heartbeat}");
        return Err(Invalid::at("failure_timeout_ns", what));
    }
    within("work_per_tuple_ns", scenario.work_per_tuple_ns, 0..=SECOND)
}

/// Checks what a campaign over it must reach.
fn reach(scenario: &Scenario) -> Result<(), Invalid> {
    for name in &scenario.sometimes {
        plan::mark(name).map_err(|error| error.within("sometimes"))?;
    }
    let steps = Step::ALL.map(Step::name);
    for (step, least) in &scenario.interrupted_min {
        if !steps.contains(&step.as_str()) {
            return Err(Invalid::at("interrupted_min", unknown("step", step, steps)));
        }
        within(&format!("interrupted_min.{step}"), *least, 1..=u64::MAX)?;
    }
    Ok(())
}

/// Checks that there are as many sinks as the pipeline has.
fn sinks(scenario: &Scenario) -> Result<(), Invalid> {
    let pipeline = cluster::pipeline(scenario)?;
    let (wanted, why) = cluster::sinks(&pipeline);
    if usize::try_from(scenario.cluster.sinks) == Ok(wanted) {
        return Ok(());
    }
    let what = format!(
        "is {}, and the pipeline has {wanted}: {why}; make it {wanted}",
        scenario.cluster.sinks
    );
    Err(Invalid::at("cluster.sinks", what))
}

/// Checks that a run can end within its virtual time.
fn time(scenario: &Scenario) -> Result<(), Invalid> {
    let (tuples, per_second) = (scenario.workload.tuples(), scenario.workload.per_second());
    let sent_ns = u64::from(tuples) * 1_000_000_000 / u64::from(per_second);
    let struck_ns = match &scenario.faults {
        Faults::Plan(plan) => plan.faults.iter().map(plan::over_ns).max().unwrap_or(0),
        Faults::Generate(faults) => faults.until_ns,
    };
    let needed_ns = sent_ns.max(struck_ns).saturating_add(scenario.bounds.stuck_after_ns);
    if needed_ns <= scenario.bounds.virtual_ns_max {
        return Ok(());
    }
    let what = format!(
        "is {}, and a run may need {needed_ns}: all is sent after {sent_ns}, the last fault comes \
         at {struck_ns}, and stuck_after_ns comes on top; give it more, or the run less to do",
        scenario.bounds.virtual_ns_max
    );
    Err(Invalid::at("bounds.virtual_ns_max", what))
}

fn name(name: &str) -> Result<(), Invalid> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=64).contains(&name.len()) && !name.starts_with('-') && name.bytes().all(allowed) {
        return Ok(());
    }
    let rule =
        "must be 1 to 64 lower-case letters, digits and hyphens, and not start with a hyphen";
    Err(Invalid::at("name", format!("{name:?} {rule}")))
}

fn nodes(cluster: &Cluster) -> Result<(), Invalid> {
    within("cluster.partitions", cluster.partitions, 1..=64)?;
    within("cluster.stores", cluster.stores, 1..=7)?;
    if cluster.stores.is_multiple_of(2) {
        let (stores, fewer) = (cluster.stores, cluster.stores - 1);
        let what =
            format!("{stores} is even, and bears no more losses than {fewer}; it must be odd");
        return Err(Invalid::at("cluster.stores", what));
    }
    within("cluster.drivers", cluster.drivers, 1..=8)?;
    within("cluster.executors", cluster.executors, 1..=64)?;
    within("cluster.producers", cluster.producers, 1..=64)?;
    within("cluster.readers", cluster.readers, 1..=16)
}

fn network(network: &NetworkConfig) -> Result<(), Invalid> {
    for (place, range) in [("latency_ns", network.latency_ns), ("tail_ns", network.tail_ns)] {
        let place = format!("network.{place}");
        within(&place, range.1, 0..=HOUR)?;
        ordered(&place, range)?;
    }
    ratio("network.tail", network.tail)?;
    ratio("network.duplication", network.duplication)?;
    ratio("network.loss", network.loss)?;
    if network.loss.0 == network.loss.1 {
        return Err(Invalid::at(
            "network.loss",
            "every datagram is lost; nothing can be delivered",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
        for class in ["store_disk_loss", "store_bit_rot"] {
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
            "x.json: cluster.sinks: is 1, and the pipeline has 2: one for its rows and one for \
             those that come late; make it 2",
        );
    }

    #[test]
    fn the_engine_is_set_within_bounds() {
        check(
            r#", "pipeline": "hourlie""#,
            "x.json: pipeline: unknown pipeline \"hourlie\"; did you mean \"hourly\"?",
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
            r#", "speculation": "hlaf""#,
            "x.json: line 1 column 35: speculation: unknown name \"hlaf\"; did you mean \
             \"half\"?",
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
}

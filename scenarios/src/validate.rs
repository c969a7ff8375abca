//! What makes sense in a scenario and what does not, each said in one line with the place and with
//! what would be right.

use std::ops::RangeInclusive;

use unplug_engine::steps::{MARKS, Step};
use unplug_sim::{
    NetworkConfig,
    fault::{Action, EffectFilter, Plan, Target},
};

use crate::{
    cluster, defects,
    input::{Invalid, unknown},
    scenario::{Expect, Faults, Generate, Generated, Scenario, Source},
    topology::Cluster,
    workload::FLIGHTS,
};

const HOUR: u64 = 3_600_000_000_000;

/// Checks a whole scenario.
pub(crate) fn scenario(scenario: &Scenario) -> Result<(), Invalid> {
    name(&scenario.name)?;
    nodes(&scenario.cluster)?;
    workload(&scenario.workload)?;
    match &scenario.faults {
        Faults::Plan(faults) => {
            if faults.faults.is_empty() {
                let what = "is empty, and a run without a fault shows nothing; name a fault";
                return Err(Invalid::at("faults.plan.faults", what));
            }
            plan(faults, &scenario.cluster).map_err(|error| error.within("faults.plan"))?;
        }
        Faults::Generate(faults) => {
            generate(faults).map_err(|error| error.within("faults.generate"))?;
        }
    }
    network(&scenario.network)?;
    within("epoch_interval_ns", scenario.epoch_interval_ns, 1_000_000..=HOUR)?;
    within("bounds.events_max", scenario.bounds.events_max, 1..=u64::MAX)?;
    within("bounds.virtual_ns_max", scenario.bounds.virtual_ns_max, 1..=24 * HOUR)?;
    within("bounds.stuck_after_ns", scenario.bounds.stuck_after_ns, 1..=24 * HOUR)?;
    if scenario.expect == Expect::Caught(Vec::new()) {
        return Err(Invalid::at("expect.caught", "names no verdict; name at least one"));
    }
    for defect in &scenario.defects {
        defects::check(defect).map_err(|error| error.within("defects"))?;
    }
    time(scenario)?;
    cluster::pipeline(scenario).map(drop)
}

/// Checks that a plan can be run on a cluster.
pub(crate) fn plan(plan: &Plan, cluster: &Cluster) -> Result<(), Invalid> {
    let nodes = cluster.nodes();
    let known = |place: &str, node: &String| {
        if nodes.contains(node) {
            return Ok(());
        }
        Err(Invalid::at(place, unknown("node", node, nodes.iter().map(String::as_str))))
    };
    for (index, fault) in plan.faults.iter().enumerate() {
        let (Action::PowerLoss { target, down_ns } | Action::Kill { target, down_ns }) =
            &fault.what
        else {
            continue;
        };
        if let Target::Node(node) = target {
            known(&format!("faults[{index}].what"), node)?;
        }
        within(&format!("faults[{index}].what: down_ns"), *down_ns, 0..=HOUR)?;
        within(&format!("faults[{index}].when.from_ns"), fault.when.from_ns, 0..=24 * HOUR)?;
        if let Some(point) = &fault.when.on {
            known(&format!("faults[{index}].when.on.node"), &point.node)?;
            within(&format!("faults[{index}].when.on.nth"), point.nth, 1..=u64::MAX)?;
            if let EffectFilter::Mark(name) = &point.effect {
                mark(name)
                    .map_err(|error| error.within(&format!("faults[{index}].when.on.effect")))?;
            }
        }
    }
    Ok(())
}

/// Checks that the engine passes such a mark.
fn mark(name: &str) -> Result<(), Invalid> {
    let steps = Step::ALL.into_iter().flat_map(|step| [step.begin(), step.end()]);
    let known: Vec<_> = steps.chain(MARKS).collect();
    if known.contains(&name) { Ok(()) } else { Err(Invalid::new(unknown("mark", name, known))) }
}

/// Checks that a run can end within its virtual time.
fn time(scenario: &Scenario) -> Result<(), Invalid> {
    let (tuples, per_second) = (scenario.workload.tuples(), scenario.workload.per_second());
    let sent_ns = u64::from(tuples) * 1_000_000_000 / u64::from(per_second);
    let struck_ns = match &scenario.faults {
        Faults::Plan(plan) => plan.faults.iter().map(|fault| fault.when.from_ns).max().unwrap_or(0),
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
    within("cluster.executors", cluster.executors, 1..=64)?;
    within("cluster.producers", cluster.producers, 1..=64)?;
    within("cluster.readers", cluster.readers, 1..=16)
}

fn workload(source: &Source) -> Result<(), Invalid> {
    match source {
        Source::Flights(flights) => {
            within("workload.flights.tuples", flights.tuples, 1..=FLIGHTS)?;
            within("workload.flights.per_second", flights.per_second, 1..=1_000_000)
        }
        Source::Generated(made) => {
            generated(made).map_err(|error| error.within("workload.generated"))
        }
    }
}

fn generated(made: &Generated) -> Result<(), Invalid> {
    within("tuples", made.tuples, 1..=100_000)?;
    within("per_second", made.per_second, 1..=1_000_000)?;
    within("keys", made.keys, 1..=100_000)?;
    ratio("skew", made.skew)?;
    // Event time begins with the run's, and must not fall before 1970.
    within("disorder_ms", made.disorder_ms, 0..=24 * 3_600_000)?;
    ratio("late", made.late)?;
    within("late_ms", made.late_ms, 0..=24 * 3_600_000)?;
    ratio("idle", made.idle)?;
    if made.idle.0 == made.idle.1 {
        return Err(Invalid::at("idle", "every partition stops; leave one that goes on"));
    }
    Ok(())
}

fn generate(faults: &Generate) -> Result<(), Invalid> {
    within("until_ns", faults.until_ns, 1..=24 * HOUR)?;
    if faults.from_ns >= faults.until_ns {
        let (from, until) = (faults.from_ns, faults.until_ns);
        return Err(Invalid::at("from_ns", format!("{from} must be below until_ns, {until}")));
    }
    within("count", faults.count.0, 1..=1_000)?;
    within("count", faults.count.1, 1..=1_000)?;
    ordered("count", faults.count)?;
    within("down_ns", faults.down_ns.1, 0..=HOUR)?;
    ordered("down_ns", faults.down_ns)?;
    ratio("during_recovery", faults.during_recovery)?;
    let classes = &faults.classes;
    let single = [classes.node_power_loss, classes.node_kill].iter().any(|&weight| weight > 0);
    if !single && classes.data_centre_power_loss == 0 {
        return Err(Invalid::at("classes", "every weight is 0; give one class a weight"));
    }
    if single && faults.roles.is_empty() {
        return Err(Invalid::at("roles", "no role for the faults of single nodes; name one"));
    }
    Ok(())
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

fn within<T: PartialOrd + std::fmt::Display>(
    place: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), Invalid> {
    if range.contains(&value) {
        return Ok(());
    }
    let (low, high) = (range.start(), range.end());
    Err(Invalid::at(place, format!("{value} is out of range; it must be {low} to {high}")))
}

fn ordered<T: PartialOrd + std::fmt::Display>(
    place: &str,
    (low, high): (T, T),
) -> Result<(), Invalid> {
    if low <= high {
        return Ok(());
    }
    Err(Invalid::at(place, format!("[{low}, {high}] is upside down; it must be [low, high]")))
}

fn ratio(place: &str, (cases, of): (u32, u32)) -> Result<(), Invalid> {
    if cases <= of && of > 0 {
        return Ok(());
    }
    let rule = "is no probability; it must be [cases, of so many], such as [1, 3]";
    Err(Invalid::at(place, format!("[{cases}, {of}] {rule}")))
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

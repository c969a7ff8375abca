//! What makes sense in a scenario and what does not, each said in one line with the place and with
//! what would be right.

mod bounds;
mod changes;
mod generate;
mod plan;
mod workload;

use unplug_engine::steps::Step;
use unplug_sim::{ClockConfig, NetworkConfig};

use self::bounds::{ordered, ratio, within};
pub(crate) use self::plan::check as plan;
use crate::{
    cluster, defects,
    input::{Invalid, unknown},
    scenario::{Expect, Faults, Generated, Lines, Scenario, Sink, Source, StateDesign},
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
            plan::check(faults, scenario).map_err(|error| error.within("faults.plan"))?;
        }
        Faults::Generate(faults) => {
            generate::check(faults, &scenario.cluster)
                .map_err(|error| error.within("faults.generate"))?;
            if faults.classes.sole_copy_media > 0 && !scenario.is_negative() {
                let what = "damages what there is no other copy of, and nothing survives that; \
                            leave it out, or name in `expect` what must be caught";
                return Err(Invalid::at("faults.generate.classes.sole_copy_media", what));
            }
            if faults.classes.sole_copy_media > 0 && scenario.sink != Sink::Table {
                let what = "damages a sink's table, and the sinks are of another kind; leave it \
                            out, or make `sink` a table";
                return Err(Invalid::at("faults.generate.classes.sole_copy_media", what));
            }
        }
    }
    network(&scenario.network)?;
    scenario.disk.check()?;
    ratio("disk.glitches", scenario.disk.glitches)?;
    within("clocks.wall_skew_ns", scenario.clocks.wall_skew_ns, 0..=24 * HOUR)?;
    within("clocks.drift_ppm", scenario.clocks.drift_ppm, 0..=ClockConfig::DRIFT_PPM_MAX)?;
    engine(scenario)?;
    within("bounds.events_max", scenario.bounds.events_max, 1..=u64::MAX)?;
    within("bounds.virtual_ns_max", scenario.bounds.virtual_ns_max, 1..=24 * HOUR)?;
    within("bounds.in_flight_bytes_max", scenario.bounds.in_flight_bytes_max, 1..=1 << 32)?;
    within("bounds.disk_bytes_max", scenario.bounds.disk_bytes_max, 1..=1 << 36)?;
    within("bounds.stuck_after_ns", scenario.bounds.stuck_after_ns, 1..=24 * HOUR)?;
    if let Expect::Caught { verdicts, beside } = &scenario.expect {
        if verdicts.is_empty() {
            let what = "names no verdict; name at least one";
            return Err(Invalid::at("expect.caught.verdicts", what));
        }
        if let Some(twice) = beside.iter().find(|kind| verdicts.contains(kind)) {
            let what = format!("{twice} is among `verdicts` already; leave it out of one of them");
            return Err(Invalid::at("expect.caught.beside", what));
        }
    }
    for defect in &scenario.defects {
        defects::check(defect).map_err(|error| error.within("defects"))?;
    }
    reach(scenario)?;
    time(scenario)?;
    sources(scenario)?;
    sinks(scenario)?;
    broken(scenario)?;
    files(scenario)?;
    changes::check(scenario)
}

/// Checks how the engine is set.
fn engine(scenario: &Scenario) -> Result<(), Invalid> {
    within("epoch_interval_ns", scenario.epoch_interval_ns, 1_000_000..=HOUR)?;
    within("epoch_tuples_max", scenario.epoch_tuples_max, 1..=1_000_000)?;
    within("source_bytes_max", scenario.source_bytes_max.unwrap_or(1 << 16), 1 << 16..=1 << 40)?;
    within("state_partitions", scenario.state_partitions, 1..=64)?;
    within("states_kept", scenario.states_kept, 0..=1024)?;
    within("heartbeat_ns", scenario.heartbeat_ns, 1_000_000..=HOUR)?;
    within("failure_timeout_ns", scenario.failure_timeout_ns, 1_000_000..=HOUR)?;
    let (heartbeat, timeout) = (scenario.heartbeat_ns, scenario.failure_timeout_ns);
    if timeout <= heartbeat {
        let what = format!("{timeout} must be above heartbeat_ns, {heartbeat}");
        return Err(Invalid::at("failure_timeout_ns", what));
    }
    within("work_per_tuple_ns", scenario.work_per_tuple_ns, 0..=SECOND)?;
    state(&scenario.state)
}

/// Checks how the state is kept.
fn state(design: &StateDesign) -> Result<(), Invalid> {
    within("state.part_bytes_max", design.part_bytes_max, 64..=512 << 10)?;
    within("state.times", design.times, 1..=1 << 40)?;
    within("state.blob_patience_ns", design.blob_patience_ns, 0..=HOUR)?;
    within("state.task_timeout_ns", design.task_timeout_ns, 1_000_000..=24 * HOUR)
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

/// Checks that there are as many sources as the pipeline has, and partitions for each.
fn sources(scenario: &Scenario) -> Result<(), Invalid> {
    let wanted = cluster::pipeline(scenario)?.sources();
    let (place, got) = match scenario.workload {
        Source::Flights(flights) => ("workload.flights", 1 + usize::from(flights.weather)),
        Source::Generated(made) => ("workload.generated.sources", usize::from(made.sources)),
    };
    if got != wanted {
        let what = format!("has {got} source, and the pipeline has {wanted}");
        return Err(Invalid::at(place, what.replace("1 source,", "one source,")));
    }
    let partitions = scenario.cluster.partitions;
    if usize::try_from(partitions).is_ok_and(|partitions| partitions < wanted) {
        let what = format!("is {partitions}, and each of the {wanted} sources needs one");
        return Err(Invalid::at("cluster.partitions", what));
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

/// Checks that lines are broken only where they are dead letters.
fn broken(scenario: &Scenario) -> Result<(), Invalid> {
    let Source::Generated(made) = scenario.workload else { return Ok(()) };
    if made.broken.0 == 0 || scenario.files.is_some() {
        return Ok(());
    }
    let pipeline = cluster::pipeline(scenario)?;
    match pipeline.without_dead_letters() {
        None => Ok(()),
        Some(node) => {
            let what = format!(
                "breaks lines, and the pipeline's node {node:?} has no sink for dead letters; give \
                 it one, or break none"
            );
            Err(Invalid::at("workload.generated.broken", what))
        }
    }
}

/// Checks that what goes into files are keys and amounts, of one source.
fn files(scenario: &Scenario) -> Result<(), Invalid> {
    if scenario.files.is_none() {
        return Ok(());
    }
    match scenario.workload {
        Source::Generated(Generated { lines: Lines::Amounts, sources: 1, .. }) => Ok(()),
        Source::Generated(_) | Source::Flights(_) => {
            let what =
                "takes generated lines of amounts, of one source; make `workload` such a one";
            Err(Invalid::at("files", what))
        }
    }
}

/// Checks that a run can end within its virtual time.
fn time(scenario: &Scenario) -> Result<(), Invalid> {
    let sent_ns = scenario.workload.sent_ns();
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
mod tests;

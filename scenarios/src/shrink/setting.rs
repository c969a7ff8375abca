//! The same plan in a smaller setting: fewer tuples, fewer nodes, and nothing in the way that has
//! no part in the failure.

use std::collections::BTreeSet;

use unplug_sim::{
    ClockConfig,
    fault::{Action, Keep, Plan, Target},
};

use super::{fault::target, plan::scale, sample::Sample};
use crate::{
    cluster,
    scenario::{Changes, DRAWN, Generated, Scenario, Source, Speculation},
    topology::{Cluster, Role, reader},
    workload::Workload,
};

/// How many tuples are tried, the fewest first; then three quarters, and one less.
const TUPLES: [u32; 16] = [1, 2, 3, 5, 8, 12, 16, 20, 30, 50, 80, 120, 200, 300, 500, 1_000];
/// How long a run has to deliver all after the last fault; tried if that is not what failed.
const STUCK_AFTER_NS: [u64; 2] = [5_000_000_000, 10_000_000_000];

/// With fewer tuples: spread over the same time, or over less of it, with the faults moved along.
pub(super) fn fewer_tuples(sample: &Sample, _: &Workload) -> Vec<Sample> {
    let (tuples, per_second) = {
        let workload = &sample.scenario.workload;
        (workload.tuples(), workload.per_second())
    };
    let mut wanted: Vec<_> = TUPLES.into_iter().filter(|one| *one < tuples).collect();
    wanted.extend([tuples / 4 * 3, tuples - 1].into_iter().filter(|one| (1..tuples).contains(one)));
    let mut candidates = Vec::new();
    for fewer in wanted {
        let slower = u64::from(per_second) * u64::from(fewer) / u64::from(tuples);
        let slower = u32::try_from(slower).expect("no more than it was").max(1);
        let with = |rate| {
            let mut smaller = sample.clone();
            match &mut smaller.scenario.workload {
                Source::Flights(flights) => {
                    (flights.tuples, flights.per_second) = (fewer, rate);
                }
                Source::Generated(made) => (made.tuples, made.per_second) = (fewer, rate),
            }
            smaller
        };
        candidates.push(with(slower));
        let mut moved = with(per_second);
        scale(&mut moved.plan, fewer, tuples);
        candidates.push(moved);
        candidates.push(with(per_second));
    }
    candidates
}

/// With fewer nodes and partitions: one of each kind, then fewer of one kind.
pub(super) fn fewer_nodes(sample: &Sample, _: &Workload) -> Vec<Sample> {
    let Cluster { partitions, stores, drivers, executors, producers, readers, .. } =
        sample.scenario.cluster;
    let mut candidates = vec![cut(sample, |cluster| {
        *cluster = Cluster {
            partitions: 1,
            stores: cluster.stores.min(3),
            drivers: 1,
            executors: 1,
            producers: 1,
            readers: 1,
            sinks: cluster.sinks,
        };
    })];
    type Count = fn(&mut Cluster) -> &mut u32;
    let kinds: [(u32, Count); 6] = [
        (executors, |cluster| &mut cluster.executors),
        (stores, |cluster| &mut cluster.stores),
        (drivers, |cluster| &mut cluster.drivers),
        (producers, |cluster| &mut cluster.producers),
        (readers, |cluster| &mut cluster.readers),
        (partitions, |cluster| &mut cluster.partitions),
    ];
    for (count, of) in kinds {
        // A check refuses an even number of stores.
        for fewer in [1, count / 2, count.saturating_sub(2), count - 1] {
            if (1..count).contains(&fewer) {
                candidates.push(cut(sample, |cluster| *of(cluster) = fewer));
            }
        }
    }
    candidates.retain(|one| one != sample);
    candidates
}

/// With nothing that disturbs beside the faults, and nothing left to draw that can be named.
pub(super) fn calmer(sample: &Sample, _: &Workload) -> Vec<Sample> {
    let scenario = &sample.scenario;
    let mut candidates: Vec<Sample> = Vec::new();
    let mut change = |to: &dyn Fn(&mut Scenario)| {
        let mut calmer = sample.clone();
        to(&mut calmer.scenario);
        candidates.push(calmer);
    };
    if scenario.disk.profile == DRAWN {
        let name = scenario.disk.profile(sample.seed).name;
        change(&|scenario| name.clone_into(&mut scenario.disk.profile));
    }
    let calm: [fn(&mut Scenario); 11] = [
        |scenario| scenario.source_bytes_max = None,
        |scenario| scenario.changes = Changes::default(),
        |scenario| scenario.network.loss = (0, 1),
        |scenario| scenario.network.duplication = (0, 1),
        |scenario| scenario.network.tail = (0, 1),
        |scenario| scenario.clocks = ClockConfig::default(),
        |scenario| scenario.disk.glitches = (0, 1),
        |scenario| scenario.speculation = Speculation::Off,
        |scenario| scenario.state_partitions = 1,
        |scenario| scenario.states_kept = 64,
        |scenario| {
            if let Source::Generated(made) = scenario.workload {
                let (late, idle, skew) = ((0, 1), (0, 1), (0, 1));
                let plain = Generated { disorder_ms: 0, late, idle, skew, ..made };
                scenario.workload = Source::Generated(plain);
            }
        },
    ];
    change(&|scenario| calm.iter().for_each(|calm| calm(scenario)));
    calm.iter().for_each(|calm| change(calm));
    if let Source::Generated(made) = scenario.workload {
        for keys in [1, 2, made.keys / 2] {
            if (1..made.keys).contains(&keys) {
                let fewer = Source::Generated(Generated { keys, ..made });
                change(&|scenario| scenario.workload = fewer);
            }
        }
    }
    candidates.push(flights(sample));
    candidates.retain(|one| one != sample);
    candidates
}

/// With less time to wait for what does not come any more.
pub(super) fn less_patient(sample: &Sample, _: &Workload) -> Vec<Sample> {
    let less =
        STUCK_AFTER_NS.into_iter().filter(|one| *one < sample.scenario.bounds.stuck_after_ns);
    less.map(|stuck_after_ns| {
        let mut candidate = sample.clone();
        candidate.scenario.bounds.stuck_after_ns = stuck_after_ns;
        candidate
    })
    .collect()
}

/// With the flights' pipeline, which has one sink and keeps no state, if it is flights that come.
fn flights(sample: &Sample) -> Sample {
    let mut simpler = sample.clone();
    if let (Source::Flights(_), Some(_)) = (&sample.scenario.workload, &sample.scenario.pipeline) {
        simpler.scenario.pipeline = None;
        if let Ok(pipeline) = cluster::pipeline(&simpler.scenario) {
            let sinks = u32::try_from(cluster::sinks(&pipeline).0).expect("one or two");
            simpler = cut(&simpler, |cluster| cluster.sinks = sinks);
        }
    }
    simpler
}

/// A smaller cluster. Faults of nodes that are gone strike the last of their kind.
fn cut(sample: &Sample, to: impl Fn(&mut Cluster)) -> Sample {
    let mut smaller = sample.clone();
    to(&mut smaller.scenario.cluster);
    rename(&mut smaller.plan, &sample.scenario.cluster, &smaller.scenario.cluster);
    smaller
}

fn rename(plan: &mut Plan, before: &Cluster, after: &Cluster) {
    let rename = |name: &mut String| {
        for role in Role::ALL {
            let (had, has) = (role.count(before), role.count(after));
            if has < had && (has..had).any(|index| role.node(index) == *name) {
                *name = role.node(has - 1);
            }
        }
        if (after.readers..before.readers).any(|index| reader(index) == *name) {
            *name = reader(after.readers - 1);
        }
    };
    for fault in &mut plan.faults {
        for point in [&mut fault.when.on, &mut fault.until].into_iter().flatten() {
            rename(&mut point.node);
        }
        if let Some(Target::Node(node)) = target(&mut fault.what) {
            rename(node);
        }
        match &mut fault.what {
            Action::DiskLoss { node, .. } | Action::DiskFault { node, .. } => rename(node),
            Action::Partition { from, to, .. } => {
                let mut seen = BTreeSet::new();
                for side in [from, to] {
                    side.iter_mut().for_each(rename);
                    side.retain(|node| seen.insert(node.clone()));
                }
            }
            Action::PowerLoss { keep: Keep::Torn { node, .. }, .. } => rename(node),
            Action::PowerLoss { .. }
            | Action::Kill { .. }
            | Action::Pause { .. }
            | Action::Throttle { .. }
            | Action::ClockStep { .. }
            | Action::DiskFull { .. }
            | Action::SlowDisk { .. }
            | Action::DiskStall { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use unplug_sim::fault::{Fault, Point, Trigger};

    use super::*;

    #[test]
    fn faults_follow_the_nodes_that_stay() {
        let before = Cluster { executors: 4, readers: 3, ..Cluster::default() };
        let after = Cluster { executors: 2, readers: 1, ..before };
        let names = |names: &[&str]| names.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
        let cut = Action::Partition {
            from: names(&["executor-0", "executor-3"]),
            to: names(&["executor-1", "reader-2", "broker"]),
            one_way: false,
            for_ns: 1,
        };
        let when = Trigger { from_ns: 0, on: None };
        let end = r#"{"node": "executor-2", "effect": "boot", "nth": 1, "edge": "after"}"#;
        let end: Point = serde_json::from_str(end).expect("a point");
        let kill = Action::Kill { target: Target::Node("executor-3".to_owned()), down_ns: 1 };
        let mut sample = super::super::tests::sample(1);
        sample.plan.faults = [cut, kill]
            .map(|what| {
                let mut fault: Fault = sample.plan.faults[0].clone();
                (fault.when, fault.what) = (when.clone(), what);
                fault.until = Some(end.clone());
                fault
            })
            .to_vec();
        rename(&mut sample.plan, &before, &after);
        let nodes: Vec<_> = sample.plan.faults.iter().map(|fault| fault.what.nodes()).collect();
        let ends = sample.plan.faults.iter().filter_map(|fault| fault.until.as_ref());
        assert_eq!(ends.map(|end| end.node.as_str()).collect::<Vec<_>>(), ["executor-1"; 2]);
        let want: [&[&str]; 2] =
            [&["executor-0", "executor-1", "reader-0", "broker"], &["executor-1"]];
        assert_eq!(nodes, want);
    }
}

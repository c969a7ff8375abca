//! Smaller plans: with fewer faults, and with simpler ones.

use unplug_sim::fault::{Action, Edge, Fault, Plan, Point, Target};

use super::sample::Sample;
use crate::{
    cluster,
    scenario::Source,
    topology::{Cluster, Role},
    workload::Workload,
};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
/// Times are rounded to multiples of one of these, the roundest first.
const ROUND_NS: [u64; 4] = [SECOND, 100 * MS, 10 * MS, MS];
/// What a duration is tried with before it is halved.
const SHORT_NS: [u64; 4] = [MS, 10 * MS, 100 * MS, SECOND];
/// No rate is raised beyond this, to have the tuples sent sooner.
const PER_SECOND_MAX: u32 = 1_000;

/// Without some of the faults, most of them first (delta debugging: halves, then quarters…).
pub(super) fn fewer(sample: &Sample, _: &Workload) -> Vec<Sample> {
    let faults = &sample.plan.faults;
    let mut candidates = Vec::new();
    let mut size = faults.len();
    while size > 0 {
        for start in (0..faults.len()).step_by(size) {
            let end = (start + size).min(faults.len());
            candidates.push([&faults[..start], &faults[end..]].concat());
        }
        size /= 2;
    }
    candidates.into_iter().map(|faults| with(sample, faults)).collect()
}

/// With one of the faults made simpler.
pub(super) fn simpler(sample: &Sample, workload: &Workload) -> Vec<Sample> {
    let struck = strikes(sample, workload);
    let mut candidates = Vec::new();
    for (index, fault) in sample.plan.faults.iter().enumerate() {
        let at_ns = struck.get(index).copied().flatten();
        let simpler = [triggers(fault, at_ns), actions(fault, &sample.scenario.cluster)].concat();
        candidates.extend(simpler.into_iter().map(|fault| {
            let mut faults = sample.plan.faults.clone();
            faults[index] = fault;
            with(sample, faults)
        }));
    }
    candidates
}

/// With all of it earlier: the faults, and with a higher rate the tuples.
pub(super) fn earlier(sample: &Sample, _: &Workload) -> Vec<Sample> {
    let mut candidates = Vec::new();
    for by in [8, 4, 2] {
        let mut earlier = sample.clone();
        scale(&mut earlier.plan, 1, by);
        if earlier.plan == sample.plan {
            continue;
        }
        let rate = match &mut earlier.scenario.workload {
            Source::Flights(flights) => &mut flights.per_second,
            Source::Generated(made) => &mut made.per_second,
        };
        *rate = rate.saturating_mul(by);
        if *rate <= PER_SECOND_MAX {
            candidates.push(earlier.clone());
        }
        earlier.scenario.workload = sample.scenario.workload;
        candidates.push(earlier);
    }
    candidates
}

/// Makes all faults begin to wait, or happen, after `part` of `of` of their times.
pub(super) fn scale(plan: &mut Plan, part: u32, of: u32) {
    for fault in &mut plan.faults {
        fault.when.from_ns = fault.when.from_ns / u64::from(of) * u64::from(part);
    }
}

fn with(sample: &Sample, faults: Vec<Fault>) -> Sample {
    Sample { plan: Plan { faults }, ..sample.clone() }
}

/// When each fault struck, if it did.
fn strikes(sample: &Sample, workload: &Workload) -> Vec<Option<u64>> {
    let Sample { scenario, seed, plan } = sample;
    let mut struck = vec![None; plan.faults.len()];
    let Ok((mut world, _clients)) = cluster::build(scenario, *seed, workload) else {
        return struck;
    };
    if world.load(plan).is_ok() {
        let last_ns = plan.faults.iter().map(|fault| fault.when.from_ns).max().unwrap_or(0);
        world.run_until(last_ns + crate::run::ARMED_NS_MAX);
        for fired in world.fired() {
            struck[fired.fault] = Some(fired.at_ns);
        }
    }
    struck
}

/// The same fault at a simpler time.
fn triggers(fault: &Fault, at_ns: Option<u64>) -> Vec<Fault> {
    let mut triggers = Vec::new();
    let from_ns = fault.when.from_ns;
    if let Some(point) = &fault.when.on {
        let simply = at_ns.into_iter().flat_map(|at_ns| {
            ROUND_NS.map(|round| at_ns.next_multiple_of(round)).into_iter().chain([at_ns])
        });
        triggers.extend(simply.map(|from_ns| (from_ns, None)));
        let at = |nth: u64, edge| Some(Point { nth, edge, ..point.clone() });
        if point.nth > 1 {
            let late =
                at_ns.into_iter().flat_map(|at_ns| ROUND_NS.map(|round| at_ns - at_ns % round));
            for from_ns in late.chain([from_ns]) {
                triggers.push((from_ns, at(1, point.edge)));
            }
            triggers.push((from_ns, at(point.nth / 2, point.edge)));
            triggers.push((from_ns, at(point.nth - 1, point.edge)));
        }
        match point.edge {
            Edge::After => triggers.push((from_ns, at(point.nth, Edge::Before))),
            Edge::Before => {}
        }
    }
    triggers
        .extend(shorter(from_ns, &[0]).into_iter().map(|from_ns| (from_ns, fault.when.on.clone())));
    if let Some(point @ Point { inside: Some(_), .. }) = &fault.when.on {
        triggers.push((from_ns, Some(Point { inside: None, ..point.clone() })));
    }
    let apply = |(from_ns, on)| {
        let mut fault = fault.clone();
        (fault.when.from_ns, fault.when.on) = (from_ns, on);
        fault
    };
    let bounded = fault.until.is_some().then(|| Fault { until: None, ..fault.clone() });
    bounded.into_iter().chain(triggers.into_iter().map(apply)).collect()
}

/// The same fault with a simpler action: of one node rather than of all, shorter, weaker.
fn actions(fault: &Fault, cluster: &Cluster) -> Vec<Fault> {
    let mut actions = Vec::new();
    let mut change = |to: &mut dyn FnMut(&mut Action)| {
        let mut what = fault.what.clone();
        to(&mut what);
        actions.push(what);
    };
    if target(&mut fault.what.clone()).is_some_and(|target| *target == Target::DataCentre) {
        let nodes = Role::DATA_CENTRE
            .into_iter()
            .flat_map(|role| (0..role.count(cluster)).map(move |index| role.node(index)));
        for node in nodes {
            change(&mut |what| {
                if let Some(target) = target(what) {
                    *target = Target::Node(node.clone());
                }
            });
        }
    }
    if let Action::PowerLoss { target, down_ns, .. } = &fault.what {
        change(&mut |what| {
            *what = Action::Kill { target: target.clone(), down_ns: *down_ns };
        });
    }
    if let Some(for_ns) = lasts_ns(&mut fault.what.clone()).copied() {
        for shorter in shorter(for_ns, &SHORT_NS) {
            change(&mut |what| {
                if let Some(for_ns) = lasts_ns(what) {
                    *for_ns = shorter;
                }
            });
        }
    }
    if let Action::Partition { from, to, one_way, .. } = &fault.what {
        let sides = [(from.len(), true), (to.len(), false)];
        for (index, of_from) in
            sides.into_iter().flat_map(|(length, side)| (0..length).map(move |one| (one, side)))
        {
            change(&mut |what| {
                if let Action::Partition { from, to, .. } = what {
                    (if of_from { from } else { to }).remove(index);
                }
            });
        }
        if !one_way {
            change(&mut |what| {
                if let Action::Partition { one_way, .. } = what {
                    *one_way = true;
                }
            });
        }
    }
    if let Action::Throttle { factor, .. } | Action::SlowDisk { factor, .. } = fault.what
        && factor > 2
    {
        change(&mut |what| {
            if let Action::Throttle { factor, .. } | Action::SlowDisk { factor, .. } = what {
                *factor /= 2;
            }
        });
    }
    if let Action::ClockStep { by_ns, .. } = fault.what
        && by_ns.unsigned_abs() > SECOND
    {
        change(&mut |what| {
            if let Action::ClockStep { by_ns, .. } = what {
                *by_ns /= 2;
            }
        });
    }
    let apply = |what| {
        let mut fault = fault.clone();
        fault.what = what;
        fault
    };
    actions.into_iter().map(apply).collect()
}

/// Shorter times: these, half of it, and it rounded down.
fn shorter(ns: u64, first: &[u64]) -> Vec<u64> {
    let half = ns / 2;
    let round = |ns: u64| ROUND_NS.into_iter().map(move |round| ns - ns % round);
    let mut shorter: Vec<_> = first.iter().copied().chain(round(half)).chain(round(ns)).collect();
    shorter.retain(|one| *one < ns && (*one > 0 || first.contains(&0)));
    shorter.dedup();
    shorter
}

/// Whom an action strikes, if that may be all of them.
pub(super) fn target(what: &mut Action) -> Option<&mut Target> {
    match what {
        Action::PowerLoss { target, .. }
        | Action::Kill { target, .. }
        | Action::Pause { target, .. }
        | Action::Throttle { target, .. }
        | Action::ClockStep { target, .. }
        | Action::DiskFull { target, .. }
        | Action::SlowDisk { target, .. }
        | Action::DiskStall { target, .. } => Some(target),
        Action::Partition { .. } | Action::DiskLoss { .. } | Action::DiskFault { .. } => None,
    }
}

/// How long an action lasts, if it does.
fn lasts_ns(what: &mut Action) -> Option<&mut u64> {
    match what {
        Action::PowerLoss { down_ns: ns, .. }
        | Action::Kill { down_ns: ns, .. }
        | Action::DiskLoss { down_ns: ns, .. }
        | Action::Pause { for_ns: ns, .. }
        | Action::Throttle { for_ns: ns, .. }
        | Action::Partition { for_ns: ns, .. }
        | Action::DiskFull { for_ns: ns, .. }
        | Action::SlowDisk { for_ns: ns, .. }
        | Action::DiskStall { for_ns: ns, .. } => Some(ns),
        Action::ClockStep { .. } | Action::DiskFault { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use unplug_sim::fault::{EffectFilter, Trigger};

    use super::*;

    #[test]
    fn faults_are_left_out_by_halves_and_then_one_by_one() {
        let sample = super::super::tests::sample(4);
        let left: Vec<_> = fewer(&sample, &super::super::tests::workload())
            .iter()
            .map(|one| one.plan.faults.iter().map(|fault| fault.when.from_ns).collect::<Vec<_>>())
            .collect();
        let want: [&[u64]; 7] =
            [&[], &[2, 3], &[0, 1], &[1, 2, 3], &[0, 2, 3], &[0, 1, 3], &[0, 1, 2]];
        assert_eq!(left, want);
    }

    #[test]
    fn an_effect_becomes_a_time_then_the_first_of_its_kind() {
        let on = Point {
            inside: None,
            node: "broker".to_owned(),
            effect: EffectFilter::Sync,
            nth: 9,
            edge: Edge::After,
        };
        let mut fault = super::super::tests::sample(1).plan.faults.remove(0);
        fault.when = Trigger { from_ns: 0, on: Some(on) };
        let simpler: Vec<_> = triggers(&fault, Some(1_234_567_891))
            .into_iter()
            .map(|fault| (fault.when.from_ns, fault.when.on.map(|on| (on.nth, on.edge))))
            .collect();
        assert_eq!(simpler[0], (2_000_000_000, None));
        assert_eq!(simpler[4], (1_234_567_891, None));
        assert_eq!(simpler[5], (1_000_000_000, Some((1, Edge::After))));
        assert_eq!(
            simpler[9..],
            [
                (0, Some((1, Edge::After))),
                (0, Some((4, Edge::After))),
                (0, Some((8, Edge::After))),
                (0, Some((9, Edge::Before))),
            ]
        );
    }

    #[test]
    fn what_strikes_all_is_tried_on_each_node_then_shorter() {
        let fault = super::super::tests::sample(1).plan.faults.remove(0);
        let simpler = actions(&fault, &Cluster::default());
        assert_eq!(simpler[0].what.nodes(), ["broker"]);
        assert_eq!(simpler[1].what.nodes(), ["store-0"]);
        let kinds: Vec<_> = simpler.iter().map(|fault| fault.what.kind()).collect();
        assert!(kinds.contains(&"kill"), "{kinds:?}");
        assert_eq!(shorter(1_500 * MS, &SHORT_NS)[..4], [MS, 10 * MS, 100 * MS, SECOND]);
        assert_eq!(shorter(1, &SHORT_NS), [] as [u64; 0], "already the shortest");
    }
}

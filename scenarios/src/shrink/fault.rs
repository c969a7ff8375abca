//! Simpler faults: at a time rather than beside an effect, earlier, rounder, shorter, of one node.

use unplug_sim::fault::{Action, Edge, Fault, Point, Target};

use crate::topology::{Cluster, Role};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
/// Times are rounded to multiples of one of these, the roundest first.
const ROUND_NS: [u64; 4] = [SECOND, 100 * MS, 10 * MS, MS];
/// What a duration is tried with before it is halved.
const SHORT_NS: [u64; 4] = [MS, 10 * MS, 100 * MS, SECOND];

/// Faults that are like this one, and simpler. `at_ns` is when it struck, if it did.
pub(super) fn simpler(fault: &Fault, at_ns: Option<u64>, cluster: &Cluster) -> Vec<Fault> {
    [triggers(fault, at_ns), actions(fault, cluster)].concat()
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

/// The same fault with a simpler action: of one node rather than of all, weaker, shorter.
fn actions(fault: &Fault, cluster: &Cluster) -> Vec<Fault> {
    let simpler = [narrower(&fault.what, cluster), weaker(&fault.what)].concat();
    let apply = |what| {
        let mut fault = fault.clone();
        fault.what = what;
        fault
    };
    simpler.into_iter().map(apply).collect()
}

/// The same of fewer nodes.
fn narrower(what: &Action, cluster: &Cluster) -> Vec<Action> {
    let mut narrower = Vec::new();
    let of_all = |target: &mut Target| *target == Target::DataCentre;
    if target(&mut what.clone()).is_some_and(of_all) {
        for role in Role::DATA_CENTRE {
            for node in (0..role.count(cluster)).map(|index| role.node(index)) {
                let mut one = what.clone();
                if let Some(target) = target(&mut one) {
                    *target = Target::Node(node);
                }
                narrower.push(one);
            }
        }
    }
    if let Action::Partition { from, to, for_ns, one_way } = what {
        let (for_ns, one_way) = (*for_ns, *one_way);
        let without = |side: &[String], index| {
            let mut side = side.to_vec();
            side.remove(index);
            side
        };
        narrower.extend((0..from.len()).map(|index| {
            let (from, to) = (without(from, index), to.clone());
            Action::Partition { from, to, for_ns, one_way }
        }));
        narrower.extend((0..to.len()).map(|index| {
            let (from, to) = (from.clone(), without(to, index));
            Action::Partition { from, to, for_ns, one_way }
        }));
    }
    narrower
}

/// The same with less effect, or for a shorter time.
fn weaker(what: &Action) -> Vec<Action> {
    let mut weaker = Vec::new();
    if let Action::PowerLoss { target, down_ns, .. } = what {
        weaker.push(Action::Kill { target: target.clone(), down_ns: *down_ns });
    }
    for for_ns in lasts_ns(&mut what.clone()).map_or(Vec::new(), |ns| shorter(*ns, &SHORT_NS)) {
        let mut one = what.clone();
        if let Some(ns) = lasts_ns(&mut one) {
            *ns = for_ns;
        }
        weaker.push(one);
    }
    let mut less = what.clone();
    if let Action::Throttle { factor, .. } | Action::SlowDisk { factor, .. } = &mut less {
        *factor = (*factor / 2).max(2);
    }
    if let Action::ClockStep { by_ns, .. } = &mut less {
        *by_ns /= 2;
    }
    if let Action::Partition { one_way, .. } = &mut less {
        *one_way = true;
    }
    weaker.push(less);
    weaker.retain(|one| one != what);
    weaker
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

//! Smaller plans: with fewer faults, and with simpler ones.

use unplug_sim::fault::{Fault, Plan};

use super::{fault, sample::Sample};
use crate::{cluster, scenario::Source, workload::Workload};

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
        let simpler = fault::simpler(fault, at_ns, &sample.scenario.cluster);
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

#[cfg(test)]
mod tests {
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
}

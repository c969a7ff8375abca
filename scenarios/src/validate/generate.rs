//! What makes sense as something to draw fault plans from.

use super::{
    HOUR,
    bounds::{both_within, ordered, ratio, within},
};
use crate::{
    generate::{self, atlas},
    input::Invalid,
    scenario::Generate,
    topology::Cluster,
};

/// Checks what a scenario draws its plans from.
pub(super) fn check(faults: &Generate, cluster: &Cluster) -> Result<(), Invalid> {
    within("until_ns", faults.until_ns, 1..=24 * HOUR)?;
    if faults.from_ns >= faults.until_ns {
        let (from, until) = (faults.from_ns, faults.until_ns);
        return Err(Invalid::at("from_ns", format!("{from} must be below until_ns, {until}")));
    }
    both_within("count", faults.count, 1..=1_000)?;
    ratio("during_recovery", faults.during_recovery)?;
    for (place, range) in [
        ("down_ns", faults.down_ns),
        ("pause_ns", faults.pause_ns),
        ("throttle_ns", faults.throttle_ns),
        ("partition_ns", faults.partition_ns),
        ("disk_trouble_ns", faults.disk_trouble_ns),
    ] {
        within(place, range.1, 0..=HOUR)?;
        ordered(place, range)?;
    }
    both_within("clock_step_ns", faults.clock_step_ns, 1..=atlas::CLOCK_STEP_NS_MAX)?;
    both_within("throttle_factor", faults.throttle_factor, 1..=1_000_000)?;
    both_within("slow_disk_factor", faults.slow_disk_factor, 1..=1_000_000)?;
    classes(faults, cluster)
}

fn classes(faults: &Generate, cluster: &Cluster) -> Result<(), Invalid> {
    if !generate::strikes(&faults.classes) {
        return Err(Invalid::at("classes", "every weight is 0; give one class a weight"));
    }
    if faults.roles.is_empty() && generate::strikes_roles(&faults.classes) {
        return Err(Invalid::at("roles", "no role for the faults of single nodes; name one"));
    }
    for (name, weight) in [
        ("classes.store_disk_loss", faults.classes.store_disk_loss),
        ("classes.store_media", faults.classes.store_media),
    ] {
        if weight > 0 && atlas::harmed_max(cluster) == 0 {
            let what = format!(
                "the only store of a cluster must keep its disk; leave it out, or have 3 stores \
                 rather than {}",
                cluster.stores
            );
            return Err(Invalid::at(name, what));
        }
    }
    within("stores_harmed", faults.stores_harmed, 1..=atlas::harmed_max(cluster).max(1))
}

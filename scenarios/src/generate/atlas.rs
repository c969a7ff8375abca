//! The fault atlas: what the engine promises to survive, as a table and as a check. The generator
//! draws nothing outside of it; a plan that is written down may, and is then its author's own.
//!
//! | what breaks                | whom                        | within the promise if              |
//! |----------------------------|-----------------------------|------------------------------------|
//! | power loss, kill           | any, all at once too        | always: what goes down comes back  |
//! | pause, throttle            | any, all at once too        | always: it ends                    |
//! | partition, of both sorts   | any two groups, readers too | always: it heals                   |
//! | clock step                 | the data centre's nodes     | by at most an hour                 |
//! | error of a sync or a write | broker, stores, sinks       | always: the program starts again   |
//! | full, slow, stalled disk   | any, all at once too        | always: it ends                    |
//! | disk loss                  | stores                      | a minority of them, with damage    |
//! | damage to what is kept     | stores: blobs and registers | a minority of them, with disk loss |
//! | a drive that lies          | drivers, executors          | always: they keep nothing          |
//!
//! Damage is a bit that turns over, a sector that cannot be read, a read or a write at a wrong
//! place, and a write that is lost.
//!
//! Outside of it, and drawn only where the oracle must object: damage to what the broker or a sink
//! keeps, of which there is no other copy yet. They must refuse then, and show nothing wrong.
//!
//! Never: a disk of the broker or of a sink lost or damaged, for there is no other copy of it yet;
//! a disk of a driver or an executor, on which nothing is kept; the clock of a producer, which is
//! the run's own: by it tuples fall due; any other fault of a disk; a reader struck, for readers are
//! the oracle's eyes, and only the network comes between them and the sinks.
//!
//! A store whose disk was lost, or rots, counts as harmed from then on, whether it was rebuilt or
//! not: of what it kept there may be no second copy beside the one at another store.

use std::collections::BTreeSet;

use unplug_sim::fault::{Action, DiskFault, Plan};

use crate::{
    input::Invalid,
    topology::{Cluster, Role, reader},
};

/// The directories of a store in which what is kept may be damaged.
pub const HARMED: [&str; 2] = ["/blobs", "/registers"];
/// Where the broker has a directory for each partition of its log.
pub(super) const LOG: &str = "/log";
/// Where a sink keeps its epochs.
pub(super) const TABLE: &str = "/table";
/// The furthest that a wall clock may be set at once.
pub const CLOCK_STEP_NS_MAX: u64 = 3_600_000_000_000;

/// How many of the stores may lose a disk, or have one damaged.
#[must_use]
pub fn harmed_max(cluster: &Cluster) -> u32 {
    cluster.stores.saturating_sub(1) / 2
}

/// Checks that the engine promises to survive a plan on a cluster.
///
/// # Errors
/// The first fault that it does not promise to survive, and why.
pub fn within_promise(plan: &Plan, cluster: &Cluster) -> Result<(), Invalid> {
    let mut harmed = BTreeSet::new();
    for (index, fault) in plan.faults.iter().enumerate() {
        let checked = match &fault.what {
            Action::PowerLoss { .. }
            | Action::Kill { .. }
            | Action::Pause { .. }
            | Action::Throttle { .. } => not_readers(&fault.what, cluster),
            Action::ClockStep { by_ns, .. } => {
                not_clients(&fault.what, cluster).and_then(|()| small_step(*by_ns))
            }
            Action::Partition { .. } => Ok(()),
            Action::DiskLoss { node, .. } => store(node, cluster).map(|()| {
                harmed.insert(node);
            }),
            Action::DiskFault {
                node, what: DiskFault::WriteError | DiskFault::Sync(_), ..
            } => keeper(node, cluster),
            Action::DiskFault { node, directory, .. } => {
                store(node, cluster).and_then(|()| harmable(directory)).map(|()| {
                    harmed.insert(node);
                })
            }
            Action::DiskFull { .. } | Action::SlowDisk { .. } | Action::DiskStall { .. } => {
                not_readers(&fault.what, cluster)
            }
        };
        checked.and_then(|()| minority(&harmed, cluster)).map_err(|error| {
            error.within(&format!("faults[{index}] is outside of what the engine promises"))
        })?;
    }
    Ok(())
}

fn not_readers(what: &Action, cluster: &Cluster) -> Result<(), Invalid> {
    let readers: Vec<_> = (0..cluster.readers).map(reader).collect();
    match what.nodes().into_iter().find(|node| readers.iter().any(|reader| reader == node)) {
        None => Ok(()),
        Some(reader) => Err(Invalid::new(format!("readers are not struck, and {reader} is one"))),
    }
}

fn not_clients(what: &Action, cluster: &Cluster) -> Result<(), Invalid> {
    not_readers(what, cluster)?;
    let producers: Vec<_> = (0..cluster.producers).map(|one| Role::Producer.node(one)).collect();
    match what.nodes().into_iter().find(|node| producers.iter().any(|one| one == node)) {
        None => Ok(()),
        Some(producer) => {
            Err(Invalid::new(format!("by the clock of {producer} tuples fall due; leave it alone")))
        }
    }
}

fn small_step(by_ns: i64) -> Result<(), Invalid> {
    if by_ns.unsigned_abs() <= CLOCK_STEP_NS_MAX {
        return Ok(());
    }
    Err(Invalid::new(format!("a clock is set by {by_ns} ns, and an hour is the most")))
}

fn store(node: &str, cluster: &Cluster) -> Result<(), Invalid> {
    if (0..cluster.stores).any(|index| Role::Store.node(index) == node) {
        return Ok(());
    }
    Err(Invalid::new(format!("only stores may lose a disk or have one damaged, not {node}")))
}

fn keeper(node: &str, cluster: &Cluster) -> Result<(), Invalid> {
    let of = |role: Role| (0..role.count(cluster)).any(|index| role.node(index) == node);
    if Role::DURABLE.into_iter().any(of) {
        return Ok(());
    }
    let what = "calls fail only on the disks of nodes that keep something: broker, stores, sinks";
    Err(Invalid::new(format!("{what}; not {node}")))
}

fn harmable(directory: &str) -> Result<(), Invalid> {
    if HARMED.contains(&directory) {
        return Ok(());
    }
    let known = HARMED.join(" and ");
    Err(Invalid::new(format!("a store's disk may be damaged in {known}, not in {directory}")))
}

fn minority(harmed: &BTreeSet<&String>, cluster: &Cluster) -> Result<(), Invalid> {
    let (count, max, stores) = (harmed.len(), harmed_max(cluster), cluster.stores);
    if u32::try_from(count).is_ok_and(|count| count <= max) {
        return Ok(());
    }
    Err(Invalid::new(format!("the disks of {count} of {stores} stores are harmed, at most {max}")))
}

#[cfg(test)]
mod tests {
    use unplug_sim::fault::{Fault, Keep, SyncFault, Target, Trigger};

    use super::*;

    fn loss(node: &str) -> Action {
        Action::DiskLoss { node: node.to_owned(), down_ns: 1 }
    }

    fn rot(node: &str, directory: &str) -> Action {
        let (node, directory) = (node.to_owned(), directory.to_owned());
        Action::DiskFault { node, directory, what: DiskFault::BitRot }
    }

    fn fault(node: &str, what: DiskFault) -> Action {
        Action::DiskFault { node: node.to_owned(), directory: "/blobs".to_owned(), what }
    }

    fn judge(stores: u32, actions: &[Action]) -> Result<(), String> {
        let fault = |what: &Action| Fault {
            when: Trigger { from_ns: 1, on: None },
            what: what.clone(),
            until: None,
        };
        let plan = Plan { faults: actions.iter().map(fault).collect() };
        let cluster = Cluster { stores, ..Cluster::default() };
        within_promise(&plan, &cluster).map_err(|error| error.to_string())
    }

    #[test]
    fn a_minority_of_the_stores_may_be_harmed() {
        let all = ["store-0", "store-1", "store-2"].map(loss);
        assert_eq!(judge(3, &[loss("store-1"), loss("store-1"), rot("store-1", "/blobs")]), Ok(()));
        assert_eq!(judge(5, &all[..2]), Ok(()));
        assert_eq!(
            judge(3, &[loss("store-0"), rot("store-2", "/registers")]),
            Err(
                "faults[1] is outside of what the engine promises: the disks of 2 of 3 stores are \
                 harmed, at most 1"
                    .to_owned()
            )
        );
        assert!(judge(5, &all).is_err());
        assert!(judge(1, &all[..1]).is_err());
    }

    #[test]
    fn other_disks_and_readers_are_not_struck() {
        let place = "faults[0] is outside of what the engine promises: ";
        let refused = |what: Action, why: &str| {
            assert_eq!(judge(3, &[what]), Err(format!("{place}{why}")));
        };
        let only = |node| format!("only stores may lose a disk or have one damaged, not {node}");
        refused(loss("broker"), &only("broker"));
        refused(rot("sink-0", "/blobs"), &only("sink-0"));
        refused(
            rot("store-0", "/identity"),
            "a store's disk may be damaged in /blobs and /registers, not in /identity",
        );
        let reader = || Target::Node("reader-1".to_owned());
        let why = "readers are not struck, and reader-1 is one";
        refused(Action::Kill { target: reader(), down_ns: 1 }, why);
        refused(Action::PowerLoss { target: reader(), down_ns: 1, keep: Keep::Drawn }, why);
        refused(Action::Pause { target: reader(), for_ns: 1 }, why);
        refused(Action::Throttle { target: reader(), factor: 2, for_ns: 1 }, why);
        refused(Action::ClockStep { target: reader(), by_ns: 1 }, why);
        refused(Action::DiskFull { target: reader(), for_ns: 1 }, why);
        refused(Action::SlowDisk { target: reader(), factor: 2, for_ns: 1 }, why);
        refused(Action::DiskStall { target: reader(), for_ns: 1 }, why);
        let what =
            "calls fail only on the disks of nodes that keep something: broker, stores, sinks";
        refused(fault("driver-0", DiskFault::WriteError), &format!("{what}; not driver-0"));
        refused(fault("sink-0", DiskFault::PhantomWrite), &only("sink-0"));
    }

    #[test]
    fn calls_may_fail_where_something_is_kept_and_disks_be_full_slow_and_stalled() {
        let all = ["broker", "store-0", "store-1", "store-2", "sink-0"];
        let failing = all.map(|node| fault(node, DiskFault::Sync(SyncFault::DropAfterEvict)));
        assert_eq!(judge(3, &failing), Ok(()));
        let target = || Target::DataCentre;
        let trouble = [
            Action::DiskFull { target: target(), for_ns: 1 },
            Action::SlowDisk { target: target(), factor: 2, for_ns: 1 },
            Action::DiskStall { target: target(), for_ns: 1 },
        ];
        assert_eq!(judge(3, &trouble), Ok(()));
        let astray = fault("store-0", DiskFault::MisdirectedWrite);
        assert!(judge(3, std::slice::from_ref(&astray)).is_ok());
        assert!(judge(3, &[astray, fault("store-1", DiskFault::LatentError)]).is_err());
    }

    #[test]
    fn clocks_may_be_set_by_an_hour_and_readers_be_cut_off() {
        let step = |by_ns| Action::ClockStep { target: Target::DataCentre, by_ns };
        let hour = 3_600_000_000_000;
        assert_eq!(judge(3, &[step(hour), step(-hour)]), Ok(()));
        assert!(judge(3, &[step(-hour - 1)]).is_err());
        let producer = Target::Node("producer-0".to_owned());
        assert!(judge(3, &[Action::ClockStep { target: producer, by_ns: 1 }]).is_err());
        let sides = |name: &str| vec![name.to_owned()];
        let (from, to) = (sides("reader-0"), sides("sink-0"));
        assert_eq!(judge(3, &[Action::Partition { from, to, one_way: false, for_ns: 1 }]), Ok(()));
    }
}

//! How long things took in a run, in virtual time, from the marks that nodes passed.

use std::collections::BTreeMap;

use unplug_sim::{Fired, MarkHit};

/// Where an epoch begins and ends, as its driver passes it.
const EPOCH: (&str, &str) = ("offsets.decided", "epoch.published");
/// Where a fault is recovered from.
const COMMIT: &str = "commit.decided";

/// The marks to be watched.
pub const WATCHED: [&str; 3] = [EPOCH.0, EPOCH.1, COMMIT];

/// From each fault to the first commit decided after it, where there was one.
#[must_use]
pub fn recoveries(hits: &[MarkHit], fired: &[Fired]) -> Vec<u64> {
    let commits: Vec<_> =
        hits.iter().filter(|hit| hit.name == COMMIT).map(|hit| hit.at_ns).collect();
    let first_after = |at_ns: u64| {
        let place = commits.partition_point(|commit_ns| *commit_ns <= at_ns);
        commits.get(place).map(|commit_ns| commit_ns - at_ns)
    };
    fired.iter().filter_map(|fault| first_after(fault.at_ns)).collect()
}

/// From each decided plan to its publication by all sinks, by what went on meanwhile: nothing
/// (`calm`), or a throttle, which is called `throttled`. Epochs beside any other fault are left
/// out, and so are those that their driver did not end.
#[must_use]
pub fn epochs(hits: &[MarkHit], fired: &[Fired], throttled: &str) -> BTreeMap<String, Vec<u64>> {
    let mut begun: BTreeMap<_, u64> = BTreeMap::new();
    let mut took: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for hit in hits {
        if hit.name == EPOCH.0 {
            begun.insert(hit.node, hit.at_ns);
        } else if hit.name == EPOCH.1
            && let Some(begun_ns) = begun.remove(&hit.node)
            && let Some(class) = class(fired, (begun_ns, hit.at_ns), throttled)
        {
            took.entry(class.to_owned()).or_default().push(hit.at_ns - begun_ns);
        }
    }
    took
}

fn class<'a>(
    fired: &[Fired],
    (begun_ns, ended_ns): (u64, u64),
    throttled: &'a str,
) -> Option<&'a str> {
    let beside = fired.iter().filter(|one| one.at_ns < ended_ns && one.back_ns > begun_ns);
    let mut class = "calm";
    for fault in beside {
        if fault.kind != "throttle" {
            return None;
        }
        class = throttled;
    }
    Some(class)
}

#[cfg(test)]
mod tests {
    use unplug_sim::env::NodeId;

    use super::*;

    fn hit(name: &'static str, node: u16, at_ns: u64) -> MarkHit {
        MarkHit { name, node: NodeId(node), at_ns }
    }

    fn fault(kind: &'static str, at_ns: u64, back_ns: u64) -> Fired {
        Fired { fault: 0, kind, at_ns, back_ns }
    }

    #[test]
    fn a_fault_is_recovered_from_with_the_next_commit() {
        let hits = [hit(COMMIT, 1, 10), hit(EPOCH.1, 1, 12), hit(COMMIT, 1, 30)];
        let fired = [fault("kill", 5, 6), fault("kill", 10, 11), fault("kill", 31, 32)];
        assert_eq!(recoveries(&hits, &fired), [5, 20]);
    }

    #[test]
    fn epochs_are_told_by_what_went_on_beside_them() {
        let hits = [
            hit(EPOCH.0, 1, 0),
            hit(EPOCH.1, 1, 10),
            hit(EPOCH.0, 1, 20),
            hit(EPOCH.1, 1, 50),
            hit(EPOCH.0, 1, 60),
            hit(EPOCH.0, 2, 65),
            hit(EPOCH.1, 2, 70),
            hit(EPOCH.0, 2, 80),
            hit(EPOCH.1, 2, 90),
        ];
        let fired = [fault("throttle", 30, 40), fault("kill", 66, 75)];
        let want = |throttled: &str| {
            [("calm".to_owned(), vec![10, 10]), (throttled.to_owned(), vec![30])].into()
        };
        assert_eq!(epochs(&hits, &fired, "throttled"), want("throttled"));
    }
}

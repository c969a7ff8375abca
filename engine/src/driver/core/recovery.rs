//! Where a new leader goes on, from the registers alone.

use unplug_sim::env::Refusal;

use crate::{epoch::FloorRecord, tuple::Epoch};

/// Where a new leader goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The last epoch with a commit; 0 if there is none.
    pub committed: Epoch,
    /// The last epoch with a plan: the same, or the one after, which is to be run again.
    pub planned: Epoch,
}

/// Finds where to go on from the floor and the numbers of the decided plans and commits at or
/// above it, ascending.
///
/// # Errors
/// A gap: something decided is missing, and going on could deliver twice or not at all.
pub fn resume(
    floor: Option<FloorRecord>,
    offsets: &[u64],
    commits: &[u64],
) -> Result<Resume, Refusal> {
    let first = floor.map_or(1, |floor| floor.epoch.0);
    let last = |what: &str, numbers: &[u64]| {
        for (number, want) in numbers.iter().zip(first..) {
            if *number != want {
                return Err(lost(&format!(
                    "{what}/{want} is missing, and {what}/{number} is there"
                )));
            }
        }
        Ok(Epoch(first + numbers.len() as u64 - 1))
    };
    let (planned, committed) = (last("offsets", offsets)?, last("commits", commits)?);
    if planned != committed && planned != committed.next() {
        return Err(lost(&format!(
            "the last plan is offsets/{planned} and the last commit commits/{committed}, and a \
             plan is at most one ahead"
        )));
    }
    if let Some(floor) = floor
        && committed < floor.epoch
    {
        return Err(lost(&format!(
            "the floor is epoch {}, and commits/{} is missing",
            floor.epoch, floor.epoch
        )));
    }
    Ok(Resume { committed, planned })
}

fn lost(what: &str) -> Refusal {
    Refusal::new(format!("{what}; restore the stores from copies, nothing was changed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuple::Generation;

    fn floor(epoch: u64) -> Option<FloorRecord> {
        Some(FloorRecord { number: 1, epoch: Epoch(epoch), generation: Generation(1) })
    }

    #[test]
    fn a_leader_goes_on_after_the_last_commit_or_runs_the_planned_epoch_again() {
        let at = |committed, planned| {
            Ok(Resume { committed: Epoch(committed), planned: Epoch(planned) })
        };
        assert_eq!(resume(None, &[], &[]), at(0, 0));
        assert_eq!(resume(None, &[1], &[]), at(0, 1));
        assert_eq!(resume(None, &[1, 2, 3], &[1, 2]), at(2, 3));
        assert_eq!(resume(None, &[1, 2], &[1, 2]), at(2, 2));
        assert_eq!(resume(floor(7), &[7, 8], &[7]), at(7, 8));
        assert_eq!(resume(floor(7), &[7], &[7]), at(7, 7));
    }

    #[test]
    fn a_gap_is_refused_with_its_place() {
        let refusal = |floor, offsets: &[u64], commits: &[u64]| {
            resume(floor, offsets, commits).expect_err("a gap").reason
        };
        let first = refusal(None, &[1, 3], &[1]);
        assert!(first.starts_with("offsets/2 is missing, and offsets/3 is there"), "{first}");
        assert!(refusal(None, &[1, 2], &[2]).starts_with("commits/1 is missing"));
        assert!(refusal(None, &[1, 2, 3], &[1]).contains("offsets/3"));
        assert!(refusal(None, &[1], &[1, 2]).contains("commits/2"));
        assert!(refusal(floor(7), &[8], &[7]).starts_with("offsets/7 is missing"));
        assert!(refusal(floor(7), &[7], &[]).contains("commits/7 is missing"));
        assert!(refusal(floor(7), &[], &[]).contains("commits/7 is missing"));
    }
}

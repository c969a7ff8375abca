//! The driver's decisions: what is known in, what to do out. No I/O, no clock, no node.

use unplug_sim::env::{NodeId, Refusal};

use crate::{
    epoch::{CommitRecord, OffsetsRecord, OutputRef},
    executor::Task,
    tuple::{Attempt, Epoch, Generation, Offset, OffsetRange, Partition},
};

/// Where a new leader goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The last epoch with a commit; 0 if there is none.
    pub committed: Epoch,
    /// The last epoch with a plan: the same, or the one after, which is to be run again.
    pub planned: Epoch,
}

/// Finds where to go on from the numbers of the decided plans and commits.
///
/// # Errors
/// A gap: something decided is missing, and going on could deliver twice or not at all.
pub fn resume(offsets: &[u64], commits: &[u64]) -> Result<Resume, Refusal> {
    let last = |what: &str, numbers: &[u64]| {
        for (number, want) in numbers.iter().zip(1..) {
            if *number != want {
                return Err(Refusal(format!(
                    "{what}/{want} is missing, and {what}/{number} is there; restore the stores \
                     from copies, nothing was changed"
                )));
            }
        }
        Ok(Epoch(numbers.len() as u64))
    };
    let (planned, committed) = (last("offsets", offsets)?, last("commits", commits)?);
    if planned != committed && planned != committed.next() {
        return Err(Refusal(format!(
            "the last plan is offsets/{planned} and the last commit commits/{committed}, and a \
             plan is at most one ahead; restore the stores from copies, nothing was changed"
        )));
    }
    Ok(Resume { committed, planned })
}

/// What a leader knows of the last committed epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// Its plan.
    pub offsets: OffsetsRecord,
    /// What it came to.
    pub commit: CommitRecord,
}

/// What bounds and pins a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tuples of one partition in one epoch at the most.
    pub tuples_max: u64,
    /// The wall clock, in milliseconds since 1970.
    pub wall_ms: u64,
    /// The pipeline's fingerprint.
    pub pipeline: u64,
}

/// Plans the epoch after `before`, given the durable ends of the partitions; none if there is
/// nothing to read.
#[must_use]
pub fn plan(before: Option<&Before>, ends: &[Offset], limits: Limits) -> Option<OffsetsRecord> {
    let start = |place: usize| {
        let range = before.and_then(|before| before.offsets.ranges.get(place));
        range.map_or(Offset(0), |range| range.end)
    };
    let ranges: Vec<_> = ends
        .iter()
        .enumerate()
        .map(|(place, end)| {
            let start = start(place);
            // An end that went back is none of a correct broker; reading nothing is safe.
            let end = (*end).max(start).min(Offset(start.0 + limits.tuples_max));
            OffsetRange { start, end }
        })
        .collect();
    if ranges.iter().all(|range| range.is_empty()) {
        return None;
    }
    let idle = ranges.iter().zip(0..).filter(|(range, _)| range.is_empty());
    Some(OffsetsRecord {
        epoch: before.map_or(Epoch(1), |before| before.offsets.epoch.next()),
        idle: idle.map(|(_, number)| Partition(number)).collect(),
        watermark_ms: before.map_or(0, |before| before.commit.next_watermark_ms),
        batch_time_ms: limits.wall_ms.max(before.map_or(0, |before| before.offsets.batch_time_ms)),
        pipeline: limits.pipeline,
        ranges,
    })
}

/// What an epoch came to, given its plan and the chosen outputs. The next watermark is the
/// earliest of the latest event times of the partitions that were not idle, and never goes back.
#[must_use]
pub fn commit(
    offsets: &OffsetsRecord,
    mut outputs: Vec<OutputRef>,
    before: Option<&Before>,
) -> CommitRecord {
    outputs.sort_by_key(|output| output.partition);
    let known = before.map(|before| before.commit.latest_ms.as_slice()).unwrap_or_default();
    let mut latest_ms = vec![0; offsets.ranges.len()];
    latest_ms[..known.len()].copy_from_slice(known);
    for output in &outputs {
        let latest = &mut latest_ms[usize::from(output.partition.0)];
        *latest = (*latest).max(output.latest_ms);
    }
    let busy = outputs.iter().map(|output| latest_ms[usize::from(output.partition.0)]);
    let next_watermark_ms = busy.min().unwrap_or(0).max(offsets.watermark_ms);
    CommitRecord { epoch: offsets.epoch, outputs, base: Vec::new(), latest_ms, next_watermark_ms }
}

/// Who tries which task: attempts are counted over the whole leadership, and each new attempt at a
/// task goes to the next executor.
#[derive(Clone, Debug)]
pub struct Attempts {
    generation: Generation,
    counter: u64,
    executors: Vec<NodeId>,
}

impl Attempts {
    /// None made yet in this leadership.
    #[must_use]
    pub fn new(generation: Generation, executors: Vec<NodeId>) -> Self {
        Self { generation, counter: 0, executors }
    }

    /// The next attempt at the task of a partition, and who makes it. `before` counts the
    /// attempts that were made at this task.
    ///
    /// # Panics
    /// If there are no executors.
    pub fn next(&mut self, offsets: &OffsetsRecord, place: usize, before: usize) -> (Task, NodeId) {
        assert!(!self.executors.is_empty(), "a cluster without executors");
        self.counter += 1;
        let attempt = Attempt { generation: self.generation, counter: self.counter };
        let partition = Partition(u16::try_from(place).expect("at most 65,536 partitions"));
        let task = Task { epoch: offsets.epoch, partition, range: offsets.ranges[place], attempt };
        // Epochs begin with another executor each, so that few tasks do not always meet the same.
        let turn = usize::try_from(offsets.epoch.0).unwrap_or(0).wrapping_add(place + before);
        (task, self.executors[turn % self.executors.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoch::BlobRef;

    const LIMITS: Limits = Limits { tuples_max: 10, wall_ms: 1_000, pipeline: 7 };

    fn ends(ends: &[u64]) -> Vec<Offset> {
        ends.iter().map(|end| Offset(*end)).collect()
    }

    fn output(partition: u16, latest_ms: u64) -> OutputRef {
        let partition = Partition(partition);
        let blob = BlobRef { name: String::new(), checksum: 0, bytes: 0 };
        OutputRef { partition, blob, rows: 0, latest_ms }
    }

    #[test]
    fn a_leader_goes_on_after_the_last_commit_or_runs_the_planned_epoch_again() {
        let at =
            |committed, planned| Resume { committed: Epoch(committed), planned: Epoch(planned) };
        assert_eq!(resume(&[], &[]), Ok(at(0, 0)));
        assert_eq!(resume(&[1], &[]), Ok(at(0, 1)));
        assert_eq!(resume(&[1, 2, 3], &[1, 2]), Ok(at(2, 3)));
        assert_eq!(resume(&[1, 2], &[1, 2]), Ok(at(2, 2)));
    }

    #[test]
    fn a_gap_is_refused_with_its_place() {
        let refusal =
            |offsets: &[u64], commits: &[u64]| resume(offsets, commits).expect_err("a gap").0;
        assert!(refusal(&[1, 3], &[1]).starts_with("offsets/2 is missing, and offsets/3 is there"));
        assert!(refusal(&[1, 2], &[2]).starts_with("commits/1 is missing"));
        assert!(refusal(&[1, 2, 3], &[1]).contains("offsets/3"));
        assert!(refusal(&[1], &[1, 2]).contains("commits/2"));
    }

    #[test]
    fn a_plan_goes_on_where_the_last_one_ended_and_is_bounded() {
        let first = plan(None, &ends(&[3, 0, 40]), LIMITS).expect("input");
        let range = |start, end| OffsetRange { start: Offset(start), end: Offset(end) };
        assert_eq!(first.epoch, Epoch(1));
        assert_eq!(first.ranges, [range(0, 3), range(0, 0), range(0, 10)]);
        assert_eq!(first.idle, [Partition(1)]);
        let before = Before {
            commit: commit(&first, vec![output(0, 9), output(2, 5)], None),
            offsets: first,
        };
        let second = plan(Some(&before), &ends(&[3, 1, 40]), LIMITS).expect("input");
        assert_eq!(second.ranges, [range(3, 3), range(0, 1), range(10, 20)]);
        assert_eq!((second.epoch, second.watermark_ms), (Epoch(2), 5));
    }

    #[test]
    fn without_new_input_there_is_no_epoch() {
        assert_eq!(plan(None, &ends(&[0, 0]), LIMITS), None);
        let first = plan(None, &ends(&[3, 3]), LIMITS).expect("input");
        let before = Before { commit: commit(&first, vec![], None), offsets: first };
        assert_eq!(plan(Some(&before), &ends(&[3, 2]), LIMITS), None);
    }

    #[test]
    fn batch_time_and_watermark_never_go_back() {
        let first = plan(None, &ends(&[3]), LIMITS).expect("input");
        let before = Before { commit: commit(&first, vec![output(0, 50)], None), offsets: first };
        let back = Limits { wall_ms: 10, ..LIMITS };
        let second = plan(Some(&before), &ends(&[4]), back).expect("input");
        assert_eq!(second.batch_time_ms, 1_000);
        let commit = commit(&second, vec![output(0, 20)], Some(&before));
        assert_eq!((commit.next_watermark_ms, commit.latest_ms), (50, vec![50]));
    }

    #[test]
    fn the_slowest_partition_that_is_not_idle_holds_the_watermark() {
        let first = plan(None, &ends(&[1, 1, 0]), LIMITS).expect("input");
        assert_eq!(commit(&first, vec![output(1, 30), output(0, 90)], None).next_watermark_ms, 30);
    }

    #[test]
    fn no_two_attempts_are_the_same_and_each_next_one_goes_to_another_executor() {
        let executors = vec![NodeId(3), NodeId(4), NodeId(5)];
        let mut attempts = Attempts::new(Generation(2), executors);
        let offsets = plan(None, &ends(&[1, 1]), LIMITS).expect("input");
        let made: Vec<_> = (0..3).map(|before| attempts.next(&offsets, 1, before)).collect();
        let mut nodes: Vec<_> = made.iter().map(|(_, node)| *node).collect();
        nodes.sort();
        assert_eq!(nodes, [NodeId(3), NodeId(4), NodeId(5)]);
        assert!(made.is_sorted_by(|one, two| one.0.attempt < two.0.attempt));
    }
}

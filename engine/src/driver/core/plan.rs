//! What an epoch reads, and what it came to.

use crate::{
    epoch::{CommitRecord, OffsetsRecord, OutputRef, StateRef},
    tuple::{Epoch, Generation, Offset, OffsetRange, Partition},
};

/// What a leader knows of the last committed epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// Its plan.
    pub offsets: OffsetsRecord,
    /// What it came to.
    pub commit: CommitRecord,
}

impl Before {
    /// The number of the version that a task goes on from: of a stage, from 1, and a state partition.
    #[must_use]
    pub fn state(&self, (stage, state): (u16, usize)) -> Option<u64> {
        let partitions = usize::from(self.offsets.state_partitions);
        let slot = usize::from(stage).checked_sub(1)? * partitions + state;
        self.commit.states.get(slot).map(|state| state.uid)
    }
}

/// What bounds and pins a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tuples of one partition in one epoch at the most.
    pub tuples_max: u64,
    /// The wall clock, in milliseconds since 1970.
    pub wall_ms: u64,
    /// A partition is idle once it had no input for so long, in milliseconds of batch time.
    pub idle_after_ms: u64,
    /// The pipeline's fingerprint.
    pub pipeline: u64,
    /// Into how many parts the state is split, if this is the first epoch; 0 for no state. Later
    /// epochs keep what the first one had.
    pub state_partitions: u16,
}

/// Plans the epoch after `before`, given the durable ends of the partitions; none if there is
/// nothing to do. Where windows wait for the watermark, one that has moved on is reason enough for
/// an epoch that reads nothing.
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
    let earlier = before.map(|before| &before.offsets);
    let moved = before.is_some_and(|Before { offsets, commit }| {
        offsets.state_partitions > 0 && commit.next_watermark_ms > offsets.watermark_ms
    });
    if ranges.iter().all(|range| range.is_empty()) && !moved {
        return None;
    }
    let batch_time_ms = limits.wall_ms.max(earlier.map_or(0, |earlier| earlier.batch_time_ms));
    // A partition that never had input counts as busy from the first epoch on; one that was added
    // later is idle until it has some.
    let active = |place: usize| match (ranges[place].is_empty(), earlier) {
        (true, Some(earlier)) => earlier.active_ms.get(place).copied().unwrap_or(0),
        (true, None) | (false, _) => batch_time_ms,
    };
    let active_ms: Vec<_> = (0..ranges.len()).map(active).collect();
    let idle = (0u16..).zip(ranges.iter().zip(&active_ms)).filter(|(_, (range, active_ms))| {
        let long = batch_time_ms - **active_ms >= limits.idle_after_ms;
        range.is_empty() && (long || **active_ms == 0)
    });
    Some(OffsetsRecord {
        epoch: before.map_or(Epoch(1), |before| before.offsets.epoch.next()),
        idle: idle.map(|(number, _)| Partition(number)).collect(),
        watermark_ms: before.map_or(0, |before| before.commit.next_watermark_ms),
        batch_time_ms,
        active_ms,
        pipeline: limits.pipeline,
        state_partitions: earlier
            .map_or(limits.state_partitions, |earlier| earlier.state_partitions),
        ranges,
    })
}

/// What the tasks of an epoch came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// The latest event time that was read of each partition, in milliseconds since 1970; 0 for
    /// none.
    pub latest_ms: Vec<u64>,
    /// How many bytes the keys and values have that were read.
    pub bytes: u64,
    /// The outputs.
    pub outputs: Vec<OutputRef>,
    /// The states, by stage and state partition.
    pub states: Vec<StateRef>,
}

/// What an epoch came to, given its plan and the chosen results. The next watermark is the
/// earliest, over the partitions that are not idle, of the latest event times less `delay_ms`, and
/// never goes back. Its leadership is still to be put into it.
#[must_use]
pub fn commit(
    offsets: &OffsetsRecord,
    mut results: Results,
    before: Option<&Before>,
    delay_ms: u64,
) -> CommitRecord {
    results.outputs.sort_by_key(|output| (output.sink, output.partition));
    let known = before.map(|before| before.commit.latest_ms.as_slice()).unwrap_or_default();
    let mut latest_ms = vec![0; offsets.ranges.len()];
    latest_ms[..known.len()].copy_from_slice(known);
    for (latest, read) in latest_ms.iter_mut().zip(&results.latest_ms) {
        *latest = (*latest).max(*read);
    }
    let busy = (0u16..).zip(&latest_ms).filter(|(number, _)| {
        let idle = Partition(*number);
        !offsets.idle.contains(&idle)
    });
    let earliest = busy.map(|(_, latest_ms)| latest_ms.saturating_sub(delay_ms)).min();
    CommitRecord {
        epoch: offsets.epoch,
        generation: Generation(0),
        outputs: results.outputs,
        base: bases(results.states.len(), before).iter().map(|state| state.uid).collect(),
        states: results.states,
        latest_ms,
        next_watermark_ms: earliest.unwrap_or(0).max(offsets.watermark_ms),
    }
}

/// The states that an epoch goes on from: those that the commit before decided; before the first,
/// `count` empty ones.
#[must_use]
pub fn bases(count: usize, before: Option<&Before>) -> Vec<StateRef> {
    match before {
        Some(before) => before.commit.states.clone(),
        None => vec![StateRef::default(); count],
    }
}

/// Whether the next watermark passes over a partition that is idle and behind it.
#[must_use]
pub fn passes_over_idle(offsets: &OffsetsRecord, commit: &CommitRecord) -> bool {
    let latest = |partition: &Partition| commit.latest_ms[usize::from(partition.0)];
    offsets.idle.iter().any(|partition| latest(partition) < commit.next_watermark_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        tuples_max: 10,
        wall_ms: 1_000,
        idle_after_ms: 0,
        pipeline: 7,
        state_partitions: 2,
    };

    fn ends(ends: &[u64]) -> Vec<Offset> {
        ends.iter().map(|end| Offset(*end)).collect()
    }

    fn read(latest_ms: &[u64]) -> Results {
        Results { latest_ms: latest_ms.to_vec(), ..Results::default() }
    }

    fn after(offsets: OffsetsRecord, latest_ms: &[u64], before: Option<&Before>) -> Before {
        Before { commit: commit(&offsets, read(latest_ms), before, 0), offsets }
    }

    #[test]
    fn a_plan_goes_on_where_the_last_one_ended_and_is_bounded() {
        let first = plan(None, &ends(&[3, 0, 40]), LIMITS).expect("input");
        let range = |start, end| OffsetRange { start: Offset(start), end: Offset(end) };
        assert_eq!(first.epoch, Epoch(1));
        assert_eq!(first.ranges, [range(0, 3), range(0, 0), range(0, 10)]);
        assert_eq!(first.idle, [Partition(1)]);
        let before = after(first, &[9, 0, 5], None);
        let other = Limits { state_partitions: 5, ..LIMITS };
        let second = plan(Some(&before), &ends(&[3, 1, 40]), other).expect("input");
        assert_eq!(second.ranges, [range(3, 3), range(0, 1), range(10, 20)]);
        assert_eq!((second.epoch, second.watermark_ms), (Epoch(2), 5));
        assert_eq!(second.state_partitions, 2, "pinned by the first epoch");
    }

    #[test]
    fn without_new_input_there_is_no_epoch() {
        assert_eq!(plan(None, &ends(&[0, 0]), LIMITS), None);
        let first = plan(None, &ends(&[3, 3]), LIMITS).expect("input");
        let before = after(first, &[], None);
        assert_eq!(plan(Some(&before), &ends(&[3, 2]), LIMITS), None);
    }

    #[test]
    fn a_watermark_that_moved_on_is_reason_for_one_epoch_without_input() {
        let first = plan(None, &ends(&[3]), LIMITS).expect("input");
        let before = after(first, &[50], None);
        let second = plan(Some(&before), &ends(&[3]), LIMITS).expect("windows to be closed");
        assert_eq!((second.watermark_ms, second.ranges[0].len()), (50, 0));
        let before = after(second, &[0], Some(&before));
        assert_eq!(plan(Some(&before), &ends(&[3]), LIMITS), None);
        let stateless = Limits { state_partitions: 0, ..LIMITS };
        let before = after(plan(None, &ends(&[3]), stateless).expect("input"), &[50], None);
        assert_eq!(plan(Some(&before), &ends(&[3]), stateless), None);
    }

    #[test]
    fn batch_time_and_watermark_never_go_back() {
        let first = plan(None, &ends(&[3]), LIMITS).expect("input");
        let before = after(first, &[50], None);
        let back = Limits { wall_ms: 10, ..LIMITS };
        let second = plan(Some(&before), &ends(&[4]), back).expect("input");
        assert_eq!(second.batch_time_ms, 1_000);
        let before = after(second, &[20], Some(&before));
        assert_eq!((before.commit.next_watermark_ms, before.commit.latest_ms), (50, vec![50]));
    }

    #[test]
    fn a_partition_is_idle_only_after_a_time_without_input() {
        let limits = |wall_ms| Limits { wall_ms, idle_after_ms: 500, ..LIMITS };
        let first = plan(None, &ends(&[1, 0]), limits(1_000)).expect("input");
        assert_eq!(first.idle, []);
        let before = after(first, &[70, 0], None);
        assert_eq!(before.commit.next_watermark_ms, 0, "the silent partition holds it back");
        let second = plan(Some(&before), &ends(&[2, 0]), limits(1_499)).expect("input");
        assert_eq!(second.idle, []);
        let before = after(second, &[80, 0], Some(&before));
        let third = plan(Some(&before), &ends(&[3, 0]), limits(1_500)).expect("input");
        assert_eq!(third.idle, [Partition(1)]);
        let before = after(third, &[90, 0], Some(&before));
        assert_eq!(before.commit.next_watermark_ms, 90);
        assert!(passes_over_idle(&before.offsets, &before.commit));
        let fourth = plan(Some(&before), &ends(&[3, 1]), limits(1_600)).expect("input");
        assert_eq!((fourth.idle, fourth.active_ms), (vec![], vec![1_500, 1_600]));
    }

    #[test]
    fn a_partition_that_was_added_is_read_from_its_start_and_idle_until_it_had_input() {
        let limits = |wall_ms| Limits { wall_ms, idle_after_ms: 5_000, ..LIMITS };
        let first = plan(None, &ends(&[1]), limits(1_000)).expect("input");
        let before = after(first, &[70], None);
        assert_eq!(
            plan(Some(&before), &ends(&[1, 0]), LIMITS).map(|plan| plan.ranges.len()),
            Some(2)
        );
        let second = plan(Some(&before), &ends(&[2, 0]), limits(1_100)).expect("input");
        assert_eq!((&*second.idle, &*second.active_ms), (&[Partition(1)][..], &[1_100, 0][..]));
        assert_eq!(second.state_partitions, 2, "of the state are as many as before");
        let before = after(second, &[80, 0], Some(&before));
        assert_eq!(before.commit.next_watermark_ms, 80, "the new one does not hold it back");
        let third = plan(Some(&before), &ends(&[3, 2]), limits(1_200)).expect("input");
        assert_eq!(third.ranges[1], OffsetRange { start: Offset(0), end: Offset(2) });
        assert_eq!(third.idle, []);
        let before = after(third, &[90, 75], Some(&before));
        assert_eq!(before.commit.next_watermark_ms, 80, "nor has it go back");
        let fourth = plan(Some(&before), &ends(&[4, 2, 0, 0]), limits(1_300)).expect("input");
        assert_eq!((&*fourth.idle, fourth.ranges.len()), (&[2, 3].map(Partition)[..], 4));
        let before = after(fourth, &[99, 0, 0, 0], Some(&before));
        assert_eq!(before.commit.latest_ms, [99, 75, 0, 0]);
    }

    #[test]
    fn the_slowest_partition_that_is_not_idle_holds_the_watermark_behind_by_the_delay() {
        let first = plan(None, &ends(&[1, 1, 0]), LIMITS).expect("input");
        let commit = commit(&first, read(&[90, 30, 0]), None, 10);
        assert_eq!(commit.next_watermark_ms, 20);
    }

    #[test]
    fn an_epoch_goes_on_from_the_states_that_the_commit_before_decided() {
        let first = plan(None, &ends(&[1]), LIMITS).expect("input");
        let state = |uid| StateRef { uid, ..StateRef::default() };
        let results = Results { states: vec![state(5), state(6)], ..read(&[1]) };
        let one = commit(&first, results, None, 0);
        assert_eq!(one.base, [0, 0]);
        let before = Before { offsets: first, commit: one };
        let second = plan(Some(&before), &ends(&[2]), LIMITS).expect("input");
        assert_eq!(commit(&second, read(&[2]), Some(&before), 0).base, [5, 6]);
    }
}

//! The phases of a recovery: one after another they add up to it, to the nanosecond.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unplug_sim::env::NodeId;

use super::timeline::Timeline;

/// A phase, in their order. What a recovery has nothing of takes no time.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Power or process is away, and a node boots that the recovery waits for: the broker, a sink, or
    /// the next leader if it was struck.
    Boot,
    /// Until someone acts on what happened: the next leader stands for leadership, or the leader
    /// makes another attempt at a task.
    Detection,
    /// The next leader has its leadership decided, which fences the one before.
    Election,
    /// It reads what was decided, and brings the sinks up.
    Plan,
    /// Executors load states from the stores.
    State,
    /// Epochs that take in only what arrived before the strike.
    Replay,
    /// The new epoch, waited for, run and committed.
    Commit,
    /// It is published by all sinks.
    Publish,
}

impl Phase {
    /// All of them, in their order.
    pub const ALL: [Self; 8] = [
        Self::Boot,
        Self::Detection,
        Self::Election,
        Self::Plan,
        Self::State,
        Self::Replay,
        Self::Commit,
        Self::Publish,
    ];

    /// Its name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Detection => "detection",
            Self::Election => "election",
            Self::Plan => "plan",
            Self::State => "state",
            Self::Replay => "replay",
            Self::Commit => "commit",
            Self::Publish => "publish",
        }
    }
}

/// What a recovery went through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recovery {
    /// When the fault struck.
    pub(super) strike_ns: u64,
    /// Whether it struck an executor, so that another attempt at a task is an answer to it.
    pub(super) of_executor: bool,
    /// The number of the new epoch.
    pub(super) new: u64,
    /// When that was published.
    pub(super) published_ns: u64,
}

/// How long each phase took, in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Phases([u64; 8]);

impl Phases {
    /// The phases from the strike to the publication of the new epoch. `only` are the nodes that
    /// nothing can be published without.
    pub(super) fn new(timeline: &Timeline, only: &[NodeId], recovery: Recovery) -> Self {
        let Recovery { strike_ns, of_executor, new, published_ns } = recovery;
        let committed_ns = timeline.commits.range(new..).next().map(|(_, at_ns)| *at_ns);
        let committed_ns = committed_ns.unwrap_or(published_ns).clamp(strike_ns, published_ns);
        let recovering = |at_ns: u64| at_ns > strike_ns && at_ns <= committed_ns;
        let mut pen = Pen { at_ns: strike_ns, took: Self::default() };

        let elected = timeline.led.iter().rev().find(|(at_ns, _)| recovering(*at_ns));
        let leader = elected.map(|(_, node)| *node);
        let struck = timeline.crashed.iter().filter(|(at_ns, _)| *at_ns >= strike_ns);
        let awaited = struck.filter(|(_, node)| only.contains(node) || leader == Some(*node));
        let boots = awaited.filter_map(|(_, node)| {
            let boots = timeline.booted.iter();
            let boot = boots.filter(|(at_ns, booted)| *at_ns > strike_ns && booted == node);
            boot.map(|(at_ns, _)| *at_ns).next()
        });
        // With a next leader, its own boot comes first, and the others' boots beside what it does.
        let booted_ns = match leader {
            Some(leader) => boot_of(timeline, leader, strike_ns),
            None => boots.max(),
        };
        if let Some(booted_ns) = booted_ns {
            pen.until(Phase::Boot, booted_ns.min(published_ns));
        }
        if let Some((led_ns, node)) = elected {
            let stood = timeline.stood.iter().rev();
            let stood = stood.filter(|(at_ns, stood)| at_ns <= led_ns && stood == node);
            if let Some((stood_ns, _)) = stood.into_iter().next() {
                pen.until(Phase::Detection, *stood_ns);
            }
            pen.until(Phase::Election, *led_ns);
            let went_on =
                timeline.went_on.iter().find(|(at_ns, one)| at_ns >= led_ns && one == node);
            if let Some((went_on_ns, _)) = went_on {
                pen.until(Phase::Plan, (*went_on_ns).min(committed_ns));
            }
        } else if of_executor
            && let Some(retried_ns) = timeline.retried.iter().find(|at_ns| recovering(**at_ns))
        {
            pen.until(Phase::Detection, *retried_ns);
        }
        let replayed = timeline.commits.range(..new).next_back().map(|(_, at_ns)| *at_ns);
        pen.until_but_for_states(timeline, Phase::Replay, replayed.unwrap_or(0).min(committed_ns));
        pen.until_but_for_states(timeline, Phase::Commit, committed_ns);
        pen.until(Phase::Publish, published_ns);
        pen.took
    }

    /// How long a phase took.
    pub(super) fn of(&self, phase: Phase) -> u64 {
        self.0[phase as usize]
    }

    /// All together.
    pub(super) fn total_ns(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// When a node that was struck booted.
fn boot_of(timeline: &Timeline, node: NodeId, strike_ns: u64) -> Option<u64> {
    let mut crashed = timeline.crashed.iter();
    crashed.find(|(at_ns, one)| *at_ns >= strike_ns && *one == node)?;
    let mut booted = timeline.booted.iter();
    booted.find(|(at_ns, one)| *at_ns > strike_ns && *one == node).map(|(at_ns, _)| *at_ns)
}

/// Gives time to phases, from the strike on.
struct Pen {
    at_ns: u64,
    took: Phases,
}

impl Pen {
    /// What is left until then is of this phase.
    fn until(&mut self, phase: Phase, at_ns: u64) {
        self.took.0[phase as usize] += at_ns.saturating_sub(self.at_ns);
        self.at_ns = self.at_ns.max(at_ns);
    }

    /// The same, less the time in which a state was loaded.
    fn until_but_for_states(&mut self, timeline: &Timeline, phase: Phase, at_ns: u64) {
        let mut loads: Vec<_> =
            timeline.loads.iter().map(|load| (load.from_ns, load.until_ns)).collect();
        loads.sort_unstable();
        for (from_ns, until_ns) in loads {
            if until_ns > self.at_ns && from_ns < at_ns {
                self.until(phase, from_ns);
                self.until(Phase::State, until_ns.min(at_ns));
            }
        }
        self.until(phase, at_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::timeline::Load, *};

    const DRIVER: NodeId = NodeId(4);
    const BROKER: NodeId = NodeId(0);

    fn took(timeline: &Timeline) -> [u64; 8] {
        let recovery = Recovery { strike_ns: 100, of_executor: true, new: 7, published_ns: 1_000 };
        let phases = Phases::new(timeline, &[BROKER], recovery);
        assert_eq!(phases.total_ns(), 900, "they add up");
        Phase::ALL.map(|phase| phases.of(phase))
    }

    #[test]
    fn the_phases_of_a_lost_leader_come_one_after_another() {
        let timeline = Timeline {
            crashed: vec![(100, DRIVER)],
            booted: vec![(10, DRIVER), (150, DRIVER)],
            stood: vec![(20, DRIVER), (250, DRIVER)],
            led: vec![(30, DRIVER), (300, DRIVER)],
            went_on: vec![(40, DRIVER), (330, DRIVER)],
            commits: [(5, 90), (6, 500), (7, 900)].into(),
            loads: vec![
                Load { from_ns: 400, until_ns: 430, bytes: 1 },
                Load { from_ns: 420, until_ns: 450, bytes: 1 },
                Load { from_ns: 600, until_ns: 610, bytes: 1 },
            ],
            ..Timeline::default()
        };
        assert_eq!(took(&timeline), [50, 100, 50, 30, 60, 120, 390, 100]);
    }

    #[test]
    fn without_an_election_the_boot_of_a_node_without_which_nothing_goes_on_counts() {
        let timeline = Timeline {
            crashed: vec![(100, BROKER)],
            booted: vec![(160, BROKER)],
            retried: vec![90, 170],
            commits: [(6, 90), (7, 980)].into(),
            ..Timeline::default()
        };
        assert_eq!(took(&timeline), [60, 10, 0, 0, 0, 0, 810, 20]);
        let beside = Timeline { crashed: vec![(100, NodeId(9))], ..timeline };
        assert_eq!(took(&beside), [0, 70, 0, 0, 0, 0, 810, 20]);
    }

    #[test]
    fn a_fault_that_nobody_notices_is_a_wait_for_the_next_epoch() {
        let timeline = Timeline { commits: [(6, 400), (7, 900)].into(), ..Timeline::default() };
        assert_eq!(took(&timeline), [0, 0, 0, 0, 0, 300, 500, 100]);
    }
}

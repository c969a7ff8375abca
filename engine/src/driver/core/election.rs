//! Who should lead: a driver stands for leadership when it has not heard of a leader for too long.
//!
//! Only speed rests on this. Two drivers may stand at once, or one beside a leader that is alive:
//! the register of the generation decides between them.

use std::collections::{BTreeMap, BTreeSet};

use unplug_sim::env::NodeId;

use crate::tuple::Generation;

/// How long silence lasts before something is done about it, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From one beat of a leader or an executor to its next.
    pub beat_ns: u64,
    /// A node that was not heard for so long is taken for gone.
    pub gone_ns: u64,
}

/// What a driver that does not lead knows of the one that does.
#[derive(Clone, Debug)]
pub struct Election {
    patience: Patience,
    /// How many drivers there are. They stand one after another, by their places…
    drivers: u64,
    place: u64,
    /// …but for the leader that was heard last.
    leader: Option<u64>,
    heard: Generation,
    heard_ns: u64,
    stand_ns: u64,
    /// Whether it was just started, and has neither heard a leader nor stood.
    listening: bool,
    /// Other drivers that said meanwhile that nobody leads.
    leaderless: BTreeSet<u64>,
}

impl Election {
    /// A driver that has just been started, with its place among so many drivers. It listens for a
    /// few beats before it stands.
    #[must_use]
    pub fn new(patience: Patience, (place, drivers): (u64, u64), now_ns: u64) -> Self {
        let stand_ns = now_ns + (2 + place) * patience.beat_ns;
        Self {
            patience,
            drivers,
            place,
            leader: None,
            heard: Generation(0),
            heard_ns: 0,
            stand_ns,
            listening: true,
            leaderless: BTreeSet::new(),
        }
    }

    /// The leader at a place was heard. An older one than before changes nothing.
    pub fn heard(&mut self, generation: Generation, leader: u64, now_ns: u64) {
        if generation >= self.heard {
            (self.heard, self.leader, self.heard_ns) = (generation, Some(leader), now_ns);
            self.wait(now_ns);
        }
    }

    /// Another won, or this driver's leadership ended: it waits as if a leader had been heard.
    pub fn wait(&mut self, now_ns: u64) {
        let before = self.leader.is_some_and(|leader| leader < self.place);
        let turn = self.place - u64::from(before);
        self.stand_ns = now_ns + self.patience.gone_ns + turn * self.patience.beat_ns;
        self.listening = false;
    }

    /// Whether this driver, which does not lead, would tell the one at a place, which has just been
    /// started, that nobody leads: it has not heard of a leader lately, or that one was it.
    #[must_use]
    pub fn is_leaderless(&self, asking: u64, now_ns: u64) -> bool {
        let lately = now_ns < self.heard_ns.saturating_add(self.patience.gone_ns);
        self.leader.is_none_or(|leader| leader == asking || !lately)
    }

    /// Another driver said so. Once all have, this one stands at once, if it is still listening; tells
    /// whether it does.
    pub fn told_leaderless(&mut self, other: u64, now_ns: u64) -> bool {
        self.leaderless.insert(other);
        let all = self.leaderless.len() as u64 + 1 == self.drivers;
        let stands = all && self.listening && now_ns < self.stand_ns;
        if stands {
            self.stand_ns = now_ns;
        }
        stands
    }

    /// The highest generation that was heard of.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.heard
    }

    /// When to stand, unless a leader is heard before.
    #[must_use]
    pub fn stand_ns(&self) -> u64 {
        self.stand_ns
    }
}

/// Which executors are there: those that were heard of lately. They join and leave as they like.
#[derive(Clone, Debug)]
pub struct Members {
    patience: Patience,
    heard_ns: BTreeMap<NodeId, u64>,
}

impl Members {
    /// None was heard yet.
    #[must_use]
    pub fn new(patience: Patience) -> Self {
        Self { patience, heard_ns: BTreeMap::new() }
    }

    /// An executor was heard.
    pub fn heard(&mut self, executor: NodeId, now_ns: u64) {
        self.heard_ns.insert(executor, now_ns);
    }

    /// An executor said that it leaves.
    pub fn left(&mut self, executor: NodeId) {
        self.heard_ns.remove(&executor);
    }

    /// When an executor was heard last, in nanoseconds; 0 for never.
    #[must_use]
    pub fn heard_ns(&self, executor: NodeId) -> u64 {
        self.heard_ns.get(&executor).copied().unwrap_or(0)
    }

    /// Those that are there now, in order.
    #[must_use]
    pub fn present(&self, now_ns: u64) -> Vec<NodeId> {
        let there = |heard_ns: u64| now_ns < heard_ns.saturating_add(self.patience.gone_ns);
        self.heard_ns.iter().filter(|(_, at)| there(**at)).map(|(node, _)| *node).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { beat_ns: 100, gone_ns: 500 };

    #[test]
    fn the_first_driver_stands_first_and_each_hears_out_a_few_beats() {
        let stand = |place| Election::new(PATIENCE, (place, 3), 1_000).stand_ns();
        assert_eq!((stand(0), stand(1), stand(2)), (1_200, 1_300, 1_400));
    }

    #[test]
    fn a_leader_that_is_heard_puts_it_off_and_an_older_one_does_not() {
        let mut election = Election::new(PATIENCE, (1, 3), 0);
        election.heard(Generation(4), 2, 250);
        assert_eq!(election.stand_ns(), 850);
        election.heard(Generation(3), 2, 400);
        assert_eq!(election.stand_ns(), 850);
        election.heard(Generation(5), 2, 400);
        assert_eq!((election.stand_ns(), election.generation()), (1_000, Generation(5)));
    }

    #[test]
    fn a_leader_that_is_gone_is_left_out_of_the_turn() {
        let stand_ns = |place| {
            let mut election = Election::new(PATIENCE, (place, 3), 0);
            election.heard(Generation(1), 1, 100);
            election.stand_ns()
        };
        assert_eq!((stand_ns(0), stand_ns(2)), (600, 700));
    }

    #[test]
    fn a_driver_that_was_started_stands_at_once_if_all_others_say_that_nobody_leads() {
        let mut started = Election::new(PATIENCE, (0, 3), 0);
        assert!(!started.told_leaderless(1, 10));
        assert!(!started.told_leaderless(1, 20), "the same one again");
        assert!(started.told_leaderless(2, 30));
        assert_eq!(started.stand_ns(), 30);
        let mut late = Election::new(PATIENCE, (0, 2), 0);
        late.heard(Generation(1), 1, 10);
        assert!(!late.told_leaderless(1, 20), "it leads since");
        assert_eq!(late.stand_ns(), 510);
        let mut beaten = Election::new(PATIENCE, (0, 2), 0);
        beaten.wait(200);
        assert!(!beaten.told_leaderless(1, 210), "it has stood since");
    }

    #[test]
    fn nobody_leads_if_none_was_heard_lately_or_it_was_the_one_that_asks() {
        let mut election = Election::new(PATIENCE, (2, 3), 0);
        assert!(election.is_leaderless(0, 0));
        election.heard(Generation(1), 1, 100);
        assert!(!election.is_leaderless(0, 599));
        assert!(election.is_leaderless(1, 101), "its own leader was started again");
        assert!(election.is_leaderless(0, 600));
    }

    #[test]
    fn executors_join_when_heard_and_leave_when_silent() {
        let mut members = Members::new(PATIENCE);
        assert_eq!(members.present(0), []);
        members.heard(NodeId(7), 100);
        members.heard(NodeId(3), 300);
        assert_eq!(members.present(599), [NodeId(3), NodeId(7)]);
        assert_eq!(members.present(600), [NodeId(3)]);
        members.heard(NodeId(7), 700);
        assert_eq!(members.present(800), [NodeId(7)]);
        members.left(NodeId(7));
        assert_eq!(members.present(800), []);
        members.heard(NodeId(7), 700);
        assert_eq!([3, 7, 9].map(|node| members.heard_ns(NodeId(node))), [300, 700, 0]);
    }
}

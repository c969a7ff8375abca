//! Who should lead: a driver stands for leadership when it has not heard of a leader for too long.
//!
//! Only speed rests on this. Two drivers may stand at once, or one beside a leader that is alive:
//! the register of the generation decides between them.

use std::collections::BTreeMap;

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
#[derive(Clone, Copy, Debug)]
pub struct Election {
    patience: Patience,
    /// Drivers stand one after another, by their places.
    place: u64,
    heard: Generation,
    stand_ns: u64,
}

impl Election {
    /// A driver that has just been started, with its place among the drivers. It listens for a few
    /// beats before it stands.
    #[must_use]
    pub fn new(patience: Patience, place: u64, now_ns: u64) -> Self {
        let stand_ns = now_ns + (2 + place) * patience.beat_ns;
        Self { patience, place, heard: Generation(0), stand_ns }
    }

    /// A leader was heard. An older one than before changes nothing.
    pub fn heard(&mut self, generation: Generation, now_ns: u64) {
        if generation >= self.heard {
            self.heard = generation;
            self.wait(now_ns);
        }
    }

    /// Another won, or this driver's leadership ended: it waits as if a leader had been heard.
    pub fn wait(&mut self, now_ns: u64) {
        self.stand_ns = now_ns + self.patience.gone_ns + self.place * self.patience.beat_ns;
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
        let stand = |place| Election::new(PATIENCE, place, 1_000).stand_ns();
        assert_eq!((stand(0), stand(1), stand(2)), (1_200, 1_300, 1_400));
    }

    #[test]
    fn a_leader_that_is_heard_puts_it_off_and_an_older_one_does_not() {
        let mut election = Election::new(PATIENCE, 1, 0);
        election.heard(Generation(4), 250);
        assert_eq!(election.stand_ns(), 850);
        election.heard(Generation(3), 400);
        assert_eq!(election.stand_ns(), 850);
        election.heard(Generation(5), 400);
        assert_eq!((election.stand_ns(), election.generation()), (1_000, Generation(5)));
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
    }
}

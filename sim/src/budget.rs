//! What a run may take, and whom it names when it takes more.
//!
//! Steps are looked at now and then: the loop compares one number, and everything else happens in
//! [`State::is_over_budget`]. What is over budget stays so: the run is to be given up.

use crate::{env::NodeId, net::InFlight, state::State};

/// So often, in events and polls, a run is looked at. Less than a second, however slow the build.
const LOOK_EVERY_STEPS_MAX: u64 = 1 << 17;

/// What a datagram under way takes beside its payload.
const DATAGRAM_OWN_BYTES: u64 = 64;

/// Who is told from outside how a run goes on. Plain functions: they hold nothing of the world,
/// and the run goes on as if they were not there.
#[derive(Clone, Copy, Debug)]
pub struct Watcher {
    /// The run goes on: called every so many events and polls.
    pub beat: fn(),
    /// A task is about to be polled. Costs much, being called so often.
    pub poll: Option<fn(Whereabouts<'_>)>,
}

/// Where a run is.
#[derive(Clone, Copy, Debug)]
pub struct Whereabouts<'a> {
    /// The name of the node.
    pub node: &'a str,
    /// The name that its task was spawned with; `main` for its program.
    pub task: &'static str,
    /// The virtual time, in nanoseconds since the start of the run.
    pub at_ns: u64,
}

/// A run that took more than it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overrun {
    /// What it took too much of.
    pub budget: Budget,
    /// The node: the one whose task was polled last, who sent, or whose disk it is.
    pub node: NodeId,
    /// The task that was polled last.
    pub task: &'static str,
    /// When, in virtual nanoseconds since the start of the run.
    pub at_ns: u64,
}

/// What a run may take too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// Events and polls, over [`crate::WorldConfig::events_max`].
    Steps {
        /// How many of them happened in the last moment of virtual time, as far as it is known; 0
        /// if time went on.
        standing: u64,
    },
    /// Bytes of datagrams under way, over [`crate::WorldConfig::in_flight_bytes_max`].
    InFlight,
    /// Bytes on one disk, over [`crate::WorldConfig::disk_bytes_max`].
    Disk,
}

/// What was taken so far.
#[derive(Debug)]
pub(crate) struct Meter {
    /// With so many steps the run is looked at.
    pub(crate) look_at_steps: u64,
    watcher: Option<Watcher>,
    /// The time at an earlier look, and the steps at the first look that found it.
    seen: (u64, u64),
    in_flight_bytes: u64,
    overrun: Option<Overrun>,
}

impl Meter {
    pub(crate) fn new(events_max: u64) -> Self {
        Self {
            look_at_steps: look_every_steps(events_max),
            watcher: None,
            seen: (u64::MAX, 0),
            in_flight_bytes: 0,
            overrun: None,
        }
    }

    pub(crate) const fn watch(&mut self, watcher: Watcher) {
        self.watcher = Some(watcher);
    }

    pub(crate) const fn overrun(&self) -> Option<&Overrun> {
        self.overrun.as_ref()
    }

    #[inline]
    pub(crate) fn arrived(&mut self, message: &InFlight) {
        self.in_flight_bytes -= bytes(message);
    }

    /// Who is told of each poll.
    #[inline]
    pub(crate) fn poll(&self) -> Option<fn(Whereabouts<'_>)> {
        self.watcher.and_then(|watcher| watcher.poll)
    }
}

/// More than once, or nobody could tell whether time stands still.
fn look_every_steps(events_max: u64) -> u64 {
    (events_max / 4).clamp(1, LOOK_EVERY_STEPS_MAX)
}

fn bytes(message: &InFlight) -> u64 {
    message.payload.len() as u64 + DATAGRAM_OWN_BYTES
}

impl State {
    /// Looks at the run; true if it is to be given up.
    #[cold]
    pub(crate) fn is_over_budget(&mut self) -> bool {
        let (steps, now_ns) = (self.steps, self.now_ns);
        let meter = &mut self.meter;
        if meter.seen.0 != now_ns {
            meter.seen = (now_ns, steps);
        }
        if meter.overrun.is_none() && steps >= self.config.events_max {
            let standing = steps - meter.seen.1;
            let (node, task) = self.scheduler.polled();
            self.overrun(Budget::Steps { standing }, node, task);
        }
        let meter = &mut self.meter;
        if let Some(Watcher { beat, .. }) = meter.watcher {
            beat();
        }
        if meter.overrun.is_some() {
            return true;
        }
        let events_max = self.config.events_max;
        meter.look_at_steps = (steps + look_every_steps(events_max)).min(events_max);
        false
    }

    /// Ends the run with the next step.
    #[cold]
    fn overrun(&mut self, budget: Budget, node: NodeId, task: &'static str) {
        let at_ns = self.now_ns;
        self.meter.overrun.get_or_insert(Overrun { budget, node, task, at_ns });
        self.meter.look_at_steps = 0;
    }

    /// Takes a datagram on its way; from the one on that is too much, none.
    #[inline(always)]
    pub(crate) fn under_way(&mut self, at_ns: u64, message: InFlight) {
        if self.has_room(&message) {
            self.queue.deliver(at_ns, message);
        }
    }

    /// Counts a datagram as under way, unless that would be too much.
    #[inline]
    pub(crate) fn has_room(&mut self, message: &InFlight) -> bool {
        self.meter.in_flight_bytes += bytes(message);
        if self.meter.in_flight_bytes > self.config.in_flight_bytes_max {
            self.meter.arrived(message);
            let (node, task) = (message.from.node, self.scheduler.polled().1);
            self.overrun(Budget::InFlight, node, task);
            return false;
        }
        true
    }

    /// A node has written to its disk.
    #[inline]
    pub(crate) fn written(&mut self, id: NodeId) {
        let most = self.config.disk_bytes_max;
        if self.node(id).disk.used().is_some_and(|disk| disk.used() > most) {
            let task = self.scheduler.polled().1;
            self.overrun(Budget::Disk, id, task);
        }
    }
}

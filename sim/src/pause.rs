//! Pauses: processes that stop where they are, and go on as if nothing had been.
//!
//! A poll cannot be stopped in the middle. When a pause strikes there, the rest of the poll goes
//! on, but what it does waits: datagrams are sent at the end of the pause, in order; operations
//! stay pending, not begun, and begin when they are polled then. Marks, spawns and observations
//! have no effect on others and simply happen, as does the program's own end.

use crate::{
    env::NodeId,
    event::{Change, Happening},
    net::InFlight,
    power::Power,
    schedule::{Slot, Wakeup},
    state::State,
    trace::Seconds,
};

/// What waits at a node for the end of its pause.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    /// The faults that have it stand still.
    by: Vec<usize>,
    /// Datagrams that were sent after the pause struck in the middle of a poll.
    pub(crate) held: Vec<InFlight>,
    /// Operations that were begun or were to end then.
    pub(crate) waiting: Vec<Wakeup>,
    /// Tasks that became ready.
    parked: Vec<Slot>,
}

impl State {
    /// Stops a node, or lets it stand still longer. One that is down has nothing to stop.
    pub(crate) fn pause(&mut self, id: NodeId, fault: usize, until_ns: u64) {
        let at_ns = self.now_ns;
        let node = &mut self.nodes[usize::from(id.0)];
        match node.power {
            Power::On | Power::Paused => {
                node.power = Power::Paused;
                node.pause.by.push(fault);
            }
            Power::Condemned | Power::Off => return,
        }
        let name = &node.name;
        self.trace.world(at_ns, u64::from(id.0), || {
            let text = format!("pause of {name} until{} s", Seconds(until_ns));
            Happening::of(id, Change::Pause { until_ns }, text)
        });
    }

    /// A pause is over: the node goes on, if no other fault has it stand still.
    pub(crate) fn resume_if_over(&mut self, id: NodeId, fault: usize) {
        let at_ns = self.now_ns;
        let node = &mut self.nodes[usize::from(id.0)];
        node.pause.by.retain(|by| *by != fault);
        if node.power != Power::Paused || !node.pause.by.is_empty() {
            return;
        }
        node.power = Power::On;
        let held = std::mem::take(&mut node.pause.held);
        let (boot, name) = (node.boot, &node.name);
        self.trace.world(at_ns, u64::from(id.0) << 32, || {
            Happening::of(id, Change::Resume, format!("end of pause of {name}"))
        });
        for message in held {
            // A fault at one of them may pause the node again, and the rest is held on.
            self.send((id, boot), message);
            self.strike_after();
        }
        let node = self.node(id);
        if node.power != Power::On {
            return;
        }
        let pause = std::mem::take(&mut node.pause);
        for wakeup in pause.waiting {
            self.scheduler.wake(wakeup);
        }
        for slot in pause.parked {
            self.scheduler.wake(Wakeup::Task(slot));
        }
    }

    /// Keeps a ready task of a paused node until it goes on. False if its node is not paused.
    #[inline]
    pub(crate) fn park(&mut self, (slot, id): (Slot, NodeId)) -> bool {
        let node = self.node(id);
        let paused = node.power == Power::Paused;
        if paused {
            node.pause.parked.push(slot);
        }
        paused
    }
}

//! Power and processes: what a fault ends, what the disks keep, and when nodes come back.
//!
//! A fault may strike in the middle of a poll. From there on the struck nodes are *condemned*:
//! no effect of theirs counts any more. When the poll has returned, the world drops their tasks
//! and cuts them off here.

use crate::{
    env::NodeId,
    event::{Change, Happening},
    fault::{Action, EffectFilter, Keep},
    fired::{Crash, End, Ended, Fired},
    net::InFlight,
    pause::Pause,
    random::Stream,
    slab::Slab,
    state::{Event, Node, State},
};

/// Whether a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    On,
    /// Its tasks are not polled, and what they try to do waits.
    Paused,
    /// Struck in this very moment: nothing it does counts, its tasks are about to be dropped.
    Condemned,
    Off,
}

/// How processes end.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cut {
    Kill,
    Power(Keep),
    /// Power, and the disk for good.
    Disk,
}

impl Node {
    /// Its processes are gone, and with them all that waited for the end of a pause.
    fn switch_off(&mut self, messages: &mut Slab<InFlight>) {
        self.power = Power::Off;
        self.sockets.clear(messages);
        self.pause = Pause::default();
    }

    /// When it boots, if a fault has it be down.
    fn boots_ns(&self, fault: usize) -> Option<u64> {
        let struck = self.down.iter().any(|(by, _)| *by == Some(fault));
        self.down.iter().map(|(_, at_ns)| *at_ns).max().filter(|_| struck)
    }
}

impl State {
    /// Carries out a fault whose targets' tasks have been dropped.
    pub(crate) fn cut(&mut self, fault: usize, running: &[NodeId]) {
        let (cut, down_ns) = match &self.supply.plan.faults[fault].what {
            Action::PowerLoss { down_ns, keep, .. } => (Cut::Power(keep.clone()), *down_ns),
            Action::Kill { down_ns, .. } => (Cut::Kill, *down_ns),
            Action::DiskLoss { down_ns, .. } => (Cut::Disk, *down_ns),
            Action::Pause { .. }
            | Action::Throttle { .. }
            | Action::Partition { .. }
            | Action::ClockStep { .. }
            | Action::DiskFault { .. }
            | Action::DiskFull { .. }
            | Action::SlowDisk { .. }
            | Action::DiskStall { .. } => unreachable!("it ends no process"),
        };
        let (at_ns, kind) = (self.now_ns, self.supply.plan.faults[fault].what.kind());
        let mut back_ns = 0;
        let targets = self.targets(fault);
        for &id in &targets {
            let unsynced = self.cut_disk(id, fault, &cut);
            let marks = std::mem::take(&mut self.node(id).marks);
            let (power, running) = (cut != Cut::Kill, running.contains(&id));
            let crash = Crash { fault, node: id, at_ns, power, running, unsynced, marks };
            self.supply.crashes.push(crash);
            back_ns = back_ns.max(self.schedule_boot(id, Some(fault), down_ns));
        }
        self.fired(Fired { fault, kind, at_ns, back_ns });
        self.wait_for_end(fault);
        for id in targets.into_iter().filter(|id| running.contains(id)) {
            self.befall(id, &EffectFilter::Crash);
        }
    }

    /// What ends a fault has come: nodes that are down because of it boot, unless another fault
    /// says later.
    pub(crate) fn release(&mut self, fault: usize) {
        for id in self.targets(fault) {
            let down = &mut self.node(id).down;
            let all = down.len();
            down.retain(|(by, _)| *by != Some(fault));
            if down.len() < all {
                self.schedule_boot(id, Some(fault), 0);
                // Of other faults that have it be down, too, this may have been the last.
                let by = self.node(id).down.iter().filter_map(|(by, _)| *by);
                for fault in by.collect::<Vec<_>>() {
                    let boots = self.nodes.iter().filter_map(|node| node.boots_ns(fault)).max();
                    self.note_end(fault, boots.expect("this node's at least"));
                }
            }
        }
    }

    /// Notes that a fault is over earlier than was thought.
    pub(crate) fn note_end(&mut self, fault: usize, back_ns: u64) {
        let mut fired = self.supply.fired.iter_mut().rev();
        fired.find(|fired| fired.fault == fault).expect("it has struck").back_ns = back_ns;
    }

    /// Leaves on a disk what the cut leaves of it; tells how many operations no sync had covered.
    fn cut_disk(&mut self, id: NodeId, fault: usize, cut: &Cut) -> usize {
        let (seed, at_ns) = (self.supply.seed, self.now_ns);
        let node = &mut self.nodes[usize::from(id.0)];
        let unsynced = node.disk.pending();
        let name = &node.name;
        let crash = |text| Happening::of(id, Change::Crash { fault }, text);
        match cut {
            Cut::Power(keep) => {
                let mut stream = Stream::new(seed, "disk-fate", u64::from(id.0), at_ns);
                let report = keep.cut(name, &mut node.disk, &mut stream);
                let detail = node.disk.image_hash();
                self.trace.world(at_ns, fold(detail), || {
                    crash(format!("power loss of {name}: {report}"))
                });
            }
            Cut::Kill => {
                node.disk.kill();
                self.trace.world(at_ns, unsynced as u64, || crash(format!("kill of {name}")));
            }
            Cut::Disk => {
                *node.disk = node.disk.replacement();
                node.disk_replaced = true;
                self.trace.world(at_ns, u64::from(id.0), || {
                    crash(format!("disk loss of {name}: the new one is blank"))
                });
            }
        }
        unsynced
    }

    /// Switches a node off and tells it when to start: not before another fault said so.
    fn schedule_boot(&mut self, id: NodeId, fault: Option<usize>, down_ns: u64) -> u64 {
        let seed = self.supply.seed;
        let boots = self.config.boot_ns;
        let now_ns = self.now_ns;
        let node = &mut self.nodes[usize::from(id.0)];
        if node.power != Power::Off {
            node.switch_off(&mut self.queue.messages);
        }
        node.boot_ticket += 1;
        let ticket = node.boot_ticket;
        let slow = Stream::new(seed, "boot", u64::from(id.0), now_ns).between(boots.0, boots.1);
        node.down.push((fault, now_ns + down_ns + slow));
        let at_ns = node.down.iter().map(|(_, at_ns)| *at_ns).max().expect("one was just added");
        self.queue.push(at_ns, Event::Boot { node: id, ticket });
        at_ns
    }

    /// The first start of a node.
    pub(crate) fn schedule_first_boot(&mut self, id: NodeId) {
        self.schedule_boot(id, None, 0);
    }

    /// Starts a node if this is its latest order to start. Tells the number of the new boot.
    pub(crate) fn boot(&mut self, id: NodeId, ticket: u64) -> Option<u32> {
        let seed = self.supply.seed;
        let node = self.node(id);
        if node.boot_ticket != ticket || node.power != Power::Off {
            return None;
        }
        node.boot += 1;
        node.power = Power::On;
        let down = std::mem::take(&mut node.down);
        if let Some(disk) = node.disk.used() {
            disk.evict();
        }
        let (entity, boot) = (u64::from(id.0), node.boot);
        node.stream = None;
        node.clock.origin_ns = Stream::new(seed, "clock", entity, u64::from(boot)).below(1 << 40);
        node.cpu_free_ns = 0;
        self.transfers.forget(id);
        let (at_ns, name) = (self.now_ns, &self.nodes[usize::from(id.0)].name);
        self.trace.world(at_ns, entity << 32 | u64::from(boot), || {
            Happening::of(id, Change::Boot { boot }, format!("boot {boot} of {name}"))
        });
        for fault in down.into_iter().filter_map(|(fault, _)| fault) {
            if self.nodes.iter().all(|node| node.boots_ns(fault).is_none()) {
                self.forget_end(fault);
            }
        }
        self.befall(id, &EffectFilter::Boot);
        Some(boot)
    }

    /// A program ended by itself; unless it only failed, its node is switched off for good.
    pub(crate) fn ended(&mut self, (id, task): (NodeId, &'static str), message: String, end: End) {
        let at_ns = self.now_ns;
        let name = &self.nodes[usize::from(id.0)].name;
        self.trace.world(at_ns, end as u64, || {
            Happening::of(id, Change::End(end), format!("{end:?} of {name}: {message}"))
        });
        self.supply.ended.push(Ended { node: id, task, at_ns, message, end });
        self.supply.leaving.push((id, end));
        self.node(id).power = Power::Condemned;
    }

    /// Switches off a node whose program ended; one that failed is started again.
    pub(crate) fn leave(&mut self, id: NodeId, end: End) {
        let node = &mut self.nodes[usize::from(id.0)];
        if node.power == Power::Condemned {
            node.switch_off(&mut self.queue.messages);
            if let Some(disk) = node.disk.used() {
                disk.kill();
            }
            // The next boot is in none of its phases.
            for (name, count) in std::mem::take(&mut node.marks) {
                *self.supply.marks.entry(name).or_default() += count;
            }
            if end == End::Failure {
                self.schedule_boot(id, None, 0);
                self.befall(id, &EffectFilter::Crash);
            }
        }
    }
}

fn fold(wide: u128) -> u64 {
    let bytes = wide.to_le_bytes();
    let half = |range: std::ops::Range<usize>| {
        u64::from_le_bytes(bytes[range].try_into().expect("eight bytes"))
    };
    half(0..8) ^ half(8..16)
}

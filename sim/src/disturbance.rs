//! Faults that end no process: how each begins, and how those that last are over.

use crate::{
    env::NodeId,
    event::{Change, Happening, What},
    fault::Action,
    fired::Fired,
    partition::Cut,
    state::{Event, State},
    strike::Aim,
    trace::Seconds,
};

/// A throttle that is on at a node's CPU or disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Throttle {
    pub(crate) fault: usize,
    pub(crate) factor: u32,
}

impl State {
    /// Such a fault strikes: it takes effect at once.
    pub(crate) fn begin(&mut self, fault: usize) {
        let what = self.supply.plan.faults[fault].what.clone();
        let at_ns = self.now_ns;
        let back_ns = match &what {
            Action::Pause { for_ns, .. } => {
                let until_ns = self.over_after(fault, *for_ns);
                self.targets(fault).into_iter().for_each(|id| self.pause(id, fault, until_ns));
                until_ns
            }
            Action::Throttle { factor, for_ns, .. } => {
                self.targets(fault).into_iter().for_each(|id| self.throttle(id, fault, *factor));
                self.over_after(fault, *for_ns)
            }
            Action::Partition { from, to, for_ns, .. } => {
                self.partition(fault, from, to);
                self.over_after(fault, *for_ns)
            }
            Action::ClockStep { by_ns, .. } => {
                self.targets(fault).into_iter().for_each(|id| self.step_clock(id, *by_ns));
                at_ns
            }
            Action::DiskFault { directory, what, .. } => {
                self.targets(fault).into_iter().for_each(|id| self.harm(id, directory, *what));
                at_ns
            }
            Action::DiskFull { for_ns, .. } => {
                self.targets(fault).into_iter().for_each(|id| self.fill_disk(id, fault));
                self.over_after(fault, *for_ns)
            }
            Action::SlowDisk { factor, for_ns, .. } => {
                self.targets(fault).into_iter().for_each(|id| self.slow_disk(id, fault, *factor));
                self.over_after(fault, *for_ns)
            }
            Action::DiskStall { for_ns, .. } => {
                let until_ns = self.over_after(fault, *for_ns);
                self.targets(fault).into_iter().for_each(|id| self.stall_disk(id, fault, until_ns));
                until_ns
            }
            Action::PowerLoss { .. } | Action::Kill { .. } | Action::DiskLoss { .. } => {
                unreachable!("it is carried out after the poll")
            }
        };
        self.fired(Fired { fault, kind: what.kind(), at_ns, back_ns });
    }

    /// Notes that a fault happened.
    pub(crate) fn fired(&mut self, fired: Fired) {
        let Fired { fault, kind, at_ns, back_ns } = fired;
        self.trace.tell(at_ns, || {
            let text = format!("fault {fault}: {kind}, over at{} s", Seconds(back_ns));
            let change = Change::Fault { fault, kind, back_ns };
            What::World(Happening { node: None, change, text })
        });
        self.supply.fired.push(fired);
    }

    /// Lets a fault be over after so long, or when what it waits for comes before. Tells when that
    /// is at the latest.
    fn over_after(&mut self, fault: usize, for_ns: u64) -> u64 {
        let until_ns = self.now_ns.saturating_add(for_ns);
        self.queue.push(until_ns, Event::Over(fault));
        self.supply.lasting.push(fault);
        self.wait_for_end(fault);
        until_ns
    }

    /// Lets a fault that strikes wait for what ends it, if it is to.
    pub(crate) fn wait_for_end(&mut self, fault: usize) {
        if let Some(point) = self.supply.plan.faults[fault].until.clone() {
            self.wait(fault, Aim::End, point);
        }
    }

    /// It is over, and waits no longer.
    pub(crate) fn forget_end(&mut self, fault: usize) {
        if self.supply.plan.faults[fault].until.is_some() {
            for node in &mut self.nodes {
                node.armed.retain(|armed| (armed.fault, armed.aim) != (fault, Aim::End));
            }
        }
    }

    /// What ends a fault has come. One that is over already stays so.
    pub(crate) fn end(&mut self, fault: usize) {
        if self.supply.plan.faults[fault].what.ends_processes() {
            self.release(fault);
        } else {
            self.note_end(fault, self.now_ns);
            self.over(fault);
        }
    }

    /// A fault that lasted is over. One that has ended before its time is not over once more.
    pub(crate) fn over(&mut self, fault: usize) {
        let at_ns = self.now_ns;
        let Some(place) = self.supply.lasting.iter().position(|lasting| *lasting == fault) else {
            return;
        };
        self.supply.lasting.swap_remove(place);
        self.forget_end(fault);
        match &self.supply.plan.faults[fault].what {
            Action::Pause { .. } => {
                self.targets(fault).into_iter().for_each(|id| self.resume_if_over(id, fault));
            }
            Action::Throttle { .. } => {
                for id in self.targets(fault) {
                    self.node(id).throttles.retain(|throttle| throttle.fault != fault);
                    let name = &self.nodes[usize::from(id.0)].name;
                    self.trace.world(at_ns, u64::from(id.0), || {
                        let text = format!("end of throttle of {name}");
                        Happening::of(id, Change::Over { fault }, text)
                    });
                }
            }
            Action::Partition { .. } => {
                self.links.partitions.heal(fault);
                self.trace.world(at_ns, fault as u64, || {
                    let text = format!("end of partition {fault}");
                    Happening { node: None, change: Change::Over { fault }, text }
                });
            }
            Action::DiskFull { .. } | Action::SlowDisk { .. } | Action::DiskStall { .. } => {
                self.targets(fault).into_iter().for_each(|id| self.disk_recovers(id, fault));
            }
            Action::PowerLoss { .. }
            | Action::Kill { .. }
            | Action::ClockStep { .. }
            | Action::DiskLoss { .. }
            | Action::DiskFault { .. } => unreachable!("it is not one that lasts"),
        }
    }

    fn throttle(&mut self, id: NodeId, fault: usize, factor: u32) {
        let at_ns = self.now_ns;
        let node = self.node(id);
        node.throttles.push(Throttle { fault, factor });
        let name = &self.nodes[usize::from(id.0)].name;
        self.trace.world(at_ns, u64::from(id.0) << 32 | u64::from(factor), || {
            let text = format!("throttle of {name}, {factor} times slower");
            Happening::of(id, Change::Begin { fault }, text)
        });
    }

    /// How long work takes that is charged to a node now: the slowest throttle counts, for all of
    /// the work, even if the throttle is over before it is done.
    #[inline]
    pub(crate) fn throttled_ns(&self, id: NodeId, work_ns: u64) -> u64 {
        let throttles = &self.nodes[usize::from(id.0)].throttles;
        let factor = throttles.iter().map(|throttle| throttle.factor).max().unwrap_or(1);
        work_ns.saturating_mul(u64::from(factor))
    }

    fn partition(&mut self, fault: usize, from: &[String], to: &[String]) {
        let what = &self.supply.plan.faults[fault].what;
        let one_way = matches!(what, Action::Partition { one_way: true, .. });
        let side = |names: &[String]| {
            let mut side = vec![false; self.nodes.len()];
            for name in names {
                let node = self.find(fault, name).expect("checked when it was loaded");
                side[usize::from(node.0)] = true;
            }
            side
        };
        let cut = Cut { fault, from: side(from), to: side(to), one_way };
        self.links.partitions.cut(cut);
        self.trace.world(self.now_ns, fault as u64 | u64::from(one_way) << 32, || {
            let way = if one_way { "->" } else { "<->" };
            let (from, to) = (from.join(", "), to.join(", "));
            let text = format!("partition {fault}: {from} {way} {to}");
            Happening { node: None, change: Change::Begin { fault }, text }
        });
    }

    fn step_clock(&mut self, id: NodeId, by_ns: i64) {
        let at_ns = self.now_ns;
        let node = &mut self.nodes[usize::from(id.0)];
        node.clock.step(by_ns);
        let wall_ns = node.clock.wall(at_ns);
        let name = &node.name;
        self.trace.world(at_ns, wall_ns ^ u64::from(id.0), || {
            let text = format!("wall clock of {name} stepped by {by_ns} ns");
            Happening::of(id, Change::Clock, text)
        });
    }
}

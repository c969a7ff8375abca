//! Which task runs next, and how a sleeping one is woken.
//!
//! Tasks of all nodes stand in one ready list; a seeded draw picks the next, so one seed is one
//! interleaving. A slot outlives its task: a late wake-up of a finished task at most polls the
//! slot's next tenant once for nothing, which every future must bear.

#![expect(
    clippy::disallowed_types,
    reason = "std::task::Waker must be Send + Sync, so the list that wakers push to needs a lock; \
              one thread uses it, in a fixed order"
)]

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

use crate::{env::NodeId, random::Stream, state::FEW};

/// How the next ready task is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Schedule {
    /// By a seeded draw: every interleaving of ready tasks can happen.
    #[default]
    Random,
    /// In the order in which tasks became ready.
    Fifo,
}

pub(crate) type Task = Pin<Box<dyn Future<Output = ()>>>;

/// The name of a program's main task.
pub(crate) const MAIN: &str = "main";

/// The number of a task's slot.
pub(crate) type Slot = u32;

/// Whom an event wakes: mostly a task as a whole, else whatever waker its future was polled with.
#[derive(Clone, Debug)]
pub(crate) enum Wakeup {
    Task(Slot),
    Waker(Waker),
}

struct SlotInfo {
    node: NodeId,
    task: &'static str,
    queued: bool,
    alive: bool,
    waker: Waker,
}

/// Wake-ups that came through a `Waker`, in order.
struct Woken {
    any: AtomicBool,
    slots: Mutex<Vec<Slot>>,
}

struct SlotWaker {
    slot: Slot,
    woken: Arc<Woken>,
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.slots.lock().expect("no panic while it is held").push(self.slot);
        self.woken.any.store(true, Ordering::Relaxed);
    }
}

/// The ready list and the slots of all tasks.
pub(crate) struct Scheduler {
    schedule: Schedule,
    stream: Stream,
    ready: VecDeque<Slot>,
    slots: Vec<SlotInfo>,
    free: Vec<Slot>,
    woken: Arc<Woken>,
    spawned: Vec<(Slot, Task)>,
    current: Slot,
}

impl Scheduler {
    pub(crate) fn new(schedule: Schedule, seed: u64) -> Self {
        Self {
            schedule,
            stream: Stream::new(seed, "schedule", 0, 0),
            ready: VecDeque::with_capacity(FEW),
            slots: Vec::with_capacity(FEW),
            free: Vec::new(),
            woken: Arc::new(Woken { any: AtomicBool::new(false), slots: Mutex::new(Vec::new()) }),
            spawned: Vec::with_capacity(FEW),
            current: Slot::MAX,
        }
    }

    /// Takes in a new task of `node`, ready to run.
    pub(crate) fn spawn(&mut self, node: NodeId, name: &'static str, task: Task) {
        let slot = if let Some(slot) = self.free.pop() {
            let info = &mut self.slots[slot as usize];
            info.node = node;
            info.task = name;
            info.alive = true;
            slot
        } else {
            let slot = Slot::try_from(self.slots.len()).expect("under 2^32 tasks at once");
            let waker = Waker::from(Arc::new(SlotWaker { slot, woken: Arc::clone(&self.woken) }));
            self.slots.push(SlotInfo { node, task: name, queued: false, alive: true, waker });
            slot
        };
        self.spawned.push((slot, task));
        self.wake_slot(slot);
    }

    /// Hands over the tasks spawned since the last call.
    pub(crate) fn take_spawned(&mut self) -> Option<(Slot, Task)> {
        self.spawned.pop()
    }

    /// Whether any were spawned since then.
    #[inline]
    pub(crate) const fn has_spawned(&self) -> bool {
        !self.spawned.is_empty()
    }

    #[inline]
    pub(crate) fn wake_slot(&mut self, slot: Slot) {
        let info = &mut self.slots[slot as usize];
        if info.alive && !info.queued {
            info.queued = true;
            self.ready.push_back(slot);
        }
    }

    #[inline]
    pub(crate) fn wake(&mut self, wakeup: Wakeup) {
        match wakeup {
            Wakeup::Task(slot) => self.wake_slot(slot),
            Wakeup::Waker(waker) => {
                waker.wake();
                self.drain_woken();
            }
        }
    }

    /// What to keep in order to wake the future that is being polled with `context`.
    #[inline]
    pub(crate) fn wakeup(&self, context: &Context<'_>) -> Wakeup {
        match self.slots.get(self.current as usize) {
            Some(info) if info.waker.will_wake(context.waker()) => Wakeup::Task(self.current),
            _ => Wakeup::Waker(context.waker().clone()),
        }
    }

    /// Whether a wake-up kept earlier still wakes the future being polled with `context`.
    #[inline]
    pub(crate) fn wakes(&self, wakeup: &Wakeup, context: &Context<'_>) -> bool {
        match (wakeup, self.wakeup(context)) {
            (Wakeup::Task(kept), Wakeup::Task(now)) => *kept == now,
            (Wakeup::Waker(kept), Wakeup::Waker(now)) => kept.will_wake(&now),
            _ => false,
        }
    }

    #[inline]
    fn drain_woken(&mut self) {
        if self.woken.any.load(Ordering::Relaxed) {
            self.take_woken();
        }
    }

    #[inline(never)]
    fn take_woken(&mut self) {
        self.woken.any.store(false, Ordering::Relaxed);
        let woken = Arc::clone(&self.woken);
        for slot in woken.slots.lock().expect("no panic while it is held").drain(..) {
            self.wake_slot(slot);
        }
    }

    /// The waker of a slot, for all tasks that it will ever hold.
    pub(crate) fn waker(&self, slot: Slot) -> Waker {
        self.slots[slot as usize].waker.clone()
    }

    /// The next task to poll, and its node.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<(Slot, NodeId)> {
        self.drain_woken();
        let slot = match (self.ready.len(), self.schedule) {
            (0, _) => return None,
            (1, _) | (_, Schedule::Fifo) => self.ready.pop_front(),
            (count, Schedule::Random) => self.ready.swap_remove_back(self.stream.index(count)),
        }?;
        let info = &mut self.slots[slot as usize];
        info.queued = false;
        self.current = slot;
        Some((slot, info.node))
    }

    /// The task of a slot, to be polled at once: for when no other is ready.
    #[inline]
    pub(crate) fn run(&mut self, slot: Slot) -> Option<(Slot, NodeId)> {
        let info = &self.slots[slot as usize];
        let runs = info.alive && !info.queued;
        self.current = slot;
        runs.then_some((slot, info.node))
    }

    /// The name of a slot's task.
    pub(crate) fn task(&self, slot: Slot) -> &'static str {
        self.slots[slot as usize].task
    }

    /// The task that is being polled, or was polled last.
    pub(crate) fn polled(&self) -> (NodeId, &'static str) {
        let polled = self.slots.get(self.current as usize);
        polled.map_or((NodeId(0), MAIN), |info| (info.node, info.task))
    }

    /// Forgets a task that finished or was dropped; its slot is free for another.
    pub(crate) fn finish(&mut self, slot: Slot) {
        let info = &mut self.slots[slot as usize];
        if info.alive {
            info.alive = false;
            self.free.push(slot);
            if info.queued {
                info.queued = false;
                self.ready.retain(|ready| *ready != slot);
            }
        }
    }

    /// How many slots there are.
    #[cfg(test)]
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Whether a slot's task waits for its turn.
    pub(crate) fn is_ready(&self, slot: Slot) -> bool {
        self.slots[slot as usize].queued
    }

    /// The slots of all tasks of a node, in order.
    pub(crate) fn slots_of(&self, node: NodeId) -> Vec<Slot> {
        let alive = self.slots.iter().zip(0..).filter(|(info, _)| info.alive && info.node == node);
        alive.map(|(_, slot)| slot).collect()
    }
}

//! A world: a cluster of simulated machines, run by one seed.
//!
//! A world is a plain value: no global state, one thread, dropped without a trace. Many may live
//! in a process.

use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    future::Future,
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    task::{Context, Poll, Waker},
};

use tracing::dispatcher::with_default;

use crate::{
    budget::{Overrun, Watcher, Whereabouts},
    clock::Clock,
    config::{Site, WorldConfig},
    disk::Disk,
    disk_trouble::DiskTrouble,
    disk_watch::DiskWatcher,
    env::{Exit, NodeId},
    fault::Plan,
    fired::{Crash, End, Ended, Fired},
    machine::SimEnv,
    net::Sockets,
    pause::Pause,
    plan::PlanError,
    power::Power,
    queue::Due,
    recording::Extent,
    schedule::{MAIN, Slot, Task, Wakeup},
    shared::Home,
    state::{Event, FEW, LazyDisk, MarkHit, Node, State},
    trace::{Digest, Recorder},
};

/// Makes the main task of a boot, which calls the program when it is first polled.
trait Program {
    fn main(self: Rc<Self>, env: SimEnv) -> Task;
}

impl<P: Fn(SimEnv) -> F + 'static, F: Future<Output = Exit> + 'static> Program for P {
    fn main(self: Rc<Self>, env: SimEnv) -> Task {
        Box::pin(async move {
            if let Err(refusal) = self(env.clone()).await {
                env.refused(refusal);
            }
        })
    }
}

/// Why [`World::run_until`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The time was reached.
    Time,
    /// Nothing is left to do: no task is ready and no event is due, ever.
    Quiet,
    /// The run took more than it may: [`World::overrun`] tells what.
    OverBudget,
    /// A program panicked.
    Panicked,
}

/// How much a world holds.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// Room for events, and for datagrams that wait.
    pub(crate) events: usize,
    /// Room for tasks.
    pub(crate) tasks: usize,
    /// Links with a stream.
    pub(crate) links: usize,
    /// Disk operations that no sync has covered.
    pub(crate) pending: usize,
}

#[cfg(test)]
impl World {
    pub(crate) fn held(&self) -> Held {
        let state = self.state.borrow();
        Held {
            events: state.queue.room(),
            tasks: self.places.len().max(state.scheduler.slots()),
            links: state.links.used(),
            pending: state.nodes.iter().map(|node| node.disk.pending()).sum(),
        }
    }
}

/// What the loop does next.
enum Next {
    Poll((Slot, NodeId)),
    /// The event at this place of the queue.
    Handle(u32),
    Settle,
    Stop(Stop),
}

/// Where a task stands: the slot's waker serves one task after another.
struct Place {
    task: Option<Task>,
    waker: Waker,
}

/// A cluster of simulated machines. It has room for 2^24 tasks, and for as many datagrams under way,
/// and panics beyond that.
pub struct World {
    // Tasks are dropped before the state that their destructors refer to.
    places: Vec<Place>,
    programs: Vec<Rc<dyn Program>>,
    state: Home,
    panics_after_crash: u64,
    recorded: bool,
}

impl World {
    /// An empty world at virtual time 0.
    #[must_use]
    pub fn new(config: WorldConfig) -> Self {
        Self::starting_at(0, config)
    }

    /// An empty world that goes on from another one's virtual time: its clocks do not go back.
    #[must_use]
    pub fn starting_at(now_ns: u64, config: WorldConfig) -> Self {
        let state = Home::new(State { now_ns, ..State::new(config) });
        let (places, programs) = (Vec::with_capacity(FEW), Vec::with_capacity(FEW));
        Self { places, programs, state, panics_after_crash: 0, recorded: false }
    }

    /// Adds a node, down and with an empty disk, that runs `program` at each boot. Nodes are
    /// numbered in the order in which they are added; names must differ.
    ///
    /// # Panics
    /// If a node has that name, or there are 65,536 nodes.
    pub fn add_node<F>(
        &mut self,
        name: &str,
        site: Site,
        program: impl Fn(SimEnv) -> F + 'static,
    ) -> NodeId
    where
        F: Future<Output = Exit> + 'static,
    {
        let mut state = self.state.borrow_mut();
        let Err(by_name) = state.search(name) else { panic!("two nodes named {name}") };
        let id = NodeId(u16::try_from(state.nodes.len()).expect("at most 65,536 nodes"));
        let clock = Clock::new(state.config.clocks, state.config.seed, id, site);
        state.nodes.push(Node {
            name: name.to_owned(),
            site,
            power: Power::Off,
            boot: 0,
            effects: 0,
            marks: BTreeMap::new(),
            armed: Vec::new(),
            sockets: Sockets::default(),
            disk: LazyDisk::default(),
            disk_stream: None,
            disk_trouble: DiskTrouble::default(),
            stream: None,
            clock,
            cpu_free_ns: 0,
            throttles: Vec::new(),
            pause: Pause::default(),
            disk_replaced: false,
            boot_ticket: 0,
            down: Vec::new(),
        });
        state.by_name.insert(by_name, id);
        self.programs.push(Rc::new(program));
        id
    }

    /// Orders the first boot of a node, at once plus its boot time.
    pub fn start(&mut self, node: NodeId) {
        self.state.borrow_mut().schedule_first_boot(node);
    }

    /// Works on a node's disk from outside, such as to format it before the first boot.
    pub fn disk<R>(&mut self, node: NodeId, work: impl FnOnce(&mut Disk) -> R) -> R {
        work(&mut self.state.borrow_mut().node(node).disk)
    }

    /// Adds a plan of faults, checked as a whole first.
    ///
    /// # Errors
    /// [`PlanError`], and nothing was added.
    pub fn load(&mut self, plan: &Plan) -> Result<(), PlanError> {
        self.state.borrow_mut().load(plan)
    }

    /// Lets no fault happen from now on that has not happened yet. One that is under way, such as
    /// a partition, ends at its time.
    pub fn disarm(&mut self) {
        self.state.borrow_mut().disarm();
    }

    /// Keeps the time of each passing of a mark from now on, for [`World::mark_hits`].
    pub fn watch(&mut self, mark: &str) {
        self.state.borrow_mut().watched.push(mark.to_owned());
    }

    /// Shows `watcher` the disk of a node after each of its writes and syncs from now on. That
    /// changes nothing: a copy of a disk costs the same whatever is on it.
    pub fn watch_disks(&mut self, watcher: DiskWatcher) {
        self.state.borrow_mut().disk_watch.begin(watcher);
    }

    /// Tells `watcher` from now on how the run goes on.
    pub fn watch_over(&mut self, watcher: Watcher) {
        self.state.borrow_mut().meter.watch(watcher);
    }

    /// What the run took too much of, if it is over budget.
    #[must_use]
    pub fn overrun(&self) -> Option<Overrun> {
        self.state.borrow().meter.overrun().cloned()
    }

    /// Hands each event of the trace to `recorder` from now on. It must not call the world.
    pub fn record(&mut self, recorder: Recorder) {
        self.recorded = true;
        self.state.borrow_mut().trace.record(recorder, Extent::Whole);
    }

    /// The same, but for effects other than marks, datagrams that get lost on arrival, and what tasks
    /// wait for: what node code says, and what befalls the nodes. A run costs little more with it.
    pub fn listen(&mut self, recorder: Recorder) {
        self.recorded = true;
        self.state.borrow_mut().trace.record(recorder, Extent::Marks);
    }

    /// Runs until virtual time `until_ns`, counted from the start of the world, or until there is
    /// a reason to stop before.
    pub fn run_until(&mut self, until_ns: u64) -> Stop {
        loop {
            match self.next(until_ns) {
                Next::Poll(task) => {
                    if !self.poll(task) {
                        return Stop::Panicked;
                    }
                }
                Next::Handle(place) => self.handle(place),
                Next::Settle => self.settle(),
                Next::Stop(stop) => return stop,
            }
        }
    }

    /// Goes on to what cannot be done while the state is borrowed: what happens most is done here.
    #[inline]
    fn next(&mut self, until_ns: u64) -> Next {
        let state = &mut *self.state.borrow_mut();
        if state.scheduler.has_spawned() {
            adopt(&mut self.places, state);
        }
        if !state.supply.is_settled() {
            return Next::Settle;
        }
        loop {
            // Polls count, too: a task that only ever wakes itself makes no events.
            if state.steps >= state.meter.look_at_steps && state.is_over_budget() {
                return Next::Stop(Stop::OverBudget);
            }
            if let Some(task) = state.scheduler.next() {
                if state.begin_poll(task) {
                    return Next::Poll(task);
                }
                continue;
            }
            let Some((at_ns, due)) = state.queue.pop(until_ns) else {
                state.now_ns = until_ns;
                let quiet = state.queue.is_empty();
                return Next::Stop(if quiet { Stop::Quiet } else { Stop::Time });
            };
            state.now_ns = at_ns;
            state.events += 1;
            state.steps += 1;
            let wakes = match due {
                Due::Wake(slot) => Some(Wakeup::Task(slot)),
                Due::Deliver(place) => state.deliver(place),
                Due::Other(place) => return Next::Handle(place),
            };
            let task = match wakes {
                // No other task is ready, or it would have come before this event.
                Some(Wakeup::Task(slot)) => state.scheduler.run(slot),
                Some(wakeup @ Wakeup::Waker(_)) => {
                    state.scheduler.wake(wakeup);
                    None
                }
                None => None,
            };
            if let Some(task) = task
                && state.begin_poll(task)
            {
                return Next::Poll(task);
            }
        }
    }

    /// Polls one task. False if it panicked.
    #[inline]
    fn poll(&mut self, (slot, node): (Slot, NodeId)) -> bool {
        let Place { task: Some(task), waker } = &mut self.places[slot as usize] else {
            return true;
        };
        let mut context = Context::from_waker(waker);
        let poll = AssertUnwindSafe(|| task.as_mut().poll(&mut context));
        let polled = if self.recorded {
            let subscriber = self.state.borrow_mut().begin_recorded((slot, node));
            let subscriber = subscriber.unwrap_or_default();
            let polled = with_default(&subscriber, || catch_unwind(poll));
            self.state.borrow_mut().end_recorded();
            polled
        } else {
            catch_unwind(poll)
        };
        match polled {
            Ok(Poll::Pending) => true,
            Ok(Poll::Ready(())) => {
                self.finish(slot);
                true
            }
            Err(cause) => {
                let task = self.state.borrow().scheduler.task(slot);
                self.finish(slot);
                let calm = self.panicked((node, task), cause.as_ref());
                self.settle();
                calm
            }
        }
    }

    fn finish(&mut self, slot: Slot) {
        // Destructors may call the machine.
        self.places[slot as usize].task = None;
        let mut state = self.state.borrow_mut();
        state.forget_waits(slot);
        state.scheduler.finish(slot);
    }

    /// A task of a node panicked. True if that does not count.
    #[cold]
    fn panicked(&mut self, (node, task): (NodeId, &'static str), cause: &(dyn Any + Send)) -> bool {
        let mut state = self.state.borrow_mut();
        // A panic after the crash point does not count: the node had no power any more.
        if matches!(state.node(node).power, Power::On | Power::Paused) {
            state.ended((node, task), panic_message(cause), End::Panic);
            return false;
        }
        self.panics_after_crash += 1;
        true
    }

    /// Carries out the faults that struck and the exits that happened during the last step.
    #[cold]
    fn settle(&mut self) {
        loop {
            let mut state = self.state.borrow_mut();
            if let Some((node, end)) = state.supply.leaving.pop() {
                drop(state);
                self.drop_tasks(node);
                self.state.borrow_mut().leave(node, end);
            } else if let Some(fault) = state.supply.due.pop() {
                let condemned = state.condemned();
                drop(state);
                for node in &condemned {
                    self.drop_tasks(*node);
                }
                self.state.borrow_mut().cut(fault, &condemned);
            } else {
                return;
            }
        }
    }

    fn drop_tasks(&mut self, node: NodeId) {
        let mut state = self.state.borrow_mut();
        // Those spawned in the very poll that was struck have never run.
        adopt(&mut self.places, &mut state);
        let mut dropped = Vec::new();
        for slot in state.scheduler.slots_of(node) {
            dropped.push(self.places[slot as usize].task.take());
            state.forget_waits(slot);
            state.scheduler.finish(slot);
        }
        // Destructors may call the machine.
        drop(state);
        for task in dropped {
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(task)));
            self.panics_after_crash += u64::from(dropped.is_err());
        }
    }

    fn handle(&mut self, place: u32) {
        let mut state = self.state.borrow_mut();
        match state.queue.event(place) {
            Event::Wake(waker) => state.scheduler.wake(Wakeup::Waker(waker)),
            Event::EndSync { node, boot, sync, done } => state.end_sync((node, boot), sync, done),
            Event::Arm(fault) => state.arm(fault),
            Event::Over(fault) => state.over(fault),
            Event::AtPort(message) => state.at_port(*message),
            Event::Boot { node, ticket } => {
                if let Some(boot) = state.boot(node, ticket) {
                    let env = SimEnv::new(self.state.share(), node, boot);
                    let program = Rc::clone(&self.programs[usize::from(node.0)]);
                    state.scheduler.spawn(node, MAIN, program.main(env));
                }
            }
        }
    }

    pub(crate) fn state(&self) -> impl Deref<Target = State> {
        self.state.borrow()
    }

    /// Virtual nanoseconds since the start.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.state.borrow().now_ns
    }

    /// How many events have happened.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.state.borrow().events
    }

    /// The rolling digest of all that happened so far.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.state.borrow().trace.digest
    }

    /// The faults that happened so far, in order.
    #[must_use]
    pub fn fired(&self) -> Vec<Fired> {
        self.state.borrow().supply.fired.clone()
    }

    /// How many faults of the loaded plans happened so far.
    #[must_use]
    pub fn fired_count(&self) -> usize {
        self.state.borrow().supply.fired.len()
    }

    /// What the faults did to each node, in order.
    #[must_use]
    pub fn crashes(&self) -> Vec<Crash> {
        self.state.borrow().supply.crashes.clone()
    }

    /// The programs that refused or panicked.
    #[must_use]
    pub fn ended(&self) -> Vec<Ended> {
        self.state.borrow().supply.ended.clone()
    }

    /// Each passing of a watched mark, in order.
    #[must_use]
    pub fn mark_hits(&self) -> Vec<MarkHit> {
        self.state.borrow().mark_hits.clone()
    }

    /// How often each mark was passed, in the whole run and on all nodes, over all their boots.
    #[must_use]
    pub fn mark_counts(&self) -> BTreeMap<&'static str, u64> {
        self.state.borrow().mark_counts()
    }

    /// How often a struck node panicked, which does not count: in the poll that the fault struck, or
    /// in a destructor afterwards.
    #[must_use]
    pub fn panics_after_crash(&self) -> u64 {
        self.panics_after_crash
    }

    /// The name of a node.
    #[must_use]
    pub fn name(&self, node: NodeId) -> String {
        self.state.borrow().nodes[usize::from(node.0)].name.clone()
    }
}

/// Gives the tasks that were spawned since the last time their places.
fn adopt(places: &mut Vec<Place>, state: &mut State) {
    while let Some((slot, task)) = state.scheduler.take_spawned() {
        while places.len() <= slot as usize {
            let next = Slot::try_from(places.len()).expect("slots are numbered in 32 bits");
            places.push(Place { task: None, waker: state.scheduler.waker(next) });
        }
        places[slot as usize].task = Some(task);
    }
}

impl State {
    /// A task is about to be polled. False if it waits for the end of its node's pause.
    #[inline]
    fn begin_poll(&mut self, task: (Slot, NodeId)) -> bool {
        if self.park(task) {
            return false;
        }
        self.steps += 1;
        self.poll_effects = 0;
        if let Some(tell) = self.meter.poll() {
            let (node, task) = self.scheduler.polled();
            let node = self.nodes[usize::from(node.0)].name.as_str();
            tell(Whereabouts { node, task, at_ns: self.now_ns });
        }
        true
    }

    fn condemned(&self) -> Vec<NodeId> {
        let all = self.nodes.iter().zip(0..);
        all.filter(|(node, _)| node.power == Power::Condemned).map(|(_, id)| NodeId(id)).collect()
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.borrow();
        f.debug_struct("World")
            .field("now_ns", &state.now_ns)
            .field("events", &state.events)
            .field("digest", &state.trace.digest)
            .finish_non_exhaustive()
    }
}

fn panic_message(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| cause.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

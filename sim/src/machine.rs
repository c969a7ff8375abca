//! A node's handle to the simulated machine: [`Env`] and its network.
//!
//! A handle holds the world weakly and knows its node and boot. When the world is gone, or the
//! boot is over, it does nothing: effects are dropped and futures stay pending.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    env::{
        Address, DATAGRAM_BYTES_MAX, Datagram, Env, Instant, Net, NetError, NodeId, Port, Socket,
        WallTime, nanos,
    },
    machine_disk::SimDisk,
    net::InFlight,
    power::End,
    schedule::Wakeup,
    state::{Event, State},
    trace::EffectKind,
};

/// What every wall clock shows at the start of a run: 2013-01-01T00:00Z, in ns since 1970.
pub const WALL_START_NS: u64 = 1_356_998_400_000_000_000;

/// A node of a simulated world, as its program sees it.
#[derive(Clone, Debug)]
pub struct SimEnv {
    world: Weak<RefCell<State>>,
    node: NodeId,
    boot: u32,
}

impl SimEnv {
    pub(crate) fn new(world: &Rc<RefCell<State>>, node: NodeId, boot: u32) -> Self {
        Self { world: Rc::downgrade(world), node, boot }
    }

    pub(crate) fn id(&self) -> (NodeId, u32) {
        (self.node, self.boot)
    }

    /// Works on the world's state; `None` when the world is gone.
    #[inline]
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut State) -> R) -> Option<R> {
        let world = self.world.upgrade()?;
        let mut state = world.borrow_mut();
        Some(work(&mut state))
    }

    /// Lets a client write into a run's history, as one numbered effect: nothing is written once
    /// the boot is over. `record` is given the virtual time in nanoseconds since the start of the
    /// run, and must not call the machine.
    pub fn observe(&self, what: &'static str, detail: u64, record: impl FnOnce(u64)) {
        self.with(|state| {
            let text = || format!("{what} {detail}");
            if state.effect(self.id(), EffectKind::Observe, detail, text) {
                record(state.now_ns);
            }
        });
    }

    /// The program of this boot ended by itself.
    pub(crate) fn refused(&self, message: String) {
        self.with(|state| {
            let detail = xxh3_64(message.as_bytes());
            if state.effect(self.id(), EffectKind::Exit, detail, || message.clone()) {
                state.ended(self.node, message, End::Refusal);
            }
        });
    }
}

impl Env for SimEnv {
    type Disk = SimDisk;
    type Net = SimNet;

    fn node(&self) -> NodeId {
        self.node
    }

    fn now(&self) -> Instant {
        Instant(self.with(|state| state.local_ns(self.node)).unwrap_or_default())
    }

    fn wall(&self) -> WallTime {
        WallTime(self.with(|state| WALL_START_NS + state.now_ns).unwrap_or_default())
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + 'static {
        Sleep { env: self.clone(), deadline, alarm: Alarm::default() }
    }

    fn random(&self) -> u64 {
        self.with(|state| {
            let node = state.node(self.node);
            if node.boot == self.boot { node.stream.bits() } else { 0 }
        })
        .unwrap_or_default()
    }

    fn spawn(&self, _name: &'static str, task: impl Future<Output = ()> + 'static) {
        self.with(|state| {
            if state.live(self.node, self.boot).is_some() {
                state.scheduler.spawn(self.node, Box::pin(task));
            }
        });
    }

    fn busy(&self, work: Duration) -> impl Future<Output = ()> + 'static {
        let env = self.clone();
        async move {
            let done = env.with(|state| {
                let now_ns = state.now_ns;
                let node = state.live(env.node, env.boot)?;
                node.cpu_free_ns = node.cpu_free_ns.max(now_ns).saturating_add(nanos(work));
                Some(Instant(node.cpu_free_ns.saturating_add(node.clock_origin_ns)))
            });
            match done.flatten() {
                Some(done) => env.sleep_until(done).await,
                None => std::future::pending().await,
            }
        }
    }

    fn disk(&self) -> SimDisk {
        SimDisk::new(self.clone())
    }

    fn net(&self) -> SimNet {
        SimNet(self.clone())
    }

    fn mark(&self, name: &'static str) {
        self.with(|state| state.mark(self.id(), name));
    }
}

/// Waits for a moment of the node's clock.
struct Sleep {
    env: SimEnv,
    deadline: Instant,
    alarm: Alarm,
}

/// Sees to it that a future is polled again at a certain time.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<Wakeup>);

impl Alarm {
    /// Wakes the future being polled with `context` at `at_ns`, which is the same at each call.
    #[inline]
    pub(crate) fn set(&mut self, state: &mut State, context: &Context<'_>, at_ns: u64) {
        if self.0.as_ref().is_some_and(|wakeup| state.scheduler.wakes(wakeup, context)) {
            return;
        }
        let wakeup = state.scheduler.wakeup(context);
        state.queue.push(at_ns, Event::Wake(wakeup.clone()));
        self.0 = Some(wakeup);
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let (deadline, alarm) = (this.deadline.0, &mut this.alarm);
        let done = this.env.with(|state| {
            let now_ns = state.local_ns(this.env.node);
            if now_ns >= deadline {
                return state.effect(this.env.id(), EffectKind::Timer, 0, String::new);
            }
            alarm.set(state, context, state.now_ns + (deadline - now_ns));
            false
        });
        if done == Some(true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// The simulated network, as one node sees it.
#[derive(Clone, Debug)]
pub struct SimNet(SimEnv);

impl Net for SimNet {
    type Socket = SimSocket;

    fn bind(&self, port: Port) -> Result<SimSocket, NetError> {
        let env = self.0.clone();
        // A dead boot gets a socket that does nothing, as all that it does.
        let taken = self
            .0
            .with(|state| {
                state.live(env.node, env.boot).is_some_and(|node| !node.sockets.bind(port))
            })
            .unwrap_or_default();
        if taken { Err(NetError::PortInUse) } else { Ok(SimSocket { env, port }) }
    }
}

/// An open port of a simulated node.
#[derive(Debug)]
pub struct SimSocket {
    env: SimEnv,
    port: Port,
}

impl Socket for SimSocket {
    fn local(&self) -> Address {
        Address { node: self.env.node, port: self.port }
    }

    fn send(&self, to: Address, payload: Bytes) -> Result<(), NetError> {
        if payload.len() > DATAGRAM_BYTES_MAX {
            return Err(NetError::TooLarge);
        }
        let from = self.local();
        self.env.with(|state| {
            let detail = xxh3_64(&payload) ^ place(to);
            let text = || format!("to {to}, {} bytes", payload.len());
            if state.effect(self.env.id(), EffectKind::Send, detail, text) {
                state.transmit(InFlight { from, to, payload });
            }
        });
        Ok(())
    }

    fn recv(&self) -> impl Future<Output = Datagram> + 'static {
        Receive { env: self.env.clone(), port: self.port }
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.env.with(|state| {
            if let Some(node) = state.live(self.env.node, self.env.boot) {
                node.sockets.close(self.port);
            }
        });
    }
}

/// Waits for a datagram.
struct Receive {
    env: SimEnv,
    port: Port,
}

impl Future for Receive {
    type Output = Datagram;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Datagram> {
        let (id, port) = (self.env.id(), self.port);
        let taken = self.env.with(|state| {
            let wakeup = state.scheduler.wakeup(context);
            let sockets = &mut state.live(id.0, id.1)?.sockets;
            let Some(first) = sockets.peek(port) else {
                sockets.wait(port, wakeup);
                return None;
            };
            let detail = xxh3_64(&first.payload) ^ place(first.from);
            let (from, len) = (first.from, first.payload.len());
            let text = || format!("from {from}, {len} bytes");
            if !state.effect(id, EffectKind::Receive, detail, text) {
                return None;
            }
            state.node(id.0).sockets.take(port)
        });
        taken.flatten().map_or(Poll::Pending, Poll::Ready)
    }
}

/// An address as a number, for the digest.
fn place(address: Address) -> u64 {
    (u64::from(address.node.0) << 16) | u64::from(address.port.0)
}

impl State {
    /// Puts a datagram on its way.
    #[inline]
    fn transmit(&mut self, message: InFlight) {
        if usize::from(message.to.node.0) >= self.nodes.len() {
            return;
        }
        let fate = self.links.fate(message.from.node, message.to.node);
        if let Some(second_ns) = fate.second_ns {
            self.queue.push(self.now_ns + second_ns, Event::Deliver(message.clone()));
        }
        if let Some(first_ns) = fate.first_ns {
            self.queue.push(self.now_ns + first_ns, Event::Deliver(message));
        }
    }
}

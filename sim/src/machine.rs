//! A node's handle to the simulated machine: [`Env`] and its network.
//!
//! A handle does not keep the world alive, and knows its node and boot. When the world is gone, or
//! the boot is over, it does nothing: effects are dropped and futures stay pending.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    env::{
        Address, DATAGRAM_BYTES_MAX, Datagram, Env, Instant, Net, NetError, NodeId, Port, Refusal,
        Remedy, Socket, WallTime, nanos,
    },
    event::{Doing, Loss, Lost, MessageId, What},
    fired::End,
    inspect::Wait,
    machine_disk::SimDisk,
    net::InFlight,
    schedule::{MAIN, Task},
    shared::Shared,
    state::{Admission, State},
    timer::{Busy, Sleep},
    trace::EffectKind,
};

/// What every wall clock shows at the start of a run: 2013-01-01T00:00Z, in ns since 1970.
pub const WALL_START_NS: u64 = 1_356_998_400_000_000_000;

/// A node of a simulated world, as its program sees it.
#[derive(Clone, Debug)]
pub struct SimEnv {
    world: Shared,
    node: NodeId,
    boot: u32,
}

impl SimEnv {
    pub(crate) fn new(world: Shared, node: NodeId, boot: u32) -> Self {
        Self { world, node, boot }
    }

    pub(crate) fn id(&self) -> (NodeId, u32) {
        (self.node, self.boot)
    }

    /// Works on the world's state; `None` when the world is gone.
    #[inline]
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut State) -> R) -> Option<R> {
        let mut world = self.world.borrow_mut();
        let state = world.as_mut()?;
        let done = work(state);
        state.strike_after();
        Some(done)
    }

    /// The same for what may have to wait, as it has to for ever when the world is gone.
    #[inline(always)]
    fn poll<R>(&self, work: impl FnOnce(&mut State) -> Poll<R>) -> Poll<R> {
        let mut world = self.world.borrow_mut();
        let Some(state) = world.as_mut() else { return Poll::Pending };
        let done = work(state);
        state.strike_after();
        done
    }

    /// Whether the node's disk was ever lost, so that it started anew on a blank one: what was
    /// written before, even durably, is gone. True for every boot from then on.
    #[must_use]
    pub fn disk_replaced(&self) -> bool {
        self.with(|state| state.node(self.node).disk_replaced).unwrap_or_default()
    }

    /// Lets a client write into a run's history, as one numbered effect: nothing is written once
    /// the boot is over. `record` is given the virtual time in nanoseconds since the start of the
    /// run, and must not call the machine.
    pub fn observe(&self, what: &'static str, detail: u64, record: impl FnOnce(u64)) {
        self.with(|state| {
            let doing = || Doing::Observe { what, detail };
            if state.effect(self.id(), EffectKind::Observe, detail, doing) == Admission::Happens {
                record(state.now_ns);
            }
        });
    }

    /// The program of this boot ended by itself.
    pub(crate) fn refused(&self, Refusal { reason, remedy }: Refusal) {
        let end = match remedy {
            Remedy::Attention => End::Refusal,
            Remedy::Restart | Remedy::Space => End::Failure,
        };
        self.with(|state| {
            let detail = xxh3_64(reason.as_bytes());
            let doing = || Doing::Exit(reason.clone());
            if state.effect(self.id(), EffectKind::Exit, detail, doing) == Admission::Happens {
                state.ended((self.node, MAIN), reason, end);
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
        WallTime(self.with(|state| state.wall_ns(self.node)).unwrap_or_default())
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + 'static {
        Sleep::new(self.clone(), deadline)
    }

    fn random(&self) -> u64 {
        self.with(|state| {
            let seed = state.config.seed;
            let node = state.node(self.node);
            if node.boot == self.boot { node.stream(seed, self.node).bits() } else { 0 }
        })
        .unwrap_or_default()
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + 'static) {
        // A future may be large: it is moved once, to where it stays.
        let task: Task = Box::pin(task);
        self.with(|state| {
            if state.live(self.node, self.boot).is_some() {
                state.scheduler.spawn(self.node, name, task);
            }
        });
    }

    fn busy(&self, work: Duration) -> impl Future<Output = ()> + 'static {
        Busy::new(self.clone(), nanos(work))
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
        let (from, hash) = (self.local(), xxh3_64(&payload));
        let message = InFlight { from, to, payload, hash, number: 0 };
        self.env.with(|state| state.send(self.env.id(), message));
        Ok(())
    }

    fn recv(&self) -> impl Future<Output = Datagram> + 'static {
        Receive { env: self.env.clone(), port: self.port }
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.env.with(|state| {
            let node = &mut state.nodes[usize::from(self.env.node.0)];
            if node.is_live(self.env.boot) {
                node.sockets.close(self.port, &mut state.queue.messages);
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
        self.env.poll(|state| state.receive(self.env.id(), self.port, context))
    }
}

/// An address as a number, for the digest.
fn place(address: Address) -> u64 {
    (u64::from(address.node.0) << 16) | u64::from(address.port.0)
}

impl State {
    /// A node sends a datagram; in a pause it waits for the end.
    #[inline(always)]
    pub(crate) fn send(&mut self, id: (NodeId, u32), mut message: InFlight) {
        message.number = self.number_next(id.0);
        let (port, to, bytes) = (message.from.port, message.to, message.payload.len());
        let detail = message.hash ^ place(to);
        let message_id = message.id();
        let doing = move || Doing::Send { port, to, bytes, message: message_id };
        match self.effect(id, EffectKind::Send, detail, doing) {
            Admission::Happens => self.transmit(message),
            Admission::Held => self.node(id.0).pause.held.push(message),
            Admission::Never => {}
        }
    }

    /// Takes the first datagram that waits at a port; with none, wakes the future that is being
    /// polled when one comes.
    #[inline(always)]
    fn receive(&mut self, id: (NodeId, u32), port: Port, context: &Context<'_>) -> Poll<Datagram> {
        let node = &mut self.nodes[usize::from(id.0.0)];
        if !node.is_free(id.1) && !self.may_receive(id, port, context) {
            return Poll::Pending;
        }
        let node = &mut self.nodes[usize::from(id.0.0)];
        let Some(inbox) = node.sockets.inbox(port) else { return Poll::Pending };
        if inbox.datagrams.len() == 0 {
            inbox.waiting = Some(self.scheduler.wakeup(context));
            self.waits(context, || Wait::Receive { port });
            return Poll::Pending;
        }
        let InFlight { from, payload, hash, number, .. } =
            self.queue.messages.take_first(&mut inbox.datagrams);
        self.got(|| Wait::Receive { port });
        let (bytes, message) = (payload.len(), MessageId { node: from.node, number });
        let doing = move || Doing::Receive { port, from, bytes, message };
        self.number(id.0, EffectKind::Receive, hash ^ place(from), doing);
        Poll::Ready(Datagram { from, payload })
    }

    /// Whether a node takes a datagram now, or may wait for one, of which that is in doubt.
    #[cold]
    #[inline(never)]
    fn may_receive(&mut self, id: (NodeId, u32), port: Port, context: &Context<'_>) -> bool {
        let Some(node) = self.live(id.0, id.1) else { return false };
        let Some(inbox) = node.sockets.inbox(port) else { return false };
        if inbox.datagrams.len() == 0 {
            return true;
        }
        let kind = EffectKind::Receive;
        match self.admit(id, kind, kind.in_pause()) {
            Admission::Happens => true,
            Admission::Held => {
                self.hold(id.0, context);
                false
            }
            Admission::Never => false,
        }
    }

    /// Puts a datagram on its way.
    #[inline(always)]
    fn transmit(&mut self, message: InFlight) {
        if usize::from(message.to.node.0) >= self.nodes.len() {
            self.lost(&message, Loss::NoNode);
            return;
        }
        let (from, to) = (message.from.node, message.to.node);
        // The link draws whether it is cut or not, so that healing leaves the draws as they were.
        let fate = self.links.fate(from, to);
        if self.links.partitions.separate(from, to) {
            self.lost(&message, Loss::Partition);
            return;
        }
        if fate.first_ns.is_none() && fate.second_ns.is_none() {
            self.lost(&message, Loss::Link);
            return;
        }
        if let Some(second_ns) = fate.second_ns {
            self.carry(second_ns, message.clone());
        }
        if let Some(first_ns) = fate.first_ns {
            self.carry(first_ns, message);
        }
    }

    /// Tells the trace of a datagram that does not arrive.
    #[cold]
    pub(crate) fn lost(&mut self, message: &InFlight, why: Loss) {
        let InFlight { from, to, .. } = *message;
        let message = message.id();
        self.trace.tell(self.now_ns, || What::Lost(Lost { from, to, message, why }));
    }
}

impl InFlight {
    /// What the datagram is known by.
    pub(crate) fn id(&self) -> MessageId {
        MessageId { node: self.from.node, number: self.number }
    }
}

//! A reliable, ordered stream of bytes over datagrams, so that streams are compared with streams:
//! as in TCP there are sequence numbers, cumulative acknowledgements that ride on data where they
//! can, a timer that resends, and an orderly open and close. There is neither flow control, nor
//! congestion control, nor a checksum, as the peers' streams have none.

mod segment;
#[cfg(test)]
mod tests;

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    io::Read as _,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use unplug_sim::{
    SimEnv, SimSocket,
    env::{Address, Env as _, Net as _, Port, Socket as _},
};

use segment::{Kind, Segment};

/// The longest payload of a segment.
const PAYLOAD_BYTES_MAX: usize = 1400;

/// One timer for both, as in BSD: what is to be acknowledged at one tick and still is at the next
/// gets a segment of its own.
const TICK: Duration = Duration::from_millis(50);

/// A segment that is not acknowledged after so many ticks is sent again.
const RESEND_TICKS: u64 = 4;

/// A port, and the streams that go through it. Clones share it.
#[derive(Clone)]
pub(crate) struct Endpoint {
    shared: Rc<Shared>,
}

struct Shared {
    link: Rc<Link>,
    connections: RefCell<BTreeMap<Address, Rc<Connection>>>,
    accepting: RefCell<Accepting>,
}

/// What each connection needs of its endpoint.
struct Link {
    env: SimEnv,
    socket: SimSocket,
}

#[derive(Default)]
struct Accepting {
    opened: VecDeque<Rc<Connection>>,
    waker: Option<Waker>,
}

impl Endpoint {
    /// Opens a port of a node, which must be free.
    pub(crate) fn open(env: &SimEnv, port: Port) -> Self {
        let socket = env.net().bind(port).expect("the port is free");
        let shared = Rc::new(Shared {
            link: Rc::new(Link { env: env.clone(), socket }),
            connections: RefCell::default(),
            accepting: RefCell::default(),
        });
        env.spawn("segments", receive(Rc::clone(&shared)));
        Self { shared }
    }

    /// Opens a stream to another endpoint. It takes a round trip.
    pub(crate) async fn connect(&self, peer: Address) -> Stream {
        let connection = self.shared.connection(peer);
        connection.send(Kind::Open, &[0]);
        poll_fn(|context| connection.poll_open(context)).await;
        Stream { connection }
    }

    /// Waits for the next stream that another endpoint opens.
    pub(crate) async fn accept(&self) -> Stream {
        poll_fn(|context| {
            let accepting = &mut *self.shared.accepting.borrow_mut();
            if let Some(connection) = accepting.opened.pop_front() {
                return Poll::Ready(Stream { connection });
            }
            accepting.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Shared {
    fn connection(&self, peer: Address) -> Rc<Connection> {
        let (link, state) = (Rc::clone(&self.link), RefCell::default());
        let connection = Rc::new(Connection { link, peer, state });
        self.connections.borrow_mut().insert(peer, Rc::clone(&connection));
        connection
    }

    fn accept(&self, peer: Address) -> Rc<Connection> {
        let connection = self.connection(peer);
        let accepting = &mut *self.accepting.borrow_mut();
        accepting.opened.push_back(Rc::clone(&connection));
        if let Some(waker) = accepting.waker.take() {
            waker.wake();
        }
        connection
    }
}

async fn receive(shared: Rc<Shared>) {
    loop {
        let datagram = shared.link.socket.recv().await;
        let Some(segment) = Segment::decode(&datagram.payload) else { continue };
        let known = shared.connections.borrow().get(&datagram.from).cloned();
        match known {
            Some(connection) => connection.receive(&segment),
            None if segment.kind == Kind::Open => {
                let connection = shared.accept(datagram.from);
                connection.receive(&segment);
                connection.send(Kind::Open, &[0]);
            }
            // It overtook the opening, and will be sent again.
            None => {}
        }
    }
}

/// The other end was closed before as many bytes came as were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// One end of an open stream. Dropped, it is closed: what was written still arrives.
pub(crate) struct Stream {
    connection: Rc<Connection>,
}

impl Stream {
    /// Sends bytes, and does not wait for them to arrive.
    pub(crate) fn write(&self, bytes: &[u8]) {
        for part in bytes.chunks(PAYLOAD_BYTES_MAX) {
            self.connection.send(Kind::Data, part);
        }
    }

    /// Waits for as many bytes as `buffer` holds.
    pub(crate) async fn read_exact(&self, buffer: &mut [u8]) -> Result<(), Closed> {
        poll_fn(|context| self.connection.poll_read(context, buffer)).await
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.connection.send(Kind::Close, &[0]);
    }
}

struct Connection {
    link: Rc<Link>,
    peer: Address,
    state: RefCell<State>,
}

/// Positions count bytes from the opening, which takes one byte itself, as closing does.
#[derive(Default)]
struct State {
    sent: u64,
    acked: u64,
    /// The bytes from `acked` to `sent`, and the segments that they were sent in.
    unacked: VecDeque<u8>,
    segments: VecDeque<Sent>,
    received: u64,
    /// Segments behind a gap, by their position.
    early: BTreeMap<u64, (Kind, Vec<u8>)>,
    ready: VecDeque<u8>,
    closed: bool,
    /// The tick at which an acknowledgement came due.
    ack_due: Option<u64>,
    ticks: u64,
    ticking: bool,
    waker: Option<Waker>,
}

#[derive(Clone, Copy)]
struct Sent {
    kind: Kind,
    start: u64,
    len: usize,
    at_tick: u64,
}

impl Connection {
    fn send(self: &Rc<Self>, kind: Kind, payload: &[u8]) {
        let mut state = self.state.borrow_mut();
        let (start, len, at_tick) = (state.sent, payload.len(), state.ticks);
        state.sent += len as u64;
        state.unacked.extend(payload);
        state.segments.push_back(Sent { kind, start, len, at_tick });
        state.ack_due = None;
        let segment = Segment { kind, start, acked: state.received, payload };
        self.link.send(self.peer, &segment);
        self.tick_on(&mut state);
    }

    fn receive(self: &Rc<Self>, segment: &Segment<'_>) {
        let mut state = self.state.borrow_mut();
        state.acknowledged(segment.acked);
        if segment.kind != Kind::Ack {
            // Of a copy, too: the first acknowledgement may have been lost.
            if state.ack_due.is_none() {
                state.ack_due = Some(state.ticks);
            }
            self.tick_on(&mut state);
            state.take(segment);
        }
        if let Some(waker) = &state.waker {
            waker.wake_by_ref();
        }
    }

    /// Goes on ticking for as long as something is not acknowledged.
    fn tick_on(self: &Rc<Self>, state: &mut State) {
        if !state.ticking {
            state.ticking = true;
            self.link.env.spawn("ticks", Rc::clone(self).tick());
        }
    }

    async fn tick(self: Rc<Self>) {
        loop {
            self.link.env.sleep(TICK).await;
            let state = &mut *self.state.borrow_mut();
            state.ticks += 1;
            self.resend(state);
            if state.ack_due.is_some_and(|since| since + 1 < state.ticks) {
                state.ack_due = None;
                let (start, acked) = (state.sent, state.received);
                let ack = Segment { kind: Kind::Ack, start, acked, payload: &[] };
                self.link.send(self.peer, &ack);
            }
            if state.segments.is_empty() && state.ack_due.is_none() {
                state.ticking = false;
                return;
            }
        }
    }

    /// Sends again what has not been acknowledged for too long.
    fn resend(&self, state: &mut State) {
        let (mut offset, bytes) = (0, state.unacked.make_contiguous());
        for sent in &mut state.segments {
            let payload = &bytes[offset..offset + sent.len];
            offset += sent.len;
            if sent.at_tick + RESEND_TICKS <= state.ticks {
                sent.at_tick = state.ticks;
                let Sent { kind, start, .. } = *sent;
                let segment = Segment { kind, start, acked: state.received, payload };
                self.link.send(self.peer, &segment);
            }
        }
    }

    fn poll_open(&self, context: &Context<'_>) -> Poll<()> {
        let state = &mut *self.state.borrow_mut();
        if state.acked > 0 && state.received > 0 {
            return Poll::Ready(());
        }
        state.wait(context)
    }

    fn poll_read(&self, context: &Context<'_>, buffer: &mut [u8]) -> Poll<Result<(), Closed>> {
        let state = &mut *self.state.borrow_mut();
        if state.ready.len() >= buffer.len() {
            state.ready.read_exact(buffer).expect("there are as many");
            return Poll::Ready(Ok(()));
        }
        if state.closed {
            return Poll::Ready(Err(Closed));
        }
        state.wait(context)
    }
}

impl State {
    /// All before the position `acked` has arrived: a segment has, or has not, as a whole.
    fn acknowledged(&mut self, acked: u64) {
        while let Some(oldest) = self.segments.front().copied()
            && oldest.start + oldest.len as u64 <= acked
        {
            self.segments.pop_front();
            self.unacked.drain(..oldest.len);
            self.acked += oldest.len as u64;
        }
    }

    /// Takes in a segment, and those that waited behind it. Segments never overlap in part, since
    /// what is sent again is the same segment.
    fn take(&mut self, segment: &Segment<'_>) {
        if segment.start > self.received {
            self.early.insert(segment.start, (segment.kind, segment.payload.to_vec()));
        } else if segment.start == self.received {
            self.append(segment.kind, segment.payload);
            while let Some((kind, payload)) = self.early.remove(&self.received) {
                self.append(kind, &payload);
            }
        }
    }

    fn append(&mut self, kind: Kind, payload: &[u8]) {
        self.received += payload.len() as u64;
        match kind {
            Kind::Data => self.ready.extend(payload),
            Kind::Close => self.closed = true,
            Kind::Open | Kind::Ack => {}
        }
    }

    /// Has the task that is being polled woken by the next segment.
    fn wait<T>(&mut self, context: &Context<'_>) -> Poll<T> {
        match &mut self.waker {
            Some(waker) => waker.clone_from(context.waker()),
            None => self.waker = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

impl Link {
    fn send(&self, to: Address, segment: &Segment<'_>) {
        let datagram = segment.encode();
        self.socket.send(to, datagram).expect("a segment is shorter than a datagram may be");
    }
}

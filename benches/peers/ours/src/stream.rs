//! A reliable, ordered stream of bytes over datagrams, so that streams are compared with streams:
//! as in TCP there are sequence numbers, cumulative acknowledgements that ride on data where they
//! can, a timer that resends, and an orderly open and close. There is neither flow control, nor
//! congestion control, nor a checksum.
//!
//! A stream has no task that receives: who reads takes segments in, and so does the timer while
//! nobody reads. A sender whose reader is away meanwhile repeats itself.

mod segment;
#[cfg(test)]
mod tests;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::poll_fn,
    io::Read as _,
    pin::pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};

use unplug_sim::{
    SimEnv, SimSocket,
    env::{Address, Datagram, Env as _, Net as _, Port, Socket as _},
};

use segment::{Kind, Segment};

/// The longest payload of a segment.
const PAYLOAD_BYTES_MAX: usize = 1400;

/// BSD's: what has to be acknowledged, and was not along with data, is at the next tick.
const TICK: Duration = Duration::from_millis(200);

/// A segment is sent again if it is not acknowledged after so many ticks: the second that RFC 6298
/// gives at least.
const RESEND_TICKS: u64 = 5;

/// A closing is sent so often: then the other end is taken for gone.
const CLOSINGS_MAX: u32 = 16;

/// The first of the ports that accepted streams get.
const ACCEPTED_PORT: u16 = 10_000;

/// A port that streams can be opened to: one from each address, ever.
pub(crate) struct Listener {
    env: SimEnv,
    socket: SimSocket,
    accepted: BTreeSet<Address>,
    next_port: u16,
}

impl Listener {
    /// Opens a port of a node, which must be free.
    pub(crate) fn open(env: &SimEnv, port: Port) -> Self {
        let socket = env.net().bind(port).expect("the port is free");
        let next_port = ACCEPTED_PORT;
        Self { env: env.clone(), socket, accepted: BTreeSet::new(), next_port }
    }

    /// Waits for the next stream, which gets a port of its own.
    pub(crate) async fn accept(&mut self) -> Stream {
        loop {
            let datagram = self.socket.recv().await;
            let opens = Segment::decode(&datagram.payload)
                .is_some_and(|segment| segment.kind == Kind::Open);
            // Copies need no answer: the first one is repeated until it has arrived.
            if opens && self.accepted.insert(datagram.from) {
                let stream = Stream::new(&self.env, Port(self.next_port), datagram.from);
                self.next_port += 1;
                stream.end.receive(&datagram);
                stream.end.send(Kind::Open, &[0]);
                return stream;
            }
        }
    }
}

/// The other end was closed before as many bytes came as were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// One end of an open stream. Dropped, it is closed: what was written still arrives.
pub(crate) struct Stream {
    end: Rc<End>,
}

impl Stream {
    fn new(env: &SimEnv, port: Port, peer: Address) -> Self {
        let socket = env.net().bind(port).expect("the port is free");
        let state = RefCell::new(State::new(peer));
        let reading = Cell::new(false);
        Self { end: Rc::new(End { env: env.clone(), socket, state, reading }) }
    }

    /// Opens a stream from a free port of a node to a listener. It takes a round trip.
    pub(crate) async fn connect(env: &SimEnv, port: Port, listener: Address) -> Self {
        let stream = Self::new(env, port, listener);
        stream.end.send(Kind::Open, &[0]);
        while stream.end.state.borrow().received == 0 {
            stream.end.receive_next().await;
        }
        stream
    }

    /// Sends bytes, and does not wait for them to arrive.
    pub(crate) fn write(&self, bytes: &[u8]) {
        for part in bytes.chunks(PAYLOAD_BYTES_MAX) {
            self.end.send(Kind::Data, part);
        }
    }

    /// Waits for as many bytes as `buffer` holds. One task at a time may read.
    pub(crate) async fn read_exact(&self, buffer: &mut [u8]) -> Result<(), Closed> {
        loop {
            if let Some(read) = self.end.state.borrow_mut().read(buffer) {
                return read;
            }
            self.end.receive_next().await;
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end.send(Kind::Close, &[0]);
    }
}

struct End {
    env: SimEnv,
    socket: SimSocket,
    state: RefCell<State>,
    /// Whether a reader waits for the next datagram.
    reading: Cell<bool>,
}

/// Positions count bytes from the opening, which takes one byte itself, as closing does.
struct State {
    peer: Address,
    sent: u64,
    /// The bytes that are not acknowledged, and the segments that they were sent in.
    unacked: VecDeque<u8>,
    segments: VecDeque<Sent>,
    received: u64,
    /// Segments behind a gap, by their position.
    early: BTreeMap<u64, (Kind, Vec<u8>)>,
    ready: VecDeque<u8>,
    closed: bool,
    ack_due: bool,
    ticks: u64,
    ticking: bool,
}

#[derive(Clone, Copy)]
struct Sent {
    kind: Kind,
    start: u64,
    len: usize,
    at_tick: u64,
    times: u32,
}

impl End {
    fn send(self: &Rc<Self>, kind: Kind, payload: &[u8]) {
        let state = &mut *self.state.borrow_mut();
        let (start, len, at_tick) = (state.sent, payload.len(), state.ticks);
        state.sent += len as u64;
        state.unacked.extend(payload);
        state.segments.push_back(Sent { kind, start, len, at_tick, times: 1 });
        state.ack_due = false;
        self.put(state.peer, &Segment { kind, start, acked: state.received, payload });
        self.tick_on(state);
    }

    fn put(&self, to: Address, segment: &Segment<'_>) {
        let datagram = segment.encode();
        self.socket.send(to, datagram).expect("a segment is shorter than a datagram may be");
    }

    async fn receive_next(self: &Rc<Self>) {
        let datagram = {
            let _reading = Reading::begin(&self.reading);
            self.socket.recv().await
        };
        self.receive(&datagram);
    }

    fn receive(self: &Rc<Self>, datagram: &Datagram) {
        let Some(segment) = Segment::decode(&datagram.payload) else { return };
        let state = &mut *self.state.borrow_mut();
        if datagram.from != state.peer {
            // Only the answer to an opening comes from a port that is not known yet.
            let opens = state.received == 0 && segment.kind == Kind::Open;
            if !opens || datagram.from.node != state.peer.node {
                return;
            }
            state.peer = datagram.from;
        }
        state.acknowledged(segment.acked);
        if segment.kind != Kind::Ack {
            // Of a copy, too: the first acknowledgement may have been lost.
            state.ack_due = true;
            state.take(&segment);
            self.tick_on(state);
        }
    }

    /// Goes on ticking for as long as something is not acknowledged.
    fn tick_on(self: &Rc<Self>, state: &mut State) {
        if !state.ticking {
            state.ticking = true;
            self.env.spawn("ticks", Rc::clone(self).tick());
        }
    }

    async fn tick(self: Rc<Self>) {
        loop {
            self.env.sleep(TICK).await;
            if !self.reading.get() {
                self.receive_what_came().await;
            }
            let state = &mut *self.state.borrow_mut();
            state.ticks += 1;
            self.resend(state);
            if std::mem::take(&mut state.ack_due) {
                let (start, acked) = (state.sent, state.received);
                self.put(state.peer, &Segment { kind: Kind::Ack, start, acked, payload: &[] });
            }
            if state.segments.is_empty() {
                state.ticking = false;
                return;
            }
        }
    }

    async fn receive_what_came(self: &Rc<Self>) {
        poll_fn(|context| {
            while let Poll::Ready(datagram) = pin!(self.socket.recv()).poll(context) {
                self.receive(&datagram);
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Sends again what has not been acknowledged for too long.
    fn resend(&self, state: &mut State) {
        let (mut offset, bytes) = (0, state.unacked.make_contiguous());
        for sent in &mut state.segments {
            let payload = &bytes[offset..offset + sent.len];
            offset += sent.len;
            if sent.at_tick + RESEND_TICKS <= state.ticks {
                (sent.at_tick, sent.times) = (state.ticks, sent.times + 1);
                let Sent { kind, start, .. } = *sent;
                self.put(state.peer, &Segment { kind, start, acked: state.received, payload });
            }
        }
        if state.segments.back().is_some_and(Sent::is_hopeless) {
            state.segments.clear();
        }
    }
}

impl Sent {
    fn is_hopeless(&self) -> bool {
        self.kind == Kind::Close && self.times >= CLOSINGS_MAX
    }
}

impl State {
    fn new(peer: Address) -> Self {
        Self {
            peer,
            sent: 0,
            unacked: VecDeque::new(),
            segments: VecDeque::new(),
            received: 0,
            early: BTreeMap::new(),
            ready: VecDeque::new(),
            closed: false,
            ack_due: false,
            ticks: 0,
            ticking: false,
        }
    }

    /// None if the bytes that are there do not fill `buffer`, and more may come.
    fn read(&mut self, buffer: &mut [u8]) -> Option<Result<(), Closed>> {
        if self.ready.len() >= buffer.len() {
            self.ready.read_exact(buffer).expect("there are as many");
            return Some(Ok(()));
        }
        self.closed.then_some(Err(Closed))
    }

    /// All before the position `acked` has arrived: a segment has, or has not, as a whole.
    fn acknowledged(&mut self, acked: u64) {
        while let Some(oldest) = self.segments.front()
            && oldest.start + oldest.len as u64 <= acked
        {
            self.unacked.drain(..oldest.len);
            self.segments.pop_front();
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
}

/// Says that a reader waits, until it is dropped.
struct Reading<'a>(&'a Cell<bool>);

impl<'a> Reading<'a> {
    fn begin(reading: &'a Cell<bool>) -> Self {
        reading.set(true);
        Self(reading)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

//! A reliable, ordered stream of bytes over datagrams, so that streams are compared with streams:
//! as in TCP there are sequence numbers, cumulative acknowledgements that ride on data where they
//! can, a timer that resends, and an orderly open and close. There is neither flow control, nor
//! congestion control, nor a checksum.
//!
//! A stream has no task that receives: who reads takes segments in, and so does the timer while
//! nobody reads. A sender whose reader is away meanwhile repeats itself.

mod segment;
mod state;
#[cfg(test)]
mod tests;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    future::poll_fn,
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
use state::State;

/// The longest payload of a segment.
const PAYLOAD_BYTES_MAX: usize = 1400;

/// BSD's: what has to be acknowledged, and was not along with data, is at the next tick.
const TICK: Duration = Duration::from_millis(200);

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

impl End {
    fn send(self: &Rc<Self>, kind: Kind, payload: &[u8]) {
        let state = &mut *self.state.borrow_mut();
        self.put(state.peer, &state.send(kind, payload));
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
        state.receive(&segment);
        if state.ack_due {
            self.tick_on(state);
        }
    }

    /// Ticks until all that was sent has arrived, and all that came is acknowledged.
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
            let peer = state.peer;
            state.tick(|segment| self.put(peer, segment));
            if state.is_settled() {
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

//! What one end of a stream knows, and what it sends and takes in: without clock or socket.

use std::{
    collections::{BTreeMap, VecDeque},
    io::Read as _,
};

use unplug_sim::env::Address;

use super::{
    Closed,
    segment::{Kind, Segment},
};

/// A segment is sent again if it is not acknowledged after so many ticks: the second that RFC 6298
/// gives at least.
const RESEND_TICKS: u64 = 5;

/// A closing is sent so often: then the other end is taken for gone.
const CLOSINGS_MAX: u32 = 16;

/// Positions count bytes from the opening, which takes one byte itself, as closing does.
pub(super) struct State {
    pub(super) peer: Address,
    sent: u64,
    /// The bytes that are not acknowledged, and the segments that they were sent in.
    unacked: VecDeque<u8>,
    segments: VecDeque<Sent>,
    pub(super) received: u64,
    /// Segments behind a gap, by their position.
    early: BTreeMap<u64, (Kind, Vec<u8>)>,
    ready: VecDeque<u8>,
    closed: bool,
    pub(super) ack_due: bool,
    ticks: u64,
    pub(super) ticking: bool,
}

#[derive(Clone, Copy)]
struct Sent {
    kind: Kind,
    start: u64,
    len: usize,
    at_tick: u64,
    times: u32,
}

impl Sent {
    fn is_hopeless(&self) -> bool {
        self.kind == Kind::Close && self.times >= CLOSINGS_MAX
    }
}

impl State {
    pub(super) fn new(peer: Address) -> Self {
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
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Option<Result<(), Closed>> {
        if self.ready.len() >= buffer.len() {
            self.ready.read_exact(buffer).expect("there are as many");
            return Some(Ok(()));
        }
        self.closed.then_some(Err(Closed))
    }

    /// Takes in bytes to be sent, and gives the segment that holds them.
    pub(super) fn send<'a>(&mut self, kind: Kind, payload: &'a [u8]) -> Segment<'a> {
        let (start, len, at_tick) = (self.sent, payload.len(), self.ticks);
        self.sent += len as u64;
        self.unacked.extend(payload);
        self.segments.push_back(Sent { kind, start, len, at_tick, times: 1 });
        self.ack_due = false;
        Segment { kind, start, acked: self.received, payload }
    }

    /// Takes in a segment that came.
    pub(super) fn receive(&mut self, segment: &Segment<'_>) {
        self.acknowledged(segment.acked);
        if segment.kind != Kind::Ack {
            // Of a copy, too: the first acknowledgement may have been lost.
            self.ack_due = true;
            self.take(segment);
        }
    }

    /// Gives to `put` what is to be sent again, and what has to be acknowledged.
    pub(super) fn tick(&mut self, mut put: impl FnMut(&Segment<'_>)) {
        self.ticks += 1;
        let (mut offset, bytes) = (0, self.unacked.make_contiguous());
        for sent in &mut self.segments {
            let payload = &bytes[offset..offset + sent.len];
            offset += sent.len;
            if sent.at_tick + RESEND_TICKS <= self.ticks {
                (sent.at_tick, sent.times) = (self.ticks, sent.times + 1);
                let Sent { kind, start, .. } = *sent;
                put(&Segment { kind, start, acked: self.received, payload });
            }
        }
        if self.segments.back().is_some_and(Sent::is_hopeless) {
            self.segments.clear();
        }
        if std::mem::take(&mut self.ack_due) {
            put(&Segment { kind: Kind::Ack, start: self.sent, acked: self.received, payload: &[] });
        }
    }

    /// Whether all that was sent has arrived.
    pub(super) fn is_settled(&self) -> bool {
        self.segments.is_empty()
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

//! What a datagram of a stream holds: a kind, two positions, a payload.

use bytes::Bytes;

const HEAD_BYTES: usize = 17;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first, of one byte that nobody reads.
    Open = 0,
    Data = 1,
    /// The last, of one byte that nobody reads.
    Close = 2,
    /// Only acknowledges, and holds nothing.
    Ack = 3,
}

pub(super) struct Segment<'a> {
    pub(super) kind: Kind,
    /// The sender's position at the payload's first byte.
    pub(super) start: u64,
    /// All that the receiver has sent before this position has arrived.
    pub(super) acked: u64,
    pub(super) payload: &'a [u8],
}

impl<'a> Segment<'a> {
    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.payload.len());
        bytes.push(self.kind as u8);
        bytes.extend_from_slice(&self.start.to_le_bytes());
        bytes.extend_from_slice(&self.acked.to_le_bytes());
        bytes.extend_from_slice(self.payload);
        bytes.into()
    }

    /// None if this is no segment.
    pub(super) fn decode(datagram: &'a [u8]) -> Option<Self> {
        let (&kind, rest) = datagram.split_first()?;
        let (start, rest) = rest.split_first_chunk()?;
        let (acked, payload) = rest.split_first_chunk()?;
        let kind = match kind {
            0 => Kind::Open,
            1 => Kind::Data,
            2 => Kind::Close,
            3 => Kind::Ack,
            4.. => return None,
        };
        let (start, acked) = (u64::from_le_bytes(*start), u64::from_le_bytes(*acked));
        Some(Self { kind, start, acked, payload })
    }
}

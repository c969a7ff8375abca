//! Bytes that leave a process: each with its kind, its format version and a checksum.
//!
//! `"UP"`, kind, version, xxh3-64 of all the rest (little endian), body in postcard. What does
//! not fit is told apart, because the reactions differ: damage is repaired or dropped, an unknown
//! version is refused.

use bytes::Bytes;
use postcard::ser_flavors::Flavor;
use serde::{Serialize, de::DeserializeOwned};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The version that this build writes, and the only one that it reads.
pub const VERSION: u8 = 2;

/// Bytes before the body.
pub const HEADER_BYTES: usize = 12;

const MAGIC: [u8; 2] = *b"UP";

/// What a piece of bytes is, so that none is taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A datagram between nodes.
    Datagram = 1,
    /// A node's identity, written before its first boot.
    Identity = 2,
    /// The content of a register, and the file that a store keeps of it.
    Register = 3,
    /// A frame of an append-only log.
    Frame = 4,
    /// The output of a task.
    Output = 5,
    /// An epoch of the table sink.
    Table = 6,
    /// A part of a snapshot of keyed state.
    Snapshot = 7,
    /// What an epoch changes of keyed state.
    Delta = 8,
    /// What a partition's log began with before it was trimmed.
    Checkpoint = 9,
    /// The lowest epoch that a store keeps.
    Floor = 10,
    /// A transaction of an external system.
    Transaction = 11,
    /// Which partitions were added to the source.
    Layouts = 12,
}

/// Why bytes were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Too short, of another kind, or with another checksum.
    #[error("damaged, or not what it should be")]
    Damaged,
    /// A version that this build does not know; the content may be sound.
    #[error("format version {found}, and this build reads only version {reads}")]
    Version {
        /// The version that it has.
        found: u8,
        /// The version that is read.
        reads: u8,
    },
}

/// What bytes of a kind begin with.
#[must_use]
pub const fn mark(kind: Kind) -> [u8; 4] {
    [MAGIC[0], MAGIC[1], kind as u8, VERSION]
}

/// Encodes `value`.
///
/// # Panics
/// If `value` cannot be serialised: none of this engine's types is such.
#[must_use]
pub fn encode<T: Serialize>(kind: Kind, value: &T) -> Bytes {
    append(kind, value, Vec::with_capacity(256)).into()
}

/// The same by way of a buffer that is kept, so that what is encoded often does not grow each time.
pub(crate) fn encode_by<T: Serialize>(buffer: &mut Vec<u8>, kind: Kind, value: &T) -> Bytes {
    buffer.clear();
    *buffer = append(kind, value, std::mem::take(buffer));
    Bytes::copy_from_slice(buffer)
}

/// Encodes `value` behind what is there already.
pub(crate) fn append<T: Serialize>(kind: Kind, value: &T, mut bytes: Vec<u8>) -> Vec<u8> {
    let start = bytes.len();
    bytes.extend_from_slice(&mark(kind));
    bytes.extend_from_slice(&[0; HEADER_BYTES - 4]);
    let mut bytes = append_plain(value, bytes);
    let (header, body) = bytes[start..].split_at_mut(HEADER_BYTES);
    header[4..].copy_from_slice(&checksum(kind, VERSION, body).to_le_bytes());
    bytes
}

/// The same without a header.
pub(crate) fn append_plain<T: Serialize + ?Sized>(value: &T, bytes: Vec<u8>) -> Vec<u8> {
    postcard::serialize_with_flavor(value, Appended(bytes)).expect("plain data serialises")
}

/// Up to so many bytes are appended faster one by one.
const SHORT_BYTES: usize = 16;

/// What is serialised, behind what is there already. Postcard's own takes all bytes one by one.
struct Appended(Vec<u8>);

impl Flavor for Appended {
    type Output = Vec<u8>;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if bytes.len() <= SHORT_BYTES {
            self.0.extend(bytes.iter().copied());
        } else {
            self.0.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.0)
    }
}

/// Checks and decodes what [`encode`] made.
///
/// # Errors
/// [`CodecError`].
pub fn decode<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<T, CodecError> {
    let body = check(kind, bytes)?;
    postcard::from_bytes(body).map_err(|_| CodecError::Damaged)
}

/// Decodes what [`encode`] made without a look at its checksum: only for a planted bug.
///
/// # Errors
/// [`CodecError::Damaged`], if no value of this type comes out.
pub fn decode_unverified<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let body = bytes.get(HEADER_BYTES..).ok_or(CodecError::Damaged)?;
    postcard::from_bytes(body).map_err(|_| CodecError::Damaged)
}

/// The same bytes with the header that they would have if they were sound: only for a planted bug.
#[must_use]
pub fn resealed(kind: Kind, bytes: &[u8]) -> Bytes {
    let body = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let sum = checksum(kind, VERSION, body).to_le_bytes();
    [&MAGIC[..], &[kind as u8, VERSION], &sum, body].concat().into()
}

/// Checks without decoding; gives the body.
///
/// # Errors
/// [`CodecError`].
pub fn check(kind: Kind, bytes: &[u8]) -> Result<&[u8], CodecError> {
    let (header, body) = bytes.split_at_checked(HEADER_BYTES).ok_or(CodecError::Damaged)?;
    let (head, sum) = header.split_at(4);
    if head[..2] != MAGIC || head[2] != kind as u8 {
        return Err(CodecError::Damaged);
    }
    if sum != checksum(kind, head[3], body).to_le_bytes() {
        return Err(CodecError::Damaged);
    }
    if head[3] != VERSION {
        return Err(CodecError::Version { found: head[3], reads: VERSION });
    }
    Ok(body)
}

fn checksum(kind: Kind, version: u8, body: &[u8]) -> u64 {
    xxh3_64_with_seed(body, u64::from(version) << 8 | kind as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_or_missing_byte_is_noticed() {
        let bytes = encode(Kind::Register, &("name", 7u64, vec![1u8, 2, 3]));
        let read = |bytes: &[u8]| decode::<(String, u64, Vec<u8>)>(Kind::Register, bytes);
        assert_eq!(read(&bytes), Ok(("name".to_owned(), 7, vec![1, 2, 3])));
        for place in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[place] ^= 1;
            assert!(read(&damaged).is_err(), "byte {place}");
            assert!(read(&bytes[..place]).is_err(), "cut at {place}");
        }
    }

    #[test]
    fn an_intact_unknown_version_is_told_from_damage() {
        let mut bytes = encode(Kind::Table, &1u64).to_vec();
        bytes[3] = 9;
        let sum = checksum(Kind::Table, 9, &bytes[HEADER_BYTES..]);
        bytes[4..HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(
            decode::<u64>(Kind::Table, &bytes),
            Err(CodecError::Version { found: 9, reads: VERSION })
        );
    }

    #[test]
    fn one_kind_is_never_taken_for_another() {
        let bytes = encode(Kind::Output, &1u64);
        assert_eq!(decode::<u64>(Kind::Table, &bytes), Err(CodecError::Damaged));
    }
}

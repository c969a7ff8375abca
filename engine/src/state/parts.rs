//! Entries in parts that fit into blobs. Each knows its place, so that none is mixed up or left out.

use bytes::Bytes;
use postcard::experimental::serialized_size;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Key;
use crate::codec::{self, CodecError, HEADER_BYTES, Kind};

/// The most that a part holds beside its entries: header, two numbers, a length.
pub(super) const PART_OVERHEAD_BYTES: usize = HEADER_BYTES + 5 + 5 + 10;

#[derive(Serialize, Deserialize)]
pub(super) struct Part<Entry> {
    pub(super) number: u32,
    pub(super) parts: u32,
    pub(super) entries: Vec<Entry>,
}

/// Parts of at most `bytes_max` bytes each; only an entry that is larger by itself makes a part that
/// is larger. No entries have no parts.
pub(super) fn split<T: Serialize>(
    kind: Kind,
    entries: impl Iterator<Item = T>,
    bytes_max: usize,
) -> Vec<Bytes> {
    let mut parts: Vec<Vec<_>> = Vec::new();
    let mut bytes_left = 0;
    for entry in entries {
        let bytes = serialized_size(&entry).expect("plain data serialises");
        if parts.is_empty() || bytes > bytes_left {
            parts.push(Vec::new());
            bytes_left = bytes_max.saturating_sub(PART_OVERHEAD_BYTES);
        }
        bytes_left = bytes_left.saturating_sub(bytes);
        parts.last_mut().expect("one was pushed").push(entry);
    }
    let count = u32::try_from(parts.len()).expect("fewer than 2^32 parts");
    let numbered = (0..count).zip(parts);
    let encode = |(number, entries)| codec::encode(kind, &Part { number, parts: count, entries });
    numbered.map(encode).collect()
}

/// The entries of all parts, given in their order.
pub(super) fn joined<T: DeserializeOwned, B: AsRef<[u8]>>(
    kind: Kind,
    parts: &[B],
) -> Result<Vec<(Key, T)>, CodecError> {
    let mut entries: Vec<(Key, T)> = Vec::new();
    for (place, bytes) in parts.iter().enumerate() {
        let part: Part<_> = codec::decode(kind, bytes.as_ref())?;
        if (part.number as usize, part.parts as usize) != (place, parts.len()) {
            return Err(CodecError::Damaged);
        }
        entries.extend(part.entries);
    }
    if !entries.is_sorted_by(|(one, _), (next, _)| one < next) {
        return Err(CodecError::Damaged);
    }
    Ok(entries)
}

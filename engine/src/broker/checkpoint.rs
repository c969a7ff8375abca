//! What is remembered of deleted segments: where the log now begins, and which tuples were there.
//!
//! It is durable before the first segment is deleted, and replaced as a whole. So whatever a power
//! cut leaves of a trim, a boot finds either the old checkpoint and all segments from its first
//! offset on, or the new one and all segments from that first offset on, with any of the lower ones
//! still there. Those count for nothing any more: their tuples are in the checkpoint, and they are
//! deleted again.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use unplug_sim::env::{Env, Refusal};

use crate::{
    codec::{self, Kind},
    durable::Store,
    log_paths,
    tuple::{Offset, Partition},
};

use super::producers::Producers;

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// The first offset that is kept: a segment begins there.
    pub(super) first: Offset,
    /// The tuples below it.
    pub(super) producers: Producers,
}

impl Checkpoint {
    /// Reads the checkpoint of a partition whose directory was settled. A partition that was never
    /// trimmed has none.
    ///
    /// # Errors
    /// Damage, an unknown version, any disk error.
    pub(super) async fn load<E: Env>(
        files: &Store<E>,
        partition: Partition,
    ) -> Result<Self, Refusal> {
        let path = format!("{}/{}", log_paths::directory(partition), log_paths::CHECKPOINT);
        match files.read_if_there(&path).await? {
            Some(bytes) => Self::decode(&path, &bytes),
            None => Ok(Self::default()),
        }
    }

    fn decode(path: &str, bytes: &Bytes) -> Result<Self, Refusal> {
        codec::decode(Kind::Checkpoint, bytes).map_err(|error| {
            Refusal::new(format!("{path}: {error}; restore it from a copy, nothing was changed"))
        })
    }

    /// Makes it durable in place of the one before.
    ///
    /// # Errors
    /// Any disk error.
    pub(super) async fn save<E: Env>(
        &self,
        files: &Store<E>,
        partition: Partition,
    ) -> Result<(), Refusal> {
        let bytes = codec::encode(Kind::Checkpoint, self);
        files.replace(&log_paths::directory(partition), log_paths::CHECKPOINT, bytes).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_checkpoint_is_refused_with_its_place_and_a_way_out() {
        let checkpoint = Checkpoint { first: Offset(7), producers: Producers::default() };
        let bytes = codec::encode(Kind::Checkpoint, &checkpoint);
        assert_eq!(Checkpoint::decode("file", &bytes), Ok(checkpoint));
        for place in 0..bytes.len() {
            let mut rotten = bytes.to_vec();
            rotten[place] ^= 4;
            let refusal = Checkpoint::decode("file", &rotten.into()).expect_err("rot").reason;
            assert!(refusal.starts_with("file: ") && refusal.contains("restore"), "{refusal}");
        }
    }
}

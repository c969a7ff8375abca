//! Which transaction of an external system is an epoch's. An attempt at an epoch is known by the
//! outputs that its commit names, and these have names that no other attempt's have. So the decided
//! commit says by itself which transaction is to be committed, and all others of the epoch are twins
//! that earlier attempts left.

use xxhash_rust::xxh3::xxh3_128;

use crate::{
    codec::{self, Kind},
    epoch::CommitRecord,
    tuple::Epoch,
};

/// The name of the transaction in which an external system is given what a commit names.
#[must_use]
pub fn name(commit: &CommitRecord) -> String {
    let outputs = codec::encode(Kind::Register, &(commit.epoch, &commit.outputs));
    format!("{:012}-{:032x}", commit.epoch.0, xxh3_128(&outputs))
}

/// Those of the transactions that wait, by name and epoch, which nobody will ever commit, now that
/// this commit is decided. Those of later epochs are not decided yet.
#[must_use]
pub fn twins(waiting: Vec<(String, Epoch)>, decided: &CommitRecord) -> Vec<String> {
    let own = name(decided);
    let behind =
        waiting.into_iter().filter(|(name, epoch)| *epoch <= decided.epoch && *name != own);
    behind.map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        epoch::{BlobRef, OutputRef},
        tuple::Partition,
    };

    fn commit(epoch: u64, blob: &str, latest_ms: u64) -> CommitRecord {
        let blob = BlobRef { name: blob.to_owned(), checksum: 1, bytes: 1 };
        CommitRecord {
            epoch: Epoch(epoch),
            outputs: vec![OutputRef { sink: 0, partition: Partition(0), blob, rows: 1 }],
            base: Vec::new(),
            states: Vec::new(),
            latest_ms: vec![latest_ms],
            next_watermark_ms: latest_ms,
        }
    }

    #[test]
    fn attempts_at_an_epoch_have_other_names_and_one_attempt_has_one() {
        let one = name(&commit(3, "output/3/1-1-a", 0));
        assert_eq!(one, name(&commit(3, "output/3/1-1-a", 7)));
        assert_ne!(one, name(&commit(3, "output/3/1-1-b", 0)));
        assert!(one.starts_with("000000000003-"), "{one}");
    }

    #[test]
    fn twins_are_all_up_to_the_epoch_but_the_decided_one() {
        let decided = commit(3, "b", 0);
        let waiting = [commit(2, "a", 0), commit(3, "a", 0), decided.clone(), commit(4, "a", 0)];
        let waiting: Vec<_> = waiting.iter().map(|one| (name(one), one.epoch)).collect();
        let wanted = [waiting[0].0.clone(), waiting[1].0.clone()];
        assert_eq!(twins(waiting, &decided), wanted);
    }
}

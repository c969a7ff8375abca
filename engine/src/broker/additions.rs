//! Partitions that are added while the broker runs.
//!
//! The new partitions' directories and first segments are durable before the file is that tells of
//! them; that file is the addition: before it is durable nobody is told, and what a crash leaves
//! of the rest is an empty partition that no one knows of, and that the next addition takes over.
//! One writer does this and takes tuples in, so which seqs an addition counts from is exact: behind
//! all that was taken in so far.

use std::collections::BTreeMap;

use bytes::Bytes;
use unplug_sim::env::{Env, Refusal};

use super::{Answer, State, partition::Part};
use crate::{
    codec::{self, Kind},
    defect::Defect,
    durable::Store,
    layout::{Layouts, PARTITIONS_MAX},
    log_paths,
    tuple::Partition,
};

/// Reads which partitions were added; the directory of the first partition was settled.
///
/// # Errors
/// Damage, an unknown version, a log that was formatted with other partitions than those of the
/// configuration, any disk error.
pub(super) async fn load<E: Env>(files: &Store<E>, first: u16) -> Result<Layouts, Refusal> {
    let path = format!("{}/{}", log_paths::directory(Partition(0)), log_paths::LAYOUTS);
    decode(&path, &files.read(&path).await?, first)
}

fn decode(path: &str, bytes: &Bytes, first: u16) -> Result<Layouts, Refusal> {
    let layouts: Layouts = codec::decode(Kind::Layouts, bytes).map_err(|error| {
        Refusal::new(format!("{path}: {error}; restore it from a copy, nothing was changed"))
    })?;
    if layouts.first() != first {
        return Err(Refusal::new(format!(
            "{path}: the log was begun with {} partitions, and this cluster's configuration says \
             {first}; correct it, nothing was changed",
            layouts.first()
        )));
    }
    Ok(layouts)
}

impl<E: Env> State<E> {
    /// Adds partitions until there are so many; gives how many there are. The writer does it, between
    /// two rounds.
    ///
    /// # Errors
    /// Any disk error. Without room there is nothing of it.
    pub(super) async fn add(&self, partitions: u16) -> Result<Answer, Refusal> {
        if partitions > PARTITIONS_MAX {
            let what = format!("{partitions} partitions, over {PARTITIONS_MAX}");
            return Ok(Answer::Invalid(what));
        }
        let there = self.layouts.borrow().partitions();
        if partitions <= there {
            return Ok(Answer::Partitions(there));
        }
        self.env.mark("partitions.begin");
        let done = self.grow(there, partitions).await;
        self.env.mark("partitions.end");
        done?;
        self.env.mark("partitions.added");
        Ok(Answer::Partitions(partitions))
    }

    async fn grow(&self, there: u16, partitions: u16) -> Result<(), Refusal> {
        let (env, files) = (&self.env, &self.files);
        let mut from: BTreeMap<u16, u64> = BTreeMap::new();
        for part in self.all_parts() {
            for (producer, next) in part.lock().await.next_seqs() {
                let known = from.entry(producer).or_default();
                *known = next.max(*known);
            }
        }
        let grown = self.layouts.borrow().clone().grown(partitions, from);
        let mut added = Vec::new();
        for partition in (there..partitions).map(Partition) {
            added.push(Part::begin(env, files, partition, self.config.defects).await?);
        }
        files.sync_dir(log_paths::LOG).await?;
        let bytes = codec::encode(Kind::Layouts, &grown);
        if !self.config.defects.has(Defect::AdditionForgotten) {
            let directory = log_paths::directory(Partition(0));
            files.replace(&directory, log_paths::LAYOUTS, bytes).await?;
        }
        self.ends.borrow_mut().extend(added.iter().map(Part::end));
        self.parts.borrow_mut().extend(added.into_iter().map(super::shared));
        self.layouts.replace(grown);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_layouts_and_those_of_another_cluster_are_refused_with_a_way_out() {
        let layouts = Layouts::new(2).grown(3, [(7, 5)].into());
        let bytes = codec::encode(Kind::Layouts, &layouts);
        assert_eq!(decode("file", &bytes, 2), Ok(layouts));
        let refusal = decode("file", &bytes, 4).expect_err("another cluster").reason;
        assert!(refusal.starts_with("file: the log was begun with 2 partitions"), "{refusal}");
        for place in 0..bytes.len() {
            let mut rotten = bytes.to_vec();
            rotten[place] ^= 4;
            let refusal = decode("file", &rotten.into(), 2).expect_err("rot").reason;
            assert!(refusal.starts_with("file: ") && refusal.contains("restore"), "{refusal}");
        }
    }
}

//! Tasks of later stages: a part of the state takes in an epoch, and gives out what its watermark
//! closes.
//!
//! State version N is version N - 1 and what changed. It is written before the commit names it, as a
//! layer over what is stored, or now and then as a whole ([`Stored`]). What is in memory of the version
//! that the task names is not loaded.

use std::rc::Rc;

use bytes::Bytes;
use futures_util::{
    future::try_join,
    stream::{self, StreamExt, TryStreamExt},
};
use tracing::info;
use unplug_sim::env::Env;

use super::{Answer, PATIENCE, cache::Version, output::At};
use crate::{
    codec::{self, Kind},
    defect::Defect,
    epoch::{BlobRef, StateRef},
    pipeline::Watermarks,
    state::{Addition, Delta, Stored},
    steps::Step,
    task::{Done, ReduceTask},
    tuple::Partition,
};

/// How many blobs of a state are under way at once at the most: more would share the way, and none
/// would come before who waits for it loses patience.
const BLOBS_AT_ONCE: usize = 8;

impl<E: Env> super::State<E> {
    pub(super) async fn reduce(&self, task: &ReduceTask) -> Result<Done, Answer> {
        let (base, reduced) = {
            let _step = Step::Tasks.enter(&self.env);
            let gathered = async {
                let exchanges = self.fetch_all(task).await?;
                let tuples = exchanges.iter().map(Vec::len).sum();
                info!(epoch = task.epoch.0, part = task.state, tuples, "reduces");
                self.work((task.epoch, task.attempt), tuples).await?;
                Ok(exchanges)
            };
            let (exchanges, base) = try_join(gathered, self.load(task)).await?;
            let watermarks = Watermarks {
                now_ms: task.watermark_ms,
                before_ms: task.watermark_before_ms,
                defects: self.config.defects,
            };
            let pipeline = &self.config.pipeline;
            let reduced =
                pipeline.reduce(usize::from(task.stage), base.state(), exchanges, watermarks);
            let reduced = reduced.map_err(|reason| {
                Answer::Refused(format!("epoch {}, state {}: {reason}", task.epoch, task.state))
            })?;
            (base, reduced)
        };
        let _step = Step::Blobs.enter(&self.env);
        if reduced.late > 0 {
            self.env.mark("late.routed");
        }
        let at = (task.epoch, Partition(task.state), task.attempt);
        let blocks = self.keep_blocks(at, reduced.gone.exchanges, task.state_partitions);
        let outputs = self.keep_sinks(at, reduced.gone.sinks);
        let (outputs, state) =
            try_join(outputs, self.keep_state(task, base, reduced.delta)).await?;
        Ok(Done { blocks, outputs, state: Some(state), ..Done::default() })
    }

    /// The state that a task goes on from. What is in memory of it is not loaded.
    async fn load<'a>(&'a self, task: &'a ReduceTask) -> Result<Rc<Stored>, Answer> {
        let (slot, wanted) = ((task.stage, task.state), &task.base);
        if wanted.uid == 0 {
            return Ok(Rc::default());
        }
        if let Some(state) = self.cache.borrow_mut().get(slot, wanted) {
            return Ok(state);
        }
        let nearest = self.cache.borrow_mut().take_nearest(slot, wanted);
        let (snapshot, layers) = match &nearest {
            Some(nearest) => (&[][..], &wanted.layers[nearest.of.layers.len()..]),
            None => (&wanted.snapshot[..], &wanted.layers[..]),
        };
        let mut state = nearest.map(|nearest| nearest.state).unwrap_or_default();
        if !snapshot.is_empty() || !layers.is_empty() {
            info!(epoch = task.epoch.0, part = task.state, "loads a state");
            let changed = Rc::make_mut(&mut state);
            self.load_into(changed, snapshot, layers).await?;
            if self.config.defects.has(Defect::DedupForgetsOnRestore) {
                changed.state_mut().forget_seen();
            }
            let blobs = snapshot.iter().chain(layers.iter().flatten());
            let bytes: u64 = blobs.map(|blob| blob.bytes).sum();
            info!(epoch = task.epoch.0, part = task.state, bytes, "loaded a state");
        }
        let version = Version { of: wanted.clone(), state: Rc::clone(&state), before: None };
        self.cache.borrow_mut().keep(slot, version);
        Ok(state)
    }

    /// Loads a snapshot, if there is one, and layers.
    async fn load_into<'a>(
        &'a self,
        stored: &mut Stored,
        snapshot: &'a [BlobRef],
        layers: &'a [Vec<BlobRef>],
    ) -> Result<(), Answer> {
        let patience = PATIENCE + self.config.blob_patience;
        let blobs = snapshot.iter().chain(layers.iter().flatten());
        let gets = blobs.map(|blob| self.stores.get_blob(blob, patience));
        let got = stream::iter(gets).buffered(BLOBS_AT_ONCE).try_collect::<Vec<_>>().await;
        let mut got = got.map_err(Answer::Failed)?.into_iter();
        let mut next = |blobs: &[BlobRef]| got.by_ref().take(blobs.len()).collect::<Vec<_>>();
        let parts = next(snapshot);
        let mut changes: Vec<_> = layers.iter().map(|layer| next(layer)).collect();
        if self.config.defects.has(Defect::BlobUnverified) {
            let parts = changes.iter_mut().flatten();
            parts.for_each(|part| *part = codec::resealed(Kind::Delta, part));
        }
        if !snapshot.is_empty() {
            self.env.mark("snapshot.loaded");
        }
        stored.load(&parts, &changes).map_err(|(layer, error)| {
            let blobs = layer.map_or(snapshot, |number| &layers[number]);
            let name = blobs.first().map_or("", |blob| &blob.name);
            Answer::Failed(format!("blob {name}: {error}"))
        })
    }

    /// Writes the version that a task leaves.
    async fn keep_state(
        &self,
        task: &ReduceTask,
        mut base: Rc<Stored>,
        delta: Delta,
    ) -> Result<StateRef, Answer> {
        let at: At = (task.epoch, Partition(task.state), task.attempt);
        let slot = (task.stage, task.state);
        if delta.is_empty() {
            let version = Version { of: task.base.clone(), state: base, before: None };
            self.cache.borrow_mut().keep(slot, version);
            return Ok(task.base.clone());
        }
        let uid = self.env.random().max(1);
        let before = Some((task.base.clone(), base.undo(&delta)));
        let keep = async |parts: Vec<Bytes>| {
            let parts = parts.into_iter().map(|part| self.keep_blob("state", at, part));
            stream::iter(parts).buffered(BLOBS_AT_ONCE).try_collect::<Vec<_>>().await
        };
        let next = match self.config.full_snapshots {
            true => Addition::Snapshot,
            false => base.next(&delta),
        };
        let of = match next {
            Addition::Snapshot => {
                self.cache.borrow_mut().forget(slot);
                let parts = Rc::make_mut(&mut base).replace(&delta, self.config.part_bytes_max);
                StateRef { uid, snapshot: keep(parts).await?, layers: Vec::new() }
            }
            Addition::Layer { kept, changes } => {
                let layer = keep(changes.parts(self.config.part_bytes_max)).await?;
                let bytes = layer.iter().map(|blob| blob.bytes).sum();
                self.cache.borrow_mut().forget(slot);
                Rc::make_mut(&mut base).put_over(kept, changes, bytes);
                let StateRef { snapshot, mut layers, .. } = task.base.clone();
                layers.truncate(kept);
                layers.push(layer);
                StateRef { uid, snapshot, layers }
            }
        };
        let version = Version { of: of.clone(), state: base, before };
        self.cache.borrow_mut().keep(slot, version);
        Ok(of)
    }
}

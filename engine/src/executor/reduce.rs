//! Tasks of later stages: a part of the state takes in an epoch, and gives out what its watermark
//! closes.
//!
//! State version N is version N - 1 and what changed. It is written before the commit names it:
//! what changed, or now and then the whole. What is in memory of the version that the task names is not
//! loaded.

use std::rc::Rc;

use futures_util::future::{try_join, try_join_all};
use tracing::info;
use unplug_sim::env::Env;

use super::{PATIENCE, cache::Version, output::At};
use crate::{
    defect::Defect,
    epoch::{BlobRef, StateRef},
    pipeline::Watermarks,
    state::{Delta, State},
    steps::Step,
    task::{Answer, Done, ReduceTask},
    tuple::Partition,
};

/// How many bytes a part of a snapshot holds at the most.
const PART_BYTES_MAX: usize = 512 * 1024;

impl<E: Env> super::State<E> {
    pub(super) async fn reduce(&self, task: &ReduceTask) -> Result<Answer, Answer> {
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
            let reduced = pipeline.reduce(usize::from(task.stage), &base, exchanges, watermarks);
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
        Ok(Answer::Done(Done { latest_ms: 0, blocks, outputs, state: Some(state) }))
    }

    /// The state that a task goes on from. What is in memory of it is not loaded.
    async fn load<'a>(&'a self, task: &'a ReduceTask) -> Result<Rc<State>, Answer> {
        let (slot, wanted) = ((task.stage, task.state), &task.base);
        if wanted.uid == 0 {
            return Ok(Rc::default());
        }
        if let Some(state) = self.cache.borrow_mut().get(slot, wanted) {
            return Ok(state);
        }
        let nearest = self.cache.borrow_mut().take_nearest(slot, wanted);
        let (snapshot, deltas) = match &nearest {
            Some(nearest) => (&[][..], &wanted.deltas[nearest.of.deltas.len()..]),
            None => (&wanted.snapshot[..], &wanted.deltas[..]),
        };
        let mut state = nearest.map(|nearest| nearest.state).unwrap_or_default();
        if !snapshot.is_empty() || !deltas.is_empty() {
            info!(epoch = task.epoch.0, part = task.state, "loads a state");
            let changed = Rc::make_mut(&mut state);
            self.load_into(changed, snapshot, deltas).await?;
            if self.config.defects.has(Defect::DedupForgetsOnRestore) {
                changed.forget_seen();
            }
            let bytes: u64 = snapshot.iter().chain(deltas).map(|blob| blob.bytes).sum();
            info!(epoch = task.epoch.0, part = task.state, bytes, "loaded a state");
        }
        let version = Version { of: wanted.clone(), state: Rc::clone(&state), before: None };
        self.cache.borrow_mut().keep(slot, version);
        Ok(state)
    }

    /// Loads a snapshot, if there is one, and changes.
    async fn load_into<'a>(
        &'a self,
        state: &mut State,
        snapshot: &'a [BlobRef],
        deltas: &'a [BlobRef],
    ) -> Result<(), Answer> {
        let blobs = |blobs: &'a [BlobRef]| try_join_all(blobs.iter().map(|blob| self.blob(blob)));
        let (parts, changes) = try_join(blobs(snapshot), blobs(deltas)).await?;
        if let Some(first) = snapshot.first() {
            self.env.mark("snapshot.loaded");
            *state = State::from_parts(&parts).map_err(|error| undecodable(first, &error))?;
        }
        for (blob, bytes) in deltas.iter().zip(changes) {
            let delta = Delta::decode(&bytes).map_err(|error| undecodable(blob, &error))?;
            state.apply(&delta);
        }
        Ok(())
    }

    async fn blob(&self, blob: &BlobRef) -> Result<bytes::Bytes, Answer> {
        self.stores.get_blob(blob, PATIENCE).await.map_err(Answer::Failed)
    }

    /// Writes the version that a task leaves.
    async fn keep_state(
        &self,
        task: &ReduceTask,
        mut base: Rc<State>,
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
        let of = if task.snapshot {
            self.cache.borrow_mut().forget(slot);
            Rc::make_mut(&mut base).apply(&delta);
            let parts = base.parts(PART_BYTES_MAX);
            let snapshot = parts.into_iter().map(|part| self.keep_blob("state", at, part));
            StateRef { uid, snapshot: try_join_all(snapshot).await?, deltas: Vec::new() }
        } else {
            let blob = self.keep_blob("state", at, delta.encode()).await?;
            self.cache.borrow_mut().forget(slot);
            Rc::make_mut(&mut base).apply(&delta);
            let StateRef { snapshot, mut deltas, .. } = task.base.clone();
            deltas.push(blob);
            StateRef { uid, snapshot, deltas }
        };
        let version = Version { of: of.clone(), state: base, before };
        self.cache.borrow_mut().keep(slot, version);
        Ok(of)
    }
}

fn undecodable(blob: &BlobRef, error: &impl std::fmt::Display) -> Answer {
    Answer::Failed(format!("blob {}: {error}", blob.name))
}

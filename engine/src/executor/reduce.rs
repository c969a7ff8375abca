//! Tasks of later stages: a part of the state takes in an epoch, and gives out what its watermark
//! closes.
//!
//! State version N is version N - 1 and what changed. It is written before the commit names it:
//! what changed, or now and then the whole. A version kept in memory is used only if its number is
//! the one that the task names.

use std::{collections::BTreeMap, rc::Rc};

use futures_util::future::{try_join, try_join_all};
use tracing::info;
use unplug_sim::env::Env;

use super::{PATIENCE, output::At};
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

/// A stage, and a state partition of it.
type Slot = (u16, u16);

/// The latest state version that this executor computed or loaded of each state partition.
#[derive(Debug, Default)]
pub(super) struct StateCache(BTreeMap<Slot, (u64, Rc<State>)>);

impl StateCache {
    /// The state of this version, if it is here.
    fn get(&self, state: Slot, uid: u64) -> Option<Rc<State>> {
        let (known, kept) = self.0.get(&state)?;
        (*known == uid).then(|| Rc::clone(kept))
    }

    fn keep(&mut self, state: Slot, uid: u64, kept: Rc<State>) {
        self.0.insert(state, (uid, kept));
    }

    /// Forgets what is kept, so that a state whose last holder goes on changing it need not be
    /// copied.
    fn forget(&mut self, state: Slot) {
        self.0.remove(&state);
    }
}

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

    /// The state that a task goes on from.
    async fn load<'a>(&'a self, task: &'a ReduceTask) -> Result<Rc<State>, Answer> {
        let StateRef { uid, snapshot, deltas } = &task.base;
        if *uid == 0 {
            return Ok(Rc::default());
        }
        if let Some(state) = self.cache.borrow().get((task.stage, task.state), *uid) {
            return Ok(state);
        }
        info!(epoch = task.epoch.0, part = task.state, "loads a state");
        let blobs = |blobs: &'a [BlobRef]| try_join_all(blobs.iter().map(|blob| self.blob(blob)));
        let (parts, changes) = try_join(blobs(snapshot), blobs(deltas)).await?;
        let mut state = if snapshot.is_empty() {
            State::default()
        } else {
            self.env.mark("snapshot.loaded");
            State::from_parts(&parts).map_err(|error| undecodable(&snapshot[0], &error))?
        };
        for (blob, bytes) in deltas.iter().zip(changes) {
            let delta = Delta::decode(&bytes).map_err(|error| undecodable(blob, &error))?;
            state.apply(&delta);
        }
        if self.config.defects.has(Defect::DedupForgetsOnRestore) {
            state.forget_seen();
        }
        let bytes: u64 = snapshot.iter().chain(deltas).map(|blob| blob.bytes).sum();
        info!(epoch = task.epoch.0, part = task.state, bytes, "loaded a state");
        Ok(Rc::new(state))
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
        if delta.is_empty() {
            self.cache.borrow_mut().keep((task.stage, task.state), task.base.uid, base);
            return Ok(task.base.clone());
        }
        let uid = self.env.random().max(1);
        let kept = if task.snapshot {
            self.cache.borrow_mut().forget((task.stage, task.state));
            Rc::make_mut(&mut base).apply(&delta);
            let parts = base.parts(PART_BYTES_MAX);
            let snapshot = parts.into_iter().map(|part| self.keep_blob("state", at, part));
            StateRef { uid, snapshot: try_join_all(snapshot).await?, deltas: Vec::new() }
        } else {
            let blob = self.keep_blob("state", at, delta.encode()).await?;
            self.cache.borrow_mut().forget((task.stage, task.state));
            Rc::make_mut(&mut base).apply(&delta);
            let StateRef { snapshot, mut deltas, .. } = task.base.clone();
            deltas.push(blob);
            StateRef { uid, snapshot, deltas }
        };
        self.cache.borrow_mut().keep((task.stage, task.state), uid, base);
        Ok(kept)
    }
}

fn undecodable(blob: &BlobRef, error: &impl std::fmt::Display) -> Answer {
    Answer::Failed(format!("blob {}: {error}", blob.name))
}

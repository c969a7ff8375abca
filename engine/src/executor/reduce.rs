//! Reduce tasks: a part of the state takes in an epoch, and gives out what its watermark closes.
//!
//! State version N is version N - 1 and what changed. It is written before the commit names it:
//! what changed, or now and then the whole. A version kept in memory is used only if its number is
//! the one that the task names.

use std::{collections::BTreeMap, rc::Rc};

use futures_util::future::try_join_all;
use tracing::info;
use unplug_sim::env::Env;

use super::{PATIENCE, output::At};
use crate::{
    epoch::{BlobRef, StateRef},
    pipeline::window,
    state::{Delta, State},
    steps::Step,
    task::{Answer, ReduceTask, Reduced},
    tuple::Partition,
};

/// The number of the sink that takes the rows of closed windows.
const TABLE: u16 = 0;
/// The number of the sink that takes late rows.
const LATE: u16 = 1;

/// How many bytes a part of a snapshot holds at the most.
const PART_BYTES_MAX: usize = 512 * 1024;

/// The latest state version that this executor computed or loaded of each state partition.
#[derive(Debug, Default)]
pub(super) struct StateCache(BTreeMap<u16, (u64, Rc<State>)>);

impl StateCache {
    /// The state of this version, if it is here.
    fn get(&self, state: u16, uid: u64) -> Option<Rc<State>> {
        let (known, kept) = self.0.get(&state)?;
        (*known == uid).then(|| Rc::clone(kept))
    }

    fn keep(&mut self, state: u16, uid: u64, kept: Rc<State>) {
        self.0.insert(state, (uid, kept));
    }

    /// Forgets what is kept, so that a state whose last holder goes on changing it need not be
    /// copied.
    fn forget(&mut self, state: u16) {
        self.0.remove(&state);
    }
}

impl<E: Env> super::State<E> {
    pub(super) async fn reduce(&self, task: &ReduceTask) -> Result<Answer, Answer> {
        let (base, reduced) = {
            let _step = Step::Tasks.enter(&self.env);
            let rows = self.fetch_all(task).await?;
            info!(epoch = task.epoch.0, part = task.state, tuples = rows.len(), "reduces");
            self.work(task.epoch, rows.len()).await?;
            let base = self.load(task).await?;
            let window = self.config.pipeline.window().ok_or_else(|| {
                Answer::Refused("a reduce task in a pipeline without a window".to_owned())
            })?;
            let reduced = window.reduce(&base, &rows, task.watermark_ms).map_err(|reason| {
                Answer::Refused(format!("epoch {}, state {}: {reason}", task.epoch, task.state))
            })?;
            (base, reduced)
        };
        let _step = Step::Blobs.enter(&self.env);
        let window::Reduced { rows, late, delta } = reduced;
        if !late.is_empty() {
            self.env.mark("late.routed");
        }
        let at = (task.epoch, Partition(task.state), task.attempt);
        let mut outputs = self.keep_rows(at, TABLE, rows).await?;
        outputs.extend(self.keep_rows(at, LATE, late).await?);
        let state = self.keep_state(task, base, delta).await?;
        Ok(Answer::Reduced(Reduced { outputs, state }))
    }

    /// The state that a task goes on from.
    async fn load(&self, task: &ReduceTask) -> Result<Rc<State>, Answer> {
        let StateRef { uid, snapshot, deltas } = &task.base;
        if *uid == 0 {
            return Ok(Rc::default());
        }
        if let Some(state) = self.cache.borrow().get(task.state, *uid) {
            return Ok(state);
        }
        info!(epoch = task.epoch.0, part = task.state, "loads a state");
        let mut state = if snapshot.is_empty() {
            State::default()
        } else {
            let parts = try_join_all(snapshot.iter().map(|blob| self.blob(blob))).await?;
            self.env.mark("snapshot.loaded");
            State::from_parts(&parts).map_err(|error| undecodable(&snapshot[0], &error))?
        };
        for (blob, bytes) in
            deltas.iter().zip(try_join_all(deltas.iter().map(|one| self.blob(one))).await?)
        {
            let delta = Delta::decode(&bytes).map_err(|error| undecodable(blob, &error))?;
            state.apply(&delta);
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
            self.cache.borrow_mut().keep(task.state, task.base.uid, base);
            return Ok(task.base.clone());
        }
        let uid = self.env.random().max(1);
        let kept = if task.snapshot {
            self.cache.borrow_mut().forget(task.state);
            Rc::make_mut(&mut base).apply(&delta);
            let parts = base.parts(PART_BYTES_MAX);
            let snapshot = parts.into_iter().map(|part| self.keep_blob("state", at, part));
            StateRef { uid, snapshot: try_join_all(snapshot).await?, deltas: Vec::new() }
        } else {
            let blob = self.keep_blob("state", at, delta.encode()).await?;
            self.cache.borrow_mut().forget(task.state);
            Rc::make_mut(&mut base).apply(&delta);
            let StateRef { snapshot, mut deltas, .. } = task.base.clone();
            deltas.push(blob);
            StateRef { uid, snapshot, deltas }
        };
        self.cache.borrow_mut().keep(task.state, uid, base);
        Ok(kept)
    }
}

fn undecodable(blob: &BlobRef, error: &impl std::fmt::Display) -> Answer {
    Answer::Failed(format!("blob {}: {error}", blob.name))
}

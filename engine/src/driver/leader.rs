//! The epochs of a leadership: recovery, then plan, tasks, commit, publication, one after another.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "an answer that does not belong to the request ends the work, whichever it is"
)]

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    iter,
    rc::Rc,
};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use tracing::info;
use unplug_sim::env::{Env, Instant, Refusal};

use super::{
    End, Node, PAUSE,
    core::{
        plan::{self, Before, Limits, Results},
        recovery,
        tasks::Record,
    },
    decoded,
    transactions::Content,
    unexpected,
};
use crate::{
    broker,
    codec::{self, Kind},
    config::Trigger,
    defect::Defect,
    epoch::{CommitRecord, FloorRecord, OffsetsRecord, register},
    progress::{Progress, Watch},
    steps::Step,
    stores::Scan,
    tuple::{Epoch, Generation, Offset, OffsetRange},
};

/// So many epochs that read something a leadership plans before the interval counts: when the one before
/// planned its last, it does not know. The first reads what arrived until then.
const EARLY_EPOCHS: u32 = 2;

/// A driver that leads.
pub(super) struct Leader<E: Env> {
    pub(super) node: Rc<Node<E>>,
    pub(super) generation: Generation,
    pub(super) record: RefCell<Record>,
    /// The highest floor that is known.
    pub(super) floor: RefCell<Option<FloorRecord>>,
    /// The epoch that the source was last trimmed behind.
    pub(super) trimmed_to: Cell<Epoch>,
    /// When it last found something to read, and how many tuples there were beyond the epoch.
    found: Cell<Option<(Instant, u64)>>,
}

/// What was decided and is not below the floor.
struct Decided {
    offsets: Vec<(u64, Bytes)>,
    commits: Vec<(u64, Bytes)>,
}

impl<E: Env> Leader<E> {
    pub(super) fn new(node: Rc<Node<E>>, generation: Generation) -> Self {
        let record = RefCell::new(Record::new(generation));
        let (floor, trimmed_to, found) = (RefCell::default(), Cell::default(), Cell::default());
        Self { node, generation, record, floor, trimmed_to, found }
    }

    /// Leads until another does, or something is wrong.
    pub(super) async fn lead(&self) -> End {
        match self.epochs().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn epochs(&self) -> Result<Infallible, End> {
        let Node { env, config, .. } = &*self.node;
        let (mut before, mut planned) = self.recover().await?;
        info!(epoch = before.as_ref().map_or(0, |before| before.offsets.epoch.0), "goes on");
        let until = match config.trigger {
            Trigger::Interval | Trigger::AsFastAsPossible => None,
            Trigger::AvailableNow => Some(self.ends().await?),
        };
        let mut early = EARLY_EPOCHS;
        loop {
            self.check_succession()?;
            let started = env.now();
            let again = planned.is_some();
            let offsets = match planned.take() {
                Some(offsets) => offsets,
                None => self.plan(before.as_ref(), until.as_deref()).await?,
            };
            let found = self.found.take();
            let mut watch = Watch::start(found.map_or(started, |(at, _)| at));
            watch.lap(env.now());
            if offsets.pipeline != config.pipeline.fingerprint() {
                return Err(End::Refused(Refusal::new(format!(
                    "offsets/{} was planned for another pipeline; run that one until the epoch is \
                     committed, then change it",
                    offsets.epoch
                ))));
            }
            let results = match self.run_tasks(&offsets, before.as_ref()).await {
                Err(End::Trimmed(refusal)) => {
                    return Err(self.trimmed(offsets.epoch, refusal).await);
                }
                ran => ran?,
            };
            watch.lap(env.now());
            let tuple_bytes = results.bytes;
            let commit = self.commit(&offsets, results, before.as_ref()).await?;
            watch.lap(env.now());
            self.apply(&offsets, &commit).await?;
            watch.lap(env.now());
            env.mark("epoch.published");
            info!(epoch = offsets.epoch.0, "epoch published");
            let done = Before { offsets, commit };
            let known = (found.map(|(_, lag_tuples)| lag_tuples), tuple_bytes);
            let progress = Progress::of(&done, self.generation, known, &watch);
            progress.say();
            self.node.progress.replace(Some(progress));
            if !again && done.offsets.ranges.iter().any(|range| !range.is_empty()) {
                early = early.saturating_sub(1);
            }
            if done.offsets.epoch.0.is_multiple_of(config.collect_every) {
                self.collect(&done).await?;
            }
            let full = |range: &OffsetRange| range.len() >= config.epoch_tuples_max;
            // What arrived meanwhile, or found no room in it, has waited long enough.
            let behind = again || early > 0 || done.offsets.ranges.iter().any(full);
            before = Some(done);
            if !behind && config.trigger == Trigger::Interval {
                env.sleep_until(started + config.epoch_interval).await;
            }
        }
    }

    /// What an epoch was to read is not there any more. It is over then, and this leader was succeeded;
    /// or what was planned is lost, which must not be passed over.
    async fn trimmed(&self, epoch: Epoch, refusal: Refusal) -> End {
        match self.scan(register::OFFSETS).await {
            Ok(Scan { floor: Some(floor), .. }) if floor.epoch >= epoch => End::Succeeded,
            Ok(_) => End::Refused(refusal),
            Err(end) => end,
        }
    }

    /// Finds out from the registers where to go on, and brings the sinks up.
    async fn recover(&self) -> Result<(Option<Before>, Option<OffsetsRecord>), End> {
        // The sinks first: what one has published by now was decided before.
        let (behind, ahead) = self.published().await?;
        let decided = self.decided().await?;
        let numbers = |registers: &[(u64, Bytes)]| {
            registers.iter().map(|(number, _)| *number).collect::<Vec<_>>()
        };
        let (offsets, commits) = (numbers(&decided.offsets), numbers(&decided.commits));
        let floor = *self.floor.borrow();
        let resume = recovery::resume(floor, &offsets, &commits)?;
        if ahead > resume.committed {
            return Err(End::Refused(Refusal::new(format!(
                "a sink has published epoch {ahead}, and the last commit is commits/{}; restore \
                 the stores from copies, nothing was changed",
                resume.committed
            ))));
        }
        self.catch_up(&decided, behind, resume.committed).await?;
        let before = decided.epoch(resume.committed)?;
        let planned = match decided.offsets.last() {
            Some((number, value)) if *number > resume.committed.0 => {
                Some(decoded(&register::offsets(Epoch(*number)), value)?)
            }
            _ => None,
        };
        if let Some(before) = &before {
            self.record.borrow_mut().held(&self.node.held.borrow(), |task| before.state(task));
        }
        Ok((before, planned))
    }

    /// Reads all registers of epochs at or above the floor.
    async fn decided(&self) -> Result<Decided, End> {
        let mut commits_before = None;
        loop {
            // In this order: a plan may come in between, a commit without a plan may not.
            let commits = self.scan(register::COMMITS).await?;
            let offsets = self.scan(register::OFFSETS).await?;
            // Between the two, one that was about to be succeeded may have raised the floor, or
            // have gone on by more than a plan.
            let went_on = offsets.registers.len() > commits.registers.len() + 1
                && commits_before != Some(commits.registers.len());
            commits_before = Some(commits.registers.len());
            if offsets.floor != commits.floor || went_on {
                continue;
            }
            *self.floor.borrow_mut() = offsets.floor;
            let numbered = |scan: Scan| {
                let numbers = scan.registers.into_iter().map(|(name, value)| {
                    register::number(&name)
                        .map(|number| (number, value))
                        .ok_or_else(|| Refusal::new(format!("the register {name} has no number")))
                });
                numbers.collect::<Result<Vec<_>, _>>()
            };
            return Ok(Decided { offsets: numbered(offsets)?, commits: numbered(commits)? });
        }
    }

    async fn scan(&self, prefix: &str) -> Result<Scan, End> {
        Ok(self.node.stores.scan(self.generation, prefix).await?)
    }

    /// Has the sinks publish what was committed and is missing there, in order.
    async fn catch_up(
        &self,
        decided: &Decided,
        mut published: Epoch,
        committed: Epoch,
    ) -> Result<(), End> {
        let lowest = self.floor.borrow().map_or(Epoch(0), |floor| floor.epoch);
        if published < lowest {
            // It was asked before the floor was read; one below the floor must have come up since.
            published = self.published().await?.0;
        }
        if published < lowest {
            return Err(End::Refused(Refusal::new(format!(
                "a sink has published epoch {published}, and the floor is epoch {lowest}: what it \
                 lacks was collected; restore the sink's disk from a copy, nothing was changed"
            ))));
        }
        for epoch in (published.0 + 1..=committed.0).map(Epoch) {
            if let Some(Before { offsets, commit }) = decided.epoch(epoch)? {
                self.apply(&offsets, &commit).await?;
            }
        }
        Ok(())
    }

    /// Step 2: has the next epoch's plan decided, once there is input; up to these ends, if they are
    /// given.
    async fn plan(
        &self,
        before: Option<&Before>,
        until: Option<&[Offset]>,
    ) -> Result<OffsetsRecord, End> {
        let Node { env, config, .. } = &*self.node;
        let state_partitions =
            if config.pipeline.stages() > 0 { config.state_partitions } else { 0 };
        let began = env.now();
        loop {
            let limits = Limits {
                tuples_max: config.epoch_tuples_max,
                wall_ms: env.wall().0 / 1_000_000,
                idle_after_ms: u64::try_from(config.idle_after.as_millis()).unwrap_or(u64::MAX),
                pipeline: config.pipeline.fingerprint(),
                state_partitions,
            };
            let mut ends = self.ends().await?;
            let known = before.map_or(0, |before| before.offsets.ranges.len());
            if ends.len() < known {
                return Err(End::Refused(Refusal::new(format!(
                    "the broker has {} partitions, and the last epoch read {known}; restore the \
                     broker's log from a copy, nothing was changed",
                    ends.len()
                ))));
            }
            if let Some(lasts) = until {
                // Partitions that were added since have no end of this list.
                let lasts = lasts.iter().copied().chain(iter::repeat(Offset(0)));
                ends.iter_mut().zip(lasts).for_each(|(end, last)| *end = (*end).min(last));
            }
            if let Some(plan) = plan::plan(before, &ends, limits) {
                if known > 0 && plan.ranges.len() > known {
                    env.mark("partitions.learnt");
                    info!(partitions = plan.ranges.len(), "partitions were added to the source");
                }
                let left = ends.iter().zip(&plan.ranges);
                let lag_tuples = left.map(|(end, range)| end.0.saturating_sub(range.end.0)).sum();
                self.found.set(Some((env.now(), lag_tuples)));
                let _step = Step::Offsets.enter(env);
                let name = register::offsets(plan.epoch);
                let offsets = self.decide(name, &plan, leadership(before)).await?;
                env.mark("offsets.decided");
                info!(epoch = offsets.epoch.0, "offsets decided");
                return Ok(offsets);
            }
            if until.is_some() {
                return Err(End::Finished);
            }
            self.check_succession()?;
            if let Some(before) = before
                && env.now() >= began + config.epoch_interval
            {
                self.make_room(before).await?;
            }
            env.sleep(PAUSE).await;
        }
    }

    /// Where the source may have only so many bytes, producers may wait for it to be trimmed, and
    /// while they wait no epoch comes that would.
    async fn make_room(&self, before: &Before) -> Result<(), End> {
        let config = &self.node.config;
        let bounded = config.source_bytes_max.is_some();
        let epoch = before.offsets.epoch;
        if !bounded
            || self.trimmed_to.get() >= epoch
            || config.defects.has(Defect::FullSourceNotTrimmed)
        {
            return Ok(());
        }
        let floor = *self.floor.borrow();
        if floor.is_some_and(|floor| floor.epoch >= epoch) {
            self.trim(before).await
        } else {
            self.collect(before).await
        }
    }

    /// Between two epochs a leader that heard of a later one gives way by itself. In the midst of
    /// one it goes on until it is refused: nothing depends on what it hears.
    pub(super) fn check_succession(&self) -> Result<(), End> {
        let fenced = !self.node.config.defects.has(Defect::ZombieNotFenced);
        let later = fenced && self.node.election.borrow().generation() > self.generation;
        if later { Err(End::Succeeded) } else { Ok(()) }
    }

    async fn ends(&self) -> Result<Vec<Offset>, End> {
        let broker = self.node.config.cluster.broker;
        match self.node.rpc.insist(broker, &broker::Request::Ends).await {
            broker::Answer::Ends(ends) => Ok(ends),
            other => Err(unexpected("broker", &other).into()),
        }
    }

    /// Step 5: has what the epoch came to decided. Another may have been quicker; its word counts.
    async fn commit(
        &self,
        offsets: &OffsetsRecord,
        results: Results,
        before: Option<&Before>,
    ) -> Result<CommitRecord, End> {
        let Node { env, config, .. } = &*self.node;
        let _step = Step::Commit.enter(env);
        let mut commit = CommitRecord {
            generation: self.generation,
            ..plan::commit(offsets, results, before, config.pipeline.delay_ms())
        };
        if plan::passes_over_idle(offsets, &commit) {
            env.mark("idle.passed");
        }
        if self.has_transactions() {
            self.prepare(Content { commit: &commit, cut: &offsets.cut() }).await?;
        }
        let watermark_ms = commit.next_watermark_ms;
        if config.defects.has(Defect::WatermarkNotCommitted) {
            commit.next_watermark_ms = 0;
        }
        let name = register::commit(offsets.epoch);
        let mut commit: CommitRecord = self.decide(name, &commit, leadership(before)).await?;
        env.mark("commit.decided");
        info!(epoch = offsets.epoch.0, "commit decided");
        if config.defects.has(Defect::WatermarkNotCommitted) {
            commit.next_watermark_ms = watermark_ms;
        }
        Ok(commit)
    }

    /// Has a register decided, and gives the decision. `follows` is the leadership that proposed
    /// the decided record before it. That is agreed, so it is one at the most, which may leave a
    /// round out. In a leadership no register is decided twice.
    pub(super) async fn decide<T: Serialize + DeserializeOwned + Clone>(
        &self,
        name: String,
        value: &T,
        follows: Option<Generation>,
    ) -> Result<T, End> {
        let (stores, bytes) = (&self.node.stores, codec::encode(Kind::Register, value));
        let decided = if follows == Some(self.generation) {
            stores.decide_first(self.generation, &name, bytes).await?
        } else {
            stores.decide(self.generation, &name, bytes).await?
        };
        if self.node.config.defects.has(Defect::ZombieNotFenced) {
            return Ok(value.clone());
        }
        Ok(decoded(&name, &decided)?)
    }
}

/// The leadership whose commit an epoch follows.
fn leadership(before: Option<&Before>) -> Option<Generation> {
    before.map(|before| before.commit.generation)
}

impl Decided {
    /// What was decided for a committed epoch; nothing for epoch 0.
    fn epoch(&self, epoch: Epoch) -> Result<Option<Before>, Refusal> {
        if epoch == Epoch(0) {
            return Ok(None);
        }
        let find = |registers: &[(u64, Bytes)], name: &str| {
            let found = registers.iter().find(|(number, _)| *number == epoch.0);
            found.map(|(_, value)| value.clone()).ok_or_else(|| {
                Refusal::new(format!(
                    "{name} is missing, and was there before; restore the stores from copies"
                ))
            })
        };
        let (offsets, commit) = (register::offsets(epoch), register::commit(epoch));
        Ok(Some(Before {
            offsets: decoded(&offsets, &find(&self.offsets, &offsets)?)?,
            commit: decoded(&commit, &find(&self.commits, &commit)?)?,
        }))
    }
}

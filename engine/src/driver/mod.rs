//! The driver: leads the epochs, one after another.
//!
//! It keeps nothing. All that it decides is a register, decided before anything is done about it;
//! so a new leader, on any node and after any crash, reads the registers and goes on. What it
//! decides is in [`core`]; here it is carried out.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "an answer that does not belong to the request ends the work, whichever it is"
)]

pub mod core;

use std::{cell::RefCell, rc::Rc, time::Duration};

use bytes::Bytes;
use futures_util::future::{Either, select, try_join_all};
use serde::{Serialize, de::DeserializeOwned};
use unplug_sim::env::{Env, Exit, Refusal};

use self::core::{Attempts, Before, Limits};
use crate::{
    broker,
    codec::{self, Kind},
    config::Config,
    epoch::{CommitRecord, GenerationRecord, OffsetsRecord, OutputRef, register},
    executor,
    rpc::Rpc,
    sink,
    steps::Step,
    stores::{Stores, StoresError},
    tuple::{Epoch, Generation, Offset},
};

/// How long the driver waits before it asks again for what was not there.
const PAUSE: Duration = Duration::from_millis(20);

/// Why a leadership ended.
enum End {
    /// Another leads: start again from the beginning.
    Fenced,
    /// This must not go on.
    Refused(Refusal),
}

impl From<StoresError> for End {
    fn from(error: StoresError) -> Self {
        match error {
            StoresError::Fenced(_) | StoresError::BelowFloor(_) => Self::Fenced,
            StoresError::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Runs a driver.
///
/// # Errors
/// A gap or damage in what was decided; an input that does not fit the pipeline.
pub async fn run<E: Env>(env: E, config: Rc<Config>) -> Exit {
    let rpc = Rpc::open(&env)?;
    // A driver answers nothing; this hands answers to its calls.
    let answers = rpc.clone().serve(async |(): ()| Ok::<_, Refusal>(()));
    let leading = async {
        loop {
            let leader = Leader::elected(env.clone(), rpc.clone(), Rc::clone(&config)).await?;
            match leader.lead().await {
                End::Fenced => env.sleep(PAUSE).await,
                End::Refused(refusal) => return Err::<(), _>(refusal),
            }
        }
    };
    match select(std::pin::pin!(answers), std::pin::pin!(leading)).await {
        Either::Left((exit, _)) | Either::Right((exit, _)) => exit,
    }
}

/// A driver that leads.
struct Leader<E: Env> {
    env: E,
    rpc: Rpc<E>,
    stores: Stores<E>,
    config: Rc<Config>,
    generation: Generation,
    attempts: RefCell<Attempts>,
}

impl<E: Env> Leader<E> {
    /// Step 1: has the next generation decided for itself.
    async fn elected(env: E, rpc: Rpc<E>, config: Rc<Config>) -> Result<Self, Refusal> {
        let _step = Step::Generation.enter(&env);
        let record = GenerationRecord { node: env.node(), nonce: env.random() };
        let stores = Stores::new(&env, rpc.clone(), Rc::clone(&config));
        loop {
            let numbers = match numbers(&stores, Generation(0), register::GENERATIONS).await {
                Ok(numbers) => numbers,
                Err(End::Fenced) => continue,
                Err(End::Refused(refusal)) => return Err(refusal),
            };
            let generation = Generation(numbers.last().copied().unwrap_or(0) + 1);
            let name = register::generation(generation);
            match decide(&stores, generation, name, &record).await {
                Ok(winner) if winner == record => {
                    env.mark("leader.elected");
                    let executors = config.cluster.executors.clone();
                    let attempts = RefCell::new(Attempts::new(generation, executors));
                    let env = env.clone();
                    return Ok(Self { env, rpc, stores, config, generation, attempts });
                }
                // Another was quicker; the next number may be free.
                Ok(_) | Err(End::Fenced) => env.sleep(PAUSE).await,
                Err(End::Refused(refusal)) => return Err(refusal),
            }
        }
    }

    /// Leads until another does, or something is wrong.
    async fn lead(&self) -> End {
        match self.epochs().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn epochs(&self) -> Result<std::convert::Infallible, End> {
        let offsets = numbers(&self.stores, self.generation, register::OFFSETS).await?;
        let commits = numbers(&self.stores, self.generation, register::COMMITS).await?;
        let resume = core::resume(&offsets, &commits)?;
        self.catch_up(resume.committed).await?;
        let mut before = self.load(resume.committed).await?;
        let mut planned = match resume.planned {
            planned if planned == resume.committed => None,
            planned => Some(self.read::<OffsetsRecord>(register::offsets(planned)).await?),
        };
        loop {
            let started = self.env.now();
            let offsets = match planned.take() {
                Some(offsets) => offsets,
                None => self.plan(before.as_ref()).await?,
            };
            if offsets.pipeline != self.config.pipeline.fingerprint() {
                return Err(End::Refused(Refusal(format!(
                    "offsets/{} was planned for another pipeline; run that one until the epoch is \
                     committed, then change it",
                    offsets.epoch
                ))));
            }
            let outputs = self.run_tasks(&offsets).await?;
            let commit = self.commit(&offsets, outputs, before.as_ref()).await?;
            self.apply(&offsets, &commit).await?;
            before = Some(Before { offsets, commit });
            self.env.sleep_until(started + self.config.epoch_interval).await;
        }
    }

    /// Step 2: has the next epoch's plan decided, once there is input.
    async fn plan(&self, before: Option<&Before>) -> Result<OffsetsRecord, End> {
        loop {
            let limits = Limits {
                tuples_max: self.config.epoch_tuples_max,
                wall_ms: self.env.wall().0 / 1_000_000,
                pipeline: self.config.pipeline.fingerprint(),
            };
            if let Some(plan) = core::plan(before, &self.ends().await?, limits) {
                let _step = Step::Offsets.enter(&self.env);
                let offsets = self.decide(register::offsets(plan.epoch), &plan).await?;
                self.env.mark("offsets.decided");
                return Ok(offsets);
            }
            self.env.sleep(PAUSE).await;
        }
    }

    async fn ends(&self) -> Result<Vec<Offset>, End> {
        let broker = self.config.cluster.broker;
        match self.rpc.insist(broker, &broker::Request::Ends).await {
            broker::Answer::Ends(ends) => Ok(ends),
            other => Err(unexpected("broker", &other).into()),
        }
    }

    /// Steps 3 and 4: all tasks, each until an attempt at it is done.
    async fn run_tasks(&self, offsets: &OffsetsRecord) -> Result<Vec<OutputRef>, End> {
        let busy = offsets.ranges.iter().enumerate().filter(|(_, range)| !range.is_empty());
        try_join_all(busy.map(|(place, _)| self.run_task(offsets, place))).await
    }

    async fn run_task(&self, offsets: &OffsetsRecord, place: usize) -> Result<OutputRef, End> {
        for before in 0.. {
            let (task, executor) = self.attempts.borrow_mut().next(offsets, place, before);
            match self.rpc.call(executor, &task, self.config.task_timeout).await {
                Ok(executor::Answer::Done(output)) => return Ok(output),
                Ok(executor::Answer::Refused(reason)) => return Err(Refusal(reason).into()),
                Ok(executor::Answer::Fenced(_)) => return Err(End::Fenced),
                Ok(executor::Answer::Failed(_)) => self.env.sleep(PAUSE).await,
                Err(_) => {}
            }
        }
        unreachable!("attempts never run out")
    }

    /// Step 5: has what the epoch came to decided. Another may have been quicker; its word counts.
    async fn commit(
        &self,
        offsets: &OffsetsRecord,
        outputs: Vec<OutputRef>,
        before: Option<&Before>,
    ) -> Result<CommitRecord, End> {
        let _step = Step::Commit.enter(&self.env);
        let commit = core::commit(offsets, outputs, before);
        let commit = self.decide(register::commit(offsets.epoch), &commit).await?;
        self.env.mark("commit.decided");
        Ok(commit)
    }

    /// Step 6: has the sink publish the epoch.
    async fn apply(&self, offsets: &OffsetsRecord, commit: &CommitRecord) -> Result<(), End> {
        let request = sink::Request::Apply {
            generation: self.generation,
            commit: commit.clone(),
            cut: offsets.cut(),
        };
        loop {
            match self.rpc.insist(self.config.cluster.sinks[0], &request).await {
                sink::Answer::Published(epoch) if epoch >= commit.epoch => return Ok(()),
                sink::Answer::Fenced(_) => return Err(End::Fenced),
                sink::Answer::Failed(_) => self.env.sleep(PAUSE).await,
                other => return Err(unexpected("sink", &other).into()),
            }
        }
    }

    /// Has the sink publish what was committed and is missing there, in order.
    async fn catch_up(&self, committed: Epoch) -> Result<(), End> {
        let sink = self.config.cluster.sinks[0];
        let published = match self.rpc.insist(sink, &sink::Request::Published).await {
            sink::Answer::Published(epoch) => epoch,
            other => return Err(unexpected("sink", &other).into()),
        };
        if published > committed {
            return Err(End::Refused(Refusal(format!(
                "the sink has published epoch {published}, and the last commit is \
                 commits/{committed}; restore the stores from copies, nothing was changed"
            ))));
        }
        for epoch in (published.0 + 1..=committed.0).map(Epoch) {
            if let Some(Before { offsets, commit }) = self.load(epoch).await? {
                self.apply(&offsets, &commit).await?;
            }
        }
        Ok(())
    }

    /// What was decided for a committed epoch; nothing for epoch 0.
    async fn load(&self, epoch: Epoch) -> Result<Option<Before>, End> {
        if epoch == Epoch(0) {
            return Ok(None);
        }
        let offsets = self.read(register::offsets(epoch)).await?;
        let commit = self.read(register::commit(epoch)).await?;
        Ok(Some(Before { offsets, commit }))
    }

    /// Has a register decided, and gives the decision.
    async fn decide<T: Serialize + DeserializeOwned>(
        &self,
        name: String,
        value: &T,
    ) -> Result<T, End> {
        decide(&self.stores, self.generation, name, value).await
    }

    /// Reads a register that is decided.
    async fn read<T: DeserializeOwned>(&self, name: String) -> Result<T, End> {
        match self.stores.read(self.generation, &name).await? {
            Some(value) => Ok(decoded(&name, &value)?),
            None => Err(End::Refused(Refusal(format!(
                "{name} is missing, and was there before; restore the stores from copies"
            )))),
        }
    }
}

async fn decide<E: Env, T: Serialize + DeserializeOwned>(
    stores: &Stores<E>,
    generation: Generation,
    name: String,
    value: &T,
) -> Result<T, End> {
    let value = codec::encode(Kind::Register, value);
    let decided = stores.decide(generation, &name, value).await?;
    Ok(decoded(&name, &decided)?)
}

/// The numbers of the decided registers of a kind, ascending.
async fn numbers<E: Env>(
    stores: &Stores<E>,
    generation: Generation,
    prefix: &str,
) -> Result<Vec<u64>, End> {
    let number = |(name, _): &(String, Bytes)| {
        register::number(name)
            .ok_or_else(|| End::Refused(Refusal(format!("the register {name} has no number"))))
    };
    stores.scan(generation, prefix).await?.registers.iter().map(number).collect()
}

fn decoded<T: DeserializeOwned>(name: &str, value: &Bytes) -> Result<T, Refusal> {
    codec::decode(Kind::Register, value).map_err(|error| Refusal(format!("{name}: {error}")))
}

fn unexpected(role: &str, answer: &impl std::fmt::Debug) -> Refusal {
    Refusal(format!("the {role} answers {answer:?}; does it run the same version?"))
}

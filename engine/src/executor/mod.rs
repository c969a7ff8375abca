//! The executor: runs attempts at tasks. Whatever becomes of an attempt, it leaves nothing behind
//! that anyone reads unless a commit names it.
//!
//! - this file: which attempts are taken, and map tasks;
//! - `shuffle`: the blocks that map tasks keep for reduce tasks;
//! - `reduce`: reduce tasks, with the states that they go on from;
//! - `cache`: those states, in memory;
//! - `output`: rows as blobs;
//! - `runaway`: planted tasks that break the run.

mod cache;
mod output;
mod reduce;
mod runaway;
mod shuffle;

use std::{
    cell::{Cell, RefCell},
    future::pending,
    rc::Rc,
    time::Duration,
};

use futures_util::future::{Either, select};
use tracing::info;
use unplug_sim::env::{Env, Exit, Refusal};

use self::{cache::StateCache, shuffle::Blocks};
use crate::{
    broker,
    config::Config,
    defect::Defect,
    driver,
    pipeline::Gone,
    rpc::{Handling, Rpc},
    steps::Step,
    stores::Stores,
    task::{self, Done, MapTask, ReduceTask, Request},
    tuple::{Attempt, Epoch, Generation, Offset, Tuple},
};

pub use output::OUTPUT_BYTES_MAX;

/// CPU time is taken in slices of about so long, so that an attempt that nobody waits for any more
/// does not keep the executor from others.
const SLICE: Duration = Duration::from_millis(5);

/// How long broker and stores may take to answer before an attempt is given up.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is answered; the rows of a block stay where they are.
type Answer = task::Answer<shuffle::Page>;

/// What an attempt is made at.
#[derive(Clone, PartialEq)]
enum Task {
    Map(MapTask),
    Reduce(ReduceTask),
}

impl Task {
    fn at(&self) -> (Epoch, Attempt) {
        match self {
            Self::Map(task) => (task.epoch, task.attempt),
            Self::Reduce(task) => (task.epoch, task.attempt),
        }
    }

    /// The same work as another attempt.
    fn with(mut self, attempt: Attempt) -> Self {
        match &mut self {
            Self::Map(task) => task.attempt = attempt,
            Self::Reduce(task) => task.attempt = attempt,
        }
        self
    }
}

struct State<E: Env> {
    env: E,
    rpc: Rpc<E>,
    stores: Stores<E>,
    config: Rc<Config>,
    generation: Cell<Generation>,
    /// The latest epoch that an attempt was ordered for.
    epoch: Cell<Epoch>,
    /// What the attempts at the latest epoch came to that ended well. An order that comes again,
    /// because its answer was lost or another leads now, is not carried out again.
    done: RefCell<Vec<(Task, Done)>>,
    blocks: RefCell<Blocks>,
    cache: RefCell<StateCache>,
}

/// Runs an executor.
///
/// # Errors
/// Never, but for a port that is taken: an executor keeps nothing.
pub async fn run<E: Env>(env: E, config: Rc<Config>) -> Exit {
    run_until(env, config, pending()).await
}

/// Runs an executor until it is to leave: then it says so, and takes in and hands out nothing more. What
/// it held is made anew elsewhere. It need not be among the executors of the configuration.
///
/// # Errors
/// As [`run`].
pub async fn run_until<E: Env>(
    env: E,
    config: Rc<Config>,
    leave: impl Future<Output = ()> + Unpin,
) -> Exit {
    let rpc = Rpc::open(&env)?;
    let state = Rc::new(State {
        stores: Stores::new(&env, rpc.clone(), Rc::clone(&config)),
        env: env.clone(),
        rpc: rpc.clone(),
        config: Rc::clone(&config),
        generation: Cell::default(),
        epoch: Cell::default(),
        done: RefCell::default(),
        blocks: RefCell::default(),
        cache: RefCell::new(StateCache::new(usize::from(config.states_kept))),
    });
    runaway::start(&env, config.defects);
    let beating = beat(&env, rpc.clone(), &config);
    let telling = rpc.clone();
    let leaving = Rc::clone(&state);
    let serving = rpc.serve_from(move |asking, request| match request {
        Request::Map(task) => Handling::Work(Rc::clone(&state).attempt(Task::Map(task))),
        Request::Reduce(task) => Handling::Work(Rc::clone(&state).attempt(Task::Reduce(task))),
        Request::Fetch { epoch, partition, attempt, block, from } => {
            let at = (epoch, partition, attempt);
            Handling::Done(Ok(state.blocks.borrow().page(at, block, from)))
        }
        Request::DriverStarted => {
            telling.tell([&asking], &driver::Request::Executor);
            // It was told, not asked.
            Handling::Done(Ok(Answer::NoBlock))
        }
        Request::Leads => {
            let held = state.cache.borrow().held();
            telling.tell([&asking], &driver::Request::Holds(held));
            Handling::Done(Ok(Answer::NoBlock))
        }
    });
    let (serving, beating) = (std::pin::pin!(serving), std::pin::pin!(beating));
    match select(select(serving, beating), leave).await {
        Either::Left((Either::Left((exit, _)), _)) => exit,
        Either::Left((Either::Right((never, _)), _)) => match never {},
        Either::Right(((), _)) => {
            leaving.leave();
            Ok(())
        }
    }
}

/// Tells all drivers, again and again, that this executor is there.
async fn beat<E: Env>(env: &E, rpc: Rpc<E>, config: &Config) -> std::convert::Infallible {
    loop {
        rpc.tell(&config.cluster.drivers, &driver::Request::Executor);
        env.sleep(config.heartbeat).await;
    }
}

impl<E: Env> State<E> {
    /// Takes its leave.
    fn leave(&self) {
        self.rpc.tell(&self.config.cluster.drivers, &driver::Request::Left);
        self.env.mark("executor.left");
        if !self.blocks.borrow().is_empty() || !self.cache.borrow().is_empty() {
            self.env.mark("executor.holding");
        }
    }

    /// Makes an attempt at a task, unless that is of no use. What it does waits in a box of its
    /// own: it is much larger than what it begins with.
    async fn attempt(self: Rc<Self>, task: Task) -> Result<Answer, Refusal> {
        if let Err(answer) = self.admit(&task) {
            return Ok(answer);
        }
        let came_to = match &task {
            Task::Map(task) => Box::pin(self.map(task)).await,
            Task::Reduce(task) => Box::pin(self.reduce(task)).await,
        };
        Ok(match came_to {
            Ok(done) => {
                if !self.config.cluster.executors.contains(&self.env.node()) {
                    self.env.mark("executor.joined");
                }
                self.done.borrow_mut().push((task, done.clone()));
                Answer::Done(Box::new(done))
            }
            Err(answer) => answer,
        })
    }

    /// Refuses attempts of leaders that were succeeded: only to save work. Gives the answer of one
    /// that is done, and what an attempt at the same task came to that an earlier leader ordered,
    /// however often it is asked for: the same plan, blocks and state give the same, and its blocks are
    /// here as long as it is, even if one could not be fetched. Of its own leadership's attempts none
    /// stands for another.
    fn admit(&self, task: &Task) -> Result<(), Answer> {
        let (epoch, attempt) = task.at();
        self.admit_leader(attempt.generation)?;
        self.generation.set(self.generation.get().max(attempt.generation));
        self.epoch.set(self.epoch.get().max(epoch));
        let mut all_done = self.done.borrow_mut();
        all_done.retain(|(task, _)| task.at().0 >= self.epoch.get());
        for (earlier, done) in &*all_done {
            let by = earlier.at().1;
            let meant = by == attempt || by.generation < attempt.generation;
            if meant && task.clone().with(by) == *earlier {
                let mut done = done.clone();
                if by != attempt {
                    self.env.mark("attempt.adopted");
                    done.earlier = Some(by);
                }
                return Err(Answer::Done(Box::new(done)));
            }
        }
        Ok(())
    }

    fn admit_leader(&self, generation: Generation) -> Result<(), Answer> {
        let current = self.generation.get();
        if generation < current && !self.config.defects.has(Defect::ZombieNotFenced) {
            return Err(Answer::Fenced(current));
        }
        Ok(())
    }

    async fn map(&self, task: &MapTask) -> Result<Done, Answer> {
        let (gone, read) = {
            let _step = Step::Tasks.enter(&self.env);
            self.transform(task).await?
        };
        let at = (task.epoch, task.partition, task.attempt);
        let blocks = self.keep_blocks(at, gone.exchanges, task.state_partitions);
        let mut outputs = Vec::new();
        // Without state, what it reads is all there is to it.
        if task.state_partitions == 0 || gone.sinks.iter().any(|rows| !rows.is_empty()) {
            let _step = Step::Blobs.enter(&self.env);
            outputs = self.keep_sinks(at, gone.sinks).await?;
        }
        Ok(Done { blocks, outputs, ..read })
    }

    /// Reads the range and runs the pipeline over it, up to the first shuffles and sinks. Gives what
    /// it read, too: the latest event time, and how much.
    async fn transform(&self, task: &MapTask) -> Result<(Gone, Done), Answer> {
        let tuples = self.read(task).await?;
        info!(epoch = task.epoch.0, part = task.partition.0, tuples = tuples.len(), "maps");
        self.work((task.epoch, task.attempt), tuples.len()).await?;
        let pipeline = &self.config.pipeline;
        let mut gone = pipeline.nowhere();
        for (tuple, offset) in tuples.iter().zip(task.range.start.0..) {
            if let Err(reason) =
                pipeline.transform((task.partition, Offset(offset)), tuple, &mut gone)
            {
                return Err(Answer::Refused(format!(
                    "partition {}, offset {offset}: {reason}; mend the pipeline's schema, the \
                     input stays where it is",
                    task.partition
                )));
            }
        }
        if gone.dead > 0 {
            self.env.mark("dead.letter");
        }
        let latest_ms = tuples.iter().map(|tuple| tuple.time_ms).max().unwrap_or(0);
        let bytes = tuples.iter().map(|tuple| (tuple.key.len() + tuple.value.len()) as u64).sum();
        Ok((gone, Done { latest_ms, bytes, ..Done::default() }))
    }

    /// Takes the CPU time of so many tuples; fails once the epoch is over, or another leads.
    async fn work(&self, (epoch, attempt): (Epoch, Attempt), tuples: usize) -> Result<(), Answer> {
        let count = u32::try_from(tuples).unwrap_or(u32::MAX);
        let mut left = self.config.work_per_tuple.saturating_mul(count);
        while !left.is_zero() {
            let slice = left.min(SLICE);
            self.env.busy(slice).await;
            left -= slice;
            if self.epoch.get() > epoch {
                return Err(Answer::Failed(format!("epoch {epoch} is over")));
            }
            self.admit_leader(attempt.generation)?;
        }
        Ok(())
    }

    /// Exactly the range; a short read is an error.
    async fn read(&self, task: &MapTask) -> Result<Vec<Tuple>, Answer> {
        let mut tuples = Vec::new();
        let mut range = task.range;
        while !range.is_empty() {
            let request = broker::Request::Read { partition: task.partition, range };
            let answer = self.rpc.call(self.config.cluster.broker, &request, PATIENCE).await;
            match answer {
                Ok(broker::Answer::Page(page)) if !page.is_empty() => {
                    range.start = Offset(range.start.0 + page.len() as u64);
                    tuples.extend(page);
                }
                // What is planned was durable there.
                Ok(broker::Answer::Beyond(end)) => {
                    return Err(Answer::Refused(format!(
                        "epoch {} reads partition {} up to offset {}, and the source ends at {end}: \
                         what it acknowledged is gone; restore the broker's log from a copy",
                        task.epoch, task.partition, task.range.end
                    )));
                }
                Ok(broker::Answer::Below(first)) => {
                    return Err(Answer::Trimmed(format!(
                        "epoch {} reads partition {} from offset {} on, and the source begins at \
                         {first}: what was planned to be read was deleted; restore the broker's log \
                         from a copy",
                        task.epoch, task.partition, task.range.start
                    )));
                }
                Ok(other) => return Err(Answer::Failed(format!("the broker answers {other:?}"))),
                Err(unanswered) => return Err(Answer::Failed(unanswered.to_string())),
            }
        }
        Ok(tuples)
    }
}

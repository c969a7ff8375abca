//! The executor: runs attempts at tasks. Whatever becomes of an attempt, it leaves nothing behind
//! that anyone reads unless a commit names it.

use std::{cell::Cell, rc::Rc, time::Duration};

use serde::{Deserialize, Serialize};
use unplug_sim::env::{Env, Exit, Refusal};

use crate::{
    broker,
    codec::{self, Kind},
    config::Config,
    epoch::{Output, OutputRef},
    rpc::Rpc,
    steps::Step,
    stores::Stores,
    tuple::{Attempt, Epoch, Generation, Offset, OffsetRange, Partition, Tuple},
};

/// The largest output of one task, in bytes: it travels as one datagram.
pub const OUTPUT_BYTES_MAX: usize = 900 * 1024;

/// How long broker and store may take to answer before an attempt is given up.
const PATIENCE: Duration = Duration::from_secs(2);

/// An attempt at a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The epoch.
    pub epoch: Epoch,
    /// The partition.
    pub partition: Partition,
    /// What to read: exactly this.
    pub range: OffsetRange,
    /// Which try.
    pub attempt: Attempt,
}

/// What an executor answers to a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The output is durable.
    Done(OutputRef),
    /// It did not work out now; another try may.
    Failed(String),
    /// It cannot work out: the input itself is at fault.
    Refused(String),
    /// A higher generation leads.
    Fenced(Generation),
}

struct State<E: Env> {
    env: E,
    rpc: Rpc<E>,
    stores: Stores<E>,
    config: Rc<Config>,
    generation: Cell<Generation>,
}

/// Runs an executor.
///
/// # Errors
/// Never, but for a port that is taken: an executor keeps nothing.
pub async fn run<E: Env>(env: E, config: Rc<Config>) -> Exit {
    let rpc = Rpc::open(&env)?;
    let generation = Cell::default();
    let stores = Stores::new(&env, rpc.clone(), Rc::clone(&config));
    let state = Rc::new(State { env, rpc: rpc.clone(), stores, config, generation });
    rpc.serve(move |task: Task| {
        let state = Rc::clone(&state);
        async move { Ok::<_, Refusal>(state.attempt(task).await) }
    })
    .await
}

impl<E: Env> State<E> {
    async fn attempt(&self, task: Task) -> Answer {
        let generation = task.attempt.generation;
        if generation < self.generation.get() {
            return Answer::Fenced(self.generation.get());
        }
        self.generation.set(generation);
        let output = {
            let _step = Step::Tasks.enter(&self.env);
            match self.transform(&task).await {
                Ok(output) => output,
                Err(answer) => return answer,
            }
        };
        let _step = Step::Blobs.enter(&self.env);
        self.keep(&task, output).await.unwrap_or_else(|answer| answer)
    }

    /// Reads the range and runs the pipeline over it.
    async fn transform(&self, task: &Task) -> Result<(Output, u64), Answer> {
        let tuples = self.read(task).await?;
        let count = u32::try_from(tuples.len()).unwrap_or(u32::MAX);
        self.env.busy(self.config.work_per_tuple.saturating_mul(count)).await;
        let mut rows = Vec::with_capacity(tuples.len());
        for (tuple, offset) in tuples.iter().zip(task.range.start.0..) {
            match self.config.pipeline.transform(tuple) {
                Ok(row) => rows.extend(row),
                Err(reason) => {
                    return Err(Answer::Refused(format!(
                        "partition {}, offset {offset}: {reason}; mend the pipeline's schema, the \
                         input stays where it is",
                        task.partition
                    )));
                }
            }
        }
        let latest_ms = tuples.iter().map(|tuple| tuple.time_ms).max().unwrap_or(0);
        Ok((Output { epoch: task.epoch, partition: task.partition, rows }, latest_ms))
    }

    /// Exactly the range; a short read is an error.
    async fn read(&self, task: &Task) -> Result<Vec<Tuple>, Answer> {
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
                Ok(other) => return Err(Answer::Failed(format!("the broker answers {other:?}"))),
                Err(unanswered) => return Err(Answer::Failed(unanswered.to_string())),
            }
        }
        Ok(tuples)
    }

    /// Writes the output under a name that no other attempt ever has.
    async fn keep(
        &self,
        task: &Task,
        (output, latest_ms): (Output, u64),
    ) -> Result<Answer, Answer> {
        let rows = output.rows.len() as u64;
        let bytes = codec::encode(Kind::Output, &output);
        if bytes.len() > OUTPUT_BYTES_MAX {
            return Err(Answer::Refused(format!(
                "epoch {}, partition {}: the output has {} bytes, over {OUTPUT_BYTES_MAX}; let \
                 fewer tuples into an epoch",
                task.epoch,
                task.partition,
                bytes.len()
            )));
        }
        let Attempt { generation, counter } = task.attempt;
        let name = format!(
            "output/{:012}/{:05}/{generation}-{counter}-{:016x}",
            task.epoch.0,
            task.partition.0,
            self.env.random()
        );
        match self.stores.put_blob(name, bytes, PATIENCE).await {
            Ok(blob) => {
                let partition = task.partition;
                Ok(Answer::Done(OutputRef { partition, blob, rows, latest_ms }))
            }
            Err(reason) => Err(Answer::Failed(reason)),
        }
    }
}

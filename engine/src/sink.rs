//! The sinks. A reader sees an epoch only after it is durable, and never sees it go.
//!
//! - `table`: the rows of an epoch and its cut in one file, put durably under the epoch's number.
//!   An epoch that is there is not applied again, and none before its predecessor: exactly once.
//! - `append`: what comes is appended. After a crash, what is applied again is there twice: at
//!   least once. It is kept to show that the oracle objects to it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::lock::Mutex;
use serde::{Deserialize, Serialize};
use tracing::info;
use unplug_sim::env::{Env, Exit, Refusal, Remedy};

use crate::{
    codec::{self, Kind},
    config::{Config, SinkKind},
    defect::Defect,
    durable::{Put, Store},
    epoch::{CommitRecord, Cut, Output, OutputRef},
    executor::OUTPUT_BYTES_MAX,
    identity,
    log::Log,
    pipeline::Row,
    rpc::Rpc,
    steps::Step,
    stores::Stores,
    tuple::{Epoch, Generation},
};

pub(crate) const TABLE: &str = "/table";
pub(crate) const APPEND: &str = "/append.log";

/// How many bytes of batches one answer holds, about.
const PAGE_BYTES: usize = 256 * 1024;

/// How long the stores may take to give a blob before the driver is asked to try again.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is asked of a sink.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Up to which epoch everything is published.
    Published,
    /// Take an epoch in and publish it.
    Apply {
        /// The leadership on whose behalf.
        generation: Generation,
        /// What the epoch came to.
        commit: CommitRecord,
        /// Its cut.
        cut: Cut,
    },
    /// What was published, from a position on.
    Read {
        /// The number of batches to pass over.
        from: u64,
    },
}

/// What a sink answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Everything up to this epoch is published, durably.
    Published(Epoch),
    /// A higher generation leads.
    Fenced(Generation),
    /// It did not work out now; try again.
    Failed(String),
    /// Batches.
    Batches {
        /// How many there are in all.
        end: u64,
        /// Those from the asked position on that fit; each is a [`Batch`] in the codec's form.
        batches: Vec<Bytes>,
    },
}

/// What a sink publishes in one step: the content of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The epoch.
    pub epoch: Epoch,
    /// Up to where the source is in, this epoch included.
    pub cut: Cut,
    /// The rows it adds, by partition and offset.
    pub rows: Vec<Row>,
}

/// What is published, as readers are given it.
#[derive(Default)]
struct Shown {
    batches: Vec<Bytes>,
    published: Epoch,
}

/// Where published batches are kept.
enum Keeper<E: Env> {
    Table(Store<E>),
    Append(Log<E>),
}

struct State<E: Env> {
    env: E,
    stores: Stores<E>,
    config: Rc<Config>,
    /// Which of the pipeline's sinks this is.
    number: u16,
    generation: Cell<Generation>,
    shown: RefCell<Shown>,
    /// One epoch is applied at a time, whoever asks.
    keeper: Mutex<Keeper<E>>,
}

/// Runs a sink.
///
/// # Errors
/// A blank or foreign disk, a damaged or missing epoch, any disk error.
///
/// # Panics
/// If the node is none of the cluster's sinks.
pub async fn run<E: Env>(env: E, config: Rc<Config>) -> Exit {
    let files = Store::new(&env, config.defects);
    identity::check(&files, "sink").await?;
    let (keeper, shown) = match config.sink {
        SinkKind::Table => {
            let shown = open_table(&files, &config).await?;
            (Keeper::Table(files), shown)
        }
        SinkKind::Append => {
            let (log, frames) = Log::open(&env, APPEND, config.defects).await?;
            let mut shown = Shown::default();
            for (_, bytes) in frames {
                shown.show(bytes, APPEND)?;
            }
            (Keeper::Append(log), shown)
        }
    };
    let rpc = Rpc::open(&env)?;
    let mut sinks = (0..).zip(&config.cluster.sinks);
    let number = sinks.find(|(_, node)| **node == env.node()).map(|(number, _)| number);
    let state = Rc::new(State {
        stores: Stores::new(&env, rpc.clone(), Rc::clone(&config)),
        number: number.expect("a sink stands in the cluster's list of sinks"),
        env,
        config,
        generation: Cell::default(),
        shown: RefCell::new(shown),
        keeper: Mutex::new(keeper),
    });
    rpc.serve(move |request| answer(Rc::clone(&state), request)).await
}

async fn open_table<E: Env>(files: &Store<E>, config: &Config) -> Result<Shown, Refusal> {
    let mut shown = Shown::default();
    for file in files.settle(TABLE).await? {
        let path = format!("{TABLE}/{file}");
        let before = shown.published;
        shown.show(files.read(&path).await?, &path)?;
        let again = config.defects.has(Defect::SinkNotIdempotent) && shown.published <= before;
        if shown.published != before.next() && !again {
            return Err(Refusal::new(format!(
                "{path}: epoch {} comes after epoch {before}; restore what is missing, nothing was \
                 changed",
                shown.published
            )));
        }
    }
    Ok(shown)
}

impl Shown {
    fn show(&mut self, bytes: Bytes, place: &str) -> Result<(), Refusal> {
        let batch: Batch = codec::decode(Kind::Table, &bytes).map_err(|error| {
            Refusal::new(format!("{place}: {error}; restore it from a copy, nothing was changed"))
        })?;
        self.push(batch.epoch, bytes);
        Ok(())
    }

    fn push(&mut self, epoch: Epoch, bytes: Bytes) {
        self.published = self.published.max(epoch);
        self.batches.push(bytes);
    }
}

async fn answer<E: Env>(state: Rc<State<E>>, request: Request) -> Result<Answer, Refusal> {
    match request {
        Request::Published => Ok(Answer::Published(state.shown.borrow().published)),
        Request::Apply { generation, commit, cut } => {
            let fenced = !state.config.defects.has(Defect::ZombieNotFenced);
            if generation < state.generation.get() && fenced {
                return Ok(Answer::Fenced(state.generation.get()));
            }
            state.generation.set(generation.max(state.generation.get()));
            state.apply(commit, cut).await
        }
        Request::Read { from } => Ok(state.read(from)),
    }
}

impl<E: Env> State<E> {
    async fn apply(&self, commit: CommitRecord, cut: Cut) -> Result<Answer, Refusal> {
        let mut keeper = self.keeper.lock().await;
        let epoch = commit.epoch;
        let published = self.shown.borrow().published;
        let again = epoch <= published;
        let _step = Step::Apply.enter(&self.env);
        match &*keeper {
            Keeper::Table(_) if again && !self.config.defects.has(Defect::SinkNotIdempotent) => {
                return Ok(Answer::Published(published));
            }
            _ if epoch > published.next() => {
                return Ok(Answer::Failed(format!("epoch {epoch} before {}", published.next())));
            }
            Keeper::Table(_) | Keeper::Append(_) => {}
        }
        let mut rows = Vec::new();
        for output in commit.outputs.iter().filter(|output| output.sink == self.number) {
            match self.fetch(epoch, output).await {
                Ok(output) => rows.extend(output.rows),
                Err(reason) => return Ok(Answer::Failed(reason)),
            }
        }
        let bytes = codec::encode(Kind::Table, &Batch { epoch, cut, rows });
        if bytes.len() > OUTPUT_BYTES_MAX {
            return Err(Refusal::new(format!(
                "epoch {epoch}: the batch has {} bytes, over {OUTPUT_BYTES_MAX}; let fewer tuples \
                 into an epoch",
                bytes.len()
            )));
        }
        match &mut *keeper {
            Keeper::Table(files) => {
                let mut file = format!("{:012}", epoch.0);
                if again {
                    file = format!("{file}-again-{:016x}", self.env.random());
                }
                let put = match files.put(TABLE, &file, bytes.clone()).await {
                    Err(Refusal { reason, remedy: Remedy::Space }) => {
                        return Ok(Answer::Failed(reason));
                    }
                    done => done?,
                };
                if put != Put::Done {
                    return Err(Refusal::new(format!(
                        "{TABLE}/{file} is there, and was not when this sink started; does another \
                         process use the disk?"
                    )));
                }
            }
            Keeper::Append(log) => {
                log.append(bytes.clone()).await?;
                log.sync().await?;
            }
        }
        self.shown.borrow_mut().push(epoch, bytes);
        self.env.mark("sink.published");
        info!(epoch = epoch.0, "published");
        Ok(Answer::Published(self.shown.borrow().published))
    }

    /// An output as its commit names it; nothing else will do.
    async fn fetch(&self, epoch: Epoch, output: &OutputRef) -> Result<Output, String> {
        let bytes = self.stores.get_blob(&output.blob, PATIENCE).await?;
        let decoded = if self.config.defects.has(Defect::BlobUnverified) {
            codec::decode_unverified(&bytes)
        } else {
            codec::decode(Kind::Output, &bytes)
        };
        decoded.map_err(|error| format!("epoch {epoch}, blob {}: {error}", output.blob.name))
    }

    fn read(&self, from: u64) -> Answer {
        let shown = self.shown.borrow();
        let end = shown.batches.len() as u64;
        let first = usize::try_from(from.min(end)).expect("at most a length");
        let mut bytes = 0;
        let page = shown.batches[first..].iter().take_while(|batch| {
            let fits = bytes == 0 || bytes + batch.len() <= PAGE_BYTES;
            bytes += batch.len();
            fits
        });
        Answer::Batches { end, batches: page.cloned().collect() }
    }
}

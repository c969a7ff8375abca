//! The sinks. A reader sees an epoch only after it is durable, and never sees it go.
//!
//! - `table`: the rows of an epoch and its cut in one file, put durably under the epoch's number.
//!   An epoch that is there is not applied again, and none before its predecessor: exactly once.
//! - `files` ([`files`]): the rows in immutable files, and a manifest that names those that count.
//! - `transactional` ([`external`]): a system of its own, with transactions that a driver prepares
//!   before it has their epoch decided, and commits after that.
//! - `append`: what comes is appended. After a crash, what is applied again is there twice: at
//!   least once. It is kept to show that the oracle objects to it.

pub mod external;
pub mod files;

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

use self::files::{Files, Writing};
use crate::{
    codec::{self, CodecError, Kind},
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
    /// A part of a file, of a sink that has files.
    File {
        /// Its name, as a manifest has it.
        name: String,
        /// From which byte on.
        from: u64,
    },
    /// The names of all files of an epoch, whether they count or not: no reader needs to know.
    Listing {
        /// The epoch.
        epoch: Epoch,
    },
    /// What drivers ask an external system.
    Transaction(external::Request),
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
    /// The manifests of batches.
    Manifests {
        /// How many there are in all.
        end: u64,
        /// Those from the asked position on that fit; each is a [`files::Manifest`], encoded.
        manifests: Vec<Bytes>,
    },
    /// A part of a file.
    File {
        /// The bytes from the asked place on, as many as fit.
        bytes: Bytes,
        /// How many the file has in all.
        len: u64,
    },
    /// There is no such file.
    NoFile,
    /// The names of files.
    Listing(Vec<String>),
    /// What an external system answers.
    Transaction(external::Answer),
    /// This sink is of another kind.
    NotHere,
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
    Files(Rc<Files<E>>),
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
    /// For readers, who wait for nobody.
    files: Option<Rc<Files<E>>>,
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
            let shown = open(&files, TABLE, &config).await?;
            (Keeper::Table(files), shown)
        }
        SinkKind::Files => {
            let shown = open(&files, files::MANIFESTS, &config).await?;
            (Keeper::Files(Rc::new(Files::new(&env, config.defects))), shown)
        }
        SinkKind::Transactional => return external::run(env, files).await,
        SinkKind::Append => {
            let (log, frames) = Log::open(&env, APPEND, config.defects).await?;
            let mut shown = Shown::default();
            for (_, bytes) in frames {
                shown.show(bytes, APPEND, batch_epoch)?;
            }
            (Keeper::Append(log), shown)
        }
    };
    let rpc = Rpc::open(&env)?;
    rpc.tell_started(&config.cluster.drivers);
    let mut sinks = (0..).zip(&config.cluster.sinks);
    let number = sinks.find(|(_, node)| **node == env.node()).map(|(number, _)| number);
    let shared = match &keeper {
        Keeper::Files(files) => Some(Rc::clone(files)),
        Keeper::Table(_) | Keeper::Append(_) => None,
    };
    let state = Rc::new(State {
        files: shared,
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

/// What is published by files with an epoch each.
async fn open<E: Env>(files: &Store<E>, dir: &str, config: &Config) -> Result<Shown, Refusal> {
    let epoch_of = if dir == TABLE { batch_epoch } else { manifest_epoch };
    let mut shown = Shown::default();
    for file in files.settle(dir).await? {
        let path = format!("{dir}/{file}");
        let before = shown.published;
        shown.show(files.read(&path).await?, &path, epoch_of)?;
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

fn batch_epoch(bytes: &[u8]) -> Result<Epoch, CodecError> {
    codec::decode(Kind::Table, bytes).map(|batch: Batch| batch.epoch)
}

fn manifest_epoch(bytes: &[u8]) -> Result<Epoch, CodecError> {
    files::Manifest::decode(bytes).map(|manifest| manifest.epoch)
}

/// A page of batches or manifests, as many as fit, but one at least if there is one; and how many
/// there are in all.
fn page(all: &[Bytes], from: u64) -> (u64, Vec<Bytes>) {
    let end = all.len() as u64;
    let first = usize::try_from(from.min(end)).expect("at most a length");
    let mut bytes = 0;
    let page = all[first..].iter().take_while(|batch| {
        let fits = bytes == 0 || bytes + batch.len() <= PAGE_BYTES;
        bytes += batch.len();
        fits
    });
    (end, page.cloned().collect())
}

impl Shown {
    fn show(
        &mut self,
        bytes: Bytes,
        place: &str,
        epoch_of: fn(&[u8]) -> Result<Epoch, CodecError>,
    ) -> Result<(), Refusal> {
        let epoch = epoch_of(&bytes).map_err(|error| {
            Refusal::new(format!("{place}: {error}; restore it from a copy, nothing was changed"))
        })?;
        self.push(epoch, bytes);
        Ok(())
    }

    fn push(&mut self, epoch: Epoch, bytes: Bytes) {
        self.published = self.published.max(epoch);
        self.batches.push(bytes);
    }
}

/// What takes its time waits in a box of its own, so that readers do not pay for it.
async fn answer<E: Env>(state: Rc<State<E>>, request: Request) -> Result<Answer, Refusal> {
    match request {
        Request::Published => Ok(Answer::Published(state.shown.borrow().published)),
        Request::Apply { generation, commit, cut } => {
            let fenced = !state.config.defects.has(Defect::ZombieNotFenced);
            if generation < state.generation.get() && fenced {
                return Ok(Answer::Fenced(state.generation.get()));
            }
            state.generation.set(generation.max(state.generation.get()));
            Box::pin(state.apply(commit, cut)).await
        }
        Request::Read { from } => Ok(state.read(from)),
        Request::File { name, from } => {
            let Some(files) = &state.files else { return Ok(Answer::NotHere) };
            Ok(match Box::pin(files.read(&name, from)).await? {
                Some((bytes, len)) => Answer::File { bytes, len },
                None => Answer::NoFile,
            })
        }
        Request::Listing { epoch } => {
            let Some(files) = &state.files else { return Ok(Answer::NotHere) };
            Ok(Answer::Listing(Box::pin(files.list(epoch)).await?))
        }
        Request::Transaction(_) => Ok(Answer::NotHere),
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
            Keeper::Files(_) if again => return Ok(Answer::Published(published)),
            Keeper::Table(_) if again && !self.config.defects.has(Defect::SinkNotIdempotent) => {
                return Ok(Answer::Published(published));
            }
            _ if epoch > published.next() => {
                return Ok(Answer::Failed(format!("epoch {epoch} before {}", published.next())));
            }
            Keeper::Table(_) | Keeper::Append(_) | Keeper::Files(_) => {}
        }
        if let Keeper::Files(files) = &*keeper {
            return self.apply_files(files, commit, cut).await;
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
            Keeper::Files(_) => unreachable!("applied above"),
            Keeper::Append(log) => {
                log.append(bytes.clone()).await?;
                log.sync().await?;
            }
        }
        Ok(self.published(epoch, bytes))
    }

    fn published(&self, epoch: Epoch, bytes: Bytes) -> Answer {
        self.shown.borrow_mut().push(epoch, bytes);
        self.env.mark("sink.published");
        info!(epoch = epoch.0, "published");
        Answer::Published(self.shown.borrow().published)
    }

    /// One output after another, so that no more than one is in memory.
    async fn apply_files(
        &self,
        files: &Files<E>,
        commit: CommitRecord,
        cut: Cut,
    ) -> Result<Answer, Refusal> {
        let epoch = commit.epoch;
        let mut writing = Writing::new(epoch);
        for output in commit.outputs.iter().filter(|output| output.sink == self.number) {
            let failed = match self.fetch(epoch, output).await {
                Ok(output) => match files.write(&mut writing, output).await {
                    Err(refusal) if files::is_full(&refusal) => refusal.reason,
                    done => {
                        done?;
                        continue;
                    }
                },
                Err(reason) => reason,
            };
            files.give_up(&writing).await?;
            return Ok(Answer::Failed(failed));
        }
        let manifest = match files.publish(&writing, cut).await {
            // The files stay: nobody knows for sure that no manifest names them.
            Err(refusal) if files::is_full(&refusal) => return Ok(Answer::Failed(refusal.reason)),
            done => done?,
        };
        let answer = self.published(epoch, manifest);
        if epoch.0.is_multiple_of(self.config.collect_every) {
            let manifests = self.shown.borrow().batches.clone();
            files.clean(&manifests).await?;
        }
        Ok(answer)
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
        let (end, page) = page(&self.shown.borrow().batches, from);
        if self.files.is_some() {
            Answer::Manifests { end, manifests: page }
        } else {
            Answer::Batches { end, batches: page }
        }
    }
}

//! An external system behind the sink `transactional`. It knows transactions, and nothing of epochs,
//! leaderships or attempts: it commits whatever it is told to, in the order in which it is told.
//!
//! A transaction is prepared under a name and with a label, both the caller's; then it is committed
//! or aborted by its name. What was prepared is durable and shown to nobody; but the system does not
//! promise to keep it: now and then it drops what waits, when it starts and while it runs. What was
//! committed stays, and its name is remembered, so a commit whose answer was lost can be asked for
//! again.
//!
//! - `/prepared/NAME`: what waits.
//! - `/committed/NUMBER`: what is shown, in the order of the commits.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use bytes::Bytes;
use futures_util::lock::Mutex;
use serde::{Deserialize, Serialize};
use unplug_sim::env::{Env, Exit, Refusal};

use super::{Answer as SinkAnswer, Request as SinkRequest, files::is_full, page};
use crate::{
    codec::{self, Kind},
    durable::{Put, Store},
    rpc::Rpc,
    steps::Step,
    tuple::Epoch,
};

const PREPARED: &str = "/prepared";
const COMMITTED: &str = "/committed";

/// What a blank disk needs.
pub(crate) const DIRECTORIES: [&str; 2] = [PREPARED, COMMITTED];

/// Of so many transactions that wait, one is dropped when the system starts…
const DROPPED_AT_START: u64 = 3;
/// …and one of so many when it is to be committed.
const DROPPED_WHILE_RUNNING: u64 = 16;

/// What is asked of the system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Keep this, and show it to nobody yet.
    Prepare(Transaction),
    /// Show what was prepared under this name.
    Commit(String),
    /// Forget what was prepared under this name.
    Abort(String),
    /// The names and labels of all that waits.
    Prepared,
}

/// What the system answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It waits, durably.
    Prepared,
    /// It is committed, now or since long.
    Committed,
    /// Nothing of that name waits, nor was it committed.
    Unknown,
    /// Nothing of that name waits any more.
    Aborted,
    /// What waits.
    Waiting(Vec<(String, Epoch)>),
    /// It did not work out now; try again.
    Failed(String),
}

/// A transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Its name, unlike those of all others.
    pub name: String,
    /// What its owner wants to be told of the last one that was committed.
    pub label: Epoch,
    /// What readers are to be shown.
    pub content: Bytes,
}

struct System<E: Env> {
    env: E,
    files: Store<E>,
    waiting: RefCell<BTreeMap<String, Transaction>>,
    committed: RefCell<Committed>,
    /// One change at a time.
    changing: Mutex<()>,
}

#[derive(Default)]
struct Committed {
    contents: Vec<Bytes>,
    /// The labels, by name.
    names: BTreeMap<String, Epoch>,
}

impl Committed {
    fn push(&mut self, transaction: Transaction) {
        self.contents.push(transaction.content);
        self.names.insert(transaction.name, transaction.label);
    }
}

/// Runs the system on a disk that is known to be its own.
///
/// # Errors
/// Damage, any disk error.
pub(super) async fn run<E: Env>(env: E, files: Store<E>) -> Exit {
    let mut committed = Committed::default();
    for file in files.settle(COMMITTED).await? {
        committed.push(load(&files, &format!("{COMMITTED}/{file}")).await?);
    }
    let mut waiting = BTreeMap::new();
    for file in files.settle(PREPARED).await? {
        let path = format!("{PREPARED}/{file}");
        let transaction = load(&files, &path).await?;
        if committed.names.contains_key(&transaction.name) {
            files.remove(&path).await?;
        } else if env.random().is_multiple_of(DROPPED_AT_START) {
            files.remove(&path).await?;
            env.mark("transaction.dropped");
        } else {
            waiting.insert(transaction.name.clone(), transaction);
        }
    }
    let rpc = Rpc::open(&env)?;
    let system = Rc::new(System {
        env,
        files,
        waiting: RefCell::new(waiting),
        committed: RefCell::new(committed),
        changing: Mutex::default(),
    });
    rpc.serve(move |request| {
        let system = Rc::clone(&system);
        async move { system.answer(request).await }
    })
    .await
}

async fn load<E: Env>(files: &Store<E>, path: &str) -> Result<Transaction, Refusal> {
    codec::decode(Kind::Transaction, &files.read(path).await?).map_err(|error| {
        Refusal::new(format!("{path}: {error}; restore it from a copy, nothing was changed"))
    })
}

impl<E: Env> System<E> {
    async fn answer(&self, request: SinkRequest) -> Result<SinkAnswer, Refusal> {
        Ok(match request {
            SinkRequest::Transaction(request) => {
                SinkAnswer::Transaction(self.transaction(request).await?)
            }
            SinkRequest::Published => {
                let committed = self.committed.borrow();
                let last = committed.names.values().max().copied();
                SinkAnswer::Published(last.unwrap_or_default())
            }
            SinkRequest::Read { from } => {
                let (end, batches) = page(&self.committed.borrow().contents, from);
                SinkAnswer::Batches { end, batches }
            }
            SinkRequest::Apply { .. } | SinkRequest::File { .. } | SinkRequest::Listing { .. } => {
                SinkAnswer::NotHere
            }
        })
    }

    async fn transaction(&self, request: Request) -> Result<Answer, Refusal> {
        if request == Request::Prepared {
            let waiting = self.waiting.borrow();
            let all = waiting.values().map(|one| (one.name.clone(), one.label));
            return Ok(Answer::Waiting(all.collect()));
        }
        let _changing = self.changing.lock().await;
        match request {
            Request::Prepare(transaction) => self.prepare(transaction).await,
            Request::Commit(name) => self.commit(name).await,
            Request::Abort(name) => self.abort(&name).await,
            Request::Prepared => unreachable!("answered above"),
        }
    }

    async fn prepare(&self, transaction: Transaction) -> Result<Answer, Refusal> {
        let name = transaction.name.clone();
        if self.committed.borrow().names.contains_key(&name) {
            return Ok(Answer::Committed);
        }
        if self.waiting.borrow().contains_key(&name) {
            return Ok(Answer::Prepared);
        }
        let bytes = codec::encode(Kind::Transaction, &transaction);
        if let Some(failed) = self.put(PREPARED, &name, bytes).await? {
            return Ok(failed);
        }
        self.waiting.borrow_mut().insert(name, transaction);
        self.env.mark("transaction.prepared");
        Ok(Answer::Prepared)
    }

    async fn commit(&self, name: String) -> Result<Answer, Refusal> {
        if self.committed.borrow().names.contains_key(&name) {
            return Ok(Answer::Committed);
        }
        let waiting = self.waiting.borrow().get(&name).cloned();
        let Some(transaction) = waiting else { return Ok(Answer::Unknown) };
        if self.env.random().is_multiple_of(DROPPED_WHILE_RUNNING) {
            self.forget(&name).await?;
            self.env.mark("transaction.dropped");
            return Ok(Answer::Unknown);
        }
        let _step = Step::Apply.enter(&self.env);
        let number = self.committed.borrow().contents.len();
        let bytes = codec::encode(Kind::Transaction, &transaction);
        if let Some(failed) = self.put(COMMITTED, &format!("{number:012}"), bytes).await? {
            return Ok(failed);
        }
        self.committed.borrow_mut().push(transaction);
        self.env.mark("sink.published");
        self.forget(&name).await?;
        Ok(Answer::Committed)
    }

    async fn abort(&self, name: &str) -> Result<Answer, Refusal> {
        if self.committed.borrow().names.contains_key(name) {
            return Ok(Answer::Committed);
        }
        if self.waiting.borrow().contains_key(name) {
            self.forget(name).await?;
            self.env.mark("transaction.aborted");
        }
        Ok(Answer::Aborted)
    }

    /// A power cut may bring it back.
    async fn forget(&self, name: &str) -> Result<(), Refusal> {
        self.files.remove(&format!("{PREPARED}/{name}")).await?;
        self.waiting.borrow_mut().remove(name);
        Ok(())
    }

    /// Puts a file durably; an answer if there is no room.
    async fn put(&self, dir: &str, name: &str, bytes: Bytes) -> Result<Option<Answer>, Refusal> {
        match self.files.put(dir, name, bytes).await {
            Ok(Put::Done) => Ok(None),
            Ok(Put::Exists(_)) => Err(Refusal::new(format!(
                "{dir}/{name} is there, and was not when this system started; does another process \
                 use the disk?"
            ))),
            Err(refusal) if is_full(&refusal) => Ok(Some(Answer::Failed(refusal.reason))),
            Err(refusal) => Err(refusal),
        }
    }
}

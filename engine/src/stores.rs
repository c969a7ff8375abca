//! Registers and blobs as those use them who need them: a majority of the stores is enough.
//!
//! What is asked goes to all stores at once; what is waited for is a majority, so that a dead
//! store costs nothing. A register is decided by [`crate::register`]; here are the messages, the
//! patience and the ways out.

mod blobs;
mod registers;
mod silence;

use std::{fmt, future::Future, rc::Rc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
use unplug_sim::env::{Env, NodeId, Refusal};

use self::silence::Silence;
use crate::{
    config::Config,
    epoch::FloorRecord,
    register::{Proposer, Refused, Stamp, Votes},
    rpc::Rpc,
    store::{Answer, Body, Request},
    tuple::Generation,
};

/// How long before a store that does not take part, or forgot, is asked again.
const PAUSE: Duration = Duration::from_millis(50);

/// Why a register was not decided or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoresError {
    /// A higher generation leads.
    #[error("generation {0} leads")]
    Fenced(Generation),
    /// The register is below the floor: nobody needs it any more.
    #[error("below floor {}", .0.number)]
    BelowFloor(FloorRecord),
    /// An answer that cannot be.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The decided registers of a family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The highest floor among those of a majority.
    pub floor: Option<FloorRecord>,
    /// Name and value of each decided register that is not below it, by name.
    pub registers: Vec<(String, Bytes)>,
}

/// The stores of the cluster. Clones share it.
pub struct Stores<E: Env> {
    shared: Rc<Shared<E>>,
}

struct Shared<E: Env> {
    env: E,
    rpc: Rpc<E>,
    /// The same, for blobs.
    bulk: Rpc<E>,
    config: Rc<Config>,
    silence: Silence,
}

/// What the stores answer, as it comes in.
type Asked<'a, T> = FuturesUnordered<LocalBoxFuture<'a, T>>;

impl<E: Env> Stores<E> {
    /// The stores, for a node that serves `rpc`.
    #[must_use]
    pub fn new(env: &E, rpc: Rpc<E>, config: Rc<Config>) -> Self {
        let bulk = rpc.waiting_longer(config.blob_patience);
        let silence = Silence::default();
        Self { shared: Rc::new(Shared { env: env.clone(), rpc, bulk, config, silence }) }
    }

    /// Has a register decided; gives the decided value, which may be another's. Takes as long as
    /// it takes.
    ///
    /// # Errors
    /// [`StoresError`]. The value may be decided nevertheless, now or later.
    pub async fn decide(
        &self,
        generation: Generation,
        name: &str,
        value: Bytes,
    ) -> Result<Bytes, StoresError> {
        self.shared.decide(generation, name, value, None).await
    }

    /// The same, in one round rather than two if nothing comes in between. At most one leadership
    /// may ever ask this for a register, once: see [`Proposer::first`].
    ///
    /// # Errors
    /// As [`Stores::decide`].
    pub async fn decide_first(
        &self,
        generation: Generation,
        name: &str,
        value: Bytes,
    ) -> Result<Bytes, StoresError> {
        let first = Proposer::first(self.shared.count(), generation, value.clone());
        self.shared.decide(generation, name, value, Some(first)).await
    }

    /// The decided value, or none if none was decided when it was asked. Completes what is half
    /// decided. Generation 0 is nobody's, and never fenced. Takes as long as it takes.
    ///
    /// # Errors
    /// [`StoresError`].
    pub async fn read(
        &self,
        generation: Generation,
        name: &str,
    ) -> Result<Option<Bytes>, StoresError> {
        self.shared.read(generation, name).await
    }

    /// All registers whose names begin with `prefix` that were decided when it was asked, and
    /// the floor. Completes what is half decided. Generation 0 is nobody's, and never fenced.
    /// Takes as long as it takes.
    ///
    /// # Errors
    /// [`StoresError`].
    pub async fn scan(&self, generation: Generation, prefix: &str) -> Result<Scan, StoresError> {
        self.shared.scan(generation, prefix).await
    }

    /// Writes a blob to a majority; the other stores go on by themselves. The name must never have
    /// been used for another content.
    ///
    /// # Errors
    /// If no majority had it within `patience`; some may have it, then or later. What and where,
    /// in words.
    pub async fn put_blob(
        &self,
        name: String,
        bytes: Bytes,
        patience: Duration,
    ) -> Result<crate::epoch::BlobRef, String> {
        self.shared.put_blob(name, bytes, patience).await
    }

    /// Reads a blob from any store that has it whole. Where it is found damaged or missing on the
    /// way, it is repaired in the background.
    ///
    /// # Errors
    /// If none gave it whole within `patience`. What and where, in words.
    pub async fn get_blob(
        &self,
        blob: &crate::epoch::BlobRef,
        patience: Duration,
    ) -> Result<Bytes, String> {
        self.shared.get_blob(blob, patience).await
    }

    /// Has a majority refuse, durably, what is below the floor. The floor must be decided.
    ///
    /// # Errors
    /// [`StoresError`].
    pub async fn raise_floor(
        &self,
        generation: Generation,
        floor: FloorRecord,
    ) -> Result<(), StoresError> {
        self.shared.agreed(Request::RaiseFloor { generation, floor }).await
    }

    /// Has the stores delete what is below the floor, but for the blobs in `keep`; waits for a
    /// majority. [`Stores::raise_floor`] must have come back before.
    ///
    /// # Errors
    /// [`StoresError`].
    pub async fn collect(
        &self,
        generation: Generation,
        floor: FloorRecord,
        keep: Vec<String>,
    ) -> Result<(), StoresError> {
        self.shared.agreed(Request::Collect { generation, floor, keep }).await
    }
}

impl<E: Env> Shared<E> {
    fn count(&self) -> usize {
        self.config.cluster.stores.len()
    }

    /// Starts the same with each store.
    fn all<'a, T, F: Future<Output = T> + 'a>(
        &'a self,
        work: impl Fn(NodeId) -> F,
    ) -> Asked<'a, T> {
        let stores = self.config.cluster.stores.iter();
        stores.map(|store| Box::pin(work(*store)) as LocalBoxFuture<'a, T>).collect()
    }

    /// Asks one store until it takes part.
    async fn ask(&self, store: NodeId, request: &Request) -> Result<(Stamp, Body), StoresError> {
        let rpc = if let Request::Put { .. } = request { &self.bulk } else { &self.rpc };
        loop {
            self.silence.asked(store, self.env.now());
            let Answer { stamp, body } = rpc.insist(store, request).await;
            self.silence.answered(store);
            match body {
                Body::Refused(Refused::Abstaining | Refused::NoSpace) => {
                    self.env.sleep(PAUSE).await;
                }
                Body::Refused(Refused::Fenced(generation)) => {
                    return Err(StoresError::Fenced(generation));
                }
                Body::Refused(Refused::BelowFloor(floor)) => {
                    return Err(StoresError::BelowFloor(floor));
                }
                Body::Vote(_) | Body::Page(_) | Body::Blob(_) | Body::Files(..) | Body::Done => {
                    return Ok((stamp, body));
                }
            }
        }
    }

    /// Has a majority do something. The others are told, too.
    async fn agreed(&self, request: Request) -> Result<(), StoresError> {
        loop {
            let mut votes = Votes::new(self.count());
            let mut asked = self.all(|store| self.ask(store, &request));
            while let Some(answer) = asked.next().await {
                votes.add(answer?.0, ());
                if votes.has_majority(self.config.defects) {
                    return Ok(());
                }
                if votes.has_void(self.config.defects) {
                    break;
                }
            }
            self.env.sleep(PAUSE).await;
        }
    }
}

fn unexpected(body: &Body) -> StoresError {
    StoresError::Refused(Refusal::new(format!(
        "a store answers {body:?}; does it run the same version?"
    )))
}

impl<E: Env> Clone for Stores<E> {
    fn clone(&self) -> Self {
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl<E: Env> fmt::Debug for Stores<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").field("stores", &self.shared.config.cluster.stores).finish()
    }
}

//! The driver: one leads the epochs, one after another; the others stand by.
//!
//! It keeps nothing. All that it decides is a register, decided before anything is done about it;
//! so a new leader, on any node and after any crash, reads the registers and goes on. What it
//! decides is in [`core`]; here it is carried out:
//!
//! - this file: standing by, standing for leadership, beating;
//! - `leader`: the epochs of a leadership;
//! - `stages`: the tasks of an epoch;
//! - `publish`: the sinks, and what is collected behind them;
//! - `transactions`: sinks that are external systems.

pub mod core;
mod leader;
mod publish;
mod stages;
mod transactions;

use std::{cell::RefCell, convert::Infallible, rc::Rc, time::Duration};

use futures_util::future::{Either, select};
use serde::{Deserialize, Serialize};
use tracing::info;
use unplug_sim::env::{Env, Exit, Instant, NodeId, Refusal, nanos};

use self::{
    core::election::{Election, Members, Patience},
    leader::Leader,
};
use crate::{
    codec::{self, CodecError, Kind},
    config::Config,
    epoch::{GenerationRecord, register},
    rpc::{Handling, Rpc},
    steps::Step,
    stores::{Scan, Stores, StoresError},
    tuple::Generation,
};

/// How long the driver waits before it asks again for what was not there.
const PAUSE: Duration = Duration::from_millis(20);

/// What drivers are told; nobody waits for an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// An executor is there.
    Executor,
    /// A leader is there.
    Leader {
        /// Its leadership.
        generation: Generation,
    },
}

/// Why a leadership ended.
enum End {
    /// It was refused, because another leads: stand by again.
    Fenced,
    /// Another was heard to lead, or was quicker: stand by again.
    Succeeded,
    /// This must not go on.
    Refused(Refusal),
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoresError> for End {
    fn from(error: StoresError) -> Self {
        match error {
            // What lies below the floor was decided long ago: whoever asks for it was succeeded.
            StoresError::Fenced(_) | StoresError::BelowFloor(_) => Self::Fenced,
            StoresError::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

/// What a driver knows, leading or not.
struct Node<E: Env> {
    env: E,
    rpc: Rpc<E>,
    stores: Stores<E>,
    config: Rc<Config>,
    election: RefCell<Election>,
    members: RefCell<Members>,
}

/// Runs a driver.
///
/// # Errors
/// A gap or damage in what was decided; an input that does not fit the pipeline.
///
/// # Panics
/// If the node is none of the cluster's drivers.
pub async fn run<E: Env>(env: E, config: Rc<Config>) -> Exit {
    let rpc = Rpc::open(&env)?;
    let patience =
        Patience { beat_ns: nanos(config.heartbeat), gone_ns: nanos(config.failure_timeout) };
    let mut places = (0..).zip(&config.cluster.drivers);
    let place = places.find(|(_, node)| **node == env.node()).map(|(place, _)| place);
    let place = place.expect("a driver stands in the cluster's list of drivers");
    let node = Rc::new(Node {
        stores: Stores::new(&env, rpc.clone(), Rc::clone(&config)),
        election: RefCell::new(Election::new(patience, place, env.now().0)),
        members: RefCell::new(Members::new(patience)),
        env,
        rpc: rpc.clone(),
        config,
    });
    let told = Rc::clone(&node);
    // This hands answers to the driver's calls, too.
    let serving = rpc.serve_from(move |from, request| {
        told.told(from, &request);
        Handling::<(), std::future::Ready<Result<(), Refusal>>>::Done(Ok(()))
    });
    match select(std::pin::pin!(serving), std::pin::pin!(node.stand_by())).await {
        Either::Left((exit, _)) => exit,
        Either::Right((refusal, _)) => Err(refusal),
    }
}

impl<E: Env> Node<E> {
    fn told(&self, from: NodeId, request: &Request) {
        let now_ns = self.env.now().0;
        match request {
            Request::Executor => self.members.borrow_mut().heard(from, now_ns),
            Request::Leader { generation } => {
                self.election.borrow_mut().heard(*generation, now_ns);
            }
        }
    }

    /// Stands by, leads, and stands by again, until something must not go on.
    async fn stand_by(self: &Rc<Self>) -> Refusal {
        loop {
            let stand_ns = self.election.borrow().stand_ns();
            if self.env.now().0 < stand_ns {
                self.env.sleep_until(Instant(stand_ns)).await;
                continue;
            }
            let ended = match self.elect().await {
                Ok(Some(generation)) => self.lead(generation).await,
                Ok(None) => End::Succeeded,
                Err(end) => end,
            };
            match ended {
                End::Fenced | End::Succeeded => self.election.borrow_mut().wait(self.env.now().0),
                End::Refused(refusal) => return refusal,
            }
        }
    }

    /// Step 1: has the next generation decided for itself; none if another was quicker.
    async fn elect(&self) -> Result<Option<Generation>, End> {
        let _step = Step::Generation.enter(&self.env);
        let record = GenerationRecord { node: self.env.node(), nonce: self.env.random() };
        let Scan { floor, registers } = self.generations().await?;
        let decided = registers.last().and_then(|(name, _)| register::number(name)).unwrap_or(0);
        let last = decided.max(floor.map_or(0, |floor| floor.generation.0));
        let generation = Generation(last + 1);
        let name = register::generation(generation);
        let value = codec::encode(Kind::Register, &record);
        let winner = self.stores.decide(generation, &name, value).await?;
        let winner: GenerationRecord = decoded(&name, &winner)?;
        if winner != record {
            return Ok(None);
        }
        self.env.mark("leader.elected");
        info!(generation = generation.0, "leads");
        Ok(Some(generation))
    }

    /// All leaderships that are not below the floor. Who only asks is refused like anyone else;
    /// he learns then in whose name to ask.
    async fn generations(&self) -> Result<Scan, End> {
        let mut known = self.election.borrow().generation();
        loop {
            match self.stores.scan(known, register::GENERATIONS).await {
                Err(StoresError::Fenced(later)) if later > known => known = later,
                scanned => return Ok(scanned?),
            }
        }
    }

    /// Leads until another does, or something is wrong.
    async fn lead(self: &Rc<Self>, generation: Generation) -> End {
        let leader = Leader::new(Rc::clone(self), generation);
        let end = match select(std::pin::pin!(leader.lead()), std::pin::pin!(self.beat(generation)))
            .await
        {
            Either::Left((end, _)) => end,
            Either::Right((never, _)) => match never {},
        };
        if matches!(end, End::Fenced) {
            self.env.mark("driver.fenced");
            info!("fenced: a later generation leads");
        }
        end
    }

    /// Tells the other drivers, again and again, that this one leads.
    async fn beat(&self, generation: Generation) -> Infallible {
        loop {
            let others =
                self.config.cluster.drivers.iter().filter(|node| **node != self.env.node());
            self.rpc.tell(others, &Request::Leader { generation });
            self.env.sleep(self.config.heartbeat).await;
        }
    }
}

fn decoded<T: serde::de::DeserializeOwned>(name: &str, value: &[u8]) -> Result<T, Refusal> {
    codec::decode(Kind::Register, value).map_err(|error: CodecError| {
        Refusal::new(format!("{name}: {error}; was it decided by another version?"))
    })
}

fn unexpected(role: &str, answer: &impl std::fmt::Debug) -> Refusal {
    Refusal::new(format!("the {role} answers {answer:?}; does it run the same version?"))
}

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

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    convert::Infallible,
    rc::Rc,
    time::Duration,
};

use futures_channel::oneshot;
use futures_util::future::{Either, FusedFuture, select};
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
    defect::Defect,
    epoch::{GenerationRecord, register},
    progress::Progress,
    rpc::{Handling, Rpc},
    steps::Step,
    stores::{Scan, Stores, StoresError},
    task,
    tuple::Generation,
};

/// How long the driver waits before it asks again for what was not there.
const PAUSE: Duration = Duration::from_millis(20);

/// What drivers are told, and nobody waits for an answer; and what they are asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// An executor is there.
    Executor,
    /// A leader is there.
    Leader {
        /// Its leadership.
        generation: Generation,
    },
    /// A driver was started: does anyone lead?
    Started,
    /// To that one: not as far as the sender knows, and it does not lead itself.
    Leaderless,
    /// What did the last epoch come to?
    Progress,
    /// An executor leaves.
    Left,
    /// An executor was told that a leader is new: these states it has in memory.
    Holds(Vec<task::Held>),
}

/// Why a leadership ended.
enum End {
    /// It was refused, because another leads: stand by again.
    Fenced,
    /// Another was heard to lead, or was quicker: stand by again.
    Succeeded,
    /// All is published that there was to be.
    Finished,
    /// What was to be read is not there any more.
    Trimmed(Refusal),
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
    /// The last epoch that it published.
    progress: RefCell<Option<Progress>>,
    leading: Cell<bool>,
    /// What executors said that they hold, in this leadership.
    held: RefCell<BTreeMap<NodeId, Vec<task::Held>>>,
    /// Has it stand at once, the first time.
    stand: RefCell<Option<oneshot::Sender<()>>>,
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
    let place =
        place(&config, env.node()).expect("a driver stands in the cluster's list of drivers");
    let drivers = config.cluster.drivers.len() as u64;
    let (stand, standing) = oneshot::channel();
    let node = Rc::new(Node {
        stores: Stores::new(&env, rpc.clone(), Rc::clone(&config)),
        election: RefCell::new(Election::new(patience, (place, drivers), env.now().0)),
        leading: Cell::new(false),
        held: RefCell::default(),
        stand: RefCell::new(Some(stand)),
        members: RefCell::new(Members::new(patience)),
        progress: RefCell::default(),
        env,
        rpc: rpc.clone(),
        config,
    });
    // Rather than to listen for them.
    let others = node.config.cluster.drivers.iter().filter(|other| **other != node.env.node());
    rpc.tell(others, &Request::Started);
    rpc.tell(&node.config.cluster.executors, &task::Request::DriverStarted);
    let told = Rc::clone(&node);
    // This hands answers to the driver's calls, too.
    let serving = rpc.serve_from(move |from, request| {
        told.told(from, &request);
        let progress = match request {
            Request::Progress => told.progress.borrow().clone(),
            Request::Executor | Request::Left | Request::Holds(_) => None,
            Request::Leader { .. } | Request::Started | Request::Leaderless => None,
        };
        Handling::<_, std::future::Ready<Result<_, Refusal>>>::Done(Ok(progress))
    });
    match select(std::pin::pin!(serving), std::pin::pin!(node.stand_by(standing))).await {
        Either::Left((exit, _)) => exit,
        Either::Right((exit, _)) => exit,
    }
}

impl<E: Env> Node<E> {
    fn told(&self, from: NodeId, request: &Request) {
        let now_ns = self.env.now().0;
        match request {
            Request::Executor => {
                let known = self.config.cluster.executors.contains(&from);
                if known || !self.config.defects.has(Defect::StrangersIgnored) {
                    self.members.borrow_mut().heard(from, now_ns);
                }
                return;
            }
            Request::Left => return self.members.borrow_mut().left(from),
            Request::Holds(held) => {
                self.held.borrow_mut().insert(from, held.clone());
                return;
            }
            Request::Progress | Request::Leader { .. } | Request::Started | Request::Leaderless => {
            }
        }
        let Some(other) = place(&self.config, from) else { return };
        let mut election = self.election.borrow_mut();
        match request {
            Request::Executor | Request::Left | Request::Holds(_) | Request::Progress => {}
            Request::Leader { generation } => election.heard(*generation, other, now_ns),
            Request::Started if self.leading.get() => {}
            Request::Started => {
                if election.is_leaderless(other, now_ns) {
                    self.rpc.tell([&from], &Request::Leaderless);
                }
            }
            Request::Leaderless => {
                if election.told_leaderless(other, now_ns)
                    && let Some(stand) = self.stand.borrow_mut().take()
                {
                    // It may stand already.
                    let _ = stand.send(());
                }
            }
        }
    }

    /// Stands by, leads, and stands by again, until something must not go on.
    async fn stand_by(self: &Rc<Self>, mut at_once: oneshot::Receiver<()>) -> Exit {
        loop {
            let stand_ns = self.election.borrow().stand_ns();
            if self.env.now().0 < stand_ns {
                let turn = self.env.sleep_until(Instant(stand_ns));
                if at_once.is_terminated() {
                    turn.await;
                } else {
                    select(std::pin::pin!(turn), &mut at_once).await;
                }
                continue;
            }
            self.stand.borrow_mut().take();
            self.leading.set(true);
            let ended = match self.elect().await {
                Ok(Some(generation)) => self.lead(generation).await,
                Ok(None) => End::Succeeded,
                Err(end) => end,
            };
            self.leading.set(false);
            match ended {
                End::Fenced | End::Succeeded => self.election.borrow_mut().wait(self.env.now().0),
                End::Finished => return Ok(()),
                End::Trimmed(refusal) | End::Refused(refusal) => return Err(refusal),
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
        self.held.borrow_mut().clear();
        self.rpc.tell(&self.members.borrow().present(self.env.now().0), &task::Request::Leads);
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

/// The place of a driver among the drivers.
fn place(config: &Config, driver: NodeId) -> Option<u64> {
    let mut places = (0..).zip(&config.cluster.drivers);
    places.find(|(_, node)| **node == driver).map(|(place, _)| place)
}

fn decoded<T: serde::de::DeserializeOwned>(name: &str, value: &[u8]) -> Result<T, Refusal> {
    codec::decode(Kind::Register, value).map_err(|error: CodecError| {
        Refusal::new(format!("{name}: {error}; was it decided by another version?"))
    })
}

fn unexpected(role: &str, answer: &impl std::fmt::Debug) -> Refusal {
    Refusal::new(format!("the {role} answers {answer:?}; does it run the same version?"))
}

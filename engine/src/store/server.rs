//! Carries out what is asked of a store.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
};

use futures_util::lock::{Mutex, OwnedMutexGuard};
use unplug_sim::env::{Env, Refusal, Remedy};

use super::{
    Answer, Body, Request,
    files::{self, Found, Identity, REGISTERS},
};
use crate::{
    config::Config,
    defect::Defect,
    durable::{self, Store},
    epoch::{FloorRecord, register},
    register::{Acceptor, Ask, Refused},
    rpc::Rpc,
    steps::Step,
    tuple::Generation,
};

/// How many bytes of registers one answer holds, about.
const PAGE_BYTES: usize = 256 * 1024;

/// Above so many locks, those that nobody holds are dropped.
const LOCKS_KEPT: usize = 64;

pub(super) struct Server<E: Env> {
    pub(super) env: E,
    pub(super) rpc: Rpc<E>,
    pub(super) config: Rc<Config>,
    pub(super) files: Store<E>,
    pub(super) acceptor: RefCell<Acceptor>,
    /// Whether all blobs are here that should be.
    pub(super) whole: Cell<bool>,
    /// Requests about one register are carried out one after another.
    names: RefCell<BTreeMap<String, Arc<Mutex<()>>>>,
    /// So are changes of the identity and of the floor.
    root: Mutex<()>,
}

impl<E: Env> Server<E> {
    pub(super) fn new(env: E, rpc: Rpc<E>, config: Rc<Config>, found: Found<E>) -> Self {
        let Found { files, identity, floor, slots } = found;
        let Identity { stamp, serving, whole, .. } = identity;
        let mut acceptor = Acceptor::new(stamp, floor, slots);
        if !serving {
            acceptor.begin_again(&[]);
        }
        Self {
            env,
            rpc,
            config,
            files,
            acceptor: RefCell::new(acceptor),
            whole: Cell::new(whole),
            names: RefCell::default(),
            root: Mutex::default(),
        }
    }

    /// Answers what needs no disk, or gives the request back.
    pub(super) fn at_once(&self, request: Request) -> Result<Answer, Request> {
        let mut acceptor = self.acceptor.borrow_mut();
        let body = match request {
            Request::Learn { name, value } => {
                acceptor.learn(&name, value);
                Body::Done
            }
            Request::Scan { generation, prefix, after } => {
                match acceptor.admit(self.claimed(generation)) {
                    Ok(()) => Body::Page(acceptor.page(&prefix, &after, PAGE_BYTES)),
                    Err(refused) => Body::Refused(refused),
                }
            }
            Request::Incarnations if acceptor.is_serving() => Body::Done,
            Request::Incarnations => Body::Refused(Refused::Abstaining),
            Request::Vote { .. }
            | Request::RaiseFloor { .. }
            | Request::Collect { .. }
            | Request::Put { .. }
            | Request::Repair { .. }
            | Request::Get { .. }
            | Request::HandOver { .. }
            | Request::Files { .. }
            | Request::GetFile { .. } => return Err(request),
        };
        Ok(Answer { stamp: acceptor.stamp().clone(), body })
    }

    /// Answers what [`Server::at_once`] gave back.
    pub(super) async fn answer(self: Rc<Self>, request: Request) -> Result<Answer, Refusal> {
        let body = match self.carry_out(request).await {
            // Nothing was promised, and what is here can still be read.
            Err(Refusal { remedy: Remedy::Space, .. }) => Body::Refused(Refused::NoSpace),
            done => done?,
        };
        // What the answer says of others is what was known when it was ready, not before.
        let stamp = self.acceptor.borrow().stamp().clone();
        Ok(Answer { stamp, body })
    }

    /// What each request takes waits in a box of its own, so that no request pays for the largest.
    async fn carry_out(self: &Rc<Self>, request: Request) -> Result<Body, Refusal> {
        Ok(match request {
            Request::Vote { generation, name, ask } => {
                Box::pin(self.vote(self.claimed(generation), name, ask)).await?
            }
            Request::RaiseFloor { generation, floor } => {
                Box::pin(self.admitted(generation, self.raise_floor(floor))).await?
            }
            Request::Collect { generation, floor, keep } => {
                Box::pin(self.admitted(generation, self.collect(floor, keep))).await?
            }
            Request::Put { name, bytes } => Box::pin(self.put(name, bytes)).await?,
            Request::Repair { blob, bytes } => Box::pin(self.repair(blob, bytes)).await?,
            Request::Get { name } => Box::pin(self.get(&files::file_name(&name))).await?,
            Request::GetFile { file } => Box::pin(self.get(&file)).await?,
            Request::HandOver { store, incarnation, after } if self.is_serving() => {
                Box::pin(self.announced(store, incarnation)).await?;
                Body::Page(self.acceptor.borrow().page("", &after, PAGE_BYTES))
            }
            Request::Files { after } if self.is_serving() && self.whole.get() => {
                Box::pin(self.list(&after)).await?
            }
            Request::HandOver { .. } | Request::Files { .. } => Body::Refused(Refused::Abstaining),
            Request::Learn { .. } | Request::Scan { .. } | Request::Incarnations => {
                unreachable!("these are answered at once")
            }
        })
    }

    pub(super) fn is_serving(&self) -> bool {
        self.acceptor.borrow().is_serving()
    }

    async fn vote(&self, generation: Generation, name: String, ask: Ask) -> Result<Body, Refusal> {
        let turn = self.turn(&name).await;
        let handled = self.acceptor.borrow_mut().handle(generation, &name, &ask);
        let handled = match handled {
            Ok(handled) => handled,
            Err(refused) => return Ok(Body::Refused(refused)),
        };
        if let Some(slot) = handled.slot {
            let _step = register::step(&name).map(|step| step.enter(&self.env));
            if self.config.defects.has(Defect::VoteBeforeSync) {
                self.acceptor.borrow_mut().install(&name, slot.clone());
                let (files, name) = (self.files.clone(), name.clone());
                self.env.spawn("vote", async move {
                    drop(files::write_register(&files, &name, &slot).await);
                    drop(turn);
                });
            } else {
                files::write_register(&self.files, &name, &slot).await?;
                self.acceptor.borrow_mut().install(&name, slot);
            }
        }
        // The floor may have risen above the name while the vote was being made durable.
        let above = self.acceptor.borrow().above_floor(&name);
        Ok(above.map_or_else(Body::Refused, |()| Body::Vote(handled.vote)))
    }

    /// Waits until no other request about this register is being carried out.
    async fn turn(&self, name: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut names = self.names.borrow_mut();
            if names.len() > LOCKS_KEPT {
                names.retain(|_, lock| Arc::strong_count(lock) > 1);
            }
            Arc::clone(names.entry(name.to_owned()).or_default())
        };
        lock.lock_owned().await
    }

    /// The generation in whose name a request comes.
    fn claimed(&self, generation: Generation) -> Generation {
        if self.config.defects.has(Defect::ZombieNotFenced) { Generation(0) } else { generation }
    }

    async fn admitted(
        &self,
        generation: Generation,
        work: impl Future<Output = Result<(), Refusal>>,
    ) -> Result<Body, Refusal> {
        let admitted = self.acceptor.borrow_mut().admit(self.claimed(generation));
        match admitted {
            Ok(()) => work.await.map(|()| Body::Done),
            Err(refused) => Ok(Body::Refused(refused)),
        }
    }

    async fn raise_floor(&self, floor: FloorRecord) -> Result<(), Refusal> {
        let _step = Step::Collect.enter(&self.env);
        let _turn = self.root.lock().await;
        let mine = self.acceptor.borrow().floor();
        if mine.is_none_or(|mine| mine.number < floor.number) {
            files::write_floor(&self.files, &floor).await?;
            self.acceptor.borrow_mut().raise_floor(floor);
        }
        Ok(())
    }

    async fn collect(&self, floor: FloorRecord, keep: Vec<String>) -> Result<(), Refusal> {
        self.raise_floor(floor).await?;
        let _step = Step::Collect.enter(&self.env);
        let below = self.acceptor.borrow().below_floor();
        for name in &below {
            let _turn = self.turn(name).await;
            self.files.remove(&durable::join(REGISTERS, &files::file_name(name))).await?;
            self.acceptor.borrow_mut().forget(name);
        }
        if !below.is_empty() {
            self.files.sync_dir(REGISTERS).await?;
        }
        self.collect_blobs(floor, keep).await
    }

    /// Another store forgot and has a new incarnation: durable, before anything is handed over.
    async fn announced(&self, store: u16, incarnation: u64) -> Result<(), Refusal> {
        let _turn = self.root.lock().await;
        let news = self.acceptor.borrow_mut().announced(store, incarnation).cloned();
        if let Some(stamp) = news {
            let identity = Identity { whole: self.whole.get(), ..Identity::of(stamp) };
            files::write_identity(&self.files, &identity).await?;
        }
        Ok(())
    }

    /// Makes durable how far a rebuild is, with what was learned of the others meanwhile.
    pub(super) async fn save_identity(&self, mut identity: Identity) -> Result<(), Refusal> {
        let _turn = self.root.lock().await;
        identity.stamp.merge(&self.acceptor.borrow().stamp().known);
        files::write_identity(&self.files, &identity).await
    }
}

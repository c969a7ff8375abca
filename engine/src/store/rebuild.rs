//! A store that forgot learns from the others: first the registers, then the blobs.

use std::{collections::BTreeMap, future::Future, rc::Rc, time::Duration};

use futures_util::{
    StreamExt,
    future::{LocalBoxFuture, try_join_all},
    stream::FuturesUnordered,
};
use tracing::info;
use unplug_sim::env::{Env, NodeId, Refusal};

use super::{
    Answer, Body, Request,
    files::{self, Identity},
    server::Server,
};
use crate::register::{
    Rebuild, Refused, Stamp, Votes,
    acceptor::Page,
    rebuild::{Handed, needed, next_incarnation},
};

/// How long before a store that does not serve is asked again.
const PAUSE: Duration = Duration::from_millis(50);

/// How many registers are written beside each other.
const WRITTEN_AT_ONCE: usize = 16;

/// What each of the others said, as it comes in.
type Others<'a, T> = FuturesUnordered<LocalBoxFuture<'a, T>>;

/// Brings a store back to what it should have; at once, if it has it.
pub(super) async fn run<E: Env>(server: Rc<Server<E>>) -> Result<(), Refusal> {
    if server.is_serving() && server.whole.get() {
        return Ok(());
    }
    if !server.is_serving() {
        server.learn_registers().await?;
    }
    if !server.whole.get() {
        server.copy_blobs().await?;
        server.whole.set(true);
        let stamp = server.acceptor.borrow().stamp().clone();
        server.save_identity(Identity::of(stamp)).await?;
    }
    server.env.mark("store.rebuilt");
    info!("rebuilt from the other stores");
    Ok(())
}

impl<E: Env> Server<E> {
    async fn learn_registers(&self) -> Result<(), Refusal> {
        let stores = self.config.cluster.stores.len();
        let mut own = self.acceptor.borrow().stamp().clone();
        let mut asked = self.of_others(|node| self.ask(node, Request::Incarnations));
        let mut known: Vec<Stamp> = Vec::new();
        while known.len() < needed(stores) {
            known.extend(asked.next().await.map(|answer| answer.stamp));
        }
        drop(asked);
        let place = usize::from(own.store);
        own.known[place] = next_incarnation(&own, known.iter());
        self.acceptor.borrow_mut().begin_again(&own.known);
        let whole = self.whole.get();
        self.save_identity(Identity { serving: false, whole, ..Identity::of(own.clone()) }).await?;
        let rebuild = self.handed_over(&own).await;
        let (stamp, adopted) = self.acceptor.borrow().adopted(&rebuild, self.config.defects);
        let slots: Vec<_> = adopted.slots.iter().collect();
        for some in slots.chunks(WRITTEN_AT_ONCE) {
            let writes =
                some.iter().map(|(name, slot)| files::write_register(&self.files, name, slot));
            try_join_all(writes).await?;
        }
        if let Some(floor) = &adopted.floor {
            files::write_floor(&self.files, floor).await?;
        }
        self.save_identity(Identity { whole, ..Identity::of(stamp.clone()) }).await?;
        self.acceptor.borrow_mut().serve_again(stamp, adopted);
        Ok(())
    }

    /// Has so many others hand over that nothing can be missing.
    async fn handed_over(&self, own: &Stamp) -> Rebuild {
        let defects = self.config.defects;
        loop {
            let mut rebuild = Rebuild::new(self.config.cluster.stores.len());
            let mut others = self.of_others(|node| self.hand_over(node, own));
            while !rebuild.is_enough(defects) && !rebuild.has_void(defects) {
                let Some((stamp, handed)) = others.next().await else { break };
                rebuild.take(stamp, handed);
            }
            if rebuild.is_enough(defects) {
                return rebuild;
            }
            self.env.sleep(PAUSE).await;
        }
    }

    /// All that another store knows.
    async fn hand_over(&self, node: NodeId, own: &Stamp) -> (Stamp, Handed) {
        let (store, incarnation) = (own.store, own.incarnation());
        loop {
            let mut handed = Handed { slots: BTreeMap::new(), floor: None };
            let mut first: Option<Stamp> = None;
            loop {
                let after = handed.slots.keys().next_back().cloned().unwrap_or_default();
                let request = Request::HandOver { store, incarnation, after };
                let Answer { stamp, body: Body::Page(page) } = self.ask(node, request).await else {
                    continue;
                };
                let first = first.get_or_insert_with(|| stamp.clone());
                if first.incarnation() != stamp.incarnation() {
                    // It forgot in between: what it handed over and what it knows differ.
                    break;
                }
                first.merge(&stamp.known);
                let Page { slots, more, floor } = page;
                let last = slots.is_empty() || !more;
                handed.slots.extend(slots);
                handed.floor = floor.or(handed.floor);
                if last {
                    return (first.clone(), handed);
                }
            }
        }
    }

    /// Copies what others have and this store lacks, until so many others were gone through that
    /// nothing can be missing.
    async fn copy_blobs(&self) -> Result<(), Refusal> {
        let stores = self.config.cluster.stores.len();
        loop {
            let mut seen = Votes::new(stores);
            let mut others = self.of_others(|node| self.copy_from(node));
            while let Some(stamp) = others.next().await {
                seen.add(stamp?, ());
                if seen.has(needed(stores), self.config.defects) {
                    return Ok(());
                }
            }
            self.env.sleep(PAUSE).await;
        }
    }

    async fn copy_from(&self, node: NodeId) -> Result<Stamp, Refusal> {
        let mut after = String::new();
        loop {
            let answer = self.ask(node, Request::Files { after: after.clone() }).await;
            let Answer { stamp, body: Body::Files(names, more) } = answer else { continue };
            for file in &names {
                if self.has(file).await {
                    continue;
                }
                let request = Request::GetFile { file: file.clone() };
                // Gone by now, if it was collected in between.
                if let Body::Blob(Some(bytes)) = self.ask(node, request).await.body {
                    self.keep_if_absent(file, bytes).await?;
                }
            }
            match names.last() {
                Some(last) if more => after.clone_from(last),
                _ => return Ok(stamp),
            }
        }
    }

    /// Asks another store until it takes part.
    async fn ask(&self, node: NodeId, request: Request) -> Answer {
        loop {
            let answer: Answer = self.rpc.insist(node, &request).await;
            if !matches!(answer.body, Body::Refused(Refused::Abstaining | Refused::NoSpace)) {
                return answer;
            }
            self.env.sleep(PAUSE).await;
        }
    }

    fn of_others<'a, T, F: Future<Output = T> + 'a>(
        &'a self,
        work: impl Fn(NodeId) -> F,
    ) -> Others<'a, T> {
        let own = self.env.node();
        let others = self.config.cluster.stores.iter().filter(|node| **node != own);
        others.map(|node| Box::pin(work(*node)) as LocalBoxFuture<'a, T>).collect()
    }
}

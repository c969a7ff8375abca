//! Writing, reading and repairing blobs over the stores.

use std::{collections::BTreeSet, pin::pin, rc::Rc, time::Duration};

use bytes::Bytes;
use futures_channel::mpsc;
use futures_util::{
    FutureExt, StreamExt,
    future::{Either, LocalBoxFuture, select},
    stream::FuturesUnordered,
};
use unplug_sim::env::{Env, NodeId};

use super::{PAUSE, Shared, StoresError};
use crate::{
    defect::Defect,
    epoch::{BlobRef, checksum},
    register::Votes,
    store::{Answer, Body, Request},
};

/// How long one store may take to give a blob before the next is asked as well.
const PATIENCE_ONE: Duration = Duration::from_millis(20);

/// How long a store may take to give a blob in all.
const PATIENCE_GET: Duration = Duration::from_secs(1);

/// How long a store that was not waited for may take.
const PATIENCE_BEHIND: Duration = Duration::from_secs(10);

/// What came of asking one store for a blob.
enum Got {
    Sound(Bytes),
    /// Missing or damaged.
    Bad,
    Silent,
}

impl<E: Env> Shared<E> {
    pub(super) async fn put_blob(
        self: &Rc<Self>,
        name: String,
        bytes: Bytes,
        patience: Duration,
    ) -> Result<BlobRef, String> {
        let blob = BlobRef { name, checksum: checksum(&bytes), bytes: bytes.len() as u64 };
        let request = Rc::new(Request::Put { name: blob.name.clone(), bytes });
        let (answers, mut answered) = mpsc::unbounded();
        for store in self.config.cluster.stores.clone() {
            let (this, request, answers) = (Rc::clone(self), Rc::clone(&request), answers.clone());
            let asking = async move {
                let patience = pin!(this.env.sleep(patience.max(PATIENCE_BEHIND)));
                let ask = pin!(this.ask(store, &request));
                if let Either::Left((answer, _)) = select(ask, patience).await {
                    // Nobody waits for the last ones.
                    drop(answers.unbounded_send(answer));
                }
            };
            self.env.spawn("put blob", asking);
        }
        drop(answers);
        let kept = async {
            let mut votes = Votes::new(self.count());
            while let Some(answer) = answered.next().await {
                votes.add(answer?.0, ());
                if votes.has_majority(self.config.defects) {
                    return Ok(true);
                }
            }
            Ok::<_, StoresError>(false)
        };
        match select(pin!(kept), pin!(self.env.sleep(patience))).await {
            Either::Left((Ok(true), _)) => Ok(blob),
            Either::Left((Err(error), _)) => Err(format!("blob {}: {error}", blob.name)),
            Either::Left((Ok(false), _)) | Either::Right(_) => {
                Err(format!("blob {}: no majority of the stores kept it in time", blob.name))
            }
        }
    }

    pub(super) async fn get_blob(
        self: &Rc<Self>,
        blob: &BlobRef,
        patience: Duration,
    ) -> Result<Bytes, String> {
        let mut bad = BTreeSet::new();
        let found = async {
            loop {
                if let Some(bytes) = self.find(blob, &mut bad).await {
                    return bytes;
                }
                // That a majority has it not proves nothing: it may be on its way.
                self.env.sleep(PAUSE).await;
            }
        };
        let found = match select(pin!(found), pin!(self.env.sleep(patience))).await {
            Either::Left((bytes, _)) => Some(bytes),
            Either::Right(_) => None,
        };
        let Some(bytes) = found else {
            return Err(format!("blob {}: no store gave it whole in time", blob.name));
        };
        if !self.config.defects.has(Defect::BlobUnverified) {
            bad.into_iter().for_each(|store| self.repair(store, blob, &bytes));
        }
        Ok(bytes)
    }

    /// Asks one store after the other, from a place on that depends on the name, those that keep
    /// silent last, and does not wait long for one before the next is asked as well.
    async fn find(&self, blob: &BlobRef, bad: &mut BTreeSet<NodeId>) -> Option<Bytes> {
        let stores = &self.config.cluster.stores;
        let count = stores.len() as u64;
        let place = xxhash_rust::xxh3::xxh3_64(blob.name.as_bytes()) % count;
        let first = usize::try_from(place).expect("below a length");
        let mut left: Vec<_> = stores.iter().cycle().skip(first).take(stores.len()).collect();
        let now = self.env.now();
        left.sort_by_key(|store| self.silence.of(**store, now));
        let mut left = left.into_iter();
        let mut asked: FuturesUnordered<LocalBoxFuture<'_, (NodeId, Got)>> =
            FuturesUnordered::new();
        loop {
            let next = left.next();
            asked.extend(next.map(|store| self.get(*store, blob).boxed_local()));
            match select(asked.next(), pin!(self.env.sleep(self.patience_one()))).await {
                Either::Left((Some((_, Got::Sound(bytes))), _)) => return Some(bytes),
                Either::Left((Some((store, Got::Bad)), _)) => {
                    bad.insert(store);
                }
                Either::Left((Some((_, Got::Silent)), _)) | Either::Right(_) => {}
                Either::Left((None, _)) => return None,
            }
        }
    }

    fn patience_one(&self) -> Duration {
        PATIENCE_ONE + self.config.blob_patience
    }

    async fn get(&self, store: NodeId, blob: &BlobRef) -> (NodeId, Got) {
        let request = Request::Get { name: blob.name.clone() };
        self.silence.asked(store, self.env.now());
        let answer: Result<Answer, _> =
            self.bulk.call(store, &request, PATIENCE_GET + 10 * self.config.blob_patience).await;
        if answer.is_ok() {
            self.silence.answered(store);
        }
        let unverified = self.config.defects.has(Defect::BlobUnverified);
        let got = match answer.map(|answer| answer.body) {
            Ok(Body::Blob(Some(bytes))) if unverified || is_whole(blob, &bytes) => {
                Got::Sound(bytes)
            }
            Ok(Body::Blob(_)) => Got::Bad,
            Ok(Body::Vote(_) | Body::Refused(_) | Body::Page(_) | Body::Files(..) | Body::Done)
            | Err(_) => Got::Silent,
        };
        (store, got)
    }

    /// Gives a store a blob that it should have.
    fn repair(self: &Rc<Self>, store: NodeId, blob: &BlobRef, bytes: &Bytes) {
        let request = Request::Repair { blob: blob.clone(), bytes: bytes.clone() };
        let this = Rc::clone(self);
        self.env.spawn("repair blob", async move {
            let answer = this.bulk.call(store, &request, PATIENCE_BEHIND).await;
            if let Ok(Answer { body: Body::Done, .. }) = answer {
                this.env.mark("blob.repaired");
            }
        });
    }
}

fn is_whole(blob: &BlobRef, bytes: &Bytes) -> bool {
    bytes.len() as u64 == blob.bytes && checksum(bytes) == blob.checksum
}

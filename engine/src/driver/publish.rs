//! Steps 6 and 7: the sinks publish an epoch; what lies behind all of them is collected.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "an answer that does not belong to the request ends the work, whichever it is"
)]

use futures_util::future::try_join_all;
use unplug_sim::env::{Env, NodeId, Refusal};

use super::{End, PAUSE, core::plan::Before, leader::Leader, transactions::Content, unexpected};
use crate::{
    broker,
    epoch::{CommitRecord, FloorRecord, OffsetsRecord, StateRef, register},
    sink,
    steps::Step,
    tuple::Epoch,
};

/// How long the broker may take to drop what no one needs, before it is left for the next time.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

impl<E: Env> Leader<E> {
    /// Step 6: has all sinks publish the epoch.
    pub(super) async fn apply(
        &self,
        offsets: &OffsetsRecord,
        commit: &CommitRecord,
    ) -> Result<(), End> {
        if self.has_transactions() {
            return self.settle(Content { commit, cut: &offsets.cut() }).await;
        }
        let request = sink::Request::Apply {
            generation: self.generation,
            commit: commit.clone(),
            cut: offsets.cut(),
        };
        let sinks = self.node.config.cluster.sinks.iter();
        try_join_all(sinks.map(|sink| self.apply_at(*sink, &request, commit.epoch))).await?;
        Ok(())
    }

    async fn apply_at(
        &self,
        sink: NodeId,
        request: &sink::Request,
        epoch: Epoch,
    ) -> Result<(), End> {
        loop {
            match self.node.rpc.insist(sink, request).await {
                sink::Answer::Published(published) if published >= epoch => return Ok(()),
                sink::Answer::Fenced(_) => return Err(End::Fenced),
                sink::Answer::Failed(_) => self.node.env.sleep(PAUSE).await,
                other => return Err(unexpected("sink", &other).into()),
            }
        }
    }

    /// The lowest epoch that all sinks have published, and the highest that any has.
    pub(super) async fn published(&self) -> Result<(Epoch, Epoch), End> {
        let sinks = self.node.config.cluster.sinks.iter();
        let each = try_join_all(sinks.map(async |sink| {
            match self.node.rpc.insist(*sink, &sink::Request::Published).await {
                sink::Answer::Published(epoch) => Ok(epoch),
                other => Err(End::Refused(unexpected("sink", &other))),
            }
        }));
        let each = each.await?;
        let none = Epoch(0);
        Ok((each.iter().copied().min().unwrap_or(none), each.into_iter().max().unwrap_or(none)))
    }

    /// Step 7: raises the floor to an epoch that all sinks have published, and has what lies below
    /// deleted: first registers and blobs, then the source.
    pub(super) async fn collect(&self, published: &Before) -> Result<(), End> {
        let node = &*self.node;
        let _step = Step::Collect.enter(&node.env);
        let epoch = published.offsets.epoch;
        let floor = loop {
            let last = *self.floor.borrow();
            let number = last.map_or(0, |floor| floor.number) + 1;
            let floor = FloorRecord { number, epoch, generation: self.generation };
            let follows = last.map(|floor| floor.generation);
            let name = register::floor(number);
            let decided: FloorRecord = self.decide(name, &floor, follows).await?;
            self.floor.replace(Some(decided));
            if decided == floor {
                break floor;
            }
            // One that was decided before, and perhaps never raised: the next number may be free.
        };
        node.stores.raise_floor(self.generation, floor).await?;
        let states = published.commit.states.iter();
        let keep = states.flat_map(StateRef::blobs).map(|blob| blob.name.clone()).collect();
        node.stores.collect(self.generation, floor, keep).await?;
        self.trim(published).await
    }

    /// Has the source deleted as far as an epoch has read it that is the floor.
    pub(super) async fn trim(&self, published: &Before) -> Result<(), End> {
        let (node, epoch) = (&*self.node, published.offsets.epoch);
        let ends = published.offsets.ranges.iter().map(|range| range.end).collect();
        let request = broker::Request::Trim { generation: self.generation, ends };
        // Left for the next time, if it does not answer now.
        match node.rpc.call(node.config.cluster.broker, &request, PATIENCE).await {
            Ok(broker::Answer::Fenced(_)) => Err(End::Fenced),
            Ok(broker::Answer::Invalid(reason)) => Err(Refusal::new(format!(
                "the source cannot be trimmed to what epoch {epoch} has read: {reason}; restore \
                 the broker's log from a copy"
            ))
            .into()),
            Ok(broker::Answer::Trimmed(_)) => {
                self.trimmed_to.set(epoch);
                Ok(())
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

//! Epochs at an external system with transactions, in two phases: the transaction of an attempt is
//! prepared before the attempt is proposed as the epoch's commit; the decided one is committed, and
//! what other attempts left is aborted.
//!
//! The system may forget what was prepared, and its answers may be lost. So a commit is asked for
//! until it is known to have happened, and if there is nothing to be committed, it is prepared again
//! under the same name, from the blobs that the commit names. The system refuses no old leadership;
//! but one that comes back asks for nothing other than what was decided, or for what nobody commits.

use std::time::Duration;

use unplug_sim::env::{Env, NodeId, Refusal};

use super::{End, PAUSE, core::transactions, leader::Leader, unexpected};
use crate::{
    codec::{self, Kind},
    config::SinkKind,
    defect::Defect,
    epoch::{CommitRecord, Cut, Output},
    executor::OUTPUT_BYTES_MAX,
    pipeline::Row,
    sink::{
        self, Batch,
        external::{Answer, Request, Transaction},
    },
};

/// How long a store or the system may take, before it is asked again.
const PATIENCE: Duration = Duration::from_secs(1);

/// What an epoch gives to the sinks.
#[derive(Clone, Copy)]
pub(super) struct Content<'a> {
    pub(super) commit: &'a CommitRecord,
    pub(super) cut: &'a Cut,
}

impl<E: Env> Leader<E> {
    /// Whether the sinks are external systems.
    pub(super) fn has_transactions(&self) -> bool {
        self.node.config.sink == SinkKind::Transactional
    }

    /// Prepares what is about to be proposed, at all sinks.
    pub(super) async fn prepare(&self, content: Content<'_>) -> Result<(), End> {
        for (number, sink) in self.numbered() {
            self.prepare_at(sink, number, content).await?;
        }
        Ok(())
    }

    /// Commits what was decided, and aborts what can no longer be, at all sinks.
    pub(super) async fn settle(&self, content: Content<'_>) -> Result<(), End> {
        for (number, sink) in self.numbered() {
            self.commit_at(sink, number, content).await?;
            self.abort_twins(sink, content.commit).await?;
        }
        Ok(())
    }

    fn numbered(&self) -> impl Iterator<Item = (u16, NodeId)> {
        (0..).zip(self.node.config.cluster.sinks.clone())
    }

    async fn prepare_at(&self, sink: NodeId, number: u16, content: Content<'_>) -> Result<(), End> {
        let Content { commit, cut } = content;
        let rows = self.rows(number, commit).await?;
        let epoch = commit.epoch;
        let content = codec::encode(Kind::Table, &Batch { epoch, cut: cut.clone(), rows });
        if content.len() > OUTPUT_BYTES_MAX {
            return Err(Refusal::new(format!(
                "epoch {epoch}: the transaction has {} bytes, over {OUTPUT_BYTES_MAX}; let fewer \
                 tuples into an epoch",
                content.len()
            ))
            .into());
        }
        let name = transactions::name(commit);
        let request = Request::Prepare(Transaction { name, label: epoch, content });
        match self.ask(sink, request).await? {
            Answer::Prepared | Answer::Committed => Ok(()),
            other
            @ (Answer::Unknown | Answer::Aborted | Answer::Waiting(_) | Answer::Failed(_)) => {
                Err(unexpected("external system", &other).into())
            }
        }
    }

    async fn commit_at(&self, sink: NodeId, number: u16, content: Content<'_>) -> Result<(), End> {
        let name = transactions::name(content.commit);
        loop {
            match self.ask(sink, Request::Commit(name.clone())).await? {
                Answer::Committed => return Ok(()),
                Answer::Unknown => {
                    self.prepare_at(sink, number, content).await?;
                    self.node.env.mark("transaction.rewritten");
                }
                other @ (Answer::Prepared
                | Answer::Aborted
                | Answer::Waiting(_)
                | Answer::Failed(_)) => return Err(unexpected("external system", &other).into()),
            }
        }
    }

    async fn abort_twins(&self, sink: NodeId, decided: &CommitRecord) -> Result<(), End> {
        let waiting = match self.ask(sink, Request::Prepared).await? {
            Answer::Waiting(waiting) => waiting,
            other @ (Answer::Prepared
            | Answer::Committed
            | Answer::Unknown
            | Answer::Aborted
            | Answer::Failed(_)) => return Err(unexpected("external system", &other).into()),
        };
        let wrong = self.node.config.defects.has(Defect::PreparedTwinCommitted);
        for twin in transactions::twins(waiting, decided) {
            let request = if wrong { Request::Commit(twin) } else { Request::Abort(twin) };
            self.ask(sink, request).await?;
        }
        Ok(())
    }

    /// Asks until it is answered. What became of a question whose answer is lost is not known; each
    /// can be asked again.
    async fn ask(&self, sink: NodeId, request: Request) -> Result<Answer, End> {
        let request = sink::Request::Transaction(request);
        loop {
            match self.node.rpc.call(sink, &request, PATIENCE).await {
                Ok(sink::Answer::Transaction(Answer::Failed(_))) | Err(_) => {}
                Ok(sink::Answer::Transaction(answer)) => return Ok(answer),
                Ok(other) => return Err(unexpected("external system", &other).into()),
            }
            // Nobody there refuses one that was succeeded.
            self.check_succession()?;
            self.node.env.sleep(PAUSE).await;
        }
    }

    /// What a sink gets of an epoch.
    async fn rows(&self, number: u16, commit: &CommitRecord) -> Result<Vec<Row>, End> {
        let mut rows = Vec::new();
        for output in commit.outputs.iter().filter(|output| output.sink == number) {
            let bytes = loop {
                match self.node.stores.get_blob(&output.blob, PATIENCE).await {
                    Ok(bytes) => break bytes,
                    Err(_) => self.check_succession()?,
                }
            };
            let output: Output = codec::decode(Kind::Output, &bytes).map_err(|error| {
                Refusal::new(format!("epoch {}, blob {}: {error}", commit.epoch, output.blob.name))
            })?;
            rows.extend(output.rows);
        }
        Ok(rows)
    }
}

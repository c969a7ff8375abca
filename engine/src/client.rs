//! What those outside need: producers send, readers read the sink.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "an answer that does not belong to the request ends the work, whichever it is"
)]

use std::{cell::RefCell, time::Duration};

use bytes::Bytes;
use futures_util::future::try_join_all;
use unplug_sim::env::{Env, NodeId, Refusal};

use crate::{
    broker::{self, PRODUCE_BYTES_MAX},
    codec::{self, CodecError, Kind},
    defect::{Defect, Defects},
    driver,
    layout::Layouts,
    pipeline::Row,
    progress::Progress,
    rpc::{Rpc, Unanswered},
    sink::{
        self, Batch,
        files::{self, Manifest},
    },
    tuple::{Offset, Partition, Tuple},
};

/// How long a reader waits for an answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a producer waits for room on the broker's disk.
const PAUSE: Duration = Duration::from_millis(100);

/// How many bytes of files are read for one page, about.
const FILES_BYTES: u64 = 512 * 1024;

/// A client's end.
#[derive(Clone, Debug)]
pub struct Client<E: Env> {
    env: E,
    rpc: Rpc<E>,
    defects: Defects,
}

/// Tuples that the broker acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// In which partition they are.
    pub partition: Partition,
    /// Their seqs; of a file, where their lines begin.
    pub seqs: Vec<u64>,
    /// Their offsets; none for one that was acknowledged so long ago that where it was is no longer
    /// known.
    pub offsets: Vec<Option<Offset>>,
}

/// What a reader got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many batches there were in all.
    pub end: u64,
    /// Those from the asked position on, as many as fitted.
    pub batches: Vec<Batch>,
}

impl<E: Env> Client<E> {
    /// A client on this node.
    ///
    /// # Errors
    /// If the engine's port is taken.
    pub fn new(env: &E) -> Result<Self, Refusal> {
        let rpc = Rpc::open(env)?;
        let answers = rpc.clone();
        env.spawn("client", async move {
            // Only a handler can end it, and there is none.
            drop(answers.serve(async |(): ()| Ok::<_, Refusal>(())).await);
        });
        Ok(Self { env: env.clone(), rpc, defects: Defects::default() })
    }

    /// Sends tuples of one producer to the partitions that they belong to, beside each other, until all
    /// are acknowledged, which may take for ever; tells of each part as it is. Behind the last of
    /// one call, a producer goes on with the next. `layouts` are those that it knows of; what it
    /// learns of later ones it keeps there.
    ///
    /// # Errors
    /// If the broker cannot take them, ever: too many, or too many bytes, for one partition at once.
    pub async fn send(
        &self,
        broker: NodeId,
        mut tuples: Vec<Tuple>,
        layouts: &RefCell<Layouts>,
        acknowledged: impl Fn(Sent),
    ) -> Result<(), Refusal> {
        while !tuples.is_empty() {
            let known = layouts.borrow().clone();
            let sends = known.split(tuples).into_iter().map(async |(partition, tuples)| {
                let among = known.partitions();
                let bytes: usize = tuples.iter().map(|one| one.key.len() + one.value.len()).sum();
                if bytes > PRODUCE_BYTES_MAX {
                    return Err(Refusal::new(format!(
                        "{bytes} bytes of tuples at once for partition {partition}, over \
                         {PRODUCE_BYTES_MAX}; send them in parts"
                    )));
                }
                let request = broker::Request::Produce { among, partition, tuples };
                let answer = self.answered(broker, &request).await;
                let broker::Request::Produce { tuples, .. } = request else {
                    unreachable!("made just now")
                };
                match answer {
                    broker::Answer::Produced(offsets) => {
                        let seqs = tuples.iter().map(|tuple| tuple.seq).collect();
                        acknowledged(Sent { partition, seqs, offsets });
                        Ok(Vec::new())
                    }
                    broker::Answer::Elsewhere(newer) => {
                        if newer.partitions() > layouts.borrow().partitions() {
                            layouts.replace(newer);
                        }
                        Ok(tuples)
                    }
                    other => Err(Refusal::new(format!("the broker answers {other:?}"))),
                }
            });
            tuples = try_join_all(sends).await?.concat();
        }
        Ok(())
    }

    /// Has partitions added to the source until there are so many; tells how many there are then, which
    /// is durable.
    ///
    /// # Errors
    /// If the broker cannot have so many, ever.
    pub async fn add_partitions(&self, broker: NodeId, partitions: u16) -> Result<u16, Refusal> {
        match self.answered(broker, &broker::Request::Add { partitions }).await {
            broker::Answer::Partitions(there) => Ok(there),
            other => Err(Refusal::new(format!("the broker answers {other:?}"))),
        }
    }

    /// The broker's answer, once it has room.
    async fn answered(&self, broker: NodeId, request: &broker::Request) -> broker::Answer {
        loop {
            match self.rpc.insist(broker, request).await {
                broker::Answer::NoSpace => self.env.sleep(PAUSE).await,
                answer => return answer,
            }
        }
    }

    /// The same client, with bugs planted.
    #[must_use]
    pub fn with_defects(self, defects: Defects) -> Self {
        Self { defects, ..self }
    }

    /// What the last epoch came to that a driver published since it was started; none if it has
    /// published none, or did not answer in time.
    pub async fn progress(&self, driver: NodeId) -> Option<Progress> {
        let asked = self.rpc.call(driver, &driver::Request::Progress, PATIENCE).await;
        asked.ok().flatten()
    }

    /// Reads the sink from a position on; none if it did not answer in time.
    ///
    /// # Errors
    /// If it answered with a batch that does not decode: the sink shows damage.
    pub async fn read(&self, sink: NodeId, from: u64) -> Result<Option<Page>, CodecError> {
        let answer: Result<sink::Answer, Unanswered> =
            self.rpc.call(sink, &sink::Request::Read { from }, PATIENCE).await;
        match answer {
            Ok(sink::Answer::Batches { end, batches }) => {
                let decoded = batches.iter().map(|bytes| codec::decode(Kind::Table, bytes));
                Ok(Some(Page { end, batches: decoded.collect::<Result<_, _>>()? }))
            }
            Ok(sink::Answer::Manifests { end, manifests }) => {
                self.read_files(sink, end, &manifests).await
            }
            _ => Ok(None),
        }
    }

    /// The batches of manifests, as many as came in time; none if the first did not.
    async fn read_files(
        &self,
        sink: NodeId,
        end: u64,
        manifests: &[Bytes],
    ) -> Result<Option<Page>, CodecError> {
        let (mut batches, mut bytes) = (Vec::new(), 0);
        for manifest in manifests {
            let manifest = Manifest::decode(manifest)?;
            bytes += manifest.files.iter().map(|file| file.bytes).sum::<u64>();
            if bytes > FILES_BYTES && !batches.is_empty() {
                break;
            }
            let Some(rows) = self.rows(sink, &manifest).await? else { break };
            batches.push(Batch { epoch: manifest.epoch, cut: manifest.cut, rows });
        }
        let none = batches.is_empty() && !manifests.is_empty();
        Ok((!none).then_some(Page { end, batches }))
    }

    /// The rows of the files that a manifest names; none if one did not come in time.
    async fn rows(
        &self,
        sink: NodeId,
        manifest: &Manifest,
    ) -> Result<Option<Vec<Row>>, CodecError> {
        if self.defects.has(Defect::ManifestIgnoredByReader) {
            return self.rows_found(sink, manifest).await;
        }
        let mut rows = Vec::new();
        for file in &manifest.files {
            let Some(bytes) = self.read_file(sink, &file.name).await else { return Ok(None) };
            if !file.is_of(&bytes) {
                return Err(CodecError::Damaged);
            }
            rows.extend(files::rows(&bytes)?);
        }
        Ok(Some(rows))
    }

    /// The same of the files that are found: a planted bug.
    async fn rows_found(
        &self,
        sink: NodeId,
        manifest: &Manifest,
    ) -> Result<Option<Vec<Row>>, CodecError> {
        let request = sink::Request::Listing { epoch: manifest.epoch };
        let Ok(sink::Answer::Listing(names)) = self.rpc.call(sink, &request, PATIENCE).await else {
            return Ok(None);
        };
        let mut rows = Vec::new();
        for name in names {
            let Some(bytes) = self.read_file(sink, &name).await else { return Ok(None) };
            rows.extend(files::rows(&bytes)?);
        }
        Ok(Some(rows))
    }

    /// A whole file; none if it did not come in time, or is not there.
    async fn read_file(&self, sink: NodeId, name: &str) -> Option<Vec<u8>> {
        let mut whole = Vec::new();
        loop {
            let from = whole.len() as u64;
            let request = sink::Request::File { name: name.to_owned(), from };
            match self.rpc.call(sink, &request, PATIENCE).await {
                Ok(sink::Answer::File { bytes, len }) => {
                    whole.extend_from_slice(&bytes);
                    if whole.len() as u64 >= len || bytes.is_empty() {
                        return Some(whole);
                    }
                }
                _ => return None,
            }
        }
    }
}

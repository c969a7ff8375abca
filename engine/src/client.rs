//! What those outside need: producers send, readers read the sink.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "an answer that does not belong to the request ends the work, whichever it is"
)]

use std::time::Duration;

use unplug_sim::env::{Env, NodeId, Refusal};

use crate::{
    broker::{self, PRODUCE_BYTES_MAX},
    codec::{self, CodecError, Kind},
    rpc::{Rpc, Unanswered},
    sink::{self, Batch},
    tuple::{Offset, Partition, Tuple},
};

/// How long a reader waits for an answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a producer waits for room on the broker's disk.
const PAUSE: Duration = Duration::from_millis(100);

/// A client's end.
#[derive(Clone, Debug)]
pub struct Client<E: Env> {
    env: E,
    rpc: Rpc<E>,
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
        Ok(Self { env: env.clone(), rpc })
    }

    /// Sends tuples of one producer to a partition until they are acknowledged, which may take
    /// for ever. Gives their offsets; none for a tuple that was acknowledged so long ago that
    /// where it was is no longer known.
    ///
    /// # Errors
    /// If the broker cannot take them, ever: too many bytes, or keys of another partition.
    pub async fn produce(
        &self,
        broker: NodeId,
        partition: Partition,
        tuples: Vec<Tuple>,
    ) -> Result<Vec<Option<Offset>>, Refusal> {
        let bytes: usize = tuples.iter().map(|tuple| tuple.key.len() + tuple.value.len()).sum();
        if bytes > PRODUCE_BYTES_MAX {
            return Err(Refusal::new(format!(
                "{bytes} bytes of tuples at once, over {PRODUCE_BYTES_MAX}; send them in parts"
            )));
        }
        let request = broker::Request::Produce { partition, tuples };
        loop {
            match self.rpc.insist(broker, &request).await {
                broker::Answer::Produced(offsets) => return Ok(offsets),
                broker::Answer::NoSpace => self.env.sleep(PAUSE).await,
                other => return Err(Refusal::new(format!("the broker answers {other:?}"))),
            }
        }
    }

    /// Reads the sink from a position on; none if it did not answer in time.
    ///
    /// # Errors
    /// If it answered with a batch that does not decode: the sink shows damage.
    pub async fn read(&self, sink: NodeId, from: u64) -> Result<Option<Page>, CodecError> {
        let answer: Result<sink::Answer, Unanswered> =
            self.rpc.call(sink, &sink::Request::Read { from }, PATIENCE).await;
        let Ok(sink::Answer::Batches { end, batches }) = answer else { return Ok(None) };
        let decoded = batches.iter().map(|bytes| codec::decode(Kind::Table, bytes));
        Ok(Some(Page { end, batches: decoded.collect::<Result<_, _>>()? }))
    }
}

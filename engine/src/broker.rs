//! The broker: a partitioned source log that can be read again and again.
//!
//! One writer takes all produce requests that wait, appends the new tuples of each partition as
//! one frame, syncs, and only then moves the end that readers see and acknowledges. A tuple that
//! is there already gets its first offset again.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use bytes::Bytes;
use futures_channel::{mpsc, oneshot};
use futures_util::{
    StreamExt,
    future::{Either, select, try_join_all},
};
use serde::{Deserialize, Serialize};
use unplug_sim::env::{Env, Exit, Refusal};

use crate::{
    config::Config,
    defect::Defect,
    durable::Store,
    identity,
    log::{Log, Place},
    log_paths,
    rpc::Rpc,
    tuple::{Offset, OffsetRange, Partition, Tuple},
};

/// How many bytes of tuples one answer holds, about: it ends with the frame that passes this.
pub const PAGE_BYTES: usize = 128 * 1024;

/// How many bytes of keys and values one produce request may hold. One frame holds the requests of
/// one round: it ends with the request that passes [`PAGE_BYTES`], so that every frame, and every
/// page, fits into a datagram.
pub const PRODUCE_BYTES_MAX: usize = 512 * 1024;

/// The largest key and value of a tuple together.
pub const TUPLE_BYTES_MAX: usize = 64 * 1024;

/// The most tuples in one produce request.
pub const PRODUCE_TUPLES_MAX: usize = 1_000;

/// What is asked of a broker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Append tuples of one producer, in the order of their seqs; what is there already stays.
    Produce {
        /// To which partition.
        partition: Partition,
        /// The tuples.
        tuples: Vec<Tuple>,
    },
    /// The durable end of each partition.
    Ends,
    /// Tuples of a range.
    Read {
        /// Of which partition.
        partition: Partition,
        /// Which; all of it must be there.
        range: OffsetRange,
    },
}

/// What a broker answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// The offsets of the tuples, durable, in the order of the request.
    Produced(Vec<Offset>),
    /// The durable end of each partition.
    Ends(Vec<Offset>),
    /// The first tuples of the range: at least one, not always all.
    Page(Vec<Tuple>),
    /// The range reaches behind the durable end.
    Beyond(Offset),
    /// The request cannot be served, ever.
    Invalid(String),
}

#[derive(Serialize, Deserialize)]
struct Frame {
    base: Offset,
    tuples: Vec<Tuple>,
}

/// What is known of one partition.
struct Part<E: Env> {
    log: Log<E>,
    /// Each frame and its first offset.
    frames: Vec<(Offset, Place)>,
    /// Offsets by producer and seq.
    index: BTreeMap<u16, Vec<(u64, Offset)>>,
    /// The next offset to be given away.
    next: Offset,
    /// The end that readers see: what is durable.
    end: Offset,
}

struct State<E: Env> {
    config: Rc<Config>,
    parts: Vec<futures_util::lock::Mutex<Part<E>>>,
    ends: RefCell<Vec<Offset>>,
    queue: mpsc::UnboundedSender<Waiting>,
}

/// A produce request that waits for the writer. There are as many as producers have requests under
/// way, since a resent one is dropped while the first waits.
struct Waiting {
    partition: Partition,
    tuples: Vec<Tuple>,
    answer: oneshot::Sender<Answer>,
}

/// Runs a broker.
///
/// # Errors
/// A blank or foreign disk, a damaged log, any disk error.
pub async fn run<E: Env>(env: E, config: Rc<Config>) -> Exit {
    identity::check(&Store::new(&env, config.defects), "broker").await?;
    let mut parts = Vec::new();
    for partition in (0..config.cluster.partitions).map(Partition) {
        parts.push(Part::open(&env, partition).await?);
    }
    let ends = RefCell::new(parts.iter().map(|part| part.end).collect());
    let parts = parts.into_iter().map(futures_util::lock::Mutex::new).collect();
    let (queue, waiting) = mpsc::unbounded();
    let state = Rc::new(State { config, parts, ends, queue });
    let rpc = Rpc::open(&env)?;
    let writer = Rc::clone(&state);
    let serving = rpc.serve(move |request| answer(Rc::clone(&state), request));
    let writing = writer.write(waiting);
    match select(std::pin::pin!(serving), std::pin::pin!(writing)).await {
        Either::Left((exit, _)) | Either::Right((exit, _)) => exit,
    }
}

async fn answer<E: Env>(state: Rc<State<E>>, request: Request) -> Result<Answer, Refusal> {
    match request {
        Request::Produce { partition, tuples } => {
            if let Err(reason) = state.check(partition, &tuples) {
                return Ok(Answer::Invalid(reason));
            }
            let (answer, answered) = oneshot::channel();
            let waiting = Waiting { partition, tuples, answer };
            state.queue.unbounded_send(waiting).expect("the writer ends with the node only");
            Ok(answered.await.expect("the writer ends with the node only"))
        }
        Request::Ends => Ok(Answer::Ends(state.ends.borrow().clone())),
        Request::Read { partition, range } => state.read(partition, range).await,
    }
}

impl<E: Env> Part<E> {
    async fn open(env: &E, partition: Partition) -> Result<Self, Refusal> {
        let path = log_paths::of(partition);
        let (log, frames) = Log::open(env, &path).await?;
        let mut part = Self {
            log,
            frames: Vec::new(),
            index: BTreeMap::new(),
            next: Offset(0),
            end: Offset(0),
        };
        for (place, payload) in frames {
            let Frame { base, tuples } = decode(&payload, &path)?;
            if base != part.next {
                return Err(Refusal(format!(
                    "{path}: a frame begins at offset {base} where {} is next; restore the file \
                     from a copy, nothing was changed",
                    part.next
                )));
            }
            part.frames.push((base, place));
            for tuple in &tuples {
                part.take_in(tuple);
            }
        }
        part.end = part.next;
        Ok(part)
    }

    /// Gives a tuple the next offset.
    fn take_in(&mut self, tuple: &Tuple) -> Offset {
        let offset = self.next;
        self.next = Offset(offset.0 + 1);
        self.index.entry(tuple.producer).or_default().push((tuple.seq, offset));
        offset
    }

    /// The offset that a tuple has, or that it should get one.
    fn find(&self, tuple: &Tuple) -> Found {
        let Some(known) = self.index.get(&tuple.producer) else { return Found::New };
        match known.binary_search_by_key(&tuple.seq, |(seq, _)| *seq) {
            Ok(place) => Found::At(known[place].1),
            Err(place) if place == known.len() => Found::New,
            Err(_) => Found::Skipped,
        }
    }
}

enum Found {
    New,
    At(Offset),
    /// A later tuple of the producer is there, this one is not.
    Skipped,
}

impl<E: Env> State<E> {
    fn check(&self, partition: Partition, tuples: &[Tuple]) -> Result<(), String> {
        let partitions = self.config.cluster.partitions;
        if partition.0 >= partitions {
            return Err(format!("partition {partition} of {partitions}"));
        }
        if tuples.len() > PRODUCE_TUPLES_MAX {
            return Err(format!("{} tuples at once, over {PRODUCE_TUPLES_MAX}", tuples.len()));
        }
        let total: usize = tuples.iter().map(bytes).sum();
        if total > PRODUCE_BYTES_MAX {
            return Err(format!("{total} bytes of tuples at once, over {PRODUCE_BYTES_MAX}"));
        }
        let elsewhere = |tuple: &&Tuple| Partition::of_key(&tuple.key, partitions) != partition;
        if let Some(tuple) = tuples.iter().find(elsewhere) {
            return Err(format!(
                "the key of tuple {}/{} belongs to another partition than {partition}",
                tuple.producer, tuple.seq
            ));
        }
        match tuples.iter().find(|tuple| bytes(tuple) > TUPLE_BYTES_MAX) {
            Some(tuple) => Err(format!(
                "tuple {}/{} has {} bytes, over {TUPLE_BYTES_MAX}",
                tuple.producer,
                tuple.seq,
                bytes(tuple)
            )),
            None => Ok(()),
        }
    }

    /// The writer: one round after another, all that waits in each.
    async fn write(&self, mut waiting: mpsc::UnboundedReceiver<Waiting>) -> Exit {
        let early = self.config.defects.has(Defect::AckBeforeSync);
        while let Some(first) = waiting.next().await {
            let size = |waiting: &Waiting| waiting.tuples.iter().map(bytes).sum::<usize>();
            let mut round_bytes = size(&first);
            let mut round = vec![first];
            while round_bytes < PAGE_BYTES
                && let Ok(more) = waiting.try_recv()
            {
                round_bytes += size(&more);
                round.push(more);
            }
            let mut touched = vec![Vec::new(); self.parts.len()];
            let mut answers = Vec::new();
            for Waiting { partition, tuples, answer } in round {
                let place = usize::from(partition.0);
                let part = &mut *self.parts[place].lock().await;
                answers.push((answer, place_tuples(part, tuples, &mut touched[place])));
            }
            for (place, tuples) in touched.iter_mut().enumerate().filter(|(_, new)| !new.is_empty())
            {
                let part = &mut *self.parts[place].lock().await;
                let base = Offset(part.next.0 - tuples.len() as u64);
                let frame = Frame { base, tuples: std::mem::take(tuples) };
                let payload = postcard::to_stdvec(&frame).expect("plain data serialises").into();
                let at = part.log.append(payload).await?;
                part.frames.push((base, at));
            }
            if early {
                self.publish().await;
                reply(answers.drain(..));
            }
            try_join_all(self.parts.iter().map(async |part| {
                let part = part.lock().await;
                if part.next > part.end || early { part.log.sync().await } else { Ok(()) }
            }))
            .await?;
            self.publish().await;
            reply(answers.into_iter());
        }
        Ok(())
    }

    /// Moves the ends that readers see to all that was appended.
    async fn publish(&self) {
        for (place, part) in self.parts.iter().enumerate() {
            let mut part = part.lock().await;
            part.end = part.next;
            self.ends.borrow_mut()[place] = part.end;
        }
    }

    async fn read(&self, partition: Partition, range: OffsetRange) -> Result<Answer, Refusal> {
        let Some(part) = self.parts.get(usize::from(partition.0)) else {
            return Ok(Answer::Invalid(format!("partition {partition} of {}", self.parts.len())));
        };
        let part = part.lock().await;
        if range.end > part.end {
            return Ok(Answer::Beyond(part.end));
        }
        let mut page = Vec::new();
        let mut bytes = 0;
        let first = part.frames.partition_point(|(base, _)| *base <= range.start);
        let frames = part.frames[first.saturating_sub(1)..].iter();
        for (_, place) in frames.take_while(|(base, _)| *base < range.end) {
            let payload = part.log.read(*place).await?;
            bytes += payload.len();
            let Frame { base, tuples } = decode(&payload, &log_paths::of(partition))?;
            let offsets = (base.0..).map(Offset);
            let wanted =
                offsets.zip(tuples).filter(|(at, _)| (range.start..range.end).contains(at));
            page.extend(wanted.map(|(_, tuple)| tuple));
            if bytes >= PAGE_BYTES {
                break;
            }
        }
        Ok(Answer::Page(page))
    }
}

fn bytes(tuple: &Tuple) -> usize {
    tuple.key.len() + tuple.value.len()
}

/// Gives tuples their offsets; the new ones are to be written.
fn place_tuples<E: Env>(part: &mut Part<E>, tuples: Vec<Tuple>, new: &mut Vec<Tuple>) -> Answer {
    let mut offsets = Vec::with_capacity(tuples.len());
    for tuple in tuples {
        match part.find(&tuple) {
            Found::At(offset) => offsets.push(offset),
            Found::New => {
                offsets.push(part.take_in(&tuple));
                new.push(tuple);
            }
            Found::Skipped => {
                return Answer::Invalid(format!(
                    "tuple {}/{} comes after a later one; send them in the order of their seqs",
                    tuple.producer, tuple.seq
                ));
            }
        }
    }
    Answer::Produced(offsets)
}

fn reply(answers: impl Iterator<Item = (oneshot::Sender<Answer>, Answer)>) {
    for (waiting, answer) in answers {
        // Whoever asked may have given up.
        drop(waiting.send(answer));
    }
}

fn decode(payload: &Bytes, path: &str) -> Result<Frame, Refusal> {
    postcard::from_bytes(payload).map_err(|_| {
        Refusal(format!(
            "{path}: a frame with a good checksum holds no tuples; was it written here?"
        ))
    })
}

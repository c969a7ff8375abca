//! The broker: a partitioned source log that can be read again and again.
//!
//! One writer takes all produce requests that wait, appends the new tuples of each partition as
//! one frame, syncs, and only then moves the end that readers see and acknowledges. A tuple that
//! is there already gets its first offset again.
//!
//! A partition's log is kept in `segments`, of which the lower ones are deleted on request; what
//! must be remembered of them is kept in a `checkpoint`.
//!
//! | module | what |
//! |---|---|
//! | `writer` | the one writer, and what it takes |
//! | `partition` | a partition: its open segments, reading, trimming |
//! | `segments` | what a boot makes of the files of a partition, pure |
//! | `producers` | which tuples are there, and where; pure |
//! | `checkpoint` | what is remembered of deleted segments |
//! | `additions` | partitions that are added meanwhile |

mod additions;
mod checkpoint;
mod partition;
mod producers;
mod segments;
mod writer;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use futures_channel::mpsc;
use futures_util::{
    future::{Either, select},
    lock::Mutex,
};
use serde::{Deserialize, Serialize};
use unplug_sim::env::{Env, Exit, Refusal, Remedy};

use crate::{
    config::Config,
    durable::Store,
    identity,
    layout::Layouts,
    rpc::{Handling, Rpc},
    tuple::{Generation, Offset, OffsetRange, Partition, Tuple},
};

use partition::{Opened, Part};
pub use producers::PRODUCER_WINDOW;
use writer::Waiting;

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

/// From how many bytes on a segment gets no more frames, unless the configuration says otherwise.
/// Small, so that even short runs begin a new one several times.
pub const SEGMENT_BYTES: u64 = 32 * 1024;

/// What is asked of a broker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Append tuples of one producer, in the order of their seqs; what is there already stays.
    Produce {
        /// How many partitions the sender knows of; if there are others, nothing is taken in.
        among: u16,
        /// To which of them.
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
    /// Delete whole segments of tuples that nobody reads again. May be asked again and again.
    Trim {
        /// The leadership that asks. Lower ones are refused, to spare work: what is below an end
        /// is never needed again, whoever says so.
        generation: Generation,
        /// What is below is not needed, by partition; never behind the durable end.
        ends: Vec<Offset>,
    },
    /// Add partitions until there are so many. May be asked again and again.
    Add {
        /// How many; if there are more, they stay.
        partitions: u16,
    },
}

/// What a broker answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The offsets of the tuples, durable, in the order of the request. None for a tuple that was
    /// acknowledged long ago, where it was is no longer known: it was trimmed, and more than
    /// [`PRODUCER_WINDOW`] trimmed ones of its producer came after it.
    Produced(Vec<Option<Offset>>),
    /// The durable end of each partition.
    Ends(Vec<Offset>),
    /// The first tuples of the range: at least one, not always all.
    Page(Vec<Tuple>),
    /// The range reaches behind the durable end.
    Beyond(Offset),
    /// The range begins below the first offset that is kept, which is this.
    Below(Offset),
    /// The first offset that is kept, of each partition.
    Trimmed(Vec<Offset>),
    /// A leader of this generation has asked before.
    Fenced(Generation),
    /// The disk is full, or the partition has as much as it may: nothing of it was taken in. What is
    /// there can be read.
    NoSpace,
    /// The request cannot be served, ever.
    Invalid(String),
    /// How many partitions there are.
    Partitions(u16),
    /// There are other partitions than the sender knows of: nothing of it was taken in.
    Elsewhere(Layouts),
}

struct State<E: Env> {
    env: E,
    config: Rc<Config>,
    files: Store<E>,
    /// As many as the layouts say.
    parts: RefCell<Vec<Shared<E>>>,
    layouts: RefCell<Layouts>,
    ends: RefCell<Vec<Offset>>,
    /// The highest that asked, since the boot.
    generation: Cell<Generation>,
    queue: mpsc::UnboundedSender<Waiting>,
}

/// A partition, which one works on at a time.
type Shared<E> = Rc<Mutex<Part<E>>>;

fn shared<E: Env>(part: Part<E>) -> Shared<E> {
    Rc::new(Mutex::new(part))
}

/// Runs a broker.
///
/// # Errors
/// A blank or foreign disk, a damaged log, any disk error.
///
/// # Panics
/// Never: there are fewer partitions than numbers for them.
pub async fn run<E: Env>(env: E, config: Rc<Config>) -> Exit {
    let files = Store::new(&env, config.defects);
    identity::check(&files, "broker").await?;
    let (mut opened, mut said) = (Vec::new(), Vec::new());
    let mut layouts = Layouts::new(config.cluster.partitions);
    // The first partition's directory tells of all others.
    while opened.len() < usize::from(layouts.partitions()) {
        let partition = Partition(u16::try_from(opened.len()).expect("as many as there are"));
        let one = Part::open(&env, &files, partition, config.defects).await?;
        segments::highest(&mut said, &one.ends);
        if one.layouts {
            layouts = additions::load(&files, config.cluster.partitions).await?;
        }
        opened.push(one);
    }
    let found: Vec<_> = opened.iter().map(Opened::end).collect();
    segments::whole(&said, &found)?;
    let mut parts = Vec::with_capacity(opened.len());
    for one in opened {
        parts.push(one.clear(&files).await?);
    }
    let ends = RefCell::new(parts.iter().map(Part::end).collect());
    let parts = RefCell::new(parts.into_iter().map(shared).collect());
    let (queue, waiting) = mpsc::unbounded();
    let rpc = Rpc::open(&env)?;
    let (layouts, generation) = (RefCell::new(layouts), Cell::default());
    let state = Rc::new(State { env, config, files, parts, layouts, ends, generation, queue });
    let cluster = &state.config.cluster;
    rpc.tell_started(cluster.drivers.iter().chain(&cluster.executors));
    let writer = Rc::clone(&state);
    let serving = rpc.serve_from(move |_, request| match request {
        Request::Ends => Handling::Done(Ok(Answer::Ends(state.ends.borrow().clone()))),
        Request::Produce { .. }
        | Request::Read { .. }
        | Request::Trim { .. }
        | Request::Add { .. } => Handling::Work(answer(Rc::clone(&state), request)),
    });
    let writing = writer.write(waiting);
    match select(std::pin::pin!(serving), std::pin::pin!(writing)).await {
        Either::Left((exit, _)) | Either::Right((exit, _)) => exit,
    }
}

async fn answer<E: Env>(state: Rc<State<E>>, request: Request) -> Result<Answer, Refusal> {
    match request {
        Request::Produce { among, partition, tuples } => {
            Ok(state.produce(among, partition, tuples).await)
        }
        Request::Add { partitions } => Ok(state.order(partitions).await),
        Request::Ends => Ok(Answer::Ends(state.ends.borrow().clone())),
        Request::Read { partition, range } => Box::pin(state.read(partition, range)).await,
        Request::Trim { generation, ends } => match Box::pin(state.trim(generation, &ends)).await {
            Err(Refusal { remedy: Remedy::Space, .. }) => Ok(Answer::NoSpace),
            done => done,
        },
    }
}

impl<E: Env> State<E> {
    /// All partitions that there are now.
    fn all_parts(&self) -> Vec<Shared<E>> {
        self.parts.borrow().clone()
    }

    async fn read(&self, partition: Partition, range: OffsetRange) -> Result<Answer, Refusal> {
        let parts = self.all_parts();
        match parts.get(usize::from(partition.0)) {
            Some(part) => part.lock().await.read(range).await,
            None => Ok(Answer::Invalid(format!("partition {partition} of {}", parts.len()))),
        }
    }

    async fn trim(&self, generation: Generation, ends: &[Offset]) -> Result<Answer, Refusal> {
        if generation < self.generation.get() {
            return Ok(Answer::Fenced(self.generation.get()));
        }
        self.generation.set(generation);
        // Partitions that the leader does not know of yet stay as they are.
        let parts = self.all_parts();
        if ends.len() > parts.len() {
            let (asked, there) = (ends.len(), parts.len());
            return Ok(Answer::Invalid(format!("a trim of {asked} partitions of {there}")));
        }
        // Looked at before anything is deleted. Ends only ever grow.
        let durable = self.ends.borrow().clone();
        if let Some((end, durable)) = ends.iter().zip(&durable).find(|(end, have)| end > have) {
            return Ok(Answer::Invalid(format!("a trim up to {end}, behind the end {durable}")));
        }
        let mut firsts = Vec::with_capacity(ends.len());
        for (part, end) in parts.iter().zip(ends) {
            firsts.push(part.lock().await.trim(&self.files, *end).await?);
        }
        Ok(Answer::Trimmed(firsts))
    }
}

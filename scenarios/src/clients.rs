//! The clients of a run, on nodes outside the data centre: producers that send the workload, and
//! readers that poll all sinks all through the run. What they see they write into the history.

use std::{
    cell::{Cell as Flag, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use unplug_engine::{
    client::{Client, Page, Sent},
    defect::Defects,
    layout::Layouts,
    pipeline::{Origin, Value},
    tuple::Tuple,
};
use unplug_sim::{
    SimEnv, WALL_START_NS,
    disk::Profile,
    env::{Env, Exit, NodeId},
};

use crate::{
    feeders,
    history::{Acknowledged, Batch, Cell, Counted, Cut, History, Read, Row, TupleId},
    scenario::Files,
    workload::{Input, lines::Written},
};

/// Producers look for due input so often.
pub(crate) const PRODUCE_EVERY_NS: u64 = 250_000_000;
/// A restarted producer sends all of its input again, at the most so many tuples at once.
const SEND_AT_ONCE: usize = 200;
/// Readers poll so often.
const POLL_EVERY: Duration = Duration::from_millis(100);
/// Every so many polls, a reader looks again at what it has seen.
const LOOK_BACK_EVERY: u64 = 10;
/// How many batches it looks back at the most.
const LOOK_BACK_BATCHES: u64 = 8;

/// What the clients of a run share with the harness: inputs and history.
#[derive(Debug)]
pub struct Clients {
    /// What each producer sends, by its number.
    pub inputs: Vec<Vec<Input>>,
    /// Partitions of the source at first…
    pub partitions: u16,
    /// …and those that are added, by time.
    pub additions: Vec<Addition>,
    /// Who takes the input.
    pub broker: NodeId,
    /// Who is read, in the pipeline's order.
    pub sinks: Vec<NodeId>,
    /// The files of producers that have their input in some.
    pub files: Option<InFiles>,
    /// Bugs planted in readers.
    pub defects: Defects,
    /// What was seen.
    pub history: RefCell<History>,
    progress: RefCell<Progress>,
    /// Where each producer begins in its input.
    begin: Vec<usize>,
    /// The run is about to end: readers look at everything once more.
    pub ending: Flag<bool>,
    /// How many readers did so.
    pub finished: Flag<usize>,
}

/// Partitions that are added to the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addition {
    /// When, in virtual nanoseconds.
    pub at_ns: u64,
    /// How many there are then.
    pub partitions: u16,
}

/// Input in files.
#[derive(Clone, Debug)]
pub struct InFiles {
    /// How they are written.
    pub format: Files,
    /// What is in them in the end, by producer.
    pub written: Vec<Written>,
    /// What kind of disks they are on.
    pub profile: Profile,
}

/// How far the run is, kept as it goes.
#[derive(Debug, Default)]
struct Progress {
    acknowledged: Vec<Vec<bool>>,
    distinct: usize,
    /// How many partitions there are, as far as the administrator was told.
    partitions: u16,
    /// Up to where each partition must be in, and up to which watermark, in milliseconds since
    /// 1970.
    needed: (Vec<u64>, u64),
    /// Up to where they are in, and up to which watermark, at each sink.
    read: Vec<(Vec<u64>, u64)>,
}

impl Clients {
    /// Clients that have seen nothing yet, of a source with so many partitions, to which some are added.
    /// The run is not over before every sink shows the watermark `watermark_ms`, in milliseconds
    /// since 1970; 0 for any.
    #[must_use]
    pub fn new(
        inputs: Vec<Vec<Input>>,
        (partitions, additions): (u16, Vec<Addition>),
        watermark_ms: u64,
        broker: NodeId,
        sinks: Vec<NodeId>,
    ) -> Self {
        let last = additions.last().map_or(partitions, |last| last.partitions);
        let nothing = vec![0; usize::from(last)];
        let progress = Progress {
            acknowledged: inputs.iter().map(|input| vec![false; input.len()]).collect(),
            distinct: 0,
            partitions,
            read: vec![(nothing.clone(), 0); sinks.len()],
            needed: (nothing, watermark_ms),
        };
        Self {
            inputs,
            partitions,
            additions,
            broker,
            sinks,
            files: None,
            defects: Defects::default(),
            history: RefCell::default(),
            progress: RefCell::new(progress),
            begin: Vec::new(),
            ending: Flag::new(false),
            finished: Flag::new(0),
        }
    }

    /// The same clients, in the midst of their work: they have seen `history`, and go on from the
    /// first tuple that was not acknowledged.
    #[must_use]
    pub fn having_seen(mut self, history: History) -> Self {
        for one in &history.acknowledged {
            self.note_acknowledged(one);
        }
        for read in &history.reads {
            self.note_read(read);
        }
        history.counted.iter().for_each(|one| self.note_counted(one));
        let open = |all: &Vec<bool>| all.iter().take_while(|acknowledged| **acknowledged).count();
        self.begin = self.progress.get_mut().acknowledged.iter().map(open).collect();
        self.history = RefCell::new(history);
        self
    }

    /// How many tuples there are to send.
    #[must_use]
    pub fn total(&self) -> usize {
        self.inputs.iter().map(Vec::len).sum()
    }

    /// How many of them were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.progress.borrow().distinct
    }

    /// How many partitions the source has in the end.
    #[must_use]
    pub fn partitions_last(&self) -> u16 {
        self.additions.last().map_or(self.partitions, |last| last.partitions)
    }

    /// Whether all was acknowledged, and of every sink a reader saw a cut that covers it and closes
    /// its windows.
    #[must_use]
    pub fn delivered(&self) -> bool {
        let progress = self.progress.borrow();
        let (ends, watermark_ms) = &progress.needed;
        let covered = |read: &(Vec<u64>, u64)| {
            ends.iter().zip(&read.0).all(|(needed, read)| needed <= read) && *watermark_ms <= read.1
        };
        let added = progress.partitions == self.partitions_last();
        added && progress.distinct == self.total() && progress.read.iter().all(covered)
    }

    /// When the last tuple is due, and the last addition, in virtual nanoseconds.
    #[must_use]
    pub fn last_due_ns(&self) -> u64 {
        let added = self.additions.iter().map(|one| one.at_ns);
        self.inputs.iter().flatten().map(|input| input.due_ns).chain(added).max().unwrap_or(0)
    }

    /// The input that a tuple is, if a producer has such a one.
    #[must_use]
    pub fn input(&self, id: TupleId) -> Option<(usize, &Input)> {
        let inputs = self.inputs.get(usize::from(id.producer))?;
        // Mostly the seq is the place.
        let place = usize::try_from(id.seq).ok()?;
        let place = match inputs.get(place).is_some_and(|input| input.seq == id.seq) {
            true => place,
            false => inputs.binary_search_by_key(&id.seq, |input| input.seq).ok()?,
        };
        Some((place, &inputs[place]))
    }

    fn acknowledge(&self, one: Acknowledged) {
        self.note_acknowledged(&one);
        self.history.borrow_mut().acknowledged.push(one);
    }

    /// A part of a producer's input was acknowledged.
    pub(crate) fn has_sent(&self, env: &SimEnv, producer: u16, sent: Sent) {
        let first = sent.offsets.first().copied().flatten().map_or(0, |offset| offset.0);
        env.observe("acknowledged", first, |at_ns| {
            for (seq, offset) in sent.seqs.into_iter().zip(sent.offsets) {
                let id = TupleId { producer, seq };
                let (partition, offset) = (sent.partition.0, offset.map(|offset| offset.0));
                self.acknowledge(Acknowledged { at_ns, id, partition, offset });
            }
        });
    }

    fn note_acknowledged(&self, one: &Acknowledged) {
        let mut progress = self.progress.borrow_mut();
        let (place, _) = self.input(one.id).expect("its own input");
        let known = &mut progress.acknowledged[usize::from(one.id.producer)][place];
        if !std::mem::replace(known, true) {
            progress.distinct += 1;
        }
        if let Some(offset) = one.offset {
            let needed = &mut progress.needed.0[usize::from(one.partition)];
            *needed = (*needed).max(offset + 1);
        }
    }

    pub(crate) fn has_counted(&self, one: Counted) {
        self.note_counted(&one);
        self.history.borrow_mut().counted.push(one);
    }

    fn note_counted(&self, one: &Counted) {
        let known = &mut self.progress.borrow_mut().partitions;
        *known = one.there.unwrap_or(0).max(*known);
    }

    fn has_read(&self, read: Read) {
        self.note_read(&read);
        self.history.borrow_mut().reads.push(read);
    }

    fn note_read(&self, read: &Read) {
        if let Some(last) = read.batches.last() {
            let mut progress = self.progress.borrow_mut();
            let (ends, watermark_ms) = &mut progress.read[usize::from(read.sink)];
            for (read, end) in ends.iter_mut().zip(&last.cut.ends) {
                *read = (*read).max(*end);
            }
            *watermark_ms = last.cut.watermark_ms.max(*watermark_ms);
        }
    }
}

/// A producer: one that has its input in a file, or one that sends its input in the order of arrival, when it is due, until acknowledged. It
/// keeps nothing; after a crash it sends all of it again, and is told the first offsets.
///
/// # Errors
/// If the broker refuses the input for good.
pub async fn producer(env: SimEnv, number: u16, clients: Rc<Clients>) -> Exit {
    if clients.files.is_some() {
        return Box::pin(feeders::run(env, number, clients)).await;
    }
    let client = Client::new(&env)?;
    let input = &clients.inputs[usize::from(number)];
    let layouts = RefCell::new(Layouts::new(clients.partitions));
    let mut next = clients.begin.get(usize::from(number)).copied().unwrap_or(0);
    while next < input.len() {
        // Clients outside have the time of the run.
        let now_ns = env.wall().0 - WALL_START_NS;
        let due = input.partition_point(|input| input.due_ns <= now_ns);
        let end = due.min(next + SEND_AT_ONCE);
        if end <= next {
            env.sleep(Duration::from_nanos(PRODUCE_EVERY_NS - now_ns % PRODUCE_EVERY_NS)).await;
            continue;
        }
        send(&env, (&client, &layouts), &clients, number, next..end).await?;
        next = end;
    }
    Ok(())
}

/// Sends a part of the input, to all partitions beside each other, until all is acknowledged.
async fn send(
    env: &SimEnv,
    (client, layouts): (&Client<SimEnv>, &RefCell<Layouts>),
    clients: &Rc<Clients>,
    producer: u16,
    part: std::ops::Range<usize>,
) -> Exit {
    let tuples = part.map(|seq| {
        let Input { event_ms, key, value, .. } = &clients.inputs[usize::from(producer)][seq];
        let (key, value) = (key.clone(), value.clone());
        Tuple { producer, seq: seq as u64, time_ms: *event_ms, key, value }
    });
    let acknowledged = |sent| clients.has_sent(env, producer, sent);
    client.send(clients.broker, tuples.collect(), layouts, acknowledged).await
}

/// A reader: polls every sink for what is new, and looks back now and then at what it has seen.
///
/// # Errors
/// Never, but for a port that is taken.
pub async fn reader(env: SimEnv, number: u16, clients: Rc<Clients>) -> Exit {
    let client = Client::new(&env)?.with_defects(clients.defects);
    // Readers take turns.
    env.sleep(POLL_EVERY * u32::from(number) / 2).await;
    let mut seen = vec![0; clients.sinks.len()];
    for turn in 1.. {
        if clients.ending.get() {
            break;
        }
        let polls = seen.iter_mut().zip(0u16..).map(async |(seen, sink)| {
            let back =
                if turn % LOOK_BACK_EVERY == 0 { env.random() % LOOK_BACK_BATCHES + 1 } else { 0 };
            let from = *seen - back.min(*seen);
            if let Some((end, got)) = look(&env, &client, &clients, (number, sink, from)).await {
                *seen = end.min(from + got);
            }
        });
        futures_util::future::join_all(polls).await;
        env.sleep(POLL_EVERY).await;
    }
    // Everything once more, from the beginning.
    let sinks = (0u16..).take(clients.sinks.len()).map(async |sink| {
        let mut from = 0;
        loop {
            match look(&env, &client, &clients, (number, sink, from)).await {
                Some((end, got)) if from + got >= end => break,
                Some((_, got)) => from += got,
                None => env.sleep(POLL_EVERY).await,
            }
        }
    });
    futures_util::future::join_all(sinks).await;
    env.observe("finished", 0, |_| clients.finished.set(clients.finished.get() + 1));
    Ok(())
}

/// Reads once and writes down what came. Tells how many batches there are, and how many it got.
async fn look(
    env: &SimEnv,
    client: &Client<SimEnv>,
    clients: &Clients,
    (reader, sink, from): (u16, u16, u64),
) -> Option<(u64, u64)> {
    let asked_ns = env.wall().0 - WALL_START_NS;
    match client.read(clients.sinks[usize::from(sink)], from).await {
        Ok(page) => {
            let Page { end, batches } = page?;
            let got = batches.len() as u64;
            env.observe("read", end, |at_ns| {
                let batches = batches.into_iter().map(|batch| Arc::new(converted(sink, batch)));
                let batches = batches.collect();
                clients.has_read(Read { asked_ns, at_ns, reader, sink, from, end, batches });
            });
            Some((end, got))
        }
        Err(error) => {
            env.observe("undecodable", from, |at_ns| {
                clients.history.borrow_mut().undecodable.push((at_ns, error.to_string()));
            });
            None
        }
    }
}

/// A batch in the oracle's own terms. The engine's say nothing of their sink: they are for the one
/// that was asked.
fn converted(sink: u16, batch: unplug_engine::sink::Batch) -> Batch {
    let cell = |value| match value {
        Value::Null => Cell::Null,
        Value::Bool(value) => Cell::Bool(value),
        Value::Int(value) => Cell::Int(value),
        Value::Text(value) => Cell::Text(value),
    };
    let rows = batch.rows.into_iter().map(|row| Row {
        id: match row.origin {
            Origin::Tuple { producer, seq, .. } => Some(TupleId { producer, seq }),
            Origin::Many { .. } => None,
        },
        print: match row.origin {
            Origin::Tuple { .. } => 0,
            Origin::Many { print, .. } => print,
        },
        cells: row.values.into_iter().map(cell).collect(),
    });
    let cut = Cut {
        ends: batch.cut.ends.iter().map(|end| end.0).collect(),
        idle: batch.cut.idle.iter().map(|partition| partition.0).collect(),
        watermark_ms: batch.cut.watermark_ms,
    };
    Batch { sink, epoch: batch.epoch.0, cut, rows: rows.collect() }
}

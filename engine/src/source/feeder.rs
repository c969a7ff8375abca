//! The program that reads a file and sends its lines.
//!
//! What is read is made durable before it is sent: a file that lost what the broker has could become
//! another one. Of each piece of the file, records are acknowledged and dead letters durable before the place
//! behind it is. So after a crash some lines are sent again, and the broker knows them by their seqs;
//! a dead letter is known by its name.
//!
//! - `/dead-letters/OFFSET`: a [`DeadLetter`] as JSON, named by where its line begins.
//! - `/fed`: how far the file was read, and how many lines it had so far.

use std::{cell::RefCell, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tracing::warn;
use unplug_sim::env::{Disk, Env, File, NodeId, OpenMode, Refusal};

use super::{
    lines::{Line, Lines},
    record::{Format, Header, Record, Schema},
};
use crate::{
    client::{Client, Sent},
    codec::{self, Kind},
    defect::Defects,
    durable::{Store, failed, read_range, settled, synced, uninterrupted},
    layout::Layouts,
    tuple::Tuple,
};

/// The directory of dead letters; formatting makes it.
pub const DEAD_LETTERS: &str = "/dead-letters";

const FED: &str = "fed";
/// How much of the file is read at a time.
const CHUNK_BYTES: usize = 32 * 1024;
/// How many lines are sent at a time.
const LINES_AT_ONCE: usize = 500;

/// What is fed to whom.
#[derive(Clone, Debug)]
pub struct Feed {
    /// The file.
    pub path: String,
    /// What is in it.
    pub schema: Schema,
    /// As which producer.
    pub producer: u16,
    /// The broker…
    pub broker: NodeId,
    /// …and how many partitions it had at first.
    pub partitions: u16,
    /// Whether the file grows no more: then its last line needs no line break, and the feeder ends.
    pub complete: bool,
    /// How often a file is looked at that may grow.
    pub poll: Duration,
}

/// How many lines a file had so far, blank ones left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Those that were sent.
    pub records: u64,
    /// Those that are dead letters.
    pub dead: u64,
}

/// A line that is no record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The file.
    pub path: String,
    /// Where the line begins in it.
    pub at: u64,
    /// How many bytes it has, without its line break.
    pub bytes: u64,
    /// What is wrong with it.
    pub reason: String,
    /// Its beginning; what is no text in it is replaced.
    pub text: String,
}

/// How far a file was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Fed {
    at: u64,
    counts: Counts,
}

/// Feeds a file to the broker, and tells of what is acknowledged before it notes how far it came. If
/// the file is complete, it ends with it; else never.
///
/// # Errors
/// A file that is not there, that was cut, or that does not have the columns of its schema; any disk
/// error.
pub async fn feed<E: Env>(
    env: E,
    feed: Feed,
    acknowledged: impl Fn(Sent),
) -> Result<Counts, Refusal> {
    let store = Store::new(&env, Defects::default());
    store.settle_root(&[FED]).await?;
    store.settle(DEAD_LETTERS).await?;
    let fed = match store.read_if_there(&format!("/{FED}")).await? {
        None => Fed::default(),
        Some(bytes) => codec::decode(Kind::Checkpoint, &bytes).map_err(|error| {
            Refusal::new(format!(
                "/{FED}: {error}; delete it, and the file is read again from its beginning"
            ))
        })?,
    };
    let client = Client::new(&env)?;
    let layouts = RefCell::new(Layouts::new(feed.partitions));
    let mut feeder = Feeder { env, client, store, feed, fed, layouts, acknowledged };
    feeder.settle().await?;
    let header = feeder.header().await?;
    feeder.run(&header).await
}

struct Feeder<E: Env, A> {
    env: E,
    client: Client<E>,
    store: Store<E>,
    feed: Feed,
    fed: Fed,
    layouts: RefCell<Layouts>,
    acknowledged: A,
}

impl<E: Env, A: Fn(Sent)> Feeder<E, A> {
    /// Makes durable what there is of the file, and its name: earlier processes may have left it in
    /// the page cache.
    async fn settle(&self) -> Result<(), Refusal> {
        let (disk, path) = (self.env.disk(), &self.feed.path);
        let parent = path.rsplit_once('/').map_or("/", |(parent, _)| parent);
        let parent = if parent.is_empty() { "/" } else { parent };
        let opened = uninterrupted(|| disk.open(path, OpenMode::Read)).await;
        let file = opened.map_err(|error| failed("open", path, error))?;
        let settled = async {
            settled(Defects::default(), &file).await?;
            synced(Defects::default(), || disk.sync_dir(parent)).await
        };
        settled.await.map_err(|error| failed("sync", path, error))
    }

    /// The columns, once they are there. The line that names them is no record.
    async fn header(&mut self) -> Result<Header, Refusal> {
        if self.feed.schema.format == Format::JsonLines {
            return Ok(Header::default());
        }
        let mut lines = Lines::default();
        loop {
            let bytes = self.read(lines.end()).await?;
            let first = lines.take(&bytes).into_iter().next();
            let over = bytes.is_empty() && self.feed.complete;
            let first = if over { first.or_else(|| lines.last()) } else { first };
            if let Some(line) = first {
                self.fed.at = self.fed.at.max(line.at + line.len + u64::from(!over));
                let header = self.feed.schema.header(&line);
                return header
                    .map_err(|why| Refusal::new(format!("{}, line 1: {why}", self.feed.path)));
            }
            if over {
                let path = &self.feed.path;
                return Err(Refusal::new(format!("{path} is empty, and should begin with names")));
            }
            if bytes.is_empty() {
                self.env.sleep(self.feed.poll).await;
            }
        }
    }

    async fn run(&mut self, header: &Header) -> Result<Counts, Refusal> {
        let mut lines = Lines::starting_at(self.fed.at);
        loop {
            let bytes = self.read(lines.end()).await?;
            let mut whole = lines.take(&bytes);
            let over = bytes.is_empty() && self.feed.complete;
            if over {
                whole.extend(lines.last());
            }
            for some in whole.chunks(LINES_AT_ONCE) {
                self.send(header, some).await?;
            }
            if !whole.is_empty() {
                self.fed.at = lines.begin();
                let fed = codec::encode(Kind::Checkpoint, &self.fed);
                self.store.replace("", FED, fed).await?;
            }
            if over {
                return Ok(self.fed.counts);
            }
            if bytes.is_empty() {
                self.env.sleep(self.feed.poll).await;
            }
        }
    }

    /// Sends records, and keeps dead letters.
    async fn send(&mut self, header: &Header, lines: &[Line]) -> Result<(), Refusal> {
        let Feed { producer, broker, .. } = self.feed;
        let mut tuples = Vec::new();
        for line in lines {
            match self.feed.schema.record(header, line) {
                Ok(None) => {}
                Ok(Some(Record { key, time_ms, value })) => {
                    tuples.push(Tuple { producer, seq: line.at, time_ms, key, value });
                    self.fed.counts.records += 1;
                }
                Err(reason) => {
                    self.bury(line, reason).await?;
                    self.fed.counts.dead += 1;
                }
            }
        }
        self.client.send(broker, tuples, &self.layouts, &self.acknowledged).await
    }

    async fn bury(&self, line: &Line, reason: String) -> Result<(), Refusal> {
        const TEXT_BYTES: usize = 1024;
        let text = &line.bytes[..line.bytes.len().min(TEXT_BYTES)];
        warn!(at = line.at, reason, "a line is no record");
        let letter = DeadLetter {
            path: self.feed.path.clone(),
            at: line.at,
            bytes: line.len,
            reason,
            text: String::from_utf8_lossy(text).into_owned(),
        };
        let json = serde_json::to_vec(&letter).expect("plain data serialises");
        self.store.put(DEAD_LETTERS, &format!("{:016}", line.at), json.into()).await?;
        Ok(())
    }

    /// Some bytes of the file; none at its end.
    async fn read(&self, at: u64) -> Result<Bytes, Refusal> {
        let (disk, path) = (self.env.disk(), &self.feed.path);
        let opened = uninterrupted(|| disk.open(path, OpenMode::Read)).await;
        let file = opened.map_err(|error| failed("open", path, error))?;
        let read = async {
            let len = uninterrupted(|| file.metadata()).await?.len;
            let bytes = read_range(&file, at, CHUNK_BYTES).await?;
            if !bytes.is_empty() {
                synced(Defects::default(), || file.sync_data()).await?;
            }
            Ok((len, bytes))
        };
        let (len, bytes) = read.await.map_err(|error| failed("read", path, error))?;
        if len < at {
            return Err(Refusal::new(format!(
                "{path} has {len} bytes, and {at} were read before: it was cut or replaced; feed \
                 what is new under another name"
            )));
        }
        Ok(bytes)
    }
}

//! A key-value store with a write-ahead log, for any machine.
//!
//! In generation 3, say, `snapshot-3` holds what there was when it began, and `log-3` each change
//! since; other files are remains. A change is acknowledged once it is durable in the log. After
//! some changes the next generation begins: a new snapshot and a new, empty log take over.

use std::collections::BTreeMap;

use bytes::Bytes;
use unplug_sim::env::{Disk, DiskError, DiskResult, Env, File, OpenMode};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// All keys and values.
pub(crate) type Content = BTreeMap<u64, u64>;

/// A key gets this value, or none.
pub(crate) type Change = (u64, Option<u64>);

/// What is wrong with the store, on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Bug {
    /// Directories are never synced: the names of new files may be lost.
    MissingDirSync,
    /// Checksums do not tell the generations apart: where a log grew over the bytes of a removed
    /// one, and the power went before its own were there, an old record passes for a new one.
    SameChecksums,
}

/// Changes after which the next generation begins.
const LOG_RECORDS_MAX: u64 = 8;
/// Number, key, whether there is a value, value, checksum.
const RECORD_BYTES: usize = 5 * 8;

type FileOf<E> = <<E as Env>::Disk as Disk>::File;

/// The store of one node.
pub(crate) struct Store<E: Env> {
    disk: E::Disk,
    bug: Option<Bug>,
    generation: u64,
    log: FileOf<E>,
    log_records: u64,
    content: Content,
}

impl<E: Env> Store<E> {
    /// Opens the store on the node's disk, or makes it, and recovers what is there.
    pub(crate) async fn open(env: &E, bug: Option<Bug>) -> DiskResult<Self> {
        let disk = env.disk();
        let names = disk.read_dir("/").await?;
        let generations = names.iter().filter_map(|name| name.strip_prefix("snapshot-"));
        let generation = generations.filter_map(|it| it.parse().ok()).max().unwrap_or(0);

        let mut content = Content::new();
        if generation > 0 {
            let file = disk.open(&snapshot(generation), OpenMode::Read).await?;
            let bytes = read_all(&file).await?;
            let changes = records(seed(bug, generation), &bytes);
            if changes.len() * RECORD_BYTES != bytes.len() {
                return Err(DiskError::Io);
            }
            changes.into_iter().for_each(|change| apply(&mut content, change));
        }
        let log = disk.open(&log(generation), OpenMode::Create).await?;
        let changes = records(seed(bug, generation), &read_all(&log).await?);
        let log_records = changes.len() as u64;
        changes.into_iter().for_each(|change| apply(&mut content, change));

        // What follows was torn, and never acknowledged. What was read must not be lost any more.
        log.set_len(log_records * RECORD_BYTES as u64).await?;
        log.sync_all().await?;
        let store = Self { disk, bug, generation, log, log_records, content };
        store.sync_names().await?;
        let kept = [snapshot(generation), self::log(generation)];
        for name in names.iter().filter(|name| !kept.contains(name)) {
            store.disk.remove(name).await?;
        }
        Ok(store)
    }

    /// Changes one key. Durable when this returns.
    pub(crate) async fn change(&mut self, change: Change) -> DiskResult<()> {
        let seed = seed(self.bug, self.generation);
        append_all(&self.log, record(seed, self.log_records, change)).await?;
        self.log.sync_data().await?;
        self.log_records += 1;
        apply(&mut self.content, change);
        if self.log_records == LOG_RECORDS_MAX {
            self.begin_generation().await?;
        }
        Ok(())
    }

    /// All keys and values.
    pub(crate) const fn content(&self) -> &Content {
        &self.content
    }

    async fn begin_generation(&mut self) -> DiskResult<()> {
        let next = self.generation + 1;
        let temporary = format!("{}.tmp", snapshot(next));
        let file = self.disk.open(&temporary, OpenMode::Truncate).await?;
        let pairs = self.content.iter().zip(0..);
        let seed = seed(self.bug, next);
        let records =
            pairs.map(|((key, value), number)| record(seed, number, (*key, Some(*value))));
        append_all(&file, records.flatten().collect()).await?;
        file.sync_all().await?;
        let log = self.disk.open(&log(next), OpenMode::Truncate).await?;
        self.disk.rename(&temporary, &snapshot(next)).await?;
        // Only now may the old files go, and the new log be relied on.
        self.sync_names().await?;
        if self.generation > 0 {
            self.disk.remove(&snapshot(self.generation)).await?;
        }
        self.disk.remove(&self::log(self.generation)).await?;
        (self.generation, self.log, self.log_records) = (next, log, 0);
        Ok(())
    }

    async fn sync_names(&self) -> DiskResult<()> {
        match self.bug {
            Some(Bug::MissingDirSync) => Ok(()),
            None | Some(Bug::SameChecksums) => self.disk.sync_dir("/").await,
        }
    }
}

fn snapshot(generation: u64) -> String {
    format!("snapshot-{generation}")
}

fn log(generation: u64) -> String {
    format!("log-{generation}")
}

fn apply(content: &mut Content, (key, value): Change) {
    match value {
        Some(value) => content.insert(key, value),
        None => content.remove(&key),
    };
}

/// What the checksums of a generation begin with.
const fn seed(bug: Option<Bug>, generation: u64) -> u64 {
    match bug {
        Some(Bug::SameChecksums) => 0,
        None | Some(Bug::MissingDirSync) => generation,
    }
}

fn record(seed: u64, number: u64, (key, value): Change) -> Bytes {
    let words = [number, key, u64::from(value.is_some()), value.unwrap_or(0)];
    let mut bytes = words.map(u64::to_le_bytes).concat();
    bytes.extend(xxh3_64_with_seed(&bytes, seed).to_le_bytes());
    bytes.into()
}

/// The changes at the front of a file, up to the first record that is not whole.
fn records(seed: u64, bytes: &[u8]) -> Vec<Change> {
    let mut changes = Vec::new();
    for bytes in bytes.chunks(RECORD_BYTES) {
        let mut words = bytes.chunks(8).map_while(|word| word.try_into().ok());
        let mut word = || words.next().map_or(0, u64::from_le_bytes);
        let (number, key, some, value) = (word(), word(), word(), word());
        let change = (key, (some == 1).then_some(value));
        if number != changes.len() as u64 || record(seed, number, change) != bytes {
            break;
        }
        changes.push(change);
    }
    changes
}

/// Reads a whole file: one read may give less than it is asked for.
async fn read_all(file: &impl File) -> DiskResult<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(left) = file.metadata().await?.len.checked_sub(bytes.len() as u64)
        && left > 0
    {
        let len = usize::try_from(left).unwrap_or(usize::MAX);
        bytes.extend(file.read_at(bytes.len() as u64, len).await?);
    }
    Ok(bytes)
}

/// Appends all of `bytes`: one write may take less than it is given.
async fn append_all(file: &impl File, mut bytes: Bytes) -> DiskResult<()> {
    while !bytes.is_empty() {
        let taken = file.append(bytes.clone()).await?;
        bytes = bytes.split_off(taken);
    }
    Ok(())
}

//! The sink `files`: immutable files of JSON lines, and manifests that say which of them count.
//!
//! An epoch's rows are written into files that no other attempt has the names of, and synced with
//! their directory; then its manifest is put under the epoch's number, in one step. A reader follows
//! the manifests and nothing else: a file that none names is what a crash left of an attempt, and is
//! deleted. What a manifest names is durable before the manifest is there, so a boot looks at
//! manifests only, however many bytes the files have; and only manifests are kept in memory.
//!
//! - `/files/EPOCH-PLACE-UNIQUE`: one JSON object a line, in the order of the epoch's rows:
//!   `{"origin": {"producer": 0, "seq": 7, "time_ms": 0}, "values": ["JFK", 12, true, null]}`; no
//!   origin in the row of a window.
//! - `/manifests/EPOCH`: a line of JSON, the [`Manifest`]; and a line with its xxh3-64, 16
//!   hexadecimal digits.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use unplug_sim::env::{Disk, DiskError, Env, File, OpenMode, Refusal, Remedy};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    codec::CodecError,
    defect::Defects,
    durable::{Put, Store, failed, read_range, synced, uninterrupted, write_all},
    epoch::{Cut, Output},
    pipeline::{Origin, Row, Value},
    tuple::Epoch,
};

/// Where the files are.
pub(crate) const FILES: &str = "/files";
/// Where the manifests are.
pub(crate) const MANIFESTS: &str = "/manifests";

/// The version of a manifest and its files.
const VERSION: u8 = 1;

/// How many bytes of a file one answer holds at the most.
const CHUNK_BYTES: usize = 256 * 1024;

/// Which files an epoch is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of the format, of the files too.
    pub version: u8,
    /// The epoch.
    pub epoch: Epoch,
    /// Up to where the source is in, this epoch included.
    pub cut: Cut,
    /// The files, in the order of their rows.
    pub files: Vec<FileRef>,
}

/// A file, as a manifest names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRef {
    /// Its name in `/files`.
    pub name: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// How many lines.
    pub rows: u64,
    /// The xxh3-64 of its bytes, 16 hexadecimal digits.
    pub xxh3: String,
}

/// A line of a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    origin: Origin,
    values: Vec<Json>,
}

impl Manifest {
    /// As it stands on a disk.
    ///
    /// # Panics
    /// Never: it is plain data.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let json = serde_json::to_string(self).expect("plain data serialises");
        format!("{json}\n{:016x}\n", xxh3_64(json.as_bytes())).into()
    }

    /// Reads what [`Manifest::encode`] made.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        #[derive(Deserialize)]
        struct Version {
            version: u8,
        }
        let text = std::str::from_utf8(bytes).map_err(|_| CodecError::Damaged)?;
        let lines = text.strip_suffix('\n').and_then(|text| text.split_once('\n'));
        let (json, sum) = lines.ok_or(CodecError::Damaged)?;
        if sum != format!("{:016x}", xxh3_64(json.as_bytes())) {
            return Err(CodecError::Damaged);
        }
        match serde_json::from_str(json) {
            Ok(Version { version: VERSION }) => {}
            Ok(Version { version: found }) => {
                return Err(CodecError::Version { found, reads: VERSION });
            }
            Err(_) => return Err(CodecError::Damaged),
        }
        serde_json::from_str(json).map_err(|_| CodecError::Damaged)
    }
}

impl FileRef {
    /// Whether these are the bytes of the file.
    #[must_use]
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        bytes.len() as u64 == self.bytes && format!("{:016x}", xxh3_64(bytes)) == self.xxh3
    }
}

/// Rows as the lines of a file.
fn lines(rows: Vec<Row>) -> Bytes {
    let mut bytes = Vec::new();
    for Row { origin, values } in rows {
        let values = values.into_iter().map(|value| match value {
            Value::Null => Json::Null,
            Value::Bool(value) => value.into(),
            Value::Int(value) => value.into(),
            Value::Text(value) => String::from(value).into(),
        });
        let line = Line { origin, values: values.collect() };
        serde_json::to_writer(&mut bytes, &line).expect("plain data serialises");
        bytes.push(b'\n');
    }
    bytes.into()
}

/// The rows of a file.
///
/// # Errors
/// If it is none.
pub(crate) fn rows(bytes: &[u8]) -> Result<Vec<Row>, CodecError> {
    let damaged = || CodecError::Damaged;
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let lines = bytes.strip_suffix(b"\n").ok_or_else(damaged)?.split(|byte| *byte == b'\n');
    lines
        .map(|line| {
            let Line { origin, values } = serde_json::from_slice(line).map_err(|_| damaged())?;
            let values = values.into_iter().map(|value| match value {
                Json::Null => Ok(Value::Null),
                Json::Bool(value) => Ok(Value::Bool(value)),
                Json::Number(value) => value.as_i64().map(Value::Int).ok_or_else(damaged),
                Json::String(value) => Ok(Value::Text(value.into())),
                Json::Array(_) | Json::Object(_) => Err(damaged()),
            });
            Ok(Row { origin, values: values.collect::<Result<_, _>>()? })
        })
        .collect()
}

/// The disk of such a sink.
pub(super) struct Files<E: Env> {
    env: E,
    store: Store<E>,
    defects: Defects,
}

/// An epoch that is being written.
pub(super) struct Writing {
    epoch: Epoch,
    files: Vec<FileRef>,
}

impl Writing {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self { epoch, files: Vec::new() }
    }
}

impl<E: Env> Files<E> {
    pub(super) fn new(env: &E, defects: Defects) -> Self {
        Self { env: env.clone(), store: Store::new(env, defects), defects }
    }

    /// Writes the rows of one output; they count only once the manifest is there.
    ///
    /// # Errors
    /// Any disk error.
    pub(super) async fn write(&self, writing: &mut Writing, output: Output) -> Result<(), Refusal> {
        let place = writing.files.len();
        let name = format!("{:012}-{place:04}-{:016x}", writing.epoch.0, self.env.random());
        let rows = output.rows.len() as u64;
        let bytes = lines(output.rows);
        let xxh3 = format!("{:016x}", xxh3_64(&bytes));
        let file = FileRef { name, bytes: bytes.len() as u64, rows, xxh3 };
        let path = path(&file.name);
        // Also what is written in part is to be given up.
        writing.files.push(file);
        let disk = self.env.disk();
        let made = uninterrupted(|| disk.open(&path, OpenMode::CreateNew)).await;
        let made = made.map_err(|error| failed("make", &path, error))?;
        let written = write_all(&made, 0, bytes).await;
        written.map_err(|error| failed("write", &path, error))?;
        let done = synced(self.defects, || made.sync_all()).await;
        done.map_err(|error| failed("sync", &path, error))
    }

    /// Makes an epoch of what was written; gives its manifest.
    ///
    /// # Errors
    /// Any disk error, and a manifest that is there already.
    pub(super) async fn publish(&self, writing: &Writing, cut: Cut) -> Result<Bytes, Refusal> {
        let Writing { epoch, files } = writing;
        self.store.sync_dir(FILES).await?;
        self.env.mark("files.written");
        let manifest = Manifest { version: VERSION, epoch: *epoch, cut, files: files.clone() };
        let (name, bytes) = (format!("{:012}", epoch.0), manifest.encode());
        match self.store.put(MANIFESTS, &name, bytes.clone()).await? {
            Put::Done => Ok(bytes),
            Put::Exists(_) => Err(Refusal::new(format!(
                "{MANIFESTS}/{name} is there, and was not when this sink started; does another \
                 process use the disk?"
            ))),
        }
    }

    /// Deletes what was written of an epoch that will not be.
    ///
    /// # Errors
    /// Any disk error.
    pub(super) async fn give_up(&self, writing: &Writing) -> Result<(), Refusal> {
        for file in &writing.files {
            self.store.remove(&path(&file.name)).await?;
        }
        Ok(())
    }

    /// Deletes the files that no manifest names. It is not for while an epoch is being written.
    ///
    /// # Errors
    /// Any disk error, and a damaged manifest.
    pub(super) async fn clean(&self, manifests: &[Bytes]) -> Result<(), Refusal> {
        let mut named = BTreeSet::new();
        for bytes in manifests {
            let manifest = Manifest::decode(bytes).map_err(|error| {
                Refusal::new(format!("a manifest that was sound before: {error}"))
            })?;
            named.extend(manifest.files.into_iter().map(|file| file.name));
        }
        let mut found = self.names().await?;
        found.retain(|name| !named.contains(name));
        for name in &found {
            self.store.remove(&path(name)).await?;
        }
        if !found.is_empty() {
            self.env.mark("files.cleaned");
        }
        Ok(())
    }

    /// The names of all files of an epoch, also of those that no manifest names.
    ///
    /// # Errors
    /// Any disk error.
    pub(super) async fn list(&self, epoch: Epoch) -> Result<Vec<String>, Refusal> {
        let mut found = self.names().await?;
        found.retain(|name| name.starts_with(&format!("{:012}-", epoch.0)));
        Ok(found)
    }

    /// A part of a file from a place on, and how long the file is; none if there is no such file.
    ///
    /// # Errors
    /// Any disk error but that it is not there.
    pub(super) async fn read(
        &self,
        name: &str,
        from: u64,
    ) -> Result<Option<(Bytes, u64)>, Refusal> {
        if name.contains('/') {
            return Ok(None);
        }
        let (disk, path) = (self.env.disk(), path(name));
        let read = async {
            let file = uninterrupted(|| disk.open(&path, OpenMode::Read)).await?;
            let len = uninterrupted(|| file.metadata()).await?.len;
            Ok((read_range(&file, from, CHUNK_BYTES).await?, len))
        };
        match read.await {
            Ok(part) => Ok(Some(part)),
            Err(DiskError::NotFound) => Ok(None),
            Err(error) => Err(failed("read", &path, error)),
        }
    }

    async fn names(&self) -> Result<Vec<String>, Refusal> {
        let disk = self.env.disk();
        let names = uninterrupted(|| disk.read_dir(FILES)).await;
        names.map_err(|error| failed("list", FILES, error))
    }
}

/// Whether a refusal says only that the disk is full.
pub(super) fn is_full(refusal: &Refusal) -> bool {
    refusal.remedy == Remedy::Space
}

fn path(name: &str) -> String {
    format!("{FILES}/{name}")
}

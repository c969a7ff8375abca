//! Blobs: immutable bytes under names that are used once.

use std::collections::BTreeSet;

use bytes::Bytes;
use unplug_sim::env::{Disk, Env, Refusal};

use super::{
    Body,
    files::{BLOBS, file_name},
    server::Server,
};
use crate::{
    durable::{self, Content, Put, uninterrupted},
    epoch::{BlobRef, FloorRecord, checksum},
    register::Refused,
    steps::Step,
};

/// How many names one answer holds.
const PAGE_NAMES: usize = 4096;

impl<E: Env> Server<E> {
    pub(super) async fn put(&self, name: String, bytes: Bytes) -> Result<Body, Refusal> {
        if !self.is_serving() {
            return Ok(Body::Refused(Refused::Abstaining));
        }
        if let Some(floor) = self.acceptor.borrow().floor().filter(|floor| floor.covers_blob(&name))
        {
            return Ok(Body::Refused(Refused::BelowFloor(floor)));
        }
        let _step = Step::Blobs.enter(&self.env);
        self.keep(&file_name(&name), bytes).await?;
        Ok(Body::Done)
    }

    /// Puts a blob. What is there under that name counts only if it is the same.
    pub(super) async fn keep(&self, file: &str, bytes: Bytes) -> Result<(), Refusal> {
        match self.files.put(BLOBS, file, bytes.clone()).await? {
            Put::Exists(there) if there != bytes => self.files.replace(BLOBS, file, bytes).await,
            Put::Exists(_) | Put::Done => Ok(()),
        }
    }

    /// Puts a blob that another store has, unless something came in the meantime.
    pub(super) async fn keep_if_absent(&self, file: &str, bytes: Bytes) -> Result<(), Refusal> {
        self.files.put(BLOBS, file, bytes).await.map(drop)
    }

    /// Puts a blob that was found missing or damaged here.
    pub(super) async fn repair(&self, blob: BlobRef, bytes: Bytes) -> Result<Body, Refusal> {
        if !self.is_serving() {
            return Ok(Body::Refused(Refused::Abstaining));
        }
        if checksum(&bytes) == blob.checksum && bytes.len() as u64 == blob.bytes {
            self.keep(&file_name(&blob.name), bytes).await?;
        }
        Ok(Body::Done)
    }

    pub(super) async fn get(&self, file: &str) -> Result<Body, Refusal> {
        // Of what cannot be read here there is a copy elsewhere.
        let blob = match self.files.read_sound(&durable::join(BLOBS, file)).await? {
            Content::Bytes(bytes) => Some(bytes),
            Content::Absent | Content::Unreadable => None,
        };
        Ok(Body::Blob(blob))
    }

    pub(super) async fn has(&self, file: &str) -> bool {
        let (disk, path) = (self.env.disk(), durable::join(BLOBS, file));
        uninterrupted(|| disk.metadata(&path)).await.is_ok()
    }

    /// The names of the files behind `after`, a page of them.
    pub(super) async fn list(&self, after: &str) -> Result<Body, Refusal> {
        let mut names = self.names().await?;
        names.retain(|name| name.as_str() > after);
        let more = names.len() > PAGE_NAMES;
        names.truncate(PAGE_NAMES);
        Ok(Body::Files(names, more))
    }

    async fn names(&self) -> Result<Vec<String>, Refusal> {
        let disk = self.env.disk();
        let names = uninterrupted(|| disk.read_dir(BLOBS)).await;
        let mut names = names.map_err(|error| durable::failed("list", BLOBS, error))?;
        names.retain(|name| !durable::is_temporary(name));
        Ok(names)
    }

    /// Deletes the blobs of published epochs that nobody needs. Temporary names are those of puts
    /// under way; what a crash left of them went at boot.
    pub(super) async fn collect_blobs(
        &self,
        floor: FloorRecord,
        keep: Vec<String>,
    ) -> Result<(), Refusal> {
        let keep: BTreeSet<_> = keep.iter().map(|name| file_name(name)).collect();
        let mut names = self.names().await?;
        names.retain(|file| !keep.contains(file) && floor.covers_file(file));
        for file in &names {
            self.files.remove(&durable::join(BLOBS, file)).await?;
        }
        if !names.is_empty() {
            self.files.sync_dir(BLOBS).await?;
        }
        Ok(())
    }
}

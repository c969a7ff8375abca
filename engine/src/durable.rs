//! The durable put, and what a boot must do before it trusts a disk.
//!
//! A put is: unique temporary name, write, sync of the file, rename without replacing, sync of the
//! directory. Until the last step returned, a power cut may take the name away, so nobody may be
//! told. A file that is there already counts only after that step, too: whoever put it may not
//! have come so far.

use bytes::{Bytes, BytesMut};
use futures_util::future::try_join_all;
use unplug_sim::env::{Disk, DiskError, DiskResult, Env, File, OpenMode, Refusal, Remedy};

use crate::defect::{Defect, Defects};

/// What temporary names begin with.
const TEMPORARY: &str = "tmp-";

/// How many files are synced beside each other at boot.
const SETTLE_AT_ONCE: usize = 16;

/// How much is read at a time.
const READ_BYTES: usize = 1 << 20;

/// What a durable put came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is there now.
    Done,
    /// Something was there before, with this content; none if the device cannot read it.
    Exists(Bytes),
}

/// What was found where a file may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// No file.
    Absent,
    /// A file that the device cannot read.
    Unreadable,
    /// Its bytes, which may be damaged.
    Bytes(Bytes),
}

/// A node's disk, for files that are put once and never changed.
#[derive(Clone, Debug)]
pub struct Store<E: Env> {
    env: E,
    defects: Defects,
}

/// Whether a name is that of a put under way, or of what a crash left of one.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY)
}

/// The path of a name in a directory.
pub(crate) fn join(dir: &str, name: &str) -> String {
    [dir, "/", name].concat()
}

/// The path of a temporary file, with a number drawn at random. Every put makes one, which is why
/// its digits are not formatted.
fn temporary_path(dir: &str, number: u64) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut path = String::with_capacity(dir.len() + 1 + TEMPORARY.len() + 16);
    path.push_str(dir);
    path.push('/');
    path.push_str(TEMPORARY);
    let digits = number.to_be_bytes().into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    path.extend(digits.map(|digit| char::from(DIGITS[usize::from(digit)])));
    path
}

/// A disk error that must not be gone on from, with the place and the way out.
///
/// After a failed sync or write nobody knows what the page cache holds and the disk does not, and
/// the next sync may well succeed: so the process ends, and starts again from what is durable.
pub(crate) fn failed(what: &str, path: &str, error: DiskError) -> Refusal {
    let (remedy, way_out) = match error {
        DiskError::NoSpace => (Remedy::Space, "make room on the disk"),
        DiskError::Io | DiskError::ReadOnly => {
            (Remedy::Restart, "start the node again, and replace the disk if that comes again")
        }
        DiskError::NotFound
        | DiskError::AlreadyExists
        | DiskError::NotADirectory
        | DiskError::IsADirectory
        | DiskError::DirectoryNotEmpty
        | DiskError::InvalidInput
        | DiskError::Interrupted => {
            (Remedy::Attention, "mend or replace the disk, then start the node again")
        }
    };
    Refusal { reason: format!("{what} {path}: {error}; {way_out}"), remedy }
}

/// Does a disk operation again as long as it is interrupted.
pub(crate) async fn uninterrupted<T, F: Future<Output = DiskResult<T>>>(
    mut operation: impl FnMut() -> F,
) -> DiskResult<T> {
    loop {
        match operation().await {
            Err(DiskError::Interrupted) => {}
            done => return done,
        }
    }
}

/// Syncs.
pub(crate) async fn synced<F: Future<Output = DiskResult<()>>>(
    defects: Defects,
    mut sync: impl FnMut() -> F,
) -> DiskResult<()> {
    match uninterrupted(&mut sync).await {
        Err(_) if defects.has(Defect::SyncErrorIgnored) => Ok(()),
        Err(_) if defects.has(Defect::SyncRetried) => uninterrupted(sync).await,
        done => done,
    }
}

impl<E: Env> Store<E> {
    /// Works on the disk of `env`.
    pub fn new(env: &E, defects: Defects) -> Self {
        Self { env: env.clone(), defects }
    }

    /// Puts `bytes` at `name` in the directory `dir`, durably, unless something is there.
    ///
    /// # Errors
    /// Any disk error: nothing is known to be durable then, and the process must end.
    pub async fn put(&self, dir: &str, name: &str, bytes: Bytes) -> Result<Put, Refusal> {
        let disk = self.env.disk();
        let path = join(dir, name);
        loop {
            let temporary = self.temporary(dir, bytes.clone()).await?;
            let renamed = uninterrupted(|| disk.rename_noreplace(&temporary, &path)).await;
            if !self.defects.has(Defect::SkipDirSync) {
                self.sync_dir(dir).await?;
            }
            match renamed {
                Ok(()) => return Ok(Put::Done),
                Err(DiskError::AlreadyExists) => {
                    self.remove(&temporary).await?;
                    // It may have been deleted since; then its name is free.
                    match self.read_sound(&path).await? {
                        Content::Absent => {}
                        Content::Unreadable => return Ok(Put::Exists(Bytes::new())),
                        Content::Bytes(there) => return Ok(Put::Exists(there)),
                    }
                }
                Err(error) => return Err(self.given_up(&temporary, "rename", error).await),
            }
        }
    }

    /// Puts `bytes` at `name` in the directory `dir`, durably, in the place of what is there.
    /// After a power cut there is the old content or the new one, whole.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub async fn replace(&self, dir: &str, name: &str, bytes: Bytes) -> Result<(), Refusal> {
        let disk = self.env.disk();
        let temporary = self.temporary(dir, bytes).await?;
        let path = join(dir, name);
        if let Err(error) = uninterrupted(|| disk.rename(&temporary, &path)).await {
            return Err(self.given_up(&temporary, "rename", error).await);
        }
        if !self.defects.has(Defect::SkipDirSync) {
            self.sync_dir(dir).await?;
        }
        Ok(())
    }

    /// A synced file under a name of its own.
    async fn temporary(&self, dir: &str, bytes: Bytes) -> Result<String, Refusal> {
        let temporary = temporary_path(dir, self.env.random());
        let disk = self.env.disk();
        let file = uninterrupted(|| disk.open(&temporary, OpenMode::CreateNew))
            .await
            .map_err(|error| failed("make", &temporary, error))?;
        if let Err(error) = write_all(&file, 0, bytes).await {
            return Err(self.given_up(&temporary, "write", error).await);
        }
        match synced(self.defects, || file.sync_all()).await {
            Ok(()) => Ok(temporary),
            Err(error) => Err(self.given_up(&temporary, "sync", error).await),
        }
    }

    /// A temporary file will not be used: a full disk has room again without it.
    async fn given_up(&self, temporary: &str, what: &str, error: DiskError) -> Refusal {
        let removed = self.remove(temporary).await;
        removed.err().unwrap_or_else(|| failed(what, temporary, error))
    }

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// Any disk error.
    pub async fn sync_dir(&self, dir: &str) -> Result<(), Refusal> {
        let path = if dir.is_empty() { "/" } else { dir };
        let disk = self.env.disk();
        let done = synced(self.defects, || disk.sync_dir(path)).await;
        done.map_err(|error| failed("sync", path, error))
    }

    /// Removes a file, if it is there; durable only with the next [`Store::sync_dir`].
    ///
    /// # Errors
    /// Any disk error but that it is not there.
    pub async fn remove(&self, path: &str) -> Result<(), Refusal> {
        let disk = self.env.disk();
        match uninterrupted(|| disk.remove(path)).await {
            Ok(()) | Err(DiskError::NotFound) => Ok(()),
            Err(error) => Err(failed("remove", path, error)),
        }
    }

    /// Makes a directory, if it is not there; durable only with the next sync of its parent.
    ///
    /// # Errors
    /// Any disk error but that it is there.
    pub async fn create_dir(&self, path: &str) -> Result<(), Refusal> {
        let disk = self.env.disk();
        match uninterrupted(|| disk.create_dir(path)).await {
            Ok(()) | Err(DiskError::AlreadyExists) => Ok(()),
            Err(error) => Err(failed("make", path, error)),
        }
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// Any disk error.
    pub async fn read(&self, path: &str) -> Result<Bytes, Refusal> {
        let disk = self.env.disk();
        let file = uninterrupted(|| disk.open(path, OpenMode::Read))
            .await
            .map_err(|error| failed("open", path, error))?;
        read_all(&file).await.map_err(|error| failed("read", path, error))
    }

    /// Makes all that is in a directory durable and removes leftover temporaries; gives the names
    /// that are there, sorted. After a kill the page cache holds what no disk does yet: nothing of
    /// it may be shown or built on before.
    ///
    /// # Errors
    /// Any disk error, and a directory where only files belong.
    pub async fn settle(&self, dir: &str) -> Result<Vec<String>, Refusal> {
        let disk = self.env.disk();
        let names = uninterrupted(|| disk.read_dir(dir))
            .await
            .map_err(|error| failed("list", dir, error))?;
        let (leftovers, names): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| is_temporary(name));
        for name in leftovers {
            let path = join(dir, &name);
            self.remove(&path).await?;
        }
        for some in names.chunks(SETTLE_AT_ONCE) {
            try_join_all(some.iter().map(|name| self.settle_file(join(dir, name)))).await?;
        }
        self.sync_dir(dir).await?;
        Ok(names)
    }

    /// The same for the root, where directories are, too: only these files are looked at, and
    /// those that are there are made durable.
    ///
    /// # Errors
    /// Any disk error.
    pub async fn settle_root(&self, files: &[&str]) -> Result<(), Refusal> {
        let disk = self.env.disk();
        let names = uninterrupted(|| disk.read_dir("/"))
            .await
            .map_err(|error| failed("list", "/", error))?;
        for name in names {
            if is_temporary(&name) {
                self.remove(&format!("/{name}")).await?;
            } else if files.contains(&name.as_str()) {
                self.settle_file(format!("/{name}")).await?;
            }
        }
        self.sync_dir("/").await
    }

    async fn settle_file(&self, path: String) -> Result<(), Refusal> {
        let disk = self.env.disk();
        let file = uninterrupted(|| disk.open(&path, OpenMode::Write)).await;
        let file = file.map_err(|error| failed("open", &path, error))?;
        let done = settled(self.defects, &file).await;
        done.map_err(|error| failed("sync", &path, error))
    }

    /// Reads a whole file of which there are copies elsewhere: that the device cannot read it is
    /// damage like another.
    ///
    /// # Errors
    /// Any other disk error.
    pub async fn read_sound(&self, path: &str) -> Result<Content, Refusal> {
        let disk = self.env.disk();
        let read = async {
            let file = uninterrupted(|| disk.open(path, OpenMode::Read)).await?;
            read_all(&file).await
        };
        match read.await {
            Ok(bytes) => Ok(Content::Bytes(bytes)),
            Err(DiskError::NotFound) => Ok(Content::Absent),
            Err(DiskError::Io) => Ok(Content::Unreadable),
            Err(error) => Err(failed("read", path, error)),
        }
    }

    /// Reads a whole file, if it is there.
    ///
    /// # Errors
    /// Any disk error but that it is not there.
    pub async fn read_if_there(&self, path: &str) -> Result<Option<Bytes>, Refusal> {
        let disk = self.env.disk();
        let file = match uninterrupted(|| disk.open(path, OpenMode::Read)).await {
            Ok(file) => file,
            Err(DiskError::NotFound) => return Ok(None),
            Err(error) => return Err(failed("open", path, error)),
        };
        read_all(&file).await.map(Some).map_err(|error| failed("read", path, error))
    }
}

/// Makes durable what an earlier process wrote, and has reads show nothing but that: the kernel may
/// have failed to write bytes back when nobody had the file open, or told somebody else of it. Then
/// this sync reports nothing, and the cache still shows the bytes.
pub(crate) async fn settled<F: File>(defects: Defects, file: &F) -> Result<(), DiskError> {
    synced(defects, || file.sync_all()).await?;
    uninterrupted(|| file.drop_cached()).await
}

/// Writes all of `bytes`, however often the disk takes only a part.
pub(crate) async fn write_all<F: File>(
    file: &F,
    mut offset: u64,
    mut bytes: Bytes,
) -> Result<(), DiskError> {
    while !bytes.is_empty() {
        match file.write_at(offset, bytes.clone()).await {
            Ok(0) => return Err(DiskError::NoSpace),
            Ok(taken) => {
                offset += taken as u64;
                bytes = bytes.split_off(taken);
            }
            Err(DiskError::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads `len` bytes at `offset`; fewer only at the end of the file.
pub(crate) async fn read_range<F: File>(
    file: &F,
    mut offset: u64,
    mut len: usize,
) -> Result<Bytes, DiskError> {
    let mut whole = BytesMut::new();
    while len > 0 {
        match file.read_at(offset, len.min(READ_BYTES)).await {
            Ok(bytes) if bytes.is_empty() => break,
            Ok(bytes) if whole.is_empty() && bytes.len() == len => return Ok(bytes),
            Ok(bytes) => {
                offset += bytes.len() as u64;
                len -= bytes.len();
                whole.extend_from_slice(&bytes);
            }
            Err(DiskError::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(whole.freeze())
}

/// Reads a file from its start to its end.
pub(crate) async fn read_all<F: File>(file: &F) -> Result<Bytes, DiskError> {
    let len = uninterrupted(|| file.metadata()).await?.len;
    read_range(file, 0, usize::try_from(len).map_err(|_| DiskError::InvalidInput)?).await
}

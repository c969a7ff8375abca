//! redb's storage on the simulated disk: one file, and a look at the disk before each operation.

#![expect(
    clippy::disallowed_types,
    reason = "redb asks for a backend that is Send + Sync, so the disk stands behind a lock; one \
              thread uses it, in a fixed order"
)]

use std::{fmt, io, sync::Mutex};

use redb::StorageBackend;
use unplug_sim::{
    disk::{Disk, Handle},
    env::{DiskError, OpenMode},
};

/// The file that redb is given.
pub(crate) const PATH: &str = "/database";

/// Sees the disk before an operation changes, syncs or closes its file: here the power may go.
pub(crate) type CrashPoint = Box<dyn FnMut(&Disk) + Send>;

/// What redb writes to.
pub(crate) struct Backend(Mutex<Inner>);

struct Inner {
    disk: Disk,
    file: Handle,
    crash_point: CrashPoint,
}

impl Backend {
    /// Opens the file on `disk`.
    pub(crate) fn open(mut disk: Disk, crash_point: CrashPoint) -> Result<Self, DiskError> {
        let file = disk.open(PATH, OpenMode::Write)?;
        Ok(Self(Mutex::new(Inner { disk, file, crash_point })))
    }

    fn with<R>(&self, work: impl FnOnce(&mut Inner) -> Result<R, DiskError>) -> io::Result<R> {
        let mut inner = self.0.lock().map_err(|_| io::Error::other("an earlier panic"))?;
        work(&mut inner).map_err(io::Error::other)
    }

    /// The same, for what changes or syncs something.
    fn operate<R>(&self, work: impl FnOnce(&mut Inner) -> Result<R, DiskError>) -> io::Result<R> {
        self.with(|inner| {
            (inner.crash_point)(&inner.disk);
            work(inner)
        })
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.with(|inner| Ok(inner.disk.file_metadata(inner.file)?.len))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.with(|inner| inner.disk.read_at(inner.file, offset, out.len()))?;
        if bytes.len() < out.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        out.copy_from_slice(&bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.operate(|inner| inner.disk.set_len(inner.file, len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.operate(|inner| inner.disk.sync_data(inner.file))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.operate(|inner| {
            let taken = inner.disk.write_at(inner.file, offset, data)?;
            assert_eq!(taken, data.len(), "the plain disk takes all");
            Ok(())
        })
    }

    fn close(&self) -> io::Result<()> {
        self.operate(|inner| {
            inner.disk.close(inner.file);
            Ok(())
        })
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Backend").field(&PATH).finish()
    }
}

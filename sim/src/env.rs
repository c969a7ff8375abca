//! The contract: all that a node may ask of its machine.
//!
//! A node is a program generic over one type parameter, `E: Env`. It runs unchanged on the
//! simulated machine ([`crate::World`]) and on any other machine that implements these traits.
//! Nothing here is `Send`: a node is one thread.
//!
//! Rules that hold on every machine, because each has a trap behind it:
//!
//! - **First poll.** An operation that returns a future takes effect from that future's first
//!   poll, whether the future is then dropped or not. A future that is never polled does nothing.
//!   Plain functions ([`Env::mark`], [`Env::spawn`], [`Socket::send`]) take effect when called.
//! - **No lost message.** A dropped [`Socket::recv`] loses no datagram.
//! - **Call sites.** Disk methods are `#[track_caller]` functions and not `async fn`, so that a
//!   machine can name the line that asked for a sync.
//! - **No cycle.** No handle keeps its machine alive, and futures own what they need (`'static`).
//!   A handle that outlives its boot does nothing: its futures never complete.
//! - **Owned buffers.** Bytes are handed over, never borrowed across a wait, so that a machine
//!   may sync on another thread while heartbeats go on.
//!
//! What a power cut leaves of unsynced disk operations is up to the machine. A node may rely on
//! the following only, the weakest reading of POSIX:
//!
//! | call that returned | durable from then on |
//! |---|---|
//! | [`File::sync_all`] | the file's bytes and length |
//! | [`File::sync_data`] | the same; time stamps not |
//! | [`Disk::sync_dir`] | the names in that directory; neither the files' bytes, nor the directory's own name in its parent |

use std::{
    fmt,
    future::Future,
    ops::{Add, Sub},
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The largest datagram that [`Socket::send`] takes, in bytes.
pub const DATAGRAM_BYTES_MAX: usize = 1 << 20;

/// A machine in the cluster. The number is its place in the cluster's list, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u16);

/// A door of a node to which datagrams can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Port(pub u16);

/// Where a datagram goes to or comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    /// The node.
    pub node: NodeId,
    /// The port on that node.
    pub port: Port,
}

/// A moment on one node's monotonic clock, in nanoseconds since an arbitrary origin.
///
/// Comparable only within one boot of one node: another node, or the same one after a restart,
/// has another origin. So it never belongs into a message or a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

/// What a node's wall clock shows, in nanoseconds since 1970-01-01T00:00Z. It may be wrong, step
/// and go back: never compare two of them to decide anything that must be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallTime(pub u64);

/// Why a program stopped of its own accord: it met something it must not go on from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// What, where, and what an operator can do.
    pub reason: String,
    /// What would help.
    pub remedy: Remedy,
}

/// What would help a program that stopped of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Somebody has to look at it: it would stop again.
    Attention,
    /// To start it again: it failed, and goes on from what is durable. A supervisor does that.
    Restart,
    /// Space on the disk. A server need not stop for this: it refuses what needs space.
    Space,
}

impl Refusal {
    /// A refusal that somebody has to look at.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: Remedy::Attention }
    }
}

/// How a node's program ends: `Ok` when its work is done (a server never ends).
pub type Exit = Result<(), Refusal>;

/// A node's machine. Cheap to clone; every clone is the same node and the same boot.
pub trait Env: Clone + 'static {
    /// The node's disk.
    type Disk: Disk;
    /// The node's network.
    type Net: Net;

    /// Which node this is.
    fn node(&self) -> NodeId;

    /// The monotonic clock. Its rate may differ a little from other nodes' clocks.
    fn now(&self) -> Instant;

    /// The wall clock, which may be wrong.
    fn wall(&self) -> WallTime;

    /// Waits until the monotonic clock shows `deadline`; at once if it is past.
    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + 'static;

    /// Waits for `duration`, counted from this call.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        self.sleep_until(self.now() + duration)
    }

    /// The next 64 bits of the node's own random stream, which differs from boot to boot.
    fn random(&self) -> u64;

    /// Starts a task on this node. It ends with the boot at the latest. `name` is for people.
    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + 'static);

    /// Charges `work` of CPU time to the node, which does one thing at a time; completes when the
    /// work is done. A real machine completes at once, since there the work itself takes the time.
    fn busy(&self, work: Duration) -> impl Future<Output = ()> + 'static;

    /// The disk.
    fn disk(&self) -> Self::Disk;

    /// The network.
    fn net(&self) -> Self::Net;

    /// Passes a named point in the code, such as `"offsets.decided"`: a place where faults can be
    /// aimed, a signal of coverage, an event in the trace. No effect on the node.
    fn mark(&self, name: &'static str);
}

/// A node's network: datagrams, which may be lost, late, twice, out of order or damaged.
/// Requests, retries, checksums and streams are layers above.
pub trait Net: Clone + 'static {
    /// An open port.
    type Socket: Socket;

    /// Opens `port`; it is free again when the socket is dropped.
    ///
    /// # Errors
    /// [`NetError::PortInUse`].
    fn bind(&self, port: Port) -> Result<Self::Socket, NetError>;
}

/// An open port of a node.
pub trait Socket: 'static {
    /// The address that peers see.
    fn local(&self) -> Address;

    /// Sends one datagram and does not wait: nobody tells whether it arrives.
    ///
    /// # Errors
    /// [`NetError::TooLarge`] over [`DATAGRAM_BYTES_MAX`]; nothing was sent then.
    fn send(&self, to: Address, payload: Bytes) -> Result<(), NetError>;

    /// Waits for the next datagram. One task at a time waits on a socket: a later wait replaces
    /// an earlier one, which then stays pending.
    fn recv(&self) -> impl Future<Output = Datagram> + 'static;
}

/// What arrives at a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// The sender.
    pub from: Address,
    /// The bytes, which may be damaged.
    pub payload: Bytes,
}

/// Why the network refused an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// Another socket of this node holds the port.
    #[error("the port is in use")]
    PortInUse,
    /// The payload is over [`DATAGRAM_BYTES_MAX`].
    #[error("the datagram is larger than {DATAGRAM_BYTES_MAX} bytes")]
    TooLarge,
}

/// A node's disk: a tree of directories and files.
///
/// Paths are UTF-8, parts separated by `/`, from the root `/` of the node's own tree (a leading
/// `/` may be left out); a part is neither empty nor `.` nor `..`. A path that breaks this is
/// [`DiskError::InvalidInput`]. There are no symbolic links. Every method may also fail with
/// [`DiskError::Io`] and [`DiskError::Interrupted`], and every one that changes something with
/// [`DiskError::NoSpace`] and [`DiskError::ReadOnly`].
pub trait Disk: Clone + 'static {
    /// An open file.
    type File: File;

    /// Opens a file. `NotFound` (the file, or a directory on the way), `AlreadyExists` (with
    /// [`OpenMode::CreateNew`]), `IsADirectory`, `NotADirectory` (on the way).
    #[track_caller]
    fn open(
        &self,
        path: &str,
        mode: OpenMode,
    ) -> impl Future<Output = DiskResult<Self::File>> + 'static;

    /// Makes one directory. `AlreadyExists`, `NotFound` (the parent), `NotADirectory` (on the way).
    #[track_caller]
    fn create_dir(&self, path: &str) -> impl Future<Output = DiskResult<()>> + 'static;

    /// Removes an empty directory. `NotFound`, `NotADirectory`, `DirectoryNotEmpty`, and
    /// `InvalidInput` for the root.
    #[track_caller]
    fn remove_dir(&self, path: &str) -> impl Future<Output = DiskResult<()>> + 'static;

    /// Removes the name of a file; open handles go on. `NotFound`, `IsADirectory`.
    #[track_caller]
    fn remove(&self, path: &str) -> impl Future<Output = DiskResult<()>> + 'static;

    /// Renames a file or directory and replaces what stands at `to`: a file by a file, an empty
    /// directory by a directory. Between crashes others see either the old or the new name, never
    /// neither. `NotFound`, `IsADirectory`, `NotADirectory`, `DirectoryNotEmpty`, `InvalidInput`
    /// (a directory into itself).
    #[track_caller]
    fn rename(&self, from: &str, to: &str) -> impl Future<Output = DiskResult<()>> + 'static;

    /// The same, but `AlreadyExists` if anything stands at `to`.
    #[track_caller]
    fn rename_noreplace(
        &self,
        from: &str,
        to: &str,
    ) -> impl Future<Output = DiskResult<()>> + 'static;

    /// Gives a file a second name. `NotFound`, `AlreadyExists`, `IsADirectory` (no directory can
    /// have two names).
    #[track_caller]
    fn hard_link(&self, from: &str, to: &str) -> impl Future<Output = DiskResult<()>> + 'static;

    /// The names in a directory, sorted by byte. `NotFound`, `NotADirectory`.
    #[track_caller]
    fn read_dir(&self, path: &str) -> impl Future<Output = DiskResult<Vec<String>>> + 'static;

    /// What stands at `path`. `NotFound`, `NotADirectory` (on the way).
    #[track_caller]
    fn metadata(&self, path: &str) -> impl Future<Output = DiskResult<Metadata>> + 'static;

    /// Makes the names in a directory durable. `NotFound`, `NotADirectory`.
    #[track_caller]
    fn sync_dir(&self, path: &str) -> impl Future<Output = DiskResult<()>> + 'static;
}

/// An open file. It refers to the file itself, not to a name: it stays valid after a rename or a
/// removal. Dropped, it is closed, which syncs nothing.
pub trait File: 'static {
    /// Reads up to `len` bytes at `offset`; shorter at the end of the file, empty past it, and
    /// possibly shorter for no reason.
    #[track_caller]
    fn read_at(&self, offset: u64, len: usize)
    -> impl Future<Output = DiskResult<Bytes>> + 'static;

    /// Writes at `offset`, beyond the end if need be (the gap reads as zeros), and tells how many
    /// bytes it took: possibly fewer than given. `ReadOnly` on a handle opened for reading.
    #[track_caller]
    fn write_at(
        &self,
        offset: u64,
        bytes: Bytes,
    ) -> impl Future<Output = DiskResult<usize>> + 'static;

    /// Writes at the end, as one step, and tells how many bytes it took.
    #[track_caller]
    fn append(&self, bytes: Bytes) -> impl Future<Output = DiskResult<usize>> + 'static;

    /// Cuts the file or grows it with zeros.
    #[track_caller]
    fn set_len(&self, len: u64) -> impl Future<Output = DiskResult<()>> + 'static;

    /// Makes bytes and length durable.
    #[track_caller]
    fn sync_data(&self) -> impl Future<Output = DiskResult<()>> + 'static;

    /// Makes bytes, length and time stamps durable.
    #[track_caller]
    fn sync_all(&self) -> impl Future<Output = DiskResult<()>> + 'static;

    /// Drops what is cached of the file, except bytes that wait to be written back: reads show what
    /// the device holds. After a write-back failed, the cache shows bytes that are nowhere else, and
    /// who opens the file later may hear nothing of it. On Linux: `posix_fadvise` with `DONTNEED`.
    #[track_caller]
    fn drop_cached(&self) -> impl Future<Output = DiskResult<()>> + 'static;

    /// The file's metadata.
    #[track_caller]
    fn metadata(&self) -> impl Future<Output = DiskResult<Metadata>> + 'static;
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// For reading and writing; made if absent.
    Create,
    /// For reading and writing; it must be absent.
    CreateNew,
    /// For reading and writing; made if absent, emptied if present.
    Truncate,
}

/// What a disk tells of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// File or directory.
    pub kind: FileKind,
    /// Length in bytes; 0 for a directory.
    pub len: u64,
    /// How many names the file has; 1 for a directory.
    pub links: u32,
}

/// File or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FileKind {
    /// A file.
    File,
    /// A directory.
    Directory,
}

/// The result of a disk operation.
pub type DiskResult<T> = Result<T, DiskError>;

/// Why a disk operation failed: the kinds of `std::io::Error` that a node has to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DiskError {
    /// Nothing of that name (`ENOENT`).
    #[error("not found")]
    NotFound,
    /// The name is taken (`EEXIST`).
    #[error("already exists")]
    AlreadyExists,
    /// A part of the path, or the thing itself, is not a directory (`ENOTDIR`).
    #[error("not a directory")]
    NotADirectory,
    /// A directory, where a file is wanted (`EISDIR`; `EPERM` of `link`).
    #[error("is a directory")]
    IsADirectory,
    /// The directory holds something (`ENOTEMPTY`).
    #[error("directory not empty")]
    DirectoryNotEmpty,
    /// A path or argument that cannot be (`EINVAL`).
    #[error("invalid input")]
    InvalidInput,
    /// The disk is full (`ENOSPC`); what was there can still be read.
    #[error("no space left")]
    NoSpace,
    /// The device failed (`EIO`). After a failed sync the unsynced bytes may be gone, and the
    /// next sync may well succeed: a sync that failed is never made good by another.
    #[error("input/output error")]
    Io,
    /// The handle, or the whole disk, may not be written (`EBADF`, `EROFS`).
    #[error("read only")]
    ReadOnly,
    /// Nothing happened; try again (`EINTR`).
    #[error("interrupted")]
    Interrupted,
}

impl Instant {
    /// The time from `earlier` to here; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.node, self.port.0)
    }
}

/// A duration in whole nanoseconds; over 584 years it stays at the most that fits.
#[must_use]
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

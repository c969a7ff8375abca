//! Looking at disks from outside, after each effect that may change what a power cut leaves.

use std::fmt;

use crate::{disk::Disk, env::NodeId, machine_disk::Request, state::State};

/// What has just happened on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskMoment {
    /// Bytes, a length or a name changed, or would have, had the operation not failed: the effect
    /// [`crate::EffectKind::Write`].
    Written,
    /// A sync began, which is an effect [`crate::EffectKind::Sync`]…
    SyncBegun,
    /// …and ended, which is another.
    SyncEnded,
}

/// A write or a sync of a node, and its disk right after it.
#[derive(Clone, Copy)]
pub struct DiskEffect<'a> {
    /// When, in virtual nanoseconds.
    pub at_ns: u64,
    /// Whose disk.
    pub node: NodeId,
    /// What happened.
    pub moment: DiskMoment,
    /// The operation, its path, and where in the program it was called.
    pub operation: &'a str,
    /// The disk.
    pub disk: &'a Disk,
}

/// Is shown each [`DiskEffect`]. It must not call the world, in the midst of whose work it is.
pub type DiskWatcher = Box<dyn FnMut(&DiskEffect<'_>)>;

/// Who looks at the disks of a world.
#[derive(Default)]
pub(crate) struct DiskWatch(Option<DiskWatcher>);

impl DiskWatch {
    pub(crate) fn begin(&mut self, watcher: DiskWatcher) {
        self.0 = Some(watcher);
    }
}

impl State {
    /// What to call an operation; nothing if nobody looks.
    #[inline]
    pub(crate) fn watched_name(&self, node: NodeId, request: &Request) -> Option<String> {
        let disk = &self.nodes[usize::from(node.0)].disk;
        self.disk_watch.0.is_some().then(|| request.text_on(disk))
    }

    /// Shows a node's disk after an effect of this name, if it has one.
    #[inline]
    pub(crate) fn show_disk(&mut self, node: NodeId, moment: DiskMoment, name: Option<&str>) {
        if let (Some(watcher), Some(operation)) = (&mut self.disk_watch.0, name) {
            let disk = &*self.nodes[usize::from(node.0)].disk;
            watcher(&DiskEffect { at_ns: self.now_ns, node, moment, operation, disk });
        }
    }
}

impl fmt::Debug for DiskEffect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskEffect")
            .field("at_ns", &self.at_ns)
            .field("node", &self.node)
            .field("moment", &self.moment)
            .field("operation", &self.operation)
            .finish_non_exhaustive()
    }
}

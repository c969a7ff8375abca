//! Glitches: operations on open files that do less than they were asked to, as any system call may.

use crate::{
    env::{DiskError, DiskResult, NodeId},
    event::{Change, Happening},
    machine_disk::Request,
    state::State,
};

impl State {
    /// What an operation on an open file does of the bytes that were asked for: all, mostly; some of them, at
    /// least one; or nothing at all, for it is interrupted.
    #[inline]
    pub(crate) fn glitch(&mut self, id: NodeId, request: &Request) -> DiskResult<usize> {
        let asked = request.asked();
        if request.handle.is_some() && self.config.disk.glitches.0 > 0 {
            self.maybe_glitch(id, request.name, asked)
        } else {
            Ok(asked)
        }
    }

    fn maybe_glitch(&mut self, id: NodeId, operation: &str, asked: usize) -> DiskResult<usize> {
        let (cases, of) = self.config.disk.glitches;
        let (at_ns, seed) = (self.now_ns, self.config.seed);
        let node = &mut self.nodes[usize::from(id.0)];
        let stream = node.disk_stream(seed, id);
        if !stream.chance(cases.into(), of.into()) {
            return Ok(asked);
        }
        if asked < 2 || stream.chance(1, 2) {
            let name = &node.name;
            self.trace.world(at_ns, 0, || {
                Happening::of(id, Change::Disk, format!("{operation} of {name} interrupted"))
            });
            return Err(DiskError::Interrupted);
        }
        let taken = 1 + stream.index(asked - 1);
        let name = &node.name;
        self.trace.world(at_ns, taken as u64, || {
            let text = format!("{operation} of {name} short: {taken} of {asked} bytes");
            Happening::of(id, Change::Disk, text)
        });
        Ok(taken)
    }
}

//! Disks in trouble: faults laid in the model, and disks that are full, slow or stand still for a
//! time.

use xxhash_rust::xxh3::xxh3_64;

use crate::{
    disk::DiskFault,
    disturbance::Throttle,
    env::NodeId,
    event::{Change, Happening},
    random::Stream,
    state::State,
    trace::Seconds,
};

/// What ails a node's disk for a time.
#[derive(Debug, Default)]
pub(crate) struct DiskTrouble {
    /// The faults that fill it.
    full: Vec<usize>,
    slow: Vec<Throttle>,
    /// The end of the latest stall.
    stalled_until_ns: u64,
}

impl DiskTrouble {
    /// How many times as long an operation takes that starts now.
    #[inline]
    pub(crate) fn factor(&self) -> u64 {
        self.slow.iter().map(|slow| slow.factor).max().unwrap_or(1).into()
    }
}

impl State {
    /// Lays a fault in a node's disk.
    pub(crate) fn harm(&mut self, id: NodeId, directory: &str, what: DiskFault) {
        let (seed, at_ns, kind) = (self.supply.seed, self.now_ns, what.name());
        // Two at one moment must not undo each other.
        let same = |fired: &&crate::Fired| fired.at_ns == at_ns && fired.kind == kind;
        let before = self.supply.fired.iter().rev().filter(same).count() as u64;
        let label = format!("disk-fault {kind}");
        let mut stream = Stream::new(seed, &label, before << 32 | u64::from(id.0), at_ns);
        let struck = self.node(id).disk.harm(directory, what, &mut stream);
        let name = &self.nodes[usize::from(id.0)].name;
        let text = match &struck {
            Some(struck) => format!("{what} in {struck} of {name}"),
            None => format!("{what} in {directory} of {name}: nothing was there"),
        };
        let detail = xxh3_64(text.as_bytes());
        self.trace.world(at_ns, detail, || Happening::of(id, Change::Disk, text));
    }

    /// Tells the trace what faults have struck that waited in a node's disk.
    #[inline]
    pub(crate) fn trace_struck(&mut self, id: NodeId) {
        let at_ns = self.now_ns;
        let node = &mut self.nodes[usize::from(id.0)];
        for struck in node.disk.take_struck() {
            let (detail, name) = (xxh3_64(struck.as_bytes()), &node.name);
            self.trace.world(at_ns, detail, || {
                Happening::of(id, Change::Disk, format!("{struck} of {name}"))
            });
        }
    }

    pub(crate) fn fill_disk(&mut self, id: NodeId, fault: usize) {
        let at_ns = self.now_ns;
        let node = &mut self.nodes[usize::from(id.0)];
        node.disk_trouble.full.push(fault);
        node.disk.fill();
        let name = &node.name;
        self.trace.world(at_ns, u64::from(id.0), || {
            Happening::of(id, Change::Begin { fault }, format!("disk of {name} full"))
        });
    }

    pub(crate) fn slow_disk(&mut self, id: NodeId, fault: usize, factor: u32) {
        let at_ns = self.now_ns;
        let node = &mut self.nodes[usize::from(id.0)];
        node.disk_trouble.slow.push(Throttle { fault, factor });
        let name = &node.name;
        self.trace.world(at_ns, u64::from(id.0) << 32 | u64::from(factor), || {
            let text = format!("disk of {name} {factor} times slower");
            Happening::of(id, Change::Begin { fault }, text)
        });
    }

    pub(crate) fn stall_disk(&mut self, id: NodeId, fault: usize, until_ns: u64) {
        let at_ns = self.now_ns;
        let node = &mut self.nodes[usize::from(id.0)];
        let trouble = &mut node.disk_trouble;
        trouble.stalled_until_ns = trouble.stalled_until_ns.max(until_ns);
        let name = &node.name;
        self.trace.world(at_ns, until_ns ^ u64::from(id.0) << 48, || {
            let text = format!("disk of {name} stalls until{} s", Seconds(until_ns));
            Happening::of(id, Change::Begin { fault }, text)
        });
    }

    /// A fault that filled, slowed or stalled a node's disk is over.
    pub(crate) fn disk_recovers(&mut self, id: NodeId, fault: usize) {
        let (at_ns, kind) = (self.now_ns, self.supply.plan.faults[fault].what.kind());
        let node = &mut self.nodes[usize::from(id.0)];
        let trouble = &mut node.disk_trouble;
        trouble.slow.retain(|slow| slow.fault != fault);
        trouble.full.retain(|full| *full != fault);
        if trouble.full.is_empty() {
            node.disk.unfill();
        }
        let name = &node.name;
        self.trace.world(at_ns, u64::from(id.0), || {
            Happening::of(id, Change::Over { fault }, format!("end of {kind} of {name}"))
        });
    }

    /// Until when a node's disk stalls, if it does.
    #[inline]
    pub(crate) fn stalled_until_ns(&self, id: NodeId) -> Option<u64> {
        let until_ns = self.nodes[usize::from(id.0)].disk_trouble.stalled_until_ns;
        (until_ns > self.now_ns).then_some(until_ns)
    }
}

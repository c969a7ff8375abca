//! What a node looks like at a moment: its power, clocks, disk, inboxes and tasks.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;

use crate::{
    env::{Address, FileKind, NodeId, Port},
    power::Power,
    trace::Seconds,
    world::World,
};

/// A node at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// The moment, in virtual nanoseconds since the start of the run.
    pub at_ns: u64,
    /// Whether it runs: `on`, `paused` or `off`.
    pub power: &'static str,
    /// How often it was started.
    pub boot: u32,
    /// What its monotonic clock shows, in nanoseconds since an arbitrary origin.
    pub monotonic_ns: u64,
    /// What its wall clock shows, in nanoseconds since 1970.
    pub wall_ns: u64,
    /// Everything on its disk, by path.
    pub files: Vec<FileView>,
    /// Its open ports.
    pub inboxes: Vec<InboxView>,
    /// Its tasks.
    pub tasks: Vec<TaskView>,
}

/// A name on a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileView {
    /// The path.
    pub path: String,
    /// What programs see there.
    pub live: Option<Content>,
    /// What a power cut leaves there that loses all it can.
    pub durable: Option<Content>,
    /// Whether the two are the same, byte for byte.
    pub synced: bool,
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Content {
    /// File or directory.
    pub kind: FileKind,
    /// Its length; 0 for a directory.
    pub bytes: usize,
}

/// An open port, and what waits there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InboxView {
    /// The port.
    pub port: Port,
    /// Sender and length of each datagram, in order.
    pub datagrams: Vec<(Address, usize)>,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskView {
    /// The name with which it was spawned; `main` for the program itself.
    pub name: &'static str,
    /// Whether it is ready and waits for its turn only.
    pub ready: bool,
    /// What it waits for, as far as the machine knows: what one task waits for from another, such
    /// as a channel, it does not. Known of recorded runs.
    pub waits: Vec<Wait>,
}

/// Something that a task waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// A moment.
    Timer {
        /// In virtual nanoseconds since the start of the run.
        until_ns: u64,
    },
    /// Work charged to the CPU.
    Cpu {
        /// When it is done, in virtual nanoseconds since the start of the run.
        until_ns: u64,
    },
    /// A datagram.
    Receive {
        /// The port.
        port: Port,
    },
    /// A disk operation.
    Disk {
        /// Its name.
        operation: &'static str,
        /// What it is about.
        path: String,
        /// When it ends, in virtual nanoseconds since the start of the run, if the disk does not
        /// stall; none for a sync.
        until_ns: Option<u64>,
    },
}

impl Wait {
    pub(crate) const fn until_ns(&self) -> Option<u64> {
        match self {
            Self::Timer { until_ns } | Self::Cpu { until_ns } => Some(*until_ns),
            Self::Disk { until_ns, .. } => *until_ns,
            Self::Receive { .. } => None,
        }
    }
}

impl World {
    /// What a node looks like now.
    #[must_use]
    pub fn inspect(&self, id: NodeId) -> NodeView {
        let state = self.state();
        let node = &state.nodes[usize::from(id.0)];
        let power = match node.power {
            Power::On => "on",
            Power::Paused => "paused",
            Power::Condemned | Power::Off => "off",
        };
        let (live, durable) = (node.disk.tree(), node.disk.durable_tree());
        let paths: BTreeSet<_> = live.keys().chain(durable.keys()).collect();
        let files = paths.into_iter().map(|path| {
            let (live, durable) = (live.get(path), durable.get(path));
            let content = |(kind, bytes): &(FileKind, bytes::Bytes)| Content {
                kind: *kind,
                bytes: bytes.len(),
            };
            FileView {
                path: path.clone(),
                synced: live == durable,
                live: live.map(content),
                durable: durable.map(content),
            }
        });
        let tasks = state.scheduler.slots_of(id).into_iter().map(|slot| TaskView {
            name: state.scheduler.task(slot),
            ready: state.scheduler.is_ready(slot),
            waits: state.waits_of(slot),
        });
        NodeView {
            name: node.name.clone(),
            at_ns: state.now_ns,
            power,
            boot: node.boot,
            monotonic_ns: state.local_ns(id),
            wall_ns: state.wall_ns(id),
            files: files.collect(),
            inboxes: node.sockets.view(&state.queue.messages),
            tasks: tasks.collect(),
        }
    }
}

impl fmt::Display for NodeView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, at_ns, power, boot, monotonic_ns, wall_ns, files, inboxes, tasks } = self;
        writeln!(f, "{name} at{} s: {power}, boot {boot}", Seconds(*at_ns))?;
        writeln!(f, "clocks: monotonic {monotonic_ns} ns, wall {wall_ns} ns since 1970")?;
        writeln!(f, "disk: {}", count(files.len(), "name"))?;
        for file in files {
            writeln!(f, "  {file}")?;
        }
        writeln!(f, "inboxes: {}", count(inboxes.len(), "open port"))?;
        for InboxView { port, datagrams } in inboxes {
            writeln!(f, "  port {}: {}", port.0, count(datagrams.len(), "datagram"))?;
            for (from, bytes) in datagrams {
                writeln!(f, "    from {from}, {bytes} bytes")?;
            }
        }
        writeln!(f, "tasks: {}", tasks.len())?;
        for task in tasks {
            writeln!(f, "  {task}")?;
        }
        Ok(())
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

impl fmt::Display for FileView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |content: &Option<Content>| match content {
            None => "absent".to_owned(),
            Some(Content { kind: FileKind::Directory, .. }) => "directory".to_owned(),
            Some(Content { kind: FileKind::File, bytes }) => format!("{bytes} B"),
        };
        let (live, durable) = (show(&self.live), show(&self.durable));
        let path = &self.path;
        match (self.synced, live == durable) {
            (true, _) => write!(f, "{path:<40} {live:>10}  durable"),
            (false, true) => write!(f, "{path:<40} {live:>10}  durable with other bytes"),
            (false, false) => write!(f, "{path:<40} {live:>10}  durable: {durable}"),
        }
    }
}

impl fmt::Display for TaskView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, ready, waits } = self;
        write!(f, "{name}: ")?;
        if *ready {
            return write!(f, "ready");
        }
        if waits.is_empty() {
            return write!(f, "waits for another task, or for something unknown");
        }
        let waits: Vec<_> = waits.iter().map(ToString::to_string).collect();
        write!(f, "waits for {}", waits.join(", or "))
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timer { until_ns } => write!(f, "a timer until{} s", Seconds(*until_ns)),
            Self::Cpu { until_ns } => write!(f, "the CPU until{} s", Seconds(*until_ns)),
            Self::Receive { port } => write!(f, "a datagram on port {}", port.0),
            Self::Disk { operation, path, until_ns: Some(until_ns) } => {
                write!(f, "{operation} of {path} until{} s", Seconds(*until_ns))
            }
            Self::Disk { operation, path, until_ns: None } => write!(f, "{operation} of {path}"),
        }
    }
}

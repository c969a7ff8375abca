//! The events of a trace, as data. The text of a trace is how they display; every other form is
//! made of their fields.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::{
    env::{Address, NodeId, Port},
    fired::End,
    trace::{EffectKind, Seconds},
};

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When, in virtual nanoseconds since the start of the run.
    pub at_ns: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A node did something that others, or itself later, can tell.
    Effect(Effect),
    /// The world did something: a fault and what came of it, a boot.
    World(Happening),
    /// A datagram does not arrive.
    Lost(Lost),
    /// A sync failed as it began, and has no effect at its end.
    Failed(Failed),
    /// Code of a node said something through the crate `tracing`.
    Log(Log),
}

/// A numbered effect of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// The node.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Which boot of the node it was, from 1.
    pub boot: u32,
    /// The task that did it; none if a device did, or a pause had held it back.
    pub task: Option<TaskName>,
    /// Its number on its node, over all boots, from 1.
    pub number: u64,
    /// What kind it is.
    #[serde(serialize_with = "by_name")]
    pub kind: EffectKind,
    /// What was done.
    #[serde(rename = "do")]
    pub doing: Doing,
}

/// A task, as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct TaskName {
    /// The name with which it was spawned; `main` for a program itself.
    pub name: &'static str,
    /// Tells apart tasks of one name that live at one time.
    pub slot: u32,
}

/// The effect that sent a datagram: what its receipts have in common with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct MessageId {
    /// The node that sent it.
    pub node: NodeId,
    /// The number of that effect on that node.
    pub number: u64,
}

/// What an effect was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// A datagram was sent.
    Send {
        /// The port that it was sent from.
        port: Port,
        /// Where to.
        to: Address,
        /// Its length.
        bytes: usize,
        /// What it is known by.
        message: MessageId,
    },
    /// A datagram was taken from a socket.
    Receive {
        /// The port that it came to.
        port: Port,
        /// Where from.
        from: Address,
        /// Its length.
        bytes: usize,
        /// What it is known by. A datagram that came twice is received twice.
        message: MessageId,
    },
    /// A disk operation began.
    DiskBegin {
        /// Its name in [`crate::env`].
        operation: &'static str,
        /// What it is about; for an open file the path by which it was opened.
        path: String,
        /// The second path of those that have two.
        to: Option<String>,
        /// How many bytes it is to read or write.
        bytes: Option<usize>,
        /// The source file that asked for it.
        file: &'static str,
        /// The line in that file.
        line: u32,
    },
    /// A disk operation ended.
    DiskEnd {
        /// Its name.
        operation: &'static str,
        /// The number of the effect that began it.
        began: u64,
        /// Why it failed.
        error: Option<String>,
    },
    /// A sync ended and took effect, unless an event of the world at the same moment says that it
    /// failed.
    SyncEnd {
        /// The number of the effect that began it.
        began: u64,
    },
    /// A timer ended.
    Timer,
    /// A mark was passed.
    Mark(&'static str),
    /// A client wrote into the run's history.
    Observe {
        /// What it saw.
        what: &'static str,
        /// A number that goes with it.
        detail: u64,
    },
    /// The program ended of its own accord, and why.
    Exit(String),
}

/// Something that the world did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Happening {
    /// The node that it was done to, if it was one.
    pub node: Option<NodeId>,
    /// What it was.
    pub change: Change,
    /// The same, for people.
    pub text: String,
}

/// What the world did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A fault of the plan struck; what came of it stands in other events.
    Fault {
        /// Its place in the plan, from 0.
        fault: usize,
        /// Its kind, as [`crate::fault::Action::kind`] names it.
        kind: &'static str,
        /// When it is over: see [`crate::Fired::back_ns`].
        back_ns: u64,
    },
    /// A node lost its power, its process or its disk.
    Crash {
        /// The fault's place in the plan, from 0.
        fault: usize,
    },
    /// A node started.
    Boot {
        /// For which time, from 1.
        boot: u32,
    },
    /// A program ended of its own accord.
    End(End),
    /// A node stands still.
    Pause {
        /// Until when, unless another pause makes it longer.
        until_ns: u64,
    },
    /// A node goes on after a pause.
    Resume,
    /// Something that lasts began: a throttle, a partition, trouble of a disk.
    Begin {
        /// The fault's place in the plan, from 0.
        fault: usize,
    },
    /// It is over.
    Over {
        /// The fault's place in the plan, from 0.
        fault: usize,
    },
    /// A clock was set.
    Clock,
    /// A disk did something wrong.
    Disk,
}

/// A datagram that does not arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Who sent it.
    pub from: Address,
    /// Where it was sent.
    pub to: Address,
    /// What it is known by.
    pub message: MessageId,
    /// What became of it.
    pub why: Loss,
}

/// Why a datagram does not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// The link lost it.
    Link,
    /// A partition is between the two nodes.
    Partition,
    /// No node has that number.
    NoNode,
    /// The receiver is down.
    Down,
    /// Nobody has opened the port.
    PortClosed,
    /// Too many datagrams wait there.
    InboxFull,
}

/// A sync that failed as it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// The node.
    pub node: NodeId,
    /// The number of the effect that began it.
    pub began: u64,
    /// Why it failed.
    pub error: String,
}

/// What code of a node said through the crate `tracing`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Log {
    /// The node.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// The task.
    pub task: TaskName,
    /// The level, such as `INFO`.
    pub level: &'static str,
    /// The module, mostly.
    pub target: String,
    /// The message, then the other fields as `name=value`.
    pub text: String,
}

impl Happening {
    pub(crate) const fn of(node: NodeId, change: Change, text: String) -> Self {
        Self { node: Some(node), change, text }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", Seconds(self.at_ns))?;
        match &self.what {
            What::Effect(Effect { name, number, kind, doing, .. }) => {
                let head = format!("{name:<12} {number:>6} {:<7} {doing}", kind.name());
                f.write_str(head.trim_end())
            }
            What::World(happening) => write!(f, "*** {}", happening.text.trim_end()),
            What::Failed(Failed { node, began, error }) => {
                write!(f, "--- sync {began} of {node} failed as it began: {error}")
            }
            What::Lost(lost) => write!(f, "--- {lost}"),
            What::Log(Log { name, level, target, text, .. }) => {
                write!(f, "{name:<12}        {level:<7} {target}: {}", text.trim_end())
            }
        }
    }
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { to, bytes, .. } => write!(f, "to {to}, {bytes} bytes"),
            Self::Receive { from, bytes, .. } => write!(f, "from {from}, {bytes} bytes"),
            Self::DiskBegin { operation, path, to: None, file, line, .. } => {
                write!(f, "{operation} {path} ({file}:{line})")
            }
            Self::DiskBegin { operation, path, to: Some(to), file, line, .. } => {
                write!(f, "{operation} {path} -> {to} ({file}:{line})")
            }
            Self::DiskEnd { operation, error: None, .. } => write!(f, "{operation} ended"),
            Self::DiskEnd { operation, error: Some(error), .. } => {
                write!(f, "{operation} failed: {error}")
            }
            Self::SyncEnd { .. } => f.write_str("sync ended"),
            Self::Timer => Ok(()),
            Self::Mark(name) => f.write_str(name),
            Self::Observe { what, detail } => write!(f, "{what} {detail}"),
            Self::Exit(reason) => f.write_str(reason),
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, message, why } = self;
        write!(f, "datagram {} of {from} to {to} lost: {why}", message.number)
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Link => "by the link",
            Self::Partition => "in a partition",
            Self::NoNode => "no such node",
            Self::Down => "the node is down",
            Self::PortClosed => "the port is closed",
            Self::InboxFull => "too many wait there",
        })
    }
}

fn by_name<S: Serializer>(kind: &EffectKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_as_a_line_and_as_fields() {
        let node = NodeId(2);
        let doing = Doing::Send {
            port: Port(1),
            to: Address { node: NodeId(0), port: Port(7) },
            bytes: 5,
            message: MessageId { node, number: 9 },
        };
        let effect = Effect {
            node,
            name: "sink".to_owned(),
            boot: 1,
            task: Some(TaskName { name: "main", slot: 3 }),
            number: 9,
            kind: EffectKind::Send,
            doing,
        };
        let event = Event { at_ns: 1_500_000_000, what: What::Effect(effect) };
        assert_eq!(
            event.to_string(),
            "   1.500000000 sink              9 send    to n0:7, 5 bytes"
        );
        let json = serde_json::to_value(&event).expect("serialises");
        assert_eq!(json["event"], "effect");
        assert_eq!(json["do"]["send"]["message"]["number"], 9);
        assert_eq!(json["task"]["name"], "main");
    }

    #[test]
    fn a_timer_leaves_no_blank_at_the_end_of_its_line() {
        let effect = Effect {
            node: NodeId(0),
            name: "a".to_owned(),
            boot: 1,
            task: None,
            number: 1,
            kind: EffectKind::Timer,
            doing: Doing::Timer,
        };
        let event = Event { at_ns: 0, what: What::Effect(effect) };
        assert_eq!(event.to_string(), "   0.000000000 a                 1 timer");
    }
}

//! What of a run's trace tells how it recovered: what nodes said of their work, and what the world
//! did to them.

use std::collections::BTreeMap;

use unplug_engine::steps::Step;
use unplug_sim::{Change, Doing, Effect, Event, Happening, Log, What, env::NodeId};

/// The times of one run, in virtual nanoseconds since its start.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// When the commit of each epoch was first known to be decided.
    pub(super) commits: BTreeMap<u64, u64>,
    /// When each sink published each epoch, first by sink.
    pub(super) published: BTreeMap<NodeId, BTreeMap<u64, u64>>,
    /// When drivers stood for leadership.
    pub(super) stood: Vec<(u64, NodeId)>,
    /// When drivers won it.
    pub(super) led: Vec<(u64, NodeId)>,
    /// When leaders had read what was decided, and brought the sinks up.
    pub(super) went_on: Vec<(u64, NodeId)>,
    /// When a leader made another attempt at a task.
    pub(super) retried: Vec<u64>,
    /// Attempts at tasks, once they had their input.
    pub(super) attempts: Vec<Attempt>,
    /// States loaded from the stores.
    pub(super) loads: Vec<Load>,
    /// Nodes that a fault ended.
    pub(super) crashed: Vec<(u64, NodeId)>,
    /// Nodes that started.
    pub(super) booted: Vec<(u64, NodeId)>,
    /// Loads that have begun, by executor and state.
    pub(super) loading: BTreeMap<(NodeId, u64), u64>,
}

/// An attempt at a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    /// Of which epoch.
    pub(super) epoch: u64,
    /// Whether it takes rows into a state, rather than reads the source.
    pub(super) reduces: bool,
    /// The partition of the source, or of the state.
    pub(super) part: u64,
    /// How many tuples it had to work on.
    pub(super) tuples: u64,
}

/// A state that an executor loaded from the stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    /// From when…
    pub(super) from_ns: u64,
    /// …until when.
    pub(super) until_ns: u64,
    /// How much it was.
    pub(super) bytes: u64,
}

impl Timeline {
    /// Takes in the next event.
    pub(super) fn event(&mut self, event: &Event) {
        let at_ns = event.at_ns;
        match &event.what {
            What::Log(Log { node, text, .. }) => self.said(at_ns, *node, text),
            What::Effect(Effect { node, doing: Doing::Mark(name), .. })
                if *name == Step::Generation.begin() =>
            {
                self.stood.push((at_ns, *node));
            }
            What::World(Happening { node: Some(node), change: Change::Crash { .. }, .. }) => {
                self.crashed.push((at_ns, *node));
            }
            What::World(Happening { node: Some(node), change: Change::Boot { .. }, .. }) => {
                self.booted.push((at_ns, *node));
            }
            What::Effect(_) | What::World(_) | What::Lost(_) | What::Failed(_) => {}
        }
    }

    /// Who leads by now.
    pub(super) fn leader(&self) -> Option<NodeId> {
        self.led.last().map(|(_, node)| *node)
    }

    /// A node said something.
    fn said(&mut self, at_ns: u64, node: NodeId, text: &str) {
        let Some((message, epoch)) = message(text) else { return };
        let part = field(text, "part").unwrap_or_default();
        match message {
            "leads" => self.led.push((at_ns, node)),
            "goes on" => self.went_on.push((at_ns, node)),
            "tries a task again" => self.retried.push(at_ns),
            "commit decided" => {
                self.commits.entry(epoch).or_insert(at_ns);
            }
            "published" => {
                self.published.entry(node).or_default().entry(epoch).or_insert(at_ns);
            }
            "maps" | "reduces" => {
                let tuples = field(text, "tuples").unwrap_or_default();
                let reduces = message == "reduces";
                self.attempts.push(Attempt { epoch, reduces, part, tuples });
            }
            "loads a state" => {
                self.loading.insert((node, part), at_ns);
            }
            "loaded a state" => {
                let bytes = field(text, "bytes").unwrap_or_default();
                let begun = self.loading.remove(&(node, part));
                let load = |from_ns| Load { from_ns, until_ns: at_ns, bytes };
                self.loads.extend(begun.map(load));
            }
            _ => {}
        }
    }
}

/// What was said, and of which epoch or generation; none if it was said of neither.
fn message(text: &str) -> Option<(&str, u64)> {
    for name in ["epoch", "generation"] {
        if let Some(number) = field(text, name) {
            let end = text.find(&format!(" {name}="))?;
            return Some((&text[..end], number));
        }
    }
    Some((text, 0))
}

/// A number that was said under a name.
fn field(text: &str, name: &str) -> Option<u64> {
    text.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_read_with_its_numbers() {
        let text = "loaded a state epoch=12 part=3 bytes=4096";
        assert_eq!(message(text), Some(("loaded a state", 12)));
        assert_eq!((field(text, "part"), field(text, "bytes")), (Some(3), Some(4096)));
        assert_eq!(message("leads generation=2"), Some(("leads", 2)));
        assert_eq!(
            message("rebuilt from the other stores"),
            Some(("rebuilt from the other stores", 0))
        );
        assert_eq!(field("tuples=x", "tuples"), None);
    }
}

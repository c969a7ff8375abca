//! What is drawn of a run: its trace, sorted into what a diagram shows.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::Serialize;
use unplug_sim::{
    Change, Doing, Effect, Event, Happening, Lost, MessageId, What,
    env::NodeId,
    fault::{Fault, Plan},
};

use super::story::{self, Sentence};
use crate::{
    cluster,
    failure::{self, Failure},
    history::{History, TupleId},
    input::Invalid,
    outcome::{Digest, Verdict},
    run::{Case, Stopped},
    time,
    workload::Workload,
};

/// So many tuples that are objected to are followed.
const TUPLES_MAX: usize = 20;

/// A run as it is drawn. Nodes are told by their places, texts of which there are many by their
/// place in [`Drawing::texts`], and times are virtual nanoseconds since the start of the run.
#[derive(Debug, Default, Serialize)]
pub struct Drawing {
    /// The scenario.
    pub scenario: String,
    /// What it is about.
    pub about: String,
    /// The seed.
    pub seed: u64,
    /// Defects that were switched on.
    pub defects: Vec<String>,
    /// The digest.
    pub digest: String,
    /// The command that runs it again, if it is in a file.
    pub replay: Option<String>,
    /// What the oracle objects to.
    pub verdicts: Vec<Verdict>,
    /// The run in sentences.
    pub story: Vec<Sentence>,
    /// The plan.
    pub plan: Vec<Planned>,
    /// The plan before it was shrunk, if it was.
    pub plan_before: Option<Vec<Planned>>,
    /// The names of the nodes.
    pub nodes: Vec<String>,
    /// The end of the run.
    pub end_ns: u64,
    /// Texts by their places.
    pub texts: Vec<String>,
    /// Datagrams that arrived: sent when and from which node, received when and by which, bytes.
    pub messages: Vec<(u64, u16, u64, u16, usize)>,
    /// Datagrams that did not: when, from which node, to which, why.
    pub lost: Vec<(u64, u16, u16, usize)>,
    /// Disk operations: begin, end, node, what.
    pub disk: Vec<(u64, u64, u16, usize)>,
    /// Marks: when, node, which.
    pub marks: Vec<(u64, u16, usize)>,
    /// What node code said: when, node, what.
    pub logs: Vec<(u64, u16, usize)>,
    /// Nodes that were down or paused: from when to when, node, why.
    pub spans: Vec<(u64, u64, u16, usize)>,
    /// Faults that happened.
    pub faults: Vec<Struck>,
    /// Epochs: number, offsets decided, commit decided, published.
    pub epochs: Vec<(u64, u64, Option<u64>, Option<u64>)>,
    /// The tuples that are objected to.
    pub tuples: Vec<Followed>,
    /// Objections that name an epoch, or a moment and a tuple: when a client saw it, at which sink or
    /// producer, what.
    pub seen: Vec<(u64, u16, String)>,
}

/// A fault of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// When.
    pub when: String,
    /// What.
    pub what: String,
}

/// A fault that happened.
#[derive(Debug, Serialize)]
pub struct Struck {
    /// Its place in the plan.
    pub fault: usize,
    /// Its kind.
    pub kind: String,
    /// When it struck.
    pub at_ns: u64,
    /// When it was over.
    pub back_ns: u64,
    /// What the world did then.
    pub texts: Vec<String>,
}

/// A tuple that is objected to.
#[derive(Debug, Serialize)]
pub struct Followed {
    /// Its producer and its place in that one's input.
    pub id: String,
    /// The producer's node.
    pub node: u16,
    /// When its producer was told that it is kept, if it was.
    pub acknowledged_ns: Option<u64>,
    /// Where it was kept: partition and offset.
    pub place: Option<(u16, Option<u64>)>,
    /// When a reader first saw it in a row of its own, and where.
    pub read: Vec<(u64, u16, u64)>,
}

/// Runs a failure again and draws it. One that cost its worker left no digest: it would not come
/// back here either, and is told without a diagram.
///
/// # Errors
/// If the run cannot be made.
pub fn draw(failure: &Failure, file: Option<&Path>) -> Result<Drawing, Invalid> {
    let Failure { scenario, seed, plan, digest, verdicts, shrunk_from, .. } = failure;
    let workload = Workload::embedded()?;
    let case = Case::new(scenario, &workload)?;
    let nodes = cluster::all_names(scenario);
    let mut pen = Pen::default();
    let came_back = *digest != Digest::default();
    let stopped = if came_back {
        Some(case.stop_at(*seed, Some(plan), u64::MAX, &mut |event| pen.event(&event))?)
    } else {
        None
    };
    let mut drawing = pen.finish(stopped.as_ref().map_or(0, |stopped| stopped.world.now_ns()));
    drawing.scenario.clone_from(&scenario.name);
    drawing.about.clone_from(&scenario.about);
    drawing.seed = *seed;
    drawing.defects.clone_from(&scenario.defects);
    drawing.digest = digest.to_string();
    drawing.replay = file.map(failure::command);
    drawing.verdicts.clone_from(verdicts);
    drawing.plan = planned(plan);
    drawing.plan_before = shrunk_from.as_ref().map(|before| planned(&before.plan));
    drawing.nodes = nodes;
    stopped.into_iter().for_each(|stopped| follow(&mut drawing, &stopped));
    drawing.story = story::tell(&drawing, plan);
    Ok(drawing)
}

fn planned(plan: &Plan) -> Vec<Planned> {
    let text = |value: serde_json::Result<String>| value.expect("it is data");
    let one = |Fault { when, what, .. }: &Fault| Planned {
        when: text(serde_json::to_string(when)),
        what: text(serde_json::to_string(what)),
    };
    plan.faults.iter().map(one).collect()
}

/// Draws event by event.
#[derive(Default)]
struct Pen {
    drawing: Drawing,
    places: BTreeMap<String, usize>,
    sent: BTreeMap<MessageId, u64>,
    open: BTreeMap<(NodeId, u64), (u64, usize)>,
    standing: BTreeMap<NodeId, (u64, usize)>,
    epochs: BTreeMap<u64, (u64, Option<u64>, Option<u64>)>,
}

impl Pen {
    fn text(&mut self, text: &str) -> usize {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = self.drawing.texts.len();
        self.drawing.texts.push(text.to_owned());
        self.places.insert(text.to_owned(), place);
        place
    }

    fn event(&mut self, event: &Event) {
        let at_ns = event.at_ns;
        match &event.what {
            What::Effect(effect) => self.effect(at_ns, effect),
            What::World(happening) => self.happening(at_ns, happening),
            What::Lost(Lost { from, to, why, .. }) => {
                let why = self.text(&why.to_string());
                self.drawing.lost.push((at_ns, from.node.0, to.node.0, why));
            }
            What::Failed(failed) => self.close((failed.node, failed.began), at_ns),
            What::Log(log) => {
                self.epoch(at_ns, &log.text);
                let text = self.text(&log.text);
                self.drawing.logs.push((at_ns, log.node.0, text));
            }
        }
    }

    fn effect(&mut self, at_ns: u64, effect: &Effect) {
        let node = effect.node;
        match &effect.doing {
            Doing::Send { message, .. } => _ = self.sent.insert(*message, at_ns),
            Doing::Receive { message, bytes, .. } => {
                if let Some(&sent_ns) = self.sent.get(message) {
                    let from = message.node.0;
                    self.drawing.messages.push((sent_ns, from, at_ns, node.0, *bytes));
                }
            }
            Doing::DiskBegin { operation, path, file, line, .. } => {
                let text = self.text(&format!("{operation} {path} ({file}:{line})"));
                self.open.insert((node, effect.number), (at_ns, text));
            }
            Doing::DiskEnd { began, .. } | Doing::SyncEnd { began } => {
                self.close((node, *began), at_ns);
            }
            Doing::Mark(name) => {
                let name = self.text(name);
                self.drawing.marks.push((at_ns, node.0, name));
            }
            Doing::Exit(reason) => {
                let text = self.text(&format!("exit: {reason}"));
                self.drawing.logs.push((at_ns, node.0, text));
            }
            Doing::Timer | Doing::Observe { .. } => {}
        }
    }

    /// The engine tells the numbers of its epochs.
    fn epoch(&mut self, at_ns: u64, text: &str) {
        let Some((what, epoch)) = text.split_once(" epoch=") else { return };
        let Ok(epoch) = epoch.parse() else { return };
        match what {
            "offsets decided" => _ = self.epochs.entry(epoch).or_insert((at_ns, None, None)),
            "commit decided" => {
                self.epochs.entry(epoch).or_insert((at_ns, None, None)).1.get_or_insert(at_ns);
            }
            "epoch published" => {
                self.epochs.entry(epoch).or_insert((at_ns, None, None)).2.get_or_insert(at_ns);
            }
            _ => {}
        }
    }

    fn close(&mut self, operation: (NodeId, u64), at_ns: u64) {
        if let Some((began_ns, text)) = self.open.remove(&operation) {
            self.drawing.disk.push((began_ns, at_ns, operation.0.0, text));
        }
    }

    fn happening(&mut self, at_ns: u64, happening: &Happening) {
        let Happening { node, change, text } = happening;
        match (change, *node) {
            (Change::Fault { fault, kind, back_ns }, _) => {
                let (fault, kind, back_ns) = (*fault, (*kind).to_owned(), *back_ns);
                let before = self.drawing.faults.iter_mut().rev().find(|one| one.fault == fault);
                match before {
                    Some(struck) if struck.kind.is_empty() => {
                        (struck.kind, struck.back_ns) = (kind, back_ns);
                    }
                    Some(_) | None => {
                        let texts = Vec::new();
                        self.drawing.faults.push(Struck { fault, kind, at_ns, back_ns, texts });
                    }
                }
            }
            (Change::Crash { fault }, node) => {
                self.consequence(*fault, at_ns, text);
                node.into_iter().for_each(|node| self.stand(node, at_ns, "down"));
            }
            (Change::Begin { fault }, _) => self.consequence(*fault, at_ns, text),
            (Change::End(_), Some(node)) => self.stand(node, at_ns, text),
            (Change::Pause { .. }, Some(node)) if !self.standing.contains_key(&node) => {
                self.stand(node, at_ns, "paused");
            }
            (Change::Boot { .. } | Change::Resume, Some(node)) => self.stand_no_more(node, at_ns),
            (Change::Clock | Change::Disk, Some(node)) => {
                let text = self.text(text);
                self.drawing.logs.push((at_ns, node.0, text));
            }
            (
                Change::End(_)
                | Change::Pause { .. }
                | Change::Boot { .. }
                | Change::Resume
                | Change::Over { .. }
                | Change::Clock
                | Change::Disk,
                _,
            ) => {}
        }
    }

    /// What a fault did, which may be told before the fault itself.
    fn consequence(&mut self, fault: usize, at_ns: u64, text: &str) {
        let struck = self.drawing.faults.iter_mut().rev();
        let mut struck = struck.filter(|one| one.fault == fault && one.at_ns == at_ns);
        match struck.next() {
            Some(struck) => struck.texts.push(text.to_owned()),
            None => {
                let (kind, texts) = (String::new(), vec![text.to_owned()]);
                self.drawing.faults.push(Struck { fault, kind, at_ns, back_ns: at_ns, texts });
            }
        }
    }

    fn stand(&mut self, node: NodeId, at_ns: u64, why: &str) {
        self.stand_no_more(node, at_ns);
        let why = self.text(why);
        self.standing.insert(node, (at_ns, why));
    }

    fn stand_no_more(&mut self, node: NodeId, at_ns: u64) {
        if let Some((from_ns, why)) = self.standing.remove(&node) {
            self.drawing.spans.push((from_ns, at_ns, node.0, why));
        }
    }

    fn finish(mut self, end_ns: u64) -> Drawing {
        for node in self.standing.keys().copied().collect::<Vec<_>>() {
            self.stand_no_more(node, end_ns);
        }
        let epochs = self.epochs.into_iter();
        let epochs = epochs.map(|(epoch, (begin, commit, end))| (epoch, begin, commit, end));
        Drawing { end_ns, epochs: epochs.collect(), ..self.drawing }
    }
}

/// Finds out what became of the tuples that are objected to, and when it was seen.
fn follow(drawing: &mut Drawing, Stopped { clients, .. }: &Stopped) {
    let history = clients.history.borrow();
    let node_of = |name: &str| {
        let place = drawing.nodes.iter().position(|node| node == name).unwrap_or_default();
        u16::try_from(place).expect("nodes are numbered in 16 bits")
    };
    let mut ids = BTreeSet::new();
    for Verdict { message, .. } in &drawing.verdicts {
        ids.extend(tuples(message));
    }
    let tuples = ids.iter().take(TUPLES_MAX).map(|id| Followed {
        node: node_of(&format!("producer-{}", id.producer)),
        ..way(*id, &history)
    });
    let tuples = tuples.collect();
    let mut seen = BTreeSet::new();
    for Verdict { kind, message } in &drawing.verdicts {
        if let Some((sink, epoch)) = place(message) {
            let mut reads = history.reads.iter().filter(|read| read.sink == sink);
            let shows = reads.find(|read| read.batches.iter().any(|batch| batch.epoch == epoch));
            if let (Some(read), Some(node)) = (shows, clients.sinks.get(usize::from(sink))) {
                seen.insert((read.at_ns, node.0, format!("{kind} in epoch {epoch}")));
            }
        } else if let (Some(at_ns), Some(id)) = (moment(message), self::tuples(message).last()) {
            seen.insert((at_ns, node_of(&format!("producer-{}", id.producer)), kind.to_string()));
        }
    }
    drawing.tuples = tuples;
    drawing.seen = seen.into_iter().take(TUPLES_MAX).collect();
}

/// What clients saw of a tuple.
fn way(id: TupleId, history: &History) -> Followed {
    let kept = history.acknowledged.iter().find(|one| one.id == id);
    let mut read = BTreeMap::new();
    for one in &history.reads {
        let mut batches = one.batches.iter();
        let shows = batches.find(|batch| batch.rows.iter().any(|row| row.id == Some(id)));
        if let Some(batch) = shows {
            read.entry(one.sink).or_insert((one.at_ns, one.sink, batch.epoch));
        }
    }
    Followed {
        id: format!("{}/{}", id.producer, id.seq),
        node: 0,
        acknowledged_ns: kept.map(|one| one.at_ns),
        place: kept.map(|one| (one.partition, one.offset)),
        read: read.into_values().collect(),
    }
}

/// The tuples that an objection names.
fn tuples(message: &str) -> Vec<TupleId> {
    let named = message.match_indices("tuple ").filter_map(|(at, word)| {
        let rest = &message[at + word.len()..];
        let (producer, rest) = rest.split_once('/')?;
        let digits = rest.split(|character: char| !character.is_ascii_digit()).next()?;
        Some(TupleId { producer: producer.parse().ok()?, seq: digits.parse().ok()? })
    });
    named.collect()
}

/// The moment that an objection names, as in `(20.663 s)`.
fn moment(message: &str) -> Option<u64> {
    let (before, _) = message.split_once(" s)")?;
    let (_, number) = before.rsplit_once('(')?;
    time::parse(&format!("{number}s")).ok()
}

/// The sink and the epoch that an objection names.
fn place(message: &str) -> Option<(u16, u64)> {
    let number = |word: &str| {
        let (_, rest) = message.split_once(word)?;
        rest.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
    };
    Some((u16::try_from(number("sink ")?).ok()?, number("epoch ")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objection_is_understood() {
        let message = "sink 1, epoch 10: the window is wrong: tuple 1/221 is missing; tuple 0/4";
        let id = |producer, seq| TupleId { producer, seq };
        assert_eq!(tuples(message), [id(1, 221), id(0, 4)]);
        assert_eq!(place(message), Some((1, 10)));
        assert_eq!(tuples("a tuple of nothing/3"), []);
        assert_eq!(place("sink x, epoch 3"), None);
        assert_eq!(
            moment("offset 0:3 (again) of tuple 0/1 (20.663 s); more"),
            Some(20_663_000_000)
        );
        assert_eq!(moment("the window (1 of 2) is wrong"), None);
    }
}

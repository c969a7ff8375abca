//! What is kept beside a run while it is recorded, and costs nothing otherwise: which task is being
//! polled, what tasks wait for, and what node code says through the crate `tracing`.
//!
//! `tracing` finds its subscriber in a thread-local, which is set while a recorded task is polled
//! and at no other time. So many worlds may live in a process, and nothing of it decides anything.

#![expect(
    clippy::disallowed_types,
    reason = "tracing::Subscriber must be Send + Sync, so what it keeps needs a lock; one thread \
              uses it, in a fixed order"
)]

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    sync::{Arc, Mutex},
    task::Context,
};

use tracing::{
    Dispatch, Event as Said, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::{
    env::NodeId,
    event::{Event, Log, TaskName, What},
    inspect::Wait,
    power::Power,
    schedule::{Slot, Wakeup},
    state::State,
    trace::Recorder,
};

/// How much a recorder is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Everything.
    Whole,
    /// No effects but marks, and no waits.
    Marks,
}

/// A recorder, and what it is told beside effects.
pub(crate) struct Recording {
    recorder: Recorder,
    extent: Extent,
    /// Who is being polled; nobody while the world does something by itself.
    polled: Option<(NodeId, TaskName)>,
    waits: BTreeMap<Slot, Vec<Noted>>,
    lines: Lines,
    dispatch: Dispatch,
}

/// A wait, noted when its future was polled.
struct Noted {
    what: Wait,
    /// Whether another future stands between it and its task, which may not poll it each time.
    within: bool,
}

impl Recording {
    pub(crate) fn new(recorder: Recorder, extent: Extent) -> Self {
        let lines = Lines::default();
        let dispatch = Dispatch::new(lines.clone());
        Self { recorder, extent, polled: None, waits: BTreeMap::new(), lines, dispatch }
    }

    pub(crate) fn hand(&mut self, event: Event) {
        (self.recorder)(event);
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.extent == Extent::Whole
    }

    pub(crate) fn task(&self) -> Option<TaskName> {
        self.polled.map(|(_, task)| task)
    }
}

impl State {
    /// A recorded task is about to be polled: with which subscriber.
    #[cold]
    pub(crate) fn begin_recorded(&mut self, (slot, node): (Slot, NodeId)) -> Option<Dispatch> {
        let task = TaskName { name: self.scheduler.task(slot), slot };
        let recording = self.trace.recording.as_mut()?;
        recording.polled = Some((node, task));
        if let Some(waits) = recording.waits.get_mut(&slot) {
            waits.retain(|noted| noted.within);
        }
        Some(recording.dispatch.clone())
    }

    /// It was polled.
    #[cold]
    pub(crate) fn end_recorded(&mut self) {
        self.tell_lines();
        if let Some(recording) = &mut self.trace.recording {
            recording.polled = None;
        }
    }

    /// A task has ended: it waits for nothing.
    pub(crate) fn forget_waits(&mut self, slot: Slot) {
        if let Some(recording) = &mut self.trace.recording {
            recording.waits.remove(&slot);
        }
    }

    /// Tells the trace what the polled node said. What it says after its crash point does not count.
    #[cold]
    pub(crate) fn tell_lines(&mut self) {
        let Some(recording) = &self.trace.recording else { return };
        let (lines, polled) = (recording.lines.take(), recording.polled);
        let Some((node, task)) = polled else { return };
        let (Power::On | Power::Paused) = self.node(node).power else { return };
        for Line { level, target, text } in lines {
            let name = self.nodes[usize::from(node.0)].name.clone();
            let log = Log { node, name, task, level, target: target.to_owned(), text };
            self.trace.tell(self.now_ns, || What::Log(log));
        }
    }

    /// The future that is being polled waits for something.
    #[inline]
    pub(crate) fn waits(&mut self, context: &Context<'_>, what: impl FnOnce() -> Wait) {
        if self.trace.is_recorded_whole() {
            self.note_wait(context, what());
        }
    }

    #[cold]
    fn note_wait(&mut self, context: &Context<'_>, what: Wait) {
        let within = matches!(self.scheduler.wakeup(context), Wakeup::Waker(_));
        let Some(recording) = &mut self.trace.recording else { return };
        let Some((_, TaskName { slot, .. })) = recording.polled else { return };
        let waits = recording.waits.entry(slot).or_default();
        if waits.iter().all(|noted| noted.what != what) {
            waits.push(Noted { what, within });
        }
    }

    /// What a task waits for, as far as it is known.
    pub(crate) fn waits_of(&self, slot: Slot) -> Vec<Wait> {
        let waits = self.trace.recording.as_ref().and_then(|all| all.waits.get(&slot));
        let waits = waits.into_iter().flatten().map(|noted| noted.what.clone());
        waits.filter(|what| what.until_ns().is_none_or(|until_ns| until_ns > self.now_ns)).collect()
    }

    /// A future within another got what it waited for.
    #[inline]
    pub(crate) fn got(&mut self, what: impl FnOnce() -> Wait) {
        if self.trace.is_recorded_whole() {
            self.forget_wait(&what());
        }
    }

    #[cold]
    fn forget_wait(&mut self, what: &Wait) {
        let Some(recording) = &mut self.trace.recording else { return };
        let Some((_, TaskName { slot, .. })) = recording.polled else { return };
        if let Some(waits) = recording.waits.get_mut(&slot) {
            waits.retain(|noted| noted.what != *what);
        }
    }
}

/// What was said and not told yet.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<Line>>>);

struct Line {
    level: &'static str,
    target: &'static str,
    text: String,
}

impl Lines {
    fn take(&self) -> Vec<Line> {
        std::mem::take(&mut self.0.lock().expect("no panic while it is held"))
    }
}

/// Events only: a span is entered and left with the polls, and would tell nothing that a task's
/// name does not.
impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
    }

    fn event(&self, event: &Said<'_>) {
        let metadata = event.metadata();
        let mut text = Text::default();
        event.record(&mut text);
        let Text { message, fields } = text;
        let text = [message, fields].join("");
        let line = Line { level: metadata.level().as_str(), target: metadata.target(), text };
        self.0.lock().expect("no panic while it is held").push(line);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The message, and the fields behind it.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
        written.expect("a string takes all");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

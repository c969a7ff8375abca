//! The oracle: judges a run from outside, by acknowledgements and reads alone.
//!
//! What it verifies:
//! - **lost**: a tuple that was acknowledged, and that the pipeline keeps, is at the sink, or in
//!   its window, or with the late ones; and no two tuples have one offset.
//! - **duplicated**: no tuple is at a sink twice, none has two offsets, and no window is there
//!   twice or holds a tuple twice.
//! - **phantom**: nothing is at a sink that nobody sent, or that the pipeline does not put there.
//! - **corrupt**: a row has the values, and a cut the watermark, that the pipeline's model gives.
//! - **torn**: each read is what the published cuts say: a batch holds exactly the tuples between
//!   the cut before it and its own, and the windows that its watermark closes; the cut of an epoch
//!   is the same at all sinks.
//! - **rolled back**: what was read once stays, for every reader; cuts and epochs only grow, the end
//!   never goes back.
//! - **reordered**: the rows of one key come in the order of their offsets.
//! - **stuck**: when the run ended, all input was acknowledged and covered by the last cut of every
//!   sink, no window was open, and every sink had those that any sink's epochs closed.
//! - a sink of files is read once more at the end, as a power cut would leave its disk, and by its
//!   manifests alone ([`files`]): that read is judged as all others;
//! - partitions that were added to the source stay, and are there as soon as somebody was told; a cut
//!   that does not know of one yet is 0 there, and one that never had input is idle;
//! - **leaked** ([`leaks`]): what is not needed any more does not stay on disks.
//!
//! What it does not verify:
//! - the order of rows in a pipeline that is more than a chain with a window, which is
//!   compared as a whole, epoch by epoch (`graph`);
//! - the order of window rows and of late rows within a batch: it follows from the engine's state
//!   partitions, which nobody outside knows;
//! - which of the partitions without input a cut calls idle: that takes a clock;
//! - windows and watermarks from the first epoch on of which a tuple is not known: nobody told its
//!   producer where it is. A run without any other objection is then **not measured**;
//! - anything inside the engine: a run in which two drivers fight is right if readers see no harm;
//! - tuples that were never acknowledged: they may be there or not, once and unharmed at the most.
//!
//! It shares no code with the engine: what is expected comes from [`crate::model`].

mod additions;
mod course;
mod cuts;
mod delivery;
pub mod files;
mod graph;
mod lanes;
pub mod leaks;
mod objections;
mod owners;
mod table;
mod tuples;
mod windows;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_additions;
#[cfg(test)]
mod tests_graph;
#[cfg(test)]
mod tests_windows;

use self::{
    course::Known,
    cuts::Cuts,
    objections::{Objections, seconds},
    owners::Owners,
    table::Table,
    tuples::Wanted,
};
use crate::{
    history::{Cell, History, TupleId},
    model::{graph::Graph, windows::Window},
    outcome::{Verdict, VerdictKind},
};

/// A tuple in a producer's input.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// Its event time, in milliseconds since 1970.
    pub time_ms: u64,
    /// Its key.
    pub key: &'a [u8],
    /// The row that the pipeline makes of it before a window or the sink; none if it is filtered
    /// out.
    pub row: Option<&'a [Cell]>,
    /// Its value.
    pub line: &'a [u8],
    /// It is there to close the windows of all others, and its own stays open.
    pub closing: bool,
}

/// The producers' inputs. `None`: no producer has such a tuple.
pub type Inputs<'a> = dyn Fn(TupleId) -> Option<Sent<'a>> + 'a;

/// What the oracle knows of a run beside its history.
pub struct Setting<'a> {
    /// What producers have to send, and what the model makes of it.
    pub sent: &'a Inputs<'a>,
    /// How many tuples all producers have to send.
    pub inputs: u64,
    /// How many partitions the source has in the end…
    pub partitions: usize,
    /// …and had at first.
    pub partitions_first: usize,
    /// How many sinks there are.
    pub sinks: usize,
    /// The pipeline's window, if it has one.
    pub window: Option<&'a Window>,
    /// The whole pipeline, if it is more than a chain.
    pub graph: Option<&'a Graph>,
}

impl std::fmt::Debug for Setting<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setting").field("inputs", &self.inputs).finish_non_exhaustive()
    }
}

/// Judges a run that has ended. No verdict means exactly once.
#[must_use]
pub fn judge(history: &History, setting: &Setting<'_>) -> Vec<Verdict> {
    let mut objections = Objections::default();
    for (at_ns, error) in &history.undecodable {
        let message = format!("an answer at {} does not decode: {error}", seconds(*at_ns));
        objections.add(VerdictKind::Corrupt, message);
    }
    let mut owners = Owners::new(history, &mut objections);
    let tables: Vec<_> = (0u16..)
        .take(setting.sinks)
        .map(|sink| Table::of(history, sink, setting, &mut objections))
        .collect();
    additions::check(history, setting, &mut objections);
    let cuts = Cuts::of(&tables, setting, &mut objections);
    owners.settle(&cuts);
    owners.check_unplaced(&cuts, &mut objections);
    delivery::check(&tables, &owners, &cuts, setting, &mut objections);
    let known = Known::of(&owners, &cuts, setting);
    known.check_watermarks(&cuts, &mut objections);
    check_rows((&tables, &owners, &cuts), &known, setting, &mut objections);
    // Silence about epochs that nobody could judge must not pass for praise.
    if objections.is_empty() {
        known.check_measured(&owners, &cuts, &mut objections);
    }
    objections.into_verdicts()
}

/// Each sink has the rows that it should have.
fn check_rows(
    (tables, owners, cuts): (&[Table<'_>], &Owners, &Cuts<'_>),
    known: &Known<'_>,
    setting: &Setting<'_>,
    objections: &mut Objections,
) {
    if let Some(graph) = setting.graph {
        graph::check((tables, owners), graph, known, setting, objections);
        return;
    }
    let seen = tuples::Seen { owners, cuts, sent: setting.sent };
    let Some(window) = setting.window else {
        let wanted = |id, _| match (setting.sent)(id)?.row {
            Some(cells) => Some(Wanted::Row(cells)),
            None => Some(Wanted::Nothing("is filtered out")),
        };
        if let Some(table) = tables.first() {
            seen.check(table, &wanted, objections);
            seen.check_order(table, objections);
        }
        return;
    };
    let course = window.course(&known.intakes);
    if let Some(table) = tables.first() {
        windows::check(table, window, &course, known, objections);
    }
    windows::check_closed(&course, known, cuts, setting, objections);
    for table in tables.iter().skip(1) {
        let wanted = |id, epoch| known.wanted_late((id, epoch), &course, setting);
        seen.check(table, &wanted, objections);
    }
}

//! A sink of single tuples' rows: each is there once, unharmed, in the epoch whose cut covers it.

use std::collections::BTreeMap;

use super::{
    Inputs,
    cuts::Cuts,
    objections::{Objections, offset, show},
    owners::Owners,
    table::Table,
};
use crate::{
    history::{Cell, Row, TupleId},
    outcome::VerdictKind,
};

/// What a sink should have of a tuple.
pub(super) enum Wanted<'a> {
    /// This row.
    Row(&'a [Cell]),
    /// This row, or nothing: it is not known which.
    Maybe(&'a [Cell]),
    /// Nothing, and why.
    Nothing(&'static str),
}

/// What is wanted of each tuple, and of the epoch whose cut takes it in, if one is known to; none if
/// nobody has it to send.
type Wishes<'a> = dyn Fn(TupleId, Option<u64>) -> Option<Wanted<'a>> + 'a;

/// What is known of the tuples themselves.
pub(super) struct Seen<'s, 'a> {
    pub(super) owners: &'s Owners,
    pub(super) cuts: &'s Cuts<'s>,
    pub(super) sent: &'s Inputs<'a>,
}

impl Seen<'_, '_> {
    pub(super) fn check(
        &self,
        table: &Table<'_>,
        wanted: &Wishes<'_>,
        objections: &mut Objections,
    ) {
        let sink = table.sink;
        let mut seen: BTreeMap<TupleId, u64> = BTreeMap::new();
        for (epoch, row) in rows(table) {
            let Some(id) = row.id else {
                let message = format!("sink {sink}, epoch {epoch}: {:?} is of no tuple", row.cells);
                objections.add(VerdictKind::Phantom, message);
                continue;
            };
            if let Some(first) = seen.insert(id, epoch) {
                let message = format!("sink {sink}: {} is in epochs {first} and {epoch}", show(id));
                objections.add(VerdictKind::Duplicated, message);
                continue;
            }
            let place = self.owners.of(id);
            let covered = place.and_then(|place| self.cuts.epoch_of(place));
            if let Some((kind, what)) = wrong(row, wanted(id, covered)) {
                objections.add(kind, format!("sink {sink}, epoch {epoch}: {} {what}", show(id)));
            }
            let Some(place) = place else { continue };
            if covered != Some(epoch) {
                let covered = covered.map_or("none".to_owned(), |epoch| epoch.to_string());
                let message = format!(
                    "sink {sink}: {} at {} is in epoch {epoch}, and the epoch whose cut takes it \
                     in is {covered}",
                    show(id),
                    offset(place)
                );
                objections.add(VerdictKind::Torn, message);
            }
        }
        let absent = |id: &TupleId, covered| {
            !seen.contains_key(id) && matches!(wanted(*id, covered), Some(Wanted::Row(_)))
        };
        for (id, place) in self.owners.placed() {
            let Some(epoch) = self.cuts.epoch_of(place) else { continue };
            // What this sink does not show yet is stuck, not lost.
            if epoch <= table.epoch && absent(&id, Some(epoch)) {
                let message = format!(
                    "{} was acknowledged at {}, the cut of epoch {epoch} covers it, and no read of \
                     sink {sink} shows it",
                    show(id),
                    offset(place)
                );
                objections.add(VerdictKind::Lost, message);
            }
        }
        for (_, id) in self.owners.unplaced.iter().filter(|(_, id)| absent(id, None)) {
            let message =
                format!("{} was acknowledged, and no read of sink {sink} shows it", show(*id));
            objections.add(VerdictKind::Lost, message);
        }
    }

    /// The rows of one key come in the order of their offsets, within each partition that it was in.
    pub(super) fn check_order(&self, table: &Table<'_>, objections: &mut Objections) {
        let mut last: BTreeMap<(&[u8], u16), (u64, TupleId)> = BTreeMap::new();
        let mut seen = std::collections::BTreeSet::new();
        for (epoch, row) in rows(table) {
            // A second copy, and what should not be there, have verdicts of their own.
            let Some(id) = row.id.filter(|id| seen.insert(*id)) else { continue };
            let sent = (self.sent)(id).filter(|sent| sent.row.is_some());
            let (Some(place), Some(sent)) = (self.owners.of(id), sent) else { continue };
            if let Some((before, other)) = last.insert((sent.key, place.0), (place.1, id))
                && before > place.1
            {
                let message = format!(
                    "epoch {epoch}: {} at {} comes after {} at {} of the same key",
                    show(id),
                    offset(place),
                    show(other),
                    offset((place.0, before))
                );
                objections.add(VerdictKind::Reordered, message);
            }
        }
    }
}

fn rows<'a>(table: &Table<'a>) -> impl Iterator<Item = (u64, &'a Row)> {
    let batches = table.batches.iter().copied();
    batches.flat_map(|batch| batch.rows.iter().map(|row| (batch.epoch, row)))
}

/// How a row differs from what is wanted.
fn wrong(row: &Row, wanted: Option<Wanted<'_>>) -> Option<(VerdictKind, String)> {
    match wanted {
        Some(Wanted::Row(cells) | Wanted::Maybe(cells)) if cells == row.cells => None,
        Some(Wanted::Row(cells) | Wanted::Maybe(cells)) => {
            Some((VerdictKind::Corrupt, format!("is {:?} and should be {cells:?}", row.cells)))
        }
        Some(Wanted::Nothing(why)) => Some((VerdictKind::Phantom, format!("is there, and {why}"))),
        None => Some((VerdictKind::Phantom, "is nobody's to send".to_owned())),
    }
}

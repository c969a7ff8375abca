//! A sink of windows' rows: each window that the rule closes is there once, in the epoch that
//! closes it, with what its tuples come to.

use std::collections::BTreeMap;

use super::{
    Setting,
    course::Known,
    cuts::Cuts,
    objections::{Objections, show, show_some, show_window},
    table::Table,
};
use crate::{
    history::{Cell, TupleId},
    model::windows::{Arrival, Closed, Course, Name, Window, fingerprint},
    outcome::VerdictKind,
};

pub(super) fn check(
    table: &Table<'_>,
    window: &Window,
    course: &Course<'_>,
    known: &Known<'_>,
    objections: &mut Objections,
) {
    let sink = table.sink;
    let mut shown: BTreeMap<Name<'_>, u64> = BTreeMap::new();
    for batch in &table.batches {
        let epoch = batch.epoch;
        for row in &batch.rows {
            if let Some(id) = row.id {
                let message = format!("sink {sink}, epoch {epoch}: {} is no window", show(id));
                objections.add(VerdictKind::Phantom, message);
                continue;
            }
            let Some(name) = name(window, &row.cells) else {
                let message = format!("sink {sink}, epoch {epoch}: {:?} is no window", row.cells);
                objections.add(VerdictKind::Corrupt, message);
                continue;
            };
            if let Some(first) = shown.get(&name) {
                let name = show_window(&name);
                let message = format!("sink {sink}: {name} is in epochs {first} and {epoch}");
                objections.add(VerdictKind::Duplicated, message);
                continue;
            }
            if let Some((kind, what)) = wrong((epoch, &name, &row.cells), window, course, known) {
                let name = show_window(&name);
                objections.add(kind, format!("sink {sink}, epoch {epoch}: {name} {what}"));
            }
            shown.insert(name, epoch);
        }
    }
    for (name, closed) in &course.closed {
        if shown.contains_key(name) {
            continue;
        }
        let message = format!(
            "{} was closed in epoch {} with {}, and no read of sink {sink}, up to epoch {}, shows it",
            show_window(name),
            closed.epoch,
            show_some(&ids(&closed.tuples)),
            table.epoch
        );
        // What this sink does not show yet, since another one is ahead, is stuck and not lost.
        let came = closed.epoch <= table.epoch;
        objections.add(if came { VerdictKind::Lost } else { VerdictKind::Stuck }, message);
    }
}

/// No window stayed open when all input was there, but for those of closing tuples.
pub(super) fn check_closed(
    course: &Course<'_>,
    known: &Known<'_>,
    cuts: &Cuts<'_>,
    setting: &Setting<'_>,
    objections: &mut Objections,
) {
    if known.intakes.len() < cuts.epochs.len() {
        return;
    }
    let closing = |id| (setting.sent)(id).is_some_and(|sent| sent.closing);
    for (name, tuples) in &course.open {
        let mut ids = ids(tuples);
        ids.retain(|id| !closing(*id));
        if !ids.is_empty() {
            let message = format!(
                "{} with {} is open after the last epoch, {}",
                show_window(name),
                show_some(&ids),
                known.epoch()
            );
            objections.add(VerdictKind::Stuck, message);
        }
    }
}

/// The window that a row says it is of.
fn name<'a>(window: &Window, cells: &'a [Cell]) -> Option<Name<'a>> {
    if cells.len() != window.columns() {
        return None;
    }
    let (key, rest) = cells.split_at(window.key_columns());
    match rest.first() {
        Some(Cell::Int(start_ms)) => Some((u64::try_from(*start_ms).ok()?, key.iter().collect())),
        Some(Cell::Null | Cell::Bool(_) | Cell::Text(_)) | None => None,
    }
}

/// How a row, shown for the first time, differs from what the model gives.
fn wrong(
    (epoch, name, cells): (u64, &Name<'_>, &[Cell]),
    window: &Window,
    course: &Course<'_>,
    known: &Known<'_>,
) -> Option<(VerdictKind, String)> {
    let Some(closed) = course.closed.get(name) else {
        if epoch > known.epoch() {
            return None;
        }
        return Some(match course.open.get(name) {
            Some(tuples) => {
                let some = show_some(&ids(tuples));
                (
                    VerdictKind::Torn,
                    format!("is not closed: no watermark passed its end; it has {some}"),
                )
            }
            None => (VerdictKind::Phantom, "has no tuple".to_owned()),
        });
    };
    if closed.epoch != epoch {
        return Some((VerdictKind::Torn, format!("is closed in epoch {}", closed.epoch)));
    }
    match window.row(name, &closed.tuples) {
        Ok(wanted) if wanted == cells => None,
        Ok(wanted) => {
            let (kind, blamed) = blame(window, closed, course, (&wanted, cells));
            Some((kind, format!("is {cells:?} and should be {wanted:?}{blamed}")))
        }
        Err(error) => Some((VerdictKind::NotMeasured, format!("could not be judged: {error}"))),
    }
}

/// What kind of difference it is, and which tuple explains it, if one does.
fn blame(
    window: &Window,
    closed: &Closed<'_>,
    course: &Course<'_>,
    (wanted, got): (&[Cell], &[Cell]),
) -> (VerdictKind, String) {
    let prints = window.fingerprint(wanted).zip(window.fingerprint(got));
    let inside = ids(&closed.tuples);
    let missing = prints.and_then(|(wanted, got)| of_print(&inside, wanted.wrapping_sub(got)));
    let others = course.late.keys().copied();
    let closed_ones = course.closed.values().flat_map(|closed| &closed.tuples);
    let all = closed_ones.chain(course.open.values().flatten()).map(|tuple| tuple.id).chain(others);
    let more = prints.map(|(wanted, got)| got.wrapping_sub(wanted));
    let double = more.and_then(|more| of_print(&inside, more));
    let foreign = more.and_then(|more| of_print(&all.collect::<Vec<_>>(), more));
    let blamed = match (missing, double, foreign) {
        (Some(id), _, _) => format!(": {} is missing", show(id)),
        (None, Some(id), _) => format!(": {} is in it twice", show(id)),
        (None, None, Some(id)) => format!(": {} is in it, and does not belong there", show(id)),
        (None, None, None) => String::new(),
    };
    let counts = window.count(wanted).zip(window.count(got));
    let kind = match counts.map(|(wanted, got)| got.cmp(&wanted)) {
        Some(std::cmp::Ordering::Less) => VerdictKind::Lost,
        Some(std::cmp::Ordering::Greater) => VerdictKind::Duplicated,
        None if missing.is_some() => VerdictKind::Lost,
        None if double.is_some() => VerdictKind::Duplicated,
        Some(std::cmp::Ordering::Equal) | None => VerdictKind::Corrupt,
    };
    (kind, blamed)
}

fn of_print(ids: &[TupleId], print: u128) -> Option<TupleId> {
    ids.iter().copied().find(|id| fingerprint(*id) == print)
}

fn ids(tuples: &[Arrival<'_>]) -> Vec<TupleId> {
    tuples.iter().map(|tuple| tuple.id).collect()
}

//! A pipeline that is more than a chain with a window: each sink has in each epoch exactly the rows
//! that the model gives it, whichever their order, and each row comes from exactly the tuples that
//! it should come from.

use std::collections::BTreeMap;

use super::{
    Setting,
    course::Known,
    objections::{Objections, show_some},
    owners::Owners,
    table::Table,
};
use crate::{
    history::{Cell, TupleId},
    model::{
        graph::{Epoch, Graph, Item, Line},
        windows::fingerprint,
    },
    outcome::VerdictKind,
};

/// A row: its columns, and of which tuples it is.
type Content = (Vec<Cell>, u128);

/// A row that is only in one of two: its epoch, itself, and its tuples, if it should be there.
type Differing = (u64, Content, Vec<TupleId>);

/// How often a row is there, by epoch; and the tuples that it comes from, if it should be there.
type Rows = BTreeMap<u64, BTreeMap<Content, (usize, Vec<TupleId>)>>;

pub(super) fn check(
    (tables, owners): (&[Table<'_>], &Owners),
    graph: &Graph,
    known: &Known<'_>,
    setting: &Setting<'_>,
    objections: &mut Objections,
) {
    let line = |id: TupleId, time_ms: u64| -> Option<Line<'_>> {
        let place = owners.of(id)?;
        let source = usize::from(place.0) % graph.sources();
        Some(Line { id, source, place, time_ms, value: (setting.sent)(id)?.line })
    };
    let epochs = known.intakes.iter().map(|intake| Epoch {
        watermark_ms: intake.watermark_ms,
        lines: intake.tuples.iter().filter_map(|one| line(one.id, one.time_ms)).collect(),
    });
    let epochs: Vec<_> = epochs.collect();
    let course = match graph.course(&epochs) {
        Ok(course) => course,
        Err(error) => {
            let message = format!("the run could not be judged: {error}");
            objections.add(VerdictKind::NotMeasured, message);
            return;
        }
    };
    for (table, items) in tables.iter().zip(course) {
        sink(table, wanted(&items), known.epoch(), objections);
    }
}

/// The rows that a sink should have.
fn wanted(items: &[Item]) -> Rows {
    let mut rows = Rows::new();
    for item in items {
        let of_epoch = rows.entry(item.epoch as u64 + 1).or_default();
        let one = of_epoch.entry((item.cells.clone(), item.print())).or_default();
        one.0 += 1;
        one.1.clone_from(&item.ids);
    }
    rows
}

/// The rows that a sink has, as far as they can be judged.
fn shown(table: &Table<'_>, known: u64) -> Rows {
    let mut rows = Rows::new();
    for batch in table.batches.iter().filter(|batch| batch.epoch <= known) {
        let of_epoch = rows.entry(batch.epoch).or_default();
        for row in &batch.rows {
            let print = row.id.map_or(row.print, fingerprint);
            of_epoch.entry((row.cells.clone(), print)).or_default().0 += 1;
        }
    }
    rows
}

/// What is in one and not, or not so often, in the other.
fn less(one: &Rows, other: &Rows) -> Vec<Differing> {
    let mut left = Vec::new();
    for (epoch, rows) in one {
        let others = other.get(epoch);
        for (content, (count, ids)) in rows {
            let there = others.and_then(|rows| rows.get(content)).map_or(0, |(count, _)| *count);
            let missing = (there..*count).map(|_| (*epoch, content.clone(), ids.clone()));
            left.extend(missing);
        }
    }
    left
}

fn sink(table: &Table<'_>, wanted: Rows, known: u64, objections: &mut Objections) {
    let sink = table.sink;
    let shown = shown(table, known);
    let mut missing = less(&wanted, &shown);
    for (epoch, content, _) in less(&shown, &wanted) {
        let cells = &content.0;
        let take = |missing: &mut Vec<_>, same: &dyn Fn(&Differing) -> bool| {
            missing.iter().position(same).map(|place| missing.remove(place))
        };
        let moved = take(&mut missing, &|(_, other, _)| *other == content);
        let other = |(of, other, _): &Differing| {
            *of == epoch && (other.1 == content.1 || other.0 == content.0)
        };
        let (kind, what) = if let Some((of, ..)) = moved {
            (VerdictKind::Torn, format!("belongs to epoch {of}"))
        } else if let Some((first, _)) = wanted.iter().find(|(_, rows)| rows.contains_key(&content))
        {
            (VerdictKind::Duplicated, format!("is of epoch {first}, and there once more"))
        } else if let Some((_, (cells, _), ids)) = take(&mut missing, &other) {
            (VerdictKind::Corrupt, format!("should be {cells:?} of {}", show_some(&ids)))
        } else {
            (VerdictKind::Phantom, "should not be there".to_owned())
        };
        objections.add(kind, format!("sink {sink}, epoch {epoch}: {cells:?} {what}"));
    }
    for (epoch, (cells, _), ids) in missing {
        // What this sink does not show yet, since another one is ahead, is stuck and not lost.
        let came = epoch <= table.epoch;
        let message = format!(
            "{cells:?} of {} belongs to epoch {epoch}, and no read of sink {sink}, up to epoch {}, \
             shows it",
            show_some(&ids),
            table.epoch
        );
        objections.add(if came { VerdictKind::Lost } else { VerdictKind::Stuck }, message);
    }
}

//! The operators with state, from their definitions: each looks at all rows of the run at once.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    graph::{Item, Stream, Turns},
    unknown,
};
use crate::{history::Cell, input::Invalid};

/// Columns, rows, and rows that came too late.
type Given = (Vec<String>, Vec<Item>, Vec<Item>);

/// The first epoch, from one on, that closes what ends at a time.
fn closing(turns: &Turns, from: usize, end_ms: u64) -> Option<usize> {
    (from..turns.len()).find(|epoch| turns[*epoch].1 >= end_ms)
}

/// Rows before the watermark are late.
fn by_watermark<'a>(input: &'a Stream, turns: &Turns) -> (Vec<&'a Item>, Vec<Item>) {
    let late = |item: &Item| item.time_ms < turns[item.epoch].0;
    let on_time = input.items.iter().filter(|item| !late(item)).collect();
    (on_time, input.items.iter().filter(|item| late(item)).cloned().collect())
}

fn group(key: &[usize], item: &Item) -> Vec<Cell> {
    key.iter().map(|place| item.cells[*place].clone()).collect()
}

fn span(op: &Value, name: &str) -> Result<u64, Invalid> {
    op[name].as_u64().ok_or_else(|| unknown("a time", &op[name]))
}

/// Windows: a row is in each one of its time that is not closed before it comes.
pub(super) fn window(op: &Value, input: &Stream, turns: &Turns) -> Result<Given, Invalid> {
    let size_ms = span(op, "size_ms")?;
    let slide_ms = op["slide_ms"].as_u64().unwrap_or(size_ms);
    if slide_ms == 0 {
        return Err(unknown("a window's slide", op));
    }
    let key = input.key(&op["key"])?;
    let mut windows: BTreeMap<(u64, Vec<Cell>), Vec<&Item>> = BTreeMap::new();
    let mut late = Vec::new();
    for item in &input.items {
        let mut there = false;
        let last_ms = item.time_ms - item.time_ms % slide_ms;
        for back in 0..=size_ms / slide_ms {
            let Some(start_ms) = last_ms.checked_sub(back * slide_ms) else { break };
            let end_ms = start_ms + size_ms;
            if item.time_ms < end_ms && turns[item.epoch].0 < end_ms {
                there = true;
                windows.entry((start_ms, group(&key, item))).or_default().push(item);
            }
        }
        if !there {
            late.push(item.clone());
        }
    }
    let mut columns: Vec<_> = key.iter().map(|place| input.columns[*place].clone()).collect();
    columns.push("window_start".to_owned());
    let aggregates = aggregates(op, input)?;
    columns.extend(aggregates.iter().map(|(name, ..)| name.clone()));
    let mut items = Vec::new();
    for ((start_ms, group), rows) in windows {
        let end_ms = start_ms + size_ms;
        let shown: Vec<(usize, Vec<&Item>)> = match op["mode"].as_str() {
            Some("update") => {
                let mut epochs: Vec<_> = rows.iter().map(|row| row.epoch).collect();
                let until = |epoch| rows.iter().copied().filter(|row| row.epoch <= epoch).collect();
                epochs.sort_unstable();
                epochs.dedup();
                epochs.into_iter().map(|epoch| (epoch, until(epoch))).collect()
            }
            Some("append") | None => {
                let last = rows.iter().map(|row| row.epoch).max().unwrap_or(0);
                closing(turns, last, end_ms).map(|epoch| (epoch, rows)).into_iter().collect()
            }
            Some(_) => return Err(unknown("a mode of the model", op)),
        };
        for (epoch, rows) in shown {
            let cells = [group.clone(), vec![time(start_ms)?], computed(&aggregates, &rows)?];
            items.push(gathered(epoch, end_ms - 1, &rows, cells.concat()));
        }
    }
    Ok((columns, items, late))
}

/// Sessions: longest runs of a key's rows of which each is less than the gap after another.
pub(super) fn session(op: &Value, input: &Stream, turns: &Turns) -> Result<Given, Invalid> {
    let gap_ms = span(op, "gap_ms")?;
    let key = input.key(&op["key"])?;
    let (mut on_time, late) = by_watermark(input, turns);
    on_time.sort_by_cached_key(|item| (group(&key, item), item.time_ms));
    let near = |one: &&Item, next: &&Item| {
        group(&key, one) == group(&key, next) && next.time_ms - one.time_ms < gap_ms
    };
    let mut columns: Vec<_> = key.iter().map(|place| input.columns[*place].clone()).collect();
    columns.extend(["window_start", "window_end"].map(str::to_owned));
    let aggregates = aggregates(op, input)?;
    columns.extend(aggregates.iter().map(|(name, ..)| name.clone()));
    let mut items = Vec::new();
    for rows in on_time.chunk_by(near) {
        let (first, last) = (rows[0], rows[rows.len() - 1]);
        let end_ms = last.time_ms + gap_ms;
        let came = rows.iter().map(|row| row.epoch).max().unwrap_or(0);
        if let Some(epoch) = closing(turns, came, end_ms) {
            let bounds = vec![time(first.time_ms)?, time(end_ms)?];
            let cells = [group(&key, first), bounds, computed(&aggregates, rows)?].concat();
            items.push(gathered(epoch, end_ms - 1, rows, cells));
        }
    }
    Ok((columns, items, late))
}

/// A row passes if none that passed before is of its key and nearer than the span. Rows come by
/// epoch, then by event time.
pub(super) fn dedup(op: &Value, input: &Stream, turns: &Turns) -> Result<Given, Invalid> {
    let within_ms = span(op, "within_ms")?;
    let key = input.key(&op["key"])?;
    let (mut on_time, late) = by_watermark(input, turns);
    on_time.sort_by_cached_key(|item| (item.epoch, item.time_ms, item.print(), item.cells.clone()));
    let mut passed: Vec<&Item> = Vec::new();
    let mut of_key: BTreeMap<Vec<Cell>, Vec<u64>> = BTreeMap::new();
    for item in on_time {
        let times = of_key.entry(group(&key, item)).or_default();
        if times.iter().all(|time_ms| time_ms.abs_diff(item.time_ms) >= within_ms) {
            times.push(item.time_ms);
            passed.push(item);
        }
    }
    Ok((input.columns.clone(), passed.into_iter().cloned().collect(), late))
}

/// Pairs of all rows with the same key whose times are near enough; for an outer join also the rows
/// of the first input that are in no pair, when none can come any more.
pub(super) fn join(op: &Value, inputs: [&Stream; 2], turns: &Turns) -> Result<Given, Invalid> {
    let (before_ms, after_ms) = (span(op, "before_ms")?, span(op, "after_ms")?);
    let outer = match op["kind"].as_str() {
        Some("left_outer") => true,
        Some("inner") | None => false,
        Some(_) => return Err(unknown("a join of the model", op)),
    };
    let keys = [inputs[0].key(&op["left_key"])?, inputs[1].key(&op["right_key"])?];
    let kept: Vec<_> =
        (0..inputs[1].columns.len()).filter(|place| !keys[1].contains(place)).collect();
    let mut columns = inputs[0].columns.clone();
    columns.extend(kept.iter().map(|place| inputs[1].columns[*place].clone()));
    let (left, mut late) = by_watermark(inputs[0], turns);
    let (right, more) = by_watermark(inputs[1], turns);
    late.extend(more);
    let mut of_key: BTreeMap<Vec<Cell>, Vec<&Item>> = BTreeMap::new();
    for item in right {
        of_key.entry(group(&keys[1], item)).or_default().push(item);
    }
    let mut items = Vec::new();
    for one in left {
        let mut alone = true;
        for other in of_key.get(&group(&keys[0], one)).into_iter().flatten() {
            let near =
                other.time_ms + before_ms >= one.time_ms && other.time_ms <= one.time_ms + after_ms;
            if near {
                alone = false;
                let mut cells = one.cells.clone();
                cells.extend(kept.iter().map(|place| other.cells[*place].clone()));
                let ids = [one.ids.clone(), other.ids.clone()].concat();
                let (epoch, time_ms) = (one.epoch.max(other.epoch), one.time_ms);
                items.push(Item { epoch, time_ms, ids, cells });
            }
        }
        let over = closing(turns, one.epoch, one.time_ms + after_ms + 1);
        if let (true, true, Some(epoch)) = (outer, alone, over) {
            let mut cells = one.cells.clone();
            cells.extend(kept.iter().map(|_| Cell::Null));
            items.push(Item { epoch, cells, ..one.clone() });
        }
    }
    Ok((columns, items, late))
}

/// A row of many.
fn gathered(epoch: usize, time_ms: u64, rows: &[&Item], cells: Vec<Cell>) -> Item {
    let ids = rows.iter().flat_map(|row| row.ids.clone()).collect();
    Item { epoch, time_ms, ids, cells }
}

fn time(time_ms: u64) -> Result<Cell, Invalid> {
    int(i128::from(time_ms))
}

fn int(value: i128) -> Result<Cell, Invalid> {
    let fits = i64::try_from(value);
    fits.map(Cell::Int).map_err(|_| Invalid::at("the model", format!("{value} is too large")))
}

/// An aggregate: its name, what it is, and the place of its column.
type Aggregate = (String, String, Option<usize>);

fn aggregates(op: &Value, input: &Stream) -> Result<Vec<Aggregate>, Invalid> {
    let list = op["aggregates"].as_array().ok_or_else(|| unknown("aggregates", op))?;
    let one = |one: &Value| {
        let name = one["name"].as_str().ok_or_else(|| unknown("a name", one))?.to_owned();
        let of = &one["of"];
        if let Some(of) = of.as_str() {
            return Ok((name, of.to_owned(), None));
        }
        let (what, column) = of
            .as_object()
            .and_then(|of| of.iter().next())
            .ok_or_else(|| unknown("an aggregate", of))?;
        Ok((name, what.clone(), Some(input.place(column)?)))
    };
    list.iter().map(one).collect()
}

fn computed(aggregates: &[Aggregate], rows: &[&Item]) -> Result<Vec<Cell>, Invalid> {
    let one = |(_, what, place): &Aggregate| {
        let cells: Vec<&Cell> = place
            .iter()
            .flat_map(|place| rows.iter().map(move |row| &row.cells[*place]))
            .filter(|cell| **cell != Cell::Null)
            .collect();
        let sum = || {
            cells
                .iter()
                .map(|cell| match cell {
                    Cell::Int(value) => Ok(i128::from(*value)),
                    Cell::Null | Cell::Bool(_) | Cell::Text(_) => {
                        Err(Invalid::at("the model", format!("{cell:?} cannot be summed")))
                    }
                })
                .sum::<Result<i128, _>>()
        };
        let cell = |cell: Option<&&Cell>| cell.map_or(Cell::Null, |cell| (*cell).clone());
        Ok(match (what.as_str(), place) {
            ("count", None) => int(rows.len() as i128)?,
            ("fingerprint", None) => {
                let prints = rows.iter().map(|row| row.print()).fold(0, u128::wrapping_add);
                Cell::Text(format!("{prints:032x}").into())
            }
            ("sum" | "average", Some(_)) if cells.is_empty() => Cell::Null,
            ("sum", Some(_)) => int(sum()?)?,
            ("average", Some(_)) => int(sum()?.div_euclid(cells.len() as i128))?,
            ("min", Some(_)) => cell(cells.iter().min()),
            ("max", Some(_)) => cell(cells.iter().max()),
            _ => {
                let what = format!("{what} is no aggregate of the model");
                return Err(Invalid::at("the model", what));
            }
        })
    };
    aggregates.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::history::TupleId;

    #[test]
    fn of_rows_of_a_key_that_are_nearer_than_the_span_the_first_passes() {
        let times = [("a", 100), ("b", 100), ("a", 109), ("a", 110), ("a", 95), ("b", 119)];
        let items = times.iter().zip(0..).map(|((key, time_ms), epoch)| Item {
            epoch,
            time_ms: *time_ms,
            ids: vec![TupleId { producer: 0, seq: epoch as u64 }],
            cells: vec![Cell::Text((*key).into())],
        });
        let columns = vec!["k".to_owned()];
        let input = Stream { columns, items: items.collect(), ..Stream::default() };
        let op = json!({"key": ["k"], "within_ms": 10});
        let (_, passed, late) = dedup(&op, &input, &vec![(0, 0); times.len()]).expect("known");
        let passed: Vec<_> = passed.iter().map(|item| item.epoch).collect();
        assert_eq!((passed, late.len()), (vec![0, 1, 3, 5], 0));
    }
}

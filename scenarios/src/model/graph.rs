//! The model of a pipeline that is more than a chain: for each operator its definition, applied to
//! all rows of the whole run at once. Nothing is kept from epoch to epoch, nothing forgotten, and
//! nothing is partitioned.
//!
//! An operator with state goes by two watermarks of an epoch, less what its input may be behind:
//! what is before `late` came too late; what ends by `close` is closed. Behind a source both are the
//! epoch's. Behind another operator with state `late` is the one of the epoch before: what that
//! one closes in an epoch was open until then.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{expression, operators, rows, unknown, windows::fingerprint};
use crate::{
    history::{Cell, TupleId},
    input::Invalid,
};

/// A pipeline, as its JSON says it.
#[derive(Clone, Debug)]
pub struct Graph {
    nodes: Vec<Value>,
    /// How far the watermark stays behind event time, in milliseconds.
    pub delay_ms: u64,
    /// No row waits for a watermark that is further than this behind the latest event time, in
    /// milliseconds.
    pub span_ms: u64,
}

/// A tuple on its way in.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The tuple.
    pub id: TupleId,
    /// The source that it is of, from 0.
    pub source: usize,
    /// Where it is: partition and offset.
    pub place: (u16, u64),
    /// Its event time, in milliseconds since 1970.
    pub time_ms: u64,
    /// Its value.
    pub value: &'a [u8],
}

/// What an epoch takes in.
#[derive(Clone, Debug)]
pub struct Epoch<'a> {
    /// Its watermark, in milliseconds since 1970.
    pub watermark_ms: u64,
    /// Its tuples.
    pub lines: Vec<Line<'a>>,
}

/// A row, anywhere in the pipeline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// The place of the epoch that has it, from 0.
    pub epoch: usize,
    /// Its event time, in milliseconds since 1970.
    pub time_ms: u64,
    /// The tuples that it comes from, each as often as it is in.
    pub ids: Vec<TupleId>,
    /// Its columns.
    pub cells: Vec<Cell>,
}

/// All rows that a node gives.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    pub(super) columns: Vec<String>,
    pub(super) items: Vec<Item>,
    /// Those that it did not take: they came too late, or are no lines of the schema.
    pub(super) late: Vec<Item>,
    pub(super) key: Vec<String>,
    pub(super) behind_ms: u64,
    pub(super) chained: bool,
}

/// What an operator with state goes by: for each epoch, `late` and `close`, in milliseconds since
/// 1970.
pub(super) type Turns = Vec<(u64, u64)>;

impl Item {
    /// The wrapping sum of the hashes of the tuples that it comes from.
    #[must_use]
    pub fn print(&self) -> u128 {
        self.ids.iter().map(|id| fingerprint(*id)).fold(0, u128::wrapping_add)
    }
}

impl Stream {
    /// The place of a column.
    pub(super) fn place(&self, name: &Value) -> Result<usize, Invalid> {
        let found = self.columns.iter().position(|known| name == known);
        found.ok_or_else(|| unknown("a known column", name))
    }

    /// The places of the columns in a list of the operator, or of the key before.
    pub(super) fn key(&self, named: &Value) -> Result<Vec<usize>, Invalid> {
        match named.as_array() {
            Some(names) if !names.is_empty() => names.iter().map(|one| self.place(one)).collect(),
            _ => self.key.iter().map(|one| self.place(&Value::from(one.as_str()))).collect(),
        }
    }

    /// The columns of a row, with their names.
    fn named(&self, cells: &[Cell]) -> rows::Columns<'_> {
        self.columns.iter().map(String::as_str).zip(cells.iter().cloned()).collect()
    }
}

impl Graph {
    /// Takes the pipeline in its JSON form.
    ///
    /// # Errors
    /// If it is none that this model knows.
    pub fn new(pipeline: &Value) -> Result<Self, Invalid> {
        let nodes = pipeline["nodes"].as_array().ok_or_else(|| unknown("nodes", pipeline))?;
        let of = |name: &str| {
            let ops = nodes.iter().filter_map(|node| node["op"].as_object());
            ops.flat_map(|op| op.values()).filter_map(|op| op[name].as_u64()).collect::<Vec<_>>()
        };
        let delay_ms = of("delay_ms").into_iter().max().unwrap_or(0);
        let spans = ["size_ms", "gap_ms", "within_ms", "before_ms", "after_ms"].map(of);
        let span_ms = spans.iter().flatten().sum();
        let graph = Self { nodes: nodes.clone(), delay_ms, span_ms };
        if graph.nodes.iter().all(|node| node["op"] != "sink") {
            return Err(unknown("a pipeline with a sink", pipeline));
        }
        // An operator that the model does not know shows without any rows.
        graph.course(&[Epoch { watermark_ms: 0, lines: Vec::new() }])?;
        Ok(graph)
    }

    /// How many sources there are.
    #[must_use]
    pub fn sources(&self) -> usize {
        self.nodes.iter().filter(|node| node["op"] == "source").count()
    }

    /// How many sinks there are.
    #[must_use]
    pub fn sinks(&self) -> usize {
        let sinks = ["sink", "late_sink", "dead_letters"];
        self.nodes.iter().filter(|node| sinks.iter().any(|sink| node["op"] == *sink)).count()
    }

    /// Whether any operator keeps state.
    #[must_use]
    pub fn keeps_state(&self) -> bool {
        let keeps = ["window", "session", "dedup", "join"];
        self.nodes.iter().any(|node| keeps.iter().any(|op| node["op"].get(op).is_some()))
    }

    /// The rows that each sink shows: those for rows, then those for late rows, then those for dead
    /// letters.
    ///
    /// # Errors
    /// If the pipeline, or a line, is none that this model knows.
    pub fn course(&self, epochs: &[Epoch<'_>]) -> Result<Vec<Vec<Item>>, Invalid> {
        let mut known = BTreeMap::new();
        let of = |op: &'static str| self.nodes.iter().filter(move |node| node["op"] == op);
        let mut sinks = Vec::new();
        let sides = of("late_sink").chain(of("dead_letters")).map(|one| (one, true));
        for (sink, late) in of("sink").map(|one| (one, false)).chain(sides) {
            let stream = self.stream(&sink["inputs"][0], epochs, &mut known, 0)?;
            sinks.push(if late { stream.late } else { stream.items });
        }
        Ok(sinks)
    }

    /// All that a node gives.
    fn stream<'a>(
        &'a self,
        name: &'a Value,
        epochs: &[Epoch<'_>],
        known: &mut BTreeMap<&'a str, Stream>,
        depth: usize,
    ) -> Result<Stream, Invalid> {
        let node = self.nodes.iter().find(|node| node["name"] == *name);
        let node = node.ok_or_else(|| unknown("a node", name))?;
        let name = name.as_str().ok_or_else(|| unknown("a name", name))?;
        if depth > self.nodes.len() {
            return Err(unknown("without a cycle", &node["name"]));
        }
        if let Some(stream) = known.get(name) {
            return Ok(stream.clone());
        }
        let mut inputs = Vec::new();
        for input in node["inputs"].as_array().into_iter().flatten() {
            inputs.push(self.stream(input, epochs, known, depth + 1)?);
        }
        let stream = self.apply(node, &inputs, epochs)?;
        known.insert(name, stream.clone());
        Ok(stream)
    }

    fn apply(
        &self,
        node: &Value,
        inputs: &[Stream],
        epochs: &[Epoch<'_>],
    ) -> Result<Stream, Invalid> {
        let op = &node["op"];
        if op == "source" {
            let nothing = Stream::default();
            return Ok(nothing);
        }
        if let Some(wanted) = op.get("parse") {
            return self.parsed(node, wanted, epochs);
        }
        let input = inputs.first().ok_or_else(|| unknown("an operator with input", op))?;
        let like = |columns: Vec<String>, items| Stream {
            columns,
            items,
            late: Vec::new(),
            ..input.clone()
        };
        if let Some(condition) = op.get("filter") {
            let mut items = Vec::new();
            for item in &input.items {
                if rows::holds(condition, &input.named(&item.cells))? {
                    items.push(item.clone());
                }
            }
            return Ok(like(input.columns.clone(), items));
        }
        if let Some(names) = op.get("project").and_then(Value::as_array) {
            let places: Vec<_> =
                names.iter().map(|name| input.place(name)).collect::<Result<_, _>>()?;
            let columns = places.iter().map(|place| input.columns[*place].clone()).collect();
            let kept = |item: &Item| {
                places.iter().map(|place| item.cells[*place].clone()).collect::<Vec<_>>()
            };
            let items = input.items.iter().map(|one| Item { cells: kept(one), ..one.clone() });
            return Ok(like(columns, items.collect()));
        }
        if let Some(computed) = op.get("map").and_then(Value::as_array) {
            return expression::map(computed, input);
        }
        if let Some(split) = op.get("flat_map") {
            return Ok(like(input.columns.clone(), parts(split, input)?));
        }
        if op == "union" {
            let mut all = like(input.columns.clone(), input.items.clone());
            for other in &inputs[1..] {
                all.items.extend(other.items.clone());
                all.behind_ms = all.behind_ms.max(other.behind_ms);
                all.chained |= other.chained;
                if other.key != all.key {
                    all.key.clear();
                }
            }
            return Ok(all);
        }
        if let Some(names) = op.get("key_by").and_then(Value::as_array) {
            let key = names.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            return Ok(Stream { key, ..like(input.columns.clone(), input.items.clone()) });
        }
        stateful(op, inputs, epochs)
    }

    /// The rows of a source.
    fn parsed(
        &self,
        node: &Value,
        wanted: &Value,
        epochs: &[Epoch<'_>],
    ) -> Result<Stream, Invalid> {
        let source = &node["inputs"][0];
        let dies =
            |other: &Value| other["op"] == "dead_letters" && other["inputs"][0] == node["name"];
        let dead_letters = self.nodes.iter().any(dies);
        let mut sources = self.nodes.iter().filter(|node| node["op"] == "source");
        let number = sources.position(|node| node["name"] == *source);
        let number = number.ok_or_else(|| unknown("a source", source))?;
        let empty = rows::Line::default();
        let columns = rows::parse(&empty, wanted)?.into_iter().map(|(name, _)| name.to_owned());
        let mut stream = Stream { columns: columns.collect(), ..Stream::default() };
        for (epoch, taken) in epochs.iter().enumerate() {
            for line in taken.lines.iter().filter(|line| line.source == number) {
                let (time_ms, ids) = (line.time_ms, vec![line.id]);
                match read(line.value, wanted) {
                    Ok(cells) => stream.items.push(Item { epoch, time_ms, ids, cells }),
                    Err(_) if dead_letters => {
                        let (partition, offset) = line.place;
                        let offset = i64::try_from(offset).map_or(Cell::Null, Cell::Int);
                        let text = String::from_utf8_lossy(line.value).into();
                        let cells = vec![Cell::Int(partition.into()), offset, Cell::Text(text)];
                        stream.late.push(Item { epoch, time_ms, ids, cells });
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(stream)
    }
}

/// A row for each part of a text.
fn parts(split: &Value, input: &Stream) -> Result<Vec<Item>, Invalid> {
    let place = input.place(&split["column"])?;
    let at = split["at"].as_str().ok_or_else(|| unknown("a text", split))?;
    let mut items = Vec::new();
    for item in &input.items {
        if let Cell::Text(text) = &item.cells[place] {
            for part in text.split(at) {
                let mut item = item.clone();
                item.cells[place] = Cell::Text(part.into());
                items.push(item);
            }
        }
    }
    Ok(items)
}

/// The columns of a line, which must be an object.
fn read(line: &[u8], wanted: &Value) -> Result<Vec<Cell>, Invalid> {
    let columns = rows::parse(&rows::Line::read(line)?, wanted)?;
    Ok(columns.into_iter().map(|(_, cell)| cell).collect())
}

/// An operator with state.
fn stateful(op: &Value, inputs: &[Stream], epochs: &[Epoch<'_>]) -> Result<Stream, Invalid> {
    let behind_ms = inputs.iter().map(|input| input.behind_ms).max().unwrap_or(0);
    let chained = inputs.iter().any(|input| input.chained);
    let mut before_ms = 0;
    let mut turns = Turns::new();
    for Epoch { watermark_ms, .. } in epochs {
        let late_ms: u64 = if chained { before_ms } else { *watermark_ms };
        turns.push((late_ms.saturating_sub(behind_ms), watermark_ms.saturating_sub(behind_ms)));
        before_ms = *watermark_ms;
    }
    let (given, own_ms) = match op.as_object().and_then(|op| op.iter().next()) {
        Some((name, window)) if name == "window" => {
            (operators::window(window, &inputs[0], &turns)?, 0)
        }
        Some((name, session)) if name == "session" => {
            (operators::session(session, &inputs[0], &turns)?, 0)
        }
        Some((name, dedup)) if name == "dedup" => (operators::dedup(dedup, &inputs[0], &turns)?, 0),
        Some((name, join)) if name == "join" && inputs.len() == 2 => {
            let after_ms = join["after_ms"].as_u64().unwrap_or(0);
            (operators::join(join, [&inputs[0], &inputs[1]], &turns)?, after_ms)
        }
        _ => return Err(unknown("an operator of the model", op)),
    };
    let (columns, items, late) = given;
    let behind_ms = behind_ms + own_ms;
    // A dedup gives rows as they came, so they are still of the same key.
    let key = if op.get("dedup").is_some() { inputs[0].key.clone() } else { Vec::new() };
    let distinct: BTreeSet<_> = columns.iter().collect();
    if distinct.len() != columns.len() {
        return Err(unknown("without a column twice", op));
    }
    Ok(Stream { columns, items, late, key, behind_ms, chained: true })
}

//! A pipeline run as executors run it, but without any of them: stage by stage, partition by
//! partition, from version to version of the state.

use std::collections::BTreeMap;

use unplug::{
    history::{Cell, TupleId},
    model::graph::{Epoch, Graph, Item, Line},
};
use unplug_engine::{
    defect::{Defect, Defects},
    pipeline::{Gone, Pipeline, Row, Spec, Value, Watermarks},
    state::{Delta, State},
    tuple::{Offset, Partition, Tuple},
};

use super::drawn::{Drawn, History, PARTITIONS};

/// What the histories held, counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reached {
    /// Histories in which the first sink got rows.
    pub(crate) rows: u64,
    /// Those in which the last sink got any.
    pub(crate) late: u64,
    /// Those in which a state that was not empty was written down and read again.
    pub(crate) restored: u64,
}

impl Reached {
    /// Adds what another history held.
    pub(crate) fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.late += other.late;
        self.restored += other.restored;
    }
}

/// A sink's rows of an epoch, in an order of their own.
type Shown = Vec<(Vec<Cell>, u128, u64)>;

/// Runs both, and compares them.
pub(crate) fn judged(spec: &Spec, history: &History, defects: Defects) -> Result<Reached, String> {
    let json = serde_json::to_value(spec).expect("serialises");
    let graph = Graph::new(&json).map_err(|error| error.to_string())?;
    let epochs = history.epochs.iter().scan(0, |seq, (watermark_ms, tuples)| {
        let lines = numbered(seq, tuples).map(|(seq, one)| Line {
            id: TupleId { producer: one.producer, seq },
            source: usize::from(one.partition) % graph.sources(),
            place: (one.partition, seq),
            time_ms: one.time_ms,
            value: one.line.as_bytes(),
        });
        Some(Epoch { watermark_ms: *watermark_ms, lines: lines.collect() })
    });
    let course = graph.course(&epochs.collect::<Vec<_>>()).map_err(|error| error.to_string())?;
    let mut run = Run::new(spec, history, defects)?;
    let mut reached = Reached::default();
    let mut seq = 0;
    for (number, (watermark_ms, tuples)) in history.epochs.iter().enumerate() {
        let got = run.epoch(number, *watermark_ms, numbered(&mut seq, tuples).collect())?;
        for (sink, (rows, items)) in got.into_iter().zip(&course).enumerate() {
            let (rows, want) = (shown(rows), wanted(items, number));
            if rows != want {
                return Err(format!("sink {sink}, epoch {number}: {rows:?}, and not {want:?}"));
            }
        }
    }
    reached.rows = u64::from(!course[0].is_empty());
    reached.late = u64::from(course.last().is_some_and(|items| !items.is_empty()));
    reached.restored = u64::from(run.restored);
    let left: usize = run.states.values().map(State::len).sum();
    if left > 0 {
        return Err(format!("{left} entries of state are left at the end"));
    }
    Ok(reached)
}

fn numbered<'a>(
    seq: &mut u64,
    tuples: &'a [Drawn],
) -> impl Iterator<Item = (u64, &'a Drawn)> + use<'a> {
    let first = *seq;
    *seq += tuples.len() as u64;
    (first..).zip(tuples)
}

fn shown(rows: Vec<Row>) -> Shown {
    let cell = |value| match value {
        Value::Null => Cell::Null,
        Value::Bool(value) => Cell::Bool(value),
        Value::Int(value) => Cell::Int(value),
        Value::Text(value) => Cell::Text(value),
    };
    let rows = rows.into_iter().map(|row| {
        let Row { origin, values } = row;
        (values.into_iter().map(cell).collect(), origin.print(), origin.time_ms())
    });
    let mut rows: Shown = rows.collect();
    rows.sort_unstable();
    rows
}

fn wanted(items: &[Item], epoch: usize) -> Shown {
    let items = items.iter().filter(|item| item.epoch == epoch);
    let mut rows: Shown =
        items.map(|item| (item.cells.clone(), item.print(), item.time_ms)).collect();
    rows.sort_unstable();
    rows
}

/// What came to the sinks, and what each exchange has for each state partition.
struct Came {
    sinks: Vec<Vec<Row>>,
    blocks: BTreeMap<(usize, u16), Vec<Row>>,
    state_partitions: u16,
}

impl Came {
    fn new(pipeline: &Pipeline, state_partitions: u16) -> Self {
        let sinks = vec![Vec::new(); pipeline.sinks()];
        Self { sinks, blocks: BTreeMap::new(), state_partitions }
    }

    fn take(&mut self, pipeline: &Pipeline, gone: Gone) {
        for (sink, rows) in self.sinks.iter_mut().zip(gone.sinks) {
            sink.extend(rows);
        }
        for (exchange, rows) in gone.exchanges.into_iter().enumerate() {
            for row in rows {
                let state = pipeline.state_partition(exchange, &row, self.state_partitions);
                self.blocks.entry((exchange, state)).or_default().push(row);
            }
        }
    }
}

struct Run<'a> {
    pipeline: Pipeline,
    history: &'a History,
    defects: Defects,
    /// By stage and state partition.
    states: BTreeMap<(usize, u16), State>,
    before_ms: u64,
    restored: bool,
}

impl<'a> Run<'a> {
    fn new(spec: &Spec, history: &'a History, defects: Defects) -> Result<Self, String> {
        let pipeline = Pipeline::new(spec).map_err(|error| error.to_string())?;
        let states = BTreeMap::new();
        Ok(Self { pipeline, history, defects, states, before_ms: 0, restored: false })
    }

    /// The rows of each sink.
    fn epoch(
        &mut self,
        number: usize,
        watermark_ms: u64,
        tuples: Vec<(u64, &Drawn)>,
    ) -> Result<Vec<Vec<Row>>, String> {
        let count = self.history.state_partitions;
        let mut came = Came::new(&self.pipeline, count);
        for partition in 0..PARTITIONS {
            let mut gone = self.pipeline.nowhere();
            for (seq, one) in tuples.iter().filter(|(_, one)| one.partition == partition) {
                let tuple = Tuple {
                    producer: one.producer,
                    seq: *seq,
                    time_ms: one.time_ms,
                    key: "".into(),
                    value: one.line.clone().into(),
                };
                let place = (Partition(partition), Offset(*seq));
                self.pipeline.transform(place, &tuple, &mut gone)?;
            }
            came.take(&self.pipeline, gone);
        }
        let watermarks =
            Watermarks { now_ms: watermark_ms, before_ms: self.before_ms, defects: self.defects };
        for stage in 1..=self.pipeline.stages() {
            let mut all = Vec::new();
            for state in 0..count {
                let exchanges = (0..self.pipeline.exchanges())
                    .map(|exchange| match self.pipeline.stage_of(exchange) == stage {
                        true => came.blocks.remove(&(exchange, state)).unwrap_or_default(),
                        false => Vec::new(),
                    })
                    .collect();
                all.push((state, exchanges));
            }
            for (state, exchanges) in all {
                let base = self.states.entry((stage, state)).or_default();
                let reduced = self.pipeline.reduce(stage, base, exchanges, watermarks)?;
                // As a delta travels.
                let delta = Delta::from_parts(&reduced.delta.parts(1_000)).expect("intact");
                base.apply(&delta);
                if self.history.restored & 1 << (number % 8) != 0 {
                    let parts = base.parts(self.history.part_bytes);
                    let again = State::from_parts(&parts).expect("intact");
                    if again != *base {
                        return Err(format!("{again:?} was read, and {base:?} written"));
                    }
                    self.restored |= !base.is_empty();
                    *base = again;
                    if self.defects.has(Defect::DedupForgetsOnRestore) {
                        base.forget_seen();
                    }
                }
                came.take(&self.pipeline, reduced.gone);
            }
        }
        self.before_ms = watermark_ms;
        Ok(came.sinks)
    }
}

//! One tuple through a compiled pipeline. No I/O, no clock: the same tuple always gives the same
//! row.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, Visitor},
};
use smol_str::SmolStr;

use super::{
    graph::{Pipeline, Work},
    operator::Watermarks,
    row::{Origin, Row},
    spec::{Column, ColumnType, Value},
};
use crate::{
    state::{Delta, State, View},
    tuple::{Offset, Partition, Tuple},
};

/// Where rows have come to at the end of a stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// Those that go to each sink.
    pub sinks: Vec<Vec<Row>>,
    /// Those that go to each exchange, which later stages take.
    pub exchanges: Vec<Vec<Row>>,
    /// How many lines were no lines of the schema, and went to a sink for such.
    pub dead: usize,
}

/// A tuple's value, and where it is in the source.
#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    partition: Partition,
    offset: Offset,
    value: &'a [u8],
}

/// What an epoch comes to in one state partition of a stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reduced {
    /// Where rows have come to.
    pub gone: Gone,
    /// How many rows came too late.
    pub late: usize,
    /// What becomes of the state.
    pub delta: Delta,
}

impl Pipeline {
    /// No row has come anywhere.
    #[must_use]
    pub fn nowhere(&self) -> Gone {
        let none = |count| vec![Vec::new(); count];
        let (sinks, exchanges) = (none(self.sinks.len()), none(self.exchanges.len()));
        Gone { sinks, exchanges, dead: 0 }
    }

    /// Takes a tuple at a place of the source to where it comes to without state.
    ///
    /// # Errors
    /// Why the tuple's value is not what the schema says, unless there is a sink for such; or what
    /// cannot be computed of it.
    pub fn transform(
        &self,
        (partition, offset): (Partition, Offset),
        tuple: &Tuple,
        gone: &mut Gone,
    ) -> Result<(), String> {
        let Tuple { producer, seq, time_ms, .. } = *tuple;
        let row = Row { origin: Origin::Tuple { producer, seq, time_ms }, values: Vec::new() };
        let source = self.sources[usize::from(partition.0) % self.sources.len()];
        self.push((source, 0), row, Some(Line { partition, offset, value: &tuple.value }), gone)
    }

    /// Takes an epoch's rows into the operators of a stage, given what came to each exchange of it
    /// in the order of the tasks that it comes from. The state stays as it is; [`State::apply`]
    /// brings it to the next epoch.
    ///
    /// # Errors
    /// What cannot be computed, with its place.
    ///
    /// # Panics
    /// If rows or state are of another pipeline.
    pub fn reduce(
        &self,
        stage: usize,
        state: &State,
        mut exchanges: Vec<Vec<Row>>,
        watermarks: Watermarks,
    ) -> Result<Reduced, String> {
        let mut view = View::new(state);
        let mut reduced = Reduced { gone: self.nowhere(), ..Reduced::default() };
        for (op, operator) in (0u16..).zip(&self.operators) {
            if operator.stage != stage {
                continue;
            }
            let inputs = operator.exchange..operator.exchange + operator.inputs();
            let inputs = inputs.map(|exchange| std::mem::take(&mut exchanges[exchange])).collect();
            let went = operator.take(op, watermarks, &mut view, inputs)?;
            let node = &self.nodes[operator.node];
            reduced.late += went.late.len();
            if let Some(sink) = node.side {
                for row in went.late {
                    self.push((sink, 0), row, None, &mut reduced.gone)?;
                }
            }
            for row in went.rows {
                self.hand_on(operator.node, row, &mut reduced.gone)?;
            }
        }
        reduced.delta = view.into_delta();
        Ok(reduced)
    }

    /// Gives a row to all who take from a node.
    fn hand_on(&self, node: usize, row: Row, gone: &mut Gone) -> Result<(), String> {
        let Some((last, others)) = self.nodes[node].to.split_last() else { return Ok(()) };
        for to in others {
            self.push(*to, row.clone(), None, gone)?;
        }
        self.push(*last, row, None, gone)
    }

    /// Takes a row through a node and what follows; `line` is what is to be parsed.
    fn push(
        &self,
        (place, input): (usize, usize),
        mut row: Row,
        line: Option<Line<'_>>,
        gone: &mut Gone,
    ) -> Result<(), String> {
        let node = &self.nodes[place];
        let refuse = |what| format!("pipeline node \"{}\": {what}", node.name);
        match &node.work {
            Work::Parse(columns) => {
                let line = line.ok_or_else(|| refuse("there is nothing to parse".to_owned()))?;
                match (parse(line.value, columns), node.side) {
                    (Ok(values), _) => row.values = values,
                    (Err(_), Some(sink)) => {
                        row.values = line.dead();
                        gone.dead += 1;
                        return self.push((sink, 0), row, None, gone);
                    }
                    (Err(reason), None) => return Err(reason),
                }
            }
            Work::Filter(test) => {
                if !test.holds(&row.values) {
                    return Ok(());
                }
            }
            Work::Project(places) => {
                let taken = |place: &usize| std::mem::replace(&mut row.values[*place], Value::Null);
                row.values = places.iter().map(taken).collect();
            }
            Work::Map(formulas) => {
                let computed = formulas.iter().map(|(_, formula)| formula.value(&row));
                let computed = computed.collect::<Result<Vec<_>, _>>().map_err(refuse)?;
                for ((place, _), value) in formulas.iter().zip(computed) {
                    match row.values.get_mut(*place) {
                        Some(old) => *old = value,
                        None => row.values.push(value),
                    }
                }
            }
            Work::Split { place: column, at } => {
                if let Value::Text(text) = &row.values[*column] {
                    for part in text.split(at.as_str()) {
                        let mut values = row.values.clone();
                        values[*column] = Value::Text(part.into());
                        self.hand_on(place, Row { origin: row.origin, values }, gone)?;
                    }
                }
                return Ok(());
            }
            // A source's tuples are parsed by those who take them.
            Work::Pass if line.is_some() => {
                for to in &node.to {
                    self.push(*to, row.clone(), line, gone)?;
                }
                return Ok(());
            }
            Work::Pass => {}
            Work::Exchange(first) => {
                gone.exchanges[first + input].push(row);
                return Ok(());
            }
            Work::Sink(number) => {
                gone.sinks[*number].push(row);
                return Ok(());
            }
        }
        self.hand_on(place, row, gone)
    }
}

impl Line<'_> {
    /// The columns of a dead letter.
    fn dead(&self) -> Vec<Value> {
        let offset = i64::try_from(self.offset.0).map_or(Value::Null, Value::Int);
        let line = Value::Text(String::from_utf8_lossy(self.value).into());
        vec![Value::Int(self.partition.0.into()), offset, line]
    }
}

/// Reads a JSON object straight into columns.
fn parse(line: &[u8], columns: &[Column]) -> Result<Vec<Value>, String> {
    let unfit = |error: &dyn fmt::Display| format!("not a line of the schema: {error}");
    let line = str::from_utf8(line).map_err(|error| unfit(&error))?;
    let mut reader = serde_json::Deserializer::from_str(line);
    let values =
        reader.deserialize_map(Columns(columns)).and_then(|values| reader.end().map(|()| values));
    values.map_err(|error| unfit(&error))
}

struct Columns<'a>(&'a [Column]);

impl<'de> Visitor<'de> for Columns<'_> {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Value>, A::Error> {
        let mut values = vec![Value::Null; self.0.len()];
        // Fields mostly come in the order of the columns: look from where the last one was found.
        let mut next = 0;
        while let Some(name) = map.next_key::<Name<'de>>()? {
            let places = (next..self.0.len()).chain(0..next);
            match places.into_iter().find(|place| self.0[*place].name == name.0) {
                Some(place) => {
                    values[place] = read(&mut map, &self.0[place])?;
                    next = place + 1;
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(values)
    }
}

/// A field's name, borrowed where it holds no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

fn read<'de, A: MapAccess<'de>>(map: &mut A, column: &Column) -> Result<Value, A::Error> {
    let named = |error: A::Error| de::Error::custom(format!("field \"{}\": {error}", column.name));
    Ok(match column.kind {
        ColumnType::Bool => map.next_value::<Option<bool>>().map_err(named)?.map(Value::Bool),
        ColumnType::Int => map.next_value::<Option<i64>>().map_err(named)?.map(Value::Int),
        ColumnType::Text => map.next_value::<Option<SmolStr>>().map_err(named)?.map(Value::Text),
    }
    .unwrap_or(Value::Null))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{Node, Op, Spec};

    fn tuple(value: &'static str) -> Tuple {
        Tuple { producer: 1, seq: 2, time_ms: 3, key: "N1".into(), value: value.into() }
    }

    fn flights(line: &'static str) -> Result<Option<Row>, String> {
        let pipeline = Pipeline::new(&Spec::flights()).expect("sound");
        let mut gone = pipeline.nowhere();
        pipeline.transform((Partition(2), Offset(7)), &tuple(line), &mut gone)?;
        Ok(gone.sinks[0].pop())
    }

    #[test]
    fn a_delayed_flight_passes_with_the_projected_columns() {
        let line = r#"{"ts":1,"sched":2,"origin":"EWR","dest":"IAH","carrier":"UA","flight":1545,"tail":null,"delay":2,"distance":1400}"#;
        let row = flights(line).expect("parses").expect("delayed");
        let text = |text: &str| Value::Text(text.into());
        let values = vec![text("EWR"), text("IAH"), text("UA"), Value::Int(1545), Value::Int(2)];
        let origin = Origin::Tuple { producer: 1, seq: 2, time_ms: 3 };
        assert_eq!(row, Row { origin, values });
    }

    #[test]
    fn a_punctual_flight_and_one_of_unknown_delay_are_filtered_out() {
        for line in [r#"{"delay":0}"#, r#"{"delay":-3}"#, r#"{"delay":null}"#, "{}"] {
            assert_eq!(flights(line), Ok(None), "{line}");
        }
    }

    #[test]
    fn a_line_that_does_not_fit_goes_to_dead_letters_with_its_place_and_is_counted() {
        let mut spec = Spec::flights();
        let dead = Node {
            name: "dead".to_owned(),
            inputs: vec!["parsed".to_owned()],
            op: Op::DeadLetters,
        };
        spec.nodes.push(dead);
        let pipeline = Pipeline::new(&spec).expect("sound");
        assert_eq!(pipeline.columns(1), ["partition", "offset", "line"]);
        let mut gone = pipeline.nowhere();
        for line in [r#"{"delay":1}"#, r#"{"delay":"late"}"#, "{", r#"{"delay":2}"#] {
            let place = (Partition(2), Offset(7));
            pipeline.transform(place, &tuple(line), &mut gone).expect("no reason to stop");
        }
        assert_eq!((gone.sinks[0].len(), gone.dead), (2, 2));
        let text = |text: &str| Value::Text(text.into());
        let values: Vec<_> = gone.sinks[1].iter().map(|row| row.values.clone()).collect();
        let place = [Value::Int(2), Value::Int(7)];
        let want = [r#"{"delay":"late"}"#, "{"].map(|line| [&place[..], &[text(line)]].concat());
        assert_eq!(values, want);
    }

    #[test]
    fn a_line_that_does_not_fit_the_schema_is_told_with_its_field() {
        let error = |line| flights(line).expect_err("unfit");
        assert!(error(r#"{"delay":"late"}"#).contains("field \"delay\""));
        assert!(error(r#"{"delay":1.5}"#).contains("field \"delay\""));
        for line in ["", "{", "[]", "7", r#"{"delay":1} x"#] {
            assert!(error(line).starts_with("not a line of the schema: "), "{line}");
        }
    }
}

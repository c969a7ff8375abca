//! One tuple through a compiled pipeline. No I/O, no clock: the same tuple always gives the same
//! row.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, IgnoredAny, MapAccess, Visitor},
};
use xxhash_rust::xxh3::xxh3_128;

use super::{
    graph::{Pipeline, Step, Test},
    spec::{Column, ColumnType, Comparison, Value},
};
use crate::tuple::Tuple;

/// A row on its way to a sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The tuple that it comes from; none if it comes from all tuples of a window.
    pub origin: Option<Origin>,
    /// Its columns, in the order of the sink's or the window's input.
    pub values: Vec<Value>,
}

/// The identity of a tuple, and its event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The tuple's producer.
    pub producer: u16,
    /// The tuple's position in its producer's input.
    pub seq: u64,
    /// Event time, in milliseconds since 1970.
    pub time_ms: u64,
}

impl Origin {
    /// The hash of the tuple's identity, by which a window's fingerprint tells which tuples it
    /// gathered: xxh3-128 of producer and seq, little endian.
    #[must_use]
    pub fn hash(&self) -> u128 {
        let mut bytes = [0; 10];
        bytes[..2].copy_from_slice(&self.producer.to_le_bytes());
        bytes[2..].copy_from_slice(&self.seq.to_le_bytes());
        xxh3_128(&bytes)
    }
}

impl Pipeline {
    /// The row that a tuple becomes, up to the window or the sink; none if it is filtered out.
    ///
    /// # Errors
    /// Why the tuple's value is not what the schema says.
    pub fn transform(&self, tuple: &Tuple) -> Result<Option<Row>, String> {
        let mut values = Vec::new();
        for step in &self.steps {
            match step {
                Step::Parse(columns) => values = parse(&tuple.value, columns)?,
                Step::Filter(test) => {
                    if !holds(test, &values) {
                        return Ok(None);
                    }
                }
                Step::Project(places) => {
                    let taken = |place: &usize| std::mem::replace(&mut values[*place], Value::Null);
                    values = places.iter().map(taken).collect();
                }
            }
        }
        let Tuple { producer, seq, time_ms, .. } = *tuple;
        Ok(Some(Row { origin: Some(Origin { producer, seq, time_ms }), values }))
    }
}

fn holds(test: &Test, values: &[Value]) -> bool {
    match test {
        Test::Compare(place, is, constant) => {
            let value = &values[*place];
            !matches!(value, Value::Null)
                && match is {
                    Comparison::Equal => value == constant,
                    Comparison::Below => value < constant,
                    Comparison::Above => value > constant,
                }
        }
        Test::IsNull(place) => values[*place] == Value::Null,
        Test::All(tests) => tests.iter().all(|test| holds(test, values)),
        Test::Any(tests) => tests.iter().any(|test| holds(test, values)),
        Test::Not(test) => !holds(test, values),
    }
}

/// Reads a JSON object straight into columns.
fn parse(line: &[u8], columns: &[Column]) -> Result<Vec<Value>, String> {
    let mut reader = serde_json::Deserializer::from_slice(line);
    let values =
        reader.deserialize_map(Columns(columns)).and_then(|values| reader.end().map(|()| values));
    values.map_err(|error| format!("not a line of the schema: {error}"))
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
        ColumnType::Text => map.next_value::<Option<String>>().map_err(named)?.map(Value::Text),
    }
    .unwrap_or(Value::Null))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Spec;

    fn tuple(value: &'static str) -> Tuple {
        Tuple { producer: 1, seq: 2, time_ms: 3, key: "N1".into(), value: value.into() }
    }

    fn flights() -> Pipeline {
        Pipeline::new(&Spec::flights()).expect("sound")
    }

    #[test]
    fn a_delayed_flight_passes_with_the_projected_columns() {
        let line = r#"{"ts":1,"sched":2,"origin":"EWR","dest":"IAH","carrier":"UA","flight":1545,"tail":null,"delay":2,"distance":1400}"#;
        let row = flights().transform(&tuple(line)).expect("parses").expect("delayed");
        let text = |text: &str| Value::Text(text.to_owned());
        let values = vec![text("EWR"), text("IAH"), text("UA"), Value::Int(1545), Value::Int(2)];
        let origin = Some(Origin { producer: 1, seq: 2, time_ms: 3 });
        assert_eq!(row, Row { origin, values });
    }

    #[test]
    fn a_punctual_flight_and_one_of_unknown_delay_are_filtered_out() {
        for line in [r#"{"delay":0}"#, r#"{"delay":-3}"#, r#"{"delay":null}"#, "{}"] {
            assert_eq!(flights().transform(&tuple(line)), Ok(None), "{line}");
        }
    }

    #[test]
    fn a_line_that_does_not_fit_the_schema_is_told_with_its_field() {
        let error = |line| flights().transform(&tuple(line)).expect_err("unfit");
        assert!(error(r#"{"delay":"late"}"#).contains("field \"delay\""));
        assert!(error(r#"{"delay":1.5}"#).contains("field \"delay\""));
        for line in ["", "{", "[]", "7", r#"{"delay":1} x"#] {
            assert!(error(line).starts_with("not a line of the schema: "), "{line}");
        }
    }

    #[test]
    fn conditions_combine() {
        let values = [Value::Int(5), Value::Null];
        let compare = |is, constant| Test::Compare(0, is, Value::Int(constant));
        let yes = || compare(Comparison::Above, 4);
        let no = || compare(Comparison::Below, 4);
        assert!(holds(&compare(Comparison::Equal, 5), &values));
        assert!(holds(&Test::All(vec![yes(), Test::IsNull(1)]), &values));
        assert!(!holds(&Test::All(vec![yes(), no()]), &values));
        assert!(holds(&Test::Any(vec![no(), yes()]), &values));
        assert!(!holds(&Test::Any(vec![]), &values));
        assert!(holds(&Test::Not(Box::new(no())), &values));
        assert!(!holds(&Test::Compare(1, Comparison::Below, Value::Int(9)), &values));
    }
}

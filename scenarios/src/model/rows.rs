//! Rows of single tuples: reading a line into columns, and conditions on them.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

use super::unknown;
use crate::{history::Cell, input::Invalid};

/// Named cells, in the pipeline's order.
pub(super) type Columns<'a> = Vec<(&'a str, Cell)>;

/// What a line says, which must be an object.
#[derive(Default)]
pub(super) struct Line<'a>(Vec<(Name<'a>, Value)>);

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Line<'a> {
    pub(super) fn read(line: &'a [u8]) -> Result<Self, Invalid> {
        let text = str::from_utf8(line).map_err(|error| error.to_string());
        let line = text.and_then(|text| serde_json::from_str(text).map_err(|it| it.to_string()));
        line.map_err(|error| Invalid::at("the model", error))
    }

    /// What it says of a name: of two that are the same, the last counts.
    fn get(&self, name: &str) -> &Value {
        let found = self.0.iter().rfind(|(known, _)| known.0 == name);
        found.map_or(&Value::Null, |(_, value)| value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Line<'a> {
    fn deserialize<D: Deserializer<'de>>(line: D) -> Result<Self, D::Error> {
        line.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Line<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line<'de>, A::Error> {
        let mut fields = Vec::with_capacity(16);
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Line(fields))
    }
}

/// The columns that a line has, of those that are wanted.
pub(super) fn parse<'a>(line: &Line<'_>, wanted: &'a Value) -> Result<Columns<'a>, Invalid> {
    let wanted = wanted.as_array().ok_or_else(|| unknown("columns", wanted))?;
    let column = |column: &'a Value| {
        let name = column["name"].as_str().ok_or_else(|| unknown("a column", column))?;
        let cell = match (line.get(name), column["type"].as_str()) {
            (Value::Null, _) => Cell::Null,
            (Value::Bool(value), Some("bool")) => Cell::Bool(*value),
            (Value::Number(value), Some("int")) => {
                Cell::Int(value.as_i64().ok_or_else(|| unknown("a whole number", line.get(name)))?)
            }
            (Value::String(value), Some("text")) => Cell::Text(value.into()),
            (other, _) => return Err(unknown("of the column's type", other)),
        };
        Ok((name, cell))
    };
    wanted.iter().map(column).collect()
}

/// Whether a condition holds.
pub(super) fn holds(condition: &Value, columns: &Columns<'_>) -> Result<bool, Invalid> {
    let cell = |name: &Value| {
        let found = columns.iter().find(|(known, _)| name == known);
        found.map(|(_, cell)| cell).ok_or_else(|| unknown("a known column", name))
    };
    let each = |conditions: &Value| {
        let conditions = conditions.as_array().ok_or_else(|| unknown("conditions", conditions))?;
        conditions.iter().map(|one| holds(one, columns)).collect::<Result<Vec<_>, _>>()
    };
    if let Some(compare) = condition.get("compare") {
        let order = match (cell(&compare["column"])?, &compare["value"]) {
            (Cell::Null, _) => return Ok(false),
            (Cell::Bool(cell), Value::Bool(value)) => cell.cmp(value),
            (Cell::Int(cell), Value::Number(value)) => {
                cell.cmp(&value.as_i64().ok_or_else(|| unknown("a whole number", compare))?)
            }
            (Cell::Text(cell), Value::String(value)) => cell.as_str().cmp(value),
            _ => return Err(unknown("a comparison of the same types", compare)),
        };
        return stands(order, compare);
    }
    if let Some(both) = condition.get("columns") {
        let (left, right) = (cell(&both["left"])?, cell(&both["right"])?);
        if *left == Cell::Null || *right == Cell::Null {
            return Ok(false);
        }
        return stands(left.cmp(right), both);
    }
    if let Some(name) = condition.get("is_null") {
        Ok(*cell(name)? == Cell::Null)
    } else if let Some(all) = condition.get("all") {
        Ok(each(all)?.into_iter().all(|holds| holds))
    } else if let Some(any) = condition.get("any") {
        Ok(each(any)?.into_iter().any(|holds| holds))
    } else if let Some(not) = condition.get("not") {
        Ok(!holds(not, columns)?)
    } else {
        Err(unknown("a condition of the model", condition))
    }
}

/// Whether an order is the one that a comparison asks for.
fn stands(order: std::cmp::Ordering, comparison: &Value) -> Result<bool, Invalid> {
    match comparison["is"].as_str() {
        Some("equal") => Ok(order.is_eq()),
        Some("below") => Ok(order.is_lt()),
        Some("above") => Ok(order.is_gt()),
        _ => Err(unknown("a comparison", comparison)),
    }
}

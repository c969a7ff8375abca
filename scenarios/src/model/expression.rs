//! Computed columns, from the JSON of their expressions.

use serde_json::Value;

use super::{
    graph::{Item, Stream},
    rows, unknown,
};
use crate::{history::Cell, input::Invalid};

/// Puts computed columns in place of those of their names, or behind all others.
pub(super) fn map(computed: &[Value], input: &Stream) -> Result<Stream, Invalid> {
    let mut columns = input.columns.clone();
    let mut places = Vec::new();
    for one in computed {
        let name = one["name"].as_str().ok_or_else(|| unknown("a name", one))?;
        let place = columns.iter().position(|known| known == name).unwrap_or(columns.len());
        if place == columns.len() {
            columns.push(name.to_owned());
        }
        places.push((place, &one["of"]));
    }
    let mut items = Vec::new();
    for item in &input.items {
        let mut cells = item.cells.clone();
        cells.resize(columns.len(), Cell::Null);
        for (place, of) in &places {
            cells[*place] = value(of, input, item)?;
        }
        items.push(Item { cells, ..item.clone() });
    }
    Ok(Stream { columns, items, late: Vec::new(), ..input.clone() })
}

fn value(of: &Value, input: &Stream, item: &Item) -> Result<Cell, Invalid> {
    if of == "event_time" {
        return int(i128::from(item.time_ms));
    }
    let parts = of.as_object().and_then(|of| of.iter().next());
    let (what, rest) = parts.ok_or_else(|| unknown("an expression", of))?;
    match what.as_str() {
        "column" => Ok(item.cells[input.place(rest)?].clone()),
        "constant" => match rest {
            Value::Bool(value) => Ok(Cell::Bool(*value)),
            Value::Number(_) => {
                let number = rest.as_i64().ok_or_else(|| unknown("a whole number", rest))?;
                Ok(Cell::Int(number))
            }
            Value::String(value) => Ok(Cell::Text(value.into())),
            Value::Null | Value::Array(_) | Value::Object(_) => Err(unknown("a constant", rest)),
        },
        "if" => {
            let named: Vec<_> =
                input.columns.iter().map(String::as_str).zip(item.cells.iter().cloned()).collect();
            let way = if rows::holds(&rest["when"], &named)? { "then" } else { "otherwise" };
            value(&rest[way], input, item)
        }
        _ => {
            let both = (value(&rest[0], input, item)?, value(&rest[1], input, item)?);
            let (Cell::Int(left), Cell::Int(right)) = both else { return Ok(Cell::Null) };
            let (left, right) = (i128::from(left), i128::from(right));
            match what.as_str() {
                "plus" => int(left + right),
                "minus" => int(left - right),
                "times" => int(left * right),
                "per" | "rest" if right == 0 => Ok(Cell::Null),
                "rest" => int(left.rem_euclid(right)),
                "per" => int(down(left, right)),
                _ => Err(unknown("an expression of the model", of)),
            }
        }
    }
}

/// The largest whole number that is not above the quotient.
fn down(left: i128, right: i128) -> i128 {
    let near = left / right;
    (near - 1..=near + 1)
        .rev()
        .find(|whole| if right > 0 { whole * right <= left } else { whole * right >= left })
        .unwrap_or(near)
}

fn int(value: i128) -> Result<Cell, Invalid> {
    let fits = i64::try_from(value);
    fits.map(Cell::Int).map_err(|_| Invalid::at("the model", format!("{value} is too large")))
}

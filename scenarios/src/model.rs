//! The model of a pipeline: what the sink should hold, computed as naively as possible, straight
//! from the pipeline's JSON and a tuple's line, by code that the engine does not share.

use serde_json::Value;

use crate::{history::Cell, input::Invalid};

/// A pipeline, as its JSON says it.
#[derive(Clone, Debug)]
pub struct Model {
    /// The operators from the source to the sink.
    chain: Vec<Value>,
}

type Columns = Vec<(String, Cell)>;

impl Model {
    /// Takes the pipeline in its JSON form.
    ///
    /// # Errors
    /// If it is none that this model knows: better no verdict than a wrong one.
    pub fn new(pipeline: &Value) -> Result<Self, Invalid> {
        let nodes = pipeline["nodes"].as_array().ok_or_else(|| unknown("nodes", pipeline))?;
        let named = |name: &Value| nodes.iter().find(|node| node["name"] == *name);
        let mut node = nodes.iter().find(|node| node["op"] == "sink");
        let mut chain = Vec::new();
        while let Some(at) = node {
            chain.push(at["op"].clone());
            if chain.len() > nodes.len() {
                return Err(unknown("a chain", pipeline));
            }
            node = at["inputs"].get(0).and_then(named);
        }
        chain.reverse();
        let model = Self { chain };
        if model.chain.first() != Some(&Value::from("source")) {
            return Err(unknown("a source", pipeline));
        }
        // An operator that the model does not know shows with any line.
        model.row(b"{}").map(|_| model)
    }

    /// The row that a line becomes; none if it is filtered out.
    ///
    /// # Errors
    /// If the pipeline or the line is not what this model knows.
    pub fn row(&self, line: &[u8]) -> Result<Option<Vec<Cell>>, Invalid> {
        self.walk(line).map(|(cells, passed)| passed.then_some(cells))
    }

    /// Takes a line through all operators, also behind a filter that drops it, and tells whether
    /// it passed.
    fn walk(&self, line: &[u8]) -> Result<(Vec<Cell>, bool), Invalid> {
        let mut passed = true;
        let mut columns: Columns = Vec::new();
        for op in &self.chain {
            if let Some(wanted) = op.get("parse") {
                let line: Value = serde_json::from_slice(line)
                    .map_err(|error| Invalid::at("the model", error.to_string()))?;
                columns = parse(&line, wanted)?;
            } else if let Some(condition) = op.get("filter") {
                passed &= holds(condition, &columns)?;
            } else if let Some(names) = op.get("project") {
                let names = names.as_array().ok_or_else(|| unknown("columns", op))?;
                columns = names
                    .iter()
                    .map(|name| {
                        columns
                            .iter()
                            .find(|(known, _)| name == known)
                            .cloned()
                            .ok_or_else(|| unknown("a known column", name))
                    })
                    .collect::<Result<_, _>>()?;
            } else if op != "source" && op != "sink" {
                return Err(unknown("an operator of the model", op));
            }
        }
        Ok((columns.into_iter().map(|(_, cell)| cell).collect(), passed))
    }
}

fn unknown(wanted: &str, got: &Value) -> Invalid {
    Invalid::at("the model", format!("{got} is not {wanted}"))
}

fn parse(line: &Value, wanted: &Value) -> Result<Columns, Invalid> {
    let wanted = wanted.as_array().ok_or_else(|| unknown("columns", wanted))?;
    let column = |column: &Value| {
        let name = column["name"].as_str().ok_or_else(|| unknown("a column", column))?;
        let cell = match (&line[name], column["type"].as_str()) {
            (Value::Null, _) => Cell::Null,
            (Value::Bool(value), Some("bool")) => Cell::Bool(*value),
            (Value::Number(value), Some("int")) => {
                Cell::Int(value.as_i64().ok_or_else(|| unknown("a whole number", &line[name]))?)
            }
            (Value::String(value), Some("text")) => Cell::Text(value.clone()),
            (other, _) => return Err(unknown("of the column's type", other)),
        };
        Ok((name.to_owned(), cell))
    };
    wanted.iter().map(column).collect()
}

fn holds(condition: &Value, columns: &Columns) -> Result<bool, Invalid> {
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
            (Cell::Text(cell), Value::String(value)) => cell.cmp(value),
            _ => return Err(unknown("a comparison of the same types", compare)),
        };
        return match compare["is"].as_str() {
            Some("equal") => Ok(order.is_eq()),
            Some("below") => Ok(order.is_lt()),
            Some("above") => Ok(order.is_gt()),
            _ => Err(unknown("a comparison", compare)),
        };
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn model(middle: &Value) -> Result<Model, Invalid> {
        Model::new(&json!({"nodes": [
            {"name": "in", "op": "source"},
            {"name": "parsed", "inputs": ["in"], "op": {"parse": [
                {"name": "origin", "type": "text"}, {"name": "delay", "type": "int"}]}},
            {"name": "middle", "inputs": ["parsed"], "op": middle},
            {"name": "out", "inputs": ["middle"], "op": "sink"}]}))
    }

    #[test]
    fn rows_are_filtered_and_projected() {
        let above = json!({"compare": {"column": "delay", "is": "above", "value": 3}});
        let filter = model(&json!({"filter": above})).expect("known");
        let row = |line: &str| filter.row(line.as_bytes()).expect("a line");
        assert_eq!(row(r#"{"delay": 3}"#), None);
        assert_eq!(row(r#"{"origin": "JFK"}"#), None);
        let cells = vec![Cell::Text("JFK".to_owned()), Cell::Int(4)];
        assert_eq!(row(r#"{"delay": 4, "origin": "JFK", "more": 1}"#), Some(cells));
        let project = model(&json!({"project": ["delay"]})).expect("known");
        assert_eq!(project.row(br#"{"delay": 4}"#).expect("a line"), Some(vec![Cell::Int(4)]));
    }

    #[test]
    fn conditions_combine() {
        let line = br#"{"delay": 4}"#;
        let absent = json!({"is_null": "origin"});
        let present = json!({"not": absent});
        for (condition, passes) in [
            (json!({"all": [absent, {"not": present}]}), true),
            (json!({"any": [present, absent]}), true),
            (json!({"any": []}), false),
            (json!({"all": [absent, present]}), false),
        ] {
            let model = model(&json!({"filter": condition})).expect("known");
            assert_eq!(model.row(line).expect("a line").is_some(), passes, "{condition}");
        }
    }

    #[test]
    fn what_the_model_does_not_know_is_refused() {
        assert!(model(&json!({"dance": 1})).is_err());
        assert!(model(&json!({"project": ["gate"]})).is_err());
        assert!(model(&json!({"filter": {"moon": "full"}})).is_err());
        let behind_a_filter = json!({"nodes": [
            {"name": "in", "op": "source"},
            {"name": "parsed", "inputs": ["in"], "op": {"parse": [{"name": "a", "type": "int"}]}},
            {"name": "none", "inputs": ["parsed"], "op": {"filter": {"any": []}}},
            {"name": "new", "inputs": ["none"], "op": {"dance": 1}},
            {"name": "out", "inputs": ["new"], "op": "sink"}]});
        assert!(Model::new(&behind_a_filter).is_err());
        assert!(Model::new(&json!({"nodes": []})).is_err());
    }
}

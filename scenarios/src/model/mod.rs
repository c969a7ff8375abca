//! The model of a pipeline: what the sinks should hold, computed as naively as possible, straight
//! from the pipeline's JSON and the tuples' lines, by code that the engine does not share.
//!
//! - `rows`: a tuple's row, up to the window or the sink.
//! - [`graph`]: pipelines that are more than a chain with a window; `operators`: those with state;
//!   `expression`: computed columns.
//! - [`windows`]: which windows are there when, what they hold, and what comes too late for them.
//! - [`watermark`]: the watermark of each epoch.

mod expression;
pub mod graph;
mod operators;
mod rows;
pub mod watermark;
pub mod windows;

use serde_json::Value;

use self::{
    graph::Graph,
    rows::{Columns, Line, holds, parse},
    windows::Window,
};
use crate::{history::Cell, input::Invalid};

/// A pipeline, as its JSON says it.
#[derive(Clone, Debug)]
pub struct Model {
    /// The operators from the source to the window or the sink, without it.
    chain: Vec<Value>,
    window: Option<Window>,
    sinks: usize,
    graph: Option<Graph>,
}

impl Model {
    /// Takes the pipeline in its JSON form.
    ///
    /// # Errors
    /// If it is none that this model knows: better no verdict than a wrong one.
    pub fn new(pipeline: &Value) -> Result<Self, Invalid> {
        if is_chain(pipeline) {
            return Self::chain(pipeline);
        }
        let graph = Graph::new(pipeline)?;
        let sinks = graph.sinks();
        Ok(Self { chain: Vec::new(), window: None, sinks, graph: Some(graph) })
    }

    /// The pipeline that is a chain, with a window at its end or without.
    fn chain(pipeline: &Value) -> Result<Self, Invalid> {
        let nodes = pipeline["nodes"].as_array().ok_or_else(|| unknown("nodes", pipeline))?;
        let named = |name: &Value| nodes.iter().find(|node| node["name"] == *name);
        let before = |node: &Value| node["inputs"].get(0).and_then(named);
        let mut node = nodes.iter().find(|node| node["op"] == "sink").and_then(before);
        let window = node.and_then(|last| last["op"].get("window"));
        let late: Vec<_> = nodes.iter().filter(|node| node["op"] == "late_sink").collect();
        let behind_the_window = |late: &&Value| before(late).map(|from| &from["name"]);
        let of_the_window = node.map(|window| &window["name"]);
        if late.len() > usize::from(window.is_some())
            || late.iter().any(|late| behind_the_window(late) != of_the_window)
        {
            return Err(unknown("a pipeline with one late sink, behind a window", pipeline));
        }
        if window.is_some() {
            node = node.and_then(before);
        }
        let mut chain = Vec::new();
        while let Some(at) = node {
            chain.push(at["op"].clone());
            if chain.len() > nodes.len() {
                return Err(unknown("a chain", pipeline));
            }
            node = before(at);
        }
        chain.reverse();
        let sinks = 1 + late.len();
        let mut model = Self { chain, window: None, sinks, graph: None };
        if model.chain.first() != Some(&Value::from("source")) {
            return Err(unknown("a source", pipeline));
        }
        // An operator that the model does not know shows with any line.
        let (columns, _) = model.walk(b"{}")?;
        let columns: Vec<_> = columns.into_iter().map(|(name, _)| name).collect();
        let window = window.map(|window| Window::new(window, &columns)).transpose()?;
        model.window = window;
        Ok(model)
    }

    /// The window, if there is one.
    #[must_use]
    pub fn window(&self) -> Option<&Window> {
        self.window.as_ref()
    }

    /// The whole pipeline, if it is more than a chain.
    #[must_use]
    pub fn graph(&self) -> Option<&Graph> {
        self.graph.as_ref()
    }

    /// How many sources there are.
    ///
    /// # Panics
    /// If there are more than 2^16.
    #[must_use]
    pub fn sources(&self) -> u16 {
        let sources = self.graph.as_ref().map_or(1, Graph::sources);
        u16::try_from(sources).expect("few sources")
    }

    /// How long anything of a tuple may wait for the watermark, in milliseconds; none if nothing
    /// ever does.
    #[must_use]
    pub fn span_ms(&self) -> Option<u64> {
        let of_window = self.window.as_ref().map(|window| window.size_ms + window.delay_ms);
        let of_graph = self.graph.as_ref().filter(|graph| graph.keeps_state());
        of_window.or(of_graph.map(|graph| graph.span_ms + graph.delay_ms))
    }

    /// The watermark that closes everything of event times up to one, both in milliseconds since
    /// 1970.
    #[must_use]
    pub fn closed_ms(&self, last_ms: u64) -> u64 {
        match (&self.window, &self.graph) {
            (Some(window), _) => window.start_ms(last_ms) + window.size_ms,
            (None, Some(graph)) => last_ms + graph.span_ms + 1,
            (None, None) => 0,
        }
    }

    /// How many sinks there are: those for rows, then those for late rows.
    #[must_use]
    pub fn sinks(&self) -> usize {
        self.sinks
    }

    /// The row that a line becomes before a window or the sink; none if it is filtered out.
    ///
    /// # Errors
    /// If the pipeline or the line is not what this model knows.
    pub fn row(&self, line: &[u8]) -> Result<Option<Vec<Cell>>, Invalid> {
        let (columns, passed) = self.walk(line)?;
        Ok(passed.then(|| columns.into_iter().map(|(_, cell)| cell).collect()))
    }

    /// Takes a line through all operators, also behind a filter that drops it, and tells whether
    /// it passed.
    fn walk(&self, line: &[u8]) -> Result<(Columns<'_>, bool), Invalid> {
        let mut passed = true;
        let mut columns: Columns<'_> = Vec::new();
        for op in &self.chain {
            if let Some(wanted) = op.get("parse") {
                columns = parse(&Line::read(line)?, wanted)?;
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
            } else if op != "source" {
                return Err(unknown("an operator of the model", op));
            }
        }
        Ok((columns, passed))
    }
}

/// Whether a pipeline has one source, one sink, and between them only operators that this model takes
/// one after another, with at most one window that neither slides nor is updated.
fn is_chain(pipeline: &Value) -> bool {
    let nodes = pipeline["nodes"].as_array().into_iter().flatten();
    let ops = || nodes.clone().map(|node| &node["op"]);
    let count = |one: &str| ops().filter(|op| *op == one).count();
    let newer = ["map", "flat_map", "key_by", "session", "dedup", "join"];
    let plain = |window: &Value| {
        window["slide_ms"].is_null()
            && window["mode"] != "update"
            && window["key"].as_array().is_some_and(|key| !key.is_empty())
            && window["aggregates"]
                .as_array()
                .is_none_or(|all| all.iter().all(|one| one["of"].get("average").is_none()))
    };
    let taken = |name: &Value| {
        let inputs = nodes.clone().filter(|node| node["op"] != "late_sink");
        inputs
            .flat_map(|node| node["inputs"].as_array())
            .flatten()
            .filter(|one| *one == name)
            .count()
    };
    count("source") <= 1
        && count("sink") <= 1
        && count("union") == 0
        && count("dead_letters") == 0
        && ops().all(|op| newer.iter().all(|newer| op.get(newer).is_none()))
        && ops().filter_map(|op| op.get("window")).all(plain)
        && ops().filter(|op| op.get("window").is_some()).count() <= 1
        && nodes.clone().all(|node| taken(&node["name"]) <= 1)
}

fn unknown(wanted: &str, got: &Value) -> Invalid {
    Invalid::at("the model", format!("{got} is not {wanted}"))
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
        let cells = vec![Cell::Text("JFK".into()), Cell::Int(4)];
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

    #[test]
    fn a_window_stands_before_the_sink_and_a_late_sink_behind_it() {
        let window = json!({"window": {"key": ["origin"], "size_ms": 10, "delay_ms": 3,
            "aggregates": [{"name": "n", "of": "count"}]}});
        let pipeline = |late: &Value| {
            json!({"nodes": [
                {"name": "in", "op": "source"},
                {"name": "parsed", "inputs": ["in"], "op": {"parse": [
                    {"name": "origin", "type": "text"}]}},
                {"name": "window", "inputs": ["parsed"], "op": window},
                {"name": "late", "inputs": [late], "op": "late_sink"},
                {"name": "out", "inputs": ["window"], "op": "sink"}]})
        };
        let sound = Model::new(&pipeline(&json!("window"))).expect("known");
        assert_eq!((sound.sinks(), sound.window().expect("there").delay_ms), (2, 3));
        assert!(Model::new(&pipeline(&json!("parsed"))).is_err());
        let two_windows = json!({"nodes": [
            {"name": "in", "op": "source"},
            {"name": "parsed", "inputs": ["in"], "op": {"parse": [
                {"name": "origin", "type": "text"}]}},
            {"name": "first", "inputs": ["parsed"], "op": window},
            {"name": "second", "inputs": ["first"], "op": window},
            {"name": "out", "inputs": ["second"], "op": "sink"}]});
        let graph = Model::new(&two_windows).expect("known");
        assert!(graph.window().is_none() && graph.graph().is_some());
        assert_eq!((graph.sinks(), graph.sources(), graph.span_ms()), (1, 1, Some(23)));
    }
}

//! The shape of a pipeline: who takes from whom, each node after its inputs.

use std::collections::BTreeMap;

use petgraph::{
    algo::toposort,
    graph::{DiGraph, NodeIndex},
};

use super::{
    check::{PipelineError, error, whole},
    spec::{Node, Op, Spec},
};

/// The graph of a pipeline. A node's index is its place in the pipeline; an edge says which input
/// it is, from 0.
pub(super) type Graph<'a> = DiGraph<&'a Node, usize>;

/// The graph, and its nodes, each after its inputs.
///
/// # Errors
/// The first thing that is wrong with the shape.
pub(super) fn ordered(spec: &Spec) -> Result<(Graph<'_>, Vec<NodeIndex>), PipelineError> {
    let graph = graph(spec)?;
    let order = toposort(&graph, None)
        .map_err(|cycle| error(&graph[cycle.node_id()].name, "stands in a cycle"))?;
    for (what, one) in [("source", Op::Source), ("sink", Op::Sink)] {
        if spec.nodes.iter().all(|node| node.op != one) {
            return Err(whole(format!("needs a {what}, and has none")));
        }
    }
    let mut sides: BTreeMap<&str, &str> = BTreeMap::new();
    for place in graph.node_indices() {
        let node = graph[place];
        let takers = || graph.neighbors(place).map(|taker| graph[taker]);
        if is_side(&node.op) {
            let input = node.inputs[0].as_str();
            if let Some(first) = sides.insert(input, &node.name) {
                let what = format!("there is such a sink already behind \"{input}\": \"{first}\"");
                return Err(error(&node.name, what));
            }
        }
        if let Some(taker) = takers().find(|taker| taker.op == Op::LateSink)
            && !matches!(node.op, Op::Window(_) | Op::Session(_) | Op::Dedup(_))
        {
            let what = if matches!(node.op, Op::Join(_)) {
                "which is a join: its late rows are of two kinds"
            } else {
                "for which nothing is ever late: it keeps no state"
            };
            let what = format!("takes late rows from \"{}\", {what}", node.name);
            return Err(error(&taker.name, what));
        }
        if let Some(taker) = takers().find(|taker| taker.op == Op::DeadLetters)
            && !matches!(node.op, Op::Parse(_))
        {
            let what = format!("takes dead letters from \"{}\", which parses nothing", node.name);
            return Err(error(&taker.name, what));
        }
        if !is_sink(&node.op) && takers().all(|taker| is_side(&taker.op)) {
            return Err(error(&node.name, "its output goes nowhere; end it in a sink"));
        }
    }
    Ok((graph, order))
}

pub(super) fn is_sink(op: &Op) -> bool {
    matches!(op, Op::Sink) || is_side(op)
}

/// Whether it takes what a node does not hand on.
pub(super) fn is_side(op: &Op) -> bool {
    matches!(op, Op::LateSink | Op::DeadLetters)
}

/// How many inputs a node takes: at least, and at most.
fn inputs(op: &Op) -> (usize, usize) {
    match op {
        Op::Source => (0, 0),
        Op::Union => (2, usize::MAX),
        Op::Join(_) => (2, 2),
        Op::Parse(_)
        | Op::Filter(_)
        | Op::Project(_)
        | Op::Map(_)
        | Op::FlatMap(_)
        | Op::KeyBy(_)
        | Op::Window(_)
        | Op::Session(_)
        | Op::Dedup(_)
        | Op::Sink
        | Op::LateSink
        | Op::DeadLetters => (1, 1),
    }
}

fn graph(spec: &Spec) -> Result<Graph<'_>, PipelineError> {
    let mut graph = Graph::new();
    let mut places: BTreeMap<&str, NodeIndex> = BTreeMap::new();
    for node in &spec.nodes {
        if places.insert(&node.name, graph.add_node(node)).is_some() {
            return Err(error(&node.name, "two nodes have this name"));
        }
    }
    for node in &spec.nodes {
        let (least, most) = inputs(&node.op);
        let got = node.inputs.len();
        if got < least || got > most {
            let more = if most > least { " or more inputs" } else { " input" };
            let more = if least == most && least == 2 { " inputs" } else { more };
            return Err(error(&node.name, format!("takes {least}{more}, and has {got}")));
        }
        for (number, input) in node.inputs.iter().enumerate() {
            let from = places.get(input.as_str()).ok_or_else(|| {
                let known: Vec<_> = places.keys().copied().collect();
                error(
                    &node.name,
                    format!("unknown input \"{input}\"; there are: {}", known.join(", ")),
                )
            })?;
            if is_sink(&graph[*from].op) {
                return Err(error(&node.name, format!("takes from the sink \"{input}\"")));
            }
            graph.add_edge(*from, places[node.name.as_str()], number);
        }
    }
    Ok(graph)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{Condition, Pipeline};

    fn node(name: &str, input: &str, op: Op) -> Node {
        Node { name: name.to_owned(), inputs: vec![input.to_owned()], op }
    }

    fn wrong(change: impl FnOnce(&mut Vec<Node>)) -> String {
        let mut spec = Spec::hourly();
        change(&mut spec.nodes);
        Pipeline::new(&spec).expect_err("a wrong shape").to_string()
    }

    #[test]
    fn a_sink_for_late_rows_needs_an_operator_with_state_and_stands_alone() {
        assert_eq!(
            wrong(|nodes| nodes[4].inputs = vec!["parsed".to_owned()]),
            "pipeline node \"late\": takes late rows from \"parsed\", for which nothing is ever \
             late: it keeps no state"
        );
        assert_eq!(
            wrong(|nodes| nodes.push(node("later", "hourly", Op::LateSink))),
            "pipeline node \"later\": there is such a sink already behind \"hourly\": \"late\""
        );
        assert_eq!(
            wrong(|nodes| nodes.push(node("dead", "hourly", Op::DeadLetters))),
            "pipeline node \"dead\": takes dead letters from \"hourly\", which parses nothing"
        );
        assert_eq!(
            wrong(|nodes| nodes.push(node("later", "late", Op::LateSink))),
            "pipeline node \"later\": takes from the sink \"late\""
        );
    }

    #[test]
    fn every_output_ends_in_a_sink_and_inputs_are_as_many_as_an_operator_takes() {
        let filter = || Op::Filter(Condition::IsNull("origin".to_owned()));
        assert_eq!(
            wrong(|nodes| nodes.push(node("more", "parsed", filter()))),
            "pipeline node \"more\": its output goes nowhere; end it in a sink"
        );
        assert_eq!(wrong(|nodes| drop(nodes.remove(3))), "pipeline: needs a sink, and has none");
        assert_eq!(
            wrong(|nodes| nodes.push(node("more", "parsed", Op::Union))),
            "pipeline node \"more\": takes 2 or more inputs, and has 1"
        );
        assert_eq!(
            wrong(|nodes| nodes[1].inputs.push("flights".to_owned())),
            "pipeline node \"parsed\": takes 1 input, and has 2"
        );
        let mut spec = Spec::hourly();
        spec.nodes.truncate(4);
        assert_eq!(Pipeline::new(&spec).expect("sound").sinks(), 1);
        let mut spec = Spec::hourly();
        spec.nodes.reverse();
        let pipeline = Pipeline::new(&spec).expect("sound");
        assert_eq!((pipeline.columns(0)[0].as_str(), pipeline.columns(1).len()), ("origin", 4));
    }
}

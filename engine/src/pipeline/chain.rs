//! The shape of a pipeline: a chain from the source to the sink, with a second sink behind a window
//! for what comes too late.

use std::collections::BTreeMap;

use petgraph::{
    Direction,
    algo::toposort,
    graph::{DiGraph, NodeIndex},
};

use super::{
    check::{PipelineError, error, whole},
    spec::{Node, Op, Spec},
};

type Graph<'a> = DiGraph<&'a Node, ()>;

/// The nodes from the source to the sinks, each after its input.
///
/// # Errors
/// The first thing that is wrong with the shape.
pub(super) fn ordered(spec: &Spec) -> Result<Vec<&Node>, PipelineError> {
    let graph = graph(spec)?;
    let order = toposort(&graph, None)
        .map_err(|cycle| error(&graph[cycle.node_id()].name, "stands in a cycle"))?;
    for (what, one) in [("source", Op::Source), ("sink", Op::Sink)] {
        let count = spec.nodes.iter().filter(|node| node.op == one).count();
        if count != 1 {
            return Err(whole(format!("needs one {what}, and has {count}")));
        }
    }
    late_sinks(&graph)?;
    for place in graph.node_indices() {
        let takers: Vec<_> = graph.neighbors(place).map(|taker| graph[taker]).collect();
        let on_time = takers.iter().filter(|taker| taker.op != Op::LateSink);
        if matches!(graph[place].op, Op::Window(_))
            && let Some(taker) = on_time.clone().find(|taker| taker.op != Op::Sink)
        {
            return Err(error(&taker.name, "only sinks may follow a window"));
        }
        let on_time = on_time.count();
        if on_time != usize::from(!is_sink(&graph[place].op)) {
            let what = format!("its output goes to {on_time} nodes, and must go to one");
            return Err(error(&graph[place].name, what));
        }
    }
    Ok(order.into_iter().map(|place| graph[place]).collect())
}

fn is_sink(op: &Op) -> bool {
    matches!(op, Op::Sink | Op::LateSink)
}

/// The nodes and who takes from whom.
fn graph(spec: &Spec) -> Result<Graph<'_>, PipelineError> {
    let mut graph = Graph::new();
    let mut places: BTreeMap<&str, NodeIndex> = BTreeMap::new();
    for node in &spec.nodes {
        if places.insert(&node.name, graph.add_node(node)).is_some() {
            return Err(error(&node.name, "two nodes have this name"));
        }
    }
    for node in &spec.nodes {
        let wanted = usize::from(!matches!(node.op, Op::Source));
        if node.inputs.len() != wanted {
            let what = format!("takes {wanted} input, and has {}", node.inputs.len());
            return Err(error(&node.name, what));
        }
        for input in &node.inputs {
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
            graph.add_edge(*from, places[node.name.as_str()], ());
        }
    }
    Ok(graph)
}

/// At most one sink takes late rows, and only from a window: nothing is late elsewhere.
fn late_sinks(graph: &Graph<'_>) -> Result<(), PipelineError> {
    let mut first: Option<&str> = None;
    for place in graph.node_indices().filter(|place| graph[*place].op == Op::LateSink) {
        let name = graph[place].name.as_str();
        let inputs = graph.neighbors_directed(place, Direction::Incoming);
        for input in inputs.map(|input| graph[input]) {
            if !matches!(input.op, Op::Window(_)) {
                let what =
                    format!("takes late rows from \"{}\", which is not a window", input.name);
                return Err(error(name, what));
            }
        }
        if let Some(first) = first {
            return Err(error(name, format!("there is a late sink already: \"{first}\"")));
        }
        first = Some(name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{Column, ColumnType, Pipeline};

    fn node(name: &str, input: &str, op: Op) -> Node {
        Node { name: name.to_owned(), inputs: vec![input.to_owned()], op }
    }

    fn wrong(change: impl FnOnce(&mut Vec<Node>)) -> String {
        let mut spec = Spec::hourly();
        change(&mut spec.nodes);
        Pipeline::new(&spec).expect_err("a wrong shape").to_string()
    }

    #[test]
    fn a_sink_for_late_rows_needs_a_window_and_stands_alone() {
        assert_eq!(
            wrong(|nodes| nodes[4].inputs = vec!["parsed".to_owned()]),
            "pipeline node \"late\": takes late rows from \"parsed\", which is not a window"
        );
        assert_eq!(
            wrong(|nodes| nodes.push(node("later", "hourly", Op::LateSink))),
            "pipeline node \"later\": there is a late sink already: \"late\""
        );
        assert_eq!(
            wrong(|nodes| nodes.push(node("later", "late", Op::LateSink))),
            "pipeline node \"later\": takes from the sink \"late\""
        );
    }

    #[test]
    fn only_sinks_may_follow_a_window() {
        let Op::Window(window) = Spec::hourly().nodes[2].op.clone() else { panic!("a window") };
        let column = Column { name: "origin".to_owned(), kind: ColumnType::Text };
        for op in [
            Op::Window(window),
            Op::Project(vec!["origin".to_owned()]),
            Op::Parse(vec![column]),
            Op::Filter(crate::pipeline::Condition::IsNull("origin".to_owned())),
        ] {
            let got = wrong(|nodes| {
                nodes[3].inputs = vec!["more".to_owned()];
                nodes.push(node("more", "hourly", op));
            });
            assert_eq!(got, "pipeline node \"more\": only sinks may follow a window");
        }
    }

    #[test]
    fn a_window_needs_a_sink_and_can_do_without_one_for_late_rows() {
        assert_eq!(wrong(|nodes| drop(nodes.remove(3))), "pipeline: needs one sink, and has 0");
        assert_eq!(
            wrong(|nodes| nodes.push(node("twice", "hourly", Op::Sink))),
            "pipeline: needs one sink, and has 2"
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

//! Checking a pipeline, and compiling it.

use std::collections::BTreeMap;

use petgraph::{
    algo::toposort,
    graph::{DiGraph, NodeIndex},
};
use xxhash_rust::xxh3::xxh3_64;

use super::spec::{Column, ColumnType, Comparison, Condition, Constant, Node, Op, Spec, Value};

/// A pipeline that was checked, ready to run. Cheap enough to clone once per node.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub(super) steps: Vec<Step>,
    columns: Vec<String>,
    fingerprint: u64,
}

/// A compiled operator: names have become places.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Parse(Vec<Column>),
    Filter(Test),
    Project(Vec<usize>),
}

/// A compiled condition.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Compare(usize, Comparison, Value),
    IsNull(usize),
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
}

/// Why a pipeline cannot be run, with the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct PipelineError {
    place: String,
    what: String,
}

fn error(node: &str, what: impl Into<String>) -> PipelineError {
    PipelineError { place: format!("pipeline node \"{node}\""), what: what.into() }
}

fn whole(what: impl Into<String>) -> PipelineError {
    PipelineError { place: "pipeline".to_owned(), what: what.into() }
}

impl Pipeline {
    /// Checks and compiles.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn new(spec: &Spec) -> Result<Self, PipelineError> {
        let order = ordered(spec)?;
        let mut columns: Option<Vec<Column>> = None;
        let mut steps = Vec::new();
        for node in &order {
            let known = || {
                columns.as_deref().ok_or_else(|| error(&node.name, "needs columns: parse first"))
            };
            match &node.op {
                Op::Source | Op::Sink => {}
                Op::Parse(wanted) => {
                    if columns.is_some() {
                        return Err(error(&node.name, "parses what is parsed already"));
                    }
                    unlike(&node.name, wanted.iter().map(|column| &column.name))?;
                    steps.push(Step::Parse(wanted.clone()));
                    columns = Some(wanted.clone());
                }
                Op::Filter(condition) => {
                    steps.push(Step::Filter(compile(&node.name, condition, known()?)?));
                }
                Op::Project(names) => {
                    let known = known()?;
                    unlike(&node.name, names.iter())?;
                    let places: Vec<usize> = names
                        .iter()
                        .map(|name| find(&node.name, name, known))
                        .collect::<Result<_, _>>()?;
                    columns = Some(places.iter().map(|place| known[*place].clone()).collect());
                    steps.push(Step::Project(places));
                }
            }
        }
        let columns = columns.ok_or_else(|| whole("has no columns: parse first"))?;
        let columns = columns.into_iter().map(|column| column.name).collect();
        let fingerprint = xxh3_64(format!("{spec:?}").as_bytes());
        Ok(Self { steps, columns, fingerprint })
    }

    /// The columns of a row of the sink.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Tells one pipeline from another: an epoch is never rerun by another than it was planned
    /// for.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

/// The nodes from the source to the sink: a chain, for as long as no operator takes two inputs.
fn ordered(spec: &Spec) -> Result<Vec<&Node>, PipelineError> {
    let mut graph: DiGraph<&Node, ()> = DiGraph::new();
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
            if matches!(graph[*from].op, Op::Sink) {
                return Err(error(&node.name, format!("takes from the sink \"{input}\"")));
            }
            graph.add_edge(*from, places[node.name.as_str()], ());
        }
    }
    let order = toposort(&graph, None)
        .map_err(|cycle| error(&graph[cycle.node_id()].name, "stands in a cycle"))?;
    for (what, one) in [("source", Op::Source), ("sink", Op::Sink)] {
        let count = spec.nodes.iter().filter(|node| node.op == one).count();
        if count != 1 {
            return Err(whole(format!("needs one {what}, and has {count}")));
        }
    }
    for place in graph.node_indices() {
        let takers = graph.neighbors(place).count();
        if takers != usize::from(!matches!(graph[place].op, Op::Sink)) {
            let what = format!("its output goes to {takers} nodes, and must go to one");
            return Err(error(&graph[place].name, what));
        }
    }
    Ok(order.into_iter().map(|place| graph[place]).collect())
}

fn unlike<'a>(node: &str, names: impl Iterator<Item = &'a String>) -> Result<(), PipelineError> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(error(node, format!("has the column \"{name}\" twice")));
        }
    }
    if seen.is_empty() {
        return Err(error(node, "has no columns"));
    }
    Ok(())
}

fn find(node: &str, name: &str, columns: &[Column]) -> Result<usize, PipelineError> {
    columns.iter().position(|column| column.name == name).ok_or_else(|| {
        let known: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
        error(node, format!("unknown column \"{name}\"; there are: {}", known.join(", ")))
    })
}

fn compile(node: &str, condition: &Condition, columns: &[Column]) -> Result<Test, PipelineError> {
    let each = |conditions: &[Condition]| {
        conditions.iter().map(|one| compile(node, one, columns)).collect::<Result<Vec<_>, _>>()
    };
    Ok(match condition {
        Condition::Compare { column, is, value } => {
            let place = find(node, column, columns)?;
            let (value, kind) = match value {
                Constant::Bool(value) => (Value::Bool(*value), ColumnType::Bool),
                Constant::Int(value) => (Value::Int(*value), ColumnType::Int),
                Constant::Text(value) => (Value::Text(value.clone()), ColumnType::Text),
            };
            if kind != columns[place].kind {
                let what = format!(
                    "compares the column \"{column}\" of type {:?} with the constant {value:?}",
                    columns[place].kind
                );
                return Err(error(node, what));
            }
            Test::Compare(place, *is, value)
        }
        Condition::IsNull(column) => Test::IsNull(find(node, column, columns)?),
        Condition::All(conditions) => Test::All(each(conditions)?),
        Condition::Any(conditions) => Test::Any(each(conditions)?),
        Condition::Not(condition) => Test::Not(Box::new(compile(node, condition, columns)?)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(change: impl FnOnce(&mut Spec)) -> String {
        let mut spec = Spec::flights();
        change(&mut spec);
        Pipeline::new(&spec).expect_err("a wrong pipeline").to_string()
    }

    #[test]
    fn the_flights_pipeline_compiles_and_survives_json() {
        let spec = Spec::flights();
        let pipeline = Pipeline::new(&spec).expect("sound");
        assert_eq!(pipeline.columns(), ["origin", "dest", "carrier", "flight", "delay"]);
        let json = serde_json::to_string(&spec).expect("serialises");
        assert_eq!(serde_json::from_str::<Spec>(&json).expect("parses"), spec);
    }

    #[test]
    fn the_order_of_the_nodes_in_the_text_has_no_meaning() {
        let mut spec = Spec::flights();
        spec.nodes.reverse();
        assert_eq!(Pipeline::new(&spec).expect("sound").columns().len(), 5);
    }

    #[test]
    fn each_fault_is_told_with_its_place() {
        type Change = Box<dyn FnOnce(&mut Spec)>;
        let cases: [(&str, Change); 9] = [
            (
                "node \"late\": unknown input \"parse\"; there are: flights, late, parsed, short, table",
                Box::new(|spec| spec.nodes[2].inputs = vec!["parse".to_owned()]),
            ),
            (
                "node \"short\": unknown column \"gate\"; there are: origin, dest, carrier, flight, tail, delay",
                Box::new(|spec| spec.nodes[3].op = Op::Project(vec!["gate".to_owned()])),
            ),
            (
                "node \"late\": two nodes have this name",
                Box::new(|spec| spec.nodes[3].name = "late".to_owned()),
            ),
            ("stands in a cycle", Box::new(|spec| spec.nodes[1].inputs = vec!["short".to_owned()])),
            (
                "pipeline: needs one source, and has 2",
                Box::new(|spec| {
                    spec.nodes.push(Node {
                        name: "more".to_owned(),
                        inputs: vec![],
                        op: Op::Source,
                    })
                }),
            ),
            (
                "node \"late\": takes 1 input, and has 0",
                Box::new(|spec| spec.nodes[2].inputs.clear()),
            ),
            (
                "node \"parsed\": needs columns: parse first",
                Box::new(|spec| spec.nodes[1].op = spec.nodes[2].op.clone()),
            ),
            (
                "compares the column \"delay\" of type Int with the constant Text(\"x\")",
                Box::new(|spec| {
                    spec.nodes[2].op = Op::Filter(Condition::Compare {
                        column: "delay".to_owned(),
                        is: Comparison::Equal,
                        value: Constant::Text("x".to_owned()),
                    })
                }),
            ),
            (
                "node \"short\": has the column \"dest\" twice",
                Box::new(|spec| {
                    spec.nodes[3].op = Op::Project(vec!["dest".to_owned(), "dest".to_owned()])
                }),
            ),
        ];
        for (want, change) in cases {
            let got = wrong(change);
            assert!(got.contains(want), "{got} has no {want}");
        }
    }

    #[test]
    fn a_pipeline_needs_exactly_one_source_and_one_sink() {
        assert_eq!(
            Pipeline::new(&Spec { nodes: vec![] }).expect_err("empty").to_string(),
            "pipeline: needs one source, and has 0"
        );
        let got = wrong(|spec| spec.nodes.truncate(4));
        assert_eq!(got, "pipeline: needs one sink, and has 0");
    }

    #[test]
    fn another_pipeline_has_another_fingerprint() {
        let one = Pipeline::new(&Spec::flights()).expect("sound");
        let mut spec = Spec::flights();
        spec.nodes[3].op = Op::Project(vec!["dest".to_owned()]);
        let other = Pipeline::new(&spec).expect("sound");
        assert_ne!(one.fingerprint(), other.fingerprint());
    }
}

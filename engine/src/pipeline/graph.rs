//! Checking a pipeline, and compiling it.

use std::collections::BTreeMap;

use petgraph::visit::EdgeRef;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    check::{PipelineError, error, find, unlike},
    dedup::DedupOp,
    expression::{Formula, Test},
    join::JoinOp,
    operator::{Operator, What},
    row::Row,
    schema::Flow,
    session::SessionOp,
    shape::{is_side, ordered},
    spec::{Column, ColumnType, Computed, Mode, Node, Op, Spec},
    window::WindowOp,
};

/// A pipeline that was checked, ready to run. Cheap enough to clone once per node.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub(super) nodes: Vec<Compiled>,
    /// The places of the sources.
    pub(super) sources: Vec<usize>,
    pub(super) operators: Vec<Operator>,
    /// The operator and the input of each exchange.
    pub(super) exchanges: Vec<(usize, usize)>,
    /// The names of each sink's columns.
    columns: Vec<Vec<String>>,
    /// The place of each sink's node in the pipeline.
    pub(super) sinks: Vec<usize>,
    delay_ms: u64,
    fingerprint: u64,
}

/// The columns of a dead letter.
const DEAD_LETTER: [&str; 3] = ["partition", "offset", "line"];

/// A compiled node.
#[derive(Clone, Debug)]
pub(super) struct Compiled {
    pub(super) name: String,
    pub(super) work: Work,
    /// Who takes what it gives: node and input.
    pub(super) to: Vec<(usize, usize)>,
    /// The sink that takes what it does not hand on: what came too late, or is no line of the
    /// schema.
    pub(super) side: Option<usize>,
}

/// What a node does to a row: names have become places.
#[derive(Clone, Debug)]
pub(super) enum Work {
    Parse(Vec<Column>),
    Filter(Test),
    Project(Vec<usize>),
    /// Columns, each from the row as it came; those at these places, or behind all others.
    Map(Vec<(usize, Formula)>),
    Split {
        place: usize,
        at: String,
    },
    Pass,
    /// To the exchange of an operator's first input; the others follow.
    Exchange(usize),
    Sink(usize),
}

impl Pipeline {
    /// Checks and compiles.
    ///
    /// # Errors
    /// The first thing that is wrong.
    ///
    /// # Panics
    /// Never: what it relies on was checked before.
    pub fn new(spec: &Spec) -> Result<Self, PipelineError> {
        let (graph, order) = ordered(spec)?;
        let sinks = numbered(spec);
        let mut flows = vec![Flow::default(); spec.nodes.len()];
        let mut compiled: Vec<Option<Work>> = vec![None; spec.nodes.len()];
        let mut operators: Vec<Operator> = Vec::new();
        let mut exchanges = Vec::new();
        let mut delay_ms = 0;
        for place in &order {
            let node = graph[*place];
            let place = place.index();
            let mut inputs: Vec<_> =
                graph.edges_directed(order_index(place), petgraph::Direction::Incoming).collect();
            inputs.sort_by_key(|edge| *edge.weight());
            let inputs: Vec<_> =
                inputs.into_iter().map(|edge| flows[edge.source().index()].clone()).collect();
            let exchange = exchanges.len();
            let (work, flow, what) = compile(node, &inputs, (sinks.get(&place), exchange))?;
            if let Some((what, own_ms)) = what {
                let operator = Operator {
                    what,
                    node: place,
                    stage: flow.stage,
                    exchange,
                    behind_ms: inputs.iter().map(|flow| flow.behind_ms).max().unwrap_or(0),
                    chained: inputs.iter().any(|flow| flow.chained),
                };
                exchanges.extend((0..operator.inputs()).map(|input| (operators.len(), input)));
                operators.push(operator);
                delay_ms = delay_ms.max(own_ms);
            }
            compiled[place] = Some(work);
            flows[place] = flow;
        }
        let nodes = graph.node_indices().zip(compiled).map(|(place, work)| {
            let mut takers: Vec<_> = graph.edges(place).collect();
            takers.sort_by_key(|edge| (edge.target(), *edge.weight()));
            let of_side = |taker: usize| is_side(&spec.nodes[taker].op);
            let (side, to): (Vec<_>, Vec<_>) = takers
                .iter()
                .map(|edge| (edge.target().index(), *edge.weight()))
                .partition(|(taker, _)| of_side(*taker));
            Compiled {
                name: graph[place].name.clone(),
                work: work.expect("each was compiled"),
                to,
                side: side.first().map(|(taker, _)| *taker),
            }
        });
        let nodes = nodes.collect();
        let mut by_number: Vec<_> = sinks.into_iter().collect();
        by_number.sort_by_key(|(_, number)| *number);
        let sinks: Vec<_> = by_number.into_iter().map(|(place, _)| place).collect();
        let columns =
            sinks.iter().map(|place| columns(spec, *place, &flows)).collect::<Result<_, _>>()?;
        let of_source = |place: &usize| spec.nodes[*place].op == Op::Source;
        let sources = (0..spec.nodes.len()).filter(of_source).collect();
        let fingerprint = xxh3_64(format!("{spec:?}").as_bytes());
        Ok(Self { nodes, sources, operators, exchanges, columns, sinks, delay_ms, fingerprint })
    }

    /// How many sources there are. Each has every so-manieth partition of the broker.
    #[must_use]
    pub fn sources(&self) -> usize {
        self.sources.len()
    }

    /// The first node that parses lines and stops at one that is none of its schema; none if all have
    /// a sink for those.
    #[must_use]
    pub fn without_dead_letters(&self) -> Option<&str> {
        let stops = |node: &&Compiled| matches!(node.work, Work::Parse(_)) && node.side.is_none();
        self.nodes.iter().find(stops).map(|node| node.name.as_str())
    }

    /// How many sinks there are: those for rows, then those for late rows, then those for dead
    /// letters.
    #[must_use]
    pub fn sinks(&self) -> usize {
        self.columns.len()
    }

    /// The columns of a row of a sink.
    ///
    /// # Panics
    /// If there is no such sink.
    #[must_use]
    pub fn columns(&self, sink: usize) -> &[String] {
        &self.columns[sink]
    }

    /// How many stages with state there are, one after another; none if each row stands for
    /// itself. Each begins with a shuffle.
    #[must_use]
    pub fn stages(&self) -> usize {
        self.operators.iter().map(|operator| operator.stage).max().unwrap_or(0)
    }

    /// How many exchanges there are: one for each input of an operator with state.
    #[must_use]
    pub fn exchanges(&self) -> usize {
        self.exchanges.len()
    }

    /// The stage that takes what goes to an exchange, from 1.
    ///
    /// # Panics
    /// If there is no such exchange.
    #[must_use]
    pub fn stage_of(&self, exchange: usize) -> usize {
        self.operators[self.exchanges[exchange].0].stage
    }

    /// The state partition of a row that goes to an exchange, out of `count`.
    ///
    /// # Panics
    /// If `count` is 0, or the row or the exchange is of another pipeline.
    #[must_use]
    pub fn state_partition(&self, exchange: usize, row: &Row, count: u16) -> u16 {
        let (operator, input) = self.exchanges[exchange];
        self.operators[operator].state_partition(input, row, count)
    }

    /// How far the watermark stays behind the latest event time, in milliseconds; 0 without state.
    #[must_use]
    pub fn delay_ms(&self) -> u64 {
        self.delay_ms
    }

    /// Tells one pipeline from another: an epoch is never rerun by another than it was planned
    /// for.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

fn order_index(place: usize) -> petgraph::graph::NodeIndex {
    petgraph::graph::NodeIndex::new(place)
}

/// The names of a sink's columns.
fn columns(spec: &Spec, place: usize, flows: &[Flow]) -> Result<Vec<String>, PipelineError> {
    let node = &spec.nodes[place];
    if node.op == Op::DeadLetters {
        return Ok(DEAD_LETTER.map(str::to_owned).to_vec());
    }
    let of = |input: &String| spec.nodes.iter().position(|one| one.name == *input);
    // What is late is as it came to the operator.
    let late = (node.op == Op::LateSink)
        .then(|| of(&node.inputs[0]))
        .flatten()
        .and_then(|operator| of(spec.nodes[operator].inputs.first()?));
    let names = flows[late.unwrap_or(place)].columns(&node.name)?;
    Ok(names.iter().map(|column| column.name.clone()).collect())
}

/// The number of each sink, by its place.
fn numbered(spec: &Spec) -> BTreeMap<usize, usize> {
    let of = |op: Op| (0..spec.nodes.len()).filter(move |place| spec.nodes[*place].op == op);
    of(Op::Sink).chain(of(Op::LateSink)).chain(of(Op::DeadLetters)).zip(0..).collect()
}

/// What a node does, what it gives, and if it keeps state: the operator, and by how much it lets
/// event times lag.
type Part = (Work, Flow, Option<(What, u64)>);

fn compile(
    node: &Node,
    inputs: &[Flow],
    (sink, exchange): (Option<&usize>, usize),
) -> Result<Part, PipelineError> {
    let name = node.name.as_str();
    let mut flow = inputs.first().cloned().unwrap_or_default();
    flow.stage = inputs.iter().map(|flow| flow.stage).max().unwrap_or(0);
    flow.behind_ms = inputs.iter().map(|flow| flow.behind_ms).max().unwrap_or(0);
    flow.chained = inputs.iter().any(|flow| flow.chained);
    flow.updates = inputs.iter().any(|flow| flow.updates);
    let work = match &node.op {
        Op::Source => Work::Pass,
        Op::Parse(wanted) => {
            if flow.columns.is_some() {
                return Err(error(name, "parses what is parsed already"));
            }
            unlike(name, wanted.iter().map(|column| column.name.as_str()))?;
            flow.columns = Some(wanted.clone());
            Work::Parse(wanted.clone())
        }
        Op::Filter(condition) => Work::Filter(Test::new(name, condition, flow.columns(name)?)?),
        Op::Project(names) => {
            let known = flow.columns(name)?;
            unlike(name, names.iter().map(String::as_str))?;
            let places: Vec<usize> =
                names.iter().map(|one| find(name, one, known)).collect::<Result<_, _>>()?;
            flow.columns = Some(flow.those(&places));
            Work::Project(places)
        }
        Op::Map(computed) => map(name, computed, &mut flow)?,
        Op::FlatMap(split) => {
            let known = flow.columns(name)?;
            let place = find(name, &split.column, known)?;
            if known[place].kind != ColumnType::Text {
                let kind = known[place].kind;
                let what = format!("splits the column \"{}\" of type {kind:?}", split.column);
                return Err(error(name, what));
            }
            if split.at.is_empty() {
                return Err(error(name, "splits at nothing: `at` must be at least one byte"));
            }
            Work::Split { place, at: split.at.clone() }
        }
        Op::Union => {
            alike(node, inputs)?;
            if inputs.iter().any(|other| other.key != flow.key) {
                flow.key = None;
            }
            Work::Pass
        }
        Op::KeyBy(names) => {
            flow.key(name, names)?;
            flow.key = Some(names.clone());
            Work::Pass
        }
        Op::Sink | Op::LateSink | Op::DeadLetters => {
            flow.columns(name)?;
            Work::Sink(*sink.expect("each sink has a number"))
        }
        Op::Window(_) | Op::Session(_) | Op::Dedup(_) | Op::Join(_) => {
            let (flow, what, delay_ms) = with_state(node, inputs, &flow)?;
            return Ok((Work::Exchange(exchange), flow, Some((what, delay_ms))));
        }
    };
    Ok((work, flow, None))
}

/// An operator with state: what it gives, what it is, and by how much it lets event times lag.
fn with_state(
    node: &Node,
    inputs: &[Flow],
    flow: &Flow,
) -> Result<(Flow, What, u64), PipelineError> {
    let name = node.name.as_str();
    match (&node.op, inputs) {
        (Op::Window(window), _) => {
            let (what, rows) = WindowOp::new(name, window, flow)?;
            let updates = window.mode == Mode::Update;
            let flow = Flow { updates, ..after(flow, rows, 0) };
            Ok((flow, What::Window(what), window.delay_ms))
        }
        (Op::Session(session), _) => {
            let (what, rows) = SessionOp::new(name, session, flow)?;
            Ok((after(flow, rows, 0), What::Session(what), session.delay_ms))
        }
        (Op::Dedup(dedup), _) => {
            let what = DedupOp::new(name, dedup, flow)?;
            let rows = flow.columns(name)?.to_vec();
            let flow = Flow { key: flow.key.clone(), ..after(flow, rows, 0) };
            Ok((flow, What::Dedup(what), dedup.delay_ms))
        }
        (Op::Join(join), [left, right]) => {
            let (what, rows) = JoinOp::new(name, join, [left, right])?;
            Ok((after(flow, rows, what.behind_ms()), What::Join(what), join.delay_ms))
        }
        (op, _) => panic!("{op:?} keeps no state, or the shape was not checked"),
    }
}

/// Computed columns, which take their places in the flow.
fn map(name: &str, computed: &[Computed], flow: &mut Flow) -> Result<Work, PipelineError> {
    let known = flow.columns(name)?.to_vec();
    unlike(name, computed.iter().map(|column| column.name.as_str()))?;
    let mut columns = known.clone();
    let mut formulas = Vec::new();
    for one in computed {
        let (formula, kind) = Formula::new(name, &one.of, &known)?;
        let column = Column { name: one.name.clone(), kind };
        let place = columns.iter().position(|column| column.name == one.name);
        match place {
            Some(place) => columns[place] = column,
            None => columns.push(column),
        }
        formulas.push((place.unwrap_or(columns.len() - 1), formula));
    }
    flow.columns = Some(columns);
    Ok(Work::Map(formulas))
}

/// Checks that all inputs have the same columns.
fn alike(node: &Node, inputs: &[Flow]) -> Result<(), PipelineError> {
    let name = node.name.as_str();
    let mut each = inputs.iter().zip(&node.inputs);
    let Some((first, first_name)) = each.next() else { return Ok(()) };
    for (other, input) in each {
        let (first, other) = (first.columns(name)?, other.columns(name)?);
        if first != other {
            let what = format!(
                "its inputs have different columns: \"{first_name}\" has {}, \"{input}\" has {}",
                told(first),
                told(other)
            );
            return Err(error(name, what));
        }
    }
    Ok(())
}

/// What an operator with state gives.
fn after(input: &Flow, columns: Vec<Column>, behind_ms: u64) -> Flow {
    Flow {
        columns: Some(columns),
        key: None,
        behind_ms: input.behind_ms.saturating_add(behind_ms),
        chained: true,
        updates: false,
        stage: input.stage + 1,
    }
}

fn told(columns: &[Column]) -> String {
    let each = columns.iter().map(|column| format!("{} {:?}", column.name, column.kind));
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{
        Comparison, Condition, Constant, Expression, Join, JoinKind, Window,
        builder::{Builder, Stream, column, count, int, of},
    };

    fn wrong(change: impl FnOnce(&mut Spec)) -> String {
        let mut spec = Spec::flights();
        change(&mut spec);
        Pipeline::new(&spec).expect_err("a wrong pipeline").to_string()
    }

    #[test]
    fn the_flights_pipeline_compiles_and_survives_json() {
        let spec = Spec::flights();
        let pipeline = Pipeline::new(&spec).expect("sound");
        assert_eq!(pipeline.columns(0), ["origin", "dest", "carrier", "flight", "delay"]);
        let json = serde_json::to_string(&spec).expect("serialises");
        assert_eq!(serde_json::from_str::<Spec>(&json).expect("parses"), spec);
    }

    #[test]
    fn the_order_of_the_nodes_in_the_text_has_no_meaning() {
        let mut spec = Spec::flights();
        spec.nodes.reverse();
        assert_eq!(Pipeline::new(&spec).expect("sound").columns(0).len(), 5);
    }

    #[test]
    fn each_fault_is_told_with_its_place() {
        type Change = Box<dyn FnOnce(&mut Spec)>;
        let cases: [(&str, Change); 8] = [
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
    fn a_pipeline_needs_a_source_and_a_sink() {
        assert_eq!(
            Pipeline::new(&Spec { nodes: vec![] }).expect_err("empty").to_string(),
            "pipeline: needs a source, and has none"
        );
        let got = wrong(|spec| spec.nodes.truncate(4));
        assert_eq!(got, "pipeline: needs a sink, and has none");
    }

    #[test]
    fn another_pipeline_has_another_fingerprint() {
        let one = Pipeline::new(&Spec::flights()).expect("sound");
        let mut spec = Spec::flights();
        spec.nodes[3].op = Op::Project(vec!["dest".to_owned()]);
        let other = Pipeline::new(&spec).expect("sound");
        assert_ne!(one.fingerprint(), other.fingerprint());
    }

    fn fault(write: impl FnOnce(&Stream<'_>)) -> String {
        let builder = Builder::default();
        let columns = [("key", "text"), ("amount", "int")];
        write(&builder.source("in").parse("all", columns.map(|(name, kind)| column(name, kind))));
        Pipeline::new(&builder.spec()).expect_err("a fault").to_string()
    }

    #[test]
    fn faults_of_keys_types_and_inputs_are_told_with_their_nodes() {
        let counts = || [count("n")];
        let got = fault(|all| all.tumbling("w", 5, 0, counts()).sink("out"));
        let want = "pipeline node \"w\": has no key: name at least one column, or key_by before";
        assert_eq!(got, want);
        let got = fault(|all| all.key_by("k", ["gate"]).session("s", 5, 0, counts()).sink("out"));
        assert_eq!(got, "pipeline node \"k\": unknown column \"gate\"; there are: key, amount");
        let got = fault(|all| {
            let lean = all.key_by("k", ["key"]).project("lean", ["amount"]);
            lean.dedup("d", 5, 0).sink("out");
        });
        assert_eq!(got, "pipeline node \"d\": unknown column \"key\"; there are: amount");
        let got = fault(|all| all.union("u", &all.project("lean", ["key"])).sink("out"));
        let want = "pipeline node \"u\": its inputs have different columns: \"all\" has key Text, \
                    amount Int, \"lean\" has key Text";
        assert_eq!(got, want);
        let twice = Expression::Plus(Box::new((of("key"), int(1))));
        let got = fault(|all| all.map("m", [("sum", twice)]).sink("out"));
        let want = "pipeline node \"m\": computes with a value of type Text, and needs Int";
        assert_eq!(got, want);
        let got = fault(|all| all.flat_map("f", "amount", ",").sink("out"));
        assert_eq!(got, "pipeline node \"f\": splits the column \"amount\" of type Int");
        let names = |name: &str| vec![name.to_owned()];
        let join = |left: &str, right: &str| Join {
            kind: JoinKind::Inner,
            left_key: names(left),
            right_key: names(right),
            before_ms: 1,
            after_ms: 1,
            delay_ms: 0,
        };
        let got = fault(|all| all.join("j", all, join("key", "amount")).sink("out"));
        let want = "pipeline node \"j\": the keys have the types [Text] and [Int], and must have \
                    the same";
        assert_eq!(got, want);
        let got = fault(|all| all.join("j", all, join("key", "key")).sink("out"));
        assert_eq!(got, "pipeline node \"j\": has the column \"amount\" twice");
        let got = fault(|all| {
            let window = Window {
                key: names("key"),
                size_ms: 5,
                slide_ms: None,
                delay_ms: 0,
                mode: Mode::Update,
                aggregates: counts().into(),
            };
            all.window("w", window).key_by("k", ["key"]).dedup("d", 5, 0).sink("out");
        });
        assert_eq!(got, "pipeline node \"k\": takes rows that are updated; only sinks can");
    }
}

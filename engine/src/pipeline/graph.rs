//! Checking a pipeline, and compiling it.

use xxhash_rust::xxh3::xxh3_64;

use super::{
    chain::ordered,
    check::{PipelineError, error, find, unlike, whole},
    spec::{Column, ColumnType, Comparison, Condition, Constant, Op, Spec, Value},
    window::WindowOp,
};

/// A pipeline that was checked, ready to run. Cheap enough to clone once per node.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub(super) steps: Vec<Step>,
    window: Option<WindowOp>,
    /// The names of each sink's columns.
    columns: Vec<Vec<String>>,
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

impl Pipeline {
    /// Checks and compiles.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn new(spec: &Spec) -> Result<Self, PipelineError> {
        let order = ordered(spec)?;
        let mut columns: Option<Vec<Column>> = None;
        let mut steps = Vec::new();
        let mut window = None;
        // What is late is as it came to the window.
        let mut late = None;
        for node in &order {
            let known = || {
                columns.as_deref().ok_or_else(|| error(&node.name, "needs columns: parse first"))
            };
            match &node.op {
                Op::Source | Op::Sink | Op::LateSink => {}
                Op::Parse(wanted) => {
                    if columns.is_some() {
                        return Err(error(&node.name, "parses what is parsed already"));
                    }
                    unlike(&node.name, wanted.iter().map(|column| column.name.as_str()))?;
                    steps.push(Step::Parse(wanted.clone()));
                    columns = Some(wanted.clone());
                }
                Op::Filter(condition) => {
                    steps.push(Step::Filter(compile(&node.name, condition, known()?)?));
                }
                Op::Project(names) => {
                    let known = known()?;
                    unlike(&node.name, names.iter().map(String::as_str))?;
                    let places: Vec<usize> = names
                        .iter()
                        .map(|name| find(&node.name, name, known))
                        .collect::<Result<_, _>>()?;
                    columns = Some(places.iter().map(|place| known[*place].clone()).collect());
                    steps.push(Step::Project(places));
                }
                Op::Window(wanted) => {
                    let (compiled, rows) = WindowOp::new(&node.name, wanted, known()?)?;
                    window = Some(compiled);
                    late = columns.replace(rows);
                }
            }
        }
        let columns = columns.ok_or_else(|| whole("has no columns: parse first"))?;
        let late = late.filter(|_| order.iter().any(|node| node.op == Op::LateSink));
        let names = |columns: Vec<Column>| columns.into_iter().map(|column| column.name).collect();
        let columns = [columns].into_iter().chain(late).map(names).collect();
        let fingerprint = xxh3_64(format!("{spec:?}").as_bytes());
        Ok(Self { steps, window, columns, fingerprint })
    }

    /// How many sinks there are: sink 0, and sink 1 where late rows are kept.
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

    /// The window, which keeps state; none if each row stands for itself.
    #[must_use]
    pub fn window(&self) -> Option<&WindowOp> {
        self.window.as_ref()
    }

    /// How far the watermark stays behind the latest event time, in milliseconds; 0 without a
    /// window.
    #[must_use]
    pub fn delay_ms(&self) -> u64 {
        self.window.as_ref().map_or(0, WindowOp::delay_ms)
    }

    /// Tells one pipeline from another: an epoch is never rerun by another than it was planned
    /// for.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
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
    use crate::pipeline::Node;

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

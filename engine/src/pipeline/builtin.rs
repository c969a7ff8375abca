//! The pipelines that have names.

mod flights;
mod keyed;
mod nexmark;

use super::spec::{
    Aggregate, Column, ColumnType, Comparison, Condition, Constant, Function, Mode, Node, Op, Spec,
    Window,
};

impl Spec {
    /// The names that [`Spec::named`] knows.
    pub const NAMES: [&str; 23] = [
        "flights", "hourly", "keyed", "sliding", "sessions", "distinct", "growing", "nested",
        "paired", "mixed", "q0", "q1", "q2", "q3", "q4", "q5", "q7", "q8", "q11", "channels",
        "aircraft", "routes", "weather",
    ];

    /// The pipeline of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "flights" => Self::flights(),
            "hourly" => Self::hourly(),
            "keyed" => Self::keyed(),
            "sliding" => keyed::sliding(),
            "sessions" => keyed::sessions(),
            "distinct" => keyed::distinct(),
            "growing" => keyed::growing(),
            "nested" => keyed::nested(),
            "paired" => keyed::paired(),
            "mixed" => keyed::mixed(),
            "q0" => nexmark::q0(),
            "q1" => nexmark::q1(),
            "q2" => nexmark::q2(),
            "q3" => nexmark::q3(),
            "q4" => nexmark::q4(),
            "q5" => nexmark::q5(),
            "q7" => nexmark::q7(),
            "q8" => nexmark::q8(),
            "q11" => nexmark::q11(),
            "channels" => nexmark::channels(),
            "aircraft" => flights::aircraft(),
            "routes" => flights::routes(),
            "weather" => flights::weather(),
            _ => return None,
        })
    }

    /// The delayed departures of the flights: parse, filter, project.
    #[must_use]
    pub fn flights() -> Self {
        let columns = vec![
            column("origin", ColumnType::Text),
            column("dest", ColumnType::Text),
            column("carrier", ColumnType::Text),
            column("flight", ColumnType::Int),
            column("tail", ColumnType::Text),
            column("delay", ColumnType::Int),
        ];
        let late = Condition::Compare {
            column: "delay".to_owned(),
            is: Comparison::Above,
            value: Constant::Int(0),
        };
        let kept = ["origin", "dest", "carrier", "flight", "delay"].map(str::to_owned);
        Self {
            nodes: vec![
                node("flights", None, Op::Source),
                node("parsed", Some("flights"), Op::Parse(columns)),
                node("late", Some("parsed"), Op::Filter(late)),
                node("short", Some("late"), Op::Project(kept.to_vec())),
                node("table", Some("short"), Op::Sink),
            ],
        }
    }

    /// The delays of the flights by origin and hour of the scheduled departure; what comes more
    /// than half an hour behind is late.
    #[must_use]
    pub fn hourly() -> Self {
        let columns = vec![
            column("origin", ColumnType::Text),
            column("delay", ColumnType::Int),
            column("tail", ColumnType::Text),
            column("carrier", ColumnType::Text),
        ];
        let window = Window {
            key: vec!["origin".to_owned()],
            size_ms: 3_600_000,
            slide_ms: None,
            delay_ms: 1_800_000,
            mode: Mode::Append,
            aggregates: every_aggregate("delay"),
        };
        windowed(("flights", "hourly"), columns, window)
    }

    /// Amounts by key and five seconds, of lines such as `{"key": "k7", "amount": 12}`; what comes
    /// more than two seconds behind is late.
    #[must_use]
    pub fn keyed() -> Self {
        let columns = vec![column("key", ColumnType::Text), column("amount", ColumnType::Int)];
        let window = Window {
            key: vec!["key".to_owned()],
            size_ms: 5_000,
            slide_ms: None,
            delay_ms: 2_000,
            mode: Mode::Append,
            aggregates: every_aggregate("amount"),
        };
        windowed(("events", "totals"), columns, window)
    }
}

/// Parse, gather, with a sink for late rows.
fn windowed((source, name): (&str, &str), columns: Vec<Column>, window: Window) -> Spec {
    Spec {
        nodes: vec![
            node(source, None, Op::Source),
            node("parsed", Some(source), Op::Parse(columns)),
            node(name, Some("parsed"), Op::Window(window)),
            node("table", Some(name), Op::Sink),
            node("late", Some(name), Op::LateSink),
        ],
    }
}

fn every_aggregate(of: &str) -> Vec<Aggregate> {
    [
        ("count", Function::Count),
        ("sum", Function::Sum(of.to_owned())),
        ("min", Function::Min(of.to_owned())),
        ("max", Function::Max(of.to_owned())),
        ("fingerprint", Function::Fingerprint),
    ]
    .map(|(name, of)| Aggregate { name: name.to_owned(), of })
    .into()
}

fn node(name: &str, input: Option<&str>, op: Op) -> Node {
    Node { name: name.to_owned(), inputs: input.map(str::to_owned).into_iter().collect(), op }
}

fn column(name: &str, kind: ColumnType) -> Column {
    Column { name: name.to_owned(), kind }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Pipeline;

    #[test]
    fn each_name_is_a_pipeline_of_its_own() {
        let pipelines = Spec::NAMES.map(|name| {
            let spec = Spec::named(name).expect("there");
            let json = serde_json::to_string(&spec).expect("serialises");
            assert_eq!(serde_json::from_str::<Spec>(&json).expect("parses"), spec);
            Pipeline::new(&spec).expect("sound")
        });
        let [flights, hourly, keyed, ..] = &pipelines;
        assert_eq!([flights, hourly, keyed].map(Pipeline::sinks), [1, 2, 2]);
        assert_eq!([flights, hourly, keyed].map(Pipeline::delay_ms), [0, 1_800_000, 2_000]);
        let aggregates = ["window_start", "count", "sum", "min", "max", "fingerprint"];
        assert_eq!(hourly.columns(0), [&["origin"], &aggregates[..]].concat());
        assert_eq!(hourly.columns(1), ["origin", "delay", "tail", "carrier"]);
        assert_eq!(keyed.columns(0), [&["key"], &aggregates[..]].concat());
        assert_eq!(keyed.columns(1), ["key", "amount"]);
        assert_eq!([flights, hourly, keyed].map(Pipeline::stages), [0, 1, 1]);
        let fingerprints = pipelines.each_ref().map(Pipeline::fingerprint);
        assert_eq!(std::collections::BTreeSet::from(fingerprints).len(), Spec::NAMES.len());
        assert_eq!(Spec::named("table"), None);
    }

    #[test]
    fn together_they_have_every_operator_and_the_shapes_that_break_engines() {
        let specs = Spec::NAMES.map(|name| Spec::named(name).expect("there"));
        let nodes = || specs.iter().flat_map(|spec| &spec.nodes);
        let json: std::collections::BTreeSet<String> = nodes()
            .map(|node| {
                let json = serde_json::to_value(&node.op).expect("serialises");
                let name = json.as_object().and_then(|op| op.keys().next());
                name.map(String::as_str).or(json.as_str()).expect("a name").to_owned()
            })
            .collect();
        assert_eq!(json.len(), 15, "{json:?}");
        fn window(node: &Node) -> Option<&Window> {
            if let Op::Window(window) = &node.op { Some(window) } else { None }
        }
        let windows = || nodes().filter_map(window);
        assert!(windows().any(|window| window.slide_ms.is_some()));
        assert!(windows().any(|window| window.mode == Mode::Update));
        let pipelines = specs.map(|spec| Pipeline::new(&spec).expect("sound"));
        let count = |what: fn(&Pipeline) -> bool| pipelines.iter().filter(|one| what(one)).count();
        assert!(count(|one| one.stages() >= 2) >= 5, "two shuffles, and state behind state");
        assert!(count(|one| one.stages() >= 3) >= 2);
        assert!(count(|one| one.sources() == 2 && one.sinks() == 2) >= 1);
    }
}

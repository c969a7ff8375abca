//! A pipeline as a picture, in Graphviz's language.

use std::fmt::Write as _;

use super::{
    graph::Pipeline,
    shape::is_side,
    spec::{Op, Spec},
};

impl Pipeline {
    /// The pipeline in Graphviz's language: its stages as boxes, shuffles as thick arrows, late
    /// rows as dashed ones. `spec` is what it was compiled from.
    ///
    /// # Panics
    /// If it is another.
    #[must_use]
    pub fn dot(&self, spec: &Spec, name: &str) -> String {
        let mut out = format!("digraph {name:?} {{\n  rankdir=LR;\n  node [shape=box];\n");
        let stages = self.stages_of(spec);
        for stage in 0..=self.stages() {
            let title = if stage == 0 { "sources".to_owned() } else { format!("stage {stage}") };
            let _ = writeln!(out, "  subgraph cluster_{stage} {{\n    label=\"{title}\";");
            for (node, _) in spec.nodes.iter().zip(&stages).filter(|(_, of)| **of == stage) {
                let kind = kind(&node.op);
                let label = format!("{}\n{kind}", node.name);
                let outside =
                    matches!(node.op, Op::Source | Op::Sink | Op::LateSink | Op::DeadLetters);
                let shape = if outside { ", shape=cylinder" } else { "" };
                let _ = writeln!(out, "    {:?} [label={label:?}{shape}];", node.name);
            }
            let _ = writeln!(out, "  }}");
        }
        for node in &spec.nodes {
            for input in &node.inputs {
                let shuffled =
                    matches!(node.op, Op::Window(_) | Op::Session(_) | Op::Dedup(_) | Op::Join(_));
                let style = match (is_side(&node.op), shuffled) {
                    (true, _) => " [style=dashed]",
                    (false, true) => " [penwidth=3]",
                    (false, false) => "",
                };
                let _ = writeln!(out, "  {input:?} -> {:?}{style};", node.name);
            }
        }
        out += "}\n";
        out
    }

    /// The stage that each node is in.
    fn stages_of(&self, spec: &Spec) -> Vec<usize> {
        let mut stages = vec![0; spec.nodes.len()];
        for operator in &self.operators {
            stages[operator.node] = operator.stage;
        }
        // A node without state is where the last of its inputs is; each round reaches one further.
        for _ in &spec.nodes {
            for (place, node) in spec.nodes.iter().enumerate() {
                let of = |input: &String| spec.nodes.iter().position(|one| one.name == *input);
                let inputs = node.inputs.iter().filter_map(of).map(|place| stages[place]);
                stages[place] = stages[place].max(inputs.max().unwrap_or(0));
            }
        }
        stages
    }
}

/// What an operator is called.
fn kind(op: &Op) -> &'static str {
    match op {
        Op::Source => "source",
        Op::Parse(_) => "parse",
        Op::Filter(_) => "filter",
        Op::Project(_) => "project",
        Op::Map(_) => "map",
        Op::FlatMap(_) => "flat_map",
        Op::Union => "union",
        Op::KeyBy(_) => "key_by",
        Op::Window(window) if window.slide_ms.is_some() => "sliding window",
        Op::Window(_) => "tumbling window",
        Op::Session(_) => "session window",
        Op::Dedup(_) => "dedup",
        Op::Join(_) => "join",
        Op::Sink => "sink",
        Op::LateSink => "late sink",
        Op::DeadLetters => "dead letters",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_has_every_node_once_in_its_stage() {
        let spec = Spec::hourly();
        let dot = Pipeline::new(&spec).expect("sound").dot(&spec, "hourly");
        let want = r#"digraph "hourly" {
  rankdir=LR;
  node [shape=box];
  subgraph cluster_0 {
    label="sources";
    "flights" [label="flights\nsource", shape=cylinder];
    "parsed" [label="parsed\nparse"];
  }
  subgraph cluster_1 {
    label="stage 1";
    "hourly" [label="hourly\ntumbling window"];
    "table" [label="table\nsink", shape=cylinder];
    "late" [label="late\nlate sink", shape=cylinder];
  }
  "flights" -> "parsed";
  "parsed" -> "hourly" [penwidth=3];
  "hourly" -> "table";
  "hourly" -> "late" [style=dashed];
}
"#;
        assert_eq!(dot, want);
    }
}

//! A failure as a Rust test to paste.

use std::{fmt::Write as _, slice};

use serde_json::{Map, Value};
use unplug_sim::fault::Plan;

use crate::{
    failure::Failure,
    outcome::VerdictKind,
    scenario::{Faults, Scenario},
};

/// Where the lines of an argument begin.
const INDENT: &str = "           ";

/// A Rust test that fails as this failure does, and passes once what causes it is mended.
#[must_use]
pub fn test(failure: &Failure, kind: VerdictKind) -> String {
    let Failure { scenario, seed, plan, .. } = failure;
    // With its defects, so that two tests of one scenario can stand beside each other.
    let of = [slice::from_ref(&scenario.name), &scenario.defects[..]].concat().join("-");
    let name = format!("{of}-seed-{seed}-is-exactly-once").replace('-', "_");
    // No function's name begins with a digit.
    let name = if name.starts_with(|first: char| first.is_ascii_digit()) {
        format!("s{name}")
    } else {
        name
    };
    let (scenario, plan) = (fields(&least(scenario)), faults(plan));
    let mut text = format!("/// The smallest run found that fails with the verdict `{kind}`");
    let Scenario { defects, .. } = &failure.scenario;
    let _ = match &defects[..] {
        [] => writeln!(text, "."),
        defects => writeln!(
            text,
            ",\n/// with {} switched on: it passes where \"defects\" is empty.",
            defects.join(" and ")
        ),
    };
    text + &format!(
        "#[test]\nfn {name}() {{\n    unplug::testing::exactly_once(\n        \
         r#\"{scenario}\"#,\n        {seed},\n        r#\"{plan}\"#,\n    );\n}}\n"
    )
}

/// A scenario as JSON, less what it would be without being named, its faults and what it is about.
fn least(scenario: &Scenario) -> Value {
    let mut scenario = scenario.clone();
    scenario.faults = Faults::default();
    scenario.about.clear();
    let json = |scenario: &Scenario| serde_json::to_value(scenario).expect("plain data");
    let plain = Scenario::parse("a name", r#"{"name": "a"}"#);
    let plain = json(&plain.expect("a name is enough"));
    less(json(&scenario), &plain).unwrap_or_default()
}

/// What a value says that another does not; nothing if it says the same.
fn less(value: Value, plain: &Value) -> Option<Value> {
    match (value, plain) {
        (Value::Object(fields), Value::Object(known)) => {
            // Of an enum, the variant is no default.
            if fields.keys().any(|name| !known.contains_key(name)) && fields.len() == 1 {
                return Some(Value::Object(fields));
            }
            let left: Map<_, _> = fields
                .into_iter()
                .filter_map(|(name, value)| {
                    let kept = match known.get(&name) {
                        Some(plain) => less(value, plain),
                        None => Some(value),
                    };
                    kept.map(|value| (name, value))
                })
                .collect();
            (!left.is_empty()).then_some(Value::Object(left))
        }
        (value, plain) => (value != *plain).then_some(value),
    }
}

/// An object with a field a line.
fn fields(value: &Value) -> String {
    let fields = value.as_object().into_iter().flatten();
    let fields: Vec<_> = fields.map(|(name, value)| format!("{name:?}: {value}")).collect();
    format!("{{{}}}", fields.join(&format!(",\n{INDENT} ")))
}

/// A plan with a fault a line.
fn faults(plan: &Plan) -> String {
    let json = |fault| serde_json::to_string(fault).expect("plain data becomes JSON");
    let faults: Vec<_> = plan.faults.iter().map(json).collect();
    format!("{{\"faults\": [{}]}}", faults.join(&format!(",\n{INDENT} ")))
}

//! The schemas say of every file in the repository, and of what the command writes, what its reader
//! says; and of one with a misspelt field, too.

use std::{fs, path::Path, process::Command};

use jsonschema::Validator;
use serde_json::{Value, json};
use unplug::{
    failure::Failure,
    outcome::{Outcome, Verdict, VerdictKind},
    scenario::Scenario,
    schema::{Kind, schema},
};
use unplug_engine::pipeline::Spec;
use unplug_sim::fault::Plan;

fn validator(kind: Kind) -> Validator {
    let schema = schema(kind);
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    jsonschema::meta::validate(&schema).expect("a schema");
    jsonschema::draft202012::new(&schema).expect("a schema")
}

/// The JSON files in a folder of the workspace, by their names.
fn files(folder: &str) -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).expect("a folder") {
        let path = entry.expect("readable").path();
        let text = fs::read_to_string(&path).expect("readable");
        files.push((path.display().to_string(), serde_json::from_str(&text).expect("JSON")));
    }
    assert!(!files.is_empty(), "nothing in {}", folder.display());
    files
}

fn sound(validator: &Validator, name: &str, value: &Value) {
    let errors: Vec<_> = validator.iter_errors(value).map(|error| error.to_string()).collect();
    assert_eq!(errors, [""; 0], "{name}");
}

/// A plan with all there is in one.
fn by_hand() -> Value {
    let point = |node: &str, effect: Value| json!({"node": node, "effect": effect, "nth": 1, "edge": "after"});
    let mut on = point("driver-0", json!("send"));
    on["inside"] = json!("commit");
    json!({"faults": [
        {"when": {"from_ns": 0, "on": on},
         "what": {"power_loss": {"target": {"node": "driver-0"}, "down_ns": 5_000_000_000_u64}},
         "until": point("driver-1", json!({"mark": "generation.end"}))},
        {"when": {"from_ns": 1, "on": point("store-0", json!("crash"))},
         "what": {"pause": {"target": "data_centre", "for_ns": 1}}},
        {"when": {"from_ns": 1}, "what": {"throttle": {"target": "data_centre", "factor": 2, "for_ns": 1}}},
        {"when": {"from_ns": 1}, "what": {"kill": {"target": "data_centre", "down_ns": 1}}},
        {"when": {"from_ns": 1}, "what": {"partition": {"from": ["broker"], "to": ["sink-0"], "for_ns": 1}}},
        {"when": {"from_ns": 1}, "what": {"clock_step": {"target": "data_centre", "by_ns": -1}}},
        {"when": {"from_ns": 1}, "what": {"disk_loss": {"node": "store-0", "down_ns": 1}}},
        {"when": {"from_ns": 1}, "what": {"disk_fault": {"node": "store-0", "directory": "/", "what": {"sync": "keep_dirty"}}}},
        {"when": {"from_ns": 1}, "what": {"disk_fault": {"node": "store-0", "directory": "/", "what": "bit_rot"}}},
        {"when": {"from_ns": 1}, "what": {"disk_full": {"target": "data_centre", "for_ns": 1}}},
        {"when": {"from_ns": 1}, "what": {"slow_disk": {"target": "data_centre", "factor": 2, "for_ns": 1}}},
        {"when": {"from_ns": 1}, "what": {"disk_stall": {"target": "data_centre", "for_ns": 1}}}
    ]})
}

fn pipeline() -> Value {
    json!({"nodes": [
        {"name": "flights", "op": "source"},
        {"name": "parsed", "inputs": ["flights"], "op": {"parse": [
            {"name": "origin", "type": "text"}, {"name": "delay", "type": "int"}]}},
        {"name": "late", "inputs": ["parsed"], "op": {"filter": {"any": [
            {"compare": {"column": "delay", "is": "above", "value": 0}}]}}},
        {"name": "hourly", "inputs": ["late"], "op": {"window": {
            "key": ["origin"], "size_ms": 3_600_000, "delay_ms": 600_000,
            "aggregates": [{"name": "n", "of": "count"}, {"name": "d", "of": {"sum": "delay"}}]}}},
        {"name": "table", "inputs": ["hourly"], "op": "sink"},
        {"name": "rest", "inputs": ["hourly"], "op": "late_sink"}
    ]})
}

fn scenario() -> Value {
    let scenario = json!({
        "name": "whole", "cluster": {"sinks": 2, "drivers": 2}, "pipeline": pipeline(),
        "workload": {"generated": {}}, "faults": {"plan": by_hand()},
    });
    // As it is written, so that every field is there.
    let read: Scenario = serde_json::from_value(scenario).expect("a scenario");
    serde_json::to_value(read).expect("JSON")
}

fn failure() -> Value {
    let read = serde_json::from_value(scenario()).expect("a scenario");
    let plan = serde_json::from_value(by_hand()).expect("a plan");
    let verdict = Verdict { kind: VerdictKind::RolledBack, message: "epoch 3 to 2".to_owned() };
    serde_json::to_value(Failure::new(&read, &Outcome::broken(17, plan, verdict))).expect("JSON")
}

#[test]
fn every_file_in_the_repository_is_as_its_schema_says() {
    let (scenario, plan) = (validator(Kind::Scenario), validator(Kind::Plan));
    for (name, file) in files("scenarios/suite") {
        sound(&scenario, &name, &file);
    }
    for (name, file) in files("tests/regressions") {
        sound(&scenario, &name, &file["scenario"]);
        sound(&plan, &name, &file["plan"]);
    }
}

#[test]
fn what_the_command_writes_is_as_its_schema_says() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (report, failures) = (folder.path().join("report.json"), folder.path().join("failures"));
    let (report, folder) = (report.display().to_string(), failures.display().to_string());
    let ran = Command::new(env!("CARGO_BIN_EXE_unplug"))
        .args(["run", "stateless", "--seeds", "0..60", "--defect", "ack-before-sync"])
        .args(["--keep-going", "--json", &report, "--failures", &folder])
        .output();
    assert_eq!(ran.expect("it starts").status.code(), Some(1));
    let read = |path: &Path| -> Value {
        serde_json::from_str(&fs::read_to_string(path).expect("written")).expect("JSON")
    };
    let report = read(Path::new(&report));
    sound(&validator(Kind::Report), "report", &report);
    let mut broken = report.clone();
    broken["scenarios"][0]["digest"] = json!("nought");
    assert!(!validator(Kind::Report).is_valid(&broken));
    let failed = report["failures"].as_array().expect("a list");
    assert!(!failed.is_empty(), "the defect was not caught, and nothing is shown of failures");
    for failure in failed {
        // That of a worker which did not even start would be another one.
        assert_eq!(failure["verdicts"][0], "lost", "{failure}");
        let file = failure["file"].as_str().expect("a path");
        sound(&validator(Kind::Failure), file, &read(Path::new(file)));
    }
}

/// All objects in a value, by their paths.
fn objects(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.push(path.to_owned());
            for (name, field) in fields {
                objects(field, &format!("{path}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                objects(item, &format!("{path}/{index}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn a_misspelt_or_missing_field_is_refused_where_its_reader_refuses_it() {
    type Reads = fn(Value) -> bool;
    let kinds: [(Kind, Value, Reads); 4] = [
        (Kind::Plan, by_hand(), |it| serde_json::from_value::<Plan>(it).is_ok()),
        (Kind::Pipeline, pipeline(), |it| serde_json::from_value::<Spec>(it).is_ok()),
        (Kind::Scenario, scenario(), |it| serde_json::from_value::<Scenario>(it).is_ok()),
        (Kind::Failure, failure(), |it| serde_json::from_value::<Failure>(it).is_ok()),
    ];
    for (kind, value, reads) in kinds {
        let validator = validator(kind);
        sound(&validator, "whole", &value);
        assert!(reads(value.clone()), "{kind:?}");
        let mut places = Vec::new();
        objects(&value, "", &mut places);
        // A scenario's is read as a pipeline, later.
        places.retain(|place| !place.contains("/pipeline"));
        assert!(places.len() > 5, "{kind:?}: {places:?}");
        for place in places {
            let object =
                |of: &mut Value| of.pointer_mut(&place).and_then(Value::as_object_mut).cloned();
            let mut changed = value.clone();
            let fields = object(&mut changed).expect("an object");
            let mut try_with = |what: &str, fields: serde_json::Map<String, Value>| {
                *changed.pointer_mut(&place).expect("there") = Value::Object(fields);
                let (schema, reader) = (validator.is_valid(&changed), reads(changed.clone()));
                assert_eq!(schema, reader, "{kind:?} with {what} at {place:?}");
                schema
            };
            let mut more = fields.clone();
            more.insert("misspelt".to_owned(), json!(1));
            assert!(!try_with("one more", more), "{kind:?} at {place:?}");
            for name in fields.keys() {
                let mut fewer = fields.clone();
                fewer.remove(name);
                try_with(&format!("no {name}"), fewer);
            }
        }
    }
}

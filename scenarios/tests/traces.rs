//! `unplug replay` shows a run: its trace in each form, where it stands at a moment, and what a node
//! looks like then.

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use common::unplug;
use serde_json::Value;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A run of some hundred tuples, with a kill in the midst of a write, a pause, a throttle, a partition and a power cut.
const SCENARIO: &str = r#"{"name": "short", "workload": {"flights": {"tuples": 200, "per_second": 100}},
    "faults": {"plan": {"faults": [
        {"when": {"from_ns": 600000000,
                  "on": {"node": "store-0", "effect": "write", "nth": 1, "edge": "after"}},
         "what": {"kill": {"target": {"node": "store-0"}, "down_ns": 200000000}}},
        {"when": {"from_ns": 700000000},
         "what": {"throttle": {"target": "data_centre", "factor": 3, "for_ns": 500000000}}},
        {"when": {"from_ns": 900000000},
         "what": {"pause": {"target": {"node": "driver-0"}, "for_ns": 400000000}}},
        {"when": {"from_ns": 1000000000},
         "what": {"partition": {"from": ["sink-0"], "to": ["store-0"], "for_ns": 300000000}}},
        {"when": {"from_ns": 1500000000},
         "what": {"power_loss": {"target": "data_centre", "down_ns": 200000000}}}]}}}"#;

/// Traces the run in a form; the trace and what was said beside it.
fn trace(folder: &Path, form: &str, more: &[&str]) -> (String, String) {
    fs::write(folder.join("short.json"), SCENARIO).expect("written");
    let args =
        ["replay", "--scenario", "short.json", "--seed", "1", "--trace", form, "--out", "out"];
    let output = unplug(folder, &[&args[..], more].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    (fs::read_to_string(folder.join("out")).expect("written"), text(&output.stdout))
}

#[test]
fn a_trace_as_text_and_as_json_lines_tells_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lines, said) = trace(folder.path(), "text", &[]);
    let (objects, said_again) = trace(folder.path(), "jsonl", &[]);
    assert_eq!(said, said_again);
    assert!(said.contains("exact; digest "), "{said}");
    let objects: Vec<Value> =
        objects.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(lines.lines().count(), objects.len());
    assert!(objects.len() > 1_000);
    for (line, object) in lines.lines().zip(&objects) {
        let at_ns = object["at_ns"].as_u64().expect("a time");
        let (seconds, part) = line[..15].trim().split_once('.').expect("seconds");
        let told: u64 = format!("{seconds}{part}").parse().expect("digits");
        assert_eq!(told, at_ns, "{line}");
        match object["event"].as_str().expect("what") {
            "effect" => {
                let name = object["name"].as_str().expect("a node");
                assert_eq!(line.split_whitespace().nth(1), Some(name), "{line}");
            }
            "world" => assert!(line.contains(object["text"].as_str().expect("text")), "{line}"),
            "log" => assert!(line.ends_with(object["text"].as_str().expect("text")), "{line}"),
            "lost" | "failed" => assert!(line.contains(" --- "), "{line}"),
            other => panic!("an event {other:?}"),
        }
    }
    let logs = objects.iter().filter(|object| object["event"] == "log");
    assert!(logs.count() > 3, "the engine says nothing");
}

#[test]
fn on_the_standard_output_stands_the_trace_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("short.json"), SCENARIO).expect("written");
    let args = ["replay", "--scenario", "short.json", "--seed", "1", "--trace", "jsonl"];
    let output = unplug(folder.path(), &args);
    let told = text(&output.stdout);
    assert!(told.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    assert!(text(&output.stderr).contains("exact; digest "));
}

/// What the published format ("Trace Event Format", Google, 2016) asks of each event, and that what
/// must come in pairs does; by itself, without the writer's code.
#[derive(Default)]
struct Checker {
    processes: BTreeSet<u64>,
    threads: BTreeMap<(u64, u64), String>,
    /// Begun slices of each thread: name and time.
    open: BTreeMap<(u64, u64), Vec<(String, f64)>>,
    /// When the last slice of a thread ended, or began.
    last: BTreeMap<(u64, u64), f64>,
    arrows: BTreeMap<u64, Vec<(String, f64)>>,
    lasting: BTreeMap<(String, u64), f64>,
    phases: BTreeMap<String, u64>,
}

impl Checker {
    fn event(&mut self, event: &Value) {
        let phase = event["ph"].as_str().expect("each event has a phase");
        *self.phases.entry(phase.to_owned()).or_default() += 1;
        let number = |key: &str| event[key].as_u64().unwrap_or_else(|| panic!("{key}: {event}"));
        let at = (number("pid"), number("tid"));
        let name =
            || event["name"].as_str().unwrap_or_else(|| panic!("a name: {event}")).to_owned();
        if phase == "M" {
            let named = &event["args"]["name"];
            match name().as_str() {
                "process_name" => assert!(self.processes.insert(at.0) && named.is_string()),
                "process_sort_index" => assert!(event["args"]["sort_index"].is_u64()),
                "thread_name" => {
                    let named = named.as_str().expect("a name").to_owned();
                    assert!(self.threads.insert(at, named).is_none(), "named twice: {event}");
                }
                other => panic!("metadata {other:?}"),
            }
            return;
        }
        assert!(self.processes.contains(&at.0), "a process without a name: {event}");
        assert!(self.threads.contains_key(&at), "a thread without a name: {event}");
        let ts = event["ts"].as_f64().unwrap_or_else(|| panic!("a time: {event}"));
        assert!(ts >= 0.0);
        let category =
            || event["cat"].as_str().unwrap_or_else(|| panic!("cat: {event}")).to_owned();
        match phase {
            "B" => {
                self.goes_on(at, ts, event);
                if name() == "down" {
                    self.stops(at.0, event);
                }
                self.open.entry(at).or_default().push((name(), ts));
            }
            "E" => {
                self.goes_on(at, ts, event);
                let begun = self.open.get_mut(&at).and_then(Vec::pop);
                let (_, begun) = begun.unwrap_or_else(|| panic!("ends nothing: {event}"));
                assert!(begun <= ts, "{event}");
            }
            "X" => {
                name();
                let length = event["dur"].as_f64().unwrap_or_else(|| panic!("dur: {event}"));
                self.goes_on(at, ts, event);
                let open = self.open.get(&at).is_none_or(Vec::is_empty);
                assert!(open, "within another slice, which it may overlap: {event}");
                self.last.insert(at, ts + length);
            }
            "i" => {
                name();
                assert!(matches!(event["s"].as_str(), Some("g" | "p" | "t")), "{event}");
            }
            "s" | "f" => {
                assert!(!name().is_empty() && !category().is_empty());
                if phase == "f" {
                    assert_eq!(event["bp"], "e", "tied to the slice around it: {event}");
                }
                self.arrows.entry(number("id")).or_default().push((phase.to_owned(), ts));
            }
            "b" => {
                let key = (category(), number("id"));
                assert!(self.lasting.insert(key, ts).is_none(), "begins twice: {event}");
                name();
            }
            "e" => {
                let begun = self.lasting.remove(&(category(), number("id")));
                assert!(begun.expect("it began") <= ts, "{event}");
            }
            other => panic!("a phase {other:?}"),
        }
    }

    /// What a node does ends with its process.
    fn stops(&self, process: u64, event: &Value) {
        let of_node = self.open.iter().filter(|((owner, _), _)| *owner == process);
        let still: Vec<_> = of_node.flat_map(|(_, open)| open).collect();
        assert!(still.is_empty(), "goes on without power: {still:?}, {event}");
    }

    /// Slices of a thread come in order and do not overlap.
    fn goes_on(&mut self, at: (u64, u64), ts: f64, event: &Value) {
        let last = self.last.insert(at, ts).unwrap_or_default();
        // Decimal microseconds, added as floats: a hundredth of a nanosecond is nothing.
        assert!(ts >= last - 1e-5, "before {last}: {event}");
    }

    fn end(&self) {
        let open = self.open.values().flatten().count();
        assert_eq!((open, self.lasting.len()), (0, 0), "{:?} {:?}", self.open, self.lasting);
        for (id, ends) in &self.arrows {
            let [(start, from), (finish, to)] = &ends[..] else { panic!("arrow {id}: {ends:?}") };
            assert_eq!((start.as_str(), finish.as_str()), ("s", "f"), "arrow {id}");
            assert!(from <= to, "arrow {id} goes back in time");
        }
    }
}

#[test]
fn a_trace_for_perfetto_is_as_its_format_says() {
    let folder = tempfile::tempdir().expect("a folder");
    for more in [&[][..], &["--until", "1.6s"]] {
        let (json, _) = trace(folder.path(), "perfetto", more);
        let json: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["displayTimeUnit"], "ns");
        let events = json["traceEvents"].as_array().expect("a list");
        let mut checker = Checker::default();
        events.iter().for_each(|event| checker.event(event));
        checker.end();
        for phase in ["M", "B", "E", "X", "i", "s", "f", "b", "e"] {
            assert!(checker.phases.contains_key(phase), "no {phase}: {:?}", checker.phases);
        }
        assert!(checker.phases["s"] > 300, "{:?}", checker.phases);
        let named = |name: &str| events.iter().filter(|event| event["name"] == name).count();
        for (name, least) in
            [("fault 0: kill", 1), ("fault 4: power_loss", 1), ("paused", 1), ("down", 9)]
        {
            assert!(named(name) >= least, "{name}: {}", named(name));
        }
        let global = events.iter().filter(|event| event["s"] == "g").count();
        assert_eq!(global, 5, "each fault is an instant of all");
        let threads: BTreeSet<_> = checker.threads.values().map(String::as_str).collect();
        assert!(threads.contains("main") && threads.contains("the machine"), "{threads:?}");
        let logs = events.iter().filter(|event| event["args"]["level"].is_string());
        assert!(logs.count() > 3, "what node code says is not there");
    }
}

#[test]
fn the_checker_objects_to_what_the_format_does_not_allow() {
    let objects = |events: &[Value]| {
        let events = events.to_vec();
        std::panic::catch_unwind(move || {
            let mut checker = Checker::default();
            for name in ["process_name", "thread_name"] {
                checker.event(&serde_json::json!({
                    "ph": "M", "name": name, "pid": 0, "tid": 0, "args": {"name": "x"}
                }));
            }
            events.iter().for_each(|event| checker.event(event));
            checker.end();
        })
        .is_err()
    };
    let json = |text: &str| -> Value { serde_json::from_str(text).expect("JSON") };
    let begin = json(r#"{"ph": "B", "name": "x", "pid": 0, "tid": 0, "ts": 2}"#);
    let end = json(r#"{"ph": "E", "pid": 0, "tid": 0, "ts": 3}"#);
    assert!(!objects(&[begin.clone(), end.clone()]));
    assert!(objects(std::slice::from_ref(&begin)), "a slice without an end");
    assert!(objects(std::slice::from_ref(&end)), "an end without a slice");
    assert!(objects(&[end, begin]), "the end before the beginning");
    assert!(objects(&[json(r#"{"ph": "i", "name": "x", "pid": 0, "tid": 0, "ts": 1}"#)]), "scope");
    assert!(objects(&[json(r#"{"ph": "i", "s": "t", "name": "x", "pid": 7, "tid": 0, "ts": 1}"#)]));
    let start = r#"{"ph": "s", "name": "x", "cat": "y", "id": 1, "pid": 0, "tid": 0, "ts": 5}"#;
    assert!(objects(&[json(start)]), "half an arrow");
}

#[test]
fn a_run_is_stopped_where_it_is_asked_to_and_says_where_it_stands() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, _) = trace(folder.path(), "text", &[]);
    let (part, said) = trace(folder.path(), "text", &["--until", "1.25s"]);
    assert!(whole.starts_with(&part) && part.len() < whole.len());
    let after: Vec<_> = whole[part.len()..].lines().collect();
    assert!(after[0].trim_start() > "1.25", "{}", after[0]);
    for line in [
        "stands at 1.250000000 s, after ",
        "faults: 4 of 5 happened",
        "  2: pause at 0.900000000 s, over at 1.300000000 s",
        "  driver-0     paused boot 1, ",
        "sink-0: readers saw epoch ",
    ] {
        assert!(said.lines().any(|told| told.starts_with(line)), "{line:?} is not in\n{said}");
    }
    let (_, said) = trace(folder.path(), "text", &["--until", "500s"]);
    assert!(said.starts_with("the run ended at "), "{said}");
}

#[test]
fn a_node_is_shown_at_a_moment() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("short.json"), SCENARIO).expect("written");
    let at = |time: &str, node: &str| {
        let args =
            ["replay", "--scenario", "short.json", "--seed", "1", "--at", time, "--node", node];
        let output = unplug(folder.path(), &args);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let running = at("1.4s", "broker");
    assert!(running.starts_with("broker at   1.400000000 s: on, boot 1\n"), "{running}");
    for part in ["\n  /", "  main: ", "waits for a datagram on port 1", "\ninboxes: "] {
        assert!(running.contains(part), "{part:?} is not in\n{running}");
    }
    let down = at("1.51s", "broker");
    assert!(down.starts_with("broker at   1.510000000 s: off, boot 1\n"), "{down}");
    assert!(down.ends_with("\ninboxes: 0 open ports\ntasks: 0\n"), "{down}");
    let names = |text: &str| text.lines().filter(|line| line.starts_with("  /")).count();
    assert!(names(&down) > 1, "the disk is still there: {down}");
}

#[test]
fn what_makes_no_sense_is_refused_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("short.json"), SCENARIO).expect("written");
    let run = ["replay", "--scenario", "short.json", "--seed", "1"];
    let time = "it must be a number with a unit, such as 3.25s, 150ms, 20us or 1500ns, of at most \
                584 years and no fraction of a nanosecond";
    for (args, expected) in [
        (&["--until", "soon"][..], format!("invalid value 'soon' for '--until <T>': {time}")),
        (&["--at", "1h", "--node", "broker"], format!("invalid value '1h' for '--at <T>': {time}")),
        (
            &["--at", "1s"],
            "the following required arguments were not provided: --node <NAME>".to_owned(),
        ),
        (
            &["--trace", "csv"],
            "invalid value 'csv' for '--trace <FORMAT>' [possible values: text, jsonl, perfetto, html]"
                .to_owned(),
        ),
        (
            &["--trace", "text", "--out", "no/such/folder"],
            "cannot write no/such/folder: No such file or directory (os error 2)".to_owned(),
        ),
    ] {
        let output = unplug(folder.path(), &[&run[..], args].concat());
        assert_eq!(text(&output.stderr), format!("error: {expected}\n"), "{args:?}");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
    let output = unplug(folder.path(), &[&run[..], &["--at", "1s", "--node", "brokre"]].concat());
    let error = text(&output.stderr);
    assert!(error.starts_with("error: --node: no node is called \"brokre\""), "{error}");
    assert_eq!((output.status.code(), error.lines().count()), (Some(2), 1));
}

#[test]
fn a_record_that_a_run_does_not_match_is_told_from_when_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |args: &[&str]| unplug(folder.path(), args);
    let found = run(&["run", "zombie", "--seeds", "0..40", "--defect", "zombie-not-fenced"]);
    assert_eq!(found.status.code(), Some(1), "{}", text(&found.stdout));
    let file = fs::read_dir(folder.path().join("failures")).expect("kept").next().expect("one");
    let path = file.expect("readable").path();
    let mut failure: Value =
        serde_json::from_str(&fs::read_to_string(&path).expect("read")).expect("JSON");
    let again = run(&["replay", &path.display().to_string()]);
    assert!(text(&again.stdout).contains("reproduced: the same verdict and digest"));
    let digests = failure["digests"].as_array_mut().expect("a digest each second");
    assert!(digests.len() > 5, "{}", digests.len());
    for digest in digests.iter_mut().skip(3) {
        *digest = "0".repeat(32).into();
    }
    failure["digest"] = "0".repeat(32).into();
    fs::write(&path, failure.to_string()).expect("written");
    let again = run(&["replay", &path.display().to_string()]);
    let told = text(&again.stdout);
    assert!(told.contains("comes between 3 s and 4 s of virtual time"), "{told}");
    assert_eq!(again.status.code(), Some(1));
}

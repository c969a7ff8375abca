//! The command from outside: bad input is told in one clear line, with status 2.

mod common;

use std::{fs, path::Path};

use common::unplug;

/// Runs, and expects exactly this line and status 2.
fn refused(folder: &Path, args: &[&str], expected: &str) {
    let output = unplug(folder, args);
    let error = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(error, format!("error: {expected}\n"), "{args:?}");
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    assert!(output.stdout.is_empty(), "{args:?}");
}

#[test]
fn unknown_names_are_told_with_what_is_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |args: &[&str], expected: &str| refused(folder.path(), args, expected);
    let known = format!("known: {}", unplug::suite::names().join(", "));
    refused(&["run", "nope"], &format!("unknown scenario \"nope\"; {known}"));
    refused(
        &["run", "append-negativ"],
        "unknown scenario \"append-negativ\"; did you mean \"append-negative\"?",
    );
    refused(
        &["run", "--suite", "all"],
        "unknown suite \"all\"; known: smoke, default, ci, torture, engine",
    );
    refused(
        &["run", "--defect", "skip-dirsync"],
        "unknown defect \"skip-dirsync\"; did you mean \"skip-dir-sync\"?",
    );
    refused(
        &["replay", "--scenario", "nope", "--seed", "1"],
        &format!("unknown scenario \"nope\"; {known}"),
    );
}

#[test]
fn bad_usage_is_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |args: &[&str], expected: &str| refused(folder.path(), args, expected);
    refused(
        &["run", "--seeds", "9..3"],
        "invalid value '9..3' for '--seeds <A..B>': that range is empty; A must be below B, as in 3..9",
    );
    refused(
        &["run", "--seeds", "x"],
        "invalid value 'x' for '--seeds <A..B>': it must be A..B with two numbers, such as 0..250",
    );
    for (shard, why) in [
        ("3", "it must be I/N with two numbers, such as 1/4"),
        ("5/4", "I must be 1 to N, as in 1/4"),
    ] {
        let expected = format!("invalid value '{shard}' for '--shard <I/N>': {why}");
        refused(&["run", "--shard", shard], &expected);
    }
    refused(
        &["run", "stateless", "--seeds", "4..6", "--shard", "3/4"],
        "--shard: there is no seed of 4..6 in 3/4; N must be at most 2",
    );
    for time in ["10", "0s", "-1m", "1.5h", "m", "99999999999999999999h"] {
        let expected =
            format!("invalid value '{time}' for '--for <TIME>': it must be such as 90s, 10m or 2h");
        refused(&["run", &format!("--for={time}")], &expected);
    }
    refused(
        &["run", "--for", "1m", "--shard", "1/2"],
        "the argument '--for <TIME>' cannot be used with '--shard <I/N>'",
    );
    refused(&["merge"], "the following required arguments were not provided: <FILE>...");
    refused(
        &["merge", "none.json"],
        "cannot read none.json: No such file or directory (os error 2)",
    );
    refused(&["run", "--jobs", "0"], "invalid value '0' for '--jobs <N>': 0 is not in 1..=1024");
    refused(
        &[],
        "no command; it must be run, merge, replay, shrink, hunt, sweep, recovery, list, schema or disk; see unplug --help",
    );
    refused(&["ran"], "unrecognized subcommand 'ran'; a similar subcommand exists: 'run'");
    refused(&["replay"], "the following required arguments were not provided: <FAILURE.json>");
}

#[test]
fn a_recovery_of_what_there_is_not_is_refused_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let write =
        |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    let refused = |args: &[&str], expected: &str| refused(folder.path(), args, expected);
    refused(
        &["recovery", "--grid", "quik"],
        "--grid must be quick, full, state, or a file; cannot read quik: No such file or directory (os error 2)",
    );
    write("grid.json", r#"{"rows": [{"faults": ["driver-kil"]}]}"#);
    refused(
        &["recovery", "--grid", "grid.json"],
        "grid.json: line 1 column 34: rows[0].faults[0]: unknown name \"driver-kil\"; did you mean \"driver-kill\"?",
    );
    write("grid.json", r#"{"rows": [{"faults": ["none"], "setting": {"load_percent": 0}}]}"#);
    refused(
        &["recovery", "--grid", "grid.json"],
        "rows[0].setting: load_percent: 0 is out of range; it must be 1 to 95",
    );
    write("grid.json", r#"{"rows": [{"faults": ["none"], "setting": {"hardware": "nvm"}}]}"#);
    refused(
        &["recovery", "--grid", "grid.json"],
        "grid.json: line 1 column 60: rows[0].setting.hardware: unknown name \"nvm\"; did you mean \"nvme\"?",
    );
    write("new.json", r#"{"format": 9}"#);
    refused(
        &["recovery", "--baseline", "new.json"],
        "new.json: format: 9 is unknown here; this unplug reads format 1",
    );
    refused(
        &["recovery", "--compare", "new.json"],
        "2 values required for '--compare <A> <B>' but 1 was provided",
    );
}

#[test]
fn a_sweep_of_what_there_is_not_is_refused_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |args: &[&str], expected: &str| refused(folder.path(), args, expected);
    refused(&["sweep"], "the following required arguments were not provided: <NAME|FILE>");
    refused(&["sweep", "swep"], "unknown scenario \"swep\"; did you mean \"sweep\"?");
    refused(
        &["sweep", "sweep", "--depth", "3"],
        "invalid value '3' for '--depth <N>': 3 is not in 1..=2",
    );
    refused(
        &["sweep", "sweep", "--tears", "all"],
        "invalid value 'all' for '--tears <TEARS>' [possible values: bounded, none]",
    );
    refused(
        &["sweep", "sweep", "--disk", "strct"],
        "--disk: disk.profile: unknown disk profile \"strct\"; did you mean \"strict\"?",
    );
    refused(
        &["sweep", "sweep", "--defect", "skip-dirsync"],
        "unknown defect \"skip-dirsync\"; did you mean \"skip-dir-sync\"?",
    );
}

#[test]
fn bad_files_are_told_with_the_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let write =
        |name: &str, text: &[u8]| fs::write(folder.path().join(name), text).expect("written");
    let refused = |args: &[&str], expected: &str| refused(folder.path(), args, expected);
    refused(&["run", "none.json"], "cannot read none.json: No such file or directory (os error 2)");
    write("bad.json", b"{\"name\": \"x\",\n  \"sink\" \"table\"}");
    refused(&["run", "bad.json"], "bad.json: line 2 column 10: no JSON: expected `:`");
    write("odd.json", b"{\"name\": \"x\", \"cluster\": {\"executor\": 3}}");
    refused(
        &["run", "odd.json"],
        "odd.json: line 1 column 36: cluster.executor: unknown field \"executor\"; did you mean \
         \"executors\"?",
    );
    write("failure.json", b"{\"format\": 1,\n \"version\": \"0.1");
    refused(
        &["replay", "failure.json"],
        "failure.json: line 2 column 16: version: the text ends too early, as if truncated (EOF \
         while parsing a string)",
    );
    refused(
        &["run", "--resume", "failure.json"],
        "failure.json: line 2 column 16: version: the text ends too early, as if truncated (EOF \
         while parsing a string)",
    );
    write("noise.json", b"\xff\xfe");
    refused(&["run", "noise.json"], "cannot read noise.json: stream did not contain valid UTF-8");
}

#[test]
fn what_there_is_is_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = unplug(folder.path(), &["list"]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0));
    let suites = unplug::suite::SUITES.map(|suite| suite.name);
    let defects = ["ack-before-sync", "task-spins"];
    for name in unplug::suite::names().into_iter().chain(suites).chain(defects) {
        assert!(text.contains(&format!("\n  {name} ")), "{text}");
    }
}

#[test]
fn pipelines_are_listed_and_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let told = |arguments: &[&str]| {
        let output = unplug(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let text = told(&["list", "pipelines"]);
    assert!(text.contains("  q5 ") && text.contains("shuffles: 3"), "{text}");
    let dot = told(&["list", "pipelines", "--dot", "hourly"]);
    assert!(dot.starts_with("digraph \"hourly\" {"), "{dot}");
    assert!(dot.contains("\"parsed\" -> \"hourly\" [penwidth=3];"), "{dot}");
    fs::write(folder.path().join("mine.json"), r#"{"nodes": []}"#).expect("written");
    refused(
        folder.path(),
        &["list", "pipelines", "--dot", "mine.json"],
        "mine.json: pipeline: needs a source, and has none",
    );
    refused(
        folder.path(),
        &["list", "pipelines", "--dot", "hourlie"],
        "unknown pipeline \"hourlie\"; did you mean \"hourly\"?",
    );
}

#[test]
fn schemas_are_printed_as_json() {
    let folder = tempfile::tempdir().expect("a folder");
    for kind in ["plan", "scenario", "failure", "pipeline", "report"] {
        let output = unplug(folder.path(), &["schema", kind]);
        assert_eq!(output.status.code(), Some(0), "{kind}");
        let schema: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{kind}");
    }
    refused(
        folder.path(),
        &["schema", "pln"],
        "invalid value 'pln' for '<KIND>' [possible values: plan, scenario, failure, pipeline, \
         report, recovery, recovery-grid]; a similar value exists: 'plan'",
    );
}

#[test]
fn what_must_be_reached_is_asked_of_many_seeds_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = br#"{"name": "short", "workload": {"flights": {"tuples": 40, "per_second": 400}},
        "faults": {"plan": {"faults": [{"when": {"from_ns": 50000000},
            "what": {"kill": {"target": {"node": "executor-0"}, "down_ns": 1000000}}}]}},
        "sometimes": ["store.rebuilt"], "interrupted_min": {"apply": 100000}}"#;
    fs::write(folder.path().join("short.json"), text).expect("written");
    let run = |seeds: &str| {
        let args = ["run", "short.json", "--seeds", seeds, "--json", "out.json"];
        let output = unplug(folder.path(), &args);
        let json = fs::read_to_string(folder.path().join("out.json")).expect("written");
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"), json)
    };
    let (status, told, json) = run("0..100");
    assert_eq!(status, Some(4), "{told}");
    let missing = "short: not reached: store.rebuilt never, apply interrupted ";
    assert!(told.contains("\nreached: store.rebuilt 0\n"), "{told}");
    assert!(told.contains(&format!("\n{missing}")) && told.contains(" of at least 100000\n"));
    assert!(told.ends_with("\nnot all was reached in 100 runs, 0 failed\n"), "{told}");
    assert_eq!(json["held"], false);
    assert!(json["reached"]["missing"][0].as_str().expect("a line").starts_with(missing));
    let (status, told, json) = run("0..99");
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains("\nreached: store.rebuilt 0\n") && !told.contains("not reached"));
    assert_eq!(json["reached"]["missing"], serde_json::json!([]));
}

#[test]
fn help_is_no_error() {
    let folder = tempfile::tempdir().expect("a folder");
    for args in [&["--help"][..], &["run", "--help"], &["--version"]] {
        let output = unplug(folder.path(), args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn what_cannot_be_shrunk_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |args: &[&str], expected: &str| refused(folder.path(), args, expected);
    refused(
        &["shrink", "f.json", "--out", "small"],
        "invalid value 'small' for '--out <FILE.json>': its name must end in .json, such as small.json",
    );
    refused(
        &["shrink", "f.json", "--runs-max", "0"],
        "invalid value '0' for '--runs-max <N>': 0 is not in 1..=1000000",
    );
    refused(&["shrink", "f.json"], "cannot read f.json: No such file or directory (os error 2)");
    let scenario = unplug::suite::scenario("stateless").expect("there");
    let plan = unplug::generate::plan(&scenario, 1);
    let verdict = unplug::outcome::Verdict {
        kind: unplug::outcome::VerdictKind::NotMeasured,
        message: "no reader read".to_owned(),
    };
    let outcome = unplug::outcome::Outcome::broken(1, plan, verdict);
    let failure = unplug::failure::Failure::new(&scenario, &outcome);
    unplug::files::write_json(&folder.path().join("f.json"), &failure).expect("written");
    refused(
        &["shrink", "f.json"],
        "f.json: verdicts: not-measured is nothing that can be shrunk: that takes a verdict that \
         one run shows, and that the scenario does not expect",
    );
}

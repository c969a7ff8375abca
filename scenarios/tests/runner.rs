//! The runner from outside: what runs do to their workers, shards, campaigns that are broken off.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "real processes take real time; nothing here is simulated"
)]

mod common;

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use common::{command, unplug};
use serde_json::Value;

/// A run of it takes a few milliseconds.
const SHORT: &str = r#"{"name": "short", "workload": {"flights": {"tuples": 40, "per_second": 400}},
    "faults": {"plan": {"faults": [{"when": {"from_ns": 50000000},
        "what": {"kill": {"target": {"node": "executor-0"}, "down_ns": 1000000}}}]}},
    "bounds": {"events_max": 1000000, "in_flight_bytes_max": 4000000, "disk_bytes_max": 4000000}}"#;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("short.json"), SHORT).expect("written");
    folder
}

fn run(folder: &Path, args: &[&str]) -> Output {
    unplug(folder, &[&["run", "short.json"], args].concat())
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn json(folder: &Path, name: &str) -> Value {
    let text = fs::read_to_string(folder.join(name)).expect("written");
    serde_json::from_str(&text).expect("JSON")
}

/// Without what differs from time to time.
fn timeless(mut report: Value) -> Value {
    for scenario in report["scenarios"].as_array_mut().expect("a list") {
        for rate in ["seeds_per_s", "virtual_s_per_cpu_s"] {
            scenario[rate] = Value::Null;
        }
    }
    report.as_object_mut().expect("an object").remove("part");
    report
}

/// The finding of a defect: its kind, and its words.
fn finding(defect: &str) -> (String, String) {
    let folder = folder();
    let args = ["--defect", defect, "--seeds", "0..20", "--keep-going", "--json", "out.json"];
    // Real time: as short as can be for what never comes back, and enough for all else on a machine
    // that has other work.
    let patience = if defect == "task-spins" { "3" } else { "120" };
    let limits = ["--patience", patience, "--memory-mib", "512", "--jobs", "2"];
    let output = run(folder.path(), &[&args[..], &limits].concat());
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let report = json(folder.path(), "out.json");
    let [short] = &report["scenarios"].as_array().expect("a list")[..] else { panic!("{report}") };
    assert_eq!(short["seeds"], 20, "the campaign goes on");
    assert!(short["passed"].as_u64().expect("a number") > 0, "{short}");
    let failures = report["failures"].as_array().expect("a list");
    assert_eq!(failures.len() as u64, short["failed"].as_u64().expect("a number"));
    for failure in failures {
        let file = failure["file"].as_str().expect("a path");
        assert_eq!(json(folder.path(), file)["seed"], failure["seed"]);
    }
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    (text(&failures[0]["verdicts"][0]), text(&failures[0]["messages"][0]))
}

#[test]
fn each_runaway_task_is_a_finding_with_seed_node_and_task() {
    for (defect, kind, words) in [
        ("task-wakes-itself", "over-budget", "while virtual time stood still: it wakes itself"),
        ("task-panics", "panicked", "a task that panics"),
        ("task-floods", "over-budget", "over 4000000 bytes in datagrams under way"),
        ("task-fills-disk", "over-budget", "over 4000000 bytes on its disk"),
    ] {
        let (found, told) = finding(defect);
        assert_eq!(found, kind, "{told}");
        assert!(told.contains(": executor-") && told.contains(", task runaway, at "), "{told}");
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn what_costs_a_worker_its_life_is_a_finding_with_seed_node_and_task() {
    for (defect, kind, words) in [
        ("task-spins", "over-budget", "it did not come back for 3 s"),
        ("task-overflows", "panicked", "its stack overflowed"),
        #[cfg(target_os = "linux")]
        ("task-hoards", "over-budget", "over 512 MiB of memory"),
    ] {
        let (found, told) = finding(defect);
        assert_eq!(found, kind, "{told}");
        assert!(told.contains(": executor-") && told.contains(", task runaway, at "), "{told}");
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn shards_merged_equal_one_run_whatever_the_number_of_jobs() {
    let folder = folder();
    let folder = folder.path();
    let seeds = ["--seeds", "3..13", "--defect", "task-panics", "--keep-going"];
    let whole = run(folder, &[&seeds[..], &["--json", "whole.json", "--jobs", "1"]].concat());
    assert_eq!(whole.status.code(), Some(1));
    let mut names = Vec::new();
    for shard in ["1/4", "2/4", "3/4", "4/4"] {
        let name = format!("shard-{}.json", &shard[..1]);
        run(folder, &[&seeds[..4], &["--shard", shard, "--json", &name, "--jobs", "3"]].concat());
        names.push(name);
    }
    names.reverse();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let reports = ["--json", "merged.json", "--junit", "merged.xml", "--github"];
    let merged = unplug(folder, &[&["merge"], &names[..], &reports].concat());
    assert_eq!(merged.status.code(), Some(1), "{}", told(&merged));
    let report = json(folder, "merged.json");
    assert!(report["failures"].as_array().is_some_and(|failures| !failures.is_empty()));
    assert_eq!(timeless(json(folder, "whole.json")), timeless(report));
    assert!(
        told(&merged).contains("\n::error title=unplug%3A short%2C seed "),
        "{}",
        told(&merged)
    );
    assert!(fs::read_to_string(folder.join("merged.xml")).expect("there").contains("<testsuites"));

    let refused = |names: &[&str], expected: &str| {
        let output = unplug(folder, &[&["merge"], names].concat());
        let error = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!((error.as_str(), output.status.code()), (expected, Some(2)));
    };
    refused(&names[1..], "error: shard 4/4 is missing\n");
    let twice = [&names[..], &["shard-1.json"]].concat();
    refused(&twice, "error: shard-1.json: shard 1/4 is in shard-1.json, too\n");
    refused(
        &["whole.json"],
        "error: whole.json: it is no result of a shard; those are made by run --shard I/N --json \
         FILE\n",
    );
}

#[test]
fn a_campaign_for_a_time_runs_all_seeds_at_least_once_and_then_those_that_follow() {
    let folder = folder();
    let output = run(folder.path(), &["--seeds", "5..7", "--for", "2s", "--json", "out.json"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let report = json(folder.path(), "out.json");
    let seeds = report["scenarios"][0]["seeds"].as_u64().expect("a number");
    assert!(seeds > 2, "{seeds}");
    let range = format!("5..{}", 5 + seeds);
    let again = run(folder.path(), &["--seeds", &range, "--json", "again.json"]);
    assert_eq!(again.status.code(), Some(0));
    assert_eq!(timeless(report), timeless(json(folder.path(), "again.json")));
}

#[cfg(unix)]
#[test]
fn a_campaign_that_is_interrupted_goes_on_where_it_was() {
    let folder = folder();
    let folder = folder.path();
    let args = ["run", "short.json", "--seeds", "0..4000", "--resume", "state.json"];
    let child = command(folder, &[&args[..], &["--json", "first.json"]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    thread::sleep(Duration::from_secs(2));
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("there is kill").success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", told(&output));
    let words = "\nto go on: the same command with --resume state.json\n";
    assert!(told(&output).ends_with(words), "{}", told(&output));
    let first = json(folder, "first.json");
    assert_eq!((&first["interrupted"], &first["held"]), (&true.into(), &false.into()));
    let seeds = first["scenarios"][0]["seeds"].as_u64().unwrap_or_default();
    assert!(seeds < 4000, "all ran before the signal came");

    let second = unplug(folder, &[&args[..], &["--json", "second.json"]].concat());
    assert_eq!(second.status.code(), Some(0), "{}", told(&second));
    let whole = run(folder, &["--seeds", "0..4000", "--json", "whole.json"]);
    assert_eq!(whole.status.code(), Some(0));
    assert_eq!(timeless(json(folder, "second.json")), timeless(json(folder, "whole.json")));

    let other = run(folder, &["--seeds", "0..4001", "--resume", "state.json"]);
    let error = String::from_utf8(other.stderr).expect("UTF-8");
    let words = "error: state.json: it is of another campaign: it has the seeds 0..4000\n";
    assert_eq!((error.as_str(), other.status.code()), (words, Some(2)));
}

#[test]
fn a_worker_ends_with_its_campaign_even_while_a_run_hangs() {
    let folder = folder();
    let args = ["run", "short.json", "--defect", "task-spins", "--seeds", "0..50", "--jobs", "2"];
    let mut child = command(folder.path(), &args).stderr(Stdio::null()).spawn().expect("it starts");
    thread::sleep(Duration::from_secs(3));
    let workers = workers_of(child.id());
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let patience = Instant::now() + Duration::from_secs(5);
    while workers.iter().any(|pid| Path::new("/proc").join(pid).exists()) {
        assert!(Instant::now() < patience, "{workers:?} still run");
        thread::sleep(Duration::from_millis(50));
    }
    assert!(cfg!(not(target_os = "linux")) || !workers.is_empty());
}

/// The processes that this one started, where the system tells.
fn workers_of(parent: u32) -> Vec<String> {
    let children = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten();
    children
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|pids| pids.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

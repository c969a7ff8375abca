//! Recovery times: the same from the same build, and measured against earlier ones.

use std::{fs, path::Path, process::ExitCode};

use serde_json::Value;
use unplug::{
    recovery::{Cell, FORMAT, Fault, Figures, Phase, Setting, figures, worse},
    workload::Workload,
};

const GRID: &str = r#"{"rows": [{"faults": ["driver-kill", "executor-power"],
    "setting": {"down_ns": 1000000000, "lasts_ns": 1000000000}}]}"#;

const SEEDS: std::ops::Range<u64> = 0..3;

/// Does what `recovery` is told in a folder; its exit status, and what it said.
fn recovery(folder: &Path, args: &[&str]) -> (ExitCode, String) {
    let path = |name: &str| folder.join(name).display().to_string();
    let grid = ["unplug".to_owned(), "recovery".to_owned()].into_iter();
    let is_file = |arg: &str| arg.ends_with(".json") || arg.ends_with(".md");
    let args = args.iter().map(|arg| if is_file(arg) { path(arg) } else { (*arg).to_owned() });
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = unplug::cli::main(grid.chain(args).map(Into::into), &mut out, &mut err);
    let told = [out, err].concat();
    (status, String::from_utf8(told).expect("text"))
}

#[test]
fn two_runs_are_the_same_bytes_and_only_a_slower_one_fails_against_a_baseline() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    let read = |name: &str| fs::read_to_string(file(name)).expect("written");
    fs::write(file("grid.json"), GRID).expect("written");
    let measure = |more: &[&str]| {
        let usual = ["--grid", "grid.json", "--seeds", "0..3"];
        recovery(folder.path(), &[&usual[..], more].concat())
    };
    let (status, told) = measure(&["--json", "a.json", "--markdown", "a.md", "--jobs", "1"]);
    assert_eq!(status, ExitCode::SUCCESS, "{told}");
    let row = "\n| executor-power-down-1000ms-lasts-1000ms | ";
    assert!(read("a.md").contains(row), "{}", read("a.md"));
    let (status, told) = measure(&["--json", "b.json", "--baseline", "a.json", "--jobs", "2"]);
    assert_eq!(status, ExitCode::SUCCESS, "{told}");
    assert!(!told.contains("slower:"), "{told}");
    assert_eq!(read("a.json"), read("b.json"));

    // An earlier build that was faster by a third.
    let mut faster: Value = serde_json::from_str(&read("a.json")).expect("JSON");
    let median = &mut faster["cells"][0]["recovery_ns"]["median"];
    *median = (median.as_u64().expect("a number") * 2 / 3).into();
    fs::write(file("faster.json"), faster.to_string()).expect("written");
    let (status, told) = measure(&["--baseline", "faster.json"]);
    assert_eq!(status, ExitCode::from(1), "{told}");
    assert!(
        told.contains("slower: driver-kill-down-1000ms-lasts-1000ms: recovery, median:"),
        "{told}"
    );

    let (status, told) = recovery(folder.path(), &["--compare", "faster.json", "a.json"]);
    assert_eq!(status, ExitCode::SUCCESS, "{told}");
    assert!(told.contains("+50 %") || told.contains("+49 %"), "{told}");
}

#[test]
fn a_detection_that_is_half_as_slow_again_is_worse() {
    let workload = Workload::embedded().expect("sound");
    let measure = |failure_timeout_ns| {
        let setting = Setting { failure_timeout_ns, ..Setting::default() };
        let cell = Cell { fault: Fault::DriverPower, setting };
        let mut measured = figures(&cell, SEEDS, &workload).expect("sound");
        // As if it were the same setting on another build.
        measured.setting = Setting::default();
        measured.name = "driver-power".to_owned();
        let seeds = (SEEDS.start, SEEDS.end);
        Figures { format: FORMAT, version: String::new(), seeds, cells: vec![measured] }
    };
    let (usual, slower) = (measure(500_000_000), measure(750_000_000));
    assert_eq!(worse(&usual, &usual), Ok(Vec::new()));
    let lines = worse(&usual, &slower).expect("measured alike");
    for what in ["driver-power: recovery, median:", "driver-power: detection, median:"] {
        assert!(lines.iter().any(|line| line.starts_with(what)), "{what} of {lines:?}");
    }
}

#[test]
fn a_state_takes_the_time_of_its_bytes_to_load_and_an_epoch_to_write_it_whole() {
    let workload = Workload::embedded().expect("sound");
    let medians = |megabytes: u64| {
        let usual = Setting::with_state(megabytes * 1_000_000);
        let setting = Setting { full_snapshots: true, ..usual };
        let cell = Cell { fault: Fault::DataCentrePower, setting };
        let figures = figures(&cell, SEEDS, &workload).expect("sound");
        assert_eq!((figures.measured, figures.failed, figures.not_whole), (3, 0, 0), "{megabytes}");
        let phase = |phase| {
            let phase = figures.phases.iter().find(|one| one.phase == phase);
            phase.expect("each is there").took_ns.median
        };
        assert!(figures.state_bytes.median > 0, "{megabytes}");
        (phase(Phase::State), phase(Phase::Replay) + phase(Phase::Commit))
    };
    let ((load_ns, epochs_ns), (loads_ns, more_epochs_ns)) = (medians(100), medians(1_000));
    // 900 MB more by a port of 1.25 GB/s; three times as much to each disk at 1 GB/s.
    assert!(loads_ns > load_ns + 600_000_000, "{load_ns} and {loads_ns}");
    assert!(more_epochs_ns > epochs_ns + 2_000_000_000, "{epochs_ns} and {more_epochs_ns}");
}

#[test]
fn a_leader_that_is_killed_costs_no_load_of_a_state() {
    let cell = Cell { fault: Fault::DriverKill, setting: Setting::with_state(100_000_000) };
    let figures = figures(&cell, SEEDS, &Workload::embedded().expect("sound")).expect("sound");
    assert_eq!((figures.measured, figures.failed, figures.not_whole), (3, 0, 0));
    assert_eq!(figures.state_bytes.worst, 0);
}

#[test]
fn behind_a_killed_leader_new_input_does_not_wait_for_a_whole_interval() {
    let setting =
        Setting { epoch_interval_ns: 10_000_000_000, load_percent: 1, ..Setting::default() };
    let cell = Cell { fault: Fault::DriverKill, setting };
    let figures = figures(&cell, SEEDS, &Workload::embedded().expect("sound")).expect("sound");
    assert_eq!((figures.measured, figures.failed, figures.not_whole), (3, 0, 0));
    let worst_ns = figures.recovery_ns.worst;
    assert!(worst_ns < 1_000_000_000, "{worst_ns}");
}

#[test]
fn phases_add_up_and_each_fault_has_its_own() {
    let workload = Workload::embedded().expect("sound");
    let of = |fault| {
        let cell = Cell { fault, setting: Setting::default() };
        let figures = figures(&cell, SEEDS, &workload).expect("sound");
        assert_eq!((figures.measured, figures.failed, figures.not_whole), (3, 0, 0), "{fault:?}");
        let sum: u64 = figures.phases.iter().map(|phase| phase.sum_ns).sum();
        assert_eq!(sum, figures.recoveries_ns.iter().sum::<u64>(), "{fault:?}");
        let took = |phase| {
            let phase = figures.phases.iter().find(|one| one.phase == phase);
            phase.expect("each is there").took_ns.median
        };
        [Phase::Boot, Phase::Detection, Phase::Election].map(|phase| took(phase) > 0)
    };
    assert_eq!(of(Fault::None), [false; 3]);
    assert_eq!(of(Fault::BrokerPower), [true, false, false]);
    assert_eq!(of(Fault::DriverPower), [false, true, true]);
    assert_eq!(of(Fault::DataCentrePower), [true; 3]);
}

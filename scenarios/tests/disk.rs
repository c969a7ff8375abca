//! `unplug disk` from outside.

mod common;

use std::fs;

use common::{command, unplug};

/// What `disk states` prints for this list.
fn states(list: &str, options: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("ops.json"), list).expect("written");
    let output = unplug(folder.path(), &[&["disk", "states", "ops.json"], options].concat());
    let error = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!((output.status.code(), error.as_str()), (Some(0), ""));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Runs `disk states` with this list, and expects exactly this line and status 2.
fn refused(list: &str, options: &[&str], expected: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("ops.json"), list).expect("written");
    let output = unplug(folder.path(), &[&["disk", "states", "ops.json"], options].concat());
    let error = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(error, format!("error: {expected}\n"));
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
}

/// A log with a durable head; the new tail and the log's second name are not synced.
const TAIL: &str = r#"[
    {"write": {"path": "/log", "bytes": "a.b"}}, "sync",
    {"append": {"path": "/log", "bytes": {"fill": "x", "len": 7}}},
    {"mkdir": "/d"}, {"syncdir": "/"}, {"link": {"from": "/log", "to": "/d/log"}}]"#;

#[test]
fn every_state_is_printed_once_with_the_number_of_choices_that_lead_to_it() {
    let expected = r"state 1: 2 choices
  /d/
  /d/log        3 B  a\.b
  /log          3 B  the same file as /d/log

state 2: 1 choice
  /d/
  /d/log       10 B  a\.b .*7
  /log         10 B  the same file as /d/log

state 3: 1 choice
  /d/
  /d/log       10 B  a\.b x*7
  /log         10 B  the same file as /d/log

state 4: 2 choices
  /d/
  /log        3 B  a\.b

state 5: 1 choice
  /d/
  /log       10 B  a\.b .*7

state 6: 1 choice
  /d/
  /log       10 B  a\.b x*7

strict: 6 operations, 3 units, 8 choices, 6 distinct states
";
    assert_eq!(states(TAIL, &[]), expected);
}

#[test]
fn json_holds_the_same_states_and_content_in_the_form_of_a_list() {
    let json: serde_json::Value =
        serde_json::from_str(&states(TAIL, &["--json"])).expect("one value");
    assert_eq!(json["profile"], "strict");
    let counts = ["operations", "units", "choices"].map(|name| json[name].as_u64());
    assert_eq!(counts, [Some(6), Some(3), Some(8)]);
    let states = json["states"].as_array().expect("a list");
    assert_eq!(states.len(), 6);
    assert_eq!(
        states[2],
        serde_json::json!({"choices": 1, "after": [6], "tree": [
            {"path": "/d", "kind": "directory"},
            {"path": "/d/log", "kind": "file", "len": 10,
             "bytes": ["a.b", {"fill": "x", "len": 7}]},
            {"path": "/log", "kind": "file", "len": 10,
             "bytes": ["a.b", {"fill": "x", "len": 7}], "same_as": "/d/log"},
        ]})
    );
}

#[test]
fn anywhere_the_power_cut_may_come_before_and_after_each_operation() {
    let list = r#"[{"create": "/a"}, {"syncdir": "/"}, {"rename": {"from": "/a", "to": "/b"}}]"#;
    let expected = "state 1: 2 choices, after 0–1 operations
  nothing

state 2: 3 choices, after 1–3 operations
  /a        0 B

state 3: 1 choice, after 3 operations
  /b        0 B

strict, anywhere: 3 operations, 2 units, 6 choices, 3 distinct states
";
    assert_eq!(states(list, &["--anywhere"]), expected);
}

#[test]
fn what_cannot_be_enumerated_or_done_is_refused_in_one_line() {
    let big = r#"[{"write": {"path": "/a", "bytes": {"fill": "x", "len": 5120}}}]"#;
    refused(
        big,
        &["--limit", "1000"],
        "ops.json: more than 1000 choices of fates; sync more of it before the end, write less, \
         or raise --limit",
    );
    refused(
        r#"[{"create": "/a"}, {"unlink": "/b"}]"#,
        &[],
        "ops.json: [1]: unlink /b fails: not found",
    );
    refused(
        r#"[{"fsync": "/a"}, {"fsnyc": "/a"}]"#,
        &[],
        "ops.json: line 1 column 26: [1]: unknown name \"fsnyc\"; did you mean \"fsync\"?",
    );
    refused("{}", &[], "ops.json: line 1 column 0: invalid type: map, expected a sequence");
    refused(
        "[]",
        &["--profile", "strickt"],
        "unknown profile \"strickt\"; did you mean \"strict\"?",
    );
}

#[test]
fn bad_usage_is_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = |args: &[&str]| {
        let output = unplug(folder.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    assert_eq!(
        error(&["disk"]),
        "error: no command; it must be states or calibrate; see unplug disk --help\n"
    );
    assert_eq!(
        error(&["disk", "states", "none.json"]),
        "error: cannot read none.json: No such file or directory (os error 2)\n"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn calibrate_says_in_one_line_all_that_is_missing() {
    use std::os::unix::fs::MetadataExt as _;

    let folder = tempfile::tempdir().expect("a folder");
    let run = |args: &[&str]| {
        let args = [&["disk", "calibrate", "--profile", "strict"], args].concat();
        // Nothing is installed there.
        let output = command(folder.path(), &args).env("PATH", folder.path()).output();
        let output = output.expect("it starts");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty());
        let error = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(error.lines().count(), 1, "{error}");
        error
    };
    let error = run(&["--fs", "xfs", "--work", "/none"]);
    assert!(error.starts_with("error: cannot calibrate: "), "{error}");
    for missing in [
        "mkfs.xfs is not installed (package xfsprogs)",
        "unshare is not installed (package util-linux)",
        "/none is no folder (--work DIR)",
    ] {
        assert!(error.contains(missing), "{error}");
    }
    assert!(!error.contains("btrfs"), "{error}");
    let root = fs::metadata("/proc/self").expect("there").uid() == 0;
    assert_eq!(error.contains("it must run as root"), !root, "{error}");
    assert_eq!(
        run(&["--fs", "ext3"]),
        "error: unknown file system \"ext3\"; did you mean \"ext4\"?\n"
    );
}

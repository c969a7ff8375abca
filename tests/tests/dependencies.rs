//! Who may know of whom, and who may touch the operating system: rules that the compiler does not
//! know.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member of the workspace").to_owned()
}

/// All Rust files below a folder, with their lines of code: comments left out.
fn sources(folder: &str) -> Vec<(String, Vec<String>)> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a source folder") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("readable");
                let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                let mut code: Vec<_> = code.map(str::to_owned).collect();
                code.extend(listed_imports(&code.join("\n")));
                let name = path.strip_prefix(root()).expect("below the root").display().to_string();
                files.push((name, code));
            }
        }
    }
    files.sort();
    assert!(!files.is_empty(), "no sources in {folder}: the rule would hold of nothing");
    files
}

/// What `use std::{a, b::{c, d}}` imports, one path a line: `std::a`, `std::b::{c, d}`.
fn listed_imports(code: &str) -> Vec<String> {
    let mut imports = Vec::new();
    for list in code.split("use std::{").skip(1) {
        let (mut depth, mut item) = (0, String::new());
        for character in list.chars() {
            match character {
                '}' if depth == 0 => break,
                ',' if depth == 0 => imports.push(format!("std::{}", std::mem::take(&mut item))),
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if !character.is_whitespace() && (depth > 0 || character != ',') {
                item.push(character);
            }
        }
        imports.push(format!("std::{item}"));
    }
    imports.retain(|import| import != "std::");
    imports
}

#[test]
fn imports_in_a_list_are_seen() {
    let code = "use std::{\n    cell::{Cell, RefCell},\n    fs, thread,\n};\nuse std::{net};";
    let imports = ["std::cell::{Cell,RefCell}", "std::fs", "std::thread", "std::net"];
    assert_eq!(listed_imports(code), imports);
}

/// The lines that contain any of the words, less those that `allowed` lets pass.
fn offences(folder: &str, words: &[&str], allowed: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let files = sources(folder);
    let lines = files.iter().flat_map(|(name, code)| code.iter().map(move |line| (name, line)));
    lines
        .filter(|(name, line)| words.iter().any(|word| line.contains(word)) && !allowed(name, line))
        .map(|(name, line)| format!("{name}: {}", line.trim()))
        .collect()
}

const NOTHING: [String; 0] = [];

/// What reaches past a node's machine.
const OPERATING_SYSTEM: [&str; 11] = [
    "std::thread",
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "time::Instant",
    "SystemTime",
    "std::io",
    "getrandom",
    "tokio",
    "rayon",
];

#[test]
fn the_machine_knows_no_engine_and_no_scenario() {
    assert_eq!(offences("sim/src", &["unplug_engine", "unplug::"], |_, _| false), NOTHING);
}

#[test]
fn the_engine_knows_of_the_machine_only_its_contract() {
    let only_the_contract = |_: &str, line: &str| line.contains("unplug_sim::env");
    assert_eq!(offences("engine/src", &["unplug_sim"], only_the_contract), NOTHING);
    assert_eq!(offences("engine/src", &["SimEnv", "World"], |_, _| false), NOTHING);
    // Every mention of the contract names it in one path, so the rule above cannot be evaded by a
    // list of imports.
    let files = sources("engine/src");
    assert!(files.iter().any(|(_, code)| code.iter().any(|line| line.contains("unplug_sim::env"))));
    assert!(files.iter().all(|(_, code)| code.iter().all(|line| !line.contains("unplug_sim::{"))));
}

#[test]
fn neither_machine_nor_engine_touches_the_operating_system() {
    for folder in ["sim/src", "engine/src"] {
        assert_eq!(offences(folder, &OPERATING_SYSTEM, |_, _| false), NOTHING, "{folder}");
    }
}

#[test]
fn of_the_scenarios_only_the_command_touches_the_operating_system() {
    let command = |name: &str, _: &str| {
        // What is part of the program is unpacked by workload/mod.rs and, in its tests, listed by
        // suite.rs.
        let files = [
            "main.rs",
            "campaign.rs",
            "files.rs",
            "command.rs",
            "hunt.rs",
            "recovery/mod.rs",
            "replay.rs",
            "shrink/mod.rs",
            "shrink/search.rs",
            "testing.rs",
            "schema.rs",
            "pipelines.rs",
            "sweep/command.rs",
            "sweep/mod.rs",
            "sweep/nodes.rs",
            "cli.rs",
            "conclude.rs",
            "merge.rs",
            "look.rs",
            "traces/mod.rs",
            "traces/perfetto.rs",
            "interrupt.rs",
            "annotations.rs",
            "junit.rs",
            "worker/mod.rs",
            "worker/process.rs",
            "suite.rs",
            "workload/mod.rs",
            "disk/mod.rs",
            "disk/command.rs",
        ];
        // Calibration is about nothing else than real file systems.
        let calibrates = name.starts_with("scenarios/src/disk/calibrate/");
        calibrates || files.iter().any(|file| name.ends_with(&format!("src/{file}")))
    };
    assert_eq!(offences("scenarios/src", &OPERATING_SYSTEM, command), NOTHING);
}

#[test]
fn the_oracle_shares_no_code_with_the_engine() {
    let files = sources("scenarios/src");
    for judge in ["oracle/", "model/", "history.rs"] {
        let judge = format!("scenarios/src/{judge}");
        let of_judge = || files.iter().filter(|(name, _)| name.starts_with(&judge));
        assert!(of_judge().count() > 0, "{judge} is gone: the rule would hold of nothing");
        for (name, code) in of_judge() {
            assert!(code.iter().all(|line| !line.contains("unplug_engine")), "{name}");
        }
    }
}

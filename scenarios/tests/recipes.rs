//! The recipes: their files are what they claim to be, and the command takes what they tell it.

#![cfg(unix)]

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

use yaml_rust2::{Yaml, YamlLoader};

fn recipe(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../recipes").join(name);
    fs::read_to_string(path).expect("a recipe")
}

fn yaml(name: &str) -> Yaml {
    let mut documents = YamlLoader::load_from_str(&recipe(name)).expect("YAML");
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

/// Runs a script with a shell, and gives what it tells `unplug`, be it by way of cargo.
fn told(script: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    for (program, script) in [
        ("unplug", "#!/bin/sh\nprintf '%s\\n' \"$@\"\n"),
        (
            "cargo",
            "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\nshift\nprintf '%s\\n' \"$@\"\n",
        ),
    ] {
        let path = folder.path().join(program);
        fs::write(&path, script).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
    }
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let output = Command::new("sh")
        .args(["-c", script])
        .env("PATH", path)
        .envs(environment.iter().copied())
        .output()
        .expect("a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

/// Whether the command takes these arguments: with `--help` behind them it takes them and does
/// nothing.
fn takes(args: &[String]) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unplug"));
    command.args(args).arg("--help").output().expect("it starts").status.success()
}

fn expect(args: &[String], with: &[&str]) {
    assert!(takes(args), "{args:?}");
    for with in with {
        assert!(args.iter().any(|arg| arg == with), "{with} is not in {args:?}");
    }
}

#[test]
fn arguments_that_make_no_sense_would_be_noticed() {
    let args = |args: &[&str]| args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>();
    assert!(takes(&args(&["run", "--shard", "1/4"])));
    assert!(!takes(&args(&["run", "--shard", "0/4"])));
    assert!(!takes(&args(&["run", "--shards", "1/4"])));
}

#[test]
fn the_matrix_of_github_actions_runs_and_merges_all_shards() {
    let recipe = yaml("github-actions.yml");
    let jobs = &recipe["jobs"];
    let shards = jobs["shard"]["strategy"]["matrix"]["shard"].as_vec().expect("a list");
    let numbers: Vec<_> = shards.iter().filter_map(Yaml::as_i64).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    let command = |job: &str, word: &str| {
        let steps = jobs[job]["steps"].as_vec().expect("steps");
        let mut runs = steps.iter().filter_map(|step| step["run"].as_str());
        let run = runs.rfind(|run| run.contains(word)).expect("a step");
        told(&run.replace("${{ matrix.shard }}", "3"), &[])
    };
    expect(&command("shard", "--shard"), &["run", "3/4", "shard-3.json"]);
    expect(&command("merge", "merge"), &["merge", "shard-1.json", "shard-4.json", "--junit"]);
}

#[test]
fn a_task_of_slurm_runs_its_share() {
    let environment = [
        ("SLURM_ARRAY_TASK_ID", "7"),
        ("SLURM_ARRAY_TASK_COUNT", "16"),
        ("SLURM_CPUS_PER_TASK", "8"),
    ];
    let args = told(&recipe("slurm.sh"), &environment);
    expect(&args, &["run", "7/16", "8", "state-7.json", "shard-7.json"]);
}

#[test]
fn a_pod_of_kubernetes_runs_the_share_of_its_index() {
    let recipe = yaml("kubernetes.yaml");
    assert_eq!(recipe["kind"].as_str(), Some("Job"));
    assert_eq!(recipe["spec"]["completionMode"].as_str(), Some("Indexed"));
    let of = recipe["spec"]["completions"].as_i64().expect("a number");
    let container = &recipe["spec"]["template"]["spec"]["containers"][0];
    let script = container["args"][0].as_str().expect("a script");
    for (index, shard) in [(0, 1), (of - 1, of)] {
        let args = told(script, &[("JOB_COMPLETION_INDEX", &index.to_string())]);
        expect(&args, &["run", &format!("{shard}/{of}"), &format!("/results/shard-{index}.json")]);
    }
}

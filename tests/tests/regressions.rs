//! Plans that once broke the promise, or that strike where it is most easily broken. Each file in
//! `regressions/` is one run that must be exact for ever, or, of a negative control, end with these
//! verdicts and no others:
//! `{"about": …, "scenario": …, "seed": …, "plan": …, "verdicts": […]}`.

use std::{fs, path::Path};

use serde::Deserialize;
use unplug::{
    outcome::{Judgement, VerdictKind},
    run,
    scenario::Scenario,
};
use unplug_sim::fault::Plan;
use unplug_tests::exactness::workload;

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Regression {
    /// What happened, or what the plan strikes.
    about: String,
    scenario: serde_json::Value,
    seed: u64,
    plan: Plan,
    /// What the oracle says; nothing, unless the scenario is a negative control.
    #[serde(default)]
    verdicts: Vec<VerdictKind>,
}

/// The regressions in a folder, by the names of their files.
fn regressions(folder: &Path) -> Result<Vec<(String, Regression)>, String> {
    let within =
        |place: &Path, error: &dyn std::error::Error| format!("{}: {error}", place.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| within(folder, &error))? {
        let path = entry.map_err(|error| within(folder, &error))?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            return Err(format!("{}: not a JSON file; nothing would run it", path.display()));
        }
        let text = fs::read_to_string(&path).map_err(|error| within(&path, &error))?;
        let regression: Regression =
            serde_json::from_str(&text).map_err(|error| within(&path, &error))?;
        if regression.about.is_empty() {
            return Err(format!("{}: \"about\" must say what the plan strikes", path.display()));
        }
        found.push((path.display().to_string(), regression));
    }
    if found.is_empty() {
        return Err(format!("{}: no regressions; the test would show nothing", folder.display()));
    }
    found.sort_by(|(left, _), (right, _)| left.cmp(right));
    Ok(found)
}

#[test]
fn every_regression_ends_as_it_must_and_still_strikes() {
    let workload = workload();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    for (file, regression) in regressions(&folder).expect("sound regressions") {
        let Regression { about, scenario, seed, plan, verdicts } = regression;
        let scenario = Scenario::parse(&file, &scenario.to_string()).expect("a sound scenario");
        let outcome = run::run(&scenario, seed, Some(&plan), &workload);
        // Among the verdicts is that no fault happened: a plan that strikes nothing has to be
        // aimed anew.
        assert_eq!(outcome.kinds(), verdicts, "{file}: {about}; {:?}", outcome.verdicts);
        let expected = if verdicts.is_empty() { Judgement::Exact } else { Judgement::Caught };
        assert_eq!(outcome.judge(&scenario.expect), expected, "{file}: {about}");
        let struck: u64 = outcome.faults.values().sum();
        assert_eq!(struck, plan.faults.len() as u64, "{file}: a fault strikes no more; {about}");
    }
}

#[test]
fn a_folder_without_regressions_or_with_a_damaged_one_is_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let error = |folder: &Path| regressions(folder).map(|found| found.len()).expect_err("nothing");
    assert!(error(folder.path()).ends_with("no regressions; the test would show nothing"));
    assert!(error(&folder.path().join("absent")).contains("absent"));
    fs::write(folder.path().join("cut.json"), r#"{"about": "cut short", "#).expect("writable");
    assert!(error(folder.path()).contains("cut.json: EOF while parsing"));
}

//! The page of a failing run, as a browser shows it: with Chromium, which `.ci/run` installs.

use std::{fs, path::Path, process::Command};

use unplug::{
    defects,
    failure::Failure,
    outcome::{Judgement, VerdictKind},
    page::{self, Page},
    run::Case,
    suite,
    workload::Workload,
};

/// A run that lost a tuple to a power cut, by a planted defect.
fn lost() -> Failure {
    let mut scenario = suite::scenario("power-loss").expect("there");
    defects::switch_on(&mut scenario.defects, &["ack-before-sync".to_owned()]).expect("known");
    let workload = Workload::embedded().expect("sound");
    let case = Case::new(&scenario, &workload).expect("sound");
    let failing = (0..200).map(|seed| case.run(seed, None)).find(|outcome| {
        let lost = outcome.kinds().contains(&VerdictKind::Lost);
        lost && outcome.judge(&scenario.expect) == Judgement::Failed
    });
    let mut failure = Failure::new(&scenario, &failing.expect("the defect is caught"));
    // Whatever a file says is text.
    failure.scenario.about = "<script>throw 1</script><b id=\"markup\">".to_owned();
    failure
}

/// What a page is after its scripts have run, and what they said on the console.
fn open(path: &Path, folder: &Path) -> (String, Vec<String>) {
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .args(["--virtual-time-budget=20000", "--window-size=1500,1400", "--dump-dom"])
        .arg(format!("file://{}", path.display()))
        .output()
        .expect("chromium is missing; as root: apt-get install -y chromium");
    let said = String::from_utf8_lossy(&output.stderr);
    let console = said.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    (String::from_utf8(output.stdout).expect("UTF-8"), console)
}

#[test]
#[ignore = "needs chromium"]
fn a_browser_shows_the_crash_and_the_lost_tuple_without_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("page.html");
    fs::write(&path, "<script>undefined_name()</script>").expect("written");
    let (_, console) = open(&path, folder.path());
    assert!(console.iter().any(|line| line.contains("undefined_name")), "errors are not seen");

    let failure = lost();
    let drawing = page::draw(&failure, None).expect("drawn");
    let lost: Vec<_> = drawing.tuples.iter().map(|tuple| tuple.id.clone()).collect();
    assert!(!lost.is_empty());
    let page =
        Page { version: "1", verdict: "failed", scenarios: &[], drawings: vec![drawing], more: 0 };
    page.write(&path).expect("written");
    let (shown, console) = open(&path, folder.path());
    assert!(console.is_empty(), "{console:#?}");

    let data = shown.find("<script type=\"application/json\"").expect("data");
    let code_ends = shown.rfind("</script>").expect("code");
    let markup = [&shown[..data], &shown[code_ends..]].concat();
    let count = |what: &str| markup.matches(what).count();
    assert!(count("class=\"fault\" data-kind=\"power_loss\"") > 0, "the fault");
    for node in ["broker", "store-0", "sink-0"] {
        let down = format!("class=\"down\" data-node=\"{node}\"");
        assert!(count(&down) > 0, "{node} was down");
    }
    for id in &lost {
        assert_eq!(count(&format!("class=\"tuple\" data-tuple=\"{id}\"")), 1, "tuple {id}");
    }
    assert!(count("class=\"seen\"") > 0, "where a reader saw it");
    assert!(count("class=\"epoch\"") > 10 && count("class=\"message\"") > 300);
    assert!(count(" lost its power") + count("the whole data centre") > 0, "the story");
    assert!(count("datagrams: zoom in for the rest") + count("zoom in for the rest") > 0);
    assert!(count("&lt;script&gt;throw 1&lt;/script&gt;") > 0 && count("<b id=") == 0);
}

//! Which scenarios there are: those that are part of the program, and files.

use std::path::Path;

use unplug_engine::steps::Step;

use crate::{
    files,
    input::{Invalid, unknown},
    reach::Reach,
    scenario::Scenario,
};

/// The name of the suite that runs if none is named.
pub const DEFAULT: &str = "default";

const EMBEDDED: [(&str, &str); 13] = [
    ("power-loss", include_str!("../suite/power-loss.json")),
    ("node-crash", include_str!("../suite/node-crash.json")),
    ("zombie", include_str!("../suite/zombie.json")),
    ("straggler", include_str!("../suite/straggler.json")),
    ("partitions", include_str!("../suite/partitions.json")),
    ("store-lost", include_str!("../suite/store-lost.json")),
    ("disks", include_str!("../suite/disks.json")),
    ("clocks", include_str!("../suite/clocks.json")),
    ("swarm", include_str!("../suite/swarm.json")),
    ("swarm-generated", include_str!("../suite/swarm-generated.json")),
    ("stateless", include_str!("../suite/stateless.json")),
    ("damaged-copies", include_str!("../suite/damaged-copies.json")),
    ("append-negative", include_str!("../suite/append-negative.json")),
];

/// Those that are in no suite.
const BESIDE: [(&str, &str); 1] = [("sweep", include_str!("../suite/sweep.json"))];

/// What a campaign over the default suite must reach.
const SOMETIMES: [&str; 9] = [
    "fetch.failed",
    "speculation.won",
    "driver.fenced",
    "blob.repaired",
    "store.rebuilt",
    "snapshot.loaded",
    "late.routed",
    "idle.passed",
    "register.contended",
];
/// So often at least each step of an epoch must be interrupted.
const INTERRUPTED_MIN: u64 = 20;

/// The names of the scenarios that are part of the program.
#[must_use]
pub fn names() -> Vec<&'static str> {
    embedded().map(|(name, _)| name).collect()
}

/// The scenarios that are part of the program.
///
/// # Errors
/// Never, in a tested program.
pub fn all() -> Result<Vec<Scenario>, Invalid> {
    embedded().map(|(name, text)| Scenario::parse(name, text)).collect()
}

fn embedded() -> impl Iterator<Item = (&'static str, &'static str)> {
    EMBEDDED.into_iter().chain(BESIDE)
}

/// What a campaign over the default suite must reach.
#[must_use]
pub fn reach() -> Reach {
    Reach {
        sometimes: SOMETIMES.map(str::to_owned).to_vec(),
        interrupted_min: Step::ALL.map(|step| (step.name().to_owned(), INTERRUPTED_MIN)).into(),
    }
}

/// The scenarios of a suite, in the order in which they run.
///
/// # Errors
/// If there is no suite of that name.
pub fn suite(name: &str) -> Result<Vec<Scenario>, Invalid> {
    if name != DEFAULT {
        return Err(Invalid::new(unknown("suite", name, [DEFAULT])));
    }
    EMBEDDED.into_iter().map(|(name, text)| Scenario::parse(name, text)).collect()
}

/// The scenario that a user means: a file if it looks like a path, else a name.
///
/// # Errors
/// If there is no such scenario, or the file is not one.
pub fn scenario(name: &str) -> Result<Scenario, Invalid> {
    let path = Path::new(name);
    if path.components().count() > 1 || path.extension().is_some_and(|end| end == "json") {
        return Scenario::parse(name, &files::read(path)?);
    }
    match embedded().find(|(known, _)| *known == name) {
        Some((name, text)) => Scenario::parse(name, text),
        None => Err(Invalid::new(unknown("scenario", name, names()))),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use unplug_engine::steps::MARKS;

    use super::*;

    /// What the program has of its scenarios, as they are written.
    fn files() -> Vec<(String, String)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("suite");
        let mut files: Vec<_> = fs::read_dir(folder)
            .expect("the folder of the suite")
            .map(|entry| entry.expect("an entry").path())
            .map(|path| {
                let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
                (name.to_owned(), fs::read_to_string(&path).expect("readable"))
            })
            .collect();
        files.sort_unstable();
        files
    }

    #[test]
    fn embedded_scenarios_are_sound_and_named_as_their_files() {
        let suite = suite(DEFAULT).expect("sound");
        let all = all().expect("sound");
        assert_eq!(all.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), names());
        assert_eq!(all[..suite.len()], suite);
        assert_eq!(suite.iter().filter(|one| one.is_negative()).count(), 2);
        assert_eq!(scenario("append-negative").expect("there"), suite[suite.len() - 1]);
    }

    #[test]
    fn every_file_of_the_suite_is_a_scenario() {
        let files = files();
        assert!(files.len() >= 11, "{}", files.len());
        for (name, text) in files {
            let scenario = Scenario::parse(&name, &text).expect("sound");
            assert_eq!(scenario.name, name);
            assert!(!scenario.about.is_empty(), "{name}");
        }
    }

    #[test]
    fn what_the_suite_must_reach_can_be_reached() {
        let Reach { sometimes, interrupted_min } = reach();
        let marks: BTreeSet<_> = MARKS.into_iter().collect();
        assert!(sometimes.iter().all(|mark| marks.contains(mark.as_str())));
        assert_eq!(interrupted_min.len(), Step::ALL.len());
    }

    #[test]
    fn unknown_names_get_a_hint() {
        let error = |name| scenario(name).expect_err("unknown").to_string();
        let known = names().join(", ");
        assert_eq!(error("nope"), format!("unknown scenario \"nope\"; known: {known}"));
        assert_eq!(error("statelss"), "unknown scenario \"statelss\"; did you mean \"stateless\"?");
    }
}

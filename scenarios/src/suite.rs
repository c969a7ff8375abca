//! Which scenarios there are: those that are part of the program, and files.

use std::{ops::Range, path::Path};

use unplug_engine::steps::Step;

use crate::{
    files,
    input::{Invalid, unknown},
    reach::Reach,
    scenario::Scenario,
};

/// The name of the suite that runs if none is named.
pub const DEFAULT: &str = "default";

const EMBEDDED: [(&str, &str); 18] = [
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
    ("torture-stores", include_str!("../suite/torture-stores.json")),
    ("torture-disks", include_str!("../suite/torture-disks.json")),
    ("torture-timing", include_str!("../suite/torture-timing.json")),
    ("torture-cluster", include_str!("../suite/torture-cluster.json")),
    ("torture-everything", include_str!("../suite/torture-everything.json")),
];
/// So many of them are of the default suite; those after them only torture.
const OF_DEFAULT: usize = 13;

/// A scenario for each pipeline, and one for each further kind of sink.
const ENGINE: [(&str, &str); 27] = [
    ("engine-sliding", include_str!("../suite/engine-sliding.json")),
    ("engine-sessions", include_str!("../suite/engine-sessions.json")),
    ("engine-distinct", include_str!("../suite/engine-distinct.json")),
    ("engine-growing", include_str!("../suite/engine-growing.json")),
    ("engine-nested", include_str!("../suite/engine-nested.json")),
    ("engine-paired", include_str!("../suite/engine-paired.json")),
    ("engine-mixed", include_str!("../suite/engine-mixed.json")),
    ("engine-q0", include_str!("../suite/engine-q0.json")),
    ("engine-q1", include_str!("../suite/engine-q1.json")),
    ("engine-q2", include_str!("../suite/engine-q2.json")),
    ("engine-q3", include_str!("../suite/engine-q3.json")),
    ("engine-q4", include_str!("../suite/engine-q4.json")),
    ("engine-q5", include_str!("../suite/engine-q5.json")),
    ("engine-q7", include_str!("../suite/engine-q7.json")),
    ("engine-q8", include_str!("../suite/engine-q8.json")),
    ("engine-q11", include_str!("../suite/engine-q11.json")),
    ("engine-channels", include_str!("../suite/engine-channels.json")),
    ("engine-aircraft", include_str!("../suite/engine-aircraft.json")),
    ("engine-routes", include_str!("../suite/engine-routes.json")),
    ("engine-weather", include_str!("../suite/engine-weather.json")),
    ("engine-json-files", include_str!("../suite/engine-json-files.json")),
    ("engine-csv-files", include_str!("../suite/engine-csv-files.json")),
    ("engine-partitions-added", include_str!("../suite/engine-partitions-added.json")),
    ("engine-executors-change", include_str!("../suite/engine-executors-change.json")),
    ("engine-source-bounded", include_str!("../suite/engine-source-bounded.json")),
    ("files-sink", include_str!("../suite/files-sink.json")),
    ("transactional-sink", include_str!("../suite/transactional-sink.json")),
];

/// Those that are in no suite.
const BESIDE: [(&str, &str); 3] = [
    ("sweep", include_str!("../suite/sweep.json")),
    ("sweep-files", include_str!("../suite/sweep-files.json")),
    ("sweep-transactional", include_str!("../suite/sweep-transactional.json")),
];

/// What a campaign over a whole suite must reach.
const SOMETIMES: [&str; 10] = [
    "attempt.adopted",
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

/// A suite: which scenarios run together, and over which seeds.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// Its name.
    pub name: &'static str,
    /// One line on what it is for.
    pub about: &'static str,
    /// The seeds that run if none are named.
    pub seeds: (u64, u64),
    /// Its scenarios, in the order in which they run.
    scenarios: Members,
}

#[derive(Clone, Copy, Debug)]
enum Members {
    Named(&'static [&'static str]),
    Default,
    All,
    Torture,
    Engine,
}

/// All suites.
pub const SUITES: [Suite; 5] = [
    Suite {
        name: "smoke",
        about: "seconds, to see that nothing is broken outright",
        seeds: (0, 10),
        scenarios: Members::Named(&[
            "stateless",
            "power-loss",
            "node-crash",
            "swarm",
            "append-negative",
        ]),
    },
    Suite {
        name: DEFAULT,
        about: "each kind of fault by itself, and all together",
        seeds: (0, 250),
        scenarios: Members::Default,
    },
    Suite {
        name: "ci",
        about: "what every change should pass: all scenarios, a few minutes",
        seeds: (0, 100),
        scenarios: Members::All,
    },
    Suite {
        name: "torture",
        about: "everything at once, more of it, on larger clusters and worse disks, networks and clocks",
        seeds: (0, 200),
        scenarios: Members::Torture,
    },
    Suite {
        name: "engine",
        about: "every operator, every kind of sink, and several of them together, under all kinds of faults",
        seeds: (0, 500),
        scenarios: Members::Engine,
    },
];

/// The names of the scenarios that are part of the program.
#[must_use]
pub fn names() -> Vec<&'static str> {
    embedded().map(|(name, _)| name).collect()
}

fn embedded() -> impl Iterator<Item = (&'static str, &'static str)> {
    EMBEDDED.into_iter().chain(ENGINE).chain(BESIDE)
}

/// The suite of that name.
///
/// # Errors
/// If there is none.
pub fn named(name: &str) -> Result<Suite, Invalid> {
    let known = || SUITES.iter().map(|suite| suite.name);
    let suite = SUITES.into_iter().find(|suite| suite.name == name);
    suite.ok_or_else(|| Invalid::new(unknown("suite", name, known())))
}

impl Suite {
    /// The names of its scenarios.
    #[must_use]
    pub fn scenarios(&self) -> Vec<&'static str> {
        let of = |part: &[(&'static str, &str)]| part.iter().map(|(name, _)| *name).collect();
        match self.scenarios {
            Members::Named(names) => names.to_vec(),
            Members::Default => of(&EMBEDDED[..OF_DEFAULT]),
            Members::All => of(&EMBEDDED),
            Members::Engine => of(&ENGINE),
            Members::Torture => of(&EMBEDDED[OF_DEFAULT..]),
        }
    }

    /// The seeds that run if none are named.
    #[must_use]
    pub fn seeds(&self) -> Range<u64> {
        self.seeds.0..self.seeds.1
    }

    /// What a campaign over all of it must reach.
    #[must_use]
    pub fn reach(&self) -> Reach {
        match self.scenarios {
            // So few runs reach what they reach.
            Members::Named(_) => Reach::default(),
            Members::Default | Members::All | Members::Torture | Members::Engine => Reach {
                sometimes: SOMETIMES.map(str::to_owned).to_vec(),
                interrupted_min: Step::ALL
                    .map(|step| (step.name().to_owned(), INTERRUPTED_MIN))
                    .into(),
            },
        }
    }
}

/// The scenarios of a suite, in the order in which they run.
///
/// # Errors
/// If there is no suite of that name.
pub fn suite(name: &str) -> Result<Vec<Scenario>, Invalid> {
    named(name)?.scenarios().into_iter().map(scenario).collect()
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
        let all = suite("ci").expect("sound");
        let of_all = |name: &&&str| BESIDE.iter().chain(&ENGINE).all(|(beside, _)| beside != *name);
        let names = names();
        let names: Vec<_> = names.iter().filter(of_all).copied().collect();
        assert_eq!(all.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), names);
        let suite = suite(DEFAULT).expect("sound");
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
    fn every_suite_is_sound_and_torture_is_only_torture() {
        for Suite { name, .. } in SUITES {
            let scenarios = suite(name).expect("sound");
            assert!(scenarios.len() >= 5, "{name}");
            let torture = scenarios.iter().filter(|one| one.name.starts_with("torture-")).count();
            let want = match name {
                "torture" => scenarios.len(),
                "ci" => 5,
                _ => 0,
            };
            assert_eq!(torture, want, "{name}");
        }
        let error = named("tortur").expect_err("unknown").to_string();
        assert_eq!(error, "unknown suite \"tortur\"; did you mean \"torture\"?");
    }

    #[test]
    fn what_the_suite_must_reach_can_be_reached() {
        let Reach { sometimes, interrupted_min } = named(DEFAULT).expect("there").reach();
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

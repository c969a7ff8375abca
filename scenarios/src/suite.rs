//! Which scenarios there are: those that are part of the program, and files.

use std::path::Path;

use crate::{
    files,
    input::{Invalid, unknown},
    scenario::Scenario,
};

/// The name of the suite that runs if none is named.
pub const DEFAULT: &str = "default";

const EMBEDDED: [(&str, &str); 3] = [
    ("power-loss", include_str!("../suite/power-loss.json")),
    ("node-crash", include_str!("../suite/node-crash.json")),
    ("append-negative", include_str!("../suite/append-negative.json")),
];

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
    match EMBEDDED.into_iter().find(|(known, _)| *known == name) {
        Some((name, text)) => Scenario::parse(name, text),
        None => Err(Invalid::new(unknown("scenario", name, EMBEDDED.map(|(known, _)| known)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_scenarios_are_sound_and_named_as_their_files() {
        let names: Vec<_> = EMBEDDED.into_iter().map(|(name, _)| name.to_owned()).collect();
        let suite = suite(DEFAULT).expect("sound");
        assert_eq!(suite.iter().map(|one| one.name.clone()).collect::<Vec<_>>(), names);
        assert_eq!(suite.iter().filter(|one| one.is_negative()).count(), 1);
        assert_eq!(scenario("node-crash").expect("there"), suite[1]);
    }

    #[test]
    fn unknown_names_get_a_hint() {
        let error = |name| scenario(name).expect_err("unknown").to_string();
        assert_eq!(
            error("nope"),
            "unknown scenario \"nope\"; known: power-loss, node-crash, append-negative"
        );
        assert_eq!(
            error("powerloss"),
            "unknown scenario \"powerloss\"; did you mean \"power-loss\"?"
        );
    }
}

//! A failure file: all that one failing run was made of, so that it can be run again anywhere
//! without anything else, with what it said, so that the two can be compared.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unplug_sim::fault::Plan;

use crate::{
    input::{self, Invalid},
    outcome::{Digest, Outcome, Verdict},
    scenario::Scenario,
    validate,
};

/// The version of the file's form.
pub const FORMAT: u32 = 1;
/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// One failing run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The version of the file's form, [`FORMAT`].
    #[schemars(extend("const" = FORMAT))]
    pub format: u32,
    /// The version of the program that made it.
    pub version: String,
    /// The whole scenario, with the defects that were switched on.
    pub scenario: Scenario,
    /// The seed.
    pub seed: u64,
    /// The plan that was run, and that a replay runs, whatever a later generator would draw.
    pub plan: Plan,
    /// The digest of the trace.
    pub digest: Digest,
    /// The digest at each whole second of virtual time, from the first: by them a run that went
    /// differently is known to have done so from when on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<Digest>,
    /// What was violated.
    pub verdicts: Vec<Verdict>,
    /// If it is a smaller run in place of another: what that one was like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shrunk_from: Option<ShrunkFrom>,
}

/// What a failing run was like before it was shrunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShrunkFrom {
    /// Its plan.
    pub plan: Plan,
    /// Its seed.
    pub seed: u64,
    /// How many tuples were sent, less those that close windows.
    pub tuples: u32,
    /// How many nodes there were.
    pub nodes: usize,
}

/// What every form of the file has.
#[derive(Deserialize)]
struct Header {
    format: u32,
}

impl Failure {
    /// The failure that this run was.
    #[must_use]
    pub fn new(scenario: &Scenario, outcome: &Outcome) -> Self {
        Self {
            format: FORMAT,
            version: VERSION.to_owned(),
            scenario: scenario.clone(),
            seed: outcome.seed,
            plan: outcome.plan.clone(),
            digest: outcome.digest,
            digests: outcome.digests.clone(),
            verdicts: outcome.verdicts.clone(),
            shrunk_from: None,
        }
    }

    /// Reads a failure from JSON; `source` is what to call the text in an error.
    ///
    /// # Errors
    /// If the text is damaged, is something else, or is of a version unknown here.
    pub fn parse(source: &str, text: &str) -> Result<Self, Invalid> {
        let Header { format } = input::parse(source, text)?;
        if format != FORMAT {
            let problem = format!("{format} is unknown here; this unplug reads format {FORMAT}");
            return Err(Invalid::at("format", problem).within(source));
        }
        let failure: Self = input::parse(source, text)?;
        failure.check().map_err(|error| error.within(source))?;
        Ok(failure)
    }

    fn check(&self) -> Result<(), Invalid> {
        self.scenario.check().map_err(|error| error.within("scenario"))?;
        validate::plan(&self.plan, &self.scenario).map_err(|error| error.within("plan"))?;
        if self.verdicts.is_empty() {
            return Err(Invalid::at("verdicts", "empty; a failure has at least one"));
        }
        Ok(())
    }

    /// The file of this failure in a folder.
    #[must_use]
    pub fn path(&self, folder: &Path) -> PathBuf {
        let mut name = format!("{}-{}", self.scenario.name, self.seed);
        for defect in &self.scenario.defects {
            name.push('-');
            name.push_str(defect);
        }
        folder.join(name + ".json")
    }
}

/// The command that replays a failure file, to be run in the folder where the campaign ran.
#[must_use]
pub fn command(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let quoted =
        if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) };
    format!("cargo run --release -- replay {quoted}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{generate, outcome::VerdictKind, suite};

    fn failure() -> Failure {
        let scenario = suite::scenario("stateless").expect("there");
        let verdict = Verdict { kind: VerdictKind::RolledBack, message: "epoch 3 to 2".to_owned() };
        let plan = generate::plan(&scenario, 17);
        Failure::new(&scenario, &Outcome::broken(17, plan, verdict))
    }

    fn text() -> String {
        serde_json::to_string_pretty(&failure()).expect("serialises")
    }

    #[test]
    fn what_is_written_is_read_again() {
        assert_eq!(Failure::parse("f.json", &text()).expect("parses"), failure());
    }

    #[test]
    fn every_truncation_is_one_clear_line() {
        let text = text();
        for length in 0..text.len() - 1 {
            let error = Failure::parse("f.json", &text[..length]).expect_err("cut").to_string();
            assert!(error.starts_with("f.json: line "), "{error}");
            assert!(error.contains("ends too early") && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn what_is_no_failure_of_this_form_is_refused() {
        let error = |text: &str| Failure::parse("f.json", text).expect_err("wrong").to_string();
        assert_eq!(
            error(r#"{"format": 2, "new": 1}"#),
            "f.json: format: 2 is unknown here; this unplug reads format 1"
        );
        assert_eq!(error("{}"), "f.json: line 1 column 2: missing field `format`");
        let nobody = text().replace("\"broker\"", "\"brokre\"");
        assert!(error(&nobody).contains("did you mean"), "{}", error(&nobody));
        let elsewhere = text().replace("\"partitions\": 4", "\"partitions\": 0");
        assert!(error(&elsewhere).starts_with("f.json: scenario: cluster.partitions: 0 is out"));
    }

    #[test]
    fn its_file_is_named_by_scenario_seed_and_defects() {
        let mut failure = failure();
        let folder = Path::new("failures");
        assert_eq!(failure.path(folder), Path::new("failures/stateless-17.json"));
        failure.scenario.defects = vec!["skip-dir-sync".to_owned()];
        assert_eq!(failure.path(folder), Path::new("failures/stateless-17-skip-dir-sync.json"));
    }

    #[test]
    fn the_command_can_be_pasted() {
        let of = |path: &str| command(Path::new(path));
        assert_eq!(of("failures/x-1.json"), "cargo run --release -- replay failures/x-1.json");
        assert_eq!(of("it's/x.json"), r"cargo run --release -- replay 'it'\''s/x.json'");
    }
}

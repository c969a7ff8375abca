//! What one run told: plain data between the run, which fills it in, and the campaign, which adds
//! it up, reports it and keeps it for replay.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer, de};
use unplug_sim::fault::Plan;

use crate::scenario::Expect;

/// Everything that one run told. Two runs of the same scenario, seed and plan tell the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The digest of the trace.
    pub digest: Digest,
    /// The digest at each whole second of virtual time, from the first.
    #[serde(default)]
    pub digests: Vec<Digest>,
    /// What the oracle objects to; empty if the sink was exact.
    pub verdicts: Vec<Verdict>,
    /// Tuples that were acknowledged.
    pub tuples: u64,
    /// Faults that happened, by kind.
    pub faults: BTreeMap<String, u64>,
    /// Crashes of nodes; one power loss of the data centre is several.
    pub crashes: u64,
    /// Power losses that happened.
    pub power_cuts: u64,
    /// Those that hit at least one node with operations not yet synced.
    pub power_cuts_unsynced: u64,
    /// How often a crash fell inside a step of an epoch, by the step's name.
    pub steps_interrupted: BTreeMap<String, u64>,
    /// How often nodes passed each mark.
    #[serde(default)]
    pub marks: BTreeMap<String, u64>,
    /// From each fault to the first new commit after it, if there was one.
    pub recovery_ns: Vec<u64>,
    /// How long epochs took, by what went on meanwhile: `calm`, `throttled`, or
    /// `throttled_without_speculation`.
    #[serde(default)]
    pub epoch_ns: BTreeMap<String, Vec<u64>>,
    /// Virtual time at the end.
    pub virtual_ns: u64,
    /// Events of the simulation.
    pub events: u64,
    /// The plan as it was run.
    pub plan: Plan,
}

impl Outcome {
    /// An outcome of nothing but a verdict, for a run that did not get to its end.
    #[must_use]
    pub fn broken(seed: u64, plan: Plan, verdict: Verdict) -> Self {
        Self {
            seed,
            digest: Digest::default(),
            digests: Vec::new(),
            verdicts: vec![verdict],
            tuples: 0,
            faults: BTreeMap::new(),
            crashes: 0,
            power_cuts: 0,
            power_cuts_unsynced: 0,
            steps_interrupted: BTreeMap::new(),
            marks: BTreeMap::new(),
            recovery_ns: Vec::new(),
            epoch_ns: BTreeMap::new(),
            virtual_ns: 0,
            events: 0,
            plan,
        }
    }

    /// The kinds of the verdicts, each once, in their order.
    #[must_use]
    pub fn kinds(&self) -> Vec<VerdictKind> {
        kinds(&self.verdicts)
    }

    /// Whether this outcome is what the scenario expects.
    #[must_use]
    pub fn judge(&self, expect: &Expect) -> Judgement {
        let kinds = self.kinds();
        if kinds.is_empty() {
            return Judgement::Exact;
        }
        if kinds == [VerdictKind::NotMeasured] {
            return Judgement::NotMeasured;
        }
        let shown = kinds.iter().any(|kind| expect.asks_for(*kind));
        if shown && kinds.iter().all(|kind| expect.allows(*kind)) {
            Judgement::Caught
        } else {
            Judgement::Failed
        }
    }
}

/// The kinds of these verdicts, each once, in their order.
#[must_use]
pub fn kinds(verdicts: &[Verdict]) -> Vec<VerdictKind> {
    let mut kinds: Vec<_> = verdicts.iter().map(|verdict| verdict.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// An outcome beside what was expected of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The sink was exact. In a scenario that must be caught it shows nothing, and is no failure.
    Exact,
    /// The oracle objected to what the scenario does wrong on purpose, and to nothing else.
    Caught,
    /// The promise was broken.
    Failed,
    /// The run shows nothing.
    NotMeasured,
}

/// One objection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// Its kind.
    pub kind: VerdictKind,
    /// What exactly: tuples, epochs, virtual time.
    pub message: String,
}

/// What can be wrong with a run.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictKind {
    /// An acknowledged tuple never reached the sink.
    Lost,
    /// A tuple is at the sink more than once.
    Duplicated,
    /// The sink shows what no one sent.
    Phantom,
    /// A row has another value than the pipeline's model gives.
    Corrupt,
    /// A read that no published cut explains.
    Torn,
    /// A read or a cut went back.
    RolledBack,
    /// Rows of one key came in another order than their tuples.
    Reordered,
    /// Not all was delivered within the bound after the last fault.
    Stuck,
    /// A node refused to serve, under faults that it promises to survive: its own state had become
    /// unsound, or it was wrong about it.
    RefusedWrongly,
    /// What nobody needs any more stays on a disk.
    Leaked,
    /// A node or the harness panicked, or the process that ran it died.
    Panicked,
    /// More events, virtual time, messages under way or disk than the scenario allows, or more
    /// memory or real time than a run is given.
    OverBudget,
    /// Nothing was acknowledged, no fault happened, or no reader read.
    NotMeasured,
    /// A second run of the same seed differed.
    NonDeterministic,
}

impl fmt::Display for VerdictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// The 128-bit digest of a trace; 32 hex digits in text and JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(transparent)]
pub struct Digest(#[schemars(with = "String", regex(pattern = "^[0-9a-f]{32}$"))] pub u128);

impl Digest {
    /// Of this and another; their order is no matter.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u128::from_str_radix(&text, 16)
            .ok()
            .filter(|_| digits)
            .map(Self)
            .ok_or_else(|| de::Error::custom(format!("{text:?} is not 32 hex digits")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(kinds: &[VerdictKind]) -> Outcome {
        let verdicts = kinds.iter().map(|&kind| Verdict { kind, message: String::new() });
        let unused = Verdict { kind: VerdictKind::Lost, message: String::new() };
        Outcome { verdicts: verdicts.collect(), ..Outcome::broken(1, Plan::default(), unused) }
    }

    #[test]
    fn judged_by_what_the_scenario_expects() {
        use VerdictKind::{Duplicated, Lost, NotMeasured, RolledBack};
        let negative = Expect::Caught { verdicts: vec![Duplicated], beside: vec![RolledBack] };
        for (kinds, exact, caught) in [
            (&[][..], Judgement::Exact, Judgement::Exact),
            (&[Duplicated, Duplicated], Judgement::Failed, Judgement::Caught),
            (&[Duplicated, RolledBack], Judgement::Failed, Judgement::Caught),
            (&[RolledBack], Judgement::Failed, Judgement::Failed),
            (&[Lost, Duplicated], Judgement::Failed, Judgement::Failed),
            (&[NotMeasured], Judgement::NotMeasured, Judgement::NotMeasured),
            (&[NotMeasured, Lost], Judgement::Failed, Judgement::Failed),
        ] {
            assert_eq!(outcome(kinds).judge(&Expect::Exact), exact, "{kinds:?}");
            assert_eq!(outcome(kinds).judge(&negative), caught, "{kinds:?}");
        }
    }

    #[test]
    fn names_and_digests_read_as_in_json() {
        assert_eq!(VerdictKind::RolledBack.to_string(), "rolled-back");
        let json = serde_json::to_string(&Digest(0xab)).expect("serialises");
        assert_eq!(json, "\"000000000000000000000000000000ab\"");
        assert_eq!(serde_json::from_str::<Digest>(&json).expect("parses"), Digest(0xab));
        assert!(serde_json::from_str::<Digest>("\"+0000000000000000000000000000ab0\"").is_err());
    }
}

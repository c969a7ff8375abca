//! What a calibration found.

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use serde::Serialize;

use super::judge::{Judged, Problem, Violation};

#[derive(Serialize)]
pub(super) struct Report {
    pub(super) file_systems: Vec<FileSystemReport>,
}

/// One file system.
#[derive(Serialize)]
pub(super) struct FileSystemReport {
    pub(super) name: &'static str,
    profile: &'static str,
    pub(super) lists: u64,
    /// Lists after which the state was one that the profile allows.
    contained: u64,
    /// Lists after which the state was neither everything nor what was synced.
    between: u64,
    distinct_states: usize,
    violations: Vec<Violation>,
    #[serde(skip)]
    seen: BTreeSet<u128>,
}

impl Report {
    /// Whether every state is allowed.
    pub(super) fn held(&self) -> bool {
        self.file_systems.iter().all(|one| one.violations.is_empty())
    }

    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        for one in &self.file_systems {
            for violation in &one.violations {
                print(one.name, violation, out)?;
            }
        }
        for one in &self.file_systems {
            let FileSystemReport { name, profile, lists, contained, between, .. } = one;
            writeln!(
                out,
                "{name:<14} {profile:<14} {lists} lists: {contained} contained, {} not; \
                 {} distinct states; {between} neither everything nor what was synced",
                one.violations.len(),
                one.distinct_states
            )?;
        }
        Ok(())
    }
}

impl FileSystemReport {
    pub(super) fn new(name: &'static str, profile: &'static str) -> Self {
        Self {
            name,
            profile,
            lists: 0,
            contained: 0,
            between: 0,
            distinct_states: 0,
            violations: Vec::new(),
            seen: BTreeSet::new(),
        }
    }

    pub(super) fn add(&mut self, judged: Judged) {
        let Judged { hash, between, violation } = judged;
        self.lists += 1;
        self.contained += u64::from(violation.is_none());
        self.between += u64::from(between);
        self.violations.extend(violation);
        self.seen.insert(hash);
    }

    pub(super) fn finish(self) -> Self {
        Self { distinct_states: self.seen.len(), ..self }
    }
}

fn print(name: &str, violation: &Violation, out: &mut dyn Write) -> io::Result<()> {
    let Violation { seed, problem, ops, written_back, state } = violation;
    let problem = match problem {
        Problem::NotAllowed => "left what its profile does not allow",
        Problem::DiffersBeforeTheCrash => "differs from the model before any crash",
    };
    writeln!(out, "{name}, seed {seed}: {problem}\n{state}after the list")?;
    writeln!(out, "  {}", serde_json::to_string(ops)?)?;
    for (place, path) in written_back {
        writeln!(out, "  with {path} written out after {place} operations")?;
    }
    writeln!(out)
}

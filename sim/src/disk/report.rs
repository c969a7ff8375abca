//! What a power cut did, for counting and for people.

use std::{collections::BTreeMap, fmt};

use super::{CrashMode, Fate, InodeNumber, Unit, UnitKind};

/// What a power cut did to the operations that were pending. Its text has a line for each unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashReport {
    /// How the fates were drawn; `None` if they were chosen.
    pub mode: Option<CrashMode>,
    /// Operations kept as a whole.
    pub kept: usize,
    /// Operations lost as a whole.
    pub lost: usize,
    /// Operations kept in part: some sectors of a write, its length without its bytes, or one
    /// half of a rename.
    pub torn: usize,
    /// Every unit with its fate, in the order of the operations.
    pub fates: Vec<(Unit, Fate)>,
    /// Where the changed files and directories stood before the crash, by one of their names.
    pub paths: BTreeMap<InodeNumber, String>,
}

impl CrashReport {
    pub(super) fn new(fates: Vec<(Unit, Fate)>, paths: BTreeMap<InodeNumber, String>) -> Self {
        let mut report = Self { mode: None, kept: 0, lost: 0, torn: 0, fates: Vec::new(), paths };
        for operation in fates.chunk_by(|(a, _), (b, _)| a.id.operation == b.id.operation) {
            let all = |expected| operation.iter().all(|(_, fate)| *fate == expected);
            if all(Fate::Kept) {
                report.kept += 1;
            } else if all(Fate::Lost) {
                report.lost += 1;
            } else {
                report.torn += 1;
            }
        }
        Self { fates, ..report }
    }
}

impl fmt::Display for CrashReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, kept, lost, torn, fates, paths } = self;
        write!(f, "power loss: {kept} operations kept, {lost} lost, {torn} torn")?;
        if let Some(mode) = mode {
            write!(f, " ({mode})")?;
        }
        for (unit, fate) in fates {
            write!(f, "\n  {fate}: {unit}")?;
            let at = match &unit.kind {
                UnitKind::Names(changes) => changes.first().map(|change| change.directory),
                UnitKind::Sector { .. } | UnitKind::Size { .. } | UnitKind::Truncate { .. } => {
                    unit.file()
                }
            };
            if let Some(path) = at.and_then(|number| paths.get(&number)) {
                write!(f, " ({path})")?;
            }
        }
        Ok(())
    }
}

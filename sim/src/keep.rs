//! What disks keep at a loss of power: drawn, or said.

use serde::{Deserialize, Serialize};

use crate::{
    disk::{CrashReport, Disk, Fate},
    random::Stream,
};

/// What disks keep of what no sync has covered. The order that a disk's profile keeps holds in any
/// case: see [`Disk::crash_with`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Keep {
    /// Drawn from the seed.
    #[default]
    Drawn,
    /// Nothing.
    Nothing,
    /// All of it.
    Everything,
    /// A part on one disk, nothing or all of it on the others.
    Torn {
        /// The disk's node, by name.
        node: String,
        /// A fate for each of [`Disk::units`], in order. What none is left for, or what cannot have
        /// its own, is lost.
        fates: Vec<Fate>,
        /// What the other disks keep.
        others: Whole,
    },
}

/// All of it, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Whole {
    /// Nothing.
    Nothing,
    /// Everything.
    Everything,
}

impl Whole {
    /// The fate of every unit.
    #[must_use]
    pub const fn fate(self) -> Fate {
        match self {
            Self::Nothing => Fate::Lost,
            Self::Everything => Fate::Kept,
        }
    }
}

impl Keep {
    /// Whether the seed decides.
    #[must_use]
    pub fn is_drawn(&self) -> bool {
        *self == Self::Drawn
    }

    /// The node that it names.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::Torn { node, .. } => Some(node),
            Self::Drawn | Self::Nothing | Self::Everything => None,
        }
    }

    /// Cuts the power of a node's disk.
    pub(crate) fn cut(&self, name: &str, disk: &mut Disk, stream: &mut Stream) -> CrashReport {
        let all = |disk: &mut Disk, whole: Whole| disk.crash_with(&mut |_| whole.fate());
        match self {
            Self::Drawn => disk.crash(stream),
            Self::Nothing => all(disk, Whole::Nothing),
            Self::Everything => all(disk, Whole::Everything),
            Self::Torn { node, fates, .. } if node == name => {
                let mut fates = fates.iter();
                disk.crash_with(&mut |unit| {
                    let chosen = fates.next().copied().filter(|fate| unit.allows(*fate));
                    chosen.unwrap_or(Fate::Lost)
                })
            }
            Self::Torn { others, .. } => all(disk, *others),
        }
    }
}

//! Every state that a power cut may leave after a list of operations.

use std::{
    collections::{BTreeMap, btree_map::Entry as Slot},
    fmt,
};

use serde::Serialize;
use unplug_sim::{disk::Disk, env::FileKind};

use super::content::Content;

/// The states that a power cut may leave.
#[derive(Clone, Debug, Serialize)]
pub struct States {
    /// What the crash decides on: units of the pending logs, over all points.
    pub units: u64,
    /// Choices of fates, over all points.
    pub choices: u64,
    /// Each distinct state once, in the order of their trees.
    pub states: Vec<State>,
}

/// One state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    /// How many choices of fates lead to it.
    pub choices: u64,
    /// After how many operations a power cut may leave it.
    pub after: Vec<usize>,
    /// What is there.
    pub tree: Tree,
}

/// Everything below the root, sorted by path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Tree(pub Vec<Entry>);

/// A name, and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Entry {
    /// The path.
    pub path: String,
    /// What is there.
    #[serde(flatten)]
    pub what: What,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// A directory.
    Directory,
    /// A file.
    File {
        /// Its length.
        len: u64,
        /// Its bytes.
        bytes: Content,
        /// An earlier name of the same file.
        #[serde(skip_serializing_if = "Option::is_none")]
        same_as: Option<String>,
    },
}

/// How many choices of fates there are at these points; if there are more than `limit`, some number
/// above it.
#[must_use]
pub fn count(points: &[(usize, &Disk)], limit: u64) -> u64 {
    let mut count = 0;
    for (_, disk) in points {
        if count > limit {
            break;
        }
        count += disk.outcome_count(limit - count + 1);
    }
    count
}

/// Goes through all choices at these points, each the number of operations before it and the disk
/// then.
#[must_use]
pub fn enumerate(points: &[(usize, &Disk)]) -> States {
    let mut found = BTreeMap::new();
    let (mut units, mut choices) = (0, 0);
    for (after, disk) in points {
        units += disk.units().len() as u64;
        for outcome in disk.outcomes() {
            choices += 1;
            let state = match found.entry(outcome.image_hash()) {
                Slot::Occupied(state) => state.into_mut(),
                Slot::Vacant(slot) => {
                    let tree = Tree::of(&outcome);
                    slot.insert(State { choices: 0, after: Vec::new(), tree })
                }
            };
            state.choices += 1;
            if state.after.last() != Some(after) {
                state.after.push(*after);
            }
        }
    }
    let mut states: Vec<_> = found.into_values().collect();
    states.sort_by(|a, b| a.tree.cmp(&b.tree));
    States { units, choices, states }
}

impl Tree {
    /// What programs see on `disk`.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "each path of the tree is there")]
    pub fn of(disk: &Disk) -> Self {
        let mut names = BTreeMap::new();
        let entries = disk.tree().into_iter().map(|(path, (kind, bytes))| {
            let what = match kind {
                FileKind::Directory => What::Directory,
                FileKind::File => {
                    let number = disk.inode_number(&path).expect("it is in the tree");
                    let (len, bytes) = (bytes.len() as u64, Content::of(&bytes));
                    let same_as = names.get(&number).cloned();
                    names.entry(number).or_insert_with(|| path.clone());
                    What::File { len, bytes, same_as }
                }
            };
            Entry { path, what }
        });
        Self(entries.collect())
    }
}

impl fmt::Display for Tree {
    /// A line for each path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("  nothing\n");
        }
        let width = self.0.iter().map(|entry| entry.path.chars().count() + 1).max().unwrap_or(0);
        for Entry { path, what } in &self.0 {
            let line = match what {
                What::Directory => format!("  {path}/"),
                What::File { len, same_as: Some(name), .. } => {
                    format!("  {path:<width$} {len:>7} B  the same file as {name}")
                }
                What::File { len, bytes, same_as: None } => {
                    format!("  {path:<width$} {len:>7} B  {bytes}")
                }
            };
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

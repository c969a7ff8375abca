//! What stores hold at the end of a run must not grow with its history: what is below the floor is
//! collected.

use std::collections::BTreeSet;

use crate::outcome::{Verdict, VerdictKind};

/// How many registers a store may hold.
const REGISTERS: usize = 64;
/// How many blobs a store may hold, whatever the pipeline is…
const BLOBS: usize = 64;
/// …and how many more for each partition of the source or of the state.
const BLOBS_PER_PARTITION: usize = 16;

/// How many files a store may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Registers.
    pub registers: usize,
    /// Blobs.
    pub blobs: usize,
}

/// One file on a node's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskFile {
    /// The node's name.
    pub node: String,
    /// The whole path.
    pub path: String,
    /// How many bytes it has.
    pub bytes: u64,
}

impl Bounds {
    /// The bounds for so many partitions of the source and of the state.
    #[must_use]
    pub fn of(source_partitions: usize, state_partitions: usize) -> Self {
        let partitions = source_partitions + state_partitions;
        Self { registers: REGISTERS, blobs: BLOBS + BLOBS_PER_PARTITION * partitions }
    }
}

/// Judges the files of the stores at the end of a run that ended well. Files outside of
/// `/registers` and `/blobs` are not looked at.
#[must_use]
pub fn leaks(files: &[DiskFile], bounds: &Bounds) -> Vec<Verdict> {
    let mut nodes: Vec<&str> = files.iter().map(|file| file.node.as_str()).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let mut leaked = Vec::new();
    for node in nodes {
        for (directory, most) in [("/registers/", bounds.registers), ("/blobs/", bounds.blobs)] {
            let held = |file: &&DiskFile| file.node == node && file.path.starts_with(directory);
            let count = files.iter().filter(held).map(whole).collect::<BTreeSet<_>>().len();
            if count > most {
                let bytes: u64 = files.iter().filter(held).map(|file| file.bytes).sum();
                let first = files.iter().filter(held).map(|file| file.path.as_str()).min();
                let first = first.unwrap_or_default();
                leaked.push(format!(
                    "{node} holds {count} files of {bytes} bytes in {directory}, and {most} should \
                     do; the first is {first}"
                ));
            }
        }
    }
    if leaked.is_empty() {
        return Vec::new();
    }
    vec![Verdict { kind: VerdictKind::Leaked, message: leaked.join("; ") }]
}

/// What a file is of: the parts of a state that one attempt wrote are one, however many they are.
fn whole(file: &DiskFile) -> &str {
    let path = file.path.as_str();
    let parts = path.strip_prefix("/blobs/state.").and_then(|_| path.rsplit_once('-'));
    parts.map_or(path, |(attempt, _)| attempt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(node: &str, directory: &str, count: usize) -> Vec<DiskFile> {
        let file = |number| DiskFile {
            node: node.to_owned(),
            path: format!("{directory}/{number:03}"),
            bytes: 10,
        };
        (0..count).map(file).collect()
    }

    #[test]
    fn the_parts_of_a_state_that_one_attempt_wrote_count_as_one() {
        let bounds = Bounds::of(4, 2);
        let parts = |attempts| {
            let path = |part| format!("state.000000000007.00001.1-{}-{part:016x}", part % attempts);
            let file = |part| DiskFile {
                node: "store-0".to_owned(),
                path: format!("/blobs/{}", path(part)),
                bytes: 10,
            };
            (0..500).map(file).collect::<Vec<_>>()
        };
        assert_eq!(leaks(&parts(160), &bounds), []);
        assert_eq!(leaks(&parts(161), &bounds).len(), 1);
    }

    #[test]
    fn as_many_files_as_the_bounds_say_are_no_leak_and_one_more_is() {
        let bounds = Bounds::of(4, 2);
        assert_eq!(bounds, Bounds { registers: 64, blobs: 160 });
        for (directory, most) in [("/registers", 64), ("/blobs", 160)] {
            let mut held = files("store-0", directory, most);
            held.extend(files("store-1", directory, most));
            held.extend(files("store-0", "/other", 1_000));
            assert_eq!(leaks(&held, &bounds), []);
            held.extend(files("store-2", directory, most + 1));
            let leaked = leaks(&held, &bounds);
            assert_eq!(leaked.len(), 1);
            assert_eq!(leaked[0].kind, VerdictKind::Leaked);
            assert_eq!(
                leaked[0].message,
                format!(
                    "store-2 holds {} files of {} bytes in {directory}/, and {most} should do; the \
                     first is {directory}/000",
                    most + 1,
                    10 * (most + 1)
                )
            );
        }
    }
}

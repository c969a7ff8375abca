//! Generated lists of operations, small enough that every state they may leave can be enumerated.
//!
//! A list begins with a few durable files in two directories. Then come 6 to 14 operations, and a
//! few syncs where too much would be pending. Every write has a byte of its own, so that a state
//! tells which writes are in it.

use unplug_sim::{
    disk::{Disk, Profile},
    env::FileKind,
    random::Stream,
};

use super::{content::Content, ops::Op};

/// The most choices of fates that a list leaves.
pub const CHOICES_MAX: u64 = 10_000;
const DIRECTORIES: [&str; 3] = ["/a", "/b", "/a/d"];
const NAMES: [&str; 4] = ["v", "w", "x", "y"];
/// Lengths around the boundaries of sectors and pages.
const LENS: [usize; 12] = [1, 1, 100, 511, 512, 513, 513, 1024, 4095, 4096, 4097, 8192];
const OFFSETS: [u64; 7] = [0, 0, 1, 511, 512, 4095, 4096];
const LENS_AFTER_TRUNCATE: [u64; 7] = [0, 1, 511, 512, 513, 4096, 5000];

#[derive(Clone, Copy)]
enum Kind {
    Create,
    Overwrite,
    Append,
    Truncate,
    Rewrite,
    Rename,
    Replace,
    Link,
    Unlink,
    Mkdir,
    Fsync,
    Fdatasync,
    Syncdir,
}

const WEIGHTS: [(u64, Kind); 13] = [
    (1, Kind::Create),
    (3, Kind::Overwrite),
    (4, Kind::Append),
    (2, Kind::Truncate),
    (1, Kind::Rewrite),
    (3, Kind::Rename),
    (2, Kind::Replace),
    (1, Kind::Link),
    (2, Kind::Unlink),
    (1, Kind::Mkdir),
    (3, Kind::Fsync),
    (1, Kind::Fdatasync),
    (3, Kind::Syncdir),
];

/// The list of a seed. All its operations succeed, and under `profile`, unless a sync does nothing
/// there, it leaves at most [`CHOICES_MAX`] choices.
#[must_use]
pub fn ops(seed: u64, profile: Profile) -> Vec<Op> {
    let mut list = List {
        seed,
        random: Stream::new(seed, "disk-operations", 0, 0),
        disk: Disk::with_profile(profile),
        ops: Vec::new(),
    };
    list.prepare();
    let end = list.ops.len() + 6 + list.random.index(9);
    while list.ops.len() < end {
        list.draw();
        list.bound();
    }
    if list.random.chance(3, 5) {
        // Most of what a crash leaves in between comes from a sync of something else.
        let kind = list.pick([Kind::Fsync, Kind::Fdatasync, Kind::Syncdir]);
        list.push(kind);
        list.bound();
    }
    list.ops
}

struct List {
    seed: u64,
    random: Stream,
    disk: Disk,
    ops: Vec<Op>,
}

impl List {
    fn prepare(&mut self) {
        for path in ["/a", "/b"] {
            self.apply(Op::Mkdir(path.to_owned()));
        }
        for _ in 0..self.random.index(4) {
            let (path, bytes) = (self.place(), self.bytes());
            self.apply(Op::Append { path, bytes });
        }
        self.apply(Op::Sync);
    }

    /// Adds the operations of one kind, if they make sense.
    fn draw(&mut self) {
        let sum = WEIGHTS.iter().map(|(weight, _)| weight).sum();
        let mut left = self.random.below(sum);
        for (weight, kind) in WEIGHTS {
            match left.checked_sub(weight) {
                Some(rest) => left = rest,
                None => return self.push(kind),
            }
        }
    }

    fn push(&mut self, kind: Kind) {
        let place = self.place();
        let Some(file) = self.file() else {
            let bytes = self.bytes();
            self.apply(Op::Append { path: place, bytes });
            return;
        };
        match kind {
            Kind::Create => self.apply(Op::Create(place)),
            Kind::Overwrite => {
                let (offset, bytes) = (self.pick(OFFSETS), self.bytes());
                self.apply(Op::Write { path: file, offset, bytes })
            }
            Kind::Append => {
                let path = if self.random.chance(1, 3) { place } else { file };
                let bytes = self.bytes();
                self.apply(Op::Append { path, bytes })
            }
            Kind::Truncate => {
                let len = self.pick(LENS_AFTER_TRUNCATE);
                self.apply(Op::Truncate { path: file, len })
            }
            Kind::Rewrite => self.rewrite(file),
            Kind::Rename => self.apply(Op::Rename { from: file, to: place }),
            Kind::Replace => self.replace(&file),
            Kind::Link => self.apply(Op::Link { from: file, to: place }),
            Kind::Unlink => self.apply(Op::Unlink(file)),
            Kind::Mkdir => self.apply(Op::Mkdir("/a/d".to_owned())),
            Kind::Fsync => self.apply(Op::Fsync(file)),
            Kind::Fdatasync => self.apply(Op::Fdatasync(file)),
            Kind::Syncdir => {
                let path = if self.random.chance(1, 6) { "/".to_owned() } else { self.directory() };
                self.apply(Op::Syncdir(path))
            }
        };
    }

    /// Cuts a file to nothing and writes it anew.
    fn rewrite(&mut self, path: String) -> bool {
        let bytes = self.bytes();
        self.apply(Op::Truncate { path: path.clone(), len: 0 })
            && self.apply(Op::Write { path, offset: 0, bytes })
    }

    /// Writes a new file, syncs it or not, and renames it over an old one.
    fn replace(&mut self, old: &str) -> bool {
        let from = format!("{}/t", self.directory());
        let (bytes, synced) = (self.bytes(), self.random.chance(1, 2));
        self.apply(Op::Write { path: from.clone(), offset: 0, bytes })
            && (!synced || self.apply(Op::Fsync(from.clone())))
            && self.apply(Op::Rename { from, to: old.to_owned() })
    }

    /// Syncs if too much is pending to be enumerated: the file that was changed last, else all.
    fn bound(&mut self) {
        if self.is_bounded() {
            return;
        }
        if let Some(Op::Write { path, .. } | Op::Append { path, .. }) = self.ops.last() {
            self.apply(Op::Fsync(path.clone()));
        }
        if !self.is_bounded() {
            self.apply(Op::Sync);
        }
    }

    fn is_bounded(&self) -> bool {
        self.disk.outcome_count(CHOICES_MAX + 1) <= CHOICES_MAX
    }

    /// Adds an operation if it succeeds.
    fn apply(&mut self, op: Op) -> bool {
        let applied = op.apply(&mut self.disk).is_ok();
        if applied {
            self.ops.push(op);
        }
        applied
    }

    /// A run with a byte of this operation's own.
    fn bytes(&mut self) -> Content {
        let len = self.pick(LENS);
        let graphic = (self.seed % 94 * 31 + self.ops.len() as u64 * 7) % 94;
        let byte = b'!' + u8::try_from(graphic).expect("below 94");
        Content::run(byte, len)
    }

    /// A directory that is there.
    fn directory(&mut self) -> String {
        let there = DIRECTORIES.iter().filter(|path| self.disk.metadata(path).is_ok());
        let there: Vec<_> = there.collect();
        (*there[self.random.index(there.len())]).to_owned()
    }

    /// A name in it, taken or not.
    fn place(&mut self) -> String {
        format!("{}/{}", self.directory(), self.pick(NAMES))
    }

    /// A file that is there.
    fn file(&mut self) -> Option<String> {
        let tree = self.disk.tree().into_iter();
        let files: Vec<_> =
            tree.filter(|(_, (kind, _))| *kind == FileKind::File).map(|(path, _)| path).collect();
        (!files.is_empty()).then(|| files[self.random.index(files.len())].clone())
    }

    fn pick<T: Copy, const N: usize>(&mut self, from: [T; N]) -> T {
        from[self.random.index(N)]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::disk::ops::disks;

    #[test]
    fn a_seed_gives_the_same_list_again_and_another_seed_another_one() {
        let lists: Vec<_> = (0..50).map(|seed| ops(seed, Profile::strict())).collect();
        for (seed, list) in (0..).zip(&lists) {
            assert_eq!(&ops(seed, Profile::strict()), list);
        }
        let distinct: BTreeSet<_> =
            lists.iter().map(|list| serde_json::to_string(list).expect("serialises")).collect();
        assert_eq!(distinct.len(), lists.len());
    }

    #[test]
    fn every_list_succeeds_and_can_be_enumerated() {
        let honest = |profile: &Profile| profile.name != "lying-drive";
        for profile in Profile::ALL.into_iter().filter(honest) {
            for seed in 0..60 {
                let list = ops(seed, profile);
                let disks = disks("list", profile, &list).expect("they succeed");
                let last = disks.last().expect("one more than operations");
                assert!(last.outcome_count(CHOICES_MAX + 1) <= CHOICES_MAX, "seed {seed}");
            }
        }
    }

    #[test]
    fn every_operation_comes_up_and_most_lists_leave_a_choice() {
        let lists: Vec<_> = (0..100).map(|seed| ops(seed, Profile::strict())).collect();
        let name = |op: &Op| op.to_string().split(' ').next().map(str::to_owned);
        let names: BTreeSet<_> = lists.iter().flatten().filter_map(name).collect();
        assert_eq!(names.len(), 12, "{names:?}");
        let open = |list: &&Vec<Op>| {
            let disks = disks("list", Profile::strict(), list).expect("they succeed");
            disks.last().is_some_and(|disk| disk.outcome_count(2) > 1)
        };
        assert!(lists.iter().filter(open).count() > 80);
    }
}

//! One file system in use: runs a list, crashes, and looks for what is left among the outcomes of
//! the model.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;
use unplug_sim::{
    disk::{Disk, Fate, Profile},
    random::Stream,
};

use super::{file_system::FileSystem, real, tools, tools::Mount};
use crate::{
    disk::{
        generate,
        ops::{self, Op},
        states::Tree,
    },
    input::Invalid,
};

/// Where the lists run, below the root of the file system.
const FOLDER: &str = "files";

/// So often at most an image is copied until it was not written to meanwhile.
const COPIES_MAX: usize = 50;

/// How one list ended.
#[derive(Debug)]
pub(super) struct Judged {
    /// The state that the crash left.
    pub(super) hash: u128,
    /// It was neither everything nor what was synced.
    pub(super) between: bool,
    /// Set if it is not as the model has it.
    pub(super) violation: Option<Violation>,
}

/// A list after which the file system is not as the model has it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Violation {
    pub(super) seed: u64,
    pub(super) problem: Problem,
    /// The list, for `unplug disk states`.
    pub(super) ops: Vec<Op>,
    /// Files that the kernel was asked to write out, each after this many operations.
    pub(super) written_back: Vec<(usize, String)>,
    /// What the file system left.
    pub(super) state: Tree,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Problem {
    /// The profile does not allow what the crash left.
    NotAllowed,
    /// The model differs before any crash.
    DiffersBeforeTheCrash,
}

/// What a file system holds before and after the crash.
struct Left {
    before: Disk,
    after: Disk,
    written_back: Vec<(usize, String)>,
}

/// A new file system, of which each list gets a copy: no list finds bytes of another one.
pub(super) struct Judge<'a> {
    file_system: &'a FileSystem,
    profile: Profile,
    new: PathBuf,
    used: PathBuf,
    crashed: PathBuf,
    mounted: PathBuf,
}

impl<'a> Judge<'a> {
    /// Makes the file system, in the folder `work`.
    pub(super) fn new(
        file_system: &'a FileSystem,
        profile: Profile,
        work: &Path,
    ) -> Result<Self, Invalid> {
        let place = |what: &str| work.join(format!("{}.{what}", file_system.name));
        let (new, used) = (place("new"), place("used"));
        let (crashed, mounted) = (place("crashed"), place("mounted"));
        fs::create_dir(&mounted).map_err(|error| failed("make a folder", &error))?;
        file_system.make(&new)?;
        Ok(Self { file_system, profile, new, used, crashed, mounted })
    }

    /// Runs the list of a seed, crashes, and compares.
    pub(super) fn judge(&self, seed: u64) -> Result<Judged, Invalid> {
        let ops = generate::ops(seed, self.profile);
        let mut disks = ops::disks("the generated list", self.profile, &ops)?;
        let model = disks.pop().expect("one more than operations");
        if model.outcome_count(generate::CHOICES_MAX + 1) > generate::CHOICES_MAX {
            let profile = self.profile.name;
            return Err(Invalid::new(format!(
                "seed {seed}: too many states to enumerate under {profile}; choose another profile"
            )));
        }
        let Left { before, after, written_back } = self.crash(seed, &ops)?;

        let problem = if before.image_hash() != model.image_hash() {
            Some((Problem::DiffersBeforeTheCrash, &before))
        } else if !allows(&model, after.image_hash()) {
            Some((Problem::NotAllowed, &after))
        } else {
            None
        };
        let violation = problem.map(|(problem, disk)| {
            let state = Tree::of(disk);
            Violation { seed, problem, ops, written_back, state }
        });
        let hash = after.image_hash();
        let ends = [model.image_hash(), durable(&model).image_hash()];
        Ok(Judged { hash, between: !ends.contains(&hash), violation })
    }

    /// Runs a list in a new, durable folder, copies the image while it is mounted, and reads the
    /// folder in the copy.
    fn crash(&self, seed: u64, ops: &[Op]) -> Result<Left, Invalid> {
        copy(&self.new, &self.used)?;
        let live = self.mount(&self.used)?;
        let root = live.at().join(FOLDER);
        fs::create_dir(&root)
            .and_then(|()| real::sync_everything(&root))
            .map_err(|error| failed("make a folder", &error))?;
        let written_back = self.run(seed, ops, &root)?;
        self.copy_at_rest()?;
        let before = real::read(&root).map_err(|error| failed("read the files", &error))?;
        live.end()?;

        let left = self.mount(&self.crashed)?;
        let after = real::read(&left.at().join(FOLDER))
            .map_err(|error| failed("read what the crash left", &error))?;
        left.end()?;
        Ok(Left { before, after, written_back })
    }

    /// Copies the image as it is at one moment: again, if the kernel wrote to it meanwhile.
    fn copy_at_rest(&self) -> Result<(), Invalid> {
        for _ in 0..COPIES_MAX {
            let written = || fs::metadata(&self.used).and_then(|metadata| metadata.modified());
            let before = written().map_err(|error| failed("see the image", &error))?;
            copy(&self.used, &self.crashed)?;
            if written().is_ok_and(|after| after == before) {
                return Ok(());
            }
        }
        let name = self.file_system.name;
        Err(Invalid::new(format!("{name} was written to during all of {COPIES_MAX} copies")))
    }

    fn mount(&self, image: &Path) -> Result<Mount, Invalid> {
        Mount::new(&self.file_system.mount_options(), image, &self.mounted)
    }

    fn run(&self, seed: u64, ops: &[Op], root: &Path) -> Result<Vec<(usize, String)>, Invalid> {
        let mut random = Stream::new(seed, "disk-write-back", 0, 0);
        let mut written_back = Vec::new();
        for (place, op) in ops.iter().enumerate() {
            real::apply(op, root).map_err(|error| {
                let line = format!(
                    "{}: seed {seed}: [{place}]: {op} fails: {error}",
                    self.file_system.name
                );
                Invalid::new(line)
            })?;
            if let Op::Write { path, .. } | Op::Append { path, .. } = op
                && random.chance(1, 4)
            {
                real::write_back(path, root).map_err(|error| failed("write back", &error))?;
                written_back.push((place + 1, path.clone()));
            }
        }
        Ok(written_back)
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), Invalid> {
    tools::run("cp", &["--sparse=always".as_ref(), from.as_os_str(), to.as_os_str()])
}

/// Whether a power cut may leave this.
fn allows(model: &Disk, hash: u128) -> bool {
    model.outcomes().any(|outcome| outcome.image_hash() == hash)
}

/// What a power cut leaves that loses all it can.
fn durable(model: &Disk) -> Disk {
    let mut disk = model.clone();
    disk.crash_with(&mut |_| Fate::Lost);
    disk
}

fn failed(what: &str, error: &io::Error) -> Invalid {
    Invalid::new(format!("cannot {what}: {error}"))
}

#[cfg(test)]
mod tests {
    use unplug_sim::env::OpenMode;

    use super::*;

    #[test]
    fn what_the_model_may_leave_is_a_member_and_nothing_else() {
        let list = r#"[{"mkdir": "/d"}, "sync", {"append": {"path": "/d/a", "bytes": "x"}},
            {"fsync": "/d/a"}, {"create": "/d/b"}]"#;
        let list = ops::parse("list", list).expect("sound");
        let disks = ops::disks("list", Profile::strict(), &list).expect("they succeed");
        let model = &disks[list.len()];
        let of = |files: &[(&str, &str)]| {
            let mut disk = Disk::new();
            disk.create_dir("/d").expect("new");
            for (path, bytes) in files {
                let file = disk.open(path, OpenMode::CreateNew).expect("new");
                disk.append(file, bytes.as_bytes()).expect("room");
            }
            allows(model, disk.image_hash())
        };
        assert!(of(&[]) && of(&[("/d/a", "x")]) && of(&[("/d/a", "x"), ("/d/b", "")]));
        assert!(of(&[("/d/b", "")]));
        assert!(!of(&[("/d/a", "")]), "its bytes were synced");
        assert!(!of(&[("/d/a", "x"), ("/d/c", "")]));
    }
}

//! The file systems that are compared with the model: how each is made and mounted.

use std::path::Path;

use unplug_sim::disk::Profile;

use crate::{
    disk::EXT4_NOAUTO,
    input::{Invalid, unknown},
};

/// A file system with the options that it is mounted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileSystem {
    pub(super) name: &'static str,
    /// The profile that has to allow what it leaves.
    pub(super) profile: Profile,
    /// The type, as `mount` knows it.
    kind: &'static str,
    image_bytes: u64,
    options: &'static str,
    /// The program that makes it, and the package that has it.
    pub(super) tool: (&'static str, &'static str),
}

const EXT4: FileSystem = FileSystem {
    name: "ext4",
    profile: Profile::ext4_ordered(),
    kind: "ext4",
    image_bytes: 64 << 20,
    options: "data=ordered",
    tool: ("mkfs.ext4", "e2fsprogs"),
};

pub(super) const ALL: [FileSystem; 5] = [
    EXT4,
    FileSystem {
        name: "ext4-noauto",
        profile: EXT4_NOAUTO,
        options: "data=ordered,noauto_da_alloc",
        ..EXT4
    },
    FileSystem {
        name: "ext4-writeback",
        profile: Profile::ext4_writeback(),
        options: "data=writeback,nodelalloc",
        ..EXT4
    },
    FileSystem {
        name: "xfs",
        profile: Profile::xfs(),
        kind: "xfs",
        image_bytes: 320 << 20,
        options: "rw",
        tool: ("mkfs.xfs", "xfsprogs"),
    },
    FileSystem {
        name: "btrfs",
        profile: Profile::btrfs(),
        kind: "btrfs",
        image_bytes: 128 << 20,
        options: "rw",
        tool: ("mkfs.btrfs", "btrfs-progs"),
    },
];

/// The file systems of these names; all if there are none.
pub(super) fn chosen(names: &[String]) -> Result<Vec<FileSystem>, Invalid> {
    if names.is_empty() {
        return Ok(ALL.to_vec());
    }
    let find = |name: &String| {
        let found = ALL.into_iter().find(|one| one.name == name);
        let known = ALL.iter().map(|one| one.name);
        found.ok_or_else(|| Invalid::new(unknown("file system", name, known)))
    };
    names.iter().map(find).collect()
}

impl FileSystem {
    /// Makes it in a new file.
    pub(super) fn make(&self, image: &Path) -> Result<(), Invalid> {
        let file = std::fs::OpenOptions::new().write(true).create_new(true).open(image);
        file.and_then(|file| file.set_len(self.image_bytes))
            .map_err(|error| Invalid::new(format!("cannot make {}: {error}", image.display())))?;
        super::tools::run(self.tool.0, &["-q".as_ref(), image.as_os_str()])
    }

    /// The options of `mount`, type included.
    pub(super) fn mount_options(&self) -> [String; 4] {
        let options = format!("loop,{}", self.options);
        ["-t".to_owned(), self.kind.to_owned(), "-o".to_owned(), options]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_are_chosen_by_name() {
        assert_eq!(chosen(&[]).expect("all"), ALL);
        assert_eq!(chosen(&["xfs".to_owned()]).expect("known"), [ALL[3]]);
        let error = chosen(&["ext5".to_owned()]).expect_err("unknown").to_string();
        assert_eq!(error, "unknown file system \"ext5\"; did you mean \"ext4\"?");
    }
}

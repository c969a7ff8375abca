//! Lists of file operations: their form in JSON, and what they do to the disk model.
//!
//! ```json
//! [
//!   {"mkdir": "/d"},
//!   {"create": "/d/new"},
//!   {"write": {"path": "/log", "offset": 0, "bytes": "head"}},
//!   {"append": {"path": "/log", "bytes": {"fill": "x", "len": 512}}},
//!   {"truncate": {"path": "/log", "len": 100}},
//!   {"rename": {"from": "/log", "to": "/d/log"}},
//!   {"link": {"from": "/d/log", "to": "/log"}},
//!   {"unlink": "/log"},
//!   {"fsync": "/d/log"}, {"fdatasync": "/d/log"}, {"syncdir": "/d"}, "sync"
//! ]
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};
use unplug_sim::{
    disk::{Disk, Profile},
    env::{DiskError, DiskResult, OpenMode},
};

use super::content::{Content, FILE_BYTES_MAX};
use crate::input::{self, Invalid};

/// What the help says of the form.
pub const HELP: &str = r#"OPS.json is a list of operations:
  {"create": "/a"}                     an empty file; nothing may stand there
  {"write": {"path": "/a", "offset": 0, "bytes": CONTENT}}
                                       the file is made if absent; the offset is 0 if not said
  {"append": {"path": "/a", "bytes": CONTENT}}
                                       the file is made if absent
  {"truncate": {"path": "/a", "len": 100}}
                                       cuts a file, or grows it with zeros
  {"rename": {"from": "/a", "to": "/d/b"}}
                                       replaces what stands there
  {"link": {"from": "/a", "to": "/b"}} a second name
  {"unlink": "/a"}                     removes a name of a file
  {"mkdir": "/d"}                      a directory
  {"fsync": "/a"}  {"fdatasync": "/a"} syncs a file
  {"syncdir": "/d"}                    syncs the names in a directory
  "sync"                               syncs everything, such as what was there before
CONTENT is a string, a run such as {"fill": "x", "len": 512}, or a list of those.
In the output, x*512 is a run, a dot is a zero byte, and a backslash stands before a sign that is
meant as such; with --json, content has the form that it has in a list."#;

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Op {
    /// Makes an empty file where nothing stands.
    Create(String),
    /// Writes at an offset. The file is made if absent.
    Write {
        /// The file.
        path: String,
        /// Where to; 0 if not said.
        #[serde(default)]
        offset: u64,
        /// What.
        bytes: Content,
    },
    /// Writes at the end. The file is made if absent.
    Append {
        /// The file.
        path: String,
        /// What.
        bytes: Content,
    },
    /// Cuts a file or grows it with zeros.
    Truncate {
        /// The file.
        path: String,
        /// The length afterwards.
        len: u64,
    },
    /// Renames a file or directory and replaces what stands at `to`.
    Rename {
        /// The name before.
        from: String,
        /// The name afterwards.
        to: String,
    },
    /// Gives a file a second name.
    Link {
        /// One of its names.
        from: String,
        /// The new name.
        to: String,
    },
    /// Removes a name of a file.
    Unlink(String),
    /// Makes a directory.
    Mkdir(String),
    /// Syncs a file: its bytes and its length.
    Fsync(String),
    /// The same, less its time stamps.
    Fdatasync(String),
    /// Syncs the names in a directory.
    Syncdir(String),
    /// Syncs everything.
    Sync,
}

/// Reads a list; `source` is what to call the text in an error.
///
/// # Errors
/// If the text is no list of operations: with line, column and path.
pub fn parse(source: &str, text: &str) -> Result<Vec<Op>, Invalid> {
    input::parse(source, text)
}

/// The disk after each operation of a list, the empty disk before the first one included.
///
/// # Errors
/// If an operation fails; the error names `source`, the operation's place in the list, and the
/// operation.
pub fn disks(source: &str, profile: Profile, ops: &[Op]) -> Result<Vec<Disk>, Invalid> {
    let mut disk = Disk::with_profile(profile);
    let mut disks = vec![disk.clone()];
    for (place, op) in ops.iter().enumerate() {
        op.apply(&mut disk).map_err(|problem| {
            Invalid::new(format!("{source}: [{place}]: {op} fails: {problem}"))
        })?;
        disks.push(disk.clone());
    }
    Ok(disks)
}

impl Op {
    /// Does it to the model.
    ///
    /// # Errors
    /// As the model's operation; [`DiskError::NoSpace`] beyond [`FILE_BYTES_MAX`].
    pub fn apply(&self, disk: &mut Disk) -> DiskResult<()> {
        match self {
            Self::Create(path) => with_file(disk, path, OpenMode::CreateNew, |_, _| Ok(())),
            Self::Write { path, offset, bytes } => {
                check_len(offset.saturating_add(bytes.len()))?;
                with_file(disk, path, OpenMode::Create, |disk, file| {
                    disk.write_at(file, *offset, &bytes.bytes()).map(|_| ())
                })
            }
            Self::Append { path, bytes } => {
                let len = disk.metadata(path).map_or(0, |metadata| metadata.len);
                check_len(len.saturating_add(bytes.len()))?;
                with_file(disk, path, OpenMode::Create, |disk, file| {
                    disk.append(file, &bytes.bytes()).map(|_| ())
                })
            }
            Self::Truncate { path, len } => {
                check_len(*len)?;
                with_file(disk, path, OpenMode::Write, |disk, file| disk.set_len(file, *len))
            }
            Self::Rename { from, to } => disk.rename(from, to),
            Self::Link { from, to } => disk.hard_link(from, to),
            Self::Unlink(path) => disk.remove(path),
            Self::Mkdir(path) => disk.create_dir(path),
            Self::Fsync(path) => with_file(disk, path, OpenMode::Read, Disk::sync_file),
            Self::Fdatasync(path) => with_file(disk, path, OpenMode::Read, Disk::sync_data),
            Self::Syncdir(path) => disk.sync_dir(path),
            Self::Sync => {
                disk.sync_everything();
                Ok(())
            }
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(path) => write!(f, "create {path}"),
            Self::Write { path, offset, bytes } => {
                write!(f, "write of {} bytes at {offset} of {path}", bytes.len())
            }
            Self::Append { path, bytes } => write!(f, "append of {} bytes to {path}", bytes.len()),
            Self::Truncate { path, len } => write!(f, "truncate {path} to {len}"),
            Self::Rename { from, to } => write!(f, "rename {from} to {to}"),
            Self::Link { from, to } => write!(f, "link {from} as {to}"),
            Self::Unlink(path) => write!(f, "unlink {path}"),
            Self::Mkdir(path) => write!(f, "mkdir {path}"),
            Self::Fsync(path) => write!(f, "fsync {path}"),
            Self::Fdatasync(path) => write!(f, "fdatasync {path}"),
            Self::Syncdir(path) => write!(f, "syncdir {path}"),
            Self::Sync => f.write_str("sync"),
        }
    }
}

/// Files of a list are kept small: their states are shown in full.
const fn check_len(len: u64) -> DiskResult<()> {
    if len <= FILE_BYTES_MAX { Ok(()) } else { Err(DiskError::NoSpace) }
}

fn with_file(
    disk: &mut Disk,
    path: &str,
    mode: OpenMode,
    act: impl FnOnce(&mut Disk, unplug_sim::disk::Handle) -> DiskResult<()>,
) -> DiskResult<()> {
    let file = disk.open(path, mode)?;
    let done = act(disk, file);
    disk.close(file);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = r#"[
        {"mkdir": "/d"}, {"create": "/d/new"},
        {"write": {"path": "/log", "bytes": "head"}},
        {"append": {"path": "/log", "bytes": {"fill": "x", "len": 512}}},
        {"truncate": {"path": "/log", "len": 6}}, {"rename": {"from": "/log", "to": "/d/log"}},
        {"link": {"from": "/d/log", "to": "/log"}}, {"unlink": "/d/new"},
        {"fsync": "/d/log"}, {"fdatasync": "/d/log"}, {"syncdir": "/d"}, "sync"]"#;

    #[test]
    fn every_operation_is_read_written_and_done() {
        let ops = parse("ops", ALL).expect("sound");
        let json = serde_json::to_string(&ops).expect("serialises");
        assert_eq!(parse("again", &json).expect("sound"), ops);
        let disks = disks("ops", Profile::strict(), &ops).expect("they succeed");
        assert_eq!(disks.len(), ops.len() + 1);
        let last = &disks[ops.len()];
        assert_eq!(last.pending(), 0);
        assert_eq!(last.tree(), last.durable_tree());
        assert_eq!(last.tree().keys().collect::<Vec<_>>(), ["/d", "/d/log", "/log"]);
        assert_eq!(last.tree()["/log"].1, "headxx".as_bytes());
        assert_eq!(last.metadata("/log").map(|metadata| metadata.links), Ok(2));
    }

    #[test]
    fn an_operation_that_fails_is_named_with_its_place() {
        let check = |text: &str, expected: &str| {
            let ops = parse("ops.json", text).expect("sound");
            let error = disks("ops.json", Profile::strict(), &ops).expect_err(text).to_string();
            assert_eq!(error, expected);
        };
        check(
            r#"[{"create": "/a"}, {"rename": {"from": "/b", "to": "/c"}}]"#,
            "ops.json: [1]: rename /b to /c fails: not found",
        );
        check(
            r#"[{"write": {"path": "/a", "offset": 1048576, "bytes": "x"}}]"#,
            "ops.json: [0]: write of 1 bytes at 1048576 of /a fails: no space left",
        );
        check(r#"["sync", {"create": "a/"}]"#, "ops.json: [1]: create a/ fails: invalid input");
    }

    #[test]
    fn what_is_no_list_is_told_with_its_place() {
        let check = |text: &str, expected: &str| {
            let error = parse("ops.json", text).expect_err(text).to_string();
            let place = error.strip_prefix("ops.json: line 1 column ");
            let (_, problem) = place.and_then(|rest| rest.split_once(": ")).expect("a place");
            assert_eq!(problem, expected);
        };
        check(
            r#"[{"create": "/a"}, {"fsnyc": "/a"}]"#,
            "[1]: unknown name \"fsnyc\"; did you mean \"fsync\"?",
        );
        check(
            r#"[{"write": {"path": "/a", "ofset": 3}}]"#,
            "[0].write.ofset: unknown field \"ofset\"; did you mean \"offset\"?",
        );
        check(
            r#"[{"append": {"path": "/a", "bytes": {"fill": "ab", "len": 3}}}]"#,
            "[0].append.bytes.fill: invalid value: string \"ab\", expected one ASCII \
             character or a number below 256",
        );
    }
}

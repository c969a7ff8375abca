//! Programs of the system: whether they are there, how they are run, and mounts that end with
//! their guard.

use std::{
    ffi::OsStr,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::file_system::FileSystem;
use crate::input::Invalid;

/// What every file system needs, with the packages.
const TOOLS: [(&str, &str); 4] = [
    ("unshare", "util-linux"),
    ("mount", "util-linux"),
    ("umount", "util-linux"),
    ("cp", "coreutils"),
];
const LOOP_CONTROL: &str = "/dev/loop-control";

/// Refuses if something that is needed is missing, and names all of it.
pub(super) fn check(file_systems: &[FileSystem], work: &Path) -> Result<(), Invalid> {
    let mut missing = Vec::new();
    if !rustix::process::geteuid().is_root() {
        missing.push("it must run as root".to_owned());
    }
    let mut tools = TOOLS.to_vec();
    tools.extend(file_systems.iter().map(|one| one.tool));
    tools.sort_unstable();
    tools.dedup();
    for (tool, package) in tools.into_iter().filter(|(tool, _)| !is_there(tool)) {
        missing.push(format!("{tool} is not installed (package {package})"));
    }
    if !Path::new(LOOP_CONTROL).exists() {
        missing.push(format!("there are no loop devices: no {LOOP_CONTROL} (modprobe loop)"));
    }
    if !work.is_dir() {
        missing.push(format!("{} is no folder (--work DIR)", work.display()));
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(Invalid::new(format!("cannot calibrate: {}", missing.join("; "))))
}

/// Runs a program to its end.
pub(super) fn run(tool: &str, args: &[&OsStr]) -> Result<(), Invalid> {
    let line = || {
        let args = args.iter().map(|arg| format!(" {}", arg.display()));
        format!("{tool}{}", args.collect::<String>())
    };
    let output = Command::new(tool)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Invalid::new(format!("cannot run {}: {error}", line())))?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(Invalid::new(format!("{} failed, {}: {told}", line(), output.status)))
}

/// Whether a program can be started.
fn is_there(tool: &str) -> bool {
    let started = Command::new(tool)
        .arg("-V")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    !started.is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// Something mounted; no longer when dropped.
#[derive(Debug)]
pub(super) struct Mount {
    at: PathBuf,
    ended: bool,
}

impl Mount {
    pub(super) fn new(
        options: &[impl AsRef<OsStr>],
        what: &Path,
        at: &Path,
    ) -> Result<Self, Invalid> {
        let options = options.iter().map(AsRef::as_ref);
        let args: Vec<_> = options.chain([what.as_os_str(), at.as_os_str()]).collect();
        run("mount", &args)?;
        Ok(Self { at: at.to_owned(), ended: false })
    }

    pub(super) fn at(&self) -> &Path {
        &self.at
    }

    /// Unmounts, and tells if that fails.
    pub(super) fn end(mut self) -> Result<(), Invalid> {
        self.ended = true;
        run("umount", &[self.at.as_os_str()])
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if !self.ended {
            // An error is under way already. Whatever stays ends with the process's mounts.
            let _ = run("umount", &["--lazy".as_ref(), self.at.as_os_str()]);
        }
    }
}

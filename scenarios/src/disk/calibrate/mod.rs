//! `unplug disk calibrate`: whether what real file systems leave at a crash is among the states
//! that their profiles allow.
//!
//! A file system is made in a file. Each generated list of operations runs on a copy of its own,
//! mounted through a loop device, by real system calls. Then the file behind that device is copied,
//! which is the crash: what the kernel has not written to its device is not in the copy. That copy
//! is mounted, which replays its journal, and its tree is looked for among the outcomes of the
//! model.
//! A device that loses or reorders what it was given is not simulated, so that a state that is
//! never seen here may yet exist.
//!
//! All of it stands on a file system in memory, in a mount namespace of the command's own: both
//! end with the process, however it ends, and nothing of it is ever on a real disk.

mod file_system;
mod judge;
mod real;
mod report;
mod tools;

use std::{io::Write, os::unix::process::CommandExt as _, path::Path, process::Command};

use unplug_sim::disk::Profile;

use self::{
    file_system::FileSystem,
    judge::Judge,
    report::{FileSystemReport, Report},
    tools::Mount,
};
use super::CalibrateArgs;
use crate::{campaign::timed, cli::Status, input::Invalid};

/// Does what `disk calibrate` is told.
pub(super) fn calibrate(
    args: &CalibrateArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<Status> {
    let chosen = file_system::chosen(&args.file_systems)?;
    let profile = args.profile.as_deref().map(super::profile).transpose()?;
    tools::check(&chosen, &args.work)?;
    if !args.apart {
        return Err(start_apart(args).into());
    }
    let memory = Mount::new(&["-t", "tmpfs", "-o", "mode=700"], Path::new("unplug"), &args.work)?;
    let mut report = Report { file_systems: Vec::new() };
    for file_system in &chosen {
        let profile = profile.unwrap_or(file_system.profile);
        let (found, wall) = timed(|| compare(file_system, profile, args));
        let found = found?;
        writeln!(err, "{}: {} lists in {:.1} s", found.name, found.lists, wall.as_secs_f64())?;
        report.file_systems.push(found);
    }
    memory.end()?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        report.print(out)?;
    }
    Ok(if report.held() { Status::Held } else { Status::Violation })
}

/// Replaces this process by the same command in a mount namespace of its own. Returns only if that
/// fails.
fn start_apart(args: &CalibrateArgs) -> Invalid {
    const APART: [&str; 3] = ["--mount", "--propagation", "private"];
    let probe: Vec<_> = APART.iter().chain(&["--", "mount", "-V"]).map(AsRef::as_ref).collect();
    if let Err(error) = tools::run("unshare", &probe) {
        return error.within("cannot calibrate: no mounts of its own");
    }
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return Invalid::new(format!("cannot find this program: {error}")),
    };
    let mut command = Command::new("unshare");
    command.args(APART).arg("--").arg(program).args(["disk", "calibrate", "--apart"]);
    let seeds = format!("{}..{}", args.seeds.start, args.seeds.end);
    command.arg("--seeds").arg(seeds).arg("--work").arg(&args.work);
    for name in &args.file_systems {
        command.arg("--fs").arg(name);
    }
    if let Some(profile) = &args.profile {
        command.arg("--profile").arg(profile);
    }
    if args.json {
        command.arg("--json");
    }
    Invalid::new(format!("cannot run unshare: {}", command.exec()))
}

/// Runs all lists on one file system.
fn compare(
    file_system: &FileSystem,
    profile: Profile,
    args: &CalibrateArgs,
) -> Result<FileSystemReport, Invalid> {
    let judge = Judge::new(file_system, profile, &args.work)?;
    let mut report = FileSystemReport::new(file_system.name, profile.name);
    for seed in args.seeds.clone() {
        report.add(judge.judge(seed)?);
    }
    Ok(report.finish())
}

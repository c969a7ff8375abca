//! The command, as tests start it.

use std::{
    path::Path,
    process::{Command, Output},
};

/// The command, in a folder, with these arguments.
pub(crate) fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unplug"));
    command.args(args).current_dir(folder).env_remove("GITHUB_ACTIONS");
    command
}

/// Runs it to its end.
pub(crate) fn unplug(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().expect("it starts")
}

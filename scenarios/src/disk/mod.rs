//! The disk model from the command line: what a power cut may leave after a list of operations,
//! and whether real file systems leave nothing else.

#[cfg(target_os = "linux")]
mod calibrate;
mod command;
pub mod content;
pub mod generate;
pub mod ops;
pub mod states;

use std::{io::Write, ops::Range, path::PathBuf};

use clap::{Args, Subcommand};
use unplug_sim::disk::Profile;

use crate::{
    cli::{Status, parse_seeds},
    input::{Invalid, unknown},
};

/// The commands of `unplug disk`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print every state that a power cut may leave after a list of file operations
    #[command(after_help = ops::HELP)]
    States(StatesArgs),
    /// Compare the model with real file systems (as root, on Linux)
    Calibrate(CalibrateArgs),
}

/// The arguments of `disk states`.
#[derive(Debug, Args)]
pub struct StatesArgs {
    /// The list of operations
    #[arg(value_name = "OPS.json")]
    pub ops: PathBuf,
    /// The kind of disk
    #[arg(long, value_name = "NAME", default_value = "strict")]
    pub profile: String,
    /// Let the power cut come before or after any operation, not only after the last one
    #[arg(long)]
    pub anywhere: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Refuse more choices of fates than this
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub limit: u64,
}

/// The arguments of `disk calibrate`.
#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// A file system; may be given several times [default: all of them]
    #[arg(long = "fs", value_name = "NAME")]
    pub file_systems: Vec<String>,
    /// The seeds of the lists of operations: from A up to, not including, B
    #[arg(long, value_name = "A..B", default_value = "0..200", value_parser = parse_seeds)]
    pub seeds: Range<u64>,
    /// Compare with this profile rather than with the one of the file system
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// A folder over which a file system in memory is mounted, seen by this command only
    #[arg(long, value_name = "DIR", default_value = "/mnt")]
    pub work: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Set by the command when it starts itself again apart from everyone else's mounts
    #[arg(long, hide = true)]
    pub apart: bool,
}

impl Command {
    /// Does what the arguments say.
    ///
    /// # Errors
    /// If the input makes no sense, something that is needed is missing, or the output cannot be
    /// written.
    pub fn run(&self, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<Status> {
        match self {
            Self::States(args) => command::states(args, out),
            #[cfg(target_os = "linux")]
            Self::Calibrate(args) => calibrate::calibrate(args, out, err),
            #[cfg(not(target_os = "linux"))]
            Self::Calibrate(_) => anyhow::bail!("calibrate needs Linux: its file systems"),
        }
    }
}

/// ext4 without its heuristic for programs that do not sync what they replace.
const EXT4_NOAUTO: Profile = Profile {
    name: "ext4-noauto",
    replace_flushes: false,
    rewrite_flushes: false,
    ..Profile::ext4_ordered()
};

/// The profile of this name.
fn profile(name: &str) -> Result<Profile, Invalid> {
    let known = || Profile::ALL.into_iter().chain([EXT4_NOAUTO]);
    let found = known().find(|profile| profile.name == name);
    let names = known().map(|profile| profile.name);
    found.ok_or_else(|| Invalid::new(unknown("profile", name, names)))
}

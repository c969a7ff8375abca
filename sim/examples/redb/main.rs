//! redb, as it is published, on the simulated disk: the power goes before every storage operation.
//!
//! ```sh
//! cargo run --release -p unplug-sim --example redb
//! cargo run --release -p unplug-sim --example redb -- --drive lying
//! ```
//!
//! No world is needed for this. `backend` is redb's storage over one file of a
//! [`unplug_sim::disk::Disk`]. `trial` opens each distinct state that a power cut may leave of it
//! (every prefix, every loss of up to two operations, every tear), and compares the whole content
//! with what was acknowledged. The file and its name are there beforehand. Creating a database in it is reported apart: nothing
//! is promised of that before it has ended.
//!
//! It runs on each profile of the disk. With `no-psow` and `fdb`, which may trash a sector that is
//! being written, some states do not open: the sector that every commit writes also holds what
//! tells that the file is a database.

mod backend;
mod database;
pub(crate) mod figures;
pub(crate) mod trial;
pub(crate) mod workload;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, value_parser};
use unplug_sim::disk::{Disk, Profile};

use self::workload::Workload;

/// Crashes redb's disk before every storage operation, and checks that nothing acknowledged is
/// lost. Exits with 1 if something is.
#[derive(Debug, Parser)]
struct Args {
    /// How many transactions
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = value_parser!(u64).range(1..))]
    transactions: u64,
    /// What the transactions are drawn from
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// What the disk may do: the name of a profile, such as `lying-drive` (or `lying`)
    #[arg(long, value_name = "PROFILE", default_value = "strict", value_parser = parse_drive)]
    drive: Profile,
}

#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the time is for people; nothing depends on it"
)]
fn main() -> ExitCode {
    let begun = std::time::Instant::now();
    let Args { transactions, seed, drive } = Args::parse();
    let say = |line: &str| drop(writeln!(io::stdout(), "{line}"));
    match trial::run(blank(drive), Workload::new(seed, transactions)) {
        Ok(figures) => {
            say(&figures.to_string());
            say(&format!("{:.1} s", begun.elapsed().as_secs_f32()));
            match figures.violation {
                None => return ExitCode::SUCCESS,
                Some(violation) => say(&violation),
            }
        }
        Err(failure) => say(&format!("without a crash, redb failed: {failure}")),
    }
    ExitCode::FAILURE
}

fn parse_drive(text: &str) -> Result<Profile, String> {
    Profile::named(text).or_else(|| Profile::named(&format!("{text}-drive"))).ok_or_else(|| {
        let names: Vec<_> = Profile::ALL.iter().map(|profile| profile.name).collect();
        format!("it must be one of {}", names.join(", "))
    })
}

/// A disk with an empty, durable file for the database.
pub(crate) fn blank(profile: Profile) -> Disk {
    let mut disk = Disk::with_profile(profile);
    disk.put_durable(backend::PATH, b"").expect("the path is good");
    disk
}

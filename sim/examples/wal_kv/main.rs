//! A key-value store with a write-ahead log, whose power is cut at drawn points.
//!
//! ```sh
//! cargo run --release -p unplug-sim --example wal_kv
//! cargo run --release -p unplug-sim --example wal_kv -- --bug missing-dir-sync
//! ```
//!
//! `store` is the program, written against [`unplug_sim::env`] alone. `oracle` judges it from
//! outside. `hunt` puts both on a simulated machine with a plan of power cuts.

pub(crate) mod hunt;
mod oracle;
pub(crate) mod store;

use std::{
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, ValueEnum, value_parser};
use unplug_sim::{Event, Recorder};

use self::{hunt::run, store::Bug};

/// Cuts the power of a key-value store at drawn points, and checks that nothing acknowledged is
/// lost. Exits with 1 if something is.
#[derive(Debug, Parser)]
struct Args {
    /// How many seeds, from 0 on
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = value_parser!(u64).range(1..))]
    seeds: u64,
    /// Only this seed, with its trace
    #[arg(long, value_name = "SEED", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Switch a planted bug on
    #[arg(long, value_enum)]
    bug: Option<Bug>,
}

fn main() -> ExitCode {
    let Args { seeds, seed, bug } = Args::parse();
    let say = |line: &dyn Display| drop(writeln!(io::stdout(), "{line}"));
    let (mut cuts, mut acknowledged) = (0, 0);
    let range = seed.map_or(0..seeds, |seed| seed..seed.saturating_add(1));
    let count = range.end - range.start;
    for number in range {
        let run =
            run(number, bug, seed.map(|_| Box::new(move |event: Event| say(&event)) as Recorder));
        cuts += run.cuts;
        acknowledged += run.acknowledged;
        if let Some(violation) = run.violation {
            say(&format!("seed {number}: {violation}"));
            let flag = bug.and_then(|bug| bug.to_possible_value());
            let flag = flag.map_or(String::new(), |flag| format!(" --bug {}", flag.get_name()));
            say(&format!(
                "its trace: cargo run --release -p unplug-sim --example wal_kv -- --seed {number}{flag}"
            ));
            return ExitCode::FAILURE;
        }
    }
    say(&format!(
        "{count} seeds, {cuts} power cuts, {acknowledged} changes acknowledged, none lost"
    ));
    ExitCode::SUCCESS
}

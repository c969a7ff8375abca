//! A lease on leadership that a step of a clock breaks, if it is kept by wall clocks.
//!
//! ```sh
//! cargo run --release -p unplug-sim --example lease
//! cargo run --release -p unplug-sim --example lease -- --bug wall-clock
//! ```
//!
//! `protocol` is the program, written against [`unplug_sim::env`] alone. `hunt` puts it on three
//! simulated machines with a plan of faults, and judges it from outside.

pub(crate) mod hunt;
pub(crate) mod protocol;

use std::{
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, ValueEnum, value_parser};
use unplug_sim::{Event, Recorder};

use self::{
    hunt::{plan, run},
    protocol::Bug,
};

/// Sets the clocks of nodes that lead by a lease, cuts their network and their power, and checks
/// that no two lead at once. Exits with 1 if they do.
#[derive(Debug, Parser)]
struct Args {
    /// How many seeds, from 0 on
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = value_parser!(u64).range(1..))]
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
    let (mut faults, mut reigns) = (0, 0);
    let range = seed.map_or(0..seeds, |seed| seed..seed.saturating_add(1));
    let count = range.end - range.start;
    for number in range {
        let run = run(
            number,
            &plan(number),
            bug,
            seed.map(|_| Box::new(move |event: Event| say(&event)) as Recorder),
        );
        faults += run.faults;
        reigns += run.reigns;
        if let Some(violation) = run.violation {
            say(&format!("seed {number}: {violation}"));
            let flag = bug.and_then(|bug| bug.to_possible_value());
            let flag = flag.map_or(String::new(), |flag| format!(" --bug {}", flag.get_name()));
            say(&format!(
                "its trace: cargo run --release -p unplug-sim --example lease -- --seed {number}{flag}"
            ));
            return ExitCode::FAILURE;
        }
    }
    say(&format!("{count} seeds, {faults} faults, {reigns} leaders one after the other"));
    ExitCode::SUCCESS
}

//! `unplug disk states`.

use std::io::{self, Write};

use serde::Serialize;
use unplug_sim::disk::Profile;

use super::{
    StatesArgs, ops,
    states::{self, States},
};
use crate::{cli::Status, files, input::Invalid};

/// What is printed.
#[derive(Serialize)]
struct Report<'a> {
    profile: &'a str,
    operations: usize,
    /// Before or after each operation, rather than after the last one only.
    anywhere: bool,
    #[serde(flatten)]
    found: States,
}

/// Does what `disk states` is told.
pub(super) fn states(args: &StatesArgs, out: &mut dyn Write) -> anyhow::Result<Status> {
    let profile = super::profile(&args.profile)?;
    let source = args.ops.display().to_string();
    let ops = ops::parse(&source, &files::read(&args.ops)?)?;
    let report = report(args, &source, profile, &ops)?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        report.print(out)?;
    }
    Ok(Status::Held)
}

fn report(
    args: &StatesArgs,
    source: &str,
    profile: Profile,
    ops: &[ops::Op],
) -> Result<Report<'static>, Invalid> {
    let disks = ops::disks(source, profile, ops)?;
    let first = if args.anywhere { 0 } else { ops.len() };
    let points: Vec<_> = disks.iter().enumerate().skip(first).collect();
    let choices = states::count(&points, args.limit);
    if choices > args.limit {
        return Err(Invalid::new(format!(
            "{source}: more than {} choices of fates; sync more of it before the end, write less, \
             or raise --limit",
            args.limit
        )));
    }
    let found = states::enumerate(&points);
    Ok(Report { profile: profile.name, operations: ops.len(), anywhere: args.anywhere, found })
}

impl Report<'_> {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { profile, operations, anywhere, found } = self;
        for (place, state) in found.states.iter().enumerate() {
            let choices = many(state.choices, "choice");
            write!(out, "state {}: {choices}", place + 1)?;
            if *anywhere {
                write!(out, ", after {} operations", ranges(&state.after))?;
            }
            write!(out, "\n{}\n", state.tree)?;
        }
        writeln!(
            out,
            "{profile}{}: {}, {}, {}, {}",
            if *anywhere { ", anywhere" } else { "" },
            many(*operations as u64, "operation"),
            many(found.units, "unit"),
            many(found.choices, "choice"),
            many(found.states.len() as u64, "distinct state"),
        )
    }
}

fn many(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Sorted numbers, such as `0, 3–5`.
fn ranges(sorted: &[usize]) -> String {
    let runs = sorted.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [one] => one.to_string(),
        _ => format!("{}–{}", run[0], run[run.len() - 1]),
    });
    runs.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_a_range() {
        assert_eq!(ranges(&[0, 3, 4, 5, 9]), "0, 3–5, 9");
        assert_eq!(ranges(&[7]), "7");
    }
}

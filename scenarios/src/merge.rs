//! `unplug merge`: the results of shards joined into that of one run.

use std::io::Write;

use crate::{
    cli::{MergeArgs, Status},
    conclude::{Ending, conclude, read_part},
    part,
};

/// Does what `merge` is told.
///
/// # Errors
/// If these are not all the shards of one campaign, or something cannot be written.
pub fn merge(args: &MergeArgs, out: &mut dyn Write) -> anyhow::Result<Status> {
    let mut parts = Vec::new();
    for path in &args.results {
        parts.push((path.display().to_string(), read_part(path)?));
    }
    conclude(part::merge(parts)?, &Ending::Ran, &args.reports.outputs(), out)
}

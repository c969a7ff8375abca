//! `unplug list pipelines`: the pipelines that have names, and any one as a picture.

use std::{io::Write, path::Path};

use clap::{Args, ValueEnum};
use unplug_engine::pipeline::{Pipeline, Spec};

use crate::{
    cli::Status,
    command, files,
    input::{self, Invalid, unknown},
};

/// The arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// What to list [default: all but pipelines]
    #[arg(value_name = "WHAT")]
    what: Option<What>,
    /// Print this pipeline as a picture in Graphviz's language instead
    #[arg(long, value_name = "NAME|FILE", requires = "what")]
    dot: Option<String>,
}

/// What there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// The pipelines
    Pipelines,
}

/// Does what `list` is told.
///
/// # Errors
/// If there is no such pipeline, or the standard output cannot be written.
pub fn list(args: &ListArgs, out: &mut dyn Write) -> anyhow::Result<Status> {
    let ListArgs { what: Some(What::Pipelines), dot } = args else { return command::list(out) };
    if let Some(name) = dot {
        let spec = spec(name)?;
        let pipeline =
            Pipeline::new(&spec).map_err(|error| Invalid::at(name, error.to_string()))?;
        write!(out, "{}", pipeline.dot(&spec, name))?;
        return Ok(Status::Held);
    }
    for name in Spec::NAMES {
        let spec = spec(name)?;
        let pipeline =
            Pipeline::new(&spec).map_err(|error| Invalid::at(name, error.to_string()))?;
        let (sources, sinks, stages) = (pipeline.sources(), pipeline.sinks(), pipeline.stages());
        let nodes = spec.nodes.len();
        writeln!(
            out,
            "  {name:<24} {nodes:>2} nodes, sources: {sources}, shuffles: {stages}, sinks: {sinks}"
        )?;
    }
    Ok(Status::Held)
}

/// The pipeline that a user means: a file if it looks like a path, else a name.
fn spec(name: &str) -> Result<Spec, Invalid> {
    let path = Path::new(name);
    if path.components().count() > 1 || path.extension().is_some_and(|end| end == "json") {
        return input::parse(name, &files::read(path)?);
    }
    let known = || Invalid::new(unknown("pipeline", name, Spec::NAMES));
    Spec::named(name).ok_or_else(known)
}

//! `unplug schema`: the JSON Schema (2020-12) of each kind of file, from the types that are read and
//! written, with their documentation.
//!
//! A schema says what a file may look like. Whether its values make sense together, such as names
//! of nodes that are there, is checked as it is read.

use std::io::Write;

use clap::ValueEnum;
use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::transform_subschemas};
use serde_json::Value;
use unplug_engine::pipeline;
use unplug_sim::fault::Plan;

use crate::{cli::Status, failure::Failure, recovery, report::Report, scenario::Scenario};

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A fault plan
    Plan,
    /// A scenario
    Scenario,
    /// A failure that `run` left
    Failure,
    /// A pipeline
    Pipeline,
    /// The results of `run --json`
    Report,
    /// The figures of `recovery --json`
    Recovery,
    /// The cells of `recovery --grid`
    RecoveryGrid,
}

/// A pipeline in a scenario.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "a scenario keeps it as JSON; this is its schema")]
pub(crate) enum Pipeline {
    /// The name of one that the engine has.
    Name(String),
    /// The engine's JSON form.
    Spec(pipeline::Spec),
}

/// The schema of a kind of file.
#[must_use]
pub fn schema(kind: Kind) -> Value {
    let settings = || SchemaSettings::draft2020_12().with_transform(plain);
    let reads = || settings().for_deserialize().into_generator();
    let schema = match kind {
        Kind::Plan => reads().into_root_schema_for::<Plan>(),
        Kind::Scenario => reads().into_root_schema_for::<Scenario>(),
        Kind::Failure => reads().into_root_schema_for::<Failure>(),
        Kind::Pipeline => reads().into_root_schema_for::<pipeline::Spec>(),
        Kind::Recovery => reads().into_root_schema_for::<recovery::Figures>(),
        Kind::RecoveryGrid => reads().into_root_schema_for::<recovery::Grid>(),
        Kind::Report => {
            settings().for_serialize().into_generator().into_root_schema_for::<Report>()
        }
    };
    schema.to_value()
}

/// Does what `schema` is told.
///
/// # Errors
/// If the standard output cannot be written.
pub fn print(kind: Kind, out: &mut dyn Write) -> anyhow::Result<Status> {
    writeln!(out, "{:#}", schema(kind))?;
    Ok(Status::Held)
}

/// Makes of a link to other documentation the name alone.
fn plain(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace("[`", "`").replace("`]", "`");
    }
    transform_subschemas(&mut plain, schema);
}

//! What all checks of a pipeline share: the error, and the look-up of names.

use std::collections::BTreeSet;

use super::spec::Column;

/// Why a pipeline cannot be run, with the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct PipelineError {
    place: String,
    what: String,
}

/// What is wrong with a node.
pub(super) fn error(node: &str, what: impl Into<String>) -> PipelineError {
    PipelineError { place: format!("pipeline node \"{node}\""), what: what.into() }
}

/// What is wrong with the pipeline as a whole.
pub(super) fn whole(what: impl Into<String>) -> PipelineError {
    PipelineError { place: "pipeline".to_owned(), what: what.into() }
}

/// Checks that a node gives columns, and none twice.
pub(super) fn unlike<'a>(
    node: &str,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), PipelineError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(error(node, format!("has the column \"{name}\" twice")));
        }
    }
    if seen.is_empty() {
        return Err(error(node, "has no columns"));
    }
    Ok(())
}

/// The place of a column.
pub(super) fn find(node: &str, name: &str, columns: &[Column]) -> Result<usize, PipelineError> {
    columns.iter().position(|column| column.name == name).ok_or_else(|| {
        let known: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
        error(node, format!("unknown column \"{name}\"; there are: {}", known.join(", ")))
    })
}

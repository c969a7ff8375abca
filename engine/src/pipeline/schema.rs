//! What is known of the rows between two operators, before anything runs.

use super::{
    check::{PipelineError, error, find, unlike},
    spec::Column,
};

/// The rows that a node gives.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    /// Their columns; none before they are parsed.
    pub(super) columns: Option<Vec<Column>>,
    /// The columns by which they are grouped, if that was said.
    pub(super) key: Option<Vec<String>>,
    /// How far behind the epoch's watermark their event times may be, in milliseconds.
    pub(super) behind_ms: u64,
    /// Whether an operator with state gives them. What it lets go at a watermark is older than
    /// that, so what follows holds it against the watermark before.
    pub(super) chained: bool,
    /// Whether the same row may come again with other values.
    pub(super) updates: bool,
    /// The last stage that gives any of them: 0 reads sources.
    pub(super) stage: usize,
}

impl Flow {
    /// The columns.
    pub(super) fn columns(&self, node: &str) -> Result<&[Column], PipelineError> {
        self.columns.as_deref().ok_or_else(|| error(node, "needs columns: parse first"))
    }

    /// The places of the columns of a key: those that are named, or those of the `key_by` before.
    pub(super) fn key(&self, node: &str, named: &[String]) -> Result<Vec<usize>, PipelineError> {
        let columns = self.columns(node)?;
        if self.updates {
            return Err(error(node, "takes rows that are updated; only sinks can"));
        }
        let names = match (named, &self.key) {
            ([], Some(key)) => key,
            ([], None) => {
                return Err(error(node, "has no key: name at least one column, or key_by before"));
            }
            (named, _) => named,
        };
        unlike(node, names.iter().map(String::as_str))?;
        names.iter().map(|name| find(node, name, columns)).collect()
    }

    /// The columns at these places.
    ///
    /// # Panics
    /// If there are none.
    pub(super) fn those(&self, places: &[usize]) -> Vec<Column> {
        let columns = self.columns.as_deref().expect("places are of columns");
        places.iter().map(|place| columns[*place].clone()).collect()
    }
}

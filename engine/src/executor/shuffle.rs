//! Shuffle blocks: what a map attempt keeps for reduce tasks, in memory. They go with the process;
//! a block that is gone has its map task run again.

use std::collections::BTreeMap;

use unplug_sim::env::Env;

use super::{State, output::At};
use crate::{
    pipeline::{Row, Value},
    task::{Answer, BlockRef, ReduceTask, Request},
};

/// How many rows one answer holds at the most.
const PAGE_ROWS: usize = 1_000;

/// How many bytes of rows one answer holds, about.
const PAGE_BYTES: usize = 256 * 1024;

/// How long another executor may take to give a block before it counts as lost.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(300);

/// The blocks of the attempts at the latest epoch.
#[derive(Debug, Default)]
pub(super) struct Blocks(BTreeMap<At, Vec<Vec<Row>>>);

impl Blocks {
    /// Keeps the blocks of an attempt, by state partition, and forgets those of earlier epochs:
    /// a later one is planned only when an epoch is committed.
    pub(super) fn keep(&mut self, at: At, blocks: Vec<Vec<Row>>) {
        self.0.retain(|(epoch, ..), _| *epoch >= at.0);
        self.0.insert(at, blocks);
    }

    /// Rows of a block, as many as an answer holds.
    pub(super) fn page(&self, at: At, state: u16, from: u64) -> Answer {
        let block = self.0.get(&at).and_then(|blocks| blocks.get(usize::from(state)));
        let Some(block) = block else { return Answer::NoBlock };
        let first = usize::try_from(from).unwrap_or(usize::MAX).min(block.len());
        let mut bytes = 0;
        let page = block[first..].iter().take(PAGE_ROWS).take_while(|row| {
            let fits = bytes < PAGE_BYTES;
            bytes += size(row);
            fits
        });
        Answer::Block(page.cloned().collect())
    }
}

/// About how many bytes a row takes.
fn size(row: &Row) -> usize {
    let text = |value: &Value| if let Value::Text(text) = value { text.len() } else { 0 };
    row.values.iter().map(|value| 16 + text(value)).sum()
}

impl<E: Env> State<E> {
    /// The rows that all map tasks have for a reduce task, by partition and offset.
    pub(super) async fn fetch_all(&self, task: &ReduceTask) -> Result<Vec<Row>, Answer> {
        let fetches = task.blocks.iter().map(|block| self.fetch(task, block));
        let fetched = futures_util::future::try_join_all(fetches).await;
        Ok(fetched?.into_iter().flatten().collect())
    }

    /// One block, from the very attempt that the driver chose.
    async fn fetch(&self, task: &ReduceTask, block: &BlockRef) -> Result<Vec<Row>, Answer> {
        let BlockRef { partition, attempt, node, rows: wanted } = *block;
        let mut rows = Vec::new();
        while (rows.len() as u64) < wanted {
            let at = (task.epoch, partition, attempt);
            let from = rows.len() as u64;
            let answer = if node == self.env.node() {
                Ok(self.blocks.borrow().page(at, task.state, from))
            } else {
                let request = Request::Fetch {
                    epoch: task.epoch,
                    partition,
                    attempt,
                    state: task.state,
                    from,
                };
                self.rpc.call(node, &request, PATIENCE).await
            };
            match answer {
                Ok(Answer::Block(page)) if !page.is_empty() => rows.extend(page),
                _ => {
                    self.env.mark("fetch.failed");
                    return Err(Answer::FetchFailed { partition, attempt });
                }
            }
        }
        Ok(rows)
    }
}

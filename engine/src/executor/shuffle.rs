//! Shuffle blocks: what an attempt keeps for later stages, in memory. They go with the process; a
//! block that is gone has the task that made it run again.

use std::{collections::BTreeMap, ops::Range, rc::Rc};

use serde::{Serialize, Serializer};
use unplug_sim::env::Env;

use super::{Answer, State, output::At};
use crate::{
    pipeline::{Row, Value},
    task::{self, BlockRef, ReduceTask, Request},
};

/// How many rows one answer holds at the most.
const PAGE_ROWS: usize = 1_000;

/// How many bytes of rows one answer holds, about.
const PAGE_BYTES: usize = 256 * 1024;

/// How long another executor may take to give a block before it counts as lost.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(300);

/// The blocks of the attempts at the latest epoch.
#[derive(Debug, Default)]
pub(super) struct Blocks(BTreeMap<At, Vec<Rc<Vec<Row>>>>);

/// Rows of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    block: Rc<Vec<Row>>,
    range: Range<usize>,
}

impl Page {
    fn rows(&self) -> &[Row] {
        &self.block[self.range.clone()]
    }
}

/// As the rows themselves.
impl Serialize for Page {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.rows().serialize(serializer)
    }
}

impl Blocks {
    /// Keeps the blocks of an attempt, and forgets those of earlier epochs:
    /// a later one is planned only when an epoch is committed.
    pub(super) fn keep(&mut self, at: At, blocks: Vec<Vec<Row>>) {
        self.0.retain(|(epoch, ..), _| *epoch >= at.0);
        self.0.insert(at, blocks.into_iter().map(Rc::new).collect());
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Rows of a block, as many as an answer holds.
    pub(super) fn page(&self, at: At, block: u32, from: u64) -> Answer {
        let place = usize::try_from(block).unwrap_or(usize::MAX);
        let block = self.0.get(&at).and_then(|blocks| blocks.get(place));
        let Some(block) = block else { return Answer::NoBlock };
        let first = usize::try_from(from).unwrap_or(usize::MAX).min(block.len());
        let mut bytes = 0;
        let page = block[first..].iter().take(PAGE_ROWS).take_while(|row| {
            let fits = bytes < PAGE_BYTES;
            bytes += size(row);
            fits
        });
        let range = first..first + page.count();
        Answer::Block(Page { block: Rc::clone(block), range })
    }
}

/// About how many bytes a row takes.
fn size(row: &Row) -> usize {
    let text = |value: &Value| if let Value::Text(text) = value { text.len() } else { 0 };
    row.values.iter().map(|value| 16 + text(value)).sum()
}

impl<E: Env> State<E> {
    /// Keeps what goes to exchanges, as a block for each and each state partition. Tells how many
    /// rows each has.
    pub(super) fn keep_blocks(
        &self,
        at: At,
        exchanges: Vec<Vec<Row>>,
        state_partitions: u16,
    ) -> Vec<u64> {
        let states = usize::from(state_partitions);
        let mut blocks = vec![Vec::new(); exchanges.len() * states];
        for (exchange, rows) in exchanges.into_iter().enumerate() {
            for row in rows {
                let state = self.config.pipeline.state_partition(exchange, &row, state_partitions);
                blocks[exchange * states + usize::from(state)].push(row);
            }
        }
        let counts = blocks.iter().map(|block| block.len() as u64).collect();
        if !blocks.is_empty() {
            self.blocks.borrow_mut().keep(at, blocks);
        }
        counts
    }

    /// The rows that earlier tasks have for a task: those of each exchange, by the task that they
    /// come from.
    pub(super) async fn fetch_all(&self, task: &ReduceTask) -> Result<Vec<Vec<Row>>, Answer> {
        let fetches = task.blocks.iter().map(|block| self.fetch(task, block));
        let fetched = futures_util::future::try_join_all(fetches).await?;
        let mut exchanges = vec![Vec::new(); self.config.pipeline.exchanges()];
        for (block, rows) in task.blocks.iter().zip(fetched) {
            exchanges[usize::from(block.exchange)].extend(rows);
        }
        Ok(exchanges)
    }

    /// One block, from the very attempt that the driver chose.
    async fn fetch(&self, task: &ReduceTask, of: &BlockRef) -> Result<Vec<Row>, Answer> {
        let BlockRef { exchange, stage, partition, attempt, node, rows: wanted } = *of;
        let block = u32::from(exchange) * u32::from(task.state_partitions) + u32::from(task.state);
        let mut rows = Vec::new();
        while (rows.len() as u64) < wanted {
            let epoch = task.epoch;
            let from = rows.len() as u64;
            let known = rows.len();
            if node == self.env.node() {
                let page = self.blocks.borrow().page((epoch, partition, attempt), block, from);
                if let Answer::Block(page) = page {
                    rows.extend_from_slice(page.rows());
                }
            } else {
                let request = Request::Fetch { epoch, partition, attempt, block, from };
                let answer = self.rpc.call(node, &request, PATIENCE).await;
                if let Ok(task::Answer::Block(page)) = answer {
                    rows.extend::<Vec<_>>(page);
                }
            }
            if rows.len() == known {
                self.env.mark("fetch.failed");
                return Err(Answer::FetchFailed { stage, partition, attempt });
            }
        }
        Ok(rows)
    }
}

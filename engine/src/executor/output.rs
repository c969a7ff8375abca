//! Rows as blobs, under names that no other attempt ever has.

use bytes::Bytes;
use futures_util::future::try_join_all;
use unplug_sim::env::Env;

use super::{Answer, PATIENCE, State};
use crate::{
    codec::{self, Kind},
    epoch::{BlobRef, Output, OutputRef},
    pipeline::Row,
    tuple::{Attempt, Epoch, Partition},
};

/// The most bytes of one blob: it travels as one datagram.
pub const OUTPUT_BYTES_MAX: usize = 900 * 1024;

/// An attempt at a task of an epoch, for names.
pub(super) type At = (Epoch, Partition, Attempt);

impl<E: Env> State<E> {
    /// Writes what the sinks get from a task.
    pub(super) async fn keep_sinks(
        &self,
        at: At,
        sinks: Vec<Vec<Row>>,
    ) -> Result<Vec<OutputRef>, Answer> {
        let sinks = (0..).zip(sinks).map(|(sink, rows)| self.keep_rows(at, sink, rows));
        Ok(try_join_all(sinks).await?.concat())
    }

    /// Writes what a sink gets from a task, in as many blobs as it takes; none if it gets nothing.
    async fn keep_rows(
        &self,
        (epoch, partition, attempt): At,
        sink: u16,
        rows: Vec<Row>,
    ) -> Result<Vec<OutputRef>, Answer> {
        let mut kept = Vec::new();
        // Parts still to be written, the next one last.
        let mut parts = if rows.is_empty() { Vec::new() } else { vec![rows] };
        while let Some(rows) = parts.pop() {
            let count = rows.len();
            let output = Output { epoch, partition, rows };
            let bytes = codec::encode(Kind::Output, &output);
            if bytes.len() > OUTPUT_BYTES_MAX && count > 1 {
                let mut rows = output.rows;
                let rest = rows.split_off(count / 2);
                parts.extend([rest, rows]);
                continue;
            }
            let blob = self.keep_blob("output", (epoch, partition, attempt), bytes).await?;
            kept.push(OutputRef { sink, partition, blob, rows: count as u64 });
        }
        Ok(kept)
    }

    /// Writes a blob to the stores.
    pub(super) async fn keep_blob(
        &self,
        family: &str,
        (epoch, partition, attempt): At,
        bytes: Bytes,
    ) -> Result<BlobRef, Answer> {
        if bytes.len() > OUTPUT_BYTES_MAX {
            return Err(Answer::Refused(format!(
                "epoch {epoch}, partition {partition}: {} bytes for one blob of the family \
                 {family}, over {OUTPUT_BYTES_MAX}; let fewer tuples into an epoch",
                bytes.len()
            )));
        }
        let Attempt { generation, counter } = attempt;
        let name = format!(
            "{family}/{:012}/{:05}/{generation}-{counter}-{:016x}",
            epoch.0,
            partition.0,
            self.env.random()
        );
        let patience = PATIENCE + self.config.blob_patience;
        self.stores.put_blob(name, bytes, patience).await.map_err(Answer::Failed)
    }
}

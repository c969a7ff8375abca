//! Closing tuples: the last of a finite run, one in each partition, with an event time far beyond
//! all others, so that every window of the others is closed.

use bytes::Bytes;
use unplug_engine::tuple::Partition;

use super::Input;
use crate::model::Model;

/// From the time when all other input is due to the time when closing tuples are.
pub const GAP_NS: u64 = 1_000_000_000;

/// Event times are far beyond all others even for pipelines that wait for months.
const BEYOND_MS: u64 = 365 * 24 * 3_600_000;

/// A line that pipelines of flights and of generated tuples can read.
const VALUE: &[u8] = br#"{"key": "closing", "origin": "closing", "amount": null}"#;

/// Lets the first producer send closing tuples behind all other input. Where partitions are added, to
/// so many in turn, each producer sends closing tuples for those, too: what it sends behind an addition
/// goes by other partitions than what another one sends before.
pub fn add(inputs: &mut [Vec<Input>], model: &Model, partitions: u16, later: &[u16]) {
    let all = || inputs.iter().flatten();
    let last = |of: fn(&Input) -> u64| all().map(of).max().unwrap_or(0);
    let due_ns = last(|input| input.due_ns) + GAP_NS;
    let arrival_ms = last(|input| input.arrival_ms) + GAP_NS / 1_000_000;
    let beyond_ms = BEYOND_MS + 10 * model.span_ms().unwrap_or(0);
    let event_ms = last(|input| input.event_ms) + beyond_ms;
    let closing = |partitions: u16| {
        (0..partitions).map(move |partition| Input {
            seq: 0,
            line: None,
            closing: true,
            due_ns,
            arrival_ms,
            event_ms,
            key: key(Partition(partition), partitions),
            value: Bytes::from_static(VALUE),
        })
    };
    if let Some(first) = inputs.first_mut() {
        first.extend(closing(partitions));
    }
    for partitions in later {
        inputs.iter_mut().for_each(|input| input.extend(closing(*partitions)));
    }
}

/// The watermark that closes the windows of all other input, in milliseconds since 1970.
#[must_use]
pub fn watermark_ms(inputs: &[Vec<Input>], model: &Model) -> u64 {
    let times = inputs.iter().flatten().filter(|input| !input.closing).map(|input| input.event_ms);
    times.max().map_or(0, |last_ms| model.closed_ms(last_ms))
}

/// A key of the partition.
fn key(partition: Partition, partitions: u16) -> Bytes {
    let mut keys = (0u64..).map(|number| format!("closing-{number}"));
    let hit = keys.find(|key| Partition::of_key(key.as_bytes(), partitions) == partition);
    Bytes::from(hit.expect("there is no end of keys"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        model::Model,
        scenario::{Flights, Generated, Source},
        workload::Workload,
    };

    fn model(column: &str, of: &str) -> Model {
        Model::new(&json!({"nodes": [
            {"name": "in", "op": "source"},
            {"name": "parsed", "inputs": ["in"], "op": {"parse": [
                {"name": column, "type": "text"}, {"name": of, "type": "int"}]}},
            {"name": "window", "inputs": ["parsed"], "op": {"window": {"key": [column],
                "size_ms": 5_000, "delay_ms": 2_000,
                "aggregates": [{"name": "sum", "of": {"sum": of}}]}}},
            {"name": "out", "inputs": ["window"], "op": "sink"}]}))
        .expect("known")
    }

    #[test]
    fn each_partition_gets_one_far_beyond_and_behind_all_others() {
        let workload = Workload::embedded().expect("sound");
        let flights =
            Source::Flights(Flights { tuples: 100, per_second: 100, ..Flights::default() });
        let generated = Source::Generated(Generated { tuples: 100, ..Generated::default() });
        for (source, model) in
            [(flights, model("origin", "delay")), (generated, model("key", "amount"))]
        {
            let window = model.window().expect("there");
            let mut inputs = workload.inputs(3, &source, 2, 4);
            let others: Vec<_> = inputs.iter().flatten().cloned().collect();
            add(&mut inputs, &model, 4, &[]);
            let (closing, real): (Vec<_>, Vec<_>) =
                inputs[0].iter().partition(|input| input.closing);
            assert_eq!((closing.len(), real.len(), inputs[1].len()), (4, 50, 50));
            let watermark_ms = watermark_ms(&inputs, &model);
            for (input, partition) in closing.iter().zip(0..) {
                assert_eq!(Partition::of_key(&input.key, 4), Partition(partition));
                assert!(others.iter().all(|other| other.due_ns + GAP_NS <= input.due_ns));
                assert!(watermark_ms < input.event_ms - window.delay_ms);
                assert!(window.start_ms(input.event_ms) >= watermark_ms);
                assert!(model.row(&input.value).expect("fits the schema").is_some());
            }
            let end_ms = |input: &Input| window.start_ms(input.event_ms) + window.size_ms;
            assert_eq!(others.iter().map(end_ms).max(), Some(watermark_ms));
        }
    }
}

//! What producers send: real departures from New York, in order of arrival (`data/README.md`).
//! They are part of the program, so that it runs from any folder.

use std::{io::Read as _, ops::Range};

use bytes::Bytes;
use flate2::read::GzDecoder;
use serde::Deserialize;
use unplug_sim::random::Stream;

use crate::input::{self, Invalid};

/// How many flights there are.
pub const FLIGHTS: u32 = 12_126;

const PACKED: &[u8] = include_bytes!("../data/flights.ndjson.gz");

/// All flights, read once and shared by all runs.
#[derive(Debug)]
pub struct Workload {
    text: Vec<u8>,
    flights: Vec<Flight>,
}

/// One tuple as a producer sends it; its position in the producer's input is its seq.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its place among all flights, from 0.
    pub line: usize,
    /// When it really came, in milliseconds since 1970; grows along the input.
    pub arrival_ms: u64,
    /// Its event time, in milliseconds since 1970; out of order.
    pub event_ms: u64,
    /// Its key: the tail number; empty if unknown.
    pub key: Bytes,
    /// The whole line of JSON, without its line end.
    pub value: Bytes,
}

#[derive(Debug)]
struct Flight {
    arrival_ms: u64,
    event_ms: u64,
    /// Where the line is in the text.
    line: Range<usize>,
    /// Where its tail number is in the text.
    tail: Range<usize>,
}

/// The fields that matter for the way; the others belong to the pipeline.
#[derive(Deserialize)]
struct Fields {
    ts: u64,
    sched: u64,
    tail: Option<String>,
}

impl Workload {
    /// The flights that are part of the program.
    ///
    /// # Errors
    /// If they are damaged.
    pub fn embedded() -> Result<Self, Invalid> {
        let mut text = String::new();
        GzDecoder::new(PACKED)
            .read_to_string(&mut text)
            .map_err(|error| Invalid::at("the embedded flights", error.to_string()))?;
        let mut flights = Vec::new();
        let mut start = 0;
        for (index, line) in text.lines().enumerate() {
            flights.push(flight(line, start).map_err(|error| {
                error.within(&format!("the embedded flights, line {}", index + 1))
            })?);
            start += line.len() + 1;
        }
        Ok(Self { text: text.into_bytes(), flights })
    }

    /// How many lines there are.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.flights.len()
    }

    /// What each producer sends with this seed: `tuples` flights in a row, from a place that the
    /// seed draws, dealt to the producers in turn.
    ///
    /// # Panics
    /// If there are not so many flights, or no producers: a checked scenario asks for neither.
    #[must_use]
    pub fn inputs(&self, seed: u64, tuples: u32, producers: u32) -> Vec<Vec<Input>> {
        let tuples = usize::try_from(tuples).expect("fits");
        let producers = usize::try_from(producers).expect("fits");
        assert!((1..=self.flights.len()).contains(&tuples), "{tuples} flights of {FLIGHTS}");
        assert!(producers > 0, "no one to send {tuples} flights");
        let start = Stream::new(seed, "workload", 0, 0).index(self.flights.len() - tuples + 1);
        let chosen = &self.flights[start..start + tuples];
        // One copy for the run: threads that share one count references on one cache line.
        let base = chosen[0].line.start;
        let block = Bytes::copy_from_slice(&self.text[base..chosen[tuples - 1].line.end]);
        let part = |range: &Range<usize>| block.slice(range.start - base..range.end - base);
        let mut inputs = vec![Vec::with_capacity(tuples.div_ceil(producers)); producers];
        for (index, flight) in chosen.iter().enumerate() {
            inputs[index % producers].push(Input {
                line: start + index,
                arrival_ms: flight.arrival_ms,
                event_ms: flight.event_ms,
                key: part(&flight.tail),
                value: part(&flight.line),
            });
        }
        inputs
    }
}

fn flight(line: &str, start: usize) -> Result<Flight, Invalid> {
    let fields: Fields = input::parse("flight", line)?;
    let tail = fields.tail.unwrap_or_default();
    let tail_start = line.find(&format!("\"{tail}\"")).map_or(start, |quote| start + quote + 1);
    let tail_length = if tail_start == start { 0 } else { tail.len() };
    Ok(Flight {
        arrival_ms: fields.ts,
        event_ms: fields.sched,
        line: start..start + line.len(),
        tail: tail_start..tail_start + tail_length,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flight_is_there_in_order_of_arrival() {
        let workload = Workload::embedded().expect("sound");
        assert_eq!(workload.flights.len(), usize::try_from(FLIGHTS).expect("fits"));
        assert!(workload.flights.is_sorted_by_key(|flight| flight.arrival_ms));
        assert!(!workload.flights.is_sorted_by_key(|flight| flight.event_ms));
    }

    #[test]
    fn inputs_are_a_slice_dealt_in_turn() {
        let workload = Workload::embedded().expect("sound");
        let inputs = workload.inputs(7, 101, 2);
        assert_eq!(inputs.iter().map(Vec::len).collect::<Vec<_>>(), [51, 50]);
        assert_eq!(inputs, workload.inputs(7, 101, 2));
        assert_ne!(inputs, workload.inputs(8, 101, 2));
        for input in inputs.iter().flatten() {
            let line: serde_json::Value = serde_json::from_slice(&input.value).expect("JSON");
            assert_eq!(line["ts"], input.arrival_ms);
            assert_eq!(line["sched"], input.event_ms);
            assert_eq!(line["tail"].as_str().unwrap_or_default().as_bytes(), input.key);
        }
        assert!(inputs.iter().all(|one| one.is_sorted_by_key(|input| input.arrival_ms)));
        assert_eq!(workload.inputs(7, FLIGHTS, 1)[0].len(), workload.flights.len());
    }

    #[test]
    fn a_flight_without_a_tail_number_has_an_empty_key() {
        let flight = flight(r#"{"ts":1,"sched":2,"tail":null}"#, 10).expect("parses");
        assert_eq!(flight.tail, 10..10);
    }
}

//! What producers send: real departures from New York, in order of arrival (`data/README.md`),
//! which are part of the program, so that it runs from any folder; or tuples made up from the seed
//! ([`generated`]). Where windows must close, closing tuples come last ([`closing`]).

mod auctions;
pub mod closing;
pub mod generated;

use std::{io::Read as _, ops::Range};

use bytes::Bytes;
use flate2::read::GzDecoder;
use serde::Deserialize;
use unplug_sim::random::PlanStream;

use crate::{
    input::{self, Invalid},
    scenario::Source,
};

/// How many flights there are.
pub const FLIGHTS: u32 = 12_126;

/// Nothing is due before all nodes had the time to boot.
pub(crate) const FIRST_DUE_NS: u64 = 300_000_000;

const PACKED: &[u8] = include_bytes!("../../data/flights.ndjson.gz");

/// All flights, read once and shared by all runs.
#[derive(Debug)]
pub struct Workload {
    text: Vec<u8>,
    flights: Vec<Flight>,
}

/// One tuple as a producer sends it; its position in the producer's input is its seq.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its place among all flights, from 0, if it is one.
    pub line: Option<usize>,
    /// It is there to close the windows of all others.
    pub closing: bool,
    /// When it is due, in virtual nanoseconds; grows along the input.
    pub due_ns: u64,
    /// When it really came, or would have, in milliseconds since 1970; grows along the input.
    pub arrival_ms: u64,
    /// Its event time, in milliseconds since 1970; out of order.
    pub event_ms: u64,
    /// Its key: a flight's tail number; empty if unknown.
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

    /// What each producer sends with this seed, without closing tuples.
    ///
    /// # Panics
    /// If there are not so many flights, or no producers or partitions: a checked scenario asks for
    /// none of it.
    #[must_use]
    pub fn inputs(
        &self,
        seed: u64,
        source: &Source,
        producers: u32,
        partitions: u16,
    ) -> Vec<Vec<Input>> {
        let pace = Pace { per_second: source.per_second(), producers };
        match source {
            Source::Flights(flights) => self.flights(seed, flights.tuples, pace),
            Source::Generated(made) => generated::inputs(seed, made, pace, partitions),
        }
    }

    /// So many flights in a row, from a place that the seed draws, dealt to the producers in turn.
    fn flights(&self, seed: u64, tuples: u32, pace: Pace) -> Vec<Vec<Input>> {
        let tuples = usize::try_from(tuples).expect("fits");
        assert!((1..=self.flights.len()).contains(&tuples), "{tuples} flights of {FLIGHTS}");
        let start = PlanStream::of_plan(seed, "workload").index(self.flights.len() - tuples + 1);
        let chosen = &self.flights[start..start + tuples];
        // One copy for the run: threads that share one count references on one cache line.
        let base = chosen[0].line.start;
        let block = Bytes::copy_from_slice(&self.text[base..chosen[tuples - 1].line.end]);
        let part = |range: &Range<usize>| block.slice(range.start - base..range.end - base);
        let part = &part;
        pace.deal(chosen.iter().zip(start..).map(|(flight, line)| {
            move |due_ns| Input {
                line: Some(line),
                closing: false,
                due_ns,
                arrival_ms: flight.arrival_ms,
                event_ms: flight.event_ms,
                key: part(&flight.tail),
                value: part(&flight.line),
            }
        }))
    }
}

/// When who sends: tuples are dealt to the producers in turn, and come evenly.
#[derive(Clone, Copy, Debug)]
struct Pace {
    per_second: u32,
    producers: u32,
}

impl Pace {
    /// When the tuple with this place among all is due, in virtual nanoseconds.
    fn due_ns(self, index: usize) -> u64 {
        let gap_ns = 1_000_000_000 * u64::from(self.producers) / u64::from(self.per_second);
        let own = index as u64 / u64::from(self.producers);
        FIRST_DUE_NS + gap_ns * (own + 1)
    }

    /// Deals tuples, each made with the time when it is due.
    fn deal<F: FnOnce(u64) -> Input>(self, tuples: impl Iterator<Item = F>) -> Vec<Vec<Input>> {
        let producers = usize::try_from(self.producers).expect("fits");
        assert!(producers > 0, "no one to send");
        let most = tuples.size_hint().0.div_ceil(producers);
        let mut inputs: Vec<_> = (0..producers).map(|_| Vec::with_capacity(most)).collect();
        for (index, make) in tuples.enumerate() {
            inputs[index % producers].push(make(self.due_ns(index)));
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
    use crate::scenario::Flights;

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
        let inputs = |seed, tuples, producers| {
            let flights = Flights { tuples, per_second: 100 };
            workload.inputs(seed, &Source::Flights(flights), producers, 4)
        };
        let (inputs, all) = (inputs(7, 101, 2), inputs);
        assert_eq!(inputs.iter().map(Vec::len).collect::<Vec<_>>(), [51, 50]);
        assert_eq!(inputs, all(7, 101, 2));
        assert_ne!(inputs, all(8, 101, 2));
        for input in inputs.iter().flatten() {
            let line: serde_json::Value = serde_json::from_slice(&input.value).expect("JSON");
            assert_eq!(line["ts"], input.arrival_ms);
            assert_eq!(line["sched"], input.event_ms);
            assert_eq!(line["tail"].as_str().unwrap_or_default().as_bytes(), input.key);
        }
        assert!(inputs.iter().all(|one| one.is_sorted_by_key(|input| input.arrival_ms)));
        assert_eq!(all(7, FLIGHTS, 1)[0].len(), workload.flights.len());
        let due = |producer: usize, seq: usize| inputs[producer][seq].due_ns;
        assert_eq!((due(0, 0), due(1, 0), due(0, 50)), (320_000_000, 320_000_000, 1_320_000_000));
    }

    #[test]
    fn a_flight_without_a_tail_number_has_an_empty_key() {
        let flight = flight(r#"{"ts":1,"sched":2,"tail":null}"#, 10).expect("parses");
        assert_eq!(flight.tail, 10..10);
    }
}

//! What producers send: real departures from New York, in order of arrival (`data/README.md`),
//! which are part of the program, so that it runs from any folder; or tuples made up from the seed
//! ([`generated`]). Where windows must close, closing tuples come last ([`closing`]).

mod auctions;
pub mod closing;
pub mod generated;
pub mod lines;

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
const PACKED_WEATHER: &[u8] = include_bytes!("../../data/weather.ndjson.gz");

/// All flights, read once and shared by all runs.
#[derive(Debug)]
pub struct Workload {
    text: Vec<u8>,
    flights: Vec<Flight>,
    weather: Vec<Observed>,
}

/// The weather of an hour at an airport, which is known when the hour begins.
#[derive(Debug)]
struct Observed {
    at_ms: u64,
    origin: String,
    line: String,
}

/// One tuple as a producer sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its seq: its position in the producer's input, or where its line begins in the producer's
    /// file.
    pub seq: u64,
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

#[derive(Deserialize)]
struct ObservedFields {
    ts: u64,
    origin: String,
}

/// The fields that matter for the way; the others belong to the pipeline.
#[derive(Deserialize)]
struct Fields<'a> {
    ts: u64,
    sched: u64,
    tail: Option<&'a str>,
}

impl Workload {
    /// The flights that are part of the program.
    ///
    /// # Errors
    /// If they are damaged.
    pub fn embedded() -> Result<Self, Invalid> {
        let text = unpacked(PACKED, "the embedded flights")?;
        let mut flights = Vec::new();
        let mut start = 0;
        for (index, line) in text.lines().enumerate() {
            flights.push(flight(line, start).map_err(|error| {
                error.within(&format!("the embedded flights, line {}", index + 1))
            })?);
            start += line.len() + 1;
        }
        let mut weather = Vec::new();
        for (index, line) in unpacked(PACKED_WEATHER, "the embedded weather")?.lines().enumerate() {
            let ObservedFields { ts: at_ms, origin } = input::parse("weather", line)
                .map_err(|error| error.within(&format!("line {}", index + 1)))?;
            weather.push(Observed { at_ms, origin, line: line.to_owned() });
        }
        Ok(Self { text: text.into_bytes(), flights, weather })
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
        let (per_second, at_once) = (source.per_second(), source.at_once());
        let pace = Pace { per_second, producers, at_once };
        match source {
            Source::Flights(flights) if flights.weather => {
                self.with_weather(seed, flights.tuples, pace, partitions)
            }
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
                seq: 0,
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

impl Workload {
    /// So many flights and hours of weather in a row, as they came. The flights are the first source,
    /// the weather is the second.
    fn with_weather(&self, seed: u64, tuples: u32, pace: Pace, partitions: u16) -> Vec<Vec<Input>> {
        let flights = self.flights.iter().map(|flight| {
            let part = |range: &Range<usize>| {
                String::from_utf8_lossy(&self.text[range.clone()]).into_owned()
            };
            (flight.arrival_ms, 0, flight.event_ms, part(&flight.tail), part(&flight.line))
        });
        let weather = self.weather.iter().map(|Observed { at_ms, origin, line }| {
            (*at_ms, 1, *at_ms, origin.clone(), line.clone())
        });
        let mut all: Vec<_> = flights.chain(weather).collect();
        // Stable: what came at the same time keeps its order.
        all.sort_by_key(|(arrival_ms, source, ..)| (*arrival_ms, std::cmp::Reverse(*source)));
        let tuples = usize::try_from(tuples).expect("fits");
        let start = PlanStream::of_plan(seed, "workload").index(all.len() - tuples + 1);
        let chosen = all.into_iter().skip(start).take(tuples);
        pace.deal(chosen.map(|(arrival_ms, source, event_ms, key, line)| {
            move |due_ns| Input {
                seq: 0,
                line: None,
                closing: false,
                due_ns,
                arrival_ms,
                event_ms,
                key: generated::of_source(key, source, 2, partitions).into(),
                value: line.into(),
            }
        }))
    }
}

fn unpacked(packed: &[u8], what: &str) -> Result<String, Invalid> {
    let mut text = String::new();
    GzDecoder::new(packed)
        .read_to_string(&mut text)
        .map_err(|error| Invalid::at(what, error.to_string()))?;
    Ok(text)
}

/// Gives each tuple its position as its seq.
pub(crate) fn number(inputs: &mut [Vec<Input>]) {
    for input in inputs {
        for (input, seq) in input.iter_mut().zip(0..) {
            input.seq = seq;
        }
    }
}

/// When who sends: tuples are dealt to the producers in turn, and come evenly.
#[derive(Clone, Copy, Debug)]
struct Pace {
    per_second: u32,
    producers: u32,
    /// So many are there at once, before the others.
    at_once: u32,
}

impl Pace {
    /// When the tuple with this place among all is due, in virtual nanoseconds.
    fn due_ns(self, index: usize) -> u64 {
        let gap_ns = 1_000_000_000 * u64::from(self.producers) / u64::from(self.per_second);
        let turn = |index: u64| index / u64::from(self.producers);
        let others = (index as u64).checked_sub(self.at_once.into());
        FIRST_DUE_NS + others.map_or(0, |others| gap_ns * (turn(others) + 1))
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
    let fields: Fields<'_> = input::parse("flight", line)?;
    // A part of the line: where it is borrowed from is where it stands.
    let tail = fields.tail.unwrap_or(&line[..0]);
    let tail_start = start + (tail.as_ptr().addr() - line.as_ptr().addr());
    Ok(Flight {
        arrival_ms: fields.ts,
        event_ms: fields.sched,
        line: start..start + line.len(),
        tail: tail_start..tail_start + tail.len(),
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
            let flights = Flights { tuples, per_second: 100, ..Flights::default() };
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
    fn weather_comes_between_flights_in_the_order_of_its_hours_and_is_a_source_of_its_own() {
        let workload = Workload::embedded().expect("sound");
        let flights = Flights { tuples: 600, weather: true, per_second: 100 };
        let inputs = workload.inputs(7, &Source::Flights(flights), 1, 4).remove(0);
        assert_eq!(inputs.len(), 600);
        assert!(inputs.is_sorted_by_key(|input| input.arrival_ms));
        let mut hours = 0;
        for input in &inputs {
            let line: serde_json::Value = serde_json::from_slice(&input.value).expect("JSON");
            let weather = line.get("wind").is_some();
            let partition = unplug_engine::tuple::Partition::of_key(&input.key, 4);
            assert_eq!(partition.0 % 2, u16::from(weather), "{line}");
            hours += usize::from(weather);
        }
        assert!((20..120).contains(&hours), "{hours}");
    }

    #[test]
    fn a_flight_without_a_tail_number_has_an_empty_key() {
        let flight = flight(r#"{"ts":1,"sched":2,"tail":null}"#, 10).expect("parses");
        assert_eq!(flight.tail, 10..10);
    }
}

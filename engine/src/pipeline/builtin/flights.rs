//! Pipelines over flights.

use crate::pipeline::{
    Spec,
    builder::{Builder, Stream, average, column, count, fingerprint, present, sum},
};

/// How far event times may lag behind, in milliseconds.
const DELAY_MS: u64 = 1_800_000;

fn parsed(builder: &Builder) -> Stream<'_> {
    let columns = [
        ("origin", "text"),
        ("dest", "text"),
        ("carrier", "text"),
        ("flight", "int"),
        ("tail", "text"),
        ("delay", "int"),
    ];
    builder.source("flights").parse("parsed", columns.map(|(name, kind)| column(name, kind)))
}

/// The days of each aircraft: flights that follow each other within six hours.
pub(super) fn aircraft() -> Spec {
    let builder = Builder::default();
    let known = parsed(&builder).filter("known", present("tail"));
    let aggregates = [count("flights"), sum("delays", "delay"), fingerprint("print")];
    let days = known.key_by("by tail", ["tail"]).session("days", 21_600_000, DELAY_MS, aggregates);
    days.sink("table");
    days.late_sink("late");
    builder.spec()
}

/// The routes that are flown, each once a day, and how many of them start at each airport; and the
/// mean delays.
pub(super) fn routes() -> Spec {
    let builder = Builder::default();
    let flights = parsed(&builder);
    let routes =
        flights.key_by("by route", ["origin", "dest"]).dedup("routes", 86_400_000, DELAY_MS);
    routes.late_sink("late");
    routes.project("routes flown", ["origin", "dest", "carrier"]).sink("table");
    let counts = [count("routes"), average("mean", "delay"), fingerprint("print")];
    routes
        .key_by("by airport", ["origin"])
        .tumbling("airports", 3_600_000, 0, counts)
        .sink("airports by hour");
    builder.spec()
}

//! Pipelines over flights.

use crate::pipeline::{
    Expression, Join, JoinKind, Spec,
    builder::{Builder, Stream, average, column, count, fingerprint, int, max, present, sum},
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

/// Each flight with the weather of its hour at its airport, or with none; and by airport and hour how
/// many there were, how late, and in how much wind.
pub(super) fn weather() -> Spec {
    const HOUR_MS: i64 = 3_600_000;
    let builder = Builder::default();
    let hour = || [("hour", Expression::Per(Box::new((Expression::EventTime, int(HOUR_MS)))))];
    let flights = parsed(&builder).map("hours of flights", hour());
    let columns =
        [("origin", "text"), ("temp", "int"), ("wind", "int"), ("rain", "int"), ("sight", "int")];
    let columns = columns.map(|(name, kind)| column(name, kind));
    let weather =
        builder.source("weather").parse("observed", columns).map("hours of weather", hour());
    let key = || ["origin", "hour"].map(str::to_owned).to_vec();
    let join = Join {
        kind: JoinKind::LeftOuter,
        left_key: key(),
        right_key: key(),
        before_ms: 3_600_000,
        after_ms: 0,
        delay_ms: DELAY_MS,
    };
    let together = flights.join("flights in weather", &weather, join);
    together.sink("table");
    let aggregates =
        [count("flights"), average("mean", "delay"), max("wind", "wind"), fingerprint("print")];
    together
        .key_by("by airport", ["origin"])
        .tumbling("hours", 3_600_000, 0, aggregates)
        .sink("airports by hour");
    builder.spec()
}

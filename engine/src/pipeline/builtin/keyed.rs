//! Pipelines over lines such as `{"key": "k7", "amount": 12}`.

use crate::pipeline::{
    Condition, Expression, Join, JoinKind, Mode, Spec, Window,
    builder::{
        Builder, Stream, average, column, count, fingerprint, int, max, min, of, present, sum,
    },
};

/// How far event times may lag behind, in milliseconds.
const DELAY_MS: u64 = 2_000;

fn parsed<'a>(builder: &'a Builder, name: &str) -> Stream<'a> {
    let columns = [column("key", "text"), column("amount", "int")];
    builder.source(name).parse(&format!("parsed {name}"), columns)
}

/// Rows, and those that came too late.
fn both_sinks(rows: &Stream<'_>) {
    rows.sink("table");
    rows.late_sink("late");
}

/// Amounts by key and six seconds, every two seconds.
pub(super) fn sliding() -> Spec {
    let builder = Builder::default();
    let window = Window {
        key: vec!["key".to_owned()],
        size_ms: 6_000,
        slide_ms: Some(2_000),
        delay_ms: DELAY_MS,
        mode: Mode::Append,
        aggregates: vec![count("count"), average("mean", "amount"), fingerprint("print")],
    };
    both_sinks(&parsed(&builder, "events").window("means", window));
    builder.spec()
}

/// Sessions of keys that pause for half a second.
pub(super) fn sessions() -> Spec {
    let builder = Builder::default();
    let aggregates = [
        count("count"),
        sum("sum", "amount"),
        min("least", "amount"),
        max("most", "amount"),
        fingerprint("print"),
    ];
    let keyed = parsed(&builder, "events").key_by("by key", ["key"]);
    both_sinks(&keyed.session("sessions", 500, DELAY_MS, aggregates));
    builder.spec()
}

/// The first of the same key and rounded amount in ten seconds; lines that are broken, too.
pub(super) fn distinct() -> Spec {
    let builder = Builder::default();
    let tens = Expression::Per(Box::new((of("amount"), int(100))));
    let parsed = parsed(&builder, "events");
    let rounded = parsed.map("rounded", [("hundreds", tens)]);
    let keyed = rounded.key_by("by key and hundreds", ["key", "hundreds"]);
    both_sinks(&keyed.dedup("firsts", 10_000, DELAY_MS));
    parsed.dead_letters("no lines");
    builder.spec()
}

/// Totals by key and five seconds, as they grow.
pub(super) fn growing() -> Spec {
    let builder = Builder::default();
    let window = Window {
        key: vec!["key".to_owned()],
        size_ms: 5_000,
        slide_ms: None,
        delay_ms: DELAY_MS,
        mode: Mode::Update,
        aggregates: vec![count("count"), sum("sum", "amount"), fingerprint("print")],
    };
    both_sinks(&parsed(&builder, "events").window("totals", window));
    builder.spec()
}

/// Totals by key, and of these the greatest of all keys: two windows, one behind the other.
pub(super) fn nested() -> Spec {
    let builder = Builder::default();
    let totals = parsed(&builder, "events").key_by("by key", ["key"]).tumbling(
        "totals",
        2_000,
        DELAY_MS,
        [count("count"), sum("sum", "amount"), fingerprint("print")],
    );
    let all = totals.map("one group", [("group", int(0))]).key_by("all", ["group"]);
    let most = [max("most", "sum"), sum("count", "count"), fingerprint("print")];
    totals.late_sink("late");
    totals.sink("totals of keys");
    all.tumbling("greatest", 6_000, 0, most).sink("table");
    builder.spec()
}

/// Two sources, joined; those without a partner, too. The pairs, and their number by key.
pub(super) fn paired() -> Spec {
    let builder = Builder::default();
    let orders = parsed(&builder, "orders").filter("whole", present("amount"));
    let payments = parsed(&builder, "payments")
        .map("named", [("paid", of("amount"))])
        .project("lean", ["key", "paid"]);
    let key = || vec!["key".to_owned()];
    let join = Join {
        kind: JoinKind::LeftOuter,
        left_key: key(),
        right_key: key(),
        before_ms: 300,
        after_ms: 1_500,
        delay_ms: DELAY_MS,
    };
    let pairs = orders.join("pairs", &payments, join);
    pairs.sink("table");
    let counts = [count("pairs"), sum("paid", "paid"), fingerprint("print")];
    pairs.key_by("by key", ["key"]).tumbling("counts", 5_000, 0, counts).sink("counts of keys");
    builder.spec()
}

/// Sessions and single rows together, of which the first of each key in a while passes.
pub(super) fn mixed() -> Spec {
    let builder = Builder::default();
    let events = parsed(&builder, "events");
    let large = Condition::Not(Box::new(Condition::IsNull("amount".to_owned())));
    let events = events.filter("whole", large);
    let sessions = events
        .key_by("by key", ["key"])
        .session("sessions", 400, DELAY_MS, [sum("amount", "amount")])
        .project("sums", ["key", "amount"]);
    let all = sessions.union("all", &events);
    both_sinks(&all.key_by("by key again", ["key"]).dedup("firsts", 3_000, 0));
    builder.spec()
}

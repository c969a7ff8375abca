//! Queries of Nexmark, as its home page words them, over auctions of which the lines say whether
//! they are a person, an auction or a bid. Windows are shorter, so that many fit into a run, and
//! joins are bounded in time.
//!
//! Source: <https://github.com/nexmark/nexmark>, `nexmark-flink/src/main/resources/queries`.

use crate::pipeline::{
    Comparison, Condition, Expression, Join, JoinKind, Mode, Spec, Window,
    builder::{
        Builder, Stream, average, column, count, fingerprint, int, is, is_text, max, of, present,
    },
};

/// How far event times may lag behind, in milliseconds.
const DELAY_MS: u64 = 2_000;
/// How long windows are, in milliseconds.
const WINDOW_MS: u64 = 4_000;

/// A kind of lines.
fn only<'a>(builder: &'a Builder, kind: &str) -> Stream<'a> {
    let columns = [
        ("type", "text"),
        ("id", "int"),
        ("name", "text"),
        ("state", "text"),
        ("seller", "int"),
        ("category", "int"),
        ("auction", "int"),
        ("bidder", "int"),
        ("price", "int"),
        ("url", "text"),
    ];
    let all =
        builder.source("events").parse("parsed", columns.map(|(name, kind)| column(name, kind)));
    all.filter(kind, is_text("type", kind))
}

/// Another kind of lines of the same source.
fn also<'a>(builder: &'a Builder, kind: &str) -> Stream<'a> {
    builder.stream("parsed").filter(kind, is_text("type", kind))
}

fn bids(builder: &Builder) -> Stream<'_> {
    only(builder, "bid").project("bids", ["auction", "bidder", "price"])
}

fn join(key: [&str; 2], before_ms: u64, after_ms: u64) -> Join {
    let [left_key, right_key] = key.map(|name| vec![name.to_owned()]);
    Join { kind: JoinKind::Inner, left_key, right_key, before_ms, after_ms, delay_ms: DELAY_MS }
}

/// q0: all bids, as they are.
pub(super) fn q0() -> Spec {
    let builder = Builder::default();
    bids(&builder).sink("table");
    builder.spec()
}

/// q1: the price of each bid in euro.
pub(super) fn q1() -> Spec {
    let builder = Builder::default();
    let euro = Expression::Times(Box::new((of("price"), int(908))));
    let euro = Expression::Per(Box::new((euro, int(1_000))));
    bids(&builder).map("in euro", [("price", euro)]).sink("table");
    builder.spec()
}

/// q2: the bids on some auctions.
pub(super) fn q2() -> Spec {
    let builder = Builder::default();
    let rest = Expression::Rest(Box::new((of("auction"), int(5))));
    bids(&builder)
        .map("rests", [("rest", rest)])
        .filter("some", is("rest", 0))
        .project("prices", ["auction", "price"])
        .sink("table");
    builder.spec()
}

/// q3: who sells in category 10, of three states.
pub(super) fn q3() -> Spec {
    let builder = Builder::default();
    let states = ["OR", "ID", "CA"].map(|state| is_text("state", state)).to_vec();
    let people = only(&builder, "person")
        .filter("of these states", Condition::Any(states))
        .map("people named", [("person", of("id"))])
        .project("people", ["person", "name", "state"]);
    let auctions = also(&builder, "auction")
        .filter("of this category", is("category", 10))
        .project("auctions", ["id", "seller"]);
    people.join("sellers", &auctions, join(["person", "seller"], 1_000, 6_000)).sink("table");
    builder.spec()
}

/// q4: the mean of the highest bids of auctions, by category.
pub(super) fn q4() -> Spec {
    let builder = Builder::default();
    let auctions = only(&builder, "auction").project("auctions", ["id", "category"]);
    let bids = also(&builder, "bid").project("bids", ["auction", "price"]);
    let bids = auctions.join("bids on auctions", &bids, join(["id", "auction"], 0, 3_000));
    let highest = bids.key_by("by auction", ["id", "category"]).tumbling(
        "highest",
        WINDOW_MS,
        0,
        [max("final", "price"), fingerprint("print")],
    );
    highest
        .key_by("by category", ["category"])
        .tumbling("means", WINDOW_MS, 0, [average("mean", "final"), fingerprint("print")])
        .sink("table");
    builder.spec()
}

/// Bids by auction, in sliding windows.
fn counts<'a>(bids: &Stream<'a>) -> Stream<'a> {
    let window = Window {
        key: vec!["auction".to_owned()],
        size_ms: WINDOW_MS,
        slide_ms: Some(WINDOW_MS / 2),
        delay_ms: DELAY_MS,
        mode: Mode::Append,
        aggregates: vec![count("bids")],
    };
    bids.window("counts", window)
}

/// q5: the auctions with the most bids, in each sliding window.
pub(super) fn q5() -> Spec {
    let builder = Builder::default();
    let counts = counts(&bids(&builder))
        .map("starts named", [("start", of("window_start"))])
        .project("bids of windows", ["auction", "start", "bids"]);
    // All rows of one sliding window have the same time.
    let most = counts
        .key_by("by window", ["start"])
        .tumbling("most", WINDOW_MS / 2, 0, [max("most", "bids")])
        .project("most of windows", ["start", "most"]);
    let hottest = counts.join("both", &most, join(["start", "start"], 0, 0));
    hottest
        .filter(
            "hottest",
            Condition::Columns {
                left: "bids".to_owned(),
                is: Comparison::Equal,
                right: "most".to_owned(),
            },
        )
        .project("hot items", ["auction", "start", "bids"])
        .sink("table");
    builder.spec()
}

/// q7: the highest bid of each window.
pub(super) fn q7() -> Spec {
    let builder = Builder::default();
    let bids = bids(&builder);
    let highest = bids
        .map("one group", [("group", int(0))])
        .key_by("all", ["group"])
        .tumbling("highest", WINDOW_MS, DELAY_MS, [max("highest_price", "price")])
        .project("prices", ["highest_price", "window_start"]);
    // A window's row has the time of its end.
    let join = join(["price", "highest_price"], 0, WINDOW_MS - 1);
    bids.filter("priced", present("price")).join("winners", &highest, join).sink("table");
    builder.spec()
}

/// q8: who is new and sells in the same window.
pub(super) fn q8() -> Spec {
    let builder = Builder::default();
    let people = only(&builder, "person")
        .key_by("by person", ["id", "name"])
        .tumbling("new", WINDOW_MS, DELAY_MS, [count("people")])
        .project("people", ["id", "name", "window_start"]);
    let sellers = also(&builder, "auction")
        .key_by("by seller", ["seller"])
        .tumbling("selling", WINDOW_MS, DELAY_MS, [count("auctions")])
        .project("sellers", ["seller", "auctions"]);
    people.join("new sellers", &sellers, join(["id", "seller"], 0, 0)).sink("table");
    builder.spec()
}

/// q11: how many bids a bidder made in each session.
pub(super) fn q11() -> Spec {
    let builder = Builder::default();
    let sessions = bids(&builder).key_by("by bidder", ["bidder"]).session(
        "sessions",
        300,
        DELAY_MS,
        [count("bids"), fingerprint("print")],
    );
    sessions.sink("table");
    sessions.late_sink("late");
    builder.spec()
}

/// The parts of the addresses that bids come from, counted.
pub(super) fn channels() -> Spec {
    let builder = Builder::default();
    only(&builder, "bid")
        .flat_map("parts", "url", "/")
        .key_by("by part", ["url"])
        .tumbling("counts", WINDOW_MS, DELAY_MS, [count("bids"), fingerprint("print")])
        .sink("table");
    builder.spec()
}

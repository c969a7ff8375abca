//! A pipeline for each operator, and some of several.

use unplug_engine::pipeline::{
    Comparison, Condition, Expression, Join, JoinKind, Mode, Spec, Window,
    builder::{
        Builder, Stream, above, average, column, count, fingerprint, int, is, max, min, of,
        present, sum,
    },
};

fn parsed<'a>(builder: &'a Builder, name: &str) -> Stream<'a> {
    let columns = [("key", "text"), ("amount", "int"), ("words", "text"), ("kind", "int")];
    builder
        .source(name)
        .parse(&format!("parsed {name}"), columns.map(|(name, kind)| column(name, kind)))
}

/// The same, where lines may be broken.
fn parsed_or_dead(builder: &Builder) -> Stream<'_> {
    let all = parsed(builder, "in");
    all.dead_letters("no lines");
    all
}

fn window(key: &[&str], size_ms: u64, slide_ms: Option<u64>, mode: Mode) -> Window {
    Window {
        key: key.iter().map(|name| (*name).to_owned()).collect(),
        size_ms,
        slide_ms,
        delay_ms: 0,
        mode,
        aggregates: vec![
            count("count"),
            sum("sum", "amount"),
            min("least", "amount"),
            max("most", "words"),
            average("mean", "amount"),
            fingerprint("print"),
        ],
    }
}

fn near(kind: JoinKind, before_ms: u64, after_ms: u64) -> Join {
    let key = || vec!["key".to_owned()];
    Join { kind, left_key: key(), right_key: key(), before_ms, after_ms, delay_ms: 0 }
}

/// Two kinds of rows of one source, joined.
fn joined(builder: &Builder, kind: JoinKind) {
    let all = parsed(builder, "in");
    let left = all.filter("left", is("kind", 0)).project("left columns", ["key", "amount"]);
    let right = all
        .filter("right", Condition::Not(Box::new(is("kind", 0))))
        .map("renamed", [("other", of("amount"))])
        .project("right columns", ["other", "key"]);
    left.join("joined", &right, near(kind, 7, 20)).sink("out");
}

/// The pipeline of this name.
pub(crate) fn named(name: &str) -> Spec {
    let builder = Builder::default();
    let one = |window: Window| {
        let windows = parsed(&builder, "in").window("windows", window);
        windows.sink("out");
        windows.late_sink("late");
    };
    match name {
        "tumbling" => one(window(&["key"], 17, None, Mode::Append)),
        "sliding" => one(window(&["key"], 24, Some(7), Mode::Append)),
        "updates" => one(window(&["key"], 20, Some(10), Mode::Update)),
        "session" => {
            let sessions = parsed(&builder, "in").key_by("by key", ["key"]).session(
                "sessions",
                9,
                0,
                [
                    count("count"),
                    sum("sum", "amount"),
                    min("least", "amount"),
                    fingerprint("print"),
                ],
            );
            sessions.sink("out");
            sessions.late_sink("late");
        }
        "dedup" => {
            let first = parsed(&builder, "in").key_by("by key", ["key"]).dedup("first", 25, 0);
            first.sink("out");
            first.late_sink("late");
        }
        "inner join" => joined(&builder, JoinKind::Inner),
        "outer join" => joined(&builder, JoinKind::LeftOuter),
        "stateless" => stateless(&builder),
        "dead letters" => {
            let first = parsed_or_dead(&builder).key_by("by key", ["key"]).dedup("first", 25, 0);
            first.sink("out");
        }
        "windows of windows" => {
            let first = parsed(&builder, "in")
                .window("first", window(&["key", "kind"], 8, None, Mode::Append));
            let second = first.key_by("by key", ["key"]).tumbling(
                "second",
                20,
                0,
                [sum("all", "count"), fingerprint("print")],
            );
            first.sink("parts");
            second.sink("out");
            second.late_sink("late");
        }
        "three stages" => three_stages(&builder),
        "two sources" => two_sources(&builder),
        "mixed" => {
            let all = parsed(&builder, "in");
            let sessions = all
                .key_by("by key", ["key"])
                .session("sessions", 9, 0, [sum("amount", "amount")])
                .project("lean", ["key", "amount"]);
            let both = sessions.union("both", &all.project("rows", ["key", "amount"]));
            let first = both.key_by("by both", ["key", "amount"]).dedup("first", 30, 0);
            first.sink("out");
            first.late_sink("late");
        }
        _ => panic!("there is no pipeline {name:?}"),
    }
    builder.spec()
}

fn stateless(builder: &Builder) {
    let pair = |left, right| Box::new((left, right));
    let all = parsed(builder, "in");
    let words = all.flat_map("words", "words", ",").filter("no empty ones", present("amount")).map(
        "computed",
        [
            ("twice", Expression::Times(pair(of("amount"), int(2)))),
            ("amount", Expression::Minus(pair(int(1), of("amount")))),
            ("half", Expression::Per(pair(of("amount"), int(-2)))),
            ("of kind", Expression::Per(pair(of("amount"), of("kind")))),
            ("rest", Expression::Rest(pair(of("amount"), int(3)))),
            ("at", Expression::Plus(pair(Expression::EventTime, int(1)))),
            (
                "more",
                Expression::If {
                    when: Condition::Columns {
                        left: "amount".to_owned(),
                        is: Comparison::Above,
                        right: "kind".to_owned(),
                    },
                    then: Box::new(of("amount")),
                    otherwise: Box::new(of("kind")),
                },
            ),
        ],
    );
    let columns = ["key", "words", "amount", "twice", "half", "of kind", "rest", "at", "more"];
    let words = words.project("all of it", columns);
    let above = words.filter("above", above("amount", 2));
    above.union("both", &words).sink("out");
    // Something with state, so that there is something to restore.
    all.key_by("by key", ["key"]).dedup("first", 5, 0).sink("firsts");
}

fn two_sources(builder: &Builder) {
    let (left, right) = (parsed(builder, "left"), parsed(builder, "right"));
    let right = right.project("lean", ["key", "kind"]).map("named", [("other", of("kind"))]);
    let right = right.project("leaner", ["key", "other"]);
    let both = left.join("both", &right, near(JoinKind::LeftOuter, 0, 15));
    both.sink("pairs");
    both.key_by("by key", ["key"]).session("runs", 12, 0, [count("pairs")]).sink("runs out");
}

fn three_stages(builder: &Builder) {
    let all = parsed(builder, "in");
    let counts = all
        .key_by("by key", ["key", "kind"])
        .tumbling("counts", 10, 0, [count("count")])
        .project("count columns", ["key", "kind", "count"]);
    let first = all.key_by("by kind", ["key"]).dedup("first", 11, 0);
    let first = first.project("first columns", ["key", "amount"]);
    let joined = first.join("joined", &counts, near(JoinKind::LeftOuter, 3, 12));
    joined
        .key_by("again", ["key"])
        .tumbling("out windows", 25, 0, [count("rows"), sum("all", "count"), fingerprint("print")])
        .sink("out");
}

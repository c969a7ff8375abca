//! What a window takes, refuses and closes, by hand; drawn histories are in `tests/windows.rs`.

use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::{
    pipeline::{Aggregate, Function, Op, Pipeline, Spec, Watermarks},
    state::{Delta, State},
};

const HOUR_MS: u64 = 3_600_000;

fn change(change: impl FnOnce(&mut Window)) -> Result<Pipeline, String> {
    let mut spec = Spec::hourly();
    let Op::Window(window) = &mut spec.nodes[2].op else { panic!("the third is the window") };
    change(window);
    Pipeline::new(&spec).map_err(|error| error.to_string())
}

#[test]
fn each_fault_of_a_window_is_told_with_its_node() {
    type Change = Box<dyn FnOnce(&mut Window)>;
    let of = |of| Box::new(move |window: &mut Window| window.aggregates[1].of = of);
    let name = |name: &'static str| {
        Box::new(move |window: &mut Window| window.aggregates[1].name = name.to_owned())
    };
    let key = |key: &'static [&'static str]| {
        let key = key.iter().map(|name| (*name).to_owned()).collect();
        Box::new(move |window: &mut Window| window.key = key)
    };
    let cases: [(&str, Change); 13] = [
        ("size_ms is 0", Box::new(|window| window.size_ms = 0)),
        (
            "slide_ms is 0, and must be from 1 to size_ms, 3600000",
            Box::new(|window| window.slide_ms = Some(0)),
        ),
        (
            "slide_ms is 3600001, and must be from 1 to size_ms, 3600000",
            Box::new(|window| window.slide_ms = Some(HOUR_MS + 1)),
        ),
        ("has no aggregates", Box::new(|window| window.aggregates.clear())),
        ("has no key", key(&[])),
        ("unknown column \"gate\"; there are: origin, delay, tail, carrier", key(&["gate"])),
        ("has the column \"origin\" twice", key(&["origin", "origin"])),
        ("has the column \"origin\" twice", name("origin")),
        ("has the column \"window_start\" twice", name("window_start")),
        ("has the column \"count\" twice", name("count")),
        (
            "unknown column \"x\"; there are: origin, delay, tail, carrier",
            of(Function::Max("x".to_owned())),
        ),
        (
            "the aggregate \"sum\" takes a column of type [Int], and \"tail\" has the type Text",
            of(Function::Sum("tail".to_owned())),
        ),
        ("has the column \"min\" twice", name("min")),
    ];
    for (want, fault) in cases {
        let got = change(fault).expect_err("a wrong window");
        assert!(got.starts_with("pipeline node \"hourly\": "), "{got}");
        assert!(got.contains(want), "{got} has no {want}");
    }
}

#[test]
fn the_least_and_greatest_are_of_numbers_or_text() {
    let columns =
        [("flag", ColumnType::Bool), ("tail", ColumnType::Text), ("delay", ColumnType::Int)]
            .map(|(name, kind)| Column { name: name.to_owned(), kind });
    let compiled = |of| {
        let aggregates = vec![Aggregate { name: "most".to_owned(), of }];
        let key = vec!["flag".to_owned()];
        let (slide_ms, mode) = (None, Mode::Append);
        let window = Window { key, size_ms: 1, slide_ms, delay_ms: 0, mode, aggregates };
        let flow = Flow { columns: Some(columns.to_vec()), ..Flow::default() };
        WindowOp::new("window", &window, &flow).map(|(_, rows)| rows[2].kind)
    };
    for of in [Function::Min, Function::Max] {
        assert_eq!(compiled(of("tail".to_owned())), Ok(ColumnType::Text));
        assert_eq!(compiled(of("delay".to_owned())), Ok(ColumnType::Int));
        let error = compiled(of("flag".to_owned())).expect_err("no order worth telling");
        assert!(error.to_string().contains("type [Int, Text], and \"flag\" has the type Bool"));
    }
    assert_eq!(compiled(Function::Count), Ok(ColumnType::Int));
    assert_eq!(compiled(Function::Fingerprint), Ok(ColumnType::Text));
}

#[test]
fn every_setting_of_a_window_is_in_the_fingerprint_of_its_pipeline() {
    let changes: [fn(&mut Window); 8] = [
        |_| {},
        |window| window.size_ms += 1,
        |window| window.delay_ms += 1,
        |window| window.slide_ms = Some(60_000),
        |window| window.mode = Mode::Update,
        |window| window.key.push("tail".to_owned()),
        |window| window.aggregates[0].name.push('s'),
        |window| window.aggregates[2].of = Function::Max("delay".to_owned()),
    ];
    let fingerprints = changes.map(|one| change(one).expect("sound").fingerprint());
    assert_eq!(BTreeSet::from(fingerprints).len(), changes.len());
}

#[test]
fn unknown_fields_of_a_window_are_refused() {
    for json in [
        r#"{"key": ["a"], "size_ms": 1, "delay_ms": 0, "aggregates": [], "slide": 1}"#,
        r#"{"key": ["a"], "size_ms": 1, "delay_ms": 0,
            "aggregates": [{"name": "n", "of": "count", "column": "a"}]}"#,
        r#"{"key": ["a"], "delay_ms": 1, "aggregates": []}"#,
        r#"{"key": ["a"], "size_ms": 1, "aggregates": [], "mode": "often"}"#,
    ] {
        assert!(serde_json::from_str::<Window>(json).is_err(), "{json}");
    }
}

fn hourly() -> Pipeline {
    Pipeline::new(&Spec::hourly()).expect("sound")
}

fn row(seq: u64, time_ms: u64, delay: Option<i64>) -> Row {
    let text = |text: &str| Value::Text(text.into());
    let delay = delay.map_or(Value::Null, Value::Int);
    let origin = Origin::Tuple { producer: 1, seq, time_ms };
    Row { origin, values: vec![text("EWR"), delay, text("N1"), text("UA")] }
}

/// What comes of an epoch: rows, late rows, and what changes of the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Reduced {
    rows: Vec<Row>,
    late: Vec<Row>,
    delta: Delta,
}

fn reduce(
    pipeline: &Pipeline,
    state: &State,
    rows: &[Row],
    now_ms: u64,
) -> Result<Reduced, String> {
    let watermarks = Watermarks { now_ms, ..Watermarks::default() };
    let mut reduced = pipeline.reduce(1, state, vec![rows.to_vec()], watermarks)?;
    let late = reduced.gone.sinks.pop().expect("a sink for late rows");
    let rows = reduced.gone.sinks.pop().expect("a sink");
    Ok(Reduced { rows, late, delta: reduced.delta })
}

/// The state after rows that close nothing.
fn after(rows: &[Row]) -> State {
    let mut state = State::default();
    state.apply(&reduce(&hourly(), &state, rows, 0).expect("sound").delta);
    state
}

#[test]
fn a_window_is_closed_when_the_watermark_reaches_its_end_and_not_before() {
    let (pipeline, rows) = (hourly(), [row(1, HOUR_MS, Some(5)), row(2, HOUR_MS + 9, None)]);
    let state = after(&rows);
    let open = reduce(&pipeline, &state, &[], 2 * HOUR_MS - 1).expect("sound");
    assert_eq!(open, Reduced::default());
    let closed = reduce(&pipeline, &state, &[], 2 * HOUR_MS).expect("sound");
    let print = rows.iter().map(|row| row.origin.print()).fold(0, u128::wrapping_add);
    let values = vec![
        Value::Text("EWR".into()),
        Value::Int(3_600_000),
        Value::Int(2),
        Value::Int(5),
        Value::Int(5),
        Value::Int(5),
        Value::Text(format!("{print:032x}").into()),
    ];
    assert_eq!(
        closed.rows,
        [Row { origin: Origin::Many { time_ms: 2 * HOUR_MS - 1, print }, values }]
    );
    assert_eq!(closed.delta.len(), 1);
}

#[test]
fn aggregates_of_nothing_but_nulls_are_null() {
    let (pipeline, state) = (hourly(), after(&[row(1, 0, None)]));
    let closed = reduce(&pipeline, &state, &[], HOUR_MS);
    let values = &closed.expect("sound").rows[0].values;
    assert_eq!(values[2..6], [Value::Int(1), Value::Null, Value::Null, Value::Null]);
}

#[test]
fn a_row_is_late_from_the_watermark_on_that_closes_its_window() {
    let (pipeline, row) = (hourly(), row(1, HOUR_MS - 1, Some(1)));
    let at = |watermark_ms| {
        let rows = std::slice::from_ref(&row);
        reduce(&pipeline, &State::default(), rows, watermark_ms).expect("sound")
    };
    assert_eq!((at(HOUR_MS - 1).late.len(), at(HOUR_MS - 1).delta.len()), (0, 1));
    let late = Reduced { late: vec![row.clone()], ..Reduced::default() };
    assert_eq!(at(HOUR_MS), late);
}

#[test]
fn a_sum_beyond_64_bits_is_refused_with_key_and_window_and_one_that_comes_back_is_not() {
    let pipeline = hourly();
    let (most, one) = (row(1, HOUR_MS, Some(i64::MAX)), row(2, HOUR_MS, Some(1)));
    let state = after(&[most.clone(), one.clone()]);
    let error = reduce(&pipeline, &state, &[], u64::MAX).expect_err("an overflow");
    assert_eq!(
        error,
        "pipeline node \"hourly\": \"sum\" of the key [Text(\"EWR\")], window \
         3600000..7200000, is beyond a whole number of 64 bits"
    );
    let state = after(&[most, one, row(3, HOUR_MS, Some(-1))]);
    let closed = reduce(&pipeline, &state, &[], u64::MAX).expect("it fits again");
    assert_eq!(closed.rows[0].values[3], Value::Int(i64::MAX));
}

#[test]
fn event_times_at_the_end_of_time_are_taken_or_refused() {
    let pipeline = change(|window| window.size_ms = 10).expect("sound");
    let last = i64::MAX.unsigned_abs();
    assert!(reduce(&pipeline, &State::default(), &[row(1, last, None)], 0).is_ok());
    let error = reduce(&pipeline, &State::default(), &[row(1, u64::MAX, None)], 0);
    let error = error.expect_err("no start can tell it");
    assert!(error.contains("the event time 18446744073709551615 is beyond"), "{error}");
    let pipeline = change(|window| window.size_ms = u64::MAX).expect("sound");
    let rows = [row(1, last, None)];
    let reduced = reduce(&pipeline, &State::default(), &rows, u64::MAX - 1).expect("sound");
    assert_eq!((reduced.delta.len(), reduced.late.len()), (1, 0));
}

#[test]
fn the_state_partition_is_of_the_key_alone_and_is_the_documented_hash() {
    let pipeline = hourly();
    let of = |row: &Row, count| pipeline.state_partition(0, row, count);
    let key = vec![Value::Text("EWR".into())];
    let hash = xxh3_64(&postcard::to_allocvec(&key).expect("serialises"));
    for count in [1, 2, 3, 64, u16::MAX] {
        let want = u16::try_from(hash % u64::from(count)).expect("fits");
        assert_eq!(of(&row(1, 0, None), count), want);
        assert_eq!(of(&row(2, HOUR_MS, Some(9)), count), want);
    }
    let keyed = |number: i64| {
        let mut row = row(1, 0, None);
        row.values[0] = Value::Text(format!("k{number}").into());
        of(&row, 4)
    };
    let hit: BTreeSet<_> = (0..64).map(keyed).collect();
    assert_eq!(hit.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
}

//! Windows against a model that keeps no state and recomputes everything from all tuples: whatever
//! the tuples, their epochs and the watermarks, both give the same rows.
//!
//! All draws come from a fixed seed, so these tests give the same result every time.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{
    collection::vec,
    option::weighted,
    prelude::{Just, Strategy, any},
    prop_assert, prop_assert_eq, prop_oneof,
    test_runner::{
        Config, RngAlgorithm, TestCaseError, TestCaseResult, TestError, TestRng, TestRunner,
    },
};
use unplug_engine::{
    pipeline::{
        Aggregate, Column, ColumnType, Function, Mode, Node, Op, Origin, Pipeline, Row, Spec,
        Value, Watermarks, Window,
    },
    state::{Delta, State},
};
use xxhash_rust::xxh3::xxh3_128;

/// How many histories each property is tried on.
const CASES: u32 = 1_000;
/// The seed of the draws.
const RNG: u8 = 3;
/// No sum of so many values overflows.
const TUPLES_MAX: i64 = 8 * 16;

/// One epoch: its rows and its watermark.
type Epoch = (Vec<Row>, u64);

/// What a run is made of.
#[derive(Clone, Debug)]
struct History {
    size_ms: u64,
    epochs: Vec<Epoch>,
    /// For what a case needs beside: the size of parts, an order of rows.
    draw: u64,
}

fn values() -> impl Strategy<Value = Vec<Value>> {
    let least = i64::MIN / TUPLES_MAX;
    let amount = prop_oneof![Just(0), -9..9_i64, least..-least];
    let key = (weighted(0.9, 0..3_u8), any::<bool>());
    (key, weighted(0.8, amount), weighted(0.8, "[a-c]{0,2}")).prop_map(
        |((key, flag), amount, label)| {
            vec![
                amount.map_or(Value::Null, Value::Int),
                key.map_or(Value::Null, |key| Value::Text(format!("k{key}").into())),
                label.map_or(Value::Null, |label| Value::Text(label.into())),
                Value::Bool(flag),
            ]
        },
    )
}

/// Epochs of rows whose event times are around the watermark, before and after.
fn history() -> impl Strategy<Value = History> {
    let row = (0..90_u64, 0..3_u16, values());
    let epoch = (vec(row, 0..16), 0..40_u64);
    let size = prop_oneof![1..4_u64, 5..40_u64];
    (size, vec(epoch, 1..8), any::<u64>()).prop_map(|(size_ms, drawn, draw)| {
        let (mut seq, mut watermark_ms) = (0, 0);
        let mut row = |watermark_ms: u64, (ahead_ms, producer, values): (u64, u16, Vec<Value>)| {
            seq += 1;
            let time_ms = (watermark_ms + ahead_ms).saturating_sub(30);
            Row { origin: Origin::Tuple { producer, seq, time_ms }, values }
        };
        let epochs = drawn.into_iter().map(|(rows, step_ms)| {
            watermark_ms += step_ms;
            (rows.into_iter().map(|one| row(watermark_ms, one)).collect(), watermark_ms)
        });
        History { size_ms, epochs: epochs.collect(), draw }
    })
}

/// Key: flag and key, in this order; aggregates of amount and label.
fn pipeline(size_ms: u64) -> Pipeline {
    let node = |name: &str, input: &str, op| {
        let inputs = if input.is_empty() { vec![] } else { vec![input.to_owned()] };
        Node { name: name.to_owned(), inputs, op }
    };
    let column = |(name, kind): (&str, _)| Column { name: name.to_owned(), kind };
    let columns = [
        ("amount", ColumnType::Int),
        ("key", ColumnType::Text),
        ("label", ColumnType::Text),
        ("flag", ColumnType::Bool),
    ];
    let aggregate = |(name, of): (&str, _)| Aggregate { name: name.to_owned(), of };
    let aggregates = [
        ("count", Function::Count),
        ("sum", Function::Sum("amount".to_owned())),
        ("least", Function::Min("amount".to_owned())),
        ("most", Function::Max("amount".to_owned())),
        ("first", Function::Min("label".to_owned())),
        ("last", Function::Max("label".to_owned())),
        ("print", Function::Fingerprint),
    ];
    let window = Window {
        key: vec!["flag".to_owned(), "key".to_owned()],
        size_ms,
        slide_ms: None,
        delay_ms: 0,
        mode: Mode::Append,
        aggregates: aggregates.map(aggregate).into(),
    };
    let nodes = vec![
        node("source", "", Op::Source),
        node("parsed", "source", Op::Parse(columns.map(column).into())),
        node("window", "parsed", Op::Window(window)),
        node("sink", "window", Op::Sink),
        node("late", "window", Op::LateSink),
    ];
    Pipeline::new(&Spec { nodes }).expect("sound")
}

/// The model's window of a row: its start, then the key.
fn place(row: &Row, size_ms: u64) -> (u64, [Value; 2]) {
    let time_ms = row.origin.time_ms();
    (time_ms / size_ms * size_ms, [row.values[3].clone(), row.values[1].clone()])
}

/// The tuple of a row: producer and seq.
fn tuple(row: &Row) -> (u16, u64) {
    match row.origin {
        Origin::Tuple { producer, seq, .. } => (producer, seq),
        Origin::Many { .. } => panic!("{row:?} is of many tuples"),
    }
}

/// The model's row of a window, from all of its rows.
fn gathered((start_ms, key): &(u64, [Value; 2]), rows: &[&Row], size_ms: u64) -> Row {
    let column = |place: usize| {
        let values = rows.iter().map(move |row| row.values[place].clone());
        values.filter(|value| *value != Value::Null).collect::<Vec<_>>()
    };
    let (amounts, labels) = (column(0), column(2));
    let int = |value: &Value| match value {
        Value::Int(value) => *value,
        Value::Null | Value::Bool(_) | Value::Text(_) => panic!("{value:?} is no amount"),
    };
    let sum: i64 = amounts.iter().map(int).sum();
    let print = rows.iter().map(|row| tuple(row)).fold(0_u128, |sum, (producer, seq)| {
        let mut identity = producer.to_le_bytes().to_vec();
        identity.extend(seq.to_le_bytes());
        sum.wrapping_add(xxh3_128(&identity))
    });
    let or_null = |value: Option<&Value>| value.cloned().unwrap_or(Value::Null);
    let mut values = key.to_vec();
    values.extend([
        Value::Int(i64::try_from(*start_ms).expect("small")),
        Value::Int(i64::try_from(rows.len()).expect("few")),
        if amounts.is_empty() { Value::Null } else { Value::Int(sum) },
        or_null(amounts.iter().min()),
        or_null(amounts.iter().max()),
        or_null(labels.iter().min()),
        or_null(labels.iter().max()),
        Value::Text(format!("{print:032x}").into()),
    ]);
    Row { origin: Origin::Many { time_ms: start_ms + size_ms - 1, print }, values }
}

/// The model: rows and late rows of each epoch, all computed from the whole history.
fn model(history: &History) -> Vec<(Vec<Row>, Vec<Row>)> {
    let size_ms = history.size_ms;
    let end = |row: &Row| place(row, size_ms).0 + size_ms;
    let mut on_time: BTreeMap<_, Vec<&Row>> = BTreeMap::new();
    for (rows, watermark_ms) in &history.epochs {
        for row in rows.iter().filter(|row| end(row) > *watermark_ms) {
            on_time.entry(place(row, size_ms)).or_default().push(row);
        }
    }
    let mut before_ms = 0;
    let epoch = |(rows, watermark_ms): &Epoch| {
        let late = rows.iter().filter(|row| end(row) <= *watermark_ms).cloned().collect();
        let ends = before_ms + 1..=*watermark_ms;
        before_ms = *watermark_ms;
        let closed =
            on_time.iter().filter(|((start_ms, _), _)| ends.contains(&(start_ms + size_ms)));
        (closed.map(|(window, rows)| gathered(window, rows, size_ms)).collect(), late)
    };
    history.epochs.iter().map(epoch).collect()
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
    (rows, watermark_ms): &Epoch,
) -> Result<Reduced, TestCaseError> {
    let watermarks = Watermarks { now_ms: *watermark_ms, ..Watermarks::default() };
    let reduced = pipeline.reduce(1, state, vec![rows.clone()], watermarks);
    let mut reduced = reduced.map_err(TestCaseError::fail)?;
    let late = reduced.gone.sinks.pop().expect("a sink for late rows");
    let rows = reduced.gone.sinks.pop().expect("a sink");
    Ok(Reduced { rows, late, delta: reduced.delta })
}

/// Runs the epochs on, each delta by way of its bytes; gives what each came to and the last state.
fn run(history: &History) -> Result<(Vec<Reduced>, State), TestCaseError> {
    let pipeline = pipeline(history.size_ms);
    let mut state = State::default();
    let mut all = Vec::new();
    for epoch in &history.epochs {
        let reduced = reduce(&pipeline, &state, epoch)?;
        state.apply(&Delta::from_parts(&reduced.delta.parts(1_000)).expect("intact"));
        all.push(reduced);
    }
    Ok((all, state))
}

/// Adds an epoch without rows that closes everything.
fn ended(mut history: History) -> History {
    history.epochs.push((vec![], u64::MAX));
    history
}

fn check(property: impl Fn(History) -> TestCaseResult) {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[RNG; 32]);
    match TestRunner::new_with_rng(config, rng).run(&history(), property) {
        Ok(()) => {}
        Err(TestError::Abort(reason)) => panic!("the search was given up: {reason}"),
        Err(TestError::Fail(reason, history)) => panic!("{reason}\nby {history:#?}"),
    }
}

#[test]
fn rows_and_late_rows_of_each_epoch_are_the_models() {
    check(|history| {
        let history = ended(history);
        let (all, state) = run(&history)?;
        for (reduced, (rows, late)) in all.iter().zip(model(&history)) {
            prop_assert_eq!(&reduced.rows, &rows);
            prop_assert_eq!(&reduced.late, &late);
        }
        prop_assert!(state.is_empty(), "{:?} after the end", state);
        Ok(())
    });
}

#[test]
fn every_tuple_is_either_late_or_in_one_window_row() {
    check(|history| {
        let size_ms = history.size_ms;
        let (all, _) = run(&ended(history.clone()))?;
        let origin = tuple;
        let late: Vec<_> = all.iter().flat_map(|reduced| &reduced.late).map(origin).collect();
        let mut windows = BTreeMap::new();
        for row in all.iter().flat_map(|reduced| &reduced.rows) {
            let [flag, key, start, count, ..] = &row.values[..] else { panic!("{row:?}") };
            let (Value::Int(start), Value::Int(count)) = (start, count) else { panic!("{row:?}") };
            let window = (start.unsigned_abs(), [flag.clone(), key.clone()]);
            prop_assert_eq!(windows.insert(window, *count), None, "twice: {:?}", row);
        }
        for row in history.epochs.iter().flat_map(|(rows, _)| rows) {
            if !late.contains(&origin(row)) {
                let count = windows.get_mut(&place(row, size_ms));
                *count.ok_or_else(|| TestCaseError::fail(format!("lost: {row:?}")))? -= 1;
            }
        }
        prop_assert!(windows.values().all(|count| *count == 0), "left over: {:?}", windows);
        Ok(())
    });
}

#[test]
fn the_state_is_what_one_epoch_with_all_rows_of_open_windows_gives() {
    check(|history| {
        let (_, state) = run(&history)?;
        let pipeline = pipeline(history.size_ms);
        let watermark_ms = history.epochs.last().expect("at least one").1;
        let rows = history.epochs.iter().flat_map(|(rows, _)| rows).cloned().collect();
        let at_once = reduce(&pipeline, &State::default(), &(rows, watermark_ms))?;
        let mut full = State::default();
        full.apply(&at_once.delta);
        prop_assert_eq!(&state, &full);
        prop_assert!(at_once.rows.is_empty());
        // The delta holds what changed and nothing else.
        let nothing = reduce(&pipeline, &state, &(vec![], watermark_ms))?;
        prop_assert_eq!(nothing, Reduced::default());
        Ok(())
    });
}

#[test]
fn a_snapshot_gives_the_state_back_whatever_the_size_of_its_parts() {
    check(|history| {
        let (_, state) = run(&history)?;
        let bytes_max = 150 + usize::try_from(history.draw % 1_000).expect("small");
        let parts = state.parts(bytes_max);
        prop_assert!(parts.iter().all(|part| part.len() <= bytes_max));
        prop_assert_eq!(State::from_parts(&parts), Ok(state.clone()));
        let whole = state.parts(usize::MAX).first().map_or(0, |part| part.len());
        prop_assert!(whole == 0 || whole.abs_diff(state.encoded_bytes()) < 20);
        Ok(())
    });
}

#[test]
fn the_order_of_rows_within_an_epoch_is_of_no_consequence_to_windows() {
    check(|history| {
        let mut other = history.clone();
        for (rows, _) in &mut other.epochs {
            // A row's place follows from a hash, which any draw shuffles anew.
            rows.sort_by_cached_key(|row| {
                let seq = tuple(row).1;
                xxh3_128(&[seq.to_le_bytes(), history.draw.to_le_bytes()].concat())
            });
        }
        let ((one, state), (two, again)) = (run(&history)?, run(&other)?);
        prop_assert_eq!(state, again);
        for ((one, two), (rows, _)) in one.iter().zip(&two).zip(&other.epochs) {
            prop_assert_eq!((&one.rows, &one.delta), (&two.rows, &two.delta));
            let late: Vec<_> = rows.iter().filter(|row| one.late.contains(row)).cloned().collect();
            prop_assert_eq!(&two.late, &late, "late rows keep the order of the input");
        }
        Ok(())
    });
}

/// The properties would hold of nothing if nothing were drawn.
#[test]
fn the_histories_have_rows_that_are_late_and_windows_of_several_epochs() {
    let reached = std::cell::RefCell::new(BTreeMap::<&str, u32>::new());
    check(|history| {
        let (all, state) = run(&history)?;
        let mut epochs: BTreeMap<_, BTreeSet<usize>> = BTreeMap::new();
        for (number, (rows, _)) in history.epochs.iter().enumerate() {
            for row in rows.iter().filter(|row| !all[number].late.contains(row)) {
                epochs.entry(place(row, history.size_ms)).or_default().insert(number);
            }
        }
        let mut reached = reached.borrow_mut();
        for (what, there) in [
            ("late", all.iter().any(|reduced| !reduced.late.is_empty())),
            ("closed", all.iter().any(|reduced| reduced.rows.len() > 1)),
            ("open", state.len() > 1),
            ("several epochs", epochs.values().any(|epochs| epochs.len() > 1)),
        ] {
            *reached.entry(what).or_default() += u32::from(there);
        }
        Ok(())
    });
    let reached = reached.into_inner();
    assert!(reached.values().all(|count| *count > CASES / 4), "{reached:?}");
}

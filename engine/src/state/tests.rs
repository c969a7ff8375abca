//! Parts, formats, and views of a state.

use super::{
    parts::{PART_OVERHEAD_BYTES, Part},
    *,
};
use crate::codec;

fn entry(at_ms: u64, group: &str) -> (Key, Entry) {
    let text = Value::Text(group.into());
    let accumulators = vec![
        Accumulator::Count(at_ms),
        Accumulator::Sum(Some(-1)),
        Accumulator::Min(text.clone()),
        Accumulator::Max(Value::Null),
        Accumulator::Average(-7, 2),
        Accumulator::Fingerprint(u128::MAX),
    ];
    let held = Held::Gathered(Gathered { accumulators, print: 7 });
    (Key { op: 1, group: vec![text], input: 0, at_ms }, Entry { due_ms: at_ms + 10, held })
}

fn state(entries: u64) -> State {
    let mut state = State::default();
    for (key, entry) in (0..entries).map(|number| entry(number / 3, &number.to_string())) {
        state.put(key, entry);
    }
    state
}

#[test]
fn parts_are_as_large_as_allowed_and_give_the_state_back() {
    let state = state(100);
    for bytes_max in [0, 100, 1_000, 10_000] {
        let parts = state.parts(bytes_max);
        assert_eq!(State::from_parts(&parts), Ok(state.clone()));
        assert!(parts.iter().all(|part| part.len() <= bytes_max) || bytes_max == 0);
    }
    assert_eq!(state.parts(0).len(), 100);
    assert_eq!(state.parts(10_000).len(), 1);
    let size = state.encoded_bytes();
    assert!(state.parts(1_000).len() <= size / (1_000 - PART_OVERHEAD_BYTES - 60) + 1);
}

#[test]
fn an_empty_state_has_no_parts() {
    assert!(State::default().parts(1_000).is_empty());
    assert_eq!(State::from_parts::<Bytes>(&[]), Ok(State::default()));
}

#[test]
fn parts_that_are_missing_or_mixed_up_or_damaged_are_refused() {
    let parts = state(20).parts(250);
    assert!(parts.len() > 2);
    let refused = |parts: &[Bytes]| State::from_parts(parts) == Err(CodecError::Damaged);
    assert!(refused(&parts[1..]) && refused(&parts[..parts.len() - 1]));
    let mut swapped = parts.clone();
    swapped.swap(0, 1);
    assert!(refused(&swapped));
    let mut damaged = parts.clone();
    damaged[1] = [&parts[1][..20], b"?", &parts[1][21..]].concat().into();
    assert!(refused(&damaged));
    let mut other = parts.clone();
    other[1] = parts[0].clone();
    assert!(refused(&other));
    // Right places with an entry twice; entries in order at wrong places.
    let part = |(number, key)| {
        let entries = vec![entry(1, key)];
        codec::encode(Kind::Snapshot, &Part { number, parts: 2, entries })
    };
    assert!(State::from_parts(&[(0, "a"), (1, "b")].map(part)).is_ok());
    assert!(refused(&[(0, "a"), (1, "a")].map(part)));
    assert!(refused(&[(0, "a"), (0, "b")].map(part)));
    assert!(Delta::from_parts(&parts).is_err());
}

#[test]
fn the_formats_are_what_they_were() {
    let (key, gathered) = entry(7, "k");
    let waiting = Waiting {
        origin: Origin::Tuple { producer: 1, seq: 2, time_ms: 3 },
        values: vec![Value::Bool(true), Value::Int(-1)],
        matched: true,
    };
    let mut delta = Delta::default();
    delta.changes.insert(key.clone(), Some(gathered));
    delta.changes.insert(Key { at_ms: 6, ..key.clone() }, None);
    let rows = Entry { due_ms: 5, held: Held::Rows(vec![waiting]) };
    delta.changes.insert(Key { input: 1, ..key.clone() }, Some(rows));
    delta.changes.insert(Key { op: 2, ..key }, Some(Entry { due_ms: 4, held: Held::Seen }));
    let mut state = State::default();
    state.apply(&delta);
    let hash = |bytes: &[u8]| xxhash_rust::xxh3::xxh3_64(bytes);
    assert_eq!(hash(&delta.parts(1_000)[0]), 2_691_476_097_923_135_425, "a delta");
    assert_eq!(hash(&state.parts(1_000)[0]), 2_138_771_731_048_899_849, "a snapshot");
}

#[test]
fn a_view_shows_what_changed_over_what_was() {
    let state = state(9);
    let mut view = View::new(&state);
    let (zero, _) = entry(0, "0");
    let (two, held) = entry(2, "6");
    let new = Key { at_ms: 5, ..zero.clone() };
    assert_eq!(view.between(&zero, 9), std::slice::from_ref(&zero));
    assert_eq!(view.due(1, 10), (0..3).map(|n| entry(0, &n.to_string()).0).collect::<Vec<_>>());
    view.put(new.clone(), Entry { due_ms: 3, ..held.clone() });
    view.put(two.clone(), Entry { due_ms: 1, ..held.clone() });
    assert_eq!(view.between(&zero, 9), [zero.clone(), new.clone()]);
    assert_eq!(view.between(&zero, 4), std::slice::from_ref(&zero));
    assert_eq!(view.due(1, 3), [two.clone(), new.clone()], "a new due date counts, not the old");
    assert_eq!(view.due(0, 99), []);
    assert!(view.remove(&zero).is_some() && view.remove(&zero).is_none());
    assert!(view.remove(&new).is_some());
    assert_eq!(view.between(&zero, 9), []);
    let delta = view.into_delta();
    assert_eq!(delta.len(), 2, "what came and went within an epoch leaves no trace");
    let mut after = state.clone();
    after.apply(&delta);
    assert_eq!(after.len(), 8);
    assert_eq!(State::from_parts(&after.parts(1_000)), Ok(after.clone()), "the order of due dates");
}

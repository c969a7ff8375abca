//! Rows of two inputs, put together by key and nearness in event time.
//!
//! A row before the watermark is late. So a row waits for partners until the watermark is beyond
//! all of their times; a row of the first input that has found none by then goes out alone, if the
//! join is an outer one. Whether it has found one is kept with it.

use super::{
    check::{PipelineError, error, unlike},
    operator::{Turn, Went, group},
    row::{Origin, Row},
    schema::Flow,
    spec::{Column, Join, JoinKind, Value},
};
use crate::{
    defect::Defect,
    state::{Entry, Held, Key, View, Waiting},
};

/// A compiled join.
#[derive(Clone, Debug)]
pub(super) struct JoinOp {
    /// The places of the columns of each input's key.
    pub(super) keys: [Vec<usize>; 2],
    kind: JoinKind,
    before_ms: u64,
    after_ms: u64,
    /// The places of the second's columns that go out.
    kept: Vec<usize>,
}

impl JoinOp {
    /// Checks and compiles; gives the columns that go out, too.
    pub(super) fn new(
        node: &str,
        join: &Join,
        [left, right]: [&Flow; 2],
    ) -> Result<(Self, Vec<Column>), PipelineError> {
        let keys = [left.key(node, &join.left_key)?, right.key(node, &join.right_key)?];
        let of_keys = [left.those(&keys[0]), right.those(&keys[1])];
        let kinds = |columns: &[Column]| columns.iter().map(|one| one.kind).collect::<Vec<_>>();
        if kinds(&of_keys[0]) != kinds(&of_keys[1]) {
            let what = format!(
                "the keys have the types {:?} and {:?}, and must have the same",
                kinds(&of_keys[0]),
                kinds(&of_keys[1])
            );
            return Err(error(node, what));
        }
        let kept: Vec<_> =
            (0..right.columns(node)?.len()).filter(|place| !keys[1].contains(place)).collect();
        let mut rows = left.columns(node)?.to_vec();
        rows.extend(right.those(&kept));
        unlike(node, rows.iter().map(|column| column.name.as_str()))?;
        let Join { kind, before_ms, after_ms, .. } = *join;
        Ok((Self { keys, kind, before_ms, after_ms, kept }, rows))
    }

    /// How far behind the watermark its rows may be, in milliseconds.
    pub(super) fn behind_ms(&self) -> u64 {
        self.after_ms
    }

    /// Takes an epoch's rows in, then lets go of those that can find no partner any more.
    pub(super) fn take(&self, turn: Turn, view: &mut View<'_>, inputs: &[Vec<Row>; 2]) -> Went {
        let mut went = Went::default();
        for (rows, input) in inputs.iter().zip(0u8..) {
            for row in rows {
                if row.origin.time_ms() < turn.late_ms {
                    went.late.push(row.clone());
                } else {
                    self.meet(turn, view, (input, row), &mut went.rows);
                }
            }
        }
        for key in view.due(turn.op, turn.close_ms) {
            let entry = view.remove(&key).expect("what is due is there");
            if self.kind == JoinKind::LeftOuter && key.input == 0 {
                let alone = held(entry).into_iter().filter(|one| !one.matched);
                went.rows.extend(alone.map(|one| self.alone(one)));
            }
        }
        went
    }

    /// Puts a row beside its partners that are there, and lets it wait for more.
    fn meet(&self, turn: Turn, view: &mut View<'_>, (input, row): (u8, &Row), out: &mut Vec<Row>) {
        let time_ms = row.origin.time_ms();
        let key = Key {
            op: turn.op,
            group: group(&self.keys[usize::from(input)], row),
            input,
            at_ms: time_ms,
        };
        let (before_ms, after_ms) = if input == 0 {
            (self.before_ms, self.after_ms)
        } else {
            (self.after_ms, self.before_ms)
        };
        let first =
            Key { input: 1 - input, at_ms: time_ms.saturating_sub(before_ms), ..key.clone() };
        let mut matched = false;
        for other in view.between(&first, time_ms.saturating_add(after_ms)) {
            matched = true;
            let entry = view.get(&other).expect("it was just there").clone();
            let due_ms = entry.due_ms;
            let mut partners = held(entry);
            for partner in &partners {
                let partner = (&partner.origin, &partner.values);
                let own = (&row.origin, &row.values);
                let (left, right) = if input == 0 { (own, partner) } else { (partner, own) };
                out.push(self.pair(left, right));
            }
            let news = input == 1 && partners.iter().any(|partner| !partner.matched);
            if news && !turn.defects.has(Defect::JoinNoMatchedFlag) {
                partners.iter_mut().for_each(|partner| partner.matched = true);
                view.put(other, Entry { due_ms, held: Held::Rows(partners) });
            }
        }
        let mut waiting = view.get(&key).cloned().map(held).unwrap_or_default();
        let Row { origin, values } = row.clone();
        waiting.push(Waiting { origin, values, matched });
        let due_ms = time_ms.saturating_add(after_ms).saturating_add(1);
        view.put(key, Entry { due_ms, held: Held::Rows(waiting) });
    }

    fn pair(&self, left: (&Origin, &Vec<Value>), right: (&Origin, &Vec<Value>)) -> Row {
        let mut values = left.1.clone();
        values.extend(self.kept.iter().map(|place| right.1[*place].clone()));
        let print = left.0.print().wrapping_add(right.0.print());
        Row { origin: Origin::Many { time_ms: left.0.time_ms(), print }, values }
    }

    fn alone(&self, left: Waiting) -> Row {
        let mut values = left.values;
        values.extend(self.kept.iter().map(|_| Value::Null));
        Row { origin: left.origin, values }
    }
}

fn held(entry: Entry) -> Vec<Waiting> {
    match entry.held {
        Held::Rows(rows) => rows,
        Held::Gathered(_) | Held::Seen => panic!("state of another pipeline"),
    }
}

//! What the oracle objects to, while it is still looking, and how it names things.

use std::collections::BTreeMap;

use crate::{
    history::{Cell, TupleId},
    outcome::{Verdict, VerdictKind},
};

/// How many objections of one kind are spelled out; the rest is counted.
const SPELLED_OUT: usize = 3;

/// Objections by kind, the first few spelled out.
#[derive(Default)]
pub(super) struct Objections(BTreeMap<VerdictKind, (Vec<String>, usize)>);

impl Objections {
    pub(super) fn add(&mut self, kind: VerdictKind, message: String) {
        let (messages, count) = self.0.entry(kind).or_default();
        *count += 1;
        if messages.len() < SPELLED_OUT {
            messages.push(message);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_verdicts(self) -> Vec<Verdict> {
        let kinds = self.0.into_iter();
        kinds
            .map(|(kind, (messages, count))| {
                let rest = match count - messages.len() {
                    0 => String::new(),
                    rest => format!("; and {rest} more"),
                };
                Verdict { kind, message: messages.join("; ") + &rest }
            })
            .collect()
    }
}

pub(super) fn show(id: TupleId) -> String {
    format!("tuple {}/{}", id.producer, id.seq)
}

/// A number of tuples, the first few by name.
pub(super) fn show_some(ids: &[TupleId]) -> String {
    let named: Vec<_> = ids.iter().take(SPELLED_OUT).map(|id| show(*id)).collect();
    let more = if ids.len() > named.len() { ", …" } else { "" };
    let plural = if ids.len() == 1 { "" } else { "s" };
    format!("{} tuple{plural} ({}{more})", ids.len(), named.join(", "))
}

pub(super) fn show_window((start_ms, key): &(u64, Vec<&Cell>)) -> String {
    format!("the window of {key:?} from {start_ms} ms")
}

pub(super) fn offset((partition, offset): (u16, u64)) -> String {
    format!("offset {partition}:{offset}")
}

pub(super) fn seconds(ns: u64) -> String {
    format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1_000)
}

//! Judges the store from outside: what it holds after each start, against what it acknowledged.

use super::store::{Change, Content};

/// What the client saw of the store, and what it must therefore hold.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// With every change that was acknowledged.
    acknowledged: Content,
    /// Begun and not acknowledged: it may be there after a crash, or not.
    under_way: Option<Change>,
    /// How many changes were acknowledged.
    pub(crate) acknowledgements: u64,
    /// How often the store was opened.
    pub(crate) opened: u64,
    /// The first thing that was wrong.
    pub(crate) violation: Option<String>,
}

impl Oracle {
    /// The client asks for a change.
    pub(crate) const fn begins(&mut self, change: Change) {
        self.under_way = Some(change);
    }

    /// The store says that the change is durable.
    pub(crate) fn acknowledges(&mut self) {
        let (key, value) = self.under_way.take().expect("a change was asked for");
        set(&mut self.acknowledged, key, value);
        self.acknowledgements += 1;
    }

    /// The store was opened, and holds `content`, at this virtual time in nanoseconds.
    pub(crate) fn opened(&mut self, content: &Content, at_ns: u64) {
        self.opened += 1;
        let mut with_change = self.acknowledged.clone();
        if let Some((key, value)) = self.under_way.take() {
            set(&mut with_change, key, value);
        }
        if *content == with_change {
            self.acknowledged = with_change;
        } else if *content != self.acknowledged && self.violation.is_none() {
            self.violation = Some(format!(
                "at {} ms the store was opened without what it had acknowledged: {}",
                at_ns / 1_000_000,
                difference(&self.acknowledged, content)
            ));
        }
    }
}

fn set(content: &mut Content, key: u64, value: Option<u64>) {
    match value {
        Some(value) => content.insert(key, value),
        None => content.remove(&key),
    };
}

fn difference(acknowledged: &Content, found: &Content) -> String {
    let keys =
        acknowledged.keys().chain(found.keys().filter(|key| !acknowledged.contains_key(key)));
    let differ: Vec<_> = keys.filter(|key| acknowledged.get(key) != found.get(key)).collect();
    let shown = |value: Option<&u64>| value.map_or("nothing".to_owned(), u64::to_string);
    let first = differ.first().map_or(String::new(), |key| {
        let (wanted, found) = (shown(acknowledged.get(key)), shown(found.get(key)));
        format!(", as key {key}, acknowledged as {wanted}, found as {found}")
    });
    format!("{} of {} keys differ{first}", differ.len(), acknowledged.len())
}

//! A directory's names: what programs see, what is on the platter, and the changes in between.
//!
//! Invariant: the durable names with all pending changes applied in order are the live names.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{
    InodeNumber,
    sorted::Sorted,
    unit::{Fate, NameChange, Unit, UnitId, UnitKind},
};

/// The names in one directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    live: Sorted<Arc<str>, InodeNumber>,
    durable: Sorted<Arc<str>, Link>,
    pending: VecDeque<Change>,
}

/// A durable name: what it stands for, and which unit made it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) inode: InodeNumber,
    pub(super) since: UnitId,
}

/// A change of one name that no finished sync covers. Changes with the same id belong together,
/// in one directory or in two.
#[derive(Clone, Debug)]
struct Change {
    id: UnitId,
    name: Arc<str>,
    target: Option<InodeNumber>,
    replaced: Option<InodeNumber>,
    /// A sync covered the name.
    pinned: bool,
}

impl Directory {
    /// What `name` stands for.
    pub(super) fn get(&self, name: &str) -> Option<InodeNumber> {
        self.live.get(name).copied()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// The names, sorted by byte.
    pub(super) fn names(&self) -> impl DoubleEndedIterator<Item = (&Arc<str>, InodeNumber)> {
        self.live.iter().map(|(name, inode)| (name, *inode))
    }

    /// The names on the platter.
    pub(super) fn durable(&self) -> impl Iterator<Item = Link> {
        self.durable.values().copied()
    }

    /// The number of changes that are not durable.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Every inode that a durable name or a pending change refers to, once for each.
    pub(super) fn claims(&self) -> impl Iterator<Item = InodeNumber> {
        let pending = self.pending.iter().filter_map(|change| change.target);
        self.durable().map(|link| link.inode).chain(pending)
    }

    /// Lets `name` stand for `target`; tells what it stood for.
    pub(super) fn set(
        &mut self,
        id: UnitId,
        name: Arc<str>,
        target: InodeNumber,
    ) -> Option<InodeNumber> {
        let replaced = self.live.insert(Arc::clone(&name), target);
        self.pending.push_back(Change { id, name, target: Some(target), replaced, pinned: false });
        replaced
    }

    /// Lets `name`, which stands for something, stand for nothing; tells what it stood for.
    pub(super) fn unset(&mut self, id: UnitId, name: &str) -> Option<InodeNumber> {
        let (name, inode) = self.live.remove(name)?;
        let replaced = Some(inode);
        self.pending.push_back(Change { id, name, target: None, replaced, pinned: false });
        replaced
    }

    /// Makes every change up to the operation `covers` durable; tells how many there were, and
    /// adds to `released` what durable names no longer stand for.
    pub(super) fn harden(&mut self, covers: u64, released: &mut Vec<InodeNumber>) -> usize {
        let before = self.pending.len();
        while let Some(change) = self.pending.pop_front_if(|change| change.id.operation <= covers) {
            released.extend(self.make_durable(change).map(|link| link.inode));
        }
        before - self.pending.len()
    }

    /// The last pending change up to the operation `covers`; 0 if there is none.
    pub(super) fn last_change(&self, covers: u64) -> u64 {
        self.last(covers, |_| true)
    }

    /// The same, of changes of what a name says of `inode`.
    pub(super) fn last_change_of(&self, inode: InodeNumber, covers: u64) -> u64 {
        self.last(covers, |it| it.target == Some(inode) || it.replaced == Some(inode))
    }

    fn last(&self, covers: u64, counts: impl Fn(&Change) -> bool) -> u64 {
        let pending = self.pending.iter().map(|change| (change.id.operation, change));
        let counting = pending.filter(|(operation, it)| *operation <= covers && counts(it));
        counting.map(|(operation, _)| operation).max().unwrap_or(0)
    }

    /// The names of `inode`, as far as they were made up to the operation `covers`, are kept until
    /// they change.
    pub(super) fn pin(&mut self, inode: InodeNumber, covers: u64) {
        for change in &mut self.pending {
            change.pinned |= change.target == Some(inode) && change.id.operation <= covers;
        }
    }

    /// The units of all pending changes, in order. A rename's halves come apart here.
    pub(super) fn units(&self, directory: InodeNumber) -> impl Iterator<Item = Unit> {
        self.pending.iter().enumerate().map(
            move |(at, Change { id, name, target, replaced, pinned })| {
                let pinned =
                    *pinned && self.pending.range(at + 1..).all(|later| later.name != *name);
                let (name, target, replaced) = (Arc::clone(name), *target, *replaced);
                let change = NameChange { directory, name, target, replaced, pinned };
                Unit { id: *id, kind: UnitKind::Names(vec![change]) }
            },
        )
    }

    /// The power is cut: applies what `fate` keeps of the pending changes to the durable names,
    /// which become the live ones. Adds to `counts` everything that the changes were about, and
    /// how many more live names it has then.
    pub(super) fn settle(
        &mut self,
        fate: &impl Fn(UnitId) -> Fate,
        counts: &mut BTreeMap<InodeNumber, i32>,
    ) {
        let pending = std::mem::take(&mut self.pending);
        let names: Vec<_> = pending.iter().map(|change| Arc::clone(&change.name)).collect();
        for name in &names {
            if let Some((_, inode)) = self.live.remove(name) {
                *counts.entry(inode).or_default() -= 1;
            }
        }
        for change in pending {
            for inode in [change.target, change.replaced].into_iter().flatten() {
                counts.entry(inode).or_default();
            }
            if fate(change.id) == Fate::Kept {
                self.make_durable(change);
            }
        }
        for name in names {
            if let Some(Link { inode, .. }) = self.durable.get(&name)
                && self.live.insert(name, *inode).is_none()
            {
                *counts.entry(*inode).or_default() += 1;
            }
        }
    }

    /// After that, drops the names that `stays` refuses.
    pub(super) fn retain(&mut self, stays: impl Fn(Link) -> bool) {
        self.durable.retain(|_, link| stays(*link));
        self.live.retain(|name, _| self.durable.contains_key(name));
    }

    fn make_durable(&mut self, Change { id, name, target, .. }: Change) -> Option<Link> {
        match target {
            Some(inode) => self.durable.insert(name, Link { inode, since: id }),
            None => self.durable.remove(&name).map(|(_, link)| link),
        }
    }
}

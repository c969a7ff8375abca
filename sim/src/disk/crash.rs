//! The power cut: fates are applied, and what remains is what a machine finds at its next boot.

use std::collections::{BTreeMap, BTreeSet};

use triomphe::Arc;

use super::{
    CrashReport, Disk, Fate, InodeNumber, Unit, UnitId,
    directory::{Directory, Link},
    draw::draw,
    handle::{Handle, Opened},
    inode::{Content, Inode},
    order::Order,
};
use crate::random::Stream;

impl Disk {
    /// Power loss with a random outcome. All handles are closed; what is there afterwards is
    /// durable.
    pub fn crash(&mut self, stream: &mut Stream) -> CrashReport {
        let units = self.units();
        let (mode, fates) = draw(&self.profile, &units, stream);
        let report = self.lose_power(units.into_iter().zip(fates).collect());
        CrashReport { mode: Some(mode), ..report }
    }

    /// Power loss with the outcome that `fate` chooses. It is asked once for each of
    /// [`Disk::units`], in order. Where the profile's order does not allow what it chooses, the
    /// unit is lost; of a growth, as much is kept as there are bytes for.
    ///
    /// # Panics
    /// If `fate` chooses what [`Unit::fates`] does not hold.
    pub fn crash_with(&mut self, fate: &mut dyn FnMut(&Unit) -> Fate) -> CrashReport {
        let profile = self.profile;
        let mut order = Order::new(&profile);
        let units = self.units().into_iter();
        let fates = units.map(|unit| {
            let chosen = fate(&unit);
            assert!(unit.allows(chosen), "no power cut leaves this unit {chosen}: {unit}");
            let fate = order.nearest(&unit, chosen);
            order.note(&unit, fate);
            (unit, fate)
        });
        self.lose_power(fates.collect())
    }

    pub(super) fn lose_power(&mut self, fates: Vec<(Unit, Fate)>) -> CrashReport {
        let report = CrashReport::new(fates, self.paths());
        // What is not among the units cannot show afterwards, whatever its fate.
        self.settle(&|id| {
            let found = report.fates.binary_search_by_key(&id, |(unit, _)| unit.id);
            found.map_or(Fate::Lost, |at| report.fates[at].1)
        });
        report
    }

    /// Applies fates, and makes what is durable then what programs see. Costs what was unsynced;
    /// if that was of names of directories, a walk through all names as well.
    pub(super) fn settle(&mut self, fate: &impl Fn(UnitId) -> Fate) {
        let mut changes = BTreeMap::new();
        let (profile, stale) = (self.profile, self.stale.clone());
        for number in std::mem::take(&mut self.dirty) {
            match &mut self.inode_mut(number).content {
                Content::File(file) => file.settle(fate, &profile, &stale),
                Content::Directory(directory) => directory.settle(fate, &mut changes),
            }
            self.account(number);
        }
        self.pending = 0;
        for Opened { inode, .. } in std::mem::take(&mut self.handles).into_values() {
            changes.entry(inode).or_default();
        }
        let counts = if changes.keys().any(|number| self.inode(*number).is_directory()) {
            self.drop_older_names_of_directories();
            self.count_names()
        } else {
            // Directories are all where they were, so that a file is there if a name is.
            let count = |(number, change)| {
                let names = self.inode(number).names.checked_add_signed(change);
                (number, names.expect("a name that ends was counted"))
            };
            changes.into_iter().map(count).collect()
        };
        for (number, count) in counts {
            self.set_count(number, count);
        }
        self.evict();
        self.end_read_only();
    }

    /// So many names are what keeps `number` in existence.
    fn set_count(&mut self, number: InodeNumber, count: u32) {
        let Inode { names, claims, handles, .. } = *self.inode(number);
        if (names, claims, handles) != (count, count, 0) {
            let inode = self.inode_mut(number);
            (inode.names, inode.claims, inode.handles) = (count, count, 0);
        }
        self.account(number);
        if count == 0 {
            Arc::make_mut(&mut self.inodes).remove(&number);
        }
    }

    /// A path for everything with pending changes that has one.
    fn paths(&self) -> BTreeMap<InodeNumber, String> {
        let mut paths = BTreeMap::new();
        let mut homeless = BTreeSet::new();
        for number in self.dirty.iter().filter(|number| self.inode(**number).names > 0) {
            match self.home_path(*number) {
                Some(path) if path.is_empty() => {}
                Some(path) => drop(paths.insert(*number, path)),
                None => drop(homeless.insert(*number)),
            }
        }
        if !homeless.is_empty() {
            self.visit(&mut |path, number, _| {
                if homeless.remove(&number) {
                    paths.insert(number, path.to_owned());
                }
            });
        }
        paths
    }

    /// Where an open file stands, by the name that was given last; none if that is gone.
    #[must_use]
    pub fn handle_path(&self, handle: Handle) -> Option<String> {
        self.handles.get(&handle).and_then(|opened| self.home_path(opened.inode))
    }

    /// The path by the names that were given last, if these are still there: empty for the root.
    fn home_path(&self, number: InodeNumber) -> Option<String> {
        let (mut parts, mut at) = (Vec::new(), number);
        while at != InodeNumber::ROOT {
            let (directory, name) = self.inode(at).home.as_ref()?;
            let found = self.inodes.get(directory)?.directory()?.get(name);
            found.filter(|found| *found == at)?;
            parts.extend([&**name, "/"]);
            at = *directory;
        }
        Some(parts.into_iter().rev().collect())
    }

    /// Everything that is there, and how many durable names, of those that can be reached from the
    /// root, stand for it: none, if it is to go.
    pub(super) fn count_names(&self) -> BTreeMap<InodeNumber, u32> {
        let mut counts: BTreeMap<_, _> = self.inodes.keys().map(|number| (*number, 0)).collect();
        let mut open = vec![InodeNumber::ROOT];
        counts.insert(InodeNumber::ROOT, 1);
        while let Some(number) = open.pop() {
            for link in self.inode(number).directory().into_iter().flat_map(|it| it.durable()) {
                let count = counts.entry(link.inode).or_default();
                *count += 1;
                if *count == 1 {
                    open.push(link.inode);
                }
            }
        }
        counts
    }

    /// A directory has one place only. If a rename's new name is on the disk and the end of its
    /// old name is not, the newer name counts.
    fn drop_older_names_of_directories(&mut self) {
        let mut newest: BTreeMap<InodeNumber, UnitId> = BTreeMap::new();
        let mut doubled = false;
        let reachable = self.count_names().into_iter().filter(|(_, count)| *count > 0);
        for (number, _) in reachable {
            for link in self.inode(number).directory().into_iter().flat_map(|it| it.durable()) {
                if self.inode(link.inode).is_directory() {
                    let since = newest.entry(link.inode).or_insert(link.since);
                    doubled |= *since != link.since;
                    *since = link.since.max(*since);
                }
            }
        }
        if !doubled {
            return;
        }
        let counts = |link: Link| newest.get(&link.inode).is_none_or(|since| *since == link.since);
        for inode in Arc::make_mut(&mut self.inodes).values_mut() {
            let drops = |it: &Directory| it.durable().any(|link| !counts(link));
            if inode.directory().is_some_and(drops)
                && let Content::Directory(directory) = &mut Arc::make_mut(inode).content
            {
                directory.retain(counts);
            }
        }
    }
}

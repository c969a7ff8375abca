//! The power cut: fates are applied, and what remains is what a machine finds at its next boot.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    CrashReport, Disk, Fate, InodeNumber, Unit, UnitId, draw::draw, inode::Content, order::Order,
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
        let fate = |id: UnitId| {
            let found = report.fates.binary_search_by_key(&id, |(unit, _)| unit.id);
            found.map_or(Fate::Lost, |at| report.fates[at].1)
        };
        let (profile, stale) = (self.profile, self.stale.clone());
        for number in std::mem::take(&mut self.dirty) {
            match &mut self.inode_mut(number).content {
                Content::File(file) => file.settle(&fate, &profile, &stale),
                Content::Directory(directory) => directory.settle(&fate),
            }
        }
        self.handles.clear();
        self.pending = 0;
        self.drop_older_names_of_directories();
        let reachable = self.reachable();
        self.inodes.retain(|number, _| reachable.contains(number));
        self.recount_names();
        self.account_all();
        self.evict();
        self.end_read_only();
        report
    }

    /// A path for everything with pending changes that has one.
    fn paths(&self) -> BTreeMap<InodeNumber, String> {
        let mut paths = BTreeMap::new();
        if self.pending > 0 {
            self.visit(&mut |path, number, inode| {
                if inode.pending() > 0 {
                    paths.entry(number).or_insert_with(|| path.to_owned());
                }
            });
        }
        paths
    }

    /// All that durable names lead to from the root.
    fn reachable(&self) -> BTreeSet<InodeNumber> {
        let mut reachable = BTreeSet::from([InodeNumber::ROOT]);
        let mut open = vec![InodeNumber::ROOT];
        while let Some(number) = open.pop() {
            for link in self.inode(number).directory().into_iter().flat_map(|it| it.durable()) {
                if reachable.insert(link.inode) {
                    open.push(link.inode);
                }
            }
        }
        reachable
    }

    /// A directory has one place only. If a rename's new name is on the disk and the end of its
    /// old name is not, the newer name counts.
    fn drop_older_names_of_directories(&mut self) {
        let mut newest: BTreeMap<InodeNumber, UnitId> = BTreeMap::new();
        let mut doubled = false;
        for number in self.reachable() {
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
        for inode in self.inodes.values_mut() {
            if let Content::Directory(directory) = &mut inode.content {
                directory.retain(|link| {
                    newest.get(&link.inode).is_none_or(|since| *since == link.since)
                });
            }
        }
    }

    /// The durable names become the live ones, and every count starts anew from them.
    fn recount_names(&mut self) {
        let mut counts: BTreeMap<InodeNumber, u32> = BTreeMap::from([(InodeNumber::ROOT, 1)]);
        for inode in self.inodes.values_mut() {
            if let Content::Directory(directory) = &mut inode.content {
                directory.revive();
                for link in directory.durable() {
                    *counts.entry(link.inode).or_default() += 1;
                }
            }
        }
        for (number, inode) in &mut self.inodes {
            let count = counts.get(number).copied().unwrap_or_default();
            (inode.names, inode.claims, inode.handles) = (count, count, 0);
        }
    }
}

//! A power cut whose fates of sectors are decided when somebody looks.
//!
//! What becomes of names, lengths and truncates is decided at once, and so is a sector for whose
//! bytes a length waits. Any other one stays undecided until a program reads some of it, or
//! changes some of it or what is before it: then each write that touched it meets its fate. So
//! sectors that nobody looks at do not multiply the states: see [`Disk::explore`].
//!
//! An undecided sector holds what it holds if all is lost. That is what whole images show
//! ([`Disk::tree`], [`Disk::image_hash`]), and what stale bytes are taken from.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
};

use bytes::Bytes;
use triomphe::Arc;

use super::{
    CrashReport, Disk, Fate, InodeNumber, Profile, Unit, UnitId, UnitKind,
    file::{Change, FileContent},
    inode::Inode,
    order::Order,
    settle::Replay,
};
use crate::random::Stream;

/// What was pending of a file at a power cut that left sectors undecided.
#[derive(Clone, Debug)]
pub(super) struct Past {
    /// From which fates are drawn; none if the disk's script chooses them.
    seed: Option<u64>,
    profile: Profile,
    stale: Bytes,
    /// What was on the platter, behind the file's end as well.
    durable: Arc<Vec<u8>>,
    changes: VecDeque<Change>,
    decided: BTreeMap<UnitId, Fate>,
    /// The units of each sector that are undecided, with the fates that they may have.
    undecided: BTreeMap<usize, Vec<(UnitId, Vec<Fate>)>>,
    /// The file's length afterwards.
    len: usize,
}

impl Disk {
    /// Power loss with an outcome that is drawn unit by unit, each from `seed` and its
    /// [`UnitId`]: what is read afterwards does not depend on the order of reads. Sectors that
    /// nothing waits for are decided when they are read or changed, and are not in the report.
    pub fn crash_lazily(&mut self, seed: u64) -> CrashReport {
        self.lose_power_lazily(Some(seed))
    }

    /// Decides every sector that [`Disk::crash_lazily`] left undecided.
    pub fn decide(&mut self) {
        let open = |inode: &Inode| inode.file().is_some_and(|it| !it.undecided.is_empty());
        let files = self.inodes.iter().filter(|(_, inode)| open(inode));
        for number in files.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.decide_within(number, 0..usize::MAX);
        }
    }

    pub(super) fn lose_power_lazily(&mut self, seed: Option<u64>) -> CrashReport {
        let profile = self.profile;
        let mut order = Order::new(&profile);
        let mut decided = Vec::new();
        let mut pasts: BTreeMap<InodeNumber, Past> = BTreeMap::new();
        for unit in self.units() {
            let fates: Vec<_> = unit.fates().filter(|fate| order.allows(&unit, *fate)).collect();
            if let Some((number, sector)) = sector_nothing_waits_for(&unit, &profile) {
                let past = pasts.entry(number).or_insert_with(|| self.past(number, seed));
                past.undecided.entry(sector).or_default().push((unit.id, fates));
            } else {
                let fate = self.choose(seed, unit.id, &fates);
                order.note(&unit, fate);
                decided.push((unit, fate));
            }
        }
        for (unit, fate) in &decided {
            if let Some(past) = unit.file().and_then(|number| pasts.get_mut(&number)) {
                past.decided.insert(unit.id, *fate);
            }
        }
        let report = self.lose_power(decided);
        for (number, past) in pasts {
            if self.inodes.contains_key(&number) {
                self.file_mut(number).leave_undecided(past);
            }
        }
        report
    }

    /// Decides what stands in a range of a file.
    pub(super) fn decide_within(&mut self, number: InodeNumber, range: Range<usize>) {
        if range.is_empty() || self.file(number).undecided.is_empty() {
            return;
        }
        let size = self.profile.atom_bytes as usize;
        let sectors = range.start / size..range.end.div_ceil(size);
        while let Some((sector, past)) = self.file(number).first_undecided(&sectors) {
            let units = past.undecided[&sector].iter();
            let fates = units.map(|(id, fates)| (*id, self.choose(past.seed, *id, fates)));
            let bytes = past.sector(sector, &fates.collect());
            self.file_mut(number).reveal(sector, sector * size, &bytes);
        }
    }

    fn choose(&mut self, seed: Option<u64>, id: UnitId, fates: &[Fate]) -> Fate {
        let choice = match (seed, &mut self.script) {
            (Some(seed), _) => {
                Stream::new(seed, "lazy", id.operation, id.part.into()).index(fates.len())
            }
            (None, Some(script)) => script.choose(fates.len()),
            (None, None) => unreachable!("a disk keeps its script as long as it lives"),
        };
        fates[choice]
    }

    fn past(&self, number: InodeNumber, seed: Option<u64>) -> Past {
        let file = self.file(number);
        let mut durable = Arc::clone(&file.durable);
        if !file.slack.is_empty() {
            Arc::make_mut(&mut durable).extend_from_slice(&file.slack);
        }
        Past {
            seed,
            profile: self.profile,
            stale: self.stale.clone(),
            durable,
            changes: file.pending.clone(),
            decided: BTreeMap::new(),
            undecided: BTreeMap::new(),
            len: 0,
        }
    }
}

impl Past {
    /// What a sector holds after all.
    fn sector(&self, sector: usize, fates: &BTreeMap<UnitId, Fate>) -> Vec<u8> {
        let size = self.profile.atom_bytes as usize;
        let window = sector * size..(sector + 1) * size;
        let end = window.end.min(self.durable.len());
        let mut bytes = self.durable.get(window.start..end).unwrap_or_default().to_vec();
        let fate = |id| {
            let chosen = fates.get(&id).or_else(|| self.decided.get(&id));
            chosen.copied().unwrap_or(Fate::Lost)
        };
        let Self { changes, profile, stale, .. } = self;
        Replay { changes, profile, stale }.apply(&window, &mut bytes, self.len, &fate);
        bytes.resize(window.end.min(self.len) - window.start, 0);
        bytes
    }
}

impl FileContent {
    fn leave_undecided(&mut self, past: Past) {
        let len = self.len();
        let past = Arc::new(Past { len, ..past });
        let size = past.profile.atom_bytes as usize;
        let shows = past.undecided.keys().filter(|sector| **sector * size < len);
        self.undecided.extend(shows.map(|sector| (*sector, Arc::clone(&past))));
    }

    fn first_undecided(&self, sectors: &Range<usize>) -> Option<(usize, Arc<Past>)> {
        let (sector, past) = self.undecided.range(sectors.clone()).next()?;
        Some((*sector, Arc::clone(past)))
    }

    /// A sector is decided. Nothing has changed it since the power cut.
    fn reveal(&mut self, sector: usize, offset: usize, bytes: &[u8]) {
        self.undecided.remove(&sector);
        let place = offset..offset + bytes.len();
        if self.durable[place.clone()] == *bytes {
            return;
        }
        self.hash.take();
        if Arc::ptr_eq(&self.live, &self.durable) {
            self.live = Arc::default();
            Arc::make_mut(&mut self.durable)[place].copy_from_slice(bytes);
            self.live = Arc::clone(&self.durable);
        } else {
            Arc::make_mut(&mut self.durable)[place.clone()].copy_from_slice(bytes);
            Arc::make_mut(&mut self.live)[place].copy_from_slice(bytes);
        }
    }
}

/// The file and the sector, if the unit is of one sector and whatever becomes of it makes no
/// difference to what may become of others.
fn sector_nothing_waits_for(unit: &Unit, profile: &Profile) -> Option<(InodeNumber, usize)> {
    let UnitKind::Sector { inode, offset, len, fresh, .. } = unit.kind else { return None };
    let size = u64::from(profile.atom_bytes);
    let sector = offset / size;
    let awaited = profile.data_before_size && fresh;
    let one = (offset + len).div_ceil(size) == sector + 1;
    (!awaited && one).then(|| (inode, usize::try_from(sector).expect("it is in memory")))
}

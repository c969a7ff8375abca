//! Outcomes of a power cut one by one: all of them, for histories small enough, or the telling
//! ones.
//!
//! | which | how many, of `n` operations |
//! |---|---|
//! | [`Disk::outcomes`] | every choice of fates that the profile's order allows: exponential |
//! | [`Disk::explore`] | the same, as far as a recovery tells them apart by what it reads |
//! | [`Disk::bounded_outcomes`] | every prefix, every loss of up to two operations, and a tear at every boundary within one: quadratic |
//! | [`Disk::crash`] | one, drawn |

use std::collections::BTreeSet;

use super::{
    Disk, Fate, Profile, Unit, UnitKind,
    draw::operations,
    order::{Order, close},
};

impl Disk {
    /// How many choices of fates there are; `limit` if there are more.
    #[must_use]
    pub fn outcome_count(&self, limit: u64) -> u64 {
        let units = self.units();
        let mut choices = Choices::new(self, &units);
        let mut count = 0;
        while count < limit && choices.next(&units).is_some() {
            count += 1;
        }
        count
    }

    /// The disk after a power cut now, once for each choice of fates. Different choices may lead
    /// to the same image: see [`Disk::image_hash`].
    pub fn outcomes(&self) -> impl Iterator<Item = Self> + use<> {
        let units = self.units();
        let before = self.clone();
        let mut choices = Choices::new(self, &units);
        std::iter::from_fn(move || Some(before.outcome(&units, &choices.next(&units)?)))
    }

    /// The disk after a power cut now, once for each distinct image that comes of the following
    /// choices, made as far as the profile's order allows: every prefix of the operations; every
    /// loss of one operation or of two; and of every operation that consists of several units, or
    /// whose units may be damaged, every prefix, suffix and damage of its units, with everything
    /// before it and nothing after it.
    pub fn bounded_outcomes(&self) -> impl Iterator<Item = Self> + use<> {
        self.bounded_choices().map(|(_, outcome)| outcome)
    }

    /// The same, each with the choice that leads to it: a fate for each of [`Disk::units`], in
    /// order.
    pub fn bounded_choices(&self) -> impl Iterator<Item = (Vec<Fate>, Self)> + use<> {
        let units = self.units();
        let before = self.clone();
        let mut chosen = BTreeSet::new();
        let mut images = BTreeSet::new();
        let mut choices = bounded(&units).into_iter();
        std::iter::from_fn(move || {
            for mut fates in choices.by_ref() {
                close(&before.profile, &units, &mut fates);
                if chosen.insert(fates.clone()) {
                    let outcome = before.outcome(&units, &fates);
                    if images.insert(outcome.image_hash()) {
                        return Some((fates, outcome));
                    }
                }
            }
            None
        })
    }

    /// The disk after a power cut now, with a fate for each unit.
    fn outcome(&self, units: &[Unit], fates: &[Fate]) -> Self {
        let mut disk = self.clone();
        disk.settle(&|id| {
            let found = units.binary_search_by_key(&id, |unit| unit.id);
            found.map_or(Fate::Lost, |at| fates[at])
        });
        disk
    }
}

/// Goes through all choices of fates that an order allows, in depth.
struct Choices {
    profile: Profile,
    /// The fates that are left to try at each depth, the next one last.
    open: Vec<Vec<Fate>>,
    chosen: Vec<Fate>,
    started: bool,
}

impl Choices {
    fn new(disk: &Disk, units: &[Unit]) -> Self {
        let capacity = units.len();
        Self {
            profile: disk.profile,
            open: Vec::with_capacity(capacity),
            chosen: Vec::with_capacity(capacity),
            started: false,
        }
    }

    fn next(&mut self, units: &[Unit]) -> Option<Vec<Fate>> {
        if std::mem::replace(&mut self.started, true) {
            self.retreat()?;
        }
        let profile = self.profile;
        let mut order = Order::new(&profile);
        for (unit, fate) in units.iter().zip(&self.chosen) {
            order.note(unit, *fate);
        }
        for unit in &units[self.chosen.len()..] {
            let allowed = unit.fates().filter(|fate| order.allows(unit, *fate));
            let mut fates: Vec<Fate> = allowed.collect();
            fates.reverse();
            let first = fates.pop().expect("everything may be kept or lost");
            order.note(unit, first);
            self.chosen.push(first);
            self.open.push(fates);
        }
        Some(self.chosen.clone())
    }

    /// Takes back what has no further choice, and makes the next one before it.
    fn retreat(&mut self) -> Option<()> {
        loop {
            self.chosen.pop()?;
            let mut open = self.open.pop().expect("as many as were chosen");
            if let Some(next) = open.pop() {
                self.chosen.push(next);
                self.open.push(open);
                return Some(());
            }
        }
    }
}

fn bounded(units: &[Unit]) -> Vec<Vec<Fate>> {
    let ranges: Vec<_> = operations(units).collect();
    let kept = vec![Fate::Kept; units.len()];
    let mut choices = vec![kept.clone()];
    for range in &ranges {
        let mut prefix = kept.clone();
        prefix[range.start..].fill(Fate::Lost);
        choices.push(prefix.clone());
        for part in tears(&units[range.clone()]) {
            let mut torn = prefix.clone();
            torn[range.clone()].copy_from_slice(&part);
            choices.push(torn);
        }
    }
    for (n, one) in ranges.iter().enumerate() {
        for two in &ranges[n..] {
            let mut missing = kept.clone();
            missing[one.clone()].fill(Fate::Lost);
            missing[two.clone()].fill(Fate::Lost);
            choices.push(missing);
        }
    }
    choices
}

/// How one operation may be there in part.
fn tears(units: &[Unit]) -> Vec<Vec<Fate>> {
    let sectors = units.iter().take_while(|unit| matches!(unit.kind, UnitKind::Sector { .. }));
    let sectors = sectors.count();
    let rest = units.len() - sectors;
    let mut tears = Vec::new();
    for at in 0..=sectors {
        // A prefix and a suffix, with the new length and without, and the length cut to fit.
        for whole in [Fate::Kept, Fate::Lost] {
            let mut prefix = vec![whole; units.len()];
            prefix[..at].fill(Fate::Kept);
            prefix[at..sectors].fill(Fate::Lost);
            let mut suffix = vec![whole; units.len()];
            suffix[..at].fill(Fate::Lost);
            suffix[at..sectors].fill(Fate::Kept);
            tears.extend([prefix, suffix]);
        }
        if rest == 1
            && let Some(unit) = units.last()
        {
            for short in unit.fates().filter(|fate| matches!(fate, Fate::Short(_))) {
                let mut prefix = vec![Fate::Lost; units.len()];
                prefix[..at].fill(Fate::Kept);
                prefix[sectors] = short;
                tears.push(prefix);
            }
        }
        if at < sectors {
            for damage in units[at].fates().skip(2) {
                let mut damaged = vec![Fate::Kept; units.len()];
                damaged[at] = damage;
                tears.push(damaged);
            }
        }
    }
    if sectors == 0 && units.len() > 1 {
        // The halves of a rename.
        for at in 0..units.len() {
            let mut half = vec![Fate::Kept; units.len()];
            half[at] = Fate::Lost;
            tears.push(half);
        }
    }
    tears
}

//! Where tuples are, as their producers were told.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    cuts::Cuts,
    lanes::Lanes,
    objections::{Objections, offset, seconds, show, show_some},
};
use crate::{
    history::{Acknowledged, History, TupleId},
    outcome::VerdictKind,
};

/// A partition and an offset in it.
pub(super) type Place = (u16, u64);

/// Where tuples are.
#[derive(Default)]
pub(super) struct Owners {
    /// The tuple at each place.
    pub(super) at: Lanes<TupleId>,
    /// The place of each tuple, by its producer and its seq.
    of: Lanes<Place>,
    /// Tuples that were acknowledged without an offset, by partition: the broker knows them, and
    /// has thrown away where they were, so every sink has published them.
    pub(super) unplaced: BTreeSet<(u16, TupleId)>,
}

impl Owners {
    pub(super) fn new(history: &History, objections: &mut Objections) -> Self {
        let mut owners = Self::default();
        for one in &history.acknowledged {
            match one.offset {
                Some(offset) => owners.place(one, (one.partition, offset), objections),
                None => drop(owners.unplaced.insert((one.partition, one.id))),
            }
        }
        owners.unplaced.retain(|(_, id)| owners.of.get((id.producer, id.seq)).is_none());
        owners
    }

    fn place(&mut self, one: &Acknowledged, place: Place, objections: &mut Objections) {
        let at = || seconds(one.at_ns);
        if let Some(other) = self.of.insert((one.id.producer, one.id.seq), place)
            && other != place
        {
            let (other, place) = (offset(other), offset(place));
            let message =
                format!("{} was acknowledged at {other} and at {place} ({})", show(one.id), at());
            objections.add(VerdictKind::Duplicated, message);
        }
        if let Some(other) = self.at.insert(place, one.id)
            && other != one.id
        {
            let (place, other, id) = (offset(place), show(other), show(one.id));
            let at = at();
            let message = format!("{place} was acknowledged to {other}, and then to {id} ({at})");
            objections.add(VerdictKind::Lost, message);
        }
    }

    /// The place of a tuple, if that is known.
    pub(super) fn of(&self, id: TupleId) -> Option<Place> {
        self.of.get((id.producer, id.seq))
    }

    /// All tuples of which the place is known, in order.
    pub(super) fn placed(&self) -> impl Iterator<Item = (TupleId, Place)> {
        self.of.iter().map(|((producer, seq), place)| (TupleId { producer, seq }, place))
    }

    /// How many tuples were acknowledged.
    pub(super) fn acknowledged(&self) -> usize {
        self.of.len() + self.unplaced.len()
    }

    /// Offsets of a partition below `end` that are no known tuple's.
    pub(super) fn gaps(&self, partition: u16, end: u64) -> Vec<u64> {
        let mut gaps = Vec::new();
        let mut next = 0;
        for (offset, _) in self.at.range(partition, 0..end) {
            gaps.extend(next..*offset);
            next = offset + 1;
        }
        gaps.extend(next..end);
        gaps
    }

    /// Tuples without an offset have offsets that are left below the last cut: whoever knows them
    /// without knowing where they are says that every sink has published them.
    pub(super) fn check_unplaced(&self, cuts: &Cuts<'_>, objections: &mut Objections) {
        let mut partitions: BTreeMap<u16, Vec<TupleId>> = BTreeMap::new();
        for (partition, id) in &self.unplaced {
            partitions.entry(*partition).or_default().push(*id);
        }
        for (partition, ids) in partitions {
            let left = self.gaps(partition, cuts.end(partition)).len();
            if left < ids.len() {
                let message = format!(
                    "{} acknowledged without an offset, and {left} of partition {partition} below \
                     the last cut are no other's",
                    show_some(&ids)
                );
                objections.add(VerdictKind::Lost, message);
            }
        }
    }

    /// Gives tuples without an offset the offsets that are left, where only one way is possible:
    /// a partition has the tuples of one producer in the order of its input.
    pub(super) fn settle(&mut self, cuts: &Cuts<'_>) {
        let partitions: BTreeSet<_> =
            self.unplaced.iter().map(|(partition, _)| *partition).collect();
        for partition in partitions {
            let gaps = self.gaps(partition, cuts.end(partition));
            let here = |(other, _): &&(u16, TupleId)| *other == partition;
            let ids: Vec<_> = self.unplaced.iter().filter(here).map(|(_, id)| *id).collect();
            let one_producer = ids.iter().all(|id| id.producer == ids[0].producer);
            if !one_producer || gaps.len() != ids.len() {
                continue;
            }
            for (offset, id) in gaps.into_iter().zip(ids) {
                self.unplaced.remove(&(partition, id));
                self.at.insert((partition, offset), id);
                self.of.insert((id.producer, id.seq), (partition, offset));
            }
        }
    }
}

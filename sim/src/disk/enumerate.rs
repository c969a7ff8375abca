//! Every outcome of a power cut, for histories small enough.
//!
//! Later, bounded enumerations choose fewer fates; they too need no more than [`Disk::units`],
//! [`super::Unit::fates`] and [`Disk::crash_with`].

use super::{Disk, Fate};

impl Disk {
    /// How many choices of fates there are; `u64::MAX` if there are more.
    #[must_use]
    pub fn outcome_count(&self) -> u64 {
        let choices = self.units().into_iter().map(|unit| unit.fates().count() as u64);
        choices.fold(1, u64::saturating_mul)
    }

    /// The disk after a power cut now, once for each choice of fates. Different choices may lead
    /// to the same image: see [`Disk::image_hash`].
    pub fn outcomes(&self) -> impl Iterator<Item = Self> {
        let units = self.units();
        let choices: Vec<Vec<Fate>> = units.iter().map(|unit| unit.fates().collect()).collect();
        let mut next = Some(vec![0; units.len()]);
        std::iter::from_fn(move || {
            let current = next.take()?;
            let fates = current.iter().zip(&choices).map(|(choice, fates)| fates[*choice]);
            let outcome = self.outcome(fates);
            next = successor(current, &choices);
            Some(outcome)
        })
    }

    /// The disk after a power cut now, with a fate for each unit.
    fn outcome(&self, mut fates: impl Iterator<Item = Fate>) -> Self {
        let mut disk = self.clone();
        disk.crash_with(&mut |_| fates.next().expect("a fate for each unit"));
        disk
    }
}

/// Counts on, the first digit fastest; `None` after the last number.
fn successor(mut digits: Vec<usize>, choices: &[Vec<Fate>]) -> Option<Vec<usize>> {
    for (digit, choices) in digits.iter_mut().zip(choices) {
        *digit += 1;
        if *digit < choices.len() {
            return Some(digits);
        }
        *digit = 0;
    }
    None
}

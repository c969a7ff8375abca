//! Every outcome of a power cut that a recovery can tell apart.
//!
//! The recovery runs once for each sequence of decisions that it meets, in depth: the last decision
//! that has another choice is changed for the next run, and what came before it is repeated. Fates
//! of sectors that it neither reads nor changes are no decisions.

use std::collections::BTreeSet;

use super::Disk;

/// What came of [`Disk::explore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explored {
    /// How often the program ran.
    pub runs: u64,
    /// How many distinct images ([`Disk::image_hash`]) it left, where sectors that it did not look
    /// at count as lost.
    pub images: usize,
    /// Every sequence of decisions was tried. If not, the bound was hit first.
    pub complete: bool,
}

/// The choices so far, and how many there were to choose from.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    decisions: Vec<(usize, usize)>,
    at: usize,
}

impl Disk {
    /// Cuts the power, as often as there are outcomes that `program` can tell apart but no more
    /// than `runs_max` times, and lets it start on what each leaves of this disk. What it reads is
    /// then the same, taken together, as over all of [`Disk::outcomes`].
    ///
    /// # Panics
    /// If `program` puts another disk in place of the one that it is given, or does not do the same
    /// whenever it finds the same.
    pub fn explore(&self, runs_max: u64, mut program: impl FnMut(&mut Self)) -> Explored {
        let (mut runs, mut images, mut complete) = (0, BTreeSet::new(), false);
        let mut script = Script::default();
        while runs < runs_max && !complete {
            let mut disk = Self { script: Some(script), ..self.clone() };
            disk.lose_power_lazily(None);
            program(&mut disk);
            runs += 1;
            images.insert(disk.image_hash());
            script = disk.script.take().expect("the program keeps the disk that it was given");
            complete = !script.advance();
        }
        Explored { runs, images: images.len(), complete }
    }
}

impl Script {
    /// The next of the decisions, between `options` choices.
    pub(super) fn choose(&mut self, options: usize) -> usize {
        if options == 1 {
            return 0;
        }
        if self.at == self.decisions.len() {
            self.decisions.push((0, options));
        }
        let (choice, known) = self.decisions[self.at];
        assert_eq!(known, options, "the same program on the same disk decides the same");
        self.at += 1;
        choice
    }

    /// Goes on to the next sequence of decisions; false if that was the last one.
    fn advance(&mut self) -> bool {
        assert_eq!(
            self.at,
            self.decisions.len(),
            "the same program on the same disk decides the same"
        );
        self.at = 0;
        while let Some((choice, options)) = self.decisions.pop() {
            if choice + 1 < options {
                self.decisions.push((choice + 1, options));
                return true;
            }
        }
        false
    }
}

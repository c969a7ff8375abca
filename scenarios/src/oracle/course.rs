//! What each epoch took in, as far as it is known of every tuple where it is, and the watermarks
//! that follow.

use super::{
    Setting,
    cuts::Cuts,
    objections::{Objections, show_some},
    owners::Owners,
    tuples::Wanted,
};
use crate::{
    history::TupleId,
    model::{
        watermark::{Seen, watermarks},
        windows::{Arrival, Course, Intake},
    },
    outcome::VerdictKind,
};

/// The epochs from the first on of which all tuples are known.
pub(super) struct Known<'a> {
    /// What each of them took in and the pipeline kept.
    pub(super) intakes: Vec<Intake<'a>>,
    /// The watermark that the rule gives each of them and the one after.
    watermarks: Vec<u64>,
}

impl<'a> Known<'a> {
    pub(super) fn of(owners: &Owners, cuts: &Cuts<'_>, setting: &Setting<'a>) -> Self {
        let mut latest_ms = vec![0; setting.partitions];
        let (mut intakes, mut seen) = (Vec::new(), Vec::new());
        for (index, ((epoch, cut), number)) in cuts.epochs.iter().zip(1..).enumerate() {
            let mut all_known = *epoch == number;
            let mut tuples = Vec::new();
            for (latest_ms, (partition, at)) in latest_ms.iter_mut().zip((0u16..).zip(0..)) {
                let range = cuts.range(at, index);
                let here = owners.at.range(partition, range.clone());
                all_known &= here.len() as u64 == range.end - range.start;
                for (_, id) in here {
                    let id = *id;
                    let Some(sent) = (setting.sent)(id) else {
                        all_known = false;
                        continue;
                    };
                    *latest_ms = sent.time_ms.max(*latest_ms);
                    let row = sent.row.map(|row| Arrival { id, time_ms: sent.time_ms, row });
                    tuples.extend(row);
                }
            }
            if !all_known {
                break;
            }
            // Partitions that the epoch does not know of have no part in it.
            let known = cut.ends.len().min(setting.partitions);
            seen.push(Seen { latest_ms: latest_ms[..known].to_vec(), idle: &cut.idle });
            intakes.push(Intake { epoch: *epoch, watermark_ms: 0, tuples });
        }
        let of_graph = setting.graph.map_or(0, |graph| graph.delay_ms);
        let delay_ms = setting.window.map_or(of_graph, |window| window.delay_ms);
        let watermarks = watermarks(&seen, delay_ms);
        for (intake, watermark_ms) in intakes.iter_mut().zip(&watermarks) {
            intake.watermark_ms = *watermark_ms;
        }
        Self { intakes, watermarks }
    }

    /// The last epoch that is known.
    pub(super) fn epoch(&self) -> u64 {
        self.intakes.len() as u64
    }

    /// The watermarks are those that the rule gives.
    pub(super) fn check_watermarks(&self, cuts: &Cuts<'_>, objections: &mut Objections) {
        for ((epoch, cut), (number, rule_ms)) in cuts.epochs.iter().zip((1..).zip(&self.watermarks))
        {
            if *epoch == number && cut.watermark_ms != *rule_ms {
                let message = format!(
                    "epoch {epoch} publishes the watermark {} ms, the rule gives {rule_ms} ms",
                    cut.watermark_ms
                );
                objections.add(VerdictKind::Corrupt, message);
            }
        }
    }

    /// All epochs could be judged.
    pub(super) fn check_measured(
        &self,
        owners: &Owners,
        cuts: &Cuts<'_>,
        objections: &mut Objections,
    ) {
        if self.intakes.len() < cuts.epochs.len() {
            let ids: Vec<_> = owners.unplaced.iter().map(|(_, id)| *id).collect();
            let message = format!(
                "watermarks and windows could be judged up to epoch {} of {}: nobody was told \
                 where {} came to be",
                self.epoch(),
                cuts.epochs.len(),
                show_some(&ids)
            );
            objections.add(VerdictKind::NotMeasured, message);
        }
    }

    /// What the sink of late tuples should have of a tuple that is of this epoch, as far as is known.
    pub(super) fn wanted_late<'s>(
        &self,
        (id, epoch): (TupleId, Option<u64>),
        course: &Course<'_>,
        setting: &Setting<'s>,
    ) -> Option<Wanted<'s>> {
        let Some(cells) = (setting.sent)(id)?.row else {
            return Some(Wanted::Nothing("is filtered out"));
        };
        if course.late.contains_key(&id) {
            return Some(Wanted::Row(cells));
        }
        Some(match epoch {
            Some(epoch) if epoch <= self.epoch() => Wanted::Nothing("came in time"),
            Some(_) | None => Wanted::Maybe(cells),
        })
    }
}

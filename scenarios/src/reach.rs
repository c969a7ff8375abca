//! What a campaign must reach: a fault that never fell where it would hurt shows nothing, however
//! many runs held.

use std::collections::BTreeMap;

/// A campaign of fewer seeds a scenario is not asked what it reached.
pub const SEEDS_MIN: u64 = 100;

/// What must be reached over all runs together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Marks that some run must pass.
    pub sometimes: Vec<String>,
    /// Steps of an epoch that crashes must interrupt at least so often.
    pub interrupted_min: BTreeMap<String, u64>,
}

impl Reach {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sometimes.is_empty() && self.interrupted_min.is_empty()
    }

    /// What was not reached, in one line; none if all was.
    #[must_use]
    pub fn missing(
        &self,
        marks: &BTreeMap<String, u64>,
        steps_interrupted: &BTreeMap<String, u64>,
    ) -> Option<String> {
        let never: Vec<_> = self
            .sometimes
            .iter()
            .filter(|mark| count(marks, mark) == 0)
            .map(|mark| format!("{mark} never"))
            .collect();
        let seldom = self.interrupted_min.iter().filter_map(|(step, &least)| {
            let times = count(steps_interrupted, step);
            (times < least).then(|| format!("{step} interrupted {times} times of at least {least}"))
        });
        let missing: Vec<_> = never.into_iter().chain(seldom).collect();
        (!missing.is_empty()).then(|| missing.join(", "))
    }
}

/// Adds the counts of one run, or of one scenario, to sums.
pub fn add(sums: &mut BTreeMap<String, u64>, counts: &BTreeMap<String, u64>) {
    for (name, count) in counts {
        match sums.get_mut(name) {
            Some(sum) => *sum += count,
            None => _ = sums.insert(name.clone(), *count),
        }
    }
}

/// The count of this name; none is 0.
#[must_use]
pub fn count(counts: &BTreeMap<String, u64>, name: &str) -> u64 {
    counts.get(name).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
        counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn what_is_missing_is_named() {
        let reach = Reach {
            sometimes: ["late.routed", "idle.passed"].map(str::to_owned).to_vec(),
            interrupted_min: counts(&[("apply", 20), ("collect", 20)]),
        };
        let marks = counts(&[("late.routed", 1), ("idle.passed", 1)]);
        let steps = counts(&[("apply", 20), ("collect", 21)]);
        assert_eq!(reach.missing(&marks, &steps), None);
        assert_eq!(
            reach.missing(&counts(&[("late.routed", 9)]), &counts(&[("apply", 19)])),
            Some(
                "idle.passed never, apply interrupted 19 times of at least 20, collect interrupted \
                 0 times of at least 20"
                    .to_owned()
            )
        );
        assert!(Reach::default().is_empty() && !reach.is_empty());
    }
}

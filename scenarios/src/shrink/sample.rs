//! What shrinking makes smaller: a run, as all that it is made of.

use std::fmt;

use serde::{Deserialize, Serialize};
use unplug_sim::fault::Plan;

use crate::{
    failure::{Failure, ShrunkFrom},
    generate::atlas,
    input::Invalid,
    scenario::{Faults, Scenario},
    validate,
};

/// A run: with the same program, it goes the same way each time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The scenario. What it draws plans from does not matter.
    pub scenario: Scenario,
    /// The seed.
    pub seed: u64,
    /// What breaks.
    pub plan: Plan,
}

/// How large a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// How many faults there are.
    pub faults: usize,
    /// How many tuples are sent, less those that close windows.
    pub tuples: u32,
    /// How many nodes there are.
    pub nodes: usize,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { faults, tuples, nodes } = self;
        let of = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        };
        let tuples = usize::try_from(*tuples).expect("fits");
        write!(f, "{}, {}, {}", of(*faults, "fault"), of(tuples, "tuple"), of(*nodes, "node"))
    }
}

impl Sample {
    /// The run of a failure file. What the scenario expects of many seeds, and what it draws plans
    /// from, is left out: this is one run of one plan.
    #[must_use]
    pub fn of(failure: &Failure) -> Self {
        let mut scenario = failure.scenario.clone();
        scenario.faults = Faults::default();
        scenario.sometimes.clear();
        scenario.interrupted_min.clear();
        Self { scenario, seed: failure.seed, plan: failure.plan.clone() }
    }

    /// How large it is.
    #[must_use]
    pub fn size(&self) -> Size {
        Size {
            faults: self.plan.faults.len(),
            tuples: self.scenario.workload.tuples(),
            nodes: self.scenario.cluster.nodes().len(),
        }
    }

    /// Checks that it can be run.
    ///
    /// # Errors
    /// What makes no sense.
    pub fn check(&self) -> Result<(), Invalid> {
        self.scenario.check()?;
        validate::plan(&self.plan, &self.scenario)
    }

    /// Whether the engine promises to survive its plan.
    #[must_use]
    pub fn within_promise(&self) -> bool {
        atlas::within_promise(&self.plan, &self.scenario.cluster).is_ok()
    }

    /// The same run of a build without defects.
    #[must_use]
    pub fn without_defects(&self) -> Self {
        let scenario = Scenario { defects: Vec::new(), ..self.scenario.clone() };
        Self { scenario, ..self.clone() }
    }
}

impl ShrunkFrom {
    /// What a failure was like before it shrank; of one that shrank before, what it was at first.
    #[must_use]
    pub fn of(failure: &Failure) -> Self {
        failure.shrunk_from.clone().unwrap_or_else(|| {
            let Size { tuples, nodes, .. } = Sample::of(failure).size();
            Self { plan: failure.plan.clone(), seed: failure.seed, tuples, nodes }
        })
    }
}

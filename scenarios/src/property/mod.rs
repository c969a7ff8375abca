//! Property tests with proptest: whatever breaks, each tuple that was acknowledged is at the sink
//! once.
//!
//! ```
//! let scenario = unplug::scenario::Scenario::parse("mine", r#"
//!     {"name": "mine", "workload": {"flights": {"tuples": 40, "per_second": 40}}}"#)?;
//! unplug::property::exactly_once(&scenario).cases(10).run();
//! # Ok::<(), unplug::input::Invalid>(())
//! ```
//!
//! A plan that breaks the promise is shrunk, told, and kept as a failure file in a folder, beside
//! the tests, from which each later run takes it first. `unplug replay` and `unplug shrink` take
//! such a file as well.
//!
//! The strategies stand by themselves, too: [`plans`] for what breaks, [`settings`] for what it
//! strikes.

pub mod plans;
pub mod settings;

use std::{
    fmt,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use proptest::{
    strategy::{BoxedStrategy, Just, Strategy},
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};
use unplug_sim::fault::Plan;

use crate::{
    failure::{self, Failure},
    files,
    input::Invalid,
    outcome::Outcome,
    scenario::Scenario,
    shrink::{self, Sample},
    workload::Workload,
};

/// The folder in which plans are kept that broke the promise, if none is named: in the package's.
pub const REGRESSIONS: &str = "unplug-regressions";

const SECOND: u64 = 1_000_000_000;

/// That every tuple arrives exactly once under any plan within the promise of the engine.
#[must_use]
pub fn exactly_once(scenario: &Scenario) -> Property {
    exactly_once_in(Just(scenario.clone()))
}

/// The same of any of the scenarios that are drawn, such as those of [`settings::scenario`].
#[must_use]
pub fn exactly_once_in(scenarios: impl Strategy<Value = Scenario> + 'static) -> Property {
    Property {
        scenarios: scenarios.boxed(),
        plans: None,
        faults: 0..=6,
        until_ns: None,
        cases: 256,
        shrink_runs_max: 600,
        draws: 0,
        regressions: PathBuf::from(REGRESSIONS),
    }
}

/// A property, ready to be tried.
#[derive(Clone, Debug)]
pub struct Property {
    scenarios: BoxedStrategy<Scenario>,
    plans: Option<BoxedStrategy<Plan>>,
    faults: RangeInclusive<usize>,
    until_ns: Option<u64>,
    cases: u32,
    shrink_runs_max: u32,
    draws: u8,
    regressions: PathBuf,
}

impl Property {
    /// Tries so many plans, rather than 256.
    #[must_use]
    pub fn cases(self, cases: u32) -> Self {
        Self { cases, ..self }
    }

    /// Draws so many faults a plan, rather than up to 6.
    #[must_use]
    pub fn faults(self, faults: RangeInclusive<usize>) -> Self {
        Self { faults, ..self }
    }

    /// Lets no fault begin to wait later than at this virtual time, rather than a second after the
    /// last tuple is sent.
    #[must_use]
    pub fn until_ns(self, until_ns: u64) -> Self {
        Self { until_ns: Some(until_ns), ..self }
    }

    /// Draws plans from this strategy, rather than from [`plans::any_plan`].
    #[must_use]
    pub fn plans(self, plans: impl Strategy<Value = Plan> + 'static) -> Self {
        Self { plans: Some(plans.boxed()), ..self }
    }

    /// Draws others. The same number draws the same each time, so a test gives the same result.
    #[must_use]
    pub fn draws(self, draws: u8) -> Self {
        Self { draws, ..self }
    }

    /// Keeps what breaks the promise in this folder, rather than in [`REGRESSIONS`].
    #[must_use]
    pub fn regressions(self, folder: impl Into<PathBuf>) -> Self {
        Self { regressions: folder.into(), ..self }
    }

    /// Tries what broke the promise before, then as many plans as cases are asked for.
    ///
    /// # Panics
    /// If one breaks the promise: with its verdicts, the shrunk plan, and how to see it again. Or if
    /// a kept file cannot be read, or one cannot be written.
    pub fn run(&self) {
        let told = self.told().unwrap_or_else(|error| panic!("{error}"));
        if let Some(told) = told {
            panic!("{told}");
        }
    }

    /// What there is to tell of the first plan found that breaks the promise; nothing if none does.
    ///
    /// # Errors
    /// If a kept file cannot be read, or one cannot be written.
    pub fn told(&self) -> Result<Option<String>, Invalid> {
        let workload = Workload::embedded()?;
        for path in files::list(&self.regressions, "json")? {
            let kept = Failure::parse(&path.display().to_string(), &files::read(&path)?)?;
            if let Some(found) = broken(&Sample::of(&kept), &workload)? {
                return Ok(Some(found.tell(&path)));
            }
        }
        let Some(found) = self.search(&workload)? else { return Ok(None) };
        let failure = Failure::new(&found.scenario, &found.outcome);
        let path = failure.path(&self.regressions);
        files::write_json(&path, &failure)?;
        Ok(Some(found.tell(&path)))
    }

    /// Tries plans, and shrinks the first that breaks the promise.
    ///
    /// # Errors
    /// If nothing that makes sense is drawn.
    pub fn search(&self, workload: &Workload) -> Result<Option<Broken>, Invalid> {
        let config = Config {
            cases: self.cases,
            max_shrink_iters: self.shrink_runs_max,
            failure_persistence: None,
            ..Config::default()
        };
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[self.draws; 32]);
        let tried = TestRunner::new_with_rng(config, rng).run(&self.samples(), |sample| {
            sample.check().map_err(|error| TestCaseError::reject(error.to_string()))?;
            match broken(&sample, workload) {
                Ok(None) => Ok(()),
                Ok(Some(found)) => Err(TestCaseError::fail(found.to_string())),
                // What cannot be run shows nothing, and ends the search.
                Err(error) => Err(TestCaseError::fail(error.to_string())),
            }
        });
        match tried {
            Ok(()) => Ok(None),
            Err(TestError::Fail(_, sample)) => broken(&sample, workload),
            Err(TestError::Abort(why)) => Err(Invalid::new(format!("the search ended: {why}"))),
        }
    }

    /// What is run.
    fn samples(&self) -> impl Strategy<Value = Sample> + use<> {
        let Self { plans, faults, until_ns, .. } = self.clone();
        // A plan strikes nodes of its scenario, so the two are drawn one after the other.
        self.scenarios.clone().prop_flat_map(move |scenario| {
            let until_ns = until_ns.unwrap_or_else(|| scenario.workload.sent_ns() + SECOND);
            let plans = plans.clone().unwrap_or_else(|| {
                plans::any_plan(&scenario.cluster, faults.clone(), until_ns).boxed()
            });
            (plans::seed(), plans).prop_map(move |(seed, plan)| {
                let scenario = scenario.clone();
                Sample { scenario, seed, plan }
            })
        })
    }
}

/// A run that broke the promise.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The scenario.
    pub scenario: Scenario,
    /// What the run told; its seed and its plan are in it.
    pub outcome: Outcome,
}

impl Broken {
    /// All that one needs who is to mend it. The run is kept at `path`.
    ///
    /// # Panics
    /// Never: a plan becomes JSON.
    #[must_use]
    pub fn tell(&self, path: &Path) -> String {
        let Outcome { seed, plan, .. } = &self.outcome;
        let plan = serde_json::to_string_pretty(plan).expect("plain data becomes JSON");
        let replay = failure::command(path);
        format!(
            "not exactly once:\n{self}seed: {seed}\nthe plan, shrunk:\n{plan}\nrun it again: \
             {replay}\nmake it smaller: {}\nit is kept, and tried first from now on: {}",
            replay.replacen(" replay ", " shrink ", 1),
            path.display()
        )
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut verdicts = self.outcome.verdicts.iter();
        verdicts.try_for_each(|one| writeln!(f, "  {}: {}", one.kind, one.message))
    }
}

/// Runs it, and tells if it broke the promise.
fn broken(sample: &Sample, workload: &Workload) -> Result<Option<Broken>, Invalid> {
    let outcome = shrink::outcome(sample, workload)?;
    Ok((!outcome.holds()).then(|| Broken { scenario: sample.scenario.clone(), outcome }))
}

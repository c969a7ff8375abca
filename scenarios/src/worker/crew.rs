//! The workers of a campaign: who runs which seed, and what becomes of one that costs its worker.

use std::time::Duration;

use super::{
    Answer, Order, autopsy,
    process::{Process, Program},
};
use crate::{campaign::Ran, input::Invalid, scenario::Scenario};

/// What a run may take of the machine that it really runs on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A run that is not heard of for so long does not come back.
    pub patience: Duration,
    /// The memory of one worker.
    pub memory_mib: u64,
}

/// The workers; each takes one seed at a time.
#[derive(Debug, Default)]
pub struct Crew {
    pub(crate) workers: Vec<Worker>,
}

impl Crew {
    /// So many workers, which start when they are first needed.
    #[must_use]
    pub fn new(program: &Program, jobs: usize, limits: Limits) -> Self {
        let memory = ["--memory-mib".to_owned(), limits.memory_mib.to_string()];
        let program = program.clone().with_args(&memory);
        let worker = || Worker { program: program.clone(), limits, process: None, name: None };
        Self { workers: (0..jobs).map(|_| worker()).collect() }
    }

    /// Runs of another scenario follow.
    pub(crate) fn forget_scenario(&mut self) {
        self.workers.iter_mut().for_each(|worker| worker.name = None);
    }
}

/// One worker: a process, or the next one in its place.
#[derive(Debug)]
pub(crate) struct Worker {
    program: Program,
    limits: Limits,
    process: Option<Process>,
    /// The scenario that the process knows.
    name: Option<String>,
}

impl Worker {
    /// Runs a seed, whatever it does to its process.
    ///
    /// # Errors
    /// If no process can be started.
    pub(crate) fn run(
        &mut self,
        scenario: &Scenario,
        (seed, twice): (u64, bool),
    ) -> Result<Ran, Invalid> {
        let mut process = match self.process.take() {
            Some(process) => process,
            None => {
                self.name = None;
                Process::start(&self.program)?
            }
        };
        let mut ordered = Ok(());
        if self.name.as_ref() != Some(&scenario.name) {
            ordered = process.order(&Order::Scenario(Box::new(scenario.clone())));
            self.name = Some(scenario.name.clone());
        }
        ordered = ordered.and_then(|()| process.order(&Order::Run { seed, twice }));
        // One that takes no orders is gone, and says so now.
        drop(ordered);
        let silence = loop {
            match process.answer(self.limits.patience) {
                Ok(Answer::Ran(ran)) => {
                    self.process = Some(process);
                    return Ok(*ran);
                }
                Ok(Answer::Beat | Answer::Polls(_)) => {}
                Err(silence) => break silence,
            }
        };
        let death = process.end(silence);
        autopsy::examine(&self.program, self.limits, (scenario, seed), (silence, &death))
    }
}

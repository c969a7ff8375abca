//! The sweep: every crash point of a run, and at each of them every crash state within bounds.
//!
//! A loss of power of the whole data centre leaves its disks, and what clients know; so there is no
//! need to run up to it again. One run without faults ([`course`]) gives the disks after each write
//! and each end of a sync. What a power cut may leave of them ([`images`]) is booted (`boot`),
//! each distinct set of images twice: with clients as of the first moment that may leave it, whose
//! retries would show duplicates, and as of the last one, whose acknowledgements and reads would
//! show what is lost or has gone back. At depth 2 the power is cut again during each of these
//! recoveries, up to its first commit.
//!
//! A single node's loss of power leaves the others as they are. So that is a run of its own, up to
//! the crash point and on from there ([`nodes`]).

mod boot;
pub mod command;
pub mod course;
pub mod images;
mod lost;
pub mod nodes;
pub mod report;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    panic::{self, AssertUnwindSafe},
    time::Duration,
};

use rayon::{ThreadPool, prelude::*};
use unplug_sim::fault::{Action, Edge, Fault, Plan, Point, Target, Trigger};

use self::{
    boot::{Booted, Recovery, Start},
    course::{Course, Recorder, Seconds},
    images::{Image, Tears},
};
use crate::{
    campaign,
    cluster::{self, Parts},
    input::Invalid,
    outcome::{Verdict, VerdictKind},
    run::{self, Case},
    workload::Workload,
};

/// So many images are booted for each thread before the results are looked at.
const IMAGES_AT_ONCE: usize = 32;
/// The mark of an epoch that readers may see.
const PUBLISHED: &str = "epoch.published";

/// As of when clients go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clients {
    /// As of the first moment that may leave the image.
    First,
    /// As of the last one.
    Last,
}

/// A power cut of the data centre, as it can be told and put into a plan.
#[derive(Clone, Debug)]
struct Crash {
    /// When, in virtual nanoseconds.
    at_ns: u64,
    /// How it is told.
    lines: Vec<String>,
    /// How it is planned.
    fault: Fault,
}

/// What was violated after one or more crashes.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What happened, line by line.
    pub lines: Vec<String>,
    /// The same as a plan.
    pub plan: Plan,
    /// What was violated.
    pub verdicts: Vec<Verdict>,
}

/// How much was swept, at one depth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Writes and ends of syncs after which the power was cut.
    pub operations: u64,
    /// Distinct sets of images.
    pub images: u64,
    /// Of those, sets in which one disk keeps a part of its own.
    pub torn: u64,
    /// Operations after which the disk was not torn, since it had more than
    /// [`images::PENDING_MAX`] changes pending.
    pub untorn: u64,
    /// Boots.
    pub boots: u64,
    /// Events of the simulation in all boots.
    pub events: u64,
}

/// A sweep under way.
pub struct Sweep<'a> {
    case: &'a Case<'a>,
    parts: Parts,
    names: Vec<String>,
    seed: u64,
    tears: Tears,
    depth: usize,
    pool: &'a ThreadPool,
    known: BTreeSet<u128>,
    /// By depth, from 1.
    pub counts: Vec<Counts>,
    /// What was found, in the order in which it was swept.
    pub violations: Vec<Violation>,
    /// The CPU time of all boots.
    pub cpu: Duration,
}

/// Told how far it is: of how many boots at this depth how many are done.
pub type Progress<'a> = dyn FnMut(usize, u64) + 'a;

/// The run that is swept.
#[derive(Debug)]
pub struct Base {
    /// Its moments.
    pub course: Course,
    /// What was violated without any crash.
    pub verdicts: Vec<Verdict>,
    /// How many epochs were published.
    pub epochs: u64,
}

impl<'a> Sweep<'a> {
    /// Gets a sweep of a case's run with a seed ready.
    ///
    /// # Errors
    /// If the scenario does not make sense; a checked one does.
    pub fn new(
        (case, workload): (&'a Case<'a>, &Workload),
        seed: u64,
        (tears, depth): (Tears, usize),
        pool: &'a ThreadPool,
    ) -> Result<Self, Invalid> {
        let scenario = case.scenario();
        let parts = Parts::new(scenario, seed, workload)?;
        Ok(Self {
            case,
            parts,
            names: cluster::names(scenario),
            seed,
            tears,
            depth,
            pool,
            known: BTreeSet::new(),
            counts: vec![Counts::default(); depth],
            violations: Vec::new(),
            cpu: Duration::ZERO,
        })
    }

    /// The run without faults, the same as a plain one.
    ///
    /// # Errors
    /// If it cannot be made or judged.
    pub fn base(&self, workload: &Workload) -> Result<Base, Invalid> {
        let scenario = self.case.scenario();
        let (mut world, clients) = cluster::build(scenario, self.seed, workload)?;
        let recorder = Recorder::new(&mut world, self.names.len(), &clients);
        let mut verdicts = run::drive(&mut world, &clients, scenario, &Plan::default(), None);
        run::read_files(&mut world, &clients, scenario);
        verdicts.extend(self.case.judged(&clients)?);
        let network = scenario.network;
        let quickest_ns = network.latency_ns.0.min(network.tail_ns.0);
        let epochs = world.mark_counts().get(PUBLISHED).copied().unwrap_or(0);
        Ok(Base { course: recorder.finish(&world, quickest_ns), verdicts, epochs })
    }

    /// Cuts the power of the whole data centre at every moment of a course, and boots what that
    /// leaves. Ends after the first violation, unless it is to go on.
    ///
    /// # Errors
    /// If the oracle cannot judge.
    pub fn data_centre(
        &mut self,
        course: &Course,
        go_on: GoOn,
        progress: &mut Progress<'_>,
    ) -> Result<(), Invalid> {
        self.sweep(course, &[], go_on, progress)
    }

    fn sweep(
        &mut self,
        course: &Course,
        trail: &[Crash],
        go_on: GoOn,
        progress: &mut Progress<'_>,
    ) -> Result<(), Invalid> {
        let depth = trail.len() + 1;
        let images = images::images(course, self.tears, &mut self.known);
        let torn = |image: &&Image| matches!(image.first.choice, images::Choice::Torn { .. });
        let counts = &mut self.counts[depth - 1];
        counts.operations += course.swept as u64 - 1;
        counts.images += images.len() as u64;
        counts.torn += images.iter().filter(torn).count() as u64;
        counts.untorn += images::untorn(course, self.tears) as u64;
        progress(depth, 2 * images.len() as u64);
        let at_once = IMAGES_AT_ONCE * self.pool.current_num_threads();
        for images in images.chunks(at_once) {
            let recovery =
                if depth < self.depth { Recovery::Recorded } else { Recovery::Unrecorded };
            let boots: Vec<_> = images
                .iter()
                .flat_map(|image| [(image, Clients::First), (image, Clients::Last)])
                .collect();
            let this = &*self;
            let booted: Vec<_> = self.pool.install(|| {
                let boot = |(image, clients): &(&Image, Clients)| {
                    let before = campaign::cpu_time();
                    let booted = this.boot(course, image, *clients, recovery);
                    (booted, campaign::cpu_time().saturating_sub(before))
                };
                boots.par_iter().map(boot).collect()
            });
            for ((image, clients), (booted, cpu)) in boots.into_iter().zip(booted) {
                let Booted { verdicts, events, course: again } = booted?;
                self.cpu += cpu;
                self.counts[depth - 1].boots += 1;
                self.counts[depth - 1].events += events;
                progress(depth, 0);
                if verdicts.is_empty() && again.is_none() {
                    continue;
                }
                let crash = self.crash(course, trail, image, clients);
                let trail = [trail, &[crash]].concat();
                if !verdicts.is_empty() {
                    self.violations.push(violation(&trail, verdicts));
                    if go_on == GoOn::No {
                        return Ok(());
                    }
                } else if let Some(again) = again {
                    self.sweep(&again, &trail, go_on, progress)?;
                    if go_on == GoOn::No && !self.violations.is_empty() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn boot(
        &self,
        course: &Course,
        image: &Image,
        clients: Clients,
        recovery: Recovery,
    ) -> Result<Booted, Invalid> {
        let (cut, seen, now_ns) = match clients {
            Clients::First => {
                let moment = &course.moments[image.first.moment];
                (&image.first, moment.seen, moment.at_ns)
            }
            Clients::Last => {
                let at = image.last.moment;
                // Answers that were under way have arrived.
                (&image.last, course.seen_after(at), course.over_ns(at) + course.quickest_ns)
            }
        };
        let start = Start {
            disks: cut.choice.cut(&course.moments[cut.moment].disks),
            now_ns,
            history: seen.part_of(&course.history),
            seed: Start::seed(self.seed, image.hash, clients as u8),
        };
        let booted = panic::catch_unwind(AssertUnwindSafe(|| {
            boot::boot(self.case, &self.parts, start, recovery)
        }));
        booted.unwrap_or_else(|panic| {
            let message = format!("the harness: {}", campaign::said(panic.as_ref()));
            let verdicts = vec![Verdict { kind: VerdictKind::Panicked, message }];
            Ok(Booted { verdicts, events: 0, course: None })
        })
    }

    /// A power cut in words and as a fault.
    fn crash(&self, course: &Course, trail: &[Crash], image: &Image, clients: Clients) -> Crash {
        // Counted in the world that the crash before has left.
        let begin_ns = trail.last().map_or(0, |crash| crash.at_ns + 1);
        let (cut, moment, edge) = match clients {
            Clients::First => (&image.first, course.moments.get(image.first.moment), Edge::After),
            Clients::Last => (&image.last, course.moments.get(image.last.moment + 1), Edge::Before),
        };
        let at_ns = moment.map_or(course.end_ns, |moment| moment.at_ns);
        let effect = moment.and_then(|moment| moment.effect.as_ref());
        let keep = cut.choice.keep(&self.names);
        let place = effect.map_or_else(
            || {
                if edge == Edge::After {
                    "at the start".to_owned()
                } else {
                    "at the end".to_owned()
                }
            },
            |effect| {
                let side = if edge == Edge::After { "right after" } else { "right before" };
                format!("{side} {effect}")
            },
        );
        let text = format!(
            "the data centre loses power at {} s, {place}; disks keep {}",
            Seconds(at_ns),
            lost::kept(&keep)
        );
        let mut lines = vec![text];
        lines.extend(lost::lost(course, cut, &self.names));
        let on = effect.map(|effect| Point {
            node: effect.node.clone(),
            effect: effect.kind.clone(),
            inside: None,
            nth: effect.nth,
            edge,
        });
        let from_ns = effect.map_or(at_ns, |effect| effect.from_ns.max(begin_ns));
        let what = Action::PowerLoss { target: Target::DataCentre, down_ns: 1, keep };
        let fault = Fault { when: Trigger { from_ns, on }, what, until: None };
        Crash { at_ns, lines, fault }
    }
}

/// Whether a sweep goes on after a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoOn {
    /// To its end.
    Yes,
    /// It does not.
    No,
}

fn violation(trail: &[Crash], verdicts: Vec<Verdict>) -> Violation {
    Violation {
        lines: trail.iter().flat_map(|crash| crash.lines.clone()).collect(),
        plan: Plan { faults: trail.iter().map(|crash| crash.fault.clone()).collect() },
        verdicts,
    }
}

impl std::fmt::Debug for Sweep<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sweep")
            .field("seed", &self.seed)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

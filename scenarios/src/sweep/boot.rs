//! One boot: a new world on the disks that a power cut left, with clients that go on from what they
//! had seen, until all is delivered and read again; then the oracle judges all of it, from before
//! the cut to the end.
//!
//! Nothing breaks in it, and its network loses nothing, so that it is short. Its schedule is drawn
//! from the image.

use std::rc::Rc;

use unplug_sim::{DiskTiming, NetworkConfig, Stop, World, WorldConfig, disk::Disk};
use xxhash_rust::xxh3::xxh3_64;

use super::course::{Course, Recorder};
use crate::{
    clients::Clients,
    cluster::{self, Parts, Standing},
    history::History,
    input::Invalid,
    outcome::{Verdict, VerdictKind},
    run::{self, Case},
};

/// How often the harness looks whether it is over, in virtual time.
const LOOK_EVERY_NS: u64 = 20_000_000;
/// A boot's network: the latency of a datagram.
const LATENCY_NS: (u64, u64) = (50_000, 200_000);
/// From power on to the program's first instruction.
const BOOT_NS: (u64, u64) = (1_000_000, 20_000_000);
/// The first decision after the cut.
const COMMIT: &str = "commit.decided";

/// What is booted.
#[derive(Debug)]
pub(super) struct Start {
    /// The disks of the data centre's nodes.
    pub(super) disks: Vec<Disk>,
    /// When the power is back, in virtual nanoseconds.
    pub(super) now_ns: u64,
    /// What clients have seen.
    pub(super) history: History,
    /// From it the schedule is drawn.
    pub(super) seed: u64,
}

impl Start {
    /// A seed for a boot of an image.
    #[must_use]
    pub(super) fn seed(seed: u64, image: u128, boot: u8) -> u64 {
        xxh3_64(&[&seed.to_le_bytes()[..], &image.to_le_bytes(), &[boot]].concat())
    }
}

/// What a boot came to.
#[derive(Debug)]
pub(super) struct Booted {
    /// What was violated.
    pub(super) verdicts: Vec<Verdict>,
    /// Events of the simulation.
    pub(super) events: u64,
    /// The recovery, up to the first commit, if it was asked for.
    pub(super) course: Option<Course>,
}

/// What becomes of a boot's recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// It is written down, to be cut again.
    Recorded,
    /// It is not.
    Unrecorded,
}

/// Boots.
///
/// # Errors
/// If the oracle cannot judge.
pub(super) fn boot(
    case: &Case<'_>,
    parts: &Parts,
    start: Start,
    recovery: Recovery,
) -> Result<Booted, Invalid> {
    let scenario = case.scenario();
    let Start { disks, now_ns, history, seed } = start;
    let config = WorldConfig {
        network: NetworkConfig {
            latency_ns: LATENCY_NS,
            tail: (0, 1),
            loss: (0, 1),
            duplication: (0, 1),
            ..NetworkConfig::default()
        },
        clocks: scenario.clocks,
        disk: scenario.hardware.disk(DiskTiming::default().glitches),
        bandwidth: scenario.hardware.bandwidth(&scenario.state),
        boot_ns: BOOT_NS,
        events_max: scenario.bounds.events_max,
        ..WorldConfig::new(seed)
    };
    let nodes = disks.len();
    let standing = Standing { now_ns, disks, history };
    let (mut world, clients) = cluster::resume(scenario, parts, config, standing);
    let recorder = (recovery == Recovery::Recorded).then(|| {
        world.watch(COMMIT);
        Recorder::new(&mut world, nodes, &clients)
    });
    let mut verdicts = drive(&mut world, &clients, case);
    let broken_off = !verdicts.is_empty();
    run::read_files(&mut world, &clients, scenario);
    let judged = case.judged(&clients)?.into_iter();
    verdicts.extend(judged.filter(|one| !broken_off || one.kind != VerdictKind::Stuck));
    if verdicts.is_empty() {
        verdicts.extend(run::leaked(&mut world, &clients, scenario));
    }
    let course = recorder.map(|recorder| {
        let mut course = recorder.finish(&world, LATENCY_NS.0);
        if let Some(commit) = world.mark_hits().first() {
            course.swept = course.moments.partition_point(|moment| moment.at_ns <= commit.at_ns);
        }
        course
    });
    Ok(Booted { verdicts, events: world.events(), course })
}

/// Lets the world run until all is delivered and read again, or there is no hope.
fn drive(world: &mut World, clients: &Rc<Clients>, case: &Case<'_>) -> Vec<Verdict> {
    let scenario = case.scenario();
    let readers = usize::try_from(scenario.cluster.readers).expect("fits");
    let stuck_ns = world.now_ns() + scenario.bounds.stuck_after_ns;
    let verdict = |kind, message: String| vec![Verdict { kind, message }];
    loop {
        let stop = world.run_until(world.now_ns() + LOOK_EVERY_NS);
        if let Some(ended) = world.ended().first() {
            let kind = match ended.end {
                unplug_sim::End::Panic => VerdictKind::Panicked,
                unplug_sim::End::Refusal | unplug_sim::End::Failure => VerdictKind::RefusedWrongly,
            };
            let name = world.name(ended.node);
            return verdict(kind, format!("{name} at {} ns: {}", ended.at_ns, ended.message));
        }
        if stop == Stop::OverBudget {
            return verdict(VerdictKind::OverBudget, format!("{} events", world.events()));
        }
        if clients.finished.get() == readers {
            return Vec::new();
        }
        if world.now_ns() > stuck_ns {
            return verdict(VerdictKind::Stuck, run::undelivered(clients));
        }
        if clients.delivered() {
            clients.ending.set(true);
        }
    }
}

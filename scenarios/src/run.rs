//! One run: a scenario, a seed and a plan in, an outcome out. Nothing else goes in, so the same
//! run can be had again anywhere.

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::OnceLock,
};

use unplug_engine::steps::Step;
use unplug_sim::{Crash, Event, Fired, Recorder, Watcher, World, env::FileKind, fault::Plan};

use crate::{
    clients::Clients,
    cluster, endings, generate,
    history::{Cell, Read, TupleId},
    input::Invalid,
    model::Model,
    oracle::{
        self, Sent, Setting, files,
        leaks::{self, Bounds, DiskFile},
    },
    outcome::{Digest, Outcome, Verdict, VerdictKind},
    scenario::{Scenario, Sink},
    timing,
    workload::{Input, Workload},
};

/// How often the harness looks whether the run is over, in virtual time.
const LOOK_EVERY_NS: u64 = 50_000_000;

/// How often the digest is kept, in virtual time.
pub const DIGEST_EVERY_NS: u64 = 1_000_000_000;

/// So long after the last fault began to wait, those whose effects have not come do not happen any
/// more.
pub(crate) const ARMED_NS_MAX: u64 = 5_000_000_000;

/// A scenario made ready to be run with many seeds, on many threads.
#[derive(Debug)]
pub struct Case<'a> {
    scenario: &'a Scenario,
    workload: &'a Workload,
    model: Model,
    /// What the model makes of each flight, computed when it is first asked for:
    /// runs share most lines.
    rows: Vec<OnceLock<Result<Option<Vec<Cell>>, Invalid>>>,
    watcher: Option<Watcher>,
}

impl<'a> Case<'a> {
    /// Makes a scenario ready.
    ///
    /// # Errors
    /// If its pipeline cannot run, or the oracle has no model of it.
    pub fn new(scenario: &'a Scenario, workload: &'a Workload) -> Result<Self, Invalid> {
        cluster::pipeline(scenario)?;
        let rows = (0..workload.lines()).map(|_| OnceLock::new()).collect();
        let model = cluster::model(scenario)?;
        Ok(Self { scenario, workload, model, rows, watcher: None })
    }

    /// The same, with all runs watched from outside.
    #[must_use]
    pub fn watched(self, watcher: Watcher) -> Self {
        Self { watcher: Some(watcher), ..self }
    }

    /// The scenario.
    #[must_use]
    pub fn scenario(&self) -> &'a Scenario {
        self.scenario
    }

    /// Runs it with a seed, under `plan` or the plan generated for the seed.
    #[must_use]
    pub fn run(&self, seed: u64, plan: Option<&Plan>) -> Outcome {
        self.attempt(seed, plan, None)
    }

    /// The same run, with each event of its trace handed to `out`.
    pub fn trace(&self, seed: u64, plan: Option<&Plan>, out: &mut dyn FnMut(Event)) -> Outcome {
        self.attempt(seed, plan, Some(out))
    }

    /// The same run, with what its clients saw; a listener is told of marks, of what node code says,
    /// and of what befalls the nodes.
    pub(crate) fn witness(
        &self,
        seed: u64,
        plan: &Plan,
        listener: Recorder,
    ) -> (Outcome, Option<Rc<Clients>>) {
        match self.try_run((seed, plan), Some(listener), None) {
            Ok((outcome, clients)) => (outcome, Some(clients)),
            Err(error) => (broken(seed, plan.clone(), &error), None),
        }
    }

    /// Runs without a fault until virtual time `until_ns`, with a listener.
    ///
    /// # Errors
    /// If the run cannot be made.
    pub(crate) fn listen(
        &self,
        seed: u64,
        until_ns: u64,
        listener: Recorder,
    ) -> Result<(), Invalid> {
        let (mut world, _) = cluster::build(self.scenario, seed, self.workload)?;
        world.listen(listener);
        world.run_until(until_ns);
        Ok(())
    }

    /// The same run until virtual time `until_ns`, where it is looked at, or to its end if that
    /// comes before.
    ///
    /// # Errors
    /// If the run cannot be made.
    pub fn stop_at(
        &self,
        seed: u64,
        plan: Option<&Plan>,
        until_ns: u64,
        out: &mut dyn FnMut(Event),
    ) -> Result<Stopped, Invalid> {
        let Self { scenario, workload, .. } = self;
        let plan = plan.cloned().unwrap_or_else(|| generate::plan(scenario, seed));
        let (mut world, clients) = cluster::build(scenario, seed, workload)?;
        world.load(&plan).map_err(|error| Invalid::new(error.to_string()))?;
        timing::WATCHED.into_iter().for_each(|mark| world.watch(mark));
        let run = (*scenario, &plan);
        drive_until((&mut world, &clients), run, Some(until_ns), &mut Vec::new(), Some(out));
        Ok(Stopped { world, clients, plan })
    }

    fn attempt(
        &self,
        seed: u64,
        plan: Option<&Plan>,
        out: Option<&mut dyn FnMut(Event)>,
    ) -> Outcome {
        let plan = plan.cloned().unwrap_or_else(|| generate::plan(self.scenario, seed));
        match self.try_run((seed, &plan), None, out) {
            Ok((outcome, _)) => outcome,
            Err(error) => broken(seed, plan, &error),
        }
    }

    fn try_run(
        &self,
        (seed, plan): (u64, &Plan),
        listener: Option<Recorder>,
        out: Option<&mut dyn FnMut(Event)>,
    ) -> Result<(Outcome, Rc<Clients>), Invalid> {
        let Self { scenario, workload, .. } = self;
        let (mut world, clients) = cluster::build(scenario, seed, workload)?;
        world.load(plan).map_err(|error| Invalid::new(error.to_string()))?;
        listener.into_iter().for_each(|listener| world.listen(listener));
        self.watcher.into_iter().for_each(|watcher| world.watch_over(watcher));
        timing::WATCHED.into_iter().for_each(|mark| world.watch(mark));
        let mut digests = Vec::new();
        let run = (*scenario, plan);
        let mut verdicts = drive_until((&mut world, &clients), run, None, &mut digests, out);
        // A run that was broken off had no time to deliver all.
        let broken_off = !verdicts.is_empty();
        read_files(&mut world, &clients, scenario);
        match self.judged(&clients) {
            Ok(judged) => verdicts.extend(
                judged.into_iter().filter(|one| !broken_off || one.kind != VerdictKind::Stuck),
            ),
            Err(error) => {
                let message = format!("the oracle could not judge: {error}");
                verdicts.push(Verdict { kind: VerdictKind::NotMeasured, message });
            }
        }
        if verdicts.is_empty() {
            verdicts.extend(cluster::dead_letters(&mut world, &clients, scenario));
            verdicts.extend(leaked(&mut world, &clients, scenario));
        }
        let outcome = outcome(scenario, (seed, plan), (&world, &clients), verdicts);
        Ok((Outcome { digests, ..outcome }, clients))
    }

    /// The oracle's word.
    ///
    /// # Errors
    /// If the model cannot work an input out.
    pub fn judged(&self, clients: &Clients) -> Result<Vec<Verdict>, Invalid> {
        let rows: Vec<Vec<_>> = clients
            .inputs
            .iter()
            .map(|inputs| inputs.iter().map(|input| self.row(input)).collect())
            .collect::<Result<_, _>>()?;
        let sent = |id: TupleId| {
            let (place, input) = clients.input(id)?;
            Some(Sent {
                time_ms: input.event_ms,
                key: &input.key,
                row: (*rows[usize::from(id.producer)][place]).as_deref(),
                line: &input.value,
                closing: input.closing,
            })
        };
        let setting = Setting {
            sent: &sent,
            inputs: clients.total() as u64,
            partitions: usize::from(clients.partitions_last()),
            partitions_first: usize::from(clients.partitions),
            sinks: self.model.sinks(),
            window: self.model.window(),
            graph: self.model.graph(),
        };
        Ok(oracle::judge(&clients.history.borrow(), &setting))
    }

    /// What the model makes of an input.
    fn row(&self, input: &Input) -> Result<Cow<'_, Option<Vec<Cell>>>, Invalid> {
        match input.line {
            // The whole pipeline's model reads lines by itself.
            _ if self.model.graph().is_some() => Ok(Cow::Owned(Some(Vec::new()))),
            Some(line) => {
                let row = self.rows[line].get_or_init(|| self.model.row(&input.value));
                row.as_ref().map(Cow::Borrowed).map_err(Clone::clone)
            }
            None => self.model.row(&input.value).map(Cow::Owned),
        }
    }
}

/// A run that was stopped to be looked at.
#[derive(Debug)]
pub struct Stopped {
    /// The world, as it stands.
    pub world: World,
    /// What clients saw so far.
    pub clients: Rc<Clients>,
    /// The plan.
    pub plan: Plan,
}

/// Makes a scenario ready and runs it once: see [`Case`].
#[must_use]
pub fn run(scenario: &Scenario, seed: u64, plan: Option<&Plan>, workload: &Workload) -> Outcome {
    match Case::new(scenario, workload) {
        Ok(case) => case.run(seed, plan),
        Err(error) => broken(seed, plan.cloned().unwrap_or_default(), &error),
    }
}

/// The same run, with each event of its trace handed to `out`.
pub fn trace(
    scenario: &Scenario,
    seed: u64,
    plan: Option<&Plan>,
    workload: &Workload,
    out: &mut dyn FnMut(Event),
) -> Outcome {
    match Case::new(scenario, workload) {
        Ok(case) => case.trace(seed, plan, out),
        Err(error) => broken(seed, plan.cloned().unwrap_or_default(), &error),
    }
}

pub(crate) fn broken(seed: u64, plan: Plan, error: &Invalid) -> Outcome {
    let message = format!("the run could not be made: {error}");
    Outcome::broken(seed, plan, Verdict { kind: VerdictKind::NotMeasured, message })
}

/// Lets the world run until all is delivered and all faults are over, or there is no hope. Tells
/// what went wrong that is no matter of the history.
pub(crate) fn drive(
    world: &mut World,
    clients: &Clients,
    scenario: &Scenario,
    plan: &Plan,
    out: Option<&mut dyn FnMut(Event)>,
) -> Vec<Verdict> {
    drive_until((world, clients), (scenario, plan), None, &mut Vec::new(), out)
}

/// The same, until a moment at the latest.
fn drive_until(
    (world, clients): (&mut World, &Clients),
    (scenario, plan): (&Scenario, &Plan),
    until_ns: Option<u64>,
    digests: &mut Vec<Digest>,
    mut out: Option<&mut dyn FnMut(Event)>,
) -> Vec<Verdict> {
    let events: Rc<RefCell<Vec<Event>>> = Rc::default();
    if out.is_some() {
        let events = Rc::clone(&events);
        world.record(Box::new(move |event| events.borrow_mut().push(event)));
    }
    let readers = usize::try_from(scenario.cluster.readers).expect("fits");
    let last_armed_ns = plan.faults.iter().map(|fault| fault.when.from_ns).max().unwrap_or(0);
    let mut patience = Patience {
        faults: plan.faults.len(),
        disarm_ns: last_armed_ns + ARMED_NS_MAX,
        last_due_ns: clients.last_due_ns(),
        stuck_after_ns: scenario.bounds.stuck_after_ns,
        calm: false,
    };
    loop {
        let look_ns = world.now_ns() + LOOK_EVERY_NS;
        world.run_until(until_ns.map_or(look_ns, |until_ns| look_ns.min(until_ns)));
        if let Some(out) = &mut out {
            events.borrow_mut().drain(..).for_each(&mut *out);
        }
        if until_ns.is_some_and(|until_ns| world.now_ns() >= until_ns) {
            return Vec::new();
        }
        if world.now_ns().is_multiple_of(DIGEST_EVERY_NS) {
            digests.push(Digest(world.digest().value()));
        }
        let verdict = |kind, message: String| vec![Verdict { kind, message }];
        let mut verdicts = endings::unexplained(world, plan);
        verdicts.extend(endings::over_budget(world, &scenario.bounds));
        if !verdicts.is_empty() {
            return verdicts;
        }
        if clients.finished.get() == readers {
            return Vec::new();
        }
        if patience.is_over(world) {
            if !clients.delivered() {
                return verdict(VerdictKind::Stuck, undelivered(clients));
            }
            let message = format!(
                "all was delivered, but only {} of {readers} readers could read it all again",
                clients.finished.get()
            );
            return verdict(VerdictKind::Stuck, message);
        }
        if patience.calm && clients.delivered() {
            clients.ending.set(true);
        }
    }
}

/// How far a run came that did not deliver all, in one line.
pub(crate) fn undelivered(clients: &Clients) -> String {
    let (acknowledged, total) = (clients.acknowledged(), clients.total());
    let mut message =
        format!("not all was delivered: {acknowledged} of {total} tuples were acknowledged");
    let history = clients.history.borrow();
    for (sink, _) in (0u16..).zip(&clients.sinks) {
        let reads = history.reads.iter().filter(|read| read.sink == sink);
        let last = reads.flat_map(|read| &read.batches).max_by_key(|batch| batch.epoch);
        message += &last.map_or_else(
            || format!("; sink {sink} shows nothing"),
            |batch| {
                let (epoch, cut) = (batch.epoch, &batch.cut);
                let (ends, watermark_ms) = (&cut.ends, cut.watermark_ms);
                format!(
                    "; sink {sink} shows epoch {epoch}, up to {ends:?}, watermark {watermark_ms} ms"
                )
            },
        );
    }
    message
}

/// How long a run may go on.
struct Patience {
    faults: usize,
    disarm_ns: u64,
    last_due_ns: u64,
    stuck_after_ns: u64,
    /// All faults are over and all nodes are back.
    calm: bool,
}

impl Patience {
    /// Whether all should have been delivered long ago.
    fn is_over(&mut self, world: &mut World) -> bool {
        let now_ns = world.now_ns();
        if now_ns >= self.disarm_ns {
            world.disarm();
        }
        if world.fired_count() < self.faults && now_ns < self.disarm_ns {
            return false;
        }
        let healed_ns = world.fired().iter().map(|fired| fired.back_ns).max().unwrap_or(0);
        self.calm = now_ns >= healed_ns;
        now_ns > healed_ns.max(self.last_due_ns) + self.stuck_after_ns
    }
}

/// Reads the disks of sinks that have files, beside all readers and as one more of them.
pub(crate) fn read_files(world: &mut World, clients: &Clients, scenario: &Scenario) {
    if scenario.sink != Sink::Files {
        return;
    }
    let now_ns = world.now_ns();
    let reader = u16::try_from(scenario.cluster.readers).expect("checked: at most 16");
    for (number, sink) in (0..).zip(&clients.sinks) {
        let left = world.disk(*sink, |disk| disk.durable_tree());
        let mut history = clients.history.borrow_mut();
        match files::batches(&left, number) {
            Ok(batches) => history.reads.push(Read {
                asked_ns: now_ns,
                at_ns: now_ns,
                reader,
                sink: number,
                from: 0,
                end: batches.len() as u64,
                batches,
            }),
            Err(error) => {
                let name = world.name(*sink);
                history.undecodable.push((now_ns, format!("the disk of {name}: {error}")));
            }
        }
    }
}

/// Judges what the stores hold.
pub(crate) fn leaked(world: &mut World, clients: &Clients, scenario: &Scenario) -> Vec<Verdict> {
    let mut files = Vec::new();
    for store in cluster::stores(scenario) {
        let node = world.name(store);
        let tree = world.disk(store, |disk| disk.tree());
        let held = tree.into_iter().filter(|(_, (kind, _))| *kind == FileKind::File);
        files.extend(held.map(|(path, (_, content))| DiskFile {
            node: node.clone(),
            path,
            bytes: content.len() as u64,
        }));
    }
    let stages = cluster::pipeline(scenario).map_or(1, |pipeline| pipeline.stages().max(1));
    let state = usize::from(scenario.state_partitions) * stages;
    leaks::leaks(&files, &Bounds::of(clients.partitions_last().into(), state))
}

fn outcome(
    scenario: &Scenario,
    (seed, plan): (u64, &Plan),
    (world, clients): (&World, &Clients),
    mut verdicts: Vec<Verdict>,
) -> Outcome {
    let hits = world.mark_hits();
    let throttled =
        if scenario.speculates(seed) { "throttled" } else { "throttled_without_speculation" };
    let (fired, crashes) = (world.fired(), world.crashes());
    let tuples = clients.acknowledged() as u64;
    for (count, what) in [
        (tuples, "no tuple was acknowledged"),
        (fired.len() as u64, "no fault happened"),
        (clients.history.borrow().reads.len() as u64, "no reader read"),
    ] {
        if count == 0 {
            verdicts.push(Verdict { kind: VerdictKind::NotMeasured, message: what.to_owned() });
        }
    }
    verdicts.sort_by_key(|verdict| verdict.kind);
    let mut faults = BTreeMap::new();
    for one in &fired {
        *faults.entry(one.kind.to_owned()).or_default() += 1;
    }
    let cuts = || fired.iter().filter(|one| one.kind == "power_loss");
    let unsynced =
        |cut: &&Fired| crashes.iter().any(|crash| crash.fault == cut.fault && crash.unsynced > 0);
    Outcome {
        seed,
        digest: Digest(world.digest().value()),
        digests: Vec::new(),
        verdicts,
        tuples,
        faults,
        crashes: crashes.iter().filter(|crash| crash.running).count() as u64,
        power_cuts: cuts().count() as u64,
        power_cuts_unsynced: cuts().filter(unsynced).count() as u64,
        steps_interrupted: interrupted(&crashes),
        marks: marks(world),
        recovery_ns: timing::recoveries(&hits, &fired),
        epoch_ns: timing::epochs(&hits, &fired, throttled),
        virtual_ns: world.now_ns(),
        events: world.events(),
        plan: plan.clone(),
    }
}

/// How many faults fell inside of each step: a node that they struck had begun it and not ended it.
fn interrupted(crashes: &[Crash]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for step in Step::ALL {
        let inside = |crash: &&Crash| {
            let passed = |mark| crash.marks.get(mark).copied().unwrap_or(0);
            passed(step.begin()) > passed(step.end())
        };
        let faults: BTreeSet<_> = crashes.iter().filter(inside).map(|crash| crash.fault).collect();
        counts.insert(step.name().to_owned(), faults.len() as u64);
    }
    counts
}

/// How often nodes passed each mark.
fn marks(world: &World) -> BTreeMap<String, u64> {
    world.mark_counts().into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;

    #[test]
    fn struck_nodes_do_not_even_panic() {
        let workload = Workload::embedded().expect("sound");
        for scenario in suite::suite(suite::DEFAULT).expect("there") {
            for seed in 0..8 {
                let plan = generate::plan(&scenario, seed);
                let (mut world, clients) =
                    cluster::build(&scenario, seed, &workload).expect("sound");
                world.load(&plan).expect("of these nodes");
                let ends = drive(&mut world, &clients, &scenario, &plan, None);
                assert!(ends.is_empty() || scenario.name == "damaged-copies", "{ends:?}");
                assert!(world.fired_count() > 0);
                assert_eq!(world.panics_after_crash(), 0, "{}, seed {seed}", scenario.name);
            }
        }
    }

    #[test]
    fn a_run_out_of_patience_that_has_not_delivered_all_is_stuck() {
        let workload = Workload::embedded().expect("sound");
        let mut scenario = suite::suite(suite::DEFAULT).expect("there").swap_remove(0);
        scenario.bounds.stuck_after_ns = 0;
        let (mut world, clients) = cluster::build(&scenario, 0, &workload).expect("sound");
        let verdicts = drive(&mut world, &clients, &scenario, &Plan::default(), None);
        assert!(!clients.delivered());
        let [Verdict { kind: VerdictKind::Stuck, message }] = &verdicts[..] else {
            panic!("{verdicts:?}");
        };
        assert!(message.contains("tuples were acknowledged; sink 0 shows"), "{message}");
    }

    #[test]
    fn a_fault_counts_once_for_each_step_that_it_cuts_short() {
        let crash = |fault, node, marks: &[(&'static str, u64)]| Crash {
            fault,
            node: unplug_sim::env::NodeId(node),
            at_ns: 0,
            power: true,
            running: true,
            unsynced: 0,
            marks: marks.iter().copied().collect(),
        };
        let crashes = [
            crash(0, 1, &[("commit.begin", 2), ("commit.end", 1)]),
            crash(0, 2, &[("commit.begin", 1), ("apply.begin", 3), ("apply.end", 3)]),
            crash(1, 1, &[("commit.begin", 1), ("blobs.begin", 4), ("blobs.end", 3)]),
        ];
        let counts = interrupted(&crashes);
        let want = [0, 0, 0, 1, 2, 0, 0];
        assert_eq!(Step::ALL.map(|step| counts[step.name()]), want);
    }
}

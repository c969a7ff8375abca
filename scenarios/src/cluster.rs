//! A scenario's cluster as a world: nodes in the order of [`crate::topology`], disks formatted,
//! nothing started.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use unplug_engine::{
    Cluster, Config, Role, SinkKind,
    defect::Defects,
    pipeline::{Pipeline, Spec},
};
use unplug_sim::{
    SimEnv, Site, World, WorldConfig,
    disk::{Disk, Profile},
    env::NodeId,
};

use crate::{
    administrator,
    clients::{self, Addition, Clients, InFiles},
    defects, feeders,
    history::History,
    input::{self, Invalid, unknown},
    members::{self, Stay},
    model::Model,
    outcome::Verdict,
    scenario::{Generated, Scenario, Sink, Source, Trigger},
    topology,
    workload::{self, Input, Workload, closing},
};

/// The engine's pipeline of a scenario.
///
/// # Errors
/// If the scenario's JSON is no pipeline, or none that can run, or a name that none has.
pub fn spec(scenario: &Scenario) -> Result<Spec, Invalid> {
    let Some(json) = &scenario.pipeline else { return Ok(Spec::flights()) };
    if let Some(name) = json.as_str() {
        let known = || Invalid::at("pipeline", unknown("pipeline", name, Spec::NAMES));
        return Spec::named(name).ok_or_else(known);
    }
    input::parse_part("pipeline", json)
}

/// Checks a scenario's pipeline, as a part of checking the scenario.
///
/// # Errors
/// What is wrong with it.
pub fn pipeline(scenario: &Scenario) -> Result<Pipeline, Invalid> {
    Pipeline::new(&spec(scenario)?).map_err(|error| Invalid::new(error.to_string()))
}

/// How many sinks a pipeline has, and why.
#[must_use]
pub fn sinks(pipeline: &Pipeline) -> (usize, &'static str) {
    match pipeline.sinks() {
        1 => (1, "one for its rows"),
        more => (more, "one for each that it names"),
    }
}

/// The oracle's model of a scenario's pipeline.
///
/// # Errors
/// If the model does not know such a pipeline.
pub fn model(scenario: &Scenario) -> Result<Model, Invalid> {
    match &scenario.pipeline {
        Some(json) if !json.is_string() => Model::new(json),
        Some(_) | None => {
            let json = serde_json::to_value(spec(scenario)?);
            Model::new(&json.map_err(|error| Invalid::at("pipeline", error.to_string()))?)
        }
    }
}

/// The world of one run, ready to start, and its clients.
///
/// # Errors
/// If the scenario does not make sense; a checked one does.
pub fn build(
    scenario: &Scenario,
    seed: u64,
    workload: &Workload,
) -> Result<(World, Rc<Clients>), Invalid> {
    let config = Rc::new(config(scenario, seed)?);
    let clients = Rc::new(clients(&config, sends(scenario, seed, workload)?));
    let mut world = World::new(WorldConfig {
        network: scenario.network,
        clocks: scenario.clocks,
        disk: scenario.hardware.disk(scenario.disk.glitches),
        bandwidth: scenario.hardware.bandwidth(&scenario.state),
        events_max: scenario.bounds.events_max,
        in_flight_bytes_max: scenario.bounds.in_flight_bytes_max,
        disk_bytes_max: scenario.bounds.disk_bytes_max,
        ..WorldConfig::new(seed)
    });
    let stays = members::stays(scenario);
    for (role, index) in engine_nodes(scenario) {
        let node = add(&mut world, (role, index), &config, &stays);
        let disk = format((role, index), scenario.disk.of(role, seed), &config)?;
        world.disk(node, |blank| *blank = disk);
        world.start(node);
    }
    add_clients(&mut world, scenario, &clients);
    add_joined(&mut world, scenario, &config);
    Ok((world, clients))
}

/// What is the same in all worlds of a scenario and a seed.
#[derive(Debug)]
pub(crate) struct Parts {
    config: Config,
    sends: Sends,
}

impl Parts {
    /// Gets the parts ready.
    ///
    /// # Errors
    /// As [`build`].
    pub(crate) fn new(
        scenario: &Scenario,
        seed: u64,
        workload: &Workload,
    ) -> Result<Self, Invalid> {
        let sends = sends(scenario, seed, workload)?;
        Ok(Self { config: config(scenario, seed)?, sends })
    }
}

/// From what a cluster goes on.
#[derive(Debug)]
pub(crate) struct Standing {
    /// The virtual time.
    pub(crate) now_ns: u64,
    /// The disks of the data centre's nodes, in the order of their numbers.
    pub(crate) disks: Vec<Disk>,
    /// What clients have seen.
    pub(crate) history: History,
}

/// The world of a cluster that goes on from its disks and from what its clients have seen, ready to
/// start. All input that was not acknowledged is due at once.
pub(crate) fn resume(
    scenario: &Scenario,
    parts: &Parts,
    config: WorldConfig,
    standing: Standing,
) -> (World, Rc<Clients>) {
    let Parts { config: engine, sends } = parts;
    let Standing { now_ns, disks, history } = standing;
    let mut sends = sends.clone();
    sends.additions.iter_mut().for_each(|one| one.at_ns = one.at_ns.min(now_ns));
    for input in sends.inputs.iter_mut().flatten() {
        input.due_ns = input.due_ns.min(now_ns);
    }
    for file in sends.files.iter_mut().flat_map(|files| &mut files.written) {
        file.grows.iter_mut().for_each(|(due_ns, _)| *due_ns = (*due_ns).min(now_ns));
    }
    let clients = clients(engine, sends).having_seen(history);
    let (clients, engine) = (Rc::new(clients), Rc::new(engine.clone()));
    let mut world = World::starting_at(now_ns, config);
    let stays = members::stays(scenario);
    for (node, disk) in engine_nodes(scenario).zip(disks) {
        let node = add(&mut world, node, &engine, &stays);
        world.disk(node, |blank| *blank = disk);
        world.start(node);
    }
    add_clients(&mut world, scenario, &clients);
    add_joined(&mut world, scenario, &engine);
    (world, clients)
}

/// Adds the executors that join later.
fn add_joined(world: &mut World, scenario: &Scenario, config: &Rc<Config>) {
    let stays = members::stays(scenario);
    for (name, _) in members::joined(scenario) {
        let node = add_member(world, &name, config, stays[&name]);
        world.start(node);
    }
}

fn add_member(world: &mut World, name: &str, config: &Rc<Config>, stay: Stay) -> NodeId {
    let shared = Rc::clone(config);
    let program = move |env| members::run(env, Rc::clone(&shared), stay);
    world.add_node(name, Site::DataCentre, program)
}

fn add_clients(world: &mut World, scenario: &Scenario, clients: &Rc<Clients>) {
    let producers = scenario.cluster.producers;
    for number in (0..=u16::MAX).take_while(|number| u32::from(*number) < producers) {
        let shared = Rc::clone(clients);
        let name = topology::Role::Producer.node(number.into());
        let program = move |env| clients::producer(env, number, Rc::clone(&shared));
        let node = world.add_node(&name, Site::Outside, program);
        if let Some(files) = &clients.files {
            world.disk(node, |disk| *disk = feeders::blank_disk(files.profile));
        }
        world.start(node);
    }
    for number in (0..=u16::MAX).take_while(|number| u32::from(*number) < scenario.cluster.readers)
    {
        let shared = Rc::clone(clients);
        let name = topology::reader(number.into());
        let program = move |env| clients::reader(env, number, Rc::clone(&shared));
        let node = world.add_node(&name, Site::Outside, program);
        world.start(node);
    }
    if !clients.additions.is_empty() {
        let shared = Rc::clone(clients);
        let program = move |env| administrator::run(env, Rc::clone(&shared));
        let node = world.add_node(administrator::NAME, Site::Outside, program);
        world.start(node);
    }
}

/// All that clients will send, and the watermark that closes its windows. Where there are windows,
/// closing tuples come last.
fn sends(scenario: &Scenario, seed: u64, workload: &Workload) -> Result<Sends, Invalid> {
    let partitions = partitions(scenario);
    let additions: Vec<_> = additions(scenario).collect();
    let source = match scenario.workload {
        // Their lines are broken in the files.
        Source::Generated(made) if scenario.files.is_some() => {
            Source::Generated(Generated { broken: (0, 1), ..made })
        }
        source @ (Source::Generated(_) | Source::Flights(_)) => source,
    };
    let mut inputs = workload.inputs(seed, &source, scenario.cluster.producers, partitions);
    let mut watermark_ms = 0;
    let model = model(scenario)?;
    if model.span_ms().is_some() {
        let later: Vec<_> = additions.iter().map(|one| one.partitions).collect();
        closing::add(&mut inputs, &model, partitions, &later);
        watermark_ms = closing::watermark_ms(&inputs, &model);
    }
    workload::number(&mut inputs);
    let files = scenario.files.map(|format| {
        let written = workload::lines::lay_out(&mut inputs, format, broken(scenario), seed);
        // What stands in a file is not to be lost.
        let profile = scenario.disk.of(topology::Role::Broker, seed);
        InFiles { format, written, profile }
    });
    Ok(Sends { inputs, watermark_ms, files, additions })
}

/// What clients will send, in files or not, and the watermark that closes its windows.
#[derive(Clone, Debug)]
struct Sends {
    inputs: Vec<Vec<Input>>,
    watermark_ms: u64,
    files: Option<InFiles>,
    additions: Vec<Addition>,
}

/// How often a line is broken.
fn broken(scenario: &Scenario) -> (u32, u32) {
    match scenario.workload {
        Source::Flights(_) => (0, 1),
        Source::Generated(made) => made.broken,
    }
}

/// Judges the dead letters of the files.
pub(crate) fn dead_letters(
    world: &mut World,
    clients: &Clients,
    scenario: &Scenario,
) -> Vec<Verdict> {
    let Some(files) = &clients.files else { return Vec::new() };
    let first = engine_nodes(scenario).count();
    let mut verdicts = Vec::new();
    for (written, number) in files.written.iter().zip(first..) {
        let node = NodeId(u16::try_from(number).expect("few nodes"));
        let left = world.disk(node, |disk| disk.durable_tree());
        verdicts.extend(feeders::dead_letters(&left, &world.name(node), written));
    }
    verdicts
}

fn partitions(scenario: &Scenario) -> u16 {
    u16::try_from(scenario.cluster.partitions).expect("checked: at most 64")
}

/// The partitions that are added.
fn additions(scenario: &Scenario) -> impl Iterator<Item = Addition> {
    scenario.changes.partitions.iter().map(|one| Addition {
        at_ns: one.at_ns,
        partitions: u16::try_from(one.count).expect("checked: at most 64"),
    })
}

/// The clients of a run, with all that they will send.
fn clients(config: &Config, sends: Sends) -> Clients {
    let Sends { inputs, watermark_ms, files, additions } = sends;
    let Cluster { partitions, broker, ref sinks, .. } = config.cluster;
    let source = (partitions, additions);
    let mut clients = Clients::new(inputs, source, watermark_ms, broker, sinks.clone());
    clients.defects = config.defects;
    clients.files = files;
    clients
}

/// The nodes in the data centre, in the order of their numbers.
fn engine_nodes(scenario: &Scenario) -> impl Iterator<Item = (topology::Role, u32)> {
    let cluster = scenario.cluster;
    topology::Role::DATA_CENTRE
        .into_iter()
        .flat_map(move |role| (0..role.count(&cluster)).map(move |index| (role, index)))
}

/// The names of the data centre's nodes, in the order of their numbers.
pub(crate) fn names(scenario: &Scenario) -> Vec<String> {
    engine_nodes(scenario).map(|(role, index)| role.node(index)).collect()
}

/// The names of all nodes, in the order of their numbers: those of the data centre, then clients.
pub(crate) fn all_names(scenario: &Scenario) -> Vec<String> {
    let producers = (0..scenario.cluster.producers).map(|at| topology::Role::Producer.node(at));
    let readers = (0..scenario.cluster.readers).map(topology::reader);
    let administrator = additions(scenario).next().map(|_| administrator::NAME.to_owned());
    let joined = members::joined(scenario).map(|(name, _)| name);
    let clients = producers.chain(readers).chain(administrator);
    names(scenario).into_iter().chain(clients).chain(joined).collect()
}

/// The stores of a scenario's cluster.
pub(crate) fn stores(scenario: &Scenario) -> Vec<NodeId> {
    let stores =
        engine_nodes(scenario).zip(0..).filter(|((role, _), _)| *role == topology::Role::Store);
    stores.map(|(_, id)| NodeId(id)).collect()
}

fn config(scenario: &Scenario, seed: u64) -> Result<Config, Invalid> {
    let nodes: Vec<_> = engine_nodes(scenario).zip(0..).collect();
    let of = |wanted: topology::Role| {
        nodes.iter().filter(move |((role, _), _)| *role == wanted).map(|(_, id)| NodeId(*id))
    };
    let one = |wanted| of(wanted).next().expect("each of these roles has a node");
    let cluster = Cluster {
        broker: one(topology::Role::Broker),
        stores: of(topology::Role::Store).collect(),
        drivers: of(topology::Role::Driver).collect(),
        executors: of(topology::Role::Executor).collect(),
        sinks: of(topology::Role::Sink).collect(),
        partitions: partitions(scenario),
    };
    let defects: Vec<_> =
        scenario.defects.iter().map(|name| defects::check(name)).collect::<Result<_, _>>()?;
    Ok(Config {
        sink: match scenario.sink {
            Sink::Table => SinkKind::Table,
            Sink::Files => SinkKind::Files,
            Sink::Transactional => SinkKind::Transactional,
            Sink::Append => SinkKind::Append,
        },
        trigger: match scenario.trigger {
            Trigger::Interval => unplug_engine::Trigger::Interval,
            Trigger::AsFastAsPossible => unplug_engine::Trigger::AsFastAsPossible,
        },
        epoch_tuples_max: scenario.epoch_tuples_max,
        epoch_interval: Duration::from_nanos(scenario.epoch_interval_ns),
        work_per_tuple: Duration::from_nanos(scenario.work_per_tuple_ns),
        heartbeat: Duration::from_nanos(scenario.heartbeat_ns),
        failure_timeout: Duration::from_nanos(scenario.failure_timeout_ns),
        speculation: scenario.speculates(seed),
        state_partitions: scenario.state_partitions,
        states_kept: scenario.states_kept,
        source_bytes_max: scenario.source_bytes_max,
        task_timeout: Duration::from_nanos(scenario.state.task_timeout_ns),
        full_snapshots: scenario.state.full_snapshots,
        part_bytes_max: usize::try_from(scenario.state.part_bytes_max).expect("checked"),
        blob_patience: Duration::from_nanos(scenario.state.blob_patience_ns),
        defects: Defects::of(&defects),
        ..Config::new(cluster, pipeline(scenario)?)
    })
}

fn add(
    world: &mut World,
    (role, index): (topology::Role, u32),
    config: &Rc<Config>,
    stays: &BTreeMap<String, Stay>,
) -> NodeId {
    if let Some(stay) = stays.get(&role.node(index)) {
        return add_member(world, &role.node(index), config, *stay);
    }
    let shared = Rc::clone(config);
    let engine_role = engine_role(role);
    let program = move |env: SimEnv| {
        let rebuild = env.disk_replaced();
        unplug_engine::run(env, engine_role, Rc::clone(&shared), rebuild)
    };
    world.add_node(&role.node(index), Site::DataCentre, program)
}

fn engine_role(role: topology::Role) -> Role {
    match role {
        topology::Role::Broker => Role::Broker,
        topology::Role::Store => Role::Store,
        topology::Role::Driver => Role::Driver,
        topology::Role::Executor => Role::Executor,
        topology::Role::Sink => Role::Sink,
        topology::Role::Producer => unreachable!("producers are clients"),
    }
}

/// A node's disk before its first boot.
fn format(
    (role, index): (topology::Role, u32),
    profile: Profile,
    config: &Config,
) -> Result<Disk, Invalid> {
    let mut disk = Disk::with_profile(profile);
    let place = u16::try_from(index).expect("checked: few nodes");
    for (path, bytes) in config.format(engine_role(role), place) {
        let formatted = match path.strip_suffix('/') {
            Some(directory) => disk.create_dir(directory).map(|()| disk.make_durable()),
            None => disk.put_durable(&path, &bytes),
        };
        formatted.map_err(|error| {
            let name = role.node(index);
            Invalid::at(&format!("formatting {name}: {path}"), error.to_string())
        })?;
    }
    Ok(disk)
}

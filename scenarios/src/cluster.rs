//! A scenario's cluster as a world: nodes in the order of [`crate::topology`], disks formatted,
//! nothing started.

use std::{rc::Rc, time::Duration};

use unplug_engine::{
    Cluster, Config, Role, SinkKind,
    defect::Defects,
    pipeline::{Pipeline, Spec},
};
use unplug_sim::{
    DiskTiming, SimEnv, Site, World, WorldConfig,
    disk::{Disk, Profile},
    env::NodeId,
};

use crate::{
    clients::{self, Clients},
    defects,
    input::{self, Invalid, unknown},
    model::Model,
    scenario::{Scenario, Sink},
    topology,
    workload::{Workload, closing},
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
        more => (more, "one for its rows and one for those that come late"),
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
    let producers = scenario.cluster.producers;
    let clients = Rc::new(clients(scenario, seed, workload, &config.cluster)?);
    let mut world = World::new(WorldConfig {
        network: scenario.network,
        clocks: scenario.clocks,
        disk: DiskTiming { glitches: scenario.disk.glitches, ..DiskTiming::default() },
        events_max: scenario.bounds.events_max,
        ..WorldConfig::new(seed)
    });
    for (role, index) in engine_nodes(scenario) {
        add(&mut world, (role, index), (scenario.disk.of(role, seed), &config))?;
    }
    for number in (0..=u16::MAX).take_while(|number| u32::from(*number) < producers) {
        let shared = Rc::clone(&clients);
        let name = topology::Role::Producer.node(number.into());
        let program = move |env| clients::producer(env, number, Rc::clone(&shared));
        let node = world.add_node(&name, Site::Outside, program);
        world.start(node);
    }
    for number in (0..=u16::MAX).take_while(|number| u32::from(*number) < scenario.cluster.readers)
    {
        let shared = Rc::clone(&clients);
        let name = topology::reader(number.into());
        let program = move |env| clients::reader(env, number, Rc::clone(&shared));
        let node = world.add_node(&name, Site::Outside, program);
        world.start(node);
    }
    Ok((world, clients))
}

/// The clients of a run, with all that they will send. Where there are windows, closing tuples come
/// last.
fn clients(
    scenario: &Scenario,
    seed: u64,
    workload: &Workload,
    cluster: &Cluster,
) -> Result<Clients, Invalid> {
    let Cluster { partitions, broker, .. } = *cluster;
    let mut inputs =
        workload.inputs(seed, &scenario.workload, scenario.cluster.producers, partitions);
    let mut watermark_ms = 0;
    if let Some(window) = model(scenario)?.window() {
        closing::add(&mut inputs, window, partitions);
        watermark_ms = closing::watermark_ms(&inputs, window);
    }
    Ok(Clients::new(inputs, partitions, watermark_ms, broker, cluster.sinks.clone()))
}

/// The nodes in the data centre, in the order of their numbers.
fn engine_nodes(scenario: &Scenario) -> impl Iterator<Item = (topology::Role, u32)> {
    let cluster = scenario.cluster;
    topology::Role::DATA_CENTRE
        .into_iter()
        .flat_map(move |role| (0..role.count(&cluster)).map(move |index| (role, index)))
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
        partitions: u16::try_from(scenario.cluster.partitions).expect("checked: at most 64"),
    };
    let defects: Vec<_> =
        scenario.defects.iter().map(|name| defects::check(name)).collect::<Result<_, _>>()?;
    Ok(Config {
        sink: match scenario.sink {
            Sink::Table => SinkKind::Table,
            Sink::Append => SinkKind::Append,
        },
        epoch_interval: Duration::from_nanos(scenario.epoch_interval_ns),
        work_per_tuple: Duration::from_nanos(scenario.work_per_tuple_ns),
        heartbeat: Duration::from_nanos(scenario.heartbeat_ns),
        failure_timeout: Duration::from_nanos(scenario.failure_timeout_ns),
        speculation: scenario.speculates(seed),
        state_partitions: scenario.state_partitions,
        defects: Defects::of(&defects),
        ..Config::new(cluster, pipeline(scenario)?)
    })
}

fn add(
    world: &mut World,
    (role, index): (topology::Role, u32),
    (profile, config): (Profile, &Rc<Config>),
) -> Result<(), Invalid> {
    let name = &role.node(index);
    let role = match role {
        topology::Role::Broker => Role::Broker,
        topology::Role::Store => Role::Store,
        topology::Role::Driver => Role::Driver,
        topology::Role::Executor => Role::Executor,
        topology::Role::Sink => Role::Sink,
        topology::Role::Producer => unreachable!("producers are clients"),
    };
    let shared = Rc::clone(config);
    let program = move |env: SimEnv| {
        let rebuild = env.disk_replaced();
        unplug_engine::run(env, role, Rc::clone(&shared), rebuild)
    };
    let node = world.add_node(name, Site::DataCentre, program);
    let index = u16::try_from(index).expect("checked: few nodes");
    world.disk(node, |disk| *disk = Disk::with_profile(profile));
    for (path, bytes) in config.format(role, index) {
        let formatted = world.disk(node, |disk| match path.strip_suffix('/') {
            Some(directory) => disk.create_dir(directory).map(|()| disk.make_durable()),
            None => disk.put_durable(&path, &bytes),
        });
        formatted.map_err(|error| {
            Invalid::at(&format!("formatting {name}: {path}"), error.to_string())
        })?;
    }
    world.start(node);
    Ok(())
}

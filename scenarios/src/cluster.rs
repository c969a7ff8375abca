//! A scenario's cluster as a world: nodes in the order of [`crate::topology`], disks formatted,
//! nothing started.

use std::{rc::Rc, time::Duration};

use unplug_engine::{
    Cluster, Config, Role, SinkKind,
    defect::Defects,
    pipeline::{Pipeline, Spec},
};
use unplug_sim::{Site, World, WorldConfig, env::NodeId};

use crate::{
    clients::{self, Clients},
    defects,
    input::Invalid,
    scenario::{Scenario, Sink, Source},
    topology,
    workload::Workload,
};

/// The engine's pipeline of a scenario.
///
/// # Errors
/// If the scenario's JSON is no pipeline, or none that can run.
pub fn spec(scenario: &Scenario) -> Result<Spec, Invalid> {
    let Some(json) = &scenario.pipeline else { return Ok(Spec::flights()) };
    serde_path_to_error::deserialize(json).map_err(|error| {
        Invalid::at(&format!("pipeline.{}", error.path()), error.inner().to_string())
    })
}

/// Checks a scenario's pipeline, as a part of checking the scenario.
///
/// # Errors
/// What is wrong with it.
pub fn pipeline(scenario: &Scenario) -> Result<Pipeline, Invalid> {
    Pipeline::new(&spec(scenario)?).map_err(|error| Invalid::new(error.to_string()))
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
    let config = Rc::new(config(scenario)?);
    let Source::Flights(flights) = scenario.workload;
    let producers = scenario.cluster.producers;
    let gap_ns = 1_000_000_000 * u64::from(producers) / u64::from(flights.per_second);
    let clients = Rc::new(Clients::new(
        workload.inputs(seed, flights.tuples, producers),
        gap_ns,
        config.cluster.partitions,
        (config.cluster.broker, config.cluster.sinks[0]),
    ));
    let mut world = World::new(WorldConfig {
        network: scenario.network,
        events_max: scenario.bounds.events_max,
        ..WorldConfig::new(seed)
    });
    for (role, index) in engine_nodes(scenario) {
        add(&mut world, (role, index), &config)?;
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

/// The nodes in the data centre, in the order of their numbers.
fn engine_nodes(scenario: &Scenario) -> impl Iterator<Item = (topology::Role, u32)> {
    let cluster = scenario.cluster;
    topology::Role::DATA_CENTRE
        .into_iter()
        .flat_map(move |role| (0..role.count(&cluster)).map(move |index| (role, index)))
}

fn config(scenario: &Scenario) -> Result<Config, Invalid> {
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
        defects: Defects::of(&defects),
        ..Config::new(cluster, pipeline(scenario)?)
    })
}

fn add(
    world: &mut World,
    (role, index): (topology::Role, u32),
    config: &Rc<Config>,
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
    let program = move |env| unplug_engine::run(env, role, Rc::clone(&shared), false);
    let node = world.add_node(name, Site::DataCentre, program);
    let index = u16::try_from(index).expect("checked: few nodes");
    for (path, bytes) in config.format(role, index) {
        let formatted = world.disk(node, |disk| match path.strip_suffix('/') {
            Some(directory) => disk.create_dir(directory).and_then(|()| {
                let sync = disk.begin_sync_dir("/")?;
                disk.end_sync(sync);
                Ok(())
            }),
            None => disk.put_durable(&path, &bytes),
        });
        formatted.map_err(|error| {
            Invalid::at(&format!("formatting {name}: {path}"), error.to_string())
        })?;
    }
    world.start(node);
    Ok(())
}

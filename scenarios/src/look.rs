//! A run stopped in the middle: where it stands.

use std::io::{self, Write};

use unplug_sim::{World, env::NodeId};

use crate::{cluster, input::Invalid, run::Stopped, scenario::Scenario, time::seconds};

/// The number of a node, by its name.
pub(crate) fn node(scenario: &Scenario, name: &str) -> Result<NodeId, Invalid> {
    let names = cluster::all_names(scenario);
    let place = names.iter().position(|known| known == name).ok_or_else(|| {
        Invalid::new(format!("--node: no node is called {name:?}; known: {}", names.join(", ")))
    })?;
    Ok(NodeId(u16::try_from(place).expect("nodes are numbered in 16 bits")))
}

/// Says where a run stands.
pub(crate) fn tell(stopped: &Stopped, scenario: &Scenario, out: &mut dyn Write) -> io::Result<()> {
    let Stopped { world, clients, plan } = stopped;
    let (now, events, digest) = (seconds(world.now_ns()), world.events(), world.digest());
    writeln!(out, "stands at {now}, after {events} events; digest {digest}")?;
    let (acknowledged, total) = (clients.acknowledged(), clients.total());
    writeln!(out, "tuples: {acknowledged} of {total} acknowledged")?;
    for (place, sink) in clients.sinks.iter().enumerate() {
        let history = clients.history.borrow();
        let reads = history.reads.iter().filter(|read| usize::from(read.sink) == place);
        let last = reads.flat_map(|read| &read.batches).map(|batch| batch.epoch).max();
        let shows = last.map_or_else(|| "nothing".to_owned(), |epoch| format!("epoch {epoch}"));
        writeln!(out, "{}: readers saw {shows}", world.name(*sink))?;
    }
    let fired = world.fired();
    writeln!(out, "faults: {} of {} happened", fired.len(), plan.faults.len())?;
    for one in fired {
        let (at, back) = (seconds(one.at_ns), seconds(one.back_ns));
        let over = if one.back_ns > world.now_ns() { "over at" } else { "was over at" };
        writeln!(out, "  {}: {} at {at}, {over} {back}", one.fault, one.kind)?;
    }
    writeln!(out, "nodes:")?;
    (0..)
        .zip(cluster::all_names(scenario))
        .try_for_each(|(id, name)| tell_node(world, id, &name, out))
}

fn tell_node(world: &World, id: u16, name: &str, out: &mut dyn Write) -> io::Result<()> {
    let view = world.inspect(NodeId(id));
    let unsynced = view.files.iter().filter(|file| !file.synced).count();
    let waiting: usize = view.inboxes.iter().map(|inbox| inbox.datagrams.len()).sum();
    writeln!(
        out,
        "  {name:<12} {:<6} boot {}, {} tasks, {waiting} datagrams wait, {unsynced} names not synced",
        view.power,
        view.boot,
        view.tasks.len(),
    )
}

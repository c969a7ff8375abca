//! What the tests of single faults share: worlds, plans, and a log of what nodes saw and when.

use std::{cell::RefCell, rc::Rc};

use unplug_sim::{
    DiskTiming, NetworkConfig, SimEnv, Site, World, WorldConfig,
    env::{Address, Exit, NodeId, Port},
    fault::{Action, Edge, EffectFilter, Fault, Plan, Point, Target, Trigger},
};

pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const MILLI: u64 = 1_000_000;
pub(crate) const PORT: Port = Port(1);

/// Boots take 1 ms, datagrams 1 ms, and disk operations 1 ms each: times can be foretold.
pub(crate) fn exact(seed: u64) -> WorldConfig {
    let once = (MILLI, MILLI);
    let network = NetworkConfig {
        latency_ns: once,
        loss: (0, 1),
        duplication: (0, 1),
        tail: (0, 1),
        ..NetworkConfig::default()
    };
    let disk = DiskTiming { read_ns: once, write_ns: once, sync_ns: once, glitches: (0, 1) };
    WorldConfig { network, disk, boot_ns: once, ..WorldConfig::new(seed) }
}

/// What nodes saw, each with the time in milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<(u64, String)>>>);

impl Log {
    /// As an effect of the node, at the world's time.
    pub(crate) fn note(&self, env: &SimEnv, what: impl Into<String>) {
        env.observe("note", 0, |at_ns| self.0.borrow_mut().push((at_ns / MILLI, what.into())));
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.borrow().iter().map(|(at, what)| format!("{at} {what}")).collect()
    }
}

pub(crate) fn add<F: Future<Output = Exit> + 'static>(
    world: &mut World,
    name: &str,
    program: impl Fn(SimEnv) -> F + 'static,
) -> NodeId {
    let node = world.add_node(name, Site::DataCentre, program);
    world.start(node);
    node
}

pub(crate) fn to(node: u16) -> Address {
    Address { node: NodeId(node), port: PORT }
}

/// At a time.
pub(crate) fn at(from_ns: u64, what: Action) -> Fault {
    Fault { when: Trigger { from_ns, on: None }, what, until: None }
}

/// Beside an effect of a node.
pub(crate) fn on(node: &str, effect: EffectFilter, nth: u64, edge: Edge, what: Action) -> Fault {
    let point = Point { node: node.to_owned(), effect, inside: None, nth, edge };
    Fault { when: Trigger { from_ns: 0, on: Some(point) }, what, until: None }
}

pub(crate) fn node(name: &str) -> Target {
    Target::Node(name.to_owned())
}

pub(crate) fn load(world: &mut World, faults: impl IntoIterator<Item = Fault>) {
    world.load(&Plan { faults: faults.into_iter().collect() }).expect("a sound plan");
}

/// (kind, at, back) of each fault that happened, in milliseconds.
pub(crate) fn fired(world: &World) -> Vec<(&'static str, u64, u64)> {
    let fired = world.fired();
    fired.iter().map(|it| (it.kind, it.at_ns / MILLI, it.back_ns / MILLI)).collect()
}

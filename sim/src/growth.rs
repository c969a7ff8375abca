//! Tests that a large world holds no more after many messages than after a few.

use std::{future::pending, rc::Rc, time::Duration};

use crate::{
    SimEnv, SimSocket, Site, Stop, World, WorldConfig,
    env::{Address, Disk, Env, Exit, File, Net, NodeId, OpenMode, Port, Socket},
};

const NODES: u16 = 1_000;
const PORT: Port = Port(1);
const MILLISECOND: u64 = 1_000_000;

/// Sends a datagram each millisecond to one of its neighbours in a ring, and writes and syncs.
async fn gossip(env: SimEnv) -> Exit {
    const SOUND: &str = "a disk without faults";
    let socket = Rc::new(env.net().bind(PORT).expect("a free port"));
    env.spawn("receiver", receive(Rc::clone(&socket)));
    let file = env.disk().open("/ring", OpenMode::Create).await.expect(SOUND);
    loop {
        env.sleep(Duration::from_millis(1)).await;
        let ahead = if env.random().is_multiple_of(2) { 1 } else { NODES - 1 };
        let node = NodeId((env.node().0 + ahead) % NODES);
        socket.send(Address { node, port: PORT }, vec![7; 100].into()).expect("small");
        if env.random().is_multiple_of(16) {
            file.write_at(0, vec![9; 64].into()).await.expect(SOUND);
            file.sync_data().await.expect(SOUND);
        }
    }
}

async fn receive(socket: Rc<SimSocket>) {
    loop {
        socket.recv().await;
    }
}

fn world() -> World {
    let mut world = World::new(WorldConfig { boot_ns: (0, MILLISECOND), ..WorldConfig::new(3) });
    for number in 0..NODES {
        let node = world.add_node(&format!("node-{number}"), Site::DataCentre, gossip);
        world.start(node);
    }
    world
}

#[test]
fn a_thousand_nodes_hold_no_more_after_many_messages_than_after_a_few() {
    let mut world = world();
    assert_eq!(world.run_until(60 * MILLISECOND), Stop::Time);
    let (early, messages) = (world.held(), world.events());
    assert_eq!(world.run_until(200 * MILLISECOND), Stop::Time);
    let late = world.held();
    assert!(world.events() > 3 * messages);
    assert_eq!((late.links, late.tasks), (2 * usize::from(NODES), 2 * usize::from(NODES)));
    assert_eq!((early.links, early.tasks), (late.links, late.tasks));
    // How many datagrams are under way or wait, and how many syncs, varies a little.
    assert!(late.events < early.events * 5 / 4, "{early:?} became {late:?}");
    // The name of each file, which nothing syncs, and at most one write.
    assert!(late.pending <= 2 * usize::from(NODES), "{late:?}");
}

#[test]
fn a_node_that_does_nothing_has_no_event_after_its_boot() {
    let mut world = World::new(WorldConfig::new(3));
    for number in 0..NODES {
        let node =
            world.add_node(&format!("node-{number}"), Site::DataCentre, |_: SimEnv| pending());
        world.start(node);
    }
    assert_eq!(world.run_until(u64::MAX), Stop::Quiet);
    assert_eq!(world.events(), u64::from(NODES), "one boot each");
    let held = world.held();
    assert_eq!((held.links, held.pending), (0, 0));
}

//! Bytes take time where a world has a bandwidth, and only there.

use std::{cell::RefCell, rc::Rc, time::Duration};

use bytes::Bytes;
use unplug_sim::{
    Bandwidth, DiskTiming, NetworkConfig, SimEnv, Site, Weight, World, WorldConfig,
    env::{Address, Disk, Env, Exit, File, Net, NodeId, OpenMode, Port, Socket},
};

const PORT: Port = Port(1);
const KB: usize = 1_000;
const MB: u64 = 1_000_000;
const MS: u64 = 1_000_000;
const SOUND: &str = "a disk without faults";

/// Reads of 1 GB/s, writes of 500 MB/s, ports of 100 MB/s; what begins with "big" counts tenfold.
fn limited() -> Bandwidth {
    Bandwidth {
        disk_read_bytes_per_second: 1_000 * MB,
        disk_write_bytes_per_second: 500 * MB,
        port_bytes_per_second: 100 * MB,
        weights: vec![Weight { mark: b"big".to_vec(), times: 10 }],
    }
}

/// A world in which everything else takes exactly a millisecond.
fn world(bandwidth: Bandwidth) -> World {
    let once = (MS, MS + 1);
    let never = (0, 1);
    World::new(WorldConfig {
        network: NetworkConfig {
            latency_ns: once,
            loss: never,
            duplication: never,
            tail: never,
            ..NetworkConfig::default()
        },
        disk: DiskTiming { read_ns: once, write_ns: once, sync_ns: once, glitches: never },
        boot_ns: once,
        bandwidth,
        ..WorldConfig::new(5)
    })
}

/// When something was done, in milliseconds since the program started.
type Times = Rc<RefCell<Vec<(&'static str, u64)>>>;

/// Writes, syncs and reads a file; and another beside it.
async fn disk(env: SimEnv, times: Times) -> Exit {
    let start = env.now().0;
    let note = |what| times.borrow_mut().push((what, (env.now().0 - start) / MS));
    let file = env.disk().open("/a", OpenMode::Create).await.expect(SOUND);
    let other = env.disk().open("/b", OpenMode::Create).await.expect(SOUND);
    file.write_at(0, vec![0; 5_000 * KB].into()).await.expect(SOUND);
    note("written");
    other.write_at(0, vec![0; 10].into()).await.expect(SOUND);
    other.sync_data().await.expect(SOUND);
    note("other synced");
    file.sync_data().await.expect(SOUND);
    note("synced");
    file.read_at(0, 2_000 * KB).await.expect(SOUND);
    note("read");
    let big = [b"big".as_slice(), &[0; 997]].concat();
    file.write_at(0, [big.as_slice(); 100].concat().into()).await.expect(SOUND);
    file.sync_data().await.expect(SOUND);
    note("marked and synced");
    Ok(())
}

#[test]
fn a_sync_waits_for_the_bytes_of_its_file_and_a_read_takes_the_time_of_its_own() {
    let run = |bandwidth| {
        let (mut world, times) = (world(bandwidth), Times::default());
        let kept = Rc::clone(&times);
        let node = world.add_node("a", Site::DataCentre, move |env| disk(env, Rc::clone(&kept)));
        world.start(node);
        world.run_until(1_000 * MS);
        let digest = world.digest();
        drop(world);
        (digest, times.take().into_iter().map(|(_, ms)| ms).collect::<Vec<_>>())
    };
    // 5 MB are written back in 10 ms from the end of opening on, and beside it the small file
    // passes by; 2 MB are read in 2 ms; 100 kB that count as 1 MB take 2 ms from the write on.
    assert_eq!(run(limited()).1, [3, 5, 13, 16, 19]);
    assert_eq!(run(Bandwidth::default()).1, [3, 5, 6, 7, 9]);
    assert_eq!(run(limited()), run(limited()));
    let marks = Bandwidth { weights: limited().weights, ..Bandwidth::default() };
    assert_eq!(run(marks), run(Bandwidth::default()), "without a rate nothing costs anything");
}

/// Sends two large datagrams and a small one; then, on an idle port, a large one.
async fn send(env: SimEnv) -> Exit {
    let socket = env.net().bind(PORT).expect("a free port");
    let to = Address { node: NodeId(1), port: PORT };
    let send = |bytes: Vec<u8>| socket.send(to, Bytes::from(bytes)).expect("small");
    env.sleep(Duration::from_millis(10)).await;
    send(vec![1; 500 * KB]);
    send(vec![2; 500 * KB]);
    send(vec![3; 10]);
    env.sleep(Duration::from_millis(90)).await;
    send([b"big".as_slice(), &[4; 99_997]].concat());
    Ok(())
}

async fn receive(env: SimEnv, times: Times) -> Exit {
    let socket = env.net().bind(PORT).expect("a free port");
    let start = env.now().0;
    loop {
        let datagram = socket.recv().await;
        let what = match datagram.payload[0] {
            1 => "first",
            2 => "second",
            3 => "small",
            _ => "marked",
        };
        times.borrow_mut().push((what, (env.now().0 - start) / MS));
    }
}

#[test]
fn a_large_datagram_waits_for_the_port_and_a_small_one_passes_by() {
    let run = |bandwidth| {
        let (mut world, times) = (world(bandwidth), Times::default());
        let kept = Rc::clone(&times);
        let node = world.add_node("sender", Site::DataCentre, send);
        world.start(node);
        let receiver = move |env| receive(env, Rc::clone(&kept));
        let node = world.add_node("receiver", Site::DataCentre, receiver);
        world.start(node);
        world.run_until(1_000 * MS);
        drop(world);
        times.take()
    };
    assert_eq!(run(limited()), [("small", 11), ("first", 16), ("second", 21), ("marked", 111)]);
    let free = run(Bandwidth::default());
    assert_eq!(free.iter().map(|(_, ms)| *ms).collect::<Vec<_>>(), [11, 11, 11, 101]);
}

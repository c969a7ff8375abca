//! Writes and syncs: in a world, where they take time, and on the plain disk model, where they do
//! not.

use bytes::Bytes;
use measure::{BLOCKS, WRITE_BYTES};
use unplug_sim::{
    SimEnv, Site,
    disk::Disk,
    env::{Disk as _, Env as _, Exit, File as _, OpenMode},
};

use crate::{Count, run, world};

pub(crate) fn in_a_world(n: u64) -> u64 {
    let done = Count::default();
    let count = done.clone();
    let mut world = world(42);
    let program = move |env| write_and_sync(env, n, count.clone());
    let node = world.add_node("node", Site::DataCentre, program);
    world.start(node);
    run(&mut world);
    let elapsed = done.elapsed();
    assert!(elapsed.as_micros() >= u128::from(110 * n), "no latency: {elapsed:?}");
    done.done()
}

async fn write_and_sync(env: SimEnv, n: u64, done: Count) -> Exit {
    let start = env.now();
    let file = env.disk().open("/ring", OpenMode::Create).await.expect("no faults");
    let block = Bytes::from(vec![9; WRITE_BYTES]);
    for number in 0..n {
        let offset = number % BLOCKS * WRITE_BYTES as u64;
        let taken = file.write_at(offset, block.clone()).await.expect("no faults");
        assert_eq!(taken, WRITE_BYTES);
        file.sync_all().await.expect("no faults");
    }
    done.add(n, &env, start);
    Ok(())
}

pub(crate) fn at_once(n: u64) -> u64 {
    let mut disk = Disk::new();
    let file = disk.open("/ring", OpenMode::Create).expect("no faults");
    let block = vec![9; WRITE_BYTES];
    for number in 0..n {
        let offset = number % BLOCKS * WRITE_BYTES as u64;
        assert_eq!(disk.write_at(file, offset, &block), Ok(WRITE_BYTES));
        let sync = disk.begin_sync_file(file).expect("no faults");
        disk.end_sync(sync).expect("no faults");
    }
    n
}

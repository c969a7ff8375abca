//! Short reads and writes, and interrupted calls.

use crate::machine::{Log, SECOND, add, exact};
use unplug_sim::{
    DiskTiming, SimEnv, World, WorldConfig,
    env::{Disk, DiskError, DiskResult, Env, File, OpenMode},
};

const RECORD: &[u8] = b"twelve bytes";

fn config(seed: u64, glitches: (u32, u32)) -> WorldConfig {
    let disk = DiskTiming { glitches, ..exact(seed).disk };
    WorldConfig { disk, ..exact(seed) }
}

/// Tells "short", "whole" or the error of each operation on an open file.
fn run(seed: u64, glitches: (u32, u32)) -> (Vec<String>, World) {
    let log = Log::default();
    let mut world = World::new(config(seed, glitches));
    let seen = log.clone();
    let id = add(&mut world, "keeper", move |env: SimEnv| {
        let seen = seen.clone();
        async move {
            let note = |what: &str, result: DiskResult<usize>| {
                let told = match result {
                    Ok(taken) if taken == RECORD.len() => "whole".to_owned(),
                    Ok(taken) => {
                        assert!((1..RECORD.len()).contains(&taken), "{taken}");
                        "short".to_owned()
                    }
                    Err(error) => error.to_string(),
                };
                seen.note(&env, format!("{what} {told}"));
            };
            let all = |result: DiskResult<()>| result.map(|()| RECORD.len());
            let file = env.disk().open("/log", OpenMode::Create).await.expect("paths are sound");
            for _ in 0..40 {
                let before = file.metadata().await.map(|it| it.len);
                let written = file.append(RECORD.into()).await;
                if let (Ok(before), Ok(after)) = (before, file.metadata().await.map(|it| it.len)) {
                    assert_eq!(after - before, written.unwrap_or(0) as u64, "as much as it told");
                }
                note("append", written);
                note("write", file.write_at(0, RECORD.into()).await);
                note("read", file.read_at(0, RECORD.len()).await.map(|read| read.len()));
                note("set_len", all(file.set_len(100).await));
                note("sync", all(file.sync_data().await));
                env.disk().sync_dir("/").await.expect("paths are sound");
            }
            Ok(())
        }
    });
    world.disk(id, |disk| disk.put_durable("/log", &[0; 100])).expect("a blank disk");
    world.run_until(100 * SECOND);
    (
        log.lines().iter().map(|line| line.split_once(' ').expect("a time").1.to_owned()).collect(),
        world,
    )
}

#[test]
fn without_glitches_all_is_whole() {
    let (lines, _) = run(1, (0, 1));
    assert_eq!(lines.len(), 200);
    assert!(lines.iter().all(|line| line.ends_with("whole")));
}

#[test]
fn every_operation_on_an_open_file_may_glitch_and_each_in_its_way() {
    let (lines, _) = run(1, (1, 2));
    let seen: std::collections::BTreeSet<_> = lines.iter().map(String::as_str).collect();
    let interrupted = DiskError::Interrupted.to_string();
    let mut expected = std::collections::BTreeSet::new();
    for what in ["append", "write", "read", "set_len", "sync"] {
        expected.insert(format!("{what} whole"));
        expected.insert(format!("{what} {interrupted}"));
        if !["set_len", "sync"].contains(&what) {
            expected.insert(format!("{what} short"));
        }
    }
    assert_eq!(seen, expected.iter().map(String::as_str).collect());
}

#[test]
fn glitches_are_as_frequent_as_asked_for() {
    let glitched = |glitches| {
        let (lines, _) = run(1, glitches);
        lines.iter().filter(|line| !line.ends_with("whole")).count()
    };
    assert_eq!(glitched((1, 1)), 200);
    assert!((10..=40).contains(&glitched((1, 10))), "{} of 200", glitched((1, 10)));
}

#[test]
fn the_same_seed_glitches_the_same_way() {
    assert_eq!(run(5, (1, 3)).1.digest(), run(5, (1, 3)).1.digest());
    assert_ne!(run(5, (1, 3)).0, run(6, (1, 3)).0);
}

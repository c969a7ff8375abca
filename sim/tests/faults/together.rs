//! All kinds of faults in one run: the same seed gives the same run, and the faults are what the
//! run tells of.

use std::{cell::RefCell, rc::Rc, time::Duration};

use crate::machine::{SECOND, add};
use unplug_sim::{
    ClockConfig, SimEnv, World, WorldConfig,
    env::{Disk, Env, Exit, File, Net, NodeId, OpenMode, Socket},
    fault::Plan,
};

const PLAN: &str = r#"{"faults": [
    {"when": {"from_ns": 100000000, "on": {"node": "a", "effect": "send", "nth": 3, "edge": "before"}},
     "what": {"pause": {"target": {"node": "a"}, "for_ns": 300000000}}},
    {"when": {"from_ns": 200000000},
     "what": {"throttle": {"target": "data_centre", "factor": 5, "for_ns": 500000000}}},
    {"when": {"from_ns": 900000000},
     "what": {"partition": {"from": ["a"], "to": ["b"], "for_ns": 200000000}}},
    {"when": {"from_ns": 1200000000, "on": {"node": "b", "effect": "receive", "nth": 2, "edge": "after"}},
     "what": {"partition": {"from": ["a", "b"], "to": ["c"], "one_way": true, "for_ns": 300000000}}},
    {"when": {"from_ns": 1400000000},
     "what": {"clock_step": {"target": {"node": "c"}, "by_ns": -5000000000}}},
    {"when": {"from_ns": 1500000000, "on": {"node": "b", "effect": "sync", "nth": 2, "edge": "after"}},
     "what": {"disk_loss": {"node": "b", "down_ns": 100000000}}},
    {"when": {"from_ns": 1600000000},
     "what": {"disk_fault": {"node": "a", "directory": "/", "what": "bit_rot"}}},
    {"when": {"from_ns": 300000000},
     "what": {"disk_fault": {"node": "c", "directory": "/", "what": {"sync": "keep_dirty"}}}},
    {"when": {"from_ns": 400000000},
     "what": {"disk_fault": {"node": "b", "directory": "/", "what": "phantom_write"}}},
    {"when": {"from_ns": 500000000},
     "what": {"disk_stall": {"target": "data_centre", "for_ns": 50000000}}},
    {"when": {"from_ns": 600000000},
     "what": {"slow_disk": {"target": {"node": "a"}, "factor": 3, "for_ns": 50000000}}},
    {"when": {"from_ns": 700000000, "on": {"node": "a", "effect": "write", "nth": 1, "edge": "after"}},
     "what": {"disk_full": {"target": {"node": "a"}, "for_ns": 50000000}}},
    {"when": {"from_ns": 1700000000, "on": {"node": "c", "effect": "write", "nth": 2, "edge": "before"}},
     "what": {"pause": {"target": "data_centre", "for_ns": 200000000}}},
    {"when": {"from_ns": 1800000000},
     "what": {"power_loss": {"target": {"node": "a"}, "down_ns": 100000000}}},
    {"when": {"from_ns": 1850000000},
     "what": {"kill": {"target": {"node": "c"}, "down_ns": 100000000}}}
]}"#;

/// Talks to the others, works, writes and syncs.
async fn live(env: SimEnv) -> Exit {
    let socket = Rc::new(env.net().bind(crate::machine::PORT).expect("free"));
    let file = env.disk().open("/log", OpenMode::Create).await.expect("no faults");
    let (speaker, mouth) = (env.clone(), Rc::clone(&socket));
    env.spawn("speaker", async move {
        loop {
            for peer in 0..3 {
                let word = (speaker.wall().0 ^ speaker.random()).to_le_bytes().to_vec();
                mouth.send(crate::machine::to(peer), word.into()).expect("small");
            }
            speaker.sleep(Duration::from_millis(7)).await;
            speaker.busy(Duration::from_micros(300)).await;
        }
    });
    loop {
        let heard = socket.recv().await;
        let written = file.write_at(u64::from(heard.payload[0]), heard.payload).await;
        let synced = file.sync_data().await;
        env.observe("results", u64::from(written.is_ok()) << 1 | u64::from(synced.is_ok()), |_| {});
        env.mark("heard");
    }
}

fn run(seed: u64, plan: &Plan) -> (World, Vec<String>) {
    let clocks = ClockConfig { wall_skew_ns: SECOND, drift_ppm: 100 };
    let mut world = World::new(WorldConfig { clocks, ..WorldConfig::new(seed) });
    let lines = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&lines);
    world.record(Box::new(move |event| sink.borrow_mut().push(event.to_string())));
    for name in ["a", "b", "c"] {
        add(&mut world, name, live);
    }
    world.load(plan).expect("a sound plan");
    world.run_until(3 * SECOND);
    let lines = lines.borrow().clone();
    (world, lines)
}

#[test]
fn all_kinds_of_faults_together_give_the_same_run_from_the_same_seed() {
    let plan: Plan = serde_json::from_str(PLAN).expect("a plan");
    for seed in 0..8 {
        let ((world, lines), (again, lines_again)) = (run(seed, &plan), run(seed, &plan));
        assert_eq!(world.fired_count(), plan.faults.len(), "seed {seed}: {:?}", world.fired());
        assert_eq!(world.digest(), again.digest(), "seed {seed}");
        assert_eq!(lines, lines_again, "seed {seed}");
        assert_ne!(world.digest(), run(seed, &Plan::default()).0.digest());
    }
}

#[test]
fn each_fault_shows_in_the_digest() {
    let plan: Plan = serde_json::from_str(PLAN).expect("a plan");
    let whole = run(1, &plan).0.digest();
    for left_out in 0..plan.faults.len() {
        let mut fewer = plan.clone();
        fewer.faults.remove(left_out);
        assert_ne!(run(1, &fewer).0.digest(), whole, "without {left_out}");
    }
}

#[test]
fn marks_are_counted_over_all_nodes_and_boots() {
    let plan: Plan = serde_json::from_str(PLAN).expect("a plan");
    let (world, lines) = run(1, &plan);
    let passed = lines.iter().filter(|line| line.contains(" mark    heard")).count();
    assert_eq!(world.mark_counts()["heard"], passed as u64);
    assert!(world.crashes().iter().any(|crash| crash.node == NodeId(1)));
}

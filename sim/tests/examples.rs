//! The examples, shortened: each holds, and each of its planted faults is found.

#[expect(dead_code, reason = "its main function is the example's alone")]
#[path = "../examples/lease/main.rs"]
mod lease;
#[expect(dead_code, reason = "its main function is the example's alone")]
#[path = "../examples/redb/main.rs"]
mod redb_on_disk;
#[expect(dead_code, reason = "its main function is the example's alone")]
#[path = "../examples/wal_kv/main.rs"]
mod wal_kv;

use unplug_sim::{
    Site, World, WorldConfig,
    disk::Profile,
    env::{Disk, Env, OpenMode},
    fault::{Action, Fault, Plan},
};

/// The quick start of the crate's documentation; whether the file is there.
fn quick_start(seed: u64, bug: Option<wal_kv::store::Bug>) -> bool {
    let mut world = World::new(WorldConfig::new(seed));
    let node = world.add_node("node", Site::DataCentre, move |env| async move {
        env.disk().open("/log", OpenMode::Create).await.expect("no faults");
        if bug.is_none() {
            env.disk().sync_dir("/").await.expect("no faults");
        }
        Ok(())
    });
    world.load(&Plan::power_loss(1_000_000_000)).expect("no node is named");
    world.start(node);
    world.run_until(1_000_000_000);
    world.disk(node, |disk| disk.read_dir("/")) == Ok(vec!["log".to_owned()])
}

#[test]
fn the_quick_start_fails_for_some_seeds_without_its_sync_and_for_none_with_it() {
    assert!((0..100).all(|seed| quick_start(seed, None)));
    let bug = Some(wal_kv::store::Bug::MissingDirSync);
    let without = (0..100).filter(|seed| quick_start(*seed, bug)).count();
    assert!((20..80).contains(&without), "the file is there in {without} of 100 seeds");
}

#[test]
fn a_store_that_syncs_its_directory_loses_nothing_that_it_acknowledged() {
    let runs: Vec<_> = (0..300).map(|seed| wal_kv::hunt::run(seed, None, None)).collect();
    for (seed, run) in runs.iter().enumerate() {
        assert_eq!(run.violation, None, "seed {seed}");
    }
    let cuts: usize = runs.iter().map(|run| run.cuts).sum();
    let acknowledged: u64 = runs.iter().map(|run| run.acknowledged).sum();
    assert!(cuts >= 600 && acknowledged >= 30_000, "{cuts} cuts, {acknowledged} acknowledged");
}

#[test]
fn a_store_that_does_not_sync_its_directory_loses_what_it_acknowledged() {
    let bug = Some(wal_kv::store::Bug::MissingDirSync);
    let found = (0..20).filter_map(|seed| wal_kv::hunt::run(seed, bug, None).violation);
    let found: Vec<_> = found.collect();
    assert!(found.len() >= 10, "{found:?}");
    assert!(found[0].contains("without what it had acknowledged"), "{}", found[0]);
}

#[test]
fn a_store_whose_checksums_do_not_tell_its_logs_apart_takes_an_old_record_for_a_new_one() {
    let bug = Some(wal_kv::store::Bug::SameChecksums);
    let found = (0..2_000).find_map(|seed| wal_kv::hunt::run(seed, bug, None).violation);
    assert!(found.is_some_and(|violation| violation.contains("without what it had acknowledged")));
}

#[test]
fn a_seed_of_the_store_gives_the_same_run_again_with_its_trace_recorded_or_not() {
    let lines = std::rc::Rc::default();
    let sink: std::rc::Rc<std::cell::Cell<usize>> = std::rc::Rc::clone(&lines);
    let recorder = Box::new(move |_| sink.set(sink.get() + 1));
    assert_eq!(wal_kv::hunt::run(7, None, Some(recorder)), wal_kv::hunt::run(7, None, None));
    assert!(lines.get() > 100, "{} lines", lines.get());
}

/// Runs seeds of the lease, with the faults that are `kept`; how many had two leaders at once?
fn two_leaders(seeds: u64, bug: Option<lease::protocol::Bug>, kept: fn(&Fault) -> bool) -> usize {
    let mut reigns = 0;
    let violations = (0..seeds).filter_map(|seed| {
        let mut plan = lease::hunt::plan(seed);
        plan.faults.retain(kept);
        let run = lease::hunt::run(seed, &plan, bug, None);
        reigns += run.reigns;
        run.violation
    });
    let violations = violations.count();
    assert!(reigns as u64 > seeds, "leadership passes on: {reigns} leaders in {seeds} seeds");
    violations
}

fn not_a_clock(fault: &Fault) -> bool {
    !matches!(fault.what, Action::ClockStep { .. })
}

#[test]
fn no_two_lead_at_once_by_a_lease_on_monotonic_clocks() {
    assert_eq!(two_leaders(200, None, |_| true), 0);
}

#[test]
fn a_lease_on_wall_clocks_has_two_leaders_because_clocks_are_set() {
    let bug = Some(lease::protocol::Bug::WallClock);
    assert!(two_leaders(100, bug, |_| true) > 5);
    assert_eq!(two_leaders(100, bug, not_a_clock), 0);
}

#[test]
fn a_lease_without_a_margin_has_two_leaders_because_clocks_drift() {
    let bug = Some(lease::protocol::Bug::NoMargin);
    assert!(two_leaders(200, bug, not_a_clock) > 0);
}

fn redb(transactions: u64, profile: Profile) -> redb_on_disk::figures::Figures {
    let workload = redb_on_disk::workload::Workload::new(0, transactions);
    redb_on_disk::trial::run(redb_on_disk::blank(profile), workload)
        .expect("redb runs without a crash")
}

#[test]
fn redb_loses_no_transaction_at_any_storage_operation() {
    let figures = redb(12, Profile::strict());
    assert_eq!(figures.violation, None);
    assert_eq!(figures.acknowledged, 12);
    assert!(figures.operations > 60 && figures.opens > 500, "{figures}");
    assert!(figures.as_acknowledged > 0 && figures.as_under_way > 0, "{figures}");
    assert!(figures.recoveries > 0 && figures.states_of_recovery > 0, "{figures}");
    assert_eq!(figures, redb(12, Profile::strict()), "the same figures again");
}

#[test]
fn redb_on_a_drive_that_lies_loses_transactions() {
    let figures = redb(12, Profile::lying_drive());
    assert!(figures.lost > 0, "{figures}");
    assert!(figures.violation.is_some_and(|violation| violation.contains("lost")));
}

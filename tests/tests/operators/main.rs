//! Each operator against its model, without any machine: whatever the tuples, however they are
//! divided among partitions and epochs, and wherever the state is written down and read again,
//! both give the same rows in the same epochs, of the same tuples.
//!
//! All draws come from a fixed seed, so these tests give the same result every time.

mod drawn;
mod machine_free;
mod pipelines;

use std::cell::RefCell;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use unplug_engine::defect::{Defect, Defects};

use self::{
    drawn::{History, history},
    machine_free::{Reached, judged},
};

/// How many histories each pipeline is tried on.
const CASES: u32 = 400;
/// The seed of the draws.
const RNG: u8 = 7;
/// In more than so many of them there is something to compare.
const ENOUGH: u64 = 100;

/// Runs a pipeline on drawn histories; gives what was reached.
fn run(name: &str, defects: Defects) -> Result<Reached, String> {
    let spec = pipelines::named(name);
    let reached = RefCell::new(Reached::default());
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[RNG; 32]);
    let property = |history: History| {
        let history = if name == "dead letters" { history.broken() } else { history };
        let of_one = judged(&spec, &history, defects).map_err(TestCaseError::fail)?;
        reached.borrow_mut().add(&of_one);
        Ok(())
    };
    match TestRunner::new_with_rng(config, rng).run(&history(), property) {
        Ok(()) => Ok(reached.into_inner()),
        Err(TestError::Abort(reason)) => panic!("the search was given up: {reason}"),
        Err(TestError::Fail(reason, history)) => Err(format!("{reason}\nby {history:#?}")),
    }
}

/// Both agree, and the histories hold what makes the operator worth a test.
fn holds(name: &str) -> Reached {
    let reached = run(name, Defects::default()).unwrap_or_else(|failed| panic!("{name}: {failed}"));
    assert!(reached.rows > ENOUGH, "{name}: {reached:?}");
    assert!(reached.restored > ENOUGH, "{name}: {reached:?}");
    reached
}

/// The same, with something in the last sink: what came too late, or is broken.
fn holds_with_the_rest(name: &str) {
    let reached = holds(name);
    assert!(reached.late > ENOUGH, "{name}: {reached:?}");
}

/// The bug shows.
fn caught(name: &str, defect: Defect) {
    let failed = run(name, Defects::of(&[defect]));
    assert!(failed.is_err(), "{name} with {}: nothing was wrong", defect.name());
}

#[test]
fn tumbling_windows_are_the_models() {
    holds_with_the_rest("tumbling");
}

#[test]
fn sliding_windows_are_the_models() {
    holds_with_the_rest("sliding");
}

#[test]
fn updated_windows_are_the_models() {
    holds_with_the_rest("updates");
}

#[test]
fn sessions_are_the_models() {
    holds_with_the_rest("session");
}

#[test]
fn dedup_is_the_models() {
    holds_with_the_rest("dedup");
}

#[test]
fn inner_joins_are_the_models() {
    holds("inner join");
}

#[test]
fn left_outer_joins_are_the_models() {
    holds("outer join");
}

#[test]
fn operators_without_state_are_the_models() {
    holds("stateless");
}

#[test]
fn dead_letters_are_the_models() {
    holds_with_the_rest("dead letters");
}

#[test]
fn windows_of_windows_are_the_models() {
    holds("windows of windows");
}

#[test]
fn a_join_behind_windows_and_a_window_behind_a_join_are_the_models() {
    holds("three stages");
}

#[test]
fn two_sources_and_two_sinks_are_the_models() {
    holds("two sources");
}

#[test]
fn a_dedup_of_sessions_and_rows_together_is_the_models() {
    holds_with_the_rest("mixed");
}

#[test]
fn a_planted_bug_of_an_operator_shows() {
    caught("sliding", Defect::SlidingExpiresEarly);
    caught("session", Defect::SessionMergeLosesOne);
    caught("outer join", Defect::JoinNoMatchedFlag);
    caught("dedup", Defect::DedupForgetsOnRestore);
    caught("windows of windows", Defect::LateByNewWatermark);
}

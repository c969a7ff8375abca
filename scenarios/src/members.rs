//! Executors that are not there all the time: some join a cluster that runs, some leave it for good.
//!
//! Nobody else is told: the configuration of all nodes names the executors of the start.

use std::{cell::Cell, collections::BTreeMap, rc::Rc, time::Duration};

use unplug_engine::{Config, executor};
use unplug_sim::{
    SimEnv,
    env::{Env, Exit},
};

use crate::{scenario::Scenario, topology::Role};

/// When an executor is there, in virtual nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stay {
    pub(crate) joins_ns: u64,
    /// From then on it is not there any more, whatever starts it.
    pub(crate) leaves_ns: Option<u64>,
}

/// The executors that join or leave, by name.
pub(crate) fn stays(scenario: &Scenario) -> BTreeMap<String, Stay> {
    let mut stays: BTreeMap<_, Stay> = joined(scenario).collect();
    for left in &scenario.changes.executors_left {
        stays.entry(left.executor.clone()).or_default().leaves_ns = Some(left.at_ns);
    }
    stays
}

/// The executors that join, in order.
pub(crate) fn joined(scenario: &Scenario) -> impl Iterator<Item = (String, Stay)> {
    let times = scenario.changes.executors_joined.iter();
    let times = times.flat_map(|one| (0..one.count).map(|_| one.at_ns));
    times
        .zip(scenario.cluster.executors..)
        .map(|(joins_ns, index)| (Role::Executor.node(index), Stay { joins_ns, leaves_ns: None }))
}

/// The program of such an executor. A boot before it joins waits, and one after it left ends.
///
/// # Errors
/// As [`executor::run`].
pub(crate) async fn run(env: SimEnv, config: Rc<Config>, stay: Stay) -> Exit {
    let now_ns = Cell::new(0);
    env.observe("member", stay.joins_ns, |at_ns| now_ns.set(at_ns));
    let until = |at_ns: u64| env.sleep(Duration::from_nanos(at_ns.saturating_sub(now_ns.get())));
    if stay.leaves_ns.is_some_and(|leaves_ns| leaves_ns <= now_ns.get()) {
        return Ok(());
    }
    let leave = async {
        match stay.leaves_ns {
            Some(leaves_ns) => until(leaves_ns).await,
            None => std::future::pending().await,
        }
    };
    let leave = Box::pin(leave);
    until(stay.joins_ns).await;
    executor::run_until(env.clone(), config, leave).await
}

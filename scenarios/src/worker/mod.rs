//! Runs in processes of their own: a task that never comes back, a stack that overflows or memory
//! without end costs a worker, and the campaign goes on in another.
//!
//! - this file: the worker, and what is said between it and the campaign, a line each;
//! - `process`: one worker as the campaign sees it;
//! - `crew`: all of them, and what they run;
//! - `autopsy`: a run that cost its worker, once more, to learn which task it was.

mod autopsy;
mod crew;
mod process;

use std::{
    io::{self, BufRead as _, Write as _},
    sync::mpsc::{self, Receiver},
    thread,
};

use serde::{Deserialize, Serialize};
use unplug_sim::{Watcher, Whereabouts};

use crate::{
    campaign::{self, Ran},
    cli::{Status, WorkerArgs},
    determinism,
    run::Case,
    scenario::Scenario,
    workload::Workload,
};

pub(crate) use self::crew::Worker;
pub use self::{
    crew::{Crew, Limits},
    process::Program,
};

/// The stack of the thread that runs, the same on every machine.
const STACK_BYTES: usize = 8 << 20;

/// What the campaign tells a worker.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    /// The seeds that follow are of this scenario.
    Scenario(Box<Scenario>),
    /// A run, or two to compare.
    Run { seed: u64, twice: bool },
}

/// What a worker tells.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    /// The run goes on.
    Beat,
    /// A task is about to be polled.
    Polls(Place),
    /// The run is over.
    Ran(Box<Ran>),
}

/// Where a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    node: String,
    task: String,
    at_ns: u64,
}

/// Works until nobody orders any more: `unplug worker`, started by a campaign.
///
/// # Errors
/// If an order makes no sense, or there is no thread for it.
#[expect(
    clippy::disallowed_methods,
    reason = "the orders' end must be noticed while a run hangs; the run itself has one thread"
)]
pub fn work(args: &WorkerArgs) -> anyhow::Result<Status> {
    limit_memory(args.memory_mib);
    // A panic is a finding with its seed, told by whoever gave the order.
    std::panic::set_hook(Box::new(|_| {}));
    let (sender, orders) = mpsc::channel();
    let poll = args.telling.then_some(tell_poll as fn(Whereabouts<'_>));
    let watcher = Watcher { beat: || tell(&Answer::Beat), poll };
    let runs = move || carry_out(&orders, watcher);
    let runs = thread::Builder::new().stack_size(STACK_BYTES).spawn(runs)?;
    for line in io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?)?;
        if sender.send(order).is_err() {
            // It gave up, and says why.
            return match runs.join() {
                Ok(ended) => ended.map(|()| Status::Held),
                Err(_) => anyhow::bail!("the worker's thread panicked"),
            };
        }
    }
    // A run that is still going on ends with the process.
    Ok(Status::Held)
}

fn carry_out(orders: &Receiver<Order>, watcher: Watcher) -> anyhow::Result<()> {
    let workload = Workload::embedded()?;
    let mut order = orders.recv();
    while let Ok(Order::Scenario(scenario)) = order {
        let case = Case::new(&scenario, &workload)?.watched(watcher);
        order = orders.recv();
        while let Ok(Order::Run { seed, twice }) = order {
            tell(&Answer::Ran(Box::new(run(&case, (seed, twice)))));
            order = orders.recv();
        }
    }
    match order {
        Ok(Order::Run { .. }) => anyhow::bail!("a seed came before its scenario"),
        Ok(Order::Scenario(_)) | Err(_) => Ok(()),
    }
}

fn run(case: &Case<'_>, (seed, twice): (u64, bool)) -> Ran {
    let before = campaign::cpu_time();
    let scenario = case.scenario();
    let mut outcome = campaign::attempt(scenario, seed, None, || case.run(seed, None));
    let cpu = campaign::cpu_time().saturating_sub(before);
    if twice {
        outcome = campaign::attempt(scenario, seed, None, || {
            let mut again = outcome.clone();
            again.verdicts.extend(determinism::recheck(&outcome, case, None));
            again
        });
    }
    Ran { outcome, cpu }
}

fn tell(answer: &Answer) {
    let told = serde_json::to_vec(answer).map_err(io::Error::from).and_then(|mut line| {
        line.push(b'\n');
        let mut out = io::stdout().lock();
        out.write_all(&line).and_then(|()| out.flush())
    });
    // Where nobody listens any more, the orders end, too.
    drop(told);
}

fn tell_poll(Whereabouts { node, task, at_ns }: Whereabouts<'_>) {
    tell(&Answer::Polls(Place { node: node.to_owned(), task: task.to_owned(), at_ns }));
}

/// The allocator of this program asks for so much in advance, and does not touch it.
#[cfg(target_os = "linux")]
const ALLOCATOR_BYTES: u64 = 1 << 30;

/// Lets an allocation fail, and with it the process, that makes it hold more.
#[cfg(target_os = "linux")]
fn limit_memory(mib: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = Some((mib << 20) + ALLOCATOR_BYTES);
    let Rlimit { maximum, .. } = getrlimit(Resource::Data);
    // Where a limit is set already that is lower still, it stays.
    let _ = setrlimit(Resource::Data, Rlimit { current: limit, maximum });
}

/// Elsewhere the system has no limit for what a process really holds.
#[cfg(not(target_os = "linux"))]
fn limit_memory(_mib: u64) {}

//! Losses of power of single nodes: the others go on, so each is a run from the beginning.
//!
//! Every write and every start and end of a sync of every node is a crash point twice: right after
//! it, with all kept that was written, and right before it, with all lost that no sync has covered.

use std::{ops::ControlFlow, time::Duration};

use rayon::{ThreadPool, prelude::*};
use unplug_sim::fault::{Action, Edge, Fault, Keep, Plan, Point, Target, Trigger};

use super::course::Effect;
use crate::{
    campaign,
    outcome::{Judgement, Outcome},
    run::Case,
};

/// So many runs are made for each thread before the results are looked at.
const RUNS_AT_ONCE: usize = 32;
/// A node that has lost its power has it again after so long.
const DOWN_NS: u64 = 100_000_000;

/// A run, and the CPU time that it took.
#[derive(Debug)]
pub struct Ran {
    /// The crash point in words.
    pub crash: String,
    /// What the run told.
    pub outcome: Outcome,
    /// The CPU time.
    pub cpu: Duration,
}

/// The plans for these effects, two for each.
pub fn plans(effects: &[Effect]) -> impl Iterator<Item = (&Effect, Plan)> {
    effects.iter().flat_map(|effect| {
        let plan = |edge, keep| {
            let (node, kind) = (effect.node.clone(), effect.kind.clone());
            let on =
                Point { node: node.clone(), effect: kind, inside: None, nth: effect.nth, edge };
            let what = Action::PowerLoss { target: Target::Node(node), down_ns: DOWN_NS, keep };
            Plan {
                faults: vec![Fault {
                    when: Trigger { from_ns: effect.from_ns, on: Some(on) },
                    what,
                    until: None,
                }],
            }
        };
        let plans = [plan(Edge::After, Keep::Everything), plan(Edge::Before, Keep::Nothing)];
        plans.map(|plan| (effect, plan))
    })
}

/// Runs all plans and hands what came of them to `each`, in order, until it breaks.
pub fn run(
    case: &Case<'_>,
    seed: u64,
    (effects, pool): (&[Effect], &ThreadPool),
    each: &mut dyn FnMut(Ran) -> ControlFlow<()>,
) {
    let plans: Vec<_> = plans(effects).collect();
    for plans in plans.chunks(RUNS_AT_ONCE * pool.current_num_threads()) {
        let run = |(effect, plan): &(&Effect, Plan)| {
            let before = campaign::cpu_time();
            let outcome =
                campaign::attempt(case.scenario(), seed, Some(plan), || case.run(seed, Some(plan)));
            let cpu = campaign::cpu_time().saturating_sub(before);
            Ran { crash: told(effect, plan), outcome, cpu }
        };
        let ran: Vec<_> = pool.install(|| plans.par_iter().map(run).collect());
        for ran in ran {
            if each(ran).is_break() {
                return;
            }
        }
    }
}

/// Whether a run is a finding.
#[must_use]
pub fn is_violated(case: &Case<'_>, outcome: &Outcome) -> bool {
    match outcome.judge(&case.scenario().expect) {
        Judgement::Failed | Judgement::NotMeasured => true,
        Judgement::Exact | Judgement::Caught => false,
    }
}

fn told(effect: &Effect, plan: &Plan) -> String {
    let after = plan.faults[0].when.on.as_ref().is_some_and(|point| point.edge == Edge::After);
    let (side, keeps) =
        if after { ("after", "everything") } else { ("before", "nothing unsynced") };
    format!("{} loses power right {side} {effect}; its disk keeps {keeps}", effect.node)
}

//! Goes through all states, breadth first: so the first history that breaks the promise is a
//! shortest one.

use std::collections::BTreeSet;

use unplug_engine::defect::Defects;

use super::{
    model::{Action, Limits, STORES, World},
    render::history,
};

/// What was explored.
#[derive(Debug, Default)]
pub(crate) struct Explored {
    /// States by the length of the shortest history that leads there.
    pub(crate) by_depth: Vec<usize>,
    /// States in which a decision was learned.
    pub(crate) decided: u64,
    /// States in which a rebuilt store serves.
    pub(crate) rebuilt: u64,
    /// Whether there are states beyond, which are reached by longer histories only.
    pub(crate) cut: bool,
}

impl Explored {
    pub(crate) fn states(&self) -> usize {
        self.by_depth.iter().sum()
    }
}

/// How the promise was broken: what happened, step by step.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) what: String,
    pub(crate) steps: Vec<String>,
}

/// How a state was come to.
struct Way {
    before: usize,
    action: Action,
}

/// The steps to a state, and one more.
fn way_to(ways: &[Option<Way>], mut at: usize, last: Action) -> Vec<Action> {
    let mut actions = vec![last];
    while let Some(way) = &ways[at] {
        actions.push(way.action);
        at = way.before;
    }
    actions.reverse();
    actions
}

/// Tries everything within the limits.
///
/// # Errors
/// A shortest way in which the promise is broken.
pub(crate) fn explore(limits: &Limits, defects: Defects) -> Result<Explored, Broken> {
    let mut explored = Explored::default();
    let first = World::new(limits);
    let mut known = BTreeSet::from([first.hash()]);
    let mut ways: Vec<Option<Way>> = vec![None];
    let mut open = vec![first];
    while !open.is_empty() {
        if explored.by_depth.len() > limits.steps {
            explored.cut = true;
            break;
        }
        explored.by_depth.push(open.len());
        let begin = ways.len() - open.len();
        let mut beyond = Vec::new();
        for (at, world) in (begin..).zip(&open) {
            explored.decided += u64::from(world.learned.is_some());
            let rebuilt =
                |place: usize| world.stores[place].serving && world.stores[place].known[place] > 1;
            explored.rebuilt += u64::from((0..STORES).any(rebuilt));
            for action in world.actions(limits, defects) {
                match world.after(action, defects) {
                    Ok(None) => {}
                    Ok(Some(next)) => {
                        if known.insert(next.hash()) {
                            ways.push(Some(Way { before: at, action }));
                            beyond.push(next);
                        }
                    }
                    Err(what) => {
                        let actions = way_to(&ways, at, action);
                        let steps = history(World::new(limits), &actions, defects);
                        return Err(Broken { what, steps });
                    }
                }
            }
        }
        open = beyond;
    }
    Ok(explored)
}

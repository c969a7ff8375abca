//! One seed: the store and its client on a simulated machine whose power is cut at drawn points.

use std::{cell::RefCell, rc::Rc};

use unplug_sim::{
    Recorder, SimEnv, Site, World, WorldConfig,
    env::{DiskError, Env, Refusal},
    fault::{Action, Edge, EffectFilter, Fault, Keep, Plan, Point, Target, Trigger},
    random::Stream,
};

use super::{
    oracle::Oracle,
    store::{Bug, Store},
};

/// Each cut is aimed at the machine's life from so many nanoseconds after the last one on.
const LIFE_NS: u64 = 60_000_000;
const KEYS: u64 = 10;
const VALUES: u64 = 1_000_000;

/// What came of one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Power cuts.
    pub(crate) cuts: usize,
    /// Changes acknowledged.
    pub(crate) acknowledged: u64,
    /// What was wrong, if anything.
    pub(crate) violation: Option<String>,
}

/// Runs one seed. `recorder` takes the lines of the trace.
pub(crate) fn run(seed: u64, bug: Option<Bug>, recorder: Option<Recorder>) -> Run {
    let mut world =
        World::new(WorldConfig { boot_ns: (100_000, 1_000_000), ..WorldConfig::new(seed) });
    if let Some(recorder) = recorder {
        world.record(recorder);
    }
    let oracle = Rc::new(RefCell::new(Oracle::default()));
    let witness = Rc::clone(&oracle);
    let node =
        world.add_node("store", Site::DataCentre, move |env| {
            let witness = Rc::clone(&witness);
            async move {
                client(env, witness, bug).await.map_err(|error| Refusal::new(error.to_string()))
            }
        });
    let plan = plan(seed);
    world.load(&plan).expect("the node has this name");
    world.start(node);
    world.run_until(LIFE_NS * (plan.faults.len() as u64 + 1));

    let ended = world.ended().into_iter().next();
    let mut oracle = oracle.borrow_mut();
    let refused = ended.map(|ended| format!("the store refused: {}", ended.message));
    Run {
        cuts: world.fired_count(),
        acknowledged: oracle.acknowledgements,
        violation: oracle.violation.take().or(refused),
    }
}

/// The program of the node: opens the store, and changes it for ever.
async fn client(
    env: SimEnv,
    oracle: Rc<RefCell<Oracle>>,
    bug: Option<Bug>,
) -> Result<(), DiskError> {
    let mut store = Store::open(&env, bug).await?;
    env.observe("opened", 0, |at_ns| oracle.borrow_mut().opened(store.content(), at_ns));
    loop {
        let (key, value) = (env.random() % KEYS, env.random() % VALUES);
        let change = (key, (value % 4 > 0).then_some(value));
        env.observe("change", key, |_| oracle.borrow_mut().begins(change));
        store.change(change).await?;
        env.observe("acknowledged", key, |_| oracle.borrow_mut().acknowledges());
    }
}

/// Up to four power cuts, each beside a drawn effect of the node.
fn plan(seed: u64) -> Plan {
    let mut stream = Stream::new(seed, "plan", 0, 0);
    let cuts = stream.between(1, 5);
    let cut = |number| {
        let effects = [EffectFilter::Any, EffectFilter::Write, EffectFilter::Sync];
        let point = Point {
            node: "store".to_owned(),
            effect: effects[stream.index(effects.len())].clone(),
            inside: None,
            nth: stream.between(1, 60),
            edge: if stream.chance(1, 2) { Edge::Before } else { Edge::After },
        };
        Fault {
            when: Trigger { from_ns: number * LIFE_NS, on: Some(point) },
            what: Action::PowerLoss {
                target: Target::Node("store".to_owned()),
                down_ns: 1_000_000,
                keep: Keep::Drawn,
            },
            until: None,
        }
    };
    Plan { faults: (0..cuts).map(cut).collect() }
}

//! One seed: a grantor and two candidates on machines whose clocks are set, and whose network is
//! cut, at drawn moments. Judged from outside: no two of them lead at once.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc, time::Duration};

use unplug_sim::{
    ClockConfig, Recorder, Site, World, WorldConfig,
    env::{Env, NetError, NodeId, Refusal},
    fault::{Action, Fault, Keep, Plan, Target, Trigger},
    random::Stream,
};

use super::protocol::{Bug, DRIFT_PPM, Lease, grantor};

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const RUN_NS: u64 = 4_000 * MILLISECOND;
const NODES: [&str; 3] = ["grantor", "a", "b"];
const GRANTOR: NodeId = NodeId(0);
/// A leader shows that it leads so often.
const LEAD_EVERY: Duration = Duration::from_millis(1);

/// What came of one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Faults that happened.
    pub(crate) faults: usize,
    /// How often leadership began.
    pub(crate) reigns: usize,
    /// What was wrong, if anything, and the faults until then.
    pub(crate) violation: Option<String>,
}

/// One node's leadership without a break.
type Reign = (NodeId, u64);

/// Who led, as seen from outside. A reign is over once another one shows itself.
#[derive(Debug, Default)]
struct Oracle {
    last: Option<Reign>,
    last_ns: u64,
    over: BTreeSet<Reign>,
    reigns: usize,
    violation: Option<String>,
}

impl Oracle {
    fn leads(&mut self, reign: Reign, at_ns: u64) {
        let before_ns = std::mem::replace(&mut self.last_ns, at_ns);
        let Some(last) = self.last.replace(reign).filter(|last| *last != reign) else {
            self.reigns = self.reigns.max(1);
            return;
        };
        if self.over.contains(&reign) {
            let [old, new] = [reign, last].map(|(node, _)| NODES[usize::from(node.0)]);
            let [at, before] = [at_ns, before_ns].map(|ns| ns / MICROSECOND);
            self.violation.get_or_insert_with(|| {
                format!(
                    "two leaders at once: {new} at {before} us, and {old}, as before, at {at} us"
                )
            });
        } else {
            self.reigns += 1;
        }
        self.over.insert(last);
    }
}

/// Runs one seed with a plan of faults. `recorder` takes the lines of the trace.
pub(crate) fn run(seed: u64, plan: &Plan, bug: Option<Bug>, recorder: Option<Recorder>) -> Run {
    let clocks = ClockConfig { drift_ppm: DRIFT_PPM, wall_skew_ns: 0 };
    let mut world = World::new(WorldConfig { clocks, ..WorldConfig::new(seed) });
    if let Some(recorder) = recorder {
        world.record(recorder);
    }
    let refusal = |error: NetError| Refusal::new(error.to_string());
    let oracle = Rc::new(RefCell::new(Oracle::default()));
    for name in NODES {
        let witness = Rc::clone(&oracle);
        let node = world.add_node(name, Site::DataCentre, move |env| {
            let witness = Rc::clone(&witness);
            async move {
                if env.node() == GRANTOR {
                    return grantor(env, bug).await.map_err(refusal);
                }
                let lease = Lease::ask(&env, GRANTOR, bug).map_err(refusal)?;
                loop {
                    if let Some(reign) = lease.leads() {
                        let show = |at_ns| witness.borrow_mut().leads((env.node(), reign), at_ns);
                        env.observe("leads", reign, show);
                    }
                    env.sleep(LEAD_EVERY).await;
                }
            }
        });
        world.start(node);
    }
    world.load(plan).expect("the nodes have these names");
    world.run_until(RUN_NS);

    let oracle = oracle.borrow();
    let fired = world.fired().iter().map(|fault| fault.to_string()).collect::<Vec<_>>().join(", ");
    let violation = oracle.violation.as_ref().map(|it| format!("{it} (faults: {fired})"));
    Run { faults: world.fired_count(), reigns: oracle.reigns, violation }
}

/// A clock that is set, and up to four other things that a lease must bear.
pub(crate) fn plan(seed: u64) -> Plan {
    let mut stream = Stream::new(seed, "plan", 0, 0);
    let mut faults = Vec::new();
    for number in 0..stream.between(1, 6) {
        let node = NODES[stream.index(NODES.len())].to_owned();
        let candidate = NODES[stream.index(2) + 1].to_owned();
        let for_ns = stream.between(50, 1_000) * MILLISECOND;
        let target = Target::Node(node);
        let what = match if number == 0 { 0 } else { stream.below(4) } {
            0 => {
                let ahead = stream.chance(1, 2);
                let by_ns = i64::try_from(for_ns).expect("a second at most");
                Action::ClockStep { target, by_ns: if ahead { by_ns } else { -by_ns } }
            }
            1 => Action::Partition {
                from: vec![candidate],
                to: vec!["grantor".to_owned()],
                one_way: stream.chance(1, 2),
                for_ns,
            },
            2 => Action::Pause { target, for_ns },
            _ => Action::PowerLoss { target, down_ns: for_ns, keep: Keep::Drawn },
        };
        let from_ns = stream.between(500 * MILLISECOND, RUN_NS - 500 * MILLISECOND);
        faults.push(Fault { when: Trigger { from_ns, on: None }, what, until: None });
    }
    Plan { faults }
}

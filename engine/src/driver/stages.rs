//! Steps 3 and 4: the tasks of an epoch, each until an attempt at it is done.

use std::{collections::BTreeSet, pin::Pin};

use futures_util::{
    StreamExt,
    future::{Either, select},
    stream::FuturesUnordered,
};
use tracing::info;
use unplug_sim::env::{Env, Instant, Refusal, nanos};

use super::{
    End, PAUSE,
    core::{
        plan::{self, Before, Results},
        tasks::{Launch, Limits, Stage, Tasks},
    },
    leader::Leader,
};
use crate::{
    epoch::OffsetsRecord,
    rpc::Unanswered,
    task::{Answer, BlockRef, MapTask, ReduceTask, Request},
    tuple::Partition,
};

/// An attempt under way: what it was, and what it came to.
type Attempted<'a> = Pin<Box<dyn Future<Output = (Launch, Result<Answer, Unanswered>)> + 'a>>;

/// What an epoch's tasks are made from.
struct Input<'a> {
    offsets: &'a OffsetsRecord,
    before: Option<&'a Before>,
    /// Partitions with something to read; a map task each.
    busy: Vec<Partition>,
}

impl<E: Env> Leader<E> {
    /// Runs all tasks.
    pub(super) async fn run_tasks(
        &self,
        offsets: &OffsetsRecord,
        before: Option<&Before>,
    ) -> Result<Results, End> {
        let ranges = (0u16..).zip(&offsets.ranges).filter(|(_, range)| !range.is_empty());
        let busy: Vec<_> = ranges.map(|(number, _)| Partition(number)).collect();
        let input = Input { offsets, before, busy };
        let turn = usize::try_from(offsets.epoch.0).unwrap_or(0);
        let reduces = usize::from(offsets.state_partitions);
        let mut tasks = Tasks::new(self.limits(), turn, input.busy.len(), reduces);
        let mut attempts: FuturesUnordered<Attempted<'_>> = FuturesUnordered::new();
        let mut tried = BTreeSet::new();
        loop {
            if let Some(results) = results(&input, &tasks) {
                return Ok(results);
            }
            let node = &*self.node;
            let now_ns = node.env.now().0;
            let present = node.members.borrow().present(now_ns);
            let launches = tasks.launch(&mut self.record.borrow_mut(), &present, now_ns);
            for launch in launches {
                if !tried.insert(launch.task) {
                    info!(epoch = offsets.epoch.0, "tries a task again");
                }
                attempts.push(self.attempt(launch, request(&input, &tasks, launch)));
            }
            // Executors come and go: look now and then, whatever happens.
            let later_ns = now_ns + nanos(PAUSE);
            let look_ns = tasks.look_ns(&self.record.borrow());
            let look_ns = look_ns.filter(|look_ns| (now_ns + 1..later_ns).contains(look_ns));
            let look_ns = look_ns.unwrap_or(later_ns);
            let pause = node.env.sleep_until(Instant(look_ns));
            if attempts.is_empty() {
                pause.await;
                continue;
            }
            let pause = std::pin::pin!(pause);
            let ended = select(attempts.next(), pause).await;
            if let Either::Left((Some((launch, answer)), _)) = ended {
                self.ended(&input, &mut tasks, (launch, answer))?;
            }
        }
    }

    fn limits(&self) -> Limits {
        let config = &self.node.config;
        Limits {
            speculation: config.speculation,
            straggler_ns_min: nanos(config.straggler_min),
            silent_ns: nanos(config.task_timeout),
        }
    }

    fn attempt(&self, launch: Launch, request: Request) -> Attempted<'_> {
        Box::pin(async move {
            let timeout = self.node.config.task_timeout;
            (launch, self.node.rpc.call(launch.node, &request, timeout).await)
        })
    }

    /// Takes in what an attempt came to.
    fn ended(
        &self,
        input: &Input<'_>,
        tasks: &mut Tasks,
        (launch, answer): (Launch, Result<Answer, Unanswered>),
    ) -> Result<(), End> {
        let now_ns = self.node.env.now().0;
        let mut record = self.record.borrow_mut();
        let chosen = match answer {
            Ok(Answer::Mapped(done)) => tasks.mapped_by((&mut record, now_ns), launch, done),
            Ok(Answer::Reduced(done)) => tasks.reduced_by((&mut record, now_ns), launch, done),
            Ok(Answer::FetchFailed { partition, attempt }) => {
                if let Some(map) = input.busy.iter().position(|busy| *busy == partition) {
                    tasks.lost(map, attempt);
                }
                tasks.failed(launch);
                None
            }
            Ok(Answer::Refused(reason)) => return Err(Refusal::new(reason).into()),
            Ok(Answer::Fenced(_)) => return Err(End::Fenced),
            Ok(Answer::Failed(_) | Answer::Block(_) | Answer::NoBlock) | Err(_) => {
                tasks.failed(launch);
                None
            }
        };
        if chosen == Some(true) {
            self.node.env.mark("speculation.won");
        }
        Ok(())
    }
}

/// The request that makes an attempt.
fn request(input: &Input<'_>, tasks: &Tasks, launch: Launch) -> Request {
    let Input { offsets, before, busy } = input;
    let Launch { task: (stage, place), attempt, .. } = launch;
    match stage {
        Stage::Map => Request::Map(MapTask {
            epoch: offsets.epoch,
            partition: busy[place],
            range: offsets.ranges[usize::from(busy[place].0)],
            attempt,
            state_partitions: offsets.state_partitions,
        }),
        Stage::Reduce => {
            let maps = tasks.mapped().expect("reduce tasks start when all map tasks are done");
            let blocks = busy.iter().zip(maps).filter_map(|(partition, map)| {
                let rows = map.done.blocks.get(place).copied().unwrap_or(0);
                let (partition, attempt, node) = (*partition, map.attempt, map.node);
                (rows > 0).then_some(BlockRef { partition, attempt, node, rows })
            });
            let base = plan::bases(offsets, *before)[place].clone();
            Request::Reduce(ReduceTask {
                epoch: offsets.epoch,
                state: u16::try_from(place).expect("counted in 16 bits"),
                attempt,
                watermark_ms: offsets.watermark_ms,
                snapshot: base.deltas.len() >= plan::DELTAS_MAX,
                base,
                blocks: blocks.collect(),
            })
        }
    }
}

/// What all tasks came to, if all are done.
fn results(input: &Input<'_>, tasks: &Tasks) -> Option<Results> {
    let (maps, reduces) = tasks.done()?;
    let mut latest_ms = vec![0; input.offsets.ranges.len()];
    for (partition, map) in input.busy.iter().zip(&maps) {
        latest_ms[usize::from(partition.0)] = map.latest_ms;
    }
    let outputs = maps.iter().flat_map(|map| &map.output);
    let outputs = outputs.chain(reduces.iter().flat_map(|reduce| &reduce.outputs));
    Some(Results {
        latest_ms,
        outputs: outputs.cloned().collect(),
        states: reduces.iter().map(|reduce| reduce.state.clone()).collect(),
    })
}

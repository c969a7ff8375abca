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
        tasks::{Chosen, Launch, Limits, Tasks},
    },
    leader::Leader,
};
use crate::{
    epoch::OffsetsRecord,
    pipeline::Pipeline,
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
    /// Partitions with something to read; a task of the first stage each.
    busy: Vec<Partition>,
    pipeline: &'a Pipeline,
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
        let input = Input { offsets, before, busy, pipeline: &self.node.config.pipeline };
        let turn = usize::try_from(offsets.epoch.0).unwrap_or(0);
        let mut counts = vec![usize::from(offsets.state_partitions); input.pipeline.stages() + 1];
        counts[0] = input.busy.len();
        let mut tasks = Tasks::new(self.limits(offsets), turn, &counts);
        let mut attempts: FuturesUnordered<Attempted<'_>> = FuturesUnordered::new();
        let mut tried = BTreeSet::new();
        loop {
            if let Some(results) = results(&input, &tasks) {
                return Ok(results);
            }
            let node = &*self.node;
            let now_ns = node.env.now().0;
            let present = {
                let members = node.members.borrow();
                self.record.borrow_mut().heard(|executor| members.heard_ns(executor));
                members.present(now_ns)
            };
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

    fn limits(&self, offsets: &OffsetsRecord) -> Limits {
        let config = &self.node.config;
        Limits {
            speculation: config.speculation,
            straggler_ns_min: nanos(config.straggler_min),
            silent_ns: nanos(config.task_timeout),
            tuples: offsets.ranges.iter().map(|range| range.len()).sum(),
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
            Ok(Answer::Done(done)) => tasks.done_by((&mut record, now_ns), launch, *done),
            Ok(Answer::FetchFailed { stage, partition, attempt }) => {
                let place = match stage {
                    0 => input.busy.iter().position(|busy| *busy == partition),
                    _ => Some(usize::from(partition.0)),
                };
                if let Some(place) = place {
                    tasks.lost((stage, place), attempt);
                }
                tasks.failed(launch);
                None
            }
            Ok(Answer::Refused(reason)) => return Err(Refusal::new(reason).into()),
            Ok(Answer::Fenced(_)) => return Err(End::Fenced),
            Ok(Answer::Trimmed(reason)) => return Err(End::Trimmed(Refusal::new(reason))),
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
    let Input { offsets, before, busy, pipeline } = input;
    let Launch { task: (stage, place), attempt, .. } = launch;
    if stage == 0 {
        return Request::Map(MapTask {
            epoch: offsets.epoch,
            partition: busy[place],
            range: offsets.ranges[usize::from(busy[place].0)],
            attempt,
            state_partitions: offsets.state_partitions,
        });
    }
    let states = usize::from(offsets.state_partitions);
    let slot = usize::from(stage - 1) * states + place;
    let base = plan::bases(states * pipeline.stages(), *before)[slot].clone();
    Request::Reduce(ReduceTask {
        epoch: offsets.epoch,
        stage,
        state: u16::try_from(place).expect("counted in 16 bits"),
        state_partitions: offsets.state_partitions,
        attempt,
        watermark_ms: offsets.watermark_ms,
        watermark_before_ms: before.map_or(0, |before| before.offsets.watermark_ms),
        base,
        blocks: blocks(input, tasks, (stage, place)),
    })
}

/// The blocks that earlier stages have for a task.
fn blocks(input: &Input<'_>, tasks: &Tasks, (stage, place): (u16, usize)) -> Vec<BlockRef> {
    let Input { offsets, busy, pipeline, .. } = input;
    let mut blocks = Vec::new();
    for exchange in 0..pipeline.exchanges() {
        if pipeline.stage_of(exchange) != usize::from(stage) {
            continue;
        }
        let block = exchange * usize::from(offsets.state_partitions) + place;
        for from in 0..stage {
            let done = tasks.done(from).expect("a stage starts when all earlier ones are done");
            let partitions = (0u16..).map(Partition).take(done.len());
            let partitions = if from == 0 { busy.clone() } else { partitions.collect() };
            for (partition, Chosen { attempt, node, done }) in partitions.into_iter().zip(done) {
                let rows = done.blocks.get(block).copied().unwrap_or(0);
                let exchange = u16::try_from(exchange).expect("few exchanges");
                let (stage, attempt, node) = (from, *attempt, *node);
                if rows > 0 {
                    blocks.push(BlockRef { exchange, stage, partition, attempt, node, rows });
                }
            }
        }
    }
    blocks
}

/// What all tasks came to, if all are done.
fn results(input: &Input<'_>, tasks: &Tasks) -> Option<Results> {
    let mut results =
        Results { latest_ms: vec![0; input.offsets.ranges.len()], ..Results::default() };
    for (partition, task) in input.busy.iter().zip(tasks.done(0)?) {
        results.latest_ms[usize::from(partition.0)] = task.done.latest_ms;
        results.bytes += task.done.bytes;
        results.outputs.extend_from_slice(&task.done.outputs);
    }
    for stage in (1..).take(input.pipeline.stages()) {
        for task in tasks.done(stage)? {
            results.outputs.extend_from_slice(&task.done.outputs);
            results.states.extend(task.done.state.clone());
        }
    }
    Some(results)
}

//! Who tries which task of an epoch, and when another tries beside it.
//!
//! All tasks of a stage run at once, each on the present executor that has the least to do; but a
//! reduce task goes where the state is that it goes on from, unless that executor has its share. An
//! attempt that fails, whose executor is gone, or that is silent for too long is followed by
//! another. One that takes much longer than its peers, or than those of earlier epochs did for as many
//! tuples, gets a second one beside it, on another executor; the first to finish is chosen, and what
//! the other does is read by nobody. Before any has finished, nobody knows what is long. A block that
//! cannot be fetched puts the task that made it back; a stage waits until all earlier ones are done.

use std::collections::BTreeMap;

use unplug_sim::env::NodeId;

use crate::{
    task::{Done, Held},
    tuple::{Attempt, Generation},
};

/// A stage of an epoch: 0 reads source partitions, each later one takes what earlier ones gave into
/// state partitions.
pub type Stage = u16;

/// A task: its stage and its place there.
pub type TaskId = (Stage, usize);

/// When another attempt is made beside one that still runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Whether stragglers get a second attempt.
    pub speculation: bool,
    /// No attempt counts as a straggler's before so long, in nanoseconds.
    pub straggler_ns_min: u64,
    /// An attempt that did not answer for so long is given up, in nanoseconds.
    pub silent_ns: u64,
    /// How many tuples the epoch reads: with more than usual, or fewer executors, all of its tasks
    /// take longer.
    pub tuples: u64,
}

/// An attempt to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// At which task.
    pub task: TaskId,
    /// Which try.
    pub attempt: Attempt,
    /// On which executor.
    pub node: NodeId,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    attempt: Attempt,
    node: NodeId,
    since_ns: u64,
    /// How much an executor has to do, if all have as much: thousandths of tuples of the epoch.
    load: u64,
    speculative: bool,
}

/// The attempt at a task that was chosen: the first that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Which try.
    pub attempt: Attempt,
    /// Where it ran.
    pub node: NodeId,
    /// What it came to.
    pub done: Done,
}

/// How long the attempts that were chosen lately took, under which load, and the count of all attempts,
/// over a whole leadership.
#[derive(Clone, Debug)]
pub struct Record {
    generation: Generation,
    counter: u64,
    took: BTreeMap<Stage, Took>,
    /// How often each executor kept silent since an attempt on it last ended well.
    silences: BTreeMap<NodeId, u64>,
    /// Executors whose attempts straggled, and when that was last seen.
    doubtful_ns: BTreeMap<NodeId, u64>,
    /// The executor that was chosen last at a task: it may have the task's state in memory.
    holders: BTreeMap<TaskId, NodeId>,
}

/// How long the attempts at a stage that were chosen lately took.
#[derive(Clone, Debug, Default)]
struct Took {
    /// In nanoseconds, each with the load.
    last: Vec<(u64, u64)>,
    /// The median of the times, in nanoseconds.
    usual_ns: u64,
    /// The median of the loads.
    usual_load: u64,
}

/// So many durations are remembered of each stage.
const TOOK_MAX: usize = 32;

impl Took {
    fn add(&mut self, ns: u64, load: u64) {
        if self.last.len() == TOOK_MAX {
            self.last.remove(0);
        }
        self.last.push((ns, load));
        self.usual_ns = median(self.last.iter().map(|one| one.0));
        self.usual_load = median(self.last.iter().map(|one| one.1));
    }
}

/// Of at least one value.
fn median(values: impl Iterator<Item = u64>) -> u64 {
    let mut values: Vec<_> = values.collect();
    let middle = values.len() / 2;
    *values.select_nth_unstable(middle).1
}

impl Record {
    /// No attempt was made yet in this leadership.
    #[must_use]
    pub fn new(generation: Generation) -> Self {
        Self {
            generation,
            counter: 0,
            took: BTreeMap::new(),
            silences: BTreeMap::new(),
            doubtful_ns: BTreeMap::new(),
            holders: BTreeMap::new(),
        }
    }

    /// Executors were heard at these times: one that was since it straggled is not gone, only slow.
    pub fn heard(&mut self, heard_ns: impl Fn(NodeId) -> u64) {
        self.doubtful_ns.retain(|node, doubtful_ns| heard_ns(*node) <= *doubtful_ns);
    }

    /// Executors say which states they hold, of the versions that an epoch goes on from. Best has one
    /// who went on from it: it may have done the task.
    pub fn held(
        &mut self,
        held: &BTreeMap<NodeId, Vec<Held>>,
        wanted: impl Fn(TaskId) -> Option<u64>,
    ) {
        for made_of_it in [false, true] {
            for (node, held) in
                held.iter().flat_map(|(node, held)| held.iter().map(move |one| (node, one)))
            {
                let task = (held.stage, usize::from(held.state));
                let uid = if made_of_it { held.before_uid } else { Some(held.uid) };
                if uid.is_some() && uid == wanted(task) {
                    self.holders.insert(task, *node);
                }
            }
        }
    }

    fn next_attempt(&mut self) -> Attempt {
        self.counter += 1;
        Attempt { generation: self.generation, counter: self.counter }
    }

    fn took(&mut self, stage: Stage, ns: u64, load: u64) {
        self.took.entry(stage).or_default().add(ns, load);
    }

    /// How long an attempt takes under a load: the median of the last ones, and under more than the
    /// median of their loads accordingly more.
    fn usual_ns(&self, stage: Stage, load: u64) -> Option<u64> {
        let took = self.took.get(&stage)?;
        let usual = took.usual_load.max(1);
        Some(took.usual_ns.saturating_mul(load.max(usual)) / usual)
    }

    /// Of the present executors those that are not doubtful.
    fn sound(&self, present: &[NodeId]) -> usize {
        present.iter().filter(|node| !self.doubtful_ns.contains_key(node)).count()
    }
}

/// The tasks of one epoch.
#[derive(Clone, Debug)]
pub struct Tasks {
    limits: Limits,
    /// Where the turn of executors begins, so that few tasks do not always meet the same.
    turn: usize,
    /// By stage.
    chosen: Vec<Vec<Option<Chosen>>>,
    running: BTreeMap<TaskId, Vec<Running>>,
}

impl Tasks {
    /// So many tasks of each stage, none tried yet. `turn` differs from epoch to epoch.
    #[must_use]
    pub fn new(limits: Limits, turn: usize, counts: &[usize]) -> Self {
        let chosen = counts.iter().map(|count| vec![None; *count]).collect();
        Self { limits, turn, chosen, running: BTreeMap::new() }
    }

    /// What the tasks of a stage came to, if all are done.
    #[must_use]
    pub fn done(&self, stage: Stage) -> Option<Vec<&Chosen>> {
        self.chosen[usize::from(stage)].iter().map(Option::as_ref).collect()
    }

    /// The attempts to be started now, given who is present. They count as running from here on.
    pub fn launch(&mut self, record: &mut Record, present: &[NodeId], now_ns: u64) -> Vec<Launch> {
        self.give_up(record, present, now_ns);
        let mut launches = Vec::new();
        for task in self.open() {
            let speculative = match self.running.get(&task).map(Vec::as_slice) {
                None | Some([]) => false,
                Some([only]) if self.is_straggler(record, task.0, only, now_ns) => {
                    record.doubtful_ns.insert(only.node, now_ns);
                    true
                }
                Some(_) => continue,
            };
            let Some(node) = self.pick(record, present, task) else { continue };
            let attempt = record.next_attempt();
            let sound = u64::try_from(record.sound(present).max(1)).unwrap_or(u64::MAX);
            let load = self.limits.tuples.saturating_mul(1_000) / sound;
            let running = Running { attempt, node, since_ns: now_ns, load, speculative };
            self.running.entry(task).or_default().push(running);
            launches.push(Launch { task, attempt, node });
        }
        launches
    }

    /// When to look again although nothing ended; none if only an end or an executor that comes
    /// can change anything.
    #[must_use]
    pub fn look_ns(&self, record: &Record) -> Option<u64> {
        let single = self.running.iter().filter(|(_, attempts)| attempts.len() == 1);
        let straggles = single.filter_map(|((stage, _), attempts)| {
            let straggler_ns = self.straggler_ns(record, *stage, &attempts[0])?;
            Some(attempts[0].since_ns.saturating_add(straggler_ns))
        });
        straggles.filter(|_| self.limits.speculation).min()
    }

    /// An attempt is done. Tells whether it was chosen, and if so whether it was speculative.
    pub fn done_by(
        &mut self,
        (record, now_ns): (&mut Record, u64),
        launch: Launch,
        done: Done,
    ) -> Option<bool> {
        let running = self.end(launch)?;
        let (stage, place) = launch.task;
        record.silences.remove(&running.node);
        // How long it takes is not known of what was there already.
        if done.earlier.is_none() {
            record.took(stage, now_ns.saturating_sub(running.since_ns), running.load);
        }
        let place = &mut self.chosen[usize::from(stage)][place];
        if place.is_some() {
            return None;
        }
        let attempt = done.earlier.unwrap_or(launch.attempt);
        *place = Some(Chosen { attempt, node: launch.node, done });
        if stage > 0 {
            record.holders.insert(launch.task, launch.node);
        }
        Some(running.speculative)
    }

    /// An attempt did not work out.
    pub fn failed(&mut self, launch: Launch) {
        if let Some(attempts) = self.running.get_mut(&launch.task) {
            attempts.retain(|running| running.attempt != launch.attempt);
        }
    }

    /// A block of this attempt at a task is lost: the task is to be run again, unless another
    /// attempt was chosen since.
    pub fn lost(&mut self, (stage, place): TaskId, attempt: Attempt) {
        let place = &mut self.chosen[usize::from(stage)][place];
        if place.as_ref().is_some_and(|chosen| chosen.attempt == attempt) {
            *place = None;
        }
    }

    /// Tasks that are not done and whose input is there: those of the first stage that has any.
    fn open(&self) -> Vec<TaskId> {
        let open = |stage: &Vec<Option<Chosen>>| {
            (0..stage.len()).filter(|place| stage[*place].is_none()).collect::<Vec<_>>()
        };
        let mut stages = (0..).zip(self.chosen.iter().map(open));
        let first = stages.find(|(_, open)| !open.is_empty());
        let of = |(stage, open): (Stage, Vec<usize>)| open.into_iter().map(move |one| (stage, one));
        first.map(of).into_iter().flatten().collect()
    }

    /// Forgets attempts whose executors are gone or silent. Should one answer after all, it is too
    /// late.
    fn give_up(&mut self, record: &mut Record, present: &[NodeId], now_ns: u64) {
        for attempts in self.running.values_mut() {
            attempts.retain(|one| {
                let silent = now_ns >= one.since_ns.saturating_add(self.limits.silent_ns);
                if silent {
                    *record.silences.entry(one.node).or_default() += 1;
                }
                present.contains(&one.node) && !silent
            });
        }
    }

    /// How long an attempt may take before it is a straggler; none if nothing is known of its stage.
    fn straggler_ns(&self, record: &Record, stage: Stage, running: &Running) -> Option<u64> {
        let usual_ns = record.usual_ns(stage, running.load)?;
        Some(usual_ns.saturating_mul(2).max(self.limits.straggler_ns_min))
    }

    fn is_straggler(&self, record: &Record, stage: Stage, running: &Running, now_ns: u64) -> bool {
        let took_ns = now_ns.saturating_sub(running.since_ns);
        let straggler_ns = self.straggler_ns(record, stage, running);
        self.limits.speculation && straggler_ns.is_some_and(|straggler_ns| took_ns >= straggler_ns)
    }

    /// Of the present executors that are not doubtful and kept silent least often, the one that holds
    /// the task's state and has less than its share to do; or the one with the fewest attempts under
    /// way. In any case one with none at this task.
    fn pick(&self, record: &Record, present: &[NodeId], task: TaskId) -> Option<NodeId> {
        let busy = |node: NodeId| {
            self.running.values().flatten().filter(|running| running.node == node).count()
        };
        let tries = |node: NodeId| {
            self.running.get(&task).is_some_and(|all| all.iter().any(|one| one.node == node))
        };
        let count = present.len();
        let turned = (0..count).map(|step| present[(self.turn + task.1 + step) % count]);
        let silences = |node: NodeId| record.silences.get(&node).copied().unwrap_or(0);
        let share = self.chosen[usize::from(task.0)].len().div_ceil(count.max(1));
        let holder = record.holders.get(&task);
        let elsewhere = |node: NodeId| holder != Some(&node) || busy(node) >= share;
        turned.filter(|node| !tries(*node)).min_by_key(|node| {
            let doubtful = record.doubtful_ns.contains_key(node);
            (doubtful, silences(*node), elsewhere(*node), busy(*node))
        })
    }

    /// Takes an attempt that ended well off the list; none if it was given up.
    fn end(&mut self, launch: Launch) -> Option<Running> {
        let attempts = self.running.get_mut(&launch.task)?;
        let place = attempts.iter().position(|running| running.attempt == launch.attempt)?;
        Some(attempts.remove(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { speculation: true, straggler_ns_min: 20, silent_ns: 1_000, tuples: 10 };
    const NODES: [NodeId; 3] = [NodeId(3), NodeId(4), NodeId(5)];

    fn start(maps: usize, reduces: usize) -> (Tasks, Record) {
        (Tasks::new(LIMITS, 0, &[maps, reduces]), Record::new(Generation(2)))
    }

    #[test]
    fn tasks_are_spread_and_no_two_attempts_are_the_same() {
        let (mut tasks, mut record) = start(4, 0);
        let launches = tasks.launch(&mut record, &NODES, 0);
        let nodes: Vec<_> = launches.iter().map(|launch| launch.node.0).collect();
        assert_eq!(nodes, [3, 4, 5, 3]);
        assert!(launches.is_sorted_by(|one, two| one.attempt < two.attempt));
        assert_eq!(tasks.launch(&mut record, &NODES, 1), []);
    }

    #[test]
    fn nothing_starts_without_executors_and_all_when_one_comes() {
        let (mut tasks, mut record) = start(2, 0);
        assert_eq!(tasks.launch(&mut record, &[], 0), []);
        assert_eq!(tasks.launch(&mut record, &NODES[..1], 1).len(), 2);
    }

    #[test]
    fn what_an_earlier_leadership_came_to_counts_under_its_attempt_and_not_as_a_duration() {
        let (mut tasks, mut record) = start(2, 1);
        let maps = tasks.launch(&mut record, &NODES, 0);
        let earlier = Attempt { generation: Generation(1), counter: 9 };
        let adopted = Done { earlier: Some(earlier), ..Done::default() };
        assert_eq!(tasks.done_by((&mut record, 1), maps[0], adopted), Some(false));
        assert_eq!(record.usual_ns(0, 1), None);
        tasks.done_by((&mut record, 30), maps[1], Done::default());
        assert_eq!(record.usual_ns(0, 1), Some(30));
        let attempts = tasks.done(0).expect("both").into_iter().map(|chosen| chosen.attempt);
        assert!(attempts.eq([earlier, maps[1].attempt]));
        tasks.lost((0, 0), maps[0].attempt);
        assert!(tasks.done(0).is_some(), "that attempt made no block");
        tasks.lost((0, 0), earlier);
        assert!(tasks.done(0).is_none());
    }

    #[test]
    fn a_state_is_where_its_version_is_and_rather_where_one_was_made_of_it() {
        let held = |state, uid, before_uid| Held { stage: 1, state, uid, before_uid };
        let of = |node: usize, held: &[Held]| (NODES[node], held.to_vec());
        let all = [
            of(0, &[held(0, 7, None), held(1, 20, Some(8)), held(2, 5, Some(4))]),
            of(1, &[held(0, 21, Some(7)), held(1, 8, None)]),
            of(2, &[held(0, 7, Some(6)), held(3, 9, None)]),
        ];
        let mut record = Record::new(Generation(2));
        let wanted = |(_, place): TaskId| [7, 8, 9].get(place).copied();
        record.held(&BTreeMap::from(all), wanted);
        let holders = [((1, 0), NODES[1]), ((1, 1), NODES[0])];
        assert_eq!(record.holders, BTreeMap::from(holders));
    }

    #[test]
    fn reduce_tasks_wait_for_all_map_tasks_and_go_back_with_a_lost_block() {
        let (mut tasks, mut record) = start(2, 1);
        let maps = tasks.launch(&mut record, &NODES, 0);
        assert_eq!(tasks.done_by((&mut record, 5), maps[0], Done::default()), Some(false));
        assert_eq!(tasks.launch(&mut record, &NODES, 5), []);
        assert_eq!(tasks.done_by((&mut record, 6), maps[1], Done::default()), Some(false));
        let reduce = tasks.launch(&mut record, &NODES, 6)[0];
        assert_eq!(reduce.task, (1, 0));
        tasks.failed(reduce);
        tasks.lost((0, 1), maps[1].attempt);
        let again = tasks.launch(&mut record, &NODES, 7);
        assert_eq!(again.iter().map(|launch| launch.task).collect::<Vec<_>>(), [(0, 1)]);
        tasks.lost((0, 0), again[0].attempt);
        assert!(tasks.chosen[0][0].is_some(), "another attempt's block");
        tasks.done_by((&mut record, 8), again[0], Done::default());
        let reduce = tasks.launch(&mut record, &NODES, 8)[0];
        assert_eq!(tasks.done_by((&mut record, 9), reduce, Done::default()), Some(false));
        assert!(tasks.done(1).is_some());
    }

    #[test]
    fn a_straggler_gets_a_second_attempt_elsewhere_and_the_first_to_finish_is_chosen() {
        let (mut tasks, mut record) = start(3, 0);
        let first = tasks.launch(&mut record, &NODES, 0);
        for launch in &first[..2] {
            tasks.done_by((&mut record, 40), *launch, Done::default());
        }
        assert_eq!(tasks.look_ns(&record), Some(80));
        assert_eq!(tasks.launch(&mut record, &NODES, 79), []);
        let second = tasks.launch(&mut record, &NODES, 80);
        assert_eq!(second.len(), 1);
        assert_ne!(second[0].node, first[2].node);
        assert_eq!(tasks.launch(&mut record, &NODES, 500), [], "two are enough");
        assert_eq!(tasks.done_by((&mut record, 510), second[0], Done::default()), Some(true));
        assert_eq!(tasks.done_by((&mut record, 520), first[2], Done::default()), None);
        assert_eq!(tasks.done(0).expect("all done")[2].attempt, second[0].attempt);
    }

    #[test]
    fn before_any_attempt_of_a_stage_is_done_none_is_a_straggler() {
        let (mut tasks, mut record) = start(2, 0);
        let first = tasks.launch(&mut record, &NODES, 0);
        assert_eq!(tasks.look_ns(&record), None);
        assert_eq!(tasks.launch(&mut record, &NODES, 999), []);
        tasks.done_by((&mut record, 999), first[0], Done::default());
        assert_eq!(tasks.look_ns(&record), Some(2 * 999));
    }

    #[test]
    fn in_an_epoch_that_reads_more_or_on_fewer_executors_an_attempt_may_take_longer() {
        let (mut tasks, mut record) = start(3, 0);
        for launch in tasks.launch(&mut record, &NODES, 0) {
            tasks.done_by((&mut record, 40), launch, Done::default());
        }
        for (tuples, executors, straggles_ns) in
            [(0, 3, 80), (10, 3, 80), (20, 3, 160), (50, 3, 400), (10, 1, 240), (50, 1, 1_200)]
        {
            let mut tasks = Tasks::new(Limits { tuples, ..LIMITS }, 0, &[1]);
            tasks.launch(&mut record, &NODES[..executors], 0);
            assert_eq!(tasks.look_ns(&record), Some(straggles_ns), "{tuples} on {executors}");
        }
    }

    #[test]
    fn without_speculation_a_straggler_is_waited_for() {
        let limits = Limits { speculation: false, ..LIMITS };
        let mut tasks = Tasks::new(limits, 0, &[1]);
        let mut record = Record::new(Generation(1));
        tasks.launch(&mut record, &NODES, 0);
        assert_eq!(tasks.look_ns(&record), None);
        assert_eq!(tasks.launch(&mut record, &NODES, 999), []);
        assert_eq!(tasks.launch(&mut record, &NODES, 1_000).len(), 1, "silent for too long");
    }

    #[test]
    fn an_executor_that_kept_silent_is_passed_over_until_it_ends_something_well() {
        let limits = Limits { speculation: false, ..LIMITS };
        let mut tasks = Tasks::new(limits, 0, &[1]);
        let mut record = Record::new(Generation(1));
        let first = tasks.launch(&mut record, &NODES[..2], 0)[0];
        let second = tasks.launch(&mut record, &NODES[..2], 1_000)[0];
        assert_ne!(first.node, second.node);
        tasks.done_by((&mut record, 1_010), second, Done::default());
        let mut tasks = Tasks::new(limits, 0, &[2]);
        let nodes: Vec<_> =
            tasks.launch(&mut record, &NODES[..2], 1_020).iter().map(|one| one.node).collect();
        assert_eq!(nodes, [second.node; 2]);
        record.silences.clear();
        assert_eq!(tasks.pick(&record, &NODES[..2], (0, 0)), Some(first.node));
    }

    #[test]
    fn an_executor_that_straggled_is_passed_over_until_it_is_heard() {
        let (mut tasks, mut record) = start(3, 0);
        let first = tasks.launch(&mut record, &NODES, 0);
        for launch in &first[..2] {
            tasks.done_by((&mut record, 40), *launch, Done::default());
        }
        assert_eq!(tasks.launch(&mut record, &NODES, 80).len(), 1);
        let nodes = |record: &mut Record| {
            let mut tasks = Tasks::new(LIMITS, 0, &[3]);
            let launches = tasks.launch(record, &NODES, 90);
            launches.iter().map(|launch| launch.node).collect::<Vec<_>>()
        };
        record.heard(|_| 80);
        assert!(!nodes(&mut record).contains(&first[2].node));
        record.heard(|_| 81);
        assert!(nodes(&mut record).contains(&first[2].node));
    }

    #[test]
    fn a_reduce_task_follows_its_state_until_that_executor_has_its_share() {
        let mut record = Record::new(Generation(1));
        let mut nodes = |turn, present: &[NodeId]| {
            let mut tasks = Tasks::new(LIMITS, turn, &[0, 3]);
            let launches = tasks.launch(&mut record, present, 0);
            for launch in &launches {
                tasks.done_by((&mut record, 1), *launch, Done::default());
            }
            launches.iter().map(|launch| launch.node.0).collect::<Vec<_>>()
        };
        assert_eq!(nodes(0, &NODES), [3, 4, 5]);
        assert_eq!(nodes(1, &NODES), [3, 4, 5]);
        assert_eq!(nodes(2, &NODES[..1]), [3, 3, 3]);
        assert_eq!(nodes(0, &NODES), [3, 4, 5], "spread again");
    }

    #[test]
    fn the_tasks_of_an_executor_that_is_gone_are_tried_elsewhere() {
        let (mut tasks, mut record) = start(3, 0);
        let first = tasks.launch(&mut record, &NODES, 0);
        let again = tasks.launch(&mut record, &NODES[1..], 1);
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].task, first[0].task);
        assert_ne!(again[0].node, first[0].node);
        assert_eq!(tasks.done_by((&mut record, 2), first[0], Done::default()), None, "given up");
    }

    #[test]
    fn a_block_lost_two_stages_later_puts_only_its_own_task_back() {
        let mut tasks = Tasks::new(LIMITS, 0, &[1, 2, 1]);
        let mut record = Record::new(Generation(1));
        let mut end = |tasks: &mut Tasks, now_ns| {
            let launches = tasks.launch(&mut record, &NODES, now_ns);
            for launch in &launches {
                tasks.done_by((&mut record, now_ns), *launch, Done::default());
            }
            launches
        };
        let (first, second) = (end(&mut tasks, 0)[0], end(&mut tasks, 1));
        let third = tasks.open();
        assert_eq!((second.len(), third.as_slice()), (2, &[(2, 0)][..]));
        tasks.lost(first.task, first.attempt);
        tasks.lost(second[1].task, second[1].attempt);
        assert_eq!(tasks.open(), [(0, 0)]);
        end(&mut tasks, 2);
        assert_eq!(tasks.open(), [(1, 1)]);
        end(&mut tasks, 3);
        assert_eq!(tasks.open(), [(2, 0)]);
    }
}

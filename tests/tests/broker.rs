//! The broker alone, struck beside every single write and sync: whatever it said stays so.
//!
//! A client produces, trims, repeats and reads, all through the crash. At the end the broker loses
//! power once more, and then everything is looked at: what is only in the page cache does not
//! count.

use std::{cell::RefCell, collections::BTreeMap, ops::Range, rc::Rc, time::Duration};

use unplug_engine::{
    Cluster, Config, Role,
    broker::{Answer, PRODUCE_BYTES_MAX, PRODUCE_TUPLES_MAX, PRODUCER_WINDOW, Request},
    client,
    defect::{Defect, Defects},
    layout::Layouts,
    pipeline::{Pipeline, Spec},
    rpc::Rpc,
    tuple::{Generation, Offset, OffsetRange, Partition, Tuple},
};
use unplug_sim::{
    SimEnv, Site, Stop, World, WorldConfig,
    env::{Env, Exit, NodeId, Refusal},
    fault::{Action, Edge, EffectFilter, Fault, Keep, Plan, Point, Target, Trigger},
};

const BROKER: NodeId = NodeId(0);
const PARTITIONS: u16 = 2;
const PRODUCERS: u16 = 2;
const ROUNDS: u64 = 9;
/// Tuples of one producer in one partition and round.
const AT_ONCE: u64 = 3;
/// So few that there is a new segment every other round.
const SEGMENT_BYTES: u64 = 300;
const DOWN_NS: u64 = 1_000_000;
/// A hundred times as long as a run without faults takes.
const UNTIL_NS: u64 = 100_000_000_000;

/// A client that remembers all that it was told and panics when it is told otherwise.
struct Client {
    env: SimEnv,
    rpc: Rpc<SimEnv>,
    /// The owner of each offset that was acknowledged, by partition.
    owners: RefCell<Vec<BTreeMap<Offset, Tuple>>>,
    /// The first offsets that are kept.
    firsts: RefCell<Vec<Offset>>,
}

impl Client {
    fn new(env: SimEnv) -> Result<Self, Refusal> {
        let rpc = Rpc::open(&env)?;
        let answers = rpc.clone();
        env.spawn("answers", async move {
            drop(answers.serve(async |(): ()| Ok::<_, Refusal>(())).await);
        });
        let owners = RefCell::new(vec![BTreeMap::new(); usize::from(PARTITIONS)]);
        let firsts = RefCell::new(vec![Offset(0); usize::from(PARTITIONS)]);
        Ok(Self { env, rpc, owners, firsts })
    }

    async fn ask(&self, request: Request) -> Answer {
        self.rpc.insist(BROKER, &request).await
    }

    /// Produces tuples of one producer, new ones or repeats.
    async fn produce(&self, partition: Partition, producer: u16, seqs: Range<u64>) {
        let tuples: Vec<_> = seqs.map(|seq| tuple(partition, producer, seq)).collect();
        let request = Request::Produce { among: PARTITIONS, partition, tuples: tuples.clone() };
        let Answer::Produced(offsets) = self.ask(request).await else { panic!("not produced") };
        assert_eq!(offsets.len(), tuples.len());
        let owners = &mut self.owners.borrow_mut()[usize::from(partition.0)];
        for (tuple, offset) in tuples.into_iter().zip(offsets) {
            let offset = offset.expect("within the window");
            let known = owners.iter().find(|(_, owner)| **owner == tuple).map(|(at, _)| *at);
            assert!(known.is_none_or(|known| known == offset), "moved from {known:?} to {offset}");
            let owner = owners.insert(offset, tuple.clone());
            assert!(owner.is_none_or(|owner| owner == tuple), "{offset} has two owners");
        }
    }

    /// Trims each partition at a half of what is kept.
    async fn trim(&self, generation: u64) {
        let before = self.firsts.borrow().clone();
        let last = |owners: &BTreeMap<_, _>| *owners.last_key_value().expect("produced").0;
        let lasts: Vec<Offset> = self.owners.borrow().iter().map(last).collect();
        let middle = |(first, last): (&Offset, &Offset)| Offset(u64::midpoint(first.0, last.0));
        let ends: Vec<_> = before.iter().zip(&lasts).map(middle).collect();
        let request = Request::Trim { generation: Generation(generation), ends: ends.clone() };
        let Answer::Trimmed(firsts) = self.ask(request).await else { panic!("not trimmed") };
        for place in 0..usize::from(PARTITIONS) {
            let may_be = before[place]..=ends[place];
            assert!(may_be.contains(&firsts[place]), "{} outside {may_be:?}", firsts[place]);
        }
        *self.firsts.borrow_mut() = firsts;
    }

    /// Reads all that is kept, and looks for what is not.
    async fn read(&self, partition: Partition) {
        let place = usize::from(partition.0);
        let owners = self.owners.borrow()[place].clone();
        let first = self.firsts.borrow()[place];
        let Answer::Ends(ends) = self.ask(Request::Ends).await else { panic!("no ends") };
        let end = ends[place];
        let all = owners.keys().copied().eq((0..end.0).map(Offset));
        assert!(all, "partition {partition} ends at {end}, acknowledged: {:?}", owners.keys());
        let read = |start, end| Request::Read { partition, range: OffsetRange { start, end } };
        let mut next = first;
        while next < end {
            let Answer::Page(page) = self.ask(read(next, end)).await else { panic!("no page") };
            assert!(!page.is_empty());
            for tuple in page {
                assert_eq!(Some(&tuple), owners.get(&next), "at {next}");
                next = Offset(next.0 + 1);
            }
        }
        // A range that begins and ends within frames.
        for part in [first.0 + 1..end.0 - 1, end.0 - 2..end.0 - 1] {
            let Answer::Page(page) = self.ask(read(Offset(part.start), Offset(part.end))).await
            else {
                panic!("no page")
            };
            assert!(page.iter().eq(part.map(|at| &owners[&Offset(at)])));
        }
        let beyond = self.ask(read(first, Offset(end.0 + 1))).await;
        assert_eq!(beyond, Answer::Beyond(end));
        if let Some(below) = first.0.checked_sub(1) {
            assert_eq!(self.ask(read(Offset(below), end)).await, Answer::Below(first));
        }
    }
}

/// A tuple whose key belongs to the partition.
fn tuple(partition: Partition, producer: u16, seq: u64) -> Tuple {
    let mut keys = (0u8..).filter(|key| Partition::of_key(&[*key], PARTITIONS) == partition);
    let key = vec![keys.next().expect("every partition has keys")].into();
    Tuple { producer, seq, time_ms: seq, key, value: seq.to_le_bytes().to_vec().into() }
}

fn partitions() -> impl Iterator<Item = Partition> {
    (0..PARTITIONS).map(Partition)
}

async fn whole_life(env: SimEnv) -> Exit {
    let client = Client::new(env)?;
    for round in 0..ROUNDS {
        for partition in partitions() {
            for producer in 0..PRODUCERS {
                client.produce(partition, producer, AT_ONCE * round..AT_ONCE * (round + 1)).await;
            }
        }
        if round % 3 == 2 {
            client.trim(round).await;
            // A producer that was restarted.
            client.produce(Partition(0), 1, 0..AT_ONCE * (round + 1)).await;
        }
    }
    client.env.mark("looking");
    for partition in partitions() {
        client.read(partition).await;
        for producer in 0..PRODUCERS {
            client.produce(partition, producer, 0..AT_ONCE * ROUNDS).await;
            let next = AT_ONCE * ROUNDS;
            client.produce(partition, producer, next..next + 1).await;
        }
        client.read(partition).await;
    }
    assert!(client.firsts.borrow().iter().all(|first| *first > Offset(0)), "nothing trimmed");
    client.env.mark("done");
    Ok(())
}

/// A broker, formatted, and a client.
fn world<F>(seed: u64, defects: &[Defect], client: impl Fn(SimEnv) -> F + 'static) -> World
where
    F: Future<Output = Exit> + 'static,
{
    let cluster = Cluster {
        broker: BROKER,
        stores: Vec::new(),
        drivers: Vec::new(),
        executors: Vec::new(),
        sinks: Vec::new(),
        partitions: PARTITIONS,
    };
    let pipeline = Pipeline::new(&Spec::flights()).expect("sound");
    let config = Config {
        segment_bytes: SEGMENT_BYTES,
        defects: Defects::of(defects),
        ..Config::new(cluster, pipeline)
    };
    let boot_ns = (1_000, 2_000);
    let mut world = World::new(WorldConfig { boot_ns, ..WorldConfig::new(seed) });
    let format = config.format(Role::Broker, 0);
    let config = Rc::new(config);
    let program = move |env| unplug_engine::run(env, Role::Broker, Rc::clone(&config), false);
    let broker = world.add_node("broker", Site::DataCentre, program);
    assert_eq!(broker, BROKER);
    for (path, bytes) in format {
        world.disk(broker, |disk| disk.put_durable(&path, &bytes)).expect("a blank disk");
    }
    let client = world.add_node("client", Site::Outside, client);
    world.watch("done");
    world.start(broker);
    world.start(client);
    world
}

/// Runs a world to its end; an error if the client was told what cannot be, or is still waiting.
fn finish(world: &mut World) -> Result<(), String> {
    let stop = world.run_until(UNTIL_NS);
    let ended: Vec<_> = world.ended().into_iter().map(|ended| ended.message).collect();
    let well = stop != Stop::Panicked && ended.is_empty() && world.mark_hits().len() == 1;
    if well { Ok(()) } else { Err(format!("{stop:?}: {ended:?}")) }
}

fn power_loss() -> Action {
    Action::PowerLoss {
        target: Target::Node("broker".to_owned()),
        down_ns: DOWN_NS,
        keep: Keep::Drawn,
    }
}

fn kill() -> Action {
    Action::Kill { target: Target::Node("broker".to_owned()), down_ns: DOWN_NS }
}

fn strike(on: Point, what: Action) -> Fault {
    Fault { when: Trigger { from_ns: 0, on: Some(on) }, what, until: None }
}

fn beside(node: &str, effect: &EffectFilter, nth: u64, edge: Edge) -> Point {
    Point { node: node.to_owned(), effect: effect.clone(), inside: None, nth, edge }
}

/// Strikes beside each effect of a kind in turn, until there are no more. Gives how often it
/// struck, and what went wrong first.
fn sweep(
    defects: &[Defect],
    effect: &EffectFilter,
    edge: Edge,
    faults: impl Fn(u64) -> Vec<Fault>,
) -> (u64, Result<(), String>) {
    for nth in 1.. {
        let mut world = world(nth, defects, whole_life);
        let mut plan = Plan { faults: faults(nth) };
        let looking = EffectFilter::Mark("looking".to_owned());
        plan.faults.push(strike(beside("client", &looking, 1, Edge::After), power_loss()));
        world.load(&plan).expect("known nodes");
        let finished = finish(&mut world);
        if world.fired().len() < 2 && finished.is_ok() {
            return (nth - 1, Ok(()));
        }
        if let Err(error) = finished {
            return (nth, Err(format!("{edge:?} {effect:?} {nth}: {error}")));
        }
    }
    unreachable!("a run has an end")
}

fn sweep_all(defects: &[Defect]) -> Result<(), String> {
    for effect in [EffectFilter::Write, EffectFilter::Sync] {
        for edge in [Edge::Before, Edge::After] {
            for what in [power_loss(), kill()] {
                let once = |nth| vec![strike(beside("broker", &effect, nth, edge), what.clone())];
                let (struck, found) = sweep(defects, &effect, edge, once);
                found?;
                assert!(struck > 40, "{effect:?}: only {struck} struck");
            }
        }
    }
    Ok(())
}

#[test]
fn what_the_broker_said_stays_so_whatever_single_write_or_sync_a_crash_is_beside() {
    assert_eq!(sweep_all(&[]), Ok(()));
}

#[test]
fn it_stays_so_if_power_is_lost_while_it_recovers_from_a_kill() {
    for effect in [EffectFilter::Write, EffectFilter::Sync] {
        let twice = |nth| {
            let kill = strike(beside("broker", &effect, nth, Edge::After), kill());
            let mut first = world(nth, &[], whole_life);
            first.load(&Plan { faults: vec![kill.clone()] }).expect("known nodes");
            assert_eq!(finish(&mut first), Ok(()));
            let Some(killed) = first.fired().pop() else { return vec![kill] };
            // Another place in the recovery each time.
            let next = beside("broker", &EffectFilter::Disk, 1 + nth * 7 % 40, Edge::After);
            let mut cut = strike(next, power_loss());
            cut.when.from_ns = killed.at_ns + 1;
            vec![kill, cut]
        };
        let (struck, found) = sweep(&[], &effect, Edge::After, twice);
        assert_eq!((struck > 40, found), (true, Ok(())));
    }
}

#[test]
fn the_planted_bugs_of_the_broker_are_found() {
    for defect in [Defect::AckBeforeSync, Defect::TrimBeforeCheckpoint] {
        assert!(sweep_all(&[defect]).is_err(), "{defect} was not found");
    }
}

#[test]
fn a_trim_of_an_older_leader_or_behind_the_end_or_of_too_many_partitions_is_refused() {
    let mut world = world(1, &[], async |env| {
        let client = Client::new(env)?;
        for partition in partitions() {
            for seq in 0..20 {
                client.produce(partition, 0, seq..seq + 1).await;
            }
        }
        let trim = async |generation, ends: &[u64]| {
            let ends = ends.iter().copied().map(Offset).collect();
            client.ask(Request::Trim { generation: Generation(generation), ends }).await
        };
        let kept = Answer::Trimmed(vec![Offset(0), Offset(0)]);
        assert_eq!(trim(2, &[0, 0]).await, kept);
        assert_eq!(trim(1, &[20, 20]).await, Answer::Fenced(Generation(2)));
        for ends in [&[20, 20, 20][..], &[20, 21], &[21, 20]] {
            assert!(matches!(trim(2, ends).await, Answer::Invalid(_)), "{ends:?}");
        }
        assert_eq!(trim(2, &[0, 0]).await, kept, "a refused trim deletes nothing");
        let fewer = Answer::Trimmed(vec![Offset(0)]);
        assert_eq!(trim(2, &[0]).await, fewer, "of one that knows of no addition");
        let Answer::Trimmed(firsts) = trim(3, &[20, 0]).await else { panic!("not trimmed") };
        assert!(firsts[0] > Offset(10) && firsts[0] <= Offset(20), "{firsts:?}");
        assert_eq!(firsts[1], Offset(0));
        assert_eq!(trim(3, &[20, 0]).await, Answer::Trimmed(firsts), "again");
        client.env.mark("done");
        Ok(())
    });
    assert_eq!(finish(&mut world), Ok(()));
}

#[test]
fn a_repeat_from_before_the_window_is_acknowledged_without_an_offset_even_after_a_crash() {
    const FORGOTTEN: u64 = 900;
    let mut world = world(1, &[], async |env| {
        let client = Client::new(env)?;
        let partition = Partition(0);
        let count = PRODUCER_WINDOW as u64 + FORGOTTEN;
        let at_once = PRODUCE_TUPLES_MAX as u64;
        let produce = async |seqs: Range<u64>| {
            let tuples = seqs.map(|seq| tuple(partition, 0, seq)).collect();
            client.ask(Request::Produce { among: PARTITIONS, partition, tuples }).await
        };
        for start in (0..count).step_by(PRODUCE_TUPLES_MAX) {
            produce(start..count.min(start + at_once)).await;
        }
        // One more frame, so that all before is trimmed.
        produce(count..count + 1).await;
        let ends = vec![Offset(count), Offset(0)];
        let trimmed = client.ask(Request::Trim { generation: Generation(1), ends }).await;
        assert_eq!(trimmed, Answer::Trimmed(vec![Offset(count), Offset(0)]));
        let wanted = |seq| (seq >= FORGOTTEN).then_some(Offset(seq));
        let around = FORGOTTEN - 2..FORGOTTEN + 2;
        let repeated = Answer::Produced(around.clone().map(wanted).collect());
        assert_eq!(produce(around.clone()).await, repeated);
        client.env.mark("cut");
        assert_eq!(produce(around).await, repeated);
        let last = Answer::Produced(vec![Some(Offset(count)), Some(Offset(count + 1))]);
        assert_eq!(produce(count..count + 2).await, last);
        client.env.mark("done");
        Ok(())
    });
    let cut = beside("client", &EffectFilter::Mark("cut".to_owned()), 1, Edge::After);
    world.load(&Plan { faults: vec![strike(cut, power_loss())] }).expect("known nodes");
    assert_eq!((finish(&mut world), world.fired().len()), (Ok(()), 1));
}

/// Is refused tuples half of which fitted, sends some of them again when there is room, and reads
/// all after a power loss.
async fn refused_then_taken(env: SimEnv) -> Exit {
    let second = Duration::from_secs(1);
    let client = Client::new(env)?;
    let partition = Partition(0);
    client.produce(partition, 0, 0..1).await;
    client.env.sleep(second).await;
    let tuples = (1..200).map(|seq| tuple(partition, 0, seq)).collect();
    let answer = client.ask(Request::Produce { among: PARTITIONS, partition, tuples }).await;
    assert_eq!(answer, Answer::NoSpace);
    client.env.sleep(second).await;
    for seq in 1..4 {
        client.produce(partition, 0, seq..seq + 1).await;
    }
    client.env.sleep(second).await;
    client.read(partition).await;
    client.env.mark("done");
    Ok(())
}

fn run_out_of_room(defects: &[Defect]) -> Result<(), String> {
    let mut world = world(1, defects, refused_then_taken);
    let when = Trigger { from_ns: 2_500_000_000, on: None };
    world
        .load(&Plan { faults: vec![Fault { when, what: power_loss(), until: None }] })
        .expect("known nodes");
    assert_eq!(world.run_until(500_000_000), Stop::Time);
    world.disk(BROKER, |disk| disk.set_capacity(Some(disk.used() + 1_000)));
    assert_eq!(world.run_until(1_500_000_000), Stop::Time);
    world.disk(BROKER, |disk| disk.set_capacity(None));
    finish(&mut world)
}

#[test]
fn of_tuples_that_did_not_fit_nothing_stays_in_the_log_nor_in_memory() {
    run_out_of_room(&[]).expect("as if they had never come");
    run_out_of_room(&[Defect::RefusedTuplesRemembered]).expect_err("acknowledged and not there");
}

#[test]
fn too_much_at_once_for_a_partition_is_refused_before_it_is_sent() {
    let mut world = world(1, &[], async |env| {
        let client = client::Client::new(&env)?;
        let layouts = RefCell::new(Layouts::new(PARTITIONS));
        let of_bytes =
            |bytes: usize| Tuple { value: vec![b'x'; bytes].into(), ..tuple(Partition(1), 0, 0) };
        let tuples = vec![of_bytes(PRODUCE_BYTES_MAX)];
        let refused = client.send(BROKER, tuples, &layouts, |_| panic!("taken in")).await;
        let refused = refused.expect_err("a byte of a key too many").reason;
        let told =
            "524289 bytes of tuples at once for partition 1, over 524288; send them in parts";
        assert_eq!(refused, told);
        env.mark("done");
        Ok(())
    });
    finish(&mut world).expect("refused");
}

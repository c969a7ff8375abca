//! Partitions are added to a broker alone that is struck beside every single write and sync of it: an
//! addition that was acknowledged stays, and each tuple stays where it was first, although additions
//! move its key.
//!
//! At the end the broker loses power once more, and then everything is looked at.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    ops::Range,
    rc::Rc,
    time::Duration,
};

use unplug_engine::{
    Cluster, Config, Role,
    client::{Client, Sent},
    defect::{Defect, Defects},
    layout::Layouts,
    pipeline::{Pipeline, Spec},
    steps,
    tuple::{Offset, Partition, Tuple},
};
use unplug_sim::{
    SimEnv, Site, Stop, World, WorldConfig,
    env::{Env, Exit, NodeId},
    fault::{Action, Edge, EffectFilter, Fault, Keep, Plan, Point, Target, Trigger},
};

const BROKER: NodeId = NodeId(0);
const FIRST: u16 = 2;
const ADDED: [u16; 2] = [3, 7];
const PRODUCERS: u16 = 2;
/// Tuples of one producer between two additions.
const AT_ONCE: u64 = 12;
const UNTIL_NS: u64 = 100_000_000_000;

type Places = RefCell<BTreeMap<(u16, u64), (Partition, Offset)>>;

/// Sends tuples of a producer, new ones or repeats, and panics if one is elsewhere than before.
async fn send(
    client: &Client<SimEnv>,
    (layouts, places): (&RefCell<Layouts>, &Places),
    (producer, seqs): (u16, Range<u64>),
) -> Exit {
    let tuple = |seq: u64| Tuple {
        producer,
        seq,
        time_ms: seq,
        key: (seq % 10).to_string().into(),
        value: seq.to_le_bytes().to_vec().into(),
    };
    let acknowledged = |Sent { partition, seqs, offsets }| {
        for (seq, offset) in seqs.into_iter().zip(offsets) {
            let place = (partition, offset.expect("within the window"));
            let before = places.borrow_mut().insert((producer, seq), place);
            assert!(
                before.is_none_or(|before| before == place),
                "{producer}/{seq}: {before:?}, {place:?}"
            );
        }
    };
    client.send(BROKER, seqs.map(tuple).collect(), layouts, acknowledged).await
}

async fn whole_life(env: SimEnv) -> Exit {
    let client = Client::new(&env)?;
    let new = || RefCell::new(Layouts::new(FIRST));
    let (places, of_producers) = (Places::default(), [new(), new()]);
    let both = async |seqs: Range<u64>| -> Exit {
        for (producer, layouts) in (0..PRODUCERS).zip(&of_producers) {
            send(&client, (layouts, &places), (producer, seqs.clone())).await?;
        }
        Ok(())
    };
    both(0..AT_ONCE).await?;
    for (count, round) in ADDED.into_iter().zip([1, 3]) {
        // While tuples come, so that some are on their way to another partition than they belong to.
        let (adding, there) = (client.clone(), Rc::new(Cell::new(0)));
        let told = Rc::clone(&there);
        env.spawn("adding", async move {
            told.set(adding.add_partitions(BROKER, count).await.expect("few enough"));
        });
        both(round * AT_ONCE..(round + 1) * AT_ONCE).await?;
        while there.get() == 0 {
            env.sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(there.get(), count);
        both((round + 1) * AT_ONCE..(round + 2) * AT_ONCE).await?;
    }
    env.mark("looking");
    assert_eq!(client.add_partitions(BROKER, 0).await?, ADDED[1], "an addition is gone");
    for producer in 0..PRODUCERS {
        // It was started again, and knows of no addition.
        let layouts = new();
        for seq in (0..5 * AT_ONCE).step_by(5).chain([5 * AT_ONCE]) {
            send(&client, (&layouts, &places), (producer, seq..seq + 1)).await?;
        }
    }
    let mut owners: BTreeMap<Partition, Vec<u64>> = BTreeMap::new();
    places.borrow().values().for_each(|(at, offset)| owners.entry(*at).or_default().push(offset.0));
    assert!(owners.last_key_value().is_some_and(|(last, _)| last.0 >= ADDED[0]), "{owners:?}");
    for (partition, mut offsets) in owners {
        offsets.sort_unstable();
        assert!(offsets.iter().copied().eq(0..offsets.len() as u64), "{partition}: {offsets:?}");
    }
    env.mark("done");
    Ok(())
}

fn world(seed: u64, defects: &[Defect]) -> World {
    let cluster = Cluster {
        broker: BROKER,
        stores: Vec::new(),
        drivers: Vec::new(),
        executors: Vec::new(),
        sinks: Vec::new(),
        partitions: FIRST,
    };
    let pipeline = Pipeline::new(&Spec::flights()).expect("sound");
    let config = Config { defects: Defects::of(defects), ..Config::new(cluster, pipeline) };
    let boot_ns = (1_000, 2_000);
    let mut world = World::new(WorldConfig { boot_ns, ..WorldConfig::new(seed) });
    let format = config.format(Role::Broker, 0);
    let config = Rc::new(config);
    let program = move |env| unplug_engine::run(env, Role::Broker, Rc::clone(&config), false);
    world.add_node("broker", Site::DataCentre, program);
    for (path, bytes) in format {
        world.disk(BROKER, |disk| disk.put_durable(&path, &bytes)).expect("a blank disk");
    }
    let client = world.add_node("client", Site::Outside, whole_life);
    world.watch("done");
    world.start(BROKER);
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

const DOWN_NS: u64 = 1_000_000;

fn power_loss() -> Action {
    let target = Target::Node("broker".to_owned());
    Action::PowerLoss { target, down_ns: DOWN_NS, keep: Keep::Drawn }
}

fn kill() -> Action {
    Action::Kill { target: Target::Node("broker".to_owned()), down_ns: DOWN_NS }
}

fn strike(on: Point, what: Action) -> Fault {
    Fault { when: Trigger { from_ns: 0, on: Some(on) }, what, until: None }
}

fn looking() -> Fault {
    let effect = EffectFilter::Mark("looking".to_owned());
    let node = "client".to_owned();
    strike(Point { node, effect, inside: None, nth: 1, edge: Edge::After }, power_loss())
}

/// Strikes beside each effect of a kind inside of additions in turn. Gives how often it struck.
fn sweep(
    defects: &[Defect],
    effect: &EffectFilter,
    edge: Edge,
    what: &Action,
) -> Result<u64, String> {
    for nth in 1.. {
        let mut world = world(nth, defects);
        let on = Point {
            node: "broker".to_owned(),
            effect: effect.clone(),
            inside: Some(steps::PARTITIONS.to_owned()),
            nth,
            edge,
        };
        world
            .load(&Plan { faults: vec![strike(on, what.clone()), looking()] })
            .expect("known nodes");
        finish(&mut world).map_err(|error| format!("{edge:?} {effect:?} {nth}: {error}"))?;
        if world.fired().len() < 2 {
            return Ok(nth - 1);
        }
    }
    unreachable!("an addition has an end")
}

#[test]
fn an_addition_is_whole_or_not_there_whatever_write_or_sync_of_it_a_crash_is_beside() {
    for (effect, at_least) in [(EffectFilter::Write, 12), (EffectFilter::Sync, 30)] {
        for edge in [Edge::Before, Edge::After] {
            for what in [power_loss(), kill()] {
                let struck = sweep(&[], &effect, edge, &what).expect("stays so");
                assert!(struck >= at_least, "{effect:?}: only {struck} struck");
            }
        }
    }
}

#[test]
fn an_addition_that_is_written_nowhere_is_found() {
    let found =
        sweep(&[Defect::AdditionForgotten], &EffectFilter::Sync, Edge::After, &power_loss());
    let error = found.expect_err("found");
    assert!(error.contains("restore the file layouts"), "{error}");
}

#[test]
fn on_a_full_disk_an_addition_waits_for_room_and_leaves_nothing_behind() {
    let mut world = world(1, &[]);
    world.load(&Plan { faults: vec![looking()] }).expect("known nodes");
    // There is room for tuples, and then for no name.
    assert_eq!(world.run_until(5_000_000), Stop::Time);
    world.disk(BROKER, |disk| disk.set_capacity(Some(disk.used())));
    assert_eq!(world.run_until(2_000_000_000), Stop::Time);
    assert_eq!(world.mark_counts().get("partitions.added"), None);
    world.disk(BROKER, |disk| disk.set_capacity(None));
    assert_eq!(finish(&mut world), Ok(()));
    assert_eq!(world.mark_counts().get("partitions.added"), Some(&2));
}

//! A file that is fed to a broker, with the feeder struck beside every operation of its disk: each
//! line is at the broker once, or a dead letter.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use unplug::scenario::{Flights, Source};
use unplug_engine::{
    Cluster, Config, Role,
    broker::{Answer, Request},
    pipeline::{Column, ColumnType, Pipeline, Spec},
    rpc::Rpc,
    source::{Counts, DeadLetter, Feed, Format, Schema, feed, feeder::DEAD_LETTERS},
    tuple::{Offset, OffsetRange, Partition, Tuple},
};
use unplug_sim::{
    SimEnv, Site, World, WorldConfig,
    env::{Env, NodeId, Refusal},
    fault::{Action, Edge, EffectFilter, Fault, Keep, Plan, Point, Target, Trigger},
};
use unplug_tests::exactness::workload;

const SECOND: u64 = 1_000_000_000;
const BROKER: NodeId = NodeId(0);
const FEEDER: NodeId = NodeId(1);
const PARTITIONS: u16 = 2;
const FILE: &str = "/in/flights";

/// Lines by where they begin.
type Lines = BTreeMap<u64, String>;

/// A file, and which of its lines are records and which are not.
#[derive(Default)]
struct Text {
    text: String,
    records: Lines,
    dead: Lines,
}

impl Text {
    #[expect(clippy::fn_params_excessive_bools, reason = "one, which says what the line is")]
    fn add(&mut self, line: &str, is_record: bool) {
        let lines = if is_record { &mut self.records } else { &mut self.dead };
        lines.insert(self.text.len() as u64, line.to_owned());
        self.text += line;
        self.text += "\n";
    }
}

/// Real flights, every seventh of which was cut in two.
fn flights(count: u32) -> Text {
    let source = Source::Flights(Flights { tuples: count, ..Flights::default() });
    let mut text = Text::default();
    for (number, input) in workload().inputs(1, &source, 1, PARTITIONS)[0].iter().enumerate() {
        let line = String::from_utf8(input.value.to_vec()).expect("JSON");
        if number % 7 == 3 {
            let (left, right) = line.split_at(line.len() / 2);
            text.add(left, false);
            text.add(right, false);
        } else {
            text.add(&line, true);
        }
    }
    text
}

fn json() -> Schema {
    Schema { format: Format::JsonLines, key: "tail".to_owned(), time_ms: "ts".to_owned() }
}

fn csv() -> Schema {
    let column = |name: &str, kind| Column { name: name.to_owned(), kind };
    let columns = vec![column("ts", ColumnType::Int), column("tail", ColumnType::Text)];
    Schema { format: Format::Csv(columns), ..json() }
}

fn config() -> Rc<Config> {
    let other = NodeId(100);
    let cluster = Cluster {
        broker: BROKER,
        stores: vec![other],
        drivers: vec![other],
        executors: vec![other],
        sinks: vec![other],
        partitions: PARTITIONS,
    };
    let pipeline = Pipeline::new(&Spec::flights()).expect("a sound pipeline");
    Rc::new(Config::new(cluster, pipeline))
}

type Ended = Rc<RefCell<Option<Counts>>>;

/// A broker, and a feeder with a file. Tells how many lines there were, once it is over.
#[expect(clippy::fn_params_excessive_bools, reason = "handed on as it is")]
fn world(text: &str, schema: Schema, complete: bool) -> (World, Ended) {
    let config = config();
    let mut world = World::new(WorldConfig::new(1));
    world.watch("read");
    let shared = Rc::clone(&config);
    let broker = move |env| unplug_engine::run(env, Role::Broker, Rc::clone(&shared), false);
    let node = world.add_node("broker", Site::DataCentre, broker);
    world.disk(node, |disk| {
        for (path, bytes) in config.format(Role::Broker, 0) {
            disk.put_durable(&path, &bytes).expect("an empty disk");
        }
    });
    world.start(node);
    let what = Feed {
        path: FILE.to_owned(),
        schema,
        producer: 3,
        broker: BROKER,
        partitions: PARTITIONS,
        complete,
        poll: Duration::from_millis(50),
    };
    let ended = Ended::default();
    let told = Rc::clone(&ended);
    let node = world.add_node("feeder", Site::DataCentre, move |env: SimEnv| {
        let (what, told) = (what.clone(), Rc::clone(&told));
        async move {
            *told.borrow_mut() = Some(feed(env, what, |_| ()).await?);
            std::future::pending().await
        }
    });
    world.disk(node, |disk| {
        disk.put_durable(FILE, text.as_bytes()).expect("an empty disk");
        disk.create_dir(DEAD_LETTERS).expect("an empty disk");
        disk.make_durable();
    });
    world.start(node);
    (world, ended)
}

/// All tuples of the broker, by their seqs.
fn taken(world: &mut World) -> BTreeMap<u64, Tuple> {
    let seen: Rc<RefCell<BTreeMap<u64, Tuple>>> = Rc::default();
    let told = Rc::clone(&seen);
    let node = world.add_node("reader", Site::Outside, move |env: SimEnv| {
        let told = Rc::clone(&told);
        async move {
            let rpc = Rpc::open(&env)?;
            let answers = rpc.clone();
            env.spawn("answers", async move {
                drop(answers.serve(async |(): ()| Ok::<_, Refusal>(())).await);
            });
            let Answer::Ends(ends) = rpc.insist(BROKER, &Request::Ends).await else {
                panic!("no ends")
            };
            for (partition, end) in (0..).map(Partition).zip(ends) {
                let mut start = Offset(0);
                while start < end {
                    let range = OffsetRange { start, end };
                    let request = Request::Read { partition, range };
                    let Answer::Page(tuples) = rpc.insist(BROKER, &request).await else {
                        panic!("no page")
                    };
                    start.0 += tuples.len() as u64;
                    for tuple in tuples {
                        assert_eq!(Partition::of_key(&tuple.key, PARTITIONS), partition);
                        let twin = told.borrow_mut().insert(tuple.seq, tuple);
                        assert_eq!(twin, None, "it is there twice");
                    }
                }
            }
            env.mark("read");
            std::future::pending().await
        }
    });
    world.start(node);
    while world.mark_hits().is_empty() {
        world.run_until(world.now_ns() + SECOND / 10);
    }
    seen.take()
}

/// What was kept as dead letters, by place, as a power cut would leave it.
fn dead_letters(world: &mut World) -> Vec<DeadLetter> {
    let tree = world.disk(FEEDER, |disk| disk.durable_tree());
    let letters = tree.iter().filter(|(path, _)| path.starts_with("/dead-letters/"));
    letters.map(|(_, (_, bytes))| serde_json::from_slice(bytes).expect("JSON")).collect()
}

/// Runs until the feeder is done.
fn finish(world: &mut World, ended: &Ended) -> Counts {
    for _ in 0..600 {
        world.run_until(world.now_ns() + SECOND / 10);
        assert_eq!(world.ended(), []);
        if let Some(counts) = *ended.borrow() {
            return counts;
        }
    }
    panic!("the feeder does not come to an end");
}

/// Crashes of the feeder beside an operation of its disk: killed, or without power.
fn crashes(nth: u64) -> impl Iterator<Item = Plan> {
    let down_ns = SECOND / 10;
    let target = || Target::Node("feeder".to_owned());
    let kill = Action::Kill { target: target(), down_ns };
    let cut = Action::PowerLoss { target: target(), down_ns, keep: Keep::Drawn };
    let faults = [(Edge::Before, kill.clone()), (Edge::After, kill), (Edge::After, cut)];
    faults.into_iter().map(move |(edge, what)| {
        let (node, effect) = ("feeder".to_owned(), EffectFilter::Disk);
        let on = Some(Point { node, effect, inside: None, nth, edge });
        Plan { faults: vec![Fault { when: Trigger { from_ns: 0, on }, what, until: None }] }
    })
}

#[test]
fn each_line_of_a_file_is_taken_once_or_is_a_dead_letter_wherever_the_feeder_crashes() {
    // More than one piece of the file, so that a crash may fall between two.
    let flights = flights(300);
    assert!(flights.text.len() > 40_000, "{}", flights.text.len());
    let mut struck = 0;
    for plan in (1..=150).step_by(3).flat_map(crashes) {
        let (mut world, ended) = world(&flights.text, json(), true);
        world.load(&plan).expect("a sound plan");
        let counts = finish(&mut world, &ended);
        let (records, dead) = (flights.records.len() as u64, flights.dead.len() as u64);
        assert_eq!(counts, Counts { records, dead }, "{plan:?}");
        let taken = taken(&mut world);
        assert!(taken.values().all(|tuple| tuple.producer == 3));
        let lines = taken
            .into_iter()
            .map(|(seq, tuple)| (seq, String::from_utf8_lossy(&tuple.value).into_owned()));
        assert_eq!(lines.collect::<Lines>(), flights.records, "{plan:?}");
        let letters = dead_letters(&mut world);
        let places = letters.into_iter().map(|letter| (letter.at, letter.text));
        assert_eq!(places.collect::<Lines>(), flights.dead, "{plan:?}");
        struck += world.fired_count();
    }
    assert!(struck > 100, "{struck}");
}

#[test]
fn the_torn_last_line_of_a_growing_file_waits_for_its_rest() {
    let whole = "{\"ts\": 1, \"tail\": \"N1\"}\n{\"ts\": 2, \"tail\": \"N2\"}\n";
    let torn = &whole[..35];
    let (mut world, _) = world(torn, json(), false);
    world.run_until(SECOND);
    world.disk(FEEDER, |disk| disk.put_durable(FILE, whole.as_bytes())).expect("room");
    world.run_until(2 * SECOND);
    assert_eq!(dead_letters(&mut world), []);
    let taken = taken(&mut world);
    assert_eq!(taken.keys().copied().collect::<Vec<_>>(), [0, 24]);
    assert_eq!(taken[&24].value, whole[24..].trim_end());
    assert_eq!((taken[&24].time_ms, &taken[&24].key[..]), (2, &b"N2"[..]));
}

#[test]
fn the_last_line_of_a_complete_file_needs_no_line_break_and_is_a_dead_letter_if_it_is_torn() {
    for (text, records, dead) in
        [("{\"ts\": 1}\n{\"ts\": 2}", 2, 0), ("{\"ts\": 1}\n\n{\"ts\": 2", 1, 1), ("", 0, 0)]
    {
        let (mut world, ended) = world(text, json(), true);
        assert_eq!(finish(&mut world, &ended), Counts { records, dead }, "{text:?}");
        let letters = dead_letters(&mut world);
        assert_eq!(letters.len() as u64, dead);
        if let Some(letter) = letters.first() {
            assert_eq!((letter.at, letter.bytes, &letter.text[..]), (11, 8, "{\"ts\": 2"));
            assert!(letter.reason.contains("EOF while parsing"), "{letter:?}");
        }
    }
}

#[test]
fn lines_of_values_are_taken_by_the_names_above_them_and_broken_ones_are_dead_letters() {
    let text = "tail,ts\r\n\"N1, \"\"x\"\"\",5\r\nN2,late\r\nN3,6";
    let (mut world, ended) = world(text, csv(), true);
    assert_eq!(finish(&mut world, &ended), Counts { records: 2, dead: 1 });
    let taken = taken(&mut world);
    let keys: Vec<_> = taken.iter().map(|(at, tuple)| (*at, tuple.key.to_vec())).collect();
    assert_eq!(keys, [(9, b"N1, \"x\"".to_vec()), (33, b"N3".to_vec())]);
    assert_eq!(taken[&9].value, r#"{"tail":"N1, \"x\"","ts":5}"#);
    let [letter] = &dead_letters(&mut world)[..] else { panic!("one") };
    assert_eq!((letter.at, &letter.reason[..]), (24, "column \"ts\": \"late\" is no whole number"));
}

#[test]
fn a_file_that_is_not_what_it_should_be_is_refused_with_what_is_wrong() {
    let refused = |world: &mut World| {
        world.run_until(world.now_ns() + SECOND);
        world.ended().iter().map(|ended| ended.message.clone()).collect::<Vec<_>>()
    };
    let (mut unnamed, _) = world("N1,5\n", csv(), true);
    assert_eq!(
        refused(&mut unnamed),
        ["/in/flights, line 1: unknown column \"N1\"; known: ts, tail"]
    );
    let (mut empty, _) = world("", csv(), true);
    assert_eq!(refused(&mut empty), ["/in/flights is empty, and should begin with names"]);
    let (mut cut, _) = world("{\"ts\": 1}\n{\"ts\": 2}\n", json(), false);
    assert_eq!(refused(&mut cut), [""; 0]);
    cut.disk(FEEDER, |disk| disk.put_durable(FILE, b"{\"ts\": 1}\n")).expect("room");
    let refusal = refused(&mut cut);
    assert!(
        refusal[0].starts_with("/in/flights has 10 bytes, and 20 were read before"),
        "{refusal:?}"
    );
    let (mut gone, _) = world("", json(), true);
    gone.disk(FEEDER, |disk| disk.remove(FILE)).expect("there");
    assert!(refused(&mut gone)[0].starts_with("open /in/flights: "));
}

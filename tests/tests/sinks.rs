//! Sinks alone, struck beside every single operation of their disks: what was published is there
//! once, and nothing else is.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc, time::Duration};

use unplug_engine::{
    Cluster, Config, Role, SinkKind,
    client::{Client, Page},
    codec::{self, Kind},
    defect::{Defect, Defects},
    epoch::{CommitRecord, Cut, Output, OutputRef},
    pipeline::{Origin, Pipeline, Row, Spec, Value},
    rpc::Rpc,
    sink::{
        Answer, Batch, Request,
        external::{self, Transaction},
        files::Manifest,
    },
    stores::Stores,
    tuple::{Epoch, Generation, Partition},
};
use unplug_sim::{
    SimEnv, Site, World, WorldConfig,
    env::{Env, NodeId, Refusal},
    fault::{Action, Edge, EffectFilter, Fault, Keep, Plan, Point, Target, Trigger},
};

const SECOND: u64 = 1_000_000_000;
const PATIENCE: Duration = Duration::from_secs(2);
const STORE: NodeId = NodeId(0);
const SINK: NodeId = NodeId(1);
/// Outputs of an epoch.
const OUTPUTS: u16 = 2;

fn config(kind: SinkKind, defects: &[Defect]) -> Rc<Config> {
    let other = NodeId(100);
    let cluster = Cluster {
        broker: other,
        stores: vec![STORE],
        drivers: vec![other],
        executors: vec![other],
        sinks: vec![SINK],
        partitions: 1,
    };
    let pipeline = Pipeline::new(&Spec::flights()).expect("a sound pipeline");
    let defects = Defects::of(defects);
    Rc::new(Config { sink: kind, defects, ..Config::new(cluster, pipeline) })
}

/// A store and a sink.
fn world(config: &Rc<Config>) -> World {
    let mut world = World::new(WorldConfig::new(1));
    world.watch("done");
    for (name, role) in [("store-0", Role::Store), ("sink-0", Role::Sink)] {
        let shared = Rc::clone(config);
        let program = move |env| unplug_engine::run(env, role, Rc::clone(&shared), false);
        let node = world.add_node(name, Site::DataCentre, program);
        world.disk(node, |disk| {
            for (path, bytes) in config.format(role, 0) {
                let formatted = match path.strip_suffix('/') {
                    Some(directory) => disk.create_dir(directory).map(|()| disk.make_durable()),
                    None => disk.put_durable(&path, &bytes),
                };
                formatted.expect("an empty disk");
            }
        });
        world.start(node);
    }
    world
}

/// A client that does something once, and then passes the mark `done`.
fn client<F: Future<Output = ()> + 'static>(
    world: &mut World,
    name: &str,
    work: impl Fn(SimEnv) -> F + 'static,
) {
    let work = Rc::new(work);
    let node = world.add_node(name, Site::Outside, move |env: SimEnv| {
        let work = Rc::clone(&work);
        async move {
            work(env.clone()).await;
            env.mark("done");
            std::future::pending().await
        }
    });
    world.start(node);
}

fn rpc(env: &SimEnv) -> Rpc<SimEnv> {
    let rpc = Rpc::open(env).expect("a free port");
    let answers = rpc.clone();
    env.spawn("answers", async move {
        drop(answers.serve(async |(): ()| Ok::<_, Refusal>(())).await);
    });
    rpc
}

/// Runs until so many clients are done, or a program has ended.
fn finish(world: &mut World, clients: usize) {
    for _ in 0..600 {
        world.run_until(world.now_ns() + SECOND / 10);
        if world.mark_hits().len() >= clients || !world.ended().is_empty() {
            return;
        }
    }
    panic!("{} of {clients} clients done", world.mark_hits().len());
}

/// The row of an output, with so many bytes of text.
fn row(epoch: u64, output: u16, bytes: usize) -> Row {
    let origin = Origin::Tuple { producer: output, seq: epoch, time_ms: 0 };
    Row { origin, values: vec![Value::Text("x".repeat(bytes).into()), Value::Null] }
}

/// Publishes epochs in order, each with two outputs of one row, as a driver does.
fn publish(world: &mut World, config: &Rc<Config>, epochs: u64, row_bytes: usize) {
    let config = Rc::clone(config);
    client(world, "driver-0", move |env| {
        let config = Rc::clone(&config);
        async move {
            let rpc = rpc(&env);
            let stores = Stores::new(&env, rpc.clone(), config);
            for epoch in 1..=epochs {
                let mut outputs = Vec::new();
                for output in 0..OUTPUTS {
                    let rows = vec![row(epoch, output, row_bytes)];
                    let (partition, name) = (Partition(output), format!("output/{epoch}/{output}"));
                    let content = Output { epoch: Epoch(epoch), partition, rows };
                    let bytes = codec::encode(Kind::Output, &content);
                    let blob = stores.put_blob(name, bytes, PATIENCE).await.expect("kept");
                    outputs.push(OutputRef { sink: 0, partition, blob, rows: 1 });
                }
                let commit = CommitRecord {
                    epoch: Epoch(epoch),
                    generation: Generation(1),
                    outputs,
                    base: Vec::new(),
                    states: Vec::new(),
                    latest_ms: vec![0],
                    next_watermark_ms: 0,
                };
                let cut = Cut { watermark_ms: epoch, ..Cut::default() };
                let request = Request::Apply { generation: Generation(1), commit, cut };
                while !matches!(rpc.insist(SINK, &request).await, Answer::Published(_)) {
                    env.sleep(Duration::from_millis(20)).await;
                }
            }
        }
    });
}

/// All that a reader of the sink is shown.
fn shown(world: &mut World, clients: usize, defects: Defects) -> Result<Vec<Batch>, String> {
    let seen: Rc<RefCell<Result<Vec<Batch>, String>>> = Rc::new(RefCell::new(Ok(Vec::new())));
    let told = Rc::clone(&seen);
    client(world, "reader-0", move |env| {
        let told = Rc::clone(&told);
        async move {
            let client = Client::new(&env).expect("a free port").with_defects(defects);
            let mut all = Vec::new();
            loop {
                match client.read(SINK, all.len() as u64).await {
                    Ok(Some(Page { end, batches })) => {
                        all.extend(batches);
                        if all.len() as u64 >= end {
                            break;
                        }
                    }
                    Ok(None) => {}
                    Err(error) => {
                        *told.borrow_mut() = Err(error.to_string());
                        return;
                    }
                }
            }
            *told.borrow_mut() = Ok(all);
        }
    });
    finish(world, clients);
    seen.replace(Ok(Vec::new()))
}

/// What `publish` publishes.
fn wanted(epochs: u64, row_bytes: usize) -> Vec<Batch> {
    let batch = |epoch| Batch {
        epoch: Epoch(epoch),
        cut: Cut { watermark_ms: epoch, ..Cut::default() },
        rows: (0..OUTPUTS).map(|output| row(epoch, output, row_bytes)).collect(),
    };
    (1..=epochs).map(batch).collect()
}

/// The files of the sink that no manifest names.
fn orphans(world: &mut World) -> Vec<String> {
    let tree = world.disk(SINK, |disk| disk.tree());
    let mut named = BTreeSet::new();
    for (path, (_, bytes)) in &tree {
        if path.starts_with("/manifests/") {
            let manifest = Manifest::decode(bytes).expect("sound");
            named.extend(manifest.files.into_iter().map(|file| format!("/files/{}", file.name)));
        }
    }
    tree.into_keys().filter(|path| path.starts_with("/files/") && !named.contains(path)).collect()
}

/// Crashes of the sink beside an operation of its disk: killed, or without power.
fn crashes(nth: u64) -> [Plan; 4] {
    let down_ns = SECOND / 10;
    let target = || Target::Node("sink-0".to_owned());
    let kill = Action::Kill { target: target(), down_ns };
    let cut = Action::PowerLoss { target: target(), down_ns, keep: Keep::Drawn };
    let edges =
        [(Edge::Before, &kill), (Edge::After, &kill), (Edge::Before, &cut), (Edge::After, &cut)];
    edges.map(|(edge, what)| {
        let (node, effect) = ("sink-0".to_owned(), EffectFilter::Disk);
        let on = Some(Point { node, effect, inside: None, nth, edge });
        Plan {
            faults: vec![Fault {
                when: Trigger { from_ns: 0, on },
                what: what.clone(),
                until: None,
            }],
        }
    })
}

#[test]
fn files_are_published_once_and_orphans_are_deleted_wherever_the_writer_crashes() {
    let config = config(SinkKind::Files, &[]);
    let (mut left, mut cleaned) = (0, 0);
    // Beside all operations of the boot and of five epochs.
    for nth in 1..=160 {
        for plan in crashes(nth) {
            let mut world = world(&config);
            world.load(&plan).expect("a sound plan");
            publish(&mut world, &config, 5, 10);
            finish(&mut world, 1);
            assert_eq!(shown(&mut world, 2, config.defects), Ok(wanted(5, 10)), "{plan:?}");
            let of_the_last: Vec<_> = orphans(&mut world);
            let fifth = |path: &String| path.starts_with("/files/000000000005-");
            assert!(of_the_last.iter().all(fifth), "not deleted: {of_the_last:?}, {plan:?}");
            left += of_the_last.len();
            cleaned += world.mark_counts().get("files.cleaned").copied().unwrap_or(0);
            assert_eq!(world.ended(), []);
        }
    }
    assert!(left > 5 && cleaned > 5, "{left} orphans left, {cleaned} times deleted");
}

#[test]
fn a_reader_that_ignores_manifests_sees_what_a_crashed_writer_left() {
    let config = config(SinkKind::Files, &[Defect::ManifestIgnoredByReader]);
    let wrong = (1..=160).any(|nth| {
        crashes(nth).iter().any(|plan| {
            let mut world = world(&config);
            world.load(plan).expect("a sound plan");
            publish(&mut world, &config, 5, 10);
            finish(&mut world, 1);
            shown(&mut world, 2, config.defects) != Ok(wanted(5, 10))
        })
    });
    assert!(wrong, "the bug does not show");
}

#[test]
fn an_epoch_larger_than_a_datagram_fits_into_files_and_not_into_a_table() {
    let bytes = 700 * 1024;
    let files = config(SinkKind::Files, &[]);
    let mut world_of_files = world(&files);
    publish(&mut world_of_files, &files, 2, bytes);
    finish(&mut world_of_files, 1);
    assert_eq!(shown(&mut world_of_files, 2, files.defects), Ok(wanted(2, bytes)));
    let table = config(SinkKind::Table, &[]);
    let mut world_of_a_table = world(&table);
    publish(&mut world_of_a_table, &table, 2, bytes);
    finish(&mut world_of_a_table, 1);
    let ended = world_of_a_table.ended();
    assert!(ended[0].message.contains("epoch 1: the batch has "), "{ended:?}");
}

#[test]
fn a_manifest_of_an_unknown_version_or_with_a_changed_byte_is_refused() {
    let config = config(SinkKind::Files, &[]);
    let manifest = |version| {
        let cut = Cut::default();
        Manifest { version, epoch: Epoch(1), cut, files: Vec::new() }.encode().to_vec()
    };
    let mut damaged = manifest(1);
    damaged[20] ^= 1;
    for (bytes, what) in [
        (manifest(2), "format version 2, and this build reads only version 1"),
        (damaged, "damaged, or not what it should be"),
    ] {
        let mut world = world(&config);
        let path = "/manifests/000000000001";
        world.disk(SINK, |disk| disk.put_durable(path, &bytes)).expect("room");
        world.run_until(SECOND);
        let ended = world.ended();
        assert!(ended[0].message.starts_with(&format!("{path}: {what}")), "{ended:?}");
    }
}

/// Brings six epochs to an external system, each with a twin that an earlier attempt left.
async fn transact(env: SimEnv) {
    let rpc = rpc(&env);
    let ask = async |request| {
        let answer = rpc.insist(SINK, &Request::Transaction(request)).await;
        let Answer::Transaction(answer) = answer else { panic!("{answer:?}") };
        answer
    };
    for epoch in 1..=6u64 {
        let prepare = |attempt: &str| {
            let batch = Batch { epoch: Epoch(epoch), cut: Cut::default(), rows: Vec::new() };
            external::Request::Prepare(Transaction {
                name: format!("{epoch}-{attempt}"),
                label: Epoch(epoch),
                content: codec::encode(Kind::Table, &batch),
            })
        };
        ask(prepare("a")).await;
        ask(prepare("b")).await;
        let own = format!("{epoch}-b");
        while ask(external::Request::Commit(own.clone())).await != external::Answer::Committed {
            ask(prepare("b")).await;
        }
        // Prepared again after its commit, it is not there twice.
        assert_eq!(ask(prepare("b")).await, external::Answer::Committed);
        assert_eq!(ask(external::Request::Abort(own)).await, external::Answer::Committed);
        let twin = external::Request::Abort(format!("{epoch}-a"));
        assert_eq!(ask(twin).await, external::Answer::Aborted);
        let published = rpc.insist(SINK, &Request::Published).await;
        assert!(matches!(published, Answer::Published(Epoch(last)) if last == epoch));
    }
}

#[test]
fn an_external_system_commits_once_what_it_is_told_to_wherever_it_crashes() {
    let config = config(SinkKind::Transactional, &[]);
    let mut dropped = 0;
    for nth in 1..=120 {
        for plan in crashes(nth) {
            let mut world = world(&config);
            world.load(&plan).expect("a sound plan");
            client(&mut world, "driver-0", transact);
            finish(&mut world, 1);
            assert_eq!(world.ended(), [], "{plan:?}");
            let epochs = shown(&mut world, 2, config.defects).expect("sound");
            let epochs: Vec<_> = epochs.iter().map(|batch| batch.epoch.0).collect();
            assert_eq!(epochs, [1, 2, 3, 4, 5, 6], "{plan:?}");
            dropped += world.mark_counts().get("transaction.dropped").copied().unwrap_or(0);
        }
    }
    assert!(dropped > 20, "{dropped}");
}

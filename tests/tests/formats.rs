//! Durable formats have versions: what this build wrote is read by it, what another version wrote is
//! refused in one line by each node that keeps something, and stays as it is.
//!
//! The images in `images/` are the disks of a small cluster in the midst of a run, one for each kind
//! of sink. `cargo test -p unplug-tests --test formats -- --ignored` writes those of the current
//! version anew, where its number or its contents have changed; those of older versions are kept.

use std::{collections::BTreeMap, fs, path::PathBuf, rc::Rc};

use unplug::{clients::Clients, cluster, scenario::Scenario, workload::Workload};
use unplug_engine::codec::VERSION;
use unplug_sim::{
    End, World,
    disk::Tree,
    env::{FileKind, NodeId},
};

const SECOND: u64 = 1_000_000_000;
const SEED: u64 = 5;
/// An image is taken in the midst of the input, or a run would have nothing left to do from it.
const IMAGE_NS: u64 = 3 * SECOND;
const SINKS: [&str; 3] = ["table", "files", "transactional"];
/// The nodes that keep something.
const DURABLE: [(&str, NodeId); 6] = [
    ("broker", NodeId(0)),
    ("store-0", NodeId(1)),
    ("store-1", NodeId(2)),
    ("store-2", NodeId(3)),
    ("sink-0", NodeId(6)),
    ("sink-1", NodeId(7)),
];

/// The files of a disk, as hexadecimal digits; nothing for a directory.
type Files = BTreeMap<String, Option<String>>;

fn scenario(sink: &str) -> Scenario {
    let text = format!(
        r#"{{"name": "image", "sink": "{sink}", "pipeline": "keyed", "state_partitions": 1,
            "cluster": {{"partitions": 1, "sinks": 2, "executors": 1, "producers": 1, "readers": 1}},
            "workload": {{"generated": {{"tuples": 60, "per_second": 15, "keys": 3}}}},
            "disk": {{"profile": "strict"}}}}"#
    );
    Scenario::parse("image", &text).expect("sound")
}

fn world(sink: &str) -> (World, Rc<Clients>) {
    let workload = Workload::embedded().expect("sound");
    cluster::build(&scenario(sink), SEED, &workload).expect("sound")
}

fn path(version: u8, sink: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("images/{version}-{sink}.json"))
}

/// What the disks hold that a power cut leaves.
fn image(world: &mut World) -> BTreeMap<String, Files> {
    let files = |tree: Tree| -> Files {
        let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let file = |kind, bytes: &[u8]| (kind == FileKind::File).then(|| digits(bytes));
        tree.iter().map(|(path, (kind, bytes))| (path.clone(), file(*kind, bytes))).collect()
    };
    let kept = DURABLE.map(|(name, node)| {
        assert_eq!(world.name(node), name);
        (name.to_owned(), files(world.disk(node, |disk| disk.durable_tree())))
    });
    kept.into()
}

/// A world that goes on from an image.
fn from_image(version: u8, sink: &str) -> (World, Rc<Clients>) {
    let text = fs::read_to_string(path(version, sink)).expect("the image is there");
    let image: BTreeMap<String, Files> = serde_json::from_str(&text).expect("an image");
    let (mut world, clients) = world(sink);
    for (name, node) in DURABLE {
        world.disk(node, |disk| {
            for (path, file) in &image[name] {
                match file {
                    None => drop(disk.create_dir(path)),
                    Some(digits) => {
                        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16);
                        let bytes = (0..digits.len()).step_by(2).map(byte);
                        let bytes: Vec<_> = bytes.collect::<Result<_, _>>().expect("digits");
                        disk.put_durable(path, &bytes).expect("an empty disk");
                    }
                }
            }
            disk.make_durable();
        });
    }
    (world, clients)
}

#[test]
#[ignore = "writes the images of this version"]
fn write_images() {
    for sink in SINKS {
        let (mut world, _) = world(sink);
        world.run_until(IMAGE_NS);
        let json = serde_json::to_string_pretty(&image(&mut world)).expect("serialises");
        fs::write(path(VERSION, sink), json + "\n").expect("writable");
    }
}

#[test]
fn a_cluster_goes_on_from_an_image_of_its_own_version() {
    for sink in SINKS {
        let (mut world, clients) = from_image(VERSION, sink);
        while !clients.delivered() {
            world.run_until(world.now_ns() + SECOND);
            assert!(
                world.now_ns() < 60 * SECOND,
                "stuck on the image of a sink of the kind {sink}"
            );
        }
        assert_eq!(world.ended(), [], "{sink}");
    }
}

#[test]
fn an_image_of_an_older_version_is_refused_by_every_node_that_keeps_something_and_stays_as_it_is() {
    for (version, sink) in (1..VERSION).flat_map(|version| SINKS.map(|sink| (version, sink))) {
        let (mut world, _) = from_image(version, sink);
        let before = image(&mut world);
        world.run_until(SECOND);
        for (name, node) in DURABLE {
            let ended = world.ended();
            let own: Vec<_> = ended.iter().filter(|one| one.node == node).collect();
            assert_eq!(own.len(), 1, "{name} of an image of version {version}, {sink}: {ended:?}");
            assert_eq!(own[0].end, End::Refusal, "{name}: {}", own[0].message);
            let what = format!("format version {version}, and this build reads only version");
            assert!(own[0].message.contains(&what), "{name}: {}", own[0].message);
            assert!(!own[0].message.contains('\n'), "{name}: {}", own[0].message);
        }
        assert_eq!(image(&mut world), before, "{version}, {sink}");
    }
}

use std::collections::{BTreeMap, BTreeSet};

use unplug_engine::steps::Step;
use unplug_sim::fault::{Action, DiskFault, EffectFilter, Fault, Plan, Point, Target};

use super::{atlas, plan};
use crate::{
    scenario::{Classes, Faults, Generate, Scenario},
    suite,
    topology::Cluster,
    validate,
};

const HOUR: i64 = 3_600_000_000_000;

/// All classes as often, on a cluster with standbys.
fn all_classes(fields: &str) -> Scenario {
    let text = format!(
        r#"{{"name": "all", "cluster": {{"drivers": 3, "stores": 5}}, "faults": {{"generate": {{
            "classes": {{"data_centre_power_loss": 1, "node_power_loss": 1, "node_kill": 1,
                "kill_then_power_loss": 1, "pause": 1, "throttle": 1, "partition": 1,
                "one_way_partition": 1, "clock_step": 1, "store_disk_loss": 1, "store_media": 1,
                "disk_error": 1, "disk_full": 1, "slow_disk": 1}}
            {fields}}}}}}}"#
    );
    Scenario::parse("all", &text).expect("parses")
}

fn scenarios() -> Vec<Scenario> {
    let mut scenarios = suite::suite("default").expect("there");
    scenarios.push(Scenario::parse("x", r#"{"name": "plain"}"#).expect("parses"));
    scenarios.push(all_classes(""));
    scenarios.push(all_classes(r#", "swarm": true"#));
    scenarios
}

fn drawn(scenario: &Scenario) -> &Generate {
    match &scenario.faults {
        Faults::Generate(faults) => faults,
        Faults::Plan(_) => panic!("generates"),
    }
}

fn faults(scenario: &Scenario, seeds: u64) -> Vec<Fault> {
    (0..seeds).flat_map(|seed| plan(scenario, seed).faults).collect()
}

#[test]
fn a_seed_has_one_plan() {
    for scenario in scenarios() {
        if matches!(scenario.faults, Faults::Plan(_)) {
            continue;
        }
        assert_eq!(plan(&scenario, 7), plan(&scenario, 7));
        assert_ne!(plan(&scenario, 7), plan(&scenario, 8));
    }
}

#[test]
fn plans_make_sense_and_stay_within_the_promise() {
    for scenario in scenarios() {
        if matches!(scenario.faults, Faults::Plan(_)) {
            continue;
        }
        let faults = drawn(&scenario);
        for seed in 0..1_000 {
            let plan = plan(&scenario, seed);
            validate::plan(&plan, &scenario).expect("makes sense");
            let within = atlas::within_promise(&plan, &scenario.cluster);
            assert_eq!(within.is_ok(), drawn(&scenario).classes.sole_copy_media == 0, "{within:?}");
            let count = u32::try_from(plan.faults.len()).expect("few");
            // A kill and its power loss are two faults; stores that are struck in turn are three,
            // and all drivers on top.
            let most = faults.count.1 * (3 + scenario.cluster.drivers);
            assert!((faults.count.0..=most).contains(&count));
            for fault in &plan.faults {
                assert!((faults.from_ns..faults.until_ns).contains(&fault.when.from_ns));
                in_range(fault, faults);
            }
            let json = serde_json::to_string(&plan).expect("serialises");
            assert_eq!(serde_json::from_str::<Plan>(&json).expect("parses"), plan);
        }
    }
}

/// Durations and sizes are as the scenario says.
fn in_range(fault: &Fault, faults: &Generate) {
    let within = |value: u64, (low, high): (u64, u64)| {
        assert!((low..=high).contains(&value), "{value} of {low}..={high}: {fault:?}");
    };
    match fault.what {
        Action::PowerLoss { down_ns, .. }
        | Action::Kill { down_ns, .. }
        | Action::DiskLoss { down_ns, .. } => within(down_ns, faults.down_ns),
        Action::Pause { for_ns, .. } => within(for_ns, faults.pause_ns),
        Action::Throttle { factor, for_ns, .. } => {
            within(for_ns, faults.throttle_ns);
            let (low, high) = faults.throttle_factor;
            within(factor.into(), (low.into(), high.into()));
        }
        Action::Partition { for_ns, .. } => within(for_ns, faults.partition_ns),
        Action::ClockStep { by_ns, .. } => within(by_ns.unsigned_abs(), faults.clock_step_ns),
        Action::DiskFault { .. } => {}
        Action::DiskFull { for_ns, .. } | Action::DiskStall { for_ns, .. } => {
            within(for_ns, faults.disk_trouble_ns);
        }
        Action::SlowDisk { factor, for_ns, .. } => {
            within(for_ns, faults.disk_trouble_ns);
            let (low, high) = faults.slow_disk_factor;
            within(factor.into(), (low.into(), high.into()));
        }
    }
}

#[test]
fn every_class_role_and_step_comes_up() {
    let mut seen = BTreeSet::new();
    for fault in faults(&all_classes(""), 2_000) {
        let mut nodes = fault.what.nodes();
        if matches!(fault.what, Action::Partition { .. }) {
            nodes = vec!["some"];
        } else if nodes.is_empty() {
            nodes = vec!["all"];
        }
        for node in nodes {
            let role = node.split('-').next().expect("a part");
            seen.insert(format!("{} {role}", fault.what.kind()));
        }
        if let Some(Point { effect: EffectFilter::Mark(mark), .. }) = fault.when.on {
            seen.insert(mark);
        }
    }
    let roles = ["broker", "store", "driver", "executor", "sink", "producer"];
    for role in roles {
        for kind in ["power_loss", "kill", "pause", "throttle", "clock_step"] {
            if (kind, role) == ("clock_step", "producer") {
                continue;
            }
            assert!(seen.contains(&format!("{kind} {role}")), "{kind} {role}");
        }
    }
    for other in [
        "power_loss all",
        "clock_step all",
        "partition some",
        "one_way_partition some",
        "disk_loss store",
        "bit_rot store",
        "latent_error store",
        "misdirected_read store",
        "misdirected_write store",
        "phantom_write store",
        "write_error broker",
        "sync_error store",
        "sync_error sink",
        "disk_full broker",
        "slow_disk store",
        "disk_stall sink",
        "commit.decided",
        "offsets.decided",
    ] {
        assert!(seen.contains(other), "{other}");
    }
    for step in Step::ALL {
        assert!(seen.contains(step.begin()), "{}", step.begin());
    }
}

#[test]
fn few_faults_wait_inside_a_step_follow_on_another_node_or_end_at_an_event() {
    let (mut all, mut forms) = (0, BTreeMap::<_, u32>::new());
    for fault in faults(&all_classes(""), 2_000) {
        all += 1;
        let mut count = |form: String| *forms.entry(form).or_default() += 1;
        if let Some(Point { effect, inside, .. }) = &fault.when.on {
            inside.iter().for_each(|step| count(format!("inside {step}")));
            if effect.befalls() {
                count(format!("{effect:?}"));
            }
        }
        if fault.until.is_some() {
            count(format!("{} until", fault.what.kind()));
        }
    }
    let steps = Step::ALL.map(|step| format!("inside {}", step.name()));
    let others = [
        "Crash",
        "Boot",
        "power_loss until",
        "kill until",
        "pause until",
        "partition until",
        "one_way_partition until",
        "disk_loss until",
    ];
    for form in steps.into_iter().chain(others.map(str::to_owned)) {
        assert!(forms.contains_key(&form), "{form} of {forms:?}");
    }
    let sum: u32 = forms.values().sum();
    assert!(sum * 20 > all && sum * 6 < all, "{sum} of {all}");
}

#[test]
fn a_kill_and_its_power_loss_strike_one_node_in_this_order() {
    let scenario = Scenario::parse(
        "x",
        r#"{"name": "x", "faults": {"generate": {"count": [1, 1], "during_recovery": [0, 1],
            "classes": {"kill_then_power_loss": 1}}}}"#,
    );
    let scenario = scenario.expect("parses");
    let mut beside = BTreeSet::new();
    for seed in 0..500 {
        let plan = plan(&scenario, seed);
        let [kill, loss] = &plan.faults[..] else { panic!("two faults: {plan:?}") };
        let Action::Kill { target: killed, down_ns } = &kill.what else { panic!("{plan:?}") };
        let Action::PowerLoss { target: lost, .. } = &loss.what else { panic!("{plan:?}") };
        assert_eq!(killed, lost);
        match (&kill.when.on, &loss.when.on) {
            (None, None) => {
                let back_ns = (kill.when.from_ns + down_ns).min(drawn(&scenario).until_ns - 1);
                assert!(loss.when.from_ns >= back_ns, "{plan:?}");
                beside.insert("nothing");
            }
            (Some(first), Some(second)) => {
                assert_eq!((kill.when.from_ns, &first.node), (loss.when.from_ns, &second.node));
                assert_eq!(first.effect, second.effect);
                assert!(first.nth < second.nth, "{plan:?}");
                assert_eq!(Target::Node(first.node.clone()), *killed);
                beside.insert(if first.effect == EffectFilter::Disk { "disk" } else { "write" });
            }
            _ => panic!("they wait for the same: {plan:?}"),
        }
    }
    assert_eq!(beside.len(), 3);
}

#[test]
fn most_pauses_are_of_drivers_and_most_outlast_the_detection_of_failures() {
    let (mut drivers, mut long, mut all) = (0, 0, 0);
    let mut beside = BTreeSet::new();
    for fault in faults(&all_classes(""), 1_000) {
        let Action::Pause { target: Target::Node(node), for_ns } = &fault.what else { continue };
        all += 1;
        long += u32::from(*for_ns > 1_000_000_000);
        if !node.starts_with("driver") {
            continue;
        }
        drivers += 1;
        let Some(Point { node: at, effect, inside, .. }) = fault.when.on else { continue };
        if inside.is_some() || effect.befalls() {
            continue;
        }
        assert!(at == *node || effect == EffectFilter::Sync, "{at} for {node}");
        beside.insert(serde_json::to_string(&effect).expect("serialises"));
    }
    assert!(all > 500 && drivers * 4 > all * 3 && long * 5 > all * 4, "{drivers} {long} of {all}");
    for effect in ["send", "sync"].map(|name| format!("\"{name}\"")).into_iter().chain(
        ["commit.begin", "offsets.decided", "commit.decided", "collect.begin"]
            .map(|mark| format!("{{\"mark\":\"{mark}\"}}")),
    ) {
        assert!(beside.contains(&effect), "{effect} of {beside:?}");
    }
}

#[test]
fn throttles_double_and_clocks_step_by_every_order_of_magnitude() {
    let mut factors = BTreeMap::<_, u32>::new();
    let (mut tiny, mut large, mut back, mut all) = (0, 0, 0, 0);
    for fault in faults(&all_classes(""), 2_000) {
        if let Action::Throttle { factor, .. } = fault.what {
            *factors.entry(factor).or_default() += 1;
        }
        if let Action::ClockStep { by_ns, .. } = fault.what {
            all += 1;
            tiny += u32::from(by_ns.abs() < HOUR / 10_000);
            large += u32::from(by_ns.abs() > HOUR / 10);
            back += u32::from(by_ns < 0);
        }
    }
    let doubled: Vec<_> = factors.keys().copied().collect();
    assert_eq!(doubled, [2, 4, 8, 16, 32, 64, 128, 256, 512]);
    assert!(tiny * 5 > all && large * 20 > all, "{tiny} and {large} of {all}");
    assert!(back * 3 > all && back * 3 < all * 2, "{back} of {all}");
    let fixed = all_classes(r#", "throttle_factor": [100, 100]"#);
    for fault in faults(&fixed, 100) {
        assert!(!matches!(fault.what, Action::Throttle { factor, .. } if factor != 100));
    }
}

#[test]
fn partitions_have_many_shapes_and_each_side_is_cut_off_from_the_other() {
    let scenario = all_classes("");
    let everyone = scenario.cluster.nodes().len();
    let clients = scenario.cluster.producers + scenario.cluster.readers;
    let data_centre = everyone - usize::try_from(clients).expect("few");
    let mut shapes = BTreeSet::new();
    for fault in faults(&scenario, 2_000) {
        let Action::Partition { from, to, .. } = fault.what else { continue };
        let prefixes = |side: &[String]| -> BTreeSet<String> {
            let role = |name: &String| name.split('-').next().expect("a part").to_owned();
            side.iter().map(role).collect()
        };
        let (few, many) = if from.len() < to.len() { (from, to) } else { (to, from) };
        let roles = |side: &[String]| prefixes(side).into_iter().collect::<Vec<_>>().join("+");
        shapes.insert(match (few.len(), many.len()) {
            (1, 1) => "link".to_owned(),
            (1, count) if count + 1 == everyone => "alone".to_owned(),
            (1, _) if ["executor", "store"].contains(&roles(&many).as_str()) => {
                format!("{}, {}", roles(&few), roles(&many))
            }
            (few, many) if few + many == everyone => "split".to_owned(),
            _ if few
                .iter()
                .chain(&many)
                .all(|name| name.starts_with("store") || name.starts_with("driver")) =>
            {
                "stores".to_owned()
            }
            // All of the data centre but the bridge, in halves.
            (few, many) if few + many + 1 == data_centre && many - few <= 1 => "bridge".to_owned(),
            _ => panic!("no such shape: {few:?} from {many:?}"),
        });
    }
    for shape in ["alone", "stores", "driver, store", "driver, executor", "link", "bridge", "split"]
    {
        assert!(shapes.contains(shape), "{shape} of {shapes:?}");
    }
}

#[test]
fn a_swarm_leaves_classes_out_and_never_all() {
    let kinds = |swarm: bool, seed| -> BTreeSet<_> {
        let scenario = all_classes(&format!(r#", "swarm": {swarm}, "count": [300, 300]"#));
        let faults = plan(&scenario, seed).faults;
        // Of a class with several kinds, one stands for all.
        let kind = |fault: &Fault| match fault.what.kind() {
            "latent_error" | "misdirected_read" | "misdirected_write" | "phantom_write" => {
                "bit_rot"
            }
            "write_error" => "sync_error",
            "disk_stall" => "slow_disk",
            kind => kind,
        };
        faults.iter().map(kind).collect()
    };
    let sizes = |swarm| -> Vec<_> { (0..60).map(|seed| kinds(swarm, seed).len()).collect() };
    assert_eq!(sizes(false), [12; 60]);
    let swarmed = sizes(true);
    assert!(swarmed.iter().all(|&size| size > 0) && swarmed.iter().any(|&size| size < 4));
    let apart: BTreeSet<_> = (0..60).map(|seed| kinds(true, seed)).collect();
    assert!(apart.len() > 30, "{}", apart.len());
    let only = all_classes(r#", "swarm": true"#);
    let Faults::Generate(faults) = only.faults else { panic!("generates") };
    let classes = Classes { pause: 1, ..Classes::default() };
    let faults = Faults::Generate(Box::new(Generate { classes, ..*faults }));
    let only = Scenario { faults, cluster: Cluster::default(), ..only };
    assert!((0..50).all(|seed| !plan(&only, seed).faults.is_empty()));
}

#[test]
fn one_store_is_harmed_in_a_plan_or_as_many_as_may_be_and_each_in_some() {
    stores_harmed(1);
    stores_harmed(2);
}

fn stores_harmed(most: usize) {
    let fields = format!(r#", "count": [30, 30], "stores_harmed": {most}"#);
    let scenario = all_classes(&fields);
    let (mut harmed, mut many) = (BTreeSet::new(), 0);
    for seed in 0..100 {
        let nodes: BTreeSet<_> = plan(&scenario, seed)
            .faults
            .iter()
            .filter(|fault| match fault.what {
                Action::DiskLoss { .. } => true,
                Action::DiskFault { what, .. } => {
                    !matches!(what, DiskFault::WriteError | DiskFault::Sync(_))
                }
                Action::PowerLoss { .. }
                | Action::Kill { .. }
                | Action::Pause { .. }
                | Action::Throttle { .. }
                | Action::Partition { .. }
                | Action::ClockStep { .. }
                | Action::DiskFull { .. }
                | Action::SlowDisk { .. }
                | Action::DiskStall { .. } => false,
            })
            .flat_map(|fault| fault.what.nodes().into_iter().map(str::to_owned))
            .collect();
        assert!(nodes.len() <= most, "{nodes:?}");
        many += usize::from(nodes.len() == most);
        harmed.extend(nodes);
    }
    assert_eq!(harmed.len(), 5);
    assert!(many > 50, "{many} plans of 100 harm {most}");
}

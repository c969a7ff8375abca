//! Courses made by hand: what is swept of them, and what clients know.

use std::{collections::BTreeSet, sync::Arc};

use unplug_sim::{
    disk::Disk,
    env::OpenMode,
    fault::{EffectFilter, Whole},
};

use super::{
    course::{Course, Effect, Moment, Seen},
    images::{Choice, Cut, Image, Tears, images},
};
use crate::history::{Acknowledged, History, TupleId};

fn acknowledged(at_ns: u64) -> Acknowledged {
    Acknowledged { at_ns, id: TupleId { producer: 0, seq: at_ns }, partition: 0, offset: None }
}

/// A disk with these files, of one sector each, of which none is synced.
fn disk(files: &[&str]) -> Arc<Disk> {
    let mut disk = Disk::new();
    for path in files {
        let file = disk.open(path, OpenMode::Create).expect("a new file");
        disk.append(file, b"x").expect("open");
        disk.sync_file(file).expect("open");
    }
    Arc::new(disk)
}

/// A course of two nodes, with the time, the node that changes, and all disks of each moment.
/// Tuples were acknowledged at all of `acknowledged_ns`.
fn course(moments: Vec<(u64, usize, [&Arc<Disk>; 2])>, acknowledged_ns: &[u64]) -> Course {
    let history = History {
        acknowledged: acknowledged_ns.iter().map(|at_ns| acknowledged(*at_ns)).collect(),
        ..History::default()
    };
    let moments: Vec<_> = moments
        .into_iter()
        .map(|(at_ns, node, disks)| Moment {
            at_ns,
            effect: None,
            node,
            disks: disks.map(Arc::clone).to_vec(),
            seen: Seen::at(&history, at_ns),
        })
        .collect();
    let swept = moments.len();
    Course { moments, swept, effects: Vec::new(), history, end_ns: 1_000, quickest_ns: 5 }
}

fn whole(moment: usize, whole: Whole) -> Cut {
    Cut { moment, choice: Choice::Whole(whole) }
}

fn spans(images: &[Image]) -> Vec<(Cut, Cut)> {
    images.iter().map(|image| (image.first.clone(), image.last.clone())).collect()
}

#[test]
fn each_set_of_images_is_found_once_with_its_first_and_last_moment() {
    let (blank, one) = (disk(&[]), disk(&["/one"]));
    let course = course(
        vec![(0, 0, [&blank, &blank]), (10, 0, [&one, &blank]), (20, 0, [&one, &blank])],
        &[],
    );
    let mut known = BTreeSet::new();
    let found = images(&course, Tears::None, &mut known);
    let lost = (whole(0, Whole::Nothing), whole(2, Whole::Nothing));
    let kept = (whole(1, Whole::Everything), whole(2, Whole::Everything));
    assert_eq!(spans(&found), [lost, kept]);
    assert_eq!(images(&course, Tears::None, &mut known), [], "what is known is not found again");
}

#[test]
fn one_disk_is_torn_while_the_others_lose_all_or_keep_all() {
    let (blank, one, two) = (disk(&[]), disk(&["/a"]), disk(&["/b", "/c"]));
    let course =
        course(vec![(0, 0, [&blank, &blank]), (1, 0, [&one, &blank]), (2, 1, [&one, &two])], &[]);
    let found = images(&course, Tears::Bounded, &mut BTreeSet::new());
    let trees: BTreeSet<_> = found
        .iter()
        .map(|image| {
            let disks = image.first.choice.cut(&course.moments[image.first.moment].disks);
            let names = disks.iter().flat_map(|disk| disk.tree().into_keys());
            names.collect::<Vec<_>>().concat()
        })
        .collect();
    let expected = ["", "/a", "/b", "/c", "/b/c", "/a/b", "/a/c", "/a/b/c"].map(str::to_owned);
    assert_eq!(trees, expected.into());
    assert_eq!(found.len(), trees.len());
}

#[test]
fn the_same_image_on_another_node_is_another_set() {
    let (blank, one) = (disk(&[]), disk(&["/one"]));
    let course = course(
        vec![
            (0, 0, [&blank, &blank]),
            (1, 0, [&one, &blank]),
            (2, 0, [&blank, &blank]),
            (3, 1, [&blank, &one]),
        ],
        &[],
    );
    assert_eq!(images(&course, Tears::None, &mut BTreeSet::new()).len(), 3);
}

#[test]
fn clients_know_at_last_what_was_under_way_and_nothing_that_was_sent_later() {
    let blank = disk(&[]);
    let disks = [&blank, &blank];
    let course =
        course(vec![(0, 0, disks), (100, 0, disks), (200, 0, disks)], &[50, 104, 105, 300]);
    let counts = |seen: Seen| seen.part_of(&course.history).acknowledged.len();
    let begin: Vec<_> = course.moments.iter().map(|moment| counts(moment.seen)).collect();
    assert_eq!(begin, [0, 1, 3]);
    // An answer takes 5 ns at least: that of 105 ns was sent at 100 ns, when the first moment was
    // over.
    let over: Vec<_> = (0..3).map(|moment| counts(course.seen_after(moment))).collect();
    assert_eq!(over, [2, 3, 4]);
    assert_eq!([course.over_ns(0), course.over_ns(2)], [100, 1_000]);
}

#[test]
fn an_effect_is_told_with_its_place_and_its_number() {
    let effect = Effect {
        node: "store-1".to_owned(),
        kind: EffectFilter::Write,
        from_ns: 3_000_000_000,
        nth: 4,
        operation: "rename /a -> /b (durable.rs:146)".to_owned(),
    };
    let told = "rename /a -> /b (durable.rs:146): write 4 of store-1 from 3 s on";
    assert_eq!(effect.to_string(), told);
}

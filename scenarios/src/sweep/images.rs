//! What a power cut of the whole data centre may leave on all disks together: at each moment of a
//! run, and each set of images once.
//!
//! All disks lose what they can, or all keep all; or one disk meets each of
//! [`Disk::bounded_choices`] while the others do the one or the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use unplug_sim::{
    disk::{Disk, Fate},
    fault::{Keep, Whole},
};
use xxhash_rust::xxh3::xxh3_128;

use super::course::Course;

/// A disk with more pending changes is not torn: choices grow with their square. One that syncs what
/// it writes has a few at a time.
pub const PENDING_MAX: usize = 24;

/// Whether disks are torn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Tears {
    /// Bounded, on one node at a time.
    Bounded,
    /// Never: all is lost or all is kept.
    None,
}

/// What the disks keep at a power cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// All disks the same.
    Whole(Whole),
    /// One of them a part.
    Torn {
        /// The node's number.
        node: usize,
        /// A fate for each unit of its disk.
        fates: Arc<[Fate]>,
        /// What the others keep.
        others: Whole,
    },
}

impl Choice {
    /// The disks after the cut.
    ///
    /// # Panics
    /// If the choice was made for other disks.
    #[must_use]
    pub fn cut(&self, disks: &[Arc<Disk>]) -> Vec<Disk> {
        let after = disks.iter().enumerate().map(|(at, disk)| {
            let mut disk = Disk::clone(disk);
            match self {
                Self::Torn { node, fates, .. } if *node == at => {
                    let mut fates = fates.iter();
                    disk.crash_with(&mut |_| *fates.next().expect("a fate for each unit"))
                }
                Self::Whole(whole) | Self::Torn { others: whole, .. } => {
                    disk.crash_with(&mut |_| whole.fate())
                }
            };
            disk
        });
        after.collect()
    }

    /// The same for a plan.
    #[must_use]
    pub fn keep(&self, names: &[String]) -> Keep {
        match self {
            Self::Whole(Whole::Nothing) => Keep::Nothing,
            Self::Whole(Whole::Everything) => Keep::Everything,
            Self::Torn { node, fates, others } => {
                Keep::Torn { node: names[*node].clone(), fates: fates.to_vec(), others: *others }
            }
        }
    }
}

/// A moment, and what a power cut in it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The moment's place in its course.
    pub moment: usize,
    /// What disks keep.
    pub choice: Choice,
}

/// A set of images that no other one equals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// A fingerprint of all disks.
    pub hash: u128,
    /// The first way to come to it.
    pub first: Cut,
    /// The last one.
    pub last: Cut,
}

/// All images of a course that are not among those `known`, which they join.
#[must_use]
pub fn images(course: &Course, tears: Tears, known: &mut BTreeSet<u128>) -> Vec<Image> {
    let mut found: Vec<Image> = Vec::new();
    let mut places: BTreeMap<u128, usize> = BTreeMap::new();
    let mut nodes: Vec<Node> = Vec::new();
    for (moment, now) in course.moments.iter().take(course.swept).enumerate() {
        if nodes.is_empty() {
            nodes = now.disks.iter().enumerate().map(|(at, it)| Node::of(at, it, tears)).collect();
        } else {
            nodes[now.node] = Node::of(now.node, &now.disks[now.node], tears);
        }
        for_each(&nodes, &mut |hash, choice| {
            let cut = || Cut { moment, choice: choice() };
            if let Some(place) = places.get(&hash) {
                if found[*place].last.moment < moment {
                    found[*place].last = cut();
                }
            } else if known.insert(hash) {
                places.insert(hash, found.len());
                found.push(Image { hash, first: cut(), last: cut() });
            }
        });
    }
    found
}

/// Whether a disk has too many pending changes to be torn.
fn is_crowded(disk: &Disk) -> bool {
    disk.pending() > PENDING_MAX
}

/// Of how many moments of a course the disk that changed is not torn, since too much is pending.
#[must_use]
pub fn untorn(course: &Course, tears: Tears) -> usize {
    let crowded = course.moments.iter().take(course.swept);
    let crowded = crowded.filter(|moment| is_crowded(&moment.disks[moment.node])).count();
    if tears == Tears::Bounded { crowded } else { 0 }
}

/// What a power cut may leave on one disk, with a fingerprint of each image.
struct Node {
    lost: u128,
    kept: u128,
    torn: Vec<(Arc<[Fate]>, u128)>,
}

impl Node {
    fn of(at: usize, disk: &Disk, tears: Tears) -> Self {
        let print = |disk: &Disk| {
            let (place, image) = ((at as u64).to_le_bytes(), disk.image_hash().to_le_bytes());
            xxh3_128(&[&place[..], &image].concat())
        };
        let all = |whole: Whole| {
            let mut disk = disk.clone();
            disk.crash_with(&mut |_| whole.fate());
            print(&disk)
        };
        let torn = match tears {
            Tears::None => Vec::new(),
            Tears::Bounded if disk.pending() == 0 || is_crowded(disk) => Vec::new(),
            Tears::Bounded => disk
                .bounded_choices()
                .map(|(fates, outcome)| (Arc::from(fates), print(&outcome)))
                .collect(),
        };
        Self { lost: all(Whole::Nothing), kept: all(Whole::Everything), torn }
    }

    const fn whole(&self, whole: Whole) -> u128 {
        match whole {
            Whole::Nothing => self.lost,
            Whole::Everything => self.kept,
        }
    }
}

/// Goes through all sets of images of a moment. Fingerprints of nodes are added up, so that one of
/// them is easily put in the place of another.
fn for_each(nodes: &[Node], each: &mut dyn FnMut(u128, &dyn Fn() -> Choice)) {
    for others in [Whole::Nothing, Whole::Everything] {
        let all = nodes.iter().fold(0, |sum: u128, node| sum.wrapping_add(node.whole(others)));
        each(all, &|| Choice::Whole(others));
        for (at, node) in nodes.iter().enumerate() {
            for (fates, print) in &node.torn {
                let hash = all.wrapping_sub(node.whole(others)).wrapping_add(*print);
                each(hash, &|| Choice::Torn { node: at, fates: Arc::clone(fates), others });
            }
        }
    }
}

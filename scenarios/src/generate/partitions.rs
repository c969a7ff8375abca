//! The shapes of partitions: which nodes are cut off from which others. What is on neither side
//! hears, and is heard by, all.

use super::Generator;
use crate::topology::{Role, reader};

/// How often a partition has which shape: (weight, shape).
const SHAPES: [(u32, Shape); 7] = [
    (3, Shape::Alone),
    (3, Shape::Stores),
    (3, Shape::DriverStores),
    (2, Shape::DriverExecutors),
    (2, Shape::Link),
    (2, Shape::Bridge),
    (2, Shape::Split),
];

#[derive(Clone, Copy)]
enum Shape {
    /// One node from all others.
    Alone,
    /// A minority of the stores from the others, and each driver on one of the two sides.
    Stores,
    /// A driver from the stores.
    DriverStores,
    /// A driver from the executors.
    DriverExecutors,
    /// One node from another one.
    Link,
    /// Two halves, joined by one node that both reach.
    Bridge,
    /// All nodes in two parts, at random.
    Split,
}

impl Generator<'_> {
    /// The two sides of a partition: disjoint, and neither empty.
    pub(super) fn sides(&mut self) -> (Vec<String>, Vec<String>) {
        let (mut from, mut to) = match self.weighted(&SHAPES) {
            Shape::Alone => self.cut_first(self.everyone(), |_, _| 1),
            Shape::Stores => self.stores(),
            Shape::DriverStores => (self.one_of(Role::Driver), self.all_of(Role::Store)),
            Shape::DriverExecutors => (self.one_of(Role::Driver), self.all_of(Role::Executor)),
            Shape::Link => {
                let (one, mut others) = self.cut_first(self.everyone(), |_, _| 1);
                others.truncate(1);
                (one, others)
            }
            Shape::Bridge => {
                let (one, mut other) = self.cut_first(self.data_centre(), |_, len| len / 2);
                other.truncate(other.len() - 1);
                (one, other)
            }
            Shape::Split => {
                let some = |this: &mut Self, len: usize| 1 + this.random.index(len - 1);
                self.cut_first(self.everyone(), some)
            }
        };
        // The sides are as likely either way: it matters to a cut in one direction.
        if self.random.chance(1, 2) {
            std::mem::swap(&mut from, &mut to);
        }
        from.sort_unstable();
        to.sort_unstable();
        (from, to)
    }

    fn stores(&mut self) -> (Vec<String>, Vec<String>) {
        let all = self.all_of(Role::Store);
        if all.len() < 3 {
            return (self.one_of(Role::Driver), all);
        }
        let minority = |this: &mut Self, len: usize| 1 + this.random.index((len - 1) / 2);
        let (mut few, mut most) = self.cut_first(all, minority);
        for driver in self.all_of(Role::Driver) {
            let side = if self.random.chance(1, 2) { &mut few } else { &mut most };
            side.push(driver);
        }
        (few, most)
    }

    /// Shuffles the nodes and cuts them behind the first so many, a number from their count.
    fn cut_first(
        &mut self,
        mut nodes: Vec<String>,
        count: impl Fn(&mut Self, usize) -> usize,
    ) -> (Vec<String>, Vec<String>) {
        for last in (1..nodes.len()).rev() {
            nodes.swap(last, self.random.index(last + 1));
        }
        let count = count(self, nodes.len());
        let others = nodes.split_off(count);
        (nodes, others)
    }

    fn one_of(&mut self, role: Role) -> Vec<String> {
        let count = role.count(self.cluster);
        vec![role.node(self.index(count))]
    }

    fn all_of(&self, role: Role) -> Vec<String> {
        (0..role.count(self.cluster)).map(|index| role.node(index)).collect()
    }

    fn data_centre(&self) -> Vec<String> {
        Role::DATA_CENTRE.into_iter().flat_map(|role| self.all_of(role)).collect()
    }

    fn everyone(&self) -> Vec<String> {
        let clients = self.all_of(Role::Producer).into_iter();
        let readers = (0..self.cluster.readers).map(reader);
        self.data_centre().into_iter().chain(clients).chain(readers).collect()
    }
}

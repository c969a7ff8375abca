//! Partitions: which links are cut. A datagram is looked up in each cut, in constant time; as
//! long as there is none, it costs one comparison.

use crate::env::NodeId;

/// A group of nodes cut off from another. Each side tells for each node whether it is in it.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    pub(crate) fault: usize,
    pub(crate) from: Vec<bool>,
    pub(crate) to: Vec<bool>,
    pub(crate) one_way: bool,
}

/// All cuts that there are now. They may overlap.
#[derive(Debug, Default)]
pub(crate) struct Partitions(Vec<Cut>);

impl Partitions {
    pub(crate) fn cut(&mut self, cut: Cut) {
        self.0.push(cut);
    }

    /// Ends the cut that a fault made.
    pub(crate) fn heal(&mut self, fault: usize) {
        self.0.retain(|cut| cut.fault != fault);
    }

    /// Whether what `from` sends to `to` now vanishes.
    #[inline]
    pub(crate) fn separate(&self, from: NodeId, to: NodeId) -> bool {
        !self.0.is_empty() && self.0.iter().any(|cut| cut.separates(from, to))
    }
}

impl Cut {
    fn separates(&self, from: NodeId, to: NodeId) -> bool {
        let crosses = |from, to| holds(&self.from, from) && holds(&self.to, to);
        crosses(from, to) || (!self.one_way && crosses(to, from))
    }
}

/// A node that came after the partition is on no side.
fn holds(side: &[bool], node: NodeId) -> bool {
    side.get(usize::from(node.0)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_between_the_sides_are_cut_until_each_cut_heals() {
        let side = |node: usize| (0..3).map(|at| at == node).collect::<Vec<_>>();
        let mut partitions = Partitions::default();
        let cut = Cut { fault: 7, from: side(0), to: side(1), one_way: true };
        partitions.cut(cut.clone());
        let cuts = |partitions: &Partitions| {
            let all = (0..4).flat_map(|from| (0..4).map(move |to| (from, to)));
            all.filter(|(from, to)| partitions.separate(NodeId(*from), NodeId(*to)))
                .collect::<Vec<_>>()
        };
        assert_eq!(cuts(&partitions), [(0, 1)]);
        partitions.cut(Cut { fault: 8, one_way: false, ..cut });
        assert_eq!(cuts(&partitions), [(0, 1), (1, 0)]);
        partitions.heal(8);
        assert_eq!(cuts(&partitions), [(0, 1)]);
        partitions.heal(7);
        assert_eq!(cuts(&partitions), []);
    }
}

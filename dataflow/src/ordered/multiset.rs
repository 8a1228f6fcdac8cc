//! `Multiset`: values in order, each with its multiplicity.

use std::mem;

use super::keys::Keys;
use super::node::{Node, Outcome};
use super::scan::Scan;
use crate::Diff;

/// Values in order, each with its multiplicity, which is never 0. Negative ones occur only within a time.
#[derive(Debug)]
pub(crate) struct Multiset<K: Keys> {
    root: Node<K>,
}

/// What many multisets hold altogether.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Number of distinct values.
    pub(crate) values: usize,
    /// Their bytes that are not in slots.
    outside: usize,
}

impl Held {
    /// Takes out what a multiset holds.
    pub(crate) fn forget<K: Keys>(&mut self, multiset: &Multiset<K>) {
        let held = multiset.held();
        self.values -= held.values;
        self.outside -= held.outside;
    }

    /// Returns approximately how many bytes of heap the multisets hold, which have keys of this kind.
    pub(crate) fn bytes<K: Keys>(&self) -> usize {
        // Leaves and their slabs are about two thirds full after random insertions.
        (self.values * size_of::<(K::Slot, Diff)>() + self.outside) * 3 / 2
    }
}

impl<K: Keys> Default for Multiset<K> {
    fn default() -> Self {
        Multiset { root: Node::default() }
    }
}

impl<K: Keys> Multiset<K> {
    /// Adds `value` `diff` times, removes it if that is negative, and counts in `held` what is then held.
    pub(crate) fn add(&mut self, value: &K::Key, diff: Diff, held: &mut Held) {
        let (before, outcome) = self.root.add(value, diff);
        if before == 0 {
            held.values += 1;
            held.outside += K::outside(value);
        } else if before + diff == 0 {
            held.values -= 1;
            held.outside -= K::outside(value);
        }
        match outcome {
            Outcome::Split(right) => self.root = Node::over(mem::take(&mut self.root), right),
            Outcome::Kept if before + diff == 0 => self.shrink(),
            Outcome::Kept => {}
        }
    }

    /// Frees nodes that are no longer needed.
    fn shrink(&mut self) {
        self.root.lower();
        if self.root.is_empty() {
            self.root = Node::default();
        }
    }

    /// Whether there are no values.
    pub(crate) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    /// Returns the sum of all multiplicities.
    pub(crate) fn total(&self) -> Diff {
        self.root.total()
    }

    /// Returns the least value and its multiplicity.
    pub(crate) fn first(&self) -> Option<(&K::Key, Diff)> {
        let leaf = self.root.first_leaf();
        (leaf.len() > 0).then(|| (leaf.key(0), *leaf.value(0)))
    }

    /// Returns the greatest value and its multiplicity.
    pub(crate) fn last(&self) -> Option<(&K::Key, Diff)> {
        let leaf = self.root.last_leaf();
        leaf.len().checked_sub(1).map(|last| (leaf.key(last), *leaf.value(last)))
    }

    /// Returns the sum of the multiplicities of what is less than `value`, and the multiplicity of `value`.
    pub(crate) fn place(&self, value: &K::Key) -> (Diff, Diff) {
        let (mut node, mut rank) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(leaf) => {
                    let (before, count) = match leaf.search(value) {
                        Ok(at) => (at, *leaf.value(at)),
                        Err(at) => (at, 0),
                    };
                    return (rank + leaf.values().take(before).sum::<Diff>(), count);
                }
                Node::Inner(inner) => {
                    let child = inner.child(value);
                    rank += inner.totals()[..child].iter().sum::<Diff>();
                    node = &inner.nodes()[child];
                }
            }
        }
    }

    /// Reads a key of a small multiset, so that it is at hand when it is added to. What is returned means nothing.
    pub(crate) fn warm(&self) -> Diff {
        self.root.as_leaf().and_then(|leaf| leaf.values().next()).copied().unwrap_or(0)
    }

    /// Returns all entries, in order.
    pub(crate) fn entries(&self) -> Scan<'_, K> {
        Scan::from(&self.root, Diff::MIN)
    }

    /// Returns the entries from that on which the value at `position` belongs to, in order. No multiplicity may be
    /// negative.
    pub(crate) fn from(&self, position: Diff) -> Scan<'_, K> {
        Scan::from(&self.root, position)
    }

    /// Returns the entries that are greater than `value`, in order.
    pub(crate) fn after(&self, value: &K::Key) -> Scan<'_, K> {
        Scan::after(&self.root, value)
    }

    /// Returns the number of distinct values and their bytes that are not in slots.
    pub(super) fn held(&self) -> Held {
        let mut held = Held::default();
        self.root.for_each_leaf(&mut |leaf| {
            held.values += leaf.len();
            held.outside += (0..leaf.len()).map(|at| K::outside(leaf.key(at))).sum::<usize>();
        });
        held
    }

    /// Drops the greatest values, about `rows` of them; returns how many. The rest can only be dropped.
    pub(crate) fn discard(&mut self, rows: usize) -> usize {
        self.root.discard(rows)
    }

    /// Returns the number of leaves.
    #[cfg(test)]
    pub(crate) fn leaves(&self) -> usize {
        let mut leaves = 0;
        self.root.for_each_leaf(&mut |_| leaves += 1);
        leaves
    }
}

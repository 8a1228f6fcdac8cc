//! `Scan`: the entries of a tree from a rank on.

use smallvec::SmallVec;

use super::keys::Keys;
use super::node::{Inner, Node};
use super::page::Page;
use crate::Diff;

/// The entries from a rank on, in order.
pub(crate) struct Scan<'a, K: Keys> {
    /// The inner nodes above the leaf, each with the child that comes next.
    above: SmallVec<[(&'a Inner<K>, usize); 4]>,
    leaf: &'a Page<K, Diff>,
    /// The next entry of the leaf.
    at: usize,
    /// The rank of the next entry.
    rank: Diff,
}

/// A key of a tree, and which of the values in order are equal to it.
pub(crate) struct Entry<'a, K: Keys> {
    /// The sum of the multiplicities before it.
    pub(crate) rank: Diff,
    /// How many values are equal to it.
    pub(crate) count: Diff,
    /// The key.
    pub(crate) key: &'a K::Key,
}

impl<'a, K: Keys> Scan<'a, K> {
    /// Begins at the entry that the value at position `position` belongs to; at the end if there are fewer values, and at
    /// the first entry if it is `Diff::MIN`. Else no multiplicity may be negative.
    pub(super) fn from(root: &'a Node<K>, position: Diff) -> Self {
        let (mut above, mut node, mut rank) = (SmallVec::new(), root, 0);
        loop {
            match node {
                Node::Leaf(leaf) => {
                    let mut at = 0;
                    while at < leaf.len() && rank + leaf.value(at) <= position {
                        rank += leaf.value(at);
                        at += 1;
                    }
                    return Scan { above, leaf, at, rank };
                }
                Node::Inner(inner) => {
                    let (totals, mut at) = (inner.totals(), 0);
                    while at + 1 < totals.len() && rank + totals[at] <= position {
                        rank += totals[at];
                        at += 1;
                    }
                    above.push((inner, at + 1));
                    node = &inner.nodes()[at];
                }
            }
        }
    }

    /// Begins at the first entry whose key is greater than `key`.
    pub(super) fn after(root: &'a Node<K>, key: &K::Key) -> Self {
        let (mut above, mut node, mut rank) = (SmallVec::new(), root, 0);
        loop {
            match node {
                Node::Leaf(leaf) => {
                    let at = leaf.search(key).map_or_else(|at| at, |at| at + 1);
                    rank += leaf.values().take(at).sum::<Diff>();
                    return Scan { above, leaf, at, rank };
                }
                Node::Inner(inner) => {
                    let child = inner.child(key);
                    rank += inner.totals()[..child].iter().sum::<Diff>();
                    above.push((inner, child + 1));
                    node = &inner.nodes()[child];
                }
            }
        }
    }

    /// Goes on to the next leaf; returns whether there is one.
    fn next_leaf(&mut self) -> bool {
        while let Some((inner, next)) = self.above.last_mut() {
            let Some(mut node) = inner.nodes().get(*next) else {
                self.above.pop();
                continue;
            };
            *next += 1;
            while let Node::Inner(inner) = node {
                self.above.push((inner, 1));
                node = &inner.nodes()[0];
            }
            if let Node::Leaf(leaf) = node {
                (self.leaf, self.at) = (leaf, 0);
            }
            return true;
        }
        false
    }
}

impl<'a, K: Keys> Iterator for Scan<'a, K> {
    type Item = Entry<'a, K>;

    fn next(&mut self) -> Option<Entry<'a, K>> {
        while self.at == self.leaf.len() {
            if !self.next_leaf() {
                return None;
            }
        }
        let entry = Entry { rank: self.rank, count: *self.leaf.value(self.at), key: self.leaf.key(self.at) };
        self.rank += entry.count;
        self.at += 1;
        Some(entry)
    }
}

//! `Node`: leaves and inner nodes of a tree.

use std::mem;

use super::keys::Keys;
use super::page::Page;
use crate::Diff;

/// Number of keys above which a leaf is split.
pub(super) const LEAF: usize = if cfg!(test) { 4 } else { 64 };
/// Number of children above which an inner node is split.
const INNER: usize = if cfg!(test) { 4 } else { 64 };

/// A tree or a part of one.
#[derive(Debug)]
pub(super) enum Node<K: Keys> {
    /// The keys with their multiplicities, none of which is 0.
    Leaf(Page<K, Diff>),
    /// One child or more, of a root two.
    Inner(Box<Inner<K>>),
}

/// The children of an inner node, in order; all of the same height.
#[derive(Debug)]
pub(super) struct Inner<K: Keys> {
    /// For each child but the first a key that is at most its least key and greater than all keys of the child before.
    bounds: Page<K, ()>,
    /// The sum of the multiplicities of each child.
    totals: Vec<Diff>,
    nodes: Vec<Node<K>>,
}

impl<K: Keys> Default for Node<K> {
    fn default() -> Self {
        Node::Leaf(Page::default())
    }
}

/// What adding to a node did to it.
pub(super) enum Outcome<K: Keys> {
    /// It is the whole node, which may have become small if a key was removed.
    Kept,
    /// It was split, and this is the part with the greater keys.
    Split(Node<K>),
}

impl<K: Keys> Node<K> {
    /// Returns the number of keys or children.
    fn width(&self) -> usize {
        match self {
            Node::Leaf(page) => page.len(),
            Node::Inner(inner) => inner.nodes.len(),
        }
    }

    /// Returns the sum of all multiplicities.
    pub(super) fn total(&self) -> Diff {
        match self {
            Node::Leaf(page) => page.values().sum(),
            Node::Inner(inner) => inner.totals.iter().sum(),
        }
    }

    /// Calls `visit` with each leaf, in order.
    pub(super) fn for_each_leaf(&self, visit: &mut impl FnMut(&Page<K, Diff>)) {
        match self {
            Node::Leaf(page) => visit(page),
            Node::Inner(inner) => inner.nodes.iter().for_each(|node| node.for_each_leaf(visit)),
        }
    }

    /// Returns the last leaf.
    pub(super) fn last_leaf(&self) -> &Page<K, Diff> {
        match self {
            Node::Leaf(page) => page,
            Node::Inner(inner) => inner.nodes.last().expect("an inner node has children").last_leaf(),
        }
    }

    /// Returns the first leaf.
    pub(super) fn first_leaf(&self) -> &Page<K, Diff> {
        match self {
            Node::Leaf(page) => page,
            Node::Inner(inner) => inner.nodes[0].first_leaf(),
        }
    }

    /// Returns the leaf that is the whole tree, if it is one.
    pub(super) fn as_leaf(&self) -> Option<&Page<K, Diff>> {
        match self {
            Node::Leaf(page) => Some(page),
            Node::Inner(_) => None,
        }
    }

    /// Adds the multiplicity of a key, and returns the multiplicity that it had. The root must be replaced if it was
    /// split.
    pub(super) fn add(&mut self, key: &K::Key, diff: Diff) -> (Diff, Outcome<K>) {
        match self {
            Node::Leaf(page) => match page.search(key) {
                Ok(at) => {
                    let count = page.value_mut(at);
                    let before = *count;
                    *count += diff;
                    if *count == 0 {
                        page.remove(at);
                    }
                    (before, Outcome::Kept)
                }
                Err(at) => {
                    page.insert(at, key, diff);
                    if !page.is_large(LEAF) {
                        return (0, Outcome::Kept);
                    }
                    (0, Outcome::Split(Node::Leaf(page.split_off(cut(page.len(), at)))))
                }
            },
            Node::Inner(inner) => inner.add(key, diff),
        }
    }

    /// Appends a node of the same height, if both are small enough together. Its keys must be `bound` or greater, and all
    /// others less.
    fn absorb(&mut self, bound: &K::Key, right: &mut Node<K>) -> bool {
        match (self, right) {
            (Node::Leaf(left), Node::Leaf(right)) if left.len() + right.len() <= LEAF * 3 / 4 => {
                left.append(mem::take(right));
                true
            }
            (Node::Inner(left), Node::Inner(right)) if left.nodes.len() + right.nodes.len() <= INNER * 3 / 4 => {
                left.bounds.insert(left.bounds.len(), bound, ());
                left.bounds.append(mem::take(&mut right.bounds));
                left.totals.append(&mut right.totals);
                left.nodes.append(&mut right.nodes);
                true
            }
            _ => false,
        }
    }

    /// Makes a node of two whose keys follow each other, the second of which was split off the first.
    pub(super) fn over(left: Node<K>, right: Node<K>) -> Node<K> {
        let mut inner = Inner { bounds: Page::default(), totals: Vec::new(), nodes: Vec::new() };
        inner.totals.push(left.total());
        inner.nodes.push(left);
        inner.insert(1, right);
        Node::Inner(Box::new(inner))
    }

    /// Drops the last keys, about `rows`; returns how many.
    pub(super) fn discard(&mut self, rows: usize) -> usize {
        match self {
            Node::Leaf(page) => {
                let dropped = page.len().min(rows);
                page.truncate(page.len() - dropped);
                dropped
            }
            Node::Inner(inner) => {
                let mut dropped = 0;
                while dropped < rows
                    && let Some(last) = inner.nodes.last_mut()
                {
                    dropped += last.discard(rows - dropped);
                    if last.width() == 0 {
                        inner.nodes.pop();
                    }
                }
                dropped
            }
        }
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.width() == 0
    }

    /// Replaces an inner node that has one child by the child.
    pub(super) fn lower(&mut self) {
        while let Node::Inner(inner) = self
            && inner.nodes.len() <= 1
        {
            *self = inner.nodes.pop().unwrap_or_default();
        }
    }
}

impl<K: Keys> Inner<K> {
    pub(super) fn nodes(&self) -> &[Node<K>] {
        &self.nodes
    }

    pub(super) fn totals(&self) -> &[Diff] {
        &self.totals
    }

    /// Returns the child that has a key if any does.
    #[inline]
    pub(super) fn child(&self, key: &K::Key) -> usize {
        self.bounds.search(key).map_or_else(|child| child, |bound| bound + 1)
    }

    fn add(&mut self, key: &K::Key, diff: Diff) -> (Diff, Outcome<K>) {
        let at = self.child(key);
        self.totals[at] += diff;
        let (before, outcome) = self.nodes[at].add(key, diff);
        match outcome {
            Outcome::Split(right) => {
                self.totals[at] -= right.total();
                self.insert(at + 1, right);
                if self.nodes.len() > INNER {
                    let right = self.split_off(cut(self.nodes.len(), at + 1));
                    return (before, Outcome::Split(Node::Inner(Box::new(right))));
                }
            }
            Outcome::Kept if before + diff == 0 => self.shrink(at),
            Outcome::Kept => {}
        }
        (before, Outcome::Kept)
    }

    /// Inserts a node at `at`, which was split off the one before.
    fn insert(&mut self, at: usize, right: Node<K>) {
        let left = self.nodes[at - 1].last_leaf();
        let (low, high) = (left.key(left.len() - 1), right.first_leaf().key(0));
        self.bounds.insert(at - 1, K::separator(low, high), ());
        self.totals.insert(at, right.total());
        self.nodes.insert(at, right);
    }

    fn split_off(&mut self, at: usize) -> Self {
        let bounds = self.bounds.split_off(at);
        // The node above has a bound between the two.
        self.bounds.remove(at - 1);
        Inner { bounds, totals: self.totals.split_off(at), nodes: self.nodes.split_off(at) }
    }

    /// Removes the child at `at` if it is empty, and joins it with one beside it if both are small.
    fn shrink(&mut self, at: usize) {
        let width = self.nodes[at].width();
        if width > LEAF.min(INNER) / 4 {
            return;
        }
        if width == 0 {
            self.remove(at);
            return;
        }
        for left in [at.checked_sub(1), Some(at)].into_iter().flatten() {
            if left + 1 < self.nodes.len() {
                let (before, after) = self.nodes.split_at_mut(left + 1);
                if before[left].absorb(self.bounds.key(left), &mut after[0]) {
                    self.totals[left] += self.totals[left + 1];
                    self.remove(left + 1);
                    return;
                }
            }
        }
    }

    fn remove(&mut self, at: usize) {
        if self.bounds.len() > 0 {
            self.bounds.remove(at.saturating_sub(1));
        }
        self.totals.remove(at);
        self.nodes.remove(at);
    }
}

/// Returns where to split `len` entries of which that at `new` is new: in the middle, or beside the new one if it is the
/// last or the first, so that keys that come in order fill their nodes.
fn cut(len: usize, new: usize) -> usize {
    if new + 1 == len {
        len - 1
    } else if new == 0 {
        1
    } else {
        len / 2
    }
}

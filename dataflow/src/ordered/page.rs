//! `Page`: the keys of a node in order, each with a value.

use std::cmp::Ordering;

use super::keys::Keys;

/// Every so many keys one is looked at first in a search.
const STRIDE: usize = 8;

/// Keys in order, each with a value.
#[derive(Debug)]
pub(super) struct Page<K: Keys, V> {
    entries: Vec<(K::Slot, V)>,
    slab: K::Slab,
}

impl<K: Keys, V> Default for Page<K, V> {
    fn default() -> Self {
        Page { entries: Vec::new(), slab: K::Slab::default() }
    }
}

impl<K: Keys, V> Page<K, V> {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn key(&self, at: usize) -> &K::Key {
        K::key(&self.slab, &self.entries[at].0)
    }

    pub(super) fn value(&self, at: usize) -> &V {
        &self.entries[at].1
    }

    pub(super) fn value_mut(&mut self, at: usize) -> &mut V {
        &mut self.entries[at].1
    }

    /// Returns the values, in the order of their keys.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, value)| value)
    }

    /// Returns the place of a key, or where it would be inserted.
    #[inline]
    pub(super) fn search(&self, key: &K::Key) -> Result<usize, usize> {
        let head = match K::head_of(&self.slab, key) {
            Ok(head) => head,
            Err(Ordering::Less) => return Err(self.len()),
            Err(_) => return Err(0),
        };
        let from = self.lower(head);
        let same = self.entries[from..].iter().take_while(|(slot, _)| K::head(slot) == head).count();
        let found =
            self.entries[from..from + same].binary_search_by(|(slot, _)| K::compare_rest(&self.slab, slot, key));
        found.map(|at| from + at).map_err(|at| from + at)
    }

    /// Returns the place of the first key whose head is not less than `head`.
    #[inline]
    fn lower(&self, head: K::Head) -> usize {
        // The entries are often in no cache. Those that are read here do not depend on each other, so the memory serves
        // them together, while each step of a binary search would wait for the one before.
        let is_less = |(slot, _): &(K::Slot, V)| usize::from(K::head(slot) < head);
        let strides: usize = self.entries.iter().skip(STRIDE - 1).step_by(STRIDE).map(is_less).sum();
        let from = strides * STRIDE;
        let to = self.len().min(from + STRIDE);
        from + self.entries[from..to].iter().map(is_less).sum::<usize>()
    }

    /// Whether the page should be split if it has more than `most` keys or many bytes.
    pub(super) fn is_large(&self, most: usize) -> bool {
        self.len() > most || (self.len() > 2 && K::is_large(&self.slab))
    }

    /// Inserts a key before the one at `at`.
    pub(super) fn insert(&mut self, at: usize, key: &K::Key, value: V) {
        let slot = K::put(&mut self.slab, key, self.entries.iter_mut().map(|(slot, _)| slot));
        self.entries.insert(at, (slot, value));
    }

    /// Removes the key at `at`.
    pub(super) fn remove(&mut self, at: usize) -> V {
        let (slot, value) = self.entries.remove(at);
        K::forget(&mut self.slab, &slot);
        self.repack_if_wasteful();
        value
    }

    /// Removes the last keys, so that `len` are left.
    pub(super) fn truncate(&mut self, len: usize) {
        self.entries.drain(len..).for_each(|(slot, _)| K::forget(&mut self.slab, &slot));
        self.repack_if_wasteful();
    }

    fn repack_if_wasteful(&mut self) {
        if K::is_wasteful(&self.slab) {
            K::repack(&mut self.slab, self.entries.iter_mut().map(|(slot, _)| slot));
        }
    }

    /// Removes the keys from `at` on and returns them.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        let mut right = Page::default();
        // Room for the keys that will come, without a step in between.
        right.entries.reserve(self.entries.len());
        for (slot, value) in self.entries.drain(at..) {
            right.entries.push((K::carry(&mut self.slab, &slot, &mut right.slab), value));
        }
        K::repack(&mut self.slab, self.entries.iter_mut().map(|(slot, _)| slot));
        self.fit();
        right.fit();
        right
    }

    /// Adapts the slots to the keys.
    fn fit(&mut self) {
        if let (Some((first, _)), Some((last, _))) = (self.entries.first(), self.entries.last()) {
            let ends = [*first, *last];
            K::fit(&mut self.slab, ends, self.entries.iter_mut().map(|(slot, _)| slot));
        }
    }

    /// Appends the keys of `right`, which must be greater than all others.
    pub(super) fn append(&mut self, mut right: Self) {
        for (slot, value) in right.entries.drain(..) {
            self.entries.push((K::carry(&mut right.slab, &slot, &mut self.slab), value));
        }
        self.fit();
    }
}

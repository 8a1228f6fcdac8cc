//! `HashIndex`: finds entries by hash. It grows and shrinks a part at a time, so that no single row waits until all
//! others have been moved.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Place;

/// Number of entries from which on the index has [`PARTS`] parts.
const SPLIT: usize = 1 << 12;
/// A power of two.
const PARTS: usize = 1 << 6;
/// Number of entries for which a part always keeps its memory: the least that a table has room for.
const SMALL: usize = 3;

/// What an index holds.
pub(super) trait Entry {
    /// Returns the hash by which the entry is found.
    fn hash(&self) -> u64;
}

/// Entries by hash; several may have the same.
pub(super) struct HashIndex<E> {
    /// One part, or [`PARTS`], each with the entries whose hashes agree in some bits.
    parts: Vec<HashTable<E>>,
    /// Number of entries that were removed since memory was last given back.
    removed: usize,
}

impl<E: Entry> HashIndex<E> {
    pub(super) fn new() -> Self {
        HashIndex { parts: vec![HashTable::new()], removed: 0 }
    }

    /// Returns an empty index with room for `entries`.
    pub(super) fn with_capacity(entries: usize) -> Self {
        if entries < SPLIT {
            return HashIndex { parts: vec![HashTable::with_capacity(entries)], removed: 0 };
        }
        // Hashes spread evenly, but for an eighth at most.
        let room = entries / PARTS + entries / PARTS / 8;
        HashIndex { parts: (0..PARTS).map(|_| HashTable::with_capacity(room)).collect(), removed: 0 }
    }

    /// Returns the part with the entries that have `hash`.
    fn part(&self, hash: u64) -> usize {
        // A table of hashbrown uses the lowest and the highest bits itself.
        (hash >> 40) as usize & (self.parts.len() - 1)
    }

    /// Returns an entry with `hash` that `is` accepts.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is: impl FnMut(&E) -> bool) -> Option<&E> {
        self.parts[self.part(hash)].find(hash, |entry| entry.hash() == hash && is(entry))
    }

    /// Does the same as [`HashIndex::find`].
    pub(super) fn find_mut(&mut self, hash: u64, mut is: impl FnMut(&E) -> bool) -> Option<&mut E> {
        let part = self.part(hash);
        self.parts[part].find_mut(hash, |entry| entry.hash() == hash && is(entry))
    }

    /// Returns the entries with `hash`.
    pub(super) fn iter_hash(&self, hash: u64) -> impl Iterator<Item = &E> {
        self.parts[self.part(hash)].iter_hash(hash).filter(move |entry| entry.hash() == hash)
    }

    /// Adds an entry.
    pub(super) fn insert(&mut self, entry: E) {
        let part = self.part(entry.hash());
        self.parts[part].insert_unique(entry.hash(), entry, E::hash);
        self.split_if_full();
    }

    /// Changes an entry with `hash`, or adds a `new` one if there is none.
    pub(super) fn change_or_insert(&mut self, hash: u64, change: impl FnOnce(&mut E), new: impl FnOnce() -> E) {
        let part = self.part(hash);
        match self.parts[part].entry(hash, |entry| entry.hash() == hash, E::hash) {
            Place::Occupied(mut entry) => change(entry.get_mut()),
            Place::Vacant(place) => {
                place.insert(new());
                self.split_if_full();
            }
        }
    }

    fn split_if_full(&mut self) {
        if self.parts.len() == 1 && self.parts[0].len() == SPLIT {
            let whole = std::mem::take(&mut self.parts);
            self.parts = (0..PARTS).map(|_| HashTable::new()).collect();
            whole.into_iter().flatten().for_each(|entry| self.insert(entry));
        }
    }

    /// Removes an entry with `hash` that `is` accepts, and returns it.
    #[inline]
    pub(super) fn remove(&mut self, hash: u64, mut is: impl FnMut(&E) -> bool) -> Option<E> {
        let part = self.part(hash);
        let (entry, _) = self.parts[part].find_entry(hash, |entry| entry.hash() == hash && is(entry)).ok()?.remove();
        self.removed += 1;
        Some(entry)
    }

    /// Passes an entry with `hash`, if there is one, to `change`, and removes it if `change` returns `true`.
    pub(super) fn change_or_remove(&mut self, hash: u64, change: impl FnOnce(&mut E) -> bool) {
        let part = self.part(hash);
        if let Ok(mut entry) = self.parts[part].find_entry(hash, |entry| entry.hash() == hash)
            && change(entry.get_mut())
        {
            entry.remove();
            self.removed += 1;
        }
    }

    /// Gives back the memory of parts that have become nearly empty. Called at the end of a write: one that removes rows
    /// often adds others in their place.
    pub(super) fn give_back_memory(&mut self) {
        // A part is looked at for each entry that was removed, so that few removals cost little.
        if self.removed < self.parts.len() {
            return;
        }
        self.removed = 0;
        for part in &mut self.parts {
            if part.capacity() > SMALL && part.len() * 4 < part.capacity() {
                part.shrink_to(part.len() * 2, E::hash);
            }
        }
    }

    /// Returns the memory that the index takes, in bytes, without what entries point to.
    pub(super) fn bytes(&self) -> usize {
        self.parts.iter().map(HashTable::allocation_size).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Numbered(u64, usize);

    impl Entry for Numbered {
        fn hash(&self) -> u64 {
            self.0
        }
    }

    fn hash(number: usize) -> u64 {
        // Each hash belongs to two numbers.
        (number as u64 / 2).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[test]
    fn entries_are_found_at_every_size_and_removed_entries_take_no_memory() {
        let mut index = HashIndex::new();
        let count = 4 * SPLIT;
        for number in 0..count {
            index.insert(Numbered(hash(number), number));
            let found = index.find(hash(number / 2), |entry| entry.1 == number / 2);
            assert_eq!(found, Some(&Numbered(hash(number / 2), number / 2)));
        }
        assert_eq!(index.parts.len(), PARTS);
        assert!((0..count).all(|number| index.iter_hash(hash(number)).count() == 2));
        let full = index.bytes();
        for number in 0..count {
            assert_eq!(index.remove(hash(number), |entry| entry.1 == number), Some(Numbered(hash(number), number)));
            assert_eq!(index.remove(hash(number), |entry| entry.1 == number), None);
        }
        assert!(index.find(hash(0), |_| true).is_none());
        index.give_back_memory();
        assert!(index.bytes() * 10 < full, "{} bytes are left of {full}", index.bytes());
    }
}

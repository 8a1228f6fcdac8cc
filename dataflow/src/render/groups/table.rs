//! `IdTable`: a hash table of ids by the hash of their keys, made for looking up many at once.
//!
//! It uses open addressing with linear probing. A slot holds an id and half its hash, so that a probe almost never
//! reads the bytes of another key. A batch is looked up in passes over a block of its rows, each pass reading from one
//! place: the reads of a pass do not wait for each other, and memory serves them in parallel.

/// Sentinel for an empty slot; never a valid id.
const NONE: u32 = u32::MAX;

/// The table grows when more than this share of its slots, in eighths, is used.
const MOST_EIGHTHS: usize = 5;
const LEAST_SLOTS: usize = 16;

/// An id and the upper half of its hash; the lower half decides where its slot should be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    tag: u32,
    id: u32,
}

const EMPTY: Slot = Slot { tag: 0, id: NONE };

/// A hash table of ids.
#[derive(Debug)]
pub(super) struct IdTable {
    /// The slots; their number is a power of two.
    slots: Vec<Slot>,
    used: usize,
}

#[inline]
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl IdTable {
    /// An empty slot.
    pub(super) const NOTHING: Slot = EMPTY;

    pub(super) fn new() -> Self {
        IdTable { slots: vec![EMPTY; LEAST_SLOTS], used: 0 }
    }

    /// Returns the number of ids.
    pub(super) fn len(&self) -> usize {
        self.used
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }

    /// Returns the slot where a search for `hash` begins.
    #[inline]
    pub(super) fn first(&self, hash: u64) -> Slot {
        self.slots[self.home(hash)]
    }

    /// Returns the first id that may have this hash, given the slot where the search begins: the first with an equal
    /// tag.
    #[inline]
    pub(super) fn candidate(&self, hash: u64, first: Slot) -> Option<u32> {
        if first.tag == tag(hash) && first.id != NONE {
            return Some(first.id);
        }
        if first.id == NONE {
            return None;
        }
        self.find(hash, |_| true)
    }

    /// Returns the id with this hash for which `is_it` is true.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        loop {
            let slot = self.slots[at];
            if slot.id == NONE {
                return None;
            }
            if slot.tag == tag(hash) && is_it(slot.id) {
                return Some(slot.id);
            }
            at = self.next(at);
        }
    }

    /// Adds an id that is not in the table. `hash_of` must return the hash of any id in the table.
    pub(super) fn insert(&mut self, hash: u64, id: u32, hash_of: impl Fn(u32) -> u64) {
        if (self.used + 1) * 8 > self.slots.len() * MOST_EIGHTHS {
            self.resize(self.slots.len() * 2, hash_of);
        }
        self.place(hash, id);
        self.used += 1;
    }

    /// Removes an id that is in the table.
    pub(super) fn remove(&mut self, hash: u64, id: u32, hash_of: impl Fn(u32) -> u64) {
        let mut gap = self.home(hash);
        while self.slots[gap].id != id {
            assert!(self.slots[gap].id != NONE, "only ids that are there get removed");
            gap = self.next(gap);
        }
        // Entries that a later search could no longer reach across the gap move into it.
        let mut at = self.next(gap);
        while self.slots[at].id != NONE {
            let home = self.home(hash_of(self.slots[at].id));
            let mask = self.slots.len() - 1;
            // True if the gap lies between the entry's home and its slot.
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(gap) & mask) {
                self.slots[gap] = self.slots[at];
                gap = at;
            }
            at = self.next(at);
        }
        self.slots[gap] = EMPTY;
        self.used -= 1;
        if self.slots.len() > LEAST_SLOTS && self.used * 16 < self.slots.len() {
            self.resize(self.slots.len() / 4, hash_of);
        }
    }

    /// Returns all ids, in no particular order.
    pub(super) fn ids(&self) -> impl Iterator<Item = u32> {
        self.slots.iter().map(|slot| slot.id).filter(|id| *id != NONE)
    }

    fn place(&mut self, hash: u64, id: u32) {
        let mut at = self.home(hash);
        while self.slots[at].id != NONE {
            at = self.next(at);
        }
        self.slots[at] = Slot { tag: tag(hash), id };
    }

    fn resize(&mut self, slots: usize, hash_of: impl Fn(u32) -> u64) {
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; slots.max(LEAST_SLOTS)]);
        for slot in old.into_iter().filter(|slot| slot.id != NONE) {
            self.place(hash_of(slot.id), slot.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::Random;

    /// Compares a table with a map: keys are numbers, ids their positions in a list, and hashes collide in many ways.
    #[test]
    fn a_table_is_a_map() {
        for seed in 0..30 {
            let mut random = Random::new(seed);
            let bits = [2, 6, 20][seed as usize % 3];
            let hash = |key: usize| (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits) << (seed % 40);
            let (mut table, mut keys, mut map) = (IdTable::new(), Vec::new(), BTreeMap::new());
            for _ in 0..3000 {
                let key = random.below(200);
                let found = table.find(hash(key), |id| keys[id as usize] == key);
                assert_eq!(found, map.get(&key).copied(), "seed {seed}");
                let candidate = table.candidate(hash(key), table.first(hash(key)));
                assert!(found.is_none() || candidate.is_some(), "seed {seed}");
                let hash_of = |id: u32| hash(keys[id as usize]);
                match found {
                    None => {
                        let id = keys.len() as u32;
                        table.insert(hash(key), id, hash_of);
                        keys.push(key);
                        map.insert(key, id);
                    }
                    Some(id) if random.below(3) > 0 => {
                        table.remove(hash(key), id, hash_of);
                        map.remove(&key);
                    }
                    Some(_) => {}
                }
                assert_eq!(table.len(), map.len());
            }
            let (mut ids, mut expected): (Vec<u32>, Vec<u32>) = (table.ids().collect(), map.into_values().collect());
            ids.sort_unstable();
            expected.sort_unstable();
            assert_eq!(ids, expected, "seed {seed}");
        }
    }

    #[test]
    fn a_table_that_empties_gives_back_its_memory() {
        let mut table = IdTable::new();
        let hash = |id: u32| u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..10_000).for_each(|id| table.insert(hash(id), id, hash));
        let full = table.bytes();
        (0..9_990).for_each(|id| table.remove(hash(id), id, hash));
        assert!(table.bytes() * 50 < full, "{} of {full} bytes", table.bytes());
        assert!((9_990..10_000).all(|id| table.find(hash(id), |other| other == id) == Some(id)));
    }
}

//! `IdTable`: a hash table of ids by the hash of their keys, made for looking up many at once.
//!
//! It uses open addressing with linear probing, in parts that split one after another as the table grows. A slot holds an
//! id and half its hash. That half alone decides where an id belongs, so that slots move without a look at their keys,
//! and a probe almost never reads the bytes of another key. A batch is looked up in passes over a block of its rows, each
//! pass reading from one place: the reads of a pass do not wait for each other, and memory serves them in parallel.

use crate::spread::Spread;

/// Sentinel for an empty slot; never a valid id.
const NONE: u32 = u32::MAX;

/// Number of slots of each part, as a power of two; less while there is only one part.
const PART_BITS: u32 = if cfg!(test) { 6 } else { 12 };
const PART_SLOTS: usize = 1 << PART_BITS;
/// Number of ids of a part on average. A part that is due to be split has twice as many.
const PART_IDS: usize = PART_SLOTS * 11 / 32;
/// A part of full size grows by itself when more than this share of its slots, in eighths, is used.
const MOST_EIGHTHS: usize = 6;
/// A smaller part, which takes little memory, grows when more than one eighth is used: then nearly all ids are where the
/// search for them begins, and the processor foresees how a search goes.
const SMALL_EIGHTHS: usize = 1;
const LEAST_SLOTS: usize = 16;

/// An id and its tag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    tag: u32,
    id: u32,
}

const EMPTY: Slot = Slot { tag: 0, id: NONE };

/// A hash table of ids.
#[derive(Debug)]
pub(crate) struct IdTable {
    parts: Spread<Part>,
    used: usize,
}

/// A part of the table. The number of its slots is a power of two.
#[derive(Debug)]
struct Part {
    slots: Box<[Slot]>,
    used: usize,
}

/// Returns the half of a hash that the table uses: the lowest bits are its home in its part, the others decide on the
/// part. The other half decides on the worker that has a key, so that part of it is the same for all.
#[inline]
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl IdTable {
    /// An empty slot.
    pub(crate) const NOTHING: Slot = EMPTY;

    pub(crate) fn new() -> Self {
        IdTable { parts: Spread::new(Part::new(LEAST_SLOTS)), used: 0 }
    }

    /// Returns the number of ids.
    pub(crate) fn len(&self) -> usize {
        self.used
    }

    pub(crate) fn bytes(&self) -> usize {
        self.parts.iter().map(|part| size_of::<Part>() + part.slots.len() * size_of::<Slot>()).sum()
    }

    /// Returns the number of the part of a tag.
    #[inline(always)]
    fn number(&self, tag: u32) -> usize {
        self.parts.number(u64::from(tag >> PART_BITS))
    }

    /// Returns the slot where a search for `hash` begins.
    #[inline]
    pub(crate) fn first(&self, hash: u64) -> Slot {
        let part = self.parts.part(self.number(tag(hash)));
        part.slots[part.home(tag(hash))]
    }

    /// Returns the first id that may have this hash, given the slot where the search begins: the first with an equal
    /// tag.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64, first: Slot) -> Option<u32> {
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
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let tag = tag(hash);
        self.parts.part(self.number(tag)).find(tag, is_it)
    }

    /// Adds an id that is not in the table.
    pub(crate) fn insert(&mut self, hash: u64, id: u32) {
        if self.used >= PART_IDS * self.parts.len() {
            let from = self.parts.split(Part::new(PART_SLOTS));
            let old = std::mem::replace(self.parts.part_mut(from), Part::new(PART_SLOTS));
            self.place(&old);
        }
        let tag = tag(hash);
        let number = self.number(tag);
        self.parts.part_mut(number).insert(Slot { tag, id });
        self.used += 1;
    }

    /// Removes an id that is in the table.
    pub(crate) fn remove(&mut self, hash: u64, id: u32) {
        let tag = tag(hash);
        let number = self.number(tag);
        self.parts.part_mut(number).remove(Slot { tag, id });
        self.used -= 1;
        if 2 * self.used < PART_IDS * self.parts.len() {
            if let Some((part, _)) = self.parts.merge() {
                self.place(&part);
            } else {
                self.parts.part_mut(0).shrink();
            }
        }
    }

    /// Adds ids that are not in the table.
    fn place(&mut self, part: &Part) {
        for slot in part.slots.iter().filter(|slot| slot.id != NONE) {
            let number = self.number(slot.tag);
            self.parts.part_mut(number).insert(*slot);
        }
    }

    /// Drops a part of the table, which is no longer used; returns about how many ids it had, 0 if none are left.
    pub(crate) fn free(&mut self) -> usize {
        self.parts.free().map_or(0, |part| 1 + part.slots.len() / 64)
    }
}

impl Part {
    fn new(slots: usize) -> Self {
        Part { slots: vec![EMPTY; slots].into(), used: 0 }
    }

    /// Returns where the slot of a tag should be.
    #[inline]
    fn home(&self, tag: u32) -> usize {
        tag as usize & (self.slots.len() - 1)
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }

    #[inline]
    fn find(&self, tag: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.home(tag);
        loop {
            let slot = self.slots[at];
            if slot.id == NONE {
                return None;
            }
            if slot.tag == tag && is_it(slot.id) {
                return Some(slot.id);
            }
            at = self.next(at);
        }
    }

    fn insert(&mut self, slot: Slot) {
        let eighths = if self.slots.len() < PART_SLOTS { SMALL_EIGHTHS } else { MOST_EIGHTHS };
        if (self.used + 1) * 8 > self.slots.len() * eighths {
            self.resize(self.slots.len() * 2);
        }
        self.place(slot);
        self.used += 1;
    }

    fn remove(&mut self, slot: Slot) {
        let mut gap = self.home(slot.tag);
        while self.slots[gap].id != slot.id {
            assert!(self.slots[gap].id != NONE, "only ids that are there get removed");
            gap = self.next(gap);
        }
        // Entries that a later search could no longer reach across the gap move into it.
        let mut at = self.next(gap);
        while self.slots[at].id != NONE {
            let home = self.home(self.slots[at].tag);
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
    }

    /// Gives back memory if few slots are used.
    fn shrink(&mut self) {
        if self.slots.len() > LEAST_SLOTS && self.used * 64 < self.slots.len() {
            self.resize((self.slots.len() / 4).max(LEAST_SLOTS));
        }
    }

    fn place(&mut self, slot: Slot) {
        let mut at = self.home(slot.tag);
        while self.slots[at].id != NONE {
            at = self.next(at);
        }
        self.slots[at] = slot;
    }

    fn resize(&mut self, slots: usize) {
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; slots].into());
        for slot in old.iter().filter(|slot| slot.id != NONE) {
            self.place(*slot);
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
            let hash = |key: usize| {
                (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits) << (32 + seed % (33 - bits))
            };
            let (mut table, mut keys, mut map) = (IdTable::new(), Vec::new(), BTreeMap::new());
            for _ in 0..3000 {
                let key = random.below(200);
                let found = table.find(hash(key), |id| keys[id as usize] == key);
                assert_eq!(found, map.get(&key).copied(), "seed {seed}");
                let candidate = table.candidate(hash(key), table.first(hash(key)));
                assert!(found.is_none() || candidate.is_some(), "seed {seed}");
                match found {
                    None => {
                        let id = keys.len() as u32;
                        table.insert(hash(key), id);
                        keys.push(key);
                        map.insert(key, id);
                    }
                    Some(id) if random.below(3) > 0 => {
                        table.remove(hash(key), id);
                        map.remove(&key);
                    }
                    Some(_) => {}
                }
                assert_eq!(table.len(), map.len());
            }
            let find = |key: usize| table.find(hash(key), |id| keys[id as usize] == key);
            assert!((0..200).all(|key| find(key) == map.get(&key).copied()), "seed {seed}");
        }
    }

    /// A third of the ids of a nearly full table are elsewhere, and the processor cannot foresee which searches go on.
    #[test]
    fn the_ids_of_a_small_table_are_where_the_search_begins() {
        const IDS: u32 = 12;
        let mut elsewhere = 0;
        for seed in 0..100 {
            let mut random = Random::new(seed);
            let hashes: Vec<u64> = (0..IDS).map(|_| (random.below(1 << 32) as u64) << 32).collect();
            let mut table = IdTable::new();
            (0..IDS).for_each(|id| table.insert(hashes[id as usize], id));
            elsewhere += (0..IDS).filter(|id| table.first(hashes[*id as usize]).id != *id).count();
        }
        assert!(elsewhere * 8 < 100 * IDS as usize, "{elsewhere} of {}", 100 * IDS);
    }

    #[test]
    fn a_table_that_empties_gives_back_its_memory() {
        let mut table = IdTable::new();
        let hash = |id: u32| u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..10_000).for_each(|id| table.insert(hash(id), id));
        let full = table.bytes();
        (0..9_990).for_each(|id| table.remove(hash(id), id));
        assert!(table.bytes() * 50 < full, "{} of {full} bytes", table.bytes());
        assert!((9_990..10_000).all(|id| table.find(hash(id), |other| other == id) == Some(id)));
    }
}

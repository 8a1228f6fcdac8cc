//! Counts how often each key is present; absent keys take no space.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use smallvec::SmallVec;

use crate::Diff;
use crate::report::StateSize;

/// Key bytes; keys of one or two numbers need no allocation.
type InlineKey = SmallVec<[u8; 24]>;

struct Count {
    hash: u64,
    key: InlineKey,
    count: Diff,
}

/// Number of tables among which the keys are divided, so that none takes long to grow.
const TABLES: usize = 64;

/// A multiset of keys.
pub(super) struct Presence {
    tables: Box<[HashTable<Count>]>,
    /// Bytes of keys that are allocated outside the table.
    spilled: usize,
}

/// Whether a key became present or absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flip {
    Appeared,
    Vanished,
}

impl Default for Presence {
    fn default() -> Self {
        Presence { tables: (0..TABLES).map(|_| HashTable::new()).collect(), spilled: 0 }
    }
}

/// Returns the table of a hash, chosen by bits by which neither workers nor the places in a table are chosen.
fn table_of(hash: u64) -> usize {
    (hash >> 32) as usize % TABLES
}

impl Presence {
    pub(super) fn contains(&self, hash: u64, key: &[u8]) -> bool {
        self.tables[table_of(hash)].find(hash, |c| &c.key[..] == key).is_some_and(|c| c.count > 0)
    }

    /// Adds `diff` to a key's count; returns how its presence changed, if it did.
    pub(super) fn add(&mut self, hash: u64, key: &[u8], diff: Diff) -> Option<Flip> {
        if diff == 0 {
            return None;
        }
        let (before, after) = match self.tables[table_of(hash)].entry(hash, |c| &c.key[..] == key, |c| c.hash) {
            Entry::Vacant(vacant) => {
                let key = InlineKey::from_slice(key);
                self.spilled += if key.spilled() { key.capacity() } else { 0 };
                vacant.insert(Count { hash, key, count: diff });
                (0, diff)
            }
            Entry::Occupied(mut occupied) => {
                let before = occupied.get().count;
                occupied.get_mut().count += diff;
                if before + diff == 0 {
                    let (removed, _) = occupied.remove();
                    self.spilled -= if removed.key.spilled() { removed.key.capacity() } else { 0 };
                }
                (before, before + diff)
            }
        };
        match (before > 0, after > 0) {
            (false, true) => Some(Flip::Appeared),
            (true, false) => Some(Flip::Vanished),
            _ => None,
        }
    }

    /// Frees space when most of it is unused, in one table at most.
    pub(super) fn shrink(&mut self) {
        let unused = |table: &&mut HashTable<Count>| table.capacity() > 16 && table.len() < table.capacity() / 8;
        if let Some(table) = self.tables.iter_mut().find(unused) {
            table.shrink_to(table.len() * 2, |c| c.hash);
        }
    }

    pub(super) fn size(&self) -> StateSize {
        let (mut keys, mut bytes) = (0, self.spilled);
        for table in &self.tables {
            keys += table.len();
            bytes += table.allocation_size();
        }
        StateSize::new(keys, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_gone_take_no_space() {
        let mut presence = Presence::default();
        let keys: Vec<Vec<u8>> = (0..1000_u32).map(|i| [&i.to_be_bytes()[..], &[0; 30]].concat()).collect();
        for key in &keys {
            assert_eq!(presence.add(7, key, 2), Some(Flip::Appeared));
            assert_eq!(presence.add(7, key, -1), None);
            assert!(presence.contains(7, key));
        }
        for key in &keys {
            assert_eq!(presence.add(7, key, -1), Some(Flip::Vanished));
        }
        (0..TABLES).for_each(|_| presence.shrink());
        let size = presence.size();
        assert!(size.rows == 0 && size.bytes < 8192 && presence.spilled == 0, "{size:?}");
    }
}

//! Assigns dense ids to the keys of groups, and reuses the ids of groups that are gone.

mod keys;

use arrow::array::RecordBatch;

use crate::id_table::IdTable;
use crate::row_bytes::{EncodedRows, KeyCodec, hash_bytes};
use crate::segments::Segments;
use keys::{KeyBytes, are_equal};

/// Number of rows that are looked up together.
const BLOCK: usize = 64;

/// Groups, identified by the bytes of their keys.
pub(crate) struct Groups {
    key: KeyCodec,
    table: IdTable,
    keys: KeyBytes,
    /// Ids of removed groups, to be assigned again.
    free: Segments<u32>,
}

impl Groups {
    pub(crate) fn new(key: KeyCodec) -> Self {
        let keys = KeyBytes::new(key.codec().width());
        Groups { key, table: IdTable::new(), keys, free: Segments::default() }
    }

    /// Returns the number of groups.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Returns a number that all ids are below.
    pub(crate) fn capacity(&self) -> usize {
        self.keys.len()
    }

    /// Returns the codec of the keys.
    pub(crate) fn key(&self) -> &KeyCodec {
        &self.key
    }

    /// Sets `groups` to the group of each row of `batch`, creating groups for new keys.
    pub(crate) fn assign(&mut self, batch: &RecordBatch, groups: &mut Vec<u32>) {
        let encoded = self.key.encode(batch);
        groups.clear();
        groups.reserve(encoded.len());
        for start in (0..encoded.len()).step_by(BLOCK) {
            self.assign_block(&encoded, start..encoded.len().min(start + BLOCK), groups);
        }
    }

    /// Appends the groups of some rows, in passes: where each search begins, then which group it may be, then whether
    /// it is.
    fn assign_block(&mut self, keys: &EncodedRows, rows: std::ops::Range<usize>, groups: &mut Vec<u32>) {
        let mut hashes = [0; BLOCK];
        for (hash, row) in hashes.iter_mut().zip(rows.clone()) {
            *hash = hash_bytes(keys.row(row));
        }
        let hashes = &hashes[..rows.len()];
        let mut firsts = [IdTable::NOTHING; BLOCK];
        for (first, hash) in firsts.iter_mut().zip(hashes) {
            *first = self.table.first(*hash);
        }
        let mut candidates = [None; BLOCK];
        for ((candidate, hash), first) in candidates.iter_mut().zip(hashes).zip(firsts) {
            *candidate = self.table.candidate(*hash, first);
        }
        for ((row, hash), candidate) in rows.zip(hashes).zip(candidates) {
            let key = keys.row(row);
            // A candidate has part of the hash in common; only its key bytes prove it.
            groups.push(match candidate {
                Some(id) if are_equal(self.keys.get(id), key) => id,
                _ => self.id_of(key, *hash),
            });
        }
    }

    /// Returns the group of `key`, creating it if the key is new.
    pub(crate) fn id(&mut self, key: &[u8]) -> u32 {
        self.id_of(key, hash_bytes(key))
    }

    fn id_of(&mut self, key: &[u8], hash: u64) -> u32 {
        let keys = &self.keys;
        if let Some(id) = self.table.find(hash, |id| are_equal(keys.get(id), key)) {
            return id;
        }
        let next = u32::try_from(self.keys.len()).expect("a worker has less than 2^32 groups");
        let id = self.free.pop().unwrap_or(next);
        self.keys.set(id, key);
        self.table.insert(hash, id);
        id
    }

    /// Returns the groups of those `keys` that have one; the columns of `keys` are the key columns.
    pub(crate) fn find(&self, keys: &RecordBatch) -> Vec<u32> {
        let encoded = self.key.codec().encode(keys.columns(), keys.num_rows());
        let find = |row: usize| {
            let key = encoded.row(row);
            self.table.find(hash_bytes(key), |id| are_equal(self.keys.get(id), key))
        };
        (0..encoded.len()).filter_map(find).collect()
    }

    /// Returns the key bytes of a group.
    pub(crate) fn key_of(&self, id: u32) -> &[u8] {
        self.keys.get(id)
    }

    /// Removes a group, so that its id can be assigned again.
    pub(crate) fn remove(&mut self, id: u32) {
        self.table.remove(hash_bytes(self.keys.get(id)), id);
        self.keys.clear(id);
        self.free.push(id);
    }

    /// Drops a part of the groups, which are no longer used, about `rows` of them; returns about how many, 0 if none are
    /// left.
    pub(crate) fn discard(&mut self, rows: usize) -> usize {
        match self.keys.discard(rows) {
            0 => match self.table.free() {
                0 => self.free.free(rows),
                freed => freed,
            },
            freed => freed,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.table.bytes() + self.free.bytes() + self.keys.bytes()
    }
}

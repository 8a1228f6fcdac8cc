//! Assigns dense ids to the keys of groups, and reuses the ids of groups that are gone.

mod table;

use arrow::array::RecordBatch;

use crate::row_bytes::{EncodedRows, KeyCodec, hash_bytes};
use table::IdTable;

/// Number of rows that are looked up together.
const BLOCK: usize = 64;

/// Groups, identified by the bytes of their keys.
pub(crate) struct Groups {
    key: KeyCodec,
    table: IdTable,
    keys: KeyBytes,
    /// Ids of removed groups, to be assigned again.
    free: Vec<u32>,
}

/// Key bytes by id.
enum KeyBytes {
    /// Keys of one length, stored one after another.
    Fixed { width: usize, bytes: Vec<u8>, len: usize },
    /// Keys with an allocation each; empty for free ids.
    Each { keys: Vec<Box<[u8]>>, bytes: usize },
}

impl Groups {
    pub(crate) fn new(key: KeyCodec) -> Self {
        let keys = match key.codec().width() {
            Some(width) => KeyBytes::Fixed { width, bytes: Vec::new(), len: 0 },
            None => KeyBytes::Each { keys: Vec::new(), bytes: 0 },
        };
        Groups { key, table: IdTable::new(), keys, free: Vec::new() }
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
                Some(id) if self.keys.get(id) == key => id,
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
        if let Some(id) = self.table.find(hash, |id| keys.get(id) == key) {
            return id;
        }
        let next = u32::try_from(self.keys.len()).expect("a worker has less than 2^32 groups");
        let id = self.free.pop().unwrap_or(next);
        self.keys.set(id, key);
        let keys = &self.keys;
        self.table.insert(hash, id, |id| hash_bytes(keys.get(id)));
        id
    }

    /// Returns the groups of those `keys` that have one; the columns of `keys` are the key columns.
    pub(crate) fn find(&self, keys: &RecordBatch) -> Vec<u32> {
        let encoded = self.key.codec().encode(keys.columns(), keys.num_rows());
        let find = |row: usize| {
            let key = encoded.row(row);
            self.table.find(hash_bytes(key), |id| self.keys.get(id) == key)
        };
        (0..encoded.len()).filter_map(find).collect()
    }

    /// Returns the key bytes of a group.
    pub(crate) fn key_of(&self, id: u32) -> &[u8] {
        self.keys.get(id)
    }

    /// Removes a group, so that its id can be assigned again.
    pub(crate) fn remove(&mut self, id: u32) {
        let keys = &self.keys;
        self.table.remove(hash_bytes(keys.get(id)), id, |id| hash_bytes(keys.get(id)));
        self.keys.clear(id);
        self.free.push(id);
    }

    /// Returns the ids of all groups, ascending.
    pub(crate) fn ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.table.ids().collect();
        ids.sort_unstable();
        ids
    }

    pub(crate) fn bytes(&self) -> usize {
        let keys = match &self.keys {
            KeyBytes::Fixed { bytes, .. } => bytes.capacity(),
            KeyBytes::Each { keys, bytes } => keys.capacity() * size_of::<Box<[u8]>>() + bytes,
        };
        self.table.bytes() + self.free.capacity() * 4 + keys
    }
}

impl KeyBytes {
    /// Returns a number that all ids are below.
    fn len(&self) -> usize {
        match self {
            KeyBytes::Fixed { len, .. } => *len,
            KeyBytes::Each { keys, .. } => keys.len(),
        }
    }

    #[inline]
    fn get(&self, id: u32) -> &[u8] {
        match self {
            KeyBytes::Fixed { width, bytes, .. } => &bytes[id as usize * width..][..*width],
            KeyBytes::Each { keys, .. } => &keys[id as usize],
        }
    }

    fn set(&mut self, id: u32, key: &[u8]) {
        match self {
            KeyBytes::Fixed { width, bytes, len } => {
                let start = id as usize * *width;
                if id as usize == *len {
                    bytes.extend_from_slice(key);
                    *len += 1;
                } else {
                    bytes[start..start + *width].copy_from_slice(key);
                }
            }
            KeyBytes::Each { keys, bytes } => {
                *bytes += key.len();
                if id as usize == keys.len() {
                    keys.push(key.into());
                } else {
                    keys[id as usize] = key.into();
                }
            }
        }
    }

    fn clear(&mut self, id: u32) {
        if let KeyBytes::Each { keys, bytes } = self {
            *bytes -= keys[id as usize].len();
            keys[id as usize] = Box::default();
        }
    }
}

//! Which group has which key: dense ids given out to keys, and taken back.

use arrow::array::RecordBatch;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::row_bytes::{KeyCodec, hash_bytes};

/// Groups by the bytes of their keys.
pub(crate) struct Groups {
    key: KeyCodec,
    /// Ids; the hash and bytes of each are beside.
    table: HashTable<u32>,
    hashes: Vec<u64>,
    keys: KeyBytes,
    /// Ids to give out again.
    free: Vec<u32>,
}

/// Key bytes by id.
enum KeyBytes {
    /// All of one length, one after the other.
    Fixed { width: usize, bytes: Vec<u8> },
    /// Each on its own; empty for ids that are free.
    Each { keys: Vec<Box<[u8]>>, bytes: usize },
}

impl Groups {
    pub(crate) fn new(key: KeyCodec) -> Self {
        let keys = match key.codec().width() {
            Some(width) => KeyBytes::Fixed { width, bytes: Vec::new() },
            None => KeyBytes::Each { keys: Vec::new(), bytes: 0 },
        };
        Groups { key, table: HashTable::new(), hashes: Vec::new(), keys, free: Vec::new() }
    }

    /// Number of groups.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// All ids are below this.
    pub(crate) fn capacity(&self) -> usize {
        self.hashes.len()
    }

    /// The keys.
    pub(crate) fn key(&self) -> &KeyCodec {
        &self.key
    }

    /// The group of each row of `batch`, new ones where their keys are new.
    pub(crate) fn assign(&mut self, batch: &RecordBatch, groups: &mut Vec<u32>) {
        let encoded = self.key.encode(batch);
        groups.clear();
        groups.reserve(encoded.len());
        for row in 0..encoded.len() {
            let key = encoded.row(row);
            groups.push(self.id(key));
        }
    }

    /// The group of `key`, a new one if it is new.
    #[inline]
    pub(crate) fn id(&mut self, key: &[u8]) -> u32 {
        let hash = hash_bytes(key);
        let (hashes, keys) = (&self.hashes, &self.keys);
        let same = |id: &u32| hashes[*id as usize] == hash && keys.get(*id) == key;
        match self.table.entry(hash, same, |id| hashes[*id as usize]) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                let next = u32::try_from(hashes.len()).expect("a worker has less than 2^32 groups");
                let id = self.free.pop().unwrap_or(next);
                entry.insert(id);
                if id == next {
                    self.hashes.push(hash);
                } else {
                    self.hashes[id as usize] = hash;
                }
                self.keys.set(id, key);
                id
            }
        }
    }

    /// The group of each key of `keys`, whose columns are the key columns, where there is one.
    pub(crate) fn find(&self, keys: &RecordBatch) -> Vec<u32> {
        let encoded = self.key.codec().encode(keys.columns(), keys.num_rows());
        let find = |row: usize| {
            let key = encoded.row(row);
            let hash = hash_bytes(key);
            let same = |id: &u32| self.hashes[*id as usize] == hash && self.keys.get(*id) == key;
            self.table.find(hash, same).copied()
        };
        (0..encoded.len()).filter_map(find).collect()
    }

    /// Key bytes of a group.
    pub(crate) fn key_of(&self, id: u32) -> &[u8] {
        self.keys.get(id)
    }

    /// Takes back an id that is given out.
    pub(crate) fn remove(&mut self, id: u32) {
        let hash = self.hashes[id as usize];
        let entry = self.table.find_entry(hash, |other| *other == id);
        entry.expect("only groups there are get removed").remove();
        self.keys.clear(id);
        self.free.push(id);
        if self.table.len() * 8 < self.table.capacity() && self.table.capacity() > 1024 {
            let hashes = &self.hashes;
            self.table.shrink_to(2 * self.table.len(), |id| hashes[*id as usize]);
        }
    }

    /// All ids given out, ascending.
    pub(crate) fn ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.table.iter().copied().collect();
        ids.sort_unstable();
        ids
    }

    pub(crate) fn bytes(&self) -> usize {
        let keys = match &self.keys {
            KeyBytes::Fixed { bytes, .. } => bytes.capacity(),
            KeyBytes::Each { keys, bytes } => keys.capacity() * size_of::<Box<[u8]>>() + bytes,
        };
        self.table.allocation_size() + self.hashes.capacity() * 8 + self.free.capacity() * 4 + keys
    }
}

impl KeyBytes {
    #[inline]
    fn get(&self, id: u32) -> &[u8] {
        match self {
            KeyBytes::Fixed { width, bytes } => &bytes[id as usize * width..][..*width],
            KeyBytes::Each { keys, .. } => &keys[id as usize],
        }
    }

    fn set(&mut self, id: u32, key: &[u8]) {
        match self {
            KeyBytes::Fixed { width, bytes } => {
                let start = id as usize * *width;
                if start == bytes.len() {
                    bytes.extend_from_slice(key);
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

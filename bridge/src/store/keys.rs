//! `Keys`: the keys of a write to a keyed table, and which of its rows count if some have equal keys.

use hashbrown::HashTable;
use laminardb_dataflow::row_bytes::EncodedRows;

use super::encode::Encoder;

/// Keys of a write, with everything that can be computed without reading the table.
pub(super) struct Keys {
    pub(super) bytes: EncodedRows,
    pub(super) hashes: Vec<u64>,
    /// The rows that count, ascending, if some do not: of rows with equal keys only one wins.
    winners: Option<Vec<u32>>,
}

impl Keys {
    /// Makes keys from `bytes`; of equal keys the last row wins if `last_wins`, otherwise the first.
    pub(super) fn new(encoder: &Encoder, bytes: EncodedRows, last_wins: bool) -> Self {
        let hashes = encoder.hashes(&bytes);
        let winners = (hashes.len() > 1).then(|| winners(&bytes, &hashes, last_wins)).flatten();
        Keys { bytes, hashes, winners }
    }

    /// Makes keys from `bytes` in which every row counts, also those with equal keys.
    pub(super) fn all(encoder: &Encoder, bytes: EncodedRows) -> Self {
        Keys { hashes: encoder.hashes(&bytes), bytes, winners: None }
    }

    /// Returns the rows that count, ascending.
    pub(super) fn rows(&self) -> Vec<u32> {
        self.winners.clone().unwrap_or_else(|| (0..self.hashes.len() as u32).collect())
    }

    /// Returns, for each row, the first row with the same key.
    pub(super) fn first_of_each(&self) -> Vec<u32> {
        let mut seen: HashTable<u32> = HashTable::with_capacity(self.hashes.len());
        let mut first = Vec::with_capacity(self.hashes.len());
        for (row, hash) in self.hashes.iter().enumerate() {
            let equal = |other: &u32| {
                self.hashes[*other as usize] == *hash && self.bytes.row(*other as usize) == self.bytes.row(row)
            };
            first.push(*seen.find(*hash, equal).unwrap_or(&(row as u32)));
            if first[row] == row as u32 {
                seen.insert_unique(*hash, row as u32, |row| self.hashes[*row as usize]);
            }
        }
        first
    }

    /// Returns the first row whose key an earlier row has. The keys must have been made with the first row winning.
    pub(super) fn first_repeated(&self) -> Option<u32> {
        let winners = self.winners.as_ref()?;
        (0..self.hashes.len() as u32).find(|row| winners.binary_search(row).is_err())
    }
}

/// Returns one row of each distinct key, ascending; `None` if all keys are distinct.
fn winners(bytes: &EncodedRows, hashes: &[u64], last_wins: bool) -> Option<Vec<u32>> {
    let mut seen: HashTable<u32> = HashTable::with_capacity(hashes.len());
    let mut rows = Vec::with_capacity(hashes.len());
    for step in 0..hashes.len() {
        let row = if last_wins { hashes.len() - 1 - step } else { step };
        let equal =
            |other: &u32| hashes[*other as usize] == hashes[row] && bytes.row(*other as usize) == bytes.row(row);
        if seen.find(hashes[row], equal).is_none() {
            seen.insert_unique(hashes[row], row as u32, |row| hashes[*row as usize]);
            rows.push(row as u32);
        }
    }
    if rows.len() == hashes.len() {
        return None;
    }
    if last_wins {
        rows.reverse();
    }
    Some(rows)
}

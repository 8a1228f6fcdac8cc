//! Makes the rows that the benches process, from a fixed seed, so that every run and every candidate sees the same
//! rows.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringBuilder};

/// A random number generator, SplitMix64 (Steele, Lea, Flood 2014): small, fast, and good enough for test data.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> i64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as i64
    }

    fn integers(&mut self, rows: usize, bound: u64) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values((0..rows).map(|_| self.below(bound))))
    }

    fn strings(&mut self, rows: usize) -> ArrayRef {
        let mut strings = StringBuilder::with_capacity(rows, rows * 16);
        for _ in 0..rows {
            write!(strings, "{:016x}", self.next()).expect("writing to memory");
            strings.append_value("");
        }
        Arc::new(strings.finish())
    }

    /// Makes rows (k, v) with k below `keys`.
    pub(crate) fn pairs(&mut self, rows: usize, keys: u64) -> RecordBatch {
        batch([("k", self.integers(rows, keys)), ("v", self.integers(rows, 1 << 20))])
    }

    /// Makes rows (k, v, s) with k below `keys`; s has 16 characters, and a row takes 37 encoded bytes.
    pub(crate) fn records(&mut self, rows: usize, keys: u64) -> RecordBatch {
        batch([("k", self.integers(rows, keys)), ("v", self.integers(rows, 1 << 40)), ("s", self.strings(rows))])
    }

    /// Makes rows bid(auction, bidder, price, ts) of auctions below `auctions`.
    pub(crate) fn bids(&mut self, rows: usize, auctions: u64) -> RecordBatch {
        batch([
            ("auction", self.integers(rows, auctions)),
            ("bidder", self.integers(rows, 1 << 20)),
            ("price", self.integers(rows, 1 << 20)),
            ("ts", self.integers(rows, 1 << 40)),
        ])
    }

    /// Makes rows auction(id, item, category) with ids that count up from `first`.
    pub(crate) fn auctions(&mut self, first: i64, rows: usize) -> RecordBatch {
        let id: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + rows as i64));
        batch([("id", id), ("item", self.strings(rows)), ("category", self.integers(rows, 100))])
    }

    /// Makes rows auction(id, item, category) with random ids below `bound`.
    pub(crate) fn more_auctions(&mut self, rows: usize, bound: u64) -> RecordBatch {
        batch([
            ("id", self.integers(rows, bound)),
            ("item", self.strings(rows)),
            ("category", self.integers(rows, 100)),
        ])
    }
}

fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, values)| (name, values, true)))
        .expect("columns of one length")
}

/// Makes `rows` rows in batches of 8,192, the last one shorter. `make` receives the number of a batch's first row and
/// the number of its rows.
pub(crate) fn batches(rows: usize, mut make: impl FnMut(usize, usize) -> RecordBatch) -> Vec<RecordBatch> {
    (0..rows).step_by(8192).map(|first| make(first, 8192.min(rows - first))).collect()
}

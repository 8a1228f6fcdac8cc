//! `Consolidator`: adds up the diffs of equal rows of one time, piece by piece.
//!
//! ```text
//! batches --> all of one sign: as they are
//!         --> else: row bytes, looked up in a table of first occurrences --> rows whose diffs do not add up to 0
//! ```

use std::collections::VecDeque;

use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use crate::id_table::IdTable;
use crate::row_bytes::{EncodedRows, RowCodec, hash_bytes};
use crate::segments::Segments;
use crate::update::PerRow;
use crate::{Diff, Time, UpdateBatch};

/// Adds up the diffs of equal rows, one time after another.
pub(crate) struct Consolidator {
    schema: SchemaRef,
    codec: Option<RowCodec>,
    /// Batches of which not all rows have been added up or returned.
    batches: VecDeque<UpdateBatch>,
    /// Number of rows of the first batch that have been added up.
    taken: usize,
    /// Number of rows of `batches` that have not been added up or returned.
    rows: usize,
    /// Whether the first row of the time is inserted, not removed.
    inserts: bool,
    /// Whether some rows of the time are inserted and others removed.
    is_mixed: bool,
    net: Net,
}

/// What has been added up of a time.
#[derive(Default)]
struct Net {
    pieces: VecDeque<Piece>,
    /// The first occurrences of rows, by the hashes of the rows. `None` until rows are added up.
    first: Option<IdTable>,
    /// For each row that has been added up, the sum of the diffs of the rows equal to it if it is the first of them, and
    /// the number of its piece.
    rows: Segments<(Diff, u32)>,
}

/// Rows that have been added up together.
struct Piece {
    batch: UpdateBatch,
    encoded: EncodedRows,
    /// How many rows come before these.
    start: usize,
}

/// What [`Consolidator::next`] returns.
#[derive(Debug)]
pub(crate) enum Netted {
    /// Netted rows.
    Rows(UpdateBatch),
    /// Nothing yet: rows have been added up, or those looked at had no net change.
    Working,
    /// There is no more of this time.
    Done,
}

impl Consolidator {
    /// Returns a consolidator of rows of this schema.
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Consolidator {
            schema,
            codec: None,
            batches: VecDeque::new(),
            taken: 0,
            rows: 0,
            inserts: true,
            is_mixed: false,
            net: Net::default(),
        }
    }

    /// Adds updates of the current time. All updates of a time must be added before the first call of
    /// [`Consolidator::next`].
    pub(crate) fn add(&mut self, batch: UpdateBatch) {
        if batch.is_empty() {
            return;
        }
        if self.batches.is_empty() {
            self.inserts = batch.diffs.at(0) > 0;
            self.is_mixed = false;
        }
        let agrees = |diff: &Diff| (*diff > 0) == self.inserts;
        self.is_mixed |= !match &batch.diffs {
            PerRow::Same(diff) => agrees(diff),
            PerRow::Each(diffs) => self.is_mixed || diffs.iter().all(agrees),
        };
        self.rows += batch.len();
        self.batches.push_back(batch);
    }

    /// Returns about how many rows are left to be added up or returned; 0 only if the current time is done.
    pub(crate) fn left(&self) -> usize {
        let pieces: usize = self.net.pieces.iter().map(|piece| piece.batch.len()).sum();
        (self.rows + pieces).max(usize::from(self.net.first.is_some()))
    }

    /// Processes about `rows` rows of the current time `time` and returns what this gave. After [`Netted::Done`] the
    /// next time can be added.
    ///
    /// Rows stay in the order of their first occurrence. If all rows are inserted, or all removed, the batches are
    /// returned as they came, however many rows they have: a large load is not copied here.
    pub(crate) fn next(&mut self, time: Time, rows: usize) -> Netted {
        if !self.is_mixed {
            let Some(batch) = self.batches.pop_front() else { return Netted::Done };
            self.rows -= batch.len();
            return Netted::Rows(batch);
        }
        if let Some(piece) = self.take_piece(time, rows) {
            self.rows -= piece.len();
            self.add_up(piece);
            // A short time is done at once.
            if self.rows > 0 || self.net.rows.len() > rows {
                return Netted::Working;
            }
        }
        self.netted(time, rows)
    }

    /// Takes about `rows` rows that have not been added up.
    fn take_piece(&mut self, time: Time, rows: usize) -> Option<UpdateBatch> {
        let first = self.batches.front()?;
        if first.len() > rows {
            let len = rows.min(first.len() - self.taken);
            let piece = first.slice(self.taken, len);
            self.taken += len;
            if self.taken == first.len() {
                self.batches.pop_front();
                self.taken = 0;
            }
            return Some(piece);
        }
        let mut taken = vec![self.batches.pop_front()?];
        let mut len = taken[0].len();
        while let Some(next) = self.batches.front()
            && len + next.len() <= rows
        {
            len += next.len();
            taken.extend(self.batches.pop_front());
        }
        Some(self.concatenate(time, taken))
    }

    fn concatenate(&self, time: Time, mut batches: Vec<UpdateBatch>) -> UpdateBatch {
        if batches.len() == 1 {
            return batches.swap_remove(0);
        }
        let rows = concat_batches(&self.schema, batches.iter().map(|b| &b.rows)).expect("batches of one view");
        let diffs = batches.iter().flat_map(|b| (0..b.len()).map(|row| b.diffs.at(row))).collect();
        UpdateBatch { rows, times: PerRow::Same(time), diffs: PerRow::from_vec(diffs) }
    }

    fn add_up(&mut self, batch: UpdateBatch) {
        let codec = self.codec.get_or_insert_with(|| {
            let types = self.schema.fields().iter().map(|f| f.data_type().clone()).collect();
            RowCodec::new(types, 0).expect("the plan was checked for types without row bytes")
        });
        let encoded = codec.encode(batch.rows.columns(), batch.len());
        self.net.add(Piece { batch, encoded, start: self.net.rows.len() });
    }

    /// Returns what is left of the next pieces with about `rows` rows.
    fn netted(&mut self, time: Time, rows: usize) -> Netted {
        let (mut looked, mut parts) = (0, Vec::new());
        while looked < rows
            && let Some(piece) = self.net.pieces.pop_front()
        {
            looked += piece.batch.len();
            parts.extend(self.net.left_of(&piece));
        }
        if looked == 0 && self.net.free(rows) {
            return Netted::Working;
        }
        if looked == 0 {
            self.net = Net::default();
            self.is_mixed = false;
            return Netted::Done;
        }
        if parts.is_empty() { Netted::Working } else { Netted::Rows(self.concatenate(time, parts)) }
    }
}

impl Net {
    fn add(&mut self, piece: Piece) {
        let number = u32::try_from(self.pieces.len()).expect("a time has less than 2^32 rows");
        let (start, len) = (piece.start, piece.batch.len());
        self.pieces.push_back(piece);
        let (pieces, rows) = (&self.pieces, &mut self.rows);
        let first = self.first.get_or_insert_with(IdTable::new);
        for at in start..start + len {
            let piece = &pieces[number as usize];
            let (bytes, diff) = (piece.encoded.row(at - start), piece.batch.diffs.at(at - start));
            let hash = hash_bytes(bytes);
            let bytes_of = |id: u32| {
                let piece = &pieces[rows[id as usize].1 as usize];
                piece.encoded.row(id as usize - piece.start)
            };
            if let Some(id) = first.find(hash, |id| bytes_of(id) == bytes) {
                rows[id as usize].0 += diff;
                rows.push((0, number));
                continue;
            }
            let id = u32::try_from(at).ok().filter(|id| *id != u32::MAX).expect("a time has less than 2^32 rows");
            first.insert(hash, id);
            rows.push((diff, number));
        }
    }

    /// Drops about `rows` rows; returns whether more may be left.
    fn free(&mut self, rows: usize) -> bool {
        let mut freed = 0;
        while freed < rows {
            let more = match self.first.as_mut().map_or(0, IdTable::free) {
                0 => self.rows.free(rows),
                more => more,
            };
            if more == 0 {
                return false;
            }
            freed += more;
        }
        true
    }

    /// Returns the rows of a piece whose diffs do not add up to 0, with the sums, if there are any.
    fn left_of(&self, piece: &Piece) -> Option<UpdateBatch> {
        let net = |row: &usize| self.rows[piece.start + row].0;
        let kept: Vec<usize> = (0..piece.batch.len()).filter(|row| net(row) != 0).collect();
        if kept.is_empty() {
            return None;
        }
        let rows: Vec<u32> = kept.iter().map(|row| *row as u32).collect();
        let mut netted = piece.batch.take(&rows);
        netted.diffs = PerRow::from_vec(kept.iter().map(net).collect());
        Some(netted)
    }
}

#[cfg(test)]
mod tests;

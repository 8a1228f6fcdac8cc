//! `Bag`: the rows of a table without a primary key. Equal rows may occur several times; a delete removes any one of
//! them. The index that finds rows is built at the first delete, since many tables never see one.

use std::sync::Arc;

use arrow::array::RecordBatch;
use laminardb_dataflow::Diffs;
use laminardb_dataflow::row_bytes::EncodedRows;

use super::delta::Delta;
use super::heap::{Heap, HeapChange, RowRef};
use super::index::{Entry, HashIndex};
use super::layout::RelationLayout;
use crate::error::Error;

/// The rows of a table without a primary key.
pub(super) struct Bag {
    layout: Arc<RelationLayout>,
    heap: Heap,
    /// One slot for each hash: the rows that have it are nearly always equal rows.
    index: Option<HashIndex<Slot>>,
}

/// A hash and where the rows are that have it.
pub(super) struct Slot {
    hash: u64,
    positions: RowRefs,
}

impl Entry for Slot {
    fn hash(&self) -> u64 {
        self.hash
    }
}

/// Where one row or several rows are.
pub(super) enum RowRefs {
    One(RowRef),
    /// Those of several rows; never empty.
    Many(Vec<RowRef>),
}

impl RowRefs {
    fn as_slice(&self) -> &[RowRef] {
        match self {
            RowRefs::One(position) => std::slice::from_ref(position),
            RowRefs::Many(positions) => positions,
        }
    }

    fn push(&mut self, position: RowRef) {
        match self {
            RowRefs::One(first) => *self = RowRefs::Many(vec![*first, position]),
            RowRefs::Many(positions) => positions.push(position),
        }
    }

    /// Removes the row at `at`, unless it is the only one; returns whether it is.
    fn swap_remove(&mut self, at: usize) -> bool {
        match self {
            RowRefs::Many(positions) if positions.len() > 1 => {
                positions.swap_remove(at);
                false
            }
            _ => true,
        }
    }
}

fn add(index: &mut HashIndex<Slot>, hash: u64, position: RowRef) {
    let new = || Slot { hash, positions: RowRefs::One(position) };
    index.change_or_insert(hash, |slot| slot.positions.push(position), new);
}

/// Removes `position` from the index, which must contain it; fast for positions that were added late.
fn remove(index: &mut HashIndex<Slot>, hash: u64, position: RowRef) {
    let mut is_removed = false;
    index.change_or_remove(hash, |slot| {
        let at = slot.positions.as_slice().iter().rposition(|other| *other == position);
        is_removed = at.is_some();
        at.is_some_and(|at| slot.positions.swap_remove(at))
    });
    assert!(is_removed, "every row is in the index");
}

/// Removes the position that was added last of those of `hash`, and returns it.
fn take_last(index: &mut HashIndex<Slot>, hash: u64) -> Option<RowRef> {
    let mut taken = None;
    index.change_or_remove(hash, |slot| {
        let positions = slot.positions.as_slice();
        taken = positions.last().copied();
        let last = positions.len() - 1;
        slot.positions.swap_remove(last)
    });
    taken
}

/// Removes all positions in `segment` of rows with these hashes, in one pass over each slot: a table may hold one row a
/// million times.
fn forget_segment(index: &mut HashIndex<Slot>, segment: u32, hashes: &[u64]) {
    let mut hashes = hashes.to_vec();
    hashes.sort_unstable();
    hashes.dedup();
    for hash in hashes {
        let Some(slot) = index.find_mut(hash, |_| true) else { continue };
        if let RowRefs::Many(positions) = &mut slot.positions {
            positions.retain(|position| position.segment != segment);
        }
        let gone = match &slot.positions {
            RowRefs::One(position) => position.segment == segment,
            RowRefs::Many(positions) => positions.is_empty(),
        };
        if gone {
            index.remove(hash, |_| true);
        }
    }
}

/// Describes one write, with enough detail to undo it.
pub(super) enum BagUndo {
    Inserted(Vec<RowRef>),
    Deleted(Vec<(u64, RowRef)>),
    Truncated(Box<(Heap, Option<HashIndex<Slot>>)>),
}

impl BagUndo {
    /// Returns what the write changed in the heap.
    pub(super) fn change(&mut self) -> HeapChange<'_> {
        match self {
            BagUndo::Inserted(positions) => HeapChange::Rows(positions.iter().map(|new| (None, Some(*new))).collect()),
            BagUndo::Deleted(taken) => HeapChange::Rows(taken.iter().map(|(_, old)| (Some(*old), None)).collect()),
            BagUndo::Truncated(state) => HeapChange::Replaced(&mut state.0),
        }
    }
}

impl Bag {
    pub(super) fn new(layout: Arc<RelationLayout>) -> Self {
        Bag { heap: Heap::new(Arc::clone(&layout.spec.schema)), layout, index: None }
    }

    /// Adds rows.
    pub(super) fn insert(&mut self, batch: &RecordBatch) -> (Delta, BagUndo) {
        let rows = batch.num_rows() as u64;
        let positions = self.heap.push(batch);
        if let Some(index) = &mut self.index {
            let hashes = self.layout.row.hashes(&self.layout.row.encode(batch));
            hashes.into_iter().zip(&positions).for_each(|(hash, position)| add(index, hash, *position));
        }
        let changes = if rows == 0 { Vec::new() } else { vec![(batch.clone(), Diffs::Same(1))] };
        (Delta { changes, given: rows, changed: rows }, BagUndo::Inserted(positions))
    }

    /// Whether rows can be found without building the index first.
    pub(super) fn has_index(&self) -> bool {
        self.index.is_some()
    }

    /// Builds the index if there is none.
    fn build_index(&mut self) {
        if self.index.is_some() {
            return;
        }
        let mut index = HashIndex::with_capacity(self.heap.rows());
        let mut positions = self.heap.positions().into_iter();
        for rows in self.heap.scan().iter() {
            let hashes = self.layout.row.hashes(&self.layout.row.encode(&rows));
            hashes.into_iter().zip(positions.by_ref()).for_each(|(hash, position)| add(&mut index, hash, position));
        }
        self.index = Some(index);
    }

    /// Removes one equal row for each given row; if one does not exist, removes nothing and fails.
    pub(super) fn delete(&mut self, batch: &RecordBatch) -> Result<(Delta, BagUndo), Error> {
        if batch.num_rows() == 0 {
            return Ok((Delta::default(), BagUndo::Deleted(Vec::new())));
        }
        self.build_index();
        let bytes = self.layout.row.encode(batch);
        let hashes = self.layout.row.hashes(&bytes);
        let (taken, old) = match self.take_all(&bytes, &hashes) {
            Ok(taken) => taken,
            Err((taken, row)) => {
                self.give_back(&taken);
                let values = batch.columns().iter().map(|column| crate::ingest::display(column, row));
                let values: Vec<String> = values.collect();
                return Err(Error::IngestionFailed(format!(
                    "cannot delete row {row} from table {}: no such row ({})",
                    self.layout.spec.name,
                    values.join(", ")
                )));
            }
        };
        taken.iter().for_each(|(_, position)| self.heap.delete(*position));
        let rows = taken.len() as u64;
        Ok((Delta { changes: vec![(old, Diffs::Same(-1))], given: rows, changed: rows }, BagUndo::Deleted(taken)))
    }

    /// Removes a position of an equal row from the index for each given row. If a row does not exist, the error holds
    /// what was removed before it and the index of that row.
    fn take_all(
        &mut self,
        bytes: &EncodedRows,
        hashes: &[u64],
    ) -> Result<(Vec<(u64, RowRef)>, RecordBatch), (Vec<(u64, RowRef)>, usize)> {
        let index = self.index.as_mut().expect("made before");
        let mut taken: Vec<(u64, RowRef)> = Vec::with_capacity(hashes.len());
        for &hash in hashes {
            let Some(position) = take_last(index, hash) else { break };
            taken.push((hash, position));
        }
        // Rows are compared in bulk: different rows with one hash are rare, and `take_colliding` handles them.
        let old = self.fetch(&taken);
        let old_bytes = self.layout.row.encode(&old);
        let same = |row: usize| old_bytes.row(row) == bytes.row(row);
        if (0..taken.len()).all(same) {
            // The loop stops at the first row whose hash has no slot left: that row is missing.
            return if taken.len() == hashes.len() { Ok((taken, old)) } else { Err((taken.clone(), taken.len())) };
        }
        self.give_back(&taken);
        self.take_colliding(bytes, hashes)
    }

    /// Does the same when different rows share a hash: compares every candidate.
    fn take_colliding(
        &mut self,
        bytes: &EncodedRows,
        hashes: &[u64],
    ) -> Result<(Vec<(u64, RowRef)>, RecordBatch), (Vec<(u64, RowRef)>, usize)> {
        let mut taken = Vec::with_capacity(hashes.len());
        for (row, &hash) in hashes.iter().enumerate() {
            let index = self.index.as_ref().expect("made before");
            let slot = index.find(hash, |_| true);
            let candidates = slot.map_or(&[][..], |slot| slot.positions.as_slice());
            let equal = |position: &&RowRef| {
                let old = self.layout.row.encode(&self.heap.gather(std::slice::from_ref(*position)));
                old.row(0) == bytes.row(row)
            };
            let Some(&position) = candidates.iter().rev().find(equal) else { return Err((taken, row)) };
            remove(self.index.as_mut().expect("made before"), hash, position);
            taken.push((hash, position));
        }
        let old = self.fetch(&taken);
        Ok((taken, old))
    }

    /// Returns the rows that were taken out of the index.
    fn fetch(&self, taken: &[(u64, RowRef)]) -> RecordBatch {
        let positions: Vec<RowRef> = taken.iter().map(|(_, position)| *position).collect();
        self.heap.gather(&positions)
    }

    /// Puts back what was taken out of the index.
    fn give_back(&mut self, taken: &[(u64, RowRef)]) {
        let index = self.index.as_mut().expect("what was taken out of it goes back");
        taken.iter().rev().for_each(|(hash, position)| add(index, *hash, *position));
    }

    /// Removes all rows.
    pub(super) fn truncate(&mut self) -> (Delta, BagUndo) {
        let changes = self.heap.scan().iter().map(|rows| (rows, Diffs::Same(-1))).collect();
        let rows = self.heap.rows() as u64;
        let heap = std::mem::replace(&mut self.heap, Heap::new(Arc::clone(&self.layout.spec.schema)));
        let undo = BagUndo::Truncated(Box::new((heap, self.index.take())));
        (Delta { changes, given: rows, changed: rows }, undo)
    }

    /// Undoes a write; all later writes must have been undone before.
    pub(super) fn undo(&mut self, undo: BagUndo) {
        match undo {
            BagUndo::Inserted(positions) => {
                if let Some(index) = &mut self.index
                    && !positions.is_empty()
                {
                    let rows = self.heap.gather(&positions);
                    let hashes = self.layout.row.hashes(&self.layout.row.encode(&rows));
                    hashes
                        .into_iter()
                        .zip(&positions)
                        .rev()
                        .for_each(|(hash, position)| remove(index, hash, *position));
                }
                positions.into_iter().for_each(|position| self.heap.delete(position));
            }
            BagUndo::Deleted(taken) => {
                if !taken.is_empty() {
                    self.give_back(&taken);
                }
                taken.into_iter().for_each(|(_, position)| self.heap.restore(position));
            }
            BagUndo::Truncated(state) => (self.heap, self.index) = *state,
        }
    }

    /// Compacts sparse segments and the index; earlier writes cannot be undone afterwards.
    pub(super) fn settle(&mut self) {
        while let Some((segment, _, rows)) = self.heap.next_sparse() {
            let new = self.heap.push(&rows);
            if let Some(index) = &mut self.index {
                let hashes = self.layout.row.hashes(&self.layout.row.encode(&rows));
                forget_segment(index, segment, &hashes);
                hashes.into_iter().zip(new).for_each(|(hash, position)| add(index, hash, position));
            }
            // Released last, so that `push` cannot reuse the segment while the index still names it.
            self.heap.release(segment);
        }
        if let Some(index) = &mut self.index {
            index.give_back_memory();
        }
    }

    pub(super) fn heap(&mut self) -> &mut Heap {
        &mut self.heap
    }

    pub(super) fn rows(&self) -> usize {
        self.heap.rows()
    }

    pub(super) fn bytes(&self) -> usize {
        self.heap.bytes() + self.index.as_ref().map_or(0, HashIndex::bytes)
    }
}

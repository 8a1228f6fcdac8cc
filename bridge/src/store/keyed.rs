//! `Keyed`: the rows of a table with a primary key. The index maps the hash of a key to the position of its row; the
//! key itself is read from the row, so it is stored only once.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use laminardb_dataflow::Diffs;
use laminardb_dataflow::row_bytes::EncodedRows;

use super::delta::{Conflict, Delta};
use super::heap::{Heap, HeapChange, RowRef};
use super::index::{Entry, HashIndex};
use super::keys::Keys;
use super::layout::RelationLayout;
use crate::error::Error;

/// The rows of a keyed table.
pub(super) struct Keyed {
    layout: Arc<RelationLayout>,
    heap: Heap,
    /// More than one slot has a hash if different keys share it.
    index: HashIndex<Slot>,
}

/// The hash of a key and where its row is.
pub(super) struct Slot {
    hash: u64,
    position: RowRef,
}

impl Entry for Slot {
    fn hash(&self) -> u64 {
        self.hash
    }
}

/// Describes one write, with enough detail to undo it.
pub(super) enum KeyedUndo {
    Moves(Vec<Move>),
    Truncated(Box<(Heap, HashIndex<Slot>)>),
}

impl KeyedUndo {
    /// Returns what the write changed in the heap.
    pub(super) fn change(&mut self) -> HeapChange<'_> {
        match self {
            KeyedUndo::Moves(moves) => HeapChange::Rows(moves.iter().map(|step| (step.old, step.new)).collect()),
            KeyedUndo::Truncated(state) => HeapChange::Replaced(&mut state.0),
        }
    }
}

/// Change of one key's row: its position before and after the write.
pub(super) struct Move {
    hash: u64,
    old: Option<RowRef>,
    new: Option<RowRef>,
}

/// Rows of a write whose key already exists in the table.
#[derive(Default)]
struct Matches {
    /// For each match, the row of the write and the position in the table, ascending by row.
    at: Vec<(u32, RowRef)>,
    /// The table's rows, in the order of `at`, and their bytes, or those of their keys; `None` if there are no matches.
    old: Option<(RecordBatch, EncodedRows)>,
}

/// Which bytes of the rows that are found are needed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Keys,
    Rows,
}

impl Matches {
    /// Returns the bytes of the table's row of match `i`, or of its key.
    fn bytes(&self, i: usize) -> &[u8] {
        let (_, bytes) = self.old.as_ref().expect("there are matches");
        bytes.row(i)
    }

    /// Whether the table's row of match `i` has the key of the write's row. The bytes of a row begin with those of its
    /// key, and no value's bytes are a prefix of another value's, so a common prefix means equal key columns.
    fn has_key(&self, i: usize, keys: &Keys) -> bool {
        self.bytes(i).starts_with(keys.bytes.row(self.at[i].0 as usize))
    }
}

impl Keyed {
    pub(super) fn new(layout: Arc<RelationLayout>) -> Self {
        Keyed { heap: Heap::new(Arc::clone(&layout.spec.schema)), layout, index: HashIndex::new() }
    }

    /// Finds the table's rows with the keys of the given rows of a write.
    fn find(&self, keys: &Keys, rows: &[u32], need: Need) -> Matches {
        let mut first = Vec::with_capacity(rows.len());
        for &row in rows {
            if let Some(slot) = self.index.find(keys.hashes[row as usize], |_| true) {
                first.push((row, slot.position));
            }
        }
        // Rows are compared in bulk: different keys with one hash are rare, and `find_colliding` handles them.
        let matches = self.fetch(first, need);
        if (0..matches.at.len()).all(|i| matches.has_key(i, keys)) {
            return matches;
        }
        self.find_colliding(keys, rows, need)
    }

    /// Does the same when different keys share a hash: compares every candidate.
    fn find_colliding(&self, keys: &Keys, rows: &[u32], need: Need) -> Matches {
        let mut at = Vec::new();
        for &row in rows {
            let hash = keys.hashes[row as usize];
            let candidates = self.index.iter_hash(hash);
            let candidates = self.fetch(candidates.map(|slot| (row, slot.position)).collect(), Need::Keys);
            let found = (0..candidates.at.len()).find(|&i| candidates.has_key(i, keys));
            at.extend(found.map(|i| candidates.at[i]));
        }
        self.fetch(at, need)
    }

    fn fetch(&self, at: Vec<(u32, RowRef)>, need: Need) -> Matches {
        if at.is_empty() {
            return Matches::default();
        }
        let positions: Vec<RowRef> = at.iter().map(|(_, position)| *position).collect();
        let old = self.heap.gather(&positions);
        let bytes = match need {
            Need::Keys => self.layout.key.encode(&old),
            Need::Rows => self.layout.row.encode(&old),
        };
        Matches { at, old: Some((old, bytes)) }
    }

    /// Returns the rows of `keys` whose key exists, ascending, and the table's rows for them.
    pub(super) fn lookup(&self, keys: &Keys) -> (Vec<u32>, RecordBatch) {
        let matches = self.find(keys, &keys.rows(), Need::Keys);
        let rows = matches.old.map(|(rows, _)| rows);
        let rows = rows.unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(&self.layout.spec.schema)));
        (matches.at.into_iter().map(|(row, _)| row).collect(), rows)
    }

    /// Stores rows; `conflict` decides what happens to rows whose key exists.
    pub(super) fn insert(
        &mut self,
        batch: &RecordBatch,
        keys: &Keys,
        conflict: Conflict,
    ) -> Result<(Delta, KeyedUndo), Error> {
        if conflict == Conflict::Refuse
            && let Some(row) = keys.first_repeated()
        {
            return Err(self.duplicate(batch, row));
        }
        let rows = keys.rows();
        let need = if conflict == Conflict::Replace { Need::Rows } else { Need::Keys };
        let matches = self.find(keys, &rows, need);
        let (stored, replaced) = match conflict {
            Conflict::Refuse => match matches.at.first() {
                Some((row, _)) => return Err(self.duplicate(batch, *row)),
                None => (rows, Vec::new()),
            },
            Conflict::Keep => (without(rows, matches.at.iter().map(|(row, _)| *row)), Vec::new()),
            Conflict::Replace => {
                let unchanged = self.unchanged(batch, &matches);
                let replaced = (0..matches.at.len()).filter(|i| !unchanged[*i]).map(|i| i as u32).collect();
                let same = matches.at.iter().enumerate().filter(|(i, _)| unchanged[*i]).map(|(_, (row, _))| *row);
                (without(rows, same), replaced)
            }
        };
        Ok(self.store(batch, keys, &stored, &matches, &replaced))
    }

    /// Returns, for each match, whether the write's row equals the table's, whose bytes must have been found.
    fn unchanged(&self, batch: &RecordBatch, matches: &Matches) -> Vec<bool> {
        if matches.at.is_empty() {
            return Vec::new();
        }
        let rows: Vec<u32> = matches.at.iter().map(|(row, _)| *row).collect();
        let bytes = self.layout.row.encode(&pick(batch, &rows));
        (0..rows.len()).map(|i| bytes.row(i) == matches.bytes(i)).collect()
    }

    /// Stores the rows `stored` of the batch, replacing the matches `replaced`.
    fn store(
        &mut self,
        batch: &RecordBatch,
        keys: &Keys,
        stored: &[u32],
        matches: &Matches,
        replaced: &[u32],
    ) -> (Delta, KeyedUndo) {
        let mut delta = Delta { given: batch.num_rows() as u64, changed: stored.len() as u64, ..Delta::default() };
        if let Some((old, _)) = &matches.old
            && !replaced.is_empty()
        {
            delta.changes.push((pick(old, replaced), Diffs::Same(-1)));
        }
        if stored.is_empty() {
            return (delta, KeyedUndo::Moves(Vec::new()));
        }
        let new = pick(batch, stored);
        // `stored` and `replaced` are both ascending by row, so one pass pairs them.
        let mut replaced = replaced.iter().map(|i| matches.at[*i as usize]).peekable();
        let mut moves = Vec::with_capacity(stored.len());
        for (row, position) in stored.iter().zip(self.heap.push(&new)) {
            let old = replaced.next_if(|(matched, _)| matched == row).map(|(_, position)| position);
            moves.push(Move { hash: keys.hashes[*row as usize], old, new: Some(position) });
        }
        moves.iter().for_each(|step| self.shift(step.hash, step.old, step.new));
        delta.changes.push((new, Diffs::Same(1)));
        (delta, KeyedUndo::Moves(moves))
    }

    /// Updates the index and the heap for a key's row that moves from `old`, if it existed, to `new`, if it still does.
    fn shift(&mut self, hash: u64, old: Option<RowRef>, new: Option<RowRef>) {
        let index = &mut self.index;
        match (old, new) {
            (Some(old), Some(new)) => {
                let slot = index.find_mut(hash, |slot| slot.position == old).expect("every row is in the index");
                slot.position = new;
            }
            (Some(old), None) => {
                index.remove(hash, |slot| slot.position == old).expect("every row is in the index");
            }
            (None, Some(position)) => index.insert(Slot { hash, position }),
            (None, None) => {}
        }
        if let Some(old) = old {
            self.heap.delete(old);
        }
    }

    /// Removes the rows with these keys; absent keys are skipped.
    pub(super) fn delete(&mut self, keys: &Keys) -> (Delta, KeyedUndo) {
        let matches = self.find(keys, &keys.rows(), Need::Keys);
        let given = keys.hashes.len() as u64;
        let mut delta = Delta { given, changed: matches.at.len() as u64, ..Delta::default() };
        let mut moves = Vec::with_capacity(matches.at.len());
        for (row, position) in &matches.at {
            let hash = keys.hashes[*row as usize];
            self.shift(hash, Some(*position), None);
            moves.push(Move { hash, old: Some(*position), new: None });
        }
        delta.changes.extend(matches.old.map(|(old, _)| (old, Diffs::Same(-1))));
        (delta, KeyedUndo::Moves(moves))
    }

    /// Removes all rows.
    pub(super) fn truncate(&mut self) -> (Delta, KeyedUndo) {
        let changes = self.heap.scan().iter().map(|rows| (rows, Diffs::Same(-1))).collect();
        let rows = self.heap.rows() as u64;
        let heap = std::mem::replace(&mut self.heap, Heap::new(Arc::clone(&self.layout.spec.schema)));
        let index = std::mem::replace(&mut self.index, HashIndex::new());
        (Delta { changes, given: rows, changed: rows }, KeyedUndo::Truncated(Box::new((heap, index))))
    }

    /// Undoes a write; all later writes must have been undone before.
    pub(super) fn undo(&mut self, undo: KeyedUndo) {
        match undo {
            KeyedUndo::Moves(moves) => {
                for step in moves.into_iter().rev() {
                    // `shift` then points the index at the restored row and deletes the new one.
                    if let Some(old) = step.old {
                        self.heap.restore(old);
                    }
                    self.shift(step.hash, step.new, step.old);
                }
            }
            KeyedUndo::Truncated(state) => (self.heap, self.index) = *state,
        }
    }

    /// Compacts sparse segments and the index; earlier writes cannot be undone afterwards.
    pub(super) fn settle(&mut self) {
        self.index.give_back_memory();
        while let Some((segment, old, rows)) = self.heap.next_sparse() {
            let hashes = self.layout.key.hashes(&self.layout.key.encode(&rows));
            let new = self.heap.push(&rows);
            for ((hash, old), new) in hashes.into_iter().zip(old).zip(new) {
                let slot = self.index.find_mut(hash, |slot| slot.position == old);
                slot.expect("every row is in the index").position = new;
            }
            // Released last, so that `push` cannot reuse the segment while the index still names it.
            self.heap.release(segment);
        }
    }

    /// Makes the error for a key that exists or is given twice.
    fn duplicate(&self, batch: &RecordBatch, row: u32) -> Error {
        let spec = &self.layout.spec;
        let key = spec.primary_key.iter().map(|&column| {
            let value = crate::ingest::display(batch.column(column), row as usize);
            format!("{} = {value}", spec.schema.field(column).name())
        });
        let key: Vec<String> = key.collect();
        Error::ConstraintViolated(format!("duplicate key in table {}: {}", spec.name, key.join(", ")))
    }

    pub(super) fn heap(&mut self) -> &mut Heap {
        &mut self.heap
    }

    pub(super) fn rows(&self) -> usize {
        self.heap.rows()
    }

    pub(super) fn bytes(&self) -> usize {
        self.heap.bytes() + self.index.bytes()
    }
}

/// Removes `gone` from `rows`; both must be ascending.
fn without(mut rows: Vec<u32>, gone: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut gone = gone.peekable();
    rows.retain(|row| gone.next_if_eq(row).is_none());
    rows
}

/// Returns the given rows of a batch; `rows` must be ascending and distinct.
fn pick(batch: &RecordBatch, rows: &[u32]) -> RecordBatch {
    if rows.len() == batch.num_rows() {
        return batch.clone();
    }
    if let [row] = rows {
        return batch.slice(*row as usize, 1);
    }
    take_record_batch(batch, &UInt32Array::from(rows.to_vec())).expect("rows are in the batch")
}

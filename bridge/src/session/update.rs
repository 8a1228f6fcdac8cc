//! `Session::update`: changes the given columns of the rows of a keyed table whose keys are given.
//!
//! No other write comes between finding the rows and writing them, so none is lost.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::{concat_batches, interleave};
use arrow::error::ArrowError;
use laminardb_dataflow::RelationId;

use super::Session;
use crate::batch::with_columns;
use crate::commit::Write;
use crate::error::Error;
use crate::ingest::{self, PartialRows};
use crate::relation::Operation;
use crate::store::{Finder, RelationLayout};

impl Session {
    /// Changes rows of a keyed table in one write and returns their number: of each row whose key is given, the other
    /// columns that are given with it. Keys that are not there are skipped. Of several rows for one key, the last that
    /// gives a column decides it. Columns are matched by name and cast without loss; the call fails if the relation is
    /// no keyed table, if a key column is missing or if a value does not fit.
    pub fn update(&self, table: &str, data: &[RecordBatch]) -> Result<u64, Error> {
        self.write_named(table, |session, relation| {
            let layout = self.database.committer.frozen(|frozen| frozen.layout(relation));
            let layout = layout.ok_or_else(|| Error::Dropped(table.to_owned()))?;
            layout.spec().kind.check(Operation::Upsert, &layout.spec().name)?;
            let changes = Changes::new(relation, layout, data)?;
            let (committer, rows) = (&self.database.committer, changes.keys.num_rows());
            let make = |finder: &Finder<'_>| changes.writes(finder);
            let written = committer.commit_found(session.actor(), relation, rows, true, &session.cancel, make);
            self.database.ended_as(written)
        })
    }
}

/// The rows given to an update, as the relation stores them.
struct Changes {
    relation: RelationId,
    layout: Arc<RelationLayout>,
    batches: Vec<PartialRows>,
    /// The keys of all rows.
    keys: RecordBatch,
    /// Where each row is: its batch and its place there.
    places: Vec<(usize, usize)>,
}

impl Changes {
    fn new(relation: RelationId, layout: Arc<RelationLayout>, data: &[RecordBatch]) -> Result<Self, Error> {
        let spec = layout.spec();
        let (mut batches, mut keys, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (at, batch) in data.iter().enumerate() {
            keys.push(ingest::conform_key(batch, spec, layout.key_schema(), places.len())?);
            batches.push(ingest::conform_given(batch, spec, places.len())?);
            places.extend((0..batch.num_rows()).map(|row| (at, row)));
        }
        let keys = concat_batches(layout.key_schema(), &keys).map_err(internal)?;
        Ok(Changes { relation, layout, batches, keys, places })
    }

    /// Returns the write of the rows as they become, and their number.
    fn writes(&self, finder: &Finder<'_>) -> Result<(Vec<Write>, u64), Error> {
        let (matched, old) = finder.find(self.relation, &self.keys)?;
        // Rows with one key are given the same old row; the first of them stands for all.
        let first_of = self.layout.first_of_each_key(&self.keys);
        let mut rows: Vec<usize> = Vec::new();
        let mut position_of = vec![None; self.keys.num_rows()];
        let mut given = Vec::with_capacity(matched.len());
        for (place, row) in matched.iter().enumerate() {
            let first = first_of[*row as usize] as usize;
            let position = *position_of[first].get_or_insert_with(|| {
                rows.push(place);
                rows.len() - 1
            });
            given.push((position, self.places[*row as usize]));
        }
        let columns = (0..old.num_columns()).map(|column| self.column(column, old.column(column), &rows, &given));
        let columns = columns.collect::<Result<_, Error>>()?;
        let new = with_columns(&self.layout.spec().schema, columns, rows.len());
        let count = rows.len() as u64;
        // Written also when nothing is there to change, so that a transaction that is closed meanwhile is an error.
        Ok((vec![Write { relation: self.relation, operation: Operation::Upsert, rows: vec![new] }], count))
    }

    /// Returns one column of the rows as they become: `rows` has the place of each in `old`, and `given` the row and
    /// the place of each value given for it, in the order in which they count.
    fn column(
        &self,
        column: usize,
        old: &ArrayRef,
        rows: &[usize],
        given: &[(usize, (usize, usize))],
    ) -> Result<ArrayRef, Error> {
        let mut sources: Vec<&dyn Array> = vec![old.as_ref()];
        let mut source_of = vec![None; self.batches.len()];
        if !self.layout.spec().primary_key.contains(&column) {
            for (at, batch) in self.batches.iter().enumerate() {
                if let Some(values) = &batch[column] {
                    source_of[at] = Some(sources.len());
                    sources.push(values.as_ref());
                }
            }
        }
        let mut picked: Vec<(usize, usize)> = rows.iter().map(|place| (0, *place)).collect();
        for (position, (batch, row)) in given {
            if let Some(source) = source_of[*batch] {
                picked[*position] = (source, *row);
            }
        }
        interleave(&sources, &picked).map_err(internal)
    }
}

fn internal(error: ArrowError) -> Error {
    Error::Internal(error.to_string())
}

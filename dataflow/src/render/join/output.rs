//! Decodes pairs of row bytes to the output columns of a join: only what is needed is decoded.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};

use crate::DataflowError;
use crate::arrangement::chunk::UpdateColumns;
use crate::arrangement::cursor::{UpdateRef, locate};
use crate::arrangement::{ArrangementTime, Batch, Layout};
use crate::fuel::PIECE_ROWS;
use crate::plan::JoinColumn;
use crate::update::PerRow;
use crate::{Diff, UpdateBatch};

/// The part of an arrangement's rows that is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Nothing,
    Key,
    Value,
    Row,
}

impl Part {
    fn of(key: bool, value: bool) -> Self {
        match (key, value) {
            (false, false) => Part::Nothing,
            (true, false) => Part::Key,
            (false, true) => Part::Value,
            (true, true) => Part::Row,
        }
    }

    fn bytes<T: ArrangementTime>(self, updates: &UpdateColumns<T>, row: usize) -> &[u8] {
        match self {
            Part::Nothing => &[],
            Part::Key => updates.key(row),
            Part::Value => updates.value(row),
            Part::Row => updates.row(row),
        }
    }

    /// Decodes the rows of one side: each distinct row once, if enough of them are repeated.
    fn decode_rows<'a, T: ArrangementTime>(self, layout: &Layout, rows: &mut SideRows<'a, T>) -> Vec<ArrayRef> {
        if self == Part::Nothing {
            return Vec::new();
        }
        let bytes = |at: &Located<'a, T>| self.bytes(at.0, at.1);
        // With few repetitions, decoding every row is cheaper than copying decoded ones.
        if rows.distinct.len() * 2 > rows.indices.len() {
            return self.decode(layout, rows.indices.iter().map(|row| bytes(&rows.distinct[*row as usize])));
        }
        let columns = self.decode(layout, rows.distinct.iter().map(bytes));
        let indices = UInt32Array::from(std::mem::take(&mut rows.indices));
        columns.iter().map(|column| take(column, &indices, None).expect("the indices are in range")).collect()
    }

    fn decode<'a>(self, layout: &Layout, rows: impl Iterator<Item = &'a [u8]>) -> Vec<ArrayRef> {
        match self {
            Part::Nothing => Vec::new(),
            Part::Key => layout.key().codec().decode(rows),
            Part::Value => layout.value().decode(rows),
            Part::Row => layout.row().decode(rows),
        }
    }
}

/// Where an output column comes from: a position among the decoded columns, those of the left side before the right.
type Source = usize;

/// Decodes pairs of rows.
#[derive(Debug)]
pub(super) struct PairDecoder {
    left: Arc<Layout>,
    right: Arc<Layout>,
    left_part: Part,
    right_part: Part,
    sources: Vec<Source>,
    schema: SchemaRef,
}

impl PairDecoder {
    pub(super) fn new(
        left: &Arc<Layout>,
        right: &Arc<Layout>,
        output: &[JoinColumn],
        schema: &SchemaRef,
    ) -> Result<Self, DataflowError> {
        let any = |wanted: fn(&JoinColumn) -> bool| output.iter().any(wanted);
        // The keys are equal, so that of the left side is used.
        let left_part = Part::of(any(|c| matches!(c, JoinColumn::Key(_))), any(|c| matches!(c, JoinColumn::Left(_))));
        let right_part = Part::of(false, any(|c| matches!(c, JoinColumn::Right(_))));
        let key_columns = if left_part == Part::Row { left.key_width() } else { 0 };
        let left_columns = match left_part {
            Part::Nothing => 0,
            Part::Key => left.key_width(),
            Part::Value => left.value().types().len(),
            Part::Row => left.row().types().len(),
        };
        let source = |column: &JoinColumn| match column {
            JoinColumn::Key(i) => *i,
            JoinColumn::Left(i) => key_columns + i,
            JoinColumn::Right(i) => left_columns + i,
        };
        let decoder = PairDecoder {
            sources: output.iter().map(source).collect(),
            left: Arc::clone(left),
            right: Arc::clone(right),
            left_part,
            right_part,
            schema: Arc::clone(schema),
        };
        decoder.check(output)?;
        Ok(decoder)
    }

    /// Checks that the output columns exist and have the types of the schema.
    fn check(&self, output: &[JoinColumn]) -> Result<(), DataflowError> {
        let data_type = |column: &JoinColumn| -> Option<&DataType> {
            match column {
                JoinColumn::Key(i) => self.left.key().codec().types().get(*i),
                JoinColumn::Left(i) => self.left.value().types().get(*i),
                JoinColumn::Right(i) => self.right.value().types().get(*i),
            }
        };
        let fits = output.len() == self.schema.fields().len()
            && output.iter().zip(self.schema.fields()).all(|(c, field)| data_type(c) == Some(field.data_type()));
        let message = || format!("join columns {output:?} do not make up {:?}", self.schema);
        if fits { Ok(()) } else { Err(DataflowError::MalformedPlan(message())) }
    }

    /// Returns the number of bytes that are decoded for all pairs of these rows.
    fn bytes<T: ArrangementTime>(&self, left: &[Located<'_, T>], right: &[Located<'_, T>]) -> usize {
        let sum = |part: Part, rows: &[Located<'_, T>]| -> usize {
            if part == Part::Nothing {
                0
            } else {
                rows.iter().map(|(updates, row)| part.bytes(updates, *row).len()).sum()
            }
        };
        sum(self.left_part, left) * right.len() + sum(self.right_part, right) * left.len()
    }

    fn decode<T: ArrangementTime>(&self, pairs: usize, sides: &mut [SideRows<'_, T>; 2]) -> RecordBatch {
        let [left, right] = sides;
        let mut columns = self.left_part.decode_rows(&self.left, left);
        columns.extend(self.right_part.decode_rows(&self.right, right));
        let columns = self.sources.iter().map(|source| Arc::clone(&columns[*source])).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(pairs));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .expect("the columns were checked against the schema")
    }
}

/// Maximum number of rows in an output batch.
const OUTPUT_ROWS: usize = PIECE_ROWS;
/// Maximum number of row bytes decoded for an output batch of more than one row.
const OUTPUT_BYTES: usize = 1 << 26;

/// The columns that hold an update, and its row in them.
type Located<'a, T> = (&'a UpdateColumns<T>, usize);

/// An update of one side.
pub(super) type SideUpdate<T> = (UpdateRef, T, Diff);

/// Updates of one side, and the batches to which they refer.
#[derive(Clone, Copy)]
pub(super) struct Updates<'a, 'u, T: ArrangementTime> {
    pub(super) batches: &'a [Batch<T>],
    pub(super) updates: &'u [SideUpdate<T>],
}

impl<T: ArrangementTime> Updates<'_, '_, T> {
    fn halves(self) -> [Self; 2] {
        let (front, back) = self.updates.split_at(self.updates.len() / 2);
        [front, back].map(|updates| Updates { batches: self.batches, updates })
    }
}

/// The rows of one side of several pairs.
struct SideRows<'a, T> {
    distinct: Vec<Located<'a, T>>,
    /// Position of each pair's row among the distinct rows.
    indices: Vec<u32>,
}

/// Collects pairs, and decodes them when they make up a batch.
pub(super) struct OutputBuilder<'a, T> {
    decoder: &'a PairDecoder,
    sides: [SideRows<'a, T>; 2],
    times: Vec<T>,
    diffs: Vec<Diff>,
    bytes: usize,
    output: Vec<UpdateBatch<T>>,
}

fn index(position: usize) -> u32 {
    u32::try_from(position).expect("batches have less than 2^32 rows")
}

impl<'a, T: ArrangementTime> OutputBuilder<'a, T> {
    pub(super) fn new(decoder: &'a PairDecoder) -> Self {
        let sides = [(); 2].map(|()| SideRows { distinct: Vec::new(), indices: Vec::new() });
        OutputBuilder { decoder, sides, times: Vec::new(), diffs: Vec::new(), bytes: 0, output: Vec::new() }
    }

    /// Adds all pairs of an update of the left side with one of the right, which must not be more than fit into a batch;
    /// if `compare`, only those with equal keys.
    pub(super) fn cross(&mut self, left: Updates<'a, '_, T>, right: Updates<'a, '_, T>, compare: bool) {
        let pairs = left.updates.len() * right.updates.len();
        if self.times.len() + pairs > OUTPUT_ROWS {
            self.flush();
        }
        let first = [0, 1].map(|side| self.sides[side].distinct.len());
        for (side, of) in self.sides.iter_mut().zip([left, right]) {
            side.distinct.extend(of.updates.iter().map(|(update, _, _)| locate(of.batches, *update)));
        }
        let [lefts, rights] = [0, 1].map(|side| &self.sides[side].distinct[first[side]..]);
        let bytes = self.decoder.bytes(lefts, rights);
        if bytes > OUTPUT_BYTES && pairs > 1 {
            self.sides.iter_mut().zip(first).for_each(|(side, first)| side.distinct.truncate(first));
            let [l, r] = [left.halves(), right.halves()];
            if left.updates.len() > right.updates.len() {
                l.into_iter().for_each(|half| self.cross(half, right, compare));
            } else {
                r.into_iter().for_each(|half| self.cross(left, half, compare));
            }
            return;
        }
        let [left_side, right_side] = &mut self.sides;
        for (i, (_, time, diff)) in left.updates.iter().enumerate() {
            let before = self.times.len();
            let (columns, row) = left_side.distinct[first[0] + i];
            for (j, (_, right_time, right_diff)) in right.updates.iter().enumerate() {
                let position = first[1] + j;
                let equal = || columns.key(row) == right_side.distinct[position].0.key(right_side.distinct[position].1);
                if !compare || equal() {
                    right_side.indices.push(index(position));
                    self.times.push(time.join(right_time));
                    self.diffs.push(diff * right_diff);
                }
            }
            left_side.indices.extend(std::iter::repeat_n(index(first[0] + i), self.times.len() - before));
        }
        self.bytes += bytes;
        if self.bytes > OUTPUT_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.times.is_empty() {
            self.output.push(UpdateBatch {
                rows: self.decoder.decode(self.times.len(), &mut self.sides),
                times: PerRow::from_vec(std::mem::take(&mut self.times)),
                diffs: PerRow::from_vec(std::mem::take(&mut self.diffs)),
            });
        }
        for side in &mut self.sides {
            side.distinct.clear();
            side.indices.clear();
        }
        self.bytes = 0;
    }

    /// Returns the batches.
    pub(super) fn finish(mut self) -> Vec<UpdateBatch<T>> {
        self.flush();
        self.output
    }
}

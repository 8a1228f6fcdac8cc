//! Decodes pairs of row bytes to the output columns of a join: only what is needed is decoded.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};

use crate::DataflowError;
use crate::arrangement::chunk::UpdateColumns;
use crate::arrangement::{ArrangementTime, Layout};
use crate::plan::JoinColumn;

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

    /// Decodes rows among which neighbours are often the same row, which is then decoded once.
    fn decode_shared<'a, T: ArrangementTime>(
        self,
        layout: &Layout,
        rows: impl ExactSizeIterator<Item = (&'a UpdateColumns<T>, usize)>,
    ) -> Vec<ArrayRef> {
        if self == Part::Nothing {
            return Vec::new();
        }
        let mut distinct: Vec<&[u8]> = Vec::with_capacity(rows.len());
        let mut indices: Vec<u32> = Vec::with_capacity(rows.len());
        let mut last = None;
        for (updates, row) in rows {
            let at = Some((std::ptr::from_ref(updates), row));
            if at != last {
                distinct.push(self.bytes(updates, row));
                last = at;
            }
            indices.push(u32::try_from(distinct.len() - 1).expect("batches have less than 2^32 rows"));
        }
        // With few repetitions, decoding every row is cheaper than copying decoded ones.
        if distinct.len() * 2 > indices.len() {
            return self.decode(layout, indices.iter().map(|row| distinct[*row as usize]));
        }
        let indices = UInt32Array::from(indices);
        let columns = self.decode(layout, distinct.into_iter());
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

/// A row of each side.
pub(super) type Pair<'a, T> = ((&'a UpdateColumns<T>, usize), (&'a UpdateColumns<T>, usize));

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

    /// Returns the number of bytes that are decoded for a pair.
    pub(super) fn bytes<T: ArrangementTime>(&self, pair: &Pair<'_, T>) -> usize {
        let ((left, i), (right, j)) = pair;
        self.left_part.bytes(left, *i).len() + self.right_part.bytes(right, *j).len()
    }

    pub(super) fn decode<T: ArrangementTime>(&self, pairs: &[Pair<'_, T>]) -> RecordBatch {
        let mut columns = self.left_part.decode_shared(&self.left, pairs.iter().map(|(left, _)| *left));
        columns.extend(self.right_part.decode_shared(&self.right, pairs.iter().map(|(_, right)| *right)));
        let columns = self.sources.iter().map(|source| Arc::clone(&columns[*source])).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(pairs.len()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .expect("the columns were checked against the schema")
    }
}

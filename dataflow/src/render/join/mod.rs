//! Inner join of two arrangements.
//!
//! ```text
//! left arrangement --\
//!                     join: pairs of rows with equal keys, decoded to the output columns
//! right arrangement -/
//! ```
//!
//! The driver decides which batches meet; a matcher finds the rows with equal key hashes, and the pairs are decoded
//! straight from the bytes of the chunks. The output is not consolidated: equal rows that come from several batches are
//! sent one by one. A residual condition is a filter after the join.

mod driver;
mod matcher;
mod output;

use std::rc::Rc;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::trace::TraceReader;
use timely::dataflow::Stream;

use crate::arrangement::{ArrangementTime, Batch, Layout};
use crate::plan::JoinColumn;
use crate::work::Work;
use crate::{DataflowError, UpdateBatch};

use output::PairDecoder;

/// Describes how rows of two arrangements become rows of their join.
#[derive(Debug)]
pub(crate) struct JoinLayout {
    decoder: PairDecoder,
}

impl JoinLayout {
    /// Describes the join of arrangements with these layouts and output columns, whose names are in `schema`. Fails if
    /// the keys or the columns do not fit each other.
    pub(crate) fn new(
        left: &Arc<Layout>,
        right: &Arc<Layout>,
        output: &[JoinColumn],
        schema: &SchemaRef,
    ) -> Result<Self, DataflowError> {
        let (left_key, right_key) = (left.key().codec().types(), right.key().codec().types());
        if left_key != right_key {
            let message = format!("join of keys of types {left_key:?} and {right_key:?}");
            return Err(DataflowError::MalformedPlan(message));
        }
        Ok(JoinLayout { decoder: PairDecoder::new(left, right, output, schema)? })
    }
}

/// Returns all pairs of rows with equal keys; an empty key pairs every row with every row of the other side.
pub(crate) fn join<'scope, T, Left, Right>(
    left: Arranged<'scope, Left>,
    right: Arranged<'scope, Right>,
    layout: JoinLayout,
    work: Rc<Work>,
) -> Stream<'scope, T, UpdateBatch<T>>
where
    T: ArrangementTime,
    Left: TraceReader<Time = T, Batch = Batch<T>> + 'static,
    Right: TraceReader<Time = T, Batch = Batch<T>> + 'static,
{
    driver::drive(left, right, layout.decoder, work)
}

#[cfg(test)]
mod tests;

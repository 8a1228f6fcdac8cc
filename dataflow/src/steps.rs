//! Applies filters and projections to a batch.
//!
//! A row on which any expression fails is dropped and recorded with its first failure, in the order of the steps and
//! their columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::{filter, prep_null_mask_filter};
use arrow::datatypes::SchemaRef;

use crate::failure::{FailureUpdate, failure};
use crate::plan::{Step, named_text};
use crate::update::build_rows;
use crate::{RowError, Scalar, UpdateBatch};

/// Returns the rows that pass all `steps`, or `None` if there are none, and appends the failures to `failed`.
pub(crate) fn apply(steps: &[Step], mut batch: UpdateBatch, failed: &mut Vec<FailureUpdate>) -> Option<UpdateBatch> {
    for step in steps {
        batch = match step {
            Step::Filter(predicate) => select(predicate, batch, failed),
            Step::Project { columns, schema } => project(columns, schema, batch, failed),
        };
        if batch.is_empty() {
            return None;
        }
    }
    Some(batch)
}

/// Returns the rows on which `predicate` is true, and appends the failures to `failed`.
fn select(predicate: &Arc<dyn Scalar>, batch: UpdateBatch, failed: &mut Vec<FailureUpdate>) -> UpdateBatch {
    let evaluated = predicate.evaluate(&batch.rows);
    report(predicate.as_ref(), &evaluated.errors, &batch, failed);
    // Failed rows are NULL, and NULL is not true.
    let keep = true_only(evaluated.values.as_boolean());
    if keep.true_count() == batch.len() {
        return batch;
    }
    batch.filter(&keep)
}

fn project(
    columns: &[Arc<dyn Scalar>],
    schema: &SchemaRef,
    batch: UpdateBatch,
    failed: &mut Vec<FailureUpdate>,
) -> UpdateBatch {
    let mut values: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    let mut keep: Option<Vec<bool>> = None;
    for column in columns {
        if let Some(position) = column.column() {
            values.push(Arc::clone(batch.rows.column(position)));
            continue;
        }
        let evaluated = column.evaluate(&batch.rows);
        if !evaluated.errors.is_empty() {
            let kept = keep.get_or_insert_with(|| vec![true; batch.len()]);
            // A row that failed in an earlier column has been reported.
            let first: Vec<RowError> = evaluated.errors.into_iter().filter(|e| kept[e.row]).collect();
            report(column.as_ref(), &first, &batch, failed);
            first.iter().for_each(|e| kept[e.row] = false);
        }
        values.push(evaluated.values);
    }
    let Some(keep) = keep else {
        let rows = build_rows(schema, values, batch.len());
        return UpdateBatch { rows, times: batch.times, diffs: batch.diffs };
    };
    let keep = BooleanArray::from(keep);
    let values = values.iter().map(|v| filter(v, &keep).expect("the mask has the batch's length")).collect();
    UpdateBatch {
        rows: build_rows(schema, values, keep.true_count()),
        times: batch.times.filter(&keep),
        diffs: batch.diffs.filter(&keep),
    }
}

fn report(scalar: &dyn Scalar, errors: &[RowError], batch: &UpdateBatch, failed: &mut Vec<FailureUpdate>) {
    for error in errors {
        let text = named_text(scalar.text(), &batch.rows.schema());
        let failure = failure(&text, error.message.clone(), &batch.rows, error.row);
        failed.push((failure, batch.times.at(error.row), batch.diffs.at(error.row)));
    }
}

/// Turns NULL into false.
fn true_only(mask: &BooleanArray) -> BooleanArray {
    if mask.null_count() == 0 {
        return mask.clone();
    }
    prep_null_mask_filter(mask)
}

//! `SemiJoinLayout`: what a semi or anti join reads, and what its rows look like.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use crate::DataflowError;
use crate::arrangement::Layout;
use crate::plan::SemiJoinKind;

/// Describes the inputs and the output of a semi or anti join.
#[derive(Clone, Debug)]
pub(crate) struct SemiJoinLayout {
    pub(super) left: Arc<Layout>,
    /// The keys of the right side, without values.
    pub(super) right: Arc<Layout>,
    pub(super) kind: SemiJoinKind,
    pub(super) schema: SchemaRef,
}

impl SemiJoinLayout {
    /// Selects the rows of an arrangement with layout `left` by the presence of the columns `right_key` in a collection
    /// with schema `right`; the output has the schema `schema`. Fails if the keys or the schema do not fit.
    pub(crate) fn new(
        left: &Arc<Layout>,
        right: &Schema,
        right_key: &[usize],
        kind: SemiJoinKind,
        schema: &SchemaRef,
    ) -> Result<Self, DataflowError> {
        let right = Layout::new(right, right_key, &[])?;
        let (left_types, right_types) = (left.key().codec().types(), right.key().codec().types());
        if left_types != right_types {
            let message = format!("semi join of keys of types {left_types:?} and {right_types:?}");
            return Err(DataflowError::MalformedPlan(message));
        }
        if !schema.fields().iter().map(|f| f.data_type()).eq(left.row().types()) {
            let message = format!("rows of types {:?} are not under {schema:?}", left.row().types());
            return Err(DataflowError::MalformedPlan(message));
        }
        Ok(SemiJoinLayout { left: Arc::clone(left), right, kind, schema: Arc::clone(schema) })
    }
}

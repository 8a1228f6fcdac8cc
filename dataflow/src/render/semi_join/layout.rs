//! `SemiJoinLayout`: what a semi or anti join reads, and what its rows look like.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::DataflowError;
use crate::arrangement::Layout;
use crate::plan::SemiJoinKind;
use crate::row_bytes::KeyCodec;

/// Describes the inputs and the output of a semi or anti join.
#[derive(Clone, Debug)]
pub(crate) struct SemiJoinLayout {
    pub(super) left: Arc<Layout>,
    pub(super) right_key: Arc<KeyCodec>,
    pub(super) kind: SemiJoinKind,
    pub(super) schema: SchemaRef,
}

impl SemiJoinLayout {
    /// Selects the rows of an arrangement with layout `left` by the presence of `right_key`; the output has the schema
    /// `schema`. Fails if the keys or the schema do not fit.
    pub(crate) fn new(
        left: &Arc<Layout>,
        right_key: &Arc<KeyCodec>,
        kind: SemiJoinKind,
        schema: &SchemaRef,
    ) -> Result<Self, DataflowError> {
        let (left_types, right_types) = (left.key().codec().types(), right_key.codec().types());
        if left_types != right_types {
            let message = format!("semi join of keys of types {left_types:?} and {right_types:?}");
            return Err(DataflowError::MalformedPlan(message));
        }
        if !schema.fields().iter().map(|f| f.data_type()).eq(left.row().types()) {
            let message = format!("rows of types {:?} are not under {schema:?}", left.row().types());
            return Err(DataflowError::MalformedPlan(message));
        }
        let (left, right_key) = (Arc::clone(left), Arc::clone(right_key));
        Ok(SemiJoinLayout { left, right_key, kind, schema: Arc::clone(schema) })
    }
}

//! Checks, in debug builds, the batches on the edges between operators.

use arrow::datatypes::SchemaRef;
use timely::container::NoopBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Operator;

use crate::update::{PerRow, UpdateStream};
use crate::{Time, UpdateBatch};

/// Passes `updates` on. Debug builds assert of every batch that it has the schema of its edge, is not empty, has as
/// many times and diffs as rows, has no zero diff, and has no time before the one at which it was sent.
pub(crate) fn checked<'s>(updates: UpdateStream<'s>, name: &'static str, schema: SchemaRef) -> UpdateStream<'s> {
    if !cfg!(debug_assertions) {
        return updates;
    }
    updates.unary::<NoopBuilder<UpdateBatch>, _, _, _>(Pipeline, "Check", move |_, _| {
        move |input, output| {
            input.for_each(|capability, batch| {
                let sent_at = capability.stamp().least().copied().expect("batches are sent at a time");
                check_batch(batch, name, &schema, sent_at);
                output.session_with_builder(&capability).give_container(batch);
            });
        }
    })
}

fn check_batch(batch: &UpdateBatch, name: &str, schema: &SchemaRef, sent_at: Time) {
    assert!(batch.rows.schema_ref() == schema, "{name} sends rows of schema {} for {schema}", batch.rows.schema());
    assert!(!batch.is_empty(), "{name} sends an empty batch");
    if let PerRow::Each(times) = &batch.times {
        assert!(times.len() == batch.len(), "{name} sends {} times for {} rows", times.len(), batch.len());
    }
    if let PerRow::Each(diffs) = &batch.diffs {
        assert!(diffs.len() == batch.len(), "{name} sends {} diffs for {} rows", diffs.len(), batch.len());
    }
    for row in 0..batch.len() {
        assert!(batch.times.at(row) >= sent_at, "{name} sends an update of a time before its capability");
        assert!(batch.diffs.at(row) != 0, "{name} sends an update of nothing");
    }
}

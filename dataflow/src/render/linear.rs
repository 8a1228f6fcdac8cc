//! Filters and projections: vectorised, without state.
//!
//! ```text
//! rows --steps--> rows
//! ```

use arrow::datatypes::SchemaRef;
use timely::container::NoopBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use super::aside::Aside;
use crate::UpdateBatch;
use crate::plan::Step;
use crate::steps::apply;
use crate::update::UpdateStream;

/// Applies `steps` to every batch; the result has the schema `schema`.
pub(crate) fn linear<'s>(
    input: UpdateStream<'s>,
    steps: Vec<Step>,
    schema: SchemaRef,
    aside: Aside,
) -> UpdateStream<'s> {
    let mut builder = OperatorBuilder::new("Linear".to_owned(), input.scope());
    let mut input = builder.new_input(input, Pipeline);
    // Without state the operator has nothing to do when its frontier advances.
    builder.set_notify_for(0, FrontierInterest::Never);
    let (output, stream) = builder.new_output();
    let mut output = OutputBuilder::<_, NoopBuilder<UpdateBatch>>::from(output);
    builder.build(move |_| {
        move |_| {
            let mut output = output.activate();
            input.for_each(|capability, batch| {
                let batch = std::mem::take(batch);
                aside.work.received(batch.len());
                let mut failed = Vec::new();
                let passed = aside.work.tank().process_all(batch.len(), || apply(&steps, batch, &mut failed));
                if let Some(out) = passed {
                    let mut out = out.with_schema(&schema);
                    aside.work.sent(out.len());
                    output.session_with_builder(&capability).give_container(&mut out);
                }
                aside.failed(&mut failed);
            });
        }
    });
    stream
}

//! UNION ALL: the sum of several streams.

use std::rc::Rc;

use arrow::datatypes::SchemaRef;
use timely::container::NoopBuilder;
use timely::dataflow::Scope;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use crate::update::UpdateStream;
use crate::work::Work;
use crate::{Time, UpdateBatch};

/// Merges all updates of `inputs` into one stream with the schema `schema`.
pub(crate) fn union<'s>(
    scope: Scope<'s, Time>,
    inputs: Vec<UpdateStream<'s>>,
    schema: SchemaRef,
    work: Rc<Work>,
) -> UpdateStream<'s> {
    let mut builder = OperatorBuilder::new("Union".to_owned(), scope);
    let mut inputs: Vec<_> = inputs.into_iter().map(|input| builder.new_input(input, Pipeline)).collect();
    // Without state the operator has nothing to do when its frontiers advance.
    for position in 0..inputs.len() {
        builder.set_notify_for(position, FrontierInterest::Never);
    }
    let (output, stream) = builder.new_output();
    let mut output = OutputBuilder::<_, NoopBuilder<UpdateBatch>>::from(output);
    builder.build(move |_| {
        move |_| {
            let mut output = output.activate();
            for input in &mut inputs {
                input.for_each(|capability, batch| {
                    let mut batch = std::mem::take(batch).with_schema(&schema);
                    work.received(batch.len());
                    work.tank().touched(batch.len());
                    work.sent(batch.len());
                    output.session_with_builder(&capability).give_container(&mut batch);
                });
            }
        }
    });
    stream
}

//! Builds the operators of a shared index on one worker.

use std::rc::Rc;

use timely::dataflow::Scope;

use super::context::Context;
use super::{Built, node};
use crate::Time;
use crate::arrangement::{Layout, Trace, arrange};
use crate::failure::Failures;
use crate::frontier::track;
use crate::fuel::Fuel;
use crate::plan::IndexPlan;

/// An index on one worker.
pub(crate) struct RenderedIndex {
    pub(crate) built: Built,
    pub(crate) trace: Trace,
    pub(crate) failures: Failures,
}

/// Builds the dataflow of an index over contents as of `opening`.
pub(crate) fn render(index: &IndexPlan, scope: Scope<'_, Time>, opening: Time, fuel: Rc<Fuel>) -> RenderedIndex {
    let mut context = Context::new(scope, &index.plan, opening, fuel);
    let rows = node(&mut context, index.plan.output.node);
    let work = context.work("index");
    let layout = Layout::new(index.plan.schema(), &index.key, &index.value).expect("the plan was checked");
    let arranged = arrange(rows, &layout, "Index", work);
    let frontiers = vec![track(arranged.stream, |_| {})];
    let Context { inputs, work, failures, fuel, .. } = context;
    let built = Built { inputs, frontiers, traces: Vec::new(), sizes: Vec::new(), frees: Vec::new(), work, fuel };
    RenderedIndex { built, trace: arranged.trace, failures }
}

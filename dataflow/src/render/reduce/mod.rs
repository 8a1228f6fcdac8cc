//! GROUP BY and DISTINCT: a hash table of groups with column accumulators, outside any trace.
//!
//! ```text
//! rows --> group of each row --> accumulators ; at the close of a time: old and new row of each touched group
//! ```
//!
//! Each touched group sends one retraction and one insertion, or neither if its row is unchanged. Groups without rows
//! are freed. A group whose aggregates do not fit their types has no row but a failure, which is retracted like a row.

mod aggregates;
mod group_results;
mod groups_state;
mod state;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use timely::dataflow::Stream;

pub(crate) use groups_state::GroupsState;
pub(crate) use state::ReduceState;

use super::aside::Aside;
use super::by_time::{Input, by_time};
use crate::arrangement::exchange_by;
use crate::plan::Reduce;
use crate::row_bytes::KeyCodec;
use crate::{DataflowError, Time, UpdateBatch};

/// Aggregates `input`, whose rows have the schema `input_schema`, to rows with the schema `schema`. Also returns this
/// worker's groups, for reads. `opening` is the first time at which rows arrive.
pub(crate) fn reduce<'s>(
    input: Stream<'s, Time, UpdateBatch>,
    plan: &Reduce,
    input_schema: &SchemaRef,
    schema: &SchemaRef,
    opening: Time,
    aside: Aside,
) -> Result<(Stream<'s, Time, UpdateBatch>, Rc<RefCell<ReduceState>>), DataflowError> {
    let state = Rc::new(RefCell::new(ReduceState::new(plan, input_schema, schema)?));
    let key = Arc::new(KeyCodec::new(input_schema, &plan.key)?);
    let mut first = None;
    if plan.key.is_empty() && !plan.aggregates.is_empty() {
        let worker = input.scope().worker();
        if crate::arrangement::worker_of_no_columns(worker.peers()) == worker.index() {
            state.borrow_mut().hold_group_of_all();
            first = Some(opening);
        }
    }
    let input = Input { updates: input, exchange: exchange_by(key) };
    let rows = by_time("Reduce", vec![input], Rc::clone(&state), first, aside);
    Ok((rows, state))
}

#[cfg(test)]
mod tests;

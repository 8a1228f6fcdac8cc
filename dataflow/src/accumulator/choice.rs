//! Chooses the accumulator of an aggregate by its function and types.

use arrow::datatypes::DataType;

use super::{Accumulator, Retractions, Unsupported, boolean, count, distinct, exact_sum, min_max, moments};
use crate::plan::{Aggregate, AggregateFunction};

/// Creates the accumulator of `function` over arguments of `argument_type`, with results of type `data_type`.
///
/// `argument_type` is `None` only for a count of rows. With `distinct`, equal arguments count once. Fails if there is
/// no such accumulator.
pub fn for_aggregate(
    function: AggregateFunction,
    argument_type: Option<&DataType>,
    distinct: bool,
    data_type: &DataType,
    retractions: Retractions,
) -> Result<Box<dyn Accumulator>, Unsupported> {
    use AggregateFunction as F;
    let made = match (function, argument_type) {
        (F::Count, argument) => count::make(argument, data_type),
        (F::Sum, Some(argument)) => exact_sum::make(exact_sum::Finish::Sum, argument, data_type),
        (F::Avg, Some(argument)) => exact_sum::make(exact_sum::Finish::Mean, argument, data_type),
        (F::Min, Some(argument)) => min_max::make(min_max::End::Least, argument, data_type, retractions),
        (F::Max, Some(argument)) => min_max::make(min_max::End::Greatest, argument, data_type, retractions),
        (F::VarPop, Some(argument)) => moments::make(moments::VAR_POP, argument, data_type),
        (F::VarSamp, Some(argument)) => moments::make(moments::VAR_SAMP, argument, data_type),
        (F::StddevPop, Some(argument)) => moments::make(moments::STDDEV_POP, argument, data_type),
        (F::StddevSamp, Some(argument)) => moments::make(moments::STDDEV_SAMP, argument, data_type),
        (F::BoolAnd, Some(argument)) => boolean::make(boolean::Connective::And, argument, data_type),
        (F::BoolOr, Some(argument)) => boolean::make(boolean::Connective::Or, argument, data_type),
        (_, None) => None,
    };
    // Minima, maxima and connectives do not change when equal arguments count once.
    let repeats_matter = !matches!(function, F::Min | F::Max | F::BoolAnd | F::BoolOr);
    let made = match (made, argument_type) {
        (Some(inner), Some(argument)) if distinct && repeats_matter => distinct::make(inner, argument),
        (Some(_), None) if distinct => None,
        (made, _) => made,
    };
    made.ok_or_else(|| Unsupported { function, argument: argument_type.cloned(), data_type: data_type.clone() })
}

/// Creates the accumulator of a planned aggregate over arguments of `argument_type`.
pub fn for_planned(
    aggregate: &Aggregate,
    argument_type: Option<&DataType>,
    retractions: Retractions,
) -> Result<Box<dyn Accumulator>, Unsupported> {
    for_aggregate(aggregate.function, argument_type, aggregate.distinct, &aggregate.data_type, retractions)
}

//! Our aggregates under DataFusion's names, with the types of the dialect and the states that views keep.
//!
//! A query that runs once feeds the same accumulators as a maintained view, so both give the same answers: sums are
//! exact, overflow is an error, and the order of rows has no influence.

use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err, not_impl_err, plan_datafusion_err, plan_err};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};
use laminardb_dataflow::accumulator::{Accumulator as States, Retractions, for_aggregate};
use laminardb_dataflow::plan::AggregateFunction;
use laminardb_dataflow::{Diffs, Evaluated};
use parking_lot::Mutex;

/// Every aggregate that views can maintain, with its aliases.
const AGGREGATES: [(AggregateFunction, &[&str]); 11] = [
    (AggregateFunction::Count, &[]),
    (AggregateFunction::Sum, &[]),
    (AggregateFunction::Avg, &["mean"]),
    (AggregateFunction::Min, &[]),
    (AggregateFunction::Max, &[]),
    (AggregateFunction::VarPop, &["var_population"]),
    (AggregateFunction::VarSamp, &["var", "variance", "var_sample"]),
    (AggregateFunction::StddevPop, &[]),
    (AggregateFunction::StddevSamp, &["stddev"]),
    (AggregateFunction::BoolAnd, &["every"]),
    (AggregateFunction::BoolOr, &[]),
];

/// Returns the aggregates, which must be registered after DataFusion's to replace them.
pub(super) fn all() -> impl Iterator<Item = Arc<AggregateUDF>> {
    AGGREGATES
        .into_iter()
        .map(|(function, aliases)| Arc::new(AggregateUDF::new_from_impl(Maintained::new(function, aliases))))
}

/// Returns the aggregate with this name or alias, if views can maintain it.
pub fn maintained(name: &str) -> Option<AggregateFunction> {
    let named =
        |(function, aliases): &&(AggregateFunction, &[&str])| function.name() == name || aliases.contains(&name);
    AGGREGATES.iter().find(named).map(|(function, _)| *function)
}

/// An aggregate as DataFusion sees it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Maintained {
    function: AggregateFunction,
    aliases: Vec<String>,
    signature: Signature,
}

impl Maintained {
    fn new(function: AggregateFunction, aliases: &[&str]) -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        Maintained { function, aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(), signature }
    }

    /// Returns the type of the result for an argument type; whether the aggregate takes that type is not checked here.
    fn result_type(&self, argument: &DataType) -> DataType {
        use AggregateFunction as F;
        match (self.function, argument) {
            (F::Count, _) => DataType::Int64,
            (F::Sum, integer) if integer.is_integer() => DataType::Int64,
            (F::Sum, DataType::Decimal128(_, scale)) => DataType::Decimal128(38, *scale),
            (F::Min | F::Max, same) => same.clone(),
            (F::BoolAnd | F::BoolOr, _) => DataType::Boolean,
            _ => DataType::Float64,
        }
    }

    fn states(&self, args: &AccumulatorArgs<'_>, retractions: Retractions) -> Result<Box<dyn States>> {
        let argument = args.expr_fields.first().map(|field| field.data_type());
        match for_aggregate(self.function, argument, args.is_distinct, args.return_type(), retractions) {
            Ok(states) => Ok(states),
            Err(unsupported) => not_impl_err!("{unsupported}"),
        }
    }

    fn one_group(&self, args: &AccumulatorArgs<'_>, retractions: Retractions) -> Result<Box<dyn Accumulator>> {
        let mut states = self.states(args, retractions)?;
        states.resize(1);
        Ok(Box::new(OneGroup { states: Mutex::new(states), retractions }))
    }
}

impl std::fmt::Debug for OneGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OneGroup").finish_non_exhaustive()
    }
}

impl AggregateUDFImpl for Maintained {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name();
        let [argument] = arguments else {
            return plan_err!("{name}() takes one argument, not {}", arguments.len());
        };
        // A bare NULL has no type, so any type that the aggregate accepts will do.
        let argument = match (self.function, argument) {
            (AggregateFunction::BoolAnd | AggregateFunction::BoolOr, DataType::Null) => DataType::Boolean,
            (_, DataType::Null) => DataType::Int64,
            (_, other) => other.clone(),
        };
        let result = self.result_type(&argument);
        for_aggregate(self.function, Some(&argument), false, &result, Retractions::Never)
            .map_err(|_| plan_datafusion_err!("{name}() does not take a {}", crate::statement::type_name(&argument)))?;
        Ok(vec![argument])
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [argument] => Ok(self.result_type(argument)),
            _ => plan_err!("{}() takes one argument, not {}", self.name(), arguments.len()),
        }
    }

    fn is_nullable(&self) -> bool {
        self.function != AggregateFunction::Count
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        match self.function {
            AggregateFunction::Count => Ok(ScalarValue::Int64(Some(0))),
            _ => ScalarValue::try_from(data_type),
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.one_group(&args, Retractions::Never)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.one_group(&args, Retractions::Possible)
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let states = self.states(&args, Retractions::Never)?;
        Ok(Box::new(GroupStates { states, slots: Vec::new(), free: Vec::new(), made: 0 }))
    }
}

/// Returns the values of groups; fails with the first error if there is one.
fn values(evaluated: Evaluated) -> Result<ArrayRef> {
    match evaluated.errors.first() {
        Some(error) => exec_err!("{}", error.message),
        None => Ok(evaluated.values),
    }
}

/// Refuses partial states: queries run in one partition and aggregate in one phase, so states are never split.
fn no_partial_states<T>() -> Result<T> {
    not_impl_err!("an aggregation in several partitions")
}

/// The state of a single group: all rows together, or a window frame.
struct OneGroup {
    /// The mutex is never contended; it only makes the type `Sync`, which DataFusion requires.
    states: Mutex<Box<dyn States>>,
    retractions: Retractions,
}

impl OneGroup {
    fn add(&mut self, arguments: &[ArrayRef], diff: i64) {
        let argument = arguments.first();
        let groups = vec![0; argument.map_or(0, |argument| argument.len())];
        self.states.get_mut().update(&groups, argument, &Diffs::Same(diff), None);
    }
}

impl Accumulator for OneGroup {
    fn update_batch(&mut self, arguments: &[ArrayRef]) -> Result<()> {
        self.add(arguments, 1);
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&values(self.states.get_mut().evaluate(&[0]))?, 0)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.states.lock().bytes()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        no_partial_states()
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        no_partial_states()
    }

    fn retract_batch(&mut self, arguments: &[ArrayRef]) -> Result<()> {
        self.add(arguments, -1);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        self.retractions == Retractions::Possible
    }
}

/// The states of many groups.
struct GroupStates {
    states: Box<dyn States>,
    /// The slot in `states` of each group. Groups are renumbered when the first of them are emitted; slots are not.
    slots: Vec<u32>,
    /// Slots that can be reused.
    free: Vec<u32>,
    /// Number of slots.
    made: u32,
}

impl GroupStates {
    fn resize(&mut self, groups: usize) {
        while self.slots.len() < groups {
            let slot = self.free.pop().unwrap_or_else(|| {
                self.made += 1;
                self.made - 1
            });
            self.slots.push(slot);
        }
        self.states.resize(self.made as usize);
    }
}

impl GroupsAccumulator for GroupStates {
    fn update_batch(
        &mut self,
        arguments: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.resize(total);
        let slots: Vec<u32> = groups.iter().map(|group| self.slots[*group]).collect();
        self.states.update(&slots, arguments.first(), &Diffs::Same(1), filter);
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let slots = emit.take_needed(&mut self.slots);
        let result = values(self.states.evaluate(&slots));
        for slot in &slots {
            self.states.free(*slot);
        }
        self.free.extend(slots);
        result
    }

    fn state(&mut self, _emit: EmitTo) -> Result<Vec<ArrayRef>> {
        no_partial_states()
    }

    fn merge_batch(&mut self, _states: &[ArrayRef], _groups: &[usize], _total: usize) -> Result<()> {
        no_partial_states()
    }

    fn convert_to_state(&self, _arguments: &[ArrayRef], _filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        no_partial_states()
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.states.bytes() + (self.slots.capacity() + self.free.capacity()) * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests;

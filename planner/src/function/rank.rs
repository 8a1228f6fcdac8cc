//! `row_number`, `rank`, `dense_rank` and `ntile` with signed results, like all integers that SQL computes here.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::{SortOptions, cast};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{ExpressionArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::window_state::WindowAggState;
use datafusion::logical_expr::{LimitEffect, PartitionEvaluator, ReversedUDWF, Signature, WindowUDF, WindowUDFImpl};
use datafusion::physical_expr::PhysicalExpr;

const COUNTING: [&str; 4] = ["row_number", "rank", "dense_rank", "ntile"];

/// Returns `function`, changed to give signed results if it counts rows.
pub(super) fn signed(function: Arc<WindowUDF>) -> Arc<WindowUDF> {
    if COUNTING.contains(&function.name()) {
        Arc::new(WindowUDF::new_from_impl(SignedRank { counting: function }))
    } else {
        function
    }
}

/// DataFusion's function with its results cast to signed integers.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SignedRank {
    counting: Arc<WindowUDF>,
}

impl WindowUDFImpl for SignedRank {
    fn name(&self) -> &str {
        self.counting.name()
    }

    fn aliases(&self) -> &[String] {
        self.counting.aliases()
    }

    fn signature(&self) -> &Signature {
        self.counting.signature()
    }

    fn expressions(&self, args: ExpressionArgs<'_>) -> Vec<Arc<dyn PhysicalExpr>> {
        self.counting.inner().expressions(args)
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs<'_>) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(SignedEvaluator { counting: self.counting.inner().partition_evaluator(args)? }))
    }

    fn field(&self, args: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        let field = self.counting.inner().field(args)?;
        Ok(Arc::new(Field::clone(&field).with_data_type(DataType::Int64)))
    }

    fn sort_options(&self) -> Option<SortOptions> {
        self.counting.inner().sort_options()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.counting.inner().coerce_types(types)
    }

    fn reverse_expr(&self) -> ReversedUDWF {
        ReversedUDWF::NotSupported
    }

    fn limit_effect(&self, args: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        self.counting.inner().limit_effect(args)
    }
}

#[derive(Debug)]
struct SignedEvaluator {
    counting: Box<dyn PartitionEvaluator>,
}

#[expect(clippy::disallowed_methods, reason = "ranks are far below 2^63")]
fn signed_values(values: &ArrayRef) -> Result<ArrayRef> {
    Ok(cast(values, &DataType::Int64)?)
}

impl PartitionEvaluator for SignedEvaluator {
    fn memoize(&mut self, state: &mut WindowAggState) -> Result<()> {
        self.counting.memoize(state)
    }

    fn get_range(&self, row: usize, rows: usize) -> Result<Range<usize>> {
        self.counting.get_range(row, rows)
    }

    fn is_causal(&self) -> bool {
        self.counting.is_causal()
    }

    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        signed_values(&self.counting.evaluate_all(values, rows)?)
    }

    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        self.counting.evaluate(values, range)?.cast_to(&DataType::Int64)
    }

    fn evaluate_all_with_rank(&self, rows: usize, ranks: &[Range<usize>]) -> Result<ArrayRef> {
        signed_values(&self.counting.evaluate_all_with_rank(rows, ranks)?)
    }

    fn supports_bounded_execution(&self) -> bool {
        self.counting.supports_bounded_execution()
    }

    fn uses_window_frame(&self) -> bool {
        self.counting.uses_window_frame()
    }

    fn include_rank(&self) -> bool {
        self.counting.include_rank()
    }
}

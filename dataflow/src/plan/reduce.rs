//! GROUP BY with aggregates whose states can take rows back.

use arrow::datatypes::DataType;

use super::id::NodeId;
use super::operator_kind::{Explaining, InputId, MapInputs, Net, Nodes, OperatorKind};

/// A function that an aggregate computes over the non-NULL arguments of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    /// Number of rows, or of non-NULL arguments when there is an argument.
    Count,
    /// Exact sum; NULL without arguments. A sum outside the range of the result type is an error of the group.
    Sum,
    /// Mean: the exact sum, divided once; NULL without arguments.
    Avg,
    /// Least argument in SQL order, in which NaN is the greatest float; NULL without arguments.
    Min,
    /// Greatest argument in the same order; NULL without arguments.
    Max,
    /// Population variance.
    VarPop,
    /// Sample variance; NULL for fewer than two arguments.
    VarSamp,
    /// Square root of the population variance.
    StddevPop,
    /// Square root of the sample variance.
    StddevSamp,
    /// Whether all arguments are true.
    BoolAnd,
    /// Whether any argument is true.
    BoolOr,
}

impl AggregateFunction {
    /// Returns the SQL name.
    pub fn name(self) -> &'static str {
        match self {
            AggregateFunction::Count => "count",
            AggregateFunction::Sum => "sum",
            AggregateFunction::Avg => "avg",
            AggregateFunction::Min => "min",
            AggregateFunction::Max => "max",
            AggregateFunction::VarPop => "var_pop",
            AggregateFunction::VarSamp => "var_samp",
            AggregateFunction::StddevPop => "stddev_pop",
            AggregateFunction::StddevSamp => "stddev_samp",
            AggregateFunction::BoolAnd => "bool_and",
            AggregateFunction::BoolOr => "bool_or",
        }
    }

    /// Whether there can be a group on which the function fails: one whose result is outside its type.
    fn can_fail(self) -> bool {
        use AggregateFunction::{BoolAnd, BoolOr, Count, Max, Min};
        !matches!(self, Count | Min | Max | BoolAnd | BoolOr)
    }
}

/// One aggregate of a [`Reduce`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Aggregate {
    /// The function it computes.
    pub function: AggregateFunction,
    /// Input column with the arguments; `None` only for `Count`, which then counts rows.
    pub argument: Option<usize>,
    /// Whether equal arguments count once (DISTINCT).
    pub distinct: bool,
    /// Boolean input column (FILTER): only rows where it is true are aggregated.
    pub filter: Option<usize>,
    /// Type of the result.
    pub data_type: DataType,
}

/// Produces one row per group that has rows: the key columns, then the aggregates.
///
/// With an empty key and at least one aggregate there is always exactly one row, even without input. Without aggregates
/// this is DISTINCT on the key columns.
#[derive(Clone, Debug)]
pub struct Reduce {
    /// The node it reads.
    pub input: NodeId,
    /// Key columns of `input`. NULLs are equal, NaNs are equal, and -0.0 equals 0.0.
    pub key: Vec<usize>,
    /// The aggregates, in output order.
    pub aggregates: Vec<Aggregate>,
    /// Whether `input` never retracts, so that MIN and MAX need to keep only one value.
    pub monotonic: bool,
}

impl OperatorKind for Reduce {
    fn name(&self) -> &'static str {
        "reduce"
    }

    fn input_ids(&self) -> Vec<InputId> {
        vec![InputId::Node(self.input)]
    }

    fn map_inputs(&mut self, map: &mut dyn MapInputs) {
        self.input = map.node(self.input);
    }

    fn net(&self, _: &dyn Nodes) -> Net {
        Net::Always
    }

    fn can_fail(&self) -> bool {
        self.aggregates.iter().any(|aggregate| aggregate.function.can_fail())
    }

    fn explain(&self, explaining: &Explaining<'_>) -> Vec<String> {
        let key = explaining.columns(self.input, &self.key);
        if self.aggregates.is_empty() {
            return vec![format!("Distinct [{key}]")];
        }
        let aggregates: Vec<String> = self.aggregates.iter().map(|a| self.explain_aggregate(a, explaining)).collect();
        let append_only = if self.monotonic { " append_only" } else { "" };
        vec![format!("Reduce by [{key}] [{}]{append_only}", aggregates.join(", "))]
    }
}

impl Reduce {
    fn explain_aggregate(&self, aggregate: &Aggregate, explaining: &Explaining<'_>) -> String {
        let function = format!("{:?}", aggregate.function).to_lowercase();
        let distinct = if aggregate.distinct { "distinct " } else { "" };
        let argument = match aggregate.argument {
            Some(column) => explaining.columns(self.input, &[column]),
            None => "*".to_owned(),
        };
        let filter = match aggregate.filter {
            Some(column) => format!(" filter {}", explaining.columns(self.input, &[column])),
            None => String::new(),
        };
        format!("{function}({distinct}{argument}){filter}")
    }
}

//! GROUP BY with aggregates whose states can take rows back.

use arrow::datatypes::DataType;

use crate::plan::NodeId;

/// What an aggregate computes of the non-NULL arguments of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    /// Number of rows, or of non-NULL arguments when there is an argument.
    Count,
    /// Sum, exact; NULL of no argument. Out of the result type's range is an error of the group.
    Sum,
    /// Mean: the exact sum, divided once; NULL of no argument.
    Avg,
    /// Least argument in SQL order (NaN is the greatest float); NULL of none.
    Min,
    /// Greatest argument.
    Max,
    /// Population variance.
    VarPop,
    /// Sample variance; NULL below two arguments.
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

/// One aggregate of a [`Reduce`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Aggregate {
    /// What it computes.
    pub function: AggregateFunction,
    /// Input column it is computed of; `None` only for `Count`, of rows.
    pub argument: Option<usize>,
    /// Whether equal arguments count once.
    pub distinct: bool,
    /// Boolean input column; rows where it is not true are left out (FILTER).
    pub filter: Option<usize>,
    /// Type of the result.
    pub data_type: DataType,
}

/// One row per group that has rows: the key columns, then the aggregates.
///
/// With an empty key and at least one aggregate there is always exactly one row, also over no input. Without
/// aggregates this is DISTINCT on the key columns.
#[derive(Clone, Debug)]
pub struct Reduce {
    /// What it reads.
    pub input: NodeId,
    /// Columns of `input`; NULLs are equal, NaNs are equal, -0.0 equals 0.0.
    pub key: Vec<usize>,
    /// In output order.
    pub aggregates: Vec<Aggregate>,
    /// Whether `input` never retracts, so that MIN and MAX need to keep one value only.
    pub monotonic: bool,
}

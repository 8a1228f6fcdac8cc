//! Limits `lpad`, `rpad`, `repeat`, `array_repeat`, `array_resize`, `range` and `generate_series`, whose results are as
//! large as an argument says.
//!
//! DataFusion allocates for all rows of a batch before it checks the argument, so a negative length, or one of a
//! trillion, would end the process. Here every row is checked first, and the rows together against the memory limit of
//! the thread; rows with large results are evaluated in runs.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, new_empty_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::{DataFusionError, Result, exec_err, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use laminardb_dataflow::memory;

use super::series;

/// Maximum size of the result for one row: characters of a text, or elements of a list.
const LIMIT: u64 = 1 << 27;

/// Maximum size of the results of a run together, unless the run is a single row.
const RUN: u64 = 1 << 20;

/// Returns `function`, with its sizes checked if it is one of these.
pub(super) fn checked(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    let unit = match function.name() {
        "lpad" | "rpad" | "repeat" => "characters",
        "array_repeat" | "array_resize" | "range" | "generate_series" => "elements",
        _ => return function,
    };
    Arc::new(ScalarUDF::new_from_impl(Measured { making: function, unit }))
}

/// DataFusion's function with a size check; for all but the series, the second argument is the size.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Measured {
    making: Arc<ScalarUDF>,
    /// What the size counts.
    unit: &'static str,
}

impl ScalarUDFImpl for Measured {
    fn name(&self) -> &str {
        self.making.name()
    }

    fn aliases(&self) -> &[String] {
        self.making.aliases()
    }

    fn signature(&self) -> &Signature {
        self.making.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.making.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.making.return_field_from_args(args)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // A call without rows only asks for the type; for constants it would do the full work nevertheless.
        if args.number_rows == 0 {
            return Ok(ColumnarValue::Array(new_empty_array(args.return_type())));
        }
        if matches!(self.name(), "range" | "generate_series") {
            let amounts = self.limited(series::lengths(&args)?)?;
            return self.in_runs(&args, &amounts);
        }
        let sizes = self.sizes(&args)?;
        let amounts = self.amounts(&sizes, &args)?;
        if amounts.iter().sum::<u64>() <= RUN {
            // `sizes` can differ from the argument: a NULL of array_resize became 0, and a negative size becomes 0.
            if self.name() == "array_resize" || sizes.iter().flatten().any(|size| size < 0) {
                args.args[1] = ColumnarValue::Array(Arc::new(none_below_zero(&sizes)));
            }
            return self.making.invoke_with_args(args);
        }
        args.args[1] = ColumnarValue::Array(Arc::new(none_below_zero(&sizes)));
        self.in_runs(&args, &amounts)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.making.documentation()
    }
}

impl Measured {
    // Only slices of the arguments go to DataFusion, so it never allocates for the whole batch at once.
    /// Evaluates the rows, of which each makes the given amount, in runs with a limited total.
    fn in_runs(&self, args: &ScalarFunctionArgs, amounts: &[u64]) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let total = amounts.iter().sum::<u64>();
        // A character takes a byte at least, most elements eight.
        let bytes = if self.unit == "elements" { total.saturating_mul(8) } else { total };
        memory::check_thread(bytes).map_err(|over| DataFusionError::ResourcesExhausted(over.to_string()))?;
        if is_constant || total <= RUN {
            return self.making.invoke_with_args(args.clone());
        }
        let mut parts = Vec::new();
        for run in runs(amounts) {
            let mut part = args.clone();
            part.args = args.args.iter().map(|arg| slice(arg, &run)).collect();
            part.number_rows = run.len();
            parts.push(self.making.invoke_with_args(part)?.into_array(run.len())?);
        }
        let parts: Vec<&dyn Array> = parts.iter().map(|part| &**part).collect();
        Ok(ColumnarValue::Array(concat(&parts)?))
    }

    /// Returns the amounts; fails if one is above the limit.
    fn limited(&self, amounts: Vec<u64>) -> Result<Vec<u64>> {
        if amounts.iter().any(|amount| *amount > LIMIT) { self.too_much() } else { Ok(amounts) }
    }

    fn too_much<T>(&self) -> Result<T> {
        exec_err!("{} would make more than {LIMIT} {}", self.name(), self.unit)
    }

    fn sizes(&self, args: &ScalarFunctionArgs) -> Result<Int64Array> {
        let sizes = args.args[1].to_array(args.number_rows)?;
        match sizes.as_primitive_opt::<Int64Type>() {
            // As in DuckDB, a list that is resized to NULL becomes empty.
            Some(sizes) if self.name() == "array_resize" => Ok(sizes.iter().map(|size| size.or(Some(0))).collect()),
            Some(sizes) => Ok(sizes.clone()),
            None => internal_err!("a size of type {} for {}", sizes.data_type(), self.name()),
        }
    }

    /// Returns the amount that each row makes; fails if one is above the limit.
    fn amounts(&self, sizes: &Int64Array, args: &ScalarFunctionArgs) -> Result<Vec<u64>> {
        let repeated = match self.name() {
            "array_repeat" | "repeat" => Some(args.args[0].to_array(args.number_rows)?),
            _ => None,
        };
        let amount = |(row, size): (usize, Option<i64>)| {
            let size = size.unwrap_or(0);
            if size < 0 && self.name() == "array_resize" {
                return exec_err!("{} to {size} {}", self.name(), self.unit);
            }
            let each = repeated.as_ref().map_or(1, |values| elements(values, row)).max(1);
            match size.max(0).unsigned_abs().checked_mul(each) {
                Some(amount) if amount <= LIMIT => Ok(amount),
                _ => self.too_much(),
            }
        };
        sizes.iter().enumerate().map(amount).collect()
    }
}

/// Returns the number of elements of a list, or of bytes of a text; 1 for any other value.
fn elements(values: &ArrayRef, row: usize) -> u64 {
    match values.data_type() {
        DataType::Utf8 => values.as_string::<i32>().value_length(row).unsigned_abs().into(),
        DataType::LargeUtf8 => values.as_string::<i64>().value_length(row).unsigned_abs(),
        DataType::Utf8View => values.as_string_view().value(row).len() as u64,
        DataType::List(_) => values.as_list::<i32>().value_length(row).unsigned_abs().into(),
        _ => 1,
    }
}

/// Splits the rows into runs that make at most `RUN` together, or consist of one row.
fn runs(amounts: &[u64]) -> Vec<Range<usize>> {
    let (mut runs, mut start, mut total) = (Vec::new(), 0, 0);
    for (row, amount) in amounts.iter().enumerate() {
        if row > start && total + amount > RUN {
            runs.push(start..row);
            (start, total) = (row, 0);
        }
        total += amount;
    }
    runs.push(start..amounts.len());
    runs
}

fn slice(arg: &ColumnarValue, run: &Range<usize>) -> ColumnarValue {
    match arg {
        ColumnarValue::Array(values) => ColumnarValue::Array(values.slice(run.start, run.len())),
        ColumnarValue::Scalar(value) => ColumnarValue::Scalar(value.clone()),
    }
}

/// Replaces negative sizes by 0, because DataFusion takes them for numbers near 2^64.
fn none_below_zero(sizes: &Int64Array) -> Int64Array {
    sizes.unary(|size| size.max(0))
}

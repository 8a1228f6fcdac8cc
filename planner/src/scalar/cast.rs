//! Casts that round, parse and print as DuckDB's do.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Float32Array, Float64Array, PrimitiveArray, StringArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::FormatOptions;
use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::physical_expr::PhysicalExpr;

use super::unary::Operation;
use super::{beneath, show, time};
use crate::numeral::{MOST_DIGITS, Numeral, Rounding};
use crate::statement::type_name;

/// Says what happens to a value that the target type cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnFailure {
    /// The cast fails (CAST).
    Error,
    /// The result is NULL (TRY_CAST).
    Null,
}

/// A CAST or TRY_CAST.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Cast {
    /// The type that the operand is cast to.
    pub(super) data_type: DataType,
    pub(super) on_failure: OnFailure,
}

impl Operation for Cast {
    fn data_type(&self, _operand: DataType) -> DataType {
        self.data_type.clone()
    }

    fn makes_nulls(&self) -> bool {
        self.on_failure == OnFailure::Null
    }

    fn apply(&self, values: &ArrayRef) -> Result<ArrayRef> {
        cast_array(values, &self.data_type, self.on_failure)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, operand: &dyn PhysicalExpr) -> fmt::Result {
        let name = if self.on_failure == OnFailure::Error { "CAST" } else { "TRY_CAST" };
        write!(f, "{name}({operand} AS {})", type_name(&self.data_type))
    }
}

/// Casts values as SQL does: numbers are rounded and text is trimmed; a value that does not fit fails or becomes NULL.
pub fn cast_array(values: &ArrayRef, to: &DataType, on_failure: OnFailure) -> Result<ArrayRef> {
    use DataType::{Decimal128, Float32, Float64, Utf8};
    let cast = Kernel { to, on_failure };
    match (values.data_type(), to) {
        (from, to) if from == to => Ok(Arc::clone(values)),
        // Arrow also casts what lies beneath NULLs, where a cast could fail, so that is cleared first.
        (from, to) if from.is_nested() && to.is_nested() => cast.by_arrow(&beneath::visible(values)?),
        (Float64, to) if to.is_integer() => cast.to_integer(values.as_primitive::<Float64Type>(), rounded_float),
        (Float32, to) if to.is_integer() => {
            cast.to_integer(values.as_primitive::<Float32Type>(), |value| rounded_float(f64::from(value)))
        }
        (Decimal128(_, scale), to) if to.is_integer() && *scale >= 0 => {
            let unit = 10_i128.pow(u32::from(scale.unsigned_abs()));
            cast.to_integer(values.as_primitive::<Decimal128Type>(), |value| Some(rounded_quotient(value, unit)))
        }
        (Utf8, to) if to.is_integer() => cast.text_to_integer(values.as_string::<i32>()),
        (DataType::List(_) | DataType::Struct(_), Utf8) => show::nested(values),
        (DataType::Binary, Utf8) => Ok(show::bytes(values.as_binary::<i32>())),
        (Utf8, DataType::Binary) => show::bytes_of(values.as_string::<i32>(), on_failure),
        (from, to) if time::casts(from, to) => time::cast(values, to, on_failure),
        (Utf8, Decimal128(precision, scale)) => cast.text_to_decimal(values.as_string::<i32>(), *precision, *scale),
        (Utf8, Float32 | Float64 | DataType::Boolean) => {
            let trimmed: StringArray = values.as_string::<i32>().iter().map(|text| text.map(str::trim)).collect();
            cast.by_arrow(&(Arc::new(trimmed) as ArrayRef))
        }
        (Float64, Float32) => cast.to_real(values),
        (Float64, Utf8) => Ok(printed(
            values.as_primitive::<Float64Type>().iter().map(|v| v.map(|v| float_text(v, &format!("{v:e}")))),
        )),
        (Float32, Utf8) => Ok(printed(
            values.as_primitive::<Float32Type>().iter().map(|v| v.map(|v| float_text(f64::from(v), &format!("{v:e}")))),
        )),
        _ => cast.by_arrow(values),
    }
}

/// The target type of a cast and what happens on failure.
struct Kernel<'a> {
    to: &'a DataType,
    on_failure: OnFailure,
}

impl Kernel<'_> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the casts that are left to Arrow are exact or parse and print as DuckDB's"
    )]
    fn by_arrow(&self, values: &ArrayRef) -> Result<ArrayRef> {
        let options =
            CastOptions { safe: self.on_failure == OnFailure::Null, format_options: FormatOptions::default() };
        Ok(cast_with_options(values, self.to, &options)?)
    }

    /// Converts each value to a whole number with `whole`, then narrows it to the target type.
    fn to_integer<T: ArrowPrimitiveType>(
        &self,
        values: &PrimitiveArray<T>,
        whole: impl Fn(T::Native) -> Option<i128>,
    ) -> Result<ArrayRef> {
        let wholes = values.iter().map(|value| value.map(|value| whole(value).ok_or_else(|| self.unfit(&value))));
        self.integers(wholes)
    }

    fn text_to_integer(&self, texts: &StringArray) -> Result<ArrayRef> {
        self.integers(texts.iter().map(|text| text.map(|text| self.rounded(text, MOST_DIGITS, 0))))
    }

    /// Arrow's own cast wraps around where a number has more than 256 bits.
    fn text_to_decimal(&self, texts: &StringArray, precision: u8, scale: i8) -> Result<ArrayRef> {
        let values = self.kept(texts.iter().map(|text| text.map(|text| self.rounded(text, precision, scale))))?;
        Ok(Arc::new(PrimitiveArray::<Decimal128Type>::from_iter(values).with_data_type(self.to.clone())))
    }

    /// Reads a number from text, as the nearest multiple of `10^-scale`.
    fn rounded(&self, text: &str, precision: u8, scale: i8) -> Result<i128> {
        Numeral::parse(text.trim())
            .and_then(|number| number.to_scaled(precision, scale, Rounding::HalfAwayFromZero))
            .ok_or_else(|| self.unfit(&format!("'{text}'")))
    }

    fn unfit(&self, value: &dyn fmt::Debug) -> DataFusionError {
        DataFusionError::Execution(format!("{value:?} cannot be cast to {}", type_name(self.to)).replace('"', ""))
    }

    fn integers(&self, wholes: impl Iterator<Item = Option<Result<i128>>>) -> Result<ArrayRef> {
        match self.to {
            DataType::Int8 => self.narrowed::<Int8Type>(wholes),
            DataType::Int16 => self.narrowed::<Int16Type>(wholes),
            DataType::Int32 => self.narrowed::<Int32Type>(wholes),
            DataType::Int64 => self.narrowed::<Int64Type>(wholes),
            DataType::UInt8 => self.narrowed::<UInt8Type>(wholes),
            DataType::UInt16 => self.narrowed::<UInt16Type>(wholes),
            DataType::UInt32 => self.narrowed::<UInt32Type>(wholes),
            DataType::UInt64 => self.narrowed::<UInt64Type>(wholes),
            other => exec_err!("{other} is not an integer type"),
        }
    }

    fn narrowed<T: ArrowPrimitiveType>(&self, wholes: impl Iterator<Item = Option<Result<i128>>>) -> Result<ArrayRef>
    where
        T::Native: TryFrom<i128>,
    {
        let narrow = |whole: i128| T::Native::try_from(whole).map_err(|_| self.unfit(&whole));
        let values = self.kept(wholes.map(|whole| whole.map(|whole| whole.and_then(narrow))))?;
        Ok(Arc::new(PrimitiveArray::<T>::from_iter(values)))
    }

    /// Returns the values; the first failure fails the cast or, in a TRY_CAST, each is NULL.
    fn kept<V>(&self, values: impl Iterator<Item = Option<Result<V>>>) -> Result<Vec<Option<V>>> {
        let kept = values.map(|value| match value.transpose() {
            Err(_) if self.on_failure == OnFailure::Null => Ok(None),
            value => value,
        });
        kept.collect()
    }

    /// Casts DOUBLE to REAL; a finite number that REAL cannot hold fails instead of becoming infinite.
    fn to_real(&self, values: &ArrayRef) -> Result<ArrayRef> {
        let values: &Float64Array = values.as_primitive::<Float64Type>();
        let mut out = Vec::with_capacity(values.len());
        for value in values {
            out.push(match value {
                Some(value) if value.is_finite() && (value as f32).is_infinite() => match self.on_failure {
                    OnFailure::Null => None,
                    OnFailure::Error => return Err(self.unfit(&value)),
                },
                other => other.map(|value| value as f32),
            });
        }
        Ok(Arc::new(Float32Array::from(out)))
    }
}

/// Rounds to the nearest whole number, halves to even; `None` if the value is not finite or not below 1e38.
fn rounded_float(value: f64) -> Option<i128> {
    let whole = value.round_ties_even();
    (whole.is_finite() && whole.abs() < 1e38).then_some(whole as i128)
}

/// Divides and rounds to the nearest whole number, halves away from zero.
fn rounded_quotient(value: i128, unit: i128) -> i128 {
    let (quotient, rest) = (value / unit, value % unit);
    if rest.unsigned_abs() * 2 >= unit.unsigned_abs() && rest != 0 { quotient + rest.signum() } else { quotient }
}

fn printed(texts: impl Iterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(texts.collect::<StringArray>())
}

/// Returns the shortest text that reads back as `value`, with an exponent below 1e-4 and from 1e16 on.
///
/// `scientific` is the value printed with `{:e}` in its own type.
fn float_text(value: f64, scientific: &str) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) || value == 0.0 {
        return plain_text(mantissa, exponent);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

/// Writes a number without an exponent and always with a fraction.
fn plain_text(mantissa: &str, exponent: i32) -> String {
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits = mantissa.replace('.', "");
    let point = exponent + 1;
    if point <= 0 {
        return format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize));
    }
    let point = point.unsigned_abs() as usize;
    if digits.len() <= point {
        return format!("{sign}{digits}{}.0", "0".repeat(point - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..point], &digits[point..])
}

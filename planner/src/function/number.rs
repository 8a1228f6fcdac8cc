//! Functions of numbers with the types and the errors of the dialect.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int8Array, PrimitiveArray};
use arrow::compute::kernels::cmp::{eq, gt, lt};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{binary, is_null, or_kleene, prep_null_mask_filter};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int64Type, UInt64Type};
use datafusion::common::{Result, exec_datafusion_err, exec_err};

use super::own::{Call, Definition};
use crate::common_type::{comparison_type, wider_column};
use crate::scalar::{OnFailure, cast_array, compared};

/// Holds integers of every type.
const WHOLE: DataType = DataType::Decimal128(38, 0);

pub(super) static ABS: Definition = Definition {
    name: "abs",
    aliases: &[],
    takes: |types| one_number(types, Clone::clone),
    gives: |call| Ok(call.types[0].clone()),
    values: |args, to| match to {
        DataType::Float64 => Ok(floats(&args[0], f64::abs)),
        DataType::Float32 => Ok(reals(&args[0], f64::abs)),
        _ => whole_numbers(&args[0], to, |value, _| value.checked_abs()),
    },
};

pub(super) static SIGN: Definition = Definition {
    name: "sign",
    aliases: &["signum"],
    takes: |types| one_number(types, Clone::clone),
    gives: |_| Ok(DataType::Int8),
    values: |args, _| {
        let signs: Int8Array = match args[0].data_type() {
            DataType::Float64 | DataType::Float32 => {
                let values = cast_array(&args[0], &DataType::Float64, OnFailure::Error)?;
                // NaN has no sign, so it is neither greater nor less than 0.
                values.as_primitive::<Float64Type>().unary(|x| i8::from(x > 0.0) - i8::from(x < 0.0))
            }
            _ => digits(&args[0])?.unary(|x| x.signum() as i8),
        };
        Ok(Arc::new(signs))
    },
};

pub(super) static FLOOR: Definition = Definition {
    name: "floor",
    aliases: &[],
    takes: |types| one_number(types, floats_of_integers),
    gives: |call| Ok(without_fraction(call.types[0])),
    values: |args, to| match to {
        DataType::Float64 => Ok(floats(&args[0], f64::floor)),
        DataType::Float32 => Ok(reals(&args[0], f64::floor)),
        _ => whole_numbers(&args[0], to, |value, unit| Some(value.div_euclid(unit))),
    },
};

pub(super) static CEIL: Definition = Definition {
    name: "ceil",
    aliases: &["ceiling"],
    takes: |types| one_number(types, floats_of_integers),
    gives: |call| Ok(without_fraction(call.types[0])),
    values: |args, to| match to {
        DataType::Float64 => Ok(floats(&args[0], f64::ceil)),
        DataType::Float32 => Ok(reals(&args[0], f64::ceil)),
        _ => whole_numbers(&args[0], to, |value, unit| Some(-(-value).div_euclid(unit))),
    },
};

pub(super) static ROUND: Definition = Definition {
    name: "round",
    aliases: &[],
    takes: number_and_places,
    gives: |call| Ok(with_places(call)),
    // Halves are rounded away from zero.
    values: |args, to| to_places(args, to, round_scaled, |value, unit| value / unit + value % unit / (unit - unit / 2)),
};

pub(super) static TRUNC: Definition = Definition {
    name: "trunc",
    aliases: &[],
    takes: number_and_places,
    gives: |call| Ok(with_places(call)),
    values: |args, to| to_places(args, to, |value, unit| (value * unit).trunc(), |value, unit| value / unit),
};

pub(super) static POWER: Definition = Definition {
    name: "power",
    aliases: &["pow"],
    takes: |types| {
        let are_numbers = types.iter().all(|of| of.is_numeric() || of.is_null());
        (types.len() == 2 && are_numbers).then(|| vec![DataType::Float64; 2])
    },
    gives: |_| Ok(DataType::Float64),
    values: |args, _| {
        let (bases, exponents) = (args[0].as_primitive::<Float64Type>(), args[1].as_primitive::<Float64Type>());
        Ok(Arc::new(binary::<_, _, _, Float64Type>(bases, exponents, f64::powf)?))
    },
};

pub(super) static XOR: Definition = Definition {
    name: "xor",
    aliases: &[],
    takes: |types| match types {
        [left, right] => {
            let common = common_integer(left, right)?;
            Some(vec![common.clone(), common])
        }
        _ => None,
    },
    gives: |call| Ok(call.types[0].clone()),
    values: |args, to| {
        // The low bits of the wider type are the same, so the result fits the narrower type again.
        if *to == DataType::UInt64 {
            let [left, right] = [0, 1].map(|arg| args[arg].as_primitive::<UInt64Type>());
            return Ok(Arc::new(binary::<_, _, _, UInt64Type>(left, right, |left, right| left ^ right)?));
        }
        let [left, right] = [&args[0], &args[1]].map(|arg| cast_array(arg, &DataType::Int64, OnFailure::Error));
        let (left, right) = (left?, right?);
        let [left, right] = [&left, &right].map(|arg| arg.as_primitive::<Int64Type>());
        let values: ArrayRef = Arc::new(binary::<_, _, _, Int64Type>(left, right, |left, right| left ^ right)?);
        cast_array(&values, to, OnFailure::Error)
    },
};

pub(super) static GREATEST: Definition = Definition {
    name: "greatest",
    aliases: &[],
    takes: common_type,
    gives: |call| Ok(call.types[0].clone()),
    values: |args, _| pick(args, |next, best| Ok(gt(next, best)?)),
};

pub(super) static LEAST: Definition = Definition {
    name: "least",
    aliases: &[],
    takes: common_type,
    gives: |call| Ok(call.types[0].clone()),
    values: |args, _| pick(args, |next, best| Ok(lt(next, best)?)),
};

/// The value is the first argument unchanged; the arguments have a common type only for the comparison.
pub(super) static NULLIF: Definition = Definition {
    name: "nullif",
    aliases: &[],
    takes: |types| match types {
        [left, right] => common_of_two(left, right).map(|_| types.to_vec()),
        _ => None,
    },
    gives: |call| Ok(call.types[0].clone()),
    values: |args, _| {
        let common = common_of_two(args[0].data_type(), args[1].data_type());
        let Some(common) = common else { return exec_err!("the arguments of nullif cannot be compared") };
        if common.is_null() {
            return Ok(Arc::clone(&args[0]));
        }
        let side = |arg: &ArrayRef| compared(&cast_array(arg, &common, OnFailure::Error)?);
        Ok(arrow::compute::nullif(&args[0], &eq(&side(&args[0])?, &side(&args[1])?)?)?)
    },
};

pub(super) static SQRT: Definition = Definition {
    name: "sqrt",
    aliases: &[],
    takes: |types| one_number(types, |_| DataType::Float64),
    gives: |_| Ok(DataType::Float64),
    values: |args, _| Ok(floats(&args[0], f64::sqrt)),
};

/// Returns the integer type that holds all values of both types.
fn common_integer(left: &DataType, right: &DataType) -> Option<DataType> {
    let bits = |of: &DataType| of.primitive_width();
    match (left, right) {
        (DataType::Null, DataType::Null) => Some(DataType::Int64),
        (DataType::Null, one) | (one, DataType::Null) => one.is_integer().then(|| one.clone()),
        _ if !left.is_integer() || !right.is_integer() => None,
        _ if left.is_signed_integer() == right.is_signed_integer() => {
            Some(if bits(left) >= bits(right) { left.clone() } else { right.clone() })
        }
        _ => {
            let (signed, unsigned) = if left.is_signed_integer() { (left, right) } else { (right, left) };
            match bits(unsigned)?.max(bits(signed)? / 2) {
                1 => Some(DataType::Int16),
                2 => Some(DataType::Int32),
                4 => Some(DataType::Int64),
                _ => None,
            }
        }
    }
}

/// Accepts arguments whose values can be compared, and gives them one type.
fn common_type(types: &[DataType]) -> Option<Vec<DataType>> {
    let (first, rest) = types.split_first()?;
    let common = rest
        .iter()
        .try_fold(first.clone(), |common, next| wider_column(&common, next).or_else(|| common_of_two(&common, next)))?;
    Some(vec![common; types.len()])
}

fn common_of_two(left: &DataType, right: &DataType) -> Option<DataType> {
    match (left, right) {
        _ if left == right => Some(left.clone()),
        (DataType::Duration(_), interval @ DataType::Interval(_))
        | (interval @ DataType::Interval(_), DataType::Duration(_)) => Some(interval.clone()),
        _ => comparison_type(left, right),
    }
}

/// Returns the best of the arguments that are not NULL, in the order of comparisons.
fn pick(
    args: &[ArrayRef],
    is_better: impl Fn(&ArrayRef, &ArrayRef) -> Result<arrow::array::BooleanArray>,
) -> Result<ArrayRef> {
    let mut best = Arc::clone(&args[0]);
    for next in &args[1..] {
        if next.data_type().is_null() {
            continue;
        }
        // A comparison with NULL is NULL: a NULL never replaces a value, and a value always replaces a NULL.
        let better = or_kleene(&is_null(&best)?, &is_better(&compared(next)?, &compared(&best)?)?)?;
        let better = if better.null_count() > 0 { prep_null_mask_filter(&better) } else { better };
        best = zip(&better, next, &best)?;
    }
    Ok(best)
}

/// Accepts one numeric argument; a bare NULL is taken for an integer.
fn one_number(types: &[DataType], taken: fn(&DataType) -> DataType) -> Option<Vec<DataType>> {
    match types {
        [number] if number.is_numeric() => Some(vec![taken(number)]),
        [DataType::Null] => Some(vec![taken(&DataType::Int64)]),
        _ => None,
    }
}

fn floats_of_integers(data_type: &DataType) -> DataType {
    if data_type.is_integer() { DataType::Float64 } else { data_type.clone() }
}

fn without_fraction(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Decimal128(precision, _) => DataType::Decimal128(*precision, 0),
        other => other.clone(),
    }
}

/// Accepts a number and, optionally, the number of digits to keep behind the point.
fn number_and_places(types: &[DataType]) -> Option<Vec<DataType>> {
    let (number, places) = types.split_first()?;
    let number = one_number(std::slice::from_ref(number), Clone::clone)?;
    match places {
        [] => Some(number),
        [places] if places.is_integer() || places.is_null() => Some(vec![number[0].clone(), DataType::Int64]),
        _ => None,
    }
}

/// Returns the type of a number with as many places as a literal says; without a literal it keeps its own type.
fn with_places(call: &Call<'_>) -> DataType {
    let DataType::Decimal128(precision, scale) = call.types[0] else { return call.types[0].clone() };
    let places = if call.types.len() == 1 { Some(0) } else { call.literal_integer(1) };
    let places = places.unwrap_or(i64::from(*scale));
    // Rounding to tens can add a digit: 9 becomes 10.
    let carried = u8::from(places < 0 && *scale <= 0);
    let kept = places.clamp(0, i64::from((*scale).max(0)));
    DataType::Decimal128((precision + carried).min(38), kept as i8)
}

fn floats(values: &ArrayRef, each: fn(f64) -> f64) -> ArrayRef {
    Arc::new(values.as_primitive::<Float64Type>().unary::<_, Float64Type>(each))
}

fn reals(values: &ArrayRef, each: fn(f64) -> f64) -> ArrayRef {
    Arc::new(values.as_primitive::<Float32Type>().unary::<_, Float32Type>(|x| each(f64::from(x)) as f32))
}

/// Returns the digits of numbers: integers as they are, and decimals without their point.
fn digits(values: &ArrayRef) -> Result<PrimitiveArray<Decimal128Type>> {
    match values.data_type() {
        DataType::Decimal128(..) => Ok(values.as_primitive::<Decimal128Type>().clone()),
        _ => Ok(cast_array(values, &WHOLE, OnFailure::Error)?.as_primitive::<Decimal128Type>().clone()),
    }
}

fn power_of_ten(exponent: u32) -> i128 {
    10_i128.checked_pow(exponent).unwrap_or(i128::MAX)
}

/// Makes numbers of a type from digits; fails if the type cannot hold one of them.
fn of_digits(digits: PrimitiveArray<Decimal128Type>, to: &DataType) -> Result<ArrayRef> {
    match to {
        DataType::Decimal128(precision, scale) => {
            let digits = digits.with_precision_and_scale(*precision, *scale)?;
            digits
                .validate_decimal_precision(*precision)
                .map_err(|_| exec_datafusion_err!("the result needs more than {precision} digits"))?;
            Ok(Arc::new(digits))
        }
        _ => {
            let whole: ArrayRef = Arc::new(digits.with_precision_and_scale(38, 0)?);
            cast_array(&whole, to, OnFailure::Error)
        }
    }
}

/// Applies `each` to the digits; its second argument is the number of input units in one unit of the result.
fn whole_numbers(values: &ArrayRef, to: &DataType, each: fn(i128, i128) -> Option<i128>) -> Result<ArrayRef> {
    let scale = |of: &DataType| if let DataType::Decimal128(_, scale) = of { *scale } else { 0 };
    let unit = power_of_ten((scale(values.data_type()) - scale(to)).unsigned_abs().into());
    let out_of_range = || exec_datafusion_err!("the result is out of range");
    of_digits(digits(values)?.try_unary(|value| each(value, unit).ok_or_else(out_of_range))?, to)
}

/// Reduces numbers to the given places: floats with `cut`, and others with `cut_digits`, which divides by the unit of
/// the last place.
fn to_places(
    args: &[ArrayRef],
    to: &DataType,
    cut: fn(f64, f64) -> f64,
    cut_digits: fn(i128, i128) -> i128,
) -> Result<ArrayRef> {
    let places = args.get(1).map(|places| places.as_primitive::<Int64Type>());
    let places_of = |row: usize| match places {
        Some(places) if places.is_null(row) => None,
        Some(places) => Some(places.value(row).clamp(-400, 400) as i32),
        None => Some(0),
    };
    if to.is_floating() {
        let values = cast_array(&args[0], &DataType::Float64, OnFailure::Error)?;
        let values = values.as_primitive::<Float64Type>();
        let cut = values.iter().enumerate().map(|(row, value)| Some(float_to_places(value?, places_of(row)?, cut)));
        let cut: ArrayRef = Arc::new(cut.collect::<PrimitiveArray<Float64Type>>());
        return cast_array(&cut, to, OnFailure::Error);
    }
    let scale = |of: &DataType| if let DataType::Decimal128(_, scale) = of { i32::from(*scale) } else { 0 };
    let (given, kept) = (scale(args[0].data_type()), scale(to));
    let values = digits(&args[0])?;
    let cut = values.iter().enumerate().map(|(row, value)| {
        let (Some(value), Some(places)) = (value, places_of(row)) else { return Ok(None) };
        let places = places.min(given);
        let cut = cut_digits(value, power_of_ten((given - places).unsigned_abs()));
        let padded = cut.checked_mul(power_of_ten((kept - places).max(0).unsigned_abs()));
        padded.map(Some).ok_or_else(|| exec_datafusion_err!("the result is out of range"))
    });
    of_digits(cut.collect::<Result<PrimitiveArray<Decimal128Type>>>()?, to)
}

/// Reduces a number to the given places; `cut` returns its product with the unit of the last place, as a whole number.
fn float_to_places(value: f64, places: i32, cut: fn(f64, f64) -> f64) -> f64 {
    let unit = 10_f64.powi(places.abs());
    if places < 0 {
        let whole = cut(value / unit, 1.0) * unit;
        return if whole.is_finite() || !value.is_finite() { whole } else { 0.0 };
    }
    let fraction = cut(value, unit) / unit;
    if fraction.is_finite() { fraction } else { value }
}

/// Returns the whole number nearest to a product, halves away from zero.
///
/// A product that is slightly below a half may have been rounded up to it, as for 2.675 and 100; it is rounded down.
fn round_scaled(value: f64, unit: f64) -> f64 {
    let product = value * unit;
    let rounded = product.round();
    let lost = value.mul_add(unit, -product);
    let is_half = (product - product.trunc()).abs() == 0.5;
    if is_half && lost * product.signum() < 0.0 { product.trunc() } else { rounded }
}

//! Casts between numbers.

use std::fmt::LowerExp;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, downcast_integer};
use arrow::datatypes::{
    DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, DecimalType, Float16Type, Float32Type,
    Float64Type, i256,
};

use super::decimal;
use super::refused::{OUT_OF_RANGE, Reason, Refused, convert, refuse_all};

pub(super) const FRACTION: Reason = "it has a fraction";
const NOT_FINITE: Reason = "it is not a finite number";
pub(super) const NOT_EXACT: Reason = "it has no exact representation there";
pub(super) const MORE_DIGITS: Reason = "it has more digits than the type";
pub(super) const NUMBERS_ONLY: Reason = "only numbers can be";

pub(super) fn to_integer(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, Refused> {
    macro_rules! to {
        ($t:ty) => {
            integer::<$t>(array, target)
        };
    }
    downcast_integer! {
        target => (to),
        other => unreachable!("{other} is not a type of integers")
    }
}

fn integer<T: ArrowPrimitiveType>(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, Refused>
where
    T::Native: TryFrom<i128>,
{
    fn narrow<N: TryFrom<i128>>(value: i128) -> Result<N, Reason> {
        N::try_from(value).map_err(|_| OUT_OF_RANGE)
    }
    macro_rules! from_integer {
        ($s:ty) => {
            convert::<$s, T>(array, target, |v| narrow(i128::from(v)))
        };
    }
    let unscaled = |(value, scale)| rescale(value, scale, 0, FRACTION).and_then(narrow);
    downcast_integer! {
        array.data_type() => (from_integer),
        DataType::Float16 => convert::<Float16Type, T>(array, target, |v| narrow(whole(v.to_f64())?)),
        DataType::Float32 => convert::<Float32Type, T>(array, target, |v| narrow(whole(v.into())?)),
        DataType::Float64 => convert::<Float64Type, T>(array, target, |v| narrow(whole(v)?)),
        DataType::Decimal32(_, s) => convert::<Decimal32Type, T>(array, target, |v| unscaled((v.into(), *s))),
        DataType::Decimal64(_, s) => convert::<Decimal64Type, T>(array, target, |v| unscaled((v.into(), *s))),
        DataType::Decimal128(_, s) => convert::<Decimal128Type, T>(array, target, |v| unscaled((v, *s))),
        DataType::Decimal256(_, s) => convert::<Decimal256Type, T>(array, target, |v| unscaled(shorten(v, *s)?)),
        _ => refuse_all(array, target, NUMBERS_ONLY),
    }
}

fn whole(value: f64) -> Result<i128, Reason> {
    if !value.is_finite() {
        return Err(NOT_FINITE);
    }
    if value.fract() != 0.0 {
        return Err(FRACTION);
    }
    // Exact below 2^127; beyond that, `as` gives a bound of i128, which is out of every column's range too.
    Ok(value as i128)
}

pub(super) fn to_float(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, Refused> {
    match target {
        DataType::Float32 => float::<Float32Type>(array, target),
        DataType::Float64 => float::<Float64Type>(array, target),
        other => unreachable!("{other} is not a type of floats"),
    }
}

/// The operations that casts need of a float type.
trait Float: Sized {
    /// Returns the value nearest to `value`.
    fn nearest(value: f64) -> Self;
    fn exactly(value: i128) -> Option<Self>;
    fn is_infinite(&self) -> bool;
    /// Returns the value nearest to `digits / 10^scale`.
    fn decimal(digits: i128, scale: i8) -> Self;
    fn parse(text: &str) -> Self;
}

macro_rules! float {
    ($t:ty, $mantissa:literal, $exact_power:literal) => {
        impl Float for $t {
            fn nearest(value: f64) -> Self {
                value as $t
            }

            fn exactly(value: i128) -> Option<Self> {
                let float = value as $t;
                (float as i128 == value).then_some(float)
            }

            fn is_infinite(&self) -> bool {
                <$t>::is_infinite(*self)
            }

            fn decimal(digits: i128, scale: i8) -> Self {
                // The quotient of two exact numbers is rounded only once, so it is the nearest value.
                if digits.unsigned_abs() < 1 << $mantissa && (0..=$exact_power).contains(&scale) {
                    return digits as $t / <$t>::powi(10.0, scale.into());
                }
                Self::parse(&format!("{digits}e{}", -i32::from(scale)))
            }

            fn parse(text: &str) -> Self {
                text.parse().expect("digits and an exponent are a number")
            }
        }
    };
}

float!(f32, 24, 10);
float!(f64, 53, 22);

fn float<T: ArrowPrimitiveType>(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, Refused>
where
    T::Native: Float,
{
    fn finite<F: Float>(value: F) -> Result<F, Reason> {
        if value.is_infinite() { Err(OUT_OF_RANGE) } else { Ok(value) }
    }
    fn nearest<F: Float>(value: f64) -> Result<F, Reason> {
        let nearest = F::nearest(value);
        if value.is_finite() { finite(nearest) } else { Ok(nearest) }
    }
    macro_rules! from_integer {
        ($s:ty) => {
            convert::<$s, T>(array, target, |v| T::Native::exactly(v.into()).ok_or(NOT_EXACT))
        };
    }
    let decimal = |digits, scale| finite(T::Native::decimal(digits, scale));
    downcast_integer! {
        array.data_type() => (from_integer),
        DataType::Float16 => convert::<Float16Type, T>(array, target, |v| nearest(v.to_f64())),
        DataType::Float32 => convert::<Float32Type, T>(array, target, |v| nearest(v.into())),
        DataType::Float64 => convert::<Float64Type, T>(array, target, nearest),
        DataType::Decimal32(_, s) => convert::<Decimal32Type, T>(array, target, |v| decimal(v.into(), *s)),
        DataType::Decimal64(_, s) => convert::<Decimal64Type, T>(array, target, |v| decimal(v.into(), *s)),
        DataType::Decimal128(_, s) => convert::<Decimal128Type, T>(array, target, |v| decimal(v, *s)),
        DataType::Decimal256(p, s) => convert::<Decimal256Type, T>(array, target, |v| {
            finite(T::Native::parse(&Decimal256Type::format_decimal(v, *p, *s)))
        }),
        _ => refuse_all(array, target, NUMBERS_ONLY),
    }
}

pub(super) fn to_decimal(array: &ArrayRef, precision: u8, scale: i8) -> Result<ArrayRef, Refused> {
    type To = Decimal128Type;
    let target = &DataType::Decimal128(precision, scale);
    let bound = 10_i128.pow(precision.into());
    let fit = |(value, from)| {
        let value = rescale(value, from, scale, MORE_DIGITS)?;
        if value.unsigned_abs() < bound.unsigned_abs() { Ok(value) } else { Err(MORE_DIGITS) }
    };
    macro_rules! from_integer {
        ($s:ty) => {
            convert::<$s, To>(array, target, |v| fit((v.into(), 0)))
        };
    }
    downcast_integer! {
        array.data_type() => (from_integer),
        // Uses the shortest text that gives the same float back; for a half, that of the equal single.
        DataType::Float16 => convert::<Float16Type, To>(array, target, |v| fit(shortest(v.to_f32(), v.is_finite())?)),
        DataType::Float32 => convert::<Float32Type, To>(array, target, |v| fit(shortest(v, v.is_finite())?)),
        DataType::Float64 => convert::<Float64Type, To>(array, target, |v| fit(shortest(v, v.is_finite())?)),
        DataType::Decimal32(_, s) => convert::<Decimal32Type, To>(array, target, |v| fit((v.into(), *s))),
        DataType::Decimal64(_, s) => convert::<Decimal64Type, To>(array, target, |v| fit((v.into(), *s))),
        DataType::Decimal128(_, s) => convert::<Decimal128Type, To>(array, target, |v| fit((v, *s))),
        DataType::Decimal256(_, s) => convert::<Decimal256Type, To>(array, target, |v| fit(shorten(v, *s)?)),
        _ => refuse_all(array, target, NUMBERS_ONLY),
    }
}

/// Returns `value / 10^from` as a multiple of `10^-to`; fails with `inexact` if it is not one.
fn rescale(value: i128, from: i8, to: i8, inexact: Reason) -> Result<i128, Reason> {
    let power = 10_i128.checked_pow(from.abs_diff(to).into());
    if value == 0 || from == to {
        return Ok(value);
    }
    if to > from {
        return power.and_then(|power| value.checked_mul(power)).ok_or(OUT_OF_RANGE);
    }
    match power {
        Some(power) if value % power == 0 => Ok(value / power),
        _ => Err(inexact),
    }
}

/// Returns the digits and scale of a float's shortest text.
fn shortest(value: impl LowerExp, finite: bool) -> Result<(i128, i8), Reason> {
    if !finite {
        return Err(NOT_FINITE);
    }
    let (digits, scale) = decimal::shortest(value);
    if digits == 0 {
        return Ok((0, 0));
    }
    // Beyond this range, no decimal of 38 digits can hold the value.
    let why = if scale < 0 { OUT_OF_RANGE } else { MORE_DIGITS };
    Ok((digits, i8::try_from(scale).map_err(|_| why)?))
}

/// Drops trailing zeros of a long decimal until it fits 128 bits.
fn shorten(mut value: i256, mut scale: i8) -> Result<(i128, i8), Reason> {
    let ten = i256::from_i128(10);
    loop {
        if let Some(value) = value.to_i128() {
            return Ok((value, scale));
        }
        if scale == i8::MIN || value.checked_rem(ten) != Some(i256::ZERO) {
            return Err(MORE_DIGITS);
        }
        value = value.checked_div(ten).expect("ten is not zero");
        scale -= 1;
    }
}

//! Casts between numbers.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, downcast_integer};
use arrow::datatypes::{
    DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, DecimalType, Float16Type, Float32Type,
    Float64Type, i256,
};

use super::exact::{
    FRACTION, Float, MORE_DIGITS, NOT_EXACT, NUMBERS_ONLY, finite, narrow, nearest, parsed, rescale, scaled, shortest,
    whole,
};
use super::refused::{Reason, Refused, convert, refuse_all};

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

pub(super) fn to_float(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, Refused> {
    match target {
        DataType::Float32 => float::<Float32Type>(array, target),
        DataType::Float64 => float::<Float64Type>(array, target),
        other => unreachable!("{other} is not a type of floats"),
    }
}

fn float<T: ArrowPrimitiveType>(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, Refused>
where
    T::Native: Float,
{
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
            finite(parsed::<T::Native>(&Decimal256Type::format_decimal(v, *p, *s)))
        }),
        _ => refuse_all(array, target, NUMBERS_ONLY),
    }
}

pub(super) fn to_decimal(array: &ArrayRef, precision: u8, scale: i8) -> Result<ArrayRef, Refused> {
    type To = Decimal128Type;
    let target = &DataType::Decimal128(precision, scale);
    let bound = 10_u128.pow(precision.into());
    let fit = |(value, from)| scaled(value, from, scale, bound);
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

//! The text of values in columns declared JSON: compact, as Python's `json.dumps` writes it without spaces.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder, downcast_integer};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};

use super::cast::cast;
use super::exact::NOT_FINITE;
use super::refused::{Reason, Refused, Why, reencode};

const NO_JSON: Reason = "only text, numbers, booleans, lists and structs can be";

/// Appends a string with its quotes.
pub fn write_json_text(out: &mut String, text: &str) {
    out.push_str(&serde_json::to_string(text).expect("every string has JSON text"));
}

/// Appends the shortest text from which the same double is read, with an exponent where Python writes one. Fails for
/// NaN and infinities, which JSON does not have.
pub fn write_json_double(out: &mut String, value: f64) -> Result<(), Why> {
    if !value.is_finite() {
        return Err(NOT_FINITE.into());
    }
    let shortest = format!("{value:e}");
    let (digits, exponent) = shortest.split_once('e').expect("a float is written with an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is an integer");
    if (-4..16).contains(&exponent) {
        let start = out.len();
        push(out, format_args!("{value}"));
        if !out[start..].contains('.') {
            out.push_str(".0");
        }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        push(out, format_args!("{digits}e{sign}{:02}", exponent.unsigned_abs()));
    }
    Ok(())
}

/// Appends the shortest text from which the same float of single precision is read.
pub fn write_json_single(out: &mut String, value: f32) -> Result<(), Why> {
    let shortest: f64 = value.to_string().parse().map_err(|_| Why::from(NOT_FINITE))?;
    write_json_double(out, shortest)
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string can be written to");
}

/// Returns valid JSON text without the white space around its values.
pub(super) fn compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut is_inside, mut is_escaped) = (false, false);
    for character in text.chars() {
        if !is_inside && matches!(character, ' ' | '\t' | '\n' | '\r') {
            continue;
        }
        if character == '"' && !is_escaped {
            is_inside = !is_inside;
        }
        is_escaped = is_inside && character == '\\' && !is_escaped;
        out.push(character);
    }
    out
}

/// Casts values of any type that JSON has to its text; text stays as it is.
pub(super) fn to_json(array: &ArrayRef) -> Result<ArrayRef, Refused> {
    match array.data_type() {
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => cast(array, &DataType::Utf8),
        DataType::Dictionary(_, values) => to_json(&reencode(array, values)?),
        DataType::RunEndEncoded(_, values) => to_json(&reencode(array, values.data_type())?),
        _ => {
            let mut texts = StringBuilder::with_capacity(array.len(), 0);
            let mut text = String::new();
            for row in 0..array.len() {
                if array.is_null(row) {
                    texts.append_null();
                    continue;
                }
                text.clear();
                write_value(&mut text, array, row).map_err(|why| Refused { row, why })?;
                if texts.values_slice().len() + text.len() > i32::MAX as usize {
                    return Err(Refused::new(row, "the batch holds more than the 2 GiB that one can"));
                }
                texts.append_value(&text);
            }
            Ok(Arc::new(texts.finish()))
        }
    }
}

fn write_value(out: &mut String, array: &ArrayRef, row: usize) -> Result<(), Why> {
    macro_rules! integers {
        ($t:ty) => {
            push(out, format_args!("{}", array.as_primitive::<$t>().value(row)))
        };
    }
    if array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    downcast_integer! {
        array.data_type() => (integers),
        DataType::Boolean => out.push_str(if array.as_boolean().value(row) { "true" } else { "false" }),
        DataType::Float16 => write_json_single(out, array.as_primitive::<Float16Type>().value(row).to_f32())?,
        DataType::Float32 => write_json_single(out, array.as_primitive::<Float32Type>().value(row))?,
        DataType::Float64 => write_json_double(out, array.as_primitive::<Float64Type>().value(row))?,
        DataType::Utf8 => write_json_text(out, array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => write_json_text(out, array.as_string::<i64>().value(row)),
        DataType::Utf8View => write_json_text(out, array.as_string_view().value(row)),
        DataType::List(_) => write_list(out, &array.as_list::<i32>().value(row))?,
        DataType::LargeList(_) => write_list(out, &array.as_list::<i64>().value(row))?,
        DataType::FixedSizeList(..) => write_list(out, &array.as_fixed_size_list().value(row))?,
        DataType::Struct(fields) => {
            for (place, (field, column)) in fields.iter().zip(array.as_struct().columns()).enumerate() {
                out.push(if place == 0 { '{' } else { ',' });
                write_json_text(out, field.name());
                out.push(':');
                write_value(out, column, row)?;
            }
            out.push_str(if fields.is_empty() { "{}" } else { "}" });
        }
        DataType::Null => out.push_str("null"),
        DataType::Dictionary(_, values) => {
            let value = reencode(&array.slice(row, 1), values).map_err(|refused| refused.why)?;
            write_value(out, &value, 0)?;
        }
        _ => return Err(NO_JSON.into()),
    }
    Ok(())
}

fn write_list(out: &mut String, elements: &ArrayRef) -> Result<(), Why> {
    out.push('[');
    for row in 0..elements.len() {
        if row > 0 {
            out.push(',');
        }
        write_value(out, elements, row)?;
    }
    out.push(']');
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, Float64Array, Int64Array, ListArray, StructArray};
    use arrow::datatypes::{Field, Int64Type};

    use super::*;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (-1.5e300, "-1.5e+300"),
            (5e-324, "5e-324"),
            (123_456_789.125, "123456789.125"),
        ] {
            let mut out = String::new();
            write_json_double(&mut out, value).expect("is finite");
            assert_eq!(out, expected);
        }
        let mut out = String::new();
        write_json_single(&mut out, 0.1).expect("is finite");
        assert_eq!(out, "0.1");
        assert!(write_json_double(&mut out, f64::NAN).is_err());
        assert!(write_json_single(&mut out, f32::INFINITY).is_err());
    }

    #[test]
    fn text_is_escaped_and_white_space_between_values_is_left_out() {
        let mut out = String::new();
        write_json_text(&mut out, "a\"\\\n\u{1}ä\u{7f}");
        assert_eq!(out, "\"a\\\"\\\\\\n\\u0001ä\u{7f}\"");
        assert_eq!(compact(" { \"a b\" : [ 1 ,\n\"\\\" \\\\\" , 1.0 ] }\t"), r#"{"a b":[1,"\" \\",1.0]}"#);
    }

    #[test]
    fn arrow_values_become_text_and_what_json_lacks_is_refused() {
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([
            Some(vec![Some(1), None]),
            None,
            Some(Vec::new()),
        ]));
        let texts: ArrayRef = Arc::new(arrow::array::StringArray::from(vec![Some("x"), None, Some("")]));
        let field = |name: &str, array: &ArrayRef| Arc::new(Field::new(name, array.data_type().clone(), true));
        let rows: ArrayRef = Arc::new(StructArray::from(vec![
            (field("l", &lists), Arc::clone(&lists)),
            (field("t", &texts), Arc::clone(&texts)),
        ]));
        let written = |array: &ArrayRef| {
            let texts = to_json(array).expect("is JSON");
            texts.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>()
        };
        let some = |text: &str| Some(text.to_owned());
        let expected = [r#"{"l":[1,null],"t":"x"}"#, r#"{"l":null,"t":null}"#, r#"{"l":[],"t":""}"#];
        assert_eq!(written(&rows), expected.map(some));
        assert_eq!(written(&lists), [some("[1,null]"), None, some("[]")]);
        assert_eq!(written(&texts), [some("x"), None, some("")]);
        assert_eq!(written(&(Arc::new(Int64Array::from(vec![7])) as ArrayRef)), [some("7")]);
        let refused = |array: ArrayRef| to_json(&array).expect_err("is no JSON").row;
        assert_eq!(refused(Arc::new(Float64Array::from(vec![1.0, f64::NAN]))), 1);
        assert_eq!(refused(Arc::new(Date32Array::from(vec![None, Some(1)]))), 1);
    }
}

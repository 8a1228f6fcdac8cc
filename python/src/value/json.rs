//! Writes Python values as the text of a column declared JSON: compact, as `json.dumps` writes it.

use laminardb_bridge::ingest::{write_json_double, write_json_single, write_json_text};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyList, PyString, PyTuple};

use super::cells::Refusal;
use super::scalar::{Scalar, recognise};

/// How deep lists and dicts may lie in each other; a list that holds itself is deeper than any limit.
const DEEPEST: usize = 200;

/// Returns the text of a value. Values that JSON does not have are refused.
pub(super) fn json_text(value: &Bound<'_, PyAny>) -> Result<String, Refusal> {
    let mut out = String::new();
    write(&mut out, value, 0)?;
    Ok(out)
}

fn write(out: &mut String, value: &Bound<'_, PyAny>, depth: usize) -> Result<(), Refusal> {
    if depth > DEEPEST {
        return Err(Refusal::TooDeep(DEEPEST));
    }
    match recognise(value)? {
        Scalar::Null => out.push_str("null"),
        Scalar::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Scalar::Int(value) => write_int(out, &value)?,
        Scalar::Float(value) => write_json_double(out, value)?,
        Scalar::Single(value) => write_json_single(out, value)?,
        Scalar::Text(value) => write_json_text(out, text(&value)?),
        Scalar::Sequence(values) => write_list(out, &values, depth)?,
        Scalar::Mapping(values) => write_dict(out, &values, depth)?,
        _ => return Err(Refusal::Unfit),
    }
    Ok(())
}

/// Lone surrogates cannot be encoded as UTF-8.
fn text<'a>(value: &'a Bound<'_, PyString>) -> Result<&'a str, Refusal> {
    value.to_str().map_err(|_| Refusal::Unfit)
}

fn write_int(out: &mut String, value: &Bound<'_, PyInt>) -> Result<(), Refusal> {
    if let Ok(small) = value.extract::<i64>() {
        out.push_str(&small.to_string());
        return Ok(());
    }
    // That of int itself, since a derived class may show itself in another way. It fails beyond the number of digits
    // to which Python limits the conversion.
    let py = value.py();
    let digits = py.get_type::<PyInt>().call_method1(intern!(py, "__repr__"), (value,)).map_err(|_| Refusal::Unfit)?;
    out.push_str(text(digits.cast::<PyString>().map_err(PyErr::from)?)?);
    Ok(())
}

fn write_list(out: &mut String, values: &Bound<'_, PyAny>, depth: usize) -> Result<(), Refusal> {
    out.push('[');
    let mut each = |(place, value): (usize, Bound<'_, PyAny>)| {
        if place > 0 {
            out.push(',');
        }
        write(out, &value, depth + 1)
    };
    if let Ok(values) = values.cast::<PyList>() {
        values.iter().enumerate().try_for_each(&mut each)?;
    } else {
        values.cast::<PyTuple>().map_err(PyErr::from)?.iter().enumerate().try_for_each(&mut each)?;
    }
    out.push(']');
    Ok(())
}

fn write_dict(out: &mut String, values: &Bound<'_, PyDict>, depth: usize) -> Result<(), Refusal> {
    out.push('{');
    // A copy, since inspecting values may run Python code that changes the dict.
    for (place, (key, value)) in values.copy()?.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        write_json_text(out, text(key.cast::<PyString>().map_err(|_| Refusal::Unfit)?)?);
        out.push(':');
        write(out, &value, depth + 1)?;
    }
    out.push('}');
    Ok(())
}

//! Converts schemas given from Python: type strings and Arrow schemas.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use laminardb_bridge::Error;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::capsule;
use crate::error::raised;

/// Converts a dict of column names and type strings, or an Arrow schema.
pub(crate) fn from_python(schema: &Bound<'_, PyAny>) -> PyResult<SchemaRef> {
    let py = schema.py();
    // Checked first, since some Arrow-compatible schemas are also dicts.
    if let Some(schema) = capsule::schema_of(schema)? {
        return stored(py, &schema);
    }
    let Ok(dict) = schema.cast::<PyDict>() else {
        let class = schema.get_type().name()?;
        return Err(PyTypeError::new_err(format!("a schema is a dict or an Arrow schema, not {class}")));
    };
    let mut fields = Vec::with_capacity(dict.len());
    // Iterates over a copy, since other threads may change the dict meanwhile.
    for (name, type_name) in dict.copy()?.iter() {
        let name = name.cast::<PyString>().map_err(|_| PyTypeError::new_err("column names must be strings"))?;
        let type_name =
            type_name.cast::<PyString>().map_err(|_| PyTypeError::new_err("column types must be strings"))?;
        let type_name = type_name.to_str()?;
        let data_type = data_type(type_name)
            .ok_or_else(|| raised(py, &Error::InvalidSchema(format!("Unknown type: {type_name}"))))?;
        fields.push(Field::new(name.to_str()?, data_type, true));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// Returns the type that a type string names.
fn data_type(text: &str) -> Option<DataType> {
    let lower = text.trim().to_lowercase();
    Some(match lower.as_str() {
        "int8" | "i8" => DataType::Int8,
        "int16" | "i16" => DataType::Int16,
        "int32" | "i32" | "int" => DataType::Int32,
        "int64" | "i64" => DataType::Int64,
        "uint8" | "u8" => DataType::UInt8,
        "uint16" | "u16" => DataType::UInt16,
        "uint32" | "u32" => DataType::UInt32,
        "uint64" | "u64" => DataType::UInt64,
        // No column keeps 16-bit floats, so they are stored as 32-bit ones.
        "float16" | "f16" | "float32" | "f32" | "float" => DataType::Float32,
        "float64" | "f64" | "double" => DataType::Float64,
        "bool" | "boolean" => DataType::Boolean,
        "string" | "str" | "utf8" | "large_string" | "large_utf8" => DataType::Utf8,
        "binary" | "bytes" => DataType::Binary,
        "date32" | "date" => DataType::Date32,
        "time" => DataType::Time64(TimeUnit::Microsecond),
        "timestamp" | "datetime" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        other => return decimal(other),
    })
}

fn decimal(text: &str) -> Option<DataType> {
    let inside = text.strip_prefix("decimal(")?.strip_suffix(')')?;
    let (precision, scale) = inside.split_once(',')?;
    let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse::<i8>().ok()?);
    let valid = (1..=38).contains(&precision) && scale >= 0 && scale.unsigned_abs() <= precision;
    valid.then_some(DataType::Decimal128(precision, scale))
}

/// Returns `schema` with each type as it is stored: one string type, one binary type, and UTC for zones.
fn stored(py: Python<'_>, schema: &Schema) -> PyResult<SchemaRef> {
    let fields = schema.fields().iter().map(|field| {
        let data_type = stored_type(field.data_type()).ok_or_else(|| {
            let detail = format!("column '{}': type {} cannot be stored", field.name(), field.data_type());
            raised(py, &Error::InvalidSchema(detail))
        })?;
        Ok(Field::new(field.name(), data_type, field.is_nullable()))
    });
    Ok(Arc::new(Schema::new(fields.collect::<PyResult<Vec<_>>>()?)))
}

fn stored_type(data_type: &DataType) -> Option<DataType> {
    let stored_field =
        |field: &Field| Some(Arc::new(Field::new(field.name(), stored_type(field.data_type())?, field.is_nullable())));
    Some(match data_type {
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Float32
        | DataType::Float64
        | DataType::Date32
        | DataType::Time64(TimeUnit::Microsecond)
        | DataType::Timestamp(_, None) => data_type.clone(),
        DataType::Float16 => DataType::Float32,
        DataType::Decimal128(_, scale) if *scale >= 0 => data_type.clone(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Dictionary(_, values) if stored_type(values)? == DataType::Utf8 => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("UTC".into())),
        DataType::List(field) | DataType::LargeList(field) => DataType::List(stored_field(field)?),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|field| stored_field(field)).collect::<Option<Vec<_>>>()?.into())
        }
        _ => return None,
    })
}

//! Converts between SQL types and Arrow types.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, TimeUnit};
use sqlparser::ast::{self, ArrayElemTypeDef, ExactNumberInfo, TimezoneInfo};

use crate::error::PlanError;

/// The zone of every TIMESTAMPTZ.
const UTC: &str = "UTC";

/// Maximum nesting of a type. Types are compared, shown and dropped by recursion on whatever stack there is.
const DEPTH_LIMIT: usize = 64;

/// Returns the Arrow type in which a SQL type is stored; fails for types that are not supported, and for those that are
/// nested too deeply.
pub fn sql_type(sql: &ast::DataType) -> Result<DataType, PlanError> {
    nested_type(sql, 0)
}

/// Returns the Arrow type of a SQL type that is inside `depth` others.
fn nested_type(sql: &ast::DataType, depth: usize) -> Result<DataType, PlanError> {
    use ast::DataType as Sql;
    if depth > DEPTH_LIMIT {
        return Err(PlanError::schema(format!("the type is nested too deeply (limit {DEPTH_LIMIT})")));
    }
    Ok(match sql {
        Sql::Bool | Sql::Boolean => DataType::Boolean,
        Sql::TinyInt(_) => DataType::Int8,
        Sql::SmallInt(_) | Sql::Int2(_) | Sql::Int16 => DataType::Int16,
        Sql::Int(_) | Sql::Integer(_) | Sql::Int4(_) | Sql::Int32 => DataType::Int32,
        Sql::BigInt(_) | Sql::Int8(_) | Sql::Int64 => DataType::Int64,
        Sql::UTinyInt | Sql::TinyIntUnsigned(_) | Sql::UInt8 => DataType::UInt8,
        Sql::USmallInt | Sql::SmallIntUnsigned(_) | Sql::Int2Unsigned(_) | Sql::UInt16 => DataType::UInt16,
        Sql::IntUnsigned(_) | Sql::IntegerUnsigned(_) | Sql::Int4Unsigned(_) | Sql::UInt32 => DataType::UInt32,
        Sql::UBigInt | Sql::BigIntUnsigned(_) | Sql::Int8Unsigned(_) | Sql::UInt64 => DataType::UInt64,
        Sql::Real | Sql::Float4 | Sql::Float32 | Sql::Float(ExactNumberInfo::None) => DataType::Float32,
        Sql::Float(ExactNumberInfo::Precision(bits)) if *bits <= 24 => DataType::Float32,
        Sql::Float(ExactNumberInfo::Precision(bits)) if *bits <= 53 => DataType::Float64,
        Sql::Double(ExactNumberInfo::None) | Sql::DoublePrecision | Sql::Float8 | Sql::Float64 => DataType::Float64,
        Sql::Decimal(info) | Sql::Numeric(info) | Sql::Dec(info) => decimal(info)?,
        Sql::Char(_) | Sql::Character(_) | Sql::Varchar(_) | Sql::CharacterVarying(_) | Sql::CharVarying(_) => {
            DataType::Utf8
        }
        Sql::Nvarchar(_) | Sql::Text | Sql::String(_) | Sql::JSON | Sql::JSONB | Sql::Uuid => DataType::Utf8,
        Sql::Binary(_) | Sql::Varbinary(_) | Sql::Blob(_) | Sql::Bytea | Sql::Bytes(_) => DataType::Binary,
        Sql::Date | Sql::Date32 => DataType::Date32,
        Sql::Time(None | Some(6), TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            DataType::Time64(TimeUnit::Microsecond)
        }
        Sql::Timestamp(precision, zone) => timestamp(*precision, zone, sql)?,
        Sql::Datetime(precision) => timestamp(*precision, &TimezoneInfo::None, sql)?,
        Sql::Interval { fields: None, precision: None } => DataType::Interval(IntervalUnit::MonthDayNano),
        Sql::Array(ArrayElemTypeDef::AngleBracket(item) | ArrayElemTypeDef::SquareBracket(item, None)) => {
            DataType::List(Arc::new(Field::new_list_field(nested_type(item, depth + 1)?, true)))
        }
        Sql::Struct(fields, _) => DataType::Struct(struct_fields(fields, depth + 1)?),
        Sql::Custom(name, arguments) if arguments.is_empty() => custom(name, sql)?,
        _ => return Err(unsupported(sql)),
    })
}

fn unsupported(sql: &ast::DataType) -> PlanError {
    PlanError::schema(format!("type {sql} is not supported"))
}

fn decimal(info: &ExactNumberInfo) -> Result<DataType, PlanError> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => (38, 9),
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(p @ 1..=38), Ok(s)) if s >= 0 && s.unsigned_abs() <= p => Ok(DataType::Decimal128(p, s)),
        _ => Err(PlanError::schema(format!(
            "DECIMAL({precision}, {scale}) is not possible: the precision is 1 to 38, the scale at most the precision"
        ))),
    }
}

fn timestamp(precision: Option<u64>, zone: &TimezoneInfo, sql: &ast::DataType) -> Result<DataType, PlanError> {
    let unit = match precision {
        Some(0) => TimeUnit::Second,
        Some(3) => TimeUnit::Millisecond,
        None | Some(6) => TimeUnit::Microsecond,
        Some(9) => TimeUnit::Nanosecond,
        Some(_) => return Err(unsupported(sql)),
    };
    let zoned = matches!(zone, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone);
    Ok(DataType::Timestamp(unit, zoned.then(|| UTC.into())))
}

fn struct_fields(fields: &[ast::StructField], depth: usize) -> Result<Fields, PlanError> {
    let field = |field: &ast::StructField| {
        let name = field.field_name.as_ref().ok_or_else(|| PlanError::schema("a field of a STRUCT needs a name"))?;
        Ok(Field::new(super::Name::of(name).value, nested_type(&field.field_type, depth)?, true))
    };
    fields.iter().map(field).collect()
}

/// Returns the type for names that are not keywords of the parser.
fn custom(name: &ast::ObjectName, sql: &ast::DataType) -> Result<DataType, PlanError> {
    Ok(match name.to_string().to_lowercase().as_str() {
        "utinyint" => DataType::UInt8,
        "usmallint" => DataType::UInt16,
        "uinteger" | "uint" => DataType::UInt32,
        "ubigint" => DataType::UInt64,
        "string" => DataType::Utf8,
        "timestamp_s" => DataType::Timestamp(TimeUnit::Second, None),
        "timestamp_ms" => DataType::Timestamp(TimeUnit::Millisecond, None),
        "timestamp_us" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamp_ns" => DataType::Timestamp(TimeUnit::Nanosecond, None),
        "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        _ => return Err(unsupported(sql)),
    })
}

/// Returns the SQL name of a stored or computed type, as DESCRIBE shows it.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "NULL".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INTEGER".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::UInt8 => "UTINYINT".into(),
        DataType::UInt16 => "USMALLINT".into(),
        DataType::UInt32 => "UINTEGER".into(),
        DataType::UInt64 => "UBIGINT".into(),
        DataType::Float32 => "REAL".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(p, s) => format!("DECIMAL({p},{s})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BLOB".into(),
        DataType::Date32 | DataType::Date64 => "DATE".into(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".into(),
        DataType::Timestamp(unit, zone) => timestamp_name(*unit, zone.is_some()),
        DataType::Duration(_) | DataType::Interval(_) => "INTERVAL".into(),
        DataType::List(item) | DataType::LargeList(item) => format!("{}[]", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|field| format!("{} {}", field.name(), type_name(field.data_type()))).collect();
            format!("STRUCT({})", fields.join(", "))
        }
        other => other.to_string(),
    }
}

fn timestamp_name(unit: TimeUnit, zoned: bool) -> String {
    let name = if zoned { "TIMESTAMPTZ" } else { "TIMESTAMP" };
    match unit {
        TimeUnit::Second => format!("{name}(0)"),
        TimeUnit::Millisecond => format!("{name}(3)"),
        TimeUnit::Microsecond => name.to_owned(),
        TimeUnit::Nanosecond => format!("{name}(9)"),
    }
}

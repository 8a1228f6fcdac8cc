//! The type that values of several types have in common, where DataFusion's would lose some of them.
//!
//! A DECIMAL beside a REAL or DOUBLE would become a DECIMAL(30, 15), in which 1e-20 is 0 and 1e30 does not fit: it takes
//! the type of the other. A DATE beside a TIMESTAMP would become one in nanoseconds, which have no year 9999: it becomes
//! one in microseconds, unless the other has nanoseconds.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::logical_expr::type_coercion::binary::{comparison_coercion, type_union_coercion};

/// The type in which values of two types are compared; none if they cannot be.
pub(crate) fn comparison_type(left: &DataType, right: &DataType) -> Option<DataType> {
    wider(left, right).or_else(|| comparison_coercion(left, right))
}

/// The type of a column that has values of two types; none if there is none.
pub(crate) fn union_type(left: &DataType, right: &DataType) -> Option<DataType> {
    wider(left, right).or_else(|| type_union_coercion(left, right))
}

/// The common type of two, where it is not DataFusion's.
pub(crate) fn wider(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::{Date32, Decimal128, List, Timestamp};
    match (left, right) {
        (Decimal128(..), float) | (float, Decimal128(..)) if float.is_floating() => Some(float.clone()),
        (Date32, Timestamp(unit, zone)) | (Timestamp(unit, zone), Date32) => {
            let unit = if *unit == TimeUnit::Nanosecond { TimeUnit::Nanosecond } else { TimeUnit::Microsecond };
            Some(Timestamp(unit, zone.clone()))
        }
        (List(left), List(right)) => {
            let item = wider(left.data_type(), right.data_type())?;
            Some(List(Arc::new(Field::new(left.name(), item, true))))
        }
        _ => None,
    }
}

/// The common type of all, if that of some two of them is not DataFusion's.
pub(crate) fn widest(types: &[DataType]) -> Option<DataType> {
    let differs =
        types.iter().enumerate().any(|(at, left)| types[..at].iter().any(|right| wider(left, right).is_some()));
    if !differs {
        return None;
    }
    types.iter().skip(1).try_fold(types[0].clone(), |common, other| union_type(&common, other))
}

//! The type that values of several types have in common, where DataFusion's would lose some of them.
//!
//! A DECIMAL beside a REAL or DOUBLE would become a DECIMAL(30, 15), in which 1e-20 is 0 and 1e30 does not fit: it takes
//! the type of the other. A DATE beside a TIMESTAMP would become one in nanoseconds, which have no year 9999: it becomes
//! one in microseconds, unless the other has nanoseconds. In one column, DECIMALs that have more than 38 digits together
//! keep those before the point.

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, TimeUnit};
use datafusion::logical_expr::type_coercion::binary::{comparison_coercion, type_union_coercion};

/// [`wider`] or [`wider_column`].
pub(crate) type Wider = fn(&DataType, &DataType) -> Option<DataType>;

/// The type in which values of two types are compared; none if they cannot be.
pub(crate) fn comparison_type(left: &DataType, right: &DataType) -> Option<DataType> {
    wider(left, right).or_else(|| comparison_coercion(left, right))
}

/// The type of a column that has values of two types; none if there is none.
pub(crate) fn union_type(left: &DataType, right: &DataType) -> Option<DataType> {
    wider_column(left, right).or_else(|| type_union_coercion(left, right))
}

/// The common type of two in one column, where it is not DataFusion's.
pub(crate) fn wider_column(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::{Decimal128, List};
    match (left, right) {
        (Decimal128(precision, scale), Decimal128(other_precision, other_scale)) => {
            let whole = (*precision as i8 - scale).max(*other_precision as i8 - other_scale);
            let places = DECIMAL128_MAX_PRECISION as i8 - whole;
            (places < *scale.max(other_scale)).then_some(Decimal128(DECIMAL128_MAX_PRECISION, places))
        }
        (List(left), List(right)) => list_of(left, wider_column(left.data_type(), right.data_type())),
        _ => wider(left, right),
    }
}

/// The common type of two that are compared or computed with, where it is not DataFusion's.
pub(crate) fn wider(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::{Date32, Decimal128, List, Timestamp};
    match (left, right) {
        (Decimal128(..), float) | (float, Decimal128(..)) if float.is_floating() => Some(float.clone()),
        (Date32, Timestamp(unit, zone)) | (Timestamp(unit, zone), Date32) => {
            let unit = if *unit == TimeUnit::Nanosecond { TimeUnit::Nanosecond } else { TimeUnit::Microsecond };
            Some(Timestamp(unit, zone.clone()))
        }
        (List(left), List(right)) => list_of(left, wider(left.data_type(), right.data_type())),
        _ => None,
    }
}

fn list_of(like: &Field, item: Option<DataType>) -> Option<DataType> {
    Some(DataType::List(Arc::new(Field::new(like.name(), item?, true))))
}

/// The common type of all, if that of some two of them is not DataFusion's: `wider` knows these.
pub(crate) fn widest(types: &[DataType], wider: Wider) -> Option<DataType> {
    let differs =
        types.iter().enumerate().any(|(at, left)| types[..at].iter().any(|right| wider(left, right).is_some()));
    if !differs {
        return None;
    }
    types.iter().skip(1).try_fold(types[0].clone(), |common, other| {
        wider(&common, other).or_else(|| type_union_coercion(&common, other))
    })
}

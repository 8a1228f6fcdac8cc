//! Finds the common type of values of several types, where DataFusion's choice would lose some of the values.
//!
//! For a DECIMAL and a REAL or DOUBLE, DataFusion chooses DECIMAL(30, 15), in which 1e-20 is 0 and 1e30 does not fit;
//! here the floating-point type wins. For a DATE and a TIMESTAMP it chooses nanoseconds, which cannot hold the year
//! 9999; here the result has microseconds, unless the TIMESTAMP has nanoseconds already. If DECIMALs in one column need
//! more than 38 digits together, the digits before the point are kept.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, TimeUnit};
use datafusion::logical_expr::type_coercion::binary::{comparison_coercion, type_union_coercion};

/// The type of [`wider`] and [`wider_column`].
pub(crate) type Wider = fn(&DataType, &DataType) -> Option<DataType>;

/// Returns the type in which values of the two types are compared, or `None` if they cannot be compared.
pub(crate) fn comparison_type(left: &DataType, right: &DataType) -> Option<DataType> {
    wider(left, right).or_else(|| comparison_coercion(left, right))
}

/// Returns the type of a column that holds values of both types, or `None` if there is no such type.
pub(crate) fn union_type(left: &DataType, right: &DataType) -> Option<DataType> {
    wider_column(left, right).or_else(|| type_union_coercion(left, right))
}

/// Returns the common type of two types in one column, or `None` where DataFusion's choice is right.
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

/// Returns the common type of two types in a comparison or computation, or `None` where DataFusion's choice is right.
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

/// Returns the common type of all `types`, or `None` if `wider` has no answer for any two of them.
pub(crate) fn widest(types: &[DataType], wider: Wider) -> Option<DataType> {
    // Each type once: a list can have a million values, but of a few types only.
    let mut seen = HashSet::new();
    let types: Vec<&DataType> = types.iter().filter(|data_type| seen.insert(*data_type)).collect();
    let differs =
        types.iter().enumerate().any(|(at, left)| types[..at].iter().any(|right| wider(left, right).is_some()));
    if !differs {
        return None;
    }
    types.iter().skip(1).try_fold(types[0].clone(), |common, other| {
        wider(&common, other).or_else(|| type_union_coercion(&common, other))
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static ASKED: Cell<usize> = const { Cell::new(0) };
    }

    fn counting(left: &DataType, right: &DataType) -> Option<DataType> {
        ASKED.set(ASKED.get() + 1);
        wider_column(left, right)
    }

    /// Each value was compared with each, so an INSERT of 100,000 rows did not end.
    #[test]
    fn the_types_of_many_values_are_compared_once() {
        let (decimal, float) = (DataType::Decimal128(5, 2), DataType::Float64);
        let types: Vec<DataType> =
            (0..100_000).map(|row| if row % 3 == 0 { decimal.clone() } else { float.clone() }).collect();
        assert_eq!(widest(&types, counting), Some(float));
        assert_eq!(widest(&vec![decimal; 100_000], counting), None);
        assert!(ASKED.get() < 10, "{} comparisons", ASKED.get());
    }
}

//! Parameters of a statement, bound as literals.

use arrow::array::ArrayRef;
use datafusion::common::ScalarValue;

use crate::error::PlanError;

/// Values for `?` and `$n` (by position) and `$name`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {
    positional: Vec<ScalarValue>,
    named: Vec<(String, ScalarValue)>,
}

impl Params {
    /// No parameters.
    pub fn none() -> Self {
        Params::default()
    }

    /// Parameters from arrays of one row: by position, and by name.
    pub fn from_arrays(positional: &[ArrayRef], named: &[(String, ArrayRef)]) -> Result<Self, PlanError> {
        let scalar = |array: &ArrayRef| {
            if array.is_empty() {
                return Err(PlanError::invalid("a parameter needs one value"));
            }
            Ok(ScalarValue::try_from_array(array, 0)?)
        };
        Ok(Params {
            positional: positional.iter().map(scalar).collect::<Result<_, _>>()?,
            named: named
                .iter()
                .map(|(name, array)| Ok((name.clone(), scalar(array)?)))
                .collect::<Result<_, PlanError>>()?,
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.positional.is_empty() && self.named.is_empty()
    }

    /// The value of the placeholder `$1`, `$name`.
    pub(crate) fn value(&self, placeholder: &str) -> Result<&ScalarValue, PlanError> {
        let name = placeholder.trim_start_matches(['$', '?']);
        match name.parse::<usize>() {
            Ok(number) => number.checked_sub(1).and_then(|idx| self.positional.get(idx)).ok_or_else(|| {
                PlanError::invalid(format!("parameter {number} is missing: {} given", self.positional.len()))
            }),
            Err(_) => self
                .named
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value)
                .ok_or_else(|| PlanError::invalid(format!("parameter ${name} is missing"))),
        }
    }
}

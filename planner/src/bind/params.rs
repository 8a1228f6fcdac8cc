//! Parameters of a statement, bound as literals.

use std::ops::ControlFlow;

use arrow::array::ArrayRef;
use datafusion::common::ScalarValue;
use sqlparser::ast::{Value, ValueWithSpan, VisitMut, VisitorMut};

use crate::error::PlanError;
use crate::statement::Parsed;

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

    /// The values as arrays of one row, from which [`Params::from_arrays`] makes the same parameters.
    pub fn to_arrays(&self) -> Result<(Vec<ArrayRef>, Vec<(String, ArrayRef)>), PlanError> {
        let positional = self.positional.iter().map(|value| Ok(value.to_array()?));
        let named = self.named.iter().map(|(name, value)| Ok((name.clone(), value.to_array()?)));
        Ok((positional.collect::<Result<_, PlanError>>()?, named.collect::<Result<_, PlanError>>()?))
    }

    /// Those that a statement asks for, under the same numbers and names.
    #[must_use]
    pub fn used_by(&self, statement: &Parsed) -> Params {
        let asked = |wanted: &str| statement.parameters.iter().any(|name| name == wanted);
        let mut positional: Vec<ScalarValue> = Vec::new();
        for (idx, value) in self.positional.iter().enumerate() {
            if asked(&(idx + 1).to_string()) {
                positional.resize(idx, ScalarValue::Null);
                positional.push(value.clone());
            }
        }
        let named = self.named.iter().filter(|(name, _)| asked(name)).cloned().collect();
        Params { positional, named }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.positional.is_empty() && self.named.is_empty()
    }

    /// Numbers the placeholders of a statement and gives their values by number.
    pub(super) fn number<T: VisitMut>(&self, statement: &mut T) -> Result<Vec<ScalarValue>, PlanError> {
        let mut placeholders = Placeholders { params: self, names: Vec::new(), values: Vec::new() };
        match statement.visit(&mut placeholders) {
            ControlFlow::Break(error) => Err(*error),
            ControlFlow::Continue(()) => Ok(placeholders.values),
        }
    }

    /// Fails when a value is given that no statement of a text asks for: a mistake in the one or the other.
    pub fn all_used(&self, statements: &[Parsed]) -> Result<(), PlanError> {
        let asked = |wanted: &str| statements.iter().flat_map(|parsed| &parsed.parameters).any(|name| name == wanted);
        if let Some(number) = (1..=self.positional.len()).find(|number| !asked(&number.to_string())) {
            let given = self.positional.len();
            return Err(PlanError::invalid(format!("{given} parameters given, but parameter {number} is not used")));
        }
        match self.named.iter().find(|(name, _)| !asked(name)) {
            Some((name, _)) => Err(PlanError::invalid(format!("parameter ${name} is given, but not used"))),
            None => Ok(()),
        }
    }

    /// The value of the placeholder `$1`, `$name`.
    fn value(&self, placeholder: &str) -> Result<&ScalarValue, PlanError> {
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

struct Placeholders<'a> {
    params: &'a Params,
    names: Vec<String>,
    values: Vec<ScalarValue>,
}

impl VisitorMut for Placeholders<'_> {
    type Break = Box<PlanError>;

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<Self::Break> {
        let Value::Placeholder(name) = &mut value.value else { return ControlFlow::Continue(()) };
        let slot = match self.names.iter().position(|known| known == name) {
            Some(slot) => slot,
            None => {
                match self.params.value(name) {
                    Ok(value) => self.values.push(value.clone()),
                    Err(error) => return ControlFlow::Break(Box::new(error)),
                }
                self.names.push(name.clone());
                self.names.len() - 1
            }
        };
        *name = format!("${}", slot + 1);
        ControlFlow::Continue(())
    }
}

//! The parameters of a statement, which are bound as literals.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use arrow::array::{Array, ArrayRef};
use datafusion::common::ScalarValue;
use sqlparser::ast::{self, CastKind, Expr, Value, ValueWithSpan, VisitMut, VisitorMut};

use crate::error::PlanError;
use crate::statement::{Parsed, type_name};

/// The values for `?` and `$n` (by position) and for `$name`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {
    positional: Vec<ScalarValue>,
    named: Vec<(String, ScalarValue)>,
}

impl Params {
    /// Returns no parameters.
    pub fn none() -> Self {
        Params::default()
    }

    /// Makes parameters from arrays of one row, by position and by name. Fails if an array is empty.
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

    /// Returns the values as arrays of one row, from which [`Params::from_arrays`] makes the same parameters.
    pub fn to_arrays(&self) -> Result<(Vec<ArrayRef>, Vec<(String, ArrayRef)>), PlanError> {
        let positional = self.positional.iter().map(|value| Ok(value.to_array()?));
        let named = self.named.iter().map(|(name, value)| Ok((name.clone(), value.to_array()?)));
        Ok((positional.collect::<Result<_, PlanError>>()?, named.collect::<Result<_, PlanError>>()?))
    }

    /// Returns only the parameters that a statement uses, under the same numbers and names.
    #[must_use]
    pub fn used_by(&self, statement: &Parsed) -> Params {
        let asked = asked([statement]);
        let mut positional: Vec<ScalarValue> = Vec::new();
        for (idx, value) in self.positional.iter().enumerate() {
            if asked.contains(&*(idx + 1).to_string()) {
                positional.resize(idx, ScalarValue::Null);
                // Unused parameters before this one become NULL so that it keeps its number.
                positional.push(value.clone());
            }
        }
        let named = self.named.iter().filter(|(name, _)| asked.contains(&**name)).cloned().collect();
        Params { positional, named }
    }

    /// Returns whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.positional.is_empty() && self.named.is_empty()
    }

    /// Numbers the placeholders of a statement and returns their values by number; fails if a value is missing.
    pub(super) fn number<T: VisitMut>(&self, statement: &mut T) -> Result<Vec<ScalarValue>, PlanError> {
        let named = self.named.iter().map(|(name, value)| (&**name, value)).collect();
        let mut placeholders = Placeholders { params: self, named, slots: HashMap::new(), values: Vec::new() };
        match statement.visit(&mut placeholders) {
            ControlFlow::Break(error) => Err(*error),
            ControlFlow::Continue(()) => Ok(placeholders.values),
        }
    }

    /// Fails if a value is given that none of the statements uses, which must be a mistake.
    pub fn all_used(&self, statements: &[Parsed]) -> Result<(), PlanError> {
        let asked = asked(statements);
        if let Some(number) = (1..=self.positional.len()).find(|number| !asked.contains(&*number.to_string())) {
            let given = self.positional.len();
            return Err(PlanError::invalid(format!("{given} parameters given, but parameter {number} is not used")));
        }
        match self.named.iter().find(|(name, _)| !asked.contains(&**name)) {
            Some((name, _)) => Err(PlanError::invalid(format!("parameter ${name} is given, but not used"))),
            None => Ok(()),
        }
    }
}

/// Returns the names of the parameters that `statements` use.
fn asked<'a>(statements: impl IntoIterator<Item = &'a Parsed>) -> HashSet<&'a str> {
    statements.into_iter().flat_map(|parsed| &parsed.parameters).map(String::as_str).collect()
}

struct Placeholders<'a> {
    params: &'a Params,
    named: HashMap<&'a str, &'a ScalarValue>,
    /// The slots of the placeholders as the user wrote them; slots of list elements have no name.
    slots: HashMap<String, usize>,
    values: Vec<ScalarValue>,
}

impl VisitorMut for Placeholders<'_> {
    type Break = Box<PlanError>;

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<Self::Break> {
        let Value::Placeholder(name) = &mut value.value else { return ControlFlow::Continue(()) };
        let slot = match self.slots.get(name) {
            Some(slot) => *slot,
            None => {
                match self.value(name) {
                    Ok(value) => self.values.push(value.clone()),
                    Err(error) => return ControlFlow::Break(Box::new(error)),
                }
                let slot = self.values.len() - 1;
                self.slots.insert(name.clone(), slot);
                slot
            }
        };
        *name = placeholder(slot);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        // The dialect parses `IN $1` as IN UNNEST of the placeholder.
        let Expr::InUnnest { expr: value, array_expr, negated } = expr else { return ControlFlow::Continue(()) };
        let Some(slot) = slot_of(array_expr) else { return ControlFlow::Continue(()) };
        let value = std::mem::replace(value.as_mut(), truth(None));
        match self.in_list(value, slot, *negated) {
            Ok(list) => *expr = list,
            Err(error) => return ControlFlow::Break(Box::new(error)),
        }
        ControlFlow::Continue(())
    }
}

impl<'a> Placeholders<'a> {
    /// Returns the value of a placeholder such as `$1` or `$name`.
    fn value(&self, placeholder: &str) -> Result<&'a ScalarValue, PlanError> {
        let name = placeholder.trim_start_matches(['$', '?']);
        match name.parse::<usize>() {
            Ok(number) => number.checked_sub(1).and_then(|idx| self.params.positional.get(idx)).ok_or_else(|| {
                let given = self.params.positional.len();
                PlanError::invalid(format!("parameter {number} is missing: {given} given"))
            }),
            Err(_) => {
                let value = self.named.get(name).copied();
                value.ok_or_else(|| PlanError::invalid(format!("parameter ${name} is missing")))
            }
        }
    }

    /// Makes `expr IN` the elements of the list in `slot`, each in a slot of its own.
    fn in_list(&mut self, expr: Expr, slot: usize, negated: bool) -> Result<Expr, PlanError> {
        let Some(elements) = elements(&self.values[slot])? else { return Ok(truth(None)) };
        if elements.is_empty() {
            return Ok(truth(Some(negated)));
        }
        let first = self.values.len();
        self.values.extend(elements);
        let list = (first..self.values.len()).map(|slot| Expr::Value(Value::Placeholder(placeholder(slot)).into()));
        Ok(Expr::InList { expr: Box::new(expr), list: list.collect(), negated })
    }
}

/// Returns the elements of a list, or `None` if it is NULL; fails for a value that is not a list.
fn elements(value: &ScalarValue) -> Result<Option<Vec<ScalarValue>>, PlanError> {
    if value.is_null() {
        return Ok(None);
    }
    let list: ArrayRef = match value {
        ScalarValue::List(list) => list.value(0),
        ScalarValue::LargeList(list) => list.value(0),
        ScalarValue::FixedSizeList(list) => list.value(0),
        other => {
            let found = type_name(&other.data_type());
            return Err(PlanError::invalid(format!("IN takes a list as its parameter, not a value of type {found}")));
        }
    };
    let elements = (0..list.len()).map(|at| Ok(ScalarValue::try_from_array(&list, at)?));
    Ok(Some(elements.collect::<Result<_, PlanError>>()?))
}

/// Makes a BOOLEAN literal, or NULL.
fn truth(value: Option<bool>) -> Expr {
    match value {
        Some(value) => Expr::Value(Value::Boolean(value).into()),
        None => Expr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(Expr::Value(Value::Null.into())),
            data_type: ast::DataType::Boolean,
            array: false,
            format: None,
        },
    }
}

/// Returns the placeholder for the value in `slot`.
fn placeholder(slot: usize) -> String {
    format!("${}", slot + 1)
}

/// Returns the slot that a numbered placeholder refers to.
fn slot_of(expr: &Expr) -> Option<usize> {
    let Expr::Value(ValueWithSpan { value: Value::Placeholder(name), .. }) = expr else { return None };
    name.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1)
}

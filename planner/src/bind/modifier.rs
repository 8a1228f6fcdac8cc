//! Refuses modifiers in calls of scalar functions that only make sense for aggregates and window functions. DataFusion
//! would accept and ignore them.

use std::ops::ControlFlow;

use sqlparser::ast::{self, Expr, FunctionArguments, Query, Spanned, Visit, Visitor};

use crate::error::PlanError;
use crate::function;
use crate::statement::Name;

/// Checks all calls in `query`.
pub(super) fn check(query: &Query) -> Result<(), PlanError> {
    match query.visit(&mut Calls) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Calls;

impl Visitor for Calls {
    type Break = Box<PlanError>;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        let Expr::Function(call) = expr else { return ControlFlow::Continue(()) };
        match modifier(call) {
            Some(modifier) => ControlFlow::Break(Box::new(refused(call, modifier))),
            None => ControlFlow::Continue(()),
        }
    }
}

/// Returns the modifier of a scalar function's call that the function does not accept, if there is one.
fn modifier(call: &ast::Function) -> Option<&'static str> {
    // Destructured in full so that a field added by a later version of the parser cannot be overlooked.
    let ast::Function { name, uses_odbc_syntax: _, parameters, args, filter, null_treatment, over, within_group } =
        call;
    if !matches!(parameters, FunctionArguments::None) {
        return Some("two lists of arguments");
    }
    let [ast::ObjectNamePart::Identifier(name)] = &name.0[..] else { return None };
    function::registry().scalar(&Name::of(name).value)?;
    let (treatment, clauses) = match args {
        FunctionArguments::List(ast::FunctionArgumentList { duplicate_treatment, args: _, clauses }) => {
            (duplicate_treatment.as_ref(), &clauses[..])
        }
        FunctionArguments::None | FunctionArguments::Subquery(_) => (None, &[][..]),
    };
    let modifiers = [
        (treatment.is_some(), "DISTINCT or ALL"),
        (filter.is_some(), "FILTER"),
        (over.is_some(), "OVER"),
        (null_treatment.is_some(), "IGNORE or RESPECT NULLS"),
        (!within_group.is_empty(), "WITHIN GROUP"),
        (!clauses.is_empty(), "a clause among its arguments"),
    ];
    modifiers.into_iter().find(|(there, _)| *there).map(|(_, modifier)| modifier)
}

fn refused(call: &ast::Function, modifier: &str) -> PlanError {
    let start = call.name.span().start;
    let at = if start.line == 0 { String::new() } else { format!(" at line {}, column {}", start.line, start.column) };
    PlanError::invalid(format!("{modifier} is not possible with {}, which is no aggregate{at}", call.name))
}

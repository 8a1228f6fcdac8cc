//! Counts what grows exponentially in DataFusion's binder before it is called, since it cannot be ended.
//!
//! Asked for the field of a CASE, it asks for the type of the branches and again for whether they can be NULL; a
//! function does not know either without the fields of its arguments. So where functions and CASEs alternate, the number
//! of questions doubles at each level. ANY and ALL of a list are written out with copies of their operands.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Query, Visit, Visitor};

use super::literal::is_plain;
use super::operator::is_cell;
use crate::budget;
use crate::error::PlanError;

/// How often ANY or ALL of a list repeats its operands.
const COPIES: usize = 8;

/// Counts the questions for the expressions of `query`, whose names must be resolved, as steps of planning.
pub(super) fn spend(query: &Query) -> Result<(), PlanError> {
    let mut growth = Growth { open: Vec::new() };
    match query.visit(&mut growth) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The number of questions that are asked about an expression.
#[derive(Clone, Copy, Default)]
struct Questions {
    /// For its type, or for whether it can be NULL.
    part: usize,
    /// For its field.
    field: usize,
}

impl Questions {
    fn plus(self, other: Questions) -> Questions {
        Questions { part: self.part.saturating_add(other.part), field: self.field.saturating_add(other.field) }
    }

    /// Returns the questions about `expr`, of whose operands these are.
    fn of(self, expr: &Expr) -> Questions {
        let one = Questions { part: 1, field: 1 };
        match expr {
            expr if is_plain(expr) => Questions::default(),
            Expr::Function(function) if is_cell(function) => self,
            Expr::Function(_) => Questions { part: self.field, field: self.field }.plus(one),
            Expr::Case { .. } => Questions { part: self.part, field: self.part.saturating_mul(2) }.plus(one),
            Expr::AnyOp { .. } | Expr::AllOp { .. } => {
                Questions { part: self.part.saturating_mul(COPIES), field: self.field.saturating_mul(COPIES) }.plus(one)
            }
            _ => self.plus(one),
        }
    }
}

/// The questions about the operands of each expression and query that the visitor is inside of.
struct Growth {
    open: Vec<Questions>,
}

impl Growth {
    fn close(&mut self, questions: impl FnOnce(Questions) -> Questions) -> ControlFlow<Box<PlanError>> {
        let done = questions(self.open.pop().unwrap_or_default());
        match self.open.last_mut() {
            Some(around) => *around = around.plus(done),
            None => {
                if let Err(error) = budget::spend(done.field) {
                    return ControlFlow::Break(Box::new(error));
                }
            }
        }
        ControlFlow::Continue(())
    }
}

impl Visitor for Growth {
    type Break = Box<PlanError>;

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<Self::Break> {
        self.open.push(Questions::default());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<Self::Break> {
        // The expression around a subquery knows its column: what is asked inside is asked once.
        self.close(|inside| Questions { part: 0, field: inside.field })
    }

    fn pre_visit_expr(&mut self, _expr: &Expr) -> ControlFlow<Self::Break> {
        self.open.push(Questions::default());
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        self.close(|operands| operands.of(expr))
    }
}

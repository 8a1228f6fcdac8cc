//! The positions of a query and of the constructs in it that a view can be refused for.
//!
//! A plan has no positions, so they are taken from the syntax tree, by the words that the refusal uses.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Query, Spanned, TableFactor, Visit, Visitor};
use sqlparser::tokenizer::Span;

use crate::error::PlanError;
use crate::{panics, stack};

/// Constructs and the position of the first occurrence of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// The beginning of the query, if it is known.
    start: Option<(u64, u64)>,
    found: Vec<(String, (u64, u64))>,
}

impl Places {
    /// Collects the constructs of `query`; its names must not be resolved yet, because resolved names have no position.
    pub(super) fn of(query: &Query) -> Self {
        let mut places = Places { start: known(query.span()), found: Vec::new() };
        let _: ControlFlow<()> = query.visit(&mut places);
        places
    }

    /// Runs `work`, which plans this query, on a big stack. A panic in it becomes an error with the query's position.
    pub(crate) fn planning<R>(&self, work: impl FnOnce() -> Result<R, PlanError>) -> Result<R, PlanError> {
        panics::caught(|| stack::on_big_stack(work)).unwrap_or_else(|panic| {
            let place =
                self.start.map_or_else(String::new, |(line, column)| format!(" at line {line}, column {column}"));
            Err(PlanError::invalid(format!("the query{place} cannot be planned: {panic}")))
        })
    }

    /// Adds to the error the position of the construct that it refuses, if it is known.
    pub(crate) fn locate(&self, error: PlanError) -> PlanError {
        let PlanError::NotMaintainable { construct, position: None, hint } = error else { return error };
        let position = self.found.iter().find(|(word, _)| names(&construct, word)).map(|(_, place)| *place);
        PlanError::NotMaintainable { construct, position, hint }
    }

    fn add(&mut self, word: impl Into<String>, span: Span) {
        let word = word.into();
        if let Some(place) = known(span)
            && !self.found.iter().any(|(known, _)| *known == word)
        {
            self.found.push((word, place));
        }
    }
}

/// Returns the line and column where a span begins; tokens that are not in the text have none.
fn known(span: Span) -> Option<(u64, u64)> {
    (span.start.line > 0).then_some((span.start.line, span.start.column))
}

/// Returns whether a refusal of `construct` is about `word`: the whole construct, or a function with its parenthesis.
fn names(construct: &str, word: &str) -> bool {
    construct == word || (word.ends_with('(') && construct.split(' ').any(|part| part.starts_with(word)))
}

impl Visitor for Places {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some(with) = query.with.as_ref().filter(|with| with.recursive) {
            self.add("WITH RECURSIVE", with.with_token.0.span);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::UNNEST { .. } => self.add("UNNEST", factor.span()),
            TableFactor::Table { name, args: Some(_), .. } if name.to_string().eq_ignore_ascii_case("unnest") => {
                self.add("UNNEST", factor.span());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => {
                let (name, span) = (function.name.to_string().to_lowercase(), function.name.span());
                if function.over.is_some() {
                    self.add("OVER", span);
                }
                if name == "unnest" {
                    self.add("UNNEST", span);
                }
                self.add(format!("{name}("), span);
            }
            Expr::AnyOp { left, .. } | Expr::AllOp { left, .. } => self.add("ANY or ALL of a subquery", left.span()),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

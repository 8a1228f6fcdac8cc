//! Determines the shown names of output columns.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Function, Ident, ObjectNamePart, VisitMut, VisitorMut};

use super::scope::Column;
use crate::statement::Name;

/// Returns the text of an expression as a column name: unquoted names are folded and spacing is normalised.
pub(super) fn expr_text(expr: &Expr) -> String {
    let mut expr = expr.clone();
    let _: ControlFlow<()> = VisitMut::visit(&mut expr, &mut Fold);
    expr.to_string()
}

struct Fold;

impl Fold {
    fn fold(ident: &mut Ident) {
        ident.value = Name::of(ident).value;
    }
}

impl VisitorMut for Fold {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(ident) => Fold::fold(ident),
            Expr::CompoundIdentifier(idents) => idents.iter_mut().for_each(Fold::fold),
            Expr::Function(Function { name, .. }) => {
                for part in &mut name.0 {
                    if let ObjectNamePart::Identifier(ident) = part {
                        Fold::fold(ident);
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Makes columns with these names, each with a unique internal name.
pub(super) fn unique(names: Vec<String>) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::with_capacity(names.len());
    for (idx, shown) in names.iter().enumerate() {
        let mut internal = shown.clone();
        let mut count = 1;
        while columns.iter().any(|column| column.internal == internal)
            // An invented name must also differ from later names, which then keep their own spelling.
            || (count > 1 && names[idx + 1..].contains(&internal))
        {
            count += 1;
            internal = format!("{shown}#{count}");
        }
        columns.push(Column { shown: shown.clone(), internal });
    }
    columns
}

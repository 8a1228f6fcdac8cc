//! Determines the shown names of output columns.

use std::collections::{HashMap, HashSet};
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
    let last: HashMap<&str, usize> = names.iter().enumerate().map(|(idx, name)| (name.as_str(), idx)).collect();
    let mut taken: HashSet<String> = HashSet::with_capacity(names.len());
    // Where the search for an invented name goes on: the names before it stay taken.
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut columns: Vec<Column> = Vec::with_capacity(names.len());
    for (idx, shown) in names.iter().enumerate() {
        let mut internal = shown.clone();
        let count = counts.entry(shown).or_insert(1);
        while taken.contains(&internal)
            // An invented name must also differ from later names, which then keep their own spelling.
            || (*count > 1 && last.get(internal.as_str()).is_some_and(|last| *last > idx))
        {
            *count += 1;
            internal = format!("{shown}#{count}");
        }
        taken.insert(internal.clone());
        columns.push(Column { shown: shown.clone(), internal });
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_names_are_told_apart_and_later_names_keep_their_spelling() {
        let internal = |names: &[&str]| -> Vec<String> {
            unique(names.iter().map(|name| (*name).to_owned()).collect()).into_iter().map(|c| c.internal).collect()
        };
        assert_eq!(internal(&["x", "y", "x", "x"]), ["x", "y", "x#2", "x#3"]);
        assert_eq!(internal(&["x", "x", "x#2", "x", "x#2"]), ["x", "x#3", "x#2", "x#4", "x#2#2"]);
        // Tried one after the other from the beginning, these names would take 10^12 comparisons of texts.
        let many = unique(vec!["x".to_owned(); 10_000]);
        assert_eq!(many[9_999].internal, "x#10000");
    }
}

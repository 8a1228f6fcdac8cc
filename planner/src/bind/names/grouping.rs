//! Resolves GROUP BY. `GROUPING SETS`, `ROLLUP` and `CUBE`, with the keys beside them, become one list of sets.
//!
//! ```text
//! GROUP BY a, ROLLUP (b, c)    GROUPING SETS ((a, b, c), (a, b), (a))
//! ```

use sqlparser::ast::{Expr, Value};

use super::Names;
use super::order_by::{SelectColumn, position};
use super::rows::row_of;
use crate::budget;
use crate::catalog::find_name;
use crate::error::PlanError;
use crate::statement::Name;

/// The most sets that a GROUP BY may have.
const MOST: usize = 4096;

impl Names<'_> {
    /// Resolves the keys of a GROUP BY, in which names of the SELECT list, `outputs`, may stand for its items.
    pub(super) fn group_by(&mut self, keys: &mut Vec<Expr>, outputs: &[SelectColumn]) -> Result<(), PlanError> {
        *keys = std::mem::take(keys).into_iter().flat_map(|key| row_of(&key).unwrap_or(vec![key])).collect();
        if !keys.iter().any(|key| matches!(key, Expr::GroupingSets(_) | Expr::Rollup(_) | Expr::Cube(_))) {
            return keys.iter_mut().try_for_each(|key| self.group_key(key, outputs));
        }
        let mut sets = vec![Vec::new()];
        for key in std::mem::take(keys) {
            let choices = match key {
                Expr::GroupingSets(sets) => self.resolved(sets, outputs)?,
                Expr::Rollup(tuples) => rolled_up(&self.resolved(tuples, outputs)?),
                Expr::Cube(tuples) => subsets(&self.resolved(tuples, outputs)?)?,
                key => self.resolved(vec![vec![key]], outputs)?,
            };
            check_number(sets.len().saturating_mul(choices.len()))?;
            let with = |set: &Vec<Expr>| choices.iter().map(|more| [set.as_slice(), more].concat()).collect::<Vec<_>>();
            sets = sets.iter().flat_map(with).collect();
        }
        budget::spend(sets.iter().map(Vec::len).sum::<usize>() + sets.len())?;
        *keys = vec![Expr::GroupingSets(sets)];
        Ok(())
    }

    /// Replaces a name of the SELECT list by its position: if the name stood for a number, that would be taken for one.
    fn group_key(&mut self, key: &mut Expr, outputs: &[SelectColumn]) -> Result<(), PlanError> {
        match self.named_item(key, outputs)? {
            Some(item) => *key = position(item),
            None => self.expr(key)?,
        }
        Ok(())
    }

    /// Resolves the keys of sets. A name or a position of the SELECT list becomes its item: in a set, a number is no
    /// position to DataFusion.
    fn resolved(&mut self, mut sets: Vec<Vec<Expr>>, outputs: &[SelectColumn]) -> Result<Vec<Vec<Expr>>, PlanError> {
        for key in sets.iter_mut().flatten() {
            let item = match position_of(key) {
                Some(position) => Some(item_at(position, outputs.len())?),
                None => self.named_item(key, outputs)?,
            };
            match item {
                Some(item) => *key = outputs[item].expr.clone(),
                None => self.expr(key)?,
            }
        }
        Ok(sets)
    }

    /// Returns which item of the SELECT list a key names, if it is a name and no column of FROM has it.
    fn named_item(&mut self, key: &Expr, outputs: &[SelectColumn]) -> Result<Option<usize>, PlanError> {
        let Expr::Identifier(ident) = key else { return Ok(None) };
        if self.innermost().column(ident)?.is_some() {
            return Ok(None);
        }
        let name = Name::of(ident);
        let shown = outputs.iter().map(|output| output.column.shown.as_str());
        Ok(find_name(shown, &name.value, name.quoted).unwrap_or(None))
    }
}

/// Returns the digits of a key that is a number, and so a position of the SELECT list.
fn position_of(key: &Expr) -> Option<&str> {
    match key {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => Some(digits),
            _ => None,
        },
        _ => None,
    }
}

/// Returns the item at a position, counted from 1, of a SELECT list of `items` items.
fn item_at(position: &str, items: usize) -> Result<usize, PlanError> {
    let item = position.parse::<usize>().ok().and_then(|position| position.checked_sub(1));
    let unknown = || PlanError::invalid(format!("GROUP BY position {position} is not in the SELECT list"));
    item.filter(|item| *item < items).ok_or_else(unknown)
}

/// Returns all keys, all but the last, and so on down to none.
fn rolled_up(tuples: &[Vec<Expr>]) -> Vec<Vec<Expr>> {
    (0..=tuples.len()).rev().map(|len| tuples[..len].concat()).collect()
}

/// Returns each choice of some of the keys.
fn subsets(tuples: &[Vec<Expr>]) -> Result<Vec<Vec<Expr>>, PlanError> {
    check_number(1usize.checked_shl(tuples.len() as u32).unwrap_or(usize::MAX))?;
    let chosen = |choice: usize| {
        let is_chosen = |at: &usize| choice >> at & 1 == 0;
        (0..tuples.len()).filter(is_chosen).flat_map(|at| tuples[at].clone()).collect()
    };
    Ok((0..1 << tuples.len()).map(chosen).collect())
}

fn check_number(sets: usize) -> Result<(), PlanError> {
    if sets > MOST {
        return Err(PlanError::invalid(format!("GROUP BY has more than {MOST} grouping sets")));
    }
    Ok(())
}

//! Finds what a bound plan repeats, and makes parts of it.
//!
//! DataFusion's binder copies the plan of a view or WITH query for each reader, but the copies share their inputs. So
//! what is repeated has one address, and a walk that remembers addresses visits it once.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};

use super::hidden::{behind, revealed};
use super::{Part, named_scan};
use crate::budget;
use crate::catalog::WorkTable;
use crate::decorrelate::subquery_of;
use crate::scope::scope_of;

/// A plan has no parts if repetition makes it larger by at most this number of nodes.
const REPEATED: u64 = 200;

/// A plan of at most this number of nodes is repeated rather than made a part.
const SMALL: u64 = 16;

/// The address of a node while the plan is borrowed.
type Address = *const LogicalPlan;

/// Makes parts of what `plan` repeats, if that is much; `finish` does with the plan of each part what is done with the
/// whole plan afterwards.
pub(crate) fn cut(plan: LogicalPlan, finish: &dyn Fn(LogicalPlan) -> Result<LogicalPlan>) -> Result<LogicalPlan> {
    let mut found = Repeated::default();
    let size = found.visit(&plan)?.size;
    if size.saturating_sub(found.nodes.len() as u64) <= REPEATED {
        return if found.is_hiding { revealed(plan) } else { Ok(plan) };
    }
    let mut cutting = Cutting { found: &found, parts: HashMap::new(), finish };
    cutting.replaced(&plan)
}

/// What is known about a node.
#[derive(Clone)]
struct Facts {
    /// The number of nodes below it and of itself, with repetition.
    size: u64,
    /// Whether it is read in more than one place.
    is_repeated: bool,
    /// The columns of outer queries that it refers to.
    references: Vec<Column>,
    /// Whether it reads the result so far of a recursive query around it.
    is_recursive: bool,
}

/// The nodes of a plan by their addresses.
#[derive(Default)]
struct Repeated {
    nodes: HashMap<Address, Facts>,
    /// Whether some of them were hidden.
    is_hiding: bool,
}

impl Repeated {
    fn visit(&mut self, node: &LogicalPlan) -> Result<Facts> {
        if let Some(plan) = behind(node) {
            self.is_hiding = true;
            return self.visit(plan);
        }
        let address = std::ptr::from_ref(node);
        if let Some(facts) = self.nodes.get_mut(&address) {
            facts.is_repeated = true;
            return Ok(facts.clone());
        }
        budget::spend(1)?;
        let is_recursive = match node {
            LogicalPlan::TableScan(scan) => scan.source.downcast_ref::<WorkTable>().is_some(),
            _ => false,
        };
        let mut facts = Facts { size: 1, is_repeated: false, references: Vec::new(), is_recursive };
        for input in node.inputs() {
            let input = self.visit(input)?;
            facts.add(&input, |_| true);
        }
        let scope = scope_of(node);
        for subquery in subqueries(node)? {
            let inner = self.visit(&subquery)?;
            facts.add(&inner, |column| !scope.has_column(column));
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::OuterReferenceColumn(_, column) = expr
                    && !facts.references.contains(column)
                {
                    facts.references.push(column.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        self.nodes.insert(address, facts.clone());
        Ok(facts)
    }
}

impl Facts {
    /// Adds those of an input or subquery, of whose references those for which `is_outer` is true go beyond the node.
    fn add(&mut self, below: &Facts, is_outer: impl Fn(&Column) -> bool) {
        self.size = self.size.saturating_add(below.size);
        self.is_recursive |= below.is_recursive;
        for column in below.references.iter().filter(|column| is_outer(column)) {
            if !self.references.contains(column) {
                self.references.push(column.clone());
            }
        }
    }

    fn is_part(&self) -> bool {
        self.is_repeated && !self.is_recursive && self.references.is_empty() && self.size > SMALL
    }
}

/// Returns the plans of the subqueries in the expressions of a node. They keep their addresses.
fn subqueries(node: &LogicalPlan) -> Result<Vec<Arc<LogicalPlan>>> {
    let mut found = Vec::new();
    node.apply_expressions(|expr| {
        expr.apply(|expr| {
            found.extend(subquery_of(expr).map(|subquery| Arc::clone(&subquery.subquery)));
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(found)
}

/// Rebuilds a plan over its parts.
struct Cutting<'a> {
    found: &'a Repeated,
    parts: HashMap<Address, Arc<Part>>,
    finish: &'a dyn Fn(LogicalPlan) -> Result<LogicalPlan>,
}

impl Cutting<'_> {
    /// Returns a scan of the part that `node` becomes, or else the node over parts.
    fn replaced(&mut self, node: &LogicalPlan) -> Result<LogicalPlan> {
        if let Some(plan) = behind(node) {
            return self.replaced(plan);
        }
        let address = std::ptr::from_ref(node);
        if !self.found.nodes.get(&address).is_some_and(Facts::is_part) {
            return self.rebuilt(node);
        }
        if !self.parts.contains_key(&address) {
            let plan = (self.finish)(self.rebuilt(node)?)?;
            self.parts.insert(address, Part::new(plan)?);
        }
        named_scan(&self.parts[&address], node.schema())
    }

    /// Returns the node itself over parts.
    fn rebuilt(&mut self, node: &LogicalPlan) -> Result<LogicalPlan> {
        budget::spend(1)?;
        let mut inputs = Vec::new();
        for input in node.inputs() {
            inputs.push(self.replaced(input)?);
        }
        let mut inputs = inputs.into_iter();
        let plan = node.clone().map_children(|input| Ok(Transformed::yes(inputs.next().unwrap_or(input))))?.data;
        let plan = plan.map_subqueries(|plan| match plan {
            LogicalPlan::Subquery(subquery) => {
                let inner = Arc::new(self.replaced(&subquery.subquery)?);
                Ok(Transformed::yes(LogicalPlan::Subquery(Subquery { subquery: inner, ..subquery })))
            }
            other => Ok(Transformed::no(other)),
        })?;
        // The types of a part's columns are final, and those above it may not be; then they cannot be recomputed yet.
        Ok(plan.data.clone().recompute_schema().unwrap_or(plan.data))
    }
}

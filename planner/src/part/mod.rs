//! Parts of a plan: subplans that are read in several places, and planned once.
//!
//! DataFusion's plans are trees. A view or a WITH query that is read twice stands in the plan twice, and where each
//! view joins the one before with itself, the plan of the last is exponential in their number. So if repetition would
//! make a plan much larger, what is repeated becomes a part: its readers scan it as they scan a relation, and each part
//! is bound, rewritten and lowered once. No filter moves into a part, since not all readers may want it; this is why
//! small plans have none.
//!
//! ```text
//! view b: a JOIN a      view c: b JOIN b
//!
//!        c = JOIN (scan p, scan p)      p = JOIN (a, a)
//! ```

mod cut;
mod hidden;
mod rewritten;

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, TableReference};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableScan, TableScanBuilder, TableSource};

pub(crate) use self::cut::cut;
pub(crate) use self::hidden::hidden;
pub(crate) use self::rewritten::rewritten;

/// A subplan that several places of a plan, or of other parts, scan.
#[derive(Debug)]
pub struct Part {
    /// Identifies the part. It is larger than those of the parts that `plan` was made of.
    pub id: u64,
    /// The subplan. It refers to no outer query.
    pub plan: LogicalPlan,
    /// The columns: those of `plan` by position, under the names `c0`, `c1`, ...
    pub schema: SchemaRef,
    /// The positions of the columns that are read. The others are NULL.
    pub read: BTreeSet<usize>,
}

impl Part {
    /// Makes a part of `plan`, of which every column may be read.
    fn new(plan: LogicalPlan) -> Result<Arc<Part>> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let columns = plan.schema().columns().into_iter().enumerate();
        let columns: Vec<Expr> = columns.map(|(at, column)| Expr::Column(column).alias(format!("c{at}"))).collect();
        let read = (0..columns.len()).collect();
        let plan = LogicalPlanBuilder::from(plan).project(columns)?.build()?;
        let schema = Arc::new(plan.schema().as_arrow().clone());
        Ok(Arc::new(Part { id: LAST.fetch_add(1, Ordering::Relaxed), plan, schema, read }))
    }

    /// Returns the name under which the part is scanned.
    pub fn name(&self) -> String {
        format!("#part{}", self.id)
    }

    /// Returns the part that `scan` reads, if it reads one.
    pub fn of(scan: &TableScan) -> Option<&Arc<Part>> {
        scan.source.downcast_ref::<PartSource>().map(|source| &source.part)
    }

    /// Returns the part that `plan` reads, if `plan` is a scan of one.
    pub fn of_plan(plan: &LogicalPlan) -> Option<&Arc<Part>> {
        match plan {
            LogicalPlan::TableScan(scan) => Part::of(scan),
            _ => None,
        }
    }

    /// Makes a scan of those columns of the part that `projection` lists, or of all.
    fn scan(self: &Arc<Part>, projection: Option<Vec<usize>>) -> Result<LogicalPlan> {
        let source = Arc::new(PartSource { part: Arc::clone(self) });
        let scan = TableScanBuilder::new(TableReference::bare(self.name()), source).with_projection(projection);
        Ok(LogicalPlan::TableScan(scan.build()?))
    }
}

/// The table source of the scans of a part.
struct PartSource {
    part: Arc<Part>,
}

impl fmt::Debug for PartSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartSource({})", self.part.name())
    }
}

impl TableSource for PartSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.part.schema)
    }
}

/// Makes a part of `plan`; returns a plan with the same columns that reads it.
pub(crate) fn shared(plan: LogicalPlan) -> Result<LogicalPlan> {
    let schema = Arc::clone(plan.schema());
    named_scan(&Part::new(plan)?, &schema)
}

/// Makes a scan of `part` with the names of `schema`.
fn named_scan(part: &Arc<Part>, schema: &datafusion::common::DFSchema) -> Result<LogicalPlan> {
    let scan = part.scan(None)?;
    let columns = scan.schema().columns().into_iter().zip(schema.iter()).map(|(column, (qualifier, field))| {
        Expr::Column(column).alias_qualified(qualifier.cloned(), field.name().clone())
    });
    let columns: Vec<Expr> = columns.collect();
    LogicalPlanBuilder::from(scan).project(columns)?.build()
}

/// Calls `f` for each node of `plan`, of its subqueries, and once for each node of the parts that they read, until it
/// returns [`TreeNodeRecursion::Stop`].
pub fn apply_with_parts(
    plan: &LogicalPlan,
    f: &mut dyn FnMut(&LogicalPlan) -> Result<TreeNodeRecursion>,
) -> Result<()> {
    let mut known = HashSet::new();
    let mut parts = Vec::new();
    let mut next = Some(plan);
    let mut held: Arc<Part>;
    while let Some(plan) = next {
        let ended = plan.apply_with_subqueries(|node| {
            if let Some(part) = Part::of_plan(node)
                && known.insert(part.id)
            {
                parts.push(Arc::clone(part));
            }
            f(node)
        })?;
        let Some(part) = parts.pop().filter(|_| ended != TreeNodeRecursion::Stop) else { return Ok(()) };
        held = part;
        next = Some(&held.plan);
    }
    Ok(())
}

/// Returns the parts that `plan` reads, directly or through others, each after those that it reads.
pub fn parts_of(plan: &LogicalPlan) -> Result<Vec<Arc<Part>>> {
    // Without recursion, because parts may be nested more deeply than the stack of a query's thread allows.
    let (mut entered, mut left, mut parts) = (HashSet::new(), HashSet::new(), Vec::new());
    let mut stack = scanned(plan)?;
    while let Some(part) = stack.last() {
        if entered.insert(part.id) {
            let below = scanned(&part.plan)?;
            stack.extend(below.into_iter().filter(|part| !entered.contains(&part.id)));
        } else {
            let part = Arc::clone(part);
            stack.pop();
            if left.insert(part.id) {
                parts.push(part);
            }
        }
    }
    Ok(parts)
}

/// Returns the parts that `plan` itself scans.
fn scanned(plan: &LogicalPlan) -> Result<Vec<Arc<Part>>> {
    let mut found = Vec::new();
    plan.apply_with_subqueries(|node| {
        found.extend(Part::of_plan(node).cloned());
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// Returns the text of a plan, followed by those of its parts.
pub fn display(plan: &LogicalPlan) -> String {
    let mut text = plan.display_indent().to_string();
    for part in parts_of(plan).into_iter().flatten().rev() {
        text += &format!("\n{}:\n{}", part.name(), part.plan.display_indent());
    }
    text
}

/// Returns the number of nodes in `plan` and its subqueries, up to `most`; those of parts do not count.
pub(crate) fn size(plan: &LogicalPlan, most: usize) -> Result<usize> {
    let mut count = 0;
    plan.apply_with_subqueries(|_| {
        count += 1;
        Ok(if count < most { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(count)
}

/// Makes a NULL of a type.
fn null(data_type: &DataType) -> Result<Expr> {
    Ok(Expr::Literal(datafusion::common::ScalarValue::try_from(data_type)?, None))
}

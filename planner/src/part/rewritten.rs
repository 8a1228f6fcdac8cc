//! Rewrites a plan and its parts, each once and by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use super::{Part, null};

/// A part of which all readers have been rewritten.
struct Waiting {
    part: Arc<Part>,
    read: BTreeSet<usize>,
}

/// Rewrites `plan` and the parts that it reads with `rewrite`, which keeps names and types of columns and may make new
/// parts. Columns of a part that nobody reads are no longer computed.
pub(crate) fn rewritten<E: From<datafusion::common::DataFusionError>>(
    plan: LogicalPlan,
    rewrite: &dyn Fn(LogicalPlan) -> std::result::Result<LogicalPlan, E>,
) -> std::result::Result<LogicalPlan, E> {
    let plan = rewrite(plan)?;
    let mut waiting = BTreeMap::new();
    note_reads(&plan, &mut waiting)?;
    // A part has a larger number than those it reads, unless rewriting it made them. So when the part with the largest
    // number is taken, all its readers were taken before, and it is known which of its columns they read.
    let mut done: Vec<(Arc<Part>, BTreeSet<usize>, LogicalPlan)> = Vec::new();
    while let Some((_, Waiting { part, read })) = waiting.pop_last() {
        let plan = rewrite(with_read(&part, &read)?)?;
        note_reads(&plan, &mut waiting)?;
        done.push((part, read, plan));
    }
    // Readers come before what they read, so from the end every part finds those that it reads.
    let mut parts: HashMap<u64, Arc<Part>> = HashMap::new();
    for (part, read, plan) in done.into_iter().rev() {
        let plan = over(plan, &parts)?;
        let fields = part.schema.fields().iter().enumerate();
        let fields = fields.map(|(at, field)| {
            let is_nullable = field.is_nullable() || !read.contains(&at);
            Field::clone(field).with_nullable(is_nullable)
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        parts.insert(part.id, Arc::new(Part { id: part.id, plan, schema, read }));
    }
    Ok(over(plan, &parts)?)
}

/// Notes which columns of which parts `plan` reads.
fn note_reads(plan: &LogicalPlan, waiting: &mut BTreeMap<u64, Waiting>) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(part) = Part::of(scan)
        {
            let noted =
                waiting.entry(part.id).or_insert_with(|| Waiting { part: Arc::clone(part), read: BTreeSet::new() });
            match &scan.projection {
                Some(projection) => noted.read.extend(projection),
                None => noted.read.extend(0..part.schema.fields().len()),
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Returns the plan of a part with NULL in place of the columns that are not among `read`.
fn with_read(part: &Part, read: &BTreeSet<usize>) -> Result<LogicalPlan> {
    if read.len() == part.schema.fields().len() {
        return Ok(part.plan.clone());
    }
    let fields = part.schema.fields().iter().zip(part.plan.schema().columns()).enumerate();
    let columns = fields.map(|(at, (field, column))| match read.contains(&at) {
        true => Ok(Expr::Column(column)),
        false => Ok(null(field.data_type())?.alias(field.name())),
    });
    LogicalPlanBuilder::from(part.plan.clone()).project(columns.collect::<Result<Vec<_>>>()?)?.build()
}

/// Returns `plan` with the scans of parts replaced by scans of those in `parts`.
fn over(plan: LogicalPlan, parts: &HashMap<u64, Arc<Part>>) -> Result<LogicalPlan> {
    let replaced = plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::TableScan(scan) => match Part::of(scan).and_then(|part| parts.get(&part.id)) {
            Some(part) => Ok(Transformed::yes(part.scan(scan.projection.clone())?)),
            None => Ok(Transformed::no(node)),
        },
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(replaced.data)
}

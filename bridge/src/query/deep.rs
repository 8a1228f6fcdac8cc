//! Compiles deep expressions before DataFusion plans a query physically.
//!
//! Its physical expressions find their types and names by asking their operands, some of them twice, at each level: in
//! a chain of casts and comparisons this doubles with each level. What it gets instead is a call of a function with the
//! columns that the expression reads, which evaluates it as a view does.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, exec_err};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use laminardb_dataflow::Scalar;
use laminardb_planner::scalar::{compile, height};

/// The height from which on an expression is compiled.
const LEVELS: usize = 8;

/// Compiles the deep expressions of one node.
pub(super) fn compile_deep(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut schema = DFSchema::empty();
    node.inputs().into_iter().for_each(|input| schema.merge(input.schema()));
    let names = NamePreserver::new(&node);
    node.map_expressions(|expr| {
        if height(&expr) < LEVELS {
            return Ok(Transformed::no(expr));
        }
        let name = names.save(&expr);
        Ok(compiled(expr, &schema)?.update_data(|expr| name.restore(expr)))
    })
}

/// Compiles `expr`, or the largest parts of it that can be compiled by themselves.
fn compiled(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if height(&expr) < LEVELS {
        return Ok(Transformed::no(expr));
    }
    let columns: BTreeSet<Column> = expr.column_refs().into_iter().cloned().collect();
    if columns.is_empty() || !is_plain(&expr)? {
        return expr.map_children(|child| compiled(child, schema));
    }
    let fields = columns.iter().map(|column| {
        let (qualifier, field) = schema.qualified_field_from_column(column)?;
        Ok((qualifier.cloned(), Arc::clone(field)))
    });
    let read = DFSchema::new_with_metadata(fields.collect::<Result<_>>()?, Default::default())?;
    let (is_nullable, scalar) = (expr.nullable(&read)?, compile(&expr, &read)?);
    let schema = Arc::clone(read.inner());
    let signature = Signature::user_defined(Volatility::Immutable);
    let function = ScalarUDF::new_from_impl(Deep { expr, scalar, schema, is_nullable, signature });
    Ok(Transformed::yes(function.call(columns.into_iter().map(Expr::Column).collect())))
}

/// Returns whether `expr` is computed from the columns of one row alone.
fn is_plain(expr: &Expr) -> Result<bool> {
    let mut is_plain = true;
    expr.apply(|expr| {
        is_plain = !matches!(
            expr,
            Expr::Alias(_)
                | Expr::AggregateFunction(_)
                | Expr::Exists(_)
                | Expr::GroupingSet(_)
                | Expr::InSubquery(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::Placeholder(_)
                | Expr::ScalarSubquery(_)
                | Expr::SetComparison(_)
                | Expr::Unnest(_)
                | Expr::WindowFunction(_)
        ) && !expr.is_volatile_node();
        Ok(if is_plain { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(is_plain)
}

/// A compiled expression as a function of the columns that it reads.
#[derive(Debug)]
struct Deep {
    expr: Expr,
    scalar: Arc<dyn Scalar>,
    schema: SchemaRef,
    is_nullable: bool,
    signature: Signature,
}

impl PartialEq for Deep {
    fn eq(&self, other: &Self) -> bool {
        self.expr == other.expr && self.schema == other.schema
    }
}

impl Eq for Deep {}

impl Hash for Deep {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expr.hash(state);
    }
}

impl ScalarUDFImpl for Deep {
    fn name(&self) -> &str {
        "deep"
    }

    /// Returns a name that no other expression has: the keys of a join become columns, which are told apart by it.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let columns: Vec<_> = args.iter().map(|column| column.schema_name().to_string()).collect();
        Ok(format!("{} of {}", self.scalar.text(), columns.join(", ")))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.scalar.data_type().clone())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name(), self.scalar.data_type().clone(), self.is_nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let columns = args.args.into_iter().map(|arg| arg.into_array(rows)).collect::<Result<Vec<_>>>()?;
        let fields = self.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let evaluated = self.scalar.evaluate(&RecordBatch::try_new_with_options(schema, columns, &options)?);
        match evaluated.errors.into_iter().next() {
            Some(error) => exec_err!("{}", error.message),
            None => Ok(ColumnarValue::Array(evaluated.values)),
        }
    }
}

//! Makes physical expressions of deep expressions in pieces of bounded height.
//!
//! DataFusion's physical expressions find their types, and whether they can be NULL, by asking their operands, some of
//! them twice. In a chain of casts and comparisons this doubles with each level. Here an expression asks no further than
//! its piece: the pieces below it know their types.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{ColumnarValue, Expr};
use datafusion::physical_expr::expressions;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};

use super::harden;
use crate::bind::config_options;
use crate::budget;
use crate::error::PlanError;

/// The height of a piece.
const LEVELS: usize = 8;

/// The relation whose columns stand for pieces.
const PIECES: &str = "#pieces";

/// Returns the number of levels of `expr` below its outermost operation.
pub fn height(expr: &Expr) -> usize {
    let mut height = 0;
    let visited = expr.apply_children(|child| {
        height = height.max(self::height(child) + 1);
        Ok(TreeNodeRecursion::Continue)
    });
    visited.expect("the visitor does not fail");
    height
}

/// Counts the operations of the physical expression of `expr` as steps of planning.
pub(super) fn spend_size(expr: &Expr) -> std::result::Result<(), PlanError> {
    budget::spend(size(expr))
}

/// Returns the number of operations of the physical expression of `expr`: DataFusion makes two of an operand of BETWEEN.
fn size(expr: &Expr) -> usize {
    if let Expr::Between(between) = expr {
        return size(&between.expr)
            .saturating_mul(2)
            .saturating_add(size(&between.low))
            .saturating_add(size(&between.high) + 3);
    }
    let mut sum = 1_usize;
    let visited = expr.apply_children(|child| {
        sum = size(child).saturating_add(sum);
        Ok(TreeNodeRecursion::Continue)
    });
    visited.expect("the visitor does not fail");
    sum
}

/// Makes a hardened physical expression of `expr` over the columns of `schema`; returns its type too.
pub(super) fn physical(expr: &Expr, schema: &DFSchema) -> Result<(Arc<dyn PhysicalExpr>, DataType)> {
    let mut pieces = Pieces { schema: Cow::Borrowed(schema), width: schema.fields().len(), below: Vec::new() };
    let Piece { expr, field } = match height(expr) {
        LEVELS.. => pieces.cut(expr.clone()).and_then(|(top, _)| pieces.piece(&top))?,
        _ => pieces.piece(expr)?,
    };
    Ok((expr, field.data_type().clone()))
}

/// Returns the expression inside a piece, if `expr` is one.
pub(super) fn inside(expr: &Arc<dyn PhysicalExpr>) -> Option<&Arc<dyn PhysicalExpr>> {
    expr.downcast_ref::<Piece>().map(|piece| &piece.expr)
}

/// The pieces of one expression.
struct Pieces<'a> {
    /// The columns of the expression, and after them one for each piece of `below`.
    schema: Cow<'a, DFSchema>,
    /// The number of columns of the expression.
    width: usize,
    below: Vec<Arc<dyn PhysicalExpr>>,
}

impl Pieces<'_> {
    /// Replaces the parts of `expr` that begin a piece of their own by columns; returns the result and its height.
    fn cut(&mut self, expr: Expr) -> Result<(Expr, usize)> {
        let mut height = 0;
        let cut = expr.map_children(|child| {
            let (child, below) = self.cut(child)?;
            if below < LEVELS {
                height = height.max(below + 1);
                return Ok(Transformed::yes(child));
            }
            height = height.max(1);
            let piece = self.piece(&child)?;
            Ok(Transformed::yes(self.column(piece)?))
        })?;
        Ok((cut.data, height))
    }

    /// Returns a column that stands for `piece`.
    fn column(&mut self, piece: Piece) -> Result<Expr> {
        let name = self.below.len().to_string();
        let column = Schema::new(vec![piece.field.as_ref().clone().with_name(&name)]);
        self.schema = Cow::Owned(self.schema.join(&DFSchema::try_from_qualified_schema(PIECES, &column)?)?);
        self.below.push(Arc::new(piece));
        Ok(Expr::Column(Column::new(Some(PIECES), name)))
    }

    /// Makes the physical expression of a piece.
    fn piece(&self, expr: &Expr) -> Result<Piece> {
        let mut props = ExecutionProps::new();
        props.config_options = Some(Arc::new(config_options()));
        let physical = create_physical_expr(expr, &self.schema, &props, &PhysicalPlanningContext::default())?;
        let schema = self.schema.as_arrow();
        let field = Field::new("", physical.data_type(schema)?, physical.nullable(schema)?);
        let hardened = harden(physical).transform_up(|expr| {
            let place =
                expr.downcast_ref::<expressions::Column>().and_then(|column| column.index().checked_sub(self.width));
            Ok(match place {
                Some(place) => Transformed::yes(Arc::clone(&self.below[place])),
                None => Transformed::no(expr),
            })
        })?;
        Ok(Piece { expr: hardened.data, field: Arc::new(field) })
    }
}

/// A piece as a part of the piece above it.
#[derive(Debug, Eq)]
struct Piece {
    expr: Arc<dyn PhysicalExpr>,
    field: FieldRef,
}

// Not derived: the derived implementation would move out of `Arc<dyn PhysicalExpr>`.
impl PartialEq for Piece {
    fn eq(&self, other: &Self) -> bool {
        self.expr.eq(&other.expr) && self.field == other.field
    }
}

impl Hash for Piece {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expr.hash(state);
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)
    }
}

impl PhysicalExpr for Piece {
    fn data_type(&self, _schema: &Schema) -> Result<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn nullable(&self, _schema: &Schema) -> Result<bool> {
        Ok(self.field.is_nullable())
    }

    fn return_field(&self, _schema: &Schema) -> Result<FieldRef> {
        Ok(Arc::clone(&self.field))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.expr.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.expr]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Piece { expr: Arc::clone(&children[0]), field: Arc::clone(&self.field) }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.fmt_sql(f)
    }
}

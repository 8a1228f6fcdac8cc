//! The canonical text of an expression. Two expressions have equal texts exactly when they are the same.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};

use super::pieces;
use super::unary::{Operation, Unary};

/// Returns the text of `expr`, with columns by position, literals with their types, and parentheses around every
/// operator that is an operand of another.
///
/// DataFusion's own text does not distinguish the number 1 from the string '1', nor `a & (b | c)` from `(a & b) | c`, and
/// contains column names, which can be changed by renaming.
pub(super) fn canonical(expr: &Arc<dyn PhysicalExpr>) -> String {
    let shown = Arc::clone(expr).transform_up(|expr| {
        let text = if let Some(column) = expr.downcast_ref::<Column>() {
            format!("#{}", column.index())
        } else if let Some(literal) = expr.downcast_ref::<Literal>() {
            literal_text(literal.value())?
        } else if let Some(inside) = pieces::inside(&expr) {
            return Ok(Transformed::yes(Arc::clone(inside)));
        } else if is_bare(&*expr) {
            let operand = |operand: &Arc<dyn PhysicalExpr>| match is_bare(&**operand) {
                true => Unary::of(Parenthesised, operand),
                false => Arc::clone(operand),
            };
            let operands = expr.children().into_iter().map(operand).collect();
            return Ok(Transformed::yes(expr.with_new_children(operands)?));
        } else {
            return Ok(Transformed::no(expr));
        };
        Ok(Transformed::yes(Arc::new(Leaf(text)) as Arc<dyn PhysicalExpr>))
    });
    shown.map_or_else(|_| format!("{expr:?}"), |shown| shown.data.to_string())
}

/// Returns whether `expr` is an operator whose text has no end of its own, as that of a call or a CASE has.
pub(super) fn is_bare(expr: &dyn PhysicalExpr) -> bool {
    expr.is::<BinaryExpr>()
        || expr.is::<InListExpr>()
        || expr.is::<IsNotNullExpr>()
        || expr.is::<IsNullExpr>()
        || expr.is::<LikeExpr>()
        || expr.is::<NotExpr>()
}

/// Returns the text of a value with its type, including the values inside lists and structs.
///
/// DataFusion's own text does not distinguish a list of one NULL from an empty list, nor two fields from one text with a
/// comma.
fn literal_text(value: &ScalarValue) -> Result<String> {
    Ok(match value {
        ScalarValue::Int64(Some(value)) => value.to_string(),
        ScalarValue::Boolean(Some(value)) => value.to_string(),
        ScalarValue::Float64(Some(value)) => format!("{value:?}"),
        ScalarValue::Utf8(Some(value)) => quoted(value),
        ScalarValue::List(list) => match list.is_valid(0).then(|| list.value(0)) {
            None => format!("{} NULL", list.data_type()),
            Some(items) if items.is_empty() => format!("{} []", list.data_type()),
            Some(items) => {
                let items = (0..items.len()).map(|item| literal_text(&ScalarValue::try_from_array(&items, item)?));
                format!("[{}]", items.collect::<Result<Vec<_>>>()?.join(", "))
            }
        },
        ScalarValue::Struct(record) if record.is_valid(0) => {
            let fields = record.fields().iter().zip(record.columns()).map(|(field, column)| {
                Ok(format!("{}: {}", quoted(field.name()), literal_text(&ScalarValue::try_from_array(column, 0)?)?))
            });
            format!("{{{}}}", fields.collect::<Result<Vec<_>>>()?.join(", "))
        }
        ScalarValue::Struct(record) => format!("{} NULL", record.data_type()),
        other => format!("{other:?}"),
    })
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Prints its operand in parentheses, and cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Parenthesised;

impl Operation for Parenthesised {
    fn apply(&self, _values: &ArrayRef) -> Result<ArrayRef> {
        internal_err!("a text cannot be evaluated")
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, operand: &dyn PhysicalExpr) -> fmt::Result {
        write!(f, "({operand})")
    }
}

/// A leaf expression that only prints its text and cannot be evaluated.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Leaf(String);

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PhysicalExpr for Leaf {
    fn data_type(&self, _schema: &Schema) -> Result<DataType> {
        Ok(DataType::Null)
    }

    fn nullable(&self, _schema: &Schema) -> Result<bool> {
        Ok(true)
    }

    fn evaluate(&self, _batch: &RecordBatch) -> Result<ColumnarValue> {
        internal_err!("a text cannot be evaluated")
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(self)
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

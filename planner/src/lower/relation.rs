//! A plan node together with the positions of the logical plan's columns in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, lit};
use laminardb_dataflow::Scalar;
use laminardb_dataflow::plan::{NodeId, Step};

use crate::lower::builder::PlanBuilder;
use crate::lower::refuse;
use crate::{PlanError, scalar};

/// The columns of a logical plan that are read.
pub(super) type Demand = BTreeSet<usize>;

/// The rows of a logical plan. Only demanded columns need to have a position.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    /// The node that produces the rows.
    pub(super) node: NodeId,
    /// Maps columns of the logical plan to columns of the node.
    pub(super) columns: BTreeMap<usize, usize>,
}

impl Relation {
    /// Maps the first `width` columns of the node to themselves.
    pub(super) fn whole(node: NodeId, width: usize) -> Self {
        Relation { node, columns: (0..width).map(|column| (column, column)).collect() }
    }

    /// Returns the position of a column, which must have been demanded.
    pub(super) fn at(&self, column: usize) -> usize {
        *self.columns.get(&column).expect("a column that is read was demanded")
    }
}

/// Adds the columns of `schema` that `expr` reads to `demand`.
pub(super) fn demand_of(expr: &Expr, schema: &DFSchema, demand: &mut Demand) -> Result<(), PlanError> {
    expr.apply(|expr| {
        if let Expr::Column(column) = expr {
            demand.insert(schema.index_of_column(column)?);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Returns those of `exprs`, over the columns of `schema`, that are demanded, by position, and the columns that they
/// read. Fails if one of them cannot be maintained.
pub(super) fn demanded(
    exprs: &[Expr],
    schema: &DFSchema,
    demand: &Demand,
) -> Result<(Vec<(usize, Expr)>, Demand), PlanError> {
    let mut read = Demand::new();
    let mut found = Vec::with_capacity(demand.len());
    for column in demand {
        refuse::expression(&exprs[*column])?;
        demand_of(&exprs[*column], schema, &mut read)?;
        found.push((*column, positional(&exprs[*column], schema, |at| at)?));
    }
    Ok((found, read))
}

/// Replaces each column of `expr` by a stand-in for its position in `schema`, mapped by `place`; [`compile`] resolves
/// stand-ins.
pub(super) fn positional(expr: &Expr, schema: &DFSchema, place: impl Fn(usize) -> usize) -> Result<Expr, PlanError> {
    let replaced = expr.clone().transform_up(|expr| match expr {
        Expr::Column(column) => Ok(Transformed::yes(position_column(place(schema.index_of_column(&column)?)))),
        other => Ok(Transformed::no(other)),
    });
    Ok(replaced.map_err(PlanError::from)?.data)
}

/// Returns the stand-in for the column at `position`.
pub(super) fn position_column(position: usize) -> Expr {
    Expr::Column(Column::new_unqualified(format!("#{position}")))
}

/// Returns the position that a stand-in names.
fn column_position(column: &Column) -> usize {
    let digits = column.name.strip_prefix('#').and_then(|digits| digits.parse().ok());
    digits.expect("columns were replaced by positions")
}

/// Returns the positions that an expression made by [`positional`] reads.
pub(super) fn positions(expr: &Expr) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    expr.apply(|expr| {
        if let Expr::Column(column) = expr {
            found.insert(column_position(column));
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .expect("the visitor does not fail");
    found
}

/// Returns the position if the expression is only a column.
pub(super) fn plain_position(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Column(column) => Some(column_position(column)),
        Expr::Alias(alias) => plain_position(&alias.expr),
        _ => None,
    }
}

/// Compiles an expression over positions; `place` maps positions to columns of `node`.
pub(super) fn compile(
    builder: &PlanBuilder,
    node: NodeId,
    expr: &Expr,
    place: impl Fn(usize) -> usize,
) -> Result<Arc<dyn Scalar>, PlanError> {
    let schema = builder.schema(node);
    let named = expr.clone().unalias_nested().data.transform_up(|expr| match expr {
        Expr::Column(column) => {
            let name = schema.field(place(column_position(&column))).name();
            Ok(Transformed::yes(Expr::Column(Column::new_unqualified(name))))
        }
        other => Ok(Transformed::no(other)),
    });
    let named = named.map_err(PlanError::from)?.data;
    let schema = DFSchema::try_from(schema.as_ref().clone()).map_err(PlanError::from)?;
    scalar::compile(&named, &schema)
}

/// Compiles a reference to column `column` of `node`.
pub(super) fn column_scalar(builder: &PlanBuilder, node: NodeId, column: usize) -> Result<Arc<dyn Scalar>, PlanError> {
    compile(builder, node, &position_column(column), |position| position)
}

/// Makes a NULL literal of a type.
pub(super) fn null(data_type: &DataType) -> Result<Expr, PlanError> {
    Ok(Expr::Literal(ScalarValue::try_from(data_type).map_err(PlanError::from)?, None))
}

/// Makes a schema of these columns, all nullable; duplicate names get a number appended.
pub(super) fn named_schema(columns: impl IntoIterator<Item = (String, DataType)>) -> SchemaRef {
    let mut taken = BTreeSet::new();
    let mut fields = Vec::new();
    for (name, data_type) in columns {
        let mut unique = name.clone();
        let mut number = 1;
        while !taken.insert(unique.clone()) {
            number += 1;
            unique = format!("{name}:{number}");
        }
        fields.push(Field::new(unique, data_type, true));
    }
    Arc::new(Schema::new(fields))
}

/// Projects `node` to `columns`, which are named scalars over it; returns `node` itself if nothing would change.
pub(super) fn project(builder: &mut PlanBuilder, node: NodeId, columns: Vec<(Arc<dyn Scalar>, String)>) -> NodeId {
    let in_place = |(position, (column, _)): (usize, &(Arc<dyn Scalar>, String))| column.column() == Some(position);
    if columns.len() == builder.width(node) && columns.iter().enumerate().all(in_place) {
        return node;
    }
    let schema = named_schema(columns.iter().map(|(column, name)| (name.clone(), column.data_type().clone())));
    let columns = columns.into_iter().map(|(column, _)| column).collect();
    builder.step(node, Step::Project { columns, schema })
}

/// Projects `node` to some of its columns, in the given order.
pub(super) fn select(builder: &mut PlanBuilder, node: NodeId, columns: &[usize]) -> Result<NodeId, PlanError> {
    let named = |column: &usize| {
        let name = builder.schema(node).field(*column).name().clone();
        Ok((column_scalar(builder, node, *column)?, name))
    };
    let columns = columns.iter().map(named).collect::<Result<Vec<_>, PlanError>>()?;
    Ok(project(builder, node, columns))
}

/// Returns a relation that has the values of `exprs` (over logical columns) as columns, and their positions.
///
/// If all of them are columns already, `relation` is returned unchanged; otherwise only the columns `keep` stay beside
/// the new ones.
pub(super) fn with_values(
    builder: &mut PlanBuilder,
    relation: &Relation,
    exprs: &[(Expr, String)],
    keep: &Demand,
) -> Result<(Relation, Vec<usize>), PlanError> {
    let plain: Option<Vec<usize>> =
        exprs.iter().map(|(expr, _)| plain_position(expr).map(|column| relation.at(column))).collect();
    if let Some(places) = plain {
        return Ok((relation.clone(), places));
    }
    let mut columns: Vec<(Arc<dyn Scalar>, String)> = Vec::new();
    let place_of = |columns: &mut Vec<(Arc<dyn Scalar>, String)>, scalar: Arc<dyn Scalar>, name: &str| {
        let same = |other: &(Arc<dyn Scalar>, String)| {
            other.0.text() == scalar.text() && other.0.data_type() == scalar.data_type()
        };
        columns.iter().position(same).unwrap_or_else(|| {
            columns.push((scalar, name.to_owned()));
            columns.len() - 1
        })
    };
    let mut kept = BTreeMap::new();
    for column in keep {
        let scalar = column_scalar(builder, relation.node, relation.at(*column))?;
        let name = builder.schema(relation.node).field(relation.at(*column)).name().clone();
        kept.insert(*column, place_of(&mut columns, scalar, &name));
    }
    let mut places = Vec::with_capacity(exprs.len());
    for (expr, name) in exprs {
        let scalar = compile(builder, relation.node, expr, |column| relation.at(column))?;
        places.push(place_of(&mut columns, scalar, name));
    }
    Ok((Relation { node: project(builder, relation.node, columns), columns: kept }, places))
}

/// Makes a constant column for rows of which nothing is read: a row without columns could not be distinguished from no
/// row.
pub(super) fn row_marker(builder: &PlanBuilder, node: NodeId) -> Result<(Arc<dyn Scalar>, String), PlanError> {
    Ok((compile(builder, node, &lit(true), |at| at)?, "row".to_owned()))
}

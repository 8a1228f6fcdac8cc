//! Lowers GROUP BY and DISTINCT.

use arrow::datatypes::DataType;
use datafusion::logical_expr::expr::AggregateFunction as Call;
use datafusion::logical_expr::{Aggregate as Grouping, Expr, LogicalPlan, lit};
use laminardb_dataflow::plan::{Aggregate, AggregateFunction, Operator, Reduce};

use crate::PlanError;
use crate::function::maintained;
use crate::lower::relation::{Demand, Relation, demand_of, named_schema, positional, with_values};
use crate::lower::{Lowering, all_columns, refuse};

/// The expressions that a reduce reads, over its logical input, with their names. Equal expressions are stored once.
#[derive(Default)]
struct Values {
    exprs: Vec<(Expr, String)>,
}

impl Values {
    fn add(&mut self, expr: Expr, name: String) -> usize {
        self.exprs.iter().position(|(other, _)| *other == expr).unwrap_or_else(|| {
            self.exprs.push((expr, name));
            self.exprs.len() - 1
        })
    }
}

impl Lowering {
    pub(super) fn lower_aggregate(&mut self, grouping: &Grouping, demand: &Demand) -> Result<Relation, PlanError> {
        let schema = grouping.input.schema();
        let groups = grouping.group_expr.len();
        let mut below = Demand::new();
        let mut values = Values::default();
        let mut keys = Vec::with_capacity(groups);
        for expr in &grouping.group_expr {
            refuse::expression(expr)?;
            demand_of(expr, schema, &mut below)?;
            keys.push(values.add(positional(expr, schema, |at| at)?, expr.schema_name().to_string()));
        }
        let mut wanted: Vec<usize> = demand.iter().copied().filter(|column| *column >= groups).collect();
        if wanted.is_empty() && groups == 0 {
            // Without a key there is always exactly one row, which only an aggregate produces.
            wanted.push(0);
        }
        let mut aggregates = Vec::with_capacity(wanted.len());
        for column in &wanted {
            let call = called(&grouping.aggr_expr[*column - groups])?;
            call.params.args.iter().chain(call.params.filter.as_deref()).try_for_each(|expr| {
                refuse::expression(expr)?;
                demand_of(expr, schema, &mut below)
            })?;
            let data_type = grouping.schema.field(*column).data_type();
            aggregates.push(aggregate(call, data_type, schema, &mut values)?);
        }
        let input = self.lower(&grouping.input, &below)?;
        let (input, places) = with_values(&mut self.builder, &input, &values.exprs, &Demand::new())?;
        for aggregate in &mut aggregates {
            aggregate.argument = aggregate.argument.map(|value| places[value]);
            aggregate.filter = aggregate.filter.map(|value| places[value]);
        }
        let keys: Vec<usize> = keys.into_iter().map(|value| places[value]).collect();
        let names = wanted.iter().map(|column| grouping.schema.field(*column).name().clone()).collect();
        let (node, key_places) = self.reduce(&input, &keys, aggregates, names);
        let mut columns: std::collections::BTreeMap<usize, usize> = key_places.iter().copied().enumerate().collect();
        let first = self.builder.width(node) - wanted.len();
        columns.extend(wanted.iter().enumerate().map(|(place, column)| (*column, first + place)));
        Ok(Relation { node, columns })
    }

    /// Adds a reduce of `input` by the distinct columns among `keys` (columns of its node); returns the position of
    /// each key in the output.
    fn reduce(
        &mut self,
        input: &Relation,
        keys: &[usize],
        aggregates: Vec<Aggregate>,
        names: Vec<String>,
    ) -> (laminardb_dataflow::plan::NodeId, Vec<usize>) {
        let mut key: Vec<usize> = Vec::new();
        let mut places = Vec::with_capacity(keys.len());
        for column in keys {
            let place = key.iter().position(|other| other == column).unwrap_or_else(|| {
                key.push(*column);
                key.len() - 1
            });
            places.push(place);
        }
        let fields = self.builder.schema(input.node).fields();
        let key_columns =
            key.iter().map(|column| (fields[*column].name().clone(), fields[*column].data_type().clone()));
        let results = names.into_iter().zip(aggregates.iter().map(|aggregate| aggregate.data_type.clone()));
        let schema = named_schema(key_columns.chain(results));
        let monotonic = self.builder.properties(input.node).append_only;
        let operator = Operator::Reduce(Reduce { input: input.node, key, aggregates, monotonic });
        (self.builder.add(operator, schema), places)
    }

    pub(super) fn lower_distinct(&mut self, input: &LogicalPlan) -> Result<Relation, PlanError> {
        let input = self.lower(input, &all_columns(input))?;
        let places: Vec<usize> = input.columns.values().copied().collect();
        // Rows that are unique already need no reduce.
        if self.builder.properties(input.node).unique_on(&places) {
            return Ok(input);
        }
        let (node, places) = self.reduce(&input, &places, Vec::new(), Vec::new());
        Ok(Relation { node, columns: input.columns.into_keys().zip(places).collect() })
    }
}

fn called(expr: &Expr) -> Result<&Call, PlanError> {
    match expr {
        Expr::Alias(alias) => called(&alias.expr),
        Expr::AggregateFunction(call) => Ok(call),
        other => Err(refuse::construct(format!("{other} as an aggregate"))),
    }
}

fn aggregate(
    call: &Call,
    data_type: &DataType,
    schema: &datafusion::common::DFSchema,
    values: &mut Values,
) -> Result<Aggregate, PlanError> {
    let name = call.func.name();
    let function = maintained(name).ok_or_else(|| refuse::construct(format!("the aggregate {name}()")))?;
    let takes_order = matches!(function, AggregateFunction::Count | AggregateFunction::Min | AggregateFunction::Max);
    if !call.params.order_by.is_empty() && !takes_order {
        return Err(refuse::construct(format!("the ordered aggregate {name}(... ORDER BY ...)")));
    }
    let mut argument = None;
    match call.params.args.as_slice() {
        [] if function == AggregateFunction::Count => {}
        [Expr::Literal(value, _)]
            if function == AggregateFunction::Count && !value.is_null() && !call.params.distinct => {}
        [expr] => argument = Some(values.add(positional(expr, schema, |at| at)?, expr.schema_name().to_string())),
        _ => return Err(refuse::construct(format!("the aggregate {name}() of several arguments"))),
    }
    let filter = match call.params.filter.as_deref() {
        Some(expr) if *expr == lit(true) => None,
        Some(expr) => Some(values.add(positional(expr, schema, |at| at)?, expr.schema_name().to_string())),
        None => None,
    };
    // These aggregates ignore duplicates, so DISTINCT needs no set of the values seen.
    let idempotent = matches!(
        function,
        AggregateFunction::Min | AggregateFunction::Max | AggregateFunction::BoolAnd | AggregateFunction::BoolOr
    );
    let distinct = call.params.distinct && !idempotent;
    Ok(Aggregate { function, argument, distinct, filter, data_type: data_type.clone() })
}

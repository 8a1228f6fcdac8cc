//! A reference interpreter for plans: it computes each node from scratch, row by row.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use laminardb_dataflow::plan::{
    Aggregate, AggregateFunction, Arrangement, DataflowPlan, Join, JoinColumn, Linear, Operator, Reduce, SemiJoin,
    SemiJoinKind, SetOperator, SortKey, Step, TopK,
};
use laminardb_dataflow::{CollectionId, Scalar};

pub(crate) type Row = Vec<ScalarValue>;

/// Returns the rows of the view.
pub(crate) fn interpret(plan: &DataflowPlan, input: &dyn Fn(CollectionId) -> RecordBatch) -> Vec<Row> {
    let mut results: Vec<Vec<Row>> = Vec::new();
    for node in &plan.nodes {
        let rows = match &node.operator {
            Operator::Input(collection) => rows_of(&input(*collection)),
            Operator::Constant(rows) => rows_of(rows),
            Operator::Linear(Linear { input, steps }) => {
                steps.iter().fold((results[input.0].clone(), Arc::clone(&plan.node(*input).schema)), step).0
            }
            Operator::Union(union) => union.inputs.iter().flat_map(|input| results[input.0].clone()).collect(),
            Operator::Join(join) => inner_join(plan, join, &results, &node.schema),
            Operator::SemiJoin(semi) => semi_join(plan, semi, &results),
            Operator::Reduce(reduce) => group(reduce, &results[reduce.input.0]),
            Operator::Set(set) => combine(set.operator, &results[set.left.0], &results[set.right.0]),
            Operator::TopK(top_k) => first(top_k, &results[top_k.input.0]),
        };
        for row in &rows {
            let types: Vec<DataType> = row.iter().map(ScalarValue::data_type).collect();
            let expected: Vec<DataType> = node.schema.fields().iter().map(|field| field.data_type().clone()).collect();
            assert_eq!(types, expected, "a row of {:?}", node.operator);
        }
        results.push(rows);
    }
    results.swap_remove(plan.output.node.0)
}

pub(crate) fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    let value = |column: &ArrayRef, row| ScalarValue::try_from_array(column, row).expect("a row of the batch");
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| value(column, row)).collect()).collect()
}

pub(crate) fn batch_of(rows: &[Row], schema: &SchemaRef) -> RecordBatch {
    let column = |position: usize| {
        let values: Vec<ScalarValue> = rows.iter().map(|row| row[position].clone()).collect();
        if values.is_empty() {
            return arrow::array::new_empty_array(schema.field(position).data_type());
        }
        ScalarValue::iter_to_array(values).expect("one type a column")
    };
    let columns = (0..schema.fields().len()).map(column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).expect("columns of the schema")
}

fn evaluate(scalar: &dyn Scalar, batch: &RecordBatch) -> ArrayRef {
    let evaluated = scalar.evaluate(batch);
    assert_eq!(evaluated.errors, Vec::new(), "{}", scalar.text());
    evaluated.values
}

fn matching(rows: Vec<Row>, schema: &SchemaRef, predicate: &dyn Scalar) -> Vec<Row> {
    let kept = evaluate(predicate, &batch_of(&rows, schema));
    let kept = kept.as_boolean();
    rows.into_iter().zip(kept.iter()).filter(|(_, kept)| *kept == Some(true)).map(|(row, _)| row).collect()
}

fn step((rows, schema): (Vec<Row>, SchemaRef), step: &Step) -> (Vec<Row>, SchemaRef) {
    match step {
        Step::Filter(predicate) => (matching(rows, &schema, predicate.as_ref()), schema),
        Step::Project { columns, schema: projected } => {
            let batch = batch_of(&rows, &schema);
            let columns = columns.iter().map(|column| evaluate(column.as_ref(), &batch)).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
            let batch = RecordBatch::try_new_with_options(Arc::clone(projected), columns, &options);
            (rows_of(&batch.expect("columns of the schema")), Arc::clone(projected))
        }
    }
}

fn pick(row: &Row, columns: &[usize]) -> Row {
    columns.iter().map(|column| row[*column].clone()).collect()
}

/// Returns the key and the value of each row of an arrangement.
fn arranged(arrangement: &Arrangement, results: &[Vec<Row>]) -> Vec<(Row, Row)> {
    let rows = &results[arrangement.input.0];
    rows.iter().map(|row| (pick(row, &arrangement.key), pick(row, &arrangement.value))).collect()
}

fn inner_join(plan: &DataflowPlan, join: &Join, results: &[Vec<Row>], schema: &SchemaRef) -> Vec<Row> {
    let left = arranged(&plan.arrangements[join.left.0], results);
    let right = arranged(&plan.arrangements[join.right.0], results);
    let mut rows = Vec::new();
    for (key, left) in &left {
        for (_, right) in right.iter().filter(|(other, _)| other == key) {
            let column = |column: &JoinColumn| match column {
                JoinColumn::Key(position) => key[*position].clone(),
                JoinColumn::Left(position) => left[*position].clone(),
                JoinColumn::Right(position) => right[*position].clone(),
            };
            rows.push(join.output.iter().map(column).collect());
        }
    }
    match &join.residual {
        Some(residual) => matching(rows, schema, residual.as_ref()),
        None => rows,
    }
}

fn semi_join(plan: &DataflowPlan, semi: &SemiJoin, results: &[Vec<Row>]) -> Vec<Row> {
    let keys: Vec<Row> = results[semi.right.0].iter().map(|row| pick(row, &semi.right_key)).collect();
    let wanted = semi.kind == SemiJoinKind::Semi;
    let rows = arranged(&plan.arrangements[semi.left.0], results).into_iter();
    rows.filter(|(key, _)| keys.contains(key) == wanted).map(|(key, value)| [key, value].concat()).collect()
}

fn groups(rows: &[Row], key: &[usize]) -> Vec<(Row, Vec<Row>)> {
    let mut groups: Vec<(Row, Vec<Row>)> = Vec::new();
    for row in rows {
        let key = pick(row, key);
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, rows)) => rows.push(row.clone()),
            None => groups.push((key, vec![row.clone()])),
        }
    }
    groups
}

fn group(reduce: &Reduce, rows: &[Row]) -> Vec<Row> {
    let mut groups = groups(rows, &reduce.key);
    if groups.is_empty() && reduce.key.is_empty() && !reduce.aggregates.is_empty() {
        groups.push((Vec::new(), Vec::new()));
    }
    let result = |(key, rows): (Row, Vec<Row>)| {
        let values = reduce.aggregates.iter().map(|call| aggregate(call, &rows));
        key.into_iter().chain(values).collect()
    };
    groups.into_iter().map(result).collect()
}

fn aggregate(call: &Aggregate, rows: &[Row]) -> ScalarValue {
    let passes = |row: &&Row| call.filter.is_none_or(|column| row[column] == ScalarValue::Boolean(Some(true)));
    let rows = rows.iter().filter(passes);
    let Some(argument) = call.argument else { return ScalarValue::Int64(Some(rows.count() as i64)) };
    let mut values: Vec<ScalarValue> = rows.map(|row| row[argument].clone()).filter(|v| !v.is_null()).collect();
    if call.distinct {
        values = groups(&values.into_iter().map(|value| vec![value]).collect::<Vec<_>>(), &[0])
            .into_iter()
            .map(|(mut key, _)| key.swap_remove(0))
            .collect();
    }
    let least = |wanted: Ordering| {
        let better = |a: ScalarValue, b: ScalarValue| if b.partial_cmp(&a) == Some(wanted) { b } else { a };
        values.iter().cloned().reduce(better)
    };
    let null = || ScalarValue::try_from(&call.data_type).expect("a type with NULL");
    let sum = || values.iter().cloned().reduce(|a, b| a.add(b).expect("numbers"));
    match call.function {
        AggregateFunction::Count => ScalarValue::Int64(Some(values.len() as i64)),
        AggregateFunction::Min => least(Ordering::Less).unwrap_or_else(null),
        AggregateFunction::Max => least(Ordering::Greater).unwrap_or_else(null),
        AggregateFunction::Sum => {
            sum().map_or_else(null, |sum| sum.cast_to(&call.data_type).expect("a number of the type"))
        }
        AggregateFunction::Avg => match sum().map(|sum| sum.cast_to(&DataType::Float64).expect("a number")) {
            Some(ScalarValue::Float64(Some(sum))) => ScalarValue::Float64(Some(sum / values.len() as f64)),
            _ => null(),
        },
        other => panic!("{other:?} is not interpreted"),
    }
}

fn combine(operator: SetOperator, left: &[Row], right: &[Row]) -> Vec<Row> {
    let whole: Vec<usize> = (0..left.iter().chain(right).next().map_or(0, Vec::len)).collect();
    let count = |rows: &[Row], row: &Row| rows.iter().filter(|other| *other == row).count();
    let mut rows = Vec::new();
    for (row, _) in groups(left, &whole) {
        let (l, r) = (count(left, &row), count(right, &row));
        let times = match operator {
            SetOperator::Except => usize::from(r == 0),
            SetOperator::ExceptAll => l.saturating_sub(r),
            SetOperator::Intersect => usize::from(r > 0),
            SetOperator::IntersectAll => l.min(r),
        };
        rows.extend(std::iter::repeat_n(row, times));
    }
    rows
}

fn first(top_k: &TopK, rows: &[Row]) -> Vec<Row> {
    let mut kept = Vec::new();
    for (_, mut rows) in groups(rows, &top_k.group) {
        let whole = (0..rows[0].len()).map(|column| SortKey { column, descending: false, nulls_first: false });
        let order: Vec<SortKey> = top_k.order.iter().copied().chain(whole).collect();
        rows.sort_by(|a, b| compare(a, b, &order));
        let limit = top_k.limit.map_or(usize::MAX, |limit| limit as usize);
        kept.extend(rows.into_iter().skip(top_k.offset as usize).take(limit));
    }
    kept
}

fn compare(a: &Row, b: &Row, order: &[SortKey]) -> Ordering {
    let by_key = |key: &SortKey| {
        let (a, b) = (&a[key.column], &b[key.column]);
        match (a.is_null(), b.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) => {
                if key.nulls_first {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (false, true) => {
                if key.nulls_first {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            _ => {
                let ordering = a.partial_cmp(b).expect("values of one type");
                if key.descending { ordering.reverse() } else { ordering }
            }
        }
    };
    order.iter().map(by_key).find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
}

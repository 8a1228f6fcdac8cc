//! The plain twin of every view: evaluates a plan from nothing on the current contents.

use std::collections::BTreeMap;

use laminardb_dataflow::plan::{
    Aggregate, AggregateFunction, DataflowPlan, JoinColumn, Linear, NodeId, Operator, Reduce, SemiJoinKind,
    SetOperator, Step, TopK,
};
use laminardb_dataflow::update::PerRow;
use laminardb_dataflow::{CollectionId, Diff};

use super::{Bag, Row, add, batch, put};

/// Contents of relations and views.
pub(crate) type Contents = BTreeMap<CollectionId, Bag>;

/// Returns the rows of the view of `plan`.
pub(crate) fn evaluate(plan: &DataflowPlan, contents: &Contents) -> Bag {
    node(plan, plan.output.node, contents)
}

fn node(plan: &DataflowPlan, id: NodeId, contents: &Contents) -> Bag {
    match &plan.node(id).operator {
        Operator::Input(collection) => contents.get(collection).cloned().unwrap_or_default(),
        Operator::Constant(rows) => {
            let mut bag = Bag::new();
            add(&mut bag, rows, &PerRow::Same(1));
            bag
        }
        Operator::Linear(Linear { input, steps }) => linear(node(plan, *input, contents), steps),
        Operator::Union(union) => {
            let mut sum = Bag::new();
            union
                .inputs
                .iter()
                .flat_map(|input| node(plan, *input, contents))
                .for_each(|(row, n)| put(&mut sum, row, n));
            sum
        }
        Operator::Join(join) => {
            let left = arranged(plan, join.left.0, contents);
            let right = arranged(plan, join.right.0, contents);
            let mut out = Bag::new();
            for ((key, l), n) in &left {
                for ((_, r), m) in right.iter().filter(|((other, _), _)| other == key) {
                    let pick = |column: &JoinColumn| match column {
                        JoinColumn::Key(i) => key[*i],
                        JoinColumn::Left(i) => l[*i],
                        JoinColumn::Right(i) => r[*i],
                    };
                    put(&mut out, join.output.iter().map(pick).collect(), n * m);
                }
            }
            match &join.residual {
                Some(residual) => linear(out, &[Step::Filter(std::sync::Arc::clone(residual))]),
                None => out,
            }
        }
        Operator::SemiJoin(semi) => {
            let right = node(plan, semi.right, contents);
            let keys: Vec<Row> = right.keys().map(|row| pick(row, &semi.right_key)).collect();
            let stays = |key: &Row| keys.contains(key) == (semi.kind == SemiJoinKind::Semi);
            let mut out = Bag::new();
            for ((key, value), n) in arranged(plan, semi.left.0, contents) {
                if stays(&key) {
                    put(&mut out, key.into_iter().chain(value).collect(), n);
                }
            }
            out
        }
        Operator::Reduce(reduce) => groups(node(plan, reduce.input, contents), reduce),
        Operator::Set(set) => {
            let (left, right) = (node(plan, set.left, contents), node(plan, set.right, contents));
            let mut out = Bag::new();
            for (row, l) in left {
                let r = right.get(&row).copied().unwrap_or(0);
                let n = match set.operator {
                    SetOperator::Except => Diff::from(r == 0),
                    SetOperator::ExceptAll => (l - r).max(0),
                    SetOperator::Intersect => Diff::from(r > 0),
                    SetOperator::IntersectAll => l.min(r),
                };
                put(&mut out, row, n);
            }
            out
        }
        Operator::TopK(top_k) => first_rows(node(plan, top_k.input, contents), top_k),
    }
}

fn pick(row: &Row, columns: &[usize]) -> Row {
    columns.iter().map(|c| row[*c]).collect()
}

fn arranged(plan: &DataflowPlan, id: usize, contents: &Contents) -> BTreeMap<(Row, Row), Diff> {
    let arrangement = &plan.arrangements[id];
    let mut rows = BTreeMap::new();
    for (row, n) in node(plan, arrangement.input, contents) {
        *rows.entry((pick(&row, &arrangement.key), pick(&row, &arrangement.value))).or_default() += n;
    }
    rows
}

/// Applies steps to rows; rows on which a step fails are left out.
fn linear(bag: Bag, steps: &[Step]) -> Bag {
    let mut out = Bag::new();
    'rows: for (row, n) in bag {
        let mut rows = batch(row.len(), &[(row, 1)]).0;
        for step in steps {
            match step {
                Step::Filter(predicate) => {
                    let evaluated = predicate.evaluate(&rows);
                    let mask = arrow::array::AsArray::as_boolean(&evaluated.values).clone();
                    rows = arrow::compute::filter_record_batch(&rows, &mask).expect("one row");
                    if rows.num_rows() == 0 {
                        continue 'rows;
                    }
                }
                Step::Project { columns, schema } => {
                    let evaluated: Vec<_> = columns.iter().map(|c| c.evaluate(&rows)).collect();
                    if evaluated.iter().any(|e| !e.errors.is_empty()) {
                        continue 'rows;
                    }
                    let values = evaluated.into_iter().map(|e| e.values).collect();
                    rows = arrow::array::RecordBatch::try_new(std::sync::Arc::clone(schema), values).expect("one row");
                }
            }
        }
        add(&mut out, &rows, &PerRow::Same(n));
    }
    out
}

fn groups(bag: Bag, reduce: &Reduce) -> Bag {
    let mut groups: BTreeMap<Row, Vec<(Row, Diff)>> = BTreeMap::new();
    if reduce.key.is_empty() && !reduce.aggregates.is_empty() {
        groups.insert(Vec::new(), Vec::new());
    }
    for (row, n) in bag {
        groups.entry(pick(&row, &reduce.key)).or_default().push((row, n));
    }
    let aggregated = groups.into_iter().map(|(key, rows)| {
        let values = reduce.aggregates.iter().map(|aggregate| value(aggregate, &rows));
        (key.into_iter().chain(values).collect(), 1)
    });
    aggregated.collect()
}

fn value(aggregate: &Aggregate, rows: &[(Row, Diff)]) -> Option<i64> {
    let Some(column) = aggregate.argument else {
        return Some(rows.iter().map(|(_, n)| n).sum());
    };
    let values: Vec<(i64, Diff)> = rows.iter().filter_map(|(row, n)| Some((row[column]?, *n))).collect();
    match aggregate.function {
        AggregateFunction::Count => Some(values.iter().map(|(_, n)| n).sum()),
        AggregateFunction::Sum if values.is_empty() => None,
        AggregateFunction::Sum => Some(values.iter().map(|(v, n)| v * n).sum()),
        AggregateFunction::Min => values.iter().map(|(v, _)| *v).min(),
        AggregateFunction::Max => values.iter().map(|(v, _)| *v).max(),
        other => unreachable!("the tests of engines do not use {other:?}"),
    }
}

fn first_rows(bag: Bag, top_k: &TopK) -> Bag {
    let mut groups: BTreeMap<Row, Vec<Row>> = BTreeMap::new();
    for (row, n) in bag {
        let group = groups.entry(pick(&row, &top_k.group)).or_default();
        (0..n).for_each(|_| group.push(row.clone()));
    }
    let mut out = Bag::new();
    for mut rows in groups.into_values() {
        rows.sort_by(|a, b| {
            let by_keys = top_k.order.iter().map(|key| {
                let (a, b) = (a[key.column], b[key.column]);
                match (a, b) {
                    (None, None) => std::cmp::Ordering::Equal,
                    (None, _) if key.nulls_first => std::cmp::Ordering::Less,
                    (None, _) => std::cmp::Ordering::Greater,
                    (_, None) if key.nulls_first => std::cmp::Ordering::Greater,
                    (_, None) => std::cmp::Ordering::Less,
                    (a, b) if key.descending => b.cmp(&a),
                    (a, b) => a.cmp(&b),
                }
            });
            by_keys.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then).then_with(|| a.cmp(b))
        });
        let offset = usize::try_from(top_k.offset).expect("small");
        let limit = top_k.limit.map_or(usize::MAX, |limit| usize::try_from(limit).expect("small"));
        rows.into_iter().skip(offset).take(limit).for_each(|row| put(&mut out, row, 1));
    }
    out
}

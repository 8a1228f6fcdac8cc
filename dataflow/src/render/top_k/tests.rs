//! Compares top-k with groups that are sorted and cut.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use arrow::datatypes::DataType::{self, Float64, Int64, Utf8};

use super::*;
use crate::failure::Failures;
use crate::plan::{NodeId, SortKey};
use crate::testing::{
    Fragment, Random, Row, Rows, Shape, Value, accumulate, apply_all, assert_same_history, close_all, random_script,
    run, schema, seeds,
};
use crate::work::Work;

const INPUT: [DataType; 3] = [Int64, Utf8, Float64];

fn fragment(plan: TopK) -> Arc<Fragment> {
    Arc::new(move |_, streams| {
        let input = streams.into_iter().next().expect("one input");
        let (rows, _) = top_k(input, &plan, &schema(&INPUT), Aside::new(Work::new("top_k"), &Failures::default()))
            .expect("plain types");
        vec![rows]
    })
}

fn compare(a: &Value, b: &Value, descending: bool, nulls_first: bool) -> Ordering {
    let nulls = |a: bool| if a == nulls_first { Ordering::Less } else { Ordering::Greater };
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => nulls(true),
        (_, Value::Null) => nulls(false),
        _ => {
            let order = match (a, b) {
                (Value::Float(a), Value::Float(b)) => f64::from_bits(*a).total_cmp(&f64::from_bits(*b)),
                _ => a.cmp(b),
            };
            if descending { order.reverse() } else { order }
        }
    }
}

/// The plain twin: sort each group and cut.
fn twin(plan: &TopK, input: &Rows) -> Rows {
    let mut groups: BTreeMap<Row, Vec<&Row>> = BTreeMap::new();
    for (row, count) in input {
        let key = plan.group.iter().map(|column| row[*column].clone()).collect();
        let group = groups.entry(key).or_default();
        group.extend(std::iter::repeat_n(row, *count as usize));
    }
    let mut output = Rows::new();
    for rows in groups.values_mut() {
        rows.sort_by(|a, b| {
            let keys = plan.order.iter().map(|k| compare(&a[k.column], &b[k.column], k.descending, k.nulls_first));
            let ties = a.iter().zip(b.iter()).map(|(a, b)| compare(a, b, false, true));
            keys.chain(ties).find(|order| *order != Ordering::Equal).unwrap_or(Ordering::Equal)
        });
        let limit = plan.limit.map_or(usize::MAX, |limit| limit as usize);
        for row in rows.iter().skip(plan.offset as usize).take(limit) {
            *output.entry((*row).clone()).or_default() += 1;
        }
    }
    output
}

fn check(seed: u64) {
    let mut random = Random::new(seed);
    let groups: [&[usize]; 4] = [&[], &[0], &[1], &[2, 0]];
    let order = (0..random.below(3)).map(|_| SortKey {
        column: random.below(3),
        descending: random.once_in(2),
        nulls_first: random.once_in(2),
    });
    let order: Vec<SortKey> = order.collect();
    let shape = Shape {
        inputs: vec![INPUT.to_vec()],
        times: 6,
        step: *random.pick(&[2, 10, 60, 600]),
        domain: *random.pick(&[2, 12, 100]),
    };
    let mut script = random_script(&mut random, &shape);
    let monotonic = random.once_in(3);
    if monotonic {
        script.changes[0].retain(|(_, _, diff)| *diff > 0);
    }
    // Within a time a row may be taken back before it comes.
    script.changes[0].sort_by_cached_key(|(_, time, _)| (*time, random.next()));
    let plan = TopK {
        input: NodeId(0),
        group: random.pick(&groups).to_vec(),
        order,
        limit: *random.pick(&[None, Some(0), Some(1), Some(3), Some(20), Some(150)]),
        offset: *random.pick(&[0, 0, 1, 5]),
        monotonic,
    };
    let workers = *random.pick(&[1, 2, 4]);
    let changes = run(workers, &script, fragment(plan.clone()));
    let name = format!("seed {seed}, {workers} workers, {shape:?}, {plan:?}");
    assert_same_history(&name, &changes[0], script.times, |time| twin(&plan, &accumulate(&script.changes[0], time)));
}

#[test]
fn pages_are_those_of_the_sorted_groups() {
    seeds(200).into_iter().for_each(check);
}

#[test]
fn a_change_of_a_long_page_touches_few_rows() {
    let order = vec![SortKey { column: 0, descending: false, nulls_first: false }];
    let page =
        |limit, offset| TopK { input: NodeId(0), group: vec![], order: order.clone(), limit, offset, monotonic: false };
    let rows = |numbers: &[i64]| {
        let rows: Vec<Row> = numbers.iter().map(|i| vec![Value::Int(*i), Value::Null, Value::Null]).collect();
        crate::testing::to_batch(&schema(&INPUT), &rows.iter().collect::<Vec<_>>())
    };
    for (limit, offset) in [(Some(1500), 0), (Some(1000), 500), (Some(1), 1000), (None, 1000), (Some(5000), 0)] {
        let mut state = TopKState::new(&page(limit, offset), &schema(&INPUT)).expect("plain types");
        apply_all(&mut state, 0, &rows(&(0..3000).collect::<Vec<_>>()), &PerRow::Same(1));
        close_all(&mut state);
        // One row comes at the front and pushes one out of the page or into it, and goes again.
        for diff in [1, -1] {
            let mut allowance = Allowance::new(1000);
            state.apply(0, &rows(&[-5]), &PerRow::Same(diff), &mut allowance);
            while state.close(&mut allowance).left > 0 {}
            assert!(allowance.spent() < 20, "{limit:?} {offset}: {} rows", allowance.spent());
        }
    }
}

#[test]
fn growing_groups_keep_their_page_alone() {
    let plan = TopK {
        input: NodeId(0),
        group: vec![],
        order: vec![SortKey { column: 0, descending: true, nulls_first: false }],
        limit: Some(3),
        offset: 2,
        monotonic: true,
    };
    let mut state = TopKState::new(&plan, &schema(&INPUT)).expect("plain types");
    let rows: Vec<Row> = (0..1000).map(|i| vec![Value::Int(i % 500), Value::Null, Value::Null]).collect();
    let batch = crate::testing::to_batch(&schema(&INPUT), &rows.iter().collect::<Vec<_>>());
    apply_all(&mut state, 0, &batch, &PerRow::Same(1));
    let changes = close_all(&mut state);
    assert_eq!(changes.rows.iter().map(|(rows, _)| rows.num_rows()).sum::<usize>(), 2);
    assert_eq!(state.size().rows, 3);
}

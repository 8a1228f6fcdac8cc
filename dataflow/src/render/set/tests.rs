//! Compares EXCEPT and INTERSECT with their definition, row by row.

use arrow::datatypes::DataType::{Float64, Int64, Utf8};

use super::*;
use crate::failure::Failures;
use crate::testing::{
    Fragment, Random, Rows, Shape, accumulate, apply_all, assert_same_history, close_all, random_script, run, schema,
    seeds,
};
use crate::work::Work;

const TYPES: [DataType; 3] = [Float64, Utf8, Int64];

fn fragment(operator: SetOperator, columns: usize) -> Arc<Fragment> {
    Arc::new(move |_, streams| {
        let mut streams = streams.into_iter();
        let mut next = || streams.next().expect("two inputs");
        let (left, right) = (next(), next());
        let (rows, _) =
            set(left, right, operator, &schema(&TYPES[..columns]), Aside::new(Work::new("set"), &Failures::default()))
                .expect("plain types");
        vec![rows]
    })
}

/// The plain twin: the definition, row by row.
fn twin(operator: SetOperator, left: &Rows, right: &Rows) -> Rows {
    let output = left.iter().map(|(row, l)| {
        let (l, r) = (*l, right.get(row).copied().unwrap_or(0));
        let count = match operator {
            SetOperator::Except => i64::from(r == 0),
            SetOperator::ExceptAll => {
                if l > r {
                    l - r
                } else {
                    0
                }
            }
            SetOperator::Intersect => i64::from(r > 0),
            SetOperator::IntersectAll => {
                if l < r {
                    l
                } else {
                    r
                }
            }
        };
        (row.clone(), count)
    });
    output.filter(|(_, count)| *count != 0).collect()
}

fn check(seed: u64) {
    let mut random = Random::new(seed);
    let operators = [SetOperator::Except, SetOperator::ExceptAll, SetOperator::Intersect, SetOperator::IntersectAll];
    let operator = *random.pick(&operators);
    let columns = *random.pick(&[1, 2, 3]);
    let inputs = vec![TYPES[..columns].to_vec(); 2];
    let shape = Shape { inputs, times: 6, step: *random.pick(&[2, 10, 60, 600]), domain: *random.pick(&[2, 12, 100]) };
    let script = random_script(&mut random, &shape);
    let workers = *random.pick(&[1, 2, 4]);
    let changes = run(workers, &script, fragment(operator, columns));
    let name = format!("seed {seed}, {workers} workers, {operator:?}, {shape:?}");
    assert_same_history(&name, &changes[0], script.times, |time| {
        let [left, right] = [0, 1].map(|side| accumulate(&script.changes[side], time));
        twin(operator, &left, &right)
    });
}

#[test]
fn rows_come_as_often_as_both_sides_say() {
    seeds(150).into_iter().for_each(check);
}

#[test]
fn nothing_is_held_for_rows_that_are_gone() {
    let mut random = Random::new(7);
    let shape = Shape { inputs: vec![TYPES.to_vec(); 2], times: 3, step: 50, domain: 12 };
    let script = random_script(&mut random, &shape);
    let mut state = SetState::new(SetOperator::ExceptAll, &schema(&TYPES)).expect("plain types");
    for sign in [1, -1] {
        for (side, changes) in script.changes.iter().enumerate() {
            let rows = accumulate(changes, script.times);
            let batch = crate::testing::to_batch(&schema(&TYPES), &rows.keys().collect::<Vec<_>>());
            let diffs = PerRow::from_vec(rows.values().map(|count| sign * count).collect());
            apply_all(&mut state, side, &batch, &diffs);
        }
        close_all(&mut state);
    }
    assert_eq!(state.size().rows, 0);
    assert!(state.size().bytes > 0);
}

use arrow::datatypes::DataType::{self, Float64, Int64, Utf8};

use super::*;
use crate::arrangement::arrange;
use crate::testing::{
    Fragment, Random, Row, Rows, Script, Shape, accumulate, assert_same_history, random_script, run, schema, seeds,
};

/// A semi or anti join of two inputs.
#[derive(Clone, Debug)]
struct Case {
    inputs: [Vec<DataType>; 2],
    key: Vec<usize>,
    value: Vec<usize>,
    right_key: Vec<usize>,
    kind: SemiJoinKind,
}

fn case(random: &mut Random) -> Case {
    let inputs = [vec![Int64, Utf8, Float64], vec![Utf8, Float64, Int64]];
    let (key, value, right_key) = match random.below(5) {
        0 => (vec![0], vec![1, 2], vec![2]),
        1 => (vec![1], vec![0], vec![0]),
        2 => (vec![2, 0], vec![], vec![1, 2]),
        3 => (vec![1, 2], vec![0], vec![0, 1]),
        _ => (vec![], vec![0, 1], vec![]),
    };
    let kind = *random.pick(&[SemiJoinKind::Semi, SemiJoinKind::Anti]);
    Case { inputs, key, value, right_key, kind }
}

fn fragment(case: Case) -> Arc<Fragment> {
    Arc::new(move |_, streams| {
        let [left_schema, right_schema] = [0, 1].map(|side| schema(&case.inputs[side]));
        let left = Layout::new(&left_schema, &case.key, &case.value).expect("supported types");
        let right_key = Arc::new(KeyCodec::new(&right_schema, &case.right_key).expect("supported types"));
        let layout = SemiJoinLayout::new(&left, &right_key, case.kind, left.schema()).expect("the case fits");
        let [left_rows, right_rows] = <[_; 2]>::try_from(streams).ok().expect("two inputs");
        vec![semi_join(arrange(left_rows, &left, "Arrange"), right_rows, layout).0]
    })
}

/// The plain twin.
fn twin(case: &Case, script: &Script, time: Time) -> Rows {
    let [left, right] = [0, 1].map(|side| accumulate(&script.changes[side], time));
    let pick = |row: &Row, columns: &[usize]| -> Row { columns.iter().map(|c| row[*c].clone()).collect() };
    let mut rows = Rows::new();
    for (row, count) in left {
        let key = pick(&row, &case.key);
        let present = right.keys().any(|r| pick(r, &case.right_key) == key);
        if present == (case.kind == SemiJoinKind::Semi) {
            *rows.entry([key, pick(&row, &case.value)].concat()).or_default() += count;
        }
    }
    rows
}

fn check(seed: u64, steps: &[usize]) {
    let mut random = Random::new(seed);
    let case = case(&mut random);
    let (step, domain) = (*random.pick(steps), *random.pick(&[2, 12, 100]));
    let shape = Shape { inputs: case.inputs.to_vec(), times: 8, step, domain };
    let script = random_script(&mut random, &shape);
    let workers = *random.pick(&[1, 1, 2, 4]);
    let changes = run(workers, &script, fragment(case.clone()));
    let name = format!("seed {seed}, {workers} workers, {shape:?}, {case:?}");
    assert_same_history(&name, &changes[0], script.times, |time| twin(&case, &script, time));
}

#[test]
fn rows_come_and_go_with_their_key() {
    for seed in seeds(150) {
        check(seed, &[2, 10, 60]);
    }
}

#[test]
fn large_steps_too() {
    for seed in seeds(6) {
        check(seed + 5000, &[500]);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let kind = SemiJoinKind::Semi;
    let left = Layout::new(&schema(&[Int64, Utf8]), &[0], &[1]).expect("supported types");
    let key = |columns: &[usize]| Arc::new(KeyCodec::new(&schema(&[Int64, Utf8]), columns).expect("supported types"));
    assert!(SemiJoinLayout::new(&left, &key(&[0]), kind, left.schema()).is_ok());
    assert!(SemiJoinLayout::new(&left, &key(&[1]), kind, left.schema()).is_err());
    assert!(SemiJoinLayout::new(&left, &key(&[0]), kind, &schema(&[Int64])).is_err());
}

//! Compares joins with all pairs of rows with equal keys, and checks how much history they keep.

use arrow::datatypes::DataType::{Float64, Int64, Utf8};
use arrow::datatypes::{DataType, Schema};

use super::*;
use crate::Time;
use crate::arrangement::arrange;
use crate::testing::{
    Fragment, LateFragment, Random, Row, Rows, Script, Shape, accumulate, assert_same_history,
    assert_same_history_since, churning_script, random_script, run, run_late, schema, seeds,
};

mod iteration;
mod pieces;

/// A join of two inputs: their key and value columns, and the columns of the output.
#[derive(Clone, Debug)]
struct Case {
    inputs: [Vec<DataType>; 2],
    keys: [Vec<usize>; 2],
    values: [Vec<usize>; 2],
    output: Vec<JoinColumn>,
}

fn case(random: &mut Random) -> Case {
    use JoinColumn::{Key, Left, Right};
    let types = [vec![Int64, Utf8, Float64], vec![Utf8, Float64, Int64, Int64]];
    let (keys, values, output) = match random.below(6) {
        0 => ([vec![0], vec![2]], [vec![1, 2], vec![0]], vec![Right(0), Key(0), Left(1), Left(0)]),
        1 => ([vec![1], vec![0]], [vec![0], vec![2, 3]], vec![Key(0), Left(0), Right(1)]),
        2 => ([vec![2, 0], vec![1, 3]], [vec![], vec![0]], vec![Key(1), Right(0), Key(0)]),
        3 => ([vec![1, 2], vec![0, 1]], [vec![0], vec![]], vec![Left(0)]),
        4 => ([vec![], vec![]], [vec![0], vec![0, 3]], vec![Left(0), Right(1), Right(0)]),
        _ => ([vec![2], vec![1]], [vec![1], vec![2]], vec![Key(0)]),
    };
    Case { inputs: types, keys, values, output }
}

fn output_schema(case: &Case) -> SchemaRef {
    let data_type = |column: &JoinColumn| match column {
        JoinColumn::Key(i) => case.inputs[0][case.keys[0][*i]].clone(),
        JoinColumn::Left(i) => case.inputs[0][case.values[0][*i]].clone(),
        JoinColumn::Right(i) => case.inputs[1][case.values[1][*i]].clone(),
    };
    schema(&case.output.iter().map(data_type).collect::<Vec<_>>())
}

fn layout(case: &Case, side: usize) -> Arc<Layout> {
    Layout::new(&schema(&case.inputs[side]), &case.keys[side], &case.values[side]).expect("supported types")
}

fn fragment(case: Case) -> Arc<Fragment> {
    Arc::new(move |_, streams| {
        let mut streams = streams.into_iter();
        let mut arranged = |side: usize| {
            arrange(streams.next().expect("two inputs"), &layout(&case, side), "Arrange", Work::new("arrange"))
        };
        let (left, right) = (arranged(0), arranged(1));
        vec![join(left, right, join_layout(&case), Work::new("join"))]
    })
}

fn join_layout(case: &Case) -> JoinLayout {
    JoinLayout::new(&layout(case, 0), &layout(case, 1), &case.output, &output_schema(case)).expect("the case fits")
}

/// Both sides imported, or the right one its own.
fn late_fragment(case: Case) -> Arc<LateFragment> {
    Arc::new(move |mut arranged, mut streams| {
        let left = arranged.remove(0);
        let right = match streams.pop() {
            Some(rows) => arrange(rows, &layout(&case, 1), "Arrange", Work::new("arrange")),
            None => arranged.remove(0),
        };
        join(left, right, join_layout(&case), Work::new("join"))
    })
}

/// The plain twin: every pair of rows.
fn twin(case: &Case, script: &Script, time: Time) -> Rows {
    let [left, right] = [0, 1].map(|side| accumulate(&script.changes[side], time));
    let pick = |row: &Row, columns: &[usize]| -> Row { columns.iter().map(|c| row[*c].clone()).collect() };
    let mut rows = Rows::new();
    for (l, n) in &left {
        let key = pick(l, &case.keys[0]);
        for (r, m) in right.iter().filter(|(r, _)| pick(r, &case.keys[1]) == key) {
            let value = |column: &JoinColumn| match column {
                JoinColumn::Key(i) => key[*i].clone(),
                JoinColumn::Left(i) => l[case.values[0][*i]].clone(),
                JoinColumn::Right(i) => r[case.values[1][*i]].clone(),
            };
            *rows.entry(case.output.iter().map(value).collect()).or_default() += n * m;
        }
    }
    rows.retain(|_, diff| *diff != 0);
    rows
}

fn check(seed: u64) {
    let mut random = Random::new(seed);
    let case = case(&mut random);
    let crossing = case.keys[0].is_empty();
    let step = if crossing { 8 } else { *random.pick(&[2, 10, 60]) };
    let domain = *random.pick(&[2, 12, 100]);
    let shape = Shape { inputs: case.inputs.to_vec(), times: 6, step, domain };
    let script = random_script(&mut random, &shape);
    let workers = *random.pick(&[1, 1, 2, 4]);
    let changes = run(workers, &script, fragment(case.clone()));
    let name = format!("seed {seed}, {workers} workers, {shape:?}, {case:?}");
    assert_same_history(&name, &changes[0], script.times, |time| twin(&case, &script, time));
}

#[test]
fn a_join_is_all_pairs_of_equal_keys() {
    for seed in seeds(100) {
        check(seed);
    }
}

#[test]
fn a_late_join_imports_compacted_history() {
    for seed in seeds(40) {
        let mut random = Random::new(seed + 9000);
        let case = case(&mut random);
        let step = if case.keys[0].is_empty() { 8 } else { *random.pick(&[2, 10, 60]) };
        let shape = Shape { inputs: case.inputs.to_vec(), times: 8, step, domain: *random.pick(&[2, 12]) };
        let script = random_script(&mut random, &shape);
        let (workers, opening) = (*random.pick(&[1, 1, 2, 4]), Time(1 + random.below(6) as u64));
        let layouts = vec![Some(layout(&case, 0)), random.once_in(2).then(|| layout(&case, 1))];
        let (changes, _) = run_late(workers, &script, opening, layouts, late_fragment(case.clone()));
        let name = format!("seed {seed}, {workers} workers from {opening}, {case:?}");
        assert_same_history_since(&name, &changes, opening, script.times, |time| twin(&case, &script, time));
    }
}

#[test]
fn history_does_not_grow_with_time() {
    let types = vec![Int64, Utf8];
    let output = vec![JoinColumn::Left(0), JoinColumn::Right(0)];
    let case = Case { inputs: [types.clone(), types], keys: [vec![0], vec![0]], values: [vec![1], vec![1]], output };
    let layouts = vec![Some(layout(&case, 0)), Some(layout(&case, 1))];
    let (_, sizes) = run_late(1, &churning_script(2, Time(300)), Time(2), layouts, late_fragment(case));
    assert!(sizes.len() == 2 && sizes.iter().all(|s| s.updates < 80 && s.batches < 12), "{sizes:?}");
}

#[test]
fn large_steps_join_too() {
    for seed in seeds(3) {
        let mut random = Random::new(seed + 1000);
        let case = case(&mut random);
        if case.keys[0].is_empty() {
            continue;
        }
        let shape = Shape { inputs: case.inputs.to_vec(), times: 3, step: 700, domain: 500 };
        let script = random_script(&mut random, &shape);
        let changes = run(2, &script, fragment(case.clone()));
        assert_same_history(&format!("seed {seed}"), &changes[0], Time(3), |time| twin(&case, &script, time));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let left = Layout::new(&schema(&[Int64, Utf8]), &[0], &[1]).expect("supported types");
    let right = Layout::new(&schema(&[Utf8]), &[0], &[]).expect("supported types");
    let empty = Arc::new(Schema::empty());
    assert!(JoinLayout::new(&left, &right, &[], &empty).is_err());
    assert!(JoinLayout::new(&left, &left, &[JoinColumn::Left(1)], &schema(&[Utf8])).is_err());
    assert!(JoinLayout::new(&left, &left, &[JoinColumn::Left(0)], &schema(&[Int64])).is_err());
    assert!(JoinLayout::new(&left, &left, &[JoinColumn::Left(0)], &schema(&[Utf8])).is_ok());
}

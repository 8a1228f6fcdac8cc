//! Compares semi and anti joins with a search through every row of the other side.

use arrow::datatypes::DataType::{self, Float64, Int64, Utf8};

use super::*;
use crate::arrangement::{Layout, arrange};
use crate::fuel::PIECE_ROWS;
use crate::plan::SemiJoinKind;
use crate::testing::{
    Change, Fragment, FueledFragment, LateFragment, Random, Row, Rows, Script, Shape, Value, accumulate,
    assert_same_history, assert_same_history_since, churning_script, random_script, run, run_in_pieces, run_late,
    schema, seeds,
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

fn left_layout(case: &Case) -> Arc<Layout> {
    Layout::new(&schema(&case.inputs[0]), &case.key, &case.value).expect("supported types")
}

fn layout(case: &Case) -> SemiJoinLayout {
    let (left, right) = (left_layout(case), schema(&case.inputs[1]));
    SemiJoinLayout::new(&left, &right, &case.right_key, case.kind, left.schema()).expect("the case fits")
}

fn fragment(case: Case) -> Arc<Fragment> {
    Arc::new(move |_, streams| {
        let Ok([left, right]) = <[_; 2]>::try_from(streams) else { panic!("two inputs") };
        vec![
            semi_join(
                arrange(left, &left_layout(&case), "Arrange", Work::new("arrange")),
                right,
                layout(&case),
                Work::new("semi_join"),
            )
            .0,
        ]
    })
}

fn late_fragment(case: Case) -> Arc<LateFragment> {
    Arc::new(move |mut arranged, mut streams| {
        semi_join(arranged.remove(0), streams.remove(0), layout(&case), Work::new("semi_join")).0
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
    for seed in seeds(110) {
        check(seed, &[2, 10, 60]);
    }
}

#[test]
fn a_late_semi_join_imports_compacted_history() {
    for seed in seeds(40) {
        let mut random = Random::new(seed + 9000);
        let case = case(&mut random);
        let (step, domain) = (*random.pick(&[2, 10, 60]), *random.pick(&[2, 12]));
        let script = random_script(&mut random, &Shape { inputs: case.inputs.to_vec(), times: 10, step, domain });
        let (workers, opening) = (*random.pick(&[1, 1, 2, 4]), Time(1 + random.below(7) as u64));
        let layouts = vec![Some(left_layout(&case)), None];
        let (changes, _) = run_late(workers, &script, opening, layouts, late_fragment(case.clone()));
        let name = format!("seed {seed}, {workers} workers from {opening}, {case:?}");
        assert_same_history_since(&name, &changes, opening, script.times, |time| twin(&case, &script, time));
    }
}

#[test]
fn history_does_not_grow_with_time() {
    let types = vec![Int64, Utf8];
    let case = Case {
        inputs: [types.clone(), types],
        key: vec![0],
        value: vec![1],
        right_key: vec![0],
        kind: SemiJoinKind::Anti,
    };
    let layouts = vec![Some(left_layout(&case)), None];
    let (_, sizes) = run_late(1, &churning_script(2, Time(300)), Time(2), layouts, late_fragment(case));
    assert!(sizes.len() == 1 && sizes[0].updates < 80 && sizes[0].batches < 12, "{sizes:?}");
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
    let right = schema(&[Int64, Utf8]);
    assert!(SemiJoinLayout::new(&left, &right, &[0], kind, left.schema()).is_ok());
    assert!(SemiJoinLayout::new(&left, &right, &[1], kind, left.schema()).is_err());
    assert!(SemiJoinLayout::new(&left, &right, &[0], kind, &schema(&[Int64])).is_err());
}

/// A left side of many rows, some of them of one key, whose keys all appear and vanish again.
#[test]
fn the_keys_of_a_time_and_the_rows_of_a_key_are_processed_in_pieces() {
    let int = |i: usize| Value::Int(i as i64);
    let left = (0..3000).map(|i| (vec![int(if i < 1500 { 7 } else { i }), int(i)], Time(1), 1));
    let keys = (0..3000).flat_map(|i| [(vec![int(i)], Time(2), 1), (vec![int(i)], Time(3), -1)]);
    let mut keys: Vec<Change> = keys.collect();
    keys.sort_by_key(|(_, time, _)| *time);
    let schemas = vec![schema(&[Int64, Int64]), schema(&[Int64])];
    let script = Script { schemas, changes: vec![left.collect(), keys], times: Time(4), drained: vec![] };
    let case = Case {
        inputs: [vec![Int64, Int64], vec![Int64]],
        key: vec![0],
        value: vec![1],
        right_key: vec![0],
        kind: SemiJoinKind::Semi,
    };
    let (of_fragment, of_twin) = (case.clone(), script.clone());
    let fragment: Arc<FueledFragment> = Arc::new(move |_, streams, fuel| {
        let Ok([left, right]) = <[_; 2]>::try_from(streams) else { panic!("two inputs") };
        let left = arrange(left, &left_layout(&of_fragment), "Arrange", Work::of("arrange", fuel));
        semi_join(left, right, layout(&of_fragment), Work::of("semi_join", fuel)).0
    });
    let (changes, largest) = run_in_pieces(&script, fragment);
    assert!(largest <= 10 * PIECE_ROWS as u64, "{largest} rows in one step");
    assert_same_history("pieces", &changes, script.times, |time| twin(&case, &of_twin, time));
}

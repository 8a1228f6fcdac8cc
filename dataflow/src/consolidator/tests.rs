//! Compares netting in pieces with the sums of diffs, row by row.

use arrow::datatypes::DataType::{Float64, Int64, Utf8};

use super::*;
use crate::testing::{
    Change, Random, Row, Rows, Shape, accumulate, changes_of, random_script, schema, seeds, to_batch,
};

const TYPES: [arrow::datatypes::DataType; 3] = [Int64, Utf8, Float64];
const AT: Time = Time(4);

/// Returns batches of `sizes` rows with random diffs of the signs that `sign` gives.
fn batches(random: &mut Random, changes: &[Change], mut sign: impl FnMut(&mut Random) -> Diff) -> Vec<UpdateBatch> {
    let mut rest = changes;
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let (part, others) = rest.split_at((1 + random.below(150)).min(rest.len()));
        rest = others;
        let rows: Vec<&Row> = part.iter().map(|(row, _, _)| row).collect();
        let diffs: Vec<Diff> = rows.iter().map(|_| sign(random)).collect();
        let rows = to_batch(&schema(&TYPES), &rows);
        batches.push(UpdateBatch { rows, times: PerRow::Same(AT), diffs: PerRow::from_vec(diffs) });
    }
    batches
}

fn sum(batches: &[UpdateBatch]) -> Rows {
    accumulate(&batches.iter().flat_map(changes_of).collect::<Vec<_>>(), AT)
}

fn rows_in_pieces(consolidator: &mut Consolidator, rows: usize) -> Vec<UpdateBatch> {
    let mut netted = Vec::new();
    loop {
        match consolidator.next(AT, rows) {
            Netted::Rows(batch) => netted.push(batch),
            Netted::Working => {}
            Netted::Done => {
                assert_eq!(consolidator.left(), 0);
                return netted;
            }
        }
    }
}

#[test]
fn netted_rows_are_the_sums_of_their_diffs_in_order_of_first_occurrence() {
    for seed in seeds(60) {
        let mut random = Random::new(seed);
        let step = *random.pick(&[3, 40, 900]);
        let domain = *random.pick(&[2, 12, 100]);
        let mut consolidator = Consolidator::new(schema(&TYPES));
        // The same consolidator is used for one time after another.
        for _ in 0..3 {
            let shape = Shape { inputs: vec![TYPES.to_vec()], times: 2, step, domain };
            let changes = random_script(&mut random, &shape).changes.remove(0);
            let given = batches(&mut random, &changes, |random| *random.pick(&[-2, -1, 1, 1, 3]));
            given.iter().for_each(|batch| consolidator.add(batch.clone()));
            let rows = *random.pick(&[1, 7, 100]);
            let netted = rows_in_pieces(&mut consolidator, rows);
            assert_eq!(sum(&netted), sum(&given), "seed {seed}");
            let all: Vec<Row> = given.iter().flat_map(changes_of).map(|(row, _, _)| row).collect();
            let place = |row: &Row| all.iter().position(|other| other == row).expect("only rows that were given");
            let places: Vec<usize> = netted.iter().flat_map(changes_of).map(|(row, _, _)| place(&row)).collect();
            let is_mixed = given.iter().flat_map(changes_of).any(|(_, _, diff)| diff > 0)
                && given.iter().flat_map(changes_of).any(|(_, _, diff)| diff < 0);
            assert!(!is_mixed || netted.iter().all(|batch| batch.len() < 2 * rows), "seed {seed}");
            assert!(!is_mixed || places.is_sorted_by(|one, other| one < other), "seed {seed}: {places:?}");
        }
    }
}

#[test]
fn rows_of_one_sign_are_returned_as_they_came() {
    let mut random = Random::new(3);
    let shape = Shape { inputs: vec![TYPES.to_vec()], times: 1, step: 900, domain: 12 };
    let changes = random_script(&mut random, &shape).changes.remove(0);
    for sign in [1, -1] {
        let given = batches(&mut random, &changes, |random| sign * *random.pick(&[1, 2]));
        let mut consolidator = Consolidator::new(schema(&TYPES));
        given.iter().for_each(|batch| consolidator.add(batch.clone()));
        let netted = rows_in_pieces(&mut consolidator, 7);
        let same = |(one, other): (&UpdateBatch, &UpdateBatch)| one.rows == other.rows && one.diffs == other.diffs;
        assert!(netted.len() == given.len() && netted.iter().zip(&given).all(same));
    }
}

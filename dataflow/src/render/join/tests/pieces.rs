//! Joins of much work, which must be done in pieces.

use timely::container::NoopBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Operator;

use super::*;
use crate::fuel::{Fuel, Meter, PIECE_ROWS};
use crate::testing::{Change, FueledFragment, Value, run_in_pieces};

fn int(i: usize) -> Value {
    Value::Int(i as i64)
}

fn case() -> Case {
    let types = vec![Int64, Int64];
    let output = vec![JoinColumn::Left(0), JoinColumn::Key(0), JoinColumn::Right(0)];
    Case { inputs: [types.clone(), types], keys: [vec![0], vec![0]], values: [vec![1], vec![1]], output }
}

/// Joins what `left` and `right` add at time 1; returns the changes and the largest number of rows and pairs in a step.
fn joined(left: Vec<Row>, right: Vec<Row>) -> (Vec<Change>, u64, Script) {
    let at_once = |rows: Vec<Row>| rows.into_iter().map(|row| (row, Time(1), 1)).collect();
    let schemas = vec![schema(&[Int64, Int64]); 2];
    let changes = vec![at_once(left), at_once(right)];
    let script = Script { schemas, changes, times: Time(1), drained: vec![] };
    let fragment: Arc<FueledFragment> = Arc::new(|_, streams, fuel| {
        let Ok([left, right]) = <[_; 2]>::try_from(streams) else { panic!("two inputs") };
        let left = arrange(left, &layout(&case(), 0), "Left", Work::of("arrange", fuel));
        let right = arrange(right, &layout(&case(), 1), "Right", Work::of("arrange", fuel));
        join(left, right, join_layout(&case()), Work::of("join", fuel))
    });
    let (changes, largest) = run_in_pieces(&script, fragment);
    (changes, largest, script)
}

#[test]
fn a_frequent_key_is_matched_in_pieces() {
    let side = |rows: usize| (0..rows).map(|i| vec![int(5), int(i)]).collect();
    let (changes, largest, script) = joined(side(400), side(300));
    assert!(largest <= 10 * PIECE_ROWS as u64, "{largest} rows and pairs in one step");
    assert_same_history("frequent key", &changes, Time(1), |time| twin(&case(), &script, time));
}

#[test]
fn sides_without_a_common_key_are_searched_in_pieces() {
    let side = |rows: usize, odd: usize| (0..rows).map(|i| vec![int(2 * i + odd), int(i)]).collect();
    let (changes, largest, _) = joined(side(4000, 0), side(4000, 1));
    assert!(changes.is_empty());
    assert!(largest <= 10 * PIECE_ROWS as u64, "{largest} rows looked at in one step");
}

#[test]
fn a_join_of_imported_history_begins_in_pieces() {
    let many = (0..3000).map(|i| (vec![int(i % 1000), int(i)], Time(1 + i as u64 % 3), 1));
    let mut many: Vec<Change> = many.collect();
    many.sort_by_key(|(_, time, _)| *time);
    let schemas = vec![schema(&[Int64, Int64]); 2];
    let script = Script { schemas, changes: vec![many.clone(), many], times: Time(5), drained: vec![Time(3), Time(5)] };
    let layouts = vec![Some(layout(&case(), 0)), Some(layout(&case(), 1))];
    let meters: Arc<parking_lot::Mutex<u64>> = Arc::default();
    let measured = Arc::clone(&meters);
    let fragment: Arc<LateFragment> = Arc::new(move |mut arranged, _| {
        let (meter, measured) = (Meter::new(), Arc::clone(&measured));
        let right = arranged.remove(1);
        let work = Work::of("join", &Fuel::new(&meter));
        let rows = join(arranged.remove(0), right, join_layout(&case()), work);
        // An activation of the join is over when its batches are looked at.
        rows.unary::<NoopBuilder<UpdateBatch>, _, _, _>(Pipeline, "Measure", move |_, _| {
            move |input, output| {
                input.for_each(|capability, batch| {
                    let mut measured = measured.lock();
                    *measured = (*measured).max(meter.take_largest());
                    output.session_with_builder(&capability).give_container(batch);
                });
            }
        })
    });
    let (changes, _) = run_late(1, &script, Time(3), layouts, fragment);
    assert_same_history_since("imported", &changes, Time(3), Time(5), |time| twin(&case(), &script, time));
    let largest = *meters.lock();
    assert!(largest > 0 && largest <= 6 * PIECE_ROWS as u64, "{largest} rows and pairs in one activation");
}

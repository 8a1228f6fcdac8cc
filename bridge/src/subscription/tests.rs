//! Feeds the hub by hand, as workers would.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
};
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use laminardb_dataflow::{Diff, Diffs, UpdateBatch, update::PerRow};

use super::*;

const VIEW: ViewId = ViewId(7);

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true), Field::new("v", DataType::Utf8, true)]))
}

fn rows(rows: &[(i64, &str)]) -> RecordBatch {
    let keys = Int64Array::from_iter_values(rows.iter().map(|row| row.0));
    let values = StringArray::from_iter_values(rows.iter().map(|row| row.1));
    RecordBatch::try_new(schema(), vec![Arc::new(keys), Arc::new(values)]).expect("columns of the schema")
}

fn update(time: Time, updates: &[(i64, &str, i64)]) -> UpdateBatch {
    let contents: Vec<(i64, &str)> = updates.iter().map(|u| (u.0, u.1)).collect();
    let diffs = updates.iter().map(|u| u.2).collect();
    UpdateBatch { rows: rows(&contents), times: PerRow::Same(time), diffs: PerRow::from_vec(diffs) }
}

fn hub(workers: usize, key: Option<Vec<usize>>) -> Arc<Hub> {
    let hub = Arc::new(Hub::new(workers));
    hub.open(VIEW, setup(key, Vec::new()));
    hub
}

fn setup(key: Option<Vec<usize>>, under: Vec<ViewId>) -> ViewSetup {
    let shape = Arc::new(Shape::new(schema(), key).expect("types with a row encoding"));
    ViewSetup { shape, strict: true, under }
}

fn bad(count: Diff) -> Vec<(FailedRow, Diff)> {
    let row = FailedRow { expression: "x".to_owned(), message: "bad".to_owned(), row: "(1)".to_owned() };
    vec![(row, count)]
}

fn subscribe(hub: &Arc<Hub>, max_pending: usize) -> Subscription {
    let starting = Starting::new(hub, VIEW, schema(), max_pending).expect("an open view");
    starting.on_release(hub, VIEW, |_| {});
    starting.start(Time(0), Vec::new())
}

/// Formats each row as `time op k v`.
fn lines(batch: &ChangeBatch) -> Vec<String> {
    let keys = batch.rows.column(0).as_any().downcast_ref::<Int64Array>().expect("int64");
    let values = batch.rows.column(1).as_any().downcast_ref::<StringArray>().expect("utf8");
    (0..batch.rows.num_rows())
        .map(|row| format!("{} {} {} {}", batch.time, batch.ops[row].name(), keys.value(row), values.value(row)))
        .collect()
}

/// Returns everything that can be taken without waiting.
fn drain(subscription: &Subscription) -> Vec<String> {
    let mut all = Vec::new();
    while let Next::Batch(batch) = subscription.try_next().expect("no bad end") {
        all.extend(lines(&batch));
    }
    all
}

#[test]
fn a_time_leaves_when_all_workers_have_closed_it_and_shards_are_in_worker_order() {
    let hub = hub(2, None);
    let subscription = subscribe(&hub, 100);
    hub.take_changes(1, VIEW, Time(1), &update(Time(1), &[(2, "b", 1)]));
    hub.take_frontier(1, VIEW, Time(2));
    assert!(drain(&subscription).is_empty());
    hub.take_changes(0, VIEW, Time(1), &update(Time(1), &[(1, "a", 1)]));
    hub.take_frontier(0, VIEW, Time(2));
    assert_eq!(drain(&subscription), ["1 Insert 1 a", "1 Insert 2 b"]);
}

#[test]
fn a_delete_and_an_insert_of_a_key_are_an_adjacent_pair_also_across_workers() {
    let hub = hub(2, Some(vec![0]));
    let subscription = subscribe(&hub, 100);
    hub.take_changes(0, VIEW, Time(3), &update(Time(3), &[(1, "new", 1), (5, "gone", -1)]));
    hub.take_changes(1, VIEW, Time(3), &update(Time(3), &[(9, "first", 1), (1, "old", -1)]));
    hub.take_frontier(0, VIEW, Time(4));
    hub.take_frontier(1, VIEW, Time(4));
    assert_eq!(
        drain(&subscription),
        ["3 UpdateDelete 1 old", "3 UpdateInsert 1 new", "3 Delete 5 gone", "3 Insert 9 first"]
    );
}

#[test]
fn equal_rows_of_two_shards_cancel_and_rows_appear_as_often_as_they_count() {
    let hub = hub(2, None);
    let subscription = subscribe(&hub, 100);
    hub.take_changes(0, VIEW, Time(1), &update(Time(1), &[(1, "moved", -1), (2, "twice", 2)]));
    hub.take_changes(1, VIEW, Time(1), &update(Time(1), &[(1, "moved", 1), (3, "gone", -2)]));
    hub.take_changes(0, VIEW, Time(2), &update(Time(2), &[(1, "moved", -1)]));
    hub.take_changes(1, VIEW, Time(2), &update(Time(2), &[(1, "moved", 1)]));
    hub.take_frontier(0, VIEW, Time(3));
    hub.take_frontier(1, VIEW, Time(3));
    // Time 2 nets to nothing, so it is not delivered at all.
    assert_eq!(drain(&subscription), ["1 Insert 2 twice", "1 Insert 2 twice", "1 Delete 3 gone", "1 Delete 3 gone"]);
}

#[test]
fn the_snapshot_comes_first_and_times_it_holds_are_not_repeated() {
    let hub = hub(1, None);
    let starting = Starting::new(&hub, VIEW, schema(), 100).expect("an open view");
    hub.take_changes(0, VIEW, Time(1), &update(Time(1), &[(1, "a", 1)]));
    hub.take_frontier(0, VIEW, Time(2));
    hub.take_changes(0, VIEW, Time(2), &update(Time(2), &[(2, "b", 1)]));
    hub.take_frontier(0, VIEW, Time(3));
    let shape = Shape::new(schema(), None).expect("types with a row encoding");
    let snapshot = shape.snapshot(&[(rows(&[(1, "a")]), Diffs::Same(1))], Time(1)).expect("a snapshot");
    assert!(snapshot[0].is_snapshot && snapshot[0].is_last);
    let subscription = starting.start(Time(1), snapshot);
    assert_eq!(drain(&subscription), ["1 Insert 1 a", "2 Insert 2 b"]);
}

#[test]
fn a_slow_reader_is_ended_and_others_are_not() {
    let hub = hub(1, None);
    let (slow, fast) = (subscribe(&hub, 2), subscribe(&hub, 100));
    for time in 1..=4 {
        hub.take_changes(0, VIEW, Time(time), &update(Time(time), &[(1, "a", 1), (2, "b", 1)]));
        hub.take_frontier(0, VIEW, Time(time + 1));
    }
    // The first time does not count; the second reaches the bound; the third exceeds it.
    let error = slow.try_next().expect_err("the bound is reached");
    assert_eq!(error.code(), 503);
    assert!(matches!(slow.try_next(), Ok(Next::Ended)));
    assert!(!slow.is_active());
    assert_eq!(drain(&fast).len(), 8);
    assert_eq!(hub.discarded(), 6);
}

#[test]
fn cancel_wakes_a_blocked_reader_and_discards() {
    let hub = hub(1, None);
    let subscription = subscribe(&hub, 100);
    let reader = {
        let subscription = subscription.clone();
        std::thread::spawn(move || matches!(subscription.next(None), Ok(Next::Ended)))
    };
    subscription.cancel();
    assert!(reader.join().expect("the reader ends"));
    hub.take_changes(0, VIEW, Time(1), &update(Time(1), &[(1, "a", 1)]));
    hub.take_frontier(0, VIEW, Time(2));
    assert!(matches!(subscription.try_next(), Ok(Next::Ended)));
    assert_eq!(hub.counters(VIEW).expect("an open view").subscribers, 0);
}

#[test]
fn a_dropped_view_delivers_what_is_pending_and_then_says_so_once() {
    let hub = hub(1, None);
    let subscription = subscribe(&hub, 100);
    hub.take_changes(0, VIEW, Time(1), &update(Time(1), &[(1, "a", 1)]));
    hub.ending(VIEW, End::Dropped("v".into()));
    hub.take_frontier(0, VIEW, Time::MAX);
    assert_eq!(lines(&batch(&subscription)), ["1 Insert 1 a"]);
    assert_eq!(subscription.try_next().expect_err("dropped").code(), 501);
    assert!(matches!(subscription.next(None), Ok(Next::Ended)));
}

fn batch(subscription: &Subscription) -> ChangeBatch {
    match subscription.next(None).expect("no bad end") {
        Next::Batch(batch) => batch,
        other => panic!("expected a batch, got {other:?}"),
    }
}

#[test]
fn failing_rows_end_a_subscription_after_the_times_before() {
    let hub = hub(1, None);
    let subscription = subscribe(&hub, 100);
    hub.take_changes(0, VIEW, Time(1), &update(Time(1), &[(1, "a", 1)]));
    hub.take_failures(0, VIEW, Time(2), bad(1));
    hub.take_frontier(0, VIEW, Time(3));
    assert_eq!(lines(&batch(&subscription)), ["1 Insert 1 a"]);
    let error = subscription.try_next().expect_err("failed");
    assert_eq!((error.code(), error.to_string().as_str()), (600, "x fails: bad; the row is (1)"));
}

#[test]
fn a_failing_row_taken_back_at_another_worker_is_none() {
    let hub = hub(2, None);
    hub.take_failures(0, VIEW, Time(1), bad(1));
    hub.take_frontier(0, VIEW, Time(2));
    hub.take_frontier(1, VIEW, Time(2));
    hub.take_failures(1, VIEW, Time(2), bad(-1));
    hub.take_frontier(0, VIEW, Time(3));
    let subscription = subscribe(&hub, 100);
    hub.take_frontier(1, VIEW, Time(3));
    hub.take_changes(0, VIEW, Time(4), &update(Time(4), &[(1, "a", 1)]));
    hub.take_frontier(0, VIEW, Time(5));
    hub.take_frontier(1, VIEW, Time(5));
    assert_eq!(drain(&subscription), ["4 Insert 1 a"]);
    hub.take_failures(0, VIEW, Time(5), bad(2));
    hub.take_frontier(0, VIEW, Time(6));
    hub.take_frontier(1, VIEW, Time(6));
    assert_eq!(subscription.try_next().expect_err("failed").code(), 600);
}

#[test]
fn failing_rows_of_a_view_end_the_subscriptions_of_views_on_it_at_that_time() {
    let hub = hub(1, None);
    let upper = ViewId(8);
    hub.open(upper, setup(None, vec![VIEW]));
    let starting = Starting::new(&hub, upper, schema(), 100).expect("an open view");
    let subscription = starting.start(Time(0), Vec::new());
    hub.take_failures(0, VIEW, Time(2), bad(1));
    hub.take_frontier(0, VIEW, Time(3));
    hub.take_changes(0, upper, Time(1), &update(Time(1), &[(1, "a", 1)]));
    hub.take_changes(0, upper, Time(2), &update(Time(2), &[(2, "b", 1)]));
    hub.take_frontier(0, upper, Time(3));
    assert_eq!(lines(&batch(&subscription)), ["1 Insert 1 a"]);
    assert_eq!(subscription.try_next().expect_err("failed").code(), 600);
}

#[test]
fn splits_do_not_part_pairs() {
    let shape = Shape::new(schema(), Some(vec![0])).expect("types with a row encoding");
    let count = MAX_BATCH_ROWS as i64 / 2 + 1;
    let mut updates: Vec<(i64, &str, i64)> = vec![(-1, "single", -1)];
    updates.extend((0..count).flat_map(|k| [(k, "old", -1), (k, "new", 1)]));
    let parts = shape.changes(&[update(Time(1), &updates)], Time(1)).expect("changes");
    let sizes: Vec<usize> = parts.iter().map(|part| part.rows.num_rows()).collect();
    assert_eq!(sizes, [MAX_BATCH_ROWS - 1, 4]);
    assert_eq!(parts[1].ops[0], Op::UpdateDelete);
    assert!(!parts[0].is_last && parts[1].is_last);
}

/// Returns the changes of one time in a view with one column, `k`, to which each worker adds updates.
fn changes_of(unique_key: Option<Vec<usize>>, shards: Vec<(ArrayRef, Vec<Diff>)>) -> Vec<ChangeBatch> {
    let schema = Arc::new(Schema::new(vec![Field::new("k", shards[0].0.data_type().clone(), true)]));
    let shape = Shape::new(Arc::clone(&schema), unique_key).expect("types with a row encoding");
    let update = |(values, diffs): (ArrayRef, Vec<Diff>)| {
        let rows = RecordBatch::try_new(Arc::clone(&schema), vec![values]).expect("one column");
        UpdateBatch { rows, times: PerRow::Same(Time(1)), diffs: PerRow::from_vec(diffs) }
    };
    let shards: Vec<UpdateBatch> = shards.into_iter().map(update).collect();
    shape.changes(&shards, Time(1)).expect("changes")
}

/// Two zeros, as values of each type that can hold a float; then two NaNs.
fn equal_pairs() -> Vec<[ArrayRef; 2]> {
    let nans = [f64::NAN, f64::from_bits(f64::NAN.to_bits() ^ 1 ^ (1 << 63))];
    let mut pairs = Vec::new();
    for [one, other] in [[0.0, -0.0], nans] {
        let double = |x: f64| Arc::new(Float64Array::from(vec![x])) as ArrayRef;
        let list = |x: f64| {
            Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>([Some(vec![Some(1.0), Some(x)])])) as ArrayRef
        };
        let structs = |x: f64| {
            let field = Arc::new(Field::new("l", list(x).data_type().clone(), true));
            Arc::new(StructArray::from(vec![(field, list(x))])) as ArrayRef
        };
        pairs.extend([[double(one), double(other)], [list(one), list(other)], [structs(one), structs(other)]]);
    }
    pairs
}

#[test]
fn a_change_between_equal_values_of_a_key_is_an_update() {
    for [one, other] in equal_pairs() {
        let name = format!("{one:?}");
        let parts = changes_of(Some(vec![0]), vec![(one, vec![2]), (other, vec![-1])]);
        assert_eq!(*parts[0].ops, [Op::Insert], "{name}: equal rows cancel");
    }
    // Rows that differ, so that they do not cancel: their keys are still one.
    for [one, other] in equal_pairs() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("k", one.data_type().clone(), true),
            Field::new("v", DataType::Int64, true),
        ]));
        let shape = Shape::new(Arc::clone(&schema), Some(vec![0])).expect("types with a row encoding");
        let update = |key: &ArrayRef, value: i64, diff: Diff| {
            let columns = vec![Arc::clone(key), Arc::new(Int64Array::from(vec![value])) as ArrayRef];
            let rows = RecordBatch::try_new(Arc::clone(&schema), columns).expect("two columns");
            UpdateBatch { rows, times: PerRow::Same(Time(1)), diffs: PerRow::Same(diff) }
        };
        let parts = shape.changes(&[update(&one, 2, 1), update(&other, 1, -1)], Time(1)).expect("changes");
        assert_eq!(*parts[0].ops, [Op::UpdateDelete, Op::UpdateInsert], "{one:?}");
    }
}

#[test]
fn equal_rows_of_two_workers_cancel_however_their_zeros_and_nans_are_written() {
    for [one, other] in equal_pairs() {
        let name = format!("{one:?}");
        let parts = changes_of(None, vec![(one, vec![1]), (other, vec![-1])]);
        assert!(parts.is_empty(), "{name}: {parts:?}");
    }
}

#[test]
fn what_is_left_of_equal_rows_is_a_row_that_was_added_or_removed() {
    let zeros = |zeros: &[f64]| Arc::new(Float64Array::from(zeros.to_vec())) as ArrayRef;
    let cases = [
        // A zero is gone and two others came: one of those is left, at the place of the first.
        (vec![-1, 2], Op::Insert, -0.0),
        (vec![1, -2], Op::Delete, -0.0),
        (vec![2, -1], Op::Insert, 0.0),
        (vec![-2, 1], Op::Delete, 0.0),
    ];
    for (diffs, op, left) in cases {
        let (one, other) = (zeros(&[0.0, 7.0]), zeros(&[-0.0]));
        let parts = changes_of(None, vec![(one, vec![diffs[0], -1]), (other, vec![diffs[1]])]);
        assert_eq!(*parts[0].ops, [op, Op::Delete], "{diffs:?}");
        let values = parts[0].rows.column(0).as_primitive::<Float64Type>().values();
        assert_eq!([values[0].to_bits(), values[1].to_bits()], [f64::to_bits(left), 7_f64.to_bits()], "{diffs:?}");
    }
}

#[test]
fn on_ready_is_called_once_by_the_next_batch_or_end() {
    let hub = hub(1, None);
    let subscription = subscribe(&hub, 100);
    let calls = Arc::new(AtomicUsize::new(0));
    let count = |calls: &Arc<AtomicUsize>| {
        let calls = Arc::clone(calls);
        move || {
            calls.fetch_add(1, Ordering::SeqCst);
        }
    };
    subscription.on_ready(count(&calls));
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    for time in 1..=2 {
        hub.take_changes(0, VIEW, Time(time), &update(Time(time), &[(1, "a", 1)]));
        hub.take_frontier(0, VIEW, Time(time + 1));
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    subscription.on_ready(count(&calls));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[test]
fn dropping_the_last_handle_releases_once() {
    let hub = hub(1, None);
    let released = Arc::new(AtomicBool::new(false));
    let starting = Starting::new(&hub, VIEW, schema(), 100).expect("an open view");
    let flag = Arc::clone(&released);
    starting.on_release(&hub, VIEW, move |left| {
        assert_eq!(left, 0);
        assert!(!flag.swap(true, Ordering::SeqCst));
    });
    let subscription = starting.start(Time(0), Vec::new());
    let clone = subscription.clone();
    drop(subscription);
    assert!(!released.load(Ordering::SeqCst));
    drop(clone);
    assert!(released.load(Ordering::SeqCst));
}

#[test]
fn rows_left_out_are_counted_once_whichever_worker_sees_them() {
    let hub = Arc::new(Hub::new(2));
    hub.open(VIEW, ViewSetup { strict: false, ..setup(None, Vec::new()) });
    let close = |time| (0..2).for_each(|worker| hub.take_frontier(worker, VIEW, time));
    hub.take_failures(0, VIEW, Time(1), bad(2));
    close(Time(2));
    // The same row disappears on one worker and appears on the other.
    hub.take_failures(0, VIEW, Time(2), bad(3));
    hub.take_failures(1, VIEW, Time(2), bad(-1));
    close(Time(3));
    assert_eq!(hub.left_out(VIEW).len(), 2);
    hub.take_failures(1, VIEW, Time(3), bad(2000));
    close(Time(4));
    assert_eq!(hub.left_out(VIEW).len(), 1000);
    assert_eq!(hub.counters(VIEW).expect("an open view").left_out, 2003);
}

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
    ViewSetup { shape, strict: true, under, name: "v".to_owned() }
}

fn bad(count: Diff) -> Vec<(FailedRow, Diff)> {
    let row = FailedRow { expression: "x".to_owned(), message: "bad".to_owned(), row: "(1)".to_owned() };
    vec![(row, count)]
}

fn subscribe(hub: &Arc<Hub>, max_pending: usize) -> Subscription {
    let starting = Starting::new(hub, VIEW, schema(), Bounds::of_rows(max_pending)).expect("an open view");
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
    let starting = Starting::new(&hub, VIEW, schema(), Bounds::default()).expect("an open view");
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
    hub.installed(VIEW, Time::ZERO);
    hub.take_frontier(0, VIEW, Time(1));
    hub.close_at(VIEW, Time(1));
    let keeps = Arc::new(());
    let kept = Arc::downgrade(&keeps);
    hub.leave(VIEW, End::Dropped("v".into()), keeps);
    assert!(kept.upgrade().is_some(), "the subscriber waits for time 1");
    hub.take_changes(0, VIEW, Time(2), &update(Time(2), &[(2, "b", 1)]));
    hub.take_frontier(0, VIEW, Time(3));
    assert!(kept.upgrade().is_none());
    assert_eq!(lines(&batch(&subscription)), ["1 Insert 1 a"]);
    assert_eq!(subscription.try_next().expect_err("dropped").code(), 501);
    assert!(matches!(subscription.next(None), Ok(Next::Ended)));
}

#[test]
fn a_dropped_view_is_kept_for_nobody_who_waits_for_its_contents_or_has_gone() {
    let hub = hub(1, None);
    let subscription = subscribe(&hub, 100);
    hub.installed(VIEW, Time(1));
    hub.take_frontier(0, VIEW, Time(1));
    hub.close_at(VIEW, Time(1));
    assert!(!hub.is_hydrated(VIEW) && !hub.is_awaited(VIEW));
    hub.leave(VIEW, End::Dropped("v".into()), Arc::new(()));
    assert_eq!(subscription.try_next().expect_err("dropped").code(), 501);

    let hub = self::hub(1, None);
    let subscription = subscribe(&hub, 100);
    hub.installed(VIEW, Time::ZERO);
    hub.take_frontier(0, VIEW, Time(1));
    hub.close_at(VIEW, Time(1));
    let keeps = Arc::new(());
    let kept = Arc::downgrade(&keeps);
    hub.leave(VIEW, End::Dropped("v".into()), keeps);
    drop(subscription);
    assert!(kept.upgrade().is_none());
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
    let starting = Starting::new(&hub, upper, schema(), Bounds::default()).expect("an open view");
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
    let starting = Starting::new(&hub, VIEW, schema(), Bounds::default()).expect("an open view");
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

/// A handle whose drop ends a subscription of [`VIEW`], as the last step of a call made when a subscription is ready.
fn last_handle_in_a_call(hub: &Arc<Hub>) -> (Subscription, impl FnOnce() + Send + 'static) {
    let other = subscribe(hub, 100);
    (subscribe(hub, 100), move || drop(other))
}

/// Runs `work` on a thread, so that a deadlock fails the test.
fn ends(work: impl FnOnce() + Send + 'static) {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        work();
        sender.send(()).expect("the test waits");
    });
    receiver.recv_timeout(Duration::from_secs(60)).expect("no deadlock");
}

#[test]
fn a_call_may_drop_the_last_handle_of_a_subscription_to_the_same_view() {
    let at_a_batch = |hub: &Hub| hub.take_changes(0, VIEW, Time(1), &update(Time(1), &[(1, "a", 1)]));
    let at_a_failure = |hub: &Hub| hub.take_failures(0, VIEW, Time(1), bad(1));
    let fill: [fn(&Hub); 2] = [at_a_batch, at_a_failure];
    for fill in fill {
        let hub = hub(1, None);
        let (subscription, drops) = last_handle_in_a_call(&hub);
        subscription.on_ready(drops);
        fill(&hub);
        ends(move || hub.take_frontier(0, VIEW, Time(2)));
        drop(subscription);
    }
}

#[test]
fn a_call_at_a_failure_below_may_drop_the_last_handle_of_a_subscription() {
    let hub = hub(1, None);
    let below = ViewId(3);
    hub.open(below, setup(None, Vec::new()));
    hub.open(VIEW, setup(None, vec![below]));
    let (subscription, drops) = last_handle_in_a_call(&hub);
    subscription.on_ready(drops);
    hub.take_frontier(0, VIEW, Time(5));
    hub.take_failures(0, below, Time(1), bad(1));
    let ending = Arc::clone(&hub);
    ends(move || ending.take_frontier(0, below, Time(2)));
    assert_eq!(subscription.try_next().expect_err("failed").code(), 600);
}

#[test]
fn progress_waits_for_the_slowest_worker() {
    let hub = hub(2, None);
    let subscription = subscribe(&hub, 100);
    hub.take_frontier(0, VIEW, Time(6));
    assert_eq!(subscription.progress(), Time(0));
    hub.take_frontier(1, VIEW, Time(4));
    assert_eq!(subscription.progress(), Time(3));
    assert_eq!(subscribe(&hub, 100).progress(), Time(3), "a later one starts there");
}

#[test]
fn progress_is_nothing_until_the_snapshot_was_given_and_then_its_time() {
    let hub = hub(1, None);
    hub.take_frontier(0, VIEW, Time(5));
    let starting = Starting::new(&hub, VIEW, schema(), Bounds::default()).expect("an open view");
    let shape = Shape::new(schema(), None).expect("types with a row encoding");
    let snapshot = shape.snapshot(&[(rows(&[(1, "a")]), Diffs::Same(1))], Time(7)).expect("a snapshot");
    let subscription = starting.start(Time(7), snapshot);
    assert_eq!(subscription.progress(), Time(0));
    batch(&subscription);
    assert_eq!(subscription.progress(), Time(7));
}

#[test]
fn the_parts_of_a_split_time_are_progress_when_all_were_given() {
    let hub = hub(1, None);
    let subscription = subscribe(&hub, 100);
    let many = vec![(1, "a", 1); MAX_BATCH_ROWS + 1];
    hub.take_changes(0, VIEW, Time(3), &update(Time(3), &many));
    hub.take_frontier(0, VIEW, Time(9));
    assert!(!batch(&subscription).is_last);
    assert_eq!(subscription.progress(), Time(2));
    assert!(batch(&subscription).is_last);
    assert_eq!(subscription.progress(), Time(8));
}

#[test]
fn the_progress_stops_before_a_failing_time_and_at_the_last_time_of_a_view() {
    let hub = hub(1, None);
    let (failing, ending) = (subscribe(&hub, 100), subscribe(&hub, 100));
    hub.take_frontier(0, VIEW, Time(3));
    hub.take_failures(0, VIEW, Time(5), bad(1));
    hub.take_frontier(0, VIEW, Time(8));
    assert_eq!(failing.progress(), Time(4));
    let error = failing.wait_for(Time(5), None).expect_err("it has failed");
    let text = "the subscription ended at time 4, before 5: x fails: bad; the row is (1)";
    assert_eq!((error.code(), error.to_string().as_str()), (501, text));
    drop(ending);
    let ending = subscribe(&hub, 100);
    hub.take_changes(0, VIEW, Time(9), &update(Time(9), &[(1, "a", 1)]));
    hub.take_frontier(0, VIEW, Time::MAX);
    assert_eq!(ending.progress(), Time(8));
    batch(&ending);
    assert_eq!(ending.progress(), Time(9));
    let error = ending.wait_for(Time(10), None).expect_err("it has ended");
    assert_eq!(error.to_string(), "the subscription ended at time 9, before 10: nothing more comes");
}

#[test]
fn the_error_of_a_slow_reader_says_which_bound_it_met() {
    let unbounded = Bounds { rows: usize::MAX, bytes: usize::MAX, age: Duration::MAX, memory: None };
    let cases = [
        (Bounds { rows: 1, ..unbounded }, "more than 1 undelivered rows"),
        (Bounds { bytes: 1, ..unbounded }, "more than 1 bytes of undelivered changes"),
        (Bounds { age: Duration::ZERO, ..unbounded }, "its oldest undelivered change waited for more than 0 s"),
    ];
    for (bounds, text) in cases {
        let hub = hub(1, None);
        let starting = Starting::new(&hub, VIEW, schema(), bounds).expect("an open view");
        let subscription = starting.start(Time(0), Vec::new());
        for time in 1..=3 {
            hub.take_changes(0, VIEW, Time(time), &update(Time(time), &[(1, "a", 1)]));
            hub.take_frontier(0, VIEW, Time(time + 1));
        }
        let error = subscription.try_next().expect_err("the bound is met");
        assert_eq!((error.code(), error.to_string()), (503, format!("the reader was too slow: {text}")));
    }
}

#[test]
fn an_idle_view_costs_a_reader_no_notification() {
    let hub = hub(1, None);
    let subscription = subscribe(&hub, 100);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    subscription.on_ready(move || {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    for time in 1..1000 {
        hub.take_frontier(0, VIEW, Time(time));
    }
    assert_eq!((calls.load(Ordering::SeqCst), subscription.progress()), (0, Time(998)));
}

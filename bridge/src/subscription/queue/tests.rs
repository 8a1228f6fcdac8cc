//! Drives one queue by hand, as the hub and its readers would.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use laminardb_dataflow::{Diff, UpdateBatch, update::PerRow};

use super::closed::bytes_of;
use super::*;
use crate::subscription::change::Shape;

/// Returns a time whose rows, all equal, have these diffs.
fn closed(time: Time, diffs: &[Diff]) -> Arc<Closed> {
    let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true)]));
    let keys = Arc::new(Int64Array::from(vec![1; diffs.len()]));
    let rows = RecordBatch::try_new(Arc::clone(&schema), vec![keys]).expect("one column");
    let shape = Arc::new(Shape::new(schema, None).expect("types with a row encoding"));
    let update = UpdateBatch { rows, times: PerRow::Same(time), diffs: PerRow::from_vec(diffs.to_vec()) };
    Arc::new(Closed::new(time, vec![update], shape))
}

fn started() -> ChangeQueue {
    bounded(Bounds::of_rows(1000))
}

fn bounded(bounds: Bounds) -> ChangeQueue {
    let queue = ChangeQueue::new(bounds, Time(1));
    queue.start(Time(0), Vec::new());
    queue
}

/// Pushes a time, and closes it and all before it.
fn push(queue: &ChangeQueue, closed: &Arc<Closed>) {
    for call in queue.extend(&[Arc::clone(closed)], closed.time + 1).calls {
        call();
    }
}

/// Closes the times before `time`, which hold no changes.
fn close(queue: &ChangeQueue, time: u64) {
    for call in queue.extend(&[], Time(time)).calls {
        call();
    }
}

fn end(queue: &ChangeQueue, end: End) {
    for call in queue.end(end) {
        call();
    }
}

#[test]
fn who_asks_while_a_time_is_decoded_is_called_when_another_reader_has_taken_it() {
    let queue = started();
    let first = closed(Time(1), &[1]);
    push(&queue, &first);
    end(&queue, End::Finished);
    let called = Arc::new(AtomicBool::new(false));
    thread::scope(|scope| {
        // The reader decodes until it gets the shards, which another thread holds: their lock comes after the queue's.
        let (held, holding) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let shards = &first.shards;
        scope.spawn(move || {
            let shards = shards.lock();
            held.send(()).expect("the test waits");
            // Fails when the sender is dropped, which is the sign to go on.
            let _ = released.recv();
            drop(shards);
        });
        holding.recv().expect("it is held");
        let reader = scope.spawn(|| queue.take(None));
        while !queue.state.lock().decoding {
            thread::yield_now();
        }
        let call = Arc::clone(&called);
        queue.on_ready(Box::new(move || call.store(true, Ordering::SeqCst)));
        assert!(!called.load(Ordering::SeqCst), "nothing can be taken while a time is decoded");
        drop(release);
        assert!(matches!(reader.join().expect("the reader gets the time"), Polled::Batch(_)));
    });
    assert!(called.load(Ordering::SeqCst), "the end can be taken, and nothing else will come");
}

#[test]
fn times_that_net_to_nothing_do_not_prolong_a_timeout() {
    const MOST: u64 = 1_000_000;
    let queue = started();
    let (gone, pushed) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        // Each time is pushed once the one before was taken, so that the reader is never without one for long.
        scope.spawn(|| {
            for time in 1..=MOST {
                push(&queue, &closed(Time(time), &[1, -1]));
                while queue.pending() > 0 && !gone.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
                if gone.load(Ordering::SeqCst) {
                    break;
                }
                pushed.fetch_add(1, Ordering::SeqCst);
            }
        });
        assert!(matches!(queue.take(Some(Duration::from_millis(100))), Polled::TimedOut));
        gone.store(true, Ordering::SeqCst);
    });
    assert!(pushed.load(Ordering::SeqCst) < MOST, "the reader waited until no more times came");
}

#[test]
fn a_panic_while_a_time_is_decoded_ends_all_its_subscribers() {
    let (one, other) = (started(), started());
    let broken = closed(Time(1), &[1, -1]);
    // Two rows with one diff, which no worker sends.
    broken.shards.lock()[0].diffs = PerRow::Each(vec![-1].into());
    push(&one, &broken);
    push(&other, &broken);
    for queue in [one, other] {
        let taken = queue.try_take();
        assert!(matches!(&taken, Polled::End(Some(End::Failed(why))) if why.contains("out of bounds")), "{taken:?}");
        assert!(matches!(queue.try_take(), Polled::End(None)));
    }
}

/// Returns a time that adds one row.
fn one(time: u64) -> Arc<Closed> {
    closed(Time(time), &[1])
}

fn takes_a_batch(queue: &ChangeQueue) {
    let taken = queue.try_take();
    assert!(matches!(taken, Polled::Batch(_)), "{taken:?}");
}

#[test]
fn progress_is_the_time_before_the_first_that_is_pending_and_idle_times_advance_it() {
    let queue = started();
    assert_eq!(queue.progress(), Time(0));
    close(&queue, 4);
    assert_eq!(queue.progress(), Time(3));
    push(&queue, &one(5));
    push(&queue, &one(7));
    close(&queue, 10);
    assert_eq!(queue.progress(), Time(4));
    takes_a_batch(&queue);
    assert_eq!(queue.progress(), Time(6));
    takes_a_batch(&queue);
    assert_eq!(queue.progress(), Time(9));
}

#[test]
fn a_time_that_nets_to_nothing_is_progress_whether_or_not_anybody_reads() {
    let queue = started();
    push(&queue, &closed(Time(1), &[1, -1]));
    push(&queue, &closed(Time(2), &[2, -2]));
    assert_eq!(queue.progress(), Time(2));
    push(&queue, &closed(Time(3), &[1, -1]));
    push(&queue, &one(4));
    assert_eq!(queue.wait_for(Time(3), Some(Duration::from_secs(60))), Reached::At(Time(3)));
    assert_eq!(queue.wait_for(Time(4), Some(Duration::ZERO)), Reached::NotYet);
    takes_a_batch(&queue);
    assert_eq!(queue.reached(Time(4)), Reached::At(Time(4)));
}

#[test]
fn a_batch_that_must_be_confirmed_is_progress_when_it_was_also_after_a_cancel() {
    let queue = started();
    queue.require_confirmation();
    push(&queue, &one(1));
    push(&queue, &one(2));
    takes_a_batch(&queue);
    assert_eq!(queue.progress(), Time(0));
    queue.confirm();
    assert_eq!(queue.progress(), Time(1));
    takes_a_batch(&queue);
    end(&queue, End::Cancelled);
    assert_eq!(queue.reached(Time(2)), Reached::NotYet, "it is being handled");
    queue.confirm();
    assert_eq!(queue.reached(Time(2)), Reached::At(Time(2)));
    assert_eq!(queue.reached(Time(3)), Reached::Never(Time(2), End::Cancelled));
}

#[test]
fn a_batch_that_was_refused_is_never_progress() {
    let queue = started();
    queue.require_confirmation();
    push(&queue, &one(1));
    takes_a_batch(&queue);
    queue.refuse();
    assert_eq!(queue.progress(), Time(0));
    end(&queue, End::Cancelled);
    assert_eq!(queue.reached(Time(1)), Reached::Never(Time(0), End::Cancelled));
}

#[test]
fn an_end_tells_who_waits_for_a_time_after_it_at_once_and_others_when_they_have_read() {
    let queue = started();
    push(&queue, &one(1));
    push(&queue, &one(2));
    let dropped = End::Dropped("v".to_owned());
    end(&queue, dropped.clone());
    assert_eq!(queue.wait_for(Time(3), None), Reached::Never(Time(0), dropped));
    assert_eq!(queue.reached(Time(2)), Reached::NotYet, "it is still to be delivered");
    takes_a_batch(&queue);
    takes_a_batch(&queue);
    assert_eq!(queue.reached(Time(2)), Reached::At(Time(2)));
}

#[test]
fn a_wait_for_a_time_ends_when_another_thread_reads_cancels_or_the_time_nets_to_nothing() {
    let by_reader = |queue: &ChangeQueue| {
        push(queue, &one(1));
        takes_a_batch(queue);
    };
    let by_empty_time = |queue: &ChangeQueue| push(queue, &closed(Time(1), &[1, -1]));
    let by_idle_time = |queue: &ChangeQueue| close(queue, 2);
    let by_cancel = |queue: &ChangeQueue| end(queue, End::Cancelled);
    let reached = Reached::At(Time(1));
    let cancelled = Reached::Never(Time(0), End::Cancelled);
    let ways: [(&(dyn Fn(&ChangeQueue) + Sync), &Reached); 4] =
        [(&by_reader, &reached), (&by_empty_time, &reached), (&by_idle_time, &reached), (&by_cancel, &cancelled)];
    for (way, expected) in ways {
        let queue = started();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| queue.wait_for(Time(1), None));
            way(&queue);
            assert_eq!(waiter.join().expect("the wait ends"), *expected);
        });
    }
}

/// Asks for calls at these times and returns how often they were made.
fn calls_at<const N: usize>(queue: &ChangeQueue, times: [u64; N]) -> [Arc<AtomicU64>; N] {
    times.map(|time| {
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let call = move || {
            counted.fetch_add(1, Ordering::SeqCst);
        };
        queue.on_reached(Time(time), Box::new(call));
        count
    })
}

#[test]
fn who_awaits_a_time_is_called_once_when_it_is_reached_and_not_for_others() {
    let queue = started();
    let counts = calls_at(&queue, [0, 2, 9]);
    let counted = || counts.each_ref().map(|count| count.load(Ordering::SeqCst));
    assert_eq!(counted(), [1, 0, 0], "what is reached already is told at once");
    close(&queue, 2);
    push(&queue, &one(2));
    push(&queue, &one(3));
    assert_eq!(counted(), [1, 0, 0]);
    takes_a_batch(&queue);
    assert_eq!(counted(), [1, 1, 0]);
    close(&queue, 5);
    end(&queue, End::Finished);
    assert_eq!(counted(), [1, 1, 1], "it will never be reached");
}

#[test]
fn a_forgotten_call_is_dropped_and_never_made() {
    let queue = started();
    let kept = Arc::new(());
    let held = Arc::clone(&kept);
    let id = queue.on_reached(Time(1), Box::new(move || drop(held)));
    assert_eq!(Arc::strong_count(&kept), 2);
    queue.forget(id);
    assert_eq!(Arc::strong_count(&kept), 1);
    close(&queue, 5);
}

#[test]
fn readers_are_not_woken_by_idle_times() {
    let queue = started();
    let called = Arc::new(AtomicBool::new(false));
    let call = Arc::clone(&called);
    queue.on_ready(Box::new(move || call.store(true, Ordering::SeqCst)));
    for time in 2..100 {
        close(&queue, time);
    }
    assert!(!called.load(Ordering::SeqCst));
    push(&queue, &one(100));
    assert!(called.load(Ordering::SeqCst));
}

#[test]
fn each_bound_ends_a_queue_when_another_time_closes_and_the_first_time_does_not_count() {
    let unbounded = Bounds { rows: usize::MAX, bytes: usize::MAX, age: Duration::MAX, memory: None };
    let cases = [
        // The second time reaches the bound of rows or bytes, so the third exceeds it.
        (Bounds { rows: 1, ..unbounded }, 3, Bound::Rows(1)),
        (Bounds { bytes: 8, ..unbounded }, 3, Bound::Bytes(8)),
        // The first time is as old as this when the second closes.
        (Bounds { age: Duration::ZERO, ..unbounded }, 2, Bound::Age(Duration::ZERO)),
    ];
    for (bounds, last, met) in cases {
        let queue = bounded(bounds);
        for time in 1..last {
            push(&queue, &one(time));
        }
        assert!(queue.state.lock().end.is_none(), "{bounds:?}");
        push(&queue, &one(last));
        assert!(matches!(queue.try_take(), Polled::End(Some(End::Lagged(bound))) if bound == met), "{bounds:?}");
        assert_eq!(queue.progress(), Time(0), "what was discarded was never given");
    }
}

#[test]
fn what_was_read_does_not_count_towards_the_bound_of_bytes() {
    let queue = bounded(Bounds { rows: usize::MAX, bytes: 17, age: Duration::MAX, memory: None });
    for time in 1..100 {
        push(&queue, &one(time));
        if time > 2 {
            takes_a_batch(&queue);
        }
        let state = queue.state.lock();
        assert_eq!(state.bytes_after_first, 8 * (state.closed.len() - 1));
    }
}

#[test]
fn the_size_of_a_time_is_known_whether_or_not_another_subscriber_has_decoded_it() {
    let (fresh, decoded) = (closed(Time(1), &[1, 1, -1]), closed(Time(1), &[1, 1, -1]));
    assert_eq!(fresh.bytes(), 24);
    decoded.decode().expect("a batch");
    assert_eq!(decoded.bytes(), 8, "two of the three rows have cancelled");
}

#[test]
fn the_size_of_a_column_is_that_of_its_own_values() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("0123456789"), Some("a"), None]));
    assert_eq!(bytes_of(&texts), 4 * 4 + 11 + 1);
    assert_eq!(bytes_of(&texts.slice(1, 1)), 2 * 4 + 1 + 1);
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1); 1000]), Some(vec![Some(2)])]);
    assert_eq!(bytes_of(&lists.slice(1, 1)), 2 * 4 + bytes_of(&lists.values().slice(1000, 1)));
    assert!(bytes_of(&lists) > 8000);
    assert_eq!(bytes_of(&BooleanArray::from(vec![true; 9])), 2);
}

#[test]
fn the_backlog_is_everything_that_was_not_taken_with_the_age_of_the_oldest() {
    let queue = started();
    assert_eq!(queue.backlog(), Backlog::default());
    push(&queue, &closed(Time(1), &[3]));
    push(&queue, &one(2));
    let first = queue.backlog();
    assert_eq!(first.rows, 4);
    let second = queue.backlog();
    assert!(second.waiting > first.waiting);
    takes_a_batch(&queue);
    takes_a_batch(&queue);
    assert_eq!(queue.backlog(), Backlog::default());
}

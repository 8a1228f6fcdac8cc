//! Tests the engine as its owner sees it: order, atomicity, and how it ends. The plans have no state.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{Bag, PlanBuilder, Row, bag, batch, change, column, compute, condition, insert, settle, start};
use laminardb_dataflow::plan::{DataflowPlan, Operator, OutputState, Union};
use laminardb_dataflow::{CancelToken, DataflowError, RelationId, Time, ViewId};
use parking_lot::Mutex;

/// SELECT a, a + b FROM relation 1 WHERE a > 10.
fn sums_over_ten() -> Arc<DataflowPlan> {
    let mut plan = PlanBuilder::default();
    let input = plan.relation(1, 2);
    let filtered = plan.filter(input, condition("#0 > 10", |row| Ok(row[0].map(|a| i64::from(a > 10)))));
    let sum = compute("#0 + #1", |row| Ok(row[0].zip(row[1]).map(|(a, b)| a + b)));
    let projected = plan.project(filtered, vec![column(0), sum]);
    plan.finish(projected, OutputState::Nothing)
}

/// All rows of relation 1.
fn everything() -> Arc<DataflowPlan> {
    let mut plan = PlanBuilder::default();
    let input = plan.relation(1, 2);
    plan.finish(input, OutputState::Nothing)
}

#[test]
fn changes_of_a_linear_view_leave_by_time() {
    for workers in [1, 2, 4] {
        let (engine, recorder) = start(workers);
        engine.install(ViewId(1), sums_over_ten(), vec![]).expect("a good plan");
        assert_eq!(engine.watch(ViewId(1), true), Ok(Time(0)));
        assert_eq!(engine.commit(change(1, insert(&[&[5, 1], &[11, 2], &[12, 3]]))), Ok(Time(1)));
        settle(&engine);
        let (row, other): (Row, Row) = (vec![Some(11), Some(2)], vec![Some(20), None]);
        assert_eq!(engine.commit(change(1, batch(2, &[(row, -1), (other, 2)]))), Ok(Time(2)));
        settle(&engine);
        let changes = recorder.changes(1);
        assert_eq!(changes[&Time(1)], bag(&[&[11, 13], &[12, 15]]));
        assert_eq!(changes[&Time(2)], Bag::from([(vec![Some(11), Some(13)], -1), (vec![Some(20), None], 2)]));
        for worker in 0..workers {
            assert_eq!(recorder.frontier(1, worker), Time(3));
        }
        engine.shutdown();
        assert_eq!(recorder.frontier(1, 0), Time::MAX);
    }
}

#[test]
fn changes_are_counted_whether_or_not_the_view_is_watched() {
    for workers in [1, 2, 4] {
        let (engine, recorder) = start(workers);
        let kept = || {
            let mut plan = PlanBuilder::default();
            let input = plan.relation(1, 2);
            plan.finish(input, OutputState::Arrangement { key: vec![0, 1] })
        };
        for (view, plan) in [(1, everything()), (2, everything()), (3, kept()), (4, kept())] {
            let contents = vec![(RelationId(1), vec![insert(&[&[0, 0], &[5, 5]])])];
            engine.install(ViewId(view), plan, contents).expect("a good plan");
        }
        engine.watch(ViewId(2), true).expect("installed");
        engine.watch(ViewId(4), true).expect("installed");
        engine.commit(change(1, insert(&[&[1, 1], &[2, 2]]))).expect("runs");
        settle(&engine);
        let row = |value| vec![Some(value), Some(value)];
        let updates = [(row(1), -1), (row(3), 2), (row(5), -1), (row(5), 1)];
        engine.commit(change(1, batch(2, &updates))).expect("runs");
        settle(&engine);
        let counts = [1, 2, 3, 4].map(|view| recorder.counted(view));
        assert_eq!(counts, [2 + 5, 2 + 5, 2 + 3, 2 + 3], "an arrangement nets equal rows, and contents are no changes");
        engine.shutdown();
    }
}

#[test]
fn changes_before_watching_and_after_unwatching_are_not_delivered() {
    let (engine, recorder) = start(2);
    engine.install(ViewId(1), everything(), vec![(RelationId(1), vec![insert(&[&[0, 0]])])]).expect("a good plan");
    engine.commit(change(1, insert(&[&[1, 1]]))).expect("runs");
    let after = engine.watch(ViewId(1), true).expect("installed");
    assert_eq!(after, Time(1));
    engine.commit(change(1, insert(&[&[2, 2]]))).expect("runs");
    engine.watch(ViewId(1), false).expect("installed");
    engine.commit(change(1, insert(&[&[3, 3]]))).expect("runs");
    settle(&engine);
    assert_eq!(recorder.sum(1), bag(&[&[2, 2]]));
}

#[test]
fn rows_inserted_and_removed_at_one_time_net() {
    let (engine, recorder) = start(1);
    let mut plan = PlanBuilder::default();
    let input = plan.relation(1, 2);
    let output = plan.project(input, vec![column(0)]);
    engine.install(ViewId(1), plan.finish(output, OutputState::Nothing), vec![]).expect("a good plan");
    engine.watch(ViewId(1), true).expect("installed");
    let row = |a: i64, b: i64| -> Row { vec![Some(a), Some(b)] };
    engine.commit(change(1, batch(2, &[(row(1, 1), -1), (row(1, 2), 1), (row(2, 1), 1)]))).expect("runs");
    engine.commit(change(1, batch(2, &[(row(1, 2), -1), (row(1, 3), 1)]))).expect("runs");
    settle(&engine);
    assert_eq!(recorder.changes(1).into_iter().collect::<Vec<_>>(), vec![(Time(1), bag(&[&[2]]))]);
}

#[test]
fn unions_and_constants_flow_together() {
    for workers in [1, 2] {
        let (engine, recorder) = start(workers);
        let mut plan = PlanBuilder::default();
        let one = plan.relation(1, 1);
        let two = plan.relation(2, 1);
        let fixed = plan.node(Operator::Constant(insert(&[&[7], &[8]]).0), 1);
        let union = plan.node(Operator::Union(Union { inputs: vec![one, two, one, fixed] }), 1);
        engine.install(ViewId(1), plan.finish(union, OutputState::Nothing), vec![]).expect("a good plan");
        engine.watch(ViewId(1), true).expect("installed");
        let mut changes = change(1, insert(&[&[1]]));
        changes.extend(change(2, insert(&[&[2]])));
        engine.commit(changes).expect("runs");
        settle(&engine);
        assert_eq!(recorder.sum(1), bag(&[&[1], &[1], &[2]]));
        let report = engine.report().expect("runs");
        let union = report.view(ViewId(1)).expect("installed").work_of("union");
        assert_eq!(union, (5, 5), "each row once for each reader, the constant rows once in all");
    }
}

#[test]
fn failed_rows_are_errors_until_they_are_retracted() {
    for workers in [1, 2] {
        let (engine, recorder) = start(workers);
        let mut plan = PlanBuilder::default();
        let input = plan.relation(1, 2);
        let inverse = compute("100 / #0", |row| match row[0] {
            Some(0) => Err("division by zero".to_owned()),
            a => Ok(a.map(|a| 100 / a)),
        });
        let output = plan.project(input, vec![inverse, column(1)]);
        engine.install(ViewId(1), plan.finish(output, OutputState::Nothing), vec![]).expect("a good plan");
        engine.watch(ViewId(1), true).expect("installed");
        engine.commit(change(1, insert(&[&[0, 1], &[5, 2], &[0, 1]]))).expect("runs");
        let errors = engine.errors(ViewId(1)).expect("installed");
        assert_eq!(errors.len(), 1);
        assert_eq!((errors[0].expression.as_str(), errors[0].row.as_str()), ("100 / a", "(0, 1)"));
        assert_eq!((errors[0].message.as_str(), errors[0].count), ("division by zero", 2));
        engine.commit(change(1, batch(2, &[(vec![Some(0), Some(1)], -2)]))).expect("runs");
        assert_eq!(engine.errors(ViewId(1)), Ok(vec![]));
        settle(&engine);
        assert_eq!(recorder.sum(1), bag(&[&[20, 2]]));
    }
}

#[test]
fn a_view_takes_in_large_contents_while_commits_go_on() {
    let (engine, recorder) = start(2);
    engine.install(ViewId(2), everything(), vec![]).expect("a good plan");
    engine.watch(ViewId(2), true).expect("installed");
    let rows: Vec<(Row, i64)> = (0..200_000).map(|i| (vec![Some(i), Some(0)], 1)).collect();
    let mut plan = PlanBuilder::default();
    let input = plan.relation(1, 2);
    let output = plan.project(input, vec![column(1)]);
    let plan = plan.finish(output, OutputState::Nothing);
    engine.install(ViewId(1), plan, vec![(RelationId(1), vec![batch(2, &rows)])]).expect("a good plan");
    engine.watch(ViewId(1), true).expect("installed");
    for i in 0..100 {
        engine.commit(change(1, insert(&[&[i, i]]))).expect("runs");
    }
    settle(&engine);
    assert_eq!(recorder.sum(1).len(), 100);
    assert_eq!(recorder.sum(2).len(), 100);
    let report = engine.report().expect("runs");
    assert_eq!(report.view(ViewId(1)).expect("installed").work_of("linear"), (200_100, 200_100));
}

#[test]
fn commits_of_many_threads_are_atomic_and_share_times() {
    let (engine, recorder) = start(2);
    let mut plan = PlanBuilder::default();
    let (one, two) = (plan.relation(1, 1), plan.relation(2, 1));
    let union = plan.node(Operator::Union(Union { inputs: vec![one, two] }), 1);
    engine.install(ViewId(1), plan.finish(union, OutputState::Nothing), vec![]).expect("a good plan");
    engine.watch(ViewId(1), true).expect("installed");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let engine = &engine;
            scope.spawn(move || {
                let mut last = Time(0);
                for i in 0..250 {
                    let mut changes = change(1, insert(&[&[thread * 1000 + i]]));
                    changes.extend(change(2, insert(&[&[thread * 1000 + i]])));
                    let time = engine.commit(changes).expect("runs");
                    assert!(time >= last, "times of one caller do not go back");
                    last = time;
                }
            });
        }
    });
    settle(&engine);
    let times = recorder.changes(1);
    assert!(times.values().flatten().all(|(_, diff)| *diff == 2), "both changes of a commit have one time");
    assert_eq!(times.values().map(Bag::len).sum::<usize>(), 1000);
    assert_eq!(engine.rows_pending(RelationId(1)), 0);
}

#[test]
fn times_closed_ahead_are_never_given_out() {
    for workers in [1, 2, 4] {
        let (engine, recorder) = start(workers);
        let mut plan = PlanBuilder::default();
        let input = plan.relation(1, 2);
        let kept = plan.finish(input, OutputState::Arrangement { key: vec![0] });
        engine.install(ViewId(1), kept, vec![]).expect("a good plan");
        engine.watch(ViewId(1), true).expect("installed");
        assert_eq!(engine.commit(change(1, insert(&[&[1, 1]]))), Ok(Time(1)));
        assert_eq!(engine.close_through(Time(40)), Ok(()));
        assert_eq!(engine.last_time(), Time(40));
        settle(&engine);
        for worker in 0..workers {
            assert_eq!(recorder.frontier(1, worker), Time(41));
        }
        // A time that is already closed is left alone, even while the time of a commit is open.
        assert_eq!(engine.commit(change(1, insert(&[&[2, 2]]))), Ok(Time(41)));
        for before in [0, 7, 41] {
            assert_eq!(engine.close_through(Time(before)), Ok(()));
            assert_eq!(engine.last_time(), Time(41));
        }
        engine
            .install(ViewId(2), everything(), vec![(RelationId(1), vec![insert(&[&[1, 1], &[2, 2]])])])
            .expect("good");
        engine.watch(ViewId(2), true).expect("installed");
        assert_eq!(engine.commit(change(1, insert(&[&[3, 3]]))), Ok(Time(42)));
        assert_eq!(engine.snapshot(&[ViewId(1)]).expect("installed").time(), Time(42));
        settle(&engine);
        assert_eq!(recorder.changes(1).into_keys().collect::<Vec<_>>(), [1, 41, 42].map(Time));
        assert_eq!(recorder.changes(2).into_iter().collect::<Vec<_>>(), vec![(Time(42), bag(&[&[3, 3]]))]);
        engine.shutdown();
        assert_eq!(engine.close_through(Time(50)), Err(DataflowError::ShutDown));
    }
}

#[test]
fn calls_are_refused_with_a_reason() {
    let (engine, _recorder) = start(1);
    engine.install(ViewId(1), everything(), vec![]).expect("a good plan");
    assert_eq!(engine.install(ViewId(1), everything(), vec![]), Err(DataflowError::AlreadyInstalled(ViewId(1))));
    assert_eq!(engine.drop_view(ViewId(2)), Err(DataflowError::UnknownView(ViewId(2))));
    assert_eq!(engine.watch(ViewId(2), true), Err(DataflowError::UnknownView(ViewId(2))));
    assert_eq!(engine.snapshot(&[ViewId(1)]).err(), Some(DataflowError::Stateless(ViewId(1))));
    let mut plan = PlanBuilder::default();
    let input = plan.view(1, 2);
    let on_stateless = plan.finish(input, OutputState::Nothing);
    assert_eq!(engine.install(ViewId(3), on_stateless, vec![]), Err(DataflowError::Stateless(ViewId(1))));
    let mut plan = PlanBuilder::default();
    let input = plan.relation(1, 2);
    let bad = plan.project(input, vec![column(5)]);
    let bad = engine.install(ViewId(3), plan.finish(bad, OutputState::Nothing), vec![]);
    assert!(matches!(bad, Err(DataflowError::MalformedPlan(_))));
    engine.shutdown();
    engine.shutdown();
    assert_eq!(engine.commit(vec![]), Err(DataflowError::ShutDown));
    assert_eq!(engine.report().err(), Some(DataflowError::ShutDown));
}

#[test]
fn dropped_views_end_and_leave_nothing_behind() {
    let (engine, recorder) = start(2);
    for round in 0..20 {
        engine.install(ViewId(1), everything(), vec![]).expect("a good plan");
        engine.install(ViewId(2), sums_over_ten(), vec![]).expect("a good plan");
        engine.watch(ViewId(1), true).expect("installed");
        engine.commit(change(1, insert(&[&[round, 0]]))).expect("runs");
        engine.drop_view(ViewId(1)).expect("installed");
        engine.drop_view(ViewId(2)).expect("installed");
        settle(&engine);
        let report = engine.report().expect("runs");
        assert_eq!((report.dataflows, report.views.len()), (0, 0));
        assert_eq!(recorder.frontier(1, 0), Time::MAX);
        recorder.forget();
    }
}

#[test]
fn a_panic_stops_the_engine_for_all_callers() {
    for workers in [1, 2] {
        let (engine, recorder) = start(workers);
        let mut plan = PlanBuilder::default();
        let input = plan.relation(1, 1);
        let broken = condition("broken", |row| {
            assert!(row[0] != Some(13), "an invariant broke");
            Ok(Some(1))
        });
        let output = plan.filter(input, broken);
        engine.install(ViewId(1), plan.finish(output, OutputState::Nothing), vec![]).expect("a good plan");
        let stopped = Err(DataflowError::Stopped { reason: "an invariant broke".to_owned() });
        std::thread::scope(|scope| {
            engine.commit(change(1, insert(&[&[1]]))).expect("runs");
            settle(&engine);
            let waiter = scope.spawn(|| engine.wait(Time(2), None, &CancelToken::new()));
            engine.commit(change(1, insert(&[&[13]]))).expect("accepted");
            let waited = waiter.join().expect("no panic reaches callers");
            // The waiter may have come before time 2 was given out, and found time 1 complete.
            assert!(waited == stopped || waited == Ok(()));
        });
        assert_eq!(engine.wait(Time(2), None, &CancelToken::new()), stopped);
        assert_eq!(engine.commit(vec![]), Err(DataflowError::Stopped { reason: "an invariant broke".to_owned() }));
        assert_eq!(recorder.stopped(), vec!["an invariant broke".to_owned()]);
        engine.shutdown();
    }
}

#[test]
fn a_panic_ends_reads_that_wait() {
    for workers in [1, 2, 4] {
        let (engine, _recorder) = start(workers);
        let gate = Arc::new(Mutex::new(()));
        let held = gate.lock();
        let mut plan = PlanBuilder::default();
        let input = plan.relation(1, 1);
        let inside = Arc::clone(&gate);
        let broken = condition("broken", move |_| {
            drop(inside.lock());
            panic!("an invariant broke")
        });
        let output = plan.filter(input, broken);
        let plan = plan.finish(output, OutputState::Arrangement { key: vec![0] });
        engine.install(ViewId(1), plan, vec![]).expect("a good plan");
        engine.commit(change(1, insert(&[&[1]]))).expect("runs");
        let mut read = engine.snapshot(&[ViewId(1)]).expect("installed");
        let stopped = DataflowError::Stopped { reason: "an invariant broke".to_owned() };
        std::thread::scope(|scope| {
            let report = scope.spawn(|| engine.report());
            let wait = scope.spawn(|| engine.wait(Time(1), None, &CancelToken::new()));
            drop(held);
            assert_eq!(read.wait(&CancelToken::new(), None).err(), Some(stopped.clone()));
            // They may have come after the end, and know its reason then.
            assert_eq!(wait.join().expect("no panic reaches callers").err(), Some(stopped.clone()));
            let report = report.join().expect("no panic reaches callers");
            assert!(report.is_ok() || report.err() == Some(stopped.clone()));
        });
    }
}

#[test]
fn an_abandoned_engine_ends_its_threads() {
    for workers in [1, 2] {
        let (engine, recorder) = start(workers);
        engine.install(ViewId(1), everything(), vec![]).expect("a good plan");
        engine.commit(change(1, insert(&[&[1, 1]]))).expect("runs");
        let read = engine.errors(ViewId(1));
        assert_eq!(read, Ok(vec![]));
        drop(engine);
        // The workers hold the sink until they have ended.
        while Arc::strong_count(&recorder) > 1 {
            std::thread::yield_now();
        }
    }
}

#[test]
fn abandoning_discards_the_backlog_and_ends_all_waits_before_a_worker_does() {
    for workers in [1, 2] {
        let (engine, recorder) = start(workers);
        let gate = Arc::new(Mutex::new(()));
        let held = gate.lock();
        let mut plan = PlanBuilder::default();
        let input = plan.relation(1, 1);
        let inside = Arc::clone(&gate);
        let (enters, entered) = std::sync::mpsc::channel();
        let slow = condition("slow", move |_| {
            // The test waits only for the first call.
            let _ = enters.send(());
            drop(inside.lock());
            Ok(Some(1))
        });
        let output = plan.filter(input, slow);
        let plan = plan.finish(output, OutputState::Arrangement { key: vec![0] });
        engine.install(ViewId(1), plan, vec![]).expect("a good plan");
        engine.watch(ViewId(1), true).expect("installed");
        engine.commit(change(1, insert(&[&[0]]))).expect("runs");
        entered.recv().expect("the row comes");
        for i in 1..10 {
            engine.commit(change(1, insert(&[&[i]]))).expect("runs");
        }
        let limit = Some(Duration::from_secs(60));
        let (ends, ended) = std::sync::mpsc::channel();
        let (asks, asked) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let engine = &engine;
            let spawn = |call: Box<dyn FnOnce() -> Option<DataflowError> + Send>| {
                let ends = ends.clone();
                scope.spawn(move || ends.send(call()).expect("the test listens"));
            };
            let asking = || {
                let asks = asks.clone();
                CancelToken::polled(Duration::from_millis(10), move || asks.send(()).is_err())
            };
            let (of_time, of_room, of_read) = (asking(), asking(), asking());
            let mut read = engine.snapshot(&[ViewId(1)]).expect("installed");
            let mut other = engine.snapshot(&[ViewId(1)]).expect("installed");
            spawn(Box::new(move || engine.wait(Time(9), limit, &of_time).err()));
            spawn(Box::new(move || engine.wait_for_room(RelationId(1), 0, limit, &of_room).err()));
            spawn(Box::new(move || read.wait(&of_read, limit).err()));
            spawn(Box::new(move || other.wait(&CancelToken::new(), None).err()));
            spawn(Box::new(move || engine.report().err()));
            for _ in 0..3 {
                asked.recv().expect("they wait");
            }
            engine.abandon();
            let errors: Vec<_> = (0..5).map(|_| ended.recv_timeout(Duration::from_secs(90))).collect();
            drop(held);
            engine.shutdown();
            assert_eq!(errors, vec![Ok(Some(DataflowError::ShutDown)); 5], "with {workers} workers");
        });
        assert!(recorder.changes(1).keys().all(|time| *time == Time(1)), "it left after the step that it was in");
        assert_eq!(recorder.stopped(), Vec::<String>::new());
        assert_eq!(engine.commit(vec![]), Err(DataflowError::ShutDown));
    }
}

/// Returns a plan of the rows of relation 1, which a worker computes only when it can lock the gate.
fn waiting_at(gate: &Arc<Mutex<()>>) -> Arc<DataflowPlan> {
    let mut plan = PlanBuilder::default();
    let input = plan.relation(1, 1);
    let gate = Arc::clone(gate);
    let slow = condition("slow", move |_| {
        drop(gate.lock());
        Ok(Some(1))
    });
    let output = plan.filter(input, slow);
    plan.finish(output, OutputState::Nothing)
}

#[test]
fn waits_end_with_the_engine_the_time_limit_or_the_caller() {
    let (engine, _recorder) = start(1);
    assert_eq!(engine.wait(Time(0), None, &CancelToken::new()), Ok(()));
    assert_eq!(engine.wait(Time(99), None, &CancelToken::new()), Ok(()), "nothing is missing of what was committed");
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock();
    engine.install(ViewId(1), waiting_at(&gate), vec![]).expect("a good plan");
    // Otherwise the commit may enter together with the first contents, and the worker stands at the gate with both.
    assert_eq!(engine.wait(Time(0), None, &CancelToken::new()), Ok(()));
    engine.commit(change(1, insert(&[&[1], &[2]]))).expect("runs");
    assert_eq!(engine.rows_pending(RelationId(1)), 2);
    assert_eq!(engine.wait(Time(1), Some(Duration::from_millis(1)), &CancelToken::new()), Err(DataflowError::TimedOut));
    let cancelled = CancelToken::new();
    cancelled.cancel();
    assert_eq!(engine.wait(Time(1), None, &cancelled), Err(DataflowError::Cancelled));
    assert_eq!(engine.wait(Time(0), None, &cancelled), Ok(()), "what is there is not waited for");
    drop(held);
    assert_eq!(engine.wait_for_room(RelationId(1), 0, None, &CancelToken::new()), Ok(()));
    assert_eq!(engine.wait(Time(1), None, &CancelToken::new()), Ok(()));
}

#[test]
fn a_wait_is_also_for_the_first_contents_of_a_view() {
    for workers in [1, 2] {
        let (engine, _recorder) = start(workers);
        engine.commit(vec![]).expect("runs");
        assert_eq!(engine.wait(Time(1), None, &CancelToken::new()), Ok(()));
        let gate = Arc::new(Mutex::new(()));
        let held = gate.lock();
        let contents = vec![(RelationId(1), vec![insert(&[&[1]])])];
        let time = engine.install(ViewId(1), waiting_at(&gate), contents).expect("a good plan");
        let early = engine.wait(time, Some(Duration::from_millis(20)), &CancelToken::new());
        assert_eq!(early, Err(DataflowError::TimedOut), "the view has no contents yet");
        drop(held);
        assert_eq!(engine.wait(time, None, &CancelToken::new()), Ok(()));
    }
}

#[test]
fn shutdown_finishes_what_was_accepted() {
    for workers in [1, 2] {
        let (engine, recorder) = start(workers);
        engine.install(ViewId(1), everything(), vec![]).expect("a good plan");
        engine.watch(ViewId(1), true).expect("installed");
        for i in 0..100 {
            engine.commit(change(1, insert(&[&[i, i]]))).expect("runs");
        }
        engine.shutdown();
        assert_eq!(recorder.sum(1).len(), 100);
        assert_eq!(engine.wait(Time(100), None, &CancelToken::new()).err(), Some(DataflowError::ShutDown));
    }
}

//! Tests commits against an engine that records its input and works as slowly as a test wants.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use parking_lot::Mutex;

use super::*;
use laminardb_dataflow::plan::{DataflowPlan, Node, NodeId, Operator, Output, OutputState};
use laminardb_dataflow::{ChangeSink, CollectionId, Diffs, EngineConfig, UpdateBatch, ViewId};

use crate::relation::StorageKind;

const SOURCE: RelationId = RelationId(1);
const TABLE: RelationId = RelationId(2);
const BAG: RelationId = RelationId(3);

/// An engine that keeps all changes; rows stay pending until the test calls `work_off`.
struct Recorder {
    state: Arc<Monitor<Recorded>>,
    broken: AtomicBool,
    /// Channel to which the relation and its number of pending rows are sent whenever a writer has to wait.
    waits: Option<mpsc::Sender<(RelationId, u64)>>,
}

#[derive(Default)]
struct Recorded {
    commits: Vec<Vec<Change>>,
    pending: BTreeMap<RelationId, u64>,
}

impl Default for Recorder {
    fn default() -> Self {
        let state = Monitor::new(Rank::Engine, Recorded::default());
        Recorder { state, broken: AtomicBool::new(false), waits: None }
    }
}

impl Recorder {
    fn work_off(&self, relation: RelationId, rows: u64) {
        *self.state.lock().pending.entry(relation).or_default() -= rows;
        self.state.notify_all();
    }

    /// Returns the sum of all changes of a relation's (k, v) rows.
    fn sum(&self, relation: RelationId) -> BTreeMap<(i64, Option<i64>), i64> {
        let mut sum = BTreeMap::new();
        for (id, rows, diffs) in self.state.lock().commits.iter().flatten() {
            if *id == relation {
                for (at, row) in pairs(rows).into_iter().enumerate() {
                    *sum.entry(row).or_default() += diffs.at(at);
                }
            }
        }
        sum.retain(|_, count| *count != 0);
        sum
    }
}

impl Downstream for Recorder {
    fn commit(&self, changes: Vec<Change>, committed: &mut dyn FnMut(Time, &[Change])) -> Result<Time, DataflowError> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(DataflowError::ShutDown);
        }
        let mut state = self.state.lock();
        for (relation, rows, _) in &changes {
            *state.pending.entry(*relation).or_default() += rows.num_rows() as u64;
        }
        committed(Time(state.commits.len() as u64 + 1), &changes);
        state.commits.push(changes);
        Ok(Time(state.commits.len() as u64))
    }

    fn last_time(&self) -> Time {
        Time(self.state.lock().commits.len() as u64)
    }

    fn wait_for_room(&self, relation: RelationId, rows: u64, cancel: &CancelToken) -> Result<(), DataflowError> {
        let has_room = |state: &mut Recorded| {
            let pending = state.pending.get(&relation).copied().unwrap_or(0);
            if pending <= rows {
                return Some(());
            }
            if let Some(waits) = &self.waits {
                waits.send((relation, pending)).expect("the test listens");
            }
            None
        };
        self.state.wait_for(cancel, None, has_room).map(drop).map_err(|_| DataflowError::Cancelled)
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, false), Field::new("v", DataType::Int64, true)]))
}

fn committer(engine: Arc<Recorder>, buffer_size: u64) -> Arc<Committer> {
    let committer = Committer::over(engine, Box::new(Nobody), buffer_size, None);
    create_relations(&committer);
    Arc::new(committer)
}

fn create_relations(committer: &Committer) {
    for (id, kind) in [(SOURCE, StorageKind::Append), (TABLE, StorageKind::Keyed), (BAG, StorageKind::Bag)] {
        let primary_key = if kind == StorageKind::Keyed { vec![0] } else { Vec::new() };
        let spec = Spec {
            name: format!("t{}", id.0),
            kind,
            schema: schema(),
            primary_key,
            json_columns: Vec::new(),
            defaults: Vec::new(),
            follow: None,
        };
        committer.frozen(|frozen| frozen.create(id, spec)).expect("types of ours");
    }
}

fn rows(values: &[(i64, i64)]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(values.iter().map(|row| row.0))),
        Arc::new(Int64Array::from_iter_values(values.iter().map(|row| row.1))),
    ];
    RecordBatch::try_new(schema(), columns).expect("two columns")
}

fn pairs(batch: &RecordBatch) -> Vec<(i64, Option<i64>)> {
    let (k, v) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Int64Type>());
    k.iter().flatten().zip(v.iter()).collect()
}

fn write(relation: RelationId, operation: Operation, values: &[(i64, i64)]) -> Write {
    Write { relation, operation, rows: vec![rows(values)] }
}

/// Rows of (k, v), each with the number of times it occurs.
type Contents = BTreeMap<(i64, Option<i64>), i64>;

fn contents_in(frozen: &mut Frozen<'_>, relation: RelationId) -> Contents {
    let mut contents = Contents::new();
    for batch in frozen.scan(relation).expect("there").iter() {
        pairs(&batch).into_iter().for_each(|row| *contents.entry(row).or_default() += 1);
    }
    contents
}

/// Returns the committed rows of a relation.
fn contents(committer: &Committer, relation: RelationId) -> Contents {
    committer.frozen(|frozen| contents_in(frozen, relation))
}

/// Returns the number of committed rows of a relation.
fn count(committer: &Committer, relation: RelationId) -> u64 {
    committer.frozen(|frozen| frozen.rows(relation))
}

/// Returns the plan of a view that keeps all rows of `relation`.
fn everything(relation: RelationId) -> Arc<DataflowPlan> {
    let node = Node { operator: Operator::Input(CollectionId::Relation(relation)), schema: schema() };
    let state = OutputState::Arrangement { key: vec![0, 1] };
    let output = Output { node: NodeId(0), unique_key: None, state };
    Arc::new(DataflowPlan { nodes: vec![node], arrangements: Vec::new(), output })
}

fn start(workers: usize, sink: Arc<dyn ChangeSink>, buffer_size: usize) -> (Arc<Engine>, Committer) {
    let config = EngineConfig { workers: workers.try_into().expect("not zero"), memory_limit: None };
    let engine = Arc::new(Engine::start(config, sink).expect("threads start"));
    let committer = Committer::new(Arc::clone(&engine), Box::new(Nobody), buffer_size, None);
    create_relations(&committer);
    (engine, committer)
}

fn install(engine: &Engine, frozen: &mut Frozen<'_>, relation: RelationId) {
    let rows = frozen.scan(relation).expect("there").iter().map(|rows| (rows, Diffs::Same(1))).collect();
    engine.install(ViewId(relation.0), everything(relation), vec![(relation, rows)]).expect("a plan");
}

/// A history that ignores all records.
struct Nobody;

impl History for Nobody {
    fn record(&self, _: Time, _: &Record<'_>) {}
}

/// A sink that ignores all changes.
struct Deaf;

impl ChangeSink for Deaf {
    fn changes(&self, _: usize, _: ViewId, _: Time, _: &UpdateBatch) {}
    fn frontier(&self, _: usize, _: ViewId, _: Time) {}
    fn stopped(&self, reason: &str) {
        unreachable!("the engine stopped: {reason}");
    }
}

/// A sink that waits for a message of the test before it takes a change.
struct Gate(Mutex<mpsc::Receiver<()>>);

impl ChangeSink for Gate {
    fn changes(&self, _: usize, _: ViewId, _: Time, _: &UpdateBatch) {
        self.0.lock().recv().expect("the test lets it");
    }
    fn frontier(&self, _: usize, _: ViewId, _: Time) {}
    fn stopped(&self, reason: &str) {
        unreachable!("the engine stopped: {reason}");
    }
}

/// A session without a transaction.
const ALONE: Actor = Actor { session: 1, transaction: None, call: UNSAID };
/// Another session without a transaction.
const OTHER: Actor = Actor { session: 2, transaction: None, call: UNSAID };
const TRANSACTION: u64 = 7;
/// A session in the transaction that [`begin`] begins.
const INSIDE: Actor = Actor { session: 1, transaction: Some(TRANSACTION), call: UNSAID };
const UNSAID: Call = Call { by: None, statement: None };

fn never() -> CancelToken {
    CancelToken::new()
}

fn cancelled() -> CancelToken {
    let token = CancelToken::new();
    token.cancel();
    token
}

/// Makes a token that sends on `waits` again and again while a call waits with it.
fn telling(waits: &mpsc::Sender<()>) -> CancelToken {
    let waits = waits.clone();
    CancelToken::polled(Duration::from_millis(1), move || waits.send(()).is_err())
}

#[test]
fn several_writes_are_one_commit() {
    let engine = Arc::new(Recorder::default());
    let committer = committer(Arc::clone(&engine), 0);
    let writes = vec![
        write(SOURCE, Operation::Insert, &[(1, 1), (1, 1)]),
        write(TABLE, Operation::Insert, &[(1, 1), (2, 2)]),
        write(TABLE, Operation::Upsert, &[(2, 3)]),
        write(BAG, Operation::Insert, &[(5, 5), (5, 5)]),
        write(BAG, Operation::Delete, &[(5, 5)]),
    ];
    let applied = committer.commit(ALONE, writes, &never()).expect("fits");
    assert_eq!(
        applied.iter().map(|a| (a.given, a.changed)).collect::<Vec<_>>(),
        [(2, 2), (2, 2), (1, 1), (2, 2), (1, 1)]
    );
    assert_eq!(engine.state.lock().commits.len(), 1);
    for relation in [SOURCE, TABLE, BAG] {
        assert_eq!(contents(&committer, relation), engine.sum(relation));
    }
}

#[test]
fn one_bad_write_undoes_all() {
    let engine = Arc::new(Recorder::default());
    let committer = committer(Arc::clone(&engine), 0);
    committer.commit(ALONE, vec![write(TABLE, Operation::Insert, &[(1, 1)])], &never()).expect("fits");
    let good = || {
        vec![
            write(SOURCE, Operation::Insert, &[(1, 1)]),
            write(TABLE, Operation::Upsert, &[(1, 2), (2, 2)]),
            write(TABLE, Operation::Delete, &[(2, 2)]),
            write(BAG, Operation::Insert, &[(9, 9)]),
        ]
    };
    let text: ArrayRef = Arc::new(Float64Array::from(vec![0.5]));
    let unfit = RecordBatch::try_from_iter([("k", text)]).expect("one column");
    let bad = [
        (write(TABLE, Operation::InsertNew, &[(1, 9)]), 400),
        (write(BAG, Operation::Delete, &[(9, 8)]), 300),
        (write(SOURCE, Operation::Delete, &[(1, 1)]), 202),
        (Write { relation: SOURCE, operation: Operation::Insert, rows: vec![unfit] }, 302),
        // The code is that of `Error::Dropped`: the committer does not know by which name the caller found the
        // relation.
        (write(RelationId(99), Operation::Insert, &[(1, 1)]), 400),
    ];
    for (bad, code) in bad {
        let writes = good().into_iter().chain([bad]).collect();
        assert_eq!(committer.commit(ALONE, writes, &never()).expect_err("refused").code(), code);
        assert_eq!(contents(&committer, TABLE), BTreeMap::from([((1, Some(1)), 1)]));
        assert_eq!((count(&committer, SOURCE), count(&committer, BAG)), (0, 0));
    }
    assert_eq!(engine.state.lock().commits.len(), 1);
    engine.broken.store(true, Ordering::Relaxed);
    assert_eq!(committer.commit(ALONE, good(), &never()).expect_err("the engine is gone"), Error::Shutdown);
    assert_eq!((count(&committer, SOURCE), count(&committer, TABLE), count(&committer, BAG)), (0, 1, 0));
}

#[test]
fn what_changes_nothing_is_no_commit() {
    let engine = Arc::new(Recorder::default());
    let committer = committer(Arc::clone(&engine), 0);
    for _ in 0..2 {
        committer.commit(ALONE, vec![write(TABLE, Operation::Upsert, &[(1, 1)])], &never()).expect("fits");
    }
    committer
        .commit(ALONE, vec![write(TABLE, Operation::Delete, &[(7, 7)])], &never())
        .expect("absent keys are skipped");
    committer.commit(ALONE, vec![write(SOURCE, Operation::Insert, &[])], &never()).expect("no rows");
    assert_eq!(engine.state.lock().commits.len(), 1);
}

#[test]
fn a_write_waits_for_room_and_is_woken_by_progress() {
    let (waits, waiting) = mpsc::channel();
    let engine = Arc::new(Recorder { waits: Some(waits), ..Recorder::default() });
    let committer = committer(Arc::clone(&engine), 3);
    // A write larger than the buffer is taken as a whole; another relation has room of its own.
    committer.commit(ALONE, vec![write(SOURCE, Operation::Insert, &[(1, 1); 5])], &never()).expect("taken whole");
    committer.commit(ALONE, vec![write(BAG, Operation::Insert, &[(1, 1)])], &never()).expect("has room");
    std::thread::scope(|scope| {
        let writer =
            scope.spawn(|| committer.commit(ALONE, vec![write(SOURCE, Operation::Insert, &[(2, 2)])], &never()));
        assert_eq!(waiting.recv(), Ok((SOURCE, 5)));
        // A waiting writer holds nothing that readers need.
        assert_eq!((count(&committer, SOURCE), contents(&committer, SOURCE).len()), (5, 1));
        engine.work_off(SOURCE, 2);
        while waiting.recv().expect("it waits") != (SOURCE, 3) {}
        engine.work_off(SOURCE, 1);
        writer.join().expect("no panic").expect("there is room");
    });
    assert_eq!(count(&committer, SOURCE), 6);
}

#[test]
fn an_interrupted_wait_writes_nothing() {
    let engine = Arc::new(Recorder::default());
    let committer = committer(Arc::clone(&engine), 1);
    committer.commit(ALONE, vec![write(SOURCE, Operation::Insert, &[(1, 1)])], &never()).expect("empty");
    let again = vec![write(SOURCE, Operation::Insert, &[(2, 2)])];
    assert_eq!(committer.commit(ALONE, again, &cancelled()), Err(Error::Interrupted));
    assert_eq!(count(&committer, SOURCE), 1);
}

#[test]
fn many_writers_and_readers_see_whole_commits() {
    let engine = Arc::new(Recorder::default());
    let committer = committer(Arc::clone(&engine), 0);
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let committer = &committer;
            scope.spawn(move || {
                for step in 0..200 {
                    let row = [(step % 10, writer)];
                    let writes = vec![
                        write(SOURCE, Operation::Insert, &row),
                        write(BAG, Operation::Insert, &row),
                        write(TABLE, Operation::Upsert, &row),
                    ];
                    committer.commit(ALONE, writes, &never()).expect("fits");
                }
            });
        }
        for _ in 0..200 {
            let (source, bag) =
                committer.frozen(|frozen| (frozen.scan(SOURCE).expect("there"), frozen.scan(BAG).expect("there")));
            assert_eq!(source.rows(), bag.rows());
        }
    });
    for relation in [SOURCE, TABLE, BAG] {
        assert_eq!(contents(&committer, relation), engine.sum(relation));
    }
    assert_eq!(count(&committer, SOURCE), 800);
}

#[test]
fn rows_are_deleted_and_inserted_at_one_time() {
    let engine = Arc::new(Recorder::default());
    let committer = committer(Arc::clone(&engine), 0);
    committer.commit(ALONE, vec![write(TABLE, Operation::InsertNew, &[(1, 1), (2, 2)])], &never()).expect("fits");
    // As by UPDATE t SET k = k + 1: no key occurs twice in the end.
    let applied = committer.frozen(|frozen| {
        frozen.write(vec![
            write(TABLE, Operation::Delete, &[(1, 0), (2, 0)]),
            write(TABLE, Operation::InsertNew, &[(2, 1), (3, 2)]),
        ])
    });
    assert_eq!(applied.expect("fits").len(), 2);
    assert_eq!(contents(&committer, TABLE), BTreeMap::from([((2, Some(1)), 1), ((3, Some(2)), 1)]));
    assert_eq!(engine.sum(TABLE), contents(&committer, TABLE));
    committer
        .commit(ALONE, vec![Write { relation: TABLE, operation: Operation::Truncate, rows: vec![] }], &never())
        .expect("a table");
    assert!(engine.sum(TABLE).is_empty() && contents(&committer, TABLE).is_empty());
}

#[test]
fn engine_and_store_agree_at_every_moment() {
    for workers in [1, 2] {
        let (engine, committer) = start(workers, Arc::new(Deaf), 0);
        committer.frozen(|frozen| install(&engine, frozen, TABLE));
        std::thread::scope(|scope| {
            for writer in 0..3 {
                let committer = &committer;
                scope.spawn(move || {
                    for step in 0..100 {
                        let row = [(step % 7, writer)];
                        let mut writes =
                            vec![write(TABLE, Operation::Upsert, &row), write(BAG, Operation::Insert, &row)];
                        if step % 3 == 0 {
                            writes.push(write(TABLE, Operation::Delete, &[(step % 5, 0)]));
                        }
                        committer.commit(ALONE, writes, &never()).expect("fits");
                    }
                });
            }
            // The second view is installed while rows are being written.
            committer.frozen(|frozen| install(&engine, frozen, BAG));
            for _ in 0..50 {
                let (scans, mut pending) = committer.frozen(|frozen| {
                    let scans = [TABLE, BAG].map(|relation| frozen.scan(relation).expect("there"));
                    (scans, engine.snapshot(&[ViewId(TABLE.0), ViewId(BAG.0)]).expect("both are installed"))
                });
                for (scan, snapshot) in scans.iter().zip(pending.wait(&never(), None).expect("the engine runs")) {
                    let mut balance: BTreeMap<_, i64> = BTreeMap::new();
                    for rows in scan.iter() {
                        pairs(&rows).into_iter().for_each(|row| *balance.entry(row).or_default() += 1);
                    }
                    for (rows, diffs) in &snapshot.rows {
                        let rows = pairs(rows).into_iter().enumerate();
                        rows.for_each(|(at, row)| *balance.entry(row).or_default() -= diffs.at(at));
                    }
                    assert!(balance.values().all(|count| *count == 0), "{balance:?}");
                }
            }
        });
        engine.shutdown();
        let late = committer.commit(ALONE, vec![write(BAG, Operation::Insert, &[(0, 0)])], &never());
        assert_eq!(late, Err(Error::Shutdown));
        assert_eq!(count(&committer, BAG), 300);
    }
}

#[test]
fn the_engines_progress_makes_room() {
    let (open, gate) = mpsc::channel();
    let (engine, committer) = start(1, Arc::new(Gate(Mutex::new(gate))), 3);
    committer.frozen(|frozen| install(&engine, frozen, SOURCE));
    engine.watch(ViewId(SOURCE.0), true).expect("installed");
    // A view counts for the room in the buffer as soon as it has its first contents.
    engine
        .snapshot(&[ViewId(SOURCE.0)])
        .and_then(|mut snapshot| snapshot.wait(&never(), None))
        .expect("the engine runs");
    let insert =
        |cancel: &CancelToken| committer.commit(ALONE, vec![write(SOURCE, Operation::Insert, &[(1, 1); 3])], cancel);
    insert(&never()).expect("empty");
    assert_eq!(insert(&cancelled()), Err(Error::Interrupted));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| insert(&never()));
        open.send(()).expect("the engine listens");
        writer.join().expect("no panic").expect("there is room");
    });
    assert_eq!(count(&committer, SOURCE), 6);
    open.send(()).expect("the engine listens");
    engine.shutdown();
}

fn begin(committer: &Committer) {
    assert!(committer.begin(&committer.line_up(&ALONE, &never()), TRANSACTION), "nobody else has one");
}

/// Returns the rows of a relation as the transaction sees them.
fn inside(committer: &Committer, relation: RelationId) -> Contents {
    committer.frozen_for(INSIDE, |frozen| contents_in(frozen, relation))
}

/// Returns the rows of a relation as another session sees them.
fn elsewhere(committer: &Committer, relation: RelationId) -> Contents {
    committer.frozen_for(OTHER, |frozen| contents_in(frozen, relation))
}

#[test]
fn a_transaction_is_one_commit_at_its_end() {
    let engine = Arc::new(Recorder::default());
    let committer = committer(Arc::clone(&engine), 0);
    let first = [SOURCE, TABLE, BAG].map(|relation| write(relation, Operation::Insert, &[(1, 1), (2, 2)]));
    committer.commit(ALONE, first.to_vec(), &never()).expect("fits");
    let before = [SOURCE, TABLE, BAG].map(|relation| contents(&committer, relation));
    for commits in [false, true] {
        begin(&committer);
        committer.commit(INSIDE, vec![write(SOURCE, Operation::Insert, &[(3, 3)])], &never()).expect("fits");
        committer.commit(INSIDE, vec![write(TABLE, Operation::Upsert, &[(1, 7), (3, 3)])], &never()).expect("fits");
        committer
            .commit(INSIDE, vec![write(TABLE, Operation::InsertNew, &[(4, 4), (3, 3)])], &never())
            .expect_err("twice");
        committer.commit(INSIDE, vec![write(TABLE, Operation::Delete, &[(2, 2)])], &never()).expect("fits");
        committer.commit(INSIDE, vec![write(BAG, Operation::Delete, &[(2, 2)])], &never()).expect("fits");
        assert_eq!(inside(&committer, TABLE), BTreeMap::from([((1, Some(7)), 1), ((3, Some(3)), 1)]));
        assert_eq!(inside(&committer, SOURCE).len(), 3);
        assert_eq!(committer.frozen_for(INSIDE, |frozen| (frozen.rows(SOURCE), frozen.rows(BAG))), (3, 1));
        assert_eq!((count(&committer, SOURCE), count(&committer, BAG)), (2, 2));
        assert_eq!([SOURCE, TABLE, BAG].map(|relation| elsewhere(&committer, relation)), before);
        assert_eq!(engine.state.lock().commits.len(), 1);
        if commits {
            committer.commit_transaction(TRANSACTION, &never()).expect("the engine takes it");
        } else {
            committer.rollback_transaction(TRANSACTION).expect("it is open");
            assert_eq!([SOURCE, TABLE, BAG].map(|relation| contents(&committer, relation)), before);
        }
    }
    assert_eq!(engine.state.lock().commits.len(), 2);
    for relation in [SOURCE, TABLE, BAG] {
        assert_eq!(contents(&committer, relation), engine.sum(relation));
        assert_eq!(elsewhere(&committer, relation), engine.sum(relation));
    }
    begin(&committer);
    committer.commit(INSIDE, vec![write(TABLE, Operation::Upsert, &[(1, 7)])], &never()).expect("equal");
    committer.commit_transaction(TRANSACTION, &never()).expect("nothing to make");
    assert_eq!(engine.state.lock().commits.len(), 2);
    assert_eq!(committer.commit_transaction(TRANSACTION, &never()).expect_err("none is open").code(), 400);
    assert_eq!(committer.rollback_transaction(TRANSACTION).expect_err("none is open").code(), 400);
}

#[test]
fn a_commit_that_the_engine_refuses_undoes_the_transaction() {
    let engine = Arc::new(Recorder::default());
    let committer = committer(Arc::clone(&engine), 0);
    begin(&committer);
    for relation in [SOURCE, TABLE, BAG] {
        committer.commit(INSIDE, vec![write(relation, Operation::Insert, &[(1, 1)])], &never()).expect("fits");
    }
    engine.broken.store(true, Ordering::Relaxed);
    assert_eq!(committer.commit_transaction(TRANSACTION, &never()).expect_err("the engine is gone"), Error::Shutdown);
    assert!(!committer.is_open());
    assert!([SOURCE, TABLE, BAG].iter().all(|relation| inside(&committer, *relation).is_empty()));
    assert_eq!([SOURCE, TABLE, BAG].map(|relation| count(&committer, relation)), [0, 0, 0]);
}

#[test]
fn writes_of_others_wait_for_the_end_of_a_transaction() {
    let committer = committer(Arc::new(Recorder::default()), 0);
    let insert = |actor: Actor, row: i64, cancel: &CancelToken| {
        committer.commit(actor, vec![write(BAG, Operation::Insert, &[(row, 0)])], cancel)
    };
    begin(&committer);
    assert_eq!(insert(OTHER, 1, &cancelled()), Err(Error::Interrupted));
    let (waits, waiting) = mpsc::channel();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| insert(OTHER, 2, &telling(&waits)));
        waiting.recv().expect("the writer waits");
        insert(INSIDE, 3, &never()).expect("part of the transaction");
        assert_eq!(inside(&committer, BAG), BTreeMap::from([((3, Some(0)), 1)]));
        committer.commit_transaction(TRANSACTION, &never()).expect("the engine takes it");
        waiter.join().expect("no panic").expect("its turn came");
    });
    assert_eq!(count(&committer, BAG), 2);
}

#[test]
fn a_write_during_whose_wait_its_session_begins_a_transaction_is_part_of_it() {
    let committer = committer(Arc::new(Recorder::default()), 0);
    let place = committer.line_up(&OTHER, &never());
    assert!(committer.begin(&place, 8));
    drop(place);
    let (waits, waiting) = mpsc::channel();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let begun = || {
                begin(&committer);
                Ok(())
            };
            committer.turn(&ALONE, &[], &telling(&waits), &begun).map(|frozen| frozen.in_transaction())
        });
        waiting.recv().expect("the writer waits");
        committer.rollback_transaction(8).expect("it is open");
        assert_eq!(writer.join().expect("no panic"), Ok(true));
    });
    assert!(committer.is_open_for(&ALONE) && !committer.is_open_for(&OTHER));
}

#[test]
fn writers_that_are_held_off_wait_while_others_read() {
    let committer = committer(Arc::new(Recorder::default()), 0);
    let (waits, waiting) = mpsc::channel();
    let hold = committer.hold(&never()).expect("nobody writes");
    let one = || vec![write(BAG, Operation::Insert, &[(1, 0)])];
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| committer.commit(OTHER, one(), &telling(&waits)));
        waiting.recv().expect("the writer waits");
        committer.frozen(|frozen| {
            assert_eq!((frozen.rows(BAG), frozen.writes(BAG)), (0, 0));
            frozen.write(vec![write(BAG, Operation::Insert, &[(2, 0)])]).expect("who holds the others off writes");
            assert_eq!((frozen.rows(BAG), frozen.writes(BAG)), (1, 1));
            frozen.release(hold);
        });
        writer.join().expect("no panic").expect("its turn came");
    });
    begin(&committer);
    committer.commit(INSIDE, vec![write(BAG, Operation::Insert, &[(3, 0)])], &never()).expect("fits");
    assert_eq!(committer.frozen(|frozen| frozen.writes(BAG)), 2, "not before its end");
    committer.commit_transaction(TRANSACTION, &never()).expect("the engine takes it");
    assert_eq!(committer.frozen(|frozen| (frozen.rows(BAG), frozen.writes(BAG))), (3, 3));
    // The hold also ends when it is dropped.
    drop(committer.hold(&never()).expect("nobody writes"));
    committer.commit(ALONE, vec![write(BAG, Operation::Insert, &[(4, 0)])], &never()).expect("nobody is held off");
}

#[test]
fn a_transaction_is_begun_after_the_writes_that_waited_before() {
    let committer = committer(Arc::new(Recorder::default()), 0);
    begin(&committer);
    let early = committer.line_up(&ALONE, &never());
    let late = committer.line_up(&OTHER, &never());
    assert!(!committer.begin(&early, 8) && !committer.begin(&late, 8), "one is under way");
    committer.rollback_transaction(TRANSACTION).expect("it is open");
    assert!(!committer.begin(&late, 8), "somebody came before");
    assert!(committer.begin(&early, 9));
    committer.rollback_transaction(9).expect("it is open");
    drop(early);
    assert!(committer.begin(&late, 8));
}

#[test]
fn a_transaction_that_is_abandoned_is_rolled_back() {
    let committer = committer(Arc::new(Recorder::default()), 0);
    let insert = |actor: Actor, row: i64, cancel: &CancelToken| {
        committer.commit(actor, vec![write(TABLE, Operation::Insert, &[(row, row)])], cancel)
    };
    begin(&committer);
    insert(INSIDE, 1, &never()).expect("fits");
    committer.abandon(TRANSACTION + 1);
    assert_eq!(inside(&committer, TABLE).len(), 1, "another one was abandoned");
    let (waits, waiting) = mpsc::channel();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| insert(OTHER, 2, &telling(&waits)));
        waiting.recv().expect("the writer waits");
        committer.abandon(TRANSACTION);
        waiter.join().expect("no panic").expect("nobody is in the way");
    });
    assert_eq!(contents(&committer, TABLE), BTreeMap::from([((2, Some(2)), 1)]));
    assert_eq!(committer.commit_transaction(TRANSACTION, &never()).expect_err("it has ended").code(), 400);
    committer.abandon(TRANSACTION);
    assert_eq!(count(&committer, TABLE), 1, "it had ended before");
}

#[test]
fn the_end_of_all_writing_rolls_a_transaction_back_and_wakes_who_waits() {
    let committer = committer(Arc::new(Recorder::default()), 0);
    begin(&committer);
    committer.commit(INSIDE, vec![write(TABLE, Operation::Insert, &[(1, 1)])], &never()).expect("fits");
    let (waits, waiting) = mpsc::channel();
    let one = || vec![write(BAG, Operation::Insert, &[(1, 1)])];
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| committer.commit(OTHER, one(), &telling(&waits)));
        waiting.recv().expect("the writer waits");
        committer.end();
        assert_eq!(waiter.join().expect("no panic"), Err(Error::Shutdown));
    });
    let late = committer.commit(INSIDE, vec![write(TABLE, Operation::Insert, &[(2, 2)])], &never());
    assert_eq!(late, Err(Error::Shutdown));
    assert_eq!(committer.commit_transaction(TRANSACTION, &never()), Err(Error::Shutdown));
    assert_eq!((inside(&committer, TABLE).len(), elsewhere(&committer, TABLE).len()), (0, 0));
}

#[test]
fn a_transaction_waits_for_room_at_its_end() {
    let (waits, waiting) = mpsc::channel();
    let engine = Arc::new(Recorder { waits: Some(waits), ..Recorder::default() });
    let committer = committer(Arc::clone(&engine), 2);
    committer.commit(ALONE, vec![write(SOURCE, Operation::Insert, &[(1, 1); 2])], &never()).expect("empty");
    begin(&committer);
    committer
        .commit(INSIDE, vec![write(SOURCE, Operation::Insert, &[(1, 1); 2])], &never())
        .expect("waits for nothing");
    assert!(waiting.try_recv().is_err());
    assert_eq!(committer.commit_transaction(TRANSACTION, &cancelled()), Err(Error::Interrupted));
    assert_eq!(waiting.recv(), Ok((SOURCE, 2)));
    assert!(committer.is_open_for(&INSIDE));
    engine.work_off(SOURCE, 1);
    committer.commit_transaction(TRANSACTION, &never()).expect("there is room");
    assert_eq!(engine.state.lock().commits.len(), 2);
}

fn named(actor: Actor, by: &str, statement: &str) -> Actor {
    Actor { call: Call { by: Some(by.into()), statement: Some(statement.into()) }, ..actor }
}

#[test]
fn a_call_that_waits_longer_than_the_lock_timeout_fails_and_names_who_holds_the_transaction() {
    let timeout = Some(Duration::from_millis(1));
    let committer = Committer::over(Arc::new(Recorder::default()), Box::new(Nobody), 0, timeout);
    create_relations(&committer);
    let place = committer.line_up(&named(ALONE, "the night job", "BEGIN"), &never());
    assert!(committer.begin(&place, TRANSACTION), "nobody else has one");
    drop(place);
    committer.note(&named(INSIDE, "not this name", "DELETE FROM t"));
    committer.note(&named(OTHER, "somebody else", "SELECT 1"));
    let refused = committer.commit(OTHER, vec![write(BAG, Operation::Insert, &[(1, 0)])], &never());
    let error = refused.expect_err("the transaction stays open");
    assert_eq!(error.code(), 902);
    let text = error.to_string();
    assert!(text.starts_with("waited 0.001 s for the transaction of the night job, open since 20"), "{text}");
    assert!(text.ends_with(" UTC, last statement: DELETE FROM t"), "{text}");
    let place = committer.line_up(&OTHER, &never());
    assert_eq!(committer.wait_to_begin(&place, &never()).expect_err("it stays open").code(), 902);
    drop(place);
    assert_eq!(count(&committer, BAG), 0);
    committer.commit(INSIDE, vec![write(BAG, Operation::Insert, &[(2, 0)])], &never()).expect("waits for nobody");
    committer.commit_transaction(TRANSACTION, &never()).expect("nobody took it");
    committer.commit(OTHER, vec![write(BAG, Operation::Insert, &[(1, 0)])], &never()).expect("nobody is in the way");
    assert_eq!(count(&committer, BAG), 2);
}

#[test]
fn a_call_does_not_time_out_while_a_definition_holds_writers_off() {
    let timeout = Some(Duration::from_millis(1));
    let committer = Committer::over(Arc::new(Recorder::default()), Box::new(Nobody), 0, timeout);
    create_relations(&committer);
    let hold = committer.hold(&never()).expect("nobody writes");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| committer.commit(OTHER, vec![write(BAG, Operation::Insert, &[(1, 0)])], &never()));
        let waits_long = |waiting: &TransactionInfo| waiting.since.elapsed().is_ok_and(|it| it.as_millis() > 5);
        while !committer.transactions().iter().any(waits_long) {
            std::thread::yield_now();
        }
        drop(hold);
        writer.join().expect("no panic").expect("its turn came");
    });
}

#[test]
fn those_who_hold_and_who_wait_are_listed_in_order() {
    let committer = committer(Arc::new(Recorder::default()), 0);
    assert_eq!(committer.transactions(), []);
    let place = committer.line_up(&named(ALONE, "one", "BEGIN"), &never());
    assert!(committer.begin(&place, TRANSACTION));
    drop(place);
    let _second = committer.line_up(&named(OTHER, "two", "INSERT"), &never());
    let _third = committer.line_up(&OTHER, &never());
    let listed: Vec<_> = committer.transactions().into_iter().map(|it| (it.name, it.statement, it.holds)).collect();
    let said = |text: &str| Some(text.to_owned());
    assert_eq!(listed, [(said("one"), said("BEGIN"), true), (said("two"), said("INSERT"), false), (None, None, false)]);
}

#[test]
fn a_handler_that_runs_in_a_call_that_waits_begins_before_that_call() {
    let committer = committer(Arc::new(Recorder::default()), 0);
    let inner = Arc::clone(&committer);
    let begun = move || {
        let place = inner.line_up(&OTHER, &never());
        let begun = inner.begin(&place, 8);
        drop(place);
        if begun {
            inner.rollback_transaction(8).expect("it is open");
        }
        begun
    };
    // Without the handler the call that came before would have to be first.
    let token = CancelToken::polled(Duration::ZERO, begun);
    let _early = committer.line_up(&ALONE, &token);
    let late = committer.line_up(&OTHER, &never());
    assert!(!committer.begin(&late, 9));
    drop(late);
    assert!(token.check().is_err(), "the handler could begin");
}

/// Number of rows of the long writes of these tests.
const LONG: i64 = 10;

/// Makes a long write to `TABLE` that stores `LONG` rows; runs `meanwhile` after its relation was lent and before the
/// rows are stored.
fn write_long(committer: &Committer, meanwhile: impl FnOnce()) -> Result<(), Error> {
    committer.commit_found(OTHER, TABLE, LONG as usize, false, &never(), |finder| {
        let (found, _) = finder.find(TABLE, &rows(&[(1, 0), (100, 0)]))?;
        assert_eq!(found, [0], "row 1 is there before");
        meanwhile();
        let values: Vec<(i64, i64)> = (0..LONG).map(|k| (k, 7)).collect();
        Ok((vec![write(TABLE, Operation::Upsert, &values)], ()))
    })
}

/// Returns a committer with a row in each relation.
fn filled(engine: &Arc<Recorder>) -> Arc<Committer> {
    let committer = committer(Arc::clone(engine), 0);
    let one = [SOURCE, TABLE, BAG].map(|relation| write(relation, Operation::Insert, &[(1, 1)]));
    committer.commit(ALONE, one.to_vec(), &never()).expect("fits");
    committer
}

#[test]
fn others_read_and_write_beside_a_long_write_and_find_it_whole_or_not_at_all() {
    let engine = Arc::new(Recorder::default());
    let committer = filled(&engine);
    write_long(&committer, || {
        committer.commit(ALONE, vec![write(BAG, Operation::Insert, &[(2, 2)])], &never()).expect("does not wait");
        committer.commit(ALONE, vec![write(BAG, Operation::Delete, &[(1, 1)])], &never()).expect("does not wait");
        assert_eq!(contents(&committer, TABLE), BTreeMap::from([((1, Some(1)), 1)]));
        assert_eq!(committer.frozen(|frozen| (frozen.rows(TABLE), frozen.writes(TABLE))), (1, 1));
        assert!(committer.bytes(TABLE) > 0 && committer.frozen(|frozen| frozen.layout(TABLE)).is_some());
    })
    .expect("nothing is in the way");
    assert_eq!(count(&committer, TABLE), LONG as u64);
    assert_eq!(contents(&committer, BAG), BTreeMap::from([((2, Some(2)), 1)]));
    assert_eq!(contents(&committer, TABLE), engine.sum(TABLE));
    assert_eq!(engine.state.lock().commits.len(), 4, "one commit for each write");
}

#[test]
fn writes_to_the_same_relation_wait_for_a_long_write_and_are_not_lost() {
    let engine = Arc::new(Recorder::default());
    let committer = filled(&engine);
    let (waits, waiting) = mpsc::channel();
    let set = || vec![write(TABLE, Operation::Upsert, &[(3, 33)])];
    std::thread::scope(|scope| {
        let mut writer = None;
        write_long(&committer, || {
            writer = Some(scope.spawn(|| committer.commit(ALONE, set(), &telling(&waits))));
            waiting.recv().expect("the writer waits");
            assert_eq!(committer.commit(ALONE, set(), &cancelled()), Err(Error::Interrupted));
        })
        .expect("nothing is in the way");
        writer.expect("begun").join().expect("no panic").expect("its turn came");
    });
    assert_eq!(contents(&committer, TABLE).get(&(3, Some(33))), Some(&1));
    assert_eq!(contents(&committer, TABLE), engine.sum(TABLE));
}

#[test]
fn transactions_and_holds_begin_after_a_long_write() {
    let committer = filled(&Arc::new(Recorder::default()));
    let (waits, waiting) = mpsc::channel();
    std::thread::scope(|scope| {
        let (mut holder, mut place) = (None, None);
        write_long(&committer, || {
            let place = place.insert(committer.line_up(&ALONE, &never()));
            assert!(!committer.begin(place, 8), "a long write is under way");
            assert!(committer.hold(&cancelled()).is_err(), "a long write is under way");
            holder = Some(scope.spawn(|| committer.hold(&telling(&waits)).map(drop)));
            waiting.recv().expect("the hold waits");
        })
        .expect("nothing is in the way");
        holder.expect("begun").join().expect("no panic").expect("its turn came");
        let place = place.expect("taken");
        assert!(committer.begin(&place, 9));
        let mut writes = Vec::new();
        committer.rollback_transaction(9).expect("it is open");
        // While a call waits to begin a transaction, no relation is lent.
        write_long(&committer, || writes.push(())).expect("nothing is in the way");
        assert_eq!(writes.len(), 1);
    });
    assert_eq!(count(&committer, TABLE), LONG as u64);
}

#[test]
fn a_long_write_to_a_relation_that_is_dropped_meanwhile_changes_nothing() {
    let engine = Arc::new(Recorder::default());
    let committer = filled(&engine);
    let written = write_long(&committer, || committer.frozen(|frozen| frozen.drop(TABLE)));
    assert!(matches!(written, Err(Error::Dropped(_))), "{written:?}");
    assert_eq!(engine.state.lock().commits.len(), 1);
    let after = committer.commit(ALONE, vec![write(TABLE, Operation::Insert, &[(1, 1)])], &never());
    assert!(matches!(after, Err(Error::Dropped(_))), "{after:?}");
}

#[test]
fn a_long_write_that_fails_or_comes_too_late_changes_nothing() {
    let engine = Arc::new(Recorder::default());
    let committer = filled(&engine);
    let before = contents(&committer, TABLE);
    let values: Vec<(i64, i64)> = (0..LONG).map(|k| (k, 7)).collect();
    let twice = [values.clone(), vec![(3, 3)]].concat();
    for refused in [&values, &twice] {
        let written = committer.commit(ALONE, vec![write(TABLE, Operation::InsertNew, refused)], &never());
        assert_eq!(written.expect_err("key 1 is there").code(), 400);
        assert_eq!(contents(&committer, TABLE), before);
    }
    let missing = [write(BAG, Operation::Delete, &values)];
    assert_eq!(committer.commit(ALONE, missing.to_vec(), &never()).expect_err("not there").code(), 300);
    // The condition is true when the write begins, and false when its rows are stored.
    let asked = std::cell::Cell::new(0);
    let first = |_: &Frozen<'_>| asked.replace(asked.get() + 1) == 0;
    let upsert = [write(TABLE, Operation::Upsert, &values)];
    assert_eq!(committer.commit_if(ALONE, &upsert, &never(), &first), Ok(None));
    assert_eq!((asked.get(), contents(&committer, TABLE)), (2, before.clone()));
    engine.broken.store(true, Ordering::Relaxed);
    assert_eq!(committer.commit(ALONE, upsert.to_vec(), &never()), Err(Error::Shutdown));
    assert_eq!(contents(&committer, TABLE), before);
    engine.broken.store(false, Ordering::Relaxed);
    committer.commit(ALONE, upsert.to_vec(), &never()).expect("fits");
    assert_eq!(contents(&committer, TABLE), engine.sum(TABLE));
    let all = vec![Write { relation: TABLE, operation: Operation::Truncate, rows: Vec::new() }];
    committer.commit(ALONE, all, &never()).expect("fits");
    assert_eq!((count(&committer, TABLE), engine.sum(TABLE).len()), (0, 0));
}

#[test]
fn a_long_write_fails_when_writing_has_ended() {
    let engine = Arc::new(Recorder::default());
    let committer = filled(&engine);
    assert_eq!(write_long(&committer, || committer.end()), Err(Error::Shutdown));
    assert_eq!(engine.state.lock().commits.len(), 1);
}

#[test]
fn a_long_write_that_panics_gives_its_relation_back() {
    let committer = filled(&Arc::new(Recorder::default()));
    let failed = write_long(&committer, || panic!("a cast breaks"));
    assert!(matches!(failed, Err(Error::Internal(_))), "{failed:?}");
    write_long(&committer, || {}).expect("nothing is in the way");
    assert_eq!(count(&committer, TABLE), LONG as u64);
}

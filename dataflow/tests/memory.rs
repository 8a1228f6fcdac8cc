//! Tests the memory limit of an engine. They are a program of their own, whose allocator counts what it holds.

use std::alloc::System;
use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use laminardb_dataflow::memory::{Counting, MemoryLimit, of_thread, used};
use laminardb_dataflow::plan::{
    Arrangement, ArrangementId, DataflowPlan, Join, JoinColumn, Node, NodeId, Operator, Output, OutputState,
};
use laminardb_dataflow::update::PerRow;
use laminardb_dataflow::{
    CancelToken, ChangeSink, CollectionId, DataflowError, Engine, EngineConfig, RelationId, Time, UpdateBatch, ViewId,
};
use parking_lot::Mutex;

#[global_allocator]
static ALLOCATOR: Counting<System> = Counting(System);

/// Serialises the tests: each looks at what the whole process holds.
static ALONE: Mutex<()> = Mutex::new(());

const SMALL: ViewId = ViewId(1);
const LARGE: ViewId = ViewId(2);
const ABOVE: ViewId = ViewId(3);

/// Records which views were ended and why.
#[derive(Default)]
struct Ends(Mutex<Vec<(usize, ViewId, DataflowError)>>);

impl ChangeSink for Ends {
    fn changes(&self, _: usize, _: ViewId, _: Time, _: &UpdateBatch) {}

    fn frontier(&self, _: usize, _: ViewId, _: Time) {}

    fn ended(&self, worker: usize, view: ViewId, why: &DataflowError) {
        self.0.lock().push((worker, view, why.clone()));
    }

    fn stopped(&self, reason: &str) {
        panic!("the engine stopped: {reason}");
    }
}

fn node(operator: Operator, columns: usize) -> Node {
    let field = |column: usize| Field::new(["a", "b"][column], DataType::Int64, false);
    Node { operator, schema: Arc::new(Schema::new((0..columns).map(field).collect::<Vec<_>>())) }
}

/// All rows of a collection with this many columns.
fn everything(collection: CollectionId, columns: usize) -> Arc<DataflowPlan> {
    let state = OutputState::Arrangement { key: vec![0] };
    let output = Output { node: NodeId(0), unique_key: None, state };
    Arc::new(DataflowPlan { nodes: vec![node(Operator::Input(collection), columns)], arrangements: vec![], output })
}

/// Every row of relation 1 with every row of relation 1.
fn pairs() -> Arc<DataflowPlan> {
    let input = Operator::Input(CollectionId::Relation(RelationId(1)));
    let all = Arrangement { input: NodeId(0), key: vec![], value: vec![0] };
    let (left, right) = (ArrangementId(0), ArrangementId(0));
    let output = vec![JoinColumn::Left(0), JoinColumn::Right(0)];
    let join = Operator::Join(Join { left, right, output, residual: None });
    let state = OutputState::Arrangement { key: vec![0] };
    let output = Output { node: NodeId(1), unique_key: None, state };
    Arc::new(DataflowPlan { nodes: vec![node(input, 1), node(join, 2)], arrangements: vec![all], output })
}

fn numbers(count: i64) -> RecordBatch {
    let values = Arc::new(Int64Array::from_iter_values(0..count));
    RecordBatch::try_new(node(Operator::Input(CollectionId::Relation(RelationId(1))), 1).schema, vec![values])
        .expect("one column")
}

fn rows_of(engine: &Engine, view: ViewId) -> Result<i64, DataflowError> {
    let snapshots = engine.snapshot(&[view])?.wait(&CancelToken::new(), None)?;
    Ok(snapshots[0].rows.iter().flat_map(|(rows, diffs)| (0..rows.num_rows()).map(|row| diffs.at(row))).sum())
}

#[test]
fn what_threads_allocate_and_others_free_is_counted() {
    let _alone = ALONE.lock();
    let (before, own) = (used(), of_thread());
    let blocks: Vec<Vec<u8>> = std::thread::spawn(|| (0..1000).map(|_| vec![1; 1000]).collect()).join().expect("ends");
    // The thread has ended, so that nothing of what it counted is kept.
    assert!(used() - before > 900_000, "{}", used() - before);
    assert!(of_thread() - own < 100_000, "another thread has allocated it");
    drop(blocks);
    assert!(of_thread() - own < -900_000, "this thread has freed it");
    assert!(used().abs_diff(before) < 200_000, "{} after {before}", used());
}

#[test]
fn the_view_that_grows_is_ended_with_those_above_it_and_others_go_on() {
    let _alone = ALONE.lock();
    for workers in [1, 2] {
        let ends = Arc::new(Ends::default());
        let limit = MemoryLimit::new(used() + (32 << 20));
        let workers = NonZeroUsize::new(workers).expect("not zero");
        let sink: Arc<dyn ChangeSink> = Arc::<Ends>::clone(&ends);
        let engine = Engine::start(EngineConfig { workers, memory_limit: Some(limit) }, sink).expect("threads start");
        let relation = CollectionId::Relation(RelationId(1));
        engine.install(SMALL, everything(relation, 1), vec![]).expect("a plan");
        engine.install(LARGE, pairs(), vec![]).expect("a plan");
        engine.install(ABOVE, everything(CollectionId::View(LARGE), 2), vec![]).expect("a plan");
        engine.commit(vec![(RelationId(1), numbers(10), PerRow::Same(1))]).expect("runs");
        assert_eq!((rows_of(&engine, LARGE), rows_of(&engine, ABOVE)), (Ok(100), Ok(100)));

        // A hundred million pairs do not fit.
        engine.commit(vec![(RelationId(1), numbers(10_000), PerRow::Same(1))]).expect("runs");
        let why = rows_of(&engine, LARGE).expect_err("ended");
        let DataflowError::Ended { view: LARGE, cause: LARGE, over } = why else { panic!("{why}") };
        assert!(over.limit == limit.bytes() && over.used > over.limit, "{over}");
        let above = DataflowError::Ended { view: ABOVE, cause: LARGE, over };
        assert_eq!(rows_of(&engine, ABOVE), Err(above.clone()));
        assert_eq!((engine.why_ended(SMALL), engine.why_ended(ABOVE)), (None, Some(above.clone())));
        assert_eq!(engine.watch(LARGE, true), Err(why.clone()));
        assert_eq!(engine.install(ViewId(4), everything(CollectionId::View(ABOVE), 2), vec![]), Err(above.clone()));

        // What waits is answered by then, and every worker has said that the views have ended, those above first.
        assert_eq!(rows_of(&engine, SMALL), Ok(10_010));
        let told = std::mem::take(&mut *ends.0.lock());
        for worker in 0..workers.get() {
            let of_worker: Vec<_> = told.iter().filter(|(by, ..)| *by == worker).map(|(_, view, _)| *view).collect();
            assert_eq!(of_worker, [ABOVE, LARGE], "worker {worker} of {workers}");
        }
        engine.commit(vec![(RelationId(1), numbers(1), PerRow::Same(1))]).expect("runs");
        assert_eq!(rows_of(&engine, SMALL), Ok(10_011));

        // They can be dropped, and made anew from less.
        assert_eq!(engine.drop_view(LARGE), Err(DataflowError::InUse(LARGE, ABOVE)));
        engine.drop_view(ABOVE).expect("nothing reads it");
        engine.drop_view(LARGE).expect("nothing reads it any more");
        assert_eq!(rows_of(&engine, LARGE), Err(DataflowError::UnknownView(LARGE)));
        let contents = vec![(RelationId(1), vec![(numbers(20), PerRow::Same(1))])];
        engine.install(LARGE, pairs(), contents).expect("there is room again");
        assert_eq!(rows_of(&engine, LARGE), Ok(400));
        engine.shutdown();
    }
}

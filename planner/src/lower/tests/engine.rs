//! Maintains planned queries with the engine, step by step, and compares the results with interpreted plans.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use laminardb_dataflow::{
    CancelToken, ChangeSink, CollectionId, Diffs, Engine, EngineConfig, RelationId, Time, UpdateBatch, ViewId,
    ViewSnapshot,
};

use crate::ViewPlan;
use crate::lower::tests::context::{relations, rows};
use crate::lower::tests::interpret::{Row, batch_of, interpret, rows_of};
use crate::lower::tests::plan;

struct NoSink;

impl ChangeSink for NoSink {
    fn changes(&self, _worker: usize, _view: ViewId, _time: Time, _changes: &UpdateBatch) {}
    fn frontier(&self, _worker: usize, _view: ViewId, _frontier: Time) {}
    fn stopped(&self, _reason: &str) {}
}

/// A generator of pseudo-random numbers with a fixed sequence.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn value(&mut self) -> ScalarValue {
        match self.below(6) {
            0 => ScalarValue::Int64(None),
            number => ScalarValue::Int64(Some(number as i64)),
        }
    }
}

/// The current rows of the relations.
struct Contents(BTreeMap<u64, Vec<Row>>);

impl Contents {
    fn batch(&self, id: u64) -> RecordBatch {
        batch_of(&self.0[&id], &relations()[id as usize - 1].schema)
    }

    /// Deletes some rows of each relation and inserts others; sources only grow, and keys stay unique.
    fn change(&mut self, numbers: &mut Numbers) -> Vec<(RelationId, RecordBatch, Diffs)> {
        let mut changes = Vec::new();
        for (id, rows) in &mut self.0 {
            let (mut changed, mut diffs) = (Vec::new(), Vec::new());
            for _ in 0..numbers.below(4) {
                if *id != 4 && !rows.is_empty() {
                    let at = numbers.below(rows.len() as u64) as usize;
                    changed.push(rows.swap_remove(at));
                    diffs.push(-1);
                }
            }
            for _ in 0..numbers.below(4) {
                let row = new_row(*id, rows, numbers);
                changed.push(row.clone());
                rows.push(row);
                diffs.push(1);
            }
            if !changed.is_empty() {
                let batch = batch_of(&changed, &relations()[*id as usize - 1].schema);
                changes.push((RelationId(*id), batch, Diffs::from_vec(diffs)));
            }
        }
        changes
    }
}

fn new_row(id: u64, rows: &[Row], numbers: &mut Numbers) -> Row {
    let mut key = 1;
    while rows.iter().any(|row| row[0] == ScalarValue::Int64(Some(key))) {
        key += 1;
    }
    let key = ScalarValue::Int64(Some(key));
    let text = match numbers.below(4) {
        0 => ScalarValue::Utf8(None),
        number => ScalarValue::Utf8(Some(["a", "b", "x"][number as usize - 1].to_owned())),
    };
    match id {
        1 => vec![key, numbers.value(), text, ScalarValue::Float64(Some(numbers.below(9) as f64 / 2.0))],
        2 => vec![key, numbers.value(), numbers.value()],
        3 => vec![numbers.value(), numbers.value(), text],
        _ => vec![key, numbers.value(), numbers.value(), ScalarValue::Int32(Some(numbers.below(5) as i32))],
    }
}

fn text_of(rows: impl IntoIterator<Item = Row>) -> Vec<String> {
    let text = |row: Row| row.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let mut rows: Vec<String> = rows.into_iter().map(text).collect();
    rows.sort();
    rows
}

/// Returns the rows of a snapshot, each as often as its multiplicity says.
fn snapshot_rows(snapshot: &ViewSnapshot) -> Vec<Row> {
    let mut all = Vec::new();
    for (batch, diffs) in &snapshot.rows {
        for (at, row) in rows_of(batch).into_iter().enumerate() {
            let times = usize::try_from(diffs.at(at)).expect("no row is there less than no time");
            all.extend(std::iter::repeat_n(row, times));
        }
    }
    all
}

fn compare(engine: &Engine, views: &[(&str, ViewPlan)], contents: &Contents, step: usize) {
    let kept: Vec<usize> = (0..views.len()).filter(|at| !views[*at].1.linear).collect();
    let ids: Vec<ViewId> = kept.iter().map(|at| ViewId(100 + *at as u64)).collect();
    let snapshots =
        engine.snapshot(&ids).expect("the engine runs").wait(&CancelToken::new(), None).expect("the engine runs");
    let input = |collection: CollectionId| match collection {
        CollectionId::Relation(RelationId(id)) => contents.batch(id),
        other => rows(other),
    };
    for (at, snapshot) in kept.into_iter().zip(&snapshots) {
        let (sql, view) = &views[at];
        assert!(snapshot.errors.is_empty(), "{sql}: {:?}", snapshot.errors);
        let expected = text_of(interpret(&view.plan, &input));
        assert_eq!(text_of(snapshot_rows(snapshot)), expected, "step {step}: {sql}");
        if let Some(key) = &view.unique_key {
            let keys = snapshot_rows(snapshot).into_iter();
            let mut keys = text_of(keys.map(|row| key.iter().map(|column| row[*column].clone()).collect()));
            let count = keys.len();
            keys.dedup();
            assert_eq!(keys.len(), count, "step {step}: {sql} has a key that is not unique");
        }
    }
}

/// Maintains all queries at once over several commits.
fn maintain(workers: usize) {
    let workers = NonZeroUsize::new(workers).expect("some workers");
    let engine =
        Engine::start(EngineConfig { workers, memory_limit: None }, Arc::new(NoSink)).expect("the engine starts");
    let ids = 1..=4u64;
    let relation = |id| rows_of(&rows(CollectionId::Relation(RelationId(id))));
    let mut contents = Contents(ids.map(|id| (id, relation(id))).collect());
    let mut views = Vec::new();
    for (at, sql) in include_str!("queries.sql").lines().enumerate() {
        let view = plan(sql).expect("the query can be planned");
        let inputs = view.plan.inputs().into_iter().filter_map(|input| match input {
            CollectionId::Relation(id) => Some((id, vec![(contents.batch(id.0), Diffs::Same(1))])),
            CollectionId::View(_) => None,
        });
        let inputs = inputs.collect();
        engine.install(ViewId(100 + at as u64), Arc::clone(&view.plan), inputs).unwrap_or_else(|error| {
            panic!("{sql}: {error}");
        });
        views.push((sql, view));
    }
    compare(&engine, &views, &contents, 0);
    let mut numbers = Numbers(7);
    for step in 1..=6 {
        engine.commit(contents.change(&mut numbers)).expect("the engine runs");
        compare(&engine, &views, &contents, step);
    }
    engine.shutdown();
}

#[test]
fn one_worker_maintains_what_the_plans_mean() {
    maintain(1);
}

#[test]
fn two_workers_maintain_what_the_plans_mean() {
    maintain(2);
}

#[test]
fn failures_name_columns() {
    let workers = NonZeroUsize::new(1).expect("one is not zero");
    let engine =
        Engine::start(EngineConfig { workers, memory_limit: None }, Arc::new(NoSink)).expect("the engine starts");
    let view = plan("SELECT a, CAST(c AS BIGINT) + b AS n FROM bag").expect("it can be maintained");
    let bag = rows(CollectionId::Relation(RelationId(3)));
    let inputs = vec![(RelationId(3), vec![(bag, Diffs::Same(1))])];
    engine.install(ViewId(1), view.plan, inputs).expect("a good plan");
    engine.watch(ViewId(1), true).expect("installed");
    let errors = engine.errors(ViewId(1)).expect("installed");
    assert!(!errors.is_empty(), "some texts are no numbers");
    for error in errors {
        assert_eq!(error.expression, "(CAST(c AS BIGINT) + b)");
    }
    engine.shutdown();
}

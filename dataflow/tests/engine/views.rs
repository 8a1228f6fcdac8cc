//! Compares views with state with their plain twins: after every step a view equals its plan evaluated from nothing,
//! and its first contents plus all delivered changes equal the view.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::support::naive::{Contents, evaluate};
use crate::support::{
    Bag, PlanBuilder, Recorder, Row, bag, bag_of, batch, change, column, condition, insert, put, settle, start,
};
use arrow::datatypes::DataType;
use laminardb_dataflow::plan::{
    Aggregate, AggregateFunction, DataflowPlan, Join, JoinColumn, Operator, OutputState, Reduce, SemiJoin,
    SemiJoinKind, SetOperation, SetOperator, SortKey, TopK, Union,
};
use laminardb_dataflow::{CancelToken, CollectionId, Diff, Diffs, Engine, RelationId, ViewId};
use proptest::prelude::*;

fn aggregate(function: AggregateFunction, argument: Option<usize>) -> Aggregate {
    Aggregate { function, argument, distinct: false, filter: None, data_type: DataType::Int64 }
}

/// SELECT a, count(*), sum(b), min(b), max(b) FROM relation 1 GROUP BY a, read from the groups.
fn grouped() -> Arc<DataflowPlan> {
    let mut plan = PlanBuilder::default();
    let input = plan.relation(1, 2);
    let groups = reduce(&mut plan, input, vec![0], 5);
    plan.finish(groups, OutputState::Reduce(groups))
}

fn reduce(
    plan: &mut PlanBuilder,
    input: laminardb_dataflow::plan::NodeId,
    key: Vec<usize>,
    columns: usize,
) -> laminardb_dataflow::plan::NodeId {
    let all = [
        aggregate(AggregateFunction::Count, None),
        aggregate(AggregateFunction::Sum, Some(1)),
        aggregate(AggregateFunction::Min, Some(1)),
        aggregate(AggregateFunction::Max, Some(1)),
    ];
    let aggregates = all.into_iter().take(columns - key.len()).collect();
    plan.node(Operator::Reduce(Reduce { input, key, aggregates, monotonic: false }), columns)
}

/// Relations 1 and 2 joined on their first columns.
fn joined() -> Arc<DataflowPlan> {
    let mut plan = PlanBuilder::default();
    let (one, two) = (plan.relation(1, 2), plan.relation(2, 2));
    let (left, right) = (plan.arrange(one, &[0], &[1]), plan.arrange(two, &[0], &[1]));
    let output = vec![JoinColumn::Key(0), JoinColumn::Left(0), JoinColumn::Right(0)];
    let join = plan.node(Operator::Join(Join { left, right, output, residual: None }), 3);
    plan.finish(join, OutputState::Arrangement { key: vec![0] })
}

/// The join with a condition, grouped; only groups of several rows are kept.
fn joined_and_grouped() -> Arc<DataflowPlan> {
    let mut plan = PlanBuilder::default();
    let (one, two) = (plan.relation(1, 2), plan.relation(2, 2));
    let some = plan.filter(one, condition("#1 >= 0", |row| Ok(row[1].map(|b| i64::from(b >= 0)))));
    let (left, right) = (plan.arrange(some, &[0], &[1]), plan.arrange(two, &[0], &[1]));
    let output = vec![JoinColumn::Key(0), JoinColumn::Left(0), JoinColumn::Right(0)];
    let residual = condition("#1 <> #2", |row| Ok(row[1].zip(row[2]).map(|(b, c)| i64::from(b != c))));
    let join = plan.node(Operator::Join(Join { left, right, output, residual: Some(residual) }), 3);
    let groups = reduce(&mut plan, join, vec![0], 5);
    let several = plan.filter(groups, condition("#1 > 1", |row| Ok(row[1].map(|n| i64::from(n > 1)))));
    let projected = plan.project(several, vec![column(0), column(2)]);
    plan.finish(projected, OutputState::Reduce(groups))
}

/// The sum over everything: always one row.
fn total() -> Arc<DataflowPlan> {
    let mut plan = PlanBuilder::default();
    let input = plan.relation(1, 2);
    let groups = reduce(&mut plan, input, vec![], 2);
    plan.finish(groups, OutputState::Reduce(groups))
}

fn semi_joined(kind: SemiJoinKind) -> Arc<DataflowPlan> {
    let mut plan = PlanBuilder::default();
    let (one, two) = (plan.relation(1, 2), plan.relation(2, 2));
    let left = plan.arrange(one, &[0], &[1]);
    let semi = SemiJoin { left, right: two, right_key: vec![0], kind };
    let semi = plan.node(Operator::SemiJoin(semi), 2);
    plan.finish(semi, OutputState::Arrangement { key: vec![0, 1] })
}

fn combined(operator: SetOperator) -> Arc<DataflowPlan> {
    let mut plan = PlanBuilder::default();
    let (left, right) = (plan.relation(1, 2), plan.relation(2, 2));
    let set = plan.node(Operator::Set(SetOperation { left, right, operator }), 2);
    plan.finish(set, OutputState::Arrangement { key: vec![1] })
}

fn first_of_each() -> Arc<DataflowPlan> {
    let mut plan = PlanBuilder::default();
    let input = plan.relation(1, 2);
    let order = vec![SortKey { column: 1, descending: true, nulls_first: false }];
    let top_k = TopK { input, group: vec![0], order, limit: Some(2), offset: 1, monotonic: false };
    let top_k = plan.node(Operator::TopK(top_k), 2);
    plan.finish(top_k, OutputState::Arrangement { key: vec![0] })
}

/// DISTINCT over both relations.
fn distinct() -> Arc<DataflowPlan> {
    let mut plan = PlanBuilder::default();
    let (one, two) = (plan.relation(1, 2), plan.relation(2, 2));
    let union = plan.node(Operator::Union(Union { inputs: vec![one, two] }), 2);
    let groups = reduce(&mut plan, union, vec![0, 1], 2);
    plan.finish(groups, OutputState::Reduce(groups))
}

/// The groups of view 1 with relation 2.
fn on_a_view() -> Arc<DataflowPlan> {
    let mut plan = PlanBuilder::default();
    let (view, two) = (plan.view(1, 5), plan.relation(2, 2));
    let (left, right) = (plan.arrange(view, &[0], &[1, 2]), plan.arrange(two, &[0], &[1]));
    let output = vec![JoinColumn::Key(0), JoinColumn::Left(0), JoinColumn::Left(1), JoinColumn::Right(0)];
    let join = plan.node(Operator::Join(Join { left, right, output, residual: None }), 4);
    plan.finish(join, OutputState::Arrangement { key: vec![0] })
}

/// The number of groups of view 1, without an index on it.
fn counting_a_view() -> Arc<DataflowPlan> {
    let mut plan = PlanBuilder::default();
    let view = plan.view(1, 5);
    let groups = reduce(&mut plan, view, vec![], 1);
    plan.finish(groups, OutputState::Reduce(groups))
}

fn all_plans() -> Vec<Arc<DataflowPlan>> {
    vec![
        grouped(),
        joined(),
        joined_and_grouped(),
        total(),
        semi_joined(SemiJoinKind::Semi),
        semi_joined(SemiJoinKind::Anti),
        combined(SetOperator::ExceptAll),
        combined(SetOperator::Intersect),
        first_of_each(),
        distinct(),
        on_a_view(),
        counting_a_view(),
    ]
}

/// An engine, the contents it was given, and what its views should be.
struct Bench {
    engine: Engine,
    recorder: Arc<Recorder>,
    contents: Contents,
    views: BTreeMap<u64, (Arc<DataflowPlan>, Bag)>,
}

impl Bench {
    fn new(workers: usize) -> Self {
        let (engine, recorder) = start(workers);
        Bench { engine, recorder, contents: Contents::new(), views: BTreeMap::new() }
    }

    fn relation(&mut self, relation: u64) -> &mut Bag {
        self.contents.entry(CollectionId::Relation(RelationId(relation))).or_default()
    }

    /// Installs a view over the current contents and remembers its rows from now on.
    fn install(&mut self, view: u64, plan: Arc<DataflowPlan>) {
        let mut first = Vec::new();
        for input in plan.inputs() {
            if let CollectionId::Relation(relation) = input {
                let rows: Vec<(Row, Diff)> = self.relation(relation.0).clone().into_iter().collect();
                let pieces: Vec<_> = rows.chunks(7).map(|rows| batch(2, rows)).collect();
                first.push((relation, pieces));
            }
        }
        self.engine.install(ViewId(view), Arc::clone(&plan), first).expect("a good plan");
        self.engine.watch(ViewId(view), true).expect("installed");
        self.refresh();
        let rows = evaluate(&plan, &self.contents);
        self.contents.insert(CollectionId::View(ViewId(view)), rows.clone());
        self.views.insert(view, (plan, rows));
    }

    /// Drops view `view`, if it is installed and no other view reads it, and installs the same view again under the id
    /// `made`.
    fn replace(&mut self, view: u64, made: u64) {
        let read = |plan: &Arc<DataflowPlan>| plan.inputs().contains(&CollectionId::View(ViewId(view)));
        if self.views.values().any(|(plan, _)| read(plan)) {
            return;
        }
        if let Some((plan, _)) = self.views.remove(&view) {
            self.engine.drop_view(ViewId(view)).expect("nothing reads it");
            self.contents.remove(&CollectionId::View(ViewId(view)));
            self.install(made, plan);
        }
    }

    fn refresh(&mut self) {
        for (view, (plan, _)) in &self.views {
            let rows = evaluate(plan, &self.contents);
            self.contents.insert(CollectionId::View(ViewId(*view)), rows);
        }
    }

    /// Commits changes of both relations at once; no row is removed more often than it is there.
    fn commit(&mut self, changes: &[(u64, Row, Diff)]) {
        let mut by_relation: BTreeMap<u64, Vec<(Row, Diff)>> = BTreeMap::new();
        for (relation, row, diff) in changes {
            let bag = self.relation(*relation);
            let diff = (*diff).max(-bag.get(row).copied().unwrap_or(0));
            if diff != 0 {
                put(bag, row.clone(), diff);
                by_relation.entry(*relation).or_default().push((row.clone(), diff));
            }
        }
        let changes: Vec<(RelationId, arrow::array::RecordBatch, Diffs)> =
            by_relation.into_iter().flat_map(|(relation, rows)| change(relation, batch(2, &rows))).collect();
        self.engine.commit(changes).expect("runs");
    }

    /// Checks that all views equal their twins, now and as the sum of what was delivered.
    fn check(&mut self) {
        self.refresh();
        let ids: Vec<ViewId> = self.views.keys().map(|view| ViewId(*view)).collect();
        let snapshots =
            self.engine.snapshot(&ids).expect("views with state").wait(&CancelToken::new(), None).expect("runs");
        settle(&self.engine);
        for (snapshot, (view, (_, first))) in snapshots.iter().zip(&self.views) {
            let wanted = &self.contents[&CollectionId::View(ViewId(*view))];
            assert_eq!(&bag_of(snapshot), wanted, "view {view}");
            let mut sum = self.recorder.sum(*view);
            for (row, n) in first {
                *sum.entry(row.clone()).or_default() += n;
            }
            sum.retain(|_, n| *n != 0);
            assert_eq!(&sum, wanted, "changes of view {view}");
            assert_eq!(snapshot.errors, vec![]);
        }
    }
}

fn some_row() -> impl Strategy<Value = (u64, Row, Diff)> {
    let value = |range: std::ops::Range<i64>| prop_oneof![1 => Just(None), 9 => range.prop_map(Some)];
    (1..3u64, value(0..6), value(-3..4), prop_oneof![Just(-2), Just(-1), Just(1), Just(1), Just(2)])
        .prop_map(|(relation, a, b, diff)| (relation, vec![a, b], diff))
}

/// Returns the number of cases of a property test: more with `LAMINARDB_TEST_CASES_FACTOR`.
fn cases(usual: u32) -> u32 {
    let factor = std::env::var("LAMINARDB_TEST_CASES_FACTOR").ok().and_then(|factor| factor.parse::<u32>().ok());
    usual * factor.unwrap_or(1)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(12), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn views_equal_their_twins(
        workers in prop_oneof![Just(1usize), Just(2), Just(4)],
        first in prop::collection::vec(some_row(), 0..60),
        steps in prop::collection::vec((prop::collection::vec(some_row(), 0..25), any::<bool>(), 0..12u64), 1..10),
    ) {
        let mut bench = Bench::new(workers);
        bench.commit(&first);
        let (early, mut late): (Vec<_>, Vec<_>) = (1u64..).zip(all_plans()).partition(|(id, _)| id % 2 == 1);
        for (id, plan) in early {
            bench.install(id, plan);
        }
        for (made, (changes, check, dropped)) in (100u64..).zip(&steps) {
            bench.commit(changes);
            // Late views import indexes that have forgotten their history.
            if let Some((id, plan)) = late.pop() {
                bench.install(id, plan);
            }
            bench.replace(*dropped, made);
            if *check {
                bench.check();
            }
        }
        bench.check();
    }
}

#[test]
fn views_share_indexes_until_the_last_is_dropped() {
    for workers in [1, 2] {
        let mut bench = Bench::new(workers);
        let rows: Vec<(u64, Row, Diff)> =
            (0..500).map(|i| (1 + i as u64 % 2, vec![Some(i % 50), Some(i)], 1)).collect();
        bench.commit(&rows);
        bench.install(1, joined());
        bench.install(2, semi_joined(SemiJoinKind::Semi));
        bench.install(3, joined());
        bench.check();
        let report = bench.engine.report().expect("runs");
        let readers: Vec<usize> = report.indexes.iter().map(|index| index.readers).collect();
        assert_eq!(readers, vec![3, 2], "relation 1 by its first column, and relation 2");
        assert_eq!(report.indexes[0].size.rows, 250, "held once");
        assert_eq!(report.indexes[0].work[0].sent, 250, "and indexed once");
        assert_eq!(report.dataflows, 5);
        bench.commit(&rows[..100]);
        bench.check();
        for view in [1, 3, 2] {
            bench.engine.drop_view(ViewId(view)).expect("nothing reads it");
            bench.views.remove(&view);
            bench.commit(&rows[..10]);
            bench.check();
        }
        let report = bench.engine.report().expect("runs");
        assert_eq!((report.dataflows, report.indexes.len(), report.total().bytes), (0, 0, 0));
    }
}

#[test]
fn a_view_that_is_read_by_another_cannot_be_dropped() {
    let mut bench = Bench::new(2);
    bench.install(1, grouped());
    bench.install(2, on_a_view());
    let in_use = laminardb_dataflow::DataflowError::InUse(ViewId(1), ViewId(2));
    assert_eq!(bench.engine.drop_view(ViewId(1)), Err(in_use));
    bench.engine.drop_view(ViewId(2)).expect("nothing reads it");
    bench.engine.drop_view(ViewId(1)).expect("nothing reads it any more");
}

#[test]
fn a_view_that_leaves_is_dropped_with_the_last_view_that_reads_it() {
    let mut bench = Bench::new(2);
    bench.install(1, grouped());
    bench.install(2, on_a_view());
    bench.engine.drop_when_unread(ViewId(1)).expect("installed");
    let installed = |bench: &Bench| bench.engine.report().expect("a report").views.len();
    assert_eq!(installed(&bench), 2, "view 2 reads view 1");
    bench.engine.drop_view(ViewId(2)).expect("nothing reads it");
    assert_eq!(installed(&bench), 0);
    let gone = laminardb_dataflow::DataflowError::UnknownView(ViewId(1));
    assert_eq!(bench.engine.drop_when_unread(ViewId(1)), Err(gone));
}

#[test]
fn snapshots_of_several_views_agree_while_many_commit() {
    for workers in [1, 2, 4] {
        let bench = {
            let mut bench = Bench::new(workers);
            bench.install(1, grouped());
            bench.install(2, counting_a_view());
            bench.install(3, total());
            bench
        };
        let engine = &bench.engine;
        std::thread::scope(|scope| {
            for thread in 0..3i64 {
                scope.spawn(move || {
                    for i in 0..100 {
                        // Two rows of two groups each time: the number of rows is always even.
                        let rows = insert(&[&[thread * 1000 + i, 1], &[-thread * 1000 - i - 1, 1]]);
                        engine.commit(change(1, rows)).expect("runs");
                    }
                });
            }
            for _ in 0..50 {
                let mut read = engine.snapshot(&[ViewId(1), ViewId(2), ViewId(3)]).expect("installed");
                let snapshots = read.wait(&CancelToken::new(), None).expect("runs");
                let groups = bag_of(&snapshots[0]);
                let rows: i64 = groups.keys().filter_map(|group| group[1]).sum();
                assert_eq!(rows % 2, 0, "a commit is there whole or not at all");
                assert_eq!(bag_of(&snapshots[1]), bag(&[&[groups.len() as i64]]));
                let sum: i64 = groups.keys().filter_map(|group| group[2]).sum();
                let (row, _) = bag_of(&snapshots[2]).pop_first().expect("always one row");
                assert_eq!((row[0], row[1].unwrap_or(0)), (Some(rows), sum));
            }
        });
        settle(engine);
        assert_eq!(bench.recorder.sum(3).pop_last(), Some((vec![Some(600), Some(600)], 1)));
    }
}

#[test]
fn keys_are_looked_up() {
    for workers in [1, 3] {
        let mut bench = Bench::new(workers);
        bench.commit(&[(1, vec![Some(1), Some(10)], 1), (2, vec![Some(1), Some(20)], 2), (1, vec![Some(2), None], 1)]);
        bench.install(1, grouped());
        bench.install(2, joined());
        let find = |view: u64, key: i64| {
            let mut read = bench.engine.lookup(ViewId(view), insert(&[&[key]]).0).expect("a good key");
            bag_of(&read.wait(&CancelToken::new(), None).expect("runs")[0])
        };
        assert_eq!(find(1, 1), bag(&[&[1, 1, 10, 10, 10]]));
        assert_eq!(find(2, 1), bag(&[&[1, 10, 20], &[1, 10, 20]]));
        assert_eq!(find(2, 2), Bag::new());
        let bad = bench.engine.lookup(ViewId(1), insert(&[&[1, 2]]).0);
        assert!(bad.is_err(), "the aggregate has one key column");
    }
}

#[test]
fn a_small_change_touches_little() {
    for workers in [1, 2] {
        let mut bench = Bench::new(workers);
        let rows: Vec<(u64, Row, Diff)> =
            (0..4000).map(|i| (1 + i as u64 % 2, vec![Some(i / 2), Some(i)], 1)).collect();
        bench.commit(&rows);
        bench.install(1, grouped());
        bench.install(2, joined_and_grouped());
        settle(&bench.engine);
        let work = |bench: &Bench| {
            let report = bench.engine.report().expect("runs");
            let of = |view: u64| report.view(ViewId(view)).expect("installed").work.clone();
            [of(1), of(2)].concat().iter().map(|work| work.received + work.sent).sum::<u64>()
        };
        let before = work(&bench);
        bench.commit(&[(1, vec![Some(7), Some(70)], 1)]);
        settle(&bench.engine);
        let touched = work(&bench) - before;
        // Of 13 operators, index imports among them, each receives and sends at most two rows.
        assert!(touched <= 30, "{touched} rows touched for one");
        bench.check();
    }
}

#[test]
fn memory_does_not_grow_with_time() {
    let mut bench = Bench::new(1);
    bench.install(1, joined());
    bench.install(2, grouped());
    let rows: Vec<(u64, Row, Diff)> = (0..200).map(|i| (1 + i as u64 % 2, vec![Some(i / 2), Some(i)], 1)).collect();
    bench.commit(&rows);
    settle(&bench.engine);
    let held = |bench: &Bench| bench.engine.report().expect("runs").total();
    for round in 0..300 {
        let (_, row, _) = &rows[round % 200];
        bench.commit(&[(1 + (round % 200) as u64 % 2, row.clone(), -1)]);
        bench.commit(&[(1 + (round % 200) as u64 % 2, row.clone(), 1)]);
        settle(&bench.engine);
    }
    bench.check();
    let after = held(&bench);
    assert!(after.rows < 4 * 400, "600 changes that came to nothing are forgotten: {after:?}");
    let gone: Vec<(u64, Row, Diff)> = rows.iter().map(|(relation, row, _)| (*relation, row.clone(), -1)).collect();
    bench.commit(&gone);
    for _ in 0..50 {
        bench.commit(&[(1, vec![Some(1), Some(1)], 1)]);
        bench.commit(&[(1, vec![Some(1), Some(1)], -1)]);
        settle(&bench.engine);
    }
    bench.check();
    assert!(held(&bench).rows < 200, "rows that are gone are forgotten: {:?}", held(&bench));
}

#[test]
fn reading_a_view_that_takes_in_its_contents_holds_up_nobody_else() {
    let mut bench = Bench::new(2);
    bench.install(9, total());
    let rows: Vec<(u64, Row, Diff)> = (0..20_000).map(|i| (1, vec![Some(i), Some(i)], 1)).collect();
    bench.commit(&rows);
    bench.install(1, grouped());
    let mut read = bench.engine.snapshot(&[ViewId(1)]).expect("installed");
    for i in 0..50 {
        bench.commit(&[(1, vec![Some(i), Some(-1)], 1)]);
    }
    let snapshot = read.wait(&CancelToken::new(), None).expect("runs").pop().expect("one view");
    assert_eq!(bag_of(&snapshot).len(), 20_000);
    assert!(bag_of(&snapshot).keys().all(|group| group[1] == Some(1)), "later commits are not seen");
    bench.check();
}

//! Runs ad-hoc queries: DataFusion's executor computes the answer of one SELECT as of one time.
//!
//! A query is bound and rewritten as that of a view is, and its expressions are evaluated as in views, so that both
//! give the same answer. Each scan reads rows that are given to it; those of all relations are taken at one moment. The
//! executor runs on one thread, in one partition. An operator may work for seconds before it checks whether it should
//! stop, so a caller who cancels does not wait for the thread: it holds no lock, and its result is dropped.

mod bounded;
mod deep;
mod distinct;
mod equality;
mod harden;
mod memory;
mod one_order;
mod parts;
mod projections;
mod set_operation;
mod stack;
mod statistics;
mod ties;
mod unions;
mod windows;
mod yielding;

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use crossbeam_channel::{Receiver, bounded};
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, internal_err, not_impl_err};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Distinct, LogicalPlan, TableScan};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::aggregate_statistics::AggregateStatistics;
use datafusion::physical_optimizer::combine_partial_final_agg::CombinePartialFinalAggregate;
use datafusion::physical_optimizer::ensure_coop::EnsureCooperative;
use datafusion::physical_optimizer::ensure_requirements::EnsureRequirements;
use datafusion::physical_optimizer::join_selection::JoinSelection;
use datafusion::physical_optimizer::limit_pushdown::LimitPushdown;
use datafusion::physical_optimizer::output_requirements::OutputRequirements;
use datafusion::physical_optimizer::sanity_checker::SanityCheckPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::SessionConfig;
use futures::Stream;
use hashbrown::HashMap;
use laminardb_dataflow::CancelToken;
use laminardb_dataflow::cancel::Received;
use laminardb_dataflow::{CollectionId, MemoryLimit};
use laminardb_planner::PlanError;
use laminardb_planner::budget;
use laminardb_planner::catalog::{CatalogSource, RelationInfo};
use laminardb_planner::error::bare_message;
use laminardb_planner::panics::caught;
use laminardb_planner::part::{self, Part};

use crate::batch::relabel;
use crate::error::Error;

/// An optimised plan; the rest of the bridge passes it on without looking inside.
pub(crate) type Plan = LogicalPlan;

/// Rows of all collections that a query reads, as of one time.
pub(crate) type Contents = HashMap<CollectionId, Vec<RecordBatch>>;

/// The rows of the parts of a plan that have run, by their numbers.
type PartRows = HashMap<u64, Vec<RecordBatch>>;

/// Receives the batches of an answer; its error ends the query.
pub(crate) type Take<'a> = &'a mut dyn FnMut(RecordBatch) -> std::result::Result<(), Error>;

/// Stack size of a query's thread, large enough for deeply nested queries.
const STACK: usize = 8 << 20;

/// Plans and runs bound queries; clones share their state.
#[derive(Clone)]
pub(crate) struct Executor {
    state: Arc<SessionState>,
    memory_limit: Option<MemoryLimit>,
}

impl Executor {
    /// Makes an executor whose queries end when they pass `memory_limit`.
    pub(crate) fn new(memory_limit: Option<MemoryLimit>) -> std::result::Result<Self, Error> {
        let mut config = SessionConfig::new().with_target_partitions(1).with_information_schema(false);
        let options = config.options_mut();
        options.execution.time_zone = Some("UTC".to_owned());
        options.execution.collect_statistics = false;
        // DataFusion disagrees with itself on whether `b IS TRUE` can be NULL, and would refuse to group by it.
        options.execution.skip_physical_aggregate_schema_check = true;
        options.optimizer.enable_dynamic_filter_pushdown = false;
        options.optimizer.repartition_joins = false;
        options.optimizer.repartition_windows = false;
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(memory::environment(memory_limit).map_err(query_error)?)
            .with_physical_optimizer_rules(physical_rules(memory_limit))
            .build();
        Ok(Executor { state: Arc::new(state), memory_limit })
    }

    /// Runs an optimised plan on a thread of its own and returns its rows as batches of `schema`, none of them empty.
    /// If `cancel` is cancelled, returns [`Error::Interrupted`] at once; the thread ends later.
    pub(crate) fn run(
        &self,
        plan: LogicalPlan,
        contents: Contents,
        schema: &SchemaRef,
        cancel: &CancelToken,
    ) -> std::result::Result<Vec<RecordBatch>, Error> {
        let (sender, receiver) = bounded(1);
        let (executor, schema, unwanted) = (self.clone(), Arc::clone(schema), cancel.child());
        let run = move || {
            let mut batches = Vec::new();
            let done = executor.run_each(plan, &contents, &schema, &unwanted, &mut |batch| {
                batches.push(batch);
                Ok(())
            });
            // Dropped before the answer is sent, so that the caller's next write finds its rows unshared.
            drop(contents);
            // Fails if the caller was cancelled, and nobody needs the result then.
            drop(sender.send(done.map(|()| batches)));
        };
        spawn("laminardb-query", run)?;
        received(&receiver, cancel)
    }

    /// Runs an optimised plan and passes each batch to `take` before the next one is made; batches have `schema` and
    /// are not empty. Must not be called inside a runtime.
    pub(crate) fn run_each(
        &self,
        plan: LogicalPlan,
        contents: &Contents,
        schema: &SchemaRef,
        cancel: &CancelToken,
        take: Take<'_>,
    ) -> std::result::Result<(), Error> {
        if let Some(limit) = self.memory_limit {
            limit.keep_on_thread();
        }
        let is_deep = stack::is_deep(&plan).map_err(query_error)?;
        let run = async {
            let parts = self.rows_of_parts(&plan, contents, cancel).await?;
            let physical = self.plan(plan, contents, &parts).await.map_err(|error| self.error(&error))?;
            let mut relabelled =
                |batch: RecordBatch| take(relabel(&batch, schema).map_err(|error| query_error(error.into()))?);
            self.each(physical, cancel, &mut relabelled).await
        };
        on_runtime(|runtime| stack::for_plan(is_deep, || budget::planning(cancel, || runtime.block_on(run))))
    }

    /// Checks that an optimised plan can be run; fails if it cannot, whatever the rows are. If `cancel` is cancelled,
    /// returns [`Error::Interrupted`] at once; the thread ends later.
    pub(crate) fn check(&self, plan: LogicalPlan, cancel: &CancelToken) -> std::result::Result<(), Error> {
        let contents: Contents = scanned(&plan)?.into_iter().map(|(id, _)| (id, Vec::new())).collect();
        let (sender, receiver) = bounded(1);
        let (executor, unwanted, is_deep) = (self.clone(), cancel.child(), stack::is_deep(&plan).map_err(query_error)?);
        let check = move || {
            let planned = on_runtime(|runtime| {
                let check = async { executor.check_here(plan, &contents).await };
                stack::for_plan(is_deep, || budget::planning(&unwanted, || runtime.block_on(check)))
            });
            // Fails if the caller was cancelled, and nobody needs the result then.
            drop(sender.send(planned));
        };
        spawn("laminardb-query", check)?;
        received(&receiver, cancel)
    }

    /// Returns why a query failed.
    fn error(&self, error: &DataFusionError) -> Error {
        memory::over_limit(error, self.memory_limit).unwrap_or_else(|| failed(error))
    }

    async fn plan(&self, plan: LogicalPlan, contents: &Contents, parts: &PartRows) -> Result<Arc<dyn ExecutionPlan>> {
        // The order matters: `make_cuts_total` adds sort keys and `as_grouping` adds groups, and `compare_as_sql` must
        // still see both.
        let plan = ties::make_cuts_total(plan)?;
        let plan = plan.transform_up_with_subqueries(|node| give_rows(node, contents, parts))?.data;
        let plan = plan.transform_up_with_subqueries(distinct::as_grouping)?.data;
        let plan = plan.transform_up_with_subqueries(equality::compare_as_sql)?.data;
        let plan = plan.transform_up_with_subqueries(windows::over_columns)?.data;
        let plan = plan.transform_up_with_subqueries(deep::compile_deep)?.data;
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![
            Arc::new(set_operation::SetOperationPlanner),
            Arc::new(one_order::OneOrderPlanner),
        ]);
        planner.create_physical_plan(&plan, &*self.state).await
    }

    async fn each(
        &self,
        physical: Arc<dyn ExecutionPlan>,
        cancel: &CancelToken,
        take: Take<'_>,
    ) -> std::result::Result<(), Error> {
        let mut stream = pin!(execute_stream(physical, self.state.task_ctx()).map_err(|error| self.error(&error))?);
        loop {
            // Not `cancel.check()`, which would also poll for signals: this thread cannot see them.
            let next = std::future::poll_fn(|context| match cancel.is_cancelled() {
                true => Poll::Ready(Err(Error::Interrupted)),
                false => stream.as_mut().poll_next(context).map(Ok),
            });
            match next.await? {
                None => return Ok(()),
                Some(batch) => {
                    let batch = batch.map_err(|error| self.error(&error))?;
                    if batch.num_rows() > 0 {
                        take(batch)?;
                    }
                }
            }
        }
    }
}

/// Waits for the result of a query's thread, or until the call is cancelled.
fn received<T>(
    receiver: &Receiver<std::result::Result<T, Error>>,
    cancel: &CancelToken,
) -> std::result::Result<T, Error> {
    match cancel.receive(receiver, None) {
        Received::Message(done) => done,
        Received::Disconnected => Err(ended_early()),
        Received::Cancelled | Received::TimedOut => Err(Error::Interrupted),
    }
}

/// Gives a new runtime to `work`, which plans or runs a query; a panic becomes an error.
fn on_runtime<T>(
    work: impl FnOnce(tokio::runtime::Runtime) -> std::result::Result<T, Error>,
) -> std::result::Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| Error::Internal(format!("cannot start a query: {error}")))?;
    // Kernels panic on some data, for example when the texts of a batch are too long for one array.
    caught(|| work(runtime)).unwrap_or_else(|panic| Err(Error::QueryFailed(panic)))
}

/// Starts a thread for running queries.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::result::Result<(), Error> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(run);
    spawned.map(drop).map_err(|error| Error::QueryFailed(format!("no thread for the query: {error}")))
}

/// Returns the error of a query whose thread ended without a result.
pub(crate) fn ended_early() -> Error {
    Error::Internal("the thread of the query ended early".to_owned())
}

/// Returns the rules that improve a physical plan. They evaluate each expression on the same rows as the logical plan
/// does: on others it could fail.
fn physical_rules(limit: Option<MemoryLimit>) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> = vec![
        Arc::new(unions::ChainUnions),
        Arc::new(OutputRequirements::new_add_mode()),
        Arc::new(AggregateStatistics::new()),
        Arc::new(statistics::WithStatistics(JoinSelection::new())),
        Arc::new(EnsureRequirements::new()),
        Arc::new(statistics::WithoutStatistics),
        Arc::new(CombinePartialFinalAggregate::new()),
        Arc::new(OutputRequirements::new_remove_mode()),
        Arc::new(LimitPushdown::new()),
        Arc::new(projections::PushDownColumns),
        Arc::new(harden::HardenExpressions),
        Arc::new(EnsureCooperative::new()),
        Arc::new(yielding::YieldInJoins),
        Arc::new(SanityCheckPlan::new()),
    ];
    if let Some(limit) = limit {
        rules.push(Arc::new(memory::LookAtMemory(limit)));
    }
    rules.into_iter().map(|rule| Arc::new(bounded::Bounded(rule)) as _).collect()
}

/// Returns the collections that `plan` scans, each once, in order of first use. Fails if the executor cannot run
/// `plan`.
pub(crate) fn scanned(plan: &LogicalPlan) -> std::result::Result<Vec<(CollectionId, Arc<RelationInfo>)>, Error> {
    let mut found: Vec<(CollectionId, Arc<RelationInfo>)> = Vec::new();
    let visited = part::apply_with_parts(plan, &mut |node| {
        match node {
            LogicalPlan::TableScan(scan) if Part::of(scan).is_some() => {}
            LogicalPlan::TableScan(scan) => {
                let (collection, relation) = scanned_relation(scan)?;
                if !found.iter().any(|(other, _)| *other == collection) {
                    found.push((collection, relation));
                }
            }
            LogicalPlan::RecursiveQuery(_) => return not_impl_err!("WITH RECURSIVE"),
            LogicalPlan::Distinct(Distinct::On(_)) => {
                return not_impl_err!("DISTINCT ON in a query that runs once; create a view of it, and read that");
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    });
    visited.map_err(query_error)?;
    Ok(found)
}

fn scanned_relation(scan: &TableScan) -> Result<(CollectionId, Arc<RelationInfo>)> {
    let Some(relation) = CatalogSource::of(scan) else {
        return internal_err!("a scan of {} that is not in the catalog", scan.table_name);
    };
    let Some(collection) = relation.collection() else {
        return internal_err!("a scan of {} whose query was not inlined", relation.name);
    };
    Ok((collection, Arc::clone(relation)))
}

/// Replaces the source of a scan by its rows.
fn give_rows(node: LogicalPlan, contents: &Contents, parts: &PartRows) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
    if let Some(part) = Part::of(&scan) {
        let rows = parts.get(&part.id).cloned().unwrap_or_default();
        scan.source = provider_as_source(Arc::new(MemTable::try_new(Arc::clone(&part.schema), vec![rows])?));
        return Ok(Transformed::yes(LogicalPlan::TableScan(scan)));
    }
    if !scan.filters.is_empty() || scan.fetch.is_some() {
        return internal_err!("a scan of {} with a filter or limit inside", scan.table_name);
    }
    let (collection, relation) = scanned_relation(&scan)?;
    let Some(batches) = contents.get(&collection) else {
        return internal_err!("no rows were taken of {}", relation.name);
    };
    let batches =
        batches.iter().map(|batch| relabel(batch, &relation.schema)).collect::<std::result::Result<Vec<_>, _>>()?;
    let table = MemTable::try_new(Arc::clone(&relation.schema), vec![batches])?;
    scan.source = provider_as_source(Arc::new(table));
    Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
}

fn query_error(error: DataFusionError) -> Error {
    failed(&error)
}

/// Returns why a query failed, its planning included.
fn failed(error: &DataFusionError) -> Error {
    match PlanError::inside(error) {
        Some(error) => error.clone().into(),
        None => Error::QueryFailed(bare_message(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::logical_expr::{ColumnarValue, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl};
    use datafusion::logical_expr::{Signature, Volatility};
    use datafusion::scalar::ScalarValue;
    use parking_lot::Mutex;

    use super::*;

    /// A function that reports that it runs, and then waits until it is released.
    #[derive(Debug)]
    struct Slow {
        signature: Signature,
        entered: Sender<()>,
        let_go: Mutex<Receiver<()>>,
    }

    impl PartialEq for Slow {
        fn eq(&self, other: &Self) -> bool {
            std::ptr::eq(self, other)
        }
    }

    impl Eq for Slow {}

    impl std::hash::Hash for Slow {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            self.name().hash(state);
        }
    }

    impl ScalarUDFImpl for Slow {
        fn name(&self) -> &str {
            "slow"
        }

        fn signature(&self) -> &Signature {
            &self.signature
        }

        fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
            Ok(DataType::Boolean)
        }

        fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
            self.entered.send(()).expect("the test goes on");
            let was_let_go = self.let_go.lock().recv_timeout(Duration::from_secs(60)).is_ok();
            Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(was_let_go))))
        }
    }

    fn slow(entered: Sender<()>, let_go: Receiver<()>) -> LogicalPlan {
        let signature = Signature::nullary(Volatility::Volatile);
        let function = ScalarUDF::new_from_impl(Slow { signature, entered, let_go: Mutex::new(let_go) });
        LogicalPlanBuilder::empty(true)
            .project(vec![function.call(vec![]).alias("was_let_go")])
            .and_then(LogicalPlanBuilder::build)
            .expect("a plan")
    }

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("was_let_go", DataType::Boolean, true)]))
    }

    #[test]
    fn who_gives_up_does_not_wait_for_an_operator() {
        let (enter, entered) = channel();
        let (let_go, held) = channel();
        let plan = slow(enter, held);
        let entered = Mutex::new(entered);
        let given_up = CancelToken::polled(Duration::from_millis(1), move || entered.lock().try_recv().is_ok());
        let answer = Executor::new(None).expect("an executor").run(plan, Contents::new(), &schema(), &given_up);
        assert_eq!(answer, Err(Error::Interrupted));
        // The function still waits: the query had not ended when its caller returned, or this channel would be closed.
        let_go.send(()).expect("the query runs");
    }

    #[test]
    fn a_panic_in_a_kernel_fails_its_query() {
        let (enter, entered) = channel();
        let (_let_go, held) = channel();
        drop(entered);
        let answer = Executor::new(None).expect("an executor").run(
            slow(enter, held),
            Contents::new(),
            &schema(),
            &CancelToken::new(),
        );
        let Err(Error::QueryFailed(why)) = answer else { panic!("{answer:?}") };
        assert!(why.starts_with("the test goes on"), "{why}");
    }

    #[test]
    fn a_query_runs_inside_a_runtime() {
        let (enter, _entered) = channel();
        let (let_go, held) = channel();
        let_go.send(()).expect("the plan is not run yet");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let run = async {
            Executor::new(None).expect("an executor").run(
                slow(enter, held),
                Contents::new(),
                &schema(),
                &CancelToken::new(),
            )
        };
        let rows = runtime.block_on(run).expect("an answer");
        assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    }
}

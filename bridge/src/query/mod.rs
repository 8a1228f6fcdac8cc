//! Ad-hoc queries: one SELECT at one time, through DataFusion's executor with the expressions of views.
//!
//! The front half (bind, rewrite) is the one of views. Scans are given the rows of their relation, all taken at one
//! moment; the executor runs on the calling thread, in one partition.

mod distinct;
mod floats;
mod harden;
mod set_operation;
mod ties;
mod unions;
mod windows;
mod yielding;

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{LogicalPlan, TableScan};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::aggregate_statistics::AggregateStatistics;
use datafusion::physical_optimizer::combine_partial_final_agg::CombinePartialFinalAggregate;
use datafusion::physical_optimizer::ensure_coop::EnsureCooperative;
use datafusion::physical_optimizer::ensure_requirements::EnsureRequirements;
use datafusion::physical_optimizer::join_selection::JoinSelection;
use datafusion::physical_optimizer::limit_pushdown::LimitPushdown;
use datafusion::physical_optimizer::output_requirements::OutputRequirements;
use datafusion::physical_optimizer::projection_pushdown::ProjectionPushdown;
use datafusion::physical_optimizer::sanity_checker::SanityCheckPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::SessionConfig;
use futures::Stream;
use hashbrown::HashMap;
use laminardb_dataflow::CollectionId;
use laminardb_planner::catalog::{CatalogSource, RelationInfo};
use laminardb_planner::error::bare_message;

use crate::error::Error;

/// An optimised plan; the rest of the bridge hands it on and does not look inside.
pub(crate) type Plan = LogicalPlan;

/// Rows of all collections a query reads, as of one time.
pub(crate) type Contents = HashMap<CollectionId, Vec<RecordBatch>>;

/// Tells whether the caller wants the query to stop, and how it then ends.
pub(crate) type Interrupt<'a> = &'a dyn Fn() -> Option<Error>;

/// Is given the batches of an answer; its error ends the query.
pub(crate) type Take<'a> = &'a mut dyn FnMut(RecordBatch) -> std::result::Result<(), Error>;

/// Plans and runs bound queries.
pub(crate) struct Executor {
    state: SessionState,
}

impl Executor {
    pub(crate) fn new() -> Self {
        let mut config = SessionConfig::new().with_target_partitions(1).with_information_schema(false);
        let options = config.options_mut();
        options.execution.time_zone = Some("UTC".to_owned());
        options.execution.collect_statistics = false;
        // DataFusion itself is of two minds about whether `b IS TRUE` can be NULL, and would refuse to group by it.
        options.execution.skip_physical_aggregate_schema_check = true;
        options.optimizer.enable_dynamic_filter_pushdown = false;
        options.optimizer.repartition_joins = false;
        options.optimizer.repartition_windows = false;
        let state =
            SessionStateBuilder::new().with_config(config).with_physical_optimizer_rules(physical_rules()).build();
        Executor { state }
    }

    /// Runs an optimised plan; batches have `schema`, none is empty.
    pub(crate) fn run(
        &self,
        plan: LogicalPlan,
        contents: &Contents,
        schema: &SchemaRef,
        interrupt: Interrupt<'_>,
    ) -> std::result::Result<Vec<RecordBatch>, Error> {
        // A runtime cannot be entered from inside another one; a caller that lives in one gets a thread for the query,
        // which the caller's callback, bound to its own thread, cannot interrupt.
        if tokio::runtime::Handle::try_current().is_ok() {
            return std::thread::scope(|scope| {
                let query = scope.spawn(|| self.run_here(plan, contents, schema, &|| None));
                query.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
        }
        self.run_here(plan, contents, schema, interrupt)
    }

    fn run_here(
        &self,
        plan: LogicalPlan,
        contents: &Contents,
        schema: &SchemaRef,
        interrupt: Interrupt<'_>,
    ) -> std::result::Result<Vec<RecordBatch>, Error> {
        let mut batches = Vec::new();
        self.run_each(plan, contents, schema, interrupt, &mut |batch| {
            batches.push(batch);
            Ok(())
        })?;
        Ok(batches)
    }

    /// Runs an optimised plan, and gives each batch to `take` before the next one is made; they have `schema`, none is
    /// empty. Must not be called inside a runtime.
    pub(crate) fn run_each(
        &self,
        plan: LogicalPlan,
        contents: &Contents,
        schema: &SchemaRef,
        interrupt: Interrupt<'_>,
        take: Take<'_>,
    ) -> std::result::Result<(), Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| Error::Internal(format!("cannot start a query: {error}")))?;
        runtime.block_on(async {
            let physical = self.plan(plan, contents).await.map_err(query_error)?;
            let mut relabelled = |batch: RecordBatch| take(relabel(&batch, schema).map_err(query_error)?);
            self.each(physical, interrupt, &mut relabelled).await
        })
    }

    async fn plan(&self, plan: LogicalPlan, contents: &Contents) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = ties::make_cuts_total(plan)?;
        let plan = plan.transform_up_with_subqueries(|node| give_rows(node, contents))?.data;
        let plan = plan.transform_up_with_subqueries(distinct::as_grouping)?.data;
        let plan = plan.transform_up_with_subqueries(floats::compare_one_number)?.data;
        let plan = plan.transform_up_with_subqueries(windows::over_columns)?.data;
        let planner =
            DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(set_operation::SetOperationPlanner)]);
        planner.create_physical_plan(&plan, &self.state).await
    }

    async fn each(
        &self,
        physical: Arc<dyn ExecutionPlan>,
        interrupt: Interrupt<'_>,
        take: Take<'_>,
    ) -> std::result::Result<(), Error> {
        let mut stream = pin!(execute_stream(physical, self.state.task_ctx()).map_err(query_error)?);
        loop {
            let next = std::future::poll_fn(|context| match interrupt() {
                Some(error) => Poll::Ready(Err(error)),
                None => stream.as_mut().poll_next(context).map(Ok),
            });
            match next.await? {
                None => return Ok(()),
                Some(batch) => {
                    let batch = batch.map_err(query_error)?;
                    if batch.num_rows() > 0 {
                        take(batch)?;
                    }
                }
            }
        }
    }
}

/// Only rules that neither move expressions past filters nor run them on other rows than the logical plan does.
fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    vec![
        Arc::new(unions::ChainUnions),
        Arc::new(OutputRequirements::new_add_mode()),
        Arc::new(AggregateStatistics::new()),
        Arc::new(JoinSelection::new()),
        Arc::new(EnsureRequirements::new()),
        Arc::new(CombinePartialFinalAggregate::new()),
        Arc::new(OutputRequirements::new_remove_mode()),
        Arc::new(LimitPushdown::new()),
        Arc::new(ProjectionPushdown::new()),
        Arc::new(harden::HardenExpressions),
        Arc::new(EnsureCooperative::new()),
        Arc::new(yielding::YieldInJoins),
        Arc::new(SanityCheckPlan::new()),
    ]
}

/// The collections that `plan` scans, each once, in order of first use.
pub(crate) fn scanned(plan: &LogicalPlan) -> std::result::Result<Vec<(CollectionId, Arc<RelationInfo>)>, Error> {
    let mut found: Vec<(CollectionId, Arc<RelationInfo>)> = Vec::new();
    let visited = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let (collection, relation) = scanned_relation(scan)?;
            if !found.iter().any(|(other, _)| *other == collection) {
                found.push((collection, relation));
            }
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

/// Puts the rows of a scan in its place.
fn give_rows(node: LogicalPlan, contents: &Contents) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
    if !scan.filters.is_empty() || scan.fetch.is_some() {
        return internal_err!("a scan of {} with a filter or limit inside", scan.table_name);
    }
    let (collection, relation) = scanned_relation(&scan)?;
    let Some(batches) = contents.get(&collection) else {
        return internal_err!("no rows were taken of {}", relation.name);
    };
    let batches = batches.iter().map(|batch| relabel(batch, &relation.schema)).collect::<Result<Vec<_>>>()?;
    let table = MemTable::try_new(Arc::clone(&relation.schema), vec![batches])?;
    scan.source = provider_as_source(Arc::new(table));
    Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
}

/// The batch with these column names and this nullability.
pub(crate) fn relabel(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)?)
}

fn query_error(error: DataFusionError) -> Error {
    Error::QueryFailed(bare_message(&error))
}

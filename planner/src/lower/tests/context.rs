//! A stand-in for binding: relations, and their rows.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, TableReference, plan_err};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner};
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::sql::planner::{ParserOptions, SqlToRel};
use laminardb_dataflow::{CollectionId, RelationId, ViewId};

use crate::{CatalogSource, Definition, RelationInfo, RelationKind};

pub(crate) struct Context {
    state: SessionState,
    tables: HashMap<String, Arc<dyn TableSource>>,
    options: ConfigOptions,
}

impl Context {
    pub(crate) fn new() -> Self {
        let mut options = ConfigOptions::default();
        options.sql_parser.map_string_types_to_utf8view = false;
        let state = SessionStateBuilder::new().with_default_features().build();
        let tables = relations().into_iter().map(|info| {
            let source: Arc<dyn TableSource> = Arc::new(CatalogSource::new(Arc::new(info.clone())));
            (info.name, source)
        });
        Context { state, tables: tables.collect(), options }
    }

    pub(crate) fn bind(&self, sql: &str) -> Result<LogicalPlan> {
        let dialect = datafusion::config::Dialect::PostgreSQL;
        let statement = self.state.sql_to_statement(sql, &dialect)?;
        let options = ParserOptions::from(&self.options.sql_parser);
        let plan = SqlToRel::new_with_options(self, options).statement_to_plan(statement)?;
        TypeCoercion::new().analyze(plan, &self.options)
    }
}

impl ContextProvider for Context {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        match self.tables.get(name.table()) {
            Some(table) => Ok(Arc::clone(table)),
            None => plan_err!("no table {name}"),
        }
    }
    fn create_cte_work_table(&self, _name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(Arc::new(crate::catalog::WorkTable { name: String::new(), schema }))
    }
    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }
    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.state.scalar_functions().get(name).cloned()
    }
    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }
    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(name).cloned()
    }
    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }
    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }
    fn options(&self) -> &ConfigOptions {
        &self.options
    }
    fn udf_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// `t` and `u` are keyed tables, `bag` a table without a key, `log` a source, `totals` a maintained view.
pub(crate) fn relations() -> Vec<RelationInfo> {
    let relation = |id: u64, name: &str, kind, columns: &str, primary_key: &[usize]| RelationInfo {
        name: name.to_owned(),
        kind,
        schema: schema(columns),
        primary_key: primary_key.to_vec(),
        append_only: kind == RelationKind::Source,
        definition: match kind {
            RelationKind::Source | RelationKind::Table => Definition::Base(RelationId(id)),
            _ => Definition::Maintained(ViewId(id)),
        },
    };
    vec![
        relation(1, "t", RelationKind::Table, "k bigint!, g bigint, s text, v double", &[0]),
        relation(2, "u", RelationKind::Table, "k bigint!, tk bigint, w bigint", &[0]),
        relation(3, "bag", RelationKind::Table, "a bigint, b bigint, c text", &[]),
        relation(4, "log", RelationKind::Source, "id bigint!, tk bigint, x bigint, i int", &[]),
        relation(5, "totals", RelationKind::MaterializedView, "g bigint, n bigint", &[0]),
    ]
}

fn schema(columns: &str) -> SchemaRef {
    let field = |column: &str| {
        let (name, data_type) = column.trim().split_once(' ').expect("a name and a type");
        let nullable = !data_type.ends_with('!');
        let data_type = match data_type.trim_end_matches('!') {
            "bigint" => DataType::Int64,
            "int" => DataType::Int32,
            "double" => DataType::Float64,
            _ => DataType::Utf8,
        };
        Field::new(name, data_type, nullable)
    };
    Arc::new(Schema::new(columns.split(',').map(field).collect::<Vec<_>>()))
}

/// The rows of a relation; NULLs, duplicates and values without a partner among them.
pub(crate) fn rows(collection: CollectionId) -> RecordBatch {
    let (CollectionId::Relation(RelationId(id)) | CollectionId::View(ViewId(id))) = collection;
    let columns: Vec<ArrayRef> = match id {
        1 => vec![
            Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5, 6, 7])),
            Arc::new(Int64Array::from(vec![Some(1), Some(1), Some(2), Some(2), None, Some(9), None])),
            Arc::new(StringArray::from(vec![Some("a"), Some("b"), None, Some("a"), Some("c"), None, Some("a")])),
            Arc::new(Float64Array::from(vec![Some(1.5), Some(0.5), Some(2.0), None, Some(4.0), Some(2.0), Some(-1.0)])),
        ],
        2 => vec![
            Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5, 6])),
            Arc::new(Int64Array::from(vec![Some(1), Some(1), Some(2), None, Some(8), Some(4)])),
            Arc::new(Int64Array::from(vec![Some(10), Some(3), None, Some(5), Some(7), Some(2)])),
        ],
        3 => vec![
            Arc::new(Int64Array::from(vec![Some(1), Some(1), Some(2), None, None, Some(3), Some(1)])),
            Arc::new(Int64Array::from(vec![Some(1), Some(1), Some(5), Some(5), Some(5), None, Some(2)])),
            Arc::new(StringArray::from(vec![Some("x"), Some("x"), Some("y"), None, None, Some("z"), Some("x")])),
        ],
        4 => vec![
            Arc::new(Int64Array::from(vec![1, 2, 3, 4])),
            Arc::new(Int64Array::from(vec![Some(1), Some(2), Some(2), None])),
            Arc::new(Int64Array::from(vec![Some(4), Some(5), Some(6), None])),
            Arc::new(Int32Array::from(vec![Some(1), None, Some(3), Some(9)])),
        ],
        _ => vec![
            Arc::new(Int64Array::from(vec![Some(1), Some(2), None])),
            Arc::new(Int64Array::from(vec![Some(2), Some(2), Some(1)])),
        ],
    };
    let schema = Arc::clone(&relations()[id as usize - 1].schema);
    RecordBatch::try_new(schema, columns).expect("the rows are of the relation")
}

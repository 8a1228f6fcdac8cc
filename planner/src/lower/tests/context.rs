//! The relations over which test queries are bound, and their rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use laminardb_dataflow::{CollectionId, RelationId, ViewId};

use crate::bind::{ViewOrder, bind_query};
use crate::catalog::find_name;
use crate::statement::{Statement, parse};
use crate::{BoundQuery, Catalog, Definition, Params, PlanError, RelationInfo, RelationKind};

/// A catalogue of [`relations`].
pub(crate) struct Relations;

impl Catalog for Relations {
    fn relation(&self, name: &str, quoted: bool) -> Result<Option<Arc<RelationInfo>>, PlanError> {
        let all = relations();
        let names = all.iter().map(|relation| relation.name.as_str());
        let found = find_name(names, name, quoted).map_err(|_| PlanError::invalid("ambiguous"))?;
        Ok(found.map(|at| Arc::new(all[at].clone())))
    }
}

/// Parses and binds a query.
pub(crate) fn bind(sql: &str) -> Result<BoundQuery, PlanError> {
    let mut statements = parse(sql)?;
    match statements.swap_remove(0).statement {
        Statement::Query(query) => bind_query(&query, &Relations, &Params::none()),
        _ => Err(PlanError::invalid("not a query")),
    }
}

/// The relations: `t` and `u` are keyed tables, `bag` is a table without a key, `log` a source, `totals` a view.
pub(crate) fn relations() -> Vec<RelationInfo> {
    let relation = |id: u64, name: &str, kind, columns: &str, primary_key: &[usize]| RelationInfo {
        name: name.to_owned(),
        kind,
        schema: schema(columns),
        primary_key: primary_key.to_vec(),
        json_columns: Vec::new(),
        append_only: kind == RelationKind::Source,
        order: ViewOrder::default(),
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

/// Returns the rows of a relation; they include NULLs, duplicates and values without a partner.
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

//! SHOW and DESCRIBE: list the relations and queries of a database as rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};
use laminardb_planner::catalog::RelationKind;
use laminardb_planner::statement::{Name, ShowKind};

use super::Session;
use super::outcome::QueryOutput;
use crate::catalog::Entry;
use crate::error::Error;

type Text = Vec<Option<String>>;

impl Session {
    /// Returns the columns of a relation of any kind, with the names of their SQL types.
    pub(super) fn describe(&self, name: &Name) -> Result<QueryOutput, Error> {
        let catalog = self.database.catalog();
        let Some(entry) = catalog.find(&name.value, name.quoted)? else {
            return Err(Error::QueryFailed(format!("relation {name} does not exist")));
        };
        let fields = entry.info.schema.fields();
        let nullable: BooleanArray = fields.iter().map(|field| Some(field.is_nullable())).collect();
        Ok(table(vec![
            text("column_name", fields.iter().map(|field| Some(field.name().clone())).collect()),
            text("data_type", (0..fields.len()).map(|column| Some(entry.info.type_name(column))).collect()),
            ("nullable", Arc::new(nullable)),
        ]))
    }

    pub(super) fn show(&self, kind: ShowKind) -> QueryOutput {
        use RelationKind::{MaterializedView, Source, Stream, Table, View};
        match kind {
            ShowKind::Sources => self.show_sources(&self.of_kinds(&[Source])),
            ShowKind::Tables => self.show_tables(&self.of_kinds(&[Table])),
            ShowKind::Streams => {
                let streams = self.of_kinds(&[Stream, MaterializedView]);
                table(vec![names("stream_name", &streams), definitions(&streams)])
            }
            ShowKind::MaterializedViews => {
                let views = self.of_kinds(&[Stream, MaterializedView]);
                table(vec![names("view_name", &views), definitions(&views), self.states(&views)])
            }
            ShowKind::Views => {
                let views = self.of_kinds(&[View]);
                table(vec![names("view_name", &views), definitions(&views)])
            }
            ShowKind::Queries => self.show_queries(),
            ShowKind::Sinks => {
                let column = |name| text(name, Vec::new());
                table(vec![column("sink_name"), column("input"), column("connector"), column("format")])
            }
        }
    }

    /// Returns the states of maintained views: that of the database, unless a view still takes in its first contents.
    fn states(&self, views: &[Arc<Entry>]) -> (&'static str, ArrayRef) {
        let state = |entry: &Arc<Entry>| Some(self.database.state_of_view(entry).to_owned());
        text("state", views.iter().map(state).collect())
    }

    fn of_kinds(&self, kinds: &[RelationKind]) -> Vec<Arc<Entry>> {
        let catalog = self.database.catalog();
        catalog.entries().iter().filter(|entry| kinds.contains(&entry.kind())).map(Arc::clone).collect()
    }

    fn show_sources(&self, sources: &[Arc<Entry>]) -> QueryOutput {
        let none = || sources.iter().map(|_| None).collect::<Text>();
        let watermarks = sources.iter().map(|entry| entry.watermark_column.clone()).collect();
        table(vec![
            names("source_name", sources),
            text("connector", none()),
            text("format", none()),
            text("watermark_column", watermarks),
        ])
    }

    fn show_tables(&self, tables: &[Arc<Entry>]) -> QueryOutput {
        let key = |entry: &Arc<Entry>| {
            let key = &entry.info.primary_key;
            let columns: Vec<&str> = key.iter().map(|c| entry.info.schema.field(*c).name().as_str()).collect();
            (!columns.is_empty()).then(|| columns.join(", "))
        };
        let rows = |entry: &Arc<Entry>| {
            let rows = entry
                .relation_id()
                .map_or(0, |id| self.database.committer.frozen_for(self.actor(), |frozen| frozen.rows(id)));
            i64::try_from(rows).unwrap_or(i64::MAX)
        };
        table(vec![
            names("name", tables),
            text("primary_key", tables.iter().map(key).collect()),
            ("row_count", Arc::new(Int64Array::from_iter_values(tables.iter().map(rows)))),
            text("connector", tables.iter().map(|_| None).collect()),
        ])
    }

    fn show_queries(&self) -> QueryOutput {
        let queries = self.database.queries.list();
        let ids = queries.iter().map(|query| i64::try_from(query.id).unwrap_or(i64::MAX));
        let active: BooleanArray = queries.iter().map(|query| Some(query.active)).collect();
        table(vec![
            ("query_id", Arc::new(Int64Array::from_iter_values(ids))),
            text("sql", queries.iter().map(|query| Some(query.sql.clone())).collect()),
            ("active", Arc::new(active)),
        ])
    }
}

fn names(column: &'static str, entries: &[Arc<Entry>]) -> (&'static str, ArrayRef) {
    text(column, entries.iter().map(|entry| Some(entry.name().to_owned())).collect())
}

fn definitions(entries: &[Arc<Entry>]) -> (&'static str, ArrayRef) {
    text("sql", entries.iter().map(|entry| entry.sql.clone()).collect())
}

fn text(column: &'static str, values: Text) -> (&'static str, ArrayRef) {
    (column, Arc::new(StringArray::from(values)))
}

/// Makes an answer of columns, which must have the same length.
fn table(columns: Vec<(&'static str, ArrayRef)>) -> QueryOutput {
    let field = |(name, values): &(&'static str, ArrayRef)| Field::new(*name, values.data_type().clone(), true);
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let columns: Vec<ArrayRef> = columns.into_iter().map(|(_, values)| values).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).expect("columns of one length");
    let batches = if batch.num_rows() == 0 { Vec::new() } else { vec![batch] };
    QueryOutput { schema, batches }
}

//! EXPLAIN: shows the plan by which a query would be maintained, as text.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use laminardb_planner::lower::plan_view;
use laminardb_planner::statement::{Parsed, Statement};
use laminardb_planner::{Params, PlanError, budget, part, rewrite};

use super::Session;
use super::outcome::QueryOutput;
use super::read::Bound;
use super::statements::first_words;
use crate::catalog::Entry;
use crate::error::Error;

impl Session {
    /// Returns the plan in one column `plan`, with one row per line.
    pub(super) fn explain_statement(&self, parsed: &Parsed, params: &Params) -> Result<QueryOutput, Error> {
        let text = self.explain_parsed(parsed, params)?;
        let lines = StringArray::from(text.lines().collect::<Vec<_>>());
        let schema = Arc::new(Schema::new(vec![Field::new("plan", DataType::Utf8, false)]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(lines)])
            .map_err(|error| Error::Internal(error.to_string()))?;
        Ok(QueryOutput { schema, batches: vec![batch] })
    }

    /// Returns the plan of a query or of a view's query; fails for other statements.
    pub(super) fn explain_parsed(&self, parsed: &Parsed, params: &Params) -> Result<String, Error> {
        let query = match &parsed.statement {
            Statement::Query(query) => query,
            Statement::CreateView(create) => &create.query,
            Statement::Explain(inner) => return self.explain_parsed(inner, params),
            _ => {
                let what = first_words(&parsed.text);
                return Err(Error::QueryFailed(format!("only a query or a view has a plan to explain: {what}")));
            }
        };
        budget::planning(&self.cancel, || self.explain_query(&self.bind(query, params)?))
    }

    /// Returns the maintained plan; if the query cannot be maintained, the reason and the plan by which it runs once.
    fn explain_query(&self, bound: &Bound) -> Result<String, Error> {
        match plan_view(&bound.query, &*bound.catalog) {
            Ok(view) => {
                let catalog = &bound.catalog;
                let name = |collection| catalog.name_of(collection);
                let readers = |index: &str| {
                    let reads = |entry: &&Arc<Entry>| {
                        let plan = entry.maintained.as_ref().map(|view| &view.plan);
                        plan.is_some_and(|plan| plan.index_texts().iter().any(|text| text == index))
                    };
                    catalog.entries().iter().filter(reads).map(|entry| entry.name().to_owned()).collect()
                };
                let text = view.plan.explain(&name) + &view.plan.explain_arrangements(&name, &readers);
                Ok(text.trim_end().to_owned())
            }
            Err(reason @ PlanError::NotMaintainable { .. }) => {
                let plan = rewrite::optimise(&bound.query)?;
                Ok(format!("Not maintainable: {reason}\n{}", part::display(&plan)))
            }
            Err(other) => Err(other.into()),
        }
    }
}

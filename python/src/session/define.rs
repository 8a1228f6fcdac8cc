//! Defines relations from Python schemas.

use pyo3::prelude::*;

use super::Connection;
use crate::argument::key_columns;
use crate::detach::attentive;
use crate::error::checked;
use crate::schema;

#[pymethods]
impl Connection {
    /// Makes a source, which only grows, or with `primary_key` a table, whose rows are replaced by key.
    ///
    /// `schema` is a dict of column and type, such as `{"ts": "int64", "name": "string"}`, or an Arrow schema;
    /// `primary_key` a column or a list of columns. The name and columns are kept as written. `SchemaError` 201 when
    /// the name is taken, 203 when a type is not known, a key column is missing or a column is there twice.
    ///
    /// >>> conn.create_table("events", {"ts": "timestamp", "kind": "string", "amount": "decimal(10,2)"})
    /// >>> conn.create_table("users", {"id": "int64", "name": "string"}, primary_key="id")
    /// >>> conn.tables()
    /// ['events', 'users']
    #[pyo3(signature = (name, schema, *, primary_key=None))]
    fn create_table(
        &self,
        py: Python<'_>,
        name: &str,
        schema: &Bound<'_, PyAny>,
        primary_key: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let session = self.session(py)?;
        let schema = schema::from_python(schema)?;
        let key = primary_key.map(key_columns).transpose()?;
        let created =
            attentive(py, |cancel| session.with_cancel(cancel).create_relation(name, schema, key.as_deref()))?;
        checked(py, created)
    }
}

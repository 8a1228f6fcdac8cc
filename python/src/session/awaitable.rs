//! The awaitables of calls that may wait: each makes the call of the same name on a thread.
//!
//! The connection must be open when an awaitable is made. All else is checked when it is awaited, as its call does.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::{Connection, aio};

/// Returns an awaitable of the result of a method of `connection`.
fn awaitable<'py, const N: usize>(
    connection: &Bound<'py, Connection>,
    method: &str,
    arguments: [&Bound<'py, PyAny>; N],
    options: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = connection.py();
    connection.get().live(py)?;
    let method = connection.getattr(method)?;
    let arguments: Vec<_> = [&method].into_iter().chain(arguments).collect();
    aio(py)?.getattr(intern!(py, "on_thread"))?.call(PyTuple::new(py, arguments)?, options)
}

/// Returns an awaitable of the result of a method that takes a statement and its parameters.
fn statement<'py>(
    connection: &Bound<'py, Connection>,
    method: &str,
    sql: &Bound<'py, PyAny>,
    params: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let none = connection.py().None().into_bound(connection.py());
    awaitable(connection, method, [sql, params.unwrap_or(&none)], None)
}

/// Returns an awaitable of the result of a method that takes rows for a table.
fn rows<'py>(
    connection: &Bound<'py, Connection>,
    method: &str,
    table: &Bound<'py, PyAny>,
    data: &Bound<'py, PyAny>,
    extra: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let options = PyDict::new(connection.py());
    options.set_item("extra", extra)?;
    awaitable(connection, method, [table, data], Some(&options))
}

#[pymethods]
impl Connection {
    /// An awaitable of `query()`, which runs on a thread while the event loop goes on.
    ///
    /// Arguments, result and errors of this and the other awaitables are those of the call that waits. A closed
    /// connection raises `ConnectionError` 101 at once. When the awaiting task is cancelled, the call is ended as
    /// Ctrl-C ends it, and `CancelledError` is raised after its end: a write that waited has stored nothing. `asyncio`
    /// is needed, with any of its event loops: elsewhere `RuntimeError`.
    ///
    /// >>> import asyncio
    /// >>> async def main():
    /// ...     return (await conn.query_async("SELECT $a + $b AS x", {"a": 1, "b": 2})).fetchone()
    /// >>> asyncio.run(main())
    /// (3,)
    #[pyo3(signature = (sql, params=None))]
    fn query_async<'py>(
        slf: &Bound<'py, Self>,
        sql: &Bound<'py, PyAny>,
        params: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        statement(slf, "query", sql, params)
    }

    /// An awaitable of `sql()`: the same as `query_async()`.
    ///
    /// >>> import asyncio
    /// >>> async def main():
    /// ...     return (await conn.sql_async("SELECT 1 + 1 AS answer")).fetchone()
    /// >>> asyncio.run(main())
    /// (2,)
    #[pyo3(signature = (query, params=None))]
    fn sql_async<'py>(
        slf: &Bound<'py, Self>,
        query: &Bound<'py, PyAny>,
        params: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        statement(slf, "sql", query, params)
    }

    /// An awaitable of `execute()`, as `query_async()` is one of `query()`.
    ///
    /// A transaction that it begins is that of the awaiting task.
    ///
    /// >>> import asyncio
    /// >>> async def main():
    /// ...     await conn.execute_async("CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT)")
    /// ...     await conn.execute_async("INSERT INTO t VALUES (?, ?)", [1, 10])
    /// >>> asyncio.run(main())
    /// >>> conn.sql("SELECT * FROM t").fetchall()
    /// [(1, 10)]
    #[pyo3(signature = (sql, params=None))]
    fn execute_async<'py>(
        slf: &Bound<'py, Self>,
        sql: &Bound<'py, PyAny>,
        params: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        statement(slf, "execute", sql, params)
    }

    /// An awaitable of `insert()`, as `query_async()` is one of `query()`.
    ///
    /// `data` is read on the thread, so it must not be changed before the end.
    ///
    /// >>> import asyncio
    /// >>> conn.create_table("t", {"id": "int64", "name": "string"})
    /// >>> async def main():
    /// ...     return await conn.insert_async("t", [{"id": 1, "name": "a"}, {"id": 2}])
    /// >>> asyncio.run(main())
    /// 2
    #[pyo3(signature = (table, data, *, extra = "error"))]
    fn insert_async<'py>(
        slf: &Bound<'py, Self>,
        table: &Bound<'py, PyAny>,
        data: &Bound<'py, PyAny>,
        extra: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        rows(slf, "insert", table, data, extra)
    }

    /// An awaitable of `insert_json()`, as `query_async()` is one of `query()`.
    ///
    /// >>> import asyncio
    /// >>> conn.create_table("t", {"id": "int64", "name": "string"})
    /// >>> async def main():
    /// ...     return await conn.insert_json_async("t", '[{"id": 1, "name": "a"}, {"id": 2}]')
    /// >>> asyncio.run(main())
    /// 2
    #[pyo3(signature = (table, data, *, extra = "error"))]
    fn insert_json_async<'py>(
        slf: &Bound<'py, Self>,
        table: &Bound<'py, PyAny>,
        data: &Bound<'py, PyAny>,
        extra: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        rows(slf, "insert_json", table, data, extra)
    }

    /// An awaitable of `insert_csv()`, as `query_async()` is one of `query()`.
    ///
    /// >>> import asyncio
    /// >>> conn.create_table("t", {"id": "int64", "name": "string"})
    /// >>> async def main():
    /// ...     return await conn.insert_csv_async("t", "id,name\n1,a\n2,\n")
    /// >>> asyncio.run(main())
    /// 2
    #[pyo3(signature = (table, data, *, extra = "error"))]
    fn insert_csv_async<'py>(
        slf: &Bound<'py, Self>,
        table: &Bound<'py, PyAny>,
        data: &Bound<'py, PyAny>,
        extra: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        rows(slf, "insert_csv", table, data, extra)
    }

    /// An awaitable of `upsert()`, as `query_async()` is one of `query()`.
    ///
    /// >>> import asyncio
    /// >>> conn.create_table("t", {"id": "int64", "name": "string"}, primary_key="id")
    /// >>> async def main():
    /// ...     return await conn.upsert_async("t", [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}])
    /// >>> asyncio.run(main())
    /// 2
    #[pyo3(signature = (table, data, *, extra = "error"))]
    fn upsert_async<'py>(
        slf: &Bound<'py, Self>,
        table: &Bound<'py, PyAny>,
        data: &Bound<'py, PyAny>,
        extra: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        rows(slf, "upsert", table, data, extra)
    }

    /// An awaitable of `update()`, as `query_async()` is one of `query()`.
    ///
    /// >>> import asyncio
    /// >>> conn.create_table("t", {"id": "int64", "name": "string"}, primary_key="id")
    /// >>> async def main():
    /// ...     await conn.insert_async("t", {"id": 1, "name": "a"})
    /// ...     return await conn.update_async("t", [{"id": 1, "name": "b"}, {"id": 7, "name": "c"}])
    /// >>> asyncio.run(main())
    /// 1
    #[pyo3(signature = (table, data, *, extra = "error"))]
    fn update_async<'py>(
        slf: &Bound<'py, Self>,
        table: &Bound<'py, PyAny>,
        data: &Bound<'py, PyAny>,
        extra: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        rows(slf, "update", table, data, extra)
    }

    /// An awaitable of `delete()`, as `query_async()` is one of `query()`.
    ///
    /// >>> import asyncio
    /// >>> conn.create_table("t", {"id": "int64", "name": "string"}, primary_key="id")
    /// >>> async def main():
    /// ...     await conn.insert_async("t", {"id": [1, 2], "name": ["a", "b"]})
    /// ...     return await conn.delete_async("t", [{"id": 1}, {"id": 7}])
    /// >>> asyncio.run(main())
    /// 1
    #[pyo3(signature = (table, data))]
    fn delete_async<'py>(
        slf: &Bound<'py, Self>,
        table: &Bound<'py, PyAny>,
        data: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        awaitable(slf, "delete", [table, data], None)
    }

    /// An awaitable of `wait()`, as `query_async()` is one of `query()`.
    ///
    /// >>> import asyncio
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> async def main():
    /// ...     await conn.insert_async("t", {"a": [1, 2]})
    /// ...     return await conn.wait_async(timeout=60)
    /// >>> asyncio.run(main())
    /// 1
    #[pyo3(signature = (view=None, timeout=None))]
    fn wait_async<'py>(
        slf: &Bound<'py, Self>,
        view: Option<&Bound<'py, PyAny>>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let none = slf.py().None().into_bound(slf.py());
        awaitable(slf, "wait", [view.unwrap_or(&none), timeout.unwrap_or(&none)], None)
    }
}

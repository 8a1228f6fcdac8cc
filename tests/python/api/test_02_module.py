"""Section 2 of the Python contract: the module's own names."""

from __future__ import annotations

import inspect
import pathlib
import subprocess
import sys
import threading
from typing import Any

import laminardb
import pytest
from laminardb import _laminardb, codes

EXPORTED = [
    "__version__",
    "codes",
    "open",
    "connect",
    "sql",
    "execute",
    "mv",
    "Connection",
    "LaminarConfig",
    "Config",
    "Writer",
    "BatchWriter",
    "QueryResult",
    "ChangeBatch",
    "ExecuteResult",
    "CheckpointResult",
    "Subscription",
    "AsyncSubscription",
    "StreamSubscription",
    "AsyncStreamSubscription",
    "CallbackSubscription",
    "MaterializedView",
    "Schema",
    "Column",
    "ChangeEvent",
    "ChangeRow",
    "TableStats",
    "Watermark",
    "CheckpointStatus",
    "Metrics",
    "SourceInfo",
    "SinkInfo",
    "StreamInfo",
    "QueryInfo",
    "PipelineNode",
    "PipelineEdge",
    "PipelineTopology",
    "PipelineMetrics",
    "SourceMetrics",
    "StreamMetrics",
    "LaminarError",
    "ConnectionError",
    "QueryError",
    "IngestionError",
    "SchemaError",
    "SubscriptionError",
    "StreamError",
    "CheckpointError",
    "ConnectorError",
]


def test_exported_names() -> None:
    assert set(EXPORTED) <= set(laminardb.__all__)
    assert set(laminardb.__all__) - set(EXPORTED) <= {"types"}
    assert laminardb.BatchWriter is laminardb.Writer
    assert laminardb.Config is laminardb.LaminarConfig
    assert laminardb.codes is codes
    assert all(type(getattr(codes, name)) is int for name in dir(codes) if name.isupper())


def test_types_is_a_module_of_the_package() -> None:
    assert laminardb.types.__name__ == "laminardb.types"
    assert {"Schema", "MaterializedView", "ChangeEvent", "ChangeRow", "Metrics"} <= set(laminardb.types.__all__)


def test_signatures_of_the_functions() -> None:
    assert str(inspect.signature(laminardb.open)) == "(path, *, config=None)"
    assert str(inspect.signature(laminardb.connect)) == "(uri)"
    assert list(inspect.signature(laminardb.sql).parameters) == ["query", "params"]
    assert list(inspect.signature(laminardb.execute).parameters) == ["query", "params"]
    assert list(inspect.signature(laminardb.mv).parameters) == ["conn", "name", "sql_def"]


def test_open_by_keyword() -> None:
    for path in (":memory:", ""):
        with laminardb.open(path=path, config=laminardb.LaminarConfig()) as conn:
            assert conn.sql("SELECT 1").fetchone() == (1,)


def test_databases_in_memory_are_private_and_leave_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (":memory:", ""):
        with laminardb.open(path) as one, laminardb.open(path) as other, laminardb.connect("x") as third:
            one.create_table("t", {"a": "int64"})
            one.insert("t", {"a": [1]})
            assert other.list_tables() == third.list_tables() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("uri", ["laminar://localhost:5432/mydb", "", "x", "laminar://", "file:///nowhere"])
def test_connect_takes_any_string(uri: str) -> None:
    with laminardb.connect(uri) as conn:
        assert conn.sql("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("uri", [None, 1, b"x"])
def test_connect_takes_only_strings(uri: Any) -> None:
    with pytest.raises(TypeError):
        laminardb.connect(uri)


def test_the_default_connection_is_one_for_all_threads() -> None:
    program = (
        "import threading, laminardb\n"
        "gate = threading.Barrier(8)\n"
        "found = []\n"
        "def first_use():\n"
        "    gate.wait()\n"
        "    laminardb.execute('CREATE SOURCE IF NOT EXISTS s (a BIGINT)')\n"
        "    laminardb.execute('INSERT INTO s VALUES (?)', [1])\n"
        "    found.append(laminardb._default_connection())\n"
        "threads = [threading.Thread(target=first_use) for _ in range(8)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
        "assert len(set(map(id, found))) == 1\n"
        "print(laminardb.sql('SELECT count(*) FROM s').fetchone())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == "(8,)\n", done.stderr


def test_the_default_connection_is_made_anew_when_it_was_closed() -> None:
    laminardb.execute("CREATE SOURCE gone (a BIGINT)")
    old = laminardb._default_connection()
    old.close()
    with pytest.raises(laminardb.QueryError):
        laminardb.sql("SELECT * FROM gone")
    assert laminardb._default_connection() is not old


def test_mv_does_not_look_at_the_name(conn: laminardb.Connection) -> None:
    view = laminardb.mv(conn, "nothing here", sql_def="SELECT 1")
    assert (view.name, view.sql) == ("nothing here", "SELECT 1")
    assert laminardb.mv(conn, "x").sql is None


NATIVE = [
    name
    for name, value in vars(_laminardb).items()
    if inspect.isclass(value) and not issubclass(value, Exception) and name != "LaminarConfig"
]


@pytest.mark.parametrize("name", NATIVE)
def test_native_classes_are_not_made_from_python(name: str) -> None:
    with pytest.raises(TypeError):
        getattr(_laminardb, name)()


def test_the_walk_over_native_classes_finds_them() -> None:
    assert {"Connection", "Writer", "QueryResult", "_QueryStreamIter", "SinkInfo", "StreamMetrics"} <= set(NATIVE)


def test_functions_of_the_module_may_be_used_from_threads_at_once() -> None:
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda idx=idx: answers.append(laminardb.sql("SELECT ? AS x", [idx]).fetchone()))
        for idx in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [(idx,) for idx in range(8)]

"""The module: names, imports, configuration, the default connection (API sections 1, 2 and 4)."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import threading

import laminardb
import pytest
from laminardb import codes


def test_all_names_exist_and_are_listed() -> None:
    assert sorted(set(laminardb.__all__)) == sorted(laminardb.__all__)
    for name in laminardb.__all__:
        assert getattr(laminardb, name) is not None
    for name in laminardb.types.__all__:
        assert getattr(laminardb, name) is getattr(laminardb.types, name)
    assert laminardb.Config is laminardb.LaminarConfig
    assert isinstance(laminardb.__version__, str)


def test_import_brings_in_no_optional_library() -> None:
    program = (
        "import sys, laminardb\n"
        "conn = laminardb.open(':memory:')\n"
        "conn.create_table('t', {'a': 'int64'})\n"
        "conn.insert('t', {'a': [1, 2]})\n"
        "assert conn.sql('SELECT a FROM t ORDER BY a').fetchall() == [(1,), (2,)]\n"
        "conn.close()\n"
        "print(sorted({'numpy', 'pandas', 'polars', 'pyarrow'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr


def test_without_optional_libraries_the_extra_is_named() -> None:
    program = (
        "import sys\n"
        "for name in ('numpy', 'pandas', 'polars', 'pyarrow'):\n"
        "    sys.modules[name] = None\n"
        "import laminardb\n"
        "conn = laminardb.open(':memory:')\n"
        "conn.create_table('t', {'a': 'int64', 'b': 'string'})\n"
        "conn.insert('t', {'a': [1], 'b': ['x']})\n"
        "conn.insert('t', conn.sql('SELECT * FROM t'))\n"
        "r = conn.sql('SELECT * FROM t')\n"
        "assert len(r) == 2 and r.to_dicts() == {'a': [1, 1], 'b': ['x', 'x']}\n"
        "r.show(); r._repr_html_(); r.__arrow_c_stream__()\n"
        "sub = conn.subscribe('SELECT * FROM t')\n"
        "assert [row.to_dict() for row in sub.next().changes()] == [{'a': 1, 'b': 'x'}] * 2\n"
        "for call, extra in [(r.to_pandas, 'pandas'), (r.to_polars, 'polars'), (r.to_arrow, 'pyarrow'),\n"
        "                    (lambda: conn.schema('t'), 'pyarrow'), (lambda: r.schema, 'pyarrow')]:\n"
        "    try:\n"
        "        call()\n"
        "    except ImportError as error:\n"
        "        assert f'laminardb[{extra}]' in str(error), error\n"
        "    else:\n"
        "        raise SystemExit(extra)\n"
        "conn.close(); print('done')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip().endswith("done"), done.stderr


def test_native_classes_cannot_be_made() -> None:
    for name in ("Connection", "QueryResult", "ExecuteResult", "ChangeBatch", "Subscription", "StreamSubscription"):
        with pytest.raises(TypeError):
            getattr(laminardb, name)()


def test_open_takes_text_and_paths() -> None:
    for path in (":memory:", "", pathlib.PurePath("x")):
        laminardb.open(path).close()  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        laminardb.open()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        laminardb.open(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        laminardb.open(":memory:", laminardb.LaminarConfig())  # type: ignore[misc]
    with pytest.raises(TypeError):
        laminardb.open(":memory:", config={})  # type: ignore[arg-type]
    laminardb.connect("laminar://localhost:5432/mydb").close()


def test_connection_state() -> None:
    conn = laminardb.open(":memory:")
    assert repr(conn) == "Connection(open)"
    assert not conn.is_closed
    assert conn.pipeline_state == "created"
    conn.start()
    conn.start()
    assert conn.pipeline_state == "running"
    conn.close()
    conn.close()
    assert conn.is_closed
    assert repr(conn) == "Connection(closed)"
    with conn as same:
        assert same is conn
    for call in (
        lambda: conn.sql("SELECT 1"),
        lambda: conn.execute("SELECT 1"),
        lambda: conn.insert("t", {"a": 1}),
        lambda: conn.pipeline_state,
        lambda: conn.subscribe("SELECT 1"),
        lambda: conn.subscribe_async("SELECT 1"),
        lambda: conn.list_tables(),
        lambda: conn.metrics(),
        lambda: conn.current_time,
        lambda: conn.wait(),
        lambda: conn.start(),
    ):
        with pytest.raises(laminardb.ConnectionError, match=r"^Connection is closed$") as error:
            call()
        assert error.value.code == codes.CONNECTION_CLOSED


def test_context_manager_closes_and_lets_exceptions_pass() -> None:
    with pytest.raises(ZeroDivisionError), laminardb.open(":memory:") as conn:
        raise ZeroDivisionError
    assert conn.is_closed


async def test_async_context_manager() -> None:
    async with laminardb.open(":memory:") as conn:
        assert conn.sql("SELECT 1").fetchone() == (1,)
    assert conn.is_closed


def test_shutdown_keeps_reading_the_catalog(sensors: laminardb.Connection) -> None:
    sub = sensors.subscribe("SELECT device FROM sensors")
    sensors.shutdown()
    sensors.shutdown()
    assert sensors.pipeline_state == "stopped"
    assert not sensors.is_closed
    assert sensors.list_tables() == ["sensors"]
    batch = sub.next()
    assert batch is not None
    assert len(batch) == 3
    assert sub.next() is None
    for call in (
        lambda: sensors.sql("SELECT 1"),
        lambda: sensors.insert("sensors", {"ts": 1}),
        lambda: sensors.execute("CREATE SOURCE t (a INT)"),
        lambda: sensors.subscribe_stream("sensors"),
        lambda: sensors.start(),
    ):
        with pytest.raises(laminardb.LaminarError, match="Database is shut down") as error:
            call()
        assert error.value.code == codes.SHUTDOWN


def test_config() -> None:
    config = laminardb.LaminarConfig(buffer_size=2048)
    assert repr(config) == (
        "LaminarConfig(buffer_size=2048, storage_dir=None, checkpoint_interval_ms=None, "
        "table_spill_threshold=1000000, workers=1)"
    )
    full = laminardb.LaminarConfig(storage_dir="/tmp/x'y", checkpoint_interval_ms=5, table_spill_threshold=2, workers=2)
    assert (full.storage_dir, full.checkpoint_interval_ms, full.table_spill_threshold, full.workers) == (
        "/tmp/x'y",
        5,
        2,
        2,
    )
    assert 'storage_dir="/tmp/x\'y"' in repr(full)
    assert laminardb.LaminarConfig(storage_dir=pathlib.Path("/tmp/z")).storage_dir == "/tmp/z"
    assert laminardb.LaminarConfig(buffer_size=2**40).buffer_size == 2**40
    with pytest.raises(AttributeError):
        config.buffer_size = 1  # type: ignore[misc]
    for wrong in ({"buffer_size": "x"}, {"buffer_size": 1.5}, {"storage_dir": 3}, {"unknown": 1}):
        with pytest.raises(TypeError):
            laminardb.LaminarConfig(**wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        laminardb.LaminarConfig(1)  # type: ignore[misc]
    with pytest.raises(OverflowError):
        laminardb.LaminarConfig(buffer_size=-1)
    for workers in (0, 257):
        with pytest.raises(ValueError, match="workers"):
            laminardb.LaminarConfig(workers=workers)
    with laminardb.open(":memory:", config=full) as conn:
        assert conn.is_checkpoint_enabled is True
    with laminardb.open(":memory:", config=config) as conn:
        assert conn.is_checkpoint_enabled is False


def test_module_level_functions_share_one_connection() -> None:
    laminardb.execute("CREATE SOURCE IF NOT EXISTS shared (a BIGINT)")
    laminardb.execute("INSERT INTO shared VALUES (1)")
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(laminardb.sql("SELECT count(*) FROM shared").fetchone()[0]))  # type: ignore[index]
    thread.start()
    thread.join()
    assert seen == [1]
    assert laminardb.sql("SELECT ? + 1 AS x", [41]).fetchall() == [(42,)]
    laminardb._default_connection().close()
    with pytest.raises(laminardb.QueryError):
        laminardb.sql("SELECT * FROM shared")


def test_the_process_ends_quietly_without_close() -> None:
    program = (
        "import threading, laminardb\n"
        "conn = laminardb.open(':memory:')\n"
        "conn.create_table('t', {'a': 'int64'})\n"
        "conn.insert('t', {'a': 1})\n"
        "sub = conn.subscribe('SELECT * FROM t')\n"
        "sub.next()\n"
        "threading.Thread(target=sub.next, daemon=True).start()\n"
        "call = conn.subscribe_callback('SELECT * FROM t', lambda batch: None)\n"
        "print('end')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "end", "")

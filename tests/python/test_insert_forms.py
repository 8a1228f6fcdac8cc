"""Insert: iterators, dataclasses, named tuples, mappings, bytes, files; columns that a relation does not have."""

from __future__ import annotations

import array
import collections
import dataclasses
import io
import sqlite3
import threading
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import laminardb
import pytest
from laminardb import codes

EXPECTED = [(1, "a", 1.5), (2, "b", 2.5)]


def rows(conn: laminardb.Connection, table: str = "t") -> list[tuple[Any, ...]]:
    return conn.sql(f"SELECT * FROM {table}").fetchall()


@dataclasses.dataclass
class Plain:
    id: int
    name: str
    x: float
    kind: ClassVar[str] = "not a field"


@dataclasses.dataclass(frozen=True, slots=True)
class Slots:
    id: int
    name: str
    x: float


class Named(typing.NamedTuple):
    id: int
    name: str
    x: float


Collected = collections.namedtuple("Collected", ["x", "id", "name"])


class Keys:
    """Has what a mapping needs and is none by its class."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    def keys(self) -> list[str]:
        return list(self.values)

    def __getitem__(self, key: str) -> Any:
        return self.values[key]


def sqlite_row(row_id: int, name: str, x: float) -> Any:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    row = connection.execute("SELECT ? AS id, ? AS name, ? AS x", (row_id, name, x)).fetchone()
    connection.close()
    return row


MAKERS: dict[str, Callable[[int, str, float], Any]] = {
    "dict": lambda i, name, x: {"id": i, "name": name, "x": x},
    "ordered dict": lambda i, name, x: collections.OrderedDict(x=x, id=i, name=name),
    "dataclass": Plain,
    "slots": Slots,
    "named tuple": Named,
    "collections": lambda i, name, x: Collected(x, i, name),
    "keys": lambda i, name, x: Keys(id=i, name=name, x=x),
    "proxy": lambda i, name, x: types.MappingProxyType({"id": i, "name": name, "x": x}),
    "chain map": lambda i, name, x: collections.ChainMap({"id": i}, {"name": name, "x": x}),
    "sqlite row": sqlite_row,
}


@pytest.mark.parametrize("form", MAKERS)
def test_one_row_a_list_an_iterator_and_a_generator(table: laminardb.Connection, form: str) -> None:
    made = [MAKERS[form](*row) for row in EXPECTED]
    assert table.insert("t", made[0]) == 1
    assert table.insert("t", made) == 2
    assert table.insert("t", iter(made)) == 2
    assert table.insert("t", (row for row in made)) == 2
    assert table.insert("t", map(lambda row: row, made)) == 2
    assert rows(table) == EXPECTED[:1] + EXPECTED * 4


def test_rows_of_several_forms_may_be_mixed(table: laminardb.Connection) -> None:
    made = [make(n, form, 0.5) for n, (form, make) in enumerate(MAKERS.items())]
    assert table.insert("t", iter(made)) == len(MAKERS)
    assert rows(table) == [(n, form, 0.5) for n, form in enumerate(MAKERS)]


def test_an_iterator_is_one_write(table: laminardb.Connection) -> None:
    table.execute("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n, sum(id) AS s FROM t")
    before = table.current_time
    assert table.insert("t", ({"id": n} for n in range(20_001))) == 20_001
    assert table.current_time == before + 1
    table.wait(timeout=60)
    assert rows(table, "v") == [(20_001, 20_000 * 20_001 // 2)]


def test_rows_of_a_generator_may_have_different_columns(table: laminardb.Connection) -> None:
    wide = ({"id": n, "name": str(n)} if n % 3 else {"id": n} for n in range(20_000))
    assert table.insert("t", wide) == 20_000
    assert rows(table) == [(n, str(n) if n % 3 else None, None) for n in range(20_000)]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, StopAsyncIteration])
def test_nothing_is_stored_when_the_iterator_raises(table: laminardb.Connection, error: type[BaseException]) -> None:
    def given() -> Iterator[dict[str, int]]:
        for n in range(20_000):
            yield {"id": n}
        raise error("of the generator")

    before = table.current_time
    with pytest.raises(error, match="of the generator"):
        table.insert("t", given())
    assert (rows(table), table.current_time) == ([], before)


def test_no_rows_of_an_iterator_are_none(table: laminardb.Connection) -> None:
    before = table.current_time
    assert table.insert("t", iter([])) == 0
    assert (rows(table), table.current_time) == ([], before)


def test_the_row_of_an_iterator_that_is_wrong_is_named(table: laminardb.Connection) -> None:
    with pytest.raises(laminardb.IngestionError, match="row 9000") as error:
        table.insert("t", ({"id": n if n < 9000 else "x"} for n in range(9001)))
    assert error.value.code == codes.BATCH_SCHEMA_MISMATCH
    for wrong in (1, None, "x", (1, 2), ["id"], Plain, dict):
        with pytest.raises(laminardb.IngestionError, match="row 1 is no") as error:
            table.insert("t", iter([{"id": 1}, wrong]))
        assert error.value.code == codes.INGESTION_FAILED
    assert rows(table) == []


def test_a_generator_may_use_the_connection(table: laminardb.Connection) -> None:
    table.insert("t", {"id": [1, 2, 3]})

    def given() -> Iterator[dict[str, int]]:
        for (n,) in table.sql("SELECT id FROM t").fetchall():
            table.insert("t", {"id": 10 * n})
            yield {"id": 100 * n}

    assert table.insert("t", given()) == 3
    with table.transaction() as tx:
        assert tx.insert("t", ({"id": n} for (n,) in tx.sql("SELECT id + 1 FROM t").fetchall())) == 9
    assert len(rows(table)) == 18


def test_a_generator_holds_up_nobody(table: laminardb.Connection) -> None:
    started, written = threading.Event(), threading.Event()

    def given() -> Iterator[dict[str, int]]:
        yield {"id": 1}
        started.set()
        assert written.wait(60), "the other thread waits for the generator"
        yield {"id": 2}

    def other() -> None:
        started.wait(60)
        table.insert("t", {"id": 7})
        written.set()

    thread = threading.Thread(target=other)
    thread.start()
    assert table.insert("t", given()) == 2
    thread.join()
    assert [row[0] for row in rows(table)] == [7, 1, 2]


def test_a_field_with_a_list_is_a_value_and_no_column(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE l (id BIGINT, tags BIGINT[])")
    tagged = dataclasses.make_dataclass("Tagged", ["id", "tags"])
    assert conn.insert("l", tagged(1, [1, 2])) == 1
    assert conn.insert("l", [tagged(2, [])]) == 1
    assert rows(conn, "l") == [(1, [1, 2]), (2, [])]


def test_a_mapping_of_columns_is_as_a_dict_of_columns(table: laminardb.Connection) -> None:
    columns = types.MappingProxyType({"id": [1, 2], "name": ["a", "b"], "x": [1.5, 2.5]})
    assert table.insert("t", columns) == 2
    assert rows(table) == EXPECTED
    with pytest.raises(TypeError, match="empty mapping"):
        table.insert("t", types.MappingProxyType({}))


def test_a_row_with_one_name_twice_is_refused(table: laminardb.Connection) -> None:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    row = connection.execute("SELECT 1 AS id, 2 AS ID").fetchone()
    connection.close()
    with pytest.raises(laminardb.IngestionError) as error:
        table.insert("t", [row])
    assert error.value.code == codes.BATCH_SCHEMA_MISMATCH


def test_an_attribute_that_is_missing_is_the_error_of_python(table: laminardb.Connection) -> None:
    row = Plain(1, "a", 1.5)
    del row.x
    with pytest.raises(AttributeError):
        table.insert("t", [Slots(1, "a", 1.5), row])
    assert rows(table) == []


async def agenerator() -> Any:
    yield {"id": 1}


def test_what_stays_a_type_error(table: laminardb.Connection, tmp_path: Path) -> None:
    for data in (Plain, Named, dict, str, agenerator(), {1, 2}, frozenset(), range(2), b"[]", tmp_path, len, ...):
        with pytest.raises(TypeError):
            table.insert("t", data)
    assert rows(table) == []


def test_upsert_delete_and_writers_take_the_same(conn: laminardb.Connection) -> None:
    conn.create_table("k", {"id": "int64", "name": "string", "x": "float64"}, primary_key="id")
    assert conn.upsert("k", (Plain(*row) for row in EXPECTED)) == 2
    conn.writer("k").insert(iter([Named(3, "c", 3.5)]))
    key = dataclasses.make_dataclass("Key", ["id"])
    assert conn.delete("k", (key(n) for n in (1, 3, 9))) == 2
    assert rows(conn, "k") == EXPECTED[1:]


JSON = '[{"id": 1, "name": "a", "x": 1.5}, {"id": 2, "name": "b", "x": 2.5}]'
CSV = "id,name,x\n1,a,1.5\n2,b,2.5\n"


class Reader:
    def __init__(self, result: Any) -> None:
        self.result = result

    def read(self) -> Any:
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


TEXT_FORMS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "bytes": str.encode,
    "bytearray": lambda text: bytearray(text.encode()),
    "memoryview": lambda text: memoryview(text.encode()),
    "part of a memoryview": lambda text: memoryview(b"xx" + text.encode() + b"xx")[2:-2],
    "array": lambda text: array.array("B", text.encode()),
    "text file": io.StringIO,
    "binary file": lambda text: io.BytesIO(text.encode()),
    "byte order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "reader": Reader,
    "reader of bytes": lambda text: Reader(bytearray(text.encode())),
}


@pytest.mark.parametrize("form", TEXT_FORMS)
def test_text_is_str_bytes_or_a_file(table: laminardb.Connection, form: str) -> None:
    assert table.insert_json("t", TEXT_FORMS[form](JSON)) == 2
    assert table.insert_csv("t", TEXT_FORMS[form](CSV)) == 2
    assert rows(table) == EXPECTED * 2


def test_files_of_the_disk(table: laminardb.Connection, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,name\n1,ä\n", encoding="utf-8")
    with path.open("rb") as binary, path.open(encoding="utf-8") as text:
        assert table.insert_csv("t", binary) == 1
        assert table.insert_csv("t", text) == 1
        assert table.insert_csv("t", text) == 0, "nothing is left in it"
    assert rows(table) == [(1, "ä", None)] * 2


@pytest.mark.parametrize("call", ["insert_json", "insert_csv"])
def test_bytes_that_are_no_utf_8_are_refused_with_their_place(table: laminardb.Connection, call: str) -> None:
    text = JSON.replace(", {", ",\n{ä") if call == "insert_json" else CSV.replace("\n1,a", "\nä")
    wrong = text.encode().split("ä".encode())[0] + b"\xff"
    for data in (wrong, bytearray(wrong), io.BytesIO(wrong)):
        with pytest.raises(laminardb.IngestionError, match=r"not UTF-8: byte 0xff at line 2, column") as error:
            getattr(table, call)("t", data)
        assert error.value.code == codes.INGESTION_FAILED
    for data in (text.encode("utf-16"), text.encode("latin-1")):
        with pytest.raises(laminardb.IngestionError, match="not UTF-8") as error:
            getattr(table, call)("t", data)
    assert rows(table) == []


@pytest.mark.parametrize("call", ["insert_json", "insert_csv"])
def test_nothing_is_stored_when_a_file_cannot_be_read(table: laminardb.Connection, call: str) -> None:
    for error in (OSError("gone"), KeyboardInterrupt("pressed"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")):
        with pytest.raises(type(error)) as caught:
            getattr(table, call)("t", Reader(error))
        assert caught.value is error
    closed = io.StringIO(JSON)
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        getattr(table, call)("t", closed)
    for result in (None, 1, ["{}"], {}):
        with pytest.raises(TypeError, match="read"):
            getattr(table, call)("t", Reader(result))
    assert rows(table) == []


def test_a_file_may_use_the_connection(table: laminardb.Connection) -> None:
    class Asking:
        def read(self) -> str:
            table.insert("t", {"id": 7})
            return f'{{"id": {len(rows(table))}}}'

    assert table.insert_json("t", Asking()) == 1
    assert [row[0] for row in rows(table)] == [7, 1]


WIDE: dict[str, Any] = {
    "dict": {"id": 1, "colour": "red", "name": "a"},
    "list": [{"colour": [1], "id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    "columns": {"id": [1, 2], "colour": ["red", object()], "name": ["a", "b"]},
    "generator": lambda: ({"id": n, "name": name, name: n} for n, name in ((1, "a"), (2, "b"))),
    "mapping": types.MappingProxyType({"id": 1, "name": "a", "colour": None}),
}


@pytest.mark.parametrize("form", WIDE)
def test_columns_that_are_not_there_are_left_out_if_asked(table: laminardb.Connection, form: str) -> None:
    data = WIDE[form]
    make = data if callable(data) else lambda: data
    with pytest.raises(laminardb.IngestionError) as error:
        table.insert("t", make())
    assert error.value.code == codes.BATCH_SCHEMA_MISMATCH
    given = table.insert("t", make(), extra="ignore")
    assert rows(table) == [(1, "a", None), (2, "b", None)][:given]
    table.writer("t").insert(make(), extra="ignore")
    assert len(rows(table)) == 2 * given


def test_columns_of_libraries_that_are_not_there_are_left_out(
    table: laminardb.Connection, pa: types.ModuleType, pd: types.ModuleType, pl: types.ModuleType
) -> None:
    columns = {"colour": ["red", "blue"], "id": [1, 2], "name": ["a", "b"]}
    frame = pd.DataFrame(columns | {"id": [0, 0]}).drop(columns="id").assign(id=[1, 2])
    for data in (frame, pl.DataFrame(columns), pa.table(columns), pa.table(columns).to_batches()[0]):
        assert table.insert("t", data, extra="ignore") == 2
    assert rows(table) == [(1, "a", None), (2, "b", None)] * 4
    assert table.insert("t", pa.table({"colour": ["red"]}), extra="ignore") == 1
    assert table.insert("t", {"colour": ["red", "blue"]}, extra="ignore") == 2
    assert table.insert("t", [{"colour": "red"}], extra="ignore") == 1
    assert rows(table)[8:] == [(None, None, None)] * 4


def test_columns_of_text_that_are_not_there_are_left_out(table: laminardb.Connection) -> None:
    text = '{"colour": {"r": [1]}, "id": 1, "name": "a"}\n{"id": 2, "x": 2.5, "size": null}'
    assert table.insert_json("t", text, extra="ignore") == 2
    assert table.insert_csv("t", "colour,id,size,colour\nred,3,1,2\n", extra="ignore") == 1
    assert rows(table) == [(1, "a", None), (2, None, 2.5), (3, None, None)]
    for call, wrong in ((table.insert_json, text), (table.insert_csv, "colour,id\nred,3\n")):
        with pytest.raises(laminardb.IngestionError) as error:
            call("t", wrong)
        assert error.value.code == codes.BATCH_SCHEMA_MISMATCH
    for call, wrong in ((table.insert_json, '{"id": 1, "ID": 2, "no": 1}'), (table.insert_csv, "id,ID,no\n1,2,3\n")):
        with pytest.raises(laminardb.IngestionError, match="twice") as error:
            call("t", wrong, extra="ignore")
        assert error.value.code == codes.BATCH_SCHEMA_MISMATCH


def test_extra_is_error_or_ignore(conn: laminardb.Connection) -> None:
    conn.create_table("k", {"id": "int64"}, primary_key="id")
    calls: list[Callable[..., Any]] = [conn.insert, conn.upsert, conn.update, conn.insert_json, conn.insert_csv]
    for call in calls:
        with pytest.raises(ValueError, match="extra is 'error' or 'ignore', not 'drop'"):
            call("k", {"id": 1}, extra="drop")
        with pytest.raises(TypeError):
            call("k", {"id": 1}, extra=None)
        with pytest.raises(TypeError):
            call("k", {"id": 1}, "ignore")
    with pytest.raises(ValueError, match="extra"):
        conn.writer("k").insert({"id": 1}, extra="drop")
    assert rows(conn, "k") == []

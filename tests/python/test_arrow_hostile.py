"""Arrow data that is malformed is refused with a typed error, and tiny data that stands for a lot is refused by its size.

The structs of the C interfaces are made by hand, since no library makes such data.
"""

from __future__ import annotations

import ctypes
import gc
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import laminardb
import pytest

from c_arrow import Node, One, Stream, TypeOnly, ints, offsets, rows, texts

Insert = Callable[[Any], int]


@pytest.fixture
def conn() -> Iterator[laminardb.Connection]:
    with laminardb.open(":memory:") as conn:
        conn.execute("CREATE TABLE numbers (c BIGINT)")
        conn.execute("CREATE TABLE words (c VARCHAR)")
        conn.execute("CREATE TABLE bytes (c BLOB)")
        conn.execute("CREATE TABLE lists (c BIGINT[])")
        conn.execute("CREATE TABLE listsofwords (c VARCHAR[])")
        conn.execute("CREATE TABLE structs (c STRUCT(a BIGINT, b VARCHAR))")
        conn.execute("CREATE TABLE times (c TIME)")
        conn.execute("CREATE TABLE decimals (c DECIMAL(5, 2))")
        conn.execute("CREATE TABLE stamps (c TIMESTAMP)")
        yield conn
        assert conn.sql("SELECT count(*) FROM numbers").fetchone() is not None, "the connection goes on"


def run_ends(*ends: int, values: Node, length: int, format: str = "i", **fields: Any) -> Node:
    ends_of_runs = ints(*ends, format=format, name=b"run_ends", schema={"flags": 0})
    return Node(b"+r", length, [], [ends_of_runs, values], **fields)


def lists(*ends: int, values: Node, **fields: Any) -> Node:
    return Node(b"+l", len(ends) - 1, [None, offsets(*ends)], [values], **fields)


def list_views(starts: list[int], sizes: list[int], values: Node, **fields: Any) -> Node:
    return Node(b"+vl", len(starts), [None, offsets(*starts), offsets(*sizes)], [values], **fields)


def view(length: int, prefix: bytes = b"", buffer: int = 0, place: int = 0) -> bytes:
    """A view of a text that lies in a buffer."""
    return struct.pack("=i4sii", length, prefix, buffer, place)


def short_view(text: bytes) -> bytes:
    """A view that has its text in itself."""
    return struct.pack("=i12s", len(text), text)


def views(of: bytes, buffers: list[bytes | None], lengths: list[int] | None = None, **fields: Any) -> Node:
    lengths = [len(buffer or b"") for buffer in buffers] if lengths is None else lengths
    return Node(b"vu", len(of) // 16, [None, of, *buffers, struct.pack(f"={len(lengths)}q", *lengths)], **fields)


def coded(keys: Node, values: Node) -> Node:
    keys.dictionary = values
    return keys


LONG = b"a text of more than twelve bytes"

VALID: dict[str, tuple[str, Callable[[], Node], list[Any]]] = {
    "integers": ("numbers", lambda: ints(1, 2, 3), [1, 2, 3]),
    "integers with an offset": ("numbers", lambda: ints(1, 2, 3, array={"offset": 1, "length": 2}), [2, 3]),
    "NULLs": ("numbers", lambda: Node(b"l", 2, [b"\x01", offsets(1, 2, format="q")]), [1, None]),
    "a wrong count of NULLs": (
        "numbers",
        lambda: Node(b"l", 2, [b"\x01", offsets(1, 2, format="q")], array={"null_count": 2}),
        [1, None],
    ),
    "texts": ("words", lambda: texts(b"a", b"", "ä".encode()), ["a", "", "ä"]),
    "no text at all": ("words", lambda: Node(b"u", 2, [None, offsets(0, 0, 0), None]), ["", ""]),
    "views": ("words", lambda: views(short_view(b"ab") + view(32, LONG[:4]), [LONG]), ["ab", LONG.decode()]),
    "a dictionary": ("words", lambda: coded(ints(1, 0, 1, format="b"), texts(b"x", b"y")), ["y", "x", "y"]),
    "runs": ("numbers", lambda: run_ends(2, 3, values=ints(7, 8), length=3), [7, 7, 8]),
    "lists": ("lists", lambda: lists(0, 2, 2, values=ints(1, 2)), [[1, 2], []]),
    "list views": ("lists", lambda: list_views([1, 0], [1, 2], ints(1, 2)), [[2], [1, 2]]),
    "lists of fixed size": ("lists", lambda: Node(b"+w:2", 1, [None], [ints(1, 2)]), [[1, 2]]),
    "a struct": (
        "structs",
        lambda: Node(b"+s", 1, [None], [ints(1, name=b"a"), texts(b"x", name=b"b")]),
        [{"a": 1, "b": "x"}],
    ),
    "NULLs alone": ("numbers", lambda: Node(b"n", 2, []), [None, None]),
    "NULLs with a buffer": ("numbers", lambda: Node(b"n", 2, [None]), [None, None]),
    "metadata": ("numbers", lambda: ints(1, metadata=offsets(1, 1) + b"k" + offsets(1) + b"v"), [1]),
}


@pytest.mark.parametrize("name", VALID)
@pytest.mark.parametrize("form", [Stream, One])
def test_structs_by_hand_that_are_valid_are_read(conn: laminardb.Connection, name: str, form: Any) -> None:
    table, column, expected = VALID[name]
    assert conn.insert(table, form(rows(column(), length=len(expected)))) == len(expected)
    assert [row[0] for row in conn.sql(f"SELECT c FROM {table}").fetchall()] == expected


NEGATIVE, HUGE = -1, 2**62

# What no producer should say, by the table that it is for.
MALFORMED: dict[str, tuple[str, Callable[[], Node]]] = {
    "no format": ("numbers", lambda: Node(None, 1, [None, bytes(8)])),
    "a format that is not UTF-8": ("numbers", lambda: Node(b"\xff", 1, [None, bytes(8)])),
    "an unknown format": ("numbers", lambda: Node(b"?", 1, [None, bytes(8)])),
    "a name that is not UTF-8": ("numbers", lambda: ints(1, name=b"\xff\xfe")),
    "metadata of a negative number": ("numbers", lambda: ints(1, metadata=offsets(-1))),
    "metadata of 2^31 entries": ("numbers", lambda: ints(1, metadata=offsets(2**31 - 1))),
    "metadata of a negative length": ("numbers", lambda: ints(1, metadata=offsets(1, -5))),
    "metadata of a long text": ("numbers", lambda: ints(1, metadata=offsets(1, 2**31 - 1))),
    "metadata that are not UTF-8": ("numbers", lambda: ints(1, metadata=offsets(1, 1) + b"\xff" + offsets(0))),
    "types without children": ("lists", lambda: lists(0, 1, values=ints(1), schema={"n_children": 0})),
    "children of a type missing": ("lists", lambda: lists(0, 1, values=ints(1), schema={"children": None})),
    "a negative number of types": ("lists", lambda: lists(0, 1, values=ints(1), schema={"n_children": NEGATIVE})),
    "a huge number of types": ("lists", lambda: lists(0, 1, values=ints(1), schema={"n_children": HUGE})),
    "a child of no list": ("numbers", lambda: Node(b"l", 1, [None, bytes(8)], [ints(1)])),
    "a type that was released": ("numbers", lambda: ints(1, schema={"release": None})),
    "an array that was released": ("numbers", lambda: ints(1, array={"release": None})),
    "a type that is not aligned": ("numbers", lambda: ints(1, schema={"dictionary": 1})),
    "a dictionary of texts as keys": ("words", lambda: coded(texts(b"a"), texts(b"b"))),
    "children missing": ("lists", lambda: lists(0, 1, values=ints(1), array={"children": None})),
    "no children": ("lists", lambda: lists(0, 1, values=ints(1), array={"n_children": 0})),
    "a negative number of children": ("lists", lambda: lists(0, 1, values=ints(1), array={"n_children": NEGATIVE})),
    "a huge number of children": ("lists", lambda: lists(0, 1, values=ints(1), array={"n_children": HUGE})),
    "a negative length": ("numbers", lambda: ints(1, array={"length": NEGATIVE})),
    "a huge length": ("numbers", lambda: ints(1, array={"length": HUGE})),
    "a negative offset": ("numbers", lambda: ints(1, array={"offset": NEGATIVE})),
    "a huge offset": ("numbers", lambda: ints(1, array={"offset": HUGE})),
    "fewer NULLs than none": ("numbers", lambda: ints(1, array={"null_count": -2})),
    "more NULLs than values": ("numbers", lambda: ints(1, array={"null_count": 5})),
    "NULLs that are nowhere": ("numbers", lambda: ints(1, array={"null_count": 1})),
    "buffers missing": ("numbers", lambda: ints(1, array={"buffers": None})),
    "a buffer missing": ("numbers", lambda: Node(b"l", 1, [None, None])),
    "no buffers": ("numbers", lambda: Node(b"l", 1, [])),
    "too few buffers": ("words", lambda: Node(b"u", 1, [None, offsets(0, 1)])),
    "too many buffers": ("numbers", lambda: Node(b"l", 1, [None, bytes(8), bytes(8)])),
    "a negative number of buffers": ("numbers", lambda: ints(1, array={"n_buffers": NEGATIVE})),
    "a huge number of buffers": ("numbers", lambda: ints(1, array={"n_buffers": HUGE})),
    "a huge number of views' buffers": ("words", lambda: views(short_view(b"a"), [], array={"n_buffers": HUGE})),
    "offsets missing": ("words", lambda: Node(b"u", 1, [None, None, b"a"])),
    "text missing": ("words", lambda: Node(b"u", 1, [None, offsets(0, 1), None])),
    "offsets that decrease": ("words", lambda: Node(b"u", 3, [None, offsets(0, 2, 1, 2), b"ab"])),
    "a negative offset of text": ("words", lambda: Node(b"u", 2, [None, offsets(0, -1, 2), b"ab"])),
    "a negative last offset": ("words", lambda: Node(b"u", 1, [None, offsets(0, -1), b"ab"])),
    "offsets past the last": ("words", lambda: Node(b"u", 2, [None, offsets(0, 9, 2), b"ab"])),
    "large offsets that are negative": ("words", lambda: Node(b"U", 1, [None, offsets(0, -1, format="q"), b"ab"])),
    "large offsets that are huge": ("words", lambda: Node(b"U", 1, [None, offsets(0, HUGE, format="q"), b"ab"])),
    "text that is not UTF-8": ("words", lambda: texts(b"a", b"\xff")),
    "half of a character": ("words", lambda: Node(b"u", 2, [None, offsets(0, 1, 2), "ä".encode()])),
    "offsets of bytes that decrease": ("bytes", lambda: Node(b"z", 3, [None, offsets(0, 2, 1, 2), b"ab"])),
    "bytes of a negative width": ("bytes", lambda: Node(b"w:-1", 1, [None, b"ab"])),
    "bytes of a huge width": ("bytes", lambda: Node(b"w:2147483647", 2**20, [None, b"ab"])),
    "views of a buffer that is not there": ("words", lambda: views(view(32, LONG[:4], 3), [LONG])),
    "views past the end of a buffer": ("words", lambda: views(view(32, LONG[:4], 0, 9), [LONG])),
    "views of a negative length": ("words", lambda: views(view(-5, LONG[:4]), [LONG])),
    "views with another beginning": ("words", lambda: views(view(32, b"else"), [LONG])),
    "views of text that is not UTF-8": ("words", lambda: views(short_view(b"\xff"), [])),
    "views of a buffer of a negative length": ("words", lambda: views(view(32, LONG[:4]), [LONG], [-1])),
    "views of a buffer of a huge length": ("words", lambda: views(view(32, LONG[:4]), [LONG], [HUGE])),
    "views of a buffer that is missing": ("words", lambda: views(view(32, LONG[:4]), [None], [32])),
    "lengths of views missing": ("words", lambda: Node(b"vu", 1, [None, view(32, LONG[:4]), LONG, None])),
    "too few buffers for views": ("words", lambda: Node(b"vu", 1, [None, view(32, LONG[:4])])),
    "a list past its items": ("lists", lambda: lists(0, 9, values=ints(1, 2))),
    "lists that decrease": ("lists", lambda: lists(0, 2, 1, values=ints(1, 2))),
    "a list from before its items": ("lists", lambda: lists(-1, 1, values=ints(1, 2))),
    "a list of malformed items": ("listsofwords", lambda: lists(0, 2, values=texts(b"a", b"\xff"))),
    "a list of items of another length": (
        "listsofwords",
        lambda: lists(0, 1, values=texts(b"a", array={"length": -3})),
    ),
    "a list view past its items": ("lists", lambda: list_views([1], [5], ints(1, 2))),
    "a list view from before its items": ("lists", lambda: list_views([-1], [1], ints(1, 2))),
    "a list view of a negative size": ("lists", lambda: list_views([0], [-1], ints(1, 2))),
    "a list view of malformed items": ("listsofwords", lambda: list_views([0], [2], texts(b"a", b"\xff"))),
    "a large list view past the numbers": (
        "lists",
        lambda: Node(b"+vL", 1, [None, offsets(2**63 - 1, format="q"), offsets(2**63 - 1, format="q")], [ints(1)]),
    ),
    "lists of a negative size": ("lists", lambda: Node(b"+w:-2", 1, [None], [ints(1, 2)])),
    "lists of fixed size of too few items": ("lists", lambda: Node(b"+w:2", 2, [None], [ints(1, 2)])),
    "lists of a huge size": ("lists", lambda: Node(b"+w:2147483647", 2**30, [None], [ints(1, 2)])),
    "a struct longer than its fields": ("structs", lambda: Node(b"+s", 5, [None], [ints(1, name=b"a")])),
    "a struct of a malformed field": ("structs", lambda: Node(b"+s", 1, [None], [texts(b"\xff", name=b"b")])),
    "a dictionary's key out of range": ("words", lambda: coded(ints(0, 5, format="b"), texts(b"x"))),
    "a dictionary's negative key": ("words", lambda: coded(ints(0, -1, format="b"), texts(b"x"))),
    "a dictionary of malformed values": ("words", lambda: coded(ints(0, 1, format="b"), texts(b"x", b"\xff"))),
    "a dictionary of nothing": ("words", lambda: coded(ints(0, format="b"), texts())),
    "a dictionary that is missing": (
        "words",
        lambda: Node(b"c", 1, [None, b"\0"], dictionary=texts(b"x"), array={"dictionary": None}),
    ),
    "a dictionary that is not aligned": (
        "words",
        lambda: Node(b"c", 1, [None, b"\0"], dictionary=texts(b"x"), array={"dictionary": 3}),
    ),
    "a dictionary of plain numbers": ("numbers", lambda: Node(b"l", 1, [None, bytes(8)], array={"dictionary": 8})),
    "runs that do not ascend": ("numbers", lambda: run_ends(3, 2, 5, values=ints(7, 8, 9), length=5)),
    "runs that are negative": ("numbers", lambda: run_ends(-1, 5, values=ints(7, 8), length=5)),
    "runs that end too early": ("numbers", lambda: run_ends(1, 2, values=ints(7, 8), length=5)),
    "no runs": ("numbers", lambda: run_ends(values=ints(), length=5)),
    "fewer values than runs": ("numbers", lambda: run_ends(1, 2, values=ints(7), length=2)),
    "runs that are NULL": (
        "numbers",
        lambda: Node(b"+r", 2, [], [Node(b"i", 2, [b"\x01", offsets(1, 2)]), ints(7, 8)]),
    ),
    "run ends of another type": ("numbers", lambda: run_ends(1, 2, values=ints(7, 8), length=2, format="b")),
    "runs of malformed text": ("words", lambda: run_ends(1, 2, values=texts(b"a", b"\xff"), length=2)),
    "a union of an unknown type": (
        "numbers",
        lambda: Node(b"+us:0,1", 2, [b"\x00\x07"], [ints(1, 2), ints(3, 4)]),
    ),
    "a union of a negative type": (
        "numbers",
        lambda: Node(b"+us:0,1", 2, [b"\x00\xff"], [ints(1, 2), ints(3, 4)]),
    ),
    "a union past its values": (
        "numbers",
        lambda: Node(b"+ud:0,1", 2, [b"\x00\x01", offsets(0, 9)], [ints(1), ints(3)]),
    ),
    "a union with one id twice": ("numbers", lambda: Node(b"+us:1,1", 1, [b"\x01"], [ints(1), ints(3)])),
    "a union with negative ids": ("numbers", lambda: Node(b"+us:-1,1", 1, [b"\x01"], [ints(1), ints(3)])),
    "a union without its ids": ("numbers", lambda: Node(b"+us:", 1, [b"\x01"], [ints(1), ints(3)])),
    "a map of no pairs": ("numbers", lambda: Node(b"+m", 1, [None, offsets(0, 1)], [ints(1)])),
    "a time out of the day": ("times", lambda: Node(b"ttu", 1, [None, offsets(86_400_000_000, format="q")])),
    "a negative time": ("times", lambda: Node(b"ttu", 1, [None, offsets(-1, format="q")])),
    "a decimal of more digits": ("decimals", lambda: Node(b"d:5,2", 1, [None, offsets(100_000, 0, format="q")])),
    "a decimal of no digits": ("decimals", lambda: Node(b"d:0,0", 1, [None, bytes(16)])),
    "a decimal of 200 digits": ("decimals", lambda: Node(b"d:200,2", 1, [None, bytes(16)])),
    "a decimal of 99 digits after the point": ("decimals", lambda: Node(b"d:5,99", 1, [None, bytes(16)])),
    "a decimal of a huge scale": ("decimals", lambda: Node(b"d:5,-128", 1, [None, bytes(16)])),
    "a decimal of 77 bits": ("decimals", lambda: Node(b"d:5,2,77", 1, [None, bytes(16)])),
    "bytes of no width": ("bytes", lambda: Node(b"w:0", 1, [None, None])),
    "lists of no width": ("lists", lambda: Node(b"+w:0", 1, [None], [ints()])),
    "a time in an unknown zone": ("stamps", lambda: Node(b"tsu:Nowhere/At_all", 1, [None, bytes(8)])),
}


def as_rows(table: str, column: Callable[[], Node]) -> Node:
    return rows(column(), length=1)


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("form", [Stream, One])
def test_malformed_arrow_data_is_refused(conn: laminardb.Connection, name: str, form: Any) -> None:
    table, column = MALFORMED[name]
    made = column()
    length = made.array.get("length", made.length)
    with pytest.raises(laminardb.IngestionError):
        conn.insert(table, form(rows(made, length=min(max(1, length), 2**20))))
    assert conn.sql(f"SELECT count(*) FROM {table}").fetchone() == (0,)


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_column_is_refused(conn: laminardb.Connection, name: str) -> None:
    table, column = MALFORMED[name]
    made: list[Any] = [One(column())]
    if name != "an array that was released":  # to a stream it is the end
        made.append(Stream(column()))
    for values in made:
        with pytest.raises((laminardb.IngestionError, TypeError)):
            conn.insert(table, {"c": values})
    assert conn.sql(f"SELECT count(*) FROM {table}").fetchone() == (0,)


WRONG_CHILDREN: list[dict[str, Any]] = [{"children": None}, {"n_children": -1}, {"n_children": 2**40}]


# A schema is trusted for how many children it has, if that is a number that can be.
@pytest.mark.parametrize(
    ("of", "fields"),
    [("array", {"n_children": 2}), *((of, fields) for of in ("schema", "array") for fields in WRONG_CHILDREN)],
)
def test_a_batch_with_other_children_is_refused(conn: laminardb.Connection, of: str, fields: dict[str, Any]) -> None:
    for form in (Stream, One):
        with pytest.raises(laminardb.IngestionError):
            conn.insert("numbers", form(rows(ints(1), **{of: fields})))


def test_a_stream_that_ends_with_an_error_without_text_is_refused(conn: laminardb.Connection) -> None:
    for code, error in [(5, None), (-1, None), (22, b"no disk"), (22, b"\xff\xfe"), (5, b"")]:
        with pytest.raises(laminardb.IngestionError):
            conn.insert("numbers", Stream(rows(ints(1)), code=code, error=error))
        with pytest.raises(laminardb.IngestionError):
            conn.insert("numbers", Stream(rows(ints(1)), schema_code=code, error=error))
        with pytest.raises(laminardb.IngestionError):
            conn.insert("numbers", Stream(rows(ints(1)), code=code, get_last_error=None))
    assert conn.sql("SELECT count(*) FROM numbers").fetchone() == (0,)


@pytest.mark.parametrize("missing", ["get_schema", "get_next", "release"])
def test_a_stream_without_its_functions_is_refused(conn: laminardb.Connection, missing: str) -> None:
    with pytest.raises(laminardb.IngestionError):
        conn.insert("numbers", Stream(rows(ints(1)), **{missing: None}))


def test_a_schema_that_was_not_filled_in_is_refused(conn: laminardb.Connection) -> None:
    node = rows(ints(1), schema={"release": None})
    for form in (Stream, One):
        with pytest.raises(laminardb.IngestionError):
            conn.insert("numbers", form(node))
    with pytest.raises(laminardb.SchemaError):
        conn.create_table("made", TypeOnly(node))


def test_capsules_of_another_kind_are_refused(conn: laminardb.Connection) -> None:
    class Swapped(One):
        def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
            return super().__arrow_c_array__()[::-1]

    class Lone(One):
        def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
            return super().__arrow_c_array__()[0]

    class Other:
        def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
            return 1

        __arrow_c_schema__ = __arrow_c_stream__

    for data in (Swapped(rows(ints(1))), Lone(rows(ints(1))), Other()):
        with pytest.raises((laminardb.IngestionError, TypeError)):
            conn.insert("numbers", data)
    with pytest.raises((laminardb.SchemaError, TypeError)):
        conn.create_table("made", Other())


def deep(levels: int, wrap: Callable[[Node], Node]) -> Node:
    node = ints()
    for _ in range(levels):
        node = wrap(node)
    return node


WRAPS: dict[str, Callable[[Node], Node]] = {
    "lists": lambda node: lists(0, values=node),
    "list views": lambda node: list_views([], [], node),
    "lists of fixed size": lambda node: Node(b"+w:1", 0, [None], [node]),
    "structs": lambda node: Node(b"+s", 0, [None], [node]),
    "runs": lambda node: Node(b"+r", 0, [], [ints(format="i"), node]),
    "dictionaries": lambda node: Node(b"c", 0, [None, b""], dictionary=node),
    "unions": lambda node: Node(b"+us:0", 0, [b""], [node]),
}


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("levels", [100, 5000])
def test_a_deep_schema_is_refused(
    conn: laminardb.Connection, wrap: str, levels: int, recursion: Callable[[int], None]
) -> None:
    recursion(10 * levels)
    for form in (Stream, One):
        with pytest.raises(laminardb.IngestionError, match="nested too deeply"):
            conn.insert("lists", form(rows(deep(levels, WRAPS[wrap]))))
        with pytest.raises(laminardb.IngestionError, match="nested too deeply"):
            conn.insert("lists", {"c": form(deep(levels, WRAPS[wrap]))})
    with pytest.raises(laminardb.SchemaError, match="nested too deeply"):
        conn.create_table("made", TypeOnly(rows(deep(levels, WRAPS[wrap]))))


def test_a_schema_that_holds_itself_is_refused(conn: laminardb.Connection) -> None:
    for field in ("children", "dictionary"):
        node = Node(
            b"+l" if field == "children" else b"i", 0, [None, bytes(4)], [ints()] if field == "children" else []
        )
        made = node.c_schema()
        itself = ctypes.c_void_p(ctypes.addressof(made))
        setattr(made, field, ctypes.addressof(itself) if field == "children" else itself)
        node.c_schema = lambda made=made: made  # type: ignore[method-assign,misc]
        with pytest.raises(laminardb.SchemaError, match="nested too deeply"):
            conn.create_table("made", TypeOnly(rows(node)))


def test_a_schema_of_shared_types_is_not_read_for_ever(conn: laminardb.Connection) -> None:
    inner = ints()  # what its schema points to is gone with it
    kept: list[Any] = [inner.c_schema()]
    for _ in range(60):
        pointers = (ctypes.c_void_p * 2)(ctypes.addressof(kept[-1]), ctypes.addressof(kept[-1]))
        outer = Node(b"+s", 0, [None], schema={"n_children": 2, "children": ctypes.addressof(pointers)})
        kept += [pointers, outer, outer.c_schema()]
    whole = Node(b"+s")
    whole.c_schema = lambda: kept[-1]  # type: ignore[method-assign]
    with pytest.raises(laminardb.SchemaError, match="more than 1000000 types"):
        conn.create_table("made", TypeOnly(whole))


def test_columns_of_types_from_pyarrow_that_are_deep_are_refused(conn: laminardb.Connection, pa: Any) -> None:
    data_type = pa.int64()
    for _ in range(100):
        data_type = pa.list_(data_type)
    with pytest.raises(laminardb.SchemaError, match="nested too deeply"):
        conn.create_table("made", pa.schema([("c", data_type)]))
    with pytest.raises(laminardb.IngestionError, match="nested too deeply"):
        conn.insert("lists", pa.table({"c": pa.array([], data_type)}))


GIANT = b"x" * 2**20

# Data of a few kilobytes that stands for gigabytes.
BOMBS: dict[str, tuple[str, Callable[[], Node], int]] = {
    "one run": ("numbers", lambda: run_ends(2**31 - 1, values=ints(7), length=2**31 - 1), 2**31 - 1),
    "one run of 2^40 rows": ("numbers", lambda: run_ends(2**40, values=ints(7), length=2**40, format="q"), 2**40),
    "a run of text": ("words", lambda: run_ends(2**20, values=texts(GIANT), length=2**20), 2**20),
    "NULLs": ("numbers", lambda: Node(b"n", 2**31 - 1, []), 2**31 - 1),
    "2^40 NULLs": ("numbers", lambda: Node(b"n", 2**40, []), 2**40),
    "lists of NULLs": ("lists", lambda: Node(b"+w:2147483647", 1, [None], [Node(b"n", 2**31 - 1, [])]), 1),
    "lists of a run": ("lists", lambda: lists(0, 2**30, values=run_ends(2**30, values=ints(7), length=2**30)), 1),
    "a dictionary of one long text": (
        "words",
        lambda: coded(Node(b"c", 2**13, [None, bytes(2**13)]), texts(GIANT)),
        2**13,
    ),
    "views of one long text": ("words", lambda: views(view(2**20, b"xxxx") * 2**13, [GIANT]), 2**13),
    "list views of the same items": (
        "lists",
        lambda: list_views([0] * 2**14, [2**16] * 2**14, Node(b"l", 2**16, [None, bytes(2**19)])),
        2**14,
    ),
    "list views of the same texts": (
        "listsofwords",
        lambda: list_views([0] * 2**13, [2] * 2**13, texts(GIANT, GIANT)),
        2**13,
    ),
    "a dictionary of lists": (
        "lists",
        lambda: coded(Node(b"c", 2**14, [None, bytes(2**14)]), lists(0, 2**16, values=Node(b"n", 2**16, []))),
        2**14,
    ),
    "a run of a run": (
        "numbers",
        lambda: run_ends(2**30, values=run_ends(1, values=ints(7), length=1), length=2**30),
        2**30,
    ),
    "structs of a run": (
        "structs",
        lambda: Node(b"+s", 2**30, [None], [run_ends(2**30, values=ints(7), length=2**30, name=b"a")]),
        2**30,
    ),
    "structs of nothing": ("structs", lambda: Node(b"+s", 2**30, [None], []), 2**30),
    "a union of runs": (
        "numbers",
        lambda: Node(b"+us:0", 2**40, [bytes(8)], [run_ends(2**40, values=ints(7), length=2**40, format="q")]),
        2**40,
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_arrow_data_that_stands_for_gigabytes_is_refused(conn: laminardb.Connection, name: str) -> None:
    table, column, length = BOMBS[name]
    inputs: list[Any] = [form(rows(column(), length=length)) for form in (Stream, One)]
    inputs += [{"c": form(column())} for form in (Stream, One)]
    for data in inputs:
        with pytest.raises(laminardb.IngestionError, match="more than the"):
            conn.insert(table, data)
    assert conn.sql(f"SELECT count(*) FROM {table}").fetchone() == (0,)


@pytest.mark.parametrize("length", [2**33, 2**31 - 1])
def test_a_batch_of_rows_without_columns_is_refused_by_its_size(conn: laminardb.Connection, length: int) -> None:
    for form in (Stream, One):
        with pytest.raises(laminardb.IngestionError, match="more than the"):
            conn.insert("numbers", form(rows(length=length)))
    assert conn.insert("numbers", Stream(rows(length=3))) == 3


def test_many_batches_do_not_pass_the_limit_of_one(conn: laminardb.Connection) -> None:
    half = rows(run_ends(2**27, values=ints(7), length=2**27), length=2**27)
    with pytest.raises(laminardb.IngestionError, match="more than the"):
        conn.insert("numbers", Stream(half, half, half))


def test_many_columns_do_not_pass_the_limit_of_one(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE wide (a BIGINT, b BIGINT, c BIGINT)")
    with pytest.raises(laminardb.IngestionError, match="more than the"):
        conn.insert("wide", {name: One(run_ends(2**27, values=ints(7), length=2**27)) for name in "abc"})


def test_small_repetitions_are_written_out(conn: laminardb.Connection) -> None:
    assert conn.insert("numbers", Stream(rows(run_ends(1000, values=ints(7), length=1000)))) == 1000
    assert conn.insert("words", Stream(rows(views(view(32, LONG[:4]) * 1000, [LONG])))) == 1000
    assert conn.sql("SELECT count(*), min(c), max(c) FROM numbers").fetchone() == (1000, 7, 7)


def test_memory_of_refused_data_is_released(conn: laminardb.Connection) -> None:
    for column in (
        texts(b"\xff"),
        ints(1, array={"length": -1}),
        run_ends(2**40, values=ints(1), length=2**40, format="q"),
    ):
        stream = Stream(rows(column, length=1))
        with pytest.raises(laminardb.IngestionError):
            conn.insert("words", stream)
        gc.collect()
        assert stream.made.release is None, "the stream was taken"


@pytest.mark.parametrize("seed", range(2))
def test_structs_that_are_changed_at_random_end_nothing(seed: int) -> None:
    script = Path(__file__).with_name("mutate.py")
    run = [sys.executable, str(script), str(seed), str(2000 * int(os.environ.get("LAMINARDB_TEST_CASES_FACTOR", "1")))]
    done = subprocess.run(run, capture_output=True, text=True, timeout=600, check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, (lines[-1:], done.stderr[-2000:])
    assert not [(lines[place - 1], line) for place, line in enumerate(lines) if line.startswith("FAULT")]

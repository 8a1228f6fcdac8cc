"""Arrow's C interfaces by hand, from ctypes: structs that say anything, for tests of how malformed data is read.

`Node` says what one array and its type are; all of it can be set, also to what no producer would. `Stream` passes nodes
through the C stream interface, `One` one of them through the C data interface, `TypeOnly` the type alone. The memory is
kept by these objects.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
GET = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
LAST_ERROR = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)


class ArrowSchema(ctypes.Structure):
    _fields_ = (
        ("format", ctypes.c_void_p),
        ("name", ctypes.c_void_p),
        ("metadata", ctypes.c_void_p),
        ("flags", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


class ArrowArray(ctypes.Structure):
    _fields_ = (
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", ctypes.c_void_p),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


class ArrowStream(ctypes.Structure):
    _fields_ = (
        ("get_schema", ctypes.c_void_p),
        ("get_next", ctypes.c_void_p),
        ("get_last_error", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


def _released(place: int) -> Callable[[int | None], None]:
    """A release function that does what it must: it sets itself to NULL."""

    def release(pointer: int | None) -> None:
        if pointer:
            ctypes.c_void_p.from_address(pointer + place).value = None

    return release


RELEASE_SCHEMA = RELEASE(_released(ArrowSchema.release.offset))
RELEASE_ARRAY = RELEASE(_released(ArrowArray.release.offset))
RELEASE_STREAM = RELEASE(_released(ArrowStream.release.offset))


def address(function: Any) -> int | None:
    return ctypes.cast(function, ctypes.c_void_p).value


class Node:
    """An array and its type.

    Buffers are bytes, or None for one that is not there; `array` and `schema` are the fields of the structs that differ
    from what the rest says.
    """

    def __init__(
        self,
        format: bytes | None,
        length: int = 0,
        buffers: Sequence[bytes | None] = (),
        children: Sequence[Node] = (),
        dictionary: Node | None = None,
        *,
        name: bytes | None = b"c",
        metadata: bytes | None = None,
        array: dict[str, Any] | None = None,
        schema: dict[str, Any] | None = None,
    ) -> None:
        self.format, self.length, self.buffers, self.children = format, length, list(buffers), list(children)
        self.dictionary, self.name, self.metadata = dictionary, name, metadata
        self.array, self.schema = array or {}, schema or {}
        self.kept: list[Any] = []
        self.room = 64  # bytes of zero behind each buffer

    def _bytes(self, data: bytes | None) -> int | None:
        """The address of a copy of the data, aligned to 64 bytes."""
        if data is None:
            return None
        memory = ctypes.create_string_buffer(len(data) + 64 + self.room)
        self.kept.append(memory)
        start = -(-ctypes.addressof(memory) // 64) * 64
        ctypes.memmove(start, data + b"\0", len(data) + 1)
        return start

    def _pointers(self, pointers: Iterable[int | None]) -> int:
        all_of_them = list(pointers)
        memory = (ctypes.c_void_p * max(1, len(all_of_them)))(*all_of_them)
        self.kept.append(memory)
        return ctypes.addressof(memory)

    def c_schema(self) -> ArrowSchema:
        children = [child.c_schema() for child in self.children]
        values = self.dictionary.c_schema() if self.dictionary else None
        self.kept += [children, values]
        made = ArrowSchema(
            format=self._bytes(self.format),
            name=self._bytes(self.name),
            metadata=self._bytes(self.metadata),
            flags=2,
            n_children=len(children),
            children=self._pointers(map(ctypes.addressof, children)),
            dictionary=ctypes.addressof(values) if values else None,
            release=address(RELEASE_SCHEMA),
        )
        for field, value in self.schema.items():
            setattr(made, field, value)
        return made

    def c_array(self) -> ArrowArray:
        children = [child.c_array() for child in self.children]
        values = self.dictionary.c_array() if self.dictionary else None
        self.kept += [children, values]
        made = ArrowArray(
            length=self.length,
            null_count=-1,
            n_buffers=len(self.buffers),
            n_children=len(children),
            buffers=self._pointers(map(self._bytes, self.buffers)),
            children=self._pointers(map(ctypes.addressof, children)),
            dictionary=ctypes.addressof(values) if values else None,
            release=address(RELEASE_ARRAY),
        )
        for field, value in self.array.items():
            setattr(made, field, value)
        return made


def rows(*columns: Node, length: int | None = None, **fields: Any) -> Node:
    """A batch of the columns."""
    longest = max((column.length for column in columns), default=0)
    return Node(b"+s", longest if length is None else length, [None], columns, name=b"", **fields)


def ints(*values: int, format: str = "q", **fields: Any) -> Node:
    """An array of integers of 64 bits, or those that `format` of the module `struct` says."""
    formats = {"b": b"c", "B": b"C", "h": b"s", "H": b"S", "i": b"i", "I": b"I", "q": b"l", "Q": b"L"}
    return Node(formats[format], len(values), [None, struct.pack(f"={len(values)}{format}", *values)], **fields)


def offsets(*values: int, format: str = "i") -> bytes:
    return struct.pack(f"={len(values)}{format}", *values)


def texts(*values: bytes, **fields: Any) -> Node:
    ends = [0]
    for value in values:
        ends.append(ends[-1] + len(value))
    return Node(b"u", len(values), [None, offsets(*ends), b"".join(values)], **fields)


def capsule(made: ctypes.Structure, name: bytes) -> Any:
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    return new(ctypes.addressof(made), name, None)


NAMES = {ArrowSchema: b"arrow_schema", ArrowArray: b"arrow_array", ArrowStream: b"arrow_array_stream"}


class TypeOnly:
    """An object with `__arrow_c_schema__`."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def __arrow_c_schema__(self) -> Any:
        self.made = self.node.c_schema()
        return capsule(self.made, NAMES[ArrowSchema])


class Column:
    """A sequence by its form, since a dict takes only sequences as columns. Its length is what its maker says."""

    length = 1

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, place: int) -> Any:
        raise IndexError(place)


class One(Column):
    """An object with `__arrow_c_array__`."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
        self.made = (self.node.c_schema(), self.node.c_array())
        return tuple(capsule(made, NAMES[type(made)]) for made in self.made)


class Stream(Column):
    """An object with `__arrow_c_stream__`, whose batches are `nodes` of one type.

    Then comes the end, or the error `code` with the text `error`, of bytes or None. `stream` are fields of the struct
    that are something else.
    """

    def __init__(
        self, *nodes: Node, code: int = 0, error: bytes | None = None, schema_code: int = 0, **stream: Any
    ) -> None:
        self.nodes, self.code, self.schema_code, self.stream = nodes, code, schema_code, stream
        self.error = None if error is None else ctypes.create_string_buffer(error)
        self.given: list[Any] = []

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        left = list(self.nodes)

        def put(made: ctypes.Structure, out: int) -> int:
            self.given.append(made)
            ctypes.memmove(out, ctypes.addressof(made), ctypes.sizeof(made))
            return 0

        def get_schema(_stream: int, out: int) -> int:
            return self.schema_code or put(self.nodes[0].c_schema(), out)

        def get_next(_stream: int, out: int) -> int:
            if left:
                return put(left.pop(0).c_array(), out)
            return self.code or put(ArrowArray(), out)

        def get_last_error(_stream: int) -> int | None:
            return None if self.error is None else ctypes.addressof(self.error)

        self.functions = (GET(get_schema), GET(get_next), LAST_ERROR(get_last_error))
        schema, following, last_error = map(address, self.functions)
        self.made = ArrowStream(schema, following, last_error, address(RELEASE_STREAM), None)
        for field, value in self.stream.items():
            setattr(self.made, field, value)
        return capsule(self.made, NAMES[ArrowStream])

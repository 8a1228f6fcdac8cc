"""Inserts Arrow data with structs that are changed at random, for test_arrow_hostile.py, in a process of its own.

    python tests/python/mutate.py SEED TRIES

Each number of the structs, and each byte of their texts and small buffers, may be changed, but pointers only to NULL or to
an odd address: that any other points to nothing cannot be told. A line that begins with FAULT says what went wrong.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from typing import Any

import laminardb

from c_arrow import One, Stream, rows
from test_arrow_hostile import VALID

# A number that is a little too large reads past the end of what there is, which cannot be told.
NUMBERS = (-1, -2, -(2**31), -(2**63), 2**31, 2**40, 2**47, 2**62, 2**63 - 1, 0)
FIELDS = ("length", "null_count", "offset", "n_buffers", "n_children")
POINTERS = ("buffers", "children", "dictionary", "release")
TYPES = ("format", "name", "metadata", "n_children", "children", "dictionary", "release", "flags")


def nodes(node: Any) -> Iterator[Any]:
    yield node
    for part in [*node.children, *([node.dictionary] if node.dictionary else [])]:
        yield from nodes(part)


def changed(draw: random.Random, data: bytes) -> bytes:
    """The bytes with one of them changed, or with a negative number or 0 in place of four.

    Only the lower bytes of a number are changed: a last offset says how long a buffer is, which is believed.
    """
    if not data:
        return data
    place = draw.randrange(len(data)) // 4 * 4
    if draw.random() < 0.5:
        place = min(place + draw.randrange(2), len(data) - 1)
        return data[:place] + bytes([draw.randrange(256)]) + data[place + 1 :]
    return (data[:place] + draw.choice([b"\xff\xff\xff\xff", bytes(4)]) + data[place + 4 :])[: len(data)]


def mutate(draw: random.Random, node: Any) -> str:
    kind = draw.randrange(6)
    if kind == 0:
        field = draw.choice(FIELDS)
        # A start far behind the end is only known to be wrong if no memory is as large.
        node.array[field] = draw.choice(NUMBERS if field != "offset" else (-1, -(2**63), 2**47 + 1, 2**62, 2**63 - 1))
        return f"array.{field} = {node.array[field]}"
    if kind == 1:
        field = draw.choice(POINTERS)
        node.array[field] = None
        return f"array.{field} = NULL"
    if kind == 2:
        field = draw.choice(TYPES)
        node.schema[field] = draw.choice(NUMBERS) if field in ("n_children", "flags") else None
        return f"schema.{field} = {node.schema[field]}"
    if kind == 3 and node.format:
        node.format = draw.choice(
            [changed(draw, node.format), draw.choice([b"l", b"u", b"vu", b"+s", b"+l", b"+r", b"n", b"+w:3"])]
        )
        return f"format = {node.format!r}"
    if kind == 4:
        node.name = bytes(draw.randrange(1, 256) for _ in range(draw.randrange(4)))
        return f"name = {node.name!r}"
    if node.buffers:
        place = draw.randrange(len(node.buffers))
        # Kept in room for any format, so that what a changed one reads is there.
        node.buffers[place] = draw.choice([None, changed(draw, (node.buffers[place] or bytes(8)))])
        return f"buffer {place} = {node.buffers[place]!r}"
    return "nothing"


def main(seed: int, tries: int) -> None:
    draw = random.Random(seed)
    conn = laminardb.open(":memory:")
    conn.execute("CREATE TABLE numbers (c BIGINT)")
    conn.execute("CREATE TABLE words (c VARCHAR)")
    conn.execute("CREATE TABLE lists (c BIGINT[])")
    conn.execute("CREATE TABLE structs (c STRUCT(a BIGINT, b VARCHAR))")
    refused = 0
    for _ in range(tries):
        name = draw.choice(list(VALID))
        table, column, expected = VALID[name]
        whole = rows(column(), length=len(expected))
        for node in nodes(whole):
            # Room behind each buffer for what a changed format or width reads.
            node.room = 1 << 18
        what = [mutate(draw, draw.choice(list(nodes(whole)))) for _ in range(draw.choice([1, 1, 2, 3]))]
        print(name, *what, sep="; ", flush=True)
        data: Any = draw.choice([Stream, One])(whole)
        try:
            conn.insert(table, data)
        except laminardb.LaminarError:
            refused += 1
        except TypeError as error:
            if "cannot be read" not in str(error):
                print("FAULT", type(error), error)
        except BaseException as error:
            print("FAULT", type(error), error)
    if refused < tries // 4:
        print("FAULT only", refused, "of", tries, "were refused")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

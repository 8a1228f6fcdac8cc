"""Reads the messages of Debezium, as Kafka Connect writes them in JSON, with and without their `schema`.

One message is one change of one row. What cannot be understood is an `EnvelopeError` that names topic, partition and
offset; nothing is skipped.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

PLACEHOLDER = "__debezium_unavailable_value"
EPOCH = datetime(1970, 1, 1)
MICROSECONDS = {
    "io.debezium.time.MicroTimestamp": 1,
    "io.debezium.time.Timestamp": 1000,
    "org.apache.kafka.connect.data.Timestamp": 1000,
}
Key = tuple[Any, ...]


class EnvelopeError(ValueError):
    """A message that is not an envelope of one of the tables."""


@dataclass(frozen=True)
class Message:
    """A message of a topic; `value` is None in a tombstone."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.topic}, partition {self.partition}, offset {self.offset}"


@dataclass(frozen=True)
class Table:
    """A table upstream: its key, and its columns with the SQL types in which they are kept here."""

    name: str
    key: tuple[str, ...]
    columns: dict[str, str]

    def definition(self) -> str:
        """The statement that makes it."""
        columns = ", ".join(f"{name} {kind}" for name, kind in self.columns.items())
        return f"CREATE TABLE {self.name} ({columns}, PRIMARY KEY ({', '.join(self.key)}))"


@dataclass(frozen=True)
class Change:
    """What a message says.

    `kind` is "row" (the row is `values`), "patch" (only these columns are known, the others are as they were), "delete"
    or "truncate" (all rows).
    """

    table: Table
    kind: Literal["row", "patch", "delete", "truncate"]
    key: Key = ()
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Format:
    """How values are written where no `schema` says it: the settings of the connector.

    `decimals` is "base64" (`decimal.handling.mode=precise`) or "string"; `times` is "micro" or "milli", the unit of
    columns that count from 1970.
    """

    tables: dict[str, Table]
    decimals: str = "base64"
    times: str = "micro"

    def read(self, message: Message) -> Change:
        """What a message says. Raises `EnvelopeError`."""
        try:
            return self._read(message)
        except EnvelopeError as error:
            raise EnvelopeError(f"{message}: {error}") from None
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            raise EnvelopeError(f"{message}: not an envelope: {type(error).__name__}: {error}") from error

    def _read(self, message: Message) -> Change:
        table = self.tables.get(message.topic.rpartition(".")[2])
        if table is None:
            raise EnvelopeError(f"the topic belongs to none of the tables {', '.join(self.tables)}")
        if message.value is None:  # A tombstone repeats a delete, which may have been compacted away.
            return Change(table, "delete", self._key(table, message.key))
        schema, payload = opened(message.value)
        if payload["source"]["table"] != table.name:
            raise EnvelopeError(f"it is of the table {payload['source']['table']!r}")
        match payload["op"]:
            case "c" | "r" | "u" as op:
                fields = part(schema, "after")
                key = self._key(table, message.key)
                return self._row(table, key, payload["after"], fields, known=op == "u")
            case "d":
                return Change(table, "delete", self._key(table, message.key))
            case "t":
                return Change(table, "truncate")
            case op:
                raise EnvelopeError(f"unknown op {op!r}")

    def _row(self, table: Table, key: Key, after: dict[str, Any], fields: dict[str, Any], *, known: bool) -> Change:
        if after.keys() != table.columns.keys():
            raise EnvelopeError(f"the columns are {list(after)}, and not those of {table.name}")
        absent = [name for name, value in after.items() if value == PLACEHOLDER]
        if absent and not known:
            raise EnvelopeError(f"a new row without {', '.join(absent)}: the table needs REPLICA IDENTITY FULL")
        values = {
            name: self._value(table.columns[name], value, fields.get(name))
            for name, value in after.items()
            if name not in absent
        }
        if tuple(values[name] for name in table.key) != key:
            raise EnvelopeError(f"the key {key} is not that of the row")
        return Change(table, "patch" if absent else "row", key, values)

    def _key(self, table: Table, key: bytes | None) -> Key:
        if key is None:
            raise EnvelopeError(f"no key; {table.name} has {', '.join(table.key)}")
        schema, payload = opened(key)
        if payload.keys() != set(table.key):
            raise EnvelopeError(f"the key has {list(payload)}; {table.name} has {', '.join(table.key)}")
        fields = by_name(schema)
        return tuple(self._value(table.columns[name], payload[name], fields.get(name)) for name in table.key)

    def _value(self, kind: str, value: Any, schema: dict[str, Any] | None) -> Any:
        """The Python value of a column of this SQL type."""
        if value is None:
            return None
        if kind.startswith("DECIMAL"):
            return self._decimal(kind, value, schema)
        if kind == "TIMESTAMP":
            if schema is None:
                unit = 1 if self.times == "micro" else 1000
            elif (unit := MICROSECONDS.get(schema.get("name", ""), 0)) == 0:
                raise EnvelopeError(f"a time written as {schema.get('name')}")
            return EPOCH + timedelta(microseconds=value * unit)
        return value

    def _decimal(self, kind: str, value: Any, schema: dict[str, Any] | None) -> Decimal:
        scale = int(kind.rstrip(")").partition(",")[2])
        written = self.decimals
        if schema is not None:
            written = "string" if schema["type"] == "string" else "base64"
            scale = int(schema.get("parameters", {}).get("scale", scale))
        if written == "string":
            return Decimal(value)
        unscaled = int.from_bytes(base64.b64decode(value, validate=True), "big", signed=True)
        return Decimal(unscaled).scaleb(-scale)


def opened(text: bytes) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The schema, if there is one, and the payload."""
    content = json.loads(text)
    if content.keys() == {"schema", "payload"}:
        return content["schema"], content["payload"]
    return None, content


def by_name(schema: dict[str, Any] | None) -> dict[str, Any]:
    """The schemas of the fields of a struct."""
    return {} if schema is None else {field["field"]: field for field in schema["fields"]}


def part(schema: dict[str, Any] | None, name: str) -> dict[str, Any]:
    """The schemas of the fields of a part of an envelope, such as `after`."""
    return {} if schema is None else by_name(by_name(schema)[name])

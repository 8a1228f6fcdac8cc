"""A simulated shop database, and the connector that writes its changes: what `cdc.py` consumes, and compares with.

`Upstream.rows` is what the database holds, `Upstream.log` are the messages, oldest first. Everything is drawn from a
seed. Values are encoded here without the code that decodes them.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from debezium.envelope import PLACEHOLDER, Key, Message, Table

COUNTRIES = ("PT", "NO", "EC", "JP")
STATES = ("open", "paid", "shipped", "cancelled")
PRODUCTS = ("lamp", "chair", "Tür", "机")
START = datetime(2026, 1, 1, 12)


class Upstream:
    """The tables `customers`, `orders` and `order_lines`, which change at random."""

    def __init__(
        self, tables: dict[str, Table], seed: int, *, flavour: str, schemas: bool, decimals: str, times: str
    ) -> None:
        self.tables = tables
        self.rows: dict[str, dict[Key, dict[str, Any]]] = {name: {} for name in tables}
        self.log: list[Message] = []
        self._draw = random.Random(seed)
        self._postgres = flavour == "postgres"
        self._schemas, self._decimals, self._times = schemas, decimals, times
        self._ends = dict.fromkeys(tables, 0)
        self._last_id = 0
        self._position = 23_000_000
        for _ in range(8):
            self._add("customers", self._customer(self._id()))
        for _ in range(12):
            self._add("orders", self._order())
            for line in range(self._draw.randint(0, 3)):
                self._add("order_lines", self._line(self._pick("orders")[0], line))

    def snapshot(self) -> None:
        """Writes every row there is, as a connector does that starts anew."""
        for name, rows in self.rows.items():
            for number, (key, row) in enumerate(rows.items(), start=1):
                self._write(name, "r", key, after=row, snapshot="true" if number < len(rows) else "last")

    def change(self, count: int) -> None:
        """Makes so many random changes."""
        for _ in range(count):
            self._position += self._draw.randint(1, 200)
            name = self._draw.choice(("customers", "orders", "orders", "order_lines", "order_lines", "order_lines"))
            what = self._draw.random()
            if not self.rows[name] or what < 0.40:
                self._create(name)
            elif what < 0.75:
                self._update(name)
            elif what < 0.90:
                self._delete(name, self._pick(name))
            elif what < 0.998:
                self._move(name)
            elif name == "order_lines":
                self.rows[name].clear()
                self._write(name, "t", None)

    # What happens to rows.

    def _create(self, name: str) -> None:
        if name == "customers":
            row = self._customer(self._id())
        elif name == "orders":
            row = self._order()
        else:
            order = self._pick("orders")[0] if self.rows["orders"] else self._id()
            row = self._line(order, self._draw.randint(1, 5))
        key = self._key(name, row)
        if key not in self.rows[name]:
            self._add(name, row)
            self._write(name, "c", key, after=row)

    def _update(self, name: str) -> None:
        key = self._pick(name)
        before = self.rows[name][key]
        after = dict(before)
        if name == "customers":
            fresh = self._customer(after["id"])
            for column in self._draw.sample(("name", "country", "credit", "notes"), 2):
                after[column] = fresh[column]
            after["updated_at"] = fresh["updated_at"]
        elif name == "orders":
            after["status"] = self._draw.choice(STATES)
            if self._draw.random() < 0.2 and self.rows["customers"]:
                after["customer_id"] = self._pick("customers")[0]
        else:
            after.update(quantity=self._draw.randint(1, 9), price=self._price())
        self.rows[name][key] = after
        # A long text that did not change is not in the log of Postgres, and so not in the message.
        same = name == "customers" and before["notes"] is not None and before["notes"] == after["notes"]
        self._write(name, "u", key, before=before, after=after, unchanged="notes" if same and self._postgres else None)

    def _delete(self, name: str, key: Key, headers: dict[str, str] | None = None) -> None:
        before = self.rows[name].pop(key)
        self._write(name, "d", key, before=before, headers=headers)
        self._append(name, self._key_text(name, key), None, headers or {})

    def _move(self, name: str) -> None:
        """Changes a key: written as a delete of the old row, a tombstone, and a create of the new one."""
        old = self._pick(name)
        row = dict(self.rows[name][old])
        if name == "order_lines" and self.rows["orders"]:
            row["order_id"] = self._pick("orders")[0]
        else:
            row[self.tables[name].key[0]] = self._id()
        new = self._key(name, row)
        if new in self.rows[name]:
            return
        self._delete(name, old, {"__debezium.newkey": json.dumps(dict(zip(self.tables[name].key, new, strict=True)))})
        self._add(name, row)
        header = {"__debezium.oldkey": json.dumps(dict(zip(self.tables[name].key, old, strict=True)))}
        self._write(name, "c", new, after=row, headers=header)

    def _add(self, name: str, row: dict[str, Any]) -> None:
        self.rows[name][self._key(name, row)] = row

    def _pick(self, name: str) -> Key:
        return self._draw.choice(list(self.rows[name]))

    def _key(self, name: str, row: dict[str, Any]) -> Key:
        return tuple(row[column] for column in self.tables[name].key)

    def _id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _price(self) -> Decimal:
        return Decimal(self._draw.randint(-500, 99_999)) / 100

    def _time(self) -> datetime:
        micros = self._draw.randint(0, 10**13)
        return START + timedelta(microseconds=micros if self._times == "micro" else micros // 1000 * 1000)

    def _customer(self, number: int) -> dict[str, Any]:
        return {
            "id": number,
            "name": self._draw.choice(("Ada", "Bob", "Cléo", "D'Arcy", "冬")),
            "country": self._draw.choice(COUNTRIES),
            "notes": self._draw.choice((None, 'likes "quotes"\n' * 3, "long text 🙂 " * self._draw.randint(1, 9))),
            "credit": Decimal(self._draw.randint(-(10**9), 10**10 - 1)) / 100,
            "updated_at": self._time(),
        }

    def _order(self) -> dict[str, Any]:
        customer = self._pick("customers")[0] if self.rows["customers"] else 0
        status = self._draw.choice(STATES)
        return {"id": self._id(), "customer_id": customer, "status": status, "placed_at": self._time()}

    def _line(self, order: int, line: int) -> dict[str, Any]:
        row = {"order_id": order, "line_no": line, "product": self._draw.choice(PRODUCTS)}
        return {**row, "quantity": self._draw.randint(1, 9), "price": self._price()}

    # How it is written.

    def _write(
        self,
        name: str,
        op: str,
        key: Key | None,
        *,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
        snapshot: str = "false",
        unchanged: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        if before is not None and self._postgres:  # REPLICA IDENTITY DEFAULT: of old rows only the key is known.
            keyed = {column: before[column] if column in self.tables[name].key else None for column in before}
            before = keyed if op == "d" else None
        written = None if after is None else dict(self._encoded(name, after))
        if written is not None and unchanged is not None:
            written[unchanged] = PLACEHOLDER
        milliseconds = 1_767_268_800_000 + self._position
        payload = {
            "before": None if before is None else dict(self._encoded(name, before)),
            "after": written,
            "source": self._source(name, milliseconds, snapshot),
            "transaction": None,
            "op": op,
            "ts_ms": milliseconds + 17,
        }
        text = self._text(self._envelope_schema(name), payload)
        self._append(name, None if key is None else self._key_text(name, key), text, headers or {})

    def _append(self, name: str, key: bytes | None, value: bytes | None, headers: dict[str, str]) -> None:
        topic = f"shop.public.{name}" if self._postgres else f"shop.shop.{name}"
        self.log.append(Message(topic, 0, self._ends[name], key, value, headers))
        self._ends[name] += 1

    def _key_text(self, name: str, key: Key) -> bytes:
        columns = self.tables[name].key
        schema = {"type": "struct", "fields": [self._field(name, column) for column in columns], "optional": False}
        return self._text({**schema, "name": f"shop.{name}.Key"}, dict(zip(columns, key, strict=True)))

    def _text(self, schema: dict[str, Any], payload: dict[str, Any]) -> bytes:
        return json.dumps({"schema": schema, "payload": payload} if self._schemas else payload).encode()

    def _source(self, name: str, milliseconds: int, snapshot: str) -> dict[str, Any]:
        source = {"version": "3.0.5.Final", "name": "shop", "ts_ms": milliseconds, "snapshot": snapshot, "db": "shop"}
        if self._postgres:
            place = {"schema": "public", "table": name, "txId": 555, "lsn": self._position, "xmin": None}
            return {**source, "connector": "postgresql", "sequence": f'[null,"{self._position}"]', **place}
        place = {"server_id": 1, "gtid": None, "file": "binlog.000003", "pos": self._position, "row": 0}
        return {**source, "connector": "mysql", "table": name, **place, "thread": 7, "query": None}

    def _encoded(self, name: str, row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        for column, value in row.items():
            match value:
                case Decimal() if self._decimals == "base64":
                    unscaled = int(value * 100)
                    size = unscaled.bit_length() // 8 + 1
                    yield column, base64.b64encode(unscaled.to_bytes(size, "big", signed=True)).decode()
                case Decimal():
                    yield column, f"{value:.2f}"
                case datetime():
                    micros = (value - datetime(1970, 1, 1)) // timedelta(microseconds=1)
                    yield column, micros if self._times == "micro" else micros // 1000
                case _:
                    yield column, value

    def _field(self, name: str, column: str) -> dict[str, Any]:
        optional = column not in self.tables[name].key
        kind = self.tables[name].columns[column]
        match kind.partition("(")[0]:
            case "DECIMAL" if self._decimals == "base64":
                decimal = {"name": "org.apache.kafka.connect.data.Decimal", "version": 1, "parameters": {"scale": "2"}}
                return {"type": "bytes", "optional": optional, **decimal, "field": column}
            case "TIMESTAMP":
                logical = "MicroTimestamp" if self._times == "micro" else "Timestamp"
                return {"type": "int64", "optional": optional, "name": f"io.debezium.time.{logical}", "field": column}
            case "VARCHAR" | "DECIMAL":
                return {"type": "string", "optional": optional, "field": column}
            case other:
                return {"type": {"INT": "int32"}.get(other, "int64"), "optional": optional, "field": column}

    def _envelope_schema(self, name: str) -> dict[str, Any]:
        columns = [self._field(name, column) for column in self.tables[name].columns]
        row = {"type": "struct", "fields": columns, "optional": True, "name": f"shop.{name}.Value"}
        source = [{"type": "string", "optional": False, "field": field} for field in ("version", "connector", "table")]
        fields = [
            {**row, "field": "before"},
            {**row, "field": "after"},
            {"type": "struct", "fields": source, "optional": False, "field": "source"},
            {"type": "string", "optional": False, "field": "op"},
            {"type": "int64", "optional": True, "field": "ts_ms"},
        ]
        return {"type": "struct", "fields": fields, "optional": False, "name": f"shop.{name}.Envelope", "version": 2}

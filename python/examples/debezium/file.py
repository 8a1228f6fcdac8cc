"""Messages in files, as `kcat -J` writes them: one JSON object in each line."""

from __future__ import annotations

import json
from pathlib import Path

from debezium.envelope import Message


def read_file(path: Path) -> list[Message]:
    """The messages of a file, as `kcat -J` writes them: an object in each line."""
    log = []
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        key, value = (None if text is None else text.encode() for text in (entry["key"], entry["payload"]))
        log.append(Message(entry["topic"], entry["partition"], entry["offset"], key, value))
    return log


def write_file(path: Path, log: list[Message]) -> None:
    """Writes messages so that `read_file` reads them."""
    with path.open("w") as file:
        for message in log:
            key, value = (None if text is None else text.decode() for text in (message.key, message.value))
            place = {"topic": message.topic, "partition": message.partition, "offset": message.offset}
            headers = [text for header in message.headers.items() for text in header]
            print(json.dumps({**place, "headers": headers, "key": key, "payload": value}), file=file)

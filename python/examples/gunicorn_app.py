"""A WSGI app for gunicorn, whose workers are forked: each opens its own database, after the fork.

    gunicorn -c python:gunicorn_app --chdir examples --workers 2 gunicorn_app:app
    python examples/gunicorn_app.py --workers 2     # the same

    curl 'localhost:8000/?word=view'

A database belongs to the process that opened it. A child that uses an inherited connection gets `ConnectionError` 102
at once; so nothing is opened while this module is imported, which gunicorn does before the fork with `--preload`. The
workers do not see each other's rows: load what all of them need in `opened`, or serve writes by one worker with threads
(`--workers 1 --threads 8`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import laminardb

bind = "127.0.0.1:8000"
_lock = threading.Lock()
_databases: dict[int, laminardb.Connection] = {}


def opened() -> laminardb.Connection:
    """The database of this process, made when it is first asked for."""
    with _lock:
        conn = _databases.get(os.getpid())
        if conn is None:
            conn = laminardb.open(":memory:")
            conn.execute("CREATE TABLE words (word VARCHAR, seen BIGINT, PRIMARY KEY (word))")
            conn.execute("CREATE MATERIALIZED VIEW often AS SELECT * FROM words ORDER BY seen DESC, word LIMIT 10")
            _databases[os.getpid()] = conn
        return conn


def post_fork(server: Any, worker: Any) -> None:
    """Called by gunicorn in each new worker: the first request does not wait for the database."""
    opened()


def worker_exit(server: Any, worker: Any) -> None:
    """Called by gunicorn in a worker that ends."""
    opened().close()


def app(environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]) -> Iterable[bytes]:
    """Counts the words that it is asked about, and shows the most frequent."""
    conn = opened()
    for word in parse_qs(environ.get("QUERY_STRING", "")).get("word", []):
        conn.execute(
            "INSERT INTO words VALUES (?, 1) ON CONFLICT (word) DO UPDATE SET seen = words.seen + 1", [word[:100]]
        )
    often = conn.sql("SELECT word, seen FROM often ORDER BY seen DESC, word").rows(named=True)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"worker": os.getpid(), "often": often}).encode() + b"\n"]


def main() -> None:
    """Becomes gunicorn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--bind", default=bind, help="default: %(default)s")
    options = parser.parse_args()
    folder = str(Path(__file__).parent)
    command = ["gunicorn", "-c", "python:gunicorn_app", "--chdir", folder, "--workers", str(options.workers)]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
    os.execv(sys.executable, [sys.executable, "-m", *command, "--bind", options.bind, "gunicorn_app:app"])


if __name__ == "__main__":
    main()

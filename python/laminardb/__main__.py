"""Command line of the package: ``python -m laminardb demo``."""

from __future__ import annotations

import argparse
import sys


def main(argv: list[str] | None = None) -> int:
    """Runs a command and gives its exit status: 0 done, 1 failed, 2 bad arguments, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python -m laminardb", description="laminardb command line")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="maintain views over the flights of New York City in 2013")
    demo.add_argument("--quick", action="store_true", help="two months instead of the whole year")
    demo.add_argument("--workers", type=int, default=1, metavar="N", help="dataflow worker threads (default 1)")
    demo.add_argument("--batch-rows", type=int, default=1000, metavar="N", help="flights in one insert (default 1000)")
    arguments = parser.parse_args(argv)
    if arguments.workers < 1 or arguments.batch_rows < 1:
        parser.error("--workers and --batch-rows must be at least 1")

    from laminardb.demo import run

    try:
        return run(quick=arguments.quick, workers=arguments.workers, batch_rows=arguments.batch_rows)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

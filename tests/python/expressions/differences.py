"""The deliberate differences from DuckDB, as the table of docs/sql.md lists them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tree import Node

PAGE = Path(__file__).parents[3] / "docs" / "sql.md"
HEADING = "## Differences from DuckDB"
HEADER = ["operation", "when", "example", "here", "DuckDB", "why"]
# When DuckDB does not compute an argument because another one is NULL.
BESIDE_NULL = "beside NULL"
ESCAPED_BAR = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Deliberate:
    """One row: an operation with the kinds of its arguments, and a condition over them when not all values differ."""

    operation: str
    when: str
    example: str
    here: str
    duckdb: str
    why: str

    @property
    def setting(self) -> str | None:
        """The setting of DuckDB that removes the difference."""
        return self.operation if self.operation.startswith("SET ") else None

    @property
    def guards(self) -> bool:
        """Whether it is about rows on which DuckDB alone fails."""
        return self.when == "DuckDB fails"

    def is_about(self, node: Node) -> bool:
        """Whether the node is such an operation."""
        parts = map(re.escape, self.operation.split("..."))
        return (
            not self.setting and re.fullmatch(".*".join(parts), node.operation(), re.DOTALL | re.IGNORECASE) is not None
        )

    def condition(self, node: Node) -> str | None:
        """When a node has another value, as SQL; None if it never does."""
        if self.guards or self.when == BESIDE_NULL or not self.is_about(node):
            return None

        def argument(found: re.Match[str]) -> str:
            number = int(found[1])
            return f"({(node.children[number - 1] if number else node).text()})"

        return re.sub(r"\$(\d)", argument, self.when) or "true"


def cells(line: str) -> list[str]:
    found = [cell.strip() for cell in ESCAPED_BAR.split(line.strip().strip("|"))]
    return [cell.replace("\\|", "|").strip("`") for cell in found]


def listed() -> list[Deliberate]:
    """All rows of the table."""
    text = PAGE.read_text()
    if HEADING not in text:
        return []
    lines = [line for line in text.split(HEADING, 1)[1].split("\n## ", 1)[0].splitlines() if line.startswith("|")]
    assert cells(lines[0]) == HEADER, lines[0]
    return [Deliberate(*cells(line)) for line in lines[2:]]

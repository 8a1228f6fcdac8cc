"""An expression as a tree: its text, its operations, and smaller ones that are like it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from grid import COLUMNS, KIND_OF, KINDS

HOLE = re.compile(r"\{(\w[\w ()\[\],]*)\}")


@dataclass(frozen=True)
class Node:
    """An operation with its arguments, or a leaf: a column or a literal."""

    template: str
    kind: str
    children: tuple[Node, ...] = ()

    def text(self) -> str:
        """The SQL."""
        parts = HOLE.split(self.template)
        filled = [child.text() for child in self.children]
        return "".join(part if place % 2 == 0 else filled[place // 2] for place, part in enumerate(parts))

    def nodes(self) -> Iterator[Node]:
        """The node itself and all below it."""
        yield self
        for child in self.children:
            yield from child.nodes()

    def columns(self) -> set[str]:
        """The columns that are read."""
        return {node.template for node in self.nodes() if node.template in COLUMNS}

    def renamed(self, names: Callable[[str], str]) -> Node:
        """The same over other columns."""
        if self.template in COLUMNS or self.template == "id":
            return Node(names(self.template), self.kind)
        return replace(self, children=tuple(child.renamed(names) for child in self.children))

    def operation(self) -> str:
        """The operation with the kinds of its arguments, and with words as they stand, as docs/sql.md names it."""
        parts = HOLE.split(self.template)
        kinds = [child.kind if child.kind in KINDS else child.text() for child in self.children]
        text = "".join(part if place % 2 == 0 else kinds[place // 2] for place, part in enumerate(parts))
        return text[1:-1] if text.startswith("(") and text.endswith(")") else text

    def smaller(self) -> Iterator[Node]:
        """Trees of the same kind with something taken away, the smallest first."""
        if self.children:
            below = [node for child in self.children for node in child.nodes() if node.kind == self.kind]
            yield from sorted(below, key=lambda node: len(node.text()))
            if self.kind in COLUMN_OF_KIND and self.template not in COLUMNS:
                yield Node(COLUMN_OF_KIND[self.kind], self.kind)
        for place, child in enumerate(self.children):
            for less in child.smaller():
                yield replace(self, children=(*self.children[:place], less, *self.children[place + 1 :]))


COLUMN_OF_KIND: dict[str, str] = {}
for column, sql in COLUMNS.items():
    COLUMN_OF_KIND.setdefault(KIND_OF[sql], column)
COLUMN_OF_KIND["INTEGER"] = "i64"
COLUMN_OF_KIND["FLOAT"] = "f64"


def shrink(node: Node, fails: Callable[[Node], bool], attempts: int = 60) -> Node:
    """The smallest tree found that still fails."""
    found = True
    while found and attempts > 0:
        found = False
        for less in node.smaller():
            attempts -= 1
            if attempts < 0:
                break
            if len(less.text()) < len(node.text()) and fails(less):
                node, found = less, True
                break
    return node

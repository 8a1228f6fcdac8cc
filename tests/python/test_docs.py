"""The pages of the Python API: their examples run in order, and print what their comments say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import laminardb
import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("python.md", "migrating.md")


@pytest.mark.parametrize("page", PAGES)
def test_its_python_blocks_run_and_print_what_their_comments_say(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    assert blocks
    names: dict[str, Any] = {}
    printed = 0
    for block in blocks:
        exec(compile(block, page, "exec"), names)
        comments = [line.partition("# ")[2].strip() for line in block.splitlines()]
        for line in capsys.readouterr().out.splitlines():
            assert line.strip() in comments, f"{page} does not show: {line}"
            printed += 1
    assert printed > 0


def test_the_statements_of_the_sql_page_run_in_its_order(conn: laminardb.Connection) -> None:
    blocks = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "sql.md").read_text(), re.DOTALL)
    statements = [statement for block in blocks for statement in block.split(";\n") if statement.strip()]
    assert len(statements) > 15
    for statement in statements:
        conn.execute(statement)
    assert conn.tables() == ["devices", "copied"]
    assert conn.sql("SELECT * FROM devices").fetchall() == [("a", "hall")]


def test_the_page_names_every_method_of_a_connection() -> None:
    text = (ROOT / "docs" / "python.md").read_text()
    members = [name for name in dir(laminardb.Connection) if not name.startswith("_")]
    assert members
    assert [name for name in members if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize(
    "page", [*PAGES, "sql.md", "sqlalchemy.md", "architecture.md", "semantics.md", "contributing.md", "changelog.md"]
)
def test_the_readme_links_it_and_its_links_lead_somewhere(page: str) -> None:
    assert f"(docs/{page})" in (ROOT / "README.md").read_text()
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", (ROOT / "docs" / page).read_text())
    for target, section in links:
        path = ROOT / "docs" / (target or page)
        assert path.exists(), target
        assert not section or section in sections(path), f"{target}#{section}"


def sections(page: Path) -> list[str]:
    """What links call the sections of a page."""
    headings = re.findall(r"^#+ (.*)", page.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("page", ["architecture.md", "contributing.md", "testing.md", "../tests/README.md"])
def test_the_files_that_it_names_are_there_with_the_names_in_them(page: str) -> None:
    """A path begins with a folder of the root; `path::name` is a word of that file."""
    folders = "|".join(re.escape(path.name) for path in ROOT.iterdir() if path.is_dir())
    named = re.findall(rf"`((?:{folders})/[^`:*\s]*)(?:::(\w+))?`", (ROOT / "docs" / page).read_text())
    assert len(named) > 5
    assert [path for path, _ in named if not (ROOT / path).exists()] == []
    words = [(path, name) for path, name in named if name]
    assert [f"{path}::{name}" for path, name in words if not re.search(rf"\b{name}\b", (ROOT / path).read_text())] == []


def test_what_the_migration_page_says_is_not_built_is_not_there(tmp_path: Path) -> None:
    """Each of these must leave the page when it comes."""
    text = (ROOT / "docs" / "migrating.md").read_text().partition("## What is not built yet")[2]
    named = re.findall(r"`(?:conn\.)?(\w+)\(\)`", text)
    assert named
    assert [name for name in named if name != "open" and hasattr(laminardb.Connection, name)] == []
    with laminardb.open(str(tmp_path / "data")):
        assert list(tmp_path.iterdir()) == [], "a path is durable: the pages must say so"


def test_every_test_that_the_list_of_promises_names_is_there() -> None:
    tests = ROOT / "tests" / "python"
    text = (tests / "api" / "README.md").read_text()
    code = "\n".join(path.read_text() for path in tests.rglob("*.py"))
    named = set(re.findall(r"::(\w+)", text))
    assert len(named) > 250
    assert sorted(named - set(re.findall(r"(?:def|class) (\w+)", code))) == []
    files = set(re.findall(r"(?:api/)?test_\w+\.py", text))
    assert [name for name in sorted(files) if not (tests / name).exists()] == []

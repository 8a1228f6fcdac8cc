"""The project's README: its code runs, and its commands are those that are tested."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language; there must be some."""
    found = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found, f"no {language} block in README.md"
    return found


def test_its_python_blocks_run_and_print_what_their_comments_say(capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {})
        printed = capsys.readouterr().out.splitlines()
        assert printed == ["{'symbol': ['AB'], 'price': [12.0]}", "UpdateDelete AB 12.0", "UpdateInsert AB 10.0"]
        assert all(line in block for line in printed)


def test_its_commands_are_the_ones_that_ci_runs() -> None:
    demo, tests = blocks("bash")
    assert tests.strip() == "bash tests/run"
    assert "exec bash tests/run" in (ROOT / ".ci" / "run").read_text()
    assert demo.strip().endswith("-m laminardb demo")
    assert "-m laminardb demo --quick" in (ROOT / "tests" / "run").read_text()

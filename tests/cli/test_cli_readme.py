"""What the README shows is what happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cli_kit import Bough, play

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_commands_answer_as_shown(tmp_path: Path) -> None:
    assert play(Bough(tmp_path / "store"), README) == README.count("\n$ bough ") > 5


def test_the_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    [code] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102  (our own file)
    assert (
        capsys.readouterr().out
        == "main “Main conversation”, 2 messages *\n└── mountains “mountains”, 3 messages, from main at 2\n"
    )


def test_every_file_that_is_linked_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).is_file(), link


def test_ci_runs_the_tests_with_the_command_of_the_readme() -> None:
    pattern = re.search(r"grep -E '(.*)' README.md", (ROOT / ".ci/run").read_text(encoding="utf-8"))
    assert pattern is not None
    found = [line for line in README.splitlines() if re.search(pattern[1], line)]
    assert len(found) == 1
    assert "uv run" in found[0]

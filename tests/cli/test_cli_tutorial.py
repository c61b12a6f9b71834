"""What the tutorial shows is what happens, on each store on disk."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cli_kit import Bough, console, play

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TUTORIAL = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
STORE = "export BOUGH_STORE=~/portugal "


@pytest.mark.parametrize(("scheme", "kept"), [("", "portugal/trip/main.json"), ("sqlite:", "portugal")])
def test_the_tutorial_answers_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, kept: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert TUTORIAL.count(STORE) == 1
    text = TUTORIAL.replace(STORE, f"export BOUGH_STORE={scheme}{tmp_path}/portugal ")
    assert play(Bough(tmp_path / "not-used"), text) == TUTORIAL.count("\n$ ") > 50
    assert (tmp_path / kept).is_file()
    assert not (tmp_path / "not-used").exists()
    assert not (tmp_path / ".codebuddy").exists()


def test_the_tutorial_takes_ten_minutes() -> None:
    blocks = re.findall(r"^```console\n.*?^```$", TUTORIAL, re.DOTALL | re.MULTILINE)
    assert len(blocks) == TUTORIAL.count("```console")
    assert max(len(console(block)) for block in blocks) <= 4, "small steps"
    prose = re.sub(r"^```.*?^```$", "", TUTORIAL, flags=re.DOTALL | re.MULTILINE)
    assert len(prose.split()) <= 800, "four minutes at 200 words a minute"
    assert len(console(TUTORIAL)) <= 60, "six minutes at ten commands a minute, pasted"


def test_the_tutorial_is_installed_as_the_readme_says() -> None:
    [demo] = [line for line in README.splitlines() if line.endswith("bough demo")]
    assert f"\n{demo}\n" in TUTORIAL


def test_every_file_that_the_tutorial_links_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", TUTORIAL)
    assert links
    for link in links:
        assert (ROOT / "docs" / link).is_file(), link


@pytest.mark.parametrize("where", ["README.md", "docs/cli.md"])
def test_the_tutorial_is_linked(where: str) -> None:
    assert re.search(r"\]\((docs/)?tutorial\.md\)", (ROOT / where).read_text(encoding="utf-8"))

"""``bough search``."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_kit import Bough, talk
from click import unstyle
from click.testing import CliRunner

from bough import ConversationBranchManager
from bough.cli import cli


@pytest.fixture
def bough(tmp_path: Path) -> Bough:
    bough = Bough(tmp_path / "store")
    talk(bough)
    return bough


def test_a_line_a_hit_the_newest_first(bough: Bough) -> None:
    assert bough.out("search", "three").splitlines() == ["ideas:3 user another three", "main:3 user three"]
    assert bough.out("search", "ONE") == "main:1 user (+1 branch) one\n"
    assert bough.out("search", "another", "thr*") == "ideas:3 user another three\n"
    assert bough.out("search", "three -another") == "main:3 user three\n"
    assert bough.out("search", "nothing") == "No message matches.\n"


def test_the_scope(bough: Bough) -> None:
    bough("--session", "trip\x1b", "add", "user", "three more")
    assert bough.out("search", "three", "--branch", "main") == "main:3 user three\n"
    assert bough.out("search", "two", "--branch", "idea") == "ideas:2 assistant (+1 branch) two\n"
    assert sorted(bough.out("search", "--all", "three").splitlines()) == [
        "default/ideas:3 user another three",
        "default/main:3 user three",
        "trip\\x1b/main:1 user three more",
    ]
    assert "No message matches" in bough.out("search", "more")


def test_all_needs_no_session_of_one_s_own_and_makes_none(tmp_path: Path) -> None:
    bough = Bough(tmp_path / "store")
    assert bough.out("search", "--all", "one") == "No message matches.\n"
    assert not (tmp_path / "store").exists()
    assert "no session 'default'" in bough("search", "one", code=1).stderr
    assert not (tmp_path / "store").exists()
    bough("--session", "trip", "add", "user", "one")
    assert bough.out("search", "--all", "one") == "trip/main:1 user one\n"


def test_a_limit_says_that_there_is_more(bough: Bough) -> None:
    lines = bough.out("search", "-n", "1", "three OR one").splitlines()
    assert lines == ["ideas:3 user another three", "· · there are more: -n 2"]
    assert "more" not in bough.out("search", "-n", "3", "three OR one")
    assert bough.json("search", "-n", "1", "three OR one")["more"] is True
    assert bough.json("search", "-n", "3", "three OR one")["more"] is False


def test_json(bough: Bough) -> None:
    answer = bough.json("search", "two")
    [hit] = answer.pop("hits")
    assert answer == {
        "bough": 1,
        "command": "search",
        "session": "default",
        "query": "two",
        "more": False,
        "warnings": [],
    }
    segment, position = hit.pop("id")
    assert isinstance(segment, str)
    assert position == 1
    assert hit == {
        "session": "default",
        "branch": "main",
        "number": 2,
        "branches": [{"id": "main", "number": 2}, {"id": "ideas", "number": 2}],
        "snippet": "two",
        "matches": [[0, 3]],
        "message": {"role": "assistant", "content": "two"},
    }
    assert "session" not in bough.json("search", "--all", "two")


def test_a_line_fits_the_terminal_and_shows_the_match(bough: Bough) -> None:
    bough("add", "user", "far " * 100 + "needle\x1b[31m\n" + "会話" * 100)
    [line] = bough.out("search", "needle", env={"COLUMNS": "60"}).splitlines()
    assert "…far far" in line
    assert "needle\\x1b[31m " in line
    assert "\x1b" not in line
    assert line.endswith("…")
    assert len(line) <= 60
    [line] = bough.out("search", "会話", env={"COLUMNS": "10"}).splitlines()
    assert "会" in line


def test_matches_are_in_colour(bough: Bough) -> None:
    bough("add", "user", "a needle in hay, needles")
    env = {"BOUGH_STORE": str(bough.store), "COLUMNS": "100"}
    out = CliRunner().invoke(cli, ["search", "needl*"], env=env, color=True).stdout
    red, reset = "\x1b[31m\x1b[1m", "\x1b[0m"
    assert f"a {red}needle{reset} in hay, {red}needles{reset}" in out
    assert unstyle(out) == "main:5 user a needle in hay, needles\n"


@pytest.mark.parametrize("query", ['"one', "(one", "one)", "one OR", "NOT one", "", "\udcff", "\x1b[31m)"])
def test_a_query_that_cannot_be_understood_is_a_clear_error(bough: Bough, query: str) -> None:
    result = bough("search", query, code=1)
    assert result.stdout == ""
    assert result.stderr.startswith("error: the query")
    assert "\nhint: " in result.stderr
    assert "\x1b" not in result.stderr
    assert bough("search", "--json", query, code=1).stderr == ""


def test_a_query_that_begins_with_a_minus_stands_behind_two(bough: Bough) -> None:
    assert bough.out("search", "--", "-another three") == "main:3 user three\n"
    assert "--all" in bough("search", "--all", "--branch", "main", "one", code=2).stderr
    assert bough("search", code=2).stderr
    assert bough("search", "-n", "0", "one", code=2).stderr


def test_damage_is_told_once_and_hides_nothing_else(bough: Bough) -> None:
    with ConversationBranchManager("trip", store=bough.store) as manager:
        manager.add_message({"role": "user", "content": "three"})
    (bough.store / "default" / "ideas.json").write_bytes(b"garbage\n")
    for args, found in (([], 1), (["--all"], 2)):
        result = bough("search", *args, "three")
        assert len(result.stdout.splitlines()) == found
        assert result.stderr.count("warning: ") == 1
        assert "ideas.json" in result.stderr
        assert len(bough.json("search", *args, "three")["warnings"]) == 1
    bough("search", "--branch", "ideas", "three", code=5)
